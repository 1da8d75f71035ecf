//! What a job comes to, and how far it is: plain data.

use super::stats::JobStats;
use crate::merge::MergeError;
use rwasm_sandbox::input::InputError;
use rwasm_sandbox::note::Notes;
use rwasm_sandbox::outcome::{Attempt, Failure, FailureCode, Log, Origin, Usage};
use rwasm_value::ids::JobId;
use rwasm_value::value::Packed;
use std::time::Duration;

/// What a job came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobResult {
    /// The merged value. None where nothing was to be merged, or `min` and `max` had no values.
    pub merged: Option<Packed>,
    /// Tasks that failed and were tolerated: the first of them, in input order.
    pub failed: Vec<(Origin, Failure)>,
    /// How many failed.
    pub failures: u64,
    /// Its figures.
    pub stats: JobStats,
    /// What each attempt at each task used, in the order they ended, if [`JobSettings::keep_records`](crate::JobSettings::keep_records) was set.
    pub records: Vec<TaskRecord>,
}

/// What one attempt at one task of a job used, without its value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskRecord {
    /// What it ran on.
    pub origin: Origin,
    /// Why it failed, if it did.
    pub code: Option<FailureCode>,
    /// What it used.
    pub usage: Usage,
    /// Whether it was a call of the reducer.
    pub is_merge: bool,
}

/// Why a job came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// More tasks failed than the job bears.
    #[error("{origin}: {failure}")]
    TaskFailed {
        /// What the task ran on.
        origin: Origin,
        /// Why it failed.
        failure: Box<Failure>,
        /// What its program printed to stderr, as far as it was kept.
        stderr: Box<Log>,
        /// What it told by calls of the host, as far as that was kept.
        notes: Option<Box<Notes>>,
        /// How many tasks had failed.
        failures: u64,
        /// All attempts at the task, the first first.
        attempts: Vec<Attempt>,
    },
    /// The reducer failed.
    #[error("the reducer failed: {0}")]
    ReducerFailed(Box<Failure>),
    /// A built-in merge met a value it cannot take.
    #[error("the outcomes cannot be merged: {0}")]
    Merge(MergeError),
    /// The input could not be read to its end.
    #[error(transparent)]
    Input(InputError),
    /// The iterator or stream that gives the input panicked.
    #[error("what gives the input panicked: {0}")]
    InputPanicked(String),
    /// The job took longer than its deadline.
    #[error("the job took longer than its deadline of {}", humantime::format_duration(*.0))]
    Deadline(Duration),
    /// It was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
    /// It could not begin.
    #[error("the job never began: {0}")]
    NeverBegan(Box<Failure>),
    /// Its result was taken before, and is not kept.
    #[error("the result of job {0} was taken before")]
    Taken(JobId),
    /// A fault of the library.
    #[error("a fault of rwasm-cluster itself, please report it: {0}")]
    Internal(String),
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct JobProgress {
    /// Chunks whose tasks are done.
    pub chunks_done: u64,
    /// Chunks that have been read.
    pub chunks_read: u64,
    /// Bytes of the input whose tasks are done.
    pub bytes_done: u64,
    /// Whether the end of the input has been reached, so that `chunks_read` is their number.
    pub input_ended: bool,
    /// The bytes of all inputs, where that is known.
    pub bytes_total: Option<u64>,
    /// How many tasks there will be, where that is known before they are read.
    pub tasks_total: Option<u64>,
}
