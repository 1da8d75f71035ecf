//! Arguments that are not UTF-8, which those of a Unix need not be: files of such names are files like others, bytes are passed
//! as they are, and where text is wanted that is said.

use crate::support::{file, folder, guest, program, typed};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use tempfile::TempDir;

const WIT: &str = "package a:b;
    world w {
      export keep: func(bytes: list<u8>) -> list<u8>;
      export total: func(numbers: list<u32>) -> u32;
      export name: func(text: string) -> string;
    }";

/// What is given comes back, from where its address and its length are written down.
const CODE: &str = r#"
  (func $back (param i32 i32) (result i32)
    (i32.store (i32.const 16) (local.get 0))
    (i32.store (i32.const 20) (local.get 1))
    (i32.const 16))
  (export "keep" (func $back))
  (export "name" (func $back))
  (func (export "total") (param i32 i32) (result i32) (local.get 1))"#;

/// No text, and the name of nothing that is there.
fn odd() -> &'static OsStr {
    OsStr::from_bytes(b"b\xfe\xff")
}

/// A file whose name is not text.
fn odd_file(dir: &TempDir, ending: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let mut name = odd().to_owned();
    name.push(ending);
    let path = dir.path().join(name);
    fs::write(&path, content).expect("a temporary file can be written");
    path
}

#[test]
fn no_command_breaks_down_over_an_argument_that_is_no_text() {
    let dir = folder();
    let commands = "new build test run call map inspect job cache start status stop engine keys server-config init";
    let below = [
        "job show",
        "job list",
        "cache info",
        "engine join",
        "engine list",
        "run m.wasm",
        "run m.wasm --chunk",
        "run m.wasm --map",
        "run m.wasm --",
        "call m.wasm",
        "call m.wasm f",
        "map m.wasm",
        "map m.wasm f",
        "inspect --format",
        "new --lang",
        "--color",
    ];
    for command in commands.split(' ').chain(below) {
        let command = program().in_dir(&dir).typed(command).arg(odd());
        let ended = command.end().expect_empty_stdout();
        let code = ended.status.code();
        assert!(
            matches!(code, Some(2 | 10 | 14)) && !ended.stderr.contains("panic"),
            "{code:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn files_are_opened_by_names_that_are_no_text() {
    let dir = folder();
    let bytes = fs::read(guest("wordcount")).expect("the guest can be read");
    let module = odd_file(&dir, ".wasm", bytes);
    let input = odd_file(&dir, ".txt", "ab cd ab\n");
    let output = dir.path().join(odd());
    let run = program().arg("run").arg(&module).arg(&input);
    let run = run.arg("-o").arg(&output).end();
    run.expect_code(0).expect_stdout("");
    let written = fs::read_to_string(&output).expect("it was written");
    assert_eq!(written, "ab\t2\ncd\t1\n");

    let lines = odd_file(&dir, ".lines", "[\"a\"]\n");
    let echo = odd_file(&dir, ".echo.wasm", typed(WIT, CODE));
    let map = program().arg("map").arg(&echo).arg("name").arg(&lines);
    assert_eq!(map.output(), "\"[\\\"a\\\"]\"\n");
    program().arg("inspect").arg(&module).end().expect_code(0);
    let missing = program().arg("run").arg(guest("wordcount")).arg(odd());
    missing
        .fails(14)
        .expect_stderr_has(&["b\u{fffd}\u{fffd}", "does not exist"]);
}

#[test]
fn projects_may_stand_where_the_path_is_no_text() {
    let dir = folder();
    let path = dir.path().join(odd()).join("wc");
    let new = program().args(["new", "--lang", "c"]).arg(&path).end();
    new.expect_code(0);
    assert!(path.join("README.md").is_file());
    let named = program().arg("new").arg(dir.path().join(odd()));
    named.fails(2).expect_stderr_has(&["word-count"]);
}

#[test]
fn bytes_are_passed_as_they_are_and_text_is_asked_for() {
    let dir = folder();
    let module = file(&dir, "echo.wasm", typed(WIT, CODE));
    let call = |function: &str| program().arg("call").arg(&module).arg(function);
    let kept = call("keep").arg(odd()).args(["--format", "raw"]).end();
    kept.expect_code(0).expect_stdout(odd().as_bytes());
    for (function, wanted) in [("total", "list<u32>"), ("name", "string")] {
        let found = format!("expected {wanted}, found bytes that are not UTF-8");
        call(function)
            .arg(odd())
            .fails(2)
            .expect_stderr_has(&[&found]);
    }
    let message = "expected UTF-8 text instead of `b\\xfe\\xff`";
    program()
        .arg("call")
        .arg(&module)
        .arg(odd())
        .fails(2)
        .expect_stderr_has(&[message]);
    let message_on_a_setting = "expected UTF-8 text instead of `RWASM_MAP=b\\xfe\\xff`";
    let run = program().arg("run").arg(guest("wordcount")).stdin("");
    run.env("RWASM_MAP", odd())
        .fails(2)
        .expect_stderr_has(&[message_on_a_setting]);
    let command = program().arg("run").arg(guest("upper")).arg("--");
    command.arg(odd()).fails(2).expect_stderr_has(&[message]);
}

#[test]
fn a_word_with_one_dash_is_told_of_whole() {
    let dir = folder();
    let module = file(&dir, "echo.wasm", typed(WIT, CODE));
    for word in ["-inf", "-Infinity", "-nan"] {
        let call = program().arg("call").arg(&module).args(["total", word]);
        call.fails(2).expect_stderr_has(&[
            &format!("unexpected argument '{word}' found"),
            &format!("to pass '{word}' as a value, use '-- {word}'"),
        ]);
    }
}
