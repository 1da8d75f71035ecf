//! `call`: one function, on any engine or on each that is named.

use crate::support::{SOON, call, file, folder, guest, program, wait, wat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn a_function_is_called_in_either_spelling() {
    for arguments in [
        ["fib", "30"].as_slice(),
        &["fib(30)"],
        &["fib( 30 )"],
        &["fib", " 30 "],
    ] {
        call("numbers")
            .args(arguments)
            .end()
            .expect_code(0)
            .expect_stdout("832040\n")
            .expect_stderr_is_empty();
    }
    let cases: [(&[&str], &str); 9] = [
        (&["add", "7", "2"], "9\n"),
        (&["add(7, 2)"], "9\n"),
        (&["divide", "-9", "3"], "-3\n"),
        (&["divide", "--", "-9", "-3"], "3\n"),
        (&["total", "[1, 2, 3]"], "6\n"),
        (&["total([1, 2, 3])"], "6\n"),
        (&["length", "as it is"], "8\n"),
        (&["greet", "--", "--you", "1"], "hello, --you"),
        (&["greet(\"día\", 2)"], "hello, día; hello, día"),
    ];
    for (arguments, printed) in cases {
        call("numbers")
            .args(arguments)
            .end()
            .expect_code(0)
            .expect_stdout(printed);
    }
    program()
        .arg("call")
        .arg(wat("numeric"))
        .args(["add", "1.5", "2"])
        .end()
        .expect_code(0)
        .expect_stdout("3.5\n");
}

#[test]
fn each_engine_that_is_named_gives_a_result() {
    let cases = [
        ("--engines 3 --targets all", [0, 1, 2].as_slice()),
        ("--engines 3 --targets 0,2", &[0, 2]),
        ("--engines 4 --targets 1..3", &[1, 2, 3]),
        ("--engines 2 --targets -1", &[1]),
    ];
    for (options, engines) in cases {
        call("numbers")
            .typed("fib 30")
            .typed(options)
            .end()
            .expect_code(0)
            .expect_stdout(labelled(engines, "\t832040\n"));
    }
    // A record is a line, whatever it is.
    let greetings = call("numbers").typed("greet you 1 --engines 2 --targets all");
    greetings
        .end()
        .expect_code(0)
        .expect_stdout("0\thello, you\n1\thello, you\n");
    call("wordcount")
        .typed("mapper a-word --engines 2 --targets all --format jsonl")
        .end()
        .expect_code(0)
        .expect_stdout(
            "{\"engine\":0,\"value\":[[\"aword\",1]]}\n{\"engine\":1,\"value\":[[\"aword\",1]]}\n",
        );
    for (format, shown) in [
        (
            "json",
            "{\"engine\":0,\"value\":55}\n{\"engine\":1,\"value\":55}\n",
        ),
        ("wave", "{engine: 0, value: 55}\n{engine: 1, value: 55}\n"),
    ] {
        let call = call("numbers").typed("fib 10 --engines 2 --targets all --format");
        assert_eq!(call.arg(format).output(), shown);
    }
}

/// What each of these engines gave.
fn labelled(engines: &[u32], given: &str) -> String {
    let lines: Vec<_> = engines
        .iter()
        .map(|engine| format!("{engine}{given}"))
        .collect();
    lines.concat()
}

#[test]
fn results_come_in_the_order_of_the_engines() {
    let dir = folder();
    let report = dir.path().join("report.json");
    call("numbers")
        .typed("add-one 1 --engines 4 --targets 3,0..1 --report")
        .arg(&report)
        .end()
        .expect_code(0)
        .expect_stdout("3\t2\n0\t2\n1\t2\n");
    let report: Value =
        serde_json::from_slice(&fs::read(&report).expect("it is there")).expect("it is JSON");
    let outcomes = report["outcomes"].as_array().expect("a list");
    let engines: Vec<_> = outcomes.iter().map(|one| one["engine"].as_u64()).collect();
    assert_eq!(engines, [Some(3), Some(0), Some(1)]);
    assert_eq!(report["command"], "call");
    assert_eq!(report["function"], "add-one");
    assert_eq!(report["stats"]["tasks"], 3);
    assert_eq!(report["stats"]["engine_count"], 4);
}

#[test]
fn results_are_written_in_every_format() {
    for (format, printed) in [
        ("text", "b\t2\na\t1\n"),
        ("tsv", "b\t2\na\t1\n"),
        ("json", "[[\"b\",2],[\"a\",1]]\n"),
        ("jsonl", "[\"b\",2]\n[\"a\",1]\n"),
        ("wave", "[(\"b\", 2), (\"a\", 1)]\n"),
    ] {
        // The word `a` is too common to count.
        call("wordcount")
            .args(["mapper", "bb aa bb", "--format", format])
            .end()
            .expect_code(0)
            .expect_stdout(printed.replace('a', "aa").replace('b', "bb"));
    }
    call("numbers")
        .typed("greet you 1 --format raw")
        .end()
        .expect_code(0)
        .expect_stdout("hello, you");
    call("numbers")
        .typed("fib 30 --format raw")
        .fails(10)
        .expect_stderr_has(&["raw writes only strings and bytes, but the result is u64"]);
    let dir = folder();
    let out = dir.path().join("out.txt");
    call("numbers")
        .typed("fib 30 -o")
        .arg(&out)
        .end()
        .expect_code(0)
        .expect_empty_stdout();
    assert_eq!(fs::read_to_string(&out).expect("it is there"), "832040\n");
}

#[test]
fn a_function_without_a_result_prints_nothing() {
    let dir = folder();
    let quiet = file(
        &dir,
        "quiet.wat",
        r#"(module (func (export "quiet") (param i32)))"#,
    );
    for options in ["", "--targets all --engines 2", "--format json"] {
        program()
            .arg("call")
            .arg(&quiet)
            .typed("quiet 1")
            .typed(options)
            .end()
            .expect_code(0)
            .expect_empty_stdout()
            .expect_stderr_is_empty();
    }
}

#[test]
fn what_does_not_fit_says_where_and_what_was_expected() {
    let cases: [(&[&str], &[&str]); 10] = [
        (
            &["fib", "many"],
            &[
                "argument 1 (`n`)",
                "found `many`",
                "expected u32",
                "fib: func(n: u32)",
            ],
        ),
        (
            &["fib(\"many\")"],
            &["argument 1 (`n`)", "found `\"many\"`", "expected u32"],
        ),
        (
            &["fib", "-1"],
            &["argument 1 (`n`)", "found `-1`", "expected u32"],
        ),
        (
            &["add", "1", "{]"],
            &["argument 2 (`b`)", "`{]`", "expected u64", "JSON", "WAVE"],
        ),
        (&["fib"], &["expected 1 argument (n: u32), found 0"]),
        (&["fib()"], &["expected 1 argument (n: u32), found 0"]),
        (
            &["fib", "1", "2"],
            &["expected 1 argument (n: u32), found 2"],
        ),
        (&["fib(1, 2)"], &["expected 1 argument (n: u32), found 2"]),
        (
            &["fib(30"],
            &["`fib(30` is not a function call", "at byte 6", "'fib(30)'"],
        ),
        (&["fib(30)", "30"], &["more arguments follow"]),
    ];
    for (arguments, parts) in cases {
        call("numbers")
            .args(arguments)
            .fails(2)
            .expect_stderr_has(&["error: "])
            .expect_stderr_has(parts);
    }
}

#[test]
fn a_function_that_is_not_there_is_told_with_those_that_are() {
    call("numbers")
        .typed("fibs 30")
        .fails(10)
        .expect_stderr_has(&[
            "no function `fibs` (did you mean `fib`?); it has:\n    fib: func(n: u32) -> u64\n",
        ]);
    call("numbers")
        .typed("quite-another 30")
        .fails(10)
        .expect_stderr_has(&[
            "no function `quite-another`; it has:\n",
            "\n    fib: func(n: u32) -> u64\n",
            "\n    add-one: func(",
        ]);
    call("numbers")
        .typed("Add_One(1)")
        .fails(10)
        .expect_stderr_has(&["did you mean `add-one`?"]);
    call("upper")
        .typed("upper text")
        .fails(10)
        .expect_stderr_has(&["WASI command", "rwasm-cluster run"]);
    program()
        .args(["call", "nothing.wasm", "f"])
        .fails(10)
        .expect_stderr_has(&["nothing.wasm", "does not exist"]);
}

#[test]
fn engines_that_are_not_there_are_refused() {
    for (targets, parts) in [
        ("--targets 7", ["no engine 7", "0, 1"]),
        ("--targets -3", ["no engine -3", "0, 1"]),
        ("--targets 0,-2", ["engine 0 is named twice", ""]),
        ("--targets x", ["invalid value 'x'", "1..3"]),
        ("--targets=", ["invalid value ''", ""]),
    ] {
        call("numbers")
            .typed("fib 1 --engines 2")
            .typed(targets)
            .end()
            .expect_code(2)
            .expect_empty_stdout()
            .expect_stderr_has(&parts);
    }
    call("numbers")
        .typed("fib 1 --engines 0")
        .fails(2)
        .expect_stderr_has(&["1 to 1024"]);
}

#[test]
fn a_name_that_wave_does_not_know_can_be_called_in_its_spelling() {
    let dir = folder();
    let odd = file(
        &dir,
        "odd.wat",
        r#"(module (func (export "Add_One") (param i32) (result i32)
            (i32.add (local.get 0) (i32.const 1))))"#,
    );
    for spelling in [
        ["Add_One", "1"].as_slice(),
        &["Add_One(1)"],
        &["Add_One (1)"],
    ] {
        program()
            .arg("call")
            .arg(&odd)
            .args(spelling)
            .end()
            .expect_code(0)
            .expect_stdout("2\n");
    }
}

#[test]
fn a_failure_names_function_code_and_engine() {
    call("numbers")
        .typed("divide 1 0")
        .fails(11)
        .expect_stderr_has(&["`divide` failed (guest-error) on engine", "by zero"]);
    call("numbers")
        .typed("fail error --targets 1 --engines 2")
        .fails(11)
        .expect_stderr_has(&[
            "`fail` failed (trap) on engine 1",
            "stderr:",
            "was asked for an error",
        ]);
    call("numbers")
        .typed("spin --timeout 50ms")
        .fails(11)
        .expect_stderr_has(&["(timeout)", "50ms", "--timeout"]);
    call("numbers")
        .typed("nap 3600000 --deadline 50ms")
        .fails(11)
        .expect_stderr_has(&["(timeout)", "deadline of 50ms"]);
    call("numbers")
        .typed("spin --fuel 10000")
        .fails(11)
        .expect_stderr_has(&["(fuel-exhausted)"]);
    call("numbers")
        .typed("length 12345 --limit input=4B")
        .fails(11)
        .expect_stderr_has(&["(input-limit)", "--limit input"]);
}

#[test]
fn a_failed_call_is_tried_again_after_what_is_named() {
    call("numbers")
        .typed("divide 1 0 --retries 3")
        .fails(11)
        .expect_stderr_has(&["(guest-error)", "by zero", "4 attempts:", "4 on engine"]);
    let once = |options: &str| {
        let ended = call("numbers").typed("divide 1 0").typed(options).fails(11);
        assert!(!ended.stderr.contains("attempts"), "{}", ended.stderr);
    };
    once("");
    once("--retries 3 --retry-on trap,timeout");
    once("--retries 3 --retry-on none");
    call("numbers")
        .typed("divide 1 0 --retries 3 --retry-on guest-error,trap")
        .fails(11)
        .expect_stderr_has(&["4 attempts"]);
    call("numbers")
        .typed("divide 1 0 --retries 1 --retry-on oom")
        .fails(2)
        .expect_stderr_has(&["oom", "engine-lost"]);
    // 30 ms, then 60.
    let begun = Instant::now();
    call("numbers")
        .typed("divide 1 0 --retries 2 --backoff 30ms")
        .fails(11)
        .expect_stderr_has(&["3 attempts"]);
    assert!(begun.elapsed() >= Duration::from_millis(90));
}

#[test]
fn stats_count_what_ran() {
    call("numbers")
        .typed("fib 20 --targets all --engines 2 --stats")
        .end()
        .expect_code(0)
        .expect_stdout("0\t6765\n1\t6765\n")
        .expect_stderr_has(&["tasks        2 (", "wall time", "engine 0", "engine 1"]);
}

#[test]
fn options_are_from_the_environment_and_the_project_file_too() {
    let dir = folder();
    // A setting of other commands has no effect here.
    file(
        &dir,
        "rwasm.toml",
        "engines = 3\nformat = 'json'\nchunk = 'lines:1'\nmerge = 'none'\nmax-failures = 3\n",
    );
    let greet = || {
        let call = call("numbers").typed("greet you 1").in_dir(dir.path());
        call.on_cluster_of(3)
    };
    greet()
        .env("RWASM_TARGETS", "all")
        .end()
        .expect_code(0)
        .expect_stdout(
            "{\"engine\":0,\"value\":\"hello, you\"}\n{\"engine\":1,\"value\":\"hello, you\"}\n\
             {\"engine\":2,\"value\":\"hello, you\"}\n",
        );
    greet()
        .env("RWASM_TARGETS", "0")
        .env("RWASM_FORMAT", "wave")
        .end()
        .expect_code(0)
        .expect_stdout("{engine: 0, value: \"hello, you\"}\n");
    greet()
        .env("RWASM_RETRY_ON", "sometimes")
        .fails(2)
        .expect_stderr_has(&["sometimes"]);
}

#[test]
fn an_interrupted_call_ends_with_130() {
    for function in ["spin", "nap"] {
        let arguments: &[&str] = if function == "nap" { &["3600000"] } else { &[] };
        for options in ["", "--targets all --engines 2", "--retries 2"] {
            let dir = folder();
            let mut child = call("numbers")
                .arg(function)
                .args(arguments)
                .typed(options)
                .arg("-v")
                .in_dir(dir.path())
                .into_command()
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program starts");
            // With `-v` it says when the call has begun.
            let stderr = child.stderr.take().expect("stderr is piped");
            let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stderr));
            assert!(
                lines.any(|line| line.expect("a line").contains("call started")),
                "{function} {options}"
            );
            let sent = Instant::now();
            kill_process(Pid::from_child(&child), Signal::INT).expect("it can be signalled");
            let status = wait(child).expect("it ends in time");
            assert_eq!(status.code(), Some(130), "{function} {options}");
            assert!(sent.elapsed() < SOON);
        }
    }
}

#[test]
fn help_begins_with_examples() {
    for command in ["call", "map", "run"] {
        for help in ["-h", "--help"] {
            let text = program().args([command, help]).output();
            assert!(text.starts_with("Examples:\n  "), "{text}");
            assert!(
                text.contains(&format!("rwasm-cluster {command} ")),
                "{text}"
            );
        }
    }
    // The guest is where the tests look for it.
    assert!(guest("numbers").is_file());
}

/// Plain functions, one of which has parentheses in its name, as C++ has them.
const PLAIN: &str = r#"(module
  (func (export "same") (param i32) (result i32) (local.get 0))
  (func (export "twice(int)") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))"#;

#[test]
fn numbers_without_a_sign_are_taken_for_the_same_bits() {
    let dir = folder();
    let module = file(&dir, "plain.wat", PLAIN);
    let same = |argument: &str| program().arg("call").arg(&module).args(["same", argument]);
    for (argument, wanted) in [
        ("2147483647", "2147483647\n"),
        ("2147483648", "-2147483648\n"),
        ("4294967295", "-1\n"),
    ] {
        assert_eq!(same(argument).output(), wanted);
        let wave = program()
            .arg("call")
            .arg(&module)
            .arg(format!("same({argument})"));
        assert_eq!(wave.output(), wanted);
        let map = program().arg("map").arg(&module).arg("same");
        assert_eq!(map.stdin(format!("{argument}\n")).output(), wanted);
    }
    same("4294967296")
        .fails(2)
        .expect_stderr_has(&["expected s32, found `4294967296`"]);
    // A type of WIT means what it says.
    let typed = program().arg("call").arg(guest("faulty"));
    let shown = typed.args(["half", "4294967295"]).end();
    assert_ne!(shown.status.code(), Some(0));
}

#[test]
fn names_with_parentheses_are_called() {
    let dir = folder();
    let module = file(&dir, "plain.wat", PLAIN);
    let call = |arguments: &[&str]| program().arg("call").arg(&module).args(arguments).output();
    assert_eq!(call(&["twice(int)", "4"]), "8\n");
    assert_eq!(call(&["twice(int)(5)"]), "10\n");
    assert_eq!(call(&["same(6)"]), "6\n");
}

#[test]
fn a_module_is_read_from_stdin() {
    let dir = folder();
    let call = program().args(["call", "-", "same", "3"]).stdin(PLAIN);
    assert_eq!(call.output(), "3\n");
    let shown = program().args(["inspect", "-"]).stdin(PLAIN).output();
    assert!(shown.starts_with("module     <stdin>\n"), "{shown}");
    let lines = file(&dir, "lines.txt", "1\n2\n");
    let map = program().args(["map", "-", "same"]).arg(lines).stdin(PLAIN);
    assert_eq!(map.output(), "1\n2\n");
    // It is there once.
    program()
        .args(["map", "-", "same"])
        .stdin(PLAIN)
        .fails(2)
        .expect_stderr_has(&["no input"]);
    let upper = fs::read(guest("upper")).expect("the guest");
    program()
        .args(["run", "-", "-"])
        .stdin(upper.clone())
        .fails(2)
        .expect_stderr_has(&["stdin (`-`) is given more than once"]);
    let input = file(&dir, "input.txt", "text");
    let run = program().args(["run", "-"]).arg(input).stdin(upper);
    assert_eq!(run.output(), "TEXT");
}
