//! Nothing is left behind: no thread, no open file, no memory.

use crate::support::{held, is_alone, memory, numbers, open_files, scratch, threads, until};
use rwasm_cluster::{Cluster, Task};
use std::time::Duration;

const MIB: u64 = 1 << 20;

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
    // What the allocator holds back differs from round to round; a leak adds to each of them.
    let rounds = |count: usize| -> Vec<u64> {
        let figures = (0..count).map(|_| {
            round();
            memory("VmRSS")
        });
        figures.collect()
    };
    let first = rounds(3).into_iter().max().expect("there are some");
    let before = held();
    let later = rounds(3).into_iter().min().expect("there are some");
    assert_eq!(held(), before);
    assert!(later < first + MIB, "{} KiB more", (later - first) >> 10);
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
    let before = (open_files(), memory("VmRSS"));
    round();
    let after = (open_files(), memory("VmRSS"));
    assert_eq!(after.0, before.0);
    assert!(
        after.1 < before.1 + MIB,
        "{} KiB more",
        (after.1 - before.1) >> 10
    );
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
    let before = (held(), memory("VmRSS"));
    round();
    let after = (held(), memory("VmRSS"));
    let ((threads, files), (threads_before, files_before)) = (after.0, before.0);
    assert!(
        threads <= threads_before + 2,
        "{threads} threads, {threads_before} before"
    );
    assert_eq!(files, files_before);
    assert!(
        after.1 < before.1 + MIB / 2,
        "{} KiB more",
        (after.1 - before.1) >> 10
    );
}
