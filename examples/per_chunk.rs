//! One outcome per chunk instead of one merged value: in input order, as they come, failures among them.
//!
//! Maps the word count over a text of three lines, of which the second is not UTF-8, as a function that takes a
//! `string` needs. Build the guest first with `cargo xtask guests`, then:
//! `cargo run --release --example per_chunk`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::format::to_wave;
use rwasm_cluster::{Chunking, Cluster, FailureCode, Input, JobSpec, Merge, Module, Tolerance};
use std::env;
use std::error::Error;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

/// The second line is `café` in Latin-1: 0xE9 begins no character of UTF-8.
const TEXT: &[u8] = b"red and blue\ncaf\xE9\nblue and green\n";

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::builder().engines(2).start()?;
    let module = Module::from_file(wordcount())?;

    let mut spec = JobSpec::default();
    spec.chunking = NonZeroU64::new(1).map(Chunking::Lines);
    // Without a merge every outcome is delivered.
    spec.merge = Merge::None;
    // By default the first failure ends the job. This one tolerates a single failure and goes on.
    spec.job.max_failures = Tolerance::Count(1);

    let inputs = vec![Input::bytes("<text>", TEXT)];
    let mut job = cluster.run(&module, inputs, &spec)?;

    // Whichever engine is done first: outcomes come in input order, each as soon as those before it are out. Whoever
    // takes them slowly slows the job down; they do not pile up.
    let mut values = Vec::new();
    let mut failures = Vec::new();
    while let Some((origin, outcome)) = job.next_outcome() {
        // The usage record is there in either case.
        let engine = outcome.usage.engine.map_or(0, |engine| engine.0);
        match outcome.result {
            Ok(value) => {
                let value = to_wave(&value.unpack()?);
                println!("{origin}, engine {engine}: {value}");
                values.push((origin.index, value));
            }
            // The code is stable and made for programs; the message is for people.
            Err(failure) => {
                println!("{origin}, engine {engine}: {}: {failure}", failure.code);
                failures.push((origin.index, failure.code));
            }
        }
    }

    // The outcomes are through; now the job says how it ended.
    let result = job.wait()?;
    println!(
        "{} of {} tasks failed",
        result.failures, result.stats.chunks
    );

    assert_eq!(values.len(), 2);
    assert_eq!(values[0], (0, r#"[("red", 1), ("blue", 1)]"#.to_owned()));
    assert_eq!(values[1].0, 2);
    assert_eq!(failures, [(1, FailureCode::BadInput)]);
    assert_eq!(result.failures, 1);
    assert!(result.merged.is_none(), "nothing was to be merged");
    Ok(())
}

/// Where `cargo xtask guests` puts the word count.
fn wordcount() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(default, PathBuf::from)
        .join("guests/wordcount.wasm")
}
