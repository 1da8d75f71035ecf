//! The same word count in each language, side by side in one run: as a task on one and on two engines, and Python and
//! JavaScript also outside the sandbox, by the interpreters themselves, with the same source.
//!
//! Run it after `cargo xtask guests --all` with `cargo bench --bench languages`, or on files of yours:
//! `cargo bench --bench languages -- FILE…`. A language whose guest is not built is left out, and named.

#![expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark has one reader and small numbers"
)]

#[expect(dead_code, reason = "other benchmarks need their guests")]
mod guests;

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/suite/support/text.rs"]
mod text;

use guests::find_guest;
use rwasm_cluster::{Cluster, Input, JobSpec, Module, Packed};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Each figure is the least of this many, taken in turn with the others.
const ROUNDS: usize = 5;

/// How long the text is that is made where none is named.
const TEXT_BYTES: usize = 4 << 20;

/// Counts the words of the files named after the first argument, the directory of the guest's source, as one text, as often
/// as the rounds say, and prints the least time in seconds.
const CPYTHON: &str = r#"
import sys, time, types
stub = types.ModuleType("wit_world")
stub.WitWorld = object
sys.modules["wit_world"] = stub
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import app
text = "".join(open(path, encoding="utf-8", newline="").read() for path in sys.argv[3:])
world, times = app.WitWorld(), []
for _ in range(int(sys.argv[2])):
    begun = time.perf_counter()
    world.reducer([world.mapper(text)])
    times.append(time.perf_counter() - begun)
print(min(times))
"#;

/// The same for Node.js.
const NODE: &str = r#"
const [dir, rounds, ...paths] = process.argv.slice(1);
const { readFileSync } = await import("node:fs");
const { pathToFileURL } = await import("node:url");
const { mapper, reducer } = await import(pathToFileURL(`${dir}/wordcount.js`));
const text = paths.map((path) => readFileSync(path, "utf8")).join("");
const times = [];
for (let round = 0; round < Number(rounds); round++) {
  const begun = performance.now();
  reducer([mapper(text)]);
  times.push((performance.now() - begun) / 1000);
}
console.log(Math.min(...times));
"#;

fn main() {
    let named = std::env::args_os()
        .skip(1)
        .filter(|argument| !argument.to_string_lossy().starts_with("--"));
    let mut files: Vec<PathBuf> = named.map(PathBuf::from).collect();
    let scratch = tempfile::tempdir().unwrap();
    if files.is_empty() {
        let path = scratch.path().join("text.txt");
        std::fs::write(&path, text::Text::of(1, TEXT_BYTES).make()).unwrap();
        files.push(path);
    }
    let bytes: u64 = files
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    println!("{bytes} bytes of text; least of {ROUNDS}, in turn");

    let rows = measured(&files, scratch.path());
    print_table(&rows);
    print_interpreters(&files);
}

/// The languages whose guests are built, each counted as often as the rounds say, in turn with the others.
fn measured(files: &[PathBuf], scratch: &Path) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (language, guest) in [
        ("Rust", "wordcount"),
        ("C", "wordcount-c"),
        ("JavaScript", "wordcount-js"),
        ("Python", "wordcount-python"),
    ] {
        match find_guest(&format!("{guest}.wasm")) {
            Some(path) => rows.push(Row::new(language, &path, scratch)),
            None => println!("{language}: left out, {guest}.wasm is not built"),
        }
    }
    let mut expected = None;
    for _ in 0..ROUNDS {
        for row in &mut rows {
            for ways in 0..row.clusters.len() {
                let counts = row.count(ways, files);
                assert_eq!(
                    expected.get_or_insert_with(|| counts.clone()),
                    &counts,
                    "{} counts otherwise",
                    row.language
                );
            }
        }
    }
    rows
}

fn print_table(rows: &[Row]) {
    println!(
        "{:10} {:>9} {:>9} {:>9} {:>10} {:>10} {:>10}",
        "language", "module", "compile", "load", "1 engine", "2 engines", "MiB/engine"
    );
    for row in rows {
        println!(
            "{:10} {:>7} K {:>7.0}ms {:>7.1}ms {:>8.0}ms {:>8.0}ms {:>10.0}",
            row.language,
            row.size >> 10,
            millis(row.compile),
            millis(row.load),
            millis(row.least[0]),
            millis(row.least[1]),
            row.peak as f64 / f64::from(1 << 20),
        );
    }
}

/// The same sources outside of the sandbox.
fn print_interpreters(files: &[PathBuf]) {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-tasks");
    let natively = [
        (
            "CPython",
            "python3",
            vec!["-c", CPYTHON],
            "wordcount-python",
        ),
        (
            "Node.js",
            "node",
            vec!["--input-type=module", "-e", NODE, "--"],
            "wordcount-js",
        ),
    ];
    for (name, program, options, guest) in natively {
        let mut command = Command::new(program);
        command
            .args(options)
            .arg(guests.join(guest))
            .arg(ROUNDS.to_string())
            .args(files);
        match command.output() {
            Ok(output) if output.status.success() => {
                let seconds = String::from_utf8_lossy(&output.stdout);
                let seconds: f64 = seconds.trim().parse().unwrap();
                println!("{name}, the same source outside: {:.0}ms", seconds * 1000.0);
            }
            Ok(output) => println!(
                "{name}: left out, {}",
                String::from_utf8_lossy(&output.stderr)
                    .lines()
                    .rfind(|line| line.contains("Error"))
                    .unwrap_or("it failed")
            ),
            Err(error) => println!("{name}: left out, `{program}` cannot be started: {error}"),
        }
    }
}

/// One language.
struct Row {
    language: &'static str,
    module: Module,
    size: u64,
    compile: Duration,
    load: Duration,
    clusters: [Cluster; 2],
    least: [Duration; 2],
    peak: u64,
}

impl Row {
    fn new(language: &'static str, path: &Path, scratch: &Path) -> Self {
        let size = path.metadata().unwrap().len();
        let module = Module::from_file(path).unwrap();
        let cache = scratch.join(language);
        let prepared = || {
            let cluster = Cluster::builder().engines(1).cache_dir(&cache);
            let cluster = cluster.start().unwrap();
            let begun = Instant::now();
            cluster.prepare(&module, cluster.limits()).unwrap();
            begun.elapsed()
        };
        let (compile, load) = (prepared(), prepared());
        let clusters = [1, 2].map(|engines| {
            let cluster = Cluster::builder().engines(engines).cache_dir(&cache);
            let cluster = cluster.start().unwrap();
            cluster.prepare(&module, cluster.limits()).unwrap();
            cluster
        });
        Self {
            language,
            module,
            size,
            compile,
            load,
            clusters,
            least: [Duration::MAX; 2],
            peak: 0,
        }
    }

    fn count(&mut self, way: usize, files: &[PathBuf]) -> Packed {
        let inputs = files.iter().map(Input::path).collect();
        let begun = Instant::now();
        let job = self.clusters[way].run(&self.module, inputs, &JobSpec::default());
        let result = job.unwrap().wait().unwrap();
        self.least[way] = self.least[way].min(begun.elapsed());
        self.peak = self.peak.max(result.stats.peak_memory);
        result.merged.unwrap()
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
