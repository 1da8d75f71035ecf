//! A guest that computes for ever is stopped from another thread, and its engine is free again.
//!
//! Build the guests first with `cargo xtask guests`, then: `cargo run --release --example cancel`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{Cluster, Input, JobError, JobSpec, Module};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long the user of this example waits before giving up.
const PATIENCE: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::builder().engines(1).start()?;
    let spin = Module::from_file(guest("spin.wasm"))?;
    let spec = JobSpec::default();

    // Its time limit would stop the task too, but only after 30 s.
    let begun = Instant::now();
    let job = cluster.run(&spin, vec![Input::bytes("<nothing>", "")], &spec)?;

    // A canceller is a handle of its own, for another thread; `cancel` returns at once.
    let canceller = job.canceller();
    let user = thread::spawn(move || {
        thread::sleep(PATIENCE);
        canceller.cancel();
    });
    let ended = job.wait();
    let took = begun.elapsed();
    user.join().map_err(|_| "the canceller's thread panicked")?;
    println!("the job ended after {took:?}: {ended:?}");

    // The engine was not given up with its guest: it takes the next job.
    let upper = Module::from_file(guest("upper.wasm"))?;
    let job = cluster.run(&upper, vec![Input::bytes("<text>", "still here\n")], &spec)?;
    let merged = job.wait()?.merged.ok_or("a command has an output")?;
    let value = merged.unpack()?;
    let output = value.as_bytes().unwrap_or_default();
    println!("the next job gave {}", output.escape_ascii());

    assert!(matches!(ended, Err(JobError::Cancelled)));
    assert!(took >= PATIENCE && took < spec.limits.time);
    assert_eq!(output, b"STILL HERE\n");
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
