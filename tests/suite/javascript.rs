//! Modules that import functions of JavaScript: those that `asc` of AssemblyScript and Emscripten leave, as far as this host
//! stands in.

use crate::support::{Cli, file, folder, inspect, only_here, program};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// As `asc --exportRuntime --exportStart _start` makes it: strings are UTF-16 with their size in bytes before them, and
/// what the start initializes is used by a function.
const ASSEMBLYSCRIPT: &str = r#"(module
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (import "env" "console.log" (func $log (param i32)))
  (import "env" "console.error" (func $error (param i32)))
  (import "env" "seed" (func $seed (result f64)))
  (import "env" "Date.now" (func $now (result f64)))
  (import "env" "trace" (func $trace (param i32 i32 f64 f64 f64 f64 f64)))
  (memory (export "memory") 1)
  (global $base (mut i32) (i32.const 0))
  (global $next (mut i32) (i32.const 4096))
  (data (i32.const 1036) "\12\00\00\00t\00o\00o\00 \00l\00a\00r\00g\00e\00")
  (data (i32.const 1068) "\08\00\00\00a\00.\00t\00s\00")
  (data (i32.const 1100) "\06\00\00\00\e9\00\34\d8\1e\dd")
  (data (i32.const 1196) "\06\00\00\00\1b\00\0a\00x\00")
  (func $new (export "__new") (param $size i32) (param $class i32) (result i32)
    (local $place i32)
    (local.set $place (i32.add (global.get $next) (i32.const 20)))
    (i32.store (i32.sub (local.get $place) (i32.const 4)) (local.get $size))
    (i32.store (i32.sub (local.get $place) (i32.const 8)) (local.get $class))
    (global.set $next (i32.add (local.get $place) (i32.and (i32.add (local.get $size) (i32.const 15)) (i32.const -16))))
    (local.get $place))
  (func (export "__pin") (param i32) (result i32) (local.get 0))
  (func (export "__unpin") (param i32))
  (func (export "_start") (global.set $base (i32.const 42)))
  (func (export "answer") (result i32) (global.get $base))
  (func (export "fail") (call $abort (i32.const 1040) (i32.const 1072) (i32.const 6) (i32.const 49)) (unreachable))
  (func (export "astray") (call $abort (i32.const 65538) (i32.const 2) (i32.const 6) (i32.const 49)))
  (func (export "escape") (call $abort (i32.const 1200) (i32.const 0) (i32.const 1) (i32.const 2)))
  (func (export "say") (param $text i32) (call $log (local.get $text)) (call $error (i32.const 1104)))
  (func (export "point") (call $trace (i32.const 1072) (i32.const 2) (f64.const 1.5) (f64.const 3)
    (f64.const 0) (f64.const 0) (f64.const 0)))
  (func (export "dice") (result f64) (call $seed))
  (func (export "when") (result f64) (call $now))
  (func (export "twice") (param $text i32) (result i32)
    (local $size i32) (local $made i32)
    (local.set $size (i32.load (i32.sub (local.get $text) (i32.const 4))))
    (local.set $made (call $new (i32.mul (local.get $size) (i32.const 2)) (i32.const 2)))
    (memory.copy (local.get $made) (local.get $text) (local.get $size))
    (memory.copy (i32.add (local.get $made) (local.get $size)) (local.get $text) (local.get $size))
    (local.get $made))
  (func (export "length") (param $text i32) (result i32)
    (i32.div_u (i32.load (i32.sub (local.get $text) (i32.const 4))) (i32.const 2)))
  (func (export "wild") (result i32) (i32.const 65538)))"#;

fn assemblyscript(dir: &TempDir) -> PathBuf {
    file(dir, "as.wat", ASSEMBLYSCRIPT)
}

fn call(module: &Path, arguments: &[&str]) -> Cli {
    program().arg("call").arg(module).args(arguments)
}

#[test]
fn abort_ends_the_task_with_its_words() {
    let dir = folder();
    let module = assemblyscript(&dir);
    call(&module, &["fail"])
        .fails(11)
        .expect_stderr_has(&["(trap)", "at a.ts:6:49: too large"]);
    // What it points to may be anything.
    call(&module, &["astray"]).fails(11).expect_stderr_has(&[
        "a string of AssemblyScript has",
        "beyond the end of a memory",
    ]);
    let ended = call(&module, &["escape"]).fails(11);
    assert!(!ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
    assert!(ended.stderr.contains('x'), "{}", ended.stderr);
}

#[test]
fn what_assemblyscript_imports_is_offered() {
    let dir = folder();
    let module = assemblyscript(&dir);
    let shown = inspect(&module).output();
    assert!(!shown.contains("not offered"), "{shown}");
    assert!(
        shown.contains("may use    clock, random numbers\n"),
        "{shown}"
    );
    assert!(shown.contains("try --abi assemblyscript\n"), "{shown}");
    let strict = call(&module, &["answer", "--strict-imports"]);
    assert_eq!(strict.output(), "42\n");
    // Of another type it is something else.
    let other = r#"(module (import "env" "abort" (func (param i64))) (func (export "f")))"#;
    let shown = inspect(file(&dir, "other.wat", other)).output();
    assert!(shown.contains("not offered"), "{shown}");
}

#[test]
fn what_it_prints_goes_where_logs_go() {
    if only_here("notes of a call over NATS are shown by another test") {
        return;
    }
    let dir = folder();
    let module = assemblyscript(&dir);
    let said = call(&module, &["say", "hi", "-v", "--abi", "assemblyscript"]);
    said.end()
        .expect_code(0)
        .expect_stderr_has(&["stdout: hi", "stderr: é𝄞"]);
    let traced = call(&module, &["point", "-v"]).end().expect_code(0);
    traced.expect_stderr_has(&["stderr: trace: a.ts 1.5 3"]);
}

#[test]
fn its_random_numbers_and_times_are_those_that_are_granted() {
    let dir = folder();
    let module = assemblyscript(&dir);
    let dice = |options: &[&str]| call(&module, &["dice"]).args(options).output();
    assert_ne!(dice(&[]), dice(&[]));
    assert_eq!(dice(&["--deterministic"]), dice(&["--deterministic"]));
    assert_eq!(dice(&["--seed", "7"]), dice(&["--seed", "7"]));
    let when = call(&module, &["when", "--deterministic"]).output();
    assert_eq!(when, call(&module, &["when", "--deterministic"]).output());
}

#[test]
fn strings_of_assemblyscript_are_passed() {
    let dir = folder();
    let module = assemblyscript(&dir);
    let abi = "assemblyscript:length=s>n,answer=>n";
    for (arguments, wanted) in [
        (["twice", "é𝄞 "], "é𝄞 é𝄞 "),
        (["twice", ""], ""),
        (["length", "é𝄞 "], "4\n"),
    ] {
        let call = call(&module, &arguments).args(["--abi", abi]);
        assert_eq!(call.output(), wanted, "{arguments:?}");
    }
    assert_eq!(call(&module, &["answer", "--abi", abi]).output(), "42\n");
    let map = program().arg("map").arg(&module).arg("twice");
    let map = map
        .args(["--abi", abi, "--reuse", "engine"])
        .stdin("a\nb\n");
    assert_eq!(map.output(), "\"aa\"\n\"bb\"\n");
    call(&module, &["wild", "--abi", abi])
        .fails(11)
        .expect_stderr_has(&["bad-output"]);
    call(&module, &["twice", &"x".repeat(3000), "--abi", abi])
        .args(["--limit", "output=4KiB"])
        .fails(11)
        .expect_stderr_has(&["output-limit"]);
    call(&module, &["twice", "a", "--abi", "assemblyscript:twice=ss"])
        .fails(10)
        .expect_stderr_has(&["not the types of `twice`"]);
}

/// What Emscripten imports from its JavaScript, as standalone modules still do.
const EMSCRIPTEN: &str = r#"(module
  (import "env" "emscripten_memcpy_big" (func $big (param i32 i32 i32) (result i32)))
  (import "env" "_emscripten_memcpy_js" (func $copy (param i32 i32 i32)))
  (import "env" "emscripten_resize_heap" (func $resize (param i32) (result i32)))
  (import "env" "emscripten_get_now" (func $now (result f64)))
  (import "env" "abort" (func $abort))
  (import "env" "__assert_fail" (func $assert (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "abcd\00x > 0\00main.c\00check\00")
  (func (export "copied") (result i32)
    (call $copy (i32.const 64) (i32.const 16) (i32.const 4))
    (drop (call $big (i32.const 68) (i32.const 64) (i32.const 4)))
    (i32.eq (i32.load (i32.const 16)) (i32.load (i32.const 68))))
  (func (export "beyond") (call $copy (i32.const 65530) (i32.const 0) (i32.const 100)))
  (func (export "grown") (param i32) (result i32)
    (i32.add (i32.mul (call $resize (local.get 0)) (i32.const 1000000)) (memory.size)))
  (func (export "passed") (result i32) (f64.gt (call $now) (f64.const 0)))
  (func (export "quit") (call $abort))
  (func (export "check") (call $assert (i32.const 21) (i32.const 27) (i32.const 12) (i32.const 34))))"#;

#[test]
fn the_harmless_functions_of_emscripten_are_there() {
    let dir = folder();
    let module = file(&dir, "em.wat", EMSCRIPTEN);
    let strict = |arguments: &[&str]| call(&module, arguments).arg("--strict-imports");
    assert_eq!(strict(&["copied"]).output(), "1\n");
    assert_eq!(strict(&["passed"]).output(), "1\n");
    assert_eq!(strict(&["grown", "100000"]).output(), "1000002\n");
    assert_eq!(strict(&["grown", "1"]).output(), "1000001\n");
    // Within the limit, and the guest goes on.
    assert_eq!(
        strict(&["grown", "100000000", "--memory", "1MiB"]).output(),
        "1\n"
    );
    strict(&["beyond"])
        .fails(11)
        .expect_stderr_has(&["the target of a copy has 100 bytes at address 65530"]);
    strict(&["quit"]).fails(11).expect_stderr_has(&["(trap)"]);
    strict(&["check"])
        .fails(11)
        .expect_stderr_has(&["at main.c:12: assertion failed in `check`: x > 0"]);
}
