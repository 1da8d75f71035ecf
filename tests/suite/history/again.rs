//! What runs again from the history: failed tasks with `job retry`, and one of them with `job replay`.

use super::HistoryDir;
use crate::support::{Cli, Text, module, program, run, until};
use rwasm_cluster::Argument;
use std::fs;

#[test]
fn failed_tasks_run_again_when_their_cause_is_mended() {
    let dir = HistoryDir::new();
    let text = Text::of(3, 30_000).make();
    let input = dir.file("text.txt", &text);
    let wanted = run("wordcount").arg(&input).end().expect_code(0).stdout;
    // From a file, and from stdin, whose chunks are kept themselves.
    dir.run("wordcount")
        .typed("--fuel 1000")
        .arg(&input)
        .fails(11);
    dir.run("wordcount")
        .typed("--fuel 1000 --label x")
        .stdin(text)
        .fails(11);
    for (job, new) in [(1, 3), (2, 4)] {
        dir.job(&format!("retry {job} -j 2 --fuel 10000000000"))
            .end()
            .expect_code(0)
            .expect_stdout(&wanted);
        let jobs = dir.list("--limit 1");
        assert_eq!(
            (&jobs[0]["id"], &jobs[0]["repeats"]),
            (&new.into(), &job.into())
        );
        assert_eq!(jobs[0]["state"], "done");
    }
    assert_eq!(dir.list("--limit 1")[0]["label"], "x");
    dir.job("retry 3")
        .fails(2)
        .expect_stderr_has(&["job 3 has no failed tasks"]);

    // Not as it was; then as it was, but with the old limit.
    fs::write(&input, "other words").expect("written");
    dir.job("retry 1 --fuel 10000000000")
        .fails(14)
        .expect_stderr_has(&["text.txt` have changed"]);
    fs::remove_file(&input).expect("removed");
    dir.job("retry 1")
        .fails(14)
        .expect_stderr_has(&["cannot read `", "text.txt`"]);
    dir.file("text.txt", Text::of(3, 30_000).make());
    dir.job("retry 1")
        .fails(11)
        .expect_stderr_has(&["fuel-exhausted"]);
}

/// What a retry would print of them is not what the job is missing.
#[test]
fn a_job_that_did_not_run_to_its_end_is_not_retried() {
    use rustix::process::{Pid, Signal, kill_process};
    let dir = HistoryDir::new();
    let inputs = [
        ("1", "fine\n"),
        ("2", "trap\n"),
        ("3", "spin\n"),
        ("4", "fine\n"),
    ]
    .map(|(name, text)| dir.file(name, text));
    for signal in [Signal::INT, Signal::KILL] {
        // One engine spins, whichever task that gets first; the other one does the rest.
        let run = dir
            .run("faulty")
            .typed("--engines 2 --chunk file --max-failures 2");
        let mut command = run.args(&inputs).into_command();
        let null = std::process::Stdio::null;
        let child = command.stdin(null()).stdout(null()).stderr(null()).spawn();
        let child = child.expect("it starts");
        let ended = || {
            dir.list("--state running --limit 1")
                .first()
                .map(|job| job["tasks"].clone())
        };
        until("three tasks have ended", || ended() == Some(3.into()));
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        crate::support::wait(child).expect("it ends");
        let job = &dir.list("--limit 1")[0];
        assert_eq!(job["state"], "interrupted");
        let refused = dir
            .job(&format!("retry {}", job["id"]))
            .fails(2)
            .expect_empty_stdout();
        refused.expect_stderr_has(&[
            &format!("job {} was interrupted before it had done all of its 4 inputs: 2 of its tasks ended well, 1 failed", job["id"]),
            "hint: run the whole job again",
        ]);
    }
    // The first task's part of the result is in none.
    let run = dir.run("faulty").typed("--engines 1 --chunk file");
    run.args(&inputs[..2]).fails(11);
    let refused = dir.job("retry 3").fails(2).expect_empty_stdout();
    refused.expect_stderr_has(&["stopped at a failure before it had done all of its 2 inputs"]);
    // One that has a result is only without what failed.
    let run = dir
        .run("faulty")
        .typed("--engines 1 --chunk file --max-failures 1");
    run.args(&inputs[..2])
        .end()
        .expect_code(0)
        .expect_stdout("1\n");
    let retried = dir.job("retry 4").end().expect_code(0);
    retried.expect_stderr_has(&["a task failed (trap)"]);
}

#[test]
fn failed_tasks_that_are_not_kept_are_not_passed_over() {
    let dir = HistoryDir::new();
    let inputs = [("1", "trap\n"), ("2", "trap\n"), ("3", "fine\n")];
    let inputs = inputs.map(|(name, text)| dir.file(name, text));
    let run = dir
        .run("faulty")
        .typed("--engines 1 --chunk file --max-failures 2 --history-rows 2");
    run.args(&inputs).end().expect_code(0);
    let refused = dir.job("retry 1").fails(14).expect_empty_stdout();
    refused.expect_stderr_has(&["of 2 failed tasks of job 1, the history has 1"]);
}

#[test]
fn a_task_is_replayed_with_its_backtrace_and_what_it_wrote() {
    let dir = HistoryDir::new();
    let input = dir.file("lines.txt", "fine\ntrap\nfine\n");
    dir.run("faulty")
        .typed("--chunk lines:1 --max-failures 1")
        .arg(&input)
        .end()
        .expect_code(0);
    dir.job("replay 1 1").fails(11).expect_stderr_has(&[
        "(trap)",
        "asked for a trap",
        "backtrace, innermost call first:",
        "mapper",
    ]);
    dir.job("replay 1 2")
        .end()
        .expect_code(0)
        .expect_stdout("1\n");
    dir.job("replay 1 9").fails(2);
    // Nothing of that was recorded.
    assert_eq!(dir.list("").len(), 1);
}

#[cfg(unix)]
#[test]
fn an_input_that_is_no_file_any_more_is_not_read() {
    let dir = HistoryDir::new();
    let input = dir.file("lines.txt", "fine\ntrap\nfine\n");
    dir.run("faulty")
        .typed("--chunk lines:1 --max-failures 1")
        .arg(&input)
        .end()
        .expect_code(0);
    fs::remove_file(&input).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", &input).expect("a link can be made");
    dir.job("replay 1 1")
        .fails(14)
        .expect_stderr_has(&["lines.txt`: it is not a regular file"]);
    // Nor one that is shorter than what was read of it.
    fs::remove_file(&input).expect("removed");
    dir.file("lines.txt", "fine\n");
    dir.job("replay 1 1")
        .fails(14)
        .expect_stderr_has(&["lines.txt` have changed"]);
}

#[test]
fn a_module_that_has_changed_is_not_run_in_the_place_of_the_old_one() {
    let dir = HistoryDir::new();
    let own = dir.0.path().join("own.wasm");
    fs::copy(crate::support::guest("faulty"), &own).expect("copied");
    let recorded = |cli: Cli| {
        cli.env("RWASM_HISTORY_FILE", dir.history())
            .env("RWASM_HISTORY", "1")
    };
    recorded(program().arg("run").arg(&own))
        .stdin("refuse\n")
        .fails(11);
    fs::copy(crate::support::guest("wordcount"), &own).expect("copied");
    dir.job("retry 1")
        .fails(14)
        .expect_stderr_has(&["own.wasm` has changed since job 1"]);
    fs::remove_file(&own).expect("removed");
    dir.job("replay 1 0")
        .fails(10)
        .expect_stderr_has(&["own.wasm"]);
}

#[test]
fn a_map_that_is_recorded_can_be_retried_from_the_command_line() {
    let dir = HistoryDir::new();
    {
        let cluster = dir.cluster(1);
        let divide = module("numbers")
            .dynamic_function("divide")
            .expect("it is there");
        let pairs =
            [(8, 2), (1, 0), (9, 3)].map(|(a, b): (i64, i64)| vec![Argument::from(a), b.into()]);
        let outcomes = cluster
            .load_balanced_view()
            .map(&divide, pairs)
            .expect("begun")
            .outcomes();
        assert_eq!(
            outcomes.iter().filter(|outcome| outcome.is_err()).count(),
            1
        );
    }
    dir.job("result 1").end().expect_code(0).expect_stdout(
        "4\n{\"error\":{\"code\":\"guest-error\",\"message\":\"1 cannot be divided by zero\"}}\n3\n",
    );
    dir.job("replay 1 1")
        .fails(11)
        .expect_stderr_has(&["1 cannot be divided by zero"]);
    dir.job("replay 1 2")
        .end()
        .expect_code(0)
        .expect_stdout("3\n");
    let again = dir.job("retry 1").end().expect_code(0).text();
    assert!(again.contains("guest-error"), "{again}");
    assert_eq!(dir.list("--limit 1")[0]["repeats"], 1);
}
