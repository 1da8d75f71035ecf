//! Tenants: whose turn it is by engine time.
//!
//! Start-time fair queueing. Each tenant has a virtual time, the engine time that it has had divided by its weight, and
//! the one with the least is next. A dispatch is charged with the tenant's average when it starts, so that a tenant does
//! not take every engine before the first dispatch ends, and with its measured time when it has ended. A tenant that
//! becomes ready starts at the present virtual time: it has saved up nothing while it was idle, and owes nothing for
//! what it took while nobody else wanted it. Nobody is passed over for an engine that another cannot use.

use super::TenantId;
use super::board::Board;
use super::pool::Pool;
use super::turns::Turns;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Engine time divided by a weight, in nanoseconds times 2^20, so that weights of any size divide it well. 128 bits last
/// longer than any cluster.
pub(super) type VirtualTime = u128;

const SCALE: u32 = 20;

/// What a tenant's first dispatch is taken to need: about the work that one is made to carry.
const FIRST_CHARGE: Duration = Duration::from_millis(2);

/// One part in this many of the average follows the newest dispatch.
const AVERAGED: u64 = 8;

/// What a tenant may have of the engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Its part of the engine time, in proportion to those of the others; 0 counts as 1.
    pub(crate) weight: u32,
    /// The most dispatches that engines have of it at a time; 0 counts as 1.
    pub(crate) running: usize,
    /// The most memory that they may take together, in bytes.
    pub(crate) memory: u64,
}

/// What of a tenant waits and runs at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TenantLoad {
    /// The dispatches that wait.
    pub(crate) waiting: usize,
    /// The dispatches that engines have.
    pub(crate) running: usize,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            weight: 1,
            running: usize::MAX,
            memory: u64::MAX,
        }
    }
}

impl Share {
    fn virtual_time(self, time: u64) -> VirtualTime {
        (VirtualTime::from(time) << SCALE) / VirtualTime::from(self.weight.max(1))
    }
}

/// What a dispatch was charged with when it was given to an engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    tenant: TenantId,
    time: VirtualTime,
    memory: u64,
}

/// One tenant: what it may have, what it has had, and what of it waits.
#[derive(Default)]
pub(super) struct Tenant {
    share: Share,
    time: VirtualTime,
    /// What its dispatches need on average, in nanoseconds, once one has ended.
    average: Option<u64>,
    waiting: usize,
    running: usize,
    memory: u64,
    /// The next order does not fit into its memory until something of it has ended.
    is_held: bool,
    /// Goes when nothing of it runs.
    is_closed: bool,
    /// Its entry among the ready.
    listed: Option<VirtualTime>,
    pub(super) turns: Turns,
    /// Its queues that are open to every engine.
    pub(super) common: Board,
    /// The engines with room on whose boards it has something, by the highest priority there; no pool is empty.
    pub(super) wanted: BTreeMap<Reverse<i32>, Pool>,
}

impl Tenant {
    fn is_ready(&self) -> bool {
        let has_work = self.common.priority().is_some() || !self.wanted.is_empty();
        has_work && !self.is_held && self.running < self.share.running.max(1)
    }

    fn is_gone(&self) -> bool {
        self.is_closed && self.running == 0 && self.waiting == 0
    }
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Tenants {
    all: BTreeMap<TenantId, Tenant>,
    /// Those that have something to run and may run it, the one whose turn it is first.
    ready: BTreeSet<(VirtualTime, TenantId)>,
    /// The present virtual time: the latest at which a dispatch was started.
    now: VirtualTime,
}

impl Tenants {
    pub(super) fn get(&mut self, id: TenantId) -> &mut Tenant {
        self.all.entry(id).or_default()
    }

    /// Returns the tenant that is next; it has something that an engine may take, if any engine has room.
    pub(super) fn first(&self) -> Option<TenantId> {
        self.ready.first().map(|(_, id)| *id)
    }

    /// Returns what of a tenant waits and runs, without a trace if it is not known.
    pub(super) fn load(&self, id: TenantId) -> TenantLoad {
        let load = |tenant: &Tenant| TenantLoad {
            waiting: tenant.waiting,
            running: tenant.running,
        };
        self.all.get(&id).map(load).unwrap_or_default()
    }

    /// Counts an order that came.
    pub(super) fn came(&mut self, id: TenantId) {
        self.get(id).waiting += 1;
    }

    /// Counts an order that waits no longer.
    pub(super) fn left(&mut self, id: TenantId) {
        self.get(id).waiting -= 1;
    }

    pub(super) fn set_share(&mut self, id: TenantId, share: Share) {
        let tenant = self.get(id);
        tenant.share = share;
        tenant.is_held = false;
        self.settle(id);
    }

    /// Forgets the tenant as soon as nothing of it waits or runs.
    pub(super) fn close(&mut self, id: TenantId) {
        if let Some(tenant) = self.all.get_mut(&id) {
            tenant.is_closed = true;
            self.settle(id);
        }
    }

    /// Returns whether a dispatch that may take so much memory can start now; one by itself always can. If not, the
    /// tenant waits until something of it has ended.
    pub(super) fn admits(&mut self, id: TenantId, memory: u64) -> bool {
        let tenant = self.get(id);
        let fits = tenant.memory.saturating_add(memory) <= tenant.share.memory;
        if fits || tenant.running == 0 {
            return true;
        }
        tenant.is_held = true;
        self.settle(id);
        false
    }

    /// Charges a tenant with a dispatch that starts.
    pub(super) fn start(&mut self, id: TenantId, memory: u64) -> Charge {
        let tenant = self.all.entry(id).or_default();
        let first = u64::try_from(FIRST_CHARGE.as_nanos()).unwrap_or(u64::MAX);
        let time = tenant
            .share
            .virtual_time(tenant.average.unwrap_or(first).max(1));
        self.now = self.now.max(tenant.time);
        tenant.time += time;
        tenant.running += 1;
        tenant.memory = tenant.memory.saturating_add(memory);
        self.settle(id);
        Charge {
            tenant: id,
            time,
            memory,
        }
    }

    /// Corrects a charge by the engine time that was measured, if it was.
    pub(super) fn end(&mut self, charge: Charge, spent: Option<Duration>) {
        let Some(tenant) = self.all.get_mut(&charge.tenant) else {
            debug_assert!(false, "{:?} has nothing running", charge.tenant);
            return;
        };
        tenant.running -= 1;
        tenant.memory = tenant.memory.saturating_sub(charge.memory);
        tenant.is_held = false;
        if let Some(spent) = spent {
            let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
            let before = tenant.average.unwrap_or(spent);
            tenant.average = Some(before - before / AVERAGED + spent / AVERAGED);
            let time = tenant.time + tenant.share.virtual_time(spent);
            tenant.time = time.saturating_sub(charge.time);
        }
        self.settle(charge.tenant);
    }

    /// Puts the tenant where it belongs, after anything about it has changed.
    pub(super) fn settle(&mut self, id: TenantId) {
        let Some(tenant) = self.all.get_mut(&id) else {
            return;
        };
        let is_ready = tenant.is_ready();
        if is_ready && tenant.listed.is_none() {
            tenant.time = tenant.time.max(self.now);
        }
        let entry = is_ready.then_some(tenant.time);
        if entry != tenant.listed {
            if let Some(before) = std::mem::replace(&mut tenant.listed, entry) {
                self.ready.remove(&(before, id));
            }
            if let Some(time) = entry {
                self.ready.insert((time, id));
            }
        }
        if tenant.is_gone() {
            self.all.remove(&id);
        }
    }

    /// Whether nothing of any tenant waits or runs.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let is_idle = |tenant: &Tenant| {
            tenant.running == 0
                && tenant.waiting == 0
                && tenant.memory == 0
                && tenant.turns.is_idle()
                && tenant.common.is_empty()
                && tenant.wanted.is_empty()
        };
        self.ready.is_empty() && self.all.values().all(is_idle)
    }

    /// The number of tenants that are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}
