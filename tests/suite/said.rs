//! What programs print besides results: shown with a failure, from its beginning to its end, and in a line or in full
//! with a success.

use crate::support::{Cli, command_component, file, folder, program, run};
use std::path::PathBuf;

/// What a program does after it has printed.
const EXIT_10: &str = "(call $exit (i32.const 10))";
const TRAP: &str = "unreachable";
const SPIN: &str = "(loop (br 0))";

/// A program that prints these texts to stdout and stderr, the latter so many times, and then does this.
fn program_that(
    dir: &tempfile::TempDir,
    stdout: &str,
    stderr: &str,
    times: u32,
    then: &str,
) -> PathBuf {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 1024) "{stdout}")
            (data (i32.const 4096) "{stderr}")
            (func $print (param $to i32) (param $at i32) (param $length i32)
                (i32.store (i32.const 0) (local.get $at))
                (i32.store (i32.const 4) (local.get $length))
                (drop (call $write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 8))))
            (func (export "_start") (local $count i32)
                (call $print (i32.const 1) (i32.const 1024) (i32.const {}))
                (block $done (loop $again
                    (br_if $done (i32.eq (local.get $count) (i32.const {times})))
                    (local.set $count (i32.add (local.get $count) (i32.const 1)))
                    (call $print (i32.const 2) (i32.const 4096) (i32.const {}))
                    (br $again)))
                {then}))"#,
        unescaped(stdout),
        unescaped(stderr),
    );
    file(dir, "program.wat", text)
}

/// A component that says its code, as components can since WASI 0.2.12.
const EXITS_BY_ITSELF: &str = r#"(component
    (import "wasi:cli/exit@0.2.12" (instance $cli (export "exit-with-code" (func (param "status-code" u8)))))
    (core func $exit (canon lower (func $cli "exit-with-code")))
    (core module $code
        (import "host" "exit" (func $exit (param i32)))
        (func (export "run") (result i32) (call $exit (i32.const 10)) (i32.const 0)))
    (core instance $code (instantiate $code (with "host" (instance (export "exit" (func $exit))))))
    (func $run (result (result)) (canon lift (core func $code "run")))
    (instance $program (export "run" (func $run)))
    (export "wasi:cli/run@0.2.12" (instance $program)))"#;

/// How long a text of WAT is.
fn unescaped(text: &str) -> usize {
    text.replace("\\n", "\n").len()
}

fn run_it(path: &PathBuf, options: &str) -> Cli {
    program().arg("run").arg(path).typed(options).stdin("")
}

#[test]
fn a_failed_program_shows_what_it_printed() {
    let dir = folder();
    for (then, options, code) in [
        (EXIT_10, "", "(exit-code)"),
        (TRAP, "", "(trap)"),
        (SPIN, "--timeout 200ms", "(timeout)"),
    ] {
        let path = program_that(&dir, "s SATISFIABLE\\n", "c a warning\\n", 1, then);
        let component = dir.path().join("program.wasm");
        let build = program().arg("build").arg(&path).arg("--component");
        build.arg("-o").arg(&component).end().expect_code(0);
        for path in [path, component] {
            let ended = run_it(&path, options).fails(11).expect_empty_stdout();
            ended.expect_stderr_has(&[
                code,
                "  stdout:\n    s SATISFIABLE\n",
                "  stderr:\n    c a warning\n",
            ]);
        }
    }
}

#[test]
fn exit_codes_of_success_are_for_the_user_to_say() {
    let dir = folder();
    let path = program_that(&dir, "s SATISFIABLE\\n", "", 0, EXIT_10);
    let component = dir.path().join("program.wasm");
    let build = program().arg("build").arg(&path).arg("--component");
    build.arg("-o").arg(&component).end().expect_code(0);
    // An adapter of preview 1 says no more than whether it succeeded.
    for (path, codes, code) in [(&path, "10,20", "code 10"), (&component, "1,10", "code 1")] {
        let ended = run_it(path, "--ok-exit").arg(codes).end().expect_code(0);
        ended.expect_stdout("s SATISFIABLE\n");
        run_it(path, "--ok-exit 20")
            .fails(11)
            .expect_stderr_has(&[code]);
    }
    let path_of_own = file(&dir, "own.wat", EXITS_BY_ITSELF);
    run_it(&path_of_own, "--ok-exit 20,10").end().expect_code(0);
    run_it(&path_of_own, "--ok-exit 20")
        .fails(11)
        .expect_stderr_has(&["code 10"]);
    run_it(&path, "--ok-exit ten")
        .fails(2)
        .expect_stderr_has(&["an exit code such as 10"]);
    let function = run("wordcount").typed("--ok-exit 10").stdin("a");
    function
        .fails(10)
        .expect_stderr_has(&["exit codes are those of WASI commands"]);
}

#[test]
fn a_long_output_shows_its_beginning_and_its_end() {
    let dir = folder();
    let lines: Vec<_> = (0..40).map(|line| format!("line {line}\\n")).collect();
    let lines = lines.concat();
    let path = program_that(&dir, "", &lines, 1, TRAP);
    let ended = run_it(&path, "").fails(11);
    ended.expect_stderr_has(&[
        "    line 0\n",
        "    line 7\n    … 24 more lines …\n    line 32\n",
        "    line 39\n",
    ]);
    // More than is kept of it: the message and the stack of an exception stand at its two ends.
    let path = program_that(&dir, "", &lines, 1000, TRAP);
    let ended = run_it(&path, "").fails(11).expect_stderr_has(&[
        "  stderr:\n    line 0\n",
        "more bytes, which were dropped (keep them with --limit logs=SIZE) …\n    line 32\n",
        "    line 39\n",
    ]);
    assert!(ended.stderr.lines().count() < 30, "{}", ended.stderr);
}

#[test]
fn a_tolerated_failure_has_the_last_line() {
    let dir = folder();
    let path = program_that(&dir, "out\\n", "first\\nthe cause\\n", 1, EXIT_10);
    let report = dir.path().join("report.json");
    for merge in ["", "--merge none"] {
        let run = run_it(&path, merge).typed("--max-failures 1");
        let ended = run.arg("--report").arg(&report).end().expect_code(0);
        ended.expect_stderr_has(&["code 10 (stderr ends in `the cause`)"]);
        let text = std::fs::read_to_string(&report).expect("there is a report");
        let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(json["outcomes"][0]["stdout"], "out\n");
        assert_eq!(json["outcomes"][0]["stderr"], "first\nthe cause\n");
        if merge.is_empty() {
            assert_eq!(json["failures"][0]["last_line"], "the cause");
        }
    }
}

#[test]
fn a_success_shows_stderr_as_it_is_asked_to() {
    let dir = folder();
    let path = program_that(&dir, "result\\n", "one\\ntwo\\n", 1, "");
    let summary = "1 task wrote 8B to stderr, ending in `two`; --stderr all shows it\n";
    for (options, shown) in [
        ("", summary),
        ("--stderr summary", summary),
        ("--stderr all", "task 0: stderr: one\ntask 0: stderr: two\n"),
        ("--stderr none", ""),
        ("-q --stderr all", ""),
    ] {
        let ended = run_it(&path, options).end().expect_code(0);
        assert_eq!(ended.stderr, shown, "{options}");
        ended.expect_stdout("result\n");
    }
    let loud = run_it(&path, "-v").end().expect_code(0);
    loud.expect_stderr_has(&["task 0: stderr: one\n"]);
    let loud = run_it(&path, "-v --stderr none").end().expect_code(0);
    assert!(!loud.stderr.contains("stderr: one"), "{}", loud.stderr);
    run_it(&path, "")
        .env("RWASM_STDERR", "none")
        .end()
        .expect_stderr_is_empty();
}

#[test]
fn what_is_not_granted_is_named_with_what_grants_it() {
    let dir = folder();
    let missing = file(&dir, "missing", "text");
    let component = file(&dir, "files.wasm", command_component("files"));
    let read = |cli: Cli, options: &str| {
        let call = cli.in_dir(dir.path()).typed(options).arg("--").arg("read");
        call.arg(&missing).stdin("").fails(11)
    };
    for cli in [
        |_: &PathBuf| run("files"),
        |path: &PathBuf| program().arg("run").arg(path),
    ] {
        read(cli(&component), "")
            .expect_stderr_has(&["no directory is granted (grant one with --dir HOST::GUEST)"]);
        read(cli(&component), "--dir .::/data").expect_stderr_has(&[
            "of directories, only `/data` is granted (grant another with --dir HOST::GUEST)",
        ]);
    }
}
