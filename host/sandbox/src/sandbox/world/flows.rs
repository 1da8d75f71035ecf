//! What the host moves for a guest from stream to stream, in WASI 0.3. It goes on after the guest has ended, if the guest
//! connected the two and waited for neither: the task is over when all has arrived.

use crate::lock::lock;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

/// The streams of one guest that begin or end at the host.
#[derive(Clone, Debug, Default)]
pub(in crate::sandbox) struct Flows(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// The ends that are open and write what they are given.
    sinks: AtomicUsize,
    /// The ends that wait for the world: for an input, or until something is written.
    waiting: AtomicUsize,
    /// How often an end was asked to go on.
    turns: AtomicUsize,
    /// Errors of ends, and whether the guest was told of each, or let go of what would have told it.
    failed: Mutex<Vec<(String, Arc<AtomicBool>)>>,
}

/// Most guests have one or none.
const MOST_FAILED: usize = 16;

/// What tells a guest how a stream has ended. When this is dropped while it runs, it does not want to know.
#[derive(Debug, Default)]
pub(super) struct Telling(Arc<AtomicBool>);

impl Telling {
    /// Whom to note as told.
    pub(super) fn mark(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The end of a stream at the host.
#[derive(Debug)]
pub(in crate::sandbox) struct End {
    flows: Flows,
    is_sink: bool,
    is_waiting: bool,
}

/// How often nothing may happen, while everything that can go on has a turn, until nothing will: what is new has its first
/// turn after all that is ready.
const QUIET: usize = 16;

impl Flows {
    /// An end that writes what it is given to where it is kept.
    pub(super) fn sink(&self) -> End {
        self.0.sinks.fetch_add(1, Ordering::Relaxed);
        self.end(true)
    }

    /// An end from which something comes.
    pub(in crate::sandbox) fn source(&self) -> End {
        self.end(false)
    }

    /// Notes that a stream has ended early for this reason, of which the guest is told with this mark.
    pub(super) fn fail(&self, reason: String, told: &Arc<AtomicBool>) {
        let mut failed = lock(&self.0.failed);
        failed.retain(|(_, told)| !told.load(Ordering::Relaxed));
        if failed.len() < MOST_FAILED {
            failed.push((reason, Arc::clone(told)));
        }
    }

    /// Returns why a stream has ended early of which the guest has not asked how it ended.
    pub(in crate::sandbox) fn untold(&self) -> Option<String> {
        let failed = lock(&self.0.failed);
        let mut failed = failed.iter();
        let untold = failed.find(|(_, told)| !told.load(Ordering::Relaxed));
        untold.map(|(reason, _)| reason.clone())
    }

    fn end(&self, is_sink: bool) -> End {
        End {
            flows: self.clone(),
            is_sink,
            is_waiting: false,
        }
    }

    /// Waits, after the guest has ended, until nothing comes to a sink any more. `calls` of the host may still go on.
    ///
    /// A guest may have left a stream open whose other end it holds. Nothing will come from there.
    pub(in crate::sandbox) async fn all_arrived(&self, calls: usize) {
        let counts = &self.0;
        let mut quiet = 0;
        let mut seen = 0;
        poll_fn(|context| {
            if counts.sinks.load(Ordering::Relaxed) == 0 {
                return Poll::Ready(());
            }
            let turns = counts.turns.load(Ordering::Relaxed);
            if turns != seen {
                seen = turns;
                quiet = 0;
            }
            if counts.waiting.load(Ordering::Relaxed) > 0 {
                return Poll::Pending;
            }
            if quiet > QUIET + calls {
                return Poll::Ready(());
            }
            quiet += 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

impl End {
    /// Notes that this end had its turn, and whether it waits since.
    pub(in crate::sandbox) fn had_turn<T>(&mut self, outcome: Poll<T>) -> Poll<T> {
        self.flows.0.turns.fetch_add(1, Ordering::Relaxed);
        self.set_waiting(outcome.is_pending());
        outcome
    }

    fn set_waiting(&mut self, is_waiting: bool) {
        let waiting = &self.flows.0.waiting;
        match (self.is_waiting, is_waiting) {
            (false, true) => waiting.fetch_add(1, Ordering::Relaxed),
            (true, false) => waiting.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
        self.is_waiting = is_waiting;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.set_waiting(false);
        if self.is_sink {
            self.flows.0.sinks.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    /// How often it is asked until all has arrived, while `step` happens before each time; none if it waits.
    fn asked(flows: &Flows, mut step: impl FnMut(usize)) -> Option<usize> {
        let mut arrived = pin!(flows.all_arrived(0));
        let mut context = Context::from_waker(Waker::noop());
        (0..1000).find(|&time| {
            step(time);
            arrived.as_mut().poll(&mut context).is_ready()
        })
    }

    #[test]
    fn nothing_is_waited_for_without_a_sink() {
        let flows = Flows::default();
        let mut source = flows.source();
        let _ = source.had_turn(Poll::<()>::Pending);
        assert_eq!(asked(&flows, |_| {}), Some(0));
    }

    #[test]
    fn a_sink_is_waited_for_while_something_comes() {
        let flows = Flows::default();
        let mut source = flows.source();
        let mut sink = Some(flows.sink());
        // The source waits for the world, then more comes, until the other end is closed.
        let _ = source.had_turn(Poll::<()>::Pending);
        let closed = asked(&flows, |time| match time {
            700.. => sink = None,
            500.. => drop(source.had_turn(Poll::Ready(()))),
            _ => {}
        });
        assert_eq!(closed, Some(700));
    }

    #[test]
    fn a_sink_that_nothing_comes_to_is_not_waited_for() {
        let flows = Flows::default();
        let _sink = flows.sink();
        assert_eq!(asked(&flows, |_| {}), Some(QUIET + 1));
    }
}
