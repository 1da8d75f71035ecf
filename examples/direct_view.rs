//! Engines by name: a call runs on each of them, values are pushed to them, and state can live on them.
//!
//! Three engines answer the same call, add up what was pushed to each, and count their calls; prints each engine's
//! answers. Build the guests first with `cargo xtask guests`, then: `cargo run --release --example direct_view`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{Cluster, Module, Reference, Reuse, Targets, Value};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    // The library's futures run anywhere; this is tokio's smallest runtime.
    tokio::runtime::Builder::new_current_thread()
        .build()?
        .block_on(example())
}

async fn example() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::builder().engines(3).start()?;
    let numbers = Module::from_file(guest("numbers.wasm"))?;
    let add_one = numbers.function::<(u64,), u64>("add-one")?;
    let total = numbers.function::<(Reference,), u64>("total")?;
    let count_up = numbers.function::<(), u64>("count-up")?;

    // `All` is whatever engines there are when the view is used. Others are named by their ids, as in `1..=2` or
    // `[0, 2]`, or from the end: -1 is the last.
    let all = cluster.direct_view(Targets::All)?;
    let last = cluster.direct_view(-1)?;

    // One value from each engine, in the order of their ids. The arguments are packed once for all.
    let answers = all.apply(&add_one, (41,)).await?;
    println!("add-one(41)      {answers:?}");

    // A pushed value stays with its engine under its name. Named in a call, it is each engine's own.
    all.push("prices", list([1, 2, 3]))?;
    last.push("prices", list([40]))?;
    let totals = all.apply(&total, (Reference::new("prices"),)).await?;
    println!("total(prices)    {totals:?}");
    let pulled = last.pull("prices")?;
    println!("the last one has {pulled:?}");

    // An instance normally lives for one task. Here it stays on its engine, and what it remembers with it.
    let stateful = all.clone().reuse(Reuse::Engine);
    let first = stateful.apply(&count_up, ()).await?;
    let second = stateful.apply(&count_up, ()).await?;
    let fresh = all.apply(&count_up, ()).await?;
    println!("count-up()       {first:?}, then {second:?}; without reuse {fresh:?}");

    assert_eq!(answers, [42, 42, 42]);
    assert_eq!(totals, [6, 6, 40]);
    assert_eq!(pulled, [list([40])]);
    assert_eq!((first, second), (vec![1; 3], vec![2; 3]));
    assert_eq!(fresh, [1, 1, 1]);
    Ok(())
}

fn list<const N: usize>(numbers: [u64; N]) -> Value {
    Value::List(numbers.map(Value::from).to_vec())
}

/// Where `cargo xtask guests` puts a guest.
fn guest(name: &str) -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(default, PathBuf::from)
        .join("guests")
        .join(name)
}
