//! Placement kept in the simplest way: lists, searched from end to end.

use super::super::{
    Decision, Eligible, EngineStatus, Machine, Order, Policy, Share, Stage, Status, TenantId,
};
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Up,
    Lost,
    Leaving,
}

#[derive(Debug)]
pub(super) struct Engine {
    pub(super) standing: Standing,
    pub(super) has: BTreeSet<DispatchId>,
    used: u64,
}

/// What there is; it goes with the machine event by event and checks each decision.
pub(super) struct Model {
    policy: Policy,
    hwm: usize,
    pub(super) engines: BTreeMap<EngineId, Engine>,
    pub(super) waiting: BTreeMap<DispatchId, Order>,
    /// To be rejected.
    doomed: BTreeMap<DispatchId, Eligible>,
    /// For groups with something waiting, when they had their last turn or came.
    served: BTreeMap<(TenantId, JobId), u64>,
    time: u64,
    tenants: BTreeMap<TenantId, Tenant>,
    /// What engines have, and what it was charged with.
    charges: BTreeMap<DispatchId, (TenantId, u128)>,
    /// The latest virtual time at which something was started.
    now: u128,
}

#[derive(Debug, Default)]
struct Tenant {
    share: Share,
    time: u128,
    average: Option<u64>,
    running: usize,
    is_ready: bool,
}

impl Tenant {
    fn virtual_time(&self, nanoseconds: u64) -> u128 {
        u128::from(nanoseconds) * (1 << 20) / u128::from(self.share.weight)
    }
}

impl Model {
    pub(super) fn new(policy: Policy, hwm: usize) -> Self {
        Self {
            policy,
            hwm,
            engines: BTreeMap::new(),
            waiting: BTreeMap::new(),
            doomed: BTreeMap::new(),
            served: BTreeMap::new(),
            time: 0,
            tenants: BTreeMap::new(),
            charges: BTreeMap::new(),
            now: 0,
        }
    }

    pub(super) fn set_share(&mut self, tenant: TenantId, share: Share) {
        self.tenants.entry(tenant).or_default().share = share;
    }

    pub(super) fn finished(&mut self, id: DispatchId, spent: u64) {
        let (tenant, charge) = self.charges.remove(&id).unwrap();
        let tenant = self.tenants.get_mut(&tenant).unwrap();
        tenant.running -= 1;
        let before = tenant.average.unwrap_or(spent);
        tenant.average = Some(before - before / 8 + spent / 8);
        tenant.time = (tenant.time + tenant.virtual_time(spent)).saturating_sub(charge);
    }

    /// What is true after every event: a tenant that becomes ready has saved up nothing.
    pub(super) fn settle_tenants(&mut self) {
        let ids: Vec<_> = self.tenants.keys().copied().collect();
        for id in ids {
            let is_ready = self.is_ready(id);
            let tenant = self.tenants.get_mut(&id).unwrap();
            if is_ready && !tenant.is_ready {
                tenant.time = tenant.time.max(self.now);
            }
            tenant.is_ready = is_ready;
        }
    }

    fn is_ready(&self, id: TenantId) -> bool {
        let tenant = &self.tenants[&id];
        let mut orders = self.waiting.values().filter(|order| order.tenant == id);
        tenant.running < tenant.share.running
            && orders.any(|order| {
                let mut engines = self.engines.iter();
                order.eligible == Eligible::Any
                    || engines.any(|(id, engine)| self.has_room(engine) && may(order, *id))
            })
    }

    /// The tenant that is next, if any engine has room.
    fn next_tenant(&self) -> Option<TenantId> {
        let mut engines = self.engines.values();
        if !engines.any(|engine| self.has_room(engine)) {
            return None;
        }
        let ready = self.tenants.iter().filter(|(_, tenant)| tenant.is_ready);
        let next = ready.min_by_key(|(id, tenant)| (tenant.time, **id));
        next.map(|(id, _)| *id)
    }

    pub(super) fn engine_up(&mut self, id: EngineId) {
        let engine = self.engines.entry(id).or_insert(Engine {
            standing: Standing::Up,
            has: BTreeSet::new(),
            used: 0,
        });
        if engine.standing == Standing::Lost {
            engine.standing = Standing::Up;
        }
    }

    pub(super) fn engine_lost(&mut self, id: EngineId) -> Vec<DispatchId> {
        let engine = self.engines.get_mut(&id).unwrap();
        if engine.standing == Standing::Up {
            engine.standing = Standing::Lost;
        }
        let had = std::mem::take(&mut engine.has).into_iter().collect();
        self.given_back(had)
    }

    /// Nobody has measured what they took.
    fn given_back(&mut self, had: Vec<DispatchId>) -> Vec<DispatchId> {
        for id in &had {
            let (tenant, _) = self.charges.remove(id).unwrap();
            self.tenants.get_mut(&tenant).unwrap().running -= 1;
        }
        had
    }

    pub(super) fn engine_leaving(&mut self, id: EngineId) -> bool {
        let engine = self.engines.get_mut(&id).unwrap();
        engine.standing = Standing::Leaving;
        let idle = engine.has.is_empty();
        self.doom();
        idle
    }

    pub(super) fn engine_gone(&mut self, id: EngineId) -> Vec<DispatchId> {
        let engine = self.engines.remove(&id).unwrap();
        self.doom();
        self.given_back(engine.has.into_iter().collect())
    }

    pub(super) fn submit(&mut self, order: Order) {
        if self.is_possible(&order.eligible) {
            self.time += 1;
            let group = (order.tenant, order.group);
            self.served.entry(group).or_insert(self.time);
            self.tenants.entry(order.tenant).or_default();
            self.waiting.insert(order.id, order);
        } else {
            self.doomed.insert(order.id, order.eligible);
        }
    }

    pub(super) fn cancel_group(&mut self, group: JobId) -> Vec<DispatchId> {
        let dropped = self
            .waiting
            .extract_if(.., |_, order| order.group == group)
            .map(|(id, _)| id)
            .collect();
        self.settle();
        dropped
    }

    pub(super) fn cancel(&mut self, id: DispatchId) -> bool {
        let waited = self.waiting.remove(&id).is_some();
        self.settle();
        waited
    }

    /// Takes one decision of the machine and checks it; false when there was none, rightly.
    pub(super) fn next(&mut self, sut: &mut Machine) -> bool {
        match sut.next() {
            Some(Decision::Reject { id, eligible }) => {
                assert_eq!(self.doomed.remove(&id), Some(eligible));
            }
            Some(Decision::Assign { engine, id }) => self.assigned(engine, id),
            None => {
                assert!(self.doomed.is_empty(), "not rejected: {:?}", self.doomed);
                assert_eq!(self.next_tenant(), None, "something waits for no reason");
                return false;
            }
        }
        true
    }

    pub(super) fn status(&self) -> Status {
        let own = |id| {
            let own = |order: &&Order| order.eligible == Eligible::One(id);
            self.waiting.values().filter(own).count()
        };
        let engines = self.engines.iter().map(|(id, engine)| EngineStatus {
            id: *id,
            outstanding: engine.has.iter().copied().collect(),
            waiting: own(*id),
        });
        let shared = |order: &&Order| !matches!(order.eligible, Eligible::One(_));
        Status {
            engines: engines.collect(),
            unassigned: self.waiting.values().filter(shared).count(),
        }
    }

    fn assigned(&mut self, id: EngineId, dispatch: DispatchId) {
        let order = self.waiting[&dispatch].clone();
        assert_eq!(
            self.next_tenant(),
            Some(order.tenant),
            "passed over by {order:?}"
        );
        let highest = self.highest(order.tenant);
        assert_eq!(Some(order.priority), highest, "passed over by {order:?}");
        let candidates = self.engines.iter().filter(|(id, engine)| {
            let best = self.best_of(**id, order.tenant);
            self.has_room(engine) && best.map(|best| best.priority) == highest
        });
        let candidates: Vec<_> = candidates.collect();
        let load = |(id, engine): &(&EngineId, &Engine)| (engine.has.len(), engine.used, **id);
        let expected = match self.policy {
            Policy::LeastLoad => candidates.iter().copied().min_by_key(load),
            Policy::LeastRecentlyUsed => candidates
                .iter()
                .copied()
                .min_by_key(|(id, engine)| (engine.used, **id)),
            _ => candidates.iter().copied().find(|(found, _)| **found == id),
        };
        assert_eq!(expected.map(|(id, _)| *id), Some(id), "{candidates:?}");
        let best = self.best_of(id, order.tenant);
        assert_eq!(best.map(|best| best.id), Some(dispatch));
        self.time += 1;
        self.served.insert((order.tenant, order.group), self.time);
        self.waiting.remove(&dispatch);
        self.settle();
        let tenant = self.tenants.get_mut(&order.tenant).unwrap();
        let charge = tenant.virtual_time(tenant.average.unwrap_or(2_000_000).max(1));
        self.now = self.now.max(tenant.time);
        tenant.time += charge;
        tenant.running += 1;
        assert!(tenant.running <= tenant.share.running);
        self.charges.insert(dispatch, (order.tenant, charge));
        let engine = self.engines.get_mut(&id).unwrap();
        engine.has.insert(dispatch);
        engine.used = self.time;
        assert!(engine.has.len() <= self.hwm);
    }

    fn has_room(&self, engine: &Engine) -> bool {
        engine.standing == Standing::Up && engine.has.len() < self.hwm
    }

    /// The order of a tenant that an engine should take next.
    fn best_of(&self, id: EngineId, tenant: TenantId) -> Option<&Order> {
        let eligible = |order: &&Order| order.tenant == tenant && may(order, id);
        let rank = |order: &&Order| -> (i64, u64, Stage, DispatchId) {
            let served = self.served[&(order.tenant, order.group)];
            (-i64::from(order.priority), served, order.stage, order.id)
        };
        self.waiting.values().filter(eligible).min_by_key(rank)
    }

    /// The highest priority of what some engine with room may take of a tenant.
    fn highest(&self, tenant: TenantId) -> Option<i32> {
        let ready = self
            .engines
            .iter()
            .filter(|(_, engine)| self.has_room(engine));
        ready
            .filter_map(|(id, _)| self.best_of(*id, tenant))
            .map(|best| best.priority)
            .max()
    }

    fn is_possible(&self, eligible: &Eligible) -> bool {
        let present = |id: &EngineId| {
            let engine = self.engines.get(id);
            engine.is_some_and(|engine| engine.standing != Standing::Leaving)
        };
        match eligible {
            Eligible::Any => true,
            Eligible::One(id) => present(id),
            Eligible::Of(set) => set.iter().any(present),
        }
    }

    fn doom(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for (id, order) in waiting {
            if self.is_possible(&order.eligible) {
                self.waiting.insert(id, order);
            } else {
                self.doomed.insert(id, order.eligible);
            }
        }
        self.settle();
    }

    /// Forgets the turns of groups with nothing waiting.
    fn settle(&mut self) {
        let group = |order: &Order| (order.tenant, order.group);
        let groups: BTreeSet<_> = self.waiting.values().map(group).collect();
        self.served.retain(|group, _| groups.contains(group));
    }
}

/// Whether the engine may have the order.
fn may(order: &Order, id: EngineId) -> bool {
    match &order.eligible {
        Eligible::Any => true,
        Eligible::One(engine) => *engine == id,
        Eligible::Of(set) => set.contains(&id),
    }
}
