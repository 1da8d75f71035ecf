//! The machine of placement: events in as methods, decisions out of [`Machine::next`].
//!
//! Each submitted order comes out exactly once: assigned, rejected, or dropped by a cancel. An assigned order stays
//! with its engine until it is reported finished, or until the engine is lost or gone, which returns it. Whether it
//! is tried again is the job's decision.

use super::board::Board;
use super::order::{Decision, Eligible, Order};
use super::policy::Policy;
use super::pool::{Load, Pool};
use super::queues::{QueueKey, Queues, Removed, Takers};
use super::turns::Turns;
use fastrand::Rng;
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    /// Those whose boards have something, by the highest priority there; no pool is empty.
    wanted: BTreeMap<Reverse<i32>, Pool>,
    queues: Queues,
    turns: Turns,
    /// The queues open to every engine.
    common: Board,
    /// Orders that nobody is left to take; they come out next.
    rejected: VecDeque<(DispatchId, Eligible)>,
    /// Counts assignments and arrivals, to order them in time.
    time: u64,
}

#[derive(Default)]
struct Engine {
    standing: Standing,
    outstanding: BTreeSet<DispatchId>,
    /// When it was last given an order.
    used: u64,
    /// The number of orders that wait for it alone.
    waiting: usize,
    /// The queues open to it, but not to every engine.
    board: Board,
    /// Its entry in the pools: free, and wanted for this priority.
    listed: Option<(Load, Option<i32>)>,
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
            wanted: BTreeMap::new(),
            queues: Queues::default(),
            turns: Turns::default(),
            common: Board::default(),
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
                        engine.board.post(queue, time, &self.turns);
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
        had.into_iter().collect()
    }

    /// Makes the engine leave: it gets nothing more, and finishes what it has. Orders that only leaving or gone
    /// engines may take are rejected. Returns whether it has nothing outstanding; may be asked again.
    pub(crate) fn engine_leaving(&mut self, id: EngineId) -> bool {
        let Some(engine) = self.engines.get_mut(&id) else {
            return true;
        };
        if engine.standing != Standing::Leaving {
            engine.standing = Standing::Leaving;
            engine.board = Board::default();
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
        gone.into_iter()
            .flat_map(|engine| engine.outstanding)
            .collect()
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
        self.turns.arrive(order.group, self.time);
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

    /// Reports that the engine has finished the dispatch. Has no effect if it was given back.
    pub(crate) fn finished(&mut self, engine: EngineId, id: DispatchId) {
        if let Some(state) = self.engines.get_mut(&engine) {
            state.outstanding.remove(&id);
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
        let (engine, priority) = self.choose_engine()?;
        let queue = self.choose_queue(engine, priority)?;
        let (_, id) = self.queues.first(queue)?;
        let removed = self.withdraw(id)?;
        self.time += 1;
        if !removed.last_of_group {
            self.turns.served(queue.group, self.time);
        }
        let state = self.engines.get_mut(&engine)?;
        debug_assert!(
            state.outstanding.len() < self.hwm,
            "engine {engine} has {:?}",
            state.outstanding
        );
        state.outstanding.insert(id);
        state.used = self.time;
        self.list(engine);
        Some(Decision::Assign { engine, id })
    }

    /// Returns the state at this moment.
    pub(crate) fn status(&self) -> Status {
        let engines = self.engines.iter().map(|(id, engine)| EngineStatus {
            id: *id,
            outstanding: engine.outstanding.iter().copied().collect(),
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
            engine.outstanding.is_empty() && engine.waiting == 0 && engine.board.is_empty()
        };
        self.queues.is_empty()
            && self.turns.is_empty()
            && self.common.is_empty()
            && self.rejected.is_empty()
            && self.wanted.is_empty()
            && self.engines.values().all(idle)
    }

    /// Whether the engine gets, or will get, the orders for it.
    fn is_present(&self, id: EngineId) -> bool {
        let engine = self.engines.get(&id);
        engine.is_some_and(|engine| engine.standing != Standing::Leaving)
    }

    /// Chooses the engine that comes next, and the priority of its order: the highest that an engine with room may
    /// take.
    fn choose_engine(&mut self) -> Option<(EngineId, i32)> {
        let common = self.common.priority().filter(|_| !self.free.is_empty());
        let wanted = self.wanted.first_key_value();
        let (pool, priority) = match (common, wanted) {
            (Some(common), Some((wanted, pool))) if common < wanted.0 => (pool, wanted.0),
            (Some(common), _) => (&self.free, common),
            (None, Some((wanted, pool))) => (pool, wanted.0),
            (None, None) => return None,
        };
        let engine = pool.choose(&mut self.rng)?;
        Some((engine, priority))
    }

    /// Chooses the queue of this priority from which the engine takes next.
    fn choose_queue(&mut self, engine: EngineId, priority: i32) -> Option<QueueKey> {
        let mut boards = [&mut self.engines.get_mut(&engine)?.board, &mut self.common];
        let groups = boards
            .iter_mut()
            .filter_map(|board| board.next_group(priority, &self.turns));
        let group = groups.min_by_key(|group| self.turns.last(*group))?;
        let queues = boards
            .iter_mut()
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
            self.turns.leave(removed.queue.group);
        }
        Some(removed)
    }

    /// Posts a queue that is no longer empty on the boards of its takers.
    fn post(&mut self, queue: QueueKey, time: u64) {
        let post = |machine: &mut Self, id| {
            if machine.is_present(id)
                && let Some(engine) = machine.engines.get_mut(&id)
            {
                engine.board.post(queue, time, &machine.turns);
                machine.list(id);
            }
        };
        match self.queues.eligible(queue.takers) {
            Eligible::Any => self.common.post(queue, time, &self.turns),
            Eligible::One(id) => post(self, id),
            Eligible::Of(set) => set.iter().for_each(|id| post(self, *id)),
        }
    }

    /// Takes down a queue that has become empty.
    fn take_down(&mut self, queue: QueueKey) {
        let take_down = |machine: &mut Self, id| {
            if let Some(engine) = machine.engines.get_mut(&id) {
                engine.board.take_down(queue);
                machine.list(id);
            }
        };
        match self.queues.eligible(queue.takers) {
            Eligible::Any => self.common.take_down(queue),
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
        let now = room.then(|| (load, engine.board.priority()));
        if now == engine.listed {
            return;
        }
        let before = std::mem::replace(&mut engine.listed, now);
        if let Some((load, priority)) = before {
            self.free.remove(load);
            if let Some(priority) = priority.map(Reverse)
                && let Some(pool) = self.wanted.get_mut(&priority)
            {
                pool.remove(load);
                if pool.is_empty() {
                    self.wanted.remove(&priority);
                }
            }
        }
        if let Some((load, priority)) = now {
            self.free.insert(load);
            if let Some(priority) = priority.map(Reverse) {
                let pool = self.wanted.entry(priority);
                pool.or_insert_with(|| Pool::new(self.policy)).insert(load);
            }
        }
    }
}
