//! A backend: engines, and the way to them. Above it a job is the same wherever they are.
//!
//! `local` has its engines in threads of this process.

mod local;

pub(crate) use local::Local;

use crate::dispatch::Dispatch;
use crate::ids::{EngineId, JobId};

/// What a job needs of the place where its tasks run.
pub(crate) trait Backend: Send + Sync {
    /// Takes a dispatch. Every one of its tasks is answered, whatever happens.
    fn submit(&self, dispatch: Dispatch);

    /// Answers the dispatches of `job` that no engine has begun as cancelled.
    fn cancel(&self, job: JobId);

    /// The engines there are, in the order of their ids.
    fn engines(&self) -> Vec<EngineId>;

    /// Ends the engines: running tasks are stopped, all are answered, every thread is joined.
    fn shutdown(&self);
}
