//! What observes a cluster: told of tasks as they are submitted, begin and end, of jobs, and of what happens to engines.
//!
//! This is the one place from which traces, metrics and pages get what they show. Without an observer nothing of it is
//! made: no list, no text, and no look at the clock. An observer is called on the thread on which something happens, an
//! engine's mostly, so it must be quick and must not wait for the cluster.

mod board;
mod histogram;
#[cfg(feature = "metrics")]
mod metrics;
mod trace;

pub use board::Board;
pub use histogram::Histogram;
#[cfg(any(feature = "dashboard", feature = "nats"))]
pub(crate) use metrics::CONTENT_TYPE as METRICS_TYPE;
#[cfg(feature = "metrics")]
pub use metrics::Metrics;
pub use trace::{Trace, TraceError, TraceSummary};

use crate::events::ClusterEvent;
use rwasm_sandbox::outcome::Outcome;
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Follows what happens in a cluster: see [`ClusterBuilder::observe`](crate::ClusterBuilder::observe).
///
/// Its methods are called on the threads of the cluster, and hold them up for as long as they take.
pub trait Observer: Send + Sync + 'static {
    /// The cluster has started, and can be asked for its engines.
    #[doc(hidden)]
    fn started(&self, presence: &Presence) {
        let _ = presence;
    }

    /// Tasks were submitted to the engines, and wait.
    fn submitted(&self, tasks: &ObservedTasks<'_>) {
        let _ = tasks;
    }

    /// An engine of this process has begun the tasks of a dispatch. Nothing is heard of it from engines elsewhere.
    fn begun(&self, tasks: &ObservedTasks<'_>) {
        let _ = tasks;
    }

    /// Tasks have ended, well or not.
    fn ended(&self, tasks: &ObservedTasks<'_>, ended: &[EndedTask<'_>]) {
        let _ = (tasks, ended);
    }

    /// Results were merged in this process, without a task.
    fn merged(&self, merge: &ObservedMerge<'_>) {
        let _ = merge;
    }

    /// A module was made ready.
    fn prepared(&self, module: &PreparedModule<'_>) {
        let _ = module;
    }

    /// A job was submitted. Its first tasks may have been observed before.
    fn job_submitted(&self, job: &ObservedJob<'_>) {
        let _ = job;
    }

    /// A job has ended.
    fn job_ended(&self, job: &EndedJob) {
        let _ = job;
    }

    /// Something happened to the cluster.
    fn event(&self, event: &ClusterEvent) {
        let _ = event;
    }

    /// Whether it wants to know how long the [phases](crate::Phases) of tasks took, which costs each task a few looks at the
    /// clock.
    fn wants_phases(&self) -> bool {
        false
    }
}

/// Says which engines a cluster has as long as it is there, and how many dispatches each has.
#[doc(hidden)]
#[derive(Clone)]
pub struct Presence(pub(crate) Arc<dyn Fn() -> Vec<(EngineId, usize)> + Send + Sync>);

/// Tasks that travel together, as a dispatch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ObservedTasks<'a> {
    /// The dispatch.
    pub dispatch: DispatchId,
    /// Their job; none of calls, whose jobs have one task each.
    pub job: Option<JobId>,
    /// The label of their tenant, if they belong to one.
    pub tenant: Option<&'a Arc<str>>,
    /// The name of their module.
    pub module: &'a str,
    /// The function that they call; `_start` of a command.
    pub function: &'a str,
    /// The number of tasks of the dispatch.
    pub count: usize,
    /// Whether they merge results.
    pub is_merge: bool,
    /// Whether their results are to be merged.
    pub is_merged: bool,
    /// The tasks whose results they merge, as far as tasks made them.
    pub parts: &'a [TaskRef],
    /// When they were submitted.
    pub queued: SystemTime,
    /// Whether an engine of this process has begun them.
    pub has_begun: bool,
}

/// One run of a task, as its dispatch and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRef {
    /// The dispatch.
    pub dispatch: DispatchId,
    /// The place of the task in it, from 0.
    pub place: u32,
}

/// A task that has ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EndedTask<'a> {
    /// Its place in its dispatch.
    pub place: u32,
    /// Its index in its job.
    pub index: u64,
    /// Its value or failure, and what it used.
    pub outcome: &'a Outcome,
}

/// Results that were merged in this process, without a task.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ObservedMerge<'a> {
    /// The job.
    pub job: JobId,
    /// When it was begun.
    pub started: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// The tasks whose results were merged.
    pub parts: &'a [TaskRef],
}

/// A module that was made ready to run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PreparedModule<'a> {
    /// Its name.
    pub module: &'a str,
    /// How long that took.
    pub took: Duration,
    /// Whether its code was in the cache.
    pub was_cached: bool,
}

/// What kind of job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObservedKind {
    /// One call of a function.
    Call,
    /// A function called on each of many argument lists.
    Map,
    /// A function mapped over chunks.
    Run,
}

impl ObservedKind {
    /// Returns its name: `call`, `map` or `run`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Map => "map",
            Self::Run => "run",
        }
    }
}

/// A job that was submitted.
#[derive(Clone)]
#[non_exhaustive]
pub struct ObservedJob<'a> {
    /// The job.
    pub job: JobId,
    /// What kind it is.
    pub kind: ObservedKind,
    /// Its label, if it has one.
    pub label: Option<&'a Arc<str>>,
    /// The label of its tenant, if it belongs to one.
    pub tenant: Option<&'a Arc<str>>,
    /// The name of its module.
    pub module: &'a str,
    /// The function that it calls.
    pub function: &'a str,
    /// How far it is; none of a call.
    pub(crate) progress: Option<Arc<dyn Advancing>>,
}

/// A job that has ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EndedJob {
    /// The job.
    pub job: JobId,
    /// Whether it succeeded.
    pub success: bool,
    /// The time from its start to its end.
    pub wall_time: Duration,
}

/// Something that can say how far it is.
pub(crate) trait Advancing: Send + Sync {
    /// How far it is.
    fn now(&self) -> Advance;
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Advance {
    /// Tasks that have their outcome.
    pub(crate) done: u64,
    /// All tasks; none while that is not known.
    pub(crate) total: Option<u64>,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_total: Option<u64>,
}

/// The observers of a cluster, which are told one after the other.
#[derive(Clone, Default)]
pub(crate) struct Observers(Vec<Arc<dyn Observer>>);

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} observers", self.0.len())
    }
}

impl Observers {
    pub(crate) fn add(&mut self, observer: Arc<dyn Observer>) {
        self.0.push(observer);
    }

    /// All of them as one; none if there are none.
    pub(crate) fn all(mut self) -> Option<Arc<dyn Observer>> {
        match self.0.len() {
            0 => None,
            1 => self.0.pop(),
            _ => Some(Arc::new(self)),
        }
    }
}

impl Observer for Observers {
    fn started(&self, presence: &Presence) {
        self.0.iter().for_each(|one| one.started(presence));
    }

    fn submitted(&self, tasks: &ObservedTasks<'_>) {
        self.0.iter().for_each(|one| one.submitted(tasks));
    }

    fn begun(&self, tasks: &ObservedTasks<'_>) {
        self.0.iter().for_each(|one| one.begun(tasks));
    }

    fn ended(&self, tasks: &ObservedTasks<'_>, ended: &[EndedTask<'_>]) {
        self.0.iter().for_each(|one| one.ended(tasks, ended));
    }

    fn merged(&self, merge: &ObservedMerge<'_>) {
        self.0.iter().for_each(|one| one.merged(merge));
    }

    fn prepared(&self, module: &PreparedModule<'_>) {
        self.0.iter().for_each(|one| one.prepared(module));
    }

    fn job_submitted(&self, job: &ObservedJob<'_>) {
        self.0.iter().for_each(|one| one.job_submitted(job));
    }

    fn job_ended(&self, job: &EndedJob) {
        self.0.iter().for_each(|one| one.job_ended(job));
    }

    fn event(&self, event: &ClusterEvent) {
        self.0.iter().for_each(|one| one.event(event));
    }

    fn wants_phases(&self) -> bool {
        self.0.iter().any(|one| one.wants_phases())
    }
}

/// The beginning of a text of anybody's, of so many bytes at most: what is kept of it, and told apart.
fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// The memory that this process has, if the system says.
fn resident_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
