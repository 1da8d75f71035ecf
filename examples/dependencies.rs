//! Tasks that wait for others: a small graph without cycles, and what becomes of it when one of its tasks fails.
//!
//!     load ──▶ left ───▶ join          broken ──▶ never runs
//!        └───▶ right ──┘                     └──▶ clean up
//!
//! Prints the value of each task, and why one never ran. Build the guests first with `cargo xtask guests`, then:
//! `cargo run --release --example dependencies`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{Cluster, Dependency, FailureCode, Module};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread()
        .build()?
        .block_on(example())
}

async fn example() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::builder().engines(2).start()?;
    let numbers = Module::from_file(guest("numbers.wasm"))?;
    let nap = numbers.function::<(u64,), u64>("nap")?;
    let add_one = numbers.function::<(u64,), u64>("add-one")?;
    let divide = numbers.function::<(i64, i64), i64>("divide")?;
    let view = cluster.load_balanced_view();

    // A view is cheap to clone; `after` says what the calls of this clone wait for. All is submitted at once.
    let load = view.submit(&nap, (20,)).await?;
    let loaded = view.clone().after(&load);
    let left = loaded.submit(&add_one, (1,)).await?;
    let right = loaded.submit(&add_one, (2,)).await?;
    // `follow` is `after`, and on an engine where it ran.
    let beside = view.clone().after(&left).follow(&right);
    let join = beside.submit(&add_one, (3,)).await?;
    let values = (load.await?, left.await?, right.await?, join.await?);
    println!("load, left, right, join: {values:?}");

    // What needs the value of a task that fails, fails at once; what waits for the failure runs.
    let broken = view.submit(&divide, (1, 0)).await?;
    let needs = view.clone().after(&broken).submit(&add_one, (5,)).await?;
    let failed = Dependency::from(&broken).on_success(false).on_failure(true);
    let clean_up = view.clone().after(failed).submit(&add_one, (6,)).await?;
    let errors = [broken.await.err(), needs.await.err()];
    for error in errors.iter().flatten() {
        println!("failed: {error}");
    }
    let cleaned = clean_up.await?;
    println!("clean up: {cleaned}");

    assert_eq!(values, (20, 2, 3, 4));
    let codes = errors.map(|error| Some(error?.failure()?.failure.code));
    assert_eq!(codes[0], Some(FailureCode::GuestError));
    assert_eq!(codes[1], Some(FailureCode::DependencyFailed));
    assert_eq!(cleaned, 7);
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
