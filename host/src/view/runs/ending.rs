//! How a job ends: what its machine carries, and what the handle is told of it.

use crate::job::Ending;
use crate::merge::{Fold, MergeError};
use crate::observe::TaskRef;
use crate::view::shared::result::{FailedJob, JobError, JobResult, TaskRecord};
use crate::view::shared::stats::JobStats;
use rwasm_sandbox::input::{Changes, InputError};
use rwasm_sandbox::outcome::{Attempt, Failure, Origin, Outcome, Usage};
use rwasm_value::value::Packed;
use std::time::Duration;

/// The value of a task, as the machine carries it to its delivery or merge.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) value: Packed,
    /// The run of the task that made it.
    pub(crate) made_by: TaskRef,
    /// What the handle is told beside the value, where outcomes are delivered.
    pub(crate) told: Option<Box<(Origin, Usage)>>,
}

/// A task's failure, likewise.
#[derive(Clone)]
pub(crate) struct Fault {
    pub(crate) failure: Failure,
    pub(crate) origin: Origin,
    pub(crate) usage: Box<Usage>,
}

/// Why a job was stopped before its end.
pub(crate) enum Stopped {
    Cancelled,
    Deadline,
    Input(InputError),
    /// What gives the input panicked.
    Panicked(String),
    Merge(MergeError),
    /// It never began.
    Waiting(Failure),
}

/// What a job came to, from how its machine ended.
pub(crate) fn conclude(
    ending: Ending<Part, Fault, Stopped>,
    fold: Option<Fold>,
    deadline: Option<Duration>,
    mut stats: JobStats,
    records: Vec<TaskRecord>,
) -> Result<JobResult, Box<(JobError, FailedJob)>> {
    let deadline = deadline.unwrap_or_default();
    let error = match ending {
        Ending::Complete {
            merged,
            chunks,
            failed,
            failures,
        } => {
            stats.chunks = chunks;
            let merged = match fold {
                Some(fold) => fold.finish(),
                None => merged.map(|part| part.value),
            };
            let failed = failed
                .into_iter()
                .map(|(_, fault)| (fault.origin, fault.failure))
                .collect();
            return Ok(JobResult {
                merged,
                failed,
                failures,
                stats,
                records,
                grown_inputs: 0,
                not_utf8: 0,
            });
        }
        Ending::TaskFailed {
            failure: fault,
            failures,
            ..
        } => JobError::TaskFailed {
            attempts: attempts(&fault),
            origin: fault.origin,
            failure: Box::new(fault.failure),
            notes: fault.usage.notes,
            logs: fault.usage.logs.unwrap_or_default(),
            failures,
        },
        Ending::MergeFailed { failure } => JobError::ReducerFailed(Box::new(failure.failure)),
        Ending::Stopped(Stopped::Cancelled) => JobError::Cancelled,
        Ending::Stopped(Stopped::Deadline) => JobError::Deadline(deadline),
        Ending::Stopped(Stopped::Input(error)) => JobError::Input(error),
        Ending::Stopped(Stopped::Panicked(text)) => JobError::InputPanicked(text),
        Ending::Stopped(Stopped::Merge(error)) => JobError::Merge(error),
        Ending::Stopped(Stopped::Waiting(failure)) => JobError::NeverBegan(Box::new(failure)),
    };
    Err(Box::new((error, FailedJob { stats, records })))
}

/// A result whose inputs are what they were when the job read them.
pub(crate) fn unchanged(
    result: JobResult,
    changes: Changes,
) -> Result<JobResult, Box<(JobError, FailedJob)>> {
    if let Some(name) = changes.changed {
        let JobResult { stats, records, .. } = result;
        let error = JobError::Input(InputError::Changed { name });
        return Err(Box::new((error, FailedJob { stats, records })));
    }
    Ok(JobResult {
        grown_inputs: changes.grown,
        not_utf8: changes.not_utf8,
        ..result
    })
}

/// Every attempt at a task that failed.
fn attempts(fault: &Fault) -> Vec<Attempt> {
    let outcome = Outcome {
        result: Err(fault.failure.clone()),
        usage: Usage::clone(&fault.usage),
    };
    outcome.attempts()
}
