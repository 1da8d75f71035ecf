//! What tenants cost, and how fairly they share: engine time by weight, and calls beside a flood.
//!
//! Run it with `cargo bench --bench tenants`, or one part of it: `cargo bench --bench tenants -- flood`.
//! The parts are: overhead, shares, flood.

#![expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark has one reader and small numbers"
)]

use rwasm_cluster::{Budget, Callable, Cluster, LoadBalancedView, Module, Task, Tenant};
use std::time::{Duration, Instant};

type Part = (&'static str, fn(&Callable<i64, i64>));

/// A loop of so many rounds.
const ROUNDS: &str = r#"(module (func (export "rounds") (param $n i64) (result i64)
    (local $x i64)
    (loop $again
        (local.set $x (i64.add (i64.mul (local.get $x) (i64.const 6364136223846793005)) (i64.const 1)))
        (local.set $n (i64.sub (local.get $n) (i64.const 1)))
        (br_if $again (i64.gt_s (local.get $n) (i64.const 0))))
    (local.get $x)))"#;

fn main() {
    let parts: [Part; 3] = [("overhead", overhead), ("shares", shares), ("flood", flood)];
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let module = Module::from_bytes("rounds", ROUNDS).unwrap();
    let rounds = module.function("rounds").unwrap();
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            part(&rounds);
        }
    }
}

fn cluster(engines: u32) -> Cluster {
    Cluster::builder().engines(engines).start().unwrap()
}

fn weighted(cluster: &Cluster, label: &str, weight: u32) -> Tenant {
    let mut budget = Budget::default();
    budget.weight = weight;
    cluster.tenant(label).with_budget(budget)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The rounds that take so long here.
fn rounds_of(view: &LoadBalancedView, rounds: &Callable<i64, i64>, time: Duration) -> i64 {
    const TRIED: i64 = 10_000_000;
    let view = view.clone().blocking();
    view.apply(rounds, 1).unwrap();
    let timed = || {
        let begun = Instant::now();
        view.apply(rounds, TRIED).unwrap();
        begun.elapsed()
    };
    let least = (0..3).map(|_| timed()).min().unwrap();
    let each = least.as_secs_f64() / TRIED as f64;
    #[expect(clippy::cast_possible_truncation, reason = "it is positive, and small")]
    let rounds = (time.as_secs_f64() / each) as i64;
    rounds.max(1)
}

/// The latencies of calls one after the other.
fn latencies(view: &LoadBalancedView, rounds: &Callable<i64, i64>, calls: usize) -> Vec<Duration> {
    let view = view.clone().blocking();
    let timed = |_| {
        let begun = Instant::now();
        view.apply(rounds, 1).unwrap();
        begun.elapsed()
    };
    (0..calls).map(timed).collect()
}

/// Tasks per second and the latency of a call, for the cluster itself and for a tenant, in turns.
fn overhead(rounds: &Callable<i64, i64>) {
    const TASKS: u32 = 200_000;
    const TURNS: usize = 9;
    let cluster = cluster(2);
    let views = [
        cluster.load_balanced_view(),
        weighted(&cluster, "tenant", 1).load_balanced_view(),
    ];
    let mut rates = [Vec::new(), Vec::new()];
    let mut calls = [Vec::new(), Vec::new()];
    for turn in 0..TURNS {
        for which in [turn % 2, (turn + 1) % 2] {
            let view = &views[which];
            let begun = Instant::now();
            view.map(rounds, (0..TASKS).map(|_| 1))
                .unwrap()
                .get()
                .unwrap();
            rates[which].push(begun.elapsed());
            calls[which].extend(latencies(view, rounds, 2000));
        }
    }
    for (which, name) in ["the cluster itself", "a tenant"].iter().enumerate() {
        let rate = f64::from(TASKS) / median(rates[which].clone()).as_secs_f64();
        let call = median(calls[which].clone());
        println!("{name}: {rate:.0} tasks/s, a call {call:?}");
    }
}

/// Two tenants of weight 1:3 for ten seconds, one with tasks of a millisecond and one with tasks of a second.
fn shares(rounds: &Callable<i64, i64>) {
    let cluster = cluster(2);
    let tenants = [
        weighted(&cluster, "short", 1),
        weighted(&cluster, "long", 3),
    ];
    let second = rounds_of(
        &cluster.load_balanced_view(),
        rounds,
        Duration::from_secs(1),
    );
    let submit = |tenant: &Tenant, rounds_each: i64, count: i64| -> Vec<Task<i64>> {
        let view = tenant.load_balanced_view();
        (0..count)
            .map(|_| view.try_submit(rounds, rounds_each).unwrap())
            .collect()
    };
    let begun = Instant::now();
    let tasks = [
        submit(&tenants[0], second / 1000, 30_000),
        submit(&tenants[1], second, 40),
    ];
    std::thread::sleep(Duration::from_secs(10).saturating_sub(begun.elapsed()));
    tenants.iter().for_each(Tenant::close);
    // What was stopped has been counted when it is answered.
    tasks.iter().flatten().for_each(Task::wait);
    let used = tenants
        .each_ref()
        .map(|tenant| tenant.usage().wall_time.as_secs_f64());
    let all: f64 = used.iter().sum();
    println!(
        "engine time by weight 1:3: {:.1} % and {:.1} % of {all:.1} s",
        100.0 * used[0] / all,
        100.0 * used[1] / all,
    );
}

/// The median call of one tenant, alone and beside a million tasks of ten microseconds of another.
fn flood(rounds: &Callable<i64, i64>) {
    const FLOOD: usize = 1_000_000;
    let cluster = cluster(2);
    let view = weighted(&cluster, "calm", 1).load_balanced_view();
    let each = rounds_of(&view, rounds, Duration::from_micros(10));
    let alone = median(latencies(&view, rounds, 2000));
    let flooding = weighted(&cluster, "flooding", 1);
    let flooded = flooding.load_balanced_view();
    let begun = Instant::now();
    let tasks: Vec<Task<i64>> = (0..FLOOD)
        .map(|_| flooded.try_submit(rounds, each).unwrap())
        .collect();
    let submitted = begun.elapsed();
    let waiting = flooding.status().waiting;
    let beside = median(latencies(&view, rounds, 300));
    let left = flooding.status().waiting;
    println!(
        "{FLOOD} tasks submitted in {submitted:?}; beside {waiting} to {left} of them a call takes {beside:?}, alone {alone:?}"
    );
    let map = flooded.map(rounds, (0..FLOOD).map(move |_| each)).unwrap();
    let beside = median(latencies(&view, rounds, 300));
    println!("beside a map of as many as well, a call takes {beside:?}");
    drop((map, tasks));
}
