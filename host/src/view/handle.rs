//! The handle of a running job: its outcomes as they arrive, and its end.

use super::events::{Event, Progress};
use super::live::LiveNotes;
use super::slot::Slot;
use super::stats::JobStats;
use crate::graph::Dependency;
use crate::merge::MergeError;
use futures_core::Stream;
use rwasm_sandbox::input::InputError;
use rwasm_sandbox::note::Notes;
use rwasm_sandbox::outcome::{Attempt, Failure, FailureCode, Log, Origin, Outcome, Usage};
use rwasm_value::ids::JobId;
use rwasm_value::value::Packed;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// A running job: a [`Future`] of its result, and a [`Stream`] of its outcomes.
///
/// # Cancellation
/// Dropping the handle cancels the job and waits until its tasks are stopped; [`Job::detach`] lets it go on.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Cluster, Input, JobSpec, Merge, Module};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().engines(2).start()?;
/// // A WASI command that reads and prints nothing.
/// let wat = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
/// let command = Module::from_bytes("nothing", wat)?;
/// let mut spec = JobSpec::default();
/// spec.merge = Merge::Concat;
///
/// let job = cluster.run(&command, vec![Input::bytes("text", "some lines")], &spec)?;
/// let result = job.wait()?;
/// assert_eq!(result.failures, 0);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a job cancels it; `detach` lets it go on"]
pub struct Job {
    pub(super) outcomes: Receiver<Vec<(Origin, Outcome)>>,
    pub(super) ready: VecDeque<(Origin, Outcome)>,
    pub(super) events: Sender<Event>,
    pub(super) progress: Arc<Progress>,
    pub(super) slot: Arc<Slot>,
    pub(super) detached: Arc<Detached>,
    /// None once it has been asked for its result.
    pub(super) driver: Option<JoinHandle<Result<JobResult, JobError>>>,
}

/// The result of a job.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobResult {
    /// The merged value; `None` if there was nothing to merge, or `min` and `max` had no values.
    pub merged: Option<Packed>,
    /// The first failed tasks that were tolerated, in input order.
    pub failed: Vec<(Origin, Failure)>,
    /// The number of failed tasks.
    pub failures: u64,
    /// Its figures.
    pub stats: JobStats,
    /// What each attempt at each task used, in the order they ended, if
    /// [`JobSpec::keep_records`](super::JobSpec::keep_records) was set.
    pub records: Vec<TaskRecord>,
}

/// What one attempt at one task of a job used, without its value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskRecord {
    /// Its input.
    pub origin: Origin,
    /// Why it failed, if it did.
    pub code: Option<FailureCode>,
    /// What it used.
    pub usage: Usage,
    /// Whether it was a call of the reducer.
    pub is_merge: bool,
}

/// Why a job has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// More tasks failed than the job tolerates.
    #[error("{origin}: {failure}")]
    TaskFailed {
        /// The input of the task.
        origin: Origin,
        /// Why it failed.
        failure: Box<Failure>,
        /// What its program printed to stderr, as far as it was kept.
        stderr: Box<Log>,
        /// What it reported through the host, as far as that was kept.
        notes: Option<Box<Notes>>,
        /// The number of tasks that had failed.
        failures: u64,
        /// All attempts at the task, in order.
        attempts: Vec<Attempt>,
    },
    /// The reducer failed.
    #[error("the reducer failed: {0}")]
    ReducerFailed(Box<Failure>),
    /// A built-in merge could not take a value.
    #[error("the outcomes cannot be merged: {0}")]
    Merge(MergeError),
    /// An input could not be read to its end.
    #[error(transparent)]
    Input(InputError),
    /// The iterator or stream with the input panicked.
    #[error("the source of the input panicked: {0}")]
    InputPanicked(String),
    /// The job exceeded its deadline.
    #[error("the job took longer than its deadline of {}", humantime::format_duration(*.0))]
    Deadline(Duration),
    /// It was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
    /// The job could not start.
    #[error("the job did not start: {0}")]
    NeverBegan(Box<Failure>),
    /// Its result has already been taken.
    #[error("the result of job {0} has already been taken")]
    Taken(JobId),
    /// An error of the library itself.
    #[error("internal error in rwasm-cluster, please report it: {0}")]
    Internal(String),
}

/// The progress of a job.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct JobProgress {
    /// Chunks whose tasks are done.
    pub chunks_done: u64,
    /// Chunks that have been read.
    pub chunks_read: u64,
    /// Bytes of the input whose tasks are done.
    pub bytes_done: u64,
    /// Whether the end of the input has been reached, so that `chunks_read` is the number of chunks.
    pub input_ended: bool,
    /// The bytes of all inputs, if known.
    pub bytes_total: Option<u64>,
    /// The number of tasks, if known before they are read.
    pub tasks_total: Option<u64>,
}

impl Job {
    /// Returns its id, which dependencies refer to.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.slot.job
    }

    /// Blocks for the next outcome: in input order, or as tasks end if the job is unordered. Returns
    /// `None` if there are no more; [`Job::wait`] then says how the job ended. A job whose module's
    /// reducer merges delivers no outcomes. As a [`Stream`], the job gives the same without blocking.
    pub fn next_outcome(&mut self) -> Option<(Origin, Outcome)> {
        pollster::block_on(std::future::poll_fn(|context| self.poll_outcome(context)))
    }

    /// Returns the next outcome if it is already there.
    pub fn try_next_outcome(&mut self) -> Option<(Origin, Outcome)> {
        if self.ready.is_empty() {
            let batch = self.outcomes.try_recv().ok()?;
            self.take(batch);
        }
        self.ready.pop_front()
    }

    /// Blocks until the job has ended. As a [`Future`], the job gives the same without blocking.
    ///
    /// # Errors
    /// If more tasks failed than the job tolerates, its merge failed, its input could not be read, or it was
    /// cancelled.
    pub fn wait(self) -> Result<JobResult, JobError> {
        pollster::block_on(self)
    }

    /// Returns whether it has ended, successfully or not.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.slot.is_done()
    }

    /// Returns whether it succeeded, or `None` if it has not ended.
    #[must_use]
    pub fn is_successful(&self) -> Option<bool> {
        self.slot.look(|done| done.success)
    }

    /// Blocks until it has ended, for `timeout` at most, and returns whether it has. It does not end while delivered
    /// outcomes are not taken.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.slot.wait(Some(timeout))
    }

    /// Cancels it with its running tasks, and returns at once.
    pub fn abort(&self) {
        self.canceller().cancel();
    }

    /// Lets it go on without this handle, and returns its id; outcomes that it delivers are lost.
    pub fn detach(mut self) -> JobId {
        let id = self.id();
        // A job that has ended needs no word.
        let _ = self.events.send(Event::Detach);
        if let Some(driver) = self.driver.take() {
            self.detached.adopt(driver);
        }
        id
    }

    /// Returns what its tasks print, log and publish from now on, as it happens.
    #[must_use]
    pub fn notes(&self) -> LiveNotes {
        self.slot.live.listen()
    }

    fn poll_outcome(&mut self, context: &mut Context<'_>) -> Poll<Option<(Origin, Outcome)>> {
        if self.ready.is_empty() {
            let Some(batch) = std::task::ready!(self.outcomes.poll_recv(context)) else {
                return Poll::Ready(None);
            };
            self.take(batch);
        }
        Poll::Ready(self.ready.pop_front())
    }

    /// How it ended, once all outcomes are delivered.
    pub(super) fn poll_end(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<JobResult, JobError>> {
        // Outcomes that nobody took must not keep the job from going on.
        while let Some(batch) = std::task::ready!(self.outcomes.poll_recv(context)) {
            self.take(batch);
        }
        // The driver is about to end; what it still does is not worth another wake-up.
        Poll::Ready(match self.driver.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(JobError::Internal("the job's thread died".to_owned())),
            None => Err(JobError::Taken(self.id())),
        })
    }

    fn take(&mut self, batch: Vec<(Origin, Outcome)>) {
        self.ready = batch.into();
        // The driver may have waited for the room; one that has ended needs no word.
        let _ = self.events.send(Event::Taken);
    }

    /// Returns a handle that can cancel the job from elsewhere.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller {
            events: self.events.clone(),
        }
    }

    /// Returns a handle to its progress.
    #[must_use]
    pub fn progress(&self) -> ProgressHandle {
        ProgressHandle(Arc::clone(&self.progress))
    }
}

impl Future for Job {
    type Output = Result<JobResult, JobError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_end(context)
    }
}

impl Stream for Job {
    type Item = (Origin, Outcome);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_outcome(context)
    }
}

impl From<&Job> for Dependency {
    fn from(job: &Job) -> Self {
        Self::all([job.id()])
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

/// The threads of jobs that go on without their handles; joined when the cluster ends.
#[derive(Default)]
pub(crate) struct Detached(Mutex<Vec<JoinHandle<Result<JobResult, JobError>>>>);

impl Detached {
    fn adopt(&self, driver: JoinHandle<Result<JobResult, JobError>>) {
        let mut drivers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Threads that have ended are let go: nobody asks for their results.
        drivers.retain(|driver| !driver.is_finished());
        drivers.push(driver);
    }

    pub(super) fn join(&self) {
        let drivers = {
            let mut drivers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *drivers)
        };
        for driver in drivers {
            let _ = driver.join();
        }
    }
}

/// A handle to the progress of a job, usable from elsewhere.
#[derive(Clone)]
pub struct ProgressHandle(Arc<Progress>);

impl ProgressHandle {
    /// Returns the progress of the job now.
    #[must_use]
    pub fn now(&self) -> JobProgress {
        self.0.now()
    }
}

/// A handle that can cancel a job from elsewhere.
#[derive(Clone)]
pub struct Canceller {
    events: Sender<Event>,
}

impl Canceller {
    /// Cancels the job with its running tasks, and returns at once.
    pub fn cancel(&self) {
        // A job that has ended needs no stopping.
        let _ = self.events.send(Event::Stop);
    }
}
