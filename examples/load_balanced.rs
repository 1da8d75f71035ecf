//! Calls on whichever engine is free: one by one, as each ends, and a whole map.
//!
//! Computes Fibonacci numbers on two engines; prints them as they come, then the results of a map in order and how much
//! faster it was than one engine. Build the guests first with `cargo xtask guests`, then:
//! `cargo run --release --example load_balanced`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{Cluster, Module, as_completed, zip};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread()
        .build()?
        .block_on(example())
}

async fn example() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::builder().engines(2).start()?;
    let numbers = Module::from_file(guest("numbers.wasm"))?;
    let fib = numbers.function::<(u32,), u64>("fib")?;
    let greet = numbers.function::<(String, u32), String>("greet")?;
    let view = cluster
        .load_balanced_view()
        .label("fibonacci")
        .timeout(Duration::from_secs(10));

    // A call and its value. The types were checked when `fib` was made: `("30",)` would not compile.
    let one = view.apply(&fib, (30,)).await?;
    println!("fib(30) is {one}");

    // Several calls under way at once; whichever ends first comes first.
    let ask = [24, 12, 18];
    let mut tasks = Vec::new();
    for n in ask {
        tasks.push(view.submit(&fib, (n,)).await?);
    }
    let mut sum = 0;
    for (place, task) in as_completed(tasks) {
        let value = task.await?;
        println!("fib({}) is {value}", ask[place]);
        sum += value;
    }

    // A map: small tasks travel many at a time. As a future it gives all values, in the order of the input.
    let map = view.map(&fib, (0..20).map(|n| (n,)))?;
    let values = map.await?;
    println!("the first twenty: {values:?}");

    // Several sequences side by side; as an iterator the map gives each outcome as soon as it is its turn.
    let names = ["Ada", "Grace"].map(str::to_owned);
    let mut greetings = view.map(&greet, zip((names, 1..)))?;
    for greeting in &mut greetings {
        println!("{}", greeting?);
    }
    let stats = greetings.stats().ok_or("the map has ended")?;
    println!("{} tasks, speed-up {:.2}", stats.tasks, stats.speed_up());

    assert_eq!(one, 832_040);
    assert_eq!(sum, 46_368 + 144 + 2_584);
    assert_eq!(values[19], 4_181);
    assert_eq!(stats.tasks, 2);
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
