//! How much may be submitted and not yet done: the bound of the queue, in tasks and in bytes.

use super::tenant::TenantRoom;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// Bytes are counted in pieces of this size, since permits are counted in 32 bits.
const PIECE: u64 = 1024;

/// The room of a cluster's queue. Shared by its views; what each tenant has of it is bounded by its budget.
pub(crate) struct Admission {
    tasks: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    limit: QueueLimits,
}

/// How much may be submitted to a cluster by calls and not yet done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueLimits {
    /// The number of calls.
    pub tasks: u32,
    /// The bytes of their arguments.
    pub bytes: crate::ByteSize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            tasks: 1 << 20,
            bytes: crate::ByteSize::mib(1024),
        }
    }
}

/// A call's room in the queue, given back when it is done.
pub(crate) struct Permit {
    _tasks: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
    /// Its room in the queue of its tenant.
    _tenant: Option<TenantRoom>,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// Not now.
    Full,
    /// Not ever: it is larger than the whole queue.
    TooLarge,
}

impl Admission {
    pub(crate) fn new(limit: QueueLimits) -> Self {
        let pieces = |bytes: u64| {
            usize::try_from(bytes.div_ceil(PIECE))
                .unwrap_or(usize::MAX)
                .clamp(1, u32::MAX as usize)
        };
        Self {
            tasks: Arc::new(Semaphore::new(limit.tasks.max(1) as usize)),
            bytes: Arc::new(Semaphore::new(pieces(limit.bytes.bytes()))),
            limit,
        }
    }

    pub(crate) fn limits(&self) -> QueueLimits {
        self.limit
    }

    /// Room for a call, if there is some now.
    pub(crate) fn try_enter(
        &self,
        bytes: u64,
        tenant: Option<TenantRoom>,
    ) -> Result<Permit, NoRoom> {
        let pieces = self.pieces(bytes)?;
        let full = |_: TryAcquireError| NoRoom::Full;
        Ok(Permit {
            _tasks: Arc::clone(&self.tasks).try_acquire_owned().map_err(full)?,
            _bytes: Arc::clone(&self.bytes)
                .try_acquire_many_owned(pieces)
                .map_err(full)?,
            _tenant: tenant,
        })
    }

    /// Room for a call, as soon as there is some.
    pub(crate) async fn enter(
        &self,
        bytes: u64,
        tenant: Option<TenantRoom>,
    ) -> Result<Permit, NoRoom> {
        let pieces = self.pieces(bytes)?;
        // The semaphores are never closed; a closed one would be full for ever.
        let tasks = Arc::clone(&self.tasks)
            .acquire_owned()
            .await
            .map_err(|_| NoRoom::Full)?;
        let bytes = Arc::clone(&self.bytes)
            .acquire_many_owned(pieces)
            .await
            .map_err(|_| NoRoom::Full)?;
        Ok(Permit {
            _tasks: tasks,
            _bytes: bytes,
            _tenant: tenant,
        })
    }

    fn pieces(&self, bytes: u64) -> Result<u32, NoRoom> {
        if bytes > self.limit.bytes.bytes() {
            return Err(NoRoom::TooLarge);
        }
        u32::try_from(bytes.div_ceil(PIECE)).map_err(|_| NoRoom::TooLarge)
    }
}
