//! Tasks that stay just below their limit of time, on every engine they can get: others wait for no more than that, and not
//! at all where the slow ones are held to some of the engines.

use crate::support::{SOON, cluster, numbers, until};
use rwasm_cluster::{Limits, Task};
use std::time::Duration;

/// The limit of a slow task, and nearly all of it.
const LIMIT: Duration = Duration::from_millis(400);
const NEARLY: u64 = 350;

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.time = LIMIT;
    limits
}

#[test]
fn what_matters_more_waits_for_one_slow_task_and_not_for_all() {
    let cluster = cluster(2);
    let slow = cluster.load_balanced_view().limits(limits());
    let nap = numbers().nap;
    let crowd: Vec<Task<u64>> = (0..40)
        .map(|_| slow.try_submit(&nap, NEARLY).expect("it is submitted"))
        .collect();
    until("both engines are slow", || {
        crowd.iter().filter(|task| task.is_running()).count() == 2
    });
    let urgent = cluster.load_balanced_view().priority(1);
    let task = urgent.try_submit(&numbers().fib, 15);
    let task = task.expect("it is submitted");
    assert_eq!(task.get_timeout(SOON).expect("it ends well"), 610);
    let waiting = crowd.iter().filter(|task| !task.is_ready()).count();
    assert!(waiting > 20, "{waiting} slow tasks are not through");
    crowd.iter().for_each(Task::abort);
}

#[test]
fn slow_tasks_held_to_one_engine_leave_the_other_alone() {
    let cluster = cluster(2);
    let slow = cluster.load_balanced_view().targets(0).limits(limits());
    let crowd: Vec<Task<u64>> = (0..40)
        .map(|_| {
            slow.try_submit(&numbers().nap, NEARLY)
                .expect("it is submitted")
        })
        .collect();
    let good = cluster.load_balanced_view();
    for _ in 0..100 {
        let task = good
            .try_submit(&numbers().fib, 15)
            .expect("it is submitted");
        assert_eq!(task.get_timeout(SOON).expect("it ends well"), 610);
    }
    assert!(crowd.iter().any(|task| !task.is_ready()));
    crowd.iter().for_each(Task::abort);
}
