//! What it costs to pass bulk data from a guest to its host and back, by shape, on the core module and on the component made
//! of it, in one run, interleaved.
//!
//! The measure is the first table: a list of words with numbers, as the types say it, beside the same data as one buffer of
//! bytes that the host parses. All of it is in the time: what the guest does to make the data, and what the host does until it
//! has a `Vec` of Rust's. Run it with `cargo bench --bench values`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark has one reader"
)]

mod guests;

use guests::guest;
use rwasm_cluster::{Callable, Cluster, Lowering, Module};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How many pairs, numbers or words.
const COUNT: u32 = 100_000;

const ROUNDS: usize = 15;

type Pairs = Vec<(String, u64)>;

/// One way to pass something: its name, and a call that does it and comes to something.
type Case<'a> = (&'static str, Box<dyn Fn() -> usize + 'a>);

fn main() {
    let module = Module::from_file(guest("pairs.wasm")).unwrap();
    for (name, lowering) in [
        ("core module", Lowering::Core),
        ("component", Lowering::Component),
    ] {
        let cluster = Cluster::builder()
            .engines(1)
            .lowering(lowering)
            .start()
            .unwrap();
        println!("{name}: {COUNT} elements, the least of {ROUNDS} calls each");
        report(&measure(&cases(&cluster, &module)));
    }
}

fn cases<'a>(cluster: &'a Cluster, module: &'a Module) -> Vec<Case<'a>> {
    let view = cluster.blocking().load_balanced_view();
    let pairs: Pairs = {
        let make = module.function::<(u32,), Pairs>("pairs").unwrap();
        view.apply(&make, (COUNT,)).unwrap()
    };
    let mut cases: Vec<Case<'a>> = Vec::new();
    macro_rules! given {
        ($name:literal, $ty:ty) => {
            given!($name, $ty, |given: $ty| given.len());
        };
        ($name:literal, $ty:ty, $look:expr) => {
            let make: Callable<(u32,), $ty> = module.function($name).unwrap();
            let view = cluster.blocking().load_balanced_view();
            let call = move || $look(view.apply(&make, (COUNT,)).unwrap());
            cases.push((concat!("give ", $name), Box::new(call)));
        };
    }
    macro_rules! taken {
        ($name:literal, $ty:ty, $sum:ty, $value:expr) => {
            let take: Callable<(&$ty,), $sum> = module.function($name).unwrap();
            let view = cluster.blocking().load_balanced_view();
            let value = $value;
            let call = move || {
                black_box(view.apply(&take, (&value,)).unwrap());
                value.len()
            };
            cases.push(($name, Box::new(call)));
        };
    }
    given!("flat", Vec<u8>, |flat: Vec<u8>| parsed(&flat).len());
    given!("pairs", Pairs);
    given!("numbers", Vec<u64>);
    given!("floats", Vec<f64>);
    given!("words", Vec<String>);
    given!("text", String);
    let words: Vec<String> = pairs.iter().map(|(word, _)| word.clone()).collect();
    let numbers: Vec<u64> = pairs.iter().map(|(_, number)| *number).collect();
    taken!("take-bytes", Vec<u8>, u64, words.concat().into_bytes());
    taken!("take-text", String, u64, words.concat());
    taken!("take-numbers", Vec<u64>, u64, numbers);
    taken!("take-floats", Vec<f64>, f64, vec![1.5; pairs.len()]);
    taken!("take-words", Vec<String>, u64, words);
    taken!("take-pairs", Pairs, u64, pairs);
    cases
}

/// The pairs in a buffer as the guest lays them out.
fn parsed(mut flat: &[u8]) -> Pairs {
    let mut pairs = Vec::with_capacity(COUNT as usize);
    while let Some((length, rest)) = flat.split_first_chunk() {
        let (word, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        let (number, rest) = rest.split_first_chunk().unwrap();
        pairs.push((
            String::from_utf8(word.to_vec()).unwrap(),
            u64::from_le_bytes(*number),
        ));
        flat = rest;
    }
    pairs
}

/// The least time of each, measured by turns.
fn measure(cases: &[Case<'_>]) -> Vec<(&'static str, Duration)> {
    let mut best: Vec<_> = cases
        .iter()
        .map(|(name, _)| (*name, Duration::MAX))
        .collect();
    for _ in 0..ROUNDS {
        for ((_, call), (_, best)) in cases.iter().zip(&mut best) {
            let begun = Instant::now();
            black_box(call());
            *best = begun.elapsed().min(*best);
        }
    }
    best
}

fn report(times: &[(&'static str, Duration)]) {
    for (name, time) in times {
        println!("  {name:14} {:8.2} ms", time.as_secs_f64() * 1000.0);
    }
    let of = |wanted: &str| {
        let found = times.iter().find(|(name, _)| *name == wanted);
        found.unwrap().1.as_secs_f64()
    };
    println!(
        "  give pairs / give flat: {:.2} (at most 2)",
        of("give pairs") / of("give flat")
    );
}
