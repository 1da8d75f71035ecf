//! Views: how a user addresses engines, and the jobs that are made of them.
//!
//! A job's way: `spec` says what is wanted, `plan` checks it against the module, `driver` runs
//! it on a backend with `reader` feeding it, `handle` is what the user holds, `stats` what it
//! came to.

mod driver;
mod events;
mod handle;
mod plan;
mod reader;
mod spec;
mod stats;

pub use handle::{Canceller, Job, JobError, JobProgress, JobResult, ProgressHandle, TaskRecord};
pub use plan::PlanError;
pub use spec::{JobSpec, Merge, Targets, ViewKind};
pub use stats::{EngineStats, JobStats};

pub(crate) use plan::Plan;

use crate::backend::Backend;
use crate::chunk::Chunking;
use crate::dispatch::Reuse;
use crate::ids::{EngineId, JobId};
use crate::input::{Chunks, Cut, Input, InputError};
use crate::job::{Assignment, Machine, Rules};
use crate::merge::Fold;
use crate::sandbox::{Callee, Program, Setting};
use driver::Driver;
use events::{JobReply, Progress};
use reader::Reader;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::channel;

/// Why a job did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The module cannot be loaded or compiled.
    #[error(transparent)]
    Load(#[from] crate::sandbox::LoadError),
    /// The module does not fit what is asked of it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An input cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The system gave no thread for the job.
    #[error("the system gives no thread for the job")]
    Thread(#[source] std::io::Error),
}

/// What starting a job needs of its cluster.
pub(crate) struct JobContext {
    pub(crate) job: JobId,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) dispatch_ids: Arc<AtomicU64>,
    pub(crate) program: Arc<Program>,
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

/// Looks at all inputs, before anything is compiled or run.
pub(crate) fn cut(plan: &Plan, spec: &JobSpec, inputs: Vec<Input>) -> Result<Chunks, InputError> {
    let is_command = plan.map == Callee::Command;
    Chunks::check(
        inputs,
        Cut {
            chunking: plan.chunking,
            max_chunk: spec.limits.input.bytes(),
            whole_streams: is_command && plan.chunking == Chunking::File,
        },
    )
}

/// Starts the job that `plan` and `spec` describe over `chunks`.
pub(crate) fn start(
    context: JobContext,
    plan: Plan,
    spec: &JobSpec,
    chunks: Chunks,
) -> Result<Job, SubmitError> {
    let engines = context.backend.engines();
    let targets = match &spec.view {
        ViewKind::Balanced => None,
        ViewKind::Direct(Targets::All) => Some(engines.clone()),
        ViewKind::Direct(Targets::Only(targets)) => {
            check_targets(targets, &engines)?;
            Some(targets.clone())
        }
    };
    let engine_count = targets.as_ref().map_or(engines.len(), Vec::len);
    let machine = Machine::new(Rules {
        delivery: plan.delivery(),
        retries: spec.retries,
        tolerance: spec.max_failures,
        assignment: targets.clone().map_or(Assignment::Any, Assignment::Fixed),
        engines: engine_count,
        depth: Rules::DEPTH,
        held_budget: held_budget(engine_count),
    });
    let fold = match plan.fold {
        Some(builtin) => Some(Fold::new(builtin, &plan.item).map_err(PlanError::from)?),
        None => None,
    };
    let (events, inbox) = channel();
    let (outcomes, delivered) = tokio::sync::mpsc::channel(WAITING_BATCHES);
    let progress = Arc::new(Progress::new(chunks.total_bytes()));
    let driver = Driver {
        job: context.job,
        program: context.program,
        setting: Arc::new(Setting {
            limits: spec.limits.clone(),
            program_arguments: plan.arguments.clone(),
            keep_instance: spec.reuse != Reuse::None,
        }),
        reuse: spec.reuse,
        targets,
        deadline: spec.deadline,
        backend: context.backend,
        dispatch_ids: context.dispatch_ids,
        events: inbox,
        reply: Arc::new(JobReply(events.clone())),
        outcomes,
        progress: Arc::clone(&progress),
        fold,
        machine,
        engine_count,
        keep_records: spec.keep_records,
        plan,
    };
    let reader = Reader::start(chunks, events.clone()).map_err(SubmitError::Thread)?;
    let thread = std::thread::Builder::new()
        .name(format!("rwasm-job-{}", context.job))
        .spawn(move || driver.run(reader))
        .map_err(SubmitError::Thread)?;
    Ok(Job {
        outcomes: delivered,
        ready: VecDeque::new(),
        events,
        progress,
        driver: Some(thread),
    })
}

fn check_targets(targets: &[EngineId], engines: &[EngineId]) -> Result<(), PlanError> {
    match targets.iter().find(|target| !engines.contains(target)) {
        None => Ok(()),
        Some(missing) => Err(PlanError::NoSuchEngine {
            engine: missing.0,
            last: engines.last().map_or(0, |last| last.0),
        }),
    }
}
