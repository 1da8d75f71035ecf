//! A sequence spread over the engines, each part worked on where it lies, and the sequence put together again.
//!
//! Scatters the numbers from 1 to 10 over three engines and adds up each part; prints the parts' totals and the whole.
//! Build the guests first with `cargo xtask guests`, then: `cargo run --release --example scatter_gather`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{Cluster, Distribution, Module, Reference, Targets, Value};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::builder().engines(3).start()?;
    let numbers = Module::from_file(guest("numbers.wasm"))?;
    let total = numbers.function::<(Reference,), u64>("total")?;

    // The blocking twin: the same view, whose calls wait on this thread.
    let view = cluster.blocking().direct_view(Targets::All)?;

    // In contiguous blocks; where they cannot be equal the first are one longer.
    view.scatter("part", 1..=10_u64)?;
    let blocks = view.apply(&total, (Reference::new("part"),))?;
    println!("blocks       {blocks:?}");

    // In turn, as cards are dealt. `gather` puts together as the view spreads.
    let in_turn = cluster.direct_view(Targets::All)?;
    let in_turn = in_turn.distribution(Distribution::RoundRobin).blocking();
    in_turn.scatter("hand", 1..=10_u64)?;
    let hands = in_turn.apply(&total, (Reference::new("hand"),))?;
    println!("in turn      {hands:?}");

    let gathered: Option<Vec<u64>> = in_turn.gather("hand")?.iter().map(Value::as_u64).collect();
    println!("gathered     {gathered:?}");
    println!("total        {}", blocks.iter().sum::<u64>());

    assert_eq!(blocks, [1 + 2 + 3 + 4, 5 + 6 + 7, 8 + 9 + 10]);
    assert_eq!(hands, [1 + 4 + 7 + 10, 2 + 5 + 8, 3 + 6 + 9]);
    assert_eq!(gathered, Some((1..=10).collect()));
    Ok(())
}

/// Where `cargo xtask guests` puts a guest.
fn guest(name: &str) -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(default, PathBuf::from)
        .join("guests")
        .join(name)
}
