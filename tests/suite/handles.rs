//! What holds several calls: values beside failures, and the first failure that ends them all.

use crate::support::{cluster, module};
use rwasm_cluster::{FailureCode, TaskError, Tasks};
use std::time::{Duration, Instant};

/// Long enough that waiting for it would show.
const LONG: u64 = 20_000;

fn code(error: &TaskError) -> Option<FailureCode> {
    Some(error.failure()?.failure.code)
}

/// A call that sleeps for long, and one that fails at once.
fn sleeper_and_failure(cluster: &rwasm_cluster::Cluster) -> Tasks<u64> {
    let numbers = module("numbers");
    let nap = numbers.function::<(u64,), u64>("nap").expect("it is there");
    let fail = numbers
        .function::<(&str,), u64>("fail")
        .expect("it is there");
    let view = cluster.blocking().load_balanced_view();
    Tasks::join([
        view.submit(&nap, (LONG,)).expect("it is taken"),
        view.submit(&fail, ("trap",)).expect("it is taken"),
    ])
}

#[test]
fn the_first_failure_ends_all_where_that_is_asked_for() {
    let cluster = cluster(2);
    let begun = Instant::now();
    for as_future in [false, true] {
        let tasks = sleeper_and_failure(&cluster).fail_fast();
        assert_eq!((tasks.len(), tasks.ids().count()), (2, 2));
        let error = if as_future {
            pollster::block_on(tasks)
        } else {
            let error = tasks.get();
            let stopped = tasks.outcomes().swap_remove(0);
            assert_eq!(
                stopped.as_ref().err().and_then(code),
                Some(FailureCode::Cancelled)
            );
            error
        };
        let error = error.expect_err("one failed");
        assert_eq!((error.tasks, error.failed), (2, 1));
        let (place, failed) = &error.first[0];
        assert_eq!((*place, code(failed)), (1, Some(FailureCode::Trap)));
    }
    assert!(begun.elapsed() < Duration::from_millis(LONG));
}

#[test]
fn without_failures_all_values_come_in_order() {
    let cluster = cluster(2);
    let numbers = module("numbers");
    let add_one = numbers
        .function::<(u64,), u64>("add-one")
        .expect("it is there");
    let view = cluster.blocking().load_balanced_view();
    let submit = |n| view.submit(&add_one, (n,)).expect("it is taken");
    let tasks: Tasks<u64> = (0..50).map(submit).collect();
    let tasks = tasks.fail_fast();
    let wanted: Vec<u64> = (1..=50).collect();
    assert_eq!(tasks.get().expect("all are well"), wanted);
    assert_eq!(pollster::block_on(tasks).expect("all are well"), wanted);
}
