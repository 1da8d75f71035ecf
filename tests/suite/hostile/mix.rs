//! Hundreds of hostile tasks among good ones. The benchmark `hostile` runs ten thousand.

use super::catalogue::Mix;
use super::{KEPT, MIB};
use crate::support::{
    boundary, cluster, held, is_alone_with, is_over_nats, memory, target, threads, until,
};

/// The slots that instances come from keep 8 MiB for each of twelve memories of two engines, once all were used.
const SLOTS: u64 = 2 * 12 * 8 * MIB;

#[test]
fn six_hundred_hostile_tasks_harm_no_good_one() {
    if !is_alone_with(
        "hostile::mix::six_hundred_hostile_tasks_harm_no_good_one",
        &super::ALLOCATOR,
    ) {
        return;
    }
    let cluster = cluster(2);
    let built = target().join("guests");
    let mix = Mix::new(&cluster, &built, is_over_nats());
    let mut tasks = 0;
    // What the slots of instances keep goes up and down from round to round.
    let mut rounds = |count: usize| -> Vec<u64> {
        let figures = (0..count).map(|_| {
            tasks += mix.round(&cluster, &built, 100);
            until("the threads of jobs have ended", || {
                !threads().iter().any(|thread| super::is_of_a_job(thread))
            });
            memory("VmRSS")
        });
        figures.collect()
    };
    let first = rounds(3).into_iter().max().expect("there are some");
    let before = held();
    let later = rounds(3).into_iter().min().expect("there are some");
    assert!(tasks >= 600);
    // Behind the boundary each of the two engines has up to four workers, with a socket, memory and a program's file each.
    let of_workers = if boundary().is_some() { 2 * 4 * 4 } else { 0 };
    // An engine may hold what it ran last for a moment longer.
    until("there are no more threads and files than before", || {
        let (threads, files) = held();
        // Engines elsewhere keep the directories of the last jobs open.
        threads <= before.0 && (files <= before.1 + of_workers || is_over_nats())
    });
    assert!(
        later < first.max(SLOTS) + 2 * KEPT,
        "{} MiB, {} before",
        later / MIB,
        first / MIB
    );
}
