//! `Task`: what the caller of a function holds until there is a result.

use super::errors::{TaskError, TaskFailure};
use super::job::Canceller;
use crate::backend::Backend;
use crate::dispatch::Dispatch;
use crate::graph::Dependency;
use crate::view::shared::desk::{DeskHandle, runs};
use crate::view::shared::live::LiveNotes;
use crate::view::shared::slot::{Done, Slot};
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::outcome::{ArgumentSource, Attempt, Failure, Origin, Outcome, Usage};
use rwasm_sandbox::sandbox::Module;
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use rwasm_value::value::{FromWit, Packed};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

/// One submitted call: a [`Future`] of its value, which [`Task::get`] also returns on the calling thread.
///
/// # Cancellation
/// Dropping it cancels the call, whether it waits or runs; [`Task::detach`] lets it go on.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Cluster, Module};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().engines(1).start()?;
/// # let wat = r#"(module (func (export "square") (param i64) (result i64) (i64.mul (local.get 0) (local.get 0))))"#;
/// let square = Module::from_bytes("numbers", wat)?.function::<(i64,), i64>("square")?;
///
/// let task = cluster.load_balanced_view().try_submit(&square, (7,))?;
/// assert_eq!(task.get()?, 49);
/// assert_eq!(task.is_successful(), Some(true));
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a task cancels it; `detach` lets it go on"]
pub struct Task<R> {
    pub(crate) call: Arc<Call>,
    unpack: fn(&Packed) -> Result<R, String>,
    is_detached: bool,
}

/// What is known of a call that was submitted.
pub(crate) struct Call {
    pub(crate) slot: Arc<Slot>,
    pub(crate) label: Option<Arc<str>>,
    pub(crate) module: Module,
    /// Which of the module's functions.
    pub(crate) function: usize,
    pub(crate) control: Control,
    pub(crate) begun: Instant,
    pub(crate) submitted: SystemTime,
    /// The engine of a direct call.
    pub(crate) target: Option<EngineId>,
}

/// How a call is stopped.
pub(crate) enum Control {
    /// It went to the backend as it is.
    Plain {
        backend: Weak<dyn Backend>,
        id: DispatchId,
        cancel: Cancel,
        dispatch: Weak<Dispatch>,
    },
    /// It is looked after, since it waits for others, may be tried again or has limits of time.
    Cared {
        desk: DeskHandle,
        current: Arc<Mutex<Weak<Dispatch>>>,
    },
}

/// What is known of a task that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its job.
    pub job: JobId,
    /// Its label, if it has one.
    pub label: Option<Arc<str>>,
    /// The function that was called.
    pub function: Arc<str>,
    /// When it was submitted.
    pub submitted: SystemTime,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// What the last attempt used, including what it printed and logged.
    pub usage: Usage,
    /// All its attempts, in order.
    pub attempts: Vec<Attempt>,
}

impl<R: FromWit> Task<R> {
    pub(crate) fn new(call: Call) -> Self {
        Self {
            call: Arc::new(call),
            unpack: |value| value.unpack_as().map_err(|error| error.to_string()),
            is_detached: false,
        }
    }
}

impl Task<Packed> {
    /// A call whose value stays as it came.
    pub(crate) fn packed(call: Call) -> Self {
        Self {
            call: Arc::new(call),
            unpack: |value| Ok(value.clone()),
            is_detached: false,
        }
    }

    /// Returns a handle that can cancel it from elsewhere.
    pub(crate) fn canceller(&self) -> Canceller {
        Canceller::of_call(&self.call)
    }
}

impl<R> Task<R> {
    /// Returns its id, which dependencies refer to.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.call.slot.job
    }

    /// Returns the engine it was sent to, if it was sent to one.
    #[must_use]
    pub fn target(&self) -> Option<EngineId> {
        self.call.target
    }

    /// Returns whether it has ended, successfully or not.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.call.slot.is_done()
    }

    /// Returns whether it succeeded, or `None` if it has not ended.
    #[must_use]
    pub fn is_successful(&self) -> Option<bool> {
        self.call.slot.look(|done| done.success)
    }

    /// Returns whether an engine is running it now.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.is_ready()
            && match &self.call.control {
                Control::Plain { dispatch, .. } => dispatch
                    .upgrade()
                    .is_some_and(|dispatch| dispatch.is_running()),
                Control::Cared { current, .. } => runs(current),
            }
    }

    /// Blocks until it has ended.
    pub fn wait(&self) {
        self.call.slot.wait(None);
    }

    /// Blocks until it has ended, for `timeout` at most, and returns whether it has.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.call.slot.wait(Some(timeout))
    }

    /// Blocks until its value is there and returns it. May be called again.
    ///
    /// # Errors
    /// If it failed, or its value was taken.
    pub fn get(&self) -> Result<R, TaskError> {
        self.wait();
        self.ready_value()
    }

    /// Blocks until its value is there, for `timeout` at most, and returns it.
    ///
    /// # Errors
    /// If it failed, its value was taken, or it has not ended in time; in that case it goes on.
    pub fn get_timeout(&self, timeout: Duration) -> Result<R, TaskError> {
        if self.wait_timeout(timeout) {
            self.ready_value()
        } else {
            Err(TaskError::NotReady(timeout))
        }
    }

    /// Returns its value, if it has ended.
    ///
    /// # Errors
    /// If it failed, or its value was taken.
    pub fn try_get(&self) -> Option<Result<R, TaskError>> {
        self.is_ready().then(|| self.ready_value())
    }

    /// Blocks until its value is there and takes it out: asking again is an error.
    ///
    /// # Errors
    /// If it failed, or its value has already been taken.
    pub fn take(&self) -> Result<R, TaskError> {
        self.wait();
        let value = self.ready_value();
        self.call.slot.look(|done| done.outcome = None);
        value
    }

    /// Cancels it, whether it waits or runs. When this returns, it has ended with the failure `cancelled`; its guest,
    /// if it was running, is stopped within milliseconds.
    pub fn abort(&self) {
        self.call.abort();
    }

    /// Lets it go on without this handle, and returns its id; its value is lost.
    pub fn detach(mut self) -> JobId {
        self.is_detached = true;
        self.id()
    }

    /// Returns what is known of it, once it has ended and unless its result was taken.
    #[must_use]
    pub fn info(&self) -> Option<TaskInfo> {
        self.call.info()
    }

    /// Returns what it prints, logs and publishes from now on, as it happens. What is kept after its end is in
    /// [`TaskInfo::usage`].
    #[must_use]
    pub fn notes(&self) -> LiveNotes {
        self.call.slot.live.listen()
    }

    /// Returns the time since its submission, up to its end if it has ended.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let end = self.call.slot.look(|done| done.at);
        end.unwrap_or_else(Instant::now)
            .saturating_duration_since(self.call.begun)
    }

    pub(crate) fn ready_value(&self) -> Result<R, TaskError> {
        let call = &self.call;
        let packed = call.slot.look(|done| call.value(done));
        let packed = packed.ok_or(TaskError::NotReady(Duration::ZERO))??;
        (self.unpack)(&packed).map_err(TaskError::Internal)
    }
}

impl Call {
    fn value(&self, done: &Done) -> Result<Packed, TaskError> {
        let job = self.slot.job;
        let outcome = done.outcome.as_ref().ok_or(TaskError::Taken(job))?;
        outcome.result.clone().map_err(|failure| {
            let logs = outcome.usage.logs.as_ref();
            TaskError::Failed(Arc::new(TaskFailure {
                job,
                label: self.label.clone(),
                function: self.function(),
                origin: Origin {
                    index: 0,
                    source: ArgumentSource::Arguments,
                },
                failure,
                attempts: outcome.attempts(),
                logs: logs.cloned().unwrap_or_default(),
                notes: outcome.usage.notes.clone(),
            }))
        })
    }

    fn function(&self) -> Arc<str> {
        self.module.functions()[self.function].name.as_str().into()
    }

    fn info(&self) -> Option<TaskInfo> {
        let info = |done: &mut Done| {
            let outcome = done.outcome.as_ref()?;
            Some(TaskInfo {
                job: self.slot.job,
                label: self.label.clone(),
                function: self.function(),
                submitted: self.submitted,
                failure: outcome.result.as_ref().err().cloned(),
                usage: outcome.usage.clone(),
                attempts: outcome.attempts(),
            })
        };
        self.slot.look(info)?
    }

    pub(super) fn abort(&self) {
        let outcome = Outcome {
            result: Err(Failure::cancelled()),
            usage: Usage::none(None, 1, self.submitted),
        };
        if !self.slot.fill(Done::call(outcome)) {
            return;
        }
        match &self.control {
            Control::Plain {
                backend,
                id,
                cancel,
                ..
            } => {
                cancel.cancel();
                if let Some(backend) = backend.upgrade() {
                    backend.cancel_dispatch(*id);
                }
            }
            Control::Cared { desk, .. } => desk.cancel(self.slot.job),
        }
    }
}

impl<R> Drop for Task<R> {
    fn drop(&mut self) {
        if !self.is_detached {
            self.call.abort();
        }
    }
}

impl<R> Future for Task<R> {
    type Output = Result<R, TaskError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.call.slot.poll(context).map(|()| self.ready_value())
    }
}

impl<R> From<&Task<R>> for Dependency {
    fn from(task: &Task<R>) -> Self {
        Self::all([task.id()])
    }
}
