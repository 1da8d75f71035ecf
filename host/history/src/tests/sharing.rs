//! Several handles, threads and processes at once; and what becomes of a job whose recorder stops.

use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

/// What the child process is to do, by this variable; the tests run again in the child.
const ROLE: &str = "RWASM_TEST_HISTORY_ROLE";
const PATH: &str = "RWASM_TEST_HISTORY_PATH";

const JOBS: u64 = 20;
const TASKS: u64 = 50;

fn write_many(history: &History, label: &str) {
    for _ in 0..JOBS {
        let recorder = history.begin(&new_job(label)).expect("begun");
        for index in 0..TASKS {
            recorder.tasks(vec![task(index)]);
        }
        recorder.end(done());
        recorder.flush();
        assert_eq!(recorder.error(), None);
    }
}

fn assert_nothing_is_lost(history: &History, writers: u64) {
    let jobs = history.jobs(&JobQuery::default()).expect("read");
    assert_eq!(jobs.len() as u64, writers * JOBS);
    for job in jobs {
        assert_eq!(job.state, JobState::Done);
        assert_eq!(indices(history, job.key), (0..TASKS).collect::<Vec<_>>());
    }
}

fn child(place: &HistoryFile, role: &str) -> Child {
    let name = "tests::sharing::in_a_child_process";
    Command::new(std::env::current_exe().expect("this program"))
        .args([name, "--exact", "--nocapture"])
        .env(ROLE, role)
        .env(PATH, place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started")
}

/// Does nothing in the process that runs the tests.
#[test]
fn in_a_child_process() {
    let (Ok(role), Some(path)) = (std::env::var(ROLE), std::env::var_os(PATH)) else {
        return;
    };
    let history = History::open(HistorySettings::new(path)).expect("opened");
    if role == "write" {
        write_many(&history, "child");
        return;
    }
    let recorder = history.begin(&new_job("child")).expect("begun");
    recorder.tasks(vec![task(0)]);
    recorder.flush();
    println!("begun {}", recorder.key());
    std::io::stdout().flush().expect("flushed");
    // Until it is killed.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn two_handles_in_two_threads_lose_nothing() {
    let place = HistoryFile::new();
    std::thread::scope(|scope| {
        for label in ["a", "b"] {
            // Also the file is made by both at once.
            scope.spawn(|| write_many(&place.open(), label));
        }
    });
    assert_nothing_is_lost(&place.open(), 2);
}

#[test]
fn clones_of_one_handle_lose_nothing() {
    let place = HistoryFile::new();
    let history = place.open();
    std::thread::scope(|scope| {
        for label in ["a", "b", "c"] {
            let history = history.clone();
            scope.spawn(move || write_many(&history, label));
        }
    });
    assert_nothing_is_lost(&history, 3);
}

#[test]
fn several_processes_lose_nothing() {
    let place = HistoryFile::new();
    let children = [child(&place, "write"), child(&place, "write")];
    write_many(&place.open(), "parent");
    for child in children {
        let output = child.wait_with_output().expect("ended");
        assert!(output.status.success(), "{output:?}");
    }
    assert_nothing_is_lost(&place.open(), 3);
}

#[test]
fn a_process_that_ends_leaves_the_log_to_those_that_stay() {
    let place = HistoryFile::new();
    let history = place.open();
    let recorder = history.begin(&new_job("parent")).expect("begun");
    let key = recorder.key();
    // What closes a file lets go of this process's locks on it, unless care is taken.
    drop(place.open());
    assert!(child(&place, "write").wait().expect("ended").success());
    let log = place.path().with_file_name("history.db-wal");
    assert!(log.is_file(), "the log was taken away");
    recorder.tasks((0..TASKS).map(task).collect());
    recorder.end(done());
    recorder.flush();
    assert_eq!(recorder.error(), None);
    drop((recorder, history));
    assert_eq!(indices(&place.open(), key), (0..TASKS).collect::<Vec<_>>());
}

#[test]
fn a_job_whose_process_was_killed_was_interrupted() {
    let place = HistoryFile::new();
    let history = place.open();
    let mut child = child(&place, "wait");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let key = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("begun ")?.1.to_owned()))
        .expect("a key");
    let key = JobKey(key.parse().expect("a number"));
    assert_eq!(history.job(key).expect("there").state, JobState::Running);
    assert_eq!(
        history.remove(&[key]),
        Err(HistoryError::StillRunning { key })
    );

    child.kill().expect("killed");
    child.wait().expect("ended");
    let job = history.job(key).expect("there");
    assert_eq!((job.state, job.ended), (JobState::Interrupted, None));
    let found = |state| {
        let states = vec![state];
        let query = JobQuery {
            states,
            ..JobQuery::default()
        };
        history.jobs(&query).expect("read").len()
    };
    assert_eq!(
        (found(JobState::Interrupted), found(JobState::Running)),
        (1, 0)
    );
    assert_eq!(indices(&history, key), [0]);

    // The next process that records clears away what the killed one left.
    let other = record(&history, "b", Vec::new());
    let live = |place: &HistoryFile| {
        let files = place.files();
        let names = files.iter().map(|(path, _)| path.display().to_string());
        names.filter(|name| name.contains("-live-")).count()
    };
    assert_eq!(live(&place), 1);
    assert_eq!(found(JobState::Interrupted), 1);
    history.remove(&[key, other]).expect("removed");
    drop(history);
    assert_eq!(live(&place), 0);
}

#[test]
fn a_job_whose_recorder_is_dropped_was_interrupted() {
    let place = HistoryFile::new();
    let history = place.open();
    let recorder = history.begin(&new_job("a")).expect("begun");
    let key = recorder.key();
    let clone = recorder.clone();
    drop(recorder);
    clone.flush();
    assert_eq!(history.job(key).expect("there").state, JobState::Running);
    drop((clone, history));
    let job = place.open().job(key).expect("there");
    assert_eq!(job.state, JobState::Interrupted);
}

#[test]
fn a_job_that_is_cancelled_while_its_process_ends_was_interrupted() {
    let place = HistoryFile::new();
    let history = place.open();
    let cancelled = || JobEnd {
        state: JobState::Cancelled,
        message: Some("the job was cancelled".to_owned()),
        ..done()
    };
    let state_of = |end| {
        let recorder = history.begin(&new_job("a")).expect("begun");
        let key = recorder.key();
        recorder.end(end);
        let job = history.job(key).expect("there");
        (job.state, job.message.is_some())
    };
    assert_eq!(state_of(cancelled()), (JobState::Cancelled, true));
    history.interruption().begin();
    assert_eq!(state_of(cancelled()), (JobState::Interrupted, false));
    assert_eq!(state_of(done()), (JobState::Done, false));
}

#[test]
fn what_is_recorded_last_is_written_before_the_handle_is_gone() {
    let place = HistoryFile::new();
    let history = place.open();
    let recorder = history.begin(&new_job("a")).expect("begun");
    let key = recorder.key();
    drop(history);
    for index in 0..3000 {
        recorder.tasks(vec![task(index)]);
    }
    recorder.end(done());
    drop(recorder);
    let history = place.open();
    assert_eq!(indices(&history, key).len(), 3000);
    assert_eq!(history.job(key).expect("there").state, JobState::Done);
}

#[test]
fn a_recorder_that_cannot_write_goes_off_and_says_so_once() {
    let place = HistoryFile::new();
    let history = place.open();
    let recorder = history.begin(&new_job("a")).expect("begun");
    recorder.tasks(vec![task(0)]);
    recorder.flush();
    assert_eq!(recorder.error(), None);

    // What a disk without room does to large changes and not to small ones.
    let raw = place.raw();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON task \
                  BEGIN SELECT RAISE(FAIL, 'no room'); END";
    raw.execute_batch(refuse).expect("made");
    recorder.tasks(vec![task(1), task(2)]);
    recorder.flush();
    recorder.tasks(vec![task(3)]);
    recorder.end(done());
    recorder.flush();
    let error = recorder.error().expect("it went off");
    assert!(error.to_string().contains("no room"), "{error}");
    assert_eq!(recorder.error(), None);
    let job = history.job(recorder.key()).expect("there");
    assert_eq!(job.state, JobState::Done);
    assert_eq!((job.tasks, job.tasks_dropped), (1, 3));

    // The next job tries anew.
    raw.execute_batch("DROP TRIGGER refuse").expect("dropped");
    let key = record(&history, "b", vec![task(0)]);
    assert_eq!(indices(&history, key), [0]);
}

#[test]
fn a_full_disk_is_told_as_such() {
    let place = HistoryFile::new();
    let history = place.open();
    let raw = place.raw();
    let _: i64 = raw
        .query_row("PRAGMA max_page_count = 1", [], |row| row.get(0))
        .expect("set");
    let full = raw.execute_batch("CREATE TABLE a (b); CREATE TABLE c (d); CREATE TABLE e (f)");
    let full = of_database(&place.path(), full.expect_err("full"));
    assert_eq!(full, HistoryError::Full { path: place.path() });
    drop(history);
}
