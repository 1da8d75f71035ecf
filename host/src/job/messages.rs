//! What goes into a job's machine and what comes out.

use super::table::TaskId;
use crate::merge::tree::Node;
use rwasm_value::ids::{ChunkIndex, EngineId};
use std::time::Duration;

/// What a task does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work<C, P> {
    /// Runs the mapper on a chunk.
    Map(ChunkIndex, C),
    /// Runs the reducer on these parts.
    Reduce(Node, Vec<P>),
}

/// One attempt at one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task<C, P> {
    /// Its id in the report that comes back.
    pub(crate) id: TaskId,
    /// Which attempt it is, from 1.
    pub(crate) attempt: u32,
    /// What it does.
    pub(crate) work: Work<C, P>,
}

/// What is handed over at once: several maps in input order, or one reduce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandedOver<C, P> {
    /// The tasks; at least one.
    pub(crate) tasks: Vec<Task<C, P>>,
    /// The engine they must run on; `None` for any.
    pub(crate) target: Option<EngineId>,
}

/// What the machine must know about a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkFacts {
    /// Its size in bytes, if known.
    pub(crate) size: Option<u64>,
    /// The bytes it holds in the host's memory.
    pub(crate) held: u64,
    /// The engine it must run on, if the assignment is fixed.
    pub(crate) target: Option<EngineId>,
}

/// How much input to read now: until either number is reached. Nothing if `chunks` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadRequest {
    /// The most chunks.
    pub(crate) chunks: usize,
    /// The bytes in memory at which to stop.
    pub(crate) bytes: u64,
}

/// The report of one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Finished<P, F> {
    /// The attempt.
    pub(crate) id: TaskId,
    /// Its result.
    pub(crate) result: Result<P, Failed<F>>,
    /// How long it ran.
    pub(crate) cost: Duration,
    /// The bytes that its result holds in memory.
    pub(crate) size: u64,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed<F> {
    /// The failure to report if this was the last attempt.
    pub(crate) failure: F,
    /// Whether another attempt makes sense.
    pub(crate) retry: Retry,
}

/// Whether another attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Another attempt may succeed.
    Allowed,
    /// Another attempt may succeed after a pause.
    After(Duration),
    /// Its engine is gone; if the assignment is fixed, the next of the targets takes over.
    Elsewhere,
    /// It would fail again.
    Never,
}

/// What became of the report of an attempt. The graph uses it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportFate {
    /// It is the task's outcome.
    Final,
    /// The task runs again.
    Retried,
    /// It no longer matters: the attempt was cancelled or has been reported before, or the task has another outcome.
    Ignored,
}

/// What the driver is to do.
#[derive(Clone, Debug)]
pub(crate) enum Decision<C, P, F, R> {
    /// Hand these tasks to the backend.
    Dispatch(HandedOver<C, P>),
    /// Deliver this outcome, each once: in input order in an ordered job, never in a reduced one.
    Emit {
        /// The chunk.
        index: ChunkIndex,
        /// Its outcome.
        result: Result<P, F>,
    },
    /// Call [`Machine::resume`](super::Machine::resume) for this task after the pause.
    Later {
        /// The attempt that failed.
        id: TaskId,
        /// The pause before the next.
        pause: Duration,
    },
    /// Stop these tasks; each must still be reported.
    CancelTasks(Vec<TaskId>),
    /// Stop every task under way; each must still be reported.
    Cancel,
    /// The job is over and nothing is under way. The last decision, sent once.
    Done(Ending<P, F, R>),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending<P, F, R> {
    /// Every chunk has its outcome.
    Complete {
        /// The merged result of a reduced job; `None` if all its tasks failed, or in an ordered job.
        merged: Option<P>,
        /// The number of chunks.
        chunks: u64,
        /// The first failed tasks in input order, a hundred at most.
        failed: Vec<(ChunkIndex, F)>,
        /// The number of failed tasks.
        failures: u64,
    },
    /// More tasks failed than the job tolerates.
    TaskFailed {
        /// The first task in input order that was one too many.
        index: ChunkIndex,
        /// Why it failed.
        failure: F,
        /// The number of known failures.
        failures: u64,
    },
    /// A call of the reducer failed.
    MergeFailed {
        /// Why.
        failure: F,
    },
    /// It was stopped, or its input broke off.
    Stopped(R),
}
