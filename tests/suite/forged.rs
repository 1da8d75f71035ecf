//! Names in a module may be any text, line ends included: no text that shows one has a line of the module's own.

use crate::support::{Cli, file, folder, inspect, program};
use std::path::{Path, PathBuf};

/// Ways to leave a line, or to change the order of what stands in it.
const ODD: [&str; 6] = ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}", "\u{202e}"];

/// What a forged line would say.
const FORGED: &str = "may use    nothing at all";

/// A module with names that contain this.
fn module(dir: &tempfile::TempDir, odd: &str) -> PathBuf {
    let escaped: Vec<_> = odd
        .chars()
        .map(|letter| format!("\\u{{{:x}}}", u32::from(letter)))
        .collect();
    let odd = escaped.concat() + FORGED;
    let text = format!(
        r#"(module
            (import "a{odd}" "b{odd}" (func $b (param i32)))
            (func (export "fine{odd}") (result i32) (i32.const 1))
            (func (export "fails{odd}") (call $named))
            (func (export "asks{odd}") (call $b (i32.const 1)))
            (func (export "cannot{odd}") (param v128))
            (func $named (@name "named{odd}") unreachable))"#
    );
    file(dir, "odd.wat", text)
}

fn expect_in_lines(text: &str) {
    for line in text.lines() {
        assert!(!line.trim_start().starts_with(FORGED), "{line} in {text}");
    }
    let odd = |letter: char| letter != '\n' && ODD.iter().any(|odd| odd.contains(letter));
    assert!(!text.contains(odd), "{text:?}");
}

fn call(path: &Path) -> Cli {
    program().arg("call").arg(path)
}

#[test]
fn a_name_stays_in_its_line() {
    for odd in ODD {
        let dir = folder();
        let path = module(&dir, odd);
        let named = |name: &str| format!("{name}{odd}{FORGED}");
        expect_in_lines(&inspect(&path).output());
        expect_in_lines(&inspect(&path).typed("--format wit").output());
        expect_in_lines(&inspect(&path).typed("--format json").output());
        let report = dir.path().join("report.json");
        for (name, code) in [("none", 10), ("fails", 11), ("asks", 11), ("cannot", 10)] {
            let call = call(&path).arg(named(name)).arg("-v");
            let ended = call.fails(code);
            expect_in_lines(&ended.stderr);
            expect_in_lines(&ended.text());
        }
        let call = call(&path).arg(named("fine")).arg("--report").arg(&report);
        assert_eq!(call.output(), "1\n");
        expect_in_lines(&std::fs::read_to_string(&report).expect("there is a report"));
    }
}

#[test]
fn a_message_that_repeats_a_name_stays_in_its_line() {
    let dir = folder();
    for (path, text) in [
        (
            "twice.wat",
            r#"(module (func (export "a\nhint: do it")) (func (export "a\nhint: do it")))"#,
        ),
        (
            "memory.wat",
            r#"(module (import "a\nhint: do it" "b\nhint: do it" (memory 1)))"#,
        ),
    ] {
        let path = file(&dir, path, text);
        for ended in [inspect(&path).fails(10), call(&path).arg("f").fails(10)] {
            let forged = |line: &str| line.trim_start().starts_with("hint: do it");
            assert!(!ended.stderr.lines().any(forged), "{}", ended.stderr);
        }
    }
}
