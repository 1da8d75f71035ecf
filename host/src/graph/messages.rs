//! What goes into the machine and what comes out.

use super::dependency::Dependency;
use super::retry::Retry;
use crate::placement::Eligible;
use rwasm_value::ids::{EngineId, JobId};
use std::time::Duration;

/// The conditions under which a task runs.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Dependencies that must all be met before it starts.
    pub(crate) after: Vec<Dependency>,
    /// The same; it also runs on an engine where the jobs that met them ran.
    pub(crate) follow: Vec<Dependency>,
    /// The engines it may run on.
    pub(crate) eligible: Eligible,
    /// Which of its failures are retried.
    pub(crate) retry: Retry,
    /// How long each attempt may wait for an engine, from when it could start.
    pub(crate) queue_time: Option<Duration>,
    /// How long the whole task may take from its submission.
    pub(crate) deadline: Option<Duration>,
}

/// The state of a job named by a dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It has no outcome yet.
    Pending,
    /// It has an outcome.
    Ended(Ended),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Whether it succeeded.
    pub(crate) success: bool,
    /// Where it ran: one engine for a task, none if it never started.
    pub(crate) engines: Vec<EngineId>,
}

/// What the host is to do.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    /// Call `ended` when this job ends, or now if it has. Sent once for as long as anyone waits for it.
    Watch(JobId),
    /// Hand this attempt to the backend.
    Start {
        /// The task.
        job: JobId,
        /// Which attempt it is, from 1.
        attempt: u32,
        /// The engines it may run on.
        eligible: Eligible,
    },
    /// Its time in the queue is over: withdraw it if it has not begun, and answer with `expired` or `began`.
    Expire {
        /// The task.
        job: JobId,
        /// The attempt.
        attempt: u32,
    },
    /// Stop this attempt wherever it is. Its report will be ignored.
    Stop {
        /// The task.
        job: JobId,
        /// The attempt.
        attempt: u32,
    },
    /// The task's one outcome. The machine has forgotten it.
    Resolve {
        /// The task.
        job: JobId,
        /// What its outcome is.
        how: Resolution,
    },
}

/// Where the outcome of a task comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// The last report is the outcome.
    Reported,
    /// It can never start. The sentence names the dependency and what became of it.
    DependencyFailed(String),
    /// It was cancelled, or the machine was shut down.
    Cancelled,
    /// It waited longer than this for an engine.
    QueueTimeout(Duration),
    /// The whole task took longer than this.
    Deadline(Duration),
}
