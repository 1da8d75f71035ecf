//! How calls fail, as values.

use crate::view::shared::result::JobError;
use rwasm_sandbox::note::Notes;
use rwasm_sandbox::outcome::{Attempt, Failure, Logs, Origin};
use rwasm_value::ids::JobId;
use rwasm_value::plain::in_line;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a call has no value.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The task failed.
    #[error(transparent)]
    Failed(Arc<TaskFailure>),
    /// The task has not ended in time. It goes on.
    #[error("there is no result after {}", humantime::format_duration(*.0))]
    NotReady(Duration),
    /// The result has already been taken.
    #[error("the result of job {0} has already been taken")]
    Taken(JobId),
    /// The map it belongs to ended before its input did.
    #[error(transparent)]
    Job(Arc<JobError>),
    /// The value does not have the requested type: an error of the library itself.
    #[error("internal error in rwasm-cluster, please report it: {0}")]
    Internal(String),
}

impl TaskError {
    /// Returns the failure of the task, if it failed.
    #[must_use]
    pub fn failure(&self) -> Option<&TaskFailure> {
        match self {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}

/// A task that failed for good, with its last failure and every attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskFailure {
    /// Its job.
    pub job: JobId,
    /// Its label, if it has one.
    pub label: Option<Arc<str>>,
    /// The function that was called.
    pub function: Arc<str>,
    /// Its arguments or input.
    pub origin: Origin,
    /// Why the last attempt failed.
    pub failure: Failure,
    /// All its attempts, in order; empty if it never ran.
    pub attempts: Vec<Attempt>,
    /// What it printed in the last attempt, as far as that was kept.
    pub logs: Box<Logs>,
    /// What it reported through the host in the last attempt, as far as that was kept.
    pub notes: Option<Box<Notes>>,
}

impl std::error::Error for TaskFailure {}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            function,
            failure,
            attempts,
            ..
        } = self;
        write!(f, "`{}`", in_line(function))?;
        if let Some(label) = &self.label {
            write!(f, " ({})", in_line(label))?;
        }
        if let Some(engine) = attempts.last().and_then(|last| last.engine) {
            write!(f, " on engine {engine}")?;
        }
        if attempts.len() > 1 {
            write!(f, ", after {} attempts", attempts.len())?;
        }
        write!(f, ": {}: {}", failure.code, failure.message)
    }
}

/// Several tasks failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CompositeError {
    /// The number of tasks.
    pub tasks: usize,
    /// The number of failed tasks.
    pub failed: usize,
    /// The first failures, with their positions.
    pub first: Vec<(usize, TaskError)>,
}

/// The failures that a composite error shows.
const SHOWN: usize = 4;

impl CompositeError {
    pub(crate) fn new(tasks: usize) -> Self {
        Self {
            tasks,
            failed: 0,
            first: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, index: usize, error: TaskError) {
        self.failed += 1;
        if self.first.len() < SHOWN {
            self.first.push((index, error));
        }
    }

    /// The values, if nothing failed.
    pub(crate) fn or<T>(self, values: Vec<T>) -> Result<Vec<T>, Self> {
        if self.failed == 0 {
            Ok(values)
        } else {
            Err(self)
        }
    }
}

impl std::error::Error for CompositeError {}

impl fmt::Display for CompositeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tasks,
            failed,
            first,
        } = self;
        if *tasks == 1
            && let [(_, error)] = first.as_slice()
        {
            return error.fmt(f);
        }
        write!(f, "{failed} of {tasks} tasks failed")?;
        for (index, error) in first {
            write!(f, "\n  [{index}] {error}")?;
        }
        match failed - first.len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
