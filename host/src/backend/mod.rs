//! A backend: engines, and the way to them. Above it a job is the same wherever they are.
//!
//! `local` has its engines in threads of this process, `nats` in other processes, on this machine or others; `merging` has
//! outcomes from the one and merges them on the other.

mod local;
#[cfg(feature = "nats")]
mod merging;
#[cfg(feature = "nats")]
mod nats;
#[cfg(test)]
mod tests;

pub(crate) use local::{Local, LocalSettings};
#[cfg(feature = "nats")]
pub(crate) use merging::Merging;
#[cfg(feature = "nats")]
pub(crate) use nats::{EncodeError, Encoder, Nats, NatsSettings, Recalled};

use crate::dispatch::Dispatch;
use crate::job::HandOver;
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::sync::Arc;

/// What a job needs of the place where its tasks run.
pub(crate) trait Backend: Send + Sync {
    /// Takes a dispatch. Every one of its tasks is answered, whatever happens.
    fn submit(&self, dispatch: Arc<Dispatch>);

    /// Answers the dispatches of `job` that no engine has begun as cancelled.
    fn cancel(&self, job: JobId);

    /// Answers the dispatch as cancelled, if no engine has it yet.
    fn cancel_dispatch(&self, id: DispatchId);

    /// What a dispatch should be worth, since it has to be handed over.
    fn hand_over(&self) -> HandOver;

    /// The engines there are, in the order of their ids.
    fn engines(&self) -> Vec<EngineId>;

    /// How many engines there are, about: costs nothing to ask.
    fn engine_count(&self) -> usize;

    /// Whether an engine takes what is given to any.
    fn is_served(&self) -> bool {
        self.engine_count() > 0
    }

    /// Adds engines, under new ids.
    ///
    /// # Errors
    /// When there may be no more, or the system gives no threads; none is added then.
    fn add_engines(&self, count: u32) -> Result<Vec<EngineId>, EngineError>;

    /// Takes an engine away: what it runs it finishes, what waits for it alone fails.
    ///
    /// # Errors
    /// When there is no such engine.
    fn remove_engine(&self, engine: EngineId) -> Result<(), EngineError>;

    /// Replaces an engine by a new one under its id: what it has fails as `engine-lost`.
    ///
    /// # Errors
    /// When there is no such engine.
    fn restart_engine(&self, engine: EngineId) -> Result<(), EngineError>;

    /// What waits and runs.
    fn status(&self) -> QueueStatus;

    /// Ends the engines: running tasks are stopped, all are answered, every thread is joined.
    fn shutdown(&self);
}

/// Why the engines of a cluster were not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// There is no such engine.
    #[error("there is no engine {engine}: the engines are {}", ids(.engines))]
    Unknown {
        /// The engine that was named.
        engine: EngineId,
        /// The engines there are.
        engines: Vec<EngineId>,
    },
    /// The cluster was started with room for fewer.
    #[error(
        "cannot add {wanted} engines to the {present} present: the cluster has room for {most}; start it with a higher `max_engines`"
    )]
    TooMany {
        /// How many were to be added.
        wanted: u32,
        /// How many there are.
        present: u32,
        /// How many there may be.
        most: u32,
    },
    /// The system does not give the threads.
    #[error("cannot start a thread for another engine")]
    Thread(#[source] std::io::Error),
    /// Its engines are elsewhere, and come by themselves.
    #[error(
        "engines cannot be added to a cluster over NATS from here: run `rwasm-cluster engine join URL` on the machine that is to run them"
    )]
    Elsewhere,
    /// The engine's process did not do it.
    #[error("engine {engine}: {reason}")]
    Refused {
        /// The engine.
        engine: EngineId,
        /// What its process said, or that it said nothing.
        reason: String,
    },
    /// The cluster was shut down.
    #[error("the cluster was shut down")]
    ShutDown,
}

/// Engine ids for people: `0, 1, 4`.
pub(crate) fn ids(engines: &[EngineId]) -> String {
    if engines.is_empty() {
        return "none".to_owned();
    }
    let ids: Vec<String> = engines.iter().map(EngineId::to_string).collect();
    ids.join(", ")
}

/// What waits and runs in a cluster, at one moment. Counted in dispatches: hand-overs of one task
/// or of many small ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatus {
    /// For each engine, in the order of their ids.
    pub engines: Vec<EngineStatus>,
    /// What waits for any engine, or for any of several.
    pub unassigned: usize,
}

/// What one engine has to do and has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStatus {
    /// Which engine.
    pub engine: EngineId,
    /// Dispatches it has: the one that runs, and the next ones.
    pub outstanding: usize,
    /// Dispatches that wait for this engine alone.
    pub queue: usize,
    /// Tasks that it has completed since it was started.
    pub completed: u64,
}
