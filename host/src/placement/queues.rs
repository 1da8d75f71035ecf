//! The waiting orders, each in the queue of those that differ only in their time.
//!
//! Everything is in flat ordered maps without queue objects: an order in the middle can be removed at the cost of the
//! first one, and a removed order leaves nothing behind.

use super::TenantId;
use super::order::{Eligible, Order, Stage};
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who may take the orders of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Takers {
    /// Every engine.
    All,
    /// One engine.
    One(EngineId),
    /// The engines of a set.
    Set(SetId),
}

/// A set of engines named by waiting orders: the address of its list, which is unique while it is held here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SetId(usize);

impl Takers {
    fn of(eligible: &Eligible) -> Self {
        match eligible {
            Eligible::Any => Self::All,
            Eligible::One(engine) => Self::One(*engine),
            Eligible::Of(set) => Self::Set(SetId(Arc::as_ptr(set).cast::<EngineId>().addr())),
        }
    }
}

/// The key of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueueKey {
    pub(super) group: JobId,
    /// The calls of all tenants have one group.
    pub(super) tenant: TenantId,
    pub(super) takers: Takers,
    pub(super) priority: i32,
    pub(super) stage: Stage,
}

/// What a queue lost when an order was removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Removed {
    /// The queue it was in.
    pub(super) queue: QueueKey,
    /// When it had come.
    pub(super) time: u64,
    /// Whether the queue is empty now.
    pub(super) last_of_queue: bool,
    /// Whether its group has nothing of this tenant waiting now.
    pub(super) last_of_group: bool,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Queues {
    /// The waiting orders, by queue and time, and how much memory they may take.
    waiting: BTreeMap<(QueueKey, u64), (DispatchId, u64)>,
    /// The position of each order.
    orders: BTreeMap<DispatchId, (QueueKey, u64)>,
    /// The queues that are not empty, by their takers, except [`Takers::All`].
    by_takers: BTreeSet<(Takers, QueueKey)>,
    /// The sets for which orders wait.
    sets: BTreeMap<SetId, Arc<[EngineId]>>,
    /// The sets that contain an engine.
    sets_of: BTreeSet<(EngineId, SetId)>,
}

impl Queues {
    /// The number of waiting orders.
    pub(super) fn len(&self) -> usize {
        self.orders.len()
    }

    /// Appends an order to its queue, which it determines. `time` must be later than any before. Returns the queue,
    /// and whether it was empty.
    pub(super) fn push(&mut self, order: Order, time: u64) -> (QueueKey, bool) {
        let takers = Takers::of(&order.eligible);
        let queue = QueueKey {
            group: order.group,
            tenant: order.tenant,
            takers,
            priority: order.priority,
            stage: order.stage,
        };
        let first = self.first(queue).is_none();
        self.waiting.insert((queue, time), (order.id, order.memory));
        let before = self.orders.insert(order.id, (queue, time));
        debug_assert!(before.is_none(), "dispatch {} came twice", order.id);
        if first && takers != Takers::All {
            self.by_takers.insert((takers, queue));
        }
        if let (Takers::Set(id), Eligible::Of(set)) = (takers, order.eligible)
            && !self.sets.contains_key(&id)
        {
            self.sets_of.extend(set.iter().map(|engine| (*engine, id)));
            self.sets.insert(id, set);
        }
        (queue, first)
    }

    /// Removes an order, if it waits.
    pub(super) fn remove(&mut self, id: DispatchId) -> Option<Removed> {
        let (queue, time) = self.orders.remove(&id)?;
        self.waiting.remove(&(queue, time));
        let last_of_queue = self.first(queue).is_none();
        if last_of_queue {
            self.by_takers.remove(&(queue.takers, queue));
        }
        Some(Removed {
            queue,
            time,
            last_of_queue,
            last_of_group: last_of_queue
                && self.of_tenant(queue.group, queue.tenant).next().is_none(),
        })
    }

    /// Forgets a set for which nothing waits; to be called when the last order of a queue was taken.
    pub(super) fn forget(&mut self, takers: Takers) {
        let Takers::Set(id) = takers else { return };
        if self.of_takers(takers).next().is_some() {
            return;
        }
        for engine in self.sets.remove(&id).iter().flat_map(|set| set.iter()) {
            self.sets_of.remove(&(*engine, id));
        }
    }

    /// Returns the first order of a queue, and when it came.
    pub(super) fn first(&self, queue: QueueKey) -> Option<(u64, DispatchId)> {
        let (&(found, time), &(id, _)) = self.waiting.range((queue, 0)..).next()?;
        (found == queue).then_some((time, id))
    }

    /// Returns the first order of a queue, and how much memory it may take.
    pub(super) fn first_with_memory(&self, queue: QueueKey) -> Option<(DispatchId, u64)> {
        let (&(found, _), &first) = self.waiting.range((queue, 0)..).next()?;
        (found == queue).then_some(first)
    }

    /// Returns all orders of a queue.
    pub(super) fn of_queue(&self, queue: QueueKey) -> impl Iterator<Item = DispatchId> {
        let range = self.waiting.range((queue, 0)..=(queue, u64::MAX));
        range.map(|(_, (id, _))| *id)
    }

    /// Returns all orders of a group, whoever's they are.
    pub(super) fn of_group(&self, group: JobId) -> impl Iterator<Item = DispatchId> {
        self.from(group, TenantId(0))
            .take_while(move |(queue, _)| queue.group == group)
            .map(|(_, id)| id)
    }

    /// Returns all orders of a group that are a tenant's.
    pub(super) fn of_tenant(
        &self,
        group: JobId,
        tenant: TenantId,
    ) -> impl Iterator<Item = DispatchId> {
        self.from(group, tenant)
            .take_while(move |(queue, _)| (queue.group, queue.tenant) == (group, tenant))
            .map(|(_, id)| id)
    }

    fn from(&self, group: JobId, tenant: TenantId) -> impl Iterator<Item = (QueueKey, DispatchId)> {
        let first = QueueKey {
            group,
            tenant,
            takers: Takers::All,
            priority: i32::MIN,
            stage: Stage::Reduce,
        };
        let orders = self.waiting.range((first, 0)..);
        orders.map(|((queue, _), (id, _))| (*queue, *id))
    }

    /// Returns the queues of one engine or of one set that are not empty.
    pub(super) fn of_takers(&self, takers: Takers) -> impl Iterator<Item = QueueKey> {
        let from = QueueKey {
            group: JobId(0),
            tenant: TenantId(0),
            takers: Takers::All,
            priority: i32::MIN,
            stage: Stage::Reduce,
        };
        let from = self.by_takers.range((takers, from)..);
        from.take_while(move |(found, _)| *found == takers)
            .map(|(_, queue)| *queue)
    }

    /// Returns the takers of a queue, as its orders named them.
    pub(super) fn eligible(&self, takers: Takers) -> Eligible {
        match takers {
            Takers::All => Eligible::Any,
            Takers::One(engine) => Eligible::One(engine),
            Takers::Set(id) => {
                let set = self.sets.get(&id).map(Arc::clone);
                Eligible::Of(set.unwrap_or_else(|| Arc::new([])))
            }
        }
    }

    /// Returns the sets that contain this engine and for which orders wait.
    pub(super) fn sets_of(&self, engine: EngineId) -> impl Iterator<Item = SetId> {
        let from = self.sets_of.range((engine, SetId(0))..);
        from.take_while(move |(found, _)| *found == engine)
            .map(|(_, set)| *set)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.orders.is_empty()
            && self.by_takers.is_empty()
            && self.sets.is_empty()
            && self.sets_of.is_empty()
    }
}
