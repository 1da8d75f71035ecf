//! Outcomes stored elsewhere, merged here: a job's result can be fetched after its cluster has lost its last engine,
//! and each value travels once.

use super::{Backend, EngineError, Local, Nats, QueueStatus};
use crate::dispatch::Dispatch;
use crate::job::HandOver;
use crate::placement::{Share, Stage, TenantId};
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::sync::Arc;

/// See the [module](self).
pub(crate) struct Merging {
    /// Fetches the outcomes of the tasks.
    stored: Nats,
    /// Runs the merges.
    local: Local,
}

impl Merging {
    pub(crate) fn new(stored: Nats, local: Local) -> Self {
        Self { stored, local }
    }
}

impl Backend for Merging {
    fn submit(&self, dispatch: Arc<Dispatch>) {
        match dispatch.stage {
            Stage::Map => self.stored.submit(dispatch),
            Stage::Reduce => self.local.submit(dispatch),
        }
    }

    fn cancel(&self, job: JobId) {
        self.stored.cancel(job);
        self.local.cancel(job);
    }

    fn cancel_dispatch(&self, id: DispatchId) {
        self.stored.cancel_dispatch(id);
        self.local.cancel_dispatch(id);
    }

    fn hand_over(&self) -> HandOver {
        self.stored.hand_over()
    }

    /// The engines that run its tasks, as seen by those who ask further.
    fn engines(&self) -> Vec<EngineId> {
        self.stored.engines()
    }

    fn engine_count(&self) -> usize {
        self.stored.engine_count().max(self.local.engine_count())
    }

    fn add_engines(&self, count: u32) -> Result<Vec<EngineId>, EngineError> {
        self.stored.add_engines(count)
    }

    fn remove_engine(&self, engine: EngineId) -> Result<(), EngineError> {
        self.stored.remove_engine(engine)
    }

    fn restart_engine(&self, engine: EngineId) -> Result<(), EngineError> {
        self.stored.restart_engine(engine)
    }

    fn has_ended(&self) -> bool {
        self.stored.has_ended() || self.local.has_ended()
    }

    fn status(&self) -> QueueStatus {
        self.stored.status()
    }

    fn set_share(&self, tenant: TenantId, share: Share) {
        self.local.set_share(tenant, share);
    }

    fn close_tenant(&self, tenant: TenantId) {
        self.stored.close_tenant(tenant);
        self.local.close_tenant(tenant);
    }

    fn shutdown(&self) {
        self.stored.shutdown();
        self.local.shutdown();
    }
}
