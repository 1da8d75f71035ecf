//! What the views and jobs of one cluster share.

use super::admission::{Admission, QueueLimits};
use super::desk::Desk;
use super::drivers::DetachedDrivers;
use super::events::Event;
use super::keeper::Keeper;
use super::namespace::Namespaces;
use super::notes::ClusterNotes;
use super::programs::Programs;
use super::settings::{Lookup, SettingError, TaskSettings};
use super::slot::{Registry, Slot};
use crate::backend::Backend;
use crate::events::{ClusterEvent, EventSender};
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::note::LogLevel;
use rwasm_sandbox::sandbox::{
    LoadError, Module, ModuleHash, Program, Sandbox, Setting, VariantKey,
};
use rwasm_value::ids::{EngineId, JobId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// See the [module](self).
pub(crate) struct Core {
    pub(crate) backend: Arc<dyn Backend>,
    /// Where modules are made ready: here, or elsewhere with the engines.
    pub(crate) workshop: Workshop,
    pub(crate) events: EventSender,
    pub(crate) dispatch_ids: Arc<AtomicU64>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) desk: Desk,
    pub(crate) admission: Admission,
    pub(crate) pushed: Namespaces,
    /// What jobs and calls may use by default.
    pub(crate) limits: Limits,
    /// What they may reach by default.
    pub(crate) grants: Arc<Grants>,
    /// Where jobs are recorded, if they are.
    pub(crate) keeper: Option<Keeper>,
    job_ids: AtomicU64,
    /// Modules made ready, by what they were made of. Locked when a job begins, not for its tasks.
    programs: Mutex<Programs<(ModuleHash, VariantKey), Program>>,
    /// Notified when a program was made, or could not be.
    made: Condvar,
    /// The inboxes of jobs that run, to stop them.
    pub(crate) running: Arc<Mutex<Running>>,
    pub(crate) detached: Arc<DetachedDrivers>,
    is_closed: AtomicBool,
}

/// Where modules are made ready to run.
pub(crate) enum Workshop {
    /// In this process, with its engines.
    Here(Sandbox),
    /// With engines that are elsewhere.
    #[cfg_attr(
        not(feature = "nats"),
        expect(dead_code, reason = "there are no engines elsewhere")
    )]
    Elsewhere {
        /// Whether imports that no engine offers are refused.
        strict_imports: bool,
    },
}

/// What became of the jobs of a cluster that was shut down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Jobs that ended by themselves in the time given.
    pub finished: usize,
    /// Jobs that were stopped.
    pub stopped: usize,
}

/// A program that is being made.
struct Making<'a> {
    core: &'a Core,
    key: (ModuleHash, VariantKey),
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.core.end_making(&self.key);
    }
}

impl Core {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        workshop: Workshop,
        limits: Limits,
        grants: Arc<Grants>,
        events: EventSender,
        queue: QueueLimits,
        keeper: Option<Keeper>,
    ) -> Self {
        Self {
            backend,
            workshop,
            events,
            dispatch_ids: Arc::new(AtomicU64::new(0)),
            registry: Arc::new(Registry::default()),
            desk: Desk::default(),
            admission: Admission::new(queue),
            pushed: Namespaces::default(),
            limits,
            grants,
            keeper,
            job_ids: AtomicU64::new(0),
            programs: Mutex::default(),
            made: Condvar::new(),
            running: Arc::default(),
            detached: Arc::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Whether the engines are in this process.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.workshop, Workshop::Here(_))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(crate) fn next_job(&self) -> JobId {
        JobId(self.job_ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns what a task with these settings may use.
    pub(crate) fn limits_of<'a>(&'a self, task: &'a TaskSettings) -> &'a Limits {
        task.limits.as_ref().unwrap_or(&self.limits)
    }

    /// Checks these settings and returns what the sandbox needs of them.
    pub(crate) fn setting(
        &self,
        task: &TaskSettings,
        arguments: Vec<String>,
    ) -> Result<Arc<Setting>, SettingError> {
        let lookup = if self.is_here() {
            Lookup::Here
        } else {
            Lookup::Elsewhere
        };
        task.settle(&self.limits, &self.grants, arguments, lookup)
    }

    /// The module made ready for this setting.
    pub(crate) fn program(
        &self,
        module: &Module,
        setting: &Setting,
    ) -> Result<Arc<Program>, LoadError> {
        let variant = VariantKey::of(&setting.limits, setting.deterministic);
        self.made_ready(module, variant, &setting.limits)
    }

    /// The module made ready for tasks with these limits.
    pub(crate) fn compile(
        &self,
        module: &Module,
        limits: &Limits,
    ) -> Result<Arc<Program>, LoadError> {
        self.made_ready(module, VariantKey::of(limits, false), limits)
    }

    fn made_ready(
        &self,
        module: &Module,
        variant: VariantKey,
        limits: &Limits,
    ) -> Result<Arc<Program>, LoadError> {
        let key = (module.hash(), variant);
        let programs = || self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = programs();
        loop {
            if let Some(program) = kept.get(&key) {
                return Ok(program);
            }
            if kept.begin(key) {
                break;
            }
            // Somebody makes it, or finds that it cannot be made.
            kept = self.made.wait(kept).unwrap_or_else(PoisonError::into_inner);
        }
        // Compiled without the lock: another module need not wait for it.
        drop(kept);
        let _making = Making { core: self, key };
        let program = Arc::new(match &self.workshop {
            Workshop::Here(sandbox) => sandbox.program(module, variant, limits)?,
            Workshop::Elsewhere { strict_imports } => {
                Program::elsewhere(module.clone(), *strict_imports)?
            }
        });
        let (program, gone) = programs().keep(key, program, module.size());
        drop(gone);
        Ok(program)
    }

    /// Lets whoever waits for a program look again.
    fn end_making(&self, key: &(ModuleHash, VariantKey)) {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        programs.end(key);
        drop(programs);
        self.made.notify_all();
    }

    /// What the tasks of all jobs say from now on: log lines from this level on, if one is given.
    pub(crate) fn notes(&self, from: Option<LogLevel>) -> ClusterNotes {
        self.registry.notes.listen(from)
    }

    /// Tells of a job that begins, and of its end when it comes.
    pub(crate) fn tell_submitted(&self, slot: &Slot, label: Option<&Arc<str>>) {
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

    /// Takes nothing more, gives what runs so much time to end, and stops what is left.
    pub(crate) fn shutdown(&self, grace: Duration) -> Shutdown {
        self.is_closed.store(true, Ordering::Release);
        let _entered = tracing::info_span!("shutdown").entered();
        let end = Instant::now().checked_add(grace);
        let mut shutdown = Shutdown::default();
        for slot in self.registry.pending() {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if slot.wait(left) {
                shutdown.finished += 1;
            } else {
                shutdown.stopped += 1;
            }
        }
        for job in lock(&self.running).values() {
            // One that has ended needs no stopping.
            let _ = job.send(Event::Stop);
        }
        self.desk.close();
        self.backend.shutdown();
        self.detached.join();
        // With the last program goes the thread that keeps its clock.
        let programs =
            std::mem::take(&mut *self.programs.lock().unwrap_or_else(PoisonError::into_inner));
        drop(programs);
        if let Workshop::Here(sandbox) = &self.workshop {
            sandbox.close();
        }
        shutdown
    }

    /// Lets go of what was pushed to an engine that has gone; what runs there has it still.
    pub(crate) fn forget(&self, engine: EngineId) {
        self.pushed.clear(engine);
    }
}

pub(crate) type Running = HashMap<JobId, Sender<Event>>;

pub(crate) fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}
