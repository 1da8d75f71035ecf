//! Servers and engines that were killed, and what comes after.

use super::{Home, engines, ids, kill, pid, signal};
use crate::support::{call, file, map, run, until, word_count};
use rustix::process::Signal;
use serde_json::Value as Json;
use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn a_server_that_was_killed_begins_anew_on_its_store() {
    const LINES: usize = 100;
    let home = Home::new();
    let url = home.start("-n 2");
    let before = home.status("");
    // A job is under way meanwhile, and ends well.
    let mut job = home
        .with(map("numbers"))
        .typed("fib - --cluster")
        .into_command();
    let mut job = job
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = job.stdin.take().expect("stdin is piped");
    lines
        .write_all(&b"27\n".repeat(LINES / 2))
        .expect("it reads");
    until("the job is under way", || {
        let status = home.status("");
        status["processes"][0]["done"] != 0
            || status["jobs"]
                .as_array()
                .is_some_and(|jobs| !jobs.is_empty())
    });
    kill(pid(&before));
    // With all its threads: until then it is not known to have ended, and holds its port.
    until("the server has ended", || {
        let status = home.cli("status").fails(13);
        status.stderr.contains("has exited unexpectedly")
    });
    home.cli("status")
        .fails(13)
        .expect_stderr_has(&["restart it with its stored data"]);

    let again = home.cli("start -n 2").end().expect_code(0);
    again
        .expect_stdout(format!("{url}\n"))
        .expect_stderr_has(&["it restarts with its stored data"]);
    // The engines were waiting for it.
    let mut after = Json::Null;
    until("the engines are there again", || {
        after = home.status("");
        after["engines"] == 2
    });
    assert_eq!(engines(&after), engines(&before));
    lines
        .write_all(&b"27\n".repeat(LINES / 2))
        .expect("it reads");
    drop(lines);
    let ended = job.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&ended.stdout),
        "196418\n".repeat(LINES)
    );
    assert_eq!(
        home.with(call("numbers"))
            .typed("fib 10 --cluster")
            .output(),
        "55\n"
    );

    home.cli("stop").end().expect_code(0);
}

#[test]
fn a_frozen_server_and_killed_engines_are_noticed_and_replaced() {
    let home = Home::new();
    let url = home.start("-n 2");
    let before = home.status("");
    // One that is frozen is said to be.
    signal(pid(&before), Signal::STOP);
    let frozen = home.cli("status").fails(13);
    frozen.expect_stderr_has(&["does not answer at", "server.log", "restart it"]);
    signal(pid(&before), Signal::CONT);

    // Engines that were killed are started again.
    kill(engines(&before));
    until("the engines have ended", || home.processes().len() == 1);
    let third = home.cli("start -n 1").end().expect_code(0);
    third
        .expect_stdout(format!("{url}\n"))
        .expect_stderr_has(&["1 engine joined"]);
    assert_eq!(
        home.with(call("numbers"))
            .typed("fib 10 --cluster")
            .output(),
        "55\n"
    );

    // All of it at once, as when the machine is switched off.
    for process in home.processes() {
        kill(process);
    }
    until("all have ended", || home.processes().is_empty());
    assert_eq!(home.start("-n 1"), url);
    assert!(ids(&home.status("")).contains(&3));
    home.cli("stop").end().expect_code(0);
}

#[test]
fn a_process_that_has_the_number_of_another_is_left_alone() {
    let home = Home::new();
    home.start("-n 1");
    let state = home.state("default");
    let text = fs::read_to_string(&state).expect("it is there");
    home.cli("stop").end().expect_code(0);
    // As after a restart of the machine: the numbers are those of others now, of this test for one.
    let mut written: Json = serde_json::from_str(&text).expect("it is JSON");
    let own = std::process::id();
    written["server"]["pid"] = own.into();
    written["engines"][0]["process"]["pid"] = own.into();
    fs::write(&state, written.to_string()).expect("it is written");
    home.cli("status").fails(13);
    let stop = home.cli("stop").end().expect_code(0);
    stop.expect_stderr_has(&["had already exited"]);
    fs::write(&state, written.to_string()).expect("it is written");
    home.start("-n 1");
    assert_eq!(home.status("")["engines"], 1);

    let end = || home.cli("stop").end().expect_code(0);
    end();
    fs::write(&state, "{").expect("it is written");
    home.cli("status").fails(14).expect_stderr_has(&[
        "state.json",
        "`rwasm-cluster start` and `rwasm-cluster stop`",
    ]);
    end().expect_stderr_has(&["state.json", "no process of the cluster is running"]);
}

#[test]
fn a_job_that_waits_outlives_the_cluster() {
    let home = Home::new();
    home.start("-n 1");
    let text = "the rain falls\nthe sea takes the rain\n".repeat(500);
    let book = file(&home.0, "book.txt", &text);
    // Its tasks end by themselves after a while; the first are given up, and all others have not begun.
    let spin = home
        .with(map("numbers"))
        .typed("fib - --detach --job-id long --cluster");
    let spin = spin.stdin(b"33\n".repeat(20)).end().expect_code(0);
    spin.expect_stdout("long\n");
    let count = home.with(run("wordcount")).arg(&book);
    let count = count.typed("--chunk lines:100 --detach --job-id count --cluster");
    count.end().expect_code(0).expect_stdout("count\n");
    let jobs = home.status("")["jobs"].as_array().map(Vec::len);
    assert_eq!(jobs, Some(2));
    home.cli("stop --drain-timeout 0").end().expect_code(0);
    assert_eq!(home.processes(), Vec::<i64>::new());

    home.start("-n 2");
    let result = |id: &str| home.cli("job result --follow --cluster=running").arg(id);
    let result = |id: &str| result(id).within(Duration::from_mins(3)).output();
    assert_eq!(result("count"), word_count(&[&text]));
    assert_eq!(result("long"), "3524578\n".repeat(20));
    home.cli("stop").end().expect_code(0);
}
