//! The library in one page, in the order in which a task goes:
//! cluster → module → job → outcomes, merged → stats.
//!
//! Counts the words of a text in memory with the word count guest. Build that first with `cargo xtask guests`, then:
//! `cargo run --release --example embed [WORDCOUNT.wasm]`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{Chunking, Cluster, Input, JobSpec, Module};
use std::env;
use std::error::Error;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

const TEXT: &str = "The rain falls, and the river takes the rain.\nThe sea takes the river.\n";

fn main() -> Result<(), Box<dyn Error>> {
    // The engines are threads of this process. They run tasks until the cluster is dropped.
    let cluster = Cluster::builder().engines(2).start()?;

    // A module is read and analyzed here; it is compiled when a job first needs it.
    let path = env::args_os().nth(1).map_or_else(wordcount, PathBuf::from);
    let module = Module::from_file(path)?;
    for function in module.functions() {
        println!("function  {function}");
    }

    // A spec says what should differ from the defaults: here each line is a chunk, and so a task.
    let mut spec = JobSpec::default();
    spec.chunking = NonZeroU64::new(1).map(Chunking::Lines);

    // `mapper` is mapped over the chunks, `reducer` merges what it gives; both run on the engines.
    let job = cluster.run(&module, vec![Input::bytes("<text>", TEXT)], &spec)?;
    let result = job.wait()?;

    // Values travel packed; `unpack` makes a tree of one, for whoever wants to look inside.
    let merged = result.merged.ok_or("the reducer gives a value")?;
    println!("type      {}", merged.ty());
    let counts = merged.unpack()?;
    let words = counts.as_list().ok_or("the counts are a list")?;
    for pair in words.iter().filter_map(|word| word.as_list()) {
        let (word, count) = (pair[0].as_str(), pair[1].as_u64());
        println!("word      {} {}", word.unwrap_or("?"), count.unwrap_or(0));
    }
    let stats = &result.stats;
    println!("tasks     {} in {:?}", stats.tasks, stats.wall_time);

    // By falling count, then by word. Words such as `the` and `and` are left out by the guest.
    assert_eq!(words[0].as_list(), Some(&["rain".into(), 2_u64.into()][..]));
    assert_eq!(words.len(), 5);
    assert_eq!((stats.chunks, stats.merges, stats.tasks), (2, 1, 3));
    Ok(())
}

/// Where `cargo xtask guests` puts the word count.
fn wordcount() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(default, PathBuf::from)
        .join("guests/wordcount.wasm")
}
