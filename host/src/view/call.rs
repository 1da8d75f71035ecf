//! How a call becomes a dispatch: what all calls of one function by one view have in common, and
//! what each has for itself.

use super::core::Core;
use super::desk::{Entrant, Refused, Work};
use super::options::Options;
use super::slot::{Done, Slot};
use super::task::{Call, Control, Task};
use super::{NoRoom, Permit, SubmitError};
use crate::backend::Backend;
use crate::dispatch::{
    Answer, Course, Dispatch, DispatchedTask, Owner, Pushed, Reply, Reuse, TaskInput,
};
use crate::events::ClusterEvent;
use crate::graph::Terms;
use crate::placement::{Eligible, Stage};
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::note::Listener;
use rwasm_sandbox::sandbox::{Arguments, Callable, Callee, Program, Setting};
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use rwasm_value::value::{FromWit, PackedArgument, Params};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Instant, SystemTime};

/// Calls take turns with jobs as one job does, however many there are.
const CALLS: JobId = JobId(u64::MAX);

/// What all calls of one function by one view have in common.
#[derive(Clone)]
pub(super) struct Maker {
    pub(super) backend: Arc<dyn Backend>,
    dispatch_ids: Arc<AtomicU64>,
    program: Arc<Program>,
    setting: Arc<Setting>,
    callee: Callee,
    reuse: Reuse,
    owner: Owner,
    priority: i32,
}

/// What a call has for itself.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) input: TaskInput,
    pub(super) pushed: Option<Arc<Pushed>>,
    eligible: Eligible,
    attempt: u32,
}

impl Prepared {
    pub(super) fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    pub(super) fn eligible(mut self, eligible: Eligible) -> Self {
        self.eligible = eligible;
        self
    }
}

impl Maker {
    pub(super) fn dispatch(
        &self,
        call: Prepared,
        reply: Arc<dyn Reply>,
        listener: Arc<dyn Listener>,
    ) -> Arc<Dispatch> {
        Arc::new(Dispatch {
            id: DispatchId(self.dispatch_ids.fetch_add(1, Ordering::Relaxed)),
            job: CALLS,
            eligible: call.eligible,
            priority: self.priority,
            stage: Stage::Map,
            program: Arc::clone(&self.program),
            setting: Arc::clone(&self.setting),
            reuse: self.reuse,
            owner: self.owner.clone(),
            callee: self.callee,
            tasks: vec![DispatchedTask {
                input: call.input,
                index: 0,
                attempt: call.attempt,
                start_by: None,
            }],
            queued: SystemTime::now(),
            cancel: Cancel::default(),
            pushed: call.pushed,
            listener: Some(listener),
            reply,
            course: Course::default(),
            engine_count: None,
        })
    }
}

/// Fills a call's slot with the answer to its one task.
struct SlotReply(Arc<Slot>);

impl Reply for SlotReply {
    fn answer(&self, answer: Answer) {
        for outcome in answer.outcomes {
            self.0.fill(Done::call(outcome));
        }
    }
}

/// Arguments on their way into a call.
pub(super) struct Arguing {
    arguments: Vec<PackedArgument>,
    pub(super) bytes: u64,
}

impl Arguing {
    pub(super) fn new<P: Params, R>(
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Self, SubmitError> {
        let arguments = function.pack(arguments);
        let arguments = arguments.map_err(|error| SubmitError::Arguments {
            function: function.signature().to_string().into(),
            error: Box::new(error),
        })?;
        let size = |argument: &PackedArgument| match argument {
            PackedArgument::Value(value) => value.len() as u64,
            PackedArgument::Reference { .. } => 0,
        };
        Ok(Self {
            bytes: arguments.iter().map(size).sum(),
            arguments,
        })
    }

    pub(super) fn names_values(&self) -> bool {
        let is_reference = |one: &PackedArgument| matches!(one, PackedArgument::Reference { .. });
        self.arguments.iter().any(is_reference)
    }

    pub(super) fn input(&self) -> TaskInput {
        let value = |argument: &PackedArgument| match argument {
            PackedArgument::Value(value) => Some(value.clone()),
            PackedArgument::Reference { .. } => None,
        };
        match self.arguments.iter().map(value).collect() {
            Some(values) => TaskInput::Ready(Arguments::Values(values)),
            None => TaskInput::Named(self.arguments.clone()),
        }
    }
}

impl Core {
    /// What calls of `function` have in common.
    pub(super) fn maker<P, R>(
        &self,
        options: &Options,
        function: &Callable<P, R>,
    ) -> Result<Maker, SubmitError> {
        if self.is_closed() {
            return Err(SubmitError::ShutDown);
        }
        let setting = options.setting(self.is_here())?;
        Ok(Maker {
            backend: Arc::clone(&self.backend),
            dispatch_ids: Arc::clone(&self.dispatch_ids),
            program: self.program(function.module(), setting)?,
            setting: Arc::clone(setting),
            callee: function.callee(),
            reuse: options.reuse,
            owner: options.owner.clone(),
            priority: options.priority,
        })
    }

    /// Room for a call in the queue, or why there is none.
    pub(super) fn no_room(&self, why: NoRoom, bytes: u64) -> SubmitError {
        let limits = self.admission.limits();
        match why {
            NoRoom::Full => SubmitError::QueueFull(limits),
            NoRoom::TooLarge => SubmitError::TooLarge { bytes, limits },
        }
    }

    /// Submits one call.
    pub(super) fn call<P, R: FromWit>(
        self: &Arc<Self>,
        options: &Options,
        function: &Callable<P, R>,
        maker: &Maker,
        arguing: &Arguing,
        eligible: Eligible,
        permit: Permit,
    ) -> Result<Task<R>, SubmitError> {
        // Before it is submitted: a small call may end at once.
        let (begun, submitted) = (Instant::now(), SystemTime::now());
        let target = match &eligible {
            Eligible::One(engine) => Some(*engine),
            _ => None,
        };
        let prepared = Prepared {
            input: arguing.input(),
            pushed: self.pushed_to(target, function, arguing),
            eligible,
            attempt: 1,
        };
        let slot = Slot::new(self.next_job(), &self.registry, Some(permit));
        let control = if options.needs_care() {
            self.cared(options, maker, prepared, &slot)?
        } else {
            let reply = Arc::new(SlotReply(Arc::clone(&slot)));
            let listener = Arc::clone(&slot);
            let dispatch = maker.dispatch(prepared, reply, listener);
            let control = Control::Plain {
                backend: Arc::downgrade(&self.backend),
                id: dispatch.id,
                cancel: dispatch.cancel.clone(),
                dispatch: Arc::downgrade(&dispatch),
            };
            self.backend.submit(dispatch);
            control
        };
        if let Some(keeper) = &self.keeper {
            let (module, name) = (function.module(), function.name());
            keeper.call(options, module, name, &arguing.input(), &slot);
        }
        self.tell_submitted(&slot, options.label.as_ref());
        Ok(Task::new(Call {
            slot,
            label: options.label.clone(),
            module: function.module().clone(),
            function: function.index(),
            control,
            begun,
            submitted,
            target,
        }))
    }

    fn cared(
        &self,
        options: &Options,
        maker: &Maker,
        prepared: Prepared,
        slot: &Arc<Slot>,
    ) -> Result<Control, SubmitError> {
        let terms = Terms {
            after: options.after.clone(),
            follow: options.follow.clone(),
            eligible: prepared.eligible.clone(),
            retry: options.retry.clone(),
            queue_time: options.queue_time,
            deadline: options.deadline,
        };
        let current = Arc::new(Mutex::new(Weak::new()));
        let entrant = Entrant {
            slot: Arc::clone(slot),
            work: Work::Call {
                maker: Arc::new(maker.clone()),
                prepared,
                current: Arc::clone(&current),
            },
        };
        let desk = self.desk.submit(&self.registry, entrant, terms)?;
        Ok(Control::Cared { desk, current })
    }

    /// What was pushed to the engines that may run the call, where it matters.
    fn pushed_to<P, R>(
        &self,
        target: Option<EngineId>,
        function: &Callable<P, R>,
        arguing: &Arguing,
    ) -> Option<Arc<Pushed>> {
        let reads = arguing.names_values() || function.module().reads_pushed_values();
        reads.then(|| self.pushed.now(target))
    }

    /// Tells of a job that begins, and of its end when it comes.
    pub(super) fn tell_submitted(&self, slot: &Slot, label: Option<&Arc<str>>) {
        if !self.events.is_heard() {
            return;
        }
        let job = slot.job;
        let label = label.cloned();
        self.events.tell(ClusterEvent::JobSubmitted { job, label });
        let events = self.events.clone();
        slot.watch(move |done| {
            let success = done.success;
            events.tell(ClusterEvent::JobEnded { job, success });
        });
    }
}

impl From<Refused> for SubmitError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Dependency(error) => Self::Dependency(error),
            Refused::Closed => Self::ShutDown,
            Refused::Thread(error) => Self::Thread(error),
        }
    }
}

/// Whether the dispatch of a call that is looked after runs.
pub(super) fn runs(current: &Mutex<Weak<Dispatch>>) -> bool {
    let current = current.lock().unwrap_or_else(PoisonError::into_inner);
    current
        .upgrade()
        .is_some_and(|dispatch| dispatch.is_running())
}
