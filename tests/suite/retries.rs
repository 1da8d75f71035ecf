//! Tasks that fail and are tried again.

use crate::support::{SOON, cluster, code, is_over_nats, numbers, running, soon, until};
use rwasm_cluster::{
    Backoff, ClusterEvent, EngineId, FailureCode, FailureSet, Retry, Targets, Task,
};
use std::time::{Duration, Instant};

#[test]
fn the_last_error_and_every_attempt_are_told() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view().retries(3);
    for (how, wanted) in [("trap", FailureCode::Trap), ("exit", FailureCode::ExitCode)] {
        let task = view.try_submit(&f.fail, how).unwrap();
        let error = task.get_timeout(SOON).unwrap_err();
        let failure = error.failure().unwrap();
        assert_eq!(failure.attempts.len(), 4);
        for (attempt, number) in failure.attempts.iter().zip(1..) {
            assert_eq!(attempt.number, number);
            assert_eq!(attempt.failure.as_ref().unwrap().code, failure.failure.code);
            assert!(attempt.engine.is_some());
        }
        assert!(failure.attempts.is_sorted_by_key(|attempt| attempt.started));
        assert!(error.to_string().contains("after 4 attempts"), "{error}");
        assert_eq!(task.info().unwrap().attempts.len(), 4);
        assert_eq!(task.info().unwrap().usage.attempt, 4);
        let code = code::<u64>(Err(error));
        assert!(code == wanted || code == FailureCode::Trap, "{code}");
    }
}

#[test]
fn a_direct_call_is_tried_again_on_each_engine() {
    let cluster = cluster(3);
    let f = numbers();
    let view = cluster.direct_view(Targets::All).unwrap().retries(3);
    let tasks = view.try_submit(&f.divide, (1, 0)).unwrap();
    let error = tasks.get().unwrap_err();
    assert_eq!((error.tasks, error.failed), (3, 3));
    for (at, one) in &error.first {
        let failure = one.failure().unwrap();
        assert_eq!(failure.failure.code, FailureCode::GuestError);
        assert_eq!(failure.failure.message, "1 cannot be divided by zero");
        let engines: Vec<_> = failure
            .attempts
            .iter()
            .map(|attempt| attempt.engine)
            .collect();
        let engine = EngineId(u32::try_from(*at).unwrap());
        assert_eq!(engines, [Some(engine); 4]);
    }
}

#[test]
fn which_failures_count_is_a_choice() {
    let cluster = cluster(1);
    let f = numbers();
    let attempts = |on: FailureSet, how: &str| {
        let view = cluster.load_balanced_view().retry(Retry::times(2).on(on));
        let view = view.timeout(Duration::from_millis(300));
        let tasks: Task<u64> = match how {
            "spin" => view.try_submit(&f.spin, ()).unwrap(),
            how => view.try_submit(&f.fail, how).unwrap(),
        };
        tasks.wait();
        tasks.info().unwrap().attempts.len()
    };
    assert_eq!(attempts(FailureSet::NONE, "trap"), 1);
    assert_eq!(attempts(FailureSet::ALL, "trap"), 3);
    assert_eq!(attempts(FailureSet::TRAP, "trap"), 3);
    assert_eq!(attempts(FailureSet::TIMEOUT, "trap"), 1);
    assert_eq!(attempts(FailureSet::TIMEOUT, "spin"), 3);
    assert_eq!(
        attempts(FailureSet::TRAP | FailureSet::GUEST_ERROR, "spin"),
        1
    );
    assert_eq!(attempts(FailureSet::ALL, "nothing"), 1, "it goes well");
}

#[test]
fn a_pause_comes_before_each_further_attempt() {
    let cluster = cluster(1);
    let f = numbers();
    let backoff = Backoff::exponential(Duration::from_millis(10), Duration::from_millis(20));
    let view = cluster
        .load_balanced_view()
        .retry(Retry::times(3).backoff(backoff));
    let begun = Instant::now();
    let task = view.try_submit(&f.fail, "trap").unwrap();
    task.wait();
    assert!(
        begun.elapsed() >= Duration::from_millis(50),
        "{:?}",
        begun.elapsed()
    );
    let attempts = task.info().unwrap().attempts;
    let pauses: Vec<Duration> = attempts
        .windows(2)
        .map(|two| two[1].started.duration_since(two[0].started).unwrap())
        .collect();
    for (pause, least) in pauses.iter().zip([9, 19, 19]) {
        assert!(*pause >= Duration::from_millis(least), "{pauses:?}");
    }
    // In a pause it holds no engine, can be stopped, and its map goes on.
    let long = Retry::times(1).backoff(Backoff::fixed(Duration::MAX));
    let view = cluster.load_balanced_view().retry(long);
    let task = view.try_submit(&f.fail, "trap").unwrap();
    assert_eq!(
        cluster
            .blocking()
            .load_balanced_view()
            .apply(&f.add_one, 1)
            .unwrap(),
        2
    );
    assert!(!task.is_ready());
    task.abort();
    assert_eq!(code(task.get()), FailureCode::Cancelled);
    let mut map = view.unordered().map(&f.divide, [(1, 0), (4, 2)]).unwrap();
    assert_eq!(map.next().unwrap().unwrap(), 2);
    soon("the map is dropped", move || drop(map));
}

#[test]
fn what_is_lost_with_its_engine_is_tried_on_the_restarted_one() {
    let cluster = cluster(1);
    let f = numbers();
    let mut events = cluster.events();
    let view = cluster
        .load_balanced_view()
        .retry(Retry::times(2).on(FailureSet::ENGINE_LOST));
    let task = running(&view, &f.spin);
    cluster.restart_engine(EngineId(0)).unwrap();
    until("it runs again", || task.is_running());
    cluster.restart_engine(EngineId(0)).unwrap();
    until("it runs again", || task.is_running());
    assert!(!task.is_ready());
    cluster.restart_engine(EngineId(0)).unwrap();
    let error = task.get_timeout(SOON).unwrap_err();
    assert_eq!(error.failure().unwrap().attempts.len(), 3);
    assert_eq!(code::<u64>(Err(error)), FailureCode::EngineLost);
    let replaced = |event: &ClusterEvent| matches!(event, ClusterEvent::EngineReplaced(_));
    let seen: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    assert_eq!(seen.iter().filter(|event| replaced(event)).count(), 3);
    // A map, whose task ends well in the end.
    let mut map = view.map(&f.nap, [200, 1]).unwrap();
    // Over a network it is not known which engine has a task that is for any.
    until("the first runs", || {
        let status = cluster.queue_status();
        status.engines[0].outstanding > 0 || is_over_nats() && status.unassigned > 0
    });
    cluster.restart_engine(EngineId(0)).unwrap();
    assert_eq!(map.next().unwrap().unwrap(), 200);
    assert_eq!(map.next().unwrap().unwrap(), 1);
}

#[test]
fn tasks_of_a_map_have_their_attempts_too() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view().retries(2);
    let mut map = view.map(&f.divide, (0..20).map(|n| (n, n % 5))).unwrap();
    for (index, outcome) in (0..).zip(map.by_ref()) {
        match outcome {
            Ok(_) => assert_ne!(index % 5, 0),
            Err(error) => {
                let failure = error.failure().unwrap();
                assert_eq!(failure.origin.index % 5, 0);
                assert_eq!(failure.attempts.len(), 3, "{error}");
            }
        }
    }
    assert_eq!(map.stats().unwrap().retries, 8);
    let outcomes = view
        .fail_fast()
        .map(&f.divide, [(1, 0)])
        .unwrap()
        .outcomes();
    let failure = outcomes[0].as_ref().unwrap_err().failure().unwrap().clone();
    assert_eq!(failure.attempts.len(), 3);
}
