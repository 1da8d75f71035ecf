//! What comes to a job's inbox, and how far the job is for whoever looks on.

use super::result::{FailedJob, JobProgress};
use crate::dispatch::{Answer, Reply};
use crate::observe::{Advance, Advancing};
use crate::placement::Eligible;
use rwasm_sandbox::input::InputError;
use rwasm_sandbox::outcome::Failure;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;

/// What happens to a job.
pub(crate) enum Event {
    /// More of the input has been read; more of the wish is to come.
    Read,
    /// What was wished for has been read.
    WishServed,
    /// All of the input has been read.
    InputEnd,
    /// So much of the input has been read as could be.
    InputFailed(InputError),
    /// What gives the input panicked, and said this.
    InputPanicked(String),
    /// What the job waits for has ended: it may begin on these engines, or cannot.
    Begin(Result<Eligible, Failure>),
    /// Outcomes of a dispatch.
    Answer(Answer),
    /// The handle has taken a batch of outcomes.
    Taken,
    /// Nobody takes the outcomes any more; the job goes on.
    Detach,
    /// The handle wants the job to end.
    Stop,
}

/// Sends a job's outcomes to its inbox.
pub(crate) struct JobReply(pub(crate) Sender<Event>);

impl Reply for JobReply {
    fn answer(&self, answer: Answer) {
        // A job that has ended needs no more outcomes.
        let _ = self.0.send(Event::Answer(answer));
    }
}

/// How far a job is, for whoever looks on. Written by the driver alone.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) chunks_done: AtomicU64,
    pub(crate) chunks_read: AtomicU64,
    pub(crate) bytes_done: AtomicU64,
    pub(crate) input_ended: AtomicBool,
    pub(crate) bytes_total: Option<u64>,
    pub(crate) tasks_total: Option<u64>,
    /// Set if the job ends with an error.
    pub(crate) failed: OnceLock<FailedJob>,
}

impl Progress {
    pub(crate) fn new(bytes_total: Option<u64>, tasks_total: Option<u64>) -> Self {
        Self {
            bytes_total,
            tasks_total,
            ..Self::default()
        }
    }

    pub(crate) fn now(&self) -> JobProgress {
        JobProgress {
            chunks_done: self.chunks_done.load(Ordering::Relaxed),
            chunks_read: self.chunks_read.load(Ordering::Relaxed),
            bytes_done: self.bytes_done.load(Ordering::Relaxed),
            input_ended: self.input_ended.load(Ordering::Relaxed),
            bytes_total: self.bytes_total,
            tasks_total: self.tasks_total,
        }
    }
}

impl Advancing for Progress {
    fn now(&self) -> Advance {
        let now = Self::now(self);
        let read = now.input_ended.then_some(now.chunks_read);
        Advance {
            done: now.chunks_done,
            total: now.tasks_total.or(read),
            bytes_done: now.bytes_done,
            bytes_total: now.bytes_total,
        }
    }
}
