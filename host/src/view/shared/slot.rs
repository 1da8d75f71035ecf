//! Where the one outcome of a job waits for whoever wants it. The first to say it wins; a slot is
//! filled once, whatever is cancelled, lost or shut down in between.
//!
//! Each slot has a lock of its own, held for a few moves of memory by the one that fills it and
//! the one that looks.

use super::admission::Permit;
use super::live::Live;
use super::notes::NoteFeed;
use super::tenant::TenantRoom;
use crate::events::JobUsage;
use crate::graph::Ended;
use crate::placement::TenantId;
use crate::spin;
use rwasm_sandbox::note::{Listener, TaskNote};
use rwasm_sandbox::outcome::{Failure, Outcome, Usage};
use rwasm_value::ids::{EngineId, JobId};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

/// The slots of a cluster's jobs, by name: what dependencies are looked up in. A job is known as
/// long as somebody holds its slot: it runs, or its handle is there.
#[derive(Default)]
pub(crate) struct Registry {
    slots: Mutex<HashMap<JobId, Weak<Slot>>>,
    /// What all tasks of the cluster say.
    pub(crate) notes: NoteFeed,
}

impl Registry {
    pub(crate) fn find(&self, job: JobId) -> Option<Arc<Slot>> {
        self.lock().get(&job)?.upgrade()
    }

    /// The same, if the job is this tenant's: nobody learns of another's jobs.
    pub(crate) fn find_of(&self, tenant: TenantId, job: JobId) -> Option<Arc<Slot>> {
        self.find(job).filter(|slot| slot.tenant == tenant)
    }

    /// The jobs that have not ended.
    pub(crate) fn pending(&self) -> Vec<Arc<Slot>> {
        let slots: Vec<Arc<Slot>> = self.lock().values().filter_map(Weak::upgrade).collect();
        slots.into_iter().filter(|slot| !slot.is_done()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Weak<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the [module](self).
pub(crate) struct Slot {
    pub(crate) job: JobId,
    pub(crate) tenant: TenantId,
    registry: Arc<Registry>,
    pub(crate) live: Live,
    state: Mutex<SlotState>,
    ready: Condvar,
}

#[derive(Default)]
struct SlotState {
    /// Boxed, since most slots of a large job wait most of the time.
    done: Option<Box<Done>>,
    /// Of whoever polls: a job has one handle.
    waker: Option<Waker>,
    watchers: Vec<Watcher>,
    /// The room in the queue of a call, ...
    permit: Option<Permit>,
    /// ... and in that of its tenant of a job of many tasks.
    room: Option<TenantRoom>,
}

/// Whom to tell of the end.
type Watcher = Box<dyn FnOnce(&Done) + Send>;

/// How a job ended.
pub(crate) struct Done {
    /// A call's outcome, until it is taken. None of a job of many tasks, whose outcomes went another
    /// way.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) success: bool,
    /// What a job of many tasks has used.
    usage: JobUsage,
    /// Where it ran.
    pub(crate) engines: Vec<EngineId>,
    pub(crate) at: Instant,
    /// How long a job of many tasks took, as its figures say.
    pub(crate) wall_time: Option<Duration>,
}

impl Done {
    /// The end of a call.
    pub(crate) fn call(outcome: Outcome) -> Self {
        Self {
            success: outcome.result.is_ok(),
            usage: JobUsage::default(),
            engines: outcome.usage.engine.into_iter().collect(),
            outcome: Some(outcome),
            at: Instant::now(),
            wall_time: None,
        }
    }

    /// The end of a call that is given up without an answer.
    pub(crate) fn cancelled() -> Self {
        Self::call(Outcome {
            result: Err(Failure::cancelled()),
            usage: Usage::none(None, 1, SystemTime::now()),
        })
    }

    /// The end of a job of many tasks.
    pub(crate) fn job(
        success: bool,
        usage: JobUsage,
        engines: Vec<EngineId>,
        wall_time: Duration,
    ) -> Self {
        Self {
            outcome: None,
            success,
            usage,
            engines,
            at: Instant::now(),
            wall_time: Some(wall_time),
        }
    }

    /// What it has used; to be asked of a call before its outcome is taken.
    pub(crate) fn usage(&self) -> JobUsage {
        let call = self.outcome.as_ref();
        call.map_or(self.usage, |outcome| JobUsage::of(&outcome.usage))
    }

    pub(crate) fn ended(&self) -> Ended {
        Ended {
            success: self.success,
            engines: self.engines.clone(),
        }
    }
}

impl Slot {
    pub(crate) fn new(
        job: JobId,
        tenant: TenantId,
        registry: &Arc<Registry>,
        permit: Option<Permit>,
        room: Option<TenantRoom>,
    ) -> Arc<Self> {
        let slot = Arc::new(Self {
            job,
            tenant,
            registry: Arc::clone(registry),
            live: Live::default(),
            state: Mutex::new(SlotState {
                permit,
                room,
                ..SlotState::default()
            }),
            ready: Condvar::new(),
        });
        registry.lock().insert(job, Arc::downgrade(&slot));
        slot
    }

    /// Fills the slot, unless it is filled. Whether it was this that filled it.
    pub(crate) fn fill(&self, done: Done) -> bool {
        let mut state = self.lock();
        if state.done.is_some() {
            return false;
        }
        let watchers = std::mem::take(&mut state.watchers);
        let waker = state.waker.take();
        let permit = (state.permit.take(), state.room.take());
        for watcher in watchers {
            watcher(&done);
        }
        state.done = Some(Box::new(done));
        drop(state);
        self.live.end();
        drop(permit);
        self.ready.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    pub(crate) fn is_done(&self) -> bool {
        self.lock().done.is_some()
    }

    /// Looks at the end, if it has come.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut Done) -> T) -> Option<T> {
        self.lock().done.as_deref_mut().map(look)
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.done.is_some() {
            return Poll::Ready(());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits on this thread for the end, at most for `timeout` if it is given. Returns whether the end has come.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> bool {
        let spin = timeout.map_or(spin::ANSWER, |timeout| timeout.min(spin::ANSWER));
        if spin::until(spin, || self.is_done()) {
            return true;
        }
        let state = self.lock();
        let is_pending = |state: &mut SlotState| state.done.is_none();
        match timeout {
            None => {
                drop(self.ready.wait_while(state, is_pending));
                true
            }
            Some(timeout) => {
                let waited = self.ready.wait_timeout_while(state, timeout, is_pending);
                !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
            }
        }
    }

    /// Has `watcher` told of the end, at once if it has come.
    pub(crate) fn watch(&self, watcher: impl FnOnce(&Done) + Send + 'static) {
        let mut state = self.lock();
        match &state.done {
            Some(done) => watcher(done),
            None => state.watchers.push(Box::new(watcher)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Slot {
    fn note(&self, task: u64, note: TaskNote) {
        self.registry.notes.note(self.job, task, &note);
        self.live.note(task, note);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.job);
    }
}
