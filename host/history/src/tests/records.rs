//! What is written comes back, and what is not there is refused.

use super::*;
use crate::arbitrary::any_typed;
use proptest::collection::vec;
use proptest::prelude::*;
use rwasm_value::ids::EngineId;

fn full_job() -> NewJob {
    NewJob {
        kind: JobKind::Run,
        repeats: Some(JobKey(7)),
        inputs: vec![
            InputEntry {
                path: Some("/data/book.txt".into()),
                bytes: Some(4_500_000),
                ..InputEntry::new("book.txt")
            },
            InputEntry::new("-"),
        ],
        submitted: time(0) + Duration::from_nanos(123_456_789),
        ..new_job("night run")
    }
}

fn failed_task() -> TaskEntry {
    let attempt = |engine, code: Option<&str>, message: &str| AttemptEntry {
        code: code.map(str::to_owned),
        message: message.to_owned(),
        ..AttemptEntry::new(EngineId(engine), time(3), Duration::from_micros(17))
    };
    TaskEntry {
        code: Some("trap".to_owned()),
        message: Some("unreachable".to_owned()),
        backtrace: Some("mapper\nmain".to_owned()),
        engine: Some(EngineId(1)),
        attempts: vec![
            attempt(0, Some("engine-lost"), "its engine died"),
            attempt(1, Some("trap"), "unreachable"),
        ],
        queued: Some(time(1)),
        started: Some(time(3)),
        finished: Some(time(4)),
        run_time: Duration::from_micros(17),
        peak_memory: u64::MAX,
        bytes_in: 5,
        bytes_out: 6,
        fuel: Some(u64::MAX - 1),
        stderr: b"panicked \xff".to_vec(),
        ..TaskEntry::new(
            0,
            TaskState::Failed,
            RecordedInput::Range {
                path: "/data/book.txt".into(),
                start: 10,
                end: u64::MAX,
                sha256: Some("00ff".to_owned()),
            },
        )
    }
}

#[test]
fn a_job_comes_back_as_it_was_recorded_also_in_another_process() {
    let place = HistoryFile::new();
    let history = place.open();
    let recorder = history.begin(&full_job()).expect("begun");
    let key = recorder.key();
    let running = history.job(key).expect("there");
    assert_eq!((running.state, running.ended), (JobState::Running, None));
    assert_eq!(history.result(key), Err(HistoryError::StillRunning { key }));

    let tasks = vec![
        failed_task(),
        task(1),
        TaskEntry {
            result: Kept::LeftOut {
                bytes: 9,
                reason: "printed".to_owned(),
            },
            ..TaskEntry::new(
                2,
                TaskState::Done,
                RecordedInput::Elsewhere("stdin is gone".to_owned()),
            )
        },
        TaskEntry::new(3, TaskState::Cancelled, RecordedInput::Stored(Vec::new())),
    ];
    recorder.tasks(tasks.clone());
    recorder.end(JobEnd {
        state: JobState::Failed,
        result: Some(packed(5)),
        message: Some("task 0 failed".to_owned()),
        ..done()
    });
    recorder.end(done());
    drop((recorder, history));

    let history = place.open();
    let found = history.job(key).expect("there");
    let wanted = JobEntry {
        key,
        kind: JobKind::Run,
        state: JobState::Failed,
        label: Some("night run".to_owned()),
        function: "add-one".to_owned(),
        module_path: full_job().module_path,
        module_hash: full_job().module_hash,
        module_name: "numbers".to_owned(),
        repeats: Some(JobKey(7)),
        options: full_job().options,
        inputs: full_job().inputs,
        submitted: full_job().submitted,
        ended: Some(time(9)),
        stats: Some(json!({ "tasks": 1 })),
        message: Some("task 0 failed".to_owned()),
        tasks: 4,
        tasks_failed: 1,
        tasks_dropped: 0,
    };
    assert_eq!(found, wanted);
    assert_eq!(history.jobs(&JobQuery::default()), Ok(vec![wanted]));
    assert_eq!(history.tasks(key, &TaskQuery::default()), Ok(tasks));
    assert_eq!(history.task(key, 0), Ok(failed_task()));
    assert_eq!(history.result(key), Ok(Kept::Value(packed(5))));
}

#[test]
fn values_beyond_the_bounds_are_left_out_and_said_to_be() {
    let place = HistoryFile::new();
    let history = History::open(HistorySettings {
        small_input: ByteSize::new(100),
        job_result: ByteSize::new(1000),
        ..place.settings()
    })
    .expect("opened");
    let recorder = history.begin(&new_job("large")).expect("begun");
    let small = TaskEntry {
        result: Kept::Value(bytes(90, 2)),
        ..heavy(0, 90)
    };
    let large = TaskEntry {
        index: 1,
        result: Kept::Value(bytes(101, 2)),
        ..heavy(1, 101)
    };
    let deep = (0..50).fold(Type::U8, |ty, _| Type::option(ty));
    let deep = Packed::pack(&Value::Option(None), &deep).expect("fits");
    let deep = TaskEntry {
        index: 2,
        input: RecordedInput::Stored(vec![deep.clone()]),
        result: Kept::Value(deep),
        ..task(2)
    };
    recorder.tasks(vec![small.clone(), large, deep]);
    let result = Some(bytes(1001, 3));
    recorder.end(JobEnd { result, ..done() });
    recorder.flush();

    let key = recorder.key();
    let tasks = history.tasks(key, &TaskQuery::default()).expect("read");
    assert_eq!(tasks[0], small);
    for task in &tasks[1..] {
        assert!(
            matches!(task.input, RecordedInput::Elsewhere(_)),
            "{task:?}"
        );
        assert!(matches!(task.result, Kept::LeftOut { .. }), "{task:?}");
    }
    let left_out = history.result(key).expect("read");
    assert!(
        matches!(left_out, Kept::LeftOut { bytes: 1003, .. }),
        "{left_out:?}"
    );
}

#[test]
fn what_is_not_there_was_removed_or_never_was() {
    let place = HistoryFile::new();
    let history = place.open();
    let (first, second) = (
        record(&history, "a", vec![task(0)]),
        record(&history, "b", vec![task(0)]),
    );
    let unknown = JobKey(99);
    let error = HistoryError::UnknownJob { key: unknown };
    assert_eq!(history.job(unknown), Err(error.clone()));
    assert_eq!(history.result(unknown), Err(error.clone()));
    assert_eq!(
        history.tasks(unknown, &TaskQuery::default()),
        Err(error.clone())
    );
    for key in [JobKey(0), JobKey(u64::MAX)] {
        assert_eq!(history.job(key), Err(HistoryError::UnknownJob { key }));
    }

    // One unknown key, and nothing is removed.
    assert_eq!(history.remove(&[first, unknown]), Err(error));
    assert_eq!(indices(&history, first), [0]);
    history.remove(&[first]).expect("removed");
    let removed = HistoryError::RemovedJob { key: first };
    assert_eq!(history.job(first), Err(removed.clone()));
    assert_eq!(history.remove(&[second, first]), Err(removed));
    assert_eq!(
        history.task(second, 5),
        Err(HistoryError::UnknownTask {
            key: second,
            index: 5,
            tasks: 1,
            dropped: 0
        })
    );

    let running = history.begin(&new_job("c")).expect("begun");
    let key = running.key();
    assert_eq!(
        history.remove(&[key]),
        Err(HistoryError::StillRunning { key })
    );
    assert_eq!(history.clear(), Ok(1));
    assert_eq!(history.jobs(&JobQuery::default()).expect("read").len(), 1);
    running.end(done());
    running.flush();
    assert_eq!(history.clear(), Ok(1));

    // A key is never given again, not even where all are gone and the file was closed.
    drop((running, history));
    let history = place.open();
    assert!(record(&history, "d", Vec::new()) > key);
}

#[test]
fn what_was_removed_is_no_longer_in_the_files() {
    let place = HistoryFile::new();
    let history = place.open();
    let secret = TaskEntry {
        message: Some("hunter2 ".repeat(1000)),
        ..task(0)
    };
    let key = record(&history, "hunter2", vec![secret]);
    history.remove(&[key]).expect("removed");
    for (path, bytes) in place.files() {
        let found = memory_of(&bytes, b"hunter2");
        assert!(!found, "{} still has it", path.display());
    }
}

fn memory_of(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[cfg(unix)]
#[test]
fn the_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let place = HistoryFile::new();
    let dir = place.dir.path().join("state/rwasm");
    let history = History::open(HistorySettings::new(dir.join("history.db"))).expect("opened");
    let running = history.begin(&new_job("a")).expect("begun");
    let mode = |path: PathBuf| {
        let meta = std::fs::metadata(&path).expect("there");
        meta.permissions().mode() & 0o777
    };
    assert_eq!(mode(dir.clone()), 0o700);
    let files = std::fs::read_dir(dir).expect("listed");
    let modes: Vec<_> = files
        .map(|file| mode(file.expect("entry").path()))
        .collect();
    // The file, its log, the log's index and the live file.
    assert_eq!(modes, [0o600; 4]);
    drop(running);
}

#[test]
fn a_damaged_row_is_an_error_that_names_it() {
    for (sql, named) in [
        (
            "UPDATE task SET result = x'01'",
            "job 1, task 0: a value is cut short",
        ),
        (
            "UPDATE task SET result = NULL",
            "job 1, task 0: a result is incomplete",
        ),
        (
            "UPDATE task SET state = 'odd'",
            "job 1, task 0: unknown state `odd`",
        ),
        (
            "UPDATE task SET attempts = '[1]'",
            "job 1, task 0: the attempts",
        ),
        (
            "UPDATE task SET engine = -1",
            "job 1, task 0: -1 is not a valid engine id",
        ),
        (
            "UPDATE value_types SET types = '[7]'",
            "job 1, task 0: `7` is not a valid type",
        ),
        ("UPDATE job SET options = '{'", "job 1: the options"),
        ("UPDATE job SET kind = 'odd'", "job 1: unknown kind `odd`"),
    ] {
        let place = HistoryFile::new();
        let history = place.open();
        let key = record(&history, "a", vec![task(0)]);
        place.raw().execute(sql, []).expect("damaged");
        let error = match history.job(key) {
            Ok(_) => history.tasks(key, &TaskQuery::default()).expect_err(sql),
            Err(error) => error,
        };
        assert!(matches!(error, HistoryError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{error}, wanted {named}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 24,
        ..ProptestConfig::default()
    })]

    #[test]
    fn arguments_and_results_of_any_type_come_back(
        tasks in vec((vec(any_typed(), 0..3), any_typed()), 1..8),
    ) {
        let pack = |(ty, value): (Type, Value)| Packed::pack(&value, &ty).expect("fits");
        let place = HistoryFile::new();
        let history = place.open();
        let tasks: Vec<_> = (0..).zip(tasks).map(|(index, (arguments, result))| TaskEntry {
            result: Kept::Value(pack(result)),
            ..TaskEntry::new(
                index,
                TaskState::Done,
                RecordedInput::Stored(arguments.into_iter().map(pack).collect()),
            )
        }).collect();
        let key = record(&history, "typed", tasks.clone());
        prop_assert_eq!(history.tasks(key, &TaskQuery::default()), Ok(tasks));
    }
}
