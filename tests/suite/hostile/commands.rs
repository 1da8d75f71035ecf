//! Modules written by hand to do what no compiler makes: each is refused, or ends as one failed task.

use crate::support::{file, folder, program, refused_by_engine};

/// Runs each module as a command, and expects it to end with this code and these words.
#[track_caller]
fn check(code: i32, cases: &[(&str, &str)]) {
    let dir = folder();
    for (wat, part) in cases {
        let path = file(&dir, "odd.wat", format!("(module {wat})"));
        let call = program()
            .arg("run")
            .arg(&path)
            .typed("--timeout 300ms")
            .stdin("some words\n");
        call.fails(code).expect_stderr_has(&[part]);
    }
}

#[test]
fn limits_hold_before_the_first_function_runs() {
    check(
        11,
        &[
            (
                "(func $f (loop (br 0))) (start $f) (func (export \"_start\"))",
                "(timeout)",
            ),
            ("(memory 5000) (func (export \"_start\"))", "(memory-limit)"),
            (
                "(memory 3000) (memory 3000) (func (export \"_start\"))",
                "(memory-limit)",
            ),
            (
                "(table 1000000 funcref) (func (export \"_start\"))",
                "--limit table-elements",
            ),
        ],
    );
}

#[test]
fn what_a_program_does_wrong_fails_its_task() {
    let write = "(import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))";
    let no_memory = format!(
        "{write} (func (export \"_start\") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0))))"
    );
    check(
        11,
        &[
            ("(func (export \"_start\") unreachable)", "(trap)"),
            ("(func (export \"_start\") (call 0))", "(stack-overflow)"),
            (
                "(func (export \"_start\") (drop (i32.div_s (i32.const 1) (i32.const 0))))",
                "divide by zero",
            ),
            (
                "(memory 1) (func (export \"_start\") (drop (i32.load (i32.const -4))))",
                "out of bounds",
            ),
            (
                "(memory 1) (func (export \"_start\") (loop (drop (memory.grow (i32.const 1))) (br 0)))",
                "(timeout)",
            ),
            (&no_memory, "(trap)"),
        ],
    );
}

#[test]
fn what_the_host_cannot_give_is_refused() {
    check(
        10,
        &[
            (
                "(memory (import \"env\" \"memory\") 1) (func (export \"_start\"))",
                "env::memory",
            ),
            (
                "(global (import \"env\" \"g\") i32) (func (export \"_start\"))",
                "the global `g` of `env`",
            ),
            ("(memory i64 1) (func (export \"_start\"))", "memory64"),
            ("(memory 1 1 shared) (func (export \"_start\"))", "threads"),
            ("", "none of its functions takes one string"),
        ],
    );
    check(
        refused_by_engine(),
        &[(
            "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func (param i64))) (func (export \"_start\"))",
            "proc_exit",
        )],
    );
}

#[test]
fn a_program_may_end_itself_well() {
    let dir = folder();
    let exit = "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
        (memory (export \"memory\") 1)
        (func (export \"_start\") (call $exit (i32.const 0)) unreachable))";
    let path = file(&dir, "exit.wat", exit);
    program()
        .arg("run")
        .arg(&path)
        .end()
        .expect_code(0)
        .expect_stdout("")
        .expect_stderr_is_empty();
}

#[test]
fn the_cause_is_not_mistaken_for_refused_memory() {
    // What a module's own bound refuses was no limit of ours, and what was refused before is not
    // why a later failure came.
    let grow = |pages: u32| format!("(drop (memory.grow (i32.const {pages})))");
    let own_bound = format!(
        "(memory 1 2) (func (export \"_start\") {} unreachable)",
        grow(60).repeat(100)
    );
    let deep = format!(
        "(memory 1) (func $f (call $f)) (func (export \"_start\") {} (call $f))",
        grow(60_000)
    );
    check(11, &[(&own_bound, "(trap)"), (&deep, "(stack-overflow)")]);
}

#[test]
fn an_endless_time_limit_is_none_that_overflows() {
    program()
        .arg("run")
        .arg(crate::support::guest("upper"))
        .typed("--timeout 500000000000y")
        .stdin("word\n")
        .end()
        .expect_code(0)
        .expect_stdout("WORD\n");
}
