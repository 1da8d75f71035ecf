//! Jobs of one id: the same job again, another one, and one after another was removed.

use super::{Cluster, id, numbered};
use crate::support::{Cli, Server, file, folder, map, run, until, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::fs;
use std::io::Read;
use std::process::Stdio;

/// A map of all numbers below 10, each in a message of its own.
fn ten(job_id: &str) -> Cli {
    let cli = map("numbers").typed("add-one --detach --dispatch-size 1 --job-id");
    cli.arg(job_id).stdin(numbered(0..10))
}

impl Cluster {
    /// A server that does not take messages of that number, until it is told to.
    fn refusing(number: &str) -> Self {
        let server = Server::with(&format!(
            "authorization {{ users: [{{ user: anybody, password: none, permissions: {{ publish: {{ deny: [\"rwc.t.*.*.*.{number}\"] }} }} }}] }}\n\
             no_auth_user: anybody"
        ));
        Self::on(server)
    }

    fn take_all(&mut self) {
        let path = self.server.dir().join("server.conf");
        let config = fs::read_to_string(&path).expect("it has a configuration");
        let (before, _) = config
            .split_once("authorization")
            .expect("it refuses something");
        fs::write(&path, before).expect("a configuration is written");
        self.server.restart();
    }
}

#[test]
fn a_job_of_a_removed_ones_id_runs_anew() {
    let cluster = Cluster::new();
    let _engines = cluster.engines(1);
    for _ in 0..2 {
        assert_eq!(id(cluster.with(ten("again"))), "again");
        let wanted = numbered(1..11);
        let result = cluster.result("again").end().expect_code(0);
        result.expect_stdout(wanted);
        cluster.job("rm again").end().expect_code(0);
    }
}

#[test]
fn nothing_of_a_removed_job_reaches_one_of_its_id() {
    let cluster = Cluster::new();
    let _engines = cluster.engines(2);
    let naps = map("numbers")
        .typed("nap --detach --job-id twin --timeout 2h")
        .stdin("3600000\n".repeat(10));
    id(cluster.with(naps));
    until("the engines have tasks", || {
        cluster.server.under_way("main-mid") >= 2
    });
    cluster.job("rm twin").end().expect_code(0);
    // Its outcomes are stored later than it was removed.
    id(cluster.with(ten("twin")));
    let result = cluster.result("twin").end().expect_code(0);
    result.expect_stdout(numbered(1..11));
    until("engines have stored what came of the other", || {
        cluster.server.under_way("main-mid") == 0
    });
    let shown = cluster.show("twin");
    assert_eq!(
        [&shown["done"], &shown["failed"]],
        [&json!(10), &json!(0)],
        "{shown}"
    );
}

#[test]
fn another_job_of_the_same_id_is_refused_by_what_differs() {
    let cluster = Cluster::new();
    let dir = folder();
    let book = file(&dir, "book.txt", "one two\n");
    let other = file(&dir, "other.txt", "one too\n");
    // Streamed, and not held.
    let large = file(&dir, "large.txt", "many words\n".repeat(600_000));
    let larger = file(&dir, "larger.txt", "many wordz\n".repeat(600_000));
    let upper = |options: &str, file| {
        let cli = run("upper").typed("--detach --job-id k1").typed(options);
        cluster.with(cli.arg(file).typed("-- --prefix a"))
    };
    assert_eq!(id(upper("", &book)), "k1");
    // The same words in another place are the same.
    let copy = file(&dir, "copy.txt", "one two\n");
    assert_eq!(id(upper("", &copy)), "k1");
    for (options, file, part) in [
        ("", &other, "its input is different"),
        ("--env A=1", &book, "its grants are different"),
        ("--memory 64MiB", &book, "its limits are different"),
        ("--deterministic", &book, "deterministic"),
        (
            "--max-failures 3",
            &book,
            "its number of tolerated failures is 0",
        ),
    ] {
        upper(options, file).fails(2).expect_stderr_has(&[
            "already has a different job `k1`",
            part,
            "--job-id",
        ]);
    }
    let arguments = run("upper").typed("--detach --job-id k1");
    let arguments = cluster.with(arguments.arg(&book).typed("-- --prefix b"));
    arguments
        .fails(2)
        .expect_stderr_has(&["its arguments are different"]);
    let streamed = |file| {
        let cli = run("upper").typed("--detach --job-id k2").arg(file);
        cluster.with(cli)
    };
    assert_eq!(id(streamed(&large)), "k2");
    assert_eq!(id(streamed(&large)), "k2");
    streamed(&larger)
        .fails(2)
        .expect_stderr_has(&["its input is different"]);
    // What is refused leaves the other as it is.
    let _engines = cluster.engines(1);
    let result = cluster.result("k1").end().expect_code(0);
    result.expect_stdout("aONE TWO\n");
}

#[test]
fn an_interrupted_submission_is_completed_by_the_same_job_alone() {
    let mut cluster = Cluster::refusing("5");
    cluster.with(ten("half")).fails(13);
    let shown = cluster.show("half");
    assert_eq!(shown["state"], "submitting", "{shown}");
    cluster.take_all();
    let others = ten("half").stdin(numbered(100..110));
    cluster
        .with(others)
        .fails(2)
        .expect_stderr_has(&["its input is different"]);
    assert_eq!(id(cluster.with(ten("half"))), "half");
    let _engines = cluster.engines(1);
    let result = cluster.result("half").end().expect_code(0);
    result.expect_stdout(numbered(1..11));
}

#[test]
fn a_retry_that_was_interrupted_is_completed_by_the_next() {
    let mut cluster = Cluster::refusing("a2-5");
    let _engines = cluster.engines(1);
    let lines = "x\n".repeat(10);
    let cli = map("numbers")
        .typed("add-one --detach --job-id again --max-failures 100%")
        .stdin(lines);
    id(cluster.with(cli));
    cluster.result("again").end().expect_code(0);
    cluster.job("retry again").fails(13);
    cluster.take_all();
    cluster.job("retry again").end().expect_code(0);
    cluster.result("again").end().expect_code(0);
    let shown = cluster.show("again");
    assert_eq!(
        [&shown["done"], &shown["attempt"], &shown["state"]],
        [&json!(10), &json!(2), &json!("done")],
        "{shown}"
    );
}

#[test]
fn a_job_that_is_cancelled_or_removed_while_it_is_submitted_stops() {
    let cluster = Cluster::new();
    for (command, part) in [("cancel", "was cancelled"), ("rm", "was removed")] {
        // Once it was caught while it published, which it may have been through with.
        for number in 0.. {
            assert!(number < 20, "it is never caught");
            let job_id = format!("{command}-{number}");
            let cli = map("numbers")
                .typed("add-one --detach --dispatch-size 1 --job-id")
                .arg(&job_id);
            let dir = folder();
            let lines = file(&dir, "lines", numbered(0..10_000));
            let mut submitting = cluster
                .with(cli.arg(&lines))
                .into_command()
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts");
            let pid = Pid::from_child(&submitting);
            until("something is published", || {
                cluster.server.stored("RWC_TASKS") > 0
            });
            kill_process(pid, Signal::STOP).expect("a child takes signals");
            let is_caught = cluster.show(&job_id)["state"] == "submitting";
            cluster.job(command).arg(&job_id).end().expect_code(0);
            kill_process(pid, Signal::CONT).expect("a child takes signals");
            let mut stderr = submitting.stderr.take().expect("it is piped");
            let ended = wait(submitting).expect("it ends in time");
            let mut said = String::new();
            stderr.read_to_string(&mut said).expect("it is text");
            let left = cluster.server.stored("RWC_TASKS");
            cluster.job("rm").arg(&job_id).end();
            if is_caught {
                assert_eq!(ended.code(), Some(11), "{said}");
                assert!(said.contains(part) && said.contains(&job_id), "{said}");
                assert_eq!(left, 0, "what it published is taken back");
                break;
            }
        }
    }
}
