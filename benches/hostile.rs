//! What hostile guests cost their host: how soon each is over, and what ten thousand of them leave behind.
//!
//! Run it with `cargo bench --bench hostile`, or one part of it: `cargo bench --bench hostile -- mix`. The parts are: rows, mix.
//!
//! Memory is best read with `MALLOC_ARENA_MAX=1` in the environment: what the allocator holds back for each thread goes up and down
//! otherwise.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark has one reader"
)]

#[expect(dead_code, unused_imports, reason = "the tests use more of it")]
#[path = "../tests/suite/hostile/catalogue/mod.rs"]
mod catalogue;
mod guests;
#[path = "../tests/suite/hostile/made/mod.rs"]
mod made;
#[path = "../tests/suite/support/process.rs"]
mod process;

use catalogue::{Case, Ended, Expected, Failed, Good, Guest, Mix, ROWS, all, prepare, run};
use process::{memory, open_files, threads};
use rwasm_cluster::{Cluster, EngineId, Lowering};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a task may take beyond its limit.
const GRACE: Duration = Duration::from_millis(100);

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    let built = guests::guest("numbers.wasm");
    let built = built.parent().unwrap().to_owned();
    if is_wanted("rows") {
        rows(&built);
    }
    if is_wanted("mix") {
        mix(&built);
    }
}

fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

fn cluster(lowering: Lowering) -> Cluster {
    Cluster::builder()
        .engines(2)
        .max_engines(2)
        .lowering(lowering)
        .cache_dir(cache())
        .start()
        .unwrap()
}

/// Each guest with its outcome, its time limit, how long it took and how much of that was beyond the limit.
fn rows(built: &Path) {
    let mut cases = all();
    cases.sort_by_key(|(guest, case)| (case.row, guest.name));
    let good = Good::new(built);
    let mut late = 0;
    println!(
        "row  guest                       lowering   outcome              limit      time    beyond"
    );
    for (guest, case) in cases {
        let behaviour = ROWS.iter().find(|(row, _)| *row == case.row);
        let behaviour = behaviour.map_or("", |(_, behaviour)| behaviour);
        for lowering in case.lowerings {
            for (outcome, time) in ends(&guest, &case, *lowering, built, &good) {
                let beyond = time.saturating_sub(case.limits.time);
                late += u32::from(beyond > GRACE);
                println!(
                    "{:>3}  {:26}  {:9}  {outcome:16}  {:>6} ms  {:>5} ms  {:>5} ms  {behaviour}",
                    case.row,
                    guest.name,
                    format!("{lowering:?}"),
                    case.limits.time.as_millis(),
                    time.as_millis(),
                    beyond.as_millis(),
                );
            }
        }
    }
    println!("{late} later than their limit and {} ms", GRACE.as_millis());
}

/// Outcome and time of each step, or of the refusal.
fn ends(
    guest: &Guest,
    case: &Case,
    lowering: Lowering,
    built: &Path,
    good: &Good,
) -> Vec<(String, Duration)> {
    let cluster = cluster(lowering);
    let bytes = guest.bytes(built);
    let begun = Instant::now();
    let module = rwasm_cluster::Module::from_bytes(guest.name, bytes);
    let module = module
        .ok()
        .filter(|module| prepare(&cluster, module, case).is_ok());
    let Some(module) = module else {
        return vec![("(refused)".to_owned(), begun.elapsed())];
    };
    let engine = EngineId(0);
    let mut beside = || good.is_right_on(&cluster, EngineId(1));
    beside();
    let ended = run(&cluster, &module, case, engine, Some(&mut beside));
    good.is_right_on(&cluster, engine);
    let steps = case.steps.iter().zip(ended);
    steps
        .map(|(step, ended)| (outcome(&step.expected, &ended), ended.elapsed))
        .collect()
}

fn outcome(expected: &Expected, ended: &Ended) -> String {
    let (found, is_right) = match (&ended.result, expected) {
        (Ok(_), expected) => (
            "success",
            matches!(expected, Expected::Value(_) | Expected::Success),
        ),
        (Err(Failed::Task(failure)), Expected::Failure(code, _)) => {
            (failure.code.name(), failure.code == *code)
        }
        (Err(Failed::Task(failure)), _) => (failure.code.name(), false),
        (Err(Failed::Refused(_)), expected) => (
            "(no such call)",
            matches!(expected, Expected::Impossible(_)),
        ),
    };
    assert!(is_right, "{found}, where {expected:?} was expected");
    found.to_owned()
}

/// Ten thousand hostile tasks and as many good ones, on two engines.
fn mix(built: &Path) {
    const ROUNDS: usize = 10;
    const CASES: usize = 1000;
    let cluster = cluster(Lowering::Core);
    let mix = Mix::new(&cluster, built, false);
    println!("hostile tasks   seconds   threads   files   memory");
    let mut tasks = 0;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        tasks += mix.round(&cluster, built, CASES);
        let seconds = begun.elapsed().as_secs_f64();
        while threads()
            .iter()
            .any(|thread| thread.starts_with("rwasm-job"))
        {
            std::thread::yield_now();
        }
        println!(
            "{tasks:>13}   {seconds:>7.1}   {:>7}   {:>5}   {:>3} MiB",
            threads().len(),
            open_files(),
            memory("VmRSS") >> 20
        );
    }
}
