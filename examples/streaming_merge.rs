//! A map without an end, folded as its outcomes come: what is held does not grow with what is done.
//!
//! Sums n + 1 over all numbers n from 0 on, until the sum passes a billion; prints how far that went and how far ahead
//! the input was read. Build the guests first with `cargo xtask guests`, then:
//! `cargo run --release --example streaming_merge`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{Cluster, Module, Reuse};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The tasks that may be read and not yet out.
const AHEAD: usize = 5_000;

/// Outcomes come out in a few batches of about a thousand; fewer than this are out and not yet folded.
const OUT: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::builder().engines(2).start()?;
    let numbers = Module::from_file(guest("numbers.wasm"))?;
    let add_one = numbers.function::<(u64,), u64>("add-one")?;

    // The input is any iterator, read by the map as room appears. This one counts what was taken of it.
    let read = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&read);
    let endless = (0..).map(move |n| {
        counter.fetch_add(1, Ordering::Relaxed);
        (n,)
    });

    // A sum does not care for order: outcomes come as they are there. Nor does `add-one` for a fresh instance each time.
    let view = cluster
        .load_balanced_view()
        .unordered()
        .max_outstanding(AHEAD)
        .reuse(Reuse::Dispatch);
    let mut map = view.map(&add_one, endless)?;

    let (mut folded, mut sum, mut furthest) = (0_u64, 0_u64, 0_u64);
    for value in &mut map {
        sum += value?;
        folded += 1;
        // What was folded is gone from memory; what is held was read and not folded yet.
        furthest = furthest.max(read.load(Ordering::Relaxed) - folded);
        if sum > 1_000_000_000 {
            break;
        }
    }
    // Nobody wants the rest: dropping the map stops what runs and what waits.
    drop(map);

    println!("{folded} outcomes folded, sum {sum}");
    println!("at most {furthest} tasks were read ahead");

    assert!(sum > 1_000_000_000);
    assert!(folded < 50_000, "the numbers come nearly in order");
    assert!(furthest < (AHEAD + OUT) as u64);
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
