//! Modules that use more than this program has: what they have beside that works, and what stands in the way of the rest
//! is said in a line, by `inspect` as by a run.

use crate::support::{Cli, file, folder, inspect, is_over_nats, program, typed, typed_alone};
use std::path::Path;

fn call(path: &Path, words: &str) -> Cli {
    program().arg("call").arg(path).typed(words)
}

/// A component with a function `seven`, and with more.
fn component(more: &str) -> String {
    format!(
        r#"(component
            (core module $m
                (func (export "seven") (result i32) i32.const 7)
                (func (export "zero") (result i32) i32.const 0)
                (func (export "pair") (param i32 i32))
                (func (export "nothing")))
            (core instance $i (instantiate $m))
            (func (export "seven") (result u32) (canon lift (core func $i "seven")))
            {more})"#
    )
}

#[test]
fn what_cannot_be_called_leaves_the_others_callable() {
    let dir = folder();
    for (more, refused) in [
        (
            r#"(type $o (option u8)) (type $s (stream $o)) (func (export "other") (result $s) (canon lift (core func $i "zero")))"#,
            Some("a stream that this host cannot pass"),
        ),
        (
            r#"(type $o (option u8)) (type $f (future $o)) (func (export "other") (result $f) (canon lift (core func $i "zero")))"#,
            Some("a future that this host cannot pass"),
        ),
        (
            r#"(func (export "other") (result error-context) (canon lift (core func $i "zero")))"#,
            Some("a handle"),
        ),
        (
            r#"(type $l (list u32 2)) (func (export "other") (param "a" $l) (canon lift (core func $i "pair")))"#,
            None,
        ),
        (
            r#"(func (export "other") async (canon lift (core func $i "nothing") async))"#,
            None,
        ),
        ("(core func (canon context.get i32 0))", None),
        ("(core func (canon task.cancel))", None),
        ("(core func (canon backpressure.inc))", None),
        (
            r#"(import "wasi:clocks/monotonic-clock@0.3.0" (instance
                (export "wait-for" (func async (param "how-long" u64)))))"#,
            None,
        ),
        ("(component (core func (canon context.get i32 0)))", None),
    ] {
        let path = file(&dir, "more.wat", component(more));
        let shown = inspect(&path).output();
        assert!(
            shown.contains("functions  seven: func() -> u32\n"),
            "{shown}"
        );
        assert!(!shown.contains("cannot run"), "{shown}");
        for options in ["", "--fuel 1000000", "--deterministic"] {
            let seven = call(&path, "seven").typed(options).output();
            assert_eq!(seven, "7\n", "{more}");
        }
        if let Some(why) = refused {
            assert!(shown.contains("not called other: "), "{shown}");
            call(&path, "other")
                .fails(10)
                .expect_stderr_has(&["no task can call it", why]);
        }
    }
}

#[test]
fn atomic_instructions_run_where_no_memory_is_shared() {
    let dir = folder();
    let module = r#"(module (memory (export "memory") 1)
        (func (export "twice") (param i32) (result i32)
            (drop (i32.atomic.rmw.add (i32.const 8) (local.get 0)))
            (drop (i32.atomic.rmw.add (i32.const 8) (local.get 0)))
            (atomic.fence)
            (drop (memory.atomic.notify (i32.const 8) (i32.const 1)))
            (i32.atomic.load (i32.const 8)))
        (func (export "wait") (result i32)
            (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const -1))))"#;
    let path = file(&dir, "atomic.wat", module);
    for options in ["", "--fuel 1000", "--deterministic"] {
        assert_eq!(call(&path, "twice 21").typed(options).output(), "42\n");
    }
    // Nobody would ever wake it.
    call(&path, "wait").fails(11).expect_stderr_has(&["trap"]);
    let shared = r#"(memory (export "common") 1 1 shared)"#;
    for text in [
        format!("(module {shared} (func (export \"f\")))"),
        component(&format!("(core module {shared})")),
    ] {
        let is_alone = text.starts_with("(module");
        let path = file(&dir, "shared.wat", text);
        let shown = inspect(&path).end();
        let shown = shown.text() + &shown.stderr;
        assert!(shown.contains("shares memory between threads"), "{shown}");
        assert_eq!(shown.contains("(`common`)"), is_alone, "{shown}");
    }
}

#[test]
fn what_cannot_run_is_told_in_a_line_and_never_called_invalid() {
    let dir = folder();
    let function = r#"(func (export "f") (result i32) i32.const 1)"#;
    let module = |parts: &str| format!("(module {parts} {function})");
    for (text, why) in [
        (
            module(r#"(import "env" "g" (global i32))"#),
            "it imports the global `g` of `env`, but this program provides only functions",
        ),
        (
            module(r#"(import "env" "t" (table 1 funcref))"#),
            "it imports the table `t` of `env`",
        ),
        (
            module(r#"(import "env" "t" (tag (param i32)))"#),
            "it imports the tag `t` of `env`",
        ),
        (
            component(r#"(import "m" (core module))"#),
            "it imports the core module `m`",
        ),
        (
            component(r#"(import "c" (component))"#),
            "it imports the component `c`",
        ),
        (
            module("(func try catch_all end)"),
            "it uses legacy exception handling, which wasmtime does not run; build it with `-sWASM_LEGACY_EXCEPTIONS=0`",
        ),
        (
            module("(memory 1 (pagesize 1))"),
            "custom-page-sizes), which this program does not accept",
        ),
        (
            module(
                "(func (param i64 i64 i64 i64) (result i64 i64) local.get 0 local.get 1 local.get 2 local.get 3 i64.add128)",
            ),
            "wide-arithmetic), which this program does not accept",
        ),
        (
            module("(table i64 1 funcref)"),
            "memory64), which this program does not accept",
        ),
    ] {
        let path = file(&dir, "odd.wat", &text);
        let line = |shown: &str| {
            shown
                .lines()
                .any(|line| line.starts_with("cannot run ") && line.contains(why))
        };
        let shown = inspect(&path).output();
        assert!(line(&shown), "{why} is not in {shown}");
        assert!(
            shown.contains("example    none: it cannot run\n"),
            "{shown}"
        );
        let json = inspect(&path).typed("--format json").end().json();
        assert!(
            json["cannot_run"]
                .as_str()
                .is_some_and(|text| text.contains(why)),
            "{json}"
        );
        let name = if text.starts_with("(component") {
            "seven"
        } else {
            "f"
        };
        let ended = call(&path, name)
            .fails(10)
            .expect_stderr_has(&["cannot run here: ", why]);
        assert!(!ended.stderr.contains("not valid"), "{}", ended.stderr);
    }
    // One that is not valid is not inspected either.
    let wrong = file(&dir, "wrong.wat", module("(func (result i32) i64.const 1)"));
    inspect(&wrong)
        .fails(10)
        .expect_empty_stdout()
        .expect_stderr_has(&["is not valid", "type mismatch"]);
    call(&wrong, "f")
        .fails(10)
        .expect_stderr_has(&["is not valid", "type mismatch"]);
}

#[test]
fn names_that_the_toolchain_reserves_are_not_offered() {
    let dir = folder();
    let exports = ["_seven", "__seven", "_emscripten_seven", "_initialize"];
    let exports = exports
        .map(|name| format!(r#"(export "{name}" (func $none))"#))
        .concat();
    let module = format!(
        r#"(module (func $none) {exports} (func (export "_six") (result i32) i32.const 6))"#
    );
    let path = file(&dir, "names.wat", module);
    let shown = inspect(&path).output();
    assert!(
        shown.contains("functions  _seven: func()\n           _six: func() -> s32\nimports"),
        "{shown}"
    );
    assert_eq!(call(&path, "_six").output(), "6\n");
}

#[test]
fn what_no_pool_has_room_for_runs_without_one() {
    let dir = folder();
    let function = r#"(func (export "f") (result i32) i32.const 1)"#;
    let memories = file(
        &dir,
        "memories.wat",
        format!("(module {} {function})", "(memory 1)".repeat(5)),
    );
    assert_eq!(call(&memories, "f").output(), "1\n");
    let tables = file(
        &dir,
        "tables.wat",
        format!("(module {} {function})", "(table 1 funcref)".repeat(20)),
    );
    assert_eq!(call(&tables, "f").output(), "1\n");
    let instances = component(&"(core instance (instantiate $m))".repeat(40));
    let instances = file(&dir, "instances.wat", instances);
    for options in ["", "-v"] {
        assert_eq!(call(&instances, "seven").typed(options).output(), "7\n");
    }
    let table = file(
        &dir,
        "table.wat",
        format!("(module (table 15000000 funcref) {function})"),
    );
    call(&table, "f")
        .fails(11)
        .expect_stderr_has(&["memory-limit", "--limit table-elements=N"]);
    if !is_over_nats() {
        let larger = call(&table, "f --limit table-elements=16000000");
        assert_eq!(larger.output(), "1\n");
    }
    // What a hostile component may instantiate is bounded all the same.
    let many = component(&"(core instance (instantiate $m))".repeat(200));
    let many = file(&dir, "many.wat", many);
    let ended = call(&many, "seven").end();
    assert!(
        [10, 11].contains(&ended.status.code().unwrap_or_default()),
        "{}",
        ended.stderr
    );
}

#[test]
fn types_are_kept_without_a_memory() {
    let dir = folder();
    let wit = "package a:b; world w {
        export big: func() -> u32;
        export flip: func(a: bool, b: option<u8>) -> bool;
        export text: func(a: string) -> u32;
        export many: func() -> tuple<u64, u64>;
    }";
    let code = r#"
        (func (export "big") (result i32) (i32.const -1))
        (func (export "flip") (param i32 i32 i32) (result i32) (i32.eqz (local.get 0)))
        (func (export "text") (param i32 i32) (result i32) (i32.const 0))
        (func (export "many") (result i32) (i32.const 0))"#;
    let alone = file(&dir, "alone.wasm", typed_alone(wit, code));
    let with = file(&dir, "with.wasm", typed(wit, code));
    for path in [&alone, &with] {
        assert_eq!(call(path, "big").output(), "4294967295\n");
        assert_eq!(call(path, "flip true none").output(), "false\n");
    }
    let shown = inspect(&alone).output();
    let why = "its types are passed in memory, but the module exports none";
    assert!(shown.contains("typed functions, core module"), "{shown}");
    assert!(
        shown.contains(&format!("not called text: func(a: string) -> u32  ({why})")),
        "{shown}"
    );
    call(&alone, "many").fails(10).expect_stderr_has(&[why]);
}
