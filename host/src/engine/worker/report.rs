//! What the cluster is told of its boundary: once, and not by each worker.

use crate::events::{ClusterEvent, EventSender};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by the engines of a cluster.
pub(crate) struct BoundaryReport {
    events: EventSender,
    /// Whether there was a worker that could run tasks.
    was_ready: AtomicBool,
    has_told: AtomicBool,
}

impl fmt::Debug for BoundaryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundaryReport").finish_non_exhaustive()
    }
}

impl BoundaryReport {
    pub(crate) fn new(events: EventSender) -> Self {
        Self {
            events,
            was_ready: AtomicBool::new(false),
            has_told: AtomicBool::new(false),
        }
    }

    /// A worker can run tasks.
    pub(super) fn ready(&self) {
        self.was_ready.store(true, Ordering::Relaxed);
    }

    /// This machine lacks layers.
    pub(super) fn incomplete(&self, missing: &str) {
        if !self.has_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(missing, "the boundary of tasks lacks layers");
            self.events
                .tell(ClusterEvent::BoundaryIncomplete(missing.into()));
        }
    }

    /// Tasks fail since no worker became ready. Where one did, it is no fault of the machine or the program.
    pub(super) fn unusable(&self, reason: &str) {
        if !self.was_ready.load(Ordering::Relaxed) {
            tracing::error!(reason, "no worker process can run tasks");
            self.events
                .tell(ClusterEvent::BoundaryUnusable(reason.into()));
        }
    }
}
