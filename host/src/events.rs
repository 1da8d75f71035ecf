//! What happens to a cluster, for whoever wants to follow it.

use crate::feed::{Feed, Missable, feed};
use rwasm_value::ids::{EngineId, JobId};
use std::sync::Arc;
use tokio::sync::broadcast;

/// Something that happened to a cluster, as [`Cluster::events`](crate::Cluster::events) tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// There is another engine.
    EngineAdded(EngineId),
    /// An engine died, or was restarted; what it had fails as `engine-lost`.
    EngineLost {
        /// Which.
        engine: EngineId,
        /// How.
        reason: Arc<str>,
    },
    /// A new engine stands in the place of one that was lost, under its id.
    EngineReplaced(EngineId),
    /// An engine has gone, and its id with it: no other will have it.
    EngineRemoved(EngineId),
    /// A job was submitted: a call, a map, or a run.
    JobSubmitted {
        /// Which.
        job: JobId,
        /// What its user calls it.
        label: Option<Arc<str>>,
    },
    /// A job has ended.
    JobEnded {
        /// Which.
        job: JobId,
        /// Whether it gave its result.
        success: bool,
    },
    /// A job is no longer recorded in the history, for this reason. It goes on.
    HistoryLost(Arc<str>),
    /// Tasks are not taken now where engines are elsewhere, for this reason: the server is full, or away. They wait. Told once in
    /// a while.
    Stalled(Arc<str>),
    /// So many events were missed, since they were not taken in time.
    Missed(u64),
    /// The cluster was shut down. The last event.
    ShutDown,
}

/// Events that wait for a subscriber; older ones are dropped.
const WAITING_EVENTS: usize = 1024;

/// Where events are told. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EventSender(broadcast::Sender<ClusterEvent>);

impl EventSender {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(WAITING_EVENTS))
    }

    /// Whether anyone listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Tells everyone who listens.
    pub(crate) fn tell(&self, event: ClusterEvent) {
        if self.is_heard() {
            // They may have gone meanwhile.
            let _ = self.0.send(event);
        }
    }

    pub(crate) fn subscribe(&self) -> ClusterEvents {
        ClusterEvents(Feed::new(self.0.subscribe()))
    }
}

impl Missable for ClusterEvent {
    fn missed(count: u64) -> Self {
        Self::Missed(count)
    }
}

feed! {
    /// The events of a cluster from the moment of subscription: a [`Stream`](futures_core::Stream),
    /// and an iterator that waits. It ends when the cluster does.
    ClusterEvents(ClusterEvent)
}
