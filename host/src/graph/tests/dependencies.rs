//! What dependencies mean: each rule on the smallest graph that shows it, and what large graphs cost.

use super::super::{Dependency, DependencyError};
use super::rules::{Bench, E0, E1, E2, after, after_dependency, follow};
use super::*;
use rwasm_sandbox::outcome::FailureCode;

/// Enough to overflow a stack that is used for each, and to take minutes where each is compared with each.
const MANY: u64 = 100_000;

#[test]
fn a_task_starts_when_all_it_waits_for_have_succeeded() {
    let mut bench = Bench::new();
    assert_eq!(bench.add(1, free()), ["start 1#1 on any"]);
    assert_eq!(bench.add(2, after([1, 80, 90, 90])), ["watch 90"]);
    assert!(bench.ended(90, true, &[]).is_empty());
    assert_eq!(
        bench.finish(1, 1, None, 0),
        ["resolve 1: reported", "start 2#1 on any"]
    );
    assert_eq!(bench.finish(2, 1, None, 0), ["resolve 2: reported"]);
    bench.is_empty();
}

#[test]
fn a_task_starts_when_any_it_waits_for_has_succeeded() {
    let mut bench = Bench::new();
    let any = after_dependency(Dependency::any(jobs([90, 91, 92])));
    assert_eq!(bench.add(1, any), ["watch 90", "watch 91", "watch 92"]);
    assert!(bench.ended(91, false, &[E0]).is_empty());
    assert_eq!(bench.ended(92, true, &[E0]), ["start 1#1 on any"]);
    assert_eq!(bench.finish(1, 1, None, 0), ["resolve 1: reported"]);
    bench.is_empty();
}

#[test]
fn failures_can_be_waited_for() {
    let mut bench = Bench::new();
    let on_failure = |ids: &[u64]| {
        let jobs = ids.iter().copied().map(JobId);
        after_dependency(Dependency::all(jobs).on_success(false).on_failure(true))
    };
    assert_eq!(bench.add(1, on_failure(&[83, 84])), ["start 1#1 on any"]);
    assert_eq!(
        bench.add(2, on_failure(&[80])),
        ["resolve 2: job 80, which it waits for, succeeded, but a failure is required"]
    );
    let either = after_dependency(Dependency::all(jobs([80, 83])).on_failure(true));
    assert_eq!(bench.add(3, either), ["start 3#1 on any"]);
}

#[test]
fn impossible_dependencies_end_a_task_at_once() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.add(1, after([83])),
        ["resolve 1: job 83, which it waits for, failed"]
    );
    assert_eq!(
        bench.add(2, after([80, 83, 90])),
        ["resolve 2: job 83, which it waits for with 2 others, failed"]
    );
    assert_eq!(
        bench.add(3, after_dependency(Dependency::any(jobs([83, 84])))),
        ["resolve 3: none of the 2 jobs it waits for succeeded: the last, job 84, failed"]
    );
    assert_eq!(bench.add(4, after([90, 91])), ["watch 90", "watch 91"]);
    assert_eq!(
        bench.ended(91, false, &[]),
        ["resolve 4: job 91, which it waits for with 1 other, failed"]
    );
    bench.is_empty();
}

#[test]
fn dependents_of_what_cannot_start_fail_at_once_too() {
    let mut bench = Bench::new();
    bench.add(1, free());
    bench.add(2, after([1]));
    bench.add(3, after([2]));
    bench.add(
        4,
        after_dependency(Dependency::all(jobs([3])).on_failure(true)),
    );
    bench.add(5, after_dependency(Dependency::any(jobs([3, 90]))));
    assert_eq!(
        bench.finish(1, 1, Some(FailureCode::Trap), 0),
        [
            "resolve 1: reported",
            "resolve 2: job 1, which it waits for, failed",
            "resolve 3: job 2, which it waits for, could not start because its own dependencies failed",
            "start 4#1 on any",
        ]
    );
    assert_eq!(bench.cancel(4), ["stop 4#1", "resolve 4: cancelled"]);
    assert_eq!(
        bench.ended(90, false, &[]),
        ["resolve 5: none of the 2 jobs it waits for succeeded: the last, job 90, failed"]
    );
    bench.is_empty();
}

#[test]
fn senseless_dependencies_are_refused_and_leave_no_trace() {
    let mut bench = Bench::new();
    let neither = Dependency::all(jobs([80])).on_success(false);
    for (dependency, error) in [
        (
            Dependency::all(jobs([90, 7])),
            DependencyError::Unknown(JobId(7)),
        ),
        (
            Dependency::any(jobs([90, 1])),
            DependencyError::Itself(JobId(1)),
        ),
        (neither, DependencyError::NeverMet),
        (Dependency::any([]), DependencyError::Empty),
    ] {
        let terms = after_dependency(dependency.clone());
        assert_eq!(bench.submit(1, terms, 0), Err(error));
        assert_eq!(bench.submit(1, follow(dependency), 0), Err(error));
        bench.is_empty();
    }
    assert_eq!(
        DependencyError::Unknown(JobId(7)).to_string(),
        "the dependency on job 7 cannot be met: the job does not exist or has been purged"
    );
    assert_eq!(bench.add(1, after([])), ["start 1#1 on any"]);
    assert_eq!(
        bench.add(2, follow(Dependency::all([]))),
        ["start 2#1 on any"]
    );
}

#[test]
fn a_task_runs_where_the_one_it_follows_ran() {
    let mut bench = Bench::new();
    assert_eq!(bench.add(1, follow(JobId(81).into())), ["start 1#1 on 1"]);
    assert_eq!(
        bench.add(2, follow(JobId(82).into())),
        ["start 2#1 on 0,1,2"]
    );
    let narrow = Terms {
        eligible: Eligible::Of([E2, E0, EngineId(9)].into()),
        ..follow(JobId(82).into())
    };
    assert_eq!(bench.add(3, narrow), ["start 3#1 on 2,0"]);
    bench.add(4, follow(JobId(1).into()));
    assert_eq!(
        bench.finish(1, 1, None, 0),
        ["resolve 1: reported", "start 4#1 on 1"]
    );
    assert_eq!(
        bench.add(5, follow(Dependency::all(jobs([82, 81])))),
        ["start 5#1 on 1"]
    );
    assert_eq!(
        bench.add(6, follow(Dependency::any(jobs([80, 81, 83, 90])))),
        ["start 6#1 on 0,1"]
    );
}

#[test]
fn what_cannot_be_followed_is_said_at_once() {
    let mut bench = Bench::new();
    let leave = "which its targets and the other jobs it follows exclude";
    assert_eq!(
        bench.add(1, follow(Dependency::all(jobs([80, 81, 90])))),
        [format!(
            "resolve 1: job 81, which it follows, ran on engine 1, {leave}"
        )]
    );
    let elsewhere = Terms {
        eligible: Eligible::One(EngineId(9)),
        ..follow(JobId(82).into())
    };
    assert_eq!(
        bench.add(2, elsewhere),
        [format!(
            "resolve 2: job 82, which it follows, ran on 3 engines, {leave}"
        )]
    );
    let failed = Dependency::from(JobId(84)).on_failure(true);
    assert_eq!(
        bench.add(3, follow(failed)),
        ["resolve 3: job 84, which it follows, ran on no engine"]
    );
    let two = Terms {
        follow: vec![JobId(80).into(), JobId(81).into()],
        ..free()
    };
    assert_eq!(
        bench.add(4, two),
        [format!(
            "resolve 4: job 81, which it follows, ran on engine 1, {leave}"
        )]
    );
    bench.is_empty();
}

#[test]
fn who_follows_any_waits_for_one_that_ran_where_it_may_run() {
    let mut bench = Bench::new();
    let any = Terms {
        eligible: Eligible::Of([E1, E2].into()),
        after: vec![JobId(99).into()],
        follow: vec![Dependency::any(jobs([80, 90, 91]))],
        ..free()
    };
    assert_eq!(
        bench.add(1, any.clone()),
        ["watch 99", "watch 90", "watch 91"]
    );
    assert!(
        bench.ended(99, true, &[]).is_empty(),
        "job 80 ran on engine 0"
    );
    assert!(bench.ended(90, false, &[E1]).is_empty());
    assert_eq!(bench.ended(91, true, &[E2]), ["start 1#1 on 2"]);
    assert_eq!(bench.finish(1, 1, None, 0), ["resolve 1: reported"]);

    assert_eq!(bench.add(2, any), ["watch 99", "watch 90", "watch 91"]);
    assert!(bench.ended(91, true, &[E0]).is_empty());
    assert_eq!(
        bench.ended(90, true, &[E0]),
        [
            "resolve 2: job 90, which it follows, ran on engine 0, which its targets and the other jobs it follows exclude"
        ]
    );
    bench.is_empty();
}

#[test]
fn a_job_is_watched_once_and_only_while_somebody_waits() {
    let mut bench = Bench::new();
    assert_eq!(bench.add(1, after([90])), ["watch 90"]);
    assert!(bench.add(2, after([90])).is_empty());
    assert!(
        bench
            .add(3, after_dependency(Dependency::any(jobs([90, 80]))))
            .len()
            == 1
    );
    assert_eq!(bench.cancel(1), ["resolve 1: cancelled"]);
    assert_eq!(bench.cancel(2), ["resolve 2: cancelled"]);
    assert!(bench.ended(90, true, &[]).is_empty());
    assert_eq!(bench.add(4, after([90])), ["watch 90"]);
    bench.submit(5, after([91]), 0).unwrap();
    assert_eq!(bench.cancel(5), ["resolve 5: cancelled"]);
    let two = Terms {
        after: vec![Dependency::any(jobs([90, 92])), JobId(93).into()],
        ..free()
    };
    assert_eq!(bench.add(6, two), ["watch 92", "watch 93"]);
    assert_eq!(bench.ended(90, true, &[]), ["start 4#1 on any"]);
    assert_eq!(
        bench.add(7, after([92])),
        ["watch 92"],
        "nobody waited for it any more"
    );
}

#[test]
fn a_long_chain_of_dependents_fails_without_depth() {
    let mut bench = Bench::new();
    bench.add(1000, free());
    for job in 1001..1000 + MANY {
        bench
            .submit(job, after_dependency(JobId(job - 1).into()), 0)
            .unwrap();
    }
    let decisions = bench.finish(1000, 1, Some(FailureCode::Trap), 0);
    assert_eq!(decisions.len() as u64, MANY);
    bench.is_empty();
}

#[test]
fn a_job_with_many_dependents_and_a_task_with_many_dependencies() {
    let mut bench = Bench::new();
    let all = || (1000..1000 + MANY).map(JobId);
    for job in all() {
        bench.submit(job.0, after([90]), 0).unwrap();
    }
    let sum = Terms {
        after: vec![all().collect()],
        ..free()
    };
    bench.submit(1, sum, 0).unwrap();
    bench
        .submit(2, after_dependency(Dependency::any(all())), 0)
        .unwrap();
    // Half of them are cancelled, one by one, while all wait for the same job.
    for job in all().filter(|job| job.0 % 2 == 0) {
        bench.0.cancel(job, ms(0));
    }
    let decisions = lines(&mut bench.0);
    assert_eq!(
        decisions.len() as u64,
        2 + MANY / 2,
        "the watch and job 1 as well"
    );
    assert_eq!(bench.ended(90, true, &[]).len() as u64, MANY / 2);
    for job in all().filter(|job| job.0 % 2 == 1) {
        bench.0.finished(job, 1, Ok(E0), ms(0));
    }
    assert_eq!(lines(&mut bench.0).len() as u64, 1 + MANY / 2);
    assert_eq!(bench.finish(2, 1, None, 0), ["resolve 2: reported"]);
    bench.is_empty();
}
