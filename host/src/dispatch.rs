//! A batch of tasks sent to an engine, and what comes back for it.
//!
//! A dispatch is made by a view, placed by a backend and run by an engine, which answers whoever
//! made it directly. Each of its tasks is answered exactly once, by whoever comes first: the engine
//! that ran it, or the backend that lost the engine or was shut down.

use crate::account::Account;
use crate::observe::{EndedTask, ObservedTasks, Observer, TaskRef};
use crate::placement::{Eligible, Stage};
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::element::ElementSink;
use rwasm_sandbox::note::Listener;
use rwasm_sandbox::outcome::{Failure, FailureCode, Outcome, Usage};
use rwasm_sandbox::pushed::PushedValues;
use rwasm_sandbox::sandbox::{Arguments, Callee, ModuleHash, ModuleInfo, Program, Setting};
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use rwasm_value::value::PackedArgument;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Instant, SystemTime};

/// How long an instance of a module lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reuse {
    /// A fresh instance for every task.
    #[default]
    None,
    /// One instance for the tasks of a dispatch.
    Dispatch,
    /// One instance for each engine; its state lives between the tasks of one job, or between the
    /// calls of one view and its clones.
    Engine,
}

impl Reuse {
    const ALL: [Self; 3] = [Self::None, Self::Dispatch, Self::Engine];

    /// Returns its name: `none`, `dispatch` or `engine`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Dispatch => "dispatch",
            Self::Engine => "engine",
        }
    }
}

impl fmt::Display for Reuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text is not the name of a [`Reuse`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid reuse: write none, dispatch or engine")]
pub struct ParseReuseError {
    /// The text.
    pub name: String,
}

impl FromStr for Reuse {
    type Err = ParseReuseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|reuse| reuse.name() == text);
        found.ok_or_else(|| ParseReuseError {
            name: text.to_owned(),
        })
    }
}

/// Whose instances are kept: no two owners share one. Dropped with the last clone, which lets
/// the instances go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owner(Arc<Owning>);

#[derive(Debug)]
struct Owning {
    /// What engines of other processes know it by.
    number: u64,
    places: Where,
}

/// On which engines, and of which programs, the owner has an instance.
type Where = Mutex<HashSet<(EngineId, ModuleHash)>>;

impl Default for Owning {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            places: Where::default(),
        }
    }
}

/// An owner as an engine knows it, without keeping it alive.
#[derive(Debug)]
pub(crate) struct OwnerMark(Weak<Owning>);

impl Owner {
    /// Whether it should have an instance there, be the engine another one by now.
    pub(crate) fn has(&self, engine: EngineId, module: ModuleHash) -> bool {
        self.places().contains(&(engine, module))
    }

    /// It has an instance there, or no longer.
    pub(crate) fn set(&self, engine: EngineId, module: ModuleHash, has: bool) {
        if has {
            self.places().insert((engine, module));
        } else {
            self.places().remove(&(engine, module));
        }
    }

    fn places(&self) -> MutexGuard<'_, HashSet<(EngineId, ModuleHash)>> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other owner of this process has.
    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    pub(crate) fn mark(&self) -> OwnerMark {
        OwnerMark(Arc::downgrade(&self.0))
    }
}

impl OwnerMark {
    pub(crate) fn is(&self, owner: &Owner) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&owner.0))
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// Calls take turns with jobs as one job does, however many there are.
pub(crate) const CALLS: JobId = JobId(u64::MAX);

/// The name of what is called; of a command, by which wasm knows it.
pub(crate) fn called(module: &ModuleInfo, callee: Callee) -> &str {
    const PROGRAM: &str = "_start";
    match callee {
        Callee::Function(place) => module
            .functions()
            .get(place)
            .map_or("", |function| &function.name),
        Callee::Command => PROGRAM,
    }
}

/// What was pushed to each engine, as it stood when the call was made.
pub(crate) type Pushed = HashMap<EngineId, Arc<PushedValues>>;

/// A batch of tasks sent to an engine.
pub(crate) struct Dispatch {
    pub(crate) id: DispatchId,
    pub(crate) job: JobId,
    /// Whose it is.
    pub(crate) account: Arc<Account>,
    /// The engines that may run it.
    pub(crate) eligible: Eligible,
    /// What goes first where engines are short; higher before lower.
    pub(crate) priority: i32,
    /// Merging results goes before making more of them.
    pub(crate) stage: Stage,
    pub(crate) program: Arc<Program>,
    pub(crate) setting: Arc<Setting>,
    pub(crate) reuse: Reuse,
    pub(crate) owner: Owner,
    /// The span in which it was submitted.
    pub(crate) span: tracing::Span,
    pub(crate) callee: Callee,
    pub(crate) tasks: Vec<DispatchedTask>,
    pub(crate) queued: SystemTime,
    pub(crate) cancel: Cancel,
    pub(crate) pushed: Option<Arc<Pushed>>,
    pub(crate) listener: Option<Arc<dyn Listener>>,
    /// Who reads the elements of streams that tasks return while they run. A backend that cannot deliver them so leaves them in
    /// the values.
    pub(crate) elements: Option<Arc<dyn ElementSink>>,
    pub(crate) reply: Arc<dyn Reply>,
    /// Who observes its tasks; what follows is for them alone.
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// Whether the results of its tasks are to be merged.
    pub(crate) is_merged: bool,
    /// The tasks whose results it merges.
    pub(crate) parts: Vec<TaskRef>,
    course: Course,
    /// How many engines there are in all, where that is not for the backend to say.
    pub(crate) engine_count: Option<u32>,
    /// What is added to the id of an engine for the id by which the tasks know it: see [`Self::told`].
    pub(crate) id_offset: u32,
}

/// What all dispatches of a job, or of the calls of a view, have in common.
#[derive(Clone)]
pub(crate) struct DispatchPreset {
    pub(crate) job: JobId,
    pub(crate) account: Arc<Account>,
    pub(crate) priority: i32,
    pub(crate) program: Arc<Program>,
    pub(crate) setting: Arc<Setting>,
    pub(crate) reuse: Reuse,
    pub(crate) owner: Owner,
    /// The span in which whoever wants it submitted it.
    pub(crate) span: tracing::Span,
    /// Who observes its tasks.
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

impl DispatchPreset {
    /// Returns a dispatch of these tasks to any engine, queued now, which reports to `reply` alone. Whatever should
    /// differ is set before it is shared.
    pub(crate) fn dispatch(
        &self,
        id: DispatchId,
        callee: Callee,
        tasks: Vec<DispatchedTask>,
        reply: Arc<dyn Reply>,
    ) -> Dispatch {
        Dispatch {
            id,
            job: self.job,
            account: Arc::clone(&self.account),
            eligible: Eligible::Any,
            priority: self.priority,
            stage: Stage::Map,
            program: Arc::clone(&self.program),
            setting: Arc::clone(&self.setting),
            reuse: self.reuse,
            owner: self.owner.clone(),
            span: self.span.clone(),
            callee,
            tasks,
            queued: SystemTime::now(),
            cancel: Cancel::default(),
            pushed: None,
            listener: None,
            elements: None,
            reply,
            observer: self.observer.clone(),
            is_merged: false,
            parts: Vec::new(),
            course: Course::default(),
            engine_count: None,
            id_offset: 0,
        }
    }
}

/// One task of a dispatch.
pub(crate) struct DispatchedTask {
    pub(crate) input: TaskInput,
    /// Its place in its job.
    pub(crate) index: u64,
    /// Which run of it this is, from 1.
    pub(crate) attempt: u32,
    /// When its time in the queue is over.
    pub(crate) start_by: Option<Instant>,
}

/// What a task is called with.
#[derive(Clone, Debug)]
pub(crate) enum TaskInput {
    /// As it stands.
    Ready(Arguments),
    /// Some of it by the names under which it was pushed to the engine.
    Named(Vec<PackedArgument>),
    /// It could not be read; the task fails so.
    Refused(Failure),
}

/// How far a dispatch is.
#[derive(Default)]
struct Course {
    /// How many of its tasks have been answered, or [`CLOSED`].
    answered: AtomicUsize,
    gate: AtomicU8,
    /// Whether whoever observes it knows that an engine of this process has begun it.
    is_seen_to_run: AtomicBool,
}

/// All tasks are answered, whatever is still said of them.
const CLOSED: usize = usize::MAX;

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const EXPIRED: u8 = 2;

/// What came back for consecutive tasks of a dispatch.
pub(crate) struct Answer {
    pub(crate) dispatch: DispatchId,
    /// The place of the first in the dispatch.
    pub(crate) first: usize,
    pub(crate) outcomes: Vec<Outcome>,
}

/// Where a dispatch's outcomes go.
pub(crate) trait Reply: Send + Sync {
    /// Delivers outcomes; one who no longer listens loses them.
    fn answer(&self, answer: Answer);

    /// An engine has begun the dispatch.
    fn begun(&self) {}
}

/// A dispatch that is let go, by a backend that ends say, is answered all the same.
impl Drop for Dispatch {
    fn drop(&mut self) {
        self.fail_rest_with(None, &Failure::shut_down());
    }
}

impl Dispatch {
    /// Whether an engine may begin it: not where its time in the queue is over.
    pub(crate) fn begin(&self) -> bool {
        self.pass(BEGUN)
    }

    /// Takes it back, if no engine has begun it.
    pub(crate) fn expire(&self) -> bool {
        self.pass(EXPIRED)
    }

    /// Whether an engine has begun it and has more to answer.
    pub(crate) fn is_running(&self) -> bool {
        self.course.gate.load(Ordering::Acquire) == BEGUN
            && self.course.answered.load(Ordering::Acquire) < self.tasks.len()
    }

    /// How many of its tasks have no answer yet.
    #[cfg(feature = "nats")]
    pub(crate) fn unanswered(&self) -> usize {
        let answered = self.course.answered.load(Ordering::Relaxed);
        self.tasks.len().saturating_sub(answered)
    }

    fn pass(&self, to: u8) -> bool {
        let gate = &self.course.gate;
        gate.compare_exchange(WAITING, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Answers the next tasks, in their order. Said too late, it is not heard.
    pub(crate) fn answer(&self, outcomes: Vec<Outcome>) {
        let count = outcomes.len();
        let next = |answered| (answered != CLOSED).then(|| answered + count);
        let answered = &self.course.answered;
        if let Ok(first) = answered.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
            self.account.add(&outcomes);
            self.observe_end(first, &outcomes);
            self.reply.answer(Answer {
                dispatch: self.id,
                first,
                outcomes,
            });
        }
    }

    /// Tells whoever observes that its tasks wait from now on.
    pub(crate) fn observe_submission(&self) {
        if let Some(observer) = &self.observer {
            observer.submitted(&self.observed());
        }
    }

    /// The same, that an engine of this process has begun it.
    pub(crate) fn observe_begin(&self) {
        if let Some(observer) = &self.observer {
            self.course.is_seen_to_run.store(true, Ordering::Relaxed);
            observer.begun(&self.observed());
        }
    }

    /// The same, of the ends of its tasks from this one on: before anybody else hears of them.
    fn observe_end(&self, first: usize, outcomes: &[Outcome]) {
        let Some(observer) = &self.observer else {
            return;
        };
        let tasks = self.tasks.iter().zip(0..).skip(first).zip(outcomes);
        let ended: Vec<EndedTask<'_>> = tasks
            .map(|((task, place), outcome)| EndedTask {
                place,
                index: task.index,
                outcome,
            })
            .collect();
        observer.ended(&self.observed(), &ended);
    }

    fn observed(&self) -> ObservedTasks<'_> {
        let module = &self.program.module;
        ObservedTasks {
            dispatch: self.id,
            job: (self.job != CALLS).then_some(self.job),
            tenant: self.account.label.as_ref(),
            module: module.name(),
            function: called(module, self.callee),
            count: self.tasks.len(),
            is_merge: self.stage == Stage::Reduce,
            is_merged: self.is_merged,
            parts: &self.parts,
            queued: self.queued,
            has_begun: self.course.is_seen_to_run.load(Ordering::Relaxed),
        }
    }

    /// The id by which its tasks and their outcomes know an engine: engines that serve several clusters have other ids
    /// in each.
    pub(crate) fn told(&self, engine: EngineId) -> EngineId {
        EngineId(engine.0.wrapping_add(self.id_offset))
    }

    /// Answers every task without an answer as cancelled.
    pub(crate) fn cancel_rest(&self, engine: Option<EngineId>) {
        self.fail_rest_with(engine, &Failure::cancelled());
    }

    /// Answers all tasks that have none yet with the same failure; nothing that is said later counts.
    pub(crate) fn fail_rest(&self, engine: Option<EngineId>, code: FailureCode, message: &str) {
        self.fail_rest_with(engine, &Failure::new(code, message));
    }

    /// The same, with all that is said of the failure.
    pub(crate) fn fail_rest_with(&self, engine: Option<EngineId>, failure: &Failure) {
        let answered = self.course.answered.swap(CLOSED, Ordering::AcqRel);
        let outcomes: Vec<Outcome> = self
            .tasks
            .get(answered..)
            .unwrap_or_default()
            .iter()
            .map(|task| Outcome {
                result: Err(failure.clone()),
                usage: Usage::none(
                    engine.map(|engine| self.told(engine)),
                    task.attempt,
                    self.queued,
                ),
            })
            .collect();
        if !outcomes.is_empty() {
            self.account.add(&outcomes);
            self.observe_end(answered, &outcomes);
            self.reply.answer(Answer {
                dispatch: self.id,
                first: answered,
                outcomes,
            });
        }
    }
}
