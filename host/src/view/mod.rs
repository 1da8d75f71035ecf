//! Views: how users address engines, and the jobs and calls made through them.
//!
//! The way of a job: `spec` is what is wanted, `plan` checks it against the module, `driver` runs it on a backend
//! with `reader` feeding it `pieces`, `handle` is what the user holds, and `stats` its figures. The way of a call: a
//! view (`balanced`, `direct`) with its `options` makes a `call`, whose outcome arrives in a `slot`, where a `task`
//! waits for it; the `desk` takes care of calls that wait for others, are retried or have time limits. `core` is what
//! they share.

mod admission;
mod balanced;
mod call;
mod core;
mod desk;
#[cfg(feature = "nats")]
mod detach;
mod direct;
mod driver;
mod ending;
mod errors;
mod events;
mod handle;
mod lines;
mod live;
mod map;
mod namespace;
mod options;
mod pieces;
mod plan;
mod programs;
mod reader;
#[cfg(feature = "history")]
mod recording;
#[cfg(not(feature = "history"))]
#[path = "unrecorded.rs"]
mod recording;
mod run;
mod slot;
mod spec;
mod stats;
mod targets;
mod task;
mod tasks;
mod told;
mod within;

pub use admission::QueueLimits;
pub use balanced::{ApplyError, LoadBalancedView};
pub use core::Shutdown;
pub use direct::{DirectView, Distribution, PushError};
pub use errors::{CompositeError, TaskError, TaskFailure};
pub use handle::{Canceller, Job, JobError, JobProgress, JobResult, ProgressHandle, TaskRecord};
pub use live::{LiveNote, LiveNotes};
pub use map::{Map, Zip, zip};
pub use options::SettingError;
pub use plan::PlanError;
pub use spec::{JobSpec, Merge, ViewKind};
pub use stats::{EngineStats, JobStats};
pub use targets::{EngineRange, TargetError, Targets};
pub use task::{Task, TaskInfo};
pub use tasks::{AsCompleted, Tasks, TasksProgress, as_completed};
pub use told::{ClusterNote, ClusterNotes};

pub(crate) use core::{Core, Workshop};
#[cfg(feature = "nats")]
pub(crate) use detach::{Pack, Packs};
pub(crate) use options::Defaults;
#[cfg(feature = "nats")]
pub(crate) use options::Wishes;
#[cfg(feature = "history")]
pub(crate) use recording::Keeper;

use crate::graph::DependencyError;
use admission::{NoRoom, Permit};
use rwasm_sandbox::input::InputError;
use rwasm_value::value::ArgumentError;

/// Why a job or a call could not be submitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The module cannot be loaded or compiled.
    #[error(transparent)]
    Load(rwasm_sandbox::sandbox::LoadError),
    /// The module does not fit what was requested.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The limits or grants are not valid.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// An input cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The arguments do not fit the function.
    #[error("`{function}`: {error}")]
    Arguments {
        /// The function, as WIT.
        function: Box<str>,
        /// Which argument, what was found and what was expected.
        error: Box<ArgumentError>,
    },
    /// The named engines do not exist.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// A dependency names a job that does not exist.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    /// The queue is full.
    #[error("the queue is full: it holds at most {} calls and {} of arguments", .0.tasks, .0.bytes)]
    QueueFull(QueueLimits),
    /// The arguments are larger than the whole queue.
    #[error("arguments of {} do not fit into the queue of {}", crate::ByteSize::new(*.bytes), .limits.bytes)]
    TooLarge {
        /// The bytes of the arguments.
        bytes: u64,
        /// The queue's limits.
        limits: QueueLimits,
    },
    /// The cluster was shut down.
    #[error("the cluster was shut down")]
    ShutDown,
    /// The job's thread cannot be started.
    #[error("cannot start a thread for the job")]
    Thread(#[source] std::io::Error),
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

impl From<rwasm_sandbox::sandbox::LoadError> for SubmitError {
    fn from(error: rwasm_sandbox::sandbox::LoadError) -> Self {
        match error {
            rwasm_sandbox::sandbox::LoadError::ShutDown { .. } => Self::ShutDown,
            error => Self::Load(error),
        }
    }
}
