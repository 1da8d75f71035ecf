//! The events of a cluster, for whoever follows them.

use crate::feed::{Missable, Sender, feed};
use crate::observe::Observer;
use rwasm_sandbox::outcome::Usage;
use rwasm_value::ids::{EngineId, JobId};
use std::sync::Arc;
use std::time::Duration;

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
    /// An engine has lost a worker process, in which its tasks run behind a [boundary](crate::Boundary); it goes on with
    /// another. At most the task that ran fails, as its outcome says.
    WorkerLost {
        /// The engine.
        engine: EngineId,
        /// Why.
        reason: Arc<str>,
    },
    /// This machine does not give all layers of the [boundary](crate::Boundary): those that are missing, in full or in part, and
    /// why. Tasks run without them. Emitted once, before the first task.
    BoundaryIncomplete(Arc<str>),
    /// No worker process became ready to run tasks behind the [boundary](crate::Boundary), for this reason; tasks fail as
    /// `engine-lost`.
    BoundaryUnusable(Arc<str>),
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
        /// The label of its tenant, if it belongs to one.
        tenant: Option<Arc<str>>,
    },
    /// A job has ended.
    JobEnded {
        /// The job.
        job: JobId,
        /// Whether it succeeded.
        success: bool,
        /// What its tasks have used.
        usage: JobUsage,
    },
    /// A job is no longer recorded in the history, for this reason. The job continues.
    HistoryLost(Arc<str>),
    /// A remote cluster accepts no tasks at present, for this reason: the server is full, or away. The tasks wait. Emitted
    /// once in a while.
    Stalled(Arc<str>),
    /// A remote engine has a module compiled, for which tasks of this process wait. Emitted once in a while.
    Compiling {
        /// The module's name.
        module: Arc<str>,
        /// How many modules that engine's process has compiled before this one.
        before: u32,
    },
    /// The server of a remote cluster rejects the key that it accepted before. Tasks wait until it accepts it again.
    /// Emitted once in a while.
    Rejected {
        /// The server's URL.
        url: Arc<str>,
        /// The key, such as `the client key`.
        who: Arc<str>,
    },
    /// This many events were missed, because they were not taken in time.
    Missed(u64),
    /// The cluster was shut down. Always the last event.
    ShutDown,
}

/// What the tasks of a job have used together, those of a merge included. Of a call it is the last attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobUsage {
    /// The number of tasks that ran.
    pub tasks: u64,
    /// How long they ran, including instantiation.
    pub run_time: Duration,
    /// The largest memory of any of them, in bytes.
    pub peak_memory: u64,
    /// The bytes of their inputs.
    pub bytes_in: u64,
    /// The bytes of their results.
    pub bytes_out: u64,
    /// The fuel of those for which it is counted.
    pub fuel: u64,
}

impl JobUsage {
    /// What one task has used.
    pub(crate) fn of(usage: &Usage) -> Self {
        let mut all = Self::default();
        if usage.run_time > Duration::ZERO {
            all.add(usage);
        }
        all
    }

    /// Adds a task that has run.
    pub(crate) fn add(&mut self, usage: &Usage) {
        self.tasks += 1;
        self.run_time += usage.run_time;
        self.peak_memory = self.peak_memory.max(usage.peak_memory);
        self.bytes_in += usage.bytes_in;
        self.bytes_out += usage.bytes_out;
        self.fuel += usage.fuel.unwrap_or(0);
    }
}

/// The number of events that wait for a subscriber; older ones are dropped.
const WAITING_EVENTS: usize = 1024;

/// Emits events to all subscribers, and to whoever observes the cluster. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EventSender {
    sender: Sender<ClusterEvent>,
    observer: Option<Arc<dyn Observer>>,
}

impl EventSender {
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self {
            sender: Sender::new(WAITING_EVENTS),
            observer,
        }
    }

    /// Whether there is any subscriber.
    pub(crate) fn is_heard(&self) -> bool {
        self.sender.is_heard()
    }

    /// Who observes the cluster.
    pub(crate) fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.observer.as_ref()
    }

    /// Emits an event to all subscribers.
    pub(crate) fn tell(&self, event: ClusterEvent) {
        if let Some(observer) = &self.observer {
            observer.event(&event);
        }
        self.sender.send(event);
    }

    pub(crate) fn subscribe(&self) -> ClusterEvents {
        ClusterEvents(self.sender.listen())
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
