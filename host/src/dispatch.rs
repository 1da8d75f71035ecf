//! One hand-over of tasks to an engine, and what comes back for it.
//!
//! A dispatch is made by a job, placed by a backend and run by an engine, which answers the job
//! directly. Each of its tasks is answered exactly once by whoever holds it then.

use crate::cancel::Cancel;
use crate::ids::{DispatchId, EngineId, JobId};
use crate::outcome::{Failure, FailureCode, Outcome, Usage};
use crate::sandbox::{Arguments, Callee, Program, Setting};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// How long an instance of a module lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reuse {
    /// A fresh instance for every task.
    #[default]
    None,
    /// One instance for the tasks of a dispatch.
    Dispatch,
    /// One instance for each engine, for the tasks of one job; its state lives between them.
    Engine,
}

/// One hand-over of tasks.
pub(crate) struct Dispatch {
    pub(crate) id: DispatchId,
    pub(crate) job: JobId,
    /// The engine it must run on; any where there is none.
    pub(crate) target: Option<EngineId>,
    /// Whether it merges results, which goes before making more of them.
    pub(crate) is_merge: bool,
    pub(crate) program: Arc<Program>,
    pub(crate) setting: Arc<Setting>,
    pub(crate) reuse: Reuse,
    pub(crate) callee: Callee,
    pub(crate) tasks: Vec<DispatchedTask>,
    pub(crate) queued: SystemTime,
    pub(crate) cancel: Cancel,
    pub(crate) reply: Arc<dyn Reply>,
    /// How many of the tasks have been answered, so that a lost engine's rest is known.
    pub(crate) answered: AtomicUsize,
}

/// One task of a dispatch.
pub(crate) struct DispatchedTask {
    pub(crate) arguments: Arguments,
    /// Which run of it this is, from 1.
    pub(crate) attempt: u32,
}

/// What came back for consecutive tasks of a dispatch.
pub(crate) struct Answer {
    pub(crate) dispatch: DispatchId,
    /// The place of the first in the dispatch.
    pub(crate) first: usize,
    pub(crate) outcomes: Vec<Outcome>,
}

/// Where a dispatch's outcomes go.
pub(crate) trait Reply: Send + Sync {
    /// Delivers outcomes; one who no longer listens loses them.
    fn answer(&self, answer: Answer);
}

/// A dispatch that is let go, by a backend that ends say, is answered all the same.
impl Drop for Dispatch {
    fn drop(&mut self) {
        let engine = self.target.unwrap_or(EngineId(0));
        self.fail_rest(engine, FailureCode::Cancelled, "the cluster was shut down");
    }
}

impl Dispatch {
    /// Answers the next tasks, in their order.
    pub(crate) fn answer(&self, outcomes: Vec<Outcome>) {
        let first = self.answered.fetch_add(outcomes.len(), Ordering::AcqRel);
        self.reply.answer(Answer {
            dispatch: self.id,
            first,
            outcomes,
        });
    }

    /// Answers all tasks that have none yet with the same failure.
    pub(crate) fn fail_rest(&self, engine: EngineId, code: FailureCode, message: &str) {
        let answered = self.answered.load(Ordering::Acquire);
        let outcomes: Vec<Outcome> = self.tasks[answered..]
            .iter()
            .map(|task| Outcome {
                result: Err(Failure::new(code, message)),
                usage: Usage {
                    engine,
                    attempt: task.attempt,
                    queued: self.queued,
                    started: SystemTime::now(),
                    run_time: Duration::ZERO,
                    peak_memory: 0,
                    bytes_in: 0,
                    bytes_out: 0,
                    fuel: None,
                    logs: None,
                },
            })
            .collect();
        if !outcomes.is_empty() {
            self.answer(outcomes);
        }
    }
}
