//! Core modules as the toolchains of other languages leave them: what they export beside what is meant, what they import, and
//! those for hosts of another kind.

use crate::support::{file, folder, inspect, program};
use tempfile::TempDir;

/// A program that prints `hello`, with what the toolchain adds.
fn printing(more: &str, body: &str) -> String {
    format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          {more}
          (memory (export "memory") 1)
          (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
          (func $hello (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32))))
          {body})"#
    )
}

#[test]
fn functions_of_what_no_task_can_pass_are_told_with_the_reason() {
    let dir = folder();
    let text = r#"(module
        (func (export "wide") (param i32 v128) (result i64))
        (func (export "made") (result externref) (ref.null extern))
        (func (export "two") (result i32 v128) (unreachable)))"#
        .replace("(result i64))", "(result i64) (i64.const 1))");
    let module = file(&dir, "wide.wat", text);
    let shown = inspect(&module).output();
    let wanted = "plain functions only take and return i32, i64, f32 and f64";
    for line in [
        "functions  none callable".to_owned(),
        format!(
            "not called wide: func(p0: s32, p1: v128) -> s64  (its parameter `p1` has the core type v128, but {wanted})"
        ),
        format!(
            "           made: func() -> externref  (its result has the core type externref, but {wanted})"
        ),
        format!(
            "           two: func() -> tuple<s32, v128>  (its result has the core type v128, but {wanted})"
        ),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    let call = program().arg("call").arg(&module).args(["wide", "1", "2"]);
    call.fails(10)
        .expect_stderr_has(&["no task can call it", "core type v128"]);
}

fn run(dir: &TempDir, text: &str) -> String {
    let module = file(dir, "module.wat", text);
    let run = program().arg("run").arg(module);
    run.stdin("").output()
}

#[test]
fn programs_of_any_toolchain_run_by_their_start() {
    let dir = folder();
    // As wasi-libc has it: `_start` calls `__main_void`, which stands among the exports too.
    let clang = r#"(func (export "__main_void") (result i32) (call $hello) (i32.const 0))
        (func (export "_start") (call $hello))"#;
    // Emscripten, standalone: it tells JavaScript, were there any, that its memory has grown.
    let notice = r#"(import "env" "emscripten_notify_memory_growth" (func $grew (param i32)))"#;
    let emscripten = r#"(func (export "emscripten_stack_get_current") (result i32) (i32.const 0))
        (func (export "_emscripten_stack_restore") (param i32))
        (table (export "__indirect_function_table") 1 funcref)
        (func (export "_start")
          (drop (memory.grow (i32.const 1))) (call $grew (i32.const 0)) (call $hello))"#;
    // TinyGo: its scheduler goes back to where a goroutine waited, and its allocator is exported.
    let tinygo = r#"(func (export "malloc") (param i32) (result i32) (i32.const 0))
        (func (export "free") (param i32))
        (func (export "asyncify_start_unwind") (param i32))
        (func (export "asyncify_stop_unwind"))
        (func (export "asyncify_get_state") (result i32) (i32.const 0))
        (func (export "_start") (call $hello))"#;
    for (more, body) in [("", clang), (notice, emscripten), ("", tinygo)] {
        assert_eq!(run(&dir, &printing(more, body)), "hello\n", "{body}");
    }
}

#[test]
fn the_notice_of_emscripten_is_offered() {
    let dir = folder();
    let notice = r#"(import "env" "emscripten_notify_memory_growth" (func $grew (param i32)))"#;
    let body = r#"(func (export "_start") (call $grew (i32.const 0)) (call $hello))"#;
    let module = file(&dir, "module.wat", printing(notice, body));
    let shown = inspect(&module).output();
    assert!(!shown.contains("not offered"), "{shown}");
    let run = program().arg("run").arg(module).arg("--strict-imports");
    assert_eq!(run.stdin("").output(), "hello\n");
}

#[test]
fn a_reactor_is_initialized_before_its_functions_are_called() {
    let dir = folder();
    let body = r#"(global $ready (mut i32) (i32.const 0))
        (func (export "_initialize") (global.set $ready (i32.const 41)))
        (func (export "__wasm_call_ctors") (unreachable))
        (func (export "answer") (result i32) (i32.add (global.get $ready) (i32.const 1)))"#;
    let module = file(&dir, "module.wat", printing("", body));
    let call = program().arg("call").arg(&module).arg("answer");
    assert_eq!(call.output(), "42\n");
    let shown = inspect(&module).output();
    assert!(
        shown.contains("functions  answer: func() -> s32\n"),
        "{shown}"
    );
    assert!(!shown.contains("_initialize: "), "{shown}");
}

#[test]
fn modules_for_hosts_of_another_kind_say_what_to_build_for() {
    let dir = folder();
    let start = r#"(func (export "_start"))"#;
    let import = |module: &str, name: &str| {
        format!(r#"(module (import "{module}" "{name}" (func (param i32))) {start})"#)
    };
    let memory = |memory: &str| format!("(module {memory} {start})");
    let cases = [
        (
            import("wasi_unstable", "proc_exit"),
            ["2019", "wasm32-wasip1"],
        ),
        (
            import("wasi_snapshot_preview0", "proc_exit"),
            ["2019", "wasm32-wasip1"],
        ),
        (import("wasi", "thread-spawn"), ["threads", "-pthread"]),
        (
            import("gojs", "runtime.wasmExit"),
            ["GOOS=js", "GOOS=wasip1"],
        ),
        (
            memory(r#"(memory (export "memory") 1 1 shared)"#),
            ["threads", "-pthread"],
        ),
        (
            memory(r#"(import "env" "memory" (memory 1 1 shared))"#),
            ["threads", "-pthread"],
        ),
        (
            memory(r#"(memory (export "memory") i64 1)"#),
            ["64-bit", "wasm32-wasip1"],
        ),
        (
            memory(r#"(import "env" "memory" (memory 1))"#),
            ["env::memory", "STANDALONE_WASM"],
        ),
    ];
    for (text, parts) in cases {
        let module = file(&dir, "module.wat", &text);
        for command in ["run", "inspect"] {
            program()
                .arg(command)
                .arg(&module)
                .fails(10)
                .expect_stderr_has(&["cannot run here"])
                .expect_stderr_has(&parts);
        }
    }
}
