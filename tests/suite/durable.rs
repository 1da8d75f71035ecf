//! Durable jobs: stored before their id is told, they outlive whoever submitted them, engines and servers.

mod commands;
mod damaged;
mod same_id;

use crate::support::over::Joined;
use crate::support::{
    Cli, Server, Text, call, file, folder, map, program, run, scratch, until, word_count,
};
use rwasm_cluster::join::{JoinSettings, ServedCluster};
use rwasm_cluster::nats::{AssetSettings, ConnectSettings, set_up};
use serde_json::Value as Json;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

/// A server that was set up as a cluster, without engines.
struct Cluster {
    server: Server,
}

impl Cluster {
    fn new() -> Self {
        Self::on(Server::start())
    }

    fn on(server: Server) -> Self {
        let mut settings = AssetSettings::default();
        settings.ack_wait = Some(Duration::from_secs(1));
        settings.presence = Some(Duration::from_secs(3));
        set_up(&ConnectSettings::new(server.url()), &settings).expect("the cluster is set up");
        Self { server }
    }

    fn engines(&self, count: u32) -> Joined {
        let mut settings =
            JoinSettings::new([ServedCluster::new(ConnectSettings::new(self.server.url()))]);
        settings.engines = Some(count);
        settings.cache_dir = Some(scratch().join("compiled"));
        settings.drain_timeout = Duration::ZERO;
        Joined::new(settings)
    }

    fn with(&self, cli: Cli) -> Cli {
        cli.env("RWASM_CLUSTER", self.server.url())
    }

    fn job(&self, arguments: &str) -> Cli {
        self.with(program().arg("job").typed(arguments))
    }

    #[track_caller]
    fn show(&self, id: &str) -> Json {
        self.job("show --format json")
            .arg(id)
            .end()
            .expect_code(0)
            .json()
    }

    /// What a job gives in the end.
    fn result(&self, id: &str) -> Cli {
        self.job("result --follow").arg(id)
    }
}

/// A line for each number.
fn numbered(range: std::ops::Range<u64>) -> String {
    let lines: Vec<String> = range.map(|n| n.to_string()).collect();
    lines.join("\n") + "\n"
}

/// The id that was printed, and nothing else.
#[track_caller]
fn id(cli: Cli) -> String {
    let printed = cli.end().expect_code(0).expect_stderr_is_empty().text();
    let id = printed.strip_suffix('\n').expect("a line");
    assert!(
        !id.is_empty() && !id.contains(char::is_whitespace),
        "{printed}"
    );
    id.to_owned()
}

#[test]
fn a_run_is_stored_and_its_result_had_from_another_process() {
    let cluster = Cluster::new();
    let dir = folder();
    let text = Text::of(3, 300_000).make();
    let book = file(&dir, "book.txt", &text);
    // No engine is there: that it is stored is all that counts.
    let id = id(cluster.with(
        run("wordcount")
            .typed("--detach --label nightly")
            .arg(&book),
    ));
    let shown = cluster.show(&id);
    assert_eq!(
        (&shown["state"], &shown["label"]),
        (&"queued".into(), &"nightly".into())
    );
    assert_eq!(shown["done"], 0);
    std::fs::remove_file(&book).expect("its input is not needed any more");
    cluster
        .job("result")
        .arg(&id)
        .fails(2)
        .expect_stderr_has(&["has not ended: 0 of", "--follow"]);
    cluster
        .job("result")
        .arg(&id)
        .arg("0")
        .fails(2)
        .expect_stderr_has(&["task 0 of the job", "has no outcome yet", "--follow"]);
    let engines = cluster.engines(2);
    let expected = word_count(&[&text]);
    cluster
        .result(&id)
        .end()
        .expect_code(0)
        .expect_stdout(&expected);
    assert_eq!(cluster.show(&id)["state"], "done");
    // What merges runs where it is asked for.
    drop(engines);
    // As often as is wanted.
    let again = cluster.job("result").arg(&id);
    again.end().expect_code(0).expect_stdout(&expected);
}

#[test]
fn a_job_of_the_same_id_is_submitted_once() {
    let cluster = Cluster::new();
    let _engines = cluster.engines(1);
    let submit = |guest: &str, function: &str| {
        let lines = "1\n2\n3\n";
        let cli = map(guest)
            .arg(function)
            .typed("--detach --job-id same")
            .stdin(lines);
        cluster.with(cli)
    };
    assert_eq!(id(submit("numbers", "add-one")), "same");
    assert_eq!(id(submit("numbers", "add-one")), "same");
    let result = cluster.result("same").end().expect_code(0).text();
    assert_eq!(result, "2\n3\n4\n");
    assert_eq!(cluster.show("same")["tasks"], 3);
    submit("numbers", "fib")
        .fails(2)
        .expect_stderr_has(&["different job `same`", "its function is"]);
    let numbered = map("numbers")
        .typed("add-one --detach --job-id 17")
        .stdin("1\n");
    cluster
        .with(numbered)
        .fails(2)
        .expect_stderr_has(&["history"]);
}

#[test]
fn failed_tasks_of_a_job_run_again() {
    let cluster = Cluster::new();
    let _engines = cluster.engines(2);
    let lines: String = (0..50)
        .map(|n| {
            if n % 10 == 3 {
                "x\n".to_owned()
            } else {
                format!("{n}\n")
            }
        })
        .collect();
    let cli = map("numbers")
        .typed("add-one --detach --max-failures 100%")
        .stdin(lines);
    let id = id(cluster.with(cli));
    let printed = cluster.result(&id).end().expect_code(0);
    let records = printed.json_lines();
    assert_eq!(records.len(), 50);
    assert_eq!(records[3]["error"]["code"], "bad-input");
    assert_eq!(records[4], 5);
    let shown = cluster.show(&id);
    assert_eq!(
        (&shown["failed"], &shown["attempt"]),
        (&5.into(), &1.into())
    );
    cluster
        .job("retry")
        .arg(&id)
        .end()
        .expect_code(0)
        .expect_stderr_has(&["5 tasks"]);
    cluster.result(&id).end().expect_code(0);
    let shown = cluster.show(&id);
    assert_eq!(
        (&shown["failed"], &shown["attempt"]),
        (&5.into(), &2.into())
    );
    assert_eq!(
        (&shown["done"], &shown["state"]),
        (&50.into(), &"done".into())
    );
    // One task alone.
    let task = |index: &str| cluster.job("result").arg(&id).arg(index);
    task("4").end().expect_code(0).expect_stdout("5\n");
    task("49").end().expect_code(0).expect_stdout("50\n");
    task("3")
        .fails(2)
        .expect_stderr_has(&["task 3 of job", "(bad-input)", "job retry"]);
    task("50")
        .fails(2)
        .expect_stderr_has(&["has 50 tasks", "no task 50"]);
    // One task of a run whose mapper follows from the module.
    let dir = folder();
    let book = file(&dir, "book.txt", "rain and river\n");
    let run = run("wordcount")
        .arg(&book)
        .arg(&book)
        .typed("--detach --job-id books");
    assert_eq!(self::id(cluster.with(run)), "books");
    cluster.result("books").end().expect_code(0);
    let one = cluster.job("result").args(["books", "1"]).end();
    one.expect_code(0).expect_stdout("rain\t1\nriver\t1\n");
    // Without a word on failures the first ends it, and what came before is printed.
    let cli = map("numbers")
        .typed("add-one --detach --job-id strict")
        .stdin("1\nx\n3\n");
    assert_eq!(self::id(cluster.with(cli)), "strict");
    let ended = cluster.result("strict").end().expect_code(11);
    assert_eq!(ended.text(), "2\n");
}

#[test]
fn a_cancelled_job_stops_and_can_be_taken_up_again() {
    let cluster = Cluster::new();
    let _engines = cluster.engines(2);
    let lines = "3600000\n".repeat(10);
    let endless = map("numbers")
        .typed("nap --detach --timeout 2h")
        .stdin(lines);
    let id = id(cluster.with(endless));
    until("the engines have tasks", || {
        cluster.server.under_way("main-mid") >= 2
    });
    cluster
        .job("cancel")
        .arg(&id)
        .end()
        .expect_code(0)
        .expect_empty_stdout();
    assert_eq!(cluster.show(&id)["state"], "cancelled");
    // The engines are free: another call gets through.
    let sum = cluster.with(call("numbers").typed("add-one 1"));
    assert_eq!(sum.output(), "2\n");
    cluster
        .job("cancel")
        .arg(&id)
        .end()
        .expect_code(0)
        .expect_stderr_has(&["was already cancelled"]);
    cluster
        .result(&id)
        .fails(2)
        .expect_stderr_has(&["was cancelled after 0 of 10 tasks", "job retry"]);
    let retried = cluster.job("retry").arg(&id).end().expect_code(0);
    retried.expect_stderr_has(&["10 tasks"]);
    assert_eq!(cluster.show(&id)["state"], "queued");
}

#[test]
fn a_removed_job_leaves_nothing() {
    let cluster = Cluster::new();
    let _engines = cluster.engines(1);
    let dir = folder();
    // Large enough to be an object of its own, and its result too.
    let book = file(&dir, "big.txt", "many words\n".repeat(1_000_000));
    let id = id(cluster.with(run("upper").arg("--detach").arg(&book)));
    let result = cluster.result(&id).end().expect_code(0);
    assert_eq!(result.stdout.len(), 11_000_000);
    assert!(result.stdout.starts_with(b"MANY WORDS\n"));
    cluster
        .job("rm")
        .arg(&id)
        .end()
        .expect_code(0)
        .expect_empty_stdout();
    cluster
        .job("show")
        .arg(&id)
        .fails(2)
        .expect_stderr_has(&["has no job", &id]);
    let listed = cluster
        .job("list --format json")
        .end()
        .expect_code(0)
        .json();
    assert_eq!(listed, Json::Array(Vec::new()));
    // Its module stays for the next; of its data nothing does.
    until("the store is empty", || {
        cluster.server.stored("OBJ_RWC_BLOBS") < 1_000_000
            && cluster.server.stored("RWC_RESULTS") == 0
    });
}

#[test]
fn a_job_outlives_its_server_and_its_engines() {
    let mut cluster = Cluster::new();
    let lines: String = numbered(0..500);
    let engines = cluster.engines(1);
    let id = id(cluster.with(map("numbers").typed("add-one --detach").stdin(lines)));
    cluster.server.restart();
    drop(engines);
    let _others = cluster.engines(2);
    let wanted: String = numbered(1..501);
    cluster
        .result(&id)
        .end()
        .expect_code(0)
        .expect_stdout(wanted);
}

#[test]
fn a_job_that_was_not_stored_as_a_whole_is_submitted_again() {
    let cluster = Cluster::new();
    let _engines = cluster.engines(1);
    let submit = || map("numbers").typed("add-one --detach --job-id half");
    let mut child = cluster
        .with(submit())
        .into_command()
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"1\n2\n").expect("it reads");
    until("it has begun", || {
        let shown = cluster
            .job("list --format json")
            .end()
            .expect_code(0)
            .json();
        shown[0]["state"] == "submitting"
    });
    child.kill().expect("it runs");
    child.wait().expect("it ended");
    cluster
        .job("result half")
        .fails(2)
        .expect_stderr_has(&["only partly submitted"]);
    assert_eq!(id(cluster.with(submit().stdin("1\n2\n3\n"))), "half");
    assert_eq!(cluster.result("half").output(), "2\n3\n4\n");
}

#[test]
fn what_nobody_would_be_there_to_do_is_refused() {
    let cluster = Cluster::new();
    for (options, part) in [
        ("--retries 2", "job retry"),
        ("--targets 0", "chosen in advance"),
        ("--queue-timeout 1s", "deadline"),
        ("--reuse engine", "kept on engines"),
    ] {
        let cli = map("numbers")
            .typed("add-one --detach")
            .typed(options)
            .stdin("1\n");
        cluster
            .with(cli)
            .fails(2)
            .expect_stderr_has(&["a durable job cannot have", part]);
    }
    let here = map("numbers")
        .typed("add-one --detach --cluster=local")
        .stdin("1\n");
    here.fails(2)
        .expect_stderr_has(&["--detach", "none is named"]);
    cluster
        .job("show nothing")
        .fails(2)
        .expect_stderr_has(&["no job `nothing`"]);
}

#[test]
fn a_deadline_ends_what_has_not_begun() {
    let cluster = Cluster::new();
    let cli = map("numbers").typed("add-one --detach --deadline 1ms --max-failures 100%");
    let id = id(cluster.with(cli.stdin("1\n2\n")));
    let _engines = cluster.engines(1);
    let records = cluster.result(&id).end().expect_code(0).json_lines();
    assert!(
        records
            .iter()
            .all(|record| record["error"]["code"] == "timeout"),
        "{records:?}"
    );
}

#[test]
fn a_deadline_ends_what_runs() {
    let cluster = Cluster::new();
    let _engines = cluster.engines(1);
    let cli = map("numbers").typed("nap --detach --deadline 3s --timeout 2h --max-failures 100%");
    let id = id(cluster.with(cli.stdin("3600000\n".repeat(3))));
    let records = cluster.result(&id).end().expect_code(0).json_lines();
    assert_eq!(records.len(), 3);
    for record in records {
        let error = &record["error"];
        assert_eq!(error["code"], "timeout");
        let message = error["message"].as_str().expect("it has one");
        assert!(message.contains("the job's deadline"), "{message}");
    }
}
