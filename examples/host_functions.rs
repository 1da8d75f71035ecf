//! Functions of this program that its guests may call: a dictionary in memory.
//!
//! The guest `lookup` imports the interface `example:dictionary/words`, which no host knows but this one. Prints what
//! guests found out by it, and what becomes of one that asks too long. Build the guests first with
//! `cargo xtask guests`, then: `cargo run --release --example host_functions`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{Cluster, FailureCode, HostError, HostFunctions, Module};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As it stands in `guest-tasks/lookup/wit`.
const WORDS: &str = "example:dictionary/words@0.1.0";

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread()
        .build()?
        .block_on(example())
}

async fn example() -> Result<(), Box<dyn Error>> {
    // lookup: func(word: string) -> option<string>. Asynchronous: it runs on the engine, within the task's time, and is
    // dropped when the task is stopped.
    let words = HostFunctions::new().function(WORDS, "lookup", async |_, (word,): (String,)| {
        match word.as_str() {
            "river" => Ok(Some("water on its way".to_owned())),
            "ocean" => std::future::pending().await,
            "" => Err(HostError::new("an empty word was looked up")),
            _ => Ok(None),
        }
    });
    let cluster = Cluster::builder()
        .engines(2)
        .host_functions(words)
        .start()?;

    // The guest's own functions are called as any. A module that wants other types of `lookup` would be refused here.
    let lookup = Module::from_file(guest("lookup.wasm"))?;
    let define = lookup.function::<(&str,), Option<String>>("define")?;
    let view = cluster
        .load_balanced_view()
        .timeout(Duration::from_millis(200));
    let river = view.apply(&define, ("river",)).await?;
    println!("river: {}", river.as_deref().unwrap_or("?"));
    let stone = view.apply(&define, ("stone",)).await?;
    println!("stone: {}", stone.as_deref().unwrap_or("?"));

    // An answer that never comes, and one that is an error: both are failures of the task.
    let ocean = view.submit(&define, ("ocean",)).await?.await;
    let empty = view.submit(&define, ("",)).await?.await;
    let failures = [ocean, empty].map(Result::err);
    for failure in failures.iter().flatten() {
        println!("{failure}");
    }

    assert_eq!(river.as_deref(), Some("water on its way"));
    assert_eq!(stone, None);
    let codes = failures.map(|error| Some(error?.failure()?.failure.code));
    assert_eq!(codes, [Some(FailureCode::Timeout), Some(FailureCode::Trap)]);
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
