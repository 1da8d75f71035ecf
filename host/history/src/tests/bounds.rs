//! The history stays within its rows and bytes, and says what it dropped.

use super::*;

fn keys(history: &History) -> Vec<u64> {
    let jobs = history.jobs(&JobQuery::default()).expect("read");
    jobs.iter().rev().map(|job| job.key.0).collect()
}

fn file_length(place: &HistoryFile) -> u64 {
    std::fs::metadata(place.path()).expect("there").len()
}

#[test]
fn the_oldest_jobs_go_when_there_are_too_many_tasks() {
    let place = HistoryFile::new();
    let history = place.bounded(100, ByteSize::mib(8));
    for _ in 0..10 {
        record(&history, "a", (0..30).map(task).collect());
    }
    assert_eq!(keys(&history), [8, 9, 10]);
    for key in 8..=10 {
        assert_eq!(indices(&history, JobKey(key)).len(), 30);
    }
    let key = JobKey(7);
    assert_eq!(history.job(key), Err(HistoryError::RemovedJob { key }));
}

#[test]
fn jobs_without_tasks_are_bounded_too() {
    let place = HistoryFile::new();
    let history = place.bounded(5, ByteSize::mib(8));
    for _ in 0..12 {
        record(&history, "a", Vec::new());
    }
    assert_eq!(keys(&history), [8, 9, 10, 11, 12]);
}

#[test]
fn a_running_job_stays_while_others_go() {
    let place = HistoryFile::new();
    let history = place.bounded(100, ByteSize::mib(8));
    let running = history.begin(&new_job("running")).expect("begun");
    running.tasks((0..10).map(task).collect());
    running.flush();
    for _ in 0..10 {
        record(&history, "ended", (0..30).map(task).collect());
    }
    assert_eq!(keys(&history), [1, 9, 10, 11]);
    assert_eq!(indices(&history, running.key()).len(), 10);
    running.end(done());
}

#[test]
fn a_job_larger_than_the_bound_loses_its_first_tasks() {
    let place = HistoryFile::new();
    let history = place.bounded(100, ByteSize::mib(8));
    let recorder = history.begin(&new_job("long")).expect("begun");
    for start in (0..1000).step_by(50) {
        recorder.tasks((start..start + 50).map(task).collect());
    }
    recorder.flush();
    let key = recorder.key();
    assert_eq!(indices(&history, key), (900..1000).collect::<Vec<_>>());
    recorder.end(done());
    recorder.flush();
    let job = history.job(key).expect("there");
    assert_eq!((job.tasks, job.tasks_dropped), (1000, 900));
    assert_eq!(
        history.task(key, 5),
        Err(HistoryError::UnknownTask {
            key,
            index: 5,
            tasks: 1000,
            dropped: 900
        })
    );
}

/// Ten times the bound, in jobs of this many tasks: the file stays within one and a half times it.
fn fill(tasks_per_job: u64) {
    const LENGTH: usize = 10_000;
    let bound = ByteSize::mib(4);
    let place = HistoryFile::new();
    let history = place.bounded(1_000_000, bound);
    let jobs = bound.bytes() * 10 / LENGTH as u64 / tasks_per_job;
    let mut longest = 0;
    for _ in 0..jobs {
        let recorder = history.begin(&new_job("heavy")).expect("begun");
        for index in 0..tasks_per_job {
            recorder.tasks(vec![heavy(index, LENGTH)]);
            if index % 100 == 99 {
                recorder.flush();
                longest = longest.max(file_length(&place));
            }
        }
        recorder.end(done());
        recorder.flush();
        longest = longest.max(file_length(&place));
    }
    assert!(longest <= bound.bytes() * 3 / 2, "{longest} bytes");
    // Much of what fits is there.
    let left: usize = keys(&history)
        .into_iter()
        .map(|key| indices(&history, JobKey(key)).len())
        .sum();
    assert!(
        left as u64 * LENGTH as u64 > bound.bytes() / 2,
        "{left} tasks"
    );

    // When all is gone the file is as short as a new one, or nearly.
    history.clear().expect("cleared");
    assert!(
        file_length(&place) < 150_000,
        "{} bytes",
        file_length(&place)
    );
}

#[test]
fn many_jobs_stay_within_the_bytes() {
    fill(40);
}

#[test]
fn one_long_job_stays_within_the_bytes() {
    fill(4_000);
}

#[test]
fn results_of_jobs_count_too() {
    let place = HistoryFile::new();
    let history = place.bounded(1000, ByteSize::mib(1));
    for _ in 0..40 {
        let recorder = history.begin(&new_job("merged")).expect("begun");
        let result = Some(bytes(250_000, 1));
        recorder.end(JobEnd { result, ..done() });
        recorder.flush();
    }
    let newest = *keys(&history).last().expect("some");
    let kept = history.result(JobKey(newest)).expect("read");
    assert!(matches!(kept, Kept::Value(_)), "the newest is kept");
    assert!(file_length(&place) <= (1 << 20) * 3 / 2);
}

#[test]
fn a_description_that_is_too_large_is_refused() {
    let place = HistoryFile::new();
    let history = place.bounded(1000, ByteSize::mib(1));
    let inputs = vec![InputEntry::new("name".repeat(100)); 1000];
    let error = history.begin(&NewJob {
        inputs,
        ..new_job("a")
    });
    let error = error.expect_err("too large");
    assert!(matches!(error, HistoryError::TooLarge { .. }), "{error}");
}
