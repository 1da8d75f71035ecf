//! The history: what `--history` records, what `job` makes of it, and the same from the library.

use crate::support::{Cli, Text, file, folder, module, one_line_each, program, run, scratch};
use rwasm_cluster::{
    Argument, Cluster, ClusterEvent, History, HistoryError, HistorySettings, Input, JobKind,
    JobQuery, JobState, Kept, Merge, StartError, TaskInput, TaskQuery, TaskState, Value,
};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A directory with room for a history.
struct Place(TempDir);

impl Place {
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
            .history(HistorySettings::new(self.history()))
            .start()
            .expect("a cluster starts")
    }
}

fn history_of(cluster: &Cluster) -> &History {
    cluster.history().expect("it was given one")
}

#[test]
fn a_result_is_printed_again_byte_for_byte() {
    let place = Place::new();
    let text = place.file("text.txt", Text::of(7, 40_000).make());
    let lines = place.file("lines.txt", "a b\nc\nd e d\n");
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
        let printed = place.run(guest).typed(options).arg(input).end();
        let printed = printed.expect_code(0).expect_stderr_is_empty();
        let again = place.job(&format!("result {number}")).end();
        again.expect_code(0).expect_stdout(&printed.stdout);
    }
    // Outcomes that are joined as they come are recorded by the merge that joins them.
    let streamed = place.job("show 6 --format json").end().expect_code(0);
    assert_eq!(streamed.json()["options"]["merge"], "concat");
    // A task by itself, where there was no merge.
    let one = place.job("result 3 1").end().expect_code(0);
    assert_eq!(one.json()[0][0], "c");
    place
        .job("result 3 3")
        .fails(2)
        .expect_stderr_has(&["task 3 of job 3 is not in the history"]);
    place
        .job("result 1 0")
        .fails(14)
        .expect_stderr_has(&["it was merged into the result of the job"]);
}

#[test]
fn jobs_are_listed_by_what_is_known_of_them() {
    let place = Place::new();
    let good = ["--label", "night 1"];
    place.run("wordcount").args(good).stdin("a b").output();
    place.run("upper").stdin("a").output();
    place
        .run("faulty")
        .typed("--label bad --chunk lines:1")
        .stdin("refuse\n")
        .fails(11);
    let ids = |arguments: &str| -> Vec<u64> {
        let jobs = place.list(arguments);
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
    assert_eq!(ids("--since 2001-01-01"), [3, 2, 1]);
    assert_eq!(ids("--since 2999-01-01"), [] as [u64; 0]);

    let text = place.job("list").output();
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
        place.job("list").typed(wrong).fails(2);
    }
}

#[test]
fn a_failed_job_is_shown_with_its_failed_tasks() {
    let place = Place::new();
    let input = place.file("lines.txt", "fine\nrefuse\nfine\ntrap\n");
    let options = "--chunk lines:1 --max-failures 2 --retries 1";
    place
        .run("faulty")
        .typed(options)
        .arg(&input)
        .end()
        .expect_code(0);
    let shown = place.job("show 1").output();
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
    let shown = place.job("show 1 --format json").end().json();
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
fn failed_tasks_run_again_when_their_cause_is_mended() {
    let place = Place::new();
    let text = Text::of(3, 30_000).make();
    let input = place.file("text.txt", &text);
    let wanted = run("wordcount").arg(&input).end().expect_code(0).stdout;
    // From a file, and from stdin, whose chunks are kept themselves.
    place
        .run("wordcount")
        .typed("--fuel 1000")
        .arg(&input)
        .fails(11);
    place
        .run("wordcount")
        .typed("--fuel 1000 --label x")
        .stdin(text)
        .fails(11);
    for (job, new) in [(1, 3), (2, 4)] {
        place
            .job(&format!("retry {job} -j 2 --fuel 10000000000"))
            .end()
            .expect_code(0)
            .expect_stdout(&wanted);
        let jobs = place.list("--limit 1");
        assert_eq!(
            (&jobs[0]["id"], &jobs[0]["repeats"]),
            (&new.into(), &job.into())
        );
        assert_eq!(jobs[0]["state"], "done");
    }
    assert_eq!(place.list("--limit 1")[0]["label"], "x");
    place
        .job("retry 3")
        .fails(2)
        .expect_stderr_has(&["job 3 has no failed tasks"]);

    // Not as it was; then as it was, but with the old limit.
    fs::write(&input, "other words").expect("written");
    place
        .job("retry 1 --fuel 10000000000")
        .fails(14)
        .expect_stderr_has(&["text.txt` have changed"]);
    fs::remove_file(&input).expect("removed");
    place
        .job("retry 1")
        .fails(14)
        .expect_stderr_has(&["cannot read `", "text.txt`"]);
    place.file("text.txt", Text::of(3, 30_000).make());
    place
        .job("retry 1")
        .fails(11)
        .expect_stderr_has(&["fuel-exhausted"]);
}

#[test]
fn a_task_is_replayed_with_its_backtrace_and_what_it_wrote() {
    let place = Place::new();
    let input = place.file("lines.txt", "fine\ntrap\nfine\n");
    place
        .run("faulty")
        .typed("--chunk lines:1 --max-failures 1")
        .arg(&input)
        .end()
        .expect_code(0);
    place.job("replay 1 1").fails(11).expect_stderr_has(&[
        "(trap)",
        "asked for a trap",
        "backtrace, innermost call first:",
        "mapper",
    ]);
    place
        .job("replay 1 2")
        .end()
        .expect_code(0)
        .expect_stdout("1\n");
    place.job("replay 1 9").fails(2);
    // Nothing of that was recorded.
    assert_eq!(place.list("").len(), 1);
}

#[test]
fn a_module_that_has_changed_is_not_run_in_the_place_of_the_old_one() {
    let place = Place::new();
    let own = place.0.path().join("own.wasm");
    fs::copy(crate::support::guest("faulty"), &own).expect("copied");
    let recorded = |cli: Cli| {
        cli.env("RWASM_HISTORY_FILE", place.history())
            .env("RWASM_HISTORY", "1")
    };
    recorded(program().arg("run").arg(&own))
        .stdin("refuse\n")
        .fails(11);
    fs::copy(crate::support::guest("wordcount"), &own).expect("copied");
    place
        .job("retry 1")
        .fails(14)
        .expect_stderr_has(&["own.wasm` has changed since job 1"]);
    fs::remove_file(&own).expect("removed");
    place
        .job("replay 1 0")
        .fails(10)
        .expect_stderr_has(&["own.wasm"]);
}

#[test]
fn what_is_not_kept_is_said() {
    let place = Place::new();
    // A command's stdin goes to it unread; a large result is not kept.
    let large = "word\n".repeat(20_000);
    place.run("upper").stdin(large).output();
    place
        .job("result 1")
        .fails(14)
        .expect_stderr_has(&["was not recorded: it has 97.7KiB"]);
    place
        .job("replay 1 0")
        .fails(14)
        .expect_stderr_has(&["it was a stream"]);
}

#[test]
fn jobs_are_removed() {
    let place = Place::new();
    for _ in 0..4 {
        place.run("wordcount").stdin("a").output();
    }
    place.job("rm 1 3").end().expect_code(0).expect_stdout("");
    assert_eq!(place.list("").len(), 2);
    for command in ["show", "result", "retry", "rm"] {
        place
            .job(command)
            .arg("1")
            .fails(2)
            .expect_stderr_has(&["job 1 was removed from the history"]);
        place
            .job(command)
            .arg("99")
            .fails(2)
            .expect_stderr_has(&["job 99 is not in the history"]);
    }
    // One that is not there keeps the others from going.
    place.job("rm 2 99").fails(2);
    assert_eq!(place.list("").len(), 2);
    place.job("rm").fails(2);
    place.job("rm 2 --all").fails(2);
    place.job("rm --all").end().expect_code(0);
    assert_eq!(place.list("").len(), 0);
}

#[test]
fn nothing_is_recorded_unless_it_is_asked_for() {
    let place = Place::new();
    let recorded = |cli: Cli| {
        cli.env("RWASM_HISTORY_FILE", place.history())
            .in_dir(place.0.path())
    };
    recorded(run("wordcount")).stdin("a").output();
    assert!(!place.history().exists());
    let list = place.job("list").end().expect_code(0).expect_stdout("");
    list.expect_stderr_has(&["no history yet", "--history"]);
    place
        .job("list --format json")
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
        place
            .job(command)
            .fails(2)
            .expect_stderr_has(&["no history yet"]);
    }
    assert!(!place.history().exists());

    recorded(run("wordcount"))
        .env("RWASM_HISTORY", "1")
        .stdin("a")
        .output();
    place.file("rwasm.toml", "history = true\nhistory-rows = 2\n");
    for _ in 0..3 {
        recorded(run("wordcount")).stdin("a").output();
    }
    assert_eq!(place.list("").len(), 2);

    // By default it is in the user's state directory.
    let state = folder();
    let own = |cli: Cli| cli.env("XDG_STATE_HOME", state.path());
    own(run("wordcount").arg("--history")).stdin("a").output();
    assert!(state.path().join("rwasm-cluster/history.db").is_file());
    own(program().typed("job show 1")).output();
}

#[test]
fn the_bounds_are_kept() {
    let place = Place::new();
    let lines = "word\n".repeat(50);
    place
        .run("wordcount")
        .typed("--chunk lines:1 --merge none --history-rows 10")
        .stdin(lines)
        .output();
    let job = &place.list("")[0];
    assert_eq!((&job["tasks"], &job["dropped"]), (&50.into(), &40.into()));
    place
        .job("result 1")
        .fails(14)
        .expect_stderr_has(&["the result of 40 tasks of job 1"]);
    place
        .job("result 1 0")
        .fails(2)
        .expect_stderr_has(&["40 of the job's tasks were dropped"]);
    place.job("result 1 49").end().expect_code(0);
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
        place
            .run("upper")
            .args(sized)
            .stdin(text)
            .end()
            .expect_code(0);
    }
    let length = fs::metadata(place.history()).expect("there").len();
    assert!(length <= 2 << 20, "{length} bytes");
    place
        .run("wordcount")
        .typed("--history-rows 0")
        .stdin("a")
        .fails(2);
}

#[test]
fn a_file_that_is_no_history_is_refused_and_stays_as_it_is() {
    let place = Place::new();
    place.run("wordcount").stdin("a").output();
    let whole = fs::read(place.history()).expect("read");
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
        let path = place.file(name, bytes);
        let with = |cli: Cli| cli.env("RWASM_HISTORY_FILE", &path);
        for command in [
            "list",
            "show 1",
            "result 1",
            "retry 1",
            "replay 1 0",
            "rm --all",
        ] {
            let ended = with(place.job(command)).fails(14);
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
    let ended = place.job("list").env("RWASM_HISTORY_FILE", place.0.path());
    ended.fails(14).expect_stderr_has(&["is a directory"]);
}

#[test]
fn processes_that_record_at_the_same_time_lose_nothing() {
    const EACH: usize = 4;
    let place = Place::new();
    std::thread::scope(|scope| {
        for label in ["a", "b", "c"] {
            let place = &place;
            scope.spawn(move || {
                for _ in 0..EACH {
                    place
                        .run("wordcount")
                        .typed("--chunk lines:1 --merge none --label")
                        .arg(label)
                        .stdin("a\nb\nc\n")
                        .output();
                }
            });
        }
    });
    for label in ["a", "b", "c"] {
        let jobs = place.list(&format!("--label {label}"));
        assert_eq!(jobs.len(), EACH);
        assert!(
            jobs.iter()
                .all(|job| job["tasks"] == 3 && job["state"] == "done")
        );
    }
}

/// A run in a loop without end, once the history has it as a running job.
fn running(place: &Place) -> std::process::Child {
    let mut command = place.run("spin").stdin("").into_command();
    let null = std::process::Stdio::null;
    let child = command.stdin(null()).stdout(null()).stderr(null()).spawn();
    let child = child.expect("it starts");
    let start = std::time::Instant::now();
    while place.list("--state running").is_empty() {
        assert!(
            start.elapsed() < std::time::Duration::from_secs(30),
            "it never ran"
        );
    }
    child
}

#[test]
fn jobs_that_were_stopped_or_whose_process_died_are_told_apart() {
    use rustix::process::{Pid, Signal, kill_process};
    let place = Place::new();
    for (signal, state) in [(Signal::INT, "cancelled"), (Signal::KILL, "interrupted")] {
        let child = running(&place);
        let id = place.list("")[0]["id"].to_string();
        place
            .job("rm")
            .arg(&id)
            .fails(2)
            .expect_stderr_has(&["is still running"]);
        place
            .job("retry")
            .arg(&id)
            .fails(2)
            .expect_stderr_has(&["is still running"]);
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        crate::support::wait(child).expect("it ends");
        assert_eq!(place.list("")[0]["state"], state);
        let why = format!("job {id} was {state} and has no result");
        place
            .job("result")
            .arg(&id)
            .fails(2)
            .expect_stderr_has(&[&why]);
        place.job("rm").arg(&id).end().expect_code(0);
    }
}

#[test]
fn the_library_records_runs_maps_and_calls() {
    let place = Place::new();
    let cluster = place.cluster(2);
    let numbers = module("numbers");
    let view = cluster.load_balanced_view().label("sums");
    let add = numbers
        .function::<(u64, u64), u64>("add")
        .expect("it is there");
    let task = view.try_submit(&add, (2, 3)).expect("submitted");
    assert_eq!(task.get().expect("it goes well"), 5);
    let fail = numbers
        .function::<(String,), u64>("fail")
        .expect("it is there");
    let task = view
        .try_submit(&fail, ("trap".to_owned(),))
        .expect("submitted");
    task.get().expect_err("it traps");
    let one = numbers
        .function::<(u64,), u64>("add-one")
        .expect("it is there");
    let map = view.map(&one, (0..100).map(|n| (n,))).expect("begun");
    assert_eq!(map.get().expect("all go well").len(), 100);
    let inputs = vec![Input::bytes("text", "a\nb\n")];
    let job = cluster.run(&module("wordcount"), inputs, &one_line_each(Merge::Default));
    job.expect("begun").wait().expect("it goes well");

    let history = history_of(&cluster);
    let jobs = history.jobs(&JobQuery::default()).expect("read");
    let seen: Vec<_> = jobs
        .iter()
        .rev()
        .map(|job| {
            (
                job.kind,
                job.state,
                job.function.as_str(),
                job.tasks,
                job.tasks_failed,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (JobKind::Call, JobState::Done, "add", 1, 0),
            (JobKind::Call, JobState::Failed, "fail", 1, 1),
            (JobKind::Map, JobState::Done, "add-one", 100, 0),
            (JobKind::Run, JobState::Done, "mapper", 2, 0),
        ]
    );
    assert_eq!(jobs[3].label.as_deref(), Some("sums"));
    let number = |kept: &Kept| match kept {
        Kept::Value(value) => value.unpack().expect("a value").as_u64(),
        _ => None,
    };
    let sum = history.task(jobs[3].key, 0).expect("there");
    assert_eq!((sum.state, number(&sum.result)), (TaskState::Done, Some(5)));
    let TaskInput::Stored(arguments) = &sum.input else {
        panic!("{:?}", sum.input)
    };
    assert_eq!(arguments[1].unpack(), Ok(Value::U64(3)));
    let trap = history.task(jobs[2].key, 0).expect("there");
    assert_eq!(trap.code.as_deref(), Some("trap"));
    assert!(trap.backtrace.is_some() && trap.engine.is_some());
    let tasks = history
        .tasks(jobs[1].key, &TaskQuery::default())
        .expect("read");
    let values: Vec<_> = tasks
        .iter()
        .filter_map(|task| number(&task.result))
        .collect();
    assert_eq!(values, (1..=100).collect::<Vec<u64>>());
    assert!(matches!(history.result(jobs[0].key), Ok(Kept::Value(_))));
}

#[test]
fn a_map_that_is_recorded_can_be_retried_from_the_command_line() {
    let place = Place::new();
    {
        let cluster = place.cluster(1);
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
    place.job("result 1").end().expect_code(0).expect_stdout(
        "4\n{\"error\":{\"code\":\"guest-error\",\"message\":\"1 cannot be divided by zero\"}}\n3\n",
    );
    place
        .job("replay 1 1")
        .fails(11)
        .expect_stderr_has(&["1 cannot be divided by zero"]);
    place
        .job("replay 1 2")
        .end()
        .expect_code(0)
        .expect_stdout("3\n");
    let again = place.job("retry 1").end().expect_code(0).text();
    assert!(again.contains("guest-error"), "{again}");
    assert_eq!(place.list("--limit 1")[0]["repeats"], 1);
}

#[test]
fn a_job_goes_on_where_it_cannot_be_recorded() {
    let place = Place::new();
    let cluster = place.cluster(1);
    let mut events = cluster.events();
    let raw = rusqlite::Connection::open(place.history()).expect("opened");
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
fn a_cluster_does_not_start_with_a_history_that_is_none() {
    let place = Place::new();
    let path = place.file("diary", "dear diary");
    let started = Cluster::builder()
        .engines(1)
        .history(HistorySettings::new(&path))
        .start();
    assert!(matches!(
        started.map(drop),
        Err(StartError::History(HistoryError::NotSqlite { .. }))
    ));
}
