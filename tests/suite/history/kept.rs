//! The file of the history: its bounds, those who write to it at the same time, and what is not one.

use super::{HistoryDir, history_of};
use crate::support::{Cli, Text, call, folder, map, module, one_line_each, run};
use rwasm_cluster::{
    ClusterEvent, History, HistoryError, HistorySettings, Input, JobQuery, JobState, Merge,
};
use std::fs;

#[test]
fn the_bounds_are_kept() {
    let dir = HistoryDir::new();
    let lines = "word\n".repeat(50);
    dir.run("wordcount")
        .typed("--chunk lines:1 --merge none --history-rows 10")
        .stdin(lines)
        .output();
    let job = &dir.list("")[0];
    assert_eq!((&job["tasks"], &job["dropped"]), (&50.into(), &40.into()));
    dir.job("result 1")
        .fails(14)
        .expect_stderr_has(&["the result of 40 tasks of job 1"]);
    dir.job("result 1 0")
        .fails(2)
        .expect_stderr_has(&["40 of the job's tasks were dropped"]);
    dir.job("result 1 49").end().expect_code(0);
    let sized = [
        "--history-size",
        "1MiB",
        "--chunk",
        "10KB",
        "--merge",
        "none",
    ];
    for seed in 0..4 {
        let text = Text::of(seed, 400_000).make();
        dir.run("upper")
            .args(sized)
            .stdin(text)
            .end()
            .expect_code(0);
    }
    let length = fs::metadata(dir.history()).expect("there").len();
    assert!(length <= 2 << 20, "{length} bytes");
    dir.run("wordcount")
        .typed("--history-rows 0")
        .stdin("a")
        .fails(2);
}

#[test]
fn a_file_that_is_no_history_is_refused_and_stays_as_it_is() {
    let dir = HistoryDir::new();
    dir.run("wordcount").stdin("a").output();
    let whole = fs::read(dir.history()).expect("read");
    let cases: [(&str, &[u8], &str); 4] = [
        (
            "text",
            b"dear diary, these are not jobs",
            "is not an SQLite database",
        ),
        ("empty", b"", "is damaged: it is empty"),
        ("half", &whole[..whole.len() / 2], "is damaged"),
        ("head", &whole[..50], "is damaged"),
    ];
    for (name, bytes, message) in cases {
        let path = dir.file(name, bytes);
        let with = |cli: Cli| cli.env("RWASM_HISTORY_FILE", &path);
        for command in [
            "list",
            "show 1",
            "result 1",
            "retry 1",
            "replay 1 0",
            "rm --all",
        ] {
            let ended = with(dir.job(command)).fails(14);
            assert_eq!(
                ended.stderr.matches("error: ").count(),
                1,
                "{}",
                ended.stderr
            );
            ended.expect_stderr_has(&[message, "RWASM_HISTORY_FILE"]);
        }
        let run = run("wordcount").arg("--history").stdin("a");
        with(run).fails(14).expect_stderr_has(&[message]);
        assert_eq!(fs::read(&path).expect("read"), bytes, "{name}");
    }
    let ended = dir.job("list").env("RWASM_HISTORY_FILE", dir.0.path());
    ended
        .fails(14)
        .expect_stderr_has(&["expected a regular file, found a directory"]);
}

#[test]
fn a_job_that_cannot_be_recorded_runs_all_the_same() {
    let dir = HistoryDir::new();
    let file = dir.file("file", "");
    // A directory that cannot be made, in ways that root is refused too.
    for place in [file.join("history.db"), "/proc/nowhere/history.db".into()] {
        let with = |cli: Cli| cli.arg("--history").env("RWASM_HISTORY_FILE", &place);
        let not_recorded = ["warning: the job is not recorded: history `", "cannot be"];
        let ended = with(run("wordcount")).stdin("a word").end().expect_code(0);
        ended
            .expect_stdout("word\t1\n")
            .expect_stderr_has(&not_recorded);
        let ended = with(call("numbers").args(["fib", "10"])).end();
        ended
            .expect_code(0)
            .expect_stdout("55\n")
            .expect_stderr_has(&not_recorded);
        let ended = with(map("numbers").arg("fib")).stdin("10\n").end();
        ended
            .expect_code(0)
            .expect_stdout("55\n")
            .expect_stderr_has(&not_recorded);
    }
}

#[test]
fn a_job_runs_when_the_disk_of_its_history_is_full() {
    let (dir, disk) = (HistoryDir::new(), folder());
    // One job is recorded where there is room.
    dir.run("wordcount").stdin("a word").output();
    let recorded = disk.path().join("recorded.db");
    fs::copy(dir.history(), &recorded).expect("the history is copied");
    let full = disk.path().join("full");
    fs::create_dir(&full).expect("a directory can be made");
    for (kept, place) in [
        (None, "history.db"),
        (None, "a/b/history.db"),
        (Some(&*recorded), "recorded.db"),
    ] {
        let on_full_disk = |cli: Cli| {
            let cli = cli.env("RWASM_HISTORY_FILE", full.join(place));
            cli.arg("--history").on_full_disk(&full, kept).end()
        };
        let not_recorded = ["warning: the job ", "recorded: history `", "full"];
        let ended = on_full_disk(run("wordcount").stdin("a word")).expect_code(0);
        ended
            .expect_stdout("word\t1\n")
            .expect_stderr_has(&not_recorded);
        let ended = on_full_disk(call("numbers").args(["fib", "10"])).expect_code(0);
        ended.expect_stdout("55\n").expect_stderr_has(&not_recorded);
        let ended = on_full_disk(map("numbers").arg("fib").stdin("10\n")).expect_code(0);
        ended.expect_stdout("55\n").expect_stderr_has(&not_recorded);
    }
}

#[test]
fn processes_that_record_at_the_same_time_lose_nothing() {
    const EACH: usize = 4;
    let dir = HistoryDir::new();
    std::thread::scope(|scope| {
        for label in ["a", "b", "c"] {
            let dir = &dir;
            scope.spawn(move || {
                for _ in 0..EACH {
                    dir.run("wordcount")
                        .typed("--chunk lines:1 --merge none --label")
                        .arg(label)
                        .stdin("a\nb\nc\n")
                        .output();
                }
            });
        }
    });
    for label in ["a", "b", "c"] {
        let jobs = dir.list(&format!("--label {label}"));
        assert_eq!(jobs.len(), EACH);
        assert!(
            jobs.iter()
                .all(|job| job["tasks"] == 3 && job["state"] == "done")
        );
    }
}

#[test]
fn a_job_goes_on_where_it_cannot_be_recorded() {
    let dir = HistoryDir::new();
    let cluster = dir.cluster(1);
    let mut events = cluster.events();
    let raw = rusqlite::Connection::open(dir.history()).expect("opened");
    raw.execute_batch(
        "CREATE TRIGGER refuse BEFORE INSERT ON task BEGIN SELECT RAISE(FAIL, 'no room'); END",
    )
    .expect("made");
    let inputs = vec![Input::bytes("text", "a\nb\n")];
    let job = cluster.run(&module("wordcount"), inputs, &one_line_each(Merge::Default));
    job.expect("begun").wait().expect("it goes well");
    let lost: Vec<_> = std::iter::from_fn(|| events.try_next())
        .filter_map(|event| match event {
            ClusterEvent::HistoryLost(reason) => Some(reason),
            _ => None,
        })
        .collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(lost[0].contains("no room"), "{lost:?}");
    let job = &history_of(&cluster)
        .jobs(&JobQuery::default())
        .expect("read")[0];
    assert_eq!(
        (job.state, job.tasks, job.tasks_dropped),
        (JobState::Done, 0, 2)
    );
}

#[test]
fn what_is_no_history_is_not_opened() {
    let dir = HistoryDir::new();
    let path = dir.file("diary", "dear diary");
    assert!(matches!(
        History::open(HistorySettings::new(&path)).map(drop),
        Err(HistoryError::NotSqlite { .. })
    ));
}
