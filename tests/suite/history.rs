//! The history: what `--history` records, what `job` makes of it, and the same from the library.

mod again;
mod kept;
mod library;

use crate::support::{Cli, Text, file, folder, program, run, scratch};
use rwasm_cluster::{Cluster, History, HistorySettings};
use std::path::PathBuf;
use tempfile::TempDir;

/// A directory with room for a history.
struct HistoryDir(TempDir);

impl HistoryDir {
    fn new() -> Self {
        Self(folder())
    }

    fn history(&self) -> PathBuf {
        self.0.path().join("history.db")
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        file(&self.0, name, content)
    }

    /// A run that is recorded.
    fn run(&self, guest: &str) -> Cli {
        run(guest)
            .env("RWASM_HISTORY_FILE", self.history())
            .arg("--history")
    }

    fn job(&self, arguments: &str) -> Cli {
        program()
            .env("RWASM_HISTORY_FILE", self.history())
            .arg("job")
            .typed(arguments)
    }

    fn list(&self, arguments: &str) -> Vec<serde_json::Value> {
        let list = self.job("list --format json").typed(arguments).end();
        match list.expect_code(0).json() {
            serde_json::Value::Array(jobs) => jobs,
            other => panic!("not a list: {other}"),
        }
    }

    fn cluster(&self, engines: u32) -> Cluster {
        Cluster::builder()
            .engines(engines)
            .cache_dir(scratch().join("compiled"))
            .history(History::open(HistorySettings::new(self.history())).expect("a history opens"))
            .start()
            .expect("a cluster starts")
    }
}

fn history_of(cluster: &Cluster) -> &History {
    cluster.history().expect("it was given one")
}

#[test]
fn a_result_is_printed_again_byte_for_byte() {
    let dir = HistoryDir::new();
    let text = dir.file("text.txt", Text::of(7, 40_000).make());
    let lines = dir.file("lines.txt", "a b\nc\nd e d\n");
    let cases = [
        ("wordcount", "--engines 2 --chunk 4KiB", &text),
        ("wordcount", "--format json", &text),
        ("wordcount", "--merge none --chunk lines:1", &lines),
        (
            "wordcount",
            "--merge none --chunk lines:1 --format text",
            &lines,
        ),
        ("wordcount", "--merge count --format jsonl", &lines),
        ("upper", "", &lines),
        ("upper", "--chunk 10KiB", &text),
        ("upper", "--chunk lines:1 --format jsonl", &lines),
        ("linecount", "--merge collect --format wave", &lines),
    ];
    for (number, (guest, options, input)) in (1..).zip(cases) {
        let printed = dir.run(guest).typed(options).arg(input).end();
        let printed = printed.expect_code(0).expect_stderr_is_empty();
        let again = dir.job(&format!("result {number}")).end();
        again.expect_code(0).expect_stdout(&printed.stdout);
    }
    // Outcomes that are joined as they come are recorded by the merge that joins them.
    let streamed = dir.job("show 6 --format json").end().expect_code(0);
    assert_eq!(streamed.json()["options"]["merge"], "concat");
    // A task by itself, where there was no merge.
    let one = dir.job("result 3 1").end().expect_code(0);
    assert_eq!(one.json()[0][0], "c");
    dir.job("result 3 3")
        .fails(2)
        .expect_stderr_has(&["job 3 has no task 3: it has 3 tasks, numbered from 0"]);
    dir.job("result 1 0")
        .fails(14)
        .expect_stderr_has(&["it was merged into the result of the job"]);
}

#[test]
fn jobs_are_listed_by_what_is_known_of_them() {
    let dir = HistoryDir::new();
    let good = ["--label", "night 1"];
    dir.run("wordcount").args(good).stdin("a b").output();
    dir.run("upper").stdin("a").output();
    dir.run("faulty")
        .typed("--label bad --chunk lines:1")
        .stdin("refuse\n")
        .fails(11);
    let ids = |arguments: &str| -> Vec<u64> {
        let jobs = dir.list(arguments);
        jobs.iter()
            .map(|job| job["id"].as_u64().expect("an id"))
            .collect()
    };
    assert_eq!(ids(""), [3, 2, 1]);
    assert_eq!(ids("--limit 1"), [3]);
    assert_eq!(ids("--state failed"), [3]);
    assert_eq!(ids("--state done,failed --limit 2"), [3, 2]);
    assert_eq!(ids("--label n*"), [1]);
    assert_eq!(ids("--function mapper"), [3, 1]);
    assert_eq!(ids("--engine 1000"), [] as [u64; 0]);
    assert_eq!(ids("--since 1h"), [3, 2, 1]);
    assert_eq!(ids("--since 1h30m"), [3, 2, 1]);
    let ago = dir.job("list --format json --since").arg("2h ago").end();
    assert_eq!(ago.expect_code(0).json().as_array().map(Vec::len), Some(3));
    assert_eq!(ids("--since 2001-01-01"), [3, 2, 1]);
    assert_eq!(ids("--since 2999-01-01"), [] as [u64; 0]);

    let text = dir.job("list").output();
    let words: Vec<Vec<&str>> = text
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .collect()
        })
        .collect();
    assert_eq!(words.len(), 4);
    assert_eq!(words[0][..5], ["ID", "STATE", "KIND", "FUNCTION", "LABEL"]);
    assert_eq!(words[1][..5], ["3", "failed", "run", "mapper", "bad"]);
    assert_eq!(words[2][..5], ["2", "done", "run", "_start", "-"]);
    assert_eq!(words[3][..5], ["1", "done", "run", "mapper", "night 1"]);
    let starts: Vec<_> = text
        .lines()
        .filter_map(|line| line.find("run").or(line.find("KIND")))
        .collect();
    assert!(starts.iter().all(|start| *start == starts[0]), "{text}");

    for wrong in [
        "--state bad",
        "--since yesterday",
        "--engine x",
        "--limit -1",
    ] {
        dir.job("list").typed(wrong).fails(2);
    }
}

#[test]
fn a_failed_job_is_shown_with_its_failed_tasks() {
    let dir = HistoryDir::new();
    let input = dir.file("lines.txt", "fine\nrefuse\nfine\ntrap\n");
    let options = "--chunk lines:1 --max-failures 2 --retries 1";
    dir.run("faulty")
        .typed(options)
        .arg(&input)
        .end()
        .expect_code(0);
    let shown = dir.job("show 1").output();
    for part in [
        "state      done",
        "function   mapper",
        "tasks      4, 2 failed",
        "task 1     guest-error: refused: line 1 says so",
        "task 3     trap: ",
        "lines.txt, bytes 5..12",
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    let shown = dir.job("show 1 --format json").end().json();
    let failed = &shown["failed_tasks"];
    assert_eq!(failed[0]["attempts"].as_array().expect("a list").len(), 2);
    assert_eq!(failed[0]["range"]["start"], 5);
    assert_eq!(failed[0]["range"]["path"], input.display().to_string());
    assert!(
        failed[1]["backtrace"]
            .as_str()
            .expect("text")
            .contains("mapper")
    );
    assert!(
        failed[1]["stderr"]
            .as_str()
            .expect("text")
            .contains("asked for a trap")
    );
}

#[test]
fn what_is_not_kept_is_said() {
    let dir = HistoryDir::new();
    // A command's stdin goes to it unread; a large result is not kept.
    let large = "word\n".repeat(20_000);
    dir.run("upper").stdin(large).output();
    dir.job("result 1")
        .fails(14)
        .expect_stderr_has(&["was not recorded: it has 97.7KiB"]);
    dir.job("replay 1 0")
        .fails(14)
        .expect_stderr_has(&["it was a stream"]);
}

#[test]
fn jobs_are_removed() {
    let dir = HistoryDir::new();
    for _ in 0..4 {
        dir.run("wordcount").stdin("a").output();
    }
    let removed = dir.job("rm 1 3").end().expect_code(0).expect_stdout("");
    assert_eq!(removed.stderr, "removed job 1\nremoved job 3\n");
    assert_eq!(dir.list("").len(), 2);
    for command in ["show", "result", "retry", "rm"] {
        dir.job(command)
            .arg("1")
            .fails(2)
            .expect_stderr_has(&["job 1 was removed from the history"]);
        dir.job(command)
            .arg("99")
            .fails(2)
            .expect_stderr_has(&["job 99 is not in the history"]);
    }
    // One that is not there keeps the others from going.
    dir.job("rm 2 99").fails(2);
    assert_eq!(dir.list("").len(), 2);
    dir.job("rm").fails(2);
    dir.job("rm 2 --all").fails(2);
    dir.run("wordcount").stdin("a").output();
    let quiet = dir.job("rm 5 --quiet").end().expect_code(0);
    quiet.expect_stderr_is_empty();
    let removed = dir.job("rm --all").end().expect_code(0);
    assert_eq!(removed.stderr, "removed 2 jobs\n");
    assert_eq!(dir.list("").len(), 0);
}

#[test]
fn what_a_job_is_called_cannot_forge_lines() {
    let dir = HistoryDir::new();
    let forged = "a\nstate      done\u{1b}[31m";
    let text = r#"(module (func (export "f\0astate      forged")))"#;
    let module = dir.file("m\nforged.wat", text);
    let call = program().arg("call").arg(module);
    call.arg("f\nstate      forged")
        .args(["--history", "--label", forged])
        .env("RWASM_HISTORY_FILE", dir.history())
        .output();
    let shown = dir.job("show 1").output();
    let state = |line: &&str| line.starts_with("state ") || line.starts_with("forged");
    assert_eq!(shown.lines().filter(state).count(), 1, "{shown}");
    assert!(shown.contains(r"a\nstate      done\u{1b}[31m"), "{shown}");
    assert_eq!(dir.job("list").output().lines().count(), 2);
}

#[test]
fn nothing_is_recorded_unless_it_is_asked_for() {
    let dir = HistoryDir::new();
    let recorded = |cli: Cli| {
        cli.env("RWASM_HISTORY_FILE", dir.history())
            .in_dir(dir.0.path())
    };
    recorded(run("wordcount")).stdin("a").output();
    assert!(!dir.history().exists());
    let list = dir.job("list").end().expect_code(0).expect_stdout("");
    list.expect_stderr_has(&["no history yet", "--history"]);
    dir.job("list --format json")
        .end()
        .expect_code(0)
        .expect_stdout("[]\n");
    for command in [
        "show 1",
        "result 1",
        "retry 1",
        "replay 1 0",
        "rm 1",
        "rm --all",
    ] {
        dir.job(command)
            .fails(2)
            .expect_stderr_has(&["no history yet"]);
    }
    assert!(!dir.history().exists());

    recorded(run("wordcount"))
        .env("RWASM_HISTORY", "1")
        .stdin("a")
        .output();
    dir.file("rwasm.toml", "history = true\n");
    for _ in 0..3 {
        recorded(run("wordcount"))
            .env("RWASM_HISTORY_ROWS", "2")
            .stdin("a")
            .output();
    }
    assert_eq!(dir.list("").len(), 2);
    // A project has its jobs recorded, and does not remove those of others with it.
    for bound in ["history-rows = 1\n", "history-size = '1MiB'\n"] {
        dir.file("rwasm.toml", format!("history = true\n{bound}"));
        let refused = recorded(run("wordcount")).stdin("a").fails(2);
        refused.expect_stderr_has(&["rwasm.toml", "cannot be set here"]);
        assert_eq!(dir.list("").len(), 2);
    }

    // By default it is in the user's state directory.
    let state = folder();
    let own = |cli: Cli| cli.env("XDG_STATE_HOME", state.path());
    own(run("wordcount").arg("--history")).stdin("a").output();
    assert!(state.path().join("rwasm-cluster/history.db").is_file());
    own(program().typed("job show 1")).output();
}

/// A run in a loop without end, once the history has it as a running job.
fn running(dir: &HistoryDir) -> std::process::Child {
    let mut command = dir.run("spin").stdin("").into_command();
    let null = std::process::Stdio::null;
    let child = command.stdin(null()).stdout(null()).stderr(null()).spawn();
    let child = child.expect("it starts");
    let start = std::time::Instant::now();
    while dir.list("--state running").is_empty() {
        assert!(
            start.elapsed() < std::time::Duration::from_secs(30),
            "it never ran"
        );
    }
    child
}

#[test]
fn jobs_whose_process_ended_before_them_were_interrupted() {
    use rustix::process::{Pid, Signal, kill_process};
    let dir = HistoryDir::new();
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let child = running(&dir);
        let id = dir.list("")[0]["id"].to_string();
        dir.job("rm")
            .arg(&id)
            .fails(2)
            .expect_stderr_has(&["is still running"]);
        dir.job("retry")
            .arg(&id)
            .fails(2)
            .expect_stderr_has(&["is still running"]);
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        crate::support::wait(child).expect("it ends");
        assert_eq!(dir.list("--state interrupted").len(), 1, "{signal:?}");
        assert_eq!(
            dir.list("--state cancelled"),
            Vec::<serde_json::Value>::new()
        );
        let why = format!("error: job {id} was interrupted and has no result\n");
        dir.job("result")
            .arg(&id)
            .fails(2)
            .expect_stderr_has(&[&why]);
        dir.job("rm").arg(&id).end().expect_code(0);
    }
}
