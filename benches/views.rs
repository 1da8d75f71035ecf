//! What calls and maps cost, and what they leave behind: throughput, latency, aborting, memory.
//!
//! Run it with `cargo bench --bench views`, or one part of it: `cargo bench --bench views -- abort`.
//! The parts are: calls, fold, abort, speed-up, leaks, clusters.

#![expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark has one reader and small numbers"
)]

mod guests;

use guests::guest;
use rwasm_cluster::{Callable, Cluster, Module, Task};
use std::time::{Duration, Instant};

type Part = (&'static str, fn(&Module));

fn main() {
    let parts: [Part; 6] = [
        ("calls", calls),
        ("fold", fold),
        ("abort", abort),
        ("speed-up", speed_up),
        ("leaks", leaks),
        ("clusters", clusters),
    ];
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let module = Module::from_file(guest("numbers.wasm")).unwrap();
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            part(&module);
        }
    }
}

fn add_one(module: &Module) -> Callable<u64, u64> {
    module.function("add-one").unwrap()
}

fn cluster(engines: u32) -> Cluster {
    Cluster::builder().engines(engines).start().unwrap()
}

/// Calls one after the other, and many at once.
fn calls(module: &Module) {
    const CALLS: u32 = 20_000;
    for engines in [1, 2] {
        let cluster = cluster(engines);
        let view = cluster.blocking().load_balanced_view();
        let function = add_one(module);
        view.apply(&function, 1).unwrap();

        let mut latencies: Vec<Duration> = (0..CALLS / 4)
            .map(|number| {
                let begun = Instant::now();
                assert_eq!(
                    view.apply(&function, number.into()).unwrap(),
                    u64::from(number) + 1
                );
                begun.elapsed()
            })
            .collect();
        latencies.sort_unstable();
        let percent = |share: usize| latencies[latencies.len() * share / 100].as_secs_f64() * 1e6;

        let begun = Instant::now();
        let tasks: Vec<Task<u64>> = (0..CALLS)
            .map(|number| view.try_submit(&function, number.into()).unwrap())
            .collect();
        let sum: u64 = tasks.iter().map(|task| task.get().unwrap()).sum();
        assert_eq!(sum, (1..=u64::from(CALLS)).sum::<u64>());
        let together = f64::from(CALLS) / begun.elapsed().as_secs_f64();

        let begun = Instant::now();
        let sum: u64 = view
            .map(&function, 0..u64::from(CALLS) * 10)
            .unwrap()
            .map(Result::unwrap)
            .sum();
        assert_eq!(sum, (1..=u64::from(CALLS) * 10).sum::<u64>());
        let mapped = f64::from(CALLS) * 10.0 / begun.elapsed().as_secs_f64();
        println!(
            "{engines} engine(s): one call after the other p50 {:.1} µs, p99 {:.1} µs; {CALLS} calls at once {together:.0}/s; a map {mapped:.0}/s",
            percent(50),
            percent(99),
        );
    }
}

/// Ten million tasks, folded as they come.
fn fold(module: &Module) {
    const TASKS: u64 = 10_000_000;
    let cluster = cluster(2);
    let begun = Instant::now();
    let map = cluster
        .load_balanced_view()
        .map(&add_one(module), 0..TASKS)
        .unwrap();
    let (mut sum, mut early, mut most) = (0, 0, 0);
    for (number, value) in map.enumerate() {
        sum += value.unwrap();
        if number == 10_000 {
            early = resident();
        }
        if number % 100_000 == 0 {
            most = most.max(resident());
        }
    }
    assert_eq!(sum, (1..=TASKS).sum::<u64>());
    println!(
        "{TASKS} tasks folded in {:.1} s: {:.0}/s; {:.1} MiB after ten thousand, {:.1} MiB at most",
        begun.elapsed().as_secs_f64(),
        TASKS as f64 / begun.elapsed().as_secs_f64(),
        mib(early),
        mib(most),
    );
}

/// From `abort` until the engine has run its next task, while another engine goes on.
fn abort(module: &Module) {
    const ROUNDS: usize = 51;
    let cluster = cluster(2);
    let stuck = cluster.blocking().direct_view(0).unwrap();
    let other = cluster.blocking().direct_view(1).unwrap();
    let add_one = add_one(module);
    let spin = module.function::<(), u64>("spin").unwrap();
    let nap = module.function::<u64, u64>("nap").unwrap();
    for asleep in [false, true] {
        let (mut ended, mut next) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let running = if asleep {
                stuck.submit(&nap, 3_600_000).unwrap()
            } else {
                stuck.submit(&spin, ()).unwrap()
            };
            while !running.task(0).unwrap().is_running() {
                std::thread::yield_now();
            }
            let following = stuck.submit(&add_one, 1).unwrap();
            assert_eq!(other.apply(&add_one, 1).unwrap(), [2]);
            let begun = Instant::now();
            running.abort();
            running.wait();
            ended.push(begun.elapsed());
            assert_eq!(following.get().unwrap(), [2]);
            next.push(begun.elapsed());
        }
        ended.sort_unstable();
        next.sort_unstable();
        println!(
            "aborting a task {}: it has ended after {:.2} ms, its engine has done its next task after {:.2} ms (medians of {ROUNDS})",
            if asleep {
                "asleep for an hour"
            } else {
                "in an endless loop"
            },
            ended[ROUNDS / 2].as_secs_f64() * 1e3,
            next[ROUNDS / 2].as_secs_f64() * 1e3,
        );
    }
}

/// A map that computes, on two engines.
fn speed_up(module: &Module) {
    let cluster = cluster(2);
    let fib = module.function::<u32, u64>("fib").unwrap();
    let view = cluster.load_balanced_view();
    let mut figures: Vec<f64> = (0..5)
        .map(|_| {
            let mut map = view.map(&fib, [30; 200]).unwrap();
            assert!(map.by_ref().all(|value| value.unwrap() == 832_040));
            map.stats().unwrap().speed_up()
        })
        .collect();
    figures.sort_unstable_by(f64::total_cmp);
    println!(
        "serial time by wall time of 200 calls of fib(30) on 2 engines: {:.2} (median of 5; {figures:.2?})",
        figures[2]
    );
}

/// What tasks leave behind that are aborted at once.
fn leaks(module: &Module) {
    const TASKS: u64 = 100_000;
    let cluster = cluster(2);
    let view = cluster.load_balanced_view();
    let add_one = add_one(module);
    view.clone().blocking().apply(&add_one, 1).unwrap();
    let (threads, files) = (count("task"), count("fd"));
    let mut after = Vec::new();
    let spin = module.function::<(), u64>("spin").unwrap();
    for _ in 0..3 {
        // While the engines are busy, every task waits: each round holds as many.
        let direct = cluster.direct_view(rwasm_cluster::Targets::All).unwrap();
        let busy = direct.try_submit(&spin, ()).unwrap();
        let begun = Instant::now();
        let tasks: Vec<_> = (0..TASKS)
            .map(|number| {
                if number % 1000 == 0 {
                    // Asked in between, the dispatcher does not fall behind: what waits for it
                    // takes memory too, more or less as it happens.
                    let _ = cluster.queue_status();
                }
                view.try_submit(&add_one, number).unwrap()
            })
            .collect();
        let submitted = begun.elapsed();
        drop(tasks);
        drop(busy);
        view.clone().blocking().apply(&add_one, 1).unwrap();
        after.push(resident());
        println!(
            "{TASKS} tasks submitted in {:.0} ms, and aborted in {:.0} ms; {:.1} MiB resident",
            submitted.as_secs_f64() * 1e3,
            begun.elapsed().saturating_sub(submitted).as_secs_f64() * 1e3,
            mib(after[after.len() - 1]),
        );
    }
    println!(
        "threads {threads} before, {} after; open files {files} before, {} after; the second round added {:.2} MiB, the third {:.2}",
        count("task"),
        count("fd"),
        mib(after[1].saturating_sub(after[0])),
        mib(after[2].saturating_sub(after[1])),
    );
}

/// Clusters that are started, used and shut down.
fn clusters(module: &Module) {
    const CLUSTERS: usize = 1000;
    let (threads, files) = (count("task"), count("fd"));
    let mut after = Vec::new();
    for round in 0..2 {
        let begun = Instant::now();
        for _ in 0..CLUSTERS {
            let cluster = cluster(2);
            if round == 0 {
                let view = cluster.blocking().load_balanced_view();
                assert_eq!(view.apply(&add_one(module), 1).unwrap(), 2);
                break;
            }
            cluster.shutdown(Duration::ZERO);
        }
        after.push(resident());
        println!(
            "{} cluster(s) started and shut down in {:.2} s",
            if round == 0 { 1 } else { CLUSTERS },
            begun.elapsed().as_secs_f64(),
        );
    }
    println!(
        "threads {threads} before, {} after; open files {files} before, {} after; {CLUSTERS} added {:.2} MiB",
        count("task"),
        count("fd"),
        mib(after[1].saturating_sub(after[0])),
    );
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or_default()
        * 1024
}

/// The entries of a folder on this process: its threads, or its open files.
fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).map_or(0, Iterator::count)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
