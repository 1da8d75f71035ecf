//! Compiling in this process within a time: on a thread, which cannot be stopped and may be left behind.

use super::Code;
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::{Builder, available_parallelism};
use std::time::Duration;

/// As on the main thread of a program.
const STACK: usize = 8 << 20;

/// How many threads compile on although nobody waits for them, in this process.
static LEFT_BEHIND: AtomicUsize = AtomicUsize::new(0);

/// Why there is no code.
pub(super) enum NoCode {
    Invalid(wasmtime::Error),
    /// It took too long.
    Time,
    /// So many compilers go on past their time that no more are started.
    Stuck(usize),
    /// The compiler panicked, or its thread could not be started.
    Crashed(String),
}

/// Compiles a module in so much time by the clock.
pub(super) fn compile<C: Code>(
    engine: &wasmtime::Engine,
    bytes: Bytes,
    time: Duration,
) -> Result<C, NoCode> {
    within(time, {
        let engine = engine.clone();
        move || C::compile(&engine, &bytes)
    })?
    .map_err(NoCode::Invalid)
}

fn within<T: Send + 'static>(
    time: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoCode> {
    let left_behind = LEFT_BEHIND.load(Ordering::Acquire);
    if left_behind >= available_parallelism().map_or(1, std::num::NonZero::get) {
        return Err(NoCode::Stuck(left_behind));
    }
    let (answer, answered) = sync_channel(1);
    let thread = Builder::new()
        // Not `rwasm-…`: the first to compile starts the compiler's pool of threads, which take its name and stay.
        .name("compile".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            if answer.send(work()).is_err() {
                // Nobody has waited for it: it was left behind.
                LEFT_BEHIND.fetch_sub(1, Ordering::AcqRel);
            }
        })
        .map_err(|error| NoCode::Crashed(format!("its thread cannot be started: {error}")))?;
    match answered.recv_timeout(time) {
        Ok(done) => {
            // It has nothing more to do.
            let _ = thread.join();
            Ok(done)
        }
        Err(RecvTimeoutError::Timeout) => {
            LEFT_BEHIND.fetch_add(1, Ordering::AcqRel);
            // It may have come in this very moment; then it has not been left behind.
            match answered.try_recv() {
                Ok(done) => {
                    LEFT_BEHIND.fetch_sub(1, Ordering::AcqRel);
                    Ok(done)
                }
                Err(_) => Err(NoCode::Time),
            }
        }
        Err(RecvTimeoutError::Disconnected) => Err(NoCode::Crashed("it panicked".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    const SOON: Duration = Duration::from_mins(1);

    #[test]
    fn what_takes_too_long_is_left_behind_and_counted() {
        assert!(matches!(within(SOON, || 1), Ok(1)));
        assert!(matches!(
            within(SOON, || panic!("a compiler panics on purpose")),
            Err::<(), _>(NoCode::Crashed(_))
        ));
        let most = available_parallelism().map_or(1, std::num::NonZero::get);
        let (holds, held): (Vec<_>, Vec<_>) = (0..most).map(|_| channel::<()>()).unzip();
        for held in held {
            // It ends when its sender is dropped.
            let late = within(Duration::ZERO, move || held.recv().is_ok());
            assert!(matches!(late, Err(NoCode::Time)));
        }
        assert!(matches!(within(SOON, || 1), Err(NoCode::Stuck(count)) if count == most));
        drop(holds);
        let begun = std::time::Instant::now();
        while !matches!(within(SOON, || 1), Ok(1)) {
            assert!(begun.elapsed() < SOON, "they have ended");
            std::thread::yield_now();
        }
    }
}
