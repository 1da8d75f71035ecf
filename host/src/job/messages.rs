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
    /// Its name in the report that comes back.
    pub(crate) id: TaskId,
    /// Which attempt it is, from 1.
    pub(crate) attempt: u32,
    /// What it does.
    pub(crate) work: Work<C, P>,
}

/// One hand-over: many maps in input order, or one reduce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dispatch<C, P> {
    /// The tasks; at least one.
    pub(crate) tasks: Vec<Task<C, P>>,
    /// The engine they must run on; any where there is none.
    pub(crate) target: Option<EngineId>,
}

/// What the machine must know about a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkFacts {
    /// Its bytes, where that is known.
    pub(crate) size: Option<u64>,
    /// The bytes it holds in the host's memory.
    pub(crate) held: u64,
    /// The engine it must run on, where the assignment is fixed.
    pub(crate) target: Option<EngineId>,
}

/// How much input to read now: until either is reached. Nothing where `chunks` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// So many chunks at most.
    pub(crate) chunks: usize,
    /// No further chunk once those read hold so many bytes in memory.
    pub(crate) bytes: u64,
}

/// What came back for one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Finished<P, F> {
    /// The attempt.
    pub(crate) id: TaskId,
    /// What it gave.
    pub(crate) result: Result<P, Failed<F>>,
    /// How long it ran.
    pub(crate) cost: Duration,
    /// The bytes its result holds in memory.
    pub(crate) size: u64,
}

/// Why an attempt gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed<F> {
    /// What to report if it was the last attempt.
    pub(crate) failure: F,
    /// Whether another attempt makes sense.
    pub(crate) retry: Retry,
}

/// Whether another attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It may go better the next time.
    Allowed,
    /// It may go better after a pause.
    After(Duration),
    /// Its engine is gone; where the assignment is fixed, the next of the targets takes over.
    Elsewhere,
    /// It would fail again.
    Never,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the task's outcome.
    Final,
    /// The task runs again.
    Retried,
    /// It no longer matters: the attempt was cancelled, or has been reported before.
    Ignored,
}

/// What the driver is to do.
#[derive(Clone, Debug)]
pub(crate) enum Decision<C, P, F, R> {
    /// Hand these tasks to the backend.
    Dispatch(Dispatch<C, P>),
    /// Deliver this outcome, each once: of an ordered job in input order, of a reduced one never.
    Emit {
        /// The chunk.
        index: ChunkIndex,
        /// What its task gave.
        result: Result<P, F>,
    },
    /// Say [`Machine::resume`](super::Machine::resume) of this task when so much time has passed.
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
    /// The job is over and nothing is under way. The last decision, once.
    Done(Ending<P, F, R>),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending<P, F, R> {
    /// Every chunk has its outcome.
    Complete {
        /// The merged result of a reduced job; none where all its tasks failed, or in an ordered job.
        merged: Option<P>,
        /// The number of chunks.
        chunks: u64,
        /// The first failed tasks in input order, a hundred at most.
        failed: Vec<(ChunkIndex, F)>,
        /// How many failed.
        failures: u64,
    },
    /// More tasks failed than the job bears.
    TaskFailed {
        /// The first task in input order that was one too many.
        index: ChunkIndex,
        /// Why it failed.
        failure: F,
        /// How many were known to have failed.
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
