//! What is known of a durable job: the record of it that everyone sees, and what only those who run it may read.

use crate::job::Tolerance;
use crate::nats::index::Round;
use crate::nats::names;
use crate::nats::wire::TasksHead;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far a durable job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DurableState {
    /// It is being stored; its id was not told yet.
    Submitting,
    /// It is stored, and no task of it has an outcome.
    Queued,
    /// Some of its tasks have outcomes, others wait or run.
    Running,
    /// All tasks have outcomes.
    Done,
    /// The same, and more of them failed than it bears. Who may not read outcomes sees it done.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl DurableState {
    /// Its name.
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

/// A durable job, as everyone sees it who may look.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DurableJob {
    /// Its id.
    pub id: String,
    /// What its submission has for itself, and no other of this id has.
    pub(super) mark: String,
    /// How far it is.
    pub state: DurableState,
    /// Whether all that its tasks are is stored, whether or not engines were given all of them.
    #[serde(default)]
    pub(super) is_stored: bool,
    /// Whether not all tasks of its last attempt were given to engines yet.
    #[serde(default)]
    pub(super) is_retrying: bool,
    /// Whether it is a `run` or a `map`.
    pub kind: String,
    /// What its user calls it.
    #[serde(default)]
    pub label: Option<String>,
    /// The module, by its name and its SHA-256.
    pub module: String,
    /// The module's SHA-256.
    pub hash: String,
    /// The function that is mapped; none for the program of a command.
    #[serde(default)]
    pub function: Option<String>,
    /// How the outcomes of a run are merged.
    pub merge: String,
    /// The format in which the command line prints it, where one was asked for.
    #[serde(default)]
    pub format: Option<String>,
    /// How many tasks it has; 0 while that is not known.
    pub tasks: u64,
    /// In how many messages these are.
    pub messages: u64,
    pub(super) submitted_ms: u64,
    /// Attempts after the first.
    #[serde(default)]
    pub(super) rounds: Vec<Round>,
    /// How many failures it bears: `3`, `2%`.
    pub(super) max_failures: String,
    /// The lane, and what goes first there.
    pub lane: String,
    /// What goes first in the lane: above 0, 0, below 0.
    pub priority: i32,
}

/// What has come of a durable job so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobCounts {
    /// Tasks with an outcome.
    pub done: u64,
    /// Those of them that failed.
    pub failed: u64,
}

/// What only those who run a job may read: it may hold what its tasks were granted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// What its tasks have in common; none where it has none.
    pub(super) head: Option<TasksHead>,
    /// A hash of all that its tasks work on.
    pub(super) input: String,
}

impl DurableJob {
    /// When it was submitted.
    #[must_use]
    pub fn submitted(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.submitted_ms)
    }

    /// Which attempt its last tasks are, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.rounds.last().map_or(1, |round| round.attempt)
    }

    /// What it is called in messages, results and objects.
    pub(super) fn name(&self) -> String {
        names::submission(&self.id, &self.mark)
    }

    /// The objects with every message as it was submitted, and with what each of its tasks works on.
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

    /// Whether somebody is giving its tasks to engines, or was interrupted.
    pub(super) fn is_being_given(&self) -> bool {
        self.state == DurableState::Submitting || self.is_retrying
    }

    /// The same, as it is shown: what its record does not say is known by what came of it.
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

/// Now, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or_default()
}
