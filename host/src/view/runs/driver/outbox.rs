//! Outcomes on their way to the handle.

use rwasm_sandbox::outcome::{Origin, Outcome};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// Outcomes go to the handle together, but never more of them or of their bytes than this.
const OUTBOX_ITEMS: usize = 1024;
const OUTBOX_BYTES: u64 = 1 << 20;

/// See the [module](self).
pub(super) struct Outbox {
    outcomes: Sender<Vec<(Origin, Outcome)>>,
    batch: Vec<(Origin, Outcome)>,
    bytes: u64,
    /// Nobody wants the outcomes any more.
    is_closed: bool,
}

impl Outbox {
    pub(super) fn new(outcomes: Sender<Vec<(Origin, Outcome)>>) -> Self {
        Self {
            outcomes,
            batch: Vec::new(),
            bytes: 0,
            is_closed: false,
        }
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn put(&mut self, origin: Origin, outcome: Outcome) {
        self.bytes += outcome.usage.bytes_out;
        self.batch.push((origin, outcome));
        if self.batch.len() >= OUTBOX_ITEMS || self.bytes >= OUTBOX_BYTES {
            self.deliver();
        }
    }

    /// Hands on the outcomes that are due, as far as the handle has room. Whether none are left.
    pub(super) fn deliver(&mut self) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        if self.is_closed {
            self.batch.clear();
            return true;
        }
        match self.outcomes.try_send(std::mem::take(&mut self.batch)) {
            Ok(()) => {
                self.bytes = 0;
                true
            }
            Err(TrySendError::Full(batch)) => {
                self.batch = batch;
                false
            }
            // Whoever let go of the handle says by an event whether the job goes on.
            Err(TrySendError::Closed(_)) => true,
        }
    }
}
