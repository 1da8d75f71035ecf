//! The handle of a running job: its outcomes as they arrive, and its end.

use super::task::Call;
use crate::graph::Dependency;
use crate::view::shared::drivers::DetachedDrivers;
use crate::view::shared::events::{Event, Progress};
use crate::view::shared::live::LiveNotes;
use crate::view::shared::result::{FailedJob, JobError, JobProgress, JobResult};
use crate::view::shared::slot::Slot;
use futures_core::Stream;
use rwasm_sandbox::outcome::{Origin, Outcome};
use rwasm_value::ids::JobId;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
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
/// use rwasm_cluster::{Builtin, Cluster, Input, JobSpec, Module};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().engines(2).start()?;
/// // A WASI command that reads and prints nothing.
/// let wat = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
/// let command = Module::from_bytes("nothing", wat)?;
/// let mut spec = JobSpec::default();
/// spec.merge = Builtin::Concat.into();
///
/// let job = cluster.run(&command, vec![Input::bytes("text", "some lines")], &spec)?;
/// let result = job.wait()?;
/// assert_eq!(result.failures, 0);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a job cancels it; `detach` lets it go on"]
pub struct Job {
    pub(crate) outcomes: Receiver<Vec<(Origin, Outcome)>>,
    pub(crate) ready: VecDeque<(Origin, Outcome)>,
    pub(crate) events: Sender<Event>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) detached: Arc<DetachedDrivers>,
    /// None once it has been asked for its result.
    pub(crate) driver: Option<JoinHandle<Result<JobResult, JobError>>>,
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
    pub(crate) fn poll_end(
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
        Canceller(Cancelled::Job(self.events.clone()))
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

/// A handle to the progress of a job, usable from elsewhere.
#[derive(Clone)]
pub struct ProgressHandle(Arc<Progress>);

impl ProgressHandle {
    /// Returns the progress of the job now.
    #[must_use]
    pub fn now(&self) -> JobProgress {
        self.0.now()
    }

    /// Returns what the job came to, if it has ended with an error.
    #[must_use]
    pub fn failed(&self) -> Option<&FailedJob> {
        self.0.failed.get()
    }
}

/// A handle that can cancel a job from elsewhere.
#[derive(Clone)]
pub struct Canceller(Cancelled);

/// What it cancels.
#[derive(Clone)]
enum Cancelled {
    Job(Sender<Event>),
    Call(Weak<Call>),
}

impl Canceller {
    pub(super) fn of_call(call: &Arc<Call>) -> Self {
        Self(Cancelled::Call(Arc::downgrade(call)))
    }

    /// Cancels the job with its running tasks, and returns at once.
    pub fn cancel(&self) {
        match &self.0 {
            // A job that has ended needs no stopping.
            Cancelled::Job(events) => drop(events.send(Event::Stop)),
            Cancelled::Call(call) => {
                if let Some(call) = call.upgrade() {
                    call.abort();
                }
            }
        }
    }
}
