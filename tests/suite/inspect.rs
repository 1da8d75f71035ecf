//! `inspect`: what a module is, for people and as JSON, and an example that runs.

use crate::support::{
    Cli, command_component, component, file, folder, guest, inspect, module, wat,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One module of each form.
fn forms(dir: &tempfile::TempDir) -> [(PathBuf, &'static str, &'static str); 5] {
    [
        (guest("wordcount"), "typed functions", "core module"),
        (
            file(dir, "component.wasm", component("wordcount")),
            "typed functions",
            "component",
        ),
        (guest("upper"), "WASI command", "core module"),
        (
            file(dir, "command.wasm", command_component("upper")),
            "WASI command",
            "component",
        ),
        (wat("numeric"), "plain functions", "core module"),
    ]
}

fn described(path: &Path) -> Value {
    inspect(path)
        .typed("--format json")
        .end()
        .expect_code(0)
        .expect_stderr_is_empty()
        .json()
}

#[test]
fn each_form_is_recognised() {
    let dir = folder();
    for (path, form, kind) in forms(&dir) {
        let json = described(&path);
        assert_eq!(json["form"], form, "{}", path.display());
        assert_eq!(json["kind"], kind, "{}", path.display());
        assert_eq!(json["module"], path.display().to_string());
        let text = inspect(&path).output();
        assert!(text.contains(&format!("{form}, {kind}")), "{text}");
        for line in [
            "module  ",
            "size  ",
            "sha-256  ",
            "functions ",
            "imports  ",
            "example  ",
        ] {
            assert!(
                text.lines().any(|shown| shown.starts_with(line.trim_end())),
                "{line} in {text}"
            );
        }
        assert!(
            text.contains(json["sha256"].as_str().expect("a hash")),
            "{text}"
        );
    }
}

#[test]
fn size_and_hash_are_those_of_the_file() {
    let path = guest("wordcount");
    let json = described(&path);
    assert_eq!(
        json["size"],
        std::fs::metadata(&path).expect("the guest").len()
    );
    let sum = Command::new("sha256sum")
        .arg(&path)
        .output()
        .expect("sha256sum is there");
    let sum = String::from_utf8_lossy(&sum.stdout);
    assert_eq!(json["sha256"].as_str(), sum.split(' ').next());
    assert_eq!(json["sha256"], module("wordcount").hash().to_string());
}

#[test]
fn functions_are_shown_with_their_types() {
    let wordcount = json!([
        {
            "name": "mapper",
            "params": [{"name": "text", "type": "string"}],
            "result": "list<tuple<string, u64>>",
            "wit": "mapper: func(text: string) -> list<tuple<string, u64>>"
        },
        {
            "name": "reducer",
            "params": [{"name": "parts", "type": "list<list<tuple<string, u64>>>"}],
            "result": "list<tuple<string, u64>>",
            "wit": "reducer: func(parts: list<list<tuple<string, u64>>>) -> list<tuple<string, u64>>"
        }
    ]);
    let dir = folder();
    assert_eq!(described(&guest("wordcount"))["functions"], wordcount);
    assert_eq!(
        described(&file(&dir, "c.wasm", component("wordcount")))["functions"],
        wordcount
    );
    let text = inspect(guest("faulty")).output();
    for part in [
        "mapper: func(text: string) -> result<u64, string>",
        "lengths: func(data: list<u8>) -> u64",
        "suit: enum { clubs, diamonds, hearts, spades }",
        "shape: variant { point, circle(f64), polygon(list<tuple<s32, s32>>), label(string) }",
        "access: flags { read, write, execute }",
        "half-outcome: result<_, enum",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let plain = inspect(wat("numeric")).output();
    assert!(plain.contains("fib: func(p0: s32) -> s64"), "{plain}");
    assert!(
        plain.contains("add: func(p0: f64, p1: f64) -> f64"),
        "{plain}"
    );
}

#[test]
fn imports_say_whether_they_are_offered() {
    let imports = &described(&guest("upper"))["imports"];
    let fd_read = json!({"module": "wasi_snapshot_preview1", "name": "fd_read", "offered": true});
    assert!(
        imports.as_array().expect("a list").contains(&fd_read),
        "{imports}"
    );

    let dir = folder();
    let odd = file(
        &dir,
        "odd.wat",
        r#"(module (import "env" "launch" (func)) (func (export "f") (result i32) (i32.const 1)))"#,
    );
    assert_eq!(
        described(&odd)["imports"],
        json!([{"module": "env", "name": "launch", "offered": false}])
    );
    let text = inspect(&odd).output();
    assert!(
        text.contains("env launch") && text.contains("not offered"),
        "{text}"
    );
}

/// A command that calls an import which the host does not have, if it is told to by a byte of input.
const WANTING: &str = r#"(module
  (import "env" "launch" (func $launch))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (if (i32.load (i32.const 8)) (then (call $launch)))))"#;

#[test]
fn an_import_that_is_missing_fails_only_whoever_calls_it() {
    let dir = folder();
    let path = file(&dir, "wanting.wat", WANTING);
    let run = || -> Cli { crate::support::program().arg("run").arg(&path) };
    run().end().expect_code(0).expect_stdout("");
    run()
        .stdin("x")
        .fails(11)
        .expect_stderr_has(&["import-denied", "`launch` of `env`"]);
    run()
        .typed("--strict-imports")
        .fails(10)
        .expect_stderr_has(&["env", "launch"]);
}

#[test]
fn the_example_runs() {
    let dir = folder();
    file(&dir, "input.txt", "some words\n");
    let mut ran = 0;
    for (path, ..) in forms(&dir) {
        let json = described(&path);
        let example = json["example"].as_str().expect("a text").to_owned();
        let arguments = example.strip_prefix("rwasm-cluster ").expect("a line");
        if !arguments.starts_with("run ") {
            continue;
        }
        let ended = crate::support::program()
            .typed(arguments)
            .in_dir(dir.path())
            .end();
        let printed = ended.expect_code(0).expect_stderr_is_empty().text();
        assert!(
            ["some\t1\nwords\t1\n", "words\t1\nsome\t1\n", "SOME WORDS\n"]
                .contains(&printed.as_str()),
            "{printed}"
        );
        ran += 1;
    }
    assert_eq!(ran, 4);
}

/// Runs a line of a shell with the program of this build.
fn shell(line: &str, dir: &Path) -> (String, String) {
    let program = env!("CARGO_BIN_EXE_rwasm-cluster");
    let ended = Command::new("sh")
        .args(["-c", &line.replacen("rwasm-cluster", program, 1)])
        .current_dir(dir)
        .output()
        .expect("a shell is there");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&ended.stdout), text(&ended.stderr))
}

#[test]
fn the_example_of_a_call_runs() {
    let dir = folder();
    for (path, printed) in [
        (guest("numbers"), "2\n"),
        (wat("numeric"), "1\n"),
        (guest("wordcount"), "some\t1\nwords\t1\n"),
        (
            file(&dir, "c.wasm", component("wordcount")),
            "some\t1\nwords\t1\n",
        ),
    ] {
        let json = described(&path);
        let example = json["example_call"].as_str().expect("a text");
        assert!(example.starts_with("rwasm-cluster call "), "{example}");
        assert!(inspect(&path).output().contains(example), "{example}");
        let (stdout, stderr) = shell(example, dir.path());
        assert_eq!(
            (stdout.as_str(), stderr.as_str()),
            (printed, ""),
            "{example}"
        );
    }
    // A module whose functions are only called has that for its example.
    let json = described(&wat("numeric"));
    assert_eq!(json["example"], json["example_call"]);
    assert_eq!(described(&guest("upper"))["example_call"], Value::Null);
}

#[test]
fn an_example_is_written_for_a_shell() {
    let dir = folder();
    let path = file(
        &dir,
        "odd name.wasm",
        std::fs::read(guest("upper")).expect("the guest"),
    );
    let example = described(&path)["example"]
        .as_str()
        .expect("a text")
        .to_owned();
    file(&dir, "input.txt", "word\n");
    let (stdout, stderr) = shell(&example, dir.path());
    assert_eq!(stdout, "WORD\n", "{example}: {stderr}");
}
