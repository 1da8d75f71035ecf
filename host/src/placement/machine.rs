//! The machine of placement: events in as methods, decisions out of [`Machine::next`].
//!
//! Each submitted order comes out exactly once: assigned, rejected, or dropped by a cancel. An assigned order stays
//! with its engine until it is reported finished, or until the engine is lost or gone, which returns it. Whether it
//! is tried again is the job's decision.

use super::TenantId;
use super::board::Board;
use super::count_step;
use super::order::{Decision, Eligible, Order};
use super::policy::Policy;
use super::pool::{Load, Pool};
use super::queues::{QueueKey, Queues, Removed, Takers};
use super::tenants::{Charge, Share, Tenant, TenantLoad, Tenants};
use fastrand::Rng;
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// The engines that are not gone, by id.
    pub(crate) engines: Vec<EngineStatus>,
    /// The number of waiting orders that are not for one engine only.
    pub(crate) unassigned: usize,
}

/// The orders of one engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EngineStatus {
    /// The engine.
    pub(crate) id: EngineId,
    /// The orders that it was given and has not finished, by id.
    pub(crate) outstanding: Vec<DispatchId>,
    /// The number of orders that wait for it alone.
    pub(crate) waiting: usize,
}

/// See the [module](self).
pub(crate) struct Machine {
    policy: Policy,
    /// The most dispatches of an engine at a time.
    hwm: usize,
    rng: Rng,
    engines: BTreeMap<EngineId, Engine>,
    /// The engines with room for more.
    free: Pool,
    queues: Queues,
    tenants: Tenants,
    /// Orders that nobody is left to take; they come out next.
    rejected: VecDeque<(DispatchId, Eligible)>,
    /// Counts assignments and arrivals, to order them in time.
    time: u64,
}

#[derive(Default)]
struct Engine {
    standing: Standing,
    outstanding: BTreeMap<DispatchId, Charge>,
    /// When it was last given an order.
    used: u64,
    /// The number of orders that wait for it alone.
    waiting: usize,
    /// The queues open to it, but not to every engine; none of them empty.
    boards: BTreeMap<TenantId, Board>,
    /// Its entry in the pool of the free, ...
    listed: Option<Load>,
    /// ... and in those of the tenants who want it, with the priority. Empty if it has no room.
    wanted: Vec<(TenantId, i32)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Up,
    /// It died and is being replaced; orders for it wait.
    Lost,
    /// It gets nothing more.
    Leaving,
}

impl Machine {
    /// An engine has one dispatch at a time: a dispatch that waits with an engine cannot be taken by another that
    /// becomes free, and might wait behind a task that does not end.
    pub(crate) const HWM: usize = 1;

    /// Creates a placement without engines.
    ///
    /// `hwm` is the most dispatches an engine has at a time, at least 1; `usize::MAX` means no limit. `seed`
    /// determines the draws of random policies: the same events lead to the same decisions.
    pub(crate) fn new(policy: Policy, hwm: usize, seed: u64) -> Self {
        Self {
            policy,
            hwm: hwm.max(1),
            rng: Rng::with_seed(seed),
            engines: BTreeMap::new(),
            free: Pool::new(policy),
            queues: Queues::default(),
            tenants: Tenants::default(),
            rejected: VecDeque::new(),
            time: 0,
        }
    }

    /// Adds an engine, or the replacement of a lost one. Has no effect for one that is leaving.
    pub(crate) fn engine_up(&mut self, id: EngineId) {
        if let Some(engine) = self.engines.get_mut(&id) {
            debug_assert_ne!(engine.standing, Standing::Up, "engine {id} came twice");
            if engine.standing == Standing::Lost {
                engine.standing = Standing::Up;
            }
        } else {
            let mut engine = Engine::default();
            for set in self.queues.sets_of(id) {
                for queue in self.queues.of_takers(Takers::Set(set)) {
                    if let Some((time, _)) = self.queues.first(queue) {
                        let turns = &self.tenants.get(queue.tenant).turns;
                        let board = engine.boards.entry(queue.tenant).or_default();
                        board.post(queue, time, turns);
                    }
                }
            }
            self.engines.insert(id, engine);
        }
        self.list(id);
    }

    /// Reports that the engine's thread died and will be replaced under its id. Returns the dispatches that it had;
    /// orders for it go on waiting. An engine that was leaving goes on leaving, with nothing left to finish.
    pub(crate) fn engine_lost(&mut self, id: EngineId) -> Vec<DispatchId> {
        let Some(engine) = self.engines.get_mut(&id) else {
            return Vec::new();
        };
        if engine.standing == Standing::Up {
            engine.standing = Standing::Lost;
        }
        let had = std::mem::take(&mut engine.outstanding);
        self.list(id);
        self.given_back(had)
    }

    /// Makes the engine leave: it gets nothing more, and finishes what it has. Orders that only leaving or gone
    /// engines may take are rejected. Returns whether it has nothing outstanding; may be asked again.
    pub(crate) fn engine_leaving(&mut self, id: EngineId) -> bool {
        let Some(engine) = self.engines.get_mut(&id) else {
            return true;
        };
        if engine.standing != Standing::Leaving {
            engine.standing = Standing::Leaving;
            engine.boards.clear();
            self.list(id);
            self.reject_unreachable(id);
        }
        self.engines
            .get(&id)
            .is_none_or(|engine| engine.outstanding.is_empty())
    }

    /// Removes the engine for good. Returns the dispatches that it had; orders that only leaving or gone engines may
    /// take are rejected.
    pub(crate) fn engine_gone(&mut self, id: EngineId) -> Vec<DispatchId> {
        self.engine_leaving(id);
        let gone = self.engines.remove(&id);
        self.given_back(gone.map(|engine| engine.outstanding).unwrap_or_default())
    }

    /// Sets what a tenant may have, from now on.
    pub(crate) fn set_share(&mut self, tenant: TenantId, share: Share) {
        self.tenants.set_share(tenant, share);
    }

    /// Returns what of a tenant waits and runs.
    pub(crate) fn load_of(&self, tenant: TenantId) -> TenantLoad {
        self.tenants.load(tenant)
    }

    /// Drops the waiting orders of a tenant, and returns them in the order of submission. It is forgotten when engines
    /// have finished what they have of it.
    pub(crate) fn close_tenant(&mut self, tenant: TenantId) -> Vec<DispatchId> {
        let groups: Vec<JobId> = self.tenants.get(tenant).turns.oldest_first().collect();
        let of_group = |group| self.queues.of_tenant(group, tenant);
        let dropped = groups.into_iter().flat_map(of_group).collect();
        let dropped = self.withdraw_all(dropped);
        self.tenants.close(tenant);
        dropped
    }

    /// Submits an order for another dispatch.
    pub(crate) fn submit(&mut self, order: Order) {
        let possible = match &order.eligible {
            Eligible::Any => true,
            Eligible::One(engine) => self.is_present(*engine),
            Eligible::Of(set) => set.iter().any(|engine| self.is_present(*engine)),
        };
        if !possible {
            self.rejected.push_back((order.id, order.eligible));
            return;
        }
        self.time += 1;
        self.tenants.came(order.tenant);
        let tenant = self.tenants.get(order.tenant);
        tenant.turns.arrive(order.group, self.time);
        if let Eligible::One(engine) = order.eligible
            && let Some(engine) = self.engines.get_mut(&engine)
        {
            engine.waiting += 1;
        }
        let (queue, first) = self.queues.push(order, self.time);
        if first {
            self.post(queue, self.time);
        }
    }

    /// Reports that the engine has finished the dispatch, for which it has needed so much time. Has no effect if it was
    /// given back.
    pub(crate) fn finished(&mut self, engine: EngineId, id: DispatchId, spent: Duration) {
        if let Some(state) = self.engines.get_mut(&engine) {
            let charge = state.outstanding.remove(&id);
            if let Some(charge) = charge {
                self.tenants.end(charge, Some(spent));
            }
            self.list(engine);
        }
    }

    /// Drops the waiting orders of the group, and returns them in the order of submission; engines keep what they
    /// have.
    pub(crate) fn cancel_group(&mut self, group: JobId) -> Vec<DispatchId> {
        let dropped = self.queues.of_group(group).collect();
        self.withdraw_all(dropped)
    }

    /// Drops the dispatch, if it waits, and returns whether it did; it will not come out then.
    pub(crate) fn cancel(&mut self, id: DispatchId) -> bool {
        self.withdraw(id).is_some()
    }

    /// Returns the next decision, or `None` until something has happened.
    pub(crate) fn next(&mut self) -> Option<Decision> {
        if let Some((id, eligible)) = self.rejected.pop_front() {
            return Some(Decision::Reject { id, eligible });
        }
        loop {
            if self.free.is_empty() {
                return None;
            }
            let tenant = self.tenants.first()?;
            let (engine, priority) = self.choose_engine(tenant)?;
            let queue = self.choose_queue(engine, tenant, priority)?;
            let (id, memory) = self.queues.first_with_memory(queue)?;
            // A tenant that has to wait for memory of its own holds up nobody else.
            if self.tenants.admits(tenant, memory) {
                return self.assign(engine, queue, id, memory);
            }
        }
    }

    /// Returns the state at this moment.
    pub(crate) fn status(&self) -> Status {
        let engines = self.engines.iter().map(|(id, engine)| EngineStatus {
            id: *id,
            outstanding: engine.outstanding.keys().copied().collect(),
            waiting: engine.waiting,
        });
        let own: usize = self.engines.values().map(|engine| engine.waiting).sum();
        Status {
            engines: engines.collect(),
            unassigned: self.queues.len() - own,
        }
    }

    /// Whether nothing waits and no engine has anything, with no trace left of what was.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let idle = |engine: &Engine| {
            engine.outstanding.is_empty() && engine.waiting == 0 && engine.boards.is_empty()
        };
        self.queues.is_empty()
            && self.tenants.is_empty()
            && self.rejected.is_empty()
            && self.engines.values().all(idle)
    }

    /// The number of tenants of which anything is known.
    #[cfg(test)]
    pub(super) fn tenants(&self) -> usize {
        self.tenants.len()
    }

    fn assign(
        &mut self,
        engine: EngineId,
        queue: QueueKey,
        id: DispatchId,
        memory: u64,
    ) -> Option<Decision> {
        let removed = self.withdraw(id)?;
        self.time += 1;
        if !removed.last_of_group {
            let turns = &mut self.tenants.get(queue.tenant).turns;
            turns.served(queue.group, self.time);
        }
        let state = self.engines.get_mut(&engine)?;
        debug_assert!(
            state.outstanding.len() < self.hwm,
            "engine {engine} has {:?}",
            state.outstanding
        );
        let charge = self.tenants.start(queue.tenant, memory);
        state.outstanding.insert(id, charge);
        state.used = self.time;
        self.list(engine);
        Some(Decision::Assign { engine, id })
    }

    /// Settles what engines had that are lost or gone: nobody has measured it.
    fn given_back(&mut self, had: BTreeMap<DispatchId, Charge>) -> Vec<DispatchId> {
        for charge in had.values() {
            self.tenants.end(*charge, None);
        }
        had.into_keys().collect()
    }

    /// Whether the engine gets, or will get, the orders for it.
    fn is_present(&self, id: EngineId) -> bool {
        let engine = self.engines.get(&id);
        engine.is_some_and(|engine| engine.standing != Standing::Leaving)
    }

    /// Chooses the engine that comes next, and the priority of its order: the highest of this tenant that an engine with
    /// room may take.
    fn choose_engine(&mut self, tenant: TenantId) -> Option<(EngineId, i32)> {
        let tenant = self.tenants.get(tenant);
        let common = tenant.common.priority();
        let wanted = tenant.wanted.first_key_value();
        let (pool, priority) = match (common, wanted) {
            (Some(common), Some((wanted, pool))) if common < wanted.0 => (pool, wanted.0),
            (Some(common), _) => (&self.free, common),
            (None, Some((wanted, pool))) => (pool, wanted.0),
            (None, None) => return None,
        };
        let engine = pool.choose(&mut self.rng)?;
        Some((engine, priority))
    }

    /// Chooses the queue of this tenant and priority from which the engine takes next.
    fn choose_queue(
        &mut self,
        engine: EngineId,
        tenant: TenantId,
        priority: i32,
    ) -> Option<QueueKey> {
        let Tenant { turns, common, .. } = self.tenants.get(tenant);
        let own = self.engines.get_mut(&engine)?.boards.get_mut(&tenant);
        let mut boards = [own, Some(common)];
        let groups = boards
            .iter_mut()
            .flatten()
            .filter_map(|board| board.next_group(priority, turns));
        let group = groups.min_by_key(|group| turns.last(*group))?;
        let queues = boards
            .iter_mut()
            .flatten()
            .filter_map(|board| board.next_queue(priority, group, &self.queues));
        queues.min().map(|(.., queue)| queue)
    }

    /// Rejects orders that nobody may take any more, now that `id` is gone.
    fn reject_unreachable(&mut self, id: EngineId) {
        let sets: Vec<_> = self.queues.sets_of(id).map(Takers::Set).collect();
        for takers in sets.into_iter().chain([Takers::One(id)]) {
            let eligible = self.queues.eligible(takers);
            if let Eligible::Of(set) = &eligible
                && set.iter().any(|engine| self.is_present(*engine))
            {
                continue;
            }
            let queues = self.queues.of_takers(takers);
            let orders = queues.flat_map(|queue| self.queues.of_queue(queue));
            for order in self.withdraw_all(orders.collect()) {
                self.rejected.push_back((order, eligible.clone()));
            }
        }
    }

    /// Removes waiting orders, and returns them in the order of submission.
    fn withdraw_all(&mut self, orders: Vec<DispatchId>) -> Vec<DispatchId> {
        let mut withdrawn: Vec<_> = orders
            .into_iter()
            .filter_map(|id| Some((self.withdraw(id)?.time, id)))
            .collect();
        withdrawn.sort_unstable();
        withdrawn.into_iter().map(|(_, id)| id).collect()
    }

    /// Removes an order, if it waits, with everything that exists only for it.
    fn withdraw(&mut self, id: DispatchId) -> Option<Removed> {
        let removed = self.queues.remove(id)?;
        self.tenants.left(removed.queue.tenant);
        let takers = removed.queue.takers;
        if let Takers::One(engine) = takers
            && let Some(engine) = self.engines.get_mut(&engine)
        {
            engine.waiting -= 1;
        }
        if removed.last_of_queue {
            self.take_down(removed.queue);
            self.queues.forget(takers);
        }
        if removed.last_of_group {
            let tenant = self.tenants.get(removed.queue.tenant);
            tenant.turns.leave(removed.queue.group);
        }
        Some(removed)
    }

    /// Posts a queue that is no longer empty on the boards of its takers.
    fn post(&mut self, queue: QueueKey, time: u64) {
        let post = |machine: &mut Self, id| {
            if machine.is_present(id)
                && let Some(engine) = machine.engines.get_mut(&id)
            {
                let turns = &machine.tenants.get(queue.tenant).turns;
                let board = engine.boards.entry(queue.tenant).or_default();
                board.post(queue, time, turns);
                machine.list(id);
            }
        };
        match self.queues.eligible(queue.takers) {
            Eligible::Any => {
                let Tenant { turns, common, .. } = self.tenants.get(queue.tenant);
                common.post(queue, time, turns);
                self.tenants.settle(queue.tenant);
            }
            Eligible::One(id) => post(self, id),
            Eligible::Of(set) => set.iter().for_each(|id| post(self, *id)),
        }
    }

    /// Takes down a queue that has become empty.
    fn take_down(&mut self, queue: QueueKey) {
        let take_down = |machine: &mut Self, id| {
            if let Some(engine) = machine.engines.get_mut(&id) {
                if let Some(board) = engine.boards.get_mut(&queue.tenant) {
                    board.take_down(queue);
                    if board.is_empty() {
                        engine.boards.remove(&queue.tenant);
                    }
                }
                machine.list(id);
            }
        };
        match self.queues.eligible(queue.takers) {
            Eligible::Any => {
                self.tenants.get(queue.tenant).common.take_down(queue);
                self.tenants.settle(queue.tenant);
            }
            Eligible::One(id) => take_down(self, id),
            Eligible::Of(set) => set.iter().for_each(|id| take_down(self, *id)),
        }
    }

    /// Moves the engine into the pools where it belongs, after anything about it has changed.
    fn list(&mut self, id: EngineId) {
        let Some(engine) = self.engines.get_mut(&id) else {
            return;
        };
        let room = engine.standing == Standing::Up && engine.outstanding.len() < self.hwm;
        let load = Load {
            outstanding: engine.outstanding.len(),
            used: engine.used,
            engine: id,
        };
        let now = room.then_some(load);
        let boards = engine.boards.iter().filter(|_| room);
        let wanted = boards.filter_map(|(tenant, board)| Some((*tenant, board.priority()?)));
        if now == engine.listed && wanted.clone().eq(engine.wanted.iter().copied()) {
            return;
        }
        let wanted = wanted.collect();
        let before = std::mem::replace(&mut engine.listed, now);
        let wanted_before = std::mem::replace(&mut engine.wanted, wanted);
        if let Some(load) = before {
            self.free.remove(load);
            for (tenant, priority) in &wanted_before {
                let pools = &mut self.tenants.get(*tenant).wanted;
                if let Some(pool) = pools.get_mut(&Reverse(*priority)) {
                    pool.remove(load);
                    if pool.is_empty() {
                        pools.remove(&Reverse(*priority));
                    }
                }
            }
        }
        if let Some(load) = now {
            self.free.insert(load);
            for (tenant, priority) in &engine.wanted {
                let pool = self.tenants.get(*tenant).wanted.entry(Reverse(*priority));
                pool.or_insert_with(|| Pool::new(self.policy)).insert(load);
            }
        }
        // The first is what there always is.
        let several = wanted_before
            .iter()
            .skip(1)
            .chain(engine.wanted.iter().skip(1));
        several.for_each(|_| count_step());
        // Those who have wanted it, and those who do now.
        let after = engine
            .wanted
            .iter()
            .filter(|after| !wanted_before.contains(after));
        for (tenant, _) in wanted_before.iter().chain(after) {
            self.tenants.settle(*tenant);
        }
    }
}
