//! Tenants: on whose account tasks run, and how much of the cluster they may have.

use super::namespace::Namespaces;
use crate::account::Account;
use crate::placement::{Share, TenantId};
use rwasm_sandbox::lock::lock;
use rwasm_value::units::ByteSize;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How much of a cluster a [`Tenant`](crate::Tenant) may have. Start from [`Budget::default`], which has no bound, and
/// change what should differ.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Budget, ByteSize, Cluster};
///
/// let cluster = Cluster::builder().engines(2).start()?;
/// let mut budget = Budget::default();
/// budget.weight = 3;
/// budget.queued_tasks = Some(1000);
/// budget.memory = Some(ByteSize::mib(512));
/// let tenant = cluster.tenant("reports");
/// tenant.set_budget(budget);
/// assert_eq!(tenant.budget(), budget);
/// # Ok::<(), rwasm_cluster::StartError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// Its part of the engine time if engines are scarce, in proportion to the weights of the others that want some; 1
    /// by default, and 0 counts as 1. What one does not use goes to the others.
    pub weight: u32,
    /// The most engines that run its tasks at a time, those that wait with an engine under a high
    /// [`hwm`](crate::ClusterBuilder::hwm) included; 0 counts as 1. More tasks wait.
    pub running: Option<usize>,
    /// The number of its calls and jobs that may be submitted and not yet done. A map or run is one, and reads its
    /// input only as far as there is room for its tasks. More calls and jobs are refused.
    pub queued_tasks: Option<u64>,
    /// The bytes of the arguments of those calls. A map or run reads no more of its input than this ahead. More calls
    /// are refused.
    pub queued_bytes: Option<ByteSize>,
    /// The memory that its running tasks may have together, each counted with its [`Limits::memory`]. More tasks wait;
    /// calls and jobs whose tasks may have more than this are refused.
    ///
    /// [`Limits::memory`]: crate::Limits::memory
    pub memory: Option<ByteSize>,
    /// The number of modules that stay ready to run for it; each again for every combination of settings that changes
    /// its code. The least recently used are let go.
    pub modules: Option<usize>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            weight: 1,
            running: None,
            queued_tasks: None,
            queued_bytes: None,
            memory: None,
            modules: None,
        }
    }
}

impl Budget {
    pub(crate) fn share(&self) -> Share {
        Share {
            weight: self.weight,
            running: self.running.unwrap_or(usize::MAX),
            memory: self.memory.map_or(u64::MAX, ByteSize::bytes),
        }
    }
}

/// The part of a [`Budget`] that is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stock {
    /// [`Budget::queued_tasks`].
    QueuedTasks,
    /// [`Budget::queued_bytes`].
    QueuedBytes,
    /// [`Budget::memory`].
    Memory,
}

/// A call or job is refused because its tenant's budget is spent. Other tenants are not concerned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tenant `{tenant}` may have {}{}", Most(*.which, *.most), Later(*.retry_after))]
#[non_exhaustive]
pub struct TenantLimit {
    /// The label of the tenant.
    pub tenant: Arc<str>,
    /// The part of its budget.
    pub which: Stock,
    /// How much it may have, in tasks or bytes.
    pub most: u64,
    /// When there may be room, estimated from how fast its tasks have ended so far; none if there will not be, because
    /// it alone is more than the budget.
    pub retry_after: Option<Duration>,
}

struct Most(Stock, u64);

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Stock::QueuedTasks => write!(f, "{} tasks in the queue", self.1),
            Stock::QueuedBytes => write!(f, "{} of arguments in the queue", ByteSize::new(self.1)),
            Stock::Memory => write!(f, "{} of memory", ByteSize::new(self.1)),
        }
    }
}

struct Later(Option<Duration>);

impl fmt::Display for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(_) => f.write_str(", and has them: try again later"),
            None => f.write_str(", and this alone needs more"),
        }
    }
}

/// What a tenant has in a cluster at one moment, from [`Tenant::status`](crate::Tenant::status).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TenantStatus {
    /// Calls and jobs that were submitted and are not done, and the tasks that jobs have read.
    pub queued_tasks: u64,
    /// The bytes of the arguments of those calls, and what jobs hold of their inputs and outcomes.
    pub queued_bytes: u64,
    /// Dispatches that wait for an engine.
    pub waiting: usize,
    /// Dispatches that engines have.
    pub running: usize,
    /// Modules that are ready to run for it.
    pub modules: usize,
    /// Values that are pushed to engines.
    pub pushed: usize,
}

/// A tenant, as its views and jobs know it.
pub(crate) struct TenantState {
    pub(crate) account: Arc<Account>,
    /// What it has in the queue; not counted for the cluster itself, whose bound is that of all.
    queue: Option<Arc<TenantQueue>>,
    budget: Mutex<Budget>,
    /// What it has pushed to engines.
    pub(crate) pushed: Namespaces,
    begun: Instant,
}

/// What a tenant has in the queue, and may have: looked at for every call, so without a lock.
#[derive(Default)]
pub(crate) struct TenantQueue {
    tasks: AtomicU64,
    bytes: AtomicU64,
    most_tasks: AtomicU64,
    most_bytes: AtomicU64,
    /// What each of its tasks may have at most.
    most_memory: AtomicU64,
}

/// Room in a tenant's queue, given back when it is dropped.
pub(crate) struct TenantRoom {
    queue: Arc<TenantQueue>,
    tasks: u64,
    bytes: u64,
}

impl TenantState {
    /// The cluster itself, which has what is nobody else's.
    pub(crate) fn own() -> Self {
        Self::with(Account::default(), None)
    }

    pub(crate) fn new(id: TenantId, label: Arc<str>) -> Self {
        let queue = TenantQueue::default();
        queue.bound(&Budget::default());
        Self::with(Account::new(id, label), Some(Arc::new(queue)))
    }

    fn with(account: Account, queue: Option<Arc<TenantQueue>>) -> Self {
        Self {
            account: Arc::new(account),
            queue,
            budget: Mutex::default(),
            pushed: Namespaces::default(),
            begun: Instant::now(),
        }
    }

    pub(crate) fn id(&self) -> TenantId {
        self.account.tenant
    }

    pub(crate) fn label(&self) -> &str {
        self.account.label.as_deref().unwrap_or_default()
    }

    pub(crate) fn budget(&self) -> Budget {
        *lock(&self.budget)
    }

    pub(crate) fn set_budget(&self, budget: Budget) {
        *lock(&self.budget) = budget;
        if let Some(queue) = &self.queue {
            queue.bound(&budget);
        }
    }

    /// How many modules stay ready for it; any number for the cluster itself.
    pub(crate) fn most_modules(&self) -> Option<usize> {
        self.queue.as_ref()?;
        self.budget().modules
    }

    /// The tasks and bytes that it has in the queue.
    pub(crate) fn queued(&self) -> (u64, u64) {
        let queued = self.queue.as_ref().map(|queue| {
            let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            (value(&queue.tasks), value(&queue.bytes))
        });
        queued.unwrap_or_default()
    }

    /// Room for one more in its queue; none is needed for the cluster itself.
    pub(crate) fn enter(&self, bytes: u64) -> Result<Option<TenantRoom>, TenantLimit> {
        let Some(queue) = &self.queue else {
            return Ok(None);
        };
        let room = queue.enter(bytes);
        let room = room.map_err(|(which, most)| {
            let is_possible = bytes <= queue.most_bytes.load(Ordering::Relaxed);
            self.limit(which, most, is_possible)
        });
        room.map(Some)
    }

    /// Whether its tasks may have so much memory each.
    pub(crate) fn check_memory(&self, memory: ByteSize) -> Result<(), TenantLimit> {
        let Some(queue) = &self.queue else {
            return Ok(());
        };
        let most = queue.most_memory.load(Ordering::Relaxed);
        if memory.bytes() > most {
            return Err(self.limit(Stock::Memory, most, false));
        }
        Ok(())
    }

    /// What a job of many tasks has in its queue; nothing yet.
    pub(crate) fn job_room(&self) -> Option<TenantRoom> {
        self.queue.as_ref().map(|queue| TenantRoom {
            queue: Arc::clone(queue),
            tasks: 0,
            bytes: 0,
        })
    }

    fn limit(&self, which: Stock, most: u64, is_possible: bool) -> TenantLimit {
        TenantLimit {
            tenant: self.account.label.clone().unwrap_or_default(),
            which,
            most,
            retry_after: is_possible.then(|| self.until_the_next_ends()),
        }
    }

    /// How long it takes on average until one of its tasks ends.
    fn until_the_next_ends(&self) -> Duration {
        const SOONEST: Duration = Duration::from_millis(1);
        const LATEST: Duration = Duration::from_mins(1);
        let ended = u32::try_from(self.account.usage().tasks()).unwrap_or(u32::MAX);
        let each = self.begun.elapsed() / ended.max(1);
        each.clamp(SOONEST, LATEST)
    }
}

impl TenantQueue {
    fn bound(&self, budget: &Budget) {
        let tasks = budget.queued_tasks.unwrap_or(u64::MAX);
        let bytes = budget.queued_bytes.map_or(u64::MAX, ByteSize::bytes);
        self.most_tasks.store(tasks, Ordering::Relaxed);
        self.most_bytes.store(bytes, Ordering::Relaxed);
        let memory = budget.memory.map_or(u64::MAX, ByteSize::bytes);
        self.most_memory.store(memory, Ordering::Relaxed);
    }

    fn enter(self: &Arc<Self>, bytes: u64) -> Result<TenantRoom, (Stock, u64)> {
        let add = |counter: &AtomicU64, more: u64, most: &AtomicU64, stock| {
            let most = most.load(Ordering::Relaxed);
            let add = |has: u64| has.checked_add(more).filter(|has| *has <= most);
            let added = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
            added.map(drop).map_err(|_| (stock, most))
        };
        add(&self.tasks, 1, &self.most_tasks, Stock::QueuedTasks)?;
        let mut room = TenantRoom {
            queue: Arc::clone(self),
            tasks: 1,
            bytes: 0,
        };
        add(&self.bytes, bytes, &self.most_bytes, Stock::QueuedBytes)?;
        room.bytes = bytes;
        Ok(room)
    }
}

impl TenantRoom {
    /// Sets what a job has now.
    pub(crate) fn set(&mut self, tasks: u64, bytes: u64) {
        change(&self.queue.tasks, self.tasks, tasks);
        change(&self.queue.bytes, self.bytes, bytes);
        (self.tasks, self.bytes) = (tasks, bytes);
    }

    /// How many more tasks and bytes the job may take in: at least one task if it has none, so that it goes on.
    pub(crate) fn left(&self) -> (usize, u64) {
        let left = |most: &AtomicU64, has: &AtomicU64| {
            let most = most.load(Ordering::Relaxed);
            most.saturating_sub(has.load(Ordering::Relaxed))
        };
        let tasks = left(&self.queue.most_tasks, &self.queue.tasks);
        let bytes = left(&self.queue.most_bytes, &self.queue.bytes);
        let least = u64::from(self.tasks == 0);
        (
            usize::try_from(tasks.max(least)).unwrap_or(usize::MAX),
            bytes.max(least),
        )
    }
}

impl Drop for TenantRoom {
    fn drop(&mut self) {
        self.set(0, 0);
    }
}

/// Makes a part of what a counter counts another one.
fn change(counter: &AtomicU64, before: u64, after: u64) {
    if after > before {
        counter.fetch_add(after - before, Ordering::Relaxed);
    } else if before > after {
        counter.fetch_sub(before - after, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(tasks: u64, bytes: u64) -> TenantState {
        let tenant = TenantState::new(TenantId(1), "one".into());
        tenant.set_budget(Budget {
            queued_tasks: Some(tasks),
            queued_bytes: Some(ByteSize::new(bytes)),
            ..Budget::default()
        });
        tenant
    }

    #[test]
    fn what_is_refused_takes_no_room() {
        let tenant = tenant(2, 10);
        let first = tenant.enter(8).unwrap();
        let refused = tenant.enter(3).err().unwrap();
        assert_eq!((refused.which, refused.most), (Stock::QueuedBytes, 10));
        assert!(refused.retry_after.is_some());
        assert_eq!(tenant.queued(), (1, 8));
        let second = tenant.enter(2).unwrap();
        let refused = tenant.enter(0).err().unwrap();
        assert_eq!((refused.which, refused.most), (Stock::QueuedTasks, 2));
        drop(first);
        assert_eq!(tenant.queued(), (1, 2));
        let never = tenant.enter(11).err().unwrap();
        assert_eq!((never.which, never.retry_after), (Stock::QueuedBytes, None));
        drop(second);
        assert_eq!(tenant.queued(), (0, 0));
    }

    #[test]
    fn a_job_goes_on_with_one_task_however_full_the_queue_is() {
        let tenant = tenant(5, 100);
        let mut one = tenant.job_room().unwrap();
        let mut other = tenant.job_room().unwrap();
        assert_eq!(one.left(), (5, 100));
        one.set(5, 100);
        assert_eq!(other.left(), (1, 1));
        other.set(1, 50);
        assert_eq!(other.left(), (0, 0));
        one.set(2, 20);
        assert_eq!(other.left(), (2, 30));
        drop(one);
        assert_eq!(tenant.queued(), (1, 50));
        drop(other);
        assert_eq!(tenant.queued(), (0, 0));
    }
}
