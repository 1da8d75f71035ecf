//! `Task`: what the caller of a function holds until there is a result.

use super::errors::{TaskError, TaskFailure};
use crate::backend::Backend;
use crate::dispatch::Dispatch;
use crate::graph::Dependency;
use crate::view::shared::desk::{DeskHandle, runs};
use crate::view::shared::live::LiveNotes;
use crate::view::shared::slot::{Done, Slot};
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::outcome::{Attempt, Failure, Origin, Outcome, Place, Usage};
use rwasm_sandbox::sandbox::Module;
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use rwasm_value::value::{FromWit, Packed};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

/// One call that was submitted. A [`Future`] of its value; also to be waited for by [`Task::wait`].
///
/// Dropping it cancels the call, whether it waits or runs; [`Task::detach`] lets it go on.
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
    /// What its user calls it.
    pub label: Option<Arc<str>>,
    /// The function that was called.
    pub function: Arc<str>,
    /// When it was submitted.
    pub submitted: SystemTime,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// What the last attempt used, what it printed and said included.
    pub usage: Usage,
    /// All its attempts, the first first.
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

impl<R> Task<R> {
    /// Its name, which dependencies go by.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.call.slot.job
    }

    /// The engine it was sent to, if it was sent to one.
    #[must_use]
    pub fn target(&self) -> Option<EngineId> {
        self.call.target
    }

    /// Whether it has ended, well or not.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.call.slot.is_done()
    }

    /// Whether it has ended well; none while it has not ended.
    #[must_use]
    pub fn is_successful(&self) -> Option<bool> {
        self.call.slot.look(|done| done.success)
    }

    /// Whether an engine runs it now.
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

    /// Waits on this thread until it has ended.
    pub fn wait(&self) {
        self.call.slot.wait(None);
    }

    /// Waits on this thread until it has ended, so long at most. Whether it has.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.call.slot.wait(Some(timeout))
    }

    /// Waits on this thread for its value. May be called again.
    ///
    /// # Errors
    /// When it failed, or its value was taken.
    pub fn get(&self) -> Result<R, TaskError> {
        self.wait();
        self.ready_value()
    }

    /// Waits on this thread for its value, so long at most.
    ///
    /// # Errors
    /// When it failed, its value was taken, or it is not there in time; then it goes on.
    pub fn get_timeout(&self, timeout: Duration) -> Result<R, TaskError> {
        if self.wait_timeout(timeout) {
            self.ready_value()
        } else {
            Err(TaskError::NotReady(timeout))
        }
    }

    /// Its value, if it is there.
    ///
    /// # Errors
    /// When it failed, or its value was taken.
    pub fn try_get(&self) -> Option<Result<R, TaskError>> {
        self.is_ready().then(|| self.ready_value())
    }

    /// Its value, which is not kept: asking again is an error. Waits on this thread.
    ///
    /// # Errors
    /// When it failed, or its value was taken before.
    pub fn take(&self) -> Result<R, TaskError> {
        self.wait();
        let value = self.ready_value();
        self.call.slot.look(|done| done.outcome = None);
        value
    }

    /// Stops it, whether it waits or runs. When this comes back it has ended, with the failure
    /// `cancelled`; its guest, if it ran, is stopped within milliseconds.
    pub fn abort(&self) {
        self.call.abort();
    }

    /// Lets it go on without this handle; its value is lost. Gives its name.
    pub fn detach(mut self) -> JobId {
        self.is_detached = true;
        self.id()
    }

    /// What is known of it, once it has ended and as long as its result is not taken.
    #[must_use]
    pub fn info(&self) -> Option<TaskInfo> {
        self.call.info()
    }

    /// What it prints, logs and publishes from now on, as it does. What is kept of it after its end is
    /// in [`TaskInfo::usage`].
    #[must_use]
    pub fn notes(&self) -> LiveNotes {
        self.call.slot.live.listen()
    }

    /// How long it has been since it was submitted, or took until it had ended.
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
                    place: Place::Arguments,
                },
                failure,
                attempts: outcome.attempts(),
                stderr: logs.map(|logs| logs.stderr.clone()).unwrap_or_default(),
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

    fn abort(&self) {
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
