//! Failures: how many a job tolerates, how often a task is retried, and when the job itself is too late.

use crate::support::{Cli, SOON, cluster, finish, module, number, one_line_each, run};
use rwasm_cluster::{Builtin, FailureCode, Input, JobError, Merge, Tolerance};
use std::time::{Duration, Instant};

fn faulty(options: &str) -> Cli {
    run("faulty").typed(options)
}

#[test]
fn an_instance_that_failed_is_never_used_again() {
    let text = "a\ntrap\nb\nrefuse\nc\n";
    for reuse in ["none", "dispatch", "engine"] {
        let ended = faulty("--chunk lines:1 --max-failures 2 --engines 1 --reuse")
            .arg(reuse)
            .stdin(text)
            .end();
        ended
            .expect_code(0)
            .expect_stdout("3\n")
            .expect_stderr_has(&["2 of 5 tasks failed", "(trap)", "(guest-error)"]);
    }
}

#[test]
fn failures_are_borne_up_to_the_number_that_was_given() {
    let line = |bad: bool| if bad { "refuse\n" } else { "line\n" };
    let text: String = (0..100).map(|number| line(number % 30 == 29)).collect();
    for tolerated in [
        "--max-failures 3",
        "--max-failures 99",
        "--max-failures 3%",
        "--max-failures 50%",
    ] {
        let ended = faulty("--chunk lines:1")
            .typed(tolerated)
            .stdin(text.clone())
            .end();
        ended
            .expect_code(0)
            .expect_stdout("97\n")
            .expect_stderr_has(&[
                "warning: ",
                "3 of 100 tasks failed",
                "bytes 145..152",
                "refused: line 1 says so",
            ]);
    }
    for fatal in [
        "--max-failures 0",
        "--max-failures 2",
        "--max-failures 2%",
        "--max-failures 2.5%",
    ] {
        faulty("--chunk lines:1")
            .typed(fatal)
            .stdin(text.clone())
            .fails(11)
            .expect_stderr_has(&["guest-error"]);
    }
    let quiet = faulty("--chunk lines:1 --max-failures 3 --quiet")
        .stdin(text)
        .end();
    quiet
        .expect_code(0)
        .expect_stdout("97\n")
        .expect_stderr_is_empty();
}

#[test]
fn each_borne_failure_is_told_once() {
    let text = "line\nrefuse\nline\n";
    for merge in ["--merge sum", "--merge none", "--merge collect"] {
        let ended = faulty("--chunk lines:1 --max-failures 1")
            .typed(merge)
            .stdin(text)
            .end()
            .expect_code(0);
        let times = ended.stderr.matches("refused: line 1 says so").count();
        assert_eq!(times, 1, "{merge}: {}", ended.stderr);
    }
}

#[test]
fn a_failed_task_runs_again_as_often_as_was_said() {
    let cluster = cluster(2);
    let mut spec = one_line_each(Builtin::Sum.into());
    spec.task.retry.retries = 2;
    spec.job.max_failures = Tolerance::Count(1);
    spec.job.keep_records = true;
    let result = finish(&cluster, &module("faulty"), "a\nrefuse\nb\n", &spec);
    assert_eq!(number(&result), 2);
    assert_eq!(result.failures, 1);
    assert_eq!(result.stats.retries, 2);
    assert_eq!(result.stats.tasks, 5);
    let attempts: Vec<_> = result
        .records
        .iter()
        .filter(|record| record.origin.index == 1)
        .map(|record| (record.usage.attempt, record.code))
        .collect();
    let failed = Some(FailureCode::GuestError);
    assert_eq!(attempts, [(1, failed), (2, failed), (3, failed)]);
    assert_eq!(result.failed.len(), 1);
    assert_eq!(result.failed[0].0.range(), Some(2..9));
}

#[test]
fn a_job_ends_at_its_deadline() {
    let start = Instant::now();
    for name in ["spin", "sleep"] {
        run(name)
            .typed("--deadline 300ms")
            .fails(11)
            .expect_stderr_has(&["deadline", "300ms"]);
    }
    let cluster = cluster(1);
    let mut spec = one_line_each(Merge::Default);
    spec.task.deadline = Some(Duration::from_millis(200));
    let inputs = vec![Input::bytes("text", "spin\n".repeat(50))];
    let job = cluster
        .run(&module("faulty"), inputs, &spec)
        .expect("the job begins");
    assert!(
        matches!(job.wait(), Err(JobError::Deadline(time)) if Some(time) == spec.task.deadline)
    );
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    // One that is early enough is none.
    assert_eq!(
        run("wordcount")
            .typed("--deadline 1h")
            .stdin("word")
            .output(),
        "word\t1\n"
    );
}

#[test]
fn the_failure_that_is_told_is_the_first_of_the_input() {
    // Every task fails; which of them ends first is chance, and must not show.
    let text = "refuse\n".repeat(50);
    for round in 0..30 {
        let ended = faulty("--chunk lines:1 --engines 4")
            .stdin(text.clone())
            .fails(11);
        assert!(
            ended.stderr.contains("bytes 0..7"),
            "run {round}: {}",
            ended.stderr
        );
    }
}
