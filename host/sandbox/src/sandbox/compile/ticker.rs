//! The tick at which guests that compute check whether to stop.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Short enough for a stop to feel immediate, long enough to cost nothing.
const TICK: Duration = Duration::from_millis(5);

/// A thread that advances an engine's epoch until it is dropped.
pub(super) struct Ticker {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(0);
        // Weak, so that the engine's memory is not held by this thread.
        let engine = engine.weak();
        let thread = std::thread::Builder::new()
            .name("rwasm-ticker".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    match engine.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => break,
                    }
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the ticker needs no report: no guest can run any more.
            let _ = thread.join();
        }
    }
}
