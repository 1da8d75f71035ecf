//! One target in a process of its own: makes inputs, says which one comes next, and runs it.
//!
//! A fault ends the process; the runner knows by then what ran.

use crate::options::Options;
use crate::{Target, bytes};
use fastrand::Rng;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How much more memory the process may have at the end than after a tenth of its runs: allocators keep what was
/// freed, a leak adds to it without end.
const GROWTH: u64 = 96 << 20;

/// Whether any thread of this process has panicked: one that is none of ours may do so unnoticed.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// What of the work is done, for what is compared between its first tenth and its end.
enum Amount {
    Runs(u64),
    Time(std::time::Duration),
}

pub(crate) fn work(target: Target, options: &Options) -> ExitCode {
    let usual = std::panic::take_hook();
    let main = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        // One on this thread may be contained, and is then no fault; it is told where it is not.
        if std::thread::current().id() == main {
            let trace = std::backtrace::Backtrace::force_capture();
            *said() = format!("{info}\n{trace}");
        } else {
            PANICKED.store(true, Ordering::SeqCst);
            usual(info);
        }
    }));
    let work = AssertUnwindSafe(|| work_through(target, options));
    if catch_unwind(work).is_ok() {
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(io::stderr(), "{}", said());
    ExitCode::from(101)
}

/// The last panic of the main thread.
fn said() -> MutexGuard<'static, String> {
    static SAID: Mutex<String> = Mutex::new(String::new());
    SAID.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work_through(target: Target, options: &Options) {
    let mut fuzz = (target.start)();
    let mut run = |number: u64, input: &[u8]| {
        if let Some(path) = &options.save {
            std::fs::write(path, input).expect("the input can be written");
        }
        tell(number);
        fuzz.run(input);
        assert!(
            !PANICKED.load(Ordering::SeqCst),
            "another thread panicked: see above"
        );
    };
    if let Some(path) = &options.input {
        run(0, &std::fs::read(path).expect("the input can be read"));
        return;
    }
    let mut maker = (target.start)();
    // What once showed a fault, and what the others are made of, comes first.
    let seeds = bytes::seeds(target.name);
    let mut next = |number: u64| {
        let seed = usize::try_from(number).ok().and_then(|at| seeds.get(at));
        seed.cloned()
            .unwrap_or_else(|| maker.input(&mut generator(target.name, options.seed, number)))
    };
    if let Some(number) = options.only {
        run(number, &next(number));
        return;
    }
    let amount = match options.time {
        Some(time) => Amount::Time(time),
        None => Amount::Runs(options.runs.unwrap_or(target.runs)),
    };
    let start = Instant::now();
    let mut after_a_tenth = None;
    for number in 0_u64.. {
        let done = match amount {
            Amount::Runs(runs) => share(number, runs),
            Amount::Time(time) => start.elapsed().as_secs_f64() / time.as_secs_f64(),
        };
        if done >= 0.1 && after_a_tenth.is_none() {
            after_a_tenth = Some(memory());
        }
        if done >= 1.0 {
            break;
        }
        run(number, &next(number));
    }
    let (before, after) = (after_a_tenth.unwrap_or_default(), memory());
    assert!(
        after < before + before / 4 + GROWTH,
        "memory grew from {} MiB after a tenth of the runs to {} MiB",
        before >> 20,
        after >> 20
    );
}

#[expect(clippy::cast_precision_loss, reason = "a share of the work")]
fn share(number: u64, runs: u64) -> f64 {
    number as f64 / runs as f64
}

/// The generator of one input: no two share theirs, so that each can be made alone.
fn generator(target: &str, seed: u64, number: u64) -> Rng {
    let mut mixed = seed;
    for part in target.bytes().map(u64::from).chain([number]) {
        mixed = Rng::with_seed(mixed ^ part).u64(..);
    }
    Rng::with_seed(mixed)
}

/// Says which input comes next, so that it is known should this process end.
fn tell(number: u64) {
    let mut out = io::stdout().lock();
    out.write_all(&number.to_le_bytes())
        .and_then(|()| out.flush())
        .expect("the runner listens");
}

/// What of this process is in memory, in bytes.
fn memory() -> u64 {
    crate::runner::memory_of("self").unwrap_or_default()
}
