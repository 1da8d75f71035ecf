//! What the views and jobs of one cluster share.

use super::admission::{Admission, QueueLimits};
use super::desk::{Desk, Entrant, Work};
use super::driver::Driver;
use super::events::{Event, JobReply, Progress};
use super::handle::{Detached, Job};
use super::namespace::Namespaces;
use super::options::Defaults;
use super::pieces::Pieces;
use super::plan::{Plan, PlanError};
use super::programs::Programs;
use super::reader::Reader;
use super::recording::{InputEntry, JobKind, Keeper, beginning};
use super::slot::{Registry, Slot};
use super::spec::{JobSpec, ViewKind};
use super::told::ClusterNotes;
use super::{SubmitError, WAITING_BATCHES, held_budget};
use crate::backend::Backend;
use crate::dispatch::Owner;
use crate::events::EventSender;
use crate::graph::{Dependency, Retry, Terms};
use crate::job::{Assignment, HandOver, Machine, Rules};
use crate::merge::Fold;
use crate::placement::Eligible;
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::note::LogLevel;
use rwasm_sandbox::sandbox::{
    LoadError, Module, ModuleHash, Program, Sandbox, Setting, VariantKey,
};
use rwasm_value::ids::{EngineId, JobId};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// See the [module](self).
pub(crate) struct Core {
    pub(crate) backend: Arc<dyn Backend>,
    /// Where modules are made ready: here, or elsewhere with the engines.
    pub(crate) workshop: Workshop,
    pub(crate) events: EventSender,
    pub(super) dispatch_ids: Arc<AtomicU64>,
    pub(super) registry: Arc<Registry>,
    pub(super) desk: Desk,
    pub(super) admission: Admission,
    pub(super) pushed: Namespaces,
    pub(crate) defaults: Defaults,
    /// Where jobs are recorded, if they are.
    pub(crate) keeper: Option<Keeper>,
    job_ids: AtomicU64,
    /// Modules made ready, by what they were made of. Locked when a job begins, not for its tasks.
    programs: Mutex<Programs<(ModuleHash, VariantKey), Program>>,
    /// The inboxes of jobs that run, to stop them.
    running: Arc<Mutex<Running>>,
    detached: Arc<Detached>,
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

/// A job on its way to its driver.
pub(super) struct NewJob<'a> {
    pub(super) plan: Plan,
    pub(super) spec: &'a JobSpec,
    pub(super) setting: Arc<Setting>,
    pub(super) program: Arc<Program>,
    pub(super) pieces: Box<dyn Pieces>,
    /// What it is in the history, and what is recorded of its inputs.
    pub(super) kind: JobKind,
    pub(super) inputs: Vec<InputEntry>,
    pub(super) owner: Owner,
    /// Whether a task that failed makes the job one that failed, though it bears that.
    pub(super) failures_count: bool,
    /// Whether arguments may name pushed values.
    pub(super) names_values: bool,
    pub(super) after: Vec<Dependency>,
    pub(super) follow: Vec<Dependency>,
}

impl Core {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        workshop: Workshop,
        defaults: Defaults,
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
            defaults,
            keeper,
            job_ids: AtomicU64::new(0),
            programs: Mutex::default(),
            running: Arc::default(),
            detached: Arc::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Whether the engines are in this process.
    pub(super) fn is_here(&self) -> bool {
        matches!(self.workshop, Workshop::Here(_))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn next_job(&self) -> JobId {
        JobId(self.job_ids.fetch_add(1, Ordering::Relaxed))
    }

    /// What a job may use and reach, where it does not say otherwise.
    pub(super) fn defaults_for(&self, spec: &JobSpec) -> Defaults {
        let own = |grants: &Grants| Arc::new(grants.clone());
        Defaults {
            limits: spec
                .limits
                .clone()
                .unwrap_or_else(|| self.defaults.limits.clone()),
            grants: spec
                .grants
                .as_ref()
                .map_or_else(|| Arc::clone(&self.defaults.grants), own),
        }
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
        if let Some(program) = programs().get(&key) {
            return Ok(program);
        }
        // Compiled without the lock: another module need not wait for it.
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

    /// Starts a job with a driver and a reader of its own.
    #[expect(
        clippy::too_many_lines,
        reason = "a list of what a driver is made of, each thing once"
    )]
    pub(super) fn start(&self, new: NewJob<'_>) -> Result<Job, SubmitError> {
        if self.is_closed() {
            return Err(SubmitError::ShutDown);
        }
        let NewJob {
            plan,
            spec,
            setting,
            program,
            pieces,
            kind,
            inputs,
            owner,
            failures_count,
            names_values,
            after,
            follow,
        } = new;
        let (targets, eligible) = self.targets(&spec.view)?;
        let engine_count = match (&targets, &eligible) {
            (Some(targets), _) => targets.len(),
            (None, Eligible::Of(engines)) => engines.len(),
            (None, _) => self.backend.engines().len(),
        };
        let machine = Machine::new(rules(
            &plan,
            spec,
            targets.clone(),
            engine_count,
            self.backend.hand_over(),
        ));
        let fold = match plan.fold {
            Some(builtin) => Some(Fold::new(builtin, &plan.item).map_err(PlanError::from)?),
            None => None,
        };
        let (events, inbox) = channel();
        let (outcomes, delivered) = tokio::sync::mpsc::channel(WAITING_BATCHES);
        let total = pieces.total();
        let progress = Arc::new(Progress::new(total.bytes(), total.tasks()));
        let slot = Slot::new(self.next_job(), &self.registry, None);
        let job = slot.job;
        let waits = !after.is_empty() || !follow.is_empty();
        if waits {
            let terms = Terms {
                after,
                follow,
                eligible: eligible.clone(),
                retry: Retry::default(),
                queue_time: None,
                deadline: None,
            };
            self.have_wait(&slot, events.clone(), terms)?;
        }
        let recording = self.keeper.as_ref().and_then(|keeper| {
            keeper.job(
                beginning(&plan, spec, &setting, &program, kind, inputs),
                plan.gives_outcomes(),
            )
        });
        let pieces = match (&self.keeper, &recording) {
            (Some(keeper), Some(_)) => keeper.noting(pieces),
            _ => pieces,
        };
        let driver = Driver {
            job,
            setting,
            failures_count,
            pushed: (names_values || program.module.reads_pushed_values())
                .then(|| self.pushed.now(None)),
            program,
            reuse: spec.reuse,
            targets,
            eligible,
            total,
            priority: spec.priority,
            retry: spec.retry.clone(),
            queue_time: spec.queue_timeout,
            owner,
            slot: Arc::clone(&slot),
            waits,
            deadline: spec.deadline,
            backend: Arc::clone(&self.backend),
            dispatch_ids: Arc::clone(&self.dispatch_ids),
            events: inbox,
            reply: Arc::new(JobReply(events.clone())),
            outcomes,
            progress: Arc::clone(&progress),
            fold,
            machine,
            engine_count,
            keep_records: spec.keep_records,
            recording,
            plan,
        };
        let reader = Reader::start(pieces, events.clone()).map_err(SubmitError::Thread)?;
        self.watch_running(&slot, &events);
        let span = tracing::debug_span!("job", %job);
        let thread = std::thread::Builder::new()
            .name(format!("rwasm-job-{job}"))
            .spawn(move || span.in_scope(|| driver.run(reader)))
            .map_err(SubmitError::Thread)?;
        self.tell_submitted(&slot, spec.label.as_deref().map(Arc::from).as_ref());
        Ok(Job {
            outcomes: delivered,
            ready: VecDeque::new(),
            events,
            progress,
            slot,
            detached: Arc::clone(&self.detached),
            driver: Some(thread),
        })
    }

    /// Has the desk tell the job when it may begin.
    fn have_wait(
        &self,
        slot: &Arc<Slot>,
        events: Sender<Event>,
        terms: Terms,
    ) -> Result<(), SubmitError> {
        let work = Work::Job(Box::new(move |begun| {
            // A job that was given up does not hear that it may begin.
            let _ = events.send(Event::Begin(begun));
        }));
        let slot = Arc::clone(slot);
        self.desk
            .submit(&self.registry, Entrant { slot, work }, terms)?;
        Ok(())
    }

    /// Knows the job's inbox as long as it runs.
    fn watch_running(&self, slot: &Slot, events: &Sender<Event>) {
        let job = slot.job;
        lock(&self.running).insert(job, events.clone());
        let running = Arc::clone(&self.running);
        slot.watch(move |_| {
            lock(&running).remove(&job);
        });
        if self.is_closed() {
            // It came between the two: it was not among those that were stopped.
            let _ = events.send(Event::Stop);
        }
    }

    /// The engines of a direct view; or those of a balanced one.
    fn targets(&self, view: &ViewKind) -> Result<(Option<Vec<EngineId>>, Eligible), PlanError> {
        let engines = || self.backend.engines();
        Ok(match view {
            ViewKind::Balanced => (None, Eligible::Any),
            ViewKind::BalancedAmong(targets) => {
                (None, Eligible::Of(targets.resolve(&engines())?.into()))
            }
            ViewKind::Direct(targets) => (Some(targets.resolve(&engines())?), Eligible::Any),
        })
    }

    /// What the tasks of all jobs say from now on: log lines from this level on, if one is given.
    pub(crate) fn told(&self, from: Option<LogLevel>) -> ClusterNotes {
        self.registry.told.listen(from)
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

type Running = HashMap<JobId, Sender<Event>>;

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the job's machine goes by.
fn rules(
    plan: &Plan,
    spec: &JobSpec,
    targets: Option<Vec<EngineId>>,
    engine_count: usize,
    hand_over: HandOver,
) -> Rules {
    Rules {
        delivery: plan.delivery(),
        retries: spec.retry.retries,
        tolerance: spec.max_failures,
        assignment: targets.map_or(Assignment::Any, Assignment::Fixed),
        engines: engine_count,
        hand_over,
        dispatch_size: spec.dispatch_size,
        max_outstanding: spec.max_outstanding.map(|most| most.max(1)),
        held_budget: held_budget(engine_count),
    }
}
