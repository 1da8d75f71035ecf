//! What the commands show of durable jobs, and what they refuse.

use super::{Cluster, id, numbered};
use crate::support::{file, folder, map, run, until, wait};
use serde_json::{Value as Json, json};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

/// The ids of the jobs of a state.
#[track_caller]
fn of_state(cluster: &Cluster, state: &str) -> Vec<Json> {
    let listed = cluster.job("list --format json --state").arg(state);
    let jobs = listed.end().expect_code(0).json();
    let jobs = jobs.as_array().expect("it is a list").clone();
    assert!(jobs.iter().all(|job| job["state"] == state), "{jobs:?}");
    jobs.iter().map(|job| job["id"].clone()).collect()
}

#[test]
fn a_state_is_printed_as_it_is_asked_for() {
    let cluster = Cluster::new();
    let waits = map("numbers").typed("add-one --detach --job-id waits");
    id(cluster.with(waits.stdin("1\n")));
    assert_eq!(of_state(&cluster, "queued"), ["waits"]);
    assert_eq!(of_state(&cluster, "running"), [json!(null); 0]);
    let half = map("numbers")
        .typed("nap --detach --job-id half --timeout 2h --dispatch-size 1")
        .stdin("0\n3600000\n");
    id(cluster.with(half));
    let _engines = cluster.engines(2);
    until("one of its tasks is done", || {
        cluster.show("half")["done"] == 1
    });
    assert_eq!(of_state(&cluster, "running"), ["half"]);
    let text = cluster.job("list").output();
    assert!(text.contains("running"), "{text}");
    cluster.job("cancel half").end().expect_code(0);
    assert_eq!(of_state(&cluster, "cancelled"), ["half"]);
    // One failure is more than it tolerates.
    let fails = map("numbers").typed("add-one --detach --job-id fails");
    id(cluster.with(fails.stdin("x\n1\n")));
    cluster.result("fails").end().expect_code(11);
    until("its other task is done too", || {
        cluster.show("fails")["done"] == 2
    });
    cluster.result("waits").end().expect_code(0);
    assert_eq!(of_state(&cluster, "failed"), ["fails"]);
    assert_eq!(of_state(&cluster, "done"), ["waits"]);
    let either = cluster.job("list --format json --state done,failed");
    let either = either.end().expect_code(0).json();
    assert_eq!(either.as_array().map(Vec::len), Some(2), "{either}");
    let shown = cluster.job("show fails").output();
    assert!(shown.contains("failed"), "{shown}");
    cluster
        .job("list --state ended")
        .fails(2)
        .expect_stderr_has(&["queued", "interrupted"]);
    cluster
        .job("list --engine 0")
        .fails(2)
        .expect_stderr_has(&["--engine is for jobs of the history", "omit --engine"]);
}

/// Waits for a job's result, in a process of its own.
fn follow(cluster: &Cluster, id: &str) -> Child {
    let mut command = cluster.result(id).into_command();
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

#[test]
fn whoever_waits_for_a_job_hears_that_it_is_cancelled() {
    let cluster = Cluster::new();
    let lines = numbered(0..10);
    let cli = map("numbers").typed("add-one --detach --max-failures 100% --job-id gone");
    id(cluster.with(cli.stdin(lines)));
    let mut following = follow(&cluster, "gone");
    let mut stderr = BufReader::new(following.stderr.take().expect("it is piped"));
    let mut said = String::new();
    stderr.read_line(&mut said).expect("it is text");
    assert!(said.contains("has no engines"), "{said}");
    cluster.job("cancel gone").end().expect_code(0);
    let ended = wait(following).expect("it ends in time");
    stderr.read_to_string(&mut said).expect("it is text");
    assert_eq!(ended.code(), Some(11), "{said}");
    for part in [
        "job gone was cancelled by another user",
        "job retry gone --cluster",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_task_that_runs_when_its_job_is_cancelled_is_no_interrupt() {
    let cluster = Cluster::new();
    let _engines = cluster.engines(2);
    let cli = map("numbers").typed("nap --detach --timeout 2h --dispatch-size 1 --job-id gone");
    id(cluster.with(cli.stdin("0\n3600000\n")));
    let mut following = follow(&cluster, "gone");
    let mut stdout = BufReader::new(following.stdout.take().expect("it is piped"));
    let mut first = String::new();
    stdout.read_line(&mut first).expect("it is text");
    assert_eq!(first, "0\n");
    until("the other runs", || {
        cluster.server.under_way("main-mid") == 1
    });
    cluster.job("cancel gone").end().expect_code(0);
    let mut stderr = following.stderr.take().expect("it is piped");
    let ended = wait(following).expect("it ends in time");
    let mut said = String::new();
    stderr.read_to_string(&mut said).expect("it is text");
    assert_eq!(ended.code(), Some(11), "{said}");
    assert!(said.contains("was cancelled by another user"), "{said}");
}

#[test]
fn what_is_for_one_who_watches_is_refused() {
    let cluster = Cluster::new();
    let dir = folder();
    let book = file(&dir, "book.txt", "one two\n");
    for (option, part) in [
        ("--output out.txt", "job result ID --follow --output"),
        ("--report report.json", "job show ID"),
        ("--stats", "job show ID"),
        ("--history", "the cluster keeps the job"),
        ("--unordered --merge none", "in input order"),
    ] {
        let cli = run("wordcount").arg("--detach").typed(option).arg(&book);
        cluster
            .with(cli.in_dir(&dir))
            .fails(2)
            .expect_stderr_has(&["has no effect with --detach", part]);
    }
    // What a project or an environment says to all its jobs is for those that are watched.
    let cli = run("wordcount").arg("--detach").arg(&book);
    id(cluster.with(cli.env("RWASM_STATS", "1").env("RWASM_HISTORY", "1")));
}

#[test]
fn jobs_of_the_history_are_told_from_durable_ones() {
    let cluster = Cluster::new();
    let url = cluster.server.url().to_owned();
    for words in ["show 5", "result 5", "retry 5", "rm 5"] {
        cluster
            .job(words)
            .arg("--cluster")
            .arg(&url)
            .fails(2)
            .expect_stderr_has(&["`5` is a job of the history", "job list --cluster"]);
    }
    cluster
        .job("replay nightly 0")
        .fails(2)
        .expect_stderr_has(&["`nightly` is not a job id", "job retry ID --cluster"]);
}

#[test]
fn whoever_looks_at_a_job_leaves_no_consumer() {
    let cluster = Cluster::new();
    let cli = map("numbers").typed("add-one --detach --job-id seen");
    id(cluster.with(cli.stdin("1\n")));
    let consumers = |stream: &str| {
        let page = "/jsz?accounts=1&streams=1&consumers=1";
        let page = cluster.server.monitor(page).expect("it answers");
        let accounts = page["account_details"].as_array().expect("there are some");
        let streams = accounts
            .iter()
            .filter_map(|account| account["stream_detail"].as_array());
        let found = streams.flatten().find(|one| one["name"] == stream);
        let found = found.expect("there is such a stream");
        found["consumer_detail"].as_array().map_or(0, Vec::len)
    };
    // A server has room for a thousand of a stream, and keeps each for a while that nobody removes.
    assert_eq!(cluster.show("seen")["done"], 0);
    assert_eq!(consumers("RWC_RESULTS"), 0);
    let listed = cluster.job("list --format json").end();
    assert_eq!(listed.expect_code(0).json()[0]["id"], "seen");
    for stream in ["KV_RWC_JOBS", "RWC_RESULTS"] {
        assert_eq!(consumers(stream), 0, "{stream}");
    }
    let _engines = cluster.engines(1);
    cluster.result("seen").end().expect_code(0);
    assert_eq!(cluster.show("seen")["done"], 1);
    // That of whoever followed it may still be there.
    let before = consumers("RWC_RESULTS");
    cluster.show("seen");
    assert!(consumers("RWC_RESULTS") <= before, "one more than {before}");
}
