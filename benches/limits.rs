//! The price of limits, each beside the same without it, in one run, interleaved: of a word count of 256 MiB as a ratio,
//! of tiny tasks in microseconds.
//!
//! The floor is raw wasmtime, so that there is a run without any limit to compare with; the last line is the library
//! with all of its limits. Run it with `cargo bench --bench limits`.

#![expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark has one reader and small numbers"
)]

mod floor;
mod guests;

use floor::{Armed, Compiled, Floor};
use guests::guest;
use rwasm_cluster::{ByteSize, Chunking, Cluster, Input, JobSpec, Limits, Merge, Module};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// The text whose words are counted.
const TEXT: usize = 256 << 20;

/// A task of it. Most chunks of a large file have that size.
const CHUNK: usize = 4 << 20;

/// Each round runs all that is compared, one after the other; the least time of each counts.
const ROUNDS: usize = 5;

const LINE: &[u8; 43] = b"the quick brown fox jumps over a lazy dog.\n";
const TASKS: usize = 50_000;

fn main() {
    let wordcount = guest("wordcount.wasm");
    let plain = Floor::new(&wordcount, Compiled::PLAIN);
    let epochs = Floor::new(&wordcount, Compiled::WITH_EPOCHS);
    let fuel = Floor::new(&wordcount, Compiled::WITH_FUEL);
    let only = |memory, time| Armed { memory, time };

    let text = text();
    let chunk = |task: usize| &text[task * CHUNK..(task + 1) * CHUNK];
    let large = |floor: &Floor, armed| floor.run(1, TEXT / CHUNK, armed, chunk);
    let [bare, checks, all, counted] = compared([
        &|| large(&plain, Armed::NOTHING),
        &|| large(&epochs, Armed::NOTHING),
        &|| large(&epochs, Armed::LIMITED),
        &|| large(&fuel, Armed::LIMITED),
    ]);
    println!("word count of 256 MiB, 1 thread, raw wasmtime:");
    println!(
        "  without any limit or check           {:>7.3} s",
        bare.as_secs_f64()
    );
    line("epoch checks in the code", checks, bare);
    line("all limits armed, over that", all, checks);
    line("fuel as well, over that", counted, all);

    let small = |floor: &Floor, armed| floor.run(1, TASKS, armed, |_| LINE);
    let [bare, memory, checks, time, counted] = compared([
        &|| small(&plain, Armed::NOTHING),
        &|| small(&plain, only(true, false)),
        &|| small(&epochs, Armed::NOTHING),
        &|| small(&epochs, only(false, true)),
        &|| small(&fuel, Armed::NOTHING),
    ]);
    println!("tasks of 43 bytes, 1 thread, a fresh instance each, raw wasmtime:");
    println!(
        "  without any limit or check           {:>7.2} µs",
        micros(bare)
    );
    added("memory and tables summed", memory, bare);
    added("epoch checks in the code", checks, bare);
    added("deadline and cancelling armed", time, checks);
    added("fuel counted", counted, checks);

    let ours = Ours::new(&wordcount);
    let [least, default] = compared([&|| ours.run(&unlimited()), &|| ours.run(&Limits::default())]);
    println!("the same by the library, 1 engine:");
    println!(
        "  limits as large as they can be       {:>7.2} µs",
        micros(least)
    );
    added("limits by default", default, least);
}

/// The least time of each, over all rounds.
fn compared<const N: usize>(runs: [&dyn Fn() -> Duration; N]) -> [Duration; N] {
    let mut least = [Duration::MAX; N];
    for _ in 0..ROUNDS {
        for (least, run) in least.iter_mut().zip(runs) {
            *least = run().min(*least);
        }
    }
    least
}

fn line(what: &str, time: Duration, before: Duration) {
    let ratio = time.as_secs_f64() / before.as_secs_f64();
    println!(
        "  {what:<36} {:>7.3} s, ratio {ratio:.3}",
        time.as_secs_f64()
    );
}

fn added(what: &str, time: Duration, before: Duration) {
    let more = micros(time) - micros(before);
    println!("  {what:<36} {:>7.2} µs, {more:+.2} µs", micros(time));
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / TASKS as f64
}

/// Lines of words, of which some are frequent and many are not.
fn text() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut text = String::with_capacity(TEXT + 64);
    while text.len() < TEXT {
        for _ in 0..10 {
            let bits = random.u32(1..16);
            let word = random.u32(..1 << bits);
            // Writing to a string cannot fail.
            let _ = write!(text, "w{word:x} ");
        }
        text.push('\n');
    }
    text.truncate(TEXT);
    text.into_bytes()
}

/// Tasks through the library: chunks of 43 bytes, each a task in a fresh instance.
struct Ours {
    cluster: Cluster,
    module: Module,
    input: Vec<u8>,
}

impl Ours {
    fn new(module: &std::path::Path) -> Self {
        Self {
            cluster: Cluster::builder().engines(1).start().unwrap(),
            module: Module::from_file(module).unwrap(),
            input: LINE.repeat(TASKS),
        }
    }

    fn run(&self, limits: &Limits) -> Duration {
        let mut spec = JobSpec::default();
        spec.merge = Merge::None;
        spec.task.limits = Some(limits.clone());
        spec.chunking = Some(Chunking::Exact(ByteSize::new(LINE.len() as u64)));
        let input = vec![Input::bytes("lines", self.input.clone())];
        let begun = Instant::now();
        let mut job = self.cluster.run(&self.module, input, &spec).unwrap();
        while let Some((_, outcome)) = job.next_outcome() {
            outcome.result.unwrap();
        }
        job.wait().unwrap();
        begun.elapsed()
    }
}

/// What is as near to no limits as the library has.
fn unlimited() -> Limits {
    let mut limits = Limits::default();
    limits.time = Duration::MAX;
    limits.memory = ByteSize::mib(4096);
    limits.input = ByteSize::mib(4096);
    limits.output = ByteSize::mib(4096);
    limits.logs = ByteSize::mib(4096);
    limits.table_elements = rwasm_cluster::MAX_TABLE_ELEMENTS;
    limits.handles = usize::MAX;
    limits
}
