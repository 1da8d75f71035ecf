//! Whatever is submitted, aborted, dropped, lost or shut down in between, every task has one
//! outcome, nothing hangs, and no thread is left.

use crate::support::{LONG, Numbers, Prng, SOON, is_alone, numbers, threads, until};
use futures_core::Stream;
use rwasm_cluster::{Cluster, ClusterEvent, EngineId, JobId, Map, Targets, Task};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Waker};
use std::time::Duration;

/// Pseudo-random decisions, the same for the same seed.
struct Random(Prng);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What one user of a cluster has in hand.
#[derive(Default)]
struct Held {
    tasks: Vec<Task<u64>>,
    maps: Vec<Map<u64>>,
}

/// One user does something.
fn step(cluster: &Cluster, f: &Numbers, random: &mut Random, held: &mut Held) {
    let view = cluster.load_balanced_view();
    let view = if random.chance(20) {
        view.retries(2)
    } else {
        view
    };
    let view = if random.chance(10) {
        view.deadline(Duration::from_millis(3))
    } else {
        view
    };
    let view = if random.chance(10) {
        view.queue_timeout(Duration::from_millis(1))
    } else {
        view
    };
    let view = match held.tasks.last() {
        Some(task) if random.chance(30) => view.after(task),
        Some(task) if random.chance(10) => view.follow(task),
        _ => view,
    };
    // Engines come and go between two lines: to be refused is an answer too.
    match random.below(12) {
        0..3 => held.tasks.extend(view.try_submit(&f.add_one, 1)),
        3 => held.tasks.extend(view.try_submit(&f.spin, ())),
        4 => held.tasks.extend(view.try_submit(&f.nap, LONG)),
        5 => held.tasks.extend(view.try_submit(&f.fail, "trap")),
        6 => {
            if let Ok(direct) = cluster.direct_view(Targets::All)
                && let Ok(tasks) = direct.try_submit(&f.nap, 1)
            {
                held.tasks.extend(tasks);
            }
        }
        7 => held.maps.extend(view.map(&f.add_one, 0_u64..)),
        8 => {
            if let Some(map) = held.maps.last_mut() {
                // It may wait for what never ends.
                let mut context = Context::from_waker(Waker::noop());
                let _ = Pin::new(map).poll_next(&mut context);
            }
        }
        9 => {
            if !held.maps.is_empty() {
                let at = random.below(held.maps.len());
                drop(held.maps.swap_remove(at));
            }
        }
        _ => {
            if !held.tasks.is_empty() {
                let at = random.below(held.tasks.len());
                match random.below(4) {
                    0 => drop(held.tasks.swap_remove(at)),
                    1 => drop(held.tasks.swap_remove(at).detach()),
                    _ => held.tasks[at].abort(),
                }
            }
        }
    }
}

/// Engines come and go.
fn disturb(cluster: &Cluster, random: &mut Random) {
    let engines = cluster.engines();
    let engine = engines.get(random.below(engines.len().max(1))).copied();
    let engine = engine.unwrap_or(EngineId(0));
    // What is refused is refused.
    match random.below(5) {
        0 => drop(cluster.add_engines(1)),
        1 if engines.len() > 1 => drop(cluster.remove_engine(engine)),
        2..4 => drop(cluster.restart_engine(engine)),
        _ => drop(cluster.queue_status()),
    }
}

fn round(seed: u64) {
    let mut random = Random(Prng::new(seed));
    let cluster = Arc::new(
        Cluster::builder()
            .engines(2)
            .max_engines(6)
            .start()
            .expect("it goes well"),
    );
    let events = cluster.events();
    // A listener that is slow would miss some.
    let listening = std::thread::spawn(move || events.collect::<Vec<_>>());
    let users: Vec<_> = (0..3)
        .map(|user| {
            let cluster = Arc::clone(&cluster);
            std::thread::spawn(move || {
                let mut random = Random(Prng::new(seed * 7 + user));
                let (f, mut held) = (numbers(), Held::default());
                for _ in 0..120 {
                    step(&cluster, &f, &mut random, &mut held);
                }
                held
            })
        })
        .collect();
    for _ in 0..15 {
        disturb(&cluster, &mut random);
        std::thread::yield_now();
    }
    let early = random.chance(40);
    if early {
        cluster.shutdown(Duration::from_millis(random.below(10) as u64));
    }
    let held: Vec<Held> = users
        .into_iter()
        .map(|user| user.join().expect("it goes well"))
        .collect();
    if !early {
        cluster.shutdown(Duration::ZERO);
    }
    for held in held {
        for task in &held.tasks {
            assert!(
                task.wait_timeout(SOON),
                "seed {seed}: a task has no outcome"
            );
            let (first, again) = (task.get(), task.get());
            assert_eq!(first.is_ok(), again.is_ok());
            assert_eq!(task.is_successful(), Some(first.is_ok()));
        }
        for map in held.maps {
            assert!(map.last().is_none_or(|last| last.is_err()), "seed {seed}");
        }
    }
    drop(cluster);
    let mut ended: HashMap<JobId, u32> = HashMap::new();
    for event in listening.join().expect("it goes well") {
        if let ClusterEvent::JobEnded { job, .. } = event {
            *ended.entry(job).or_default() += 1;
        }
    }
    assert!(
        ended.values().all(|times| *times == 1),
        "seed {seed}: {ended:?}"
    );
}

#[test]
fn every_task_has_one_outcome_whatever_happens() {
    if !is_alone("chaos::every_task_has_one_outcome_whatever_happens") {
        return;
    }
    for seed in 0..12 {
        let (sender, ended) = channel();
        let thread = std::thread::spawn(move || {
            round(seed);
            let _ = sender.send(());
        });
        match ended.recv_timeout(SOON * 2) {
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                panic!("seed {seed} hangs; threads: {:?}", threads())
            }
            _ => thread.join().unwrap(),
        }
    }
    until("every thread has ended", || threads().is_empty());
}
