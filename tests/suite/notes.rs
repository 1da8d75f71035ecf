//! What tasks say, on stderr while they run, beside their failure, and in the report.

use crate::support::{call, file, folder, guest, map, memory_of, only_here, program, wait};
use serde_json::{Value as Json, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;

/// What it logs in its six steps, with the level of each.
fn lines(from: usize) -> String {
    let levels = ["trace", "debug", "info", "warn", "error"];
    let lines = (1..=6)
        .map(|step: usize| (step, (step - 1) % 5))
        .filter(|(_, level)| *level >= from)
        .map(|(step, level)| format!("call: {}: step {step} of 6\n", levels[level]));
    lines.collect::<Vec<_>>().concat()
}

#[test]
fn what_may_be_wrong_is_shown_and_all_else_when_it_is_asked_for() {
    if only_here("what a task says may come after its result") {
        return;
    }
    let tell = |options: &str| {
        let call = call("hosted").typed("tell 6 --stderr none").typed(options);
        let ended = call.end();
        ended.expect_code(0).expect_stdout("6\n").stderr
    };
    assert_eq!(tell(""), lines(3));
    assert_eq!(tell("--log error"), lines(4));
    assert_eq!(tell("--log trace"), lines(0));
    assert_eq!(tell("--log off"), "");
    assert_eq!(tell("--quiet"), "");
    let all = tell("-v --stderr all");
    for part in [
        "call: info: step 3 of 6\n",
        "call: stdout: out 1\n",
        "call: stderr: err 6\n",
        "call: published: latest = 2\n",
        "call: progress: 6 of 6\n",
    ] {
        assert!(all.contains(part), "{part} is not in {all}");
    }
    assert!(!all.contains("debug"), "{all}");
}

#[test]
fn it_is_said_which_task_said_it() {
    if only_here("what a task says may come after its result") {
        return;
    }
    let ended = map("hosted")
        .typed("tell -j 1 --stderr none")
        .stdin("4\n3\n4\n")
        .end();
    let stderr = ended.expect_code(0).expect_stdout("4\n3\n4\n").stderr;
    assert_eq!(
        stderr,
        "task 0: warn: step 4 of 4\ntask 2: warn: step 4 of 4\n"
    );
    let all = call("hosted")
        .typed("tell 4 --targets all --engines 2")
        .end();
    let stderr = all.expect_code(0).stderr;
    for job in ["0", "1"] {
        let line = format!("call {job}: warn: step 4 of 4\n");
        assert!(stderr.contains(&line), "{stderr}");
    }
}

#[test]
fn a_failure_has_what_its_task_logged() {
    let dir = folder();
    let path = file(
        &dir,
        "gives-up.wat",
        r#"(module
          (import "rwasm:task/host@0.2.0" "log" (func $log (param i32 i32 i32)))
          (memory (export "memory") 1)
          (data (i32.const 64) "looking\1b[2Jaround")
          (func (export "give-up")
            (call $log (i32.const 1) (i32.const 64) (i32.const 17))
            unreachable))"#,
    );
    let ended = program().arg("call").arg(path).arg("give-up").fails(11);
    ended.expect_stderr_has(&["log:\n    debug: looking\\u{1b}[2Jaround\n"]);
}

#[test]
fn the_report_has_what_each_task_said() {
    let dir = folder();
    let report = dir.path().join("report.json");
    let cli = call("hosted").typed("tell 2 --report").arg(&report);
    cli.end().expect_code(0);
    let text = fs::read_to_string(&report).expect("it is written");
    let report: Json = serde_json::from_str(&text).expect("it is JSON");
    let outcome = &report["outcomes"][0];
    assert_eq!(
        outcome["log"][1],
        json!({ "level": "debug", "message": "step 2 of 2" })
    );
    assert_eq!(outcome["published"], json!({ "latest": "2" }));
    assert_eq!(outcome["progress"], json!({ "done": 2, "total": 2 }));
    assert_eq!(outcome["stdout"], "out 1\nout 2\n");
    assert_eq!(outcome["stderr"], "err 1\nerr 2\n");
    // Nothing is said of what a task did not say.
    let path = dir.path().join("plain.json");
    let cli = program()
        .arg("call")
        .arg(guest("numbers"))
        .typed("fib 3 --report");
    cli.arg(&path).end().expect_code(0);
    let text = fs::read_to_string(&path).expect("it is written");
    assert!(
        !text.contains("published") && !text.contains("stderr"),
        "{text}"
    );
}

/// A terminal that does not go on is a pipe that nobody reads. What tasks log meanwhile is 600 MB.
#[test]
fn what_nobody_reads_does_not_fill_the_memory() {
    const MIB: u64 = 1 << 20;
    const TASKS: usize = 100;
    /// 16 MiB of it may wait; the rest is what the program takes in any case.
    const BOUND: u64 = 128 * MIB;
    if only_here("what a task says may come after its result") {
        return;
    }
    let mut child = map("hosted")
        .typed("chatter -v --engines 2")
        .into_command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // Each logs 100 lines of 60 000 bytes.
    stdin
        .write_all("[100, 60000]\n".repeat(TASKS).as_bytes())
        .expect("the program reads");
    drop(stdin);
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let results: Vec<String> = stdout
        .lines()
        .take(TASKS)
        .map(|line| line.expect("it prints text"))
        .collect();
    // Every task has ended, and what they logged still waits for a reader.
    let peak = memory_of(child.id(), "VmHWM");
    let mut stderr = Vec::new();
    let mut pipe = child.stderr.take().expect("stderr is piped");
    pipe.read_to_end(&mut stderr).expect("it can be read");
    assert!(wait(child).expect("it ends in time").success());
    assert_eq!(results, vec!["100"; TASKS]);
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(
        stderr.contains("messages of tasks were dropped"),
        "it kept up"
    );
    assert!(peak < BOUND, "{} MiB", peak / MIB);
}
