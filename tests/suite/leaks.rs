//! Nothing is left behind: no thread, no open file, no memory.

use crate::support::{allocated, held, is_alone, numbers, open_files, scratch, threads, until};
use rwasm_cluster::{Cluster, Task};
use std::time::Duration;

/// More than what threads come to keep for themselves, and less than a byte for each task that was aborted.
const LITTLE: usize = 64 << 10;

#[track_caller]
fn assert_little_more(before: usize, after: usize) {
    let more = after.saturating_sub(before);
    assert!(more < LITTLE, "{more} bytes more are allocated");
}

fn small() -> Cluster {
    Cluster::builder()
        .engines(1)
        .max_engines(1)
        .cache_dir(scratch().join("compiled"))
        .start()
        .expect("it goes well")
}

#[test]
fn a_hundred_thousand_tasks_aborted_at_once_leave_nothing() {
    if !is_alone("leaks::a_hundred_thousand_tasks_aborted_at_once_leave_nothing") {
        return;
    }
    let cluster = small();
    let f = numbers();
    let view = cluster.load_balanced_view();
    let round = || {
        let spin = view.try_submit(&f.spin, ()).unwrap();
        let mut tasks: Vec<Task<u64>> = Vec::with_capacity(100_000);
        for n in 0..100_000 {
            tasks.push(view.try_submit(&f.add_one, n).unwrap());
            if n % 1000 == 0 {
                // Once it has answered it has taken in all before: what waits for it to do so, and
                // takes memory, does not depend on how busy the machine is.
                let _ = cluster.queue_status();
            }
        }
        for some in tasks.chunks(1000) {
            some.iter().for_each(Task::abort);
            let _ = cluster.queue_status();
        }
        assert!(tasks.iter().all(|task| task.is_successful() == Some(false)));
        drop(tasks);
        drop(spin);
        until("the queue is empty", || {
            let status = cluster.queue_status();
            status.unassigned == 0 && status.engines[0].outstanding == 0
        });
    };
    round();
    let before = held();
    // A table doubles now and then; a leak adds to each round.
    let mut last = allocated();
    let added = (0..4).map(|_| {
        round();
        allocated().saturating_sub(std::mem::replace(&mut last, allocated()))
    });
    let least = added.min().expect("there are some");
    assert_eq!(held(), before);
    assert!(least < LITTLE, "{least} bytes more in each round");
}

#[test]
fn clusters_leave_nothing() {
    if !is_alone("leaks::clusters_leave_nothing") {
        return;
    }
    let f = numbers();
    let round = || {
        for _ in 0..100 {
            let cluster = small();
            let view = cluster.load_balanced_view();
            let task = view.clone().retries(1).try_submit(&f.nap, 1).unwrap();
            if task.id().0 == 0 {
                cluster.shutdown(Duration::ZERO);
            }
        }
        until("every thread has ended", || threads().is_empty());
    };
    round();
    let before = (open_files(), allocated());
    round();
    let after = (open_files(), allocated());
    assert_eq!(after.0, before.0);
    assert_little_more(before.1, after.1);
}

#[test]
fn maps_of_one_cluster_leave_nothing() {
    if !is_alone("leaks::maps_of_one_cluster_leave_nothing") {
        return;
    }
    let cluster = small();
    let f = numbers();
    let view = cluster.load_balanced_view();
    let round = || {
        for _ in 0..1000 {
            assert!(view.map(&f.add_one, [1, 2]).unwrap().get().is_ok());
        }
    };
    round();
    let before = (held(), allocated());
    round();
    let after = (held(), allocated());
    let ((threads, files), (threads_before, files_before)) = (after.0, before.0);
    assert!(
        threads <= threads_before + 2,
        "{threads} threads, {threads_before} before"
    );
    assert_eq!(files, files_before);
    assert_little_more(before.1, after.1);
}
