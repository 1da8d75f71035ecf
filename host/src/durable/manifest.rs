//! The record of a durable job that everyone may read, and the plan that only those who run it may read.

use crate::job::Tolerance;
use crate::nats::index::Round;
use crate::nats::names;
use crate::nats::wire::TasksHead;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The state of a durable job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DurableState {
    /// The job is being stored; its id has not been returned yet.
    Submitting,
    /// The job is stored, and none of its tasks has an outcome.
    Queued,
    /// Some tasks have outcomes; others wait or run.
    Running,
    /// All tasks have outcomes.
    Done,
    /// All tasks have outcomes, and more of them failed than the job tolerates. Seen as [`Done`](Self::Done) by keys
    /// that may not read outcomes.
    Failed,
    /// The job was cancelled.
    Cancelled,
}

impl DurableState {
    /// Returns the name that is shown to users, such as `queued`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submitting => "submitting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for DurableState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A durable job, as shown to everyone who may list jobs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DurableJob {
    /// Its id.
    pub id: String,
    /// A mark of this submission, which no other submission under the same id has.
    pub(super) mark: String,
    /// Its state.
    pub state: DurableState,
    /// Whether all of its tasks are stored, whether or not engines have received all of them.
    #[serde(default)]
    pub(super) is_stored: bool,
    /// Whether some tasks of its latest attempt have yet to be given to engines.
    #[serde(default)]
    pub(super) is_retrying: bool,
    /// How many of its tasks failed, once it is recorded as done: nobody has to read the results again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<u64>,
    /// Its kind: `run` or `map`.
    pub kind: String,
    /// Its label, as chosen by its submitter.
    #[serde(default)]
    pub label: Option<String>,
    /// The name of its module, for people.
    pub module: String,
    /// The SHA-256 of its module, in hexadecimal.
    pub hash: String,
    /// The function that is mapped; `None` for a WASI command.
    #[serde(default)]
    pub function: Option<String>,
    /// The merge of a run, by name.
    pub merge: String,
    /// The format in which the command line prints the result, if one was chosen.
    #[serde(default)]
    pub format: Option<String>,
    /// Its number of tasks; 0 while that is unknown.
    pub tasks: u64,
    /// The number of messages that hold these tasks.
    pub messages: u64,
    pub(super) submitted_ms: u64,
    /// Attempts after the first.
    #[serde(default)]
    pub(super) rounds: Vec<Round>,
    /// How many failed tasks it tolerates: `3` or `2%`.
    pub(super) max_failures: String,
    /// The lane whose engines run it.
    pub lane: String,
    /// Its priority within the lane; the server tells only above, equal to and below 0 apart.
    pub priority: i32,
}

/// How many tasks of a durable job have ended so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobCounts {
    /// Tasks with an outcome, failed ones included.
    pub done: u64,
    /// Tasks whose outcome is a failure.
    pub failed: u64,
}

/// What only those who run a job may read, since it may contain what its tasks were granted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// What its tasks have in common; `None` if it has no tasks.
    pub(super) head: Option<TasksHead>,
    /// A hash of everything that its tasks work on.
    pub(super) input: String,
}

impl DurableJob {
    /// Returns when the job was submitted.
    #[must_use]
    pub fn submitted(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.submitted_ms)
    }

    /// Returns the number of its latest attempt, counted from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.rounds.last().map_or(1, |round| round.attempt)
    }

    /// Its name in messages, results and objects.
    pub(super) fn name(&self) -> String {
        names::submission(&self.id, &self.mark)
    }

    /// The object with every message as submitted, and with the input of each task.
    pub(super) fn queue_object(&self) -> String {
        format!("q/{}", self.name())
    }

    pub(super) fn plan_object(&self) -> String {
        format!("p/{}", self.name())
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        // Of strings and numbers, which always can be written.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Whether a submitter is giving its tasks to engines, or was interrupted while doing so.
    pub(super) fn is_being_given(&self) -> bool {
        self.state == DurableState::Submitting || self.is_retrying
    }

    /// Returns the record as shown, with the state that follows from the counts.
    pub(super) fn shown(mut self, counts: JobCounts) -> Self {
        self.state = match self.state {
            DurableState::Queued if counts.done > 0 => DurableState::Running,
            DurableState::Done if counts.failed > self.tolerance().allowed(self.tasks) => {
                DurableState::Failed
            }
            state => state,
        };
        self
    }

    pub(super) fn tolerance(&self) -> Tolerance {
        self.max_failures.parse().unwrap_or_default()
    }
}

/// The current time, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or_default()
}
