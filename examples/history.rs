//! What was run is written down: a second program, or the same one tomorrow, finds the jobs, why tasks failed, and values.
//!
//! Runs a call and a map with a history in a file, closes the cluster, opens the file again, and prints what stands in
//! it. Build the guests first with `cargo xtask guests`, then: `cargo run --release --example history`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{
    Cluster, History, HistorySettings, JobQuery, Kept, Module, TaskQuery, TaskState,
};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    // Off by default. What a history may hold is bounded, in tasks and in bytes; the oldest jobs go first.
    let settings = HistorySettings::new(dir.path().join("history.sqlite"));

    let cluster = Cluster::builder()
        .engines(2)
        .history(History::open(settings.clone())?)
        .start()?;
    let numbers = Module::from_file(guest("numbers.wasm"))?;
    let fib = numbers.function::<(u32,), u64>("fib")?;
    let divide = numbers.function::<(i64, i64), i64>("divide")?;
    let view = cluster.load_balanced_view().label("nightly").blocking();
    let value = view.apply(&fib, (20,))?;
    let quotients = view.map(&divide, (0..4).map(|n| (12, n)))?.outcomes();
    drop(cluster);

    // Nothing but the file is left. By label, state, engine, function, time: a query names what must fit.
    let history = History::open(settings)?;
    let mut nightly = JobQuery::default();
    nightly.label = Some("night*".to_owned());
    let jobs = history.jobs(&nightly)?;
    let mut kept = Vec::new();
    let mut failed = Vec::new();
    for job in &jobs {
        println!(
            "{} {}: {:?}, {} tasks",
            job.key.0, job.function, job.state, job.tasks
        );
        for task in history.tasks(job.key, &TaskQuery::default())? {
            match task.result {
                // A value is kept with its type, as it traveled.
                Kept::Value(value) => kept.push(value.unpack()?),
                _ => println!("  [{}] {:?} {:?}", task.index, task.code, task.message),
            }
            if task.state == TaskState::Failed {
                failed.push(task.index);
            }
        }
    }
    println!("values: {kept:?}");

    assert_eq!((value, quotients.len()), (6_765, 4));
    assert_eq!(jobs.len(), 2);
    assert_eq!(kept.len(), 4);
    assert!(kept.contains(&value.into()));
    assert_eq!(failed, [0]);
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
