//! What the boundary costs: tasks in worker processes against tasks on threads, in one run, interleaved.
//!
//! Isolated tasks are calls of the word count's mapper on 43 bytes, each in a fresh instance; a call adds one to a number, and
//! one with a function of the host's looks up a word. The first task with grants is the first call of a view that is granted a
//! directory; the memory of a worker is what it shares with nobody. Tasks of 1 ms are run while ten workers a second are killed.
//! Run it with `cargo bench --bench boundary`.

#![expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark has one reader and small numbers"
)]

mod guests;

use guests::{find_guest, guest};
use rwasm_cluster::{
    Boundary, ByteSize, Chunking, Cluster, Grants, HostFunctions, Input, JobSpec, Merge, Module,
};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const LINE: &[u8; 43] = b"the quick brown fox jumps over a lazy dog.\n";
const TASKS: usize = 100_000;
const CALLS: usize = 2_000;
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(ended) = rwasm_cluster::task_worker(std::env::args_os().skip(1)) {
        return ended;
    }
    let wordcount = Module::from_file(guest("wordcount.wasm")).unwrap();
    let numbers = Module::from_file(guest("numbers.wasm")).unwrap();
    let lookup = Module::from_file(guest("lookup.wasm")).unwrap();
    for engines in [1, 2] {
        let clusters =
            [Boundary::Thread, Boundary::Process("/proc/self/exe".into())].map(|boundary| {
                Cluster::builder()
                    .engines(engines)
                    .boundary(boundary)
                    .host_functions(dictionary())
                    .start()
                    .unwrap()
            });
        let mut best = [Duration::MAX; 2];
        let mut calls = [vec![], vec![]];
        let mut asking = [vec![], vec![]];
        for _ in 0..ROUNDS {
            for (place, cluster) in clusters.iter().enumerate() {
                best[place] = best[place].min(isolated(cluster, &wordcount));
                calls[place].extend(latencies(cluster, &numbers));
                asking[place].extend(askings(cluster, &lookup));
            }
        }
        let rate = |time: Duration| TASKS as f64 / time.as_secs_f64();
        let [threads, processes] = best.map(rate);
        println!(
            "{engines} engine(s): isolated tasks/s: threads {threads:.0}, processes {processes:.0}, ratio {:.2}",
            processes / threads
        );
        let asked = asking.map(median);
        let called = calls.clone().map(median);
        let host = |place: usize| asked[place].saturating_sub(called[place]);
        println!(
            "{engines} engine(s): a call with a host function's, over one without: threads {:.1?}, processes {:.1?}",
            host(0),
            host(1)
        );
        let [threads, processes] = calls.map(median);
        println!(
            "{engines} engine(s): median of a call: threads {threads:.1?}, processes {processes:.1?}, difference {:.1?}",
            processes.saturating_sub(threads)
        );
    }
    #[cfg(target_os = "linux")]
    workers::measure(&numbers);
    ExitCode::SUCCESS
}

fn dictionary() -> HostFunctions {
    let lookup = async |_, (word,): (String,)| Ok(Some(word));
    HostFunctions::new().function("example:dictionary/words@0.1.0", "lookup", lookup)
}

/// Calls that ask the host for a word, one after the other.
fn askings(cluster: &Cluster, module: &Module) -> Vec<Duration> {
    let define = module.function::<&str, Option<String>>("define").unwrap();
    let view = cluster.load_balanced_view().blocking();
    (0..CALLS)
        .map(|_| {
            let begun = Instant::now();
            assert!(view.apply(&define, "word").unwrap().is_some());
            begun.elapsed()
        })
        .collect()
}

#[cfg(target_os = "linux")]
mod workers {
    use super::{Boundary, Cluster, Duration, Grants, Instant, Module, find_guest, median};
    use rwasm_cluster::Targets;
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::{scope, sleep};

    /// How many workers are killed, and after which time each.
    const KILLED: u32 = 200;
    const PAUSE: Duration = Duration::from_millis(100);

    pub(super) fn measure(numbers: &Module) {
        let cluster = Cluster::builder()
            .engines(2)
            .boundary(Boundary::Process("/proc/self/exe".into()))
            .start()
            .unwrap();
        let add_one = numbers.function::<(u64,), u64>("add-one").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let first: Vec<Duration> = (0..20)
            .map(|_| {
                let mut grants = Grants::default();
                let grant = format!("{}::/data:ro", dir.path().display());
                grants.dirs.push(grant.parse().unwrap());
                let view = cluster.load_balanced_view().grants(grants).blocking();
                let begun = Instant::now();
                assert_eq!(view.apply(&add_one, (1,)).unwrap(), 2);
                begun.elapsed()
            })
            .collect();
        println!("first task with grants: median {:.1?}", median(first));
        println!("memory of each worker in MiB: {}", memory_of_workers());
        drop(cluster);
        if let Some(greet) = find_guest("echo-python.wasm") {
            with_python(&Module::from_file(greet).unwrap());
        }
        kill_some(numbers);
        recover(numbers);
    }

    /// The memory of idle workers that have a component of 17 MiB.
    fn with_python(module: &Module) {
        let cluster = Cluster::builder()
            .engines(2)
            .boundary(Boundary::Process("/proc/self/exe".into()))
            .start()
            .unwrap();
        let greet = module.function::<(String, u32), String>("greet").unwrap();
        let all = cluster.direct_view(Targets::All).unwrap().blocking();
        all.apply(&greet, ("you".to_owned(), 1)).unwrap();
        println!("with a Python component loaded: {}", memory_of_workers());
    }

    /// In MiB, one after the other.
    fn memory_of_workers() -> String {
        let of_each: Vec<String> = children()
            .iter()
            .filter_map(|worker| private(worker))
            .map(|bytes| format!("{:.1}", bytes as f64 / f64::from(1 << 20)))
            .collect();
        of_each.join(" ")
    }

    /// What the loss of a worker adds to the task that it had, which is tried again in the next.
    fn recover(numbers: &Module) {
        const BEFORE: Duration = Duration::from_millis(5);
        const NAP: u64 = 20;
        let cluster = Cluster::builder()
            .engines(1)
            .boundary(Boundary::Process("/proc/self/exe".into()))
            .start()
            .unwrap();
        let nap = numbers.function::<(u64,), u64>("nap").unwrap();
        let view = cluster.load_balanced_view().retries(1).blocking();
        view.apply(&nap, (1,)).unwrap();
        let lost = (0..KILLED / 4).map(|_| {
            let begun = Instant::now();
            let task = view.submit(&nap, (NAP,)).unwrap();
            sleep(BEFORE);
            // The other one, if there is one, is the next.
            kill(&children()[0]);
            let killed = begun.elapsed();
            task.get().unwrap();
            begun
                .elapsed()
                .saturating_sub(killed + Duration::from_millis(NAP))
        });
        println!("a lost worker takes: median {:.1?}", median(lost.collect()));
    }

    fn kill(worker: &str) {
        let pid = worker.parse().ok().and_then(rustix::process::Pid::from_raw);
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::KILL);
    }

    fn kill_some(numbers: &Module) {
        let cluster = Cluster::builder()
            .engines(2)
            .boundary(Boundary::Process("/proc/self/exe".into()))
            .start()
            .unwrap();
        let nap = numbers.function::<(u64,), u64>("nap").unwrap();
        let (before, is_over) = (own(), AtomicBool::new(false));
        let (tasks, results) = scope(|scope| {
            let (cluster, is_over) = (&cluster, &is_over);
            let tasks = scope.spawn(move || {
                let view = cluster.load_balanced_view().retries(1_000).blocking();
                let (mut tasks, mut results) = (0, 0);
                while !is_over.load(Ordering::Relaxed) {
                    let naps = view.map(&nap, vec![(1,); 2_000]).unwrap();
                    tasks += 2_000;
                    results += naps.get().unwrap().len();
                }
                (tasks, results)
            });
            for number in 0..KILLED as usize {
                sleep(PAUSE);
                let workers = children();
                if let Some(worker) = workers.get(number % workers.len().max(1)) {
                    kill(worker);
                }
            }
            is_over.store(true, Ordering::Relaxed);
            tasks.join().unwrap()
        });
        let lost: u64 = cluster
            .queue_status()
            .engines
            .iter()
            .map(|engine| engine.workers_lost)
            .sum();
        println!(
            "{tasks} tasks of 1 ms, {results} results; {lost} workers lost of {KILLED} killed"
        );
        println!(
            "threads and descriptors: before {before:?}, after {:?}",
            own()
        );
    }

    /// The threads and descriptors of this process.
    fn own() -> (usize, usize) {
        let count = |of: &str| fs::read_dir(format!("/proc/self/{of}")).unwrap().count();
        (count("task"), count("fd"))
    }

    fn children() -> Vec<String> {
        let mut children = Vec::new();
        for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
            let listed = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            children.extend(listed.split_whitespace().map(str::to_owned));
        }
        children
    }

    /// The memory that a process shares with nobody, in bytes.
    fn private(process: &str) -> Option<u64> {
        let statm = fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
        let mut pages = statm
            .split(' ')
            .skip(1)
            .map_while(|field| field.parse::<u64>().ok());
        Some((pages.next()? - pages.next()?) * rustix::param::page_size() as u64)
    }
}

/// Chunks of 43 bytes, each a task in a fresh instance.
fn isolated(cluster: &Cluster, module: &Module) -> Duration {
    let mut spec = JobSpec::default();
    spec.merge = Merge::None;
    spec.chunking = Some(Chunking::Exact(ByteSize::new(LINE.len() as u64)));
    let input = vec![Input::bytes("lines", LINE.repeat(TASKS))];
    let begun = Instant::now();
    let mut job = cluster.run(module, input, &spec).unwrap();
    let mut outcomes = 0;
    while let Some((_, outcome)) = job.next_outcome() {
        outcome.result.unwrap();
        outcomes += 1;
    }
    job.wait().unwrap();
    assert_eq!(outcomes, TASKS);
    begun.elapsed()
}

/// One call after the other.
fn latencies(cluster: &Cluster, module: &Module) -> Vec<Duration> {
    let add_one = module.function::<(u64,), u64>("add-one").unwrap();
    let view = cluster.load_balanced_view().blocking();
    (0..CALLS)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(view.apply(&add_one, (1,)).unwrap(), 2);
            begun.elapsed()
        })
        .collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
