//! The result and the progress of a job, as plain data.

use super::stats::JobStats;
use crate::merge::MergeError;
use rwasm_sandbox::input::InputError;
use rwasm_sandbox::note::Notes;
use rwasm_sandbox::outcome::{Attempt, Failure, FailureCode, Logs, Origin, Usage};
use rwasm_value::ids::JobId;
use rwasm_value::value::Packed;
use std::time::Duration;

/// The result of a job.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobResult {
    /// The merged value; `None` if there was nothing to merge, or `min` and `max` had no values.
    pub merged: Option<Packed>,
    /// The first failed tasks that were tolerated, in input order.
    pub failed: Vec<(Origin, Failure)>,
    /// The number of failed tasks.
    pub failures: u64,
    /// Its figures.
    pub stats: JobStats,
    /// What each attempt at each task used, in the order they ended, if
    /// [`JobSettings::keep_records`](crate::JobSettings::keep_records) was set.
    pub records: Vec<TaskRecord>,
    /// Files that have become longer while the job ran: what was added is not in the result.
    pub grown_inputs: u64,
    /// Sequences of bytes that were replaced, or lines that were left out, because they are not UTF-8
    /// ([`Reading::invalid_utf8`](crate::Reading::invalid_utf8)).
    pub not_utf8: u64,
}

/// What a job came to that ended with an error.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedJob {
    /// Its figures. Of its chunks, those that were read are counted.
    pub stats: JobStats,
    /// What each attempt at each task used, as in [`JobResult::records`].
    pub records: Vec<TaskRecord>,
}

/// What one attempt at one task of a job used, without its value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskRecord {
    /// Its input.
    pub origin: Origin,
    /// Why it failed, if it did.
    pub code: Option<FailureCode>,
    /// What it used.
    pub usage: Usage,
    /// Whether it was a call of the reducer.
    pub is_merge: bool,
}

/// Why a job has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// More tasks failed than the job tolerates.
    #[error("{origin}: {failure}")]
    TaskFailed {
        /// The input of the task.
        origin: Origin,
        /// Why it failed.
        failure: Box<Failure>,
        /// What it printed in the last attempt, as far as it was kept.
        logs: Box<Logs>,
        /// What it reported through the host, as far as that was kept.
        notes: Option<Box<Notes>>,
        /// The number of tasks that had failed.
        failures: u64,
        /// All attempts at the task, in order.
        attempts: Vec<Attempt>,
    },
    /// The reducer failed.
    #[error("the reducer failed: {0}")]
    ReducerFailed(Box<Failure>),
    /// A built-in merge could not take a value.
    #[error("the outcomes cannot be merged: {0}")]
    Merge(MergeError),
    /// An input could not be read to its end.
    #[error(transparent)]
    Input(InputError),
    /// The iterator or stream with the input panicked.
    #[error("the source of the input panicked: {0}")]
    InputPanicked(String),
    /// The job exceeded its deadline.
    #[error("the job took longer than its deadline of {}", humantime::format_duration(*.0))]
    Deadline(Duration),
    /// It was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
    /// The job could not start.
    #[error("the job did not start: {0}")]
    NeverBegan(Box<Failure>),
    /// Its result has already been taken.
    #[error("the result of job {0} has already been taken")]
    Taken(JobId),
    /// An error of the library itself.
    #[error("internal error in rwasm-cluster, please report it: {0}")]
    Internal(String),
}

/// The progress of a job.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct JobProgress {
    /// Chunks whose tasks are done.
    pub chunks_done: u64,
    /// Chunks that have been read.
    pub chunks_read: u64,
    /// Bytes of the input whose tasks are done.
    pub bytes_done: u64,
    /// Whether the end of the input has been reached, so that `chunks_read` is the number of chunks.
    pub input_ended: bool,
    /// The bytes of all inputs, if known.
    pub bytes_total: Option<u64>,
    /// The number of tasks, if known before they are read.
    pub tasks_total: Option<u64>,
}
