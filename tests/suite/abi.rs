//! `--abi`: plain functions that take and return bytes as pointers and lengths, by the option, by a file beside the module,
//! and what is said of modules that do not keep to it.

use crate::support::{Cli, file, folder, inspect, is_over_nats, only_here, program};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Functions that return their text in capitals, in each of the forms; and some that return what they may not.
const CAPITALS: &str = r#"(module
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 1024))
  (global $freed (mut i32) (i32.const 0))
  (func $alloc (export "alloc") (param $size i32) (result i32)
    (local $place i32)
    (local.set $place (global.get $next))
    (global.set $next (i32.add (global.get $next) (local.get $size)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
      (if (i32.lt_s (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1))) (i32.const 0))
        (then (return (i32.const 0)))))
    (local.get $place))
  (func (export "dealloc") (param i32 i32) (global.set $freed (i32.add (global.get $freed) (i32.const 1))))
  (func (export "freed") (result i32) (global.get $freed))
  (func $upper (param $from i32) (param $length i32) (result i32)
    (local $to i32) (local $index i32) (local $byte i32)
    (local.set $to (call $alloc (i32.add (local.get $length) (i32.const 1))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $index) (local.get $length)))
        (local.set $byte (i32.load8_u (i32.add (local.get $from) (local.get $index))))
        (if (i32.and (i32.ge_u (local.get $byte) (i32.const 97)) (i32.le_u (local.get $byte) (i32.const 122)))
          (then (local.set $byte (i32.sub (local.get $byte) (i32.const 32)))))
        (i32.store8 (i32.add (local.get $to) (local.get $index)) (local.get $byte))
        (local.set $index (i32.add (local.get $index) (i32.const 1)))
        (br $next)))
    (i32.store8 (i32.add (local.get $to) (local.get $length)) (i32.const 0))
    (local.get $to))
  (func $pack (param $place i32) (param $length i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get $place)) (i64.const 32)) (i64.extend_i32_u (local.get $length))))
  (func (export "packed") (param $from i32) (param $length i32) (result i64)
    (call $pack (call $upper (local.get $from) (local.get $length)) (local.get $length)))
  (func (export "both") (param $from i32) (param $length i32) (result i32 i32)
    (call $upper (local.get $from) (local.get $length)) (local.get $length))
  (func (export "address") (param $from i32) (param $length i32) (result i32)
    (i32.store (i32.const 512) (call $upper (local.get $from) (local.get $length)))
    (i32.store (i32.const 516) (local.get $length))
    (i32.const 512))
  (func (export "terminated") (param $from i32) (param $length i32) (result i32)
    (call $upper (local.get $from) (local.get $length)))
  (func (export "times") (param $from i32) (param $length i32) (param $by i64) (result i64)
    (i64.mul (i64.extend_i32_u (local.get $length)) (local.get $by)))
  (func (export "same") (param $from i32) (param $length i32) (result i64)
    (call $pack (local.get $from) (local.get $length)))
  (func (export "beyond") (result i64) (call $pack (i32.const 65530) (i32.const 100)))
  (func (export "wrapped") (result i64) (call $pack (i32.const -8) (i32.const 16)))
  (func (export "endless") (result i32) (memory.fill (i32.const 1024) (i32.const 65) (i32.const 64512)) (i32.const 1024))
  (func (export "astray") (result i32) (i32.const 65530))
  (func (export "null") (result i32) (i32.const 0)))"#;

fn capitals(dir: &TempDir) -> PathBuf {
    file(dir, "capitals.wat", CAPITALS)
}

fn call(module: &Path, arguments: &[&str]) -> Cli {
    program().arg("call").arg(module).args(arguments)
}

#[test]
fn each_form_of_a_result_is_read() {
    let dir = folder();
    let module = capitals(&dir);
    for (function, abi) in [
        ("packed", "ptr-len"),
        ("both", "ptr-len"),
        ("packed", "ptr-len:alloc=alloc,free=dealloc"),
        ("address", "ptr-len:result=pair"),
        ("terminated", "ptr-len:result=cstr"),
    ] {
        for (text, wanted) in [("some words, é", "SOME WORDS, é"), ("", "")] {
            let call = call(&module, &[function, text, "--abi", abi]);
            assert_eq!(call.output(), wanted, "{function} with {abi}");
        }
    }
    // Numbers stay numbers.
    let abi = "ptr-len:result=pair";
    assert_eq!(
        call(&module, &["times", "four", "3", "--abi", abi]).output(),
        "12\n"
    );
    assert_eq!(
        call(&module, &["freed", "--abi", "ptr-len"]).output(),
        "0\n"
    );
}

#[test]
fn bytes_that_are_no_text_are_passed_as_bytes() {
    let dir = folder();
    let module = capitals(&dir);
    let input = file(&dir, "input.bin", b"a\xffb\0c");
    let run = |abi: &str| {
        let run = program()
            .arg("run")
            .arg(&module)
            .args(["--map", "packed", "--abi", abi]);
        run.args(["--merge", "concat", "--format", "raw"])
            .arg(&input)
    };
    assert_eq!(
        run("ptr-len:data=bytes").end().expect_code(0).stdout,
        b"A\xffB\0C"
    );
    run("ptr-len")
        .fails(11)
        .expect_stderr_has(&["is not UTF-8 at byte 1"]);
}

#[test]
fn run_and_map_take_it_too() {
    let dir = folder();
    let module = capitals(&dir);
    let input = file(&dir, "input.txt", "one\ntwo\n");
    let run = program().arg("run").arg(&module).arg(&input);
    let run = run.args(["--map", "packed", "--merge", "concat", "--abi", "ptr-len"]);
    assert_eq!(run.output(), "ONE\nTWO\n");
    for reuse in ["none", "engine"] {
        let map = program().arg("map").arg(&module).arg("packed").arg(&input);
        let map = map.args(["--abi", "ptr-len:free=dealloc", "--reuse", reuse]);
        assert_eq!(map.output(), "\"ONE\"\n\"TWO\"\n");
    }
}

#[test]
fn what_a_kept_instance_was_given_is_given_back() {
    if only_here("one engine has to run all of it") {
        return;
    }
    let dir = folder();
    // It says how many it was given back before.
    let counting = CAPITALS.replace(
        r#"(func (export "null")"#,
        r#"(func (export "count") (param i32 i32) (result i32) (global.get $freed))
           (func (export "null")"#,
    );
    let module = file(&dir, "counting.wat", counting);
    let map = |abi: &str| {
        let map = program()
            .arg("map")
            .arg(&module)
            .arg("count")
            .args(["--abi", abi]);
        let map = map.args(["--reuse", "engine", "-j", "1"]);
        map.stdin("a\nb\nc\n").output()
    };
    assert_eq!(map("ptr-len:free=dealloc"), "0\n1\n2\n");
    assert_eq!(map("ptr-len"), "0\n0\n0\n");
}

#[test]
fn a_file_beside_the_module_names_the_abi() {
    let dir = folder();
    let module = capitals(&dir);
    let beside = file(
        &dir,
        "capitals.wat.abi",
        "# of version 2\nptr-len:alloc=alloc\n",
    );
    assert_eq!(call(&module, &["packed", "a"]).output(), "A");
    // The option takes its place.
    let numbers = call(&module, &["times", "0", "4", "3", "--abi", "numbers"]);
    assert_eq!(numbers.output(), "12\n");
    let shown = inspect(&module).output();
    assert!(
        shown.contains("packed: func(p0: string) -> string\n"),
        "{shown}"
    );
    assert!(
        shown.contains("abi        ptr-len:alloc=alloc\n"),
        "{shown}"
    );
    std::fs::write(beside, "ptr-len:size=3").expect("it can be written");
    call(&module, &["packed", "a"])
        .fails(2)
        .expect_stderr_has(&["capitals.wat.abi", "size=3"]);
}

#[test]
fn inspect_recognises_the_form_and_its_examples_run() {
    let dir = folder();
    let module = capitals(&dir);
    let shown = inspect(&module).output();
    assert!(
        shown.contains("may be pointers and lengths: try --abi ptr-len\n"),
        "{shown}"
    );
    let with = inspect(&module).args(["--abi", "ptr-len", "--format", "json"]);
    let json = with.end().expect_code(0).json();
    assert_eq!(json["abi"], "ptr-len");
    let example = json["example"].as_str().expect("an example");
    assert!(
        example.ends_with("--map packed --abi ptr-len input.txt"),
        "{example}"
    );
    let plain = "(module (func (export \"add\") (param i32 i32) (result i32) (i32.const 0)))";
    let shown = inspect(file(&dir, "plain.wat", plain)).output();
    assert!(!shown.contains("abi "), "{shown}");
}

#[test]
fn what_a_guest_returns_is_checked() {
    let dir = folder();
    let module = capitals(&dir);
    for (function, abi, parts) in [
        (
            "beyond",
            "ptr-len",
            ["bad-output", "100 bytes at address 65530"],
        ),
        ("wrapped", "ptr-len", ["bad-output", "address 4294967288"]),
        (
            "endless",
            "ptr-len:result=cstr",
            ["bad-output", "no NUL follows address 1024"],
        ),
        (
            "null",
            "ptr-len:result=cstr",
            ["bad-output", "null pointer"],
        ),
        (
            "astray",
            "ptr-len:result=pair",
            ["bad-output", "8 bytes at address 65530"],
        ),
    ] {
        call(&module, &[function, "--abi", abi])
            .fails(11)
            .expect_stderr_has(&parts);
    }
    let much = "x".repeat(5000);
    let limited = call(&module, &["packed", &much, "--abi", "ptr-len"]);
    limited
        .args(["--limit", "output=4KiB"])
        .fails(11)
        .expect_stderr_has(&["output-limit"]);
    let file = file(&dir, "much.txt", "x".repeat(200_000));
    let run = program()
        .arg("run")
        .arg(&module)
        .arg(&file)
        .args(["--map", "packed"]);
    run.args(["--abi", "ptr-len", "--memory", "128KiB"])
        .fails(11)
        .expect_stderr_has(&["memory-limit", "--memory"]);
}

#[test]
fn a_module_that_it_does_not_fit_is_refused() {
    let dir = folder();
    let bare = file(
        &dir,
        "bare.wat",
        r#"(module (memory (export "memory") 1) (func (export "f") (param i32 i32)))"#,
    );
    call(&bare, &["f", "a", "--abi", "ptr-len"])
        .fails(10)
        .expect_stderr_has(&["does not fit", "exports no allocator", "alloc=NAME"]);
    call(&bare, &["f", "a", "--abi", "ptr-len:alloc=f"])
        .fails(10)
        .expect_stderr_has(&["`f` has another type"]);
    call(&bare, &["f", "a", "--abi", "strings"])
        .fails(2)
        .expect_stderr_has(&["unknown ABI `strings`"]);
    let typed = crate::support::guest("wordcount");
    call(&typed, &["mapper", "a", "--abi", "ptr-len"])
        .fails(10)
        .expect_stderr_has(&["declares the types of its functions in WIT"]);
}

#[test]
fn an_allocator_is_not_trusted() {
    let dir = folder();
    for (body, parts) in [
        (
            "(i32.const -4)",
            ["bad-output", "`alloc` returned 4294967292"],
        ),
        ("(i32.const 0)", ["bad-output", "null pointer"]),
        ("(unreachable)", ["trap", "unreachable"]),
    ] {
        let text = format!(
            r#"(module (memory (export "memory") 1)
              (func (export "alloc") (param i32) (result i32) {body})
              (func (export "f") (param i32 i32) (result i64) (i64.const 0)))"#
        );
        let module = file(&dir, "alloc.wat", text);
        call(&module, &["f", "text", "--abi", "ptr-len"])
            .fails(11)
            .expect_stderr_has(&parts);
    }
}

#[test]
fn the_history_runs_it_again_as_before() {
    if is_over_nats() {
        return;
    }
    let dir = folder();
    let module = capitals(&dir);
    let history = dir.path().join("history.sqlite");
    let recorded = |cli: Cli| cli.env("RWASM_HISTORY_FILE", &history);
    let map = program()
        .arg("map")
        .arg(&module)
        .arg("packed")
        .args(["--abi", "ptr-len"]);
    recorded(map.arg("--history").stdin("one\ntwo\n")).output();
    let again = recorded(program().args(["job", "replay", "1", "1"]));
    assert_eq!(again.output(), "\"TWO\"\n");
}
