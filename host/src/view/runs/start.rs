//! The start of a run or a map: from its parts to a driver and a reader.

use super::driver::{Beginnings, Context, Driver};
use super::pieces::Pieces;
use super::plan::{Plan, PlanError};
use super::reader::Reader;
use super::recording::{InputEntry, JobKind, Recording};
use super::spec::{JobSpec, ViewKind};
use super::submit::SubmitError;
use crate::dispatch::{DispatchPreset, Owner, called};
use crate::graph::{Dependency, Retry, Terms};
use crate::job::{Assignment, Machine, Rules};
use crate::merge::Fold;
use crate::observe::ObservedKind;
use crate::placement::Eligible;
use crate::view::handles::job::Job;
use crate::view::shared::core::{Core, Submitted, lock};
use crate::view::shared::desk::{Entrant, Work};
use crate::view::shared::elements::ElementBuffers;
use crate::view::shared::events::{Event, JobReply, Progress};
use crate::view::shared::result::{JobError, JobResult};
use crate::view::shared::settings::{JobSettings, TaskSettings};
use crate::view::shared::slot::Slot;
use crate::view::shared::tenant::TenantState;
use rwasm_sandbox::sandbox::{Program, Setting};
use rwasm_value::ids::{EngineId, JobId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// A job on its way to its driver.
#[cfg_attr(
    not(feature = "history"),
    expect(dead_code, reason = "some of it is for the record alone")
)]
pub(crate) struct NewJob<'a> {
    pub(crate) tenant: &'a Arc<TenantState>,
    pub(crate) plan: Plan,
    /// The request of a run; a map has only its settings.
    pub(crate) run: Option<&'a JobSpec>,
    pub(crate) view: &'a ViewKind,
    pub(crate) task: &'a TaskSettings,
    pub(crate) job: &'a JobSettings,
    pub(crate) setting: Arc<Setting>,
    pub(crate) program: Arc<Program>,
    pub(crate) pieces: Box<dyn Pieces>,
    /// What it is in the history, and what is recorded of its inputs.
    pub(crate) kind: JobKind,
    pub(crate) inputs: Vec<InputEntry>,
    pub(crate) owner: Owner,
    /// Whether a task that failed makes the job one that failed, although it tolerates that.
    pub(crate) failures_count: bool,
    /// Whether arguments may name pushed values.
    pub(crate) names_values: bool,
    pub(crate) after: Vec<Dependency>,
    pub(crate) follow: Vec<Dependency>,
    /// Where its handle reads the elements of tasks that run.
    pub(crate) elements: Option<Arc<ElementBuffers>>,
}

impl<'a> NewJob<'a> {
    /// A run of `spec`, which waits for nothing, and of whose inputs nothing is recorded.
    pub(crate) fn of_run(
        tenant: &'a Arc<TenantState>,
        spec: &'a JobSpec,
        plan: Plan,
        setting: Arc<Setting>,
        program: Arc<Program>,
        pieces: Box<dyn Pieces>,
    ) -> Self {
        Self {
            tenant,
            plan,
            run: Some(spec),
            view: &spec.view,
            task: &spec.task,
            job: &spec.job,
            setting,
            program,
            pieces,
            kind: JobKind::Run,
            inputs: Vec::new(),
            owner: Owner::default(),
            failures_count: false,
            names_values: false,
            after: Vec::new(),
            follow: Vec::new(),
            elements: None,
        }
    }
}

impl Core {
    /// Starts a job with a driver and a reader of its own.
    pub(crate) fn start(&self, new: NewJob<'_>) -> Result<Job, SubmitError> {
        let tenant = Arc::clone(new.tenant);
        let room = self.tenant_room(&tenant, new.task, 0)?;
        let (targets, eligible) = self.targets(new.view)?;
        let engine_count = self.engine_count(targets.as_deref(), &eligible);
        let machine = Machine::new(self.rules(&new, targets.as_deref(), engine_count));
        let fold = new.fold()?;
        let (events, inbox) = channel();
        let (outcomes, delivered) = tokio::sync::mpsc::channel(WAITING_BATCHES);
        let total = new.pieces.total();
        let watch = new.pieces.watch();
        let progress = Arc::new(Progress::new(total.bytes(), total.tasks()));
        let slot = Slot::new(self.next_job(), tenant.id(), &self.registry, None, room);
        let span = job_span(slot.job);
        let waits = !new.after.is_empty() || !new.follow.is_empty();
        if waits {
            self.have_wait(&slot, events.clone(), new.terms(eligible.clone()))?;
        }
        let recording = self.record(&new);
        let preset = self.preset(&new, slot.job, &span);
        let kind = new.observed_kind();
        let NewJob {
            plan, task, pieces, ..
        } = new;
        let pieces = self.noting(pieces, recording.is_some());
        let callee = plan.map;
        let reads_pushed = new.names_values || new.program.module.reads_pushed_values();
        let context = Context {
            plan,
            preset,
            targets,
            engine_count,
            total,
            watch,
            retry: task.retry.clone(),
            queue_time: task.queue_timeout,
            deadline: task.deadline,
            failures_count: new.failures_count,
            keep_records: new.job.keep_records,
            pushed: reads_pushed.then(|| tenant.pushed.now(None)),
            slot: Arc::clone(&slot),
            progress: Arc::clone(&progress),
            backend: Arc::clone(&self.backend),
            dispatch_ids: Arc::clone(&self.dispatch_ids),
            reply: Arc::new(JobReply(events.clone())),
            elements: new.elements,
        };
        let begin = Beginnings {
            machine,
            fold,
            eligible,
            waits,
            recording,
            outcomes,
            room: tenant.job_room(),
        };
        let reader = Reader::start(pieces, events.clone()).map_err(SubmitError::Thread)?;
        self.watch_running(&slot, &events);
        let thread = spawn(slot.job, span, Driver::new(context, inbox, begin), reader)?;
        self.tell_submitted(
            &slot,
            &tenant,
            &Submitted {
                label: task.label.as_ref(),
                kind,
                module: &new.program.module,
                function: called(&new.program.module, callee),
                progress: Some(&progress),
                begun: Instant::now(),
            },
        );
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

    /// The pieces, noted for the history if the job is recorded.
    fn noting(&self, pieces: Box<dyn Pieces>, is_recorded: bool) -> Box<dyn Pieces> {
        match &self.keeper {
            Some(keeper) if is_recorded => keeper.noting(pieces),
            _ => pieces,
        }
    }

    /// What all dispatches of the job have in common.
    fn preset(&self, new: &NewJob<'_>, job: JobId, span: &tracing::Span) -> DispatchPreset {
        DispatchPreset {
            job,
            account: Arc::clone(&new.tenant.account),
            priority: new.task.priority,
            program: Arc::clone(&new.program),
            setting: Arc::clone(&new.setting),
            reuse: new.task.reuse,
            owner: new.owner.clone(),
            span: span.clone(),
            observer: self.events.observer().cloned(),
        }
    }

    /// The job's record in the history, if there is one.
    fn record(&self, new: &NewJob<'_>) -> Option<Recording> {
        self.keeper.as_ref()?.job(new)
    }

    /// What the job's machine goes by.
    fn rules(&self, new: &NewJob<'_>, targets: Option<&[EngineId]>, engines: usize) -> Rules {
        Rules {
            delivery: new.plan.delivery(),
            retries: new.task.retry.retries,
            tolerance: new.job.max_failures,
            assignment: targets.map_or(Assignment::Any, |targets| {
                Assignment::Fixed(targets.to_vec())
            }),
            engines,
            hand_over: self.backend.hand_over(),
            dispatch_size: new.job.dispatch_size,
            max_outstanding: new.job.max_outstanding.map(|most| most.max(1)),
            held_budget: held_budget(engines),
        }
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

    /// The number of engines that the job may use.
    fn engine_count(&self, targets: Option<&[EngineId]>, eligible: &Eligible) -> usize {
        match (targets, eligible) {
            (Some(targets), _) => targets.len(),
            (None, Eligible::Of(engines)) => engines.len(),
            (None, _) => self.backend.engines().len(),
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
}

impl NewJob<'_> {
    /// What merges its results in this process, if anything does.
    fn fold(&self) -> Result<Option<Fold>, PlanError> {
        let fold = self.plan.fold;
        Ok(fold
            .map(|builtin| Fold::new(builtin, &self.plan.item))
            .transpose()?)
    }

    /// What kind of job it is, for whoever observes it.
    fn observed_kind(&self) -> ObservedKind {
        match self.run {
            Some(_) => ObservedKind::Run,
            None => ObservedKind::Map,
        }
    }

    /// The terms for what the job waits for; its driver takes care of everything else.
    fn terms(&self, eligible: Eligible) -> Terms {
        Terms {
            after: self.after.clone(),
            follow: self.follow.clone(),
            eligible,
            retry: Retry::default(),
            queue_time: None,
            deadline: None,
        }
    }
}

/// The span of a job, in that of whoever submits it; the latter if nobody wants the former.
fn job_span(job: JobId) -> tracing::Span {
    let span = tracing::debug_span!("job", %job);
    if span.is_disabled() {
        tracing::Span::current()
    } else {
        span
    }
}

/// Runs the driver on a thread of its own.
fn spawn(
    job: JobId,
    span: tracing::Span,
    driver: Driver,
    reader: Reader,
) -> Result<JoinHandle<Result<JobResult, JobError>>, SubmitError> {
    std::thread::Builder::new()
        .name(format!("rwasm-job-{job}"))
        .spawn(move || span.in_scope(|| driver.run(reader)))
        .map_err(SubmitError::Thread)
}

/// Bytes of inputs in memory and of outcomes that wait for their turn: enough for the largest
/// chunks of all engines, twice.
fn held_budget(engines: usize) -> u64 {
    const PER_ENGINE: u64 = 16 << 20;
    const LEAST: u64 = 64 << 20;
    (engines as u64 * PER_ENGINE).max(LEAST)
}

/// Batches of outcomes that wait for the user; each is bounded itself.
const WAITING_BATCHES: usize = 2;
