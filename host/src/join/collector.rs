//! Collects what engines return while they run the tasks of a message: the outcomes, until all are there, and notes.

use super::worker::{Name, Worker};
use crate::dispatch::{Answer, Reply};
use crate::nats::wire::{Heard, encode_heard};
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::note::{Listener, TaskNote};
use rwasm_sandbox::outcome::Outcome;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// The text of the failure for a dispatch that is given back: recognized by its text, and never stored.
pub(super) const GIVEN_BACK: &str = "the process was told to go";

/// Collects the outcomes of a dispatch.
pub(super) struct Collector {
    worker: Arc<Worker>,
    name: Name,
    wanted: usize,
    listens: bool,
    has_begun: AtomicBool,
    state: Mutex<Collected>,
}

struct Collected {
    outcomes: Vec<Option<Outcome>>,
    count: usize,
    /// Receives all outcomes together, or `None` if the dispatch was given back.
    done: Option<oneshot::Sender<Option<Vec<Outcome>>>>,
}

impl Collector {
    pub(super) fn new(
        worker: &Arc<Worker>,
        name: &Name,
        wanted: usize,
        listens: bool,
    ) -> (Arc<Self>, oneshot::Receiver<Option<Vec<Outcome>>>) {
        let (done, answered) = oneshot::channel();
        let collector = Self {
            worker: Arc::clone(worker),
            name: name.clone(),
            wanted,
            listens,
            has_begun: AtomicBool::new(false),
            state: Mutex::new(Collected {
                outcomes: std::iter::repeat_with(|| None).take(wanted).collect(),
                count: 0,
                done: Some(done),
            }),
        };
        (Arc::new(collector), answered)
    }
}

impl Reply for Collector {
    fn begun(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
        self.worker.busy.fetch_add(1, Ordering::Relaxed);
        if self.listens {
            let begun = encode_heard(&self.name.1, &Heard::Begun);
            self.worker.notes.put(&self.name, begun);
        }
    }

    fn answer(&self, answer: Answer) {
        let mut state = lock(&self.state);
        let is_given_back = answer.outcomes.iter().any(|outcome| {
            let failure = outcome.result.as_ref().err();
            failure.is_some_and(|failure| failure.message == GIVEN_BACK)
        });
        for (place, outcome) in answer.outcomes.into_iter().enumerate() {
            if let Some(slot) = state.outcomes.get_mut(answer.first + place)
                && slot.is_none()
            {
                *slot = Some(outcome);
                state.count += 1;
            }
        }
        if state.count < self.wanted && !is_given_back {
            return;
        }
        if self.has_begun.swap(false, Ordering::Relaxed) {
            self.worker.busy.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(done) = state.done.take() {
            let outcomes = std::mem::take(&mut state.outcomes);
            let outcomes = (!is_given_back).then(|| outcomes.into_iter().flatten().collect());
            // The process may be ending.
            let _ = done.send(outcomes);
        }
    }
}

/// Passes on the notes of running tasks.
pub(super) struct Teller {
    pub(super) worker: Arc<Worker>,
    pub(super) name: Name,
}

impl Listener for Teller {
    fn note(&self, task: u64, note: TaskNote) {
        let note = encode_heard(&self.name.1, &Heard::Note(task, note));
        self.worker.notes.put(&self.name, note);
    }
}
