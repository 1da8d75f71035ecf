//! The handle of a running job: its outcomes as they come, and its end.

use super::events::{Event, Progress};
use super::stats::JobStats;
use crate::input::InputError;
use crate::merge::MergeError;
use crate::outcome::{Failure, FailureCode, Log, Origin, Outcome, Usage};
use crate::value::Packed;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// A job that runs. Dropping the handle cancels the job and waits until its tasks are stopped.
pub struct Job {
    pub(super) outcomes: Receiver<Vec<(Origin, Outcome)>>,
    pub(super) ready: VecDeque<(Origin, Outcome)>,
    pub(super) events: Sender<Event>,
    pub(super) progress: Arc<Progress>,
    pub(super) driver: Option<JoinHandle<Result<JobResult, JobError>>>,
}

/// What a job came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobResult {
    /// The merged value. None where nothing was to be merged, or `min` and `max` had no values.
    pub merged: Option<Packed>,
    /// Tasks that failed and were tolerated: the first of them, in input order.
    pub failed: Vec<(Origin, Failure)>,
    /// How many failed.
    pub failures: u64,
    /// Its figures.
    pub stats: JobStats,
    /// What each task used, in the order they ended, if [`JobSpec::keep_records`](super::JobSpec::keep_records) was set.
    pub records: Vec<TaskRecord>,
}

/// What one task of a job used, without its value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskRecord {
    /// What it ran on.
    pub origin: Origin,
    /// Why it failed, if it did.
    pub code: Option<FailureCode>,
    /// What it used.
    pub usage: Usage,
    /// Whether it was a call of the reducer.
    pub is_merge: bool,
}

/// Why a job came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// More tasks failed than the job bears.
    #[error("{origin}: {failure}")]
    TaskFailed {
        /// What the task ran on.
        origin: Origin,
        /// Why it failed.
        failure: Box<Failure>,
        /// What its program printed to stderr, as far as it was kept.
        stderr: Log,
        /// How many tasks had failed.
        failures: u64,
    },
    /// The reducer failed.
    #[error("the reducer failed: {0}")]
    ReducerFailed(Box<Failure>),
    /// A built-in merge met a value it cannot take.
    #[error("the outcomes cannot be merged: {0}")]
    Merge(MergeError),
    /// The input could not be read to its end.
    #[error(transparent)]
    Input(InputError),
    /// The job took longer than its deadline.
    #[error("the job took longer than its deadline of {}", humantime::format_duration(*.0))]
    Deadline(Duration),
    /// It was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
    /// A fault of the library.
    #[error("a fault of rwasm-cluster itself, please report it: {0}")]
    Internal(String),
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct JobProgress {
    /// Chunks whose tasks are done.
    pub chunks_done: u64,
    /// Chunks that have been read.
    pub chunks_read: u64,
    /// Bytes of the input whose tasks are done.
    pub bytes_done: u64,
    /// Whether the end of the input has been reached, so that `chunks_read` is their number.
    pub input_ended: bool,
    /// The bytes of all inputs, where that is known.
    pub bytes_total: Option<u64>,
}

impl Job {
    /// The next outcome, in input order. None when there are no more; [`Job::wait`] then says
    /// how the job ended. A job whose module's reducer merges delivers none.
    pub fn next_outcome(&mut self) -> Option<(Origin, Outcome)> {
        if self.ready.is_empty() {
            let batch = self.outcomes.blocking_recv()?;
            self.take(batch);
        }
        self.ready.pop_front()
    }

    /// The next outcome, in input order, if it is there already.
    pub fn try_next_outcome(&mut self) -> Option<(Origin, Outcome)> {
        if self.ready.is_empty() {
            let batch = self.outcomes.try_recv().ok()?;
            self.take(batch);
        }
        self.ready.pop_front()
    }

    /// Waits for the end of the job.
    ///
    /// # Errors
    /// When more tasks failed than the job bears, its merge failed, its input could not be read,
    /// or it was stopped.
    pub fn wait(mut self) -> Result<JobResult, JobError> {
        // Outcomes that nobody took must not keep the job from going on.
        while let Some(batch) = self.outcomes.blocking_recv() {
            self.take(batch);
        }
        match self.driver.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(JobError::Internal("the job's thread died".to_owned())),
        }
    }

    fn take(&mut self, batch: Vec<(Origin, Outcome)>) {
        self.ready = batch.into();
        // The driver may have waited for the room; one that has ended needs no word.
        let _ = self.events.send(Event::Taken);
    }

    /// A handle to cancel the job from elsewhere.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller {
            events: self.events.clone(),
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> ProgressHandle {
        ProgressHandle(Arc::clone(&self.progress))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            self.canceller().cancel();
            self.outcomes.close();
            // Nobody is left to hear how it ended.
            let _ = driver.join();
        }
    }
}

/// Looks at a job's progress from elsewhere.
#[derive(Clone)]
pub struct ProgressHandle(Arc<Progress>);

impl ProgressHandle {
    /// How far the job is now.
    #[must_use]
    pub fn now(&self) -> JobProgress {
        self.0.now()
    }
}

/// Cancels a job from elsewhere.
#[derive(Clone)]
pub struct Canceller {
    events: Sender<Event>,
}

impl Canceller {
    /// Stops the job and its running tasks. Comes back at once.
    pub fn cancel(&self) {
        // A job that has ended needs no stopping.
        let _ = self.events.send(Event::Stop);
    }
}
