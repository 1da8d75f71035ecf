//! How a run or a map starts: from what it is made of to a driver and a reader.

use super::driver::Driver;
use super::pieces::Pieces;
use super::plan::{Plan, PlanError};
use super::reader::Reader;
use super::recording::{InputEntry, JobKind, beginning};
use super::spec::{JobSpec, ViewKind};
use super::submit::SubmitError;
use crate::dispatch::Owner;
use crate::graph::{Dependency, Retry, Terms};
use crate::job::{Assignment, HandOver, Machine, Rules};
use crate::merge::Fold;
use crate::placement::Eligible;
use crate::view::handles::job::Job;
use crate::view::shared::core::{Core, lock};
use crate::view::shared::desk::{Entrant, Work};
use crate::view::shared::events::{Event, JobReply, Progress};
use crate::view::shared::settings::{JobSettings, TaskSettings};
use crate::view::shared::slot::Slot;
use rwasm_sandbox::sandbox::{Program, Setting};
use rwasm_value::ids::EngineId;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

/// A job on its way to its driver.
pub(crate) struct NewJob<'a> {
    pub(crate) plan: Plan,
    /// What a run was asked for; a map has nothing but its settings.
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
    /// Whether a task that failed makes the job one that failed, though it bears that.
    pub(crate) failures_count: bool,
    /// Whether arguments may name pushed values.
    pub(crate) names_values: bool,
    pub(crate) after: Vec<Dependency>,
    pub(crate) follow: Vec<Dependency>,
}

impl Core {
    /// Starts a job with a driver and a reader of its own.
    #[expect(
        clippy::too_many_lines,
        reason = "a list of what a driver is made of, each thing once"
    )]
    pub(crate) fn start(&self, new: NewJob<'_>) -> Result<Job, SubmitError> {
        if self.is_closed() {
            return Err(SubmitError::ShutDown);
        }
        let NewJob {
            plan,
            run,
            view,
            task,
            job,
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
        let (targets, eligible) = self.targets(view)?;
        let engine_count = match (&targets, &eligible) {
            (Some(targets), _) => targets.len(),
            (None, Eligible::Of(engines)) => engines.len(),
            (None, _) => self.backend.engines().len(),
        };
        let machine = Machine::new(rules(
            &plan,
            task,
            job,
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
        let id = slot.job;
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
                beginning(
                    &plan,
                    run,
                    (view, task, job),
                    &setting,
                    &program,
                    kind,
                    inputs,
                ),
                plan.gives_outcomes(),
            )
        });
        let pieces = match (&self.keeper, &recording) {
            (Some(keeper), Some(_)) => keeper.noting(pieces),
            _ => pieces,
        };
        let driver = Driver {
            job: id,
            setting,
            failures_count,
            pushed: (names_values || program.module.reads_pushed_values())
                .then(|| self.pushed.now(None)),
            program,
            reuse: task.reuse,
            targets,
            eligible,
            total,
            priority: task.priority,
            retry: task.retry.clone(),
            queue_time: task.queue_timeout,
            owner,
            slot: Arc::clone(&slot),
            waits,
            deadline: task.deadline,
            backend: Arc::clone(&self.backend),
            dispatch_ids: Arc::clone(&self.dispatch_ids),
            events: inbox,
            reply: Arc::new(JobReply(events.clone())),
            outcomes,
            progress: Arc::clone(&progress),
            fold,
            machine,
            engine_count,
            keep_records: job.keep_records,
            recording,
            plan,
        };
        let reader = Reader::start(pieces, events.clone()).map_err(SubmitError::Thread)?;
        self.watch_running(&slot, &events);
        let span = tracing::debug_span!("job", job = %id);
        let thread = std::thread::Builder::new()
            .name(format!("rwasm-job-{id}"))
            .spawn(move || span.in_scope(|| driver.run(reader)))
            .map_err(SubmitError::Thread)?;
        self.tell_submitted(&slot, task.label.as_ref());
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
}

/// What the job's machine goes by.
fn rules(
    plan: &Plan,
    task: &TaskSettings,
    job: &JobSettings,
    targets: Option<Vec<EngineId>>,
    engine_count: usize,
    hand_over: HandOver,
) -> Rules {
    Rules {
        delivery: plan.delivery(),
        retries: task.retry.retries,
        tolerance: job.max_failures,
        assignment: targets.map_or(Assignment::Any, Assignment::Fixed),
        engines: engine_count,
        hand_over,
        dispatch_size: job.dispatch_size,
        max_outstanding: job.max_outstanding.map(|most| most.max(1)),
        held_budget: held_budget(engine_count),
    }
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
