//! Time to run, time in the queue, and time of the whole: each limited by itself.

use crate::support::{LONG, SOON, cluster, code, is_over_nats, numbers, occupy, running, soon};
use rwasm_cluster::{FailureCode, Task, TaskError};
use std::time::Duration;

/// For what is to take longer.
const SHORT: Duration = Duration::from_millis(20);

/// For what is to take longer, where beside it something is not to, on a busy machine either.
const MODERATE: Duration = Duration::from_millis(300);

fn message<R: std::fmt::Debug>(task: &Task<R>) -> String {
    task.get_timeout(SOON).expect_err("it fails").to_string()
}

#[test]
fn timeout_limits_the_run_alone() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view().timeout(MODERATE);
    let spin = view.try_submit(&f.spin, ()).unwrap();
    assert_eq!(code(spin.get_timeout(SOON)), FailureCode::Timeout);
    let sleep = view.try_submit(&f.nap, LONG).unwrap();
    assert_eq!(code(sleep.get_timeout(SOON)), FailureCode::Timeout);
    assert!(
        message(&sleep).contains("time limit"),
        "{}",
        message(&sleep)
    );
    // Time in the queue does not count.
    let busy = occupy(&cluster);
    let waits = view.try_submit(&f.add_one, 1).unwrap();
    assert!(!waits.wait_timeout(MODERATE * 2));
    drop(busy);
    assert_eq!(waits.get_timeout(SOON).unwrap(), 2);
    let outcomes = view.map(&f.nap, [0, LONG, 1]).unwrap().outcomes();
    assert_eq!(outcomes.iter().filter(|one| one.is_ok()).count(), 2);
}

#[test]
fn queue_timeout_limits_the_wait_alone() {
    let cluster = cluster(1);
    let f = numbers();
    // The way over a network counts, and that of the module.
    let (short, longer) = if is_over_nats() {
        cluster
            .load_balanced_view()
            .blocking()
            .apply(&f.nap, 0)
            .unwrap();
        (Duration::from_secs(1), 3000)
    } else {
        (MODERATE, 900)
    };
    let view = cluster.load_balanced_view().queue_timeout(short);
    let runs = view.try_submit(&f.nap, longer).unwrap();
    let waits = view.try_submit(&f.add_one, 1).unwrap();
    assert_eq!(
        runs.get_timeout(SOON).unwrap(),
        longer,
        "it ran longer than it might wait"
    );
    let error = waits.get_timeout(SOON).unwrap_err();
    assert!(error.to_string().contains("time in the queue"), "{error}");
    assert_eq!(code::<u64>(Err(error)), FailureCode::Timeout);
    // While the engine is busy it is told in time.
    let spin = running(&cluster.load_balanced_view(), &f.spin);
    let waits = view.try_submit(&f.add_one, 1).unwrap();
    assert_eq!(code(waits.get_timeout(SOON)), FailureCode::Timeout);
    assert!(!spin.is_ready());
    // What waits for others does not wait for an engine.
    let after = view.clone().after(&spin).try_submit(&f.add_one, 1).unwrap();
    assert!(!after.wait_timeout(short * 2));
    drop(after);
    let map = view.map(&f.add_one, [1, 2]).unwrap();
    drop(spin);
    let outcomes = soon("the map ends", move || map.outcomes());
    assert_eq!(outcomes.len(), 2);
}

#[test]
fn a_maps_tasks_that_waited_too_long_fail_though_the_engine_stays_busy() {
    let cluster = cluster(1);
    let f = numbers();
    let spin = running(&cluster.load_balanced_view(), &f.spin);
    let view = cluster.load_balanced_view().queue_timeout(SHORT);
    let map = view.map(&f.add_one, [1, 2]).unwrap();
    let outcomes = soon("the map ends while the engine is busy", move || {
        map.outcomes()
    });
    assert!(
        outcomes
            .into_iter()
            .all(|one| code(one) == FailureCode::Timeout)
    );
    drop(spin);
}

#[test]
fn deadline_limits_the_whole() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view().deadline(SHORT);
    let runs = view.try_submit(&f.spin, ()).unwrap();
    let after = view.clone().after(&runs).try_submit(&f.add_one, 1).unwrap();
    assert_eq!(code(runs.get_timeout(SOON)), FailureCode::Timeout);
    assert!(
        message(&runs).contains("deadline of 20ms"),
        "{}",
        message(&runs)
    );
    assert!(after.get_timeout(SOON).is_err());
    let retried = view
        .clone()
        .retries(1_000_000)
        .try_submit(&f.fail, "trap")
        .unwrap();
    assert!(retried.get_timeout(SOON).is_err());
    let busy = occupy(&cluster);
    let waits = view.try_submit(&f.add_one, 1).unwrap();
    assert_eq!(code(waits.get_timeout(SOON)), FailureCode::Timeout);
    drop(busy);
    // The engine is free again.
    assert_eq!(
        cluster
            .blocking()
            .load_balanced_view()
            .apply(&f.add_one, 1)
            .unwrap(),
        2
    );
    for function in [&f.nap, &f.add_one] {
        let map = view.map(function, std::iter::repeat(LONG)).unwrap();
        let last = soon("the map ends", move || map.last().unwrap());
        let Err(TaskError::Job(error)) = &last else {
            panic!("{last:?}")
        };
        assert_eq!(
            error.to_string(),
            "the job took longer than its deadline of 20ms"
        );
    }
    let busy = occupy(&cluster);
    let waiting = view.clone().after(&busy[0]).map(&f.add_one, [1]).unwrap();
    let last = soon("the map ends", move || waiting.last().unwrap());
    assert!(matches!(last, Err(TaskError::Job(_))), "{last:?}");
}

#[test]
fn limits_of_any_size_are_taken() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let long = Duration::MAX;
    let patient = view
        .clone()
        .timeout(long)
        .queue_timeout(long)
        .deadline(long)
        .retries(u32::MAX);
    let task = patient.try_submit(&f.add_one, u64::MAX).unwrap();
    assert_eq!(task.get_timeout(SOON).unwrap(), 0);
    assert_eq!(task.get_timeout(long).unwrap(), 0);
    assert!(task.wait_timeout(long));
    let map = patient
        .max_outstanding(usize::MAX)
        .dispatch_size(usize::MAX);
    assert_eq!(map.map(&f.add_one, [1, 2]).unwrap().get().unwrap(), [2, 3]);
    let tasks = rwasm_cluster::Tasks::join([view.try_submit(&f.nap, 1).unwrap()]);
    assert!(tasks.wait_timeout(long));
    let waits = view.try_submit(&f.nap, 10).unwrap();
    assert_eq!(waits.get_timeout(long).unwrap(), 10);
    let none = Duration::ZERO;
    let hasty = view.clone().timeout(none).try_submit(&f.spin, ()).unwrap();
    assert_eq!(code(hasty.get_timeout(SOON)), FailureCode::Timeout);
    let hasty = view.clone().deadline(none).try_submit(&f.nap, 9).unwrap();
    assert_eq!(code(hasty.get_timeout(SOON)), FailureCode::Timeout);
    let busy = running(&view, &f.spin);
    let hasty = view
        .clone()
        .queue_timeout(none)
        .try_submit(&f.nap, 9)
        .unwrap();
    assert_eq!(code(hasty.get_timeout(SOON)), FailureCode::Timeout);
    assert!(matches!(
        busy.get_timeout(none),
        Err(TaskError::NotReady(_))
    ));
}
