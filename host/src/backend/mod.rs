//! A backend: engines, and the way to them. Above it, a job is the same wherever they are.
//!
//! The engines of `local` are threads of this process, those of `nats` belong to other processes, on this machine or
//! others. `merging` takes outcomes from `nats` and merges them on `local`.

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
use crate::placement::{Share, TenantId, TenantLoad};
use rwasm_sandbox::lock::lock;
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What a job needs from the place where its tasks run.
pub(crate) trait Backend: Send + Sync {
    /// Takes a dispatch. Each of its tasks is answered exactly once, whatever happens.
    fn submit(&self, dispatch: Arc<Dispatch>);

    /// Answers the dispatches of `job` that no engine has begun as cancelled.
    fn cancel(&self, job: JobId);

    /// Answers the dispatch as cancelled, if no engine has it yet.
    fn cancel_dispatch(&self, id: DispatchId);

    /// How much work a dispatch should carry, given what handing it over costs.
    fn hand_over(&self) -> HandOver;

    /// The present engines, in the order of their ids.
    fn engines(&self) -> Vec<EngineId>;

    /// The approximate number of engines; costs nothing to ask.
    fn engine_count(&self) -> usize;

    /// Whether any engine takes dispatches that may go to any engine.
    fn is_served(&self) -> bool {
        self.engine_count() > 0
    }

    /// Whether it takes nothing more: it was shut down, or has panicked.
    #[cfg_attr(
        not(feature = "nats"),
        expect(dead_code, reason = "only those who serve a cluster leave it")
    )]
    fn has_ended(&self) -> bool;

    /// Has its thread panic.
    #[cfg(all(test, feature = "nats"))]
    fn break_down(&self) {}

    /// Adds engines, under new ids.
    ///
    /// # Errors
    /// If there would be too many, or the threads cannot be started; none is added then.
    fn add_engines(&self, count: u32) -> Result<Vec<EngineId>, EngineError>;

    /// Removes an engine: it finishes what it runs, and what waits for it alone fails.
    ///
    /// # Errors
    /// If there is no such engine.
    fn remove_engine(&self, engine: EngineId) -> Result<(), EngineError>;

    /// Replaces an engine with a new one under its id: what it has fails as `engine-lost`.
    ///
    /// # Errors
    /// If there is no such engine.
    fn restart_engine(&self, engine: EngineId) -> Result<(), EngineError>;

    /// What waits and runs at this moment.
    fn status(&self) -> QueueStatus;

    /// Sets what a tenant may have of the engines, from now on.
    fn set_share(&self, tenant: TenantId, share: Share) {
        let _ = (tenant, share);
    }

    /// Ends what a tenant has waiting and running, whose account is closed, and lets go of what is kept for it.
    fn close_tenant(&self, tenant: TenantId) {
        let _ = tenant;
    }

    /// What of a tenant waits and runs at this moment, in dispatches.
    fn tenant_status(&self, tenant: TenantId) -> TenantLoad {
        let _ = tenant;
        TenantLoad::default()
    }

    /// Ends the engines: running tasks are stopped, all tasks are answered, every thread is joined.
    fn shutdown(&self);
}

/// Ends the thread of a backend, unless that was done before: `order` tells it to.
fn end(thread: &Mutex<Option<JoinHandle<()>>>, order: impl FnOnce()) {
    let thread = lock(thread).take();
    if let Some(thread) = thread {
        order();
        // Its panic has no one left to be told to.
        let _ = thread.join();
    }
}

/// Why the engines of a cluster could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// There is no such engine.
    #[error("there is no engine {engine}: the engines are {}", ids(.engines))]
    Unknown {
        /// The requested engine.
        engine: EngineId,
        /// The present engines.
        engines: Vec<EngineId>,
    },
    /// The cluster was started with room for fewer engines.
    #[error(
        "cannot add {wanted} engines to the {present} present: the cluster has room for {most}; start it with a higher `max_engines`"
    )]
    TooMany {
        /// How many engines were to be added.
        wanted: u32,
        /// How many engines are present.
        present: u32,
        /// How many engines there may be.
        most: u32,
    },
    /// The thread of an engine cannot be started.
    #[error("cannot start a thread for another engine")]
    Thread(#[source] std::io::Error),
    /// The engines are remote, and join the cluster by themselves.
    #[error(
        "engines cannot be added to a cluster over NATS from here: run `rwasm-cluster engine join URL` on the machine that is to run them"
    )]
    Elsewhere,
    /// The engine's process did not carry out the request.
    #[error("engine {engine}: {reason}")]
    Refused {
        /// The engine.
        engine: EngineId,
        /// The process's answer, or that it did not answer.
        reason: String,
    },
    /// The cluster was shut down.
    #[error("the cluster was shut down")]
    ShutDown,
}

/// Formats engine ids for people: `0, 1, 4`.
pub(crate) fn ids(engines: &[EngineId]) -> String {
    if engines.is_empty() {
        return "none".to_owned();
    }
    let ids: Vec<String> = engines.iter().map(EngineId::to_string).collect();
    ids.join(", ")
}

/// What waits and runs in a cluster at one moment, counted in dispatches, batches of one task or of many small
/// ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatus {
    /// The engines, in the order of their ids.
    pub engines: Vec<EngineStatus>,
    /// Dispatches that wait for any engine, or for any of several.
    pub unassigned: usize,
}

/// What one engine is doing and has done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStatus {
    /// The engine.
    pub engine: EngineId,
    /// Dispatches it has: the one that is running and those behind it.
    pub outstanding: usize,
    /// Dispatches that wait for this engine alone.
    pub queue: usize,
    /// Tasks that it has completed since it was started.
    pub completed: u64,
    /// Worker processes that it has lost since then, if it has a [boundary](crate::Boundary). Those that were ended with a
    /// task that was cancelled or over its time do not count.
    pub workers_lost: u64,
    /// Why it lost the last one.
    pub last_loss: Option<Arc<str>>,
}
