//! The queue from recorders to the writer, limited in batches and in bytes.
//!
//! The drivers of jobs record, and must not block on a disk. So a sender waits only if the queue is
//! full, and at most [`PATIENCE`]; after that its message is refused and its recorder stops. The
//! writer takes everything at once as one transaction.

use super::recorder::Message;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most batches that may wait.
const MAX_BATCHES: usize = 1024;

/// The most bytes that may wait, except for a batch that is added to an empty queue.
const MAX_BYTES: usize = 16 << 20;

/// How long a sender waits for room. A writer that makes no room for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// A queue of messages with their weights in bytes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    messages: VecDeque<(Message, usize)>,
    bytes: usize,
    is_closed: bool,
}

/// The error for a message that found no room in time.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Queue {
    /// Adds a message of this many bytes, and waits for room if necessary.
    pub(super) fn send(&self, message: Message, bytes: usize) -> Result<(), NoRoom> {
        let is_full = |state: &mut QueueState| {
            let has_bytes = state.messages.is_empty() || state.bytes + bytes <= MAX_BYTES;
            state.messages.len() >= MAX_BATCHES || !has_bytes
        };
        let (mut state, wait) = self
            .emptied
            .wait_timeout_while(self.lock(), PATIENCE, is_full)
            .unwrap_or_else(PoisonError::into_inner);
        if wait.timed_out() || state.is_closed {
            return Err(NoRoom);
        }
        state.bytes += bytes;
        state.messages.push_back((message, bytes));
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Adds a small message that must not be refused: the end of something, of which there are few.
    pub(super) fn push(&self, message: Message) {
        let mut state = self.lock();
        if !state.is_closed {
            state.messages.push_back((message, 0));
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Takes the waiting messages, up to about `bytes` of them but at least one; none once the
    /// queue is closed and empty. Waits for the first.
    pub(super) fn take(&self, bytes: usize) -> Option<Vec<Message>> {
        let is_idle = |state: &mut QueueState| state.messages.is_empty() && !state.is_closed;
        let mut state = self
            .filled
            .wait_while(self.lock(), is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        let mut weight = 0;
        while let Some((_, next)) = state.messages.front() {
            if !taken.is_empty() && weight + next > bytes {
                break;
            }
            weight += next;
            taken.extend(state.messages.pop_front().map(|(message, _)| message));
        }
        state.bytes -= weight;
        drop(state);
        self.emptied.notify_all();
        (!taken.is_empty()).then_some(taken)
    }

    /// Lets the writer end once it has taken what is waiting.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }

    /// Closes the queue and drops its content, which will never be taken.
    pub(super) fn abandon(&self) {
        self.close();
        let waiting = std::mem::take(&mut self.lock().messages);
        // Only now, without the lock: this wakes those who wait for a flush.
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
