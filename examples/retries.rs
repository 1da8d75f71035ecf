//! A task that fails is tried again, after a pause that grows, and the outcome tells of every attempt.
//!
//! Calls a function that always traps with three retries, one that is not worth a retry, and a map with failures among
//! its values; prints the attempts and the values. Build the guests first with `cargo xtask guests`, then:
//! `cargo run --release --example retries`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{Backoff, Cluster, FailureSet, Module, Retry, TaskFailure};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::builder().engines(2).start()?;
    let numbers = Module::from_file(guest("numbers.wasm"))?;
    let fail = numbers.function::<(&str,), u64>("fail")?;
    let divide = numbers.function::<(i64, i64), i64>("divide")?;

    // Which failures count, how often, after which pause: 5 ms, then 10, then 20. An attempt may run on the same engine.
    let retry = Retry::times(3)
        .on(FailureSet::TRAP | FailureSet::ENGINE_LOST)
        .backoff(Backoff::exponential(
            Duration::from_millis(5),
            Duration::from_secs(1),
        ));
    let view = cluster.load_balanced_view().retry(retry).blocking();

    // The error is the last attempt's own.
    let trapped = view.submit(&fail, ("trap",))?;
    let trapped = trapped.get().err().ok_or("it always fails")?;
    println!("{trapped}");
    for attempt in attempts(trapped.failure()) {
        println!("  attempt {attempt}");
    }

    // A guest that says it failed is not in the set: one attempt is all it gets.
    let refused = view.submit(&divide, (1, 0))?;
    let refused = refused.get().err().ok_or("it always fails")?;
    println!("{refused}");

    // In a map failures stand among the values, in their places.
    let quotients = view.map(&divide, (0..4).map(|n| (12, n)))?.outcomes();
    let quotients: Vec<Option<i64>> = quotients.into_iter().map(Result::ok).collect();
    println!("12 by 0, 1, 2, 3: {quotients:?}");

    assert_eq!(attempts(trapped.failure()).len(), 4);
    assert_eq!(attempts(refused.failure()).len(), 1);
    assert_eq!(quotients, [None, Some(12), Some(6), Some(4)]);
    Ok(())
}

/// The attempts at a task that failed, for people.
fn attempts(failure: Option<&TaskFailure>) -> Vec<String> {
    let attempts = failure.map(|failure| failure.attempts.as_slice());
    let shown = attempts.unwrap_or_default().iter().map(|attempt| {
        let code = attempt.failure.as_ref().map(|failure| failure.code);
        format!(
            "{} on engine {:?}: {code:?}",
            attempt.number, attempt.engine
        )
    });
    shown.collect()
}

/// Where `cargo xtask guests` puts a guest.
fn guest(name: &str) -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(default, PathBuf::from)
        .join("guests")
        .join(name)
}
