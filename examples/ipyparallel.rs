//! What users of ipyparallel do every day, in Rust: the Rust of `docs/src/guides/ipyparallel.md`, word for word,
//! so that it compiles and runs.
//!
//! Prints what each of them gives. Build the guests first with `cargo xtask guests`, then:
//! `cargo run --release --example ipyparallel`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{Cluster, History, HistorySettings, JobQuery, Module, Reference, Targets};
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
    let path = guest("numbers.wasm");

    let cluster = Cluster::builder().engines(4).start()?;
    let numbers = Module::from_file(path)?;
    let all = cluster.direct_view(Targets::All)?;
    let view = cluster.load_balanced_view();

    let fib = numbers.function::<(u32,), u64>("fib")?;
    let task = view.submit(&fib, (30,)).await?;
    println!("{}", task.await?);

    let values = all.apply(&fib, (10,)).await?;
    println!("{values:?}");

    let mut map = view.map(&fib, (0..1000).map(|n| (n % 20,)))?;
    let sum: u64 = map.by_ref().sum::<Result<u64, _>>()?;
    println!("{sum}");

    let total = numbers.function::<(Reference,), u64>("total")?;
    all.scatter("part", 1..=100_u64)?;
    let totals = all.apply(&total, (Reference::new("part"),)).await?;
    let whole = all.gather("part")?;
    println!("{totals:?} of {}", whole.len());

    all.push("name", "Ada")?;
    let names = all.pull("name")?;
    println!("{names:?}");

    let first = view.submit(&fib, (20,)).await?;
    let second = view.clone().after(&first).submit(&fib, (10,)).await?;
    println!("{} after {}", second.await?, first.await?);

    let patient = view.clone().retries(3).timeout(Duration::from_secs(5));
    println!("{}", patient.apply(&fib, (10,)).await?);

    let spin = numbers.function::<(), u64>("spin")?;
    let task = view.submit(&spin, ()).await?;
    task.abort();
    println!("{:?}", task.get().map_err(|error| error.to_string()));

    let tasks = all.submit(&fib, (25,)).await?;
    let progress = tasks.progress();
    tasks.wait();
    println!("{} of {} at first", progress.done, progress.total);
    println!("{:?} of work in {:?}", tasks.serial_time(), tasks.elapsed());

    let dir = tempfile::tempdir()?;
    let history = History::open(HistorySettings::new(dir.path().join("history.sqlite")))?;
    let cluster = Cluster::builder().history(history).start()?;
    let view = cluster.load_balanced_view().label("nightly");
    println!("{} tonight", view.apply(&fib, (15,)).await?);
    let history = cluster.history().ok_or("the cluster was given one")?;
    let mut nightly = JobQuery::default();
    nightly.label = Some("night*".to_owned());
    for job in history.jobs(&nightly)? {
        println!("{} {:?} {:?}", job.function, job.state, job.ended);
    }

    assert_eq!(values, [55, 55, 55, 55]);
    assert_eq!(totals.iter().sum::<u64>(), 5050);
    assert_eq!(whole.len(), 100);
    assert_eq!(names, vec!["Ada".into(); 4]);
    assert_eq!(task.is_successful(), Some(false));
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
