//! The events of a cluster, for whoever follows them.

use crate::feed::{Missable, Sender, feed};
use rwasm_value::ids::{EngineId, JobId};
use std::sync::Arc;

/// An event of a cluster, from [`Cluster::events`](crate::Cluster::events).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// An engine was added.
    EngineAdded(EngineId),
    /// An engine died or was restarted; the tasks it had fail as `engine-lost`.
    EngineLost {
        /// The engine.
        engine: EngineId,
        /// Why.
        reason: Arc<str>,
    },
    /// A new engine has taken the place of a lost one, under its id.
    EngineReplaced(EngineId),
    /// An engine was removed, and its id with it: no other engine will have it.
    EngineRemoved(EngineId),
    /// A job was submitted: a call, a map, or a run.
    JobSubmitted {
        /// The job.
        job: JobId,
        /// Its label, if it has one.
        label: Option<Arc<str>>,
    },
    /// A job has ended.
    JobEnded {
        /// The job.
        job: JobId,
        /// Whether it succeeded.
        success: bool,
    },
    /// A job is no longer recorded in the history, for this reason. The job continues.
    HistoryLost(Arc<str>),
    /// A remote cluster accepts no tasks at present, for this reason: the server is full, or away. The tasks wait. Emitted
    /// once in a while.
    Stalled(Arc<str>),
    /// This many events were missed, because they were not taken in time.
    Missed(u64),
    /// The cluster was shut down. Always the last event.
    ShutDown,
}

/// The number of events that wait for a subscriber; older ones are dropped.
const WAITING_EVENTS: usize = 1024;

/// Emits events to all subscribers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EventSender(Sender<ClusterEvent>);

impl EventSender {
    pub(crate) fn new() -> Self {
        Self(Sender::new(WAITING_EVENTS))
    }

    /// Whether there is any subscriber.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.is_heard()
    }

    /// Emits an event to all subscribers.
    pub(crate) fn tell(&self, event: ClusterEvent) {
        self.0.send(event);
    }

    pub(crate) fn subscribe(&self) -> ClusterEvents {
        ClusterEvents(self.0.listen())
    }
}

impl Missable for ClusterEvent {
    fn missed(count: u64) -> Self {
        Self::Missed(count)
    }
}

feed! {
    /// The events of a cluster from the moment of subscription: a [`Stream`](futures_core::Stream),
    /// and an iterator that blocks. Ends when the cluster does.
    ClusterEvents(ClusterEvent)
}
