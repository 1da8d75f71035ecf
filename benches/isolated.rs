//! What isolation costs through the library, beside the floor: a raw wasmtime loop with the same
//! settings and the same number of threads, in one run, interleaved.
//!
//! Each task is one call of the word count's mapper on 43 bytes, in a fresh instance.
//! Run it with `cargo xtask bench`, or `cargo bench --bench isolated`.

#![expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark has one reader and small numbers"
)]

#[expect(dead_code, reason = "other benchmarks use all of it")]
mod floor;
mod guests;

use floor::{Armed, Compiled, Floor};
use guests::guest;
use rwasm_cluster::{ByteSize, Chunking, Cluster, Input, JobSpec, Merge, Module};
use std::path::Path;
use std::time::{Duration, Instant};

/// A line as tasks get it.
const LINE: &[u8; 43] = b"the quick brown fox jumps over a lazy dog.\n";

const TASKS: usize = 100_000;
const ROUNDS: usize = 5;

fn main() {
    let wordcount = guest("wordcount.wasm");
    for threads in [1, 2] {
        let raw = Floor::new(&wordcount, Compiled::WITH_EPOCHS);
        let ours = Ours::new(&wordcount, threads);
        let (mut raw_best, mut ours_best) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            raw_best = raw_best.min(raw.run(threads, TASKS, Armed::LIMITED, |_| LINE));
            ours_best = ours_best.min(ours.run());
        }
        println!(
            "{threads} thread(s): raw wasmtime {:.0} tasks/s, rwasm-cluster {:.0} tasks/s, ratio {:.2}",
            rate(raw_best),
            rate(ours_best),
            raw_best.as_secs_f64() / ours_best.as_secs_f64(),
        );
    }
}

fn rate(time: Duration) -> f64 {
    TASKS as f64 / time.as_secs_f64()
}

/// Tasks through the library: chunks of 43 bytes, each a task in a fresh instance.
struct Ours {
    cluster: Cluster,
    module: Module,
    input: Vec<u8>,
}

impl Ours {
    fn new(module: &Path, engines: u32) -> Self {
        Self {
            cluster: Cluster::builder().engines(engines).start().unwrap(),
            module: Module::from_file(module).unwrap(),
            input: LINE.repeat(TASKS),
        }
    }

    fn run(&self) -> Duration {
        let mut spec = JobSpec::default();
        spec.merge = Merge::None;
        spec.chunking = Some(Chunking::Exact(ByteSize::new(LINE.len() as u64)));
        let input = vec![Input::bytes("lines", self.input.clone())];
        let begun = Instant::now();
        let mut job = self.cluster.run(&self.module, input, &spec).unwrap();
        let mut outcomes = 0;
        while let Some((_, outcome)) = job.next_outcome() {
            outcome.result.unwrap();
            outcomes += 1;
        }
        job.wait().unwrap();
        assert_eq!(outcomes, TASKS);
        begun.elapsed()
    }
}
