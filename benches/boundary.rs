//! What the boundary costs: tasks in worker processes against tasks on threads, in one run, interleaved.
//!
//! Isolated tasks are calls of the word count's mapper on 43 bytes, each in a fresh instance; a call adds one to a number.
//! Run it with `cargo bench --bench boundary`.

#![expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark has one reader and small numbers"
)]

mod guests;

use guests::guest;
use rwasm_cluster::{Boundary, ByteSize, Chunking, Cluster, Input, JobSpec, Merge, Module};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const LINE: &[u8; 43] = b"the quick brown fox jumps over a lazy dog.\n";
const TASKS: usize = 100_000;
const CALLS: usize = 2_000;
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(ended) = rwasm_cluster::task_worker(std::env::args_os().skip(1)) {
        return ended;
    }
    let wordcount = Module::from_file(guest("wordcount.wasm")).unwrap();
    let numbers = Module::from_file(guest("numbers.wasm")).unwrap();
    for engines in [1, 2] {
        let clusters =
            [Boundary::Thread, Boundary::Process("/proc/self/exe".into())].map(|boundary| {
                Cluster::builder()
                    .engines(engines)
                    .boundary(boundary)
                    .start()
                    .unwrap()
            });
        let mut best = [Duration::MAX; 2];
        let mut calls = [vec![], vec![]];
        for _ in 0..ROUNDS {
            for (place, cluster) in clusters.iter().enumerate() {
                best[place] = best[place].min(isolated(cluster, &wordcount));
                calls[place].extend(latencies(cluster, &numbers));
            }
        }
        let rate = |time: Duration| TASKS as f64 / time.as_secs_f64();
        let [threads, processes] = best.map(rate);
        println!(
            "{engines} engine(s): isolated tasks/s: threads {threads:.0}, processes {processes:.0}, ratio {:.2}",
            processes / threads
        );
        let [threads, processes] = calls.map(median);
        println!(
            "{engines} engine(s): median of a call: threads {threads:.1?}, processes {processes:.1?}, difference {:.1?}",
            processes.saturating_sub(threads)
        );
    }
    ExitCode::SUCCESS
}

/// Chunks of 43 bytes, each a task in a fresh instance.
fn isolated(cluster: &Cluster, module: &Module) -> Duration {
    let mut spec = JobSpec::default();
    spec.merge = Merge::None;
    spec.chunking = Some(Chunking::Exact(ByteSize::new(LINE.len() as u64)));
    let input = vec![Input::bytes("lines", LINE.repeat(TASKS))];
    let begun = Instant::now();
    let mut job = cluster.run(module, input, &spec).unwrap();
    let mut outcomes = 0;
    while let Some((_, outcome)) = job.next_outcome() {
        outcome.result.unwrap();
        outcomes += 1;
    }
    job.wait().unwrap();
    assert_eq!(outcomes, TASKS);
    begun.elapsed()
}

/// One call after the other.
fn latencies(cluster: &Cluster, module: &Module) -> Vec<Duration> {
    let add_one = module.function::<(u64,), u64>("add-one").unwrap();
    let view = cluster.load_balanced_view().blocking();
    (0..CALLS)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(view.apply(&add_one, (1,)).unwrap(), 2);
            begun.elapsed()
        })
        .collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
