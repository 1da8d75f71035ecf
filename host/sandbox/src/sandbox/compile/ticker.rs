//! The tick at which guests that compute check whether to stop, and at which those that wait on a runtime whose time
//! stands still are woken.

use crate::awake;
use crate::lock::lock;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use wasmtime::EngineWeak;

/// Short enough for a stop to feel immediate, long enough to cost nothing.
const TICK: Duration = Duration::from_millis(5);

/// A thread that advances the epochs of a cluster's variants until it is dropped: one for all, as there may be many.
pub(in crate::sandbox) struct Ticker {
    /// None before it begins.
    ticking: Mutex<Option<Ticking>>,
    /// Weak, so that the memory of an engine is not held by the thread.
    engines: Arc<Mutex<Vec<EngineWeak>>>,
    alarms: Arc<Mutex<Alarms>>,
}

struct Ticking {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

/// Who is woken when; at most one for each engine of the cluster.
#[derive(Default)]
struct Alarms {
    set: Vec<(u64, Instant, Waker)>,
    next: u64,
}

/// A call that is woken at a time by the clock, unless this is dropped before.
pub(in crate::sandbox) struct Alarm {
    alarms: Arc<Mutex<Alarms>>,
    number: u64,
}

impl Ticker {
    /// One that does not tick yet: a process that is to be confined has no second thread before it is.
    pub(in crate::sandbox) fn still() -> Self {
        Self {
            ticking: Mutex::default(),
            engines: Arc::default(),
            alarms: Arc::default(),
        }
    }

    /// Begins to tick, unless it has.
    pub(in crate::sandbox) fn begin(&self) -> std::io::Result<()> {
        let mut ticking = lock(&self.ticking);
        if ticking.is_some() {
            return Ok(());
        }
        let (stop, stopped) = sync_channel(0);
        let (ticks, rings) = (Arc::clone(&self.engines), Arc::clone(&self.alarms));
        awake::tick();
        let thread = std::thread::Builder::new()
            .name("rwasm-ticker".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    // Before the epochs: a guest that looks at its deadline is told the right time.
                    awake::tick();
                    lock(&ticks).retain(|engine| match engine.upgrade() {
                        Some(engine) => {
                            engine.increment_epoch();
                            true
                        }
                        None => false,
                    });
                    lock(&rings).ring();
                }
            })?;
        *ticking = Some(Ticking { stop, thread });
        Ok(())
    }

    /// Advances the epoch of this engine, too, as long as somebody has the engine.
    pub(super) fn advance(&self, engine: &wasmtime::Engine) {
        lock(&self.engines).push(engine.weak());
    }

    /// Wakes `waker` at `when`, or up to a tick later.
    pub(super) fn wake_at(&self, when: Instant, waker: Waker) -> Alarm {
        let mut alarms = lock(&self.alarms);
        let number = alarms.next;
        alarms.next += 1;
        alarms.set.push((number, when, waker));
        Alarm {
            alarms: Arc::clone(&self.alarms),
            number,
        }
    }
}

impl Alarms {
    fn ring(&mut self) {
        if self.set.is_empty() {
            return;
        }
        let now = Instant::now();
        for (_, _, waker) in self.set.extract_if(.., |(_, when, _)| *when <= now) {
            waker.wake();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        lock(&self.alarms)
            .set
            .retain(|(number, ..)| *number != self.number);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        if let Some(Ticking { stop, thread }) = lock(&self.ticking).take() {
            drop(stop);
            // A panic of the ticker needs no report: no guest can run any more.
            let _ = thread.join();
        }
    }
}
