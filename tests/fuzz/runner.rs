//! Runs targets, each in a process of its own, and says of a fault what it was and how to see it again.

use crate::options::Options;
use crate::{Target, say};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long one input may take: a hundred times what any should, for machines that are busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much memory a worker may have at any time: several times what the limits of its tasks come to.
const MOST_MEMORY: u64 = 2 << 30;

/// How often a worker's memory is looked at.
const GLANCE: Duration = Duration::from_millis(200);

/// Why a worker did not end well.
enum Fault {
    Ended(ExitStatus),
    Hung,
    Memory(u64),
}

/// Runs the targets, as many at a time as there are cores.
pub(crate) fn run(targets: &[Target], options: &Options) -> ExitCode {
    let queue = Mutex::new(targets.iter());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let one_after_the_other = || {
        let mut all_well = true;
        loop {
            let next = queue.lock().expect("nobody panics with it").next();
            let Some(target) = next else { return all_well };
            all_well &= run_one(*target, options);
        }
    };
    let all_well = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers.min(targets.len()))
            .map(|_| scope.spawn(one_after_the_other))
            .collect();
        threads
            .into_iter()
            .all(|thread| thread.join().unwrap_or(false))
    });
    ExitCode::from(u8::from(!all_well))
}

/// Whether all went well.
fn run_one(target: Target, options: &Options) -> bool {
    let name = target.name;
    let mut worker = worker(name, options.seed);
    if let Some(only) = options.only {
        worker.args(["--only", &only.to_string()]);
    } else if let Some(input) = &options.input {
        worker.arg("--input").arg(input);
    } else if let Some(time) = options.time {
        worker.args(["--time", &humantime::format_duration(time).to_string()]);
    } else {
        let runs = options.runs.unwrap_or(target.runs);
        worker.args(["--runs", &runs.to_string()]);
    }
    let start = Instant::now();
    let (runs, last, fault) = watch(worker);
    let time = start.elapsed().as_secs_f64();
    let seed = options.seed;
    let Some(fault) = fault else {
        say(&format!(
            "fuzz {name}: {runs} runs in {time:.1} s, seed {seed}: well"
        ));
        return true;
    };
    let what = match fault {
        Fault::Ended(status) => format!("ended with {status}"),
        Fault::Hung => format!("did not end in {} s", PATIENCE.as_secs()),
        Fault::Memory(bytes) => format!("took {} MiB of memory", bytes >> 20),
    };
    let mut report = format!("fuzz {name}: FAILED, input {last} of seed {seed} {what}\n");
    if options.input.is_none() {
        let place = scratch(name, seed, last);
        // Made again and saved; what it does there is known.
        let mut again = worker_that_saves(name, seed, last, &place);
        let (_, _, again) = watch(again.stderr(Stdio::null()));
        report += &format!(
            "  the input: {}{}\n  again: cargo xtask fuzz {name} --seed {seed} --only {last}",
            place.display(),
            if again.is_some() {
                ""
            } else {
                " (alone it does no harm)"
            },
        );
    }
    say(&report);
    false
}

fn worker(name: &str, seed: u64) -> Command {
    let program = std::env::current_exe().expect("this program has a path");
    let mut worker = Command::new(program);
    worker.args(["--work", "--target", name, "--seed", &seed.to_string()]);
    worker
}

fn worker_that_saves(name: &str, seed: u64, number: u64, place: &Path) -> Command {
    let mut worker = worker(name, seed);
    worker.args(["--only", &number.to_string(), "--save"]);
    worker.arg(place);
    worker
}

/// Where a failing input is kept.
fn scratch(name: &str, seed: u64, number: u64) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    std::fs::create_dir_all(&dir).expect("the directory for failing inputs can be made");
    dir.join(format!("{name}-{seed}-{number}"))
}

/// Runs a worker to its end: how many inputs it ran, which was the last, and what was wrong.
fn watch(mut worker: impl std::borrow::BorrowMut<Command>) -> (u64, u64, Option<Fault>) {
    let worker = worker.borrow_mut();
    let mut child = worker
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the worker starts");
    let numbers = numbers(child.stdout.take().expect("it is piped"));
    let (mut runs, mut last) = (0, 0);
    let mut since = Instant::now();
    let fault = loop {
        match numbers.recv_timeout(GLANCE) {
            Ok((number, count)) => {
                (last, since) = (number, Instant::now());
                runs += count;
            }
            Err(RecvTimeoutError::Timeout) if since.elapsed() > PATIENCE => {
                break Some(Fault::Hung);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let status = child.wait().expect("the worker can be waited for");
                return (
                    runs,
                    last,
                    (!status.success()).then_some(Fault::Ended(status)),
                );
            }
        }
        let memory = memory_of(&child.id().to_string()).unwrap_or_default();
        if memory > MOST_MEMORY {
            break Some(Fault::Memory(memory));
        }
    };
    end(&mut child);
    (runs, last, fault)
}

/// What a worker says: the number of its newest input, and how many there were since the last.
fn numbers(mut out: ChildStdout) -> mpsc::Receiver<(u64, u64)> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        let mut filled = 0;
        while let Ok(read @ 1..) = out.read(&mut buffer[filled..]) {
            filled += read;
            let whole = filled / 8;
            let newest = buffer[..whole * 8].last_chunk().copied();
            if let Some(newest) = newest
                && sender
                    .send((u64::from_le_bytes(newest), whole as u64))
                    .is_err()
            {
                return;
            }
            buffer.copy_within(whole * 8..filled, 0);
            filled -= whole * 8;
        }
    });
    receiver
}

fn end(child: &mut Child) {
    // It may have ended meanwhile.
    let _ = child.kill();
    let _ = child.wait();
}

/// What of a process is in memory, in bytes; none where it cannot be known.
pub(crate) fn memory_of(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = kib.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
