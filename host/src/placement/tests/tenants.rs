//! Tenants: engine time by weight, over simulated time.

use super::super::{Decision, Eligible, Machine, Policy, Share, TenantId};
use super::{STEPS, TOOK, assigned, machine, order};
use fastrand::Rng;
use proptest::prelude::*;
use rwasm_value::ids::{DispatchId, EngineId};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

fn weight(weight: u32) -> Share {
    Share {
        weight,
        ..Share::default()
    }
}

/// Engines and tenants with more than enough to do, on a clock that goes from event to event.
struct Simulation {
    sut: Machine,
    rng: Rng,
    now: u64,
    /// What runs, by its end and its engine.
    running: BTreeMap<(u64, EngineId), Running>,
    tenants: Vec<Worker>,
    owner: Vec<usize>,
    engines: usize,
}

struct Running {
    id: DispatchId,
    tenant: usize,
    begun: u64,
    /// Until when it is counted.
    counted: u64,
}

struct Worker {
    /// The shortest and the longest dispatch.
    takes: (u64, u64),
    /// How many it keeps waiting; none if it is idle.
    keeps: usize,
    waiting: usize,
    /// The engine time that it has had.
    had: u64,
}

impl Simulation {
    fn new(engines: u32, seed: u64) -> Self {
        Self {
            sut: machine(Policy::LeastLoad, Machine::HWM, engines),
            rng: Rng::with_seed(seed),
            now: 0,
            running: BTreeMap::new(),
            tenants: Vec::new(),
            owner: Vec::new(),
            engines: engines as usize,
        }
    }

    /// Adds a tenant whose dispatches take so long, all of which it wants at once.
    fn tenant(mut self, weight: u32, takes: (u64, u64)) -> Self {
        let id = TenantId(self.tenants.len() as u64 + 1);
        self.sut.set_share(id, self::weight(weight));
        self.tenants.push(Worker {
            takes,
            keeps: 2 * self.engines,
            waiting: 0,
            had: 0,
        });
        self
    }

    fn submit(&mut self) {
        for (n, tenant) in self.tenants.iter_mut().enumerate() {
            while tenant.waiting < tenant.keeps {
                let mut order = order(self.owner.len() as u64, n as u64, Eligible::Any);
                order.tenant = TenantId(n as u64 + 1);
                self.owner.push(n);
                self.sut.submit(order);
                tenant.waiting += 1;
            }
        }
    }

    fn place(&mut self) {
        self.submit();
        for (engine, id) in assigned(&mut self.sut) {
            let tenant = self.owner[usize::try_from(id).unwrap()];
            let worker = &mut self.tenants[tenant];
            worker.waiting -= 1;
            let (least, most) = worker.takes;
            let end = self.now + self.rng.u64(least..=most);
            let running = Running {
                id: DispatchId(id),
                tenant,
                begun: self.now,
                counted: self.now,
            };
            self.running.insert((end, EngineId(engine)), running);
            self.submit();
        }
        let waits = self.tenants.iter().any(|tenant| tenant.waiting > 0);
        assert!(
            !waits || self.running.len() == self.engines,
            "an engine idles while something waits"
        );
    }

    /// Goes on until this time, and counts what engines have done by then.
    fn until(&mut self, time: u64) {
        self.place();
        while let Some(next) = self.running.first_entry()
            && next.key().0 <= time
        {
            let ((end, engine), ended) = next.remove_entry();
            self.now = end;
            self.tenants[ended.tenant].had += end - ended.counted;
            let spent = Duration::from_nanos(end - ended.begun);
            self.sut.finished(engine, ended.id, spent);
            self.place();
        }
        for running in self.running.values_mut() {
            self.tenants[running.tenant].had += time - running.counted;
            running.counted = time;
        }
        self.now = time;
    }

    /// The parts of the engine time that tenants have had since this was asked last.
    #[expect(clippy::cast_precision_loss, reason = "a few hours at most")]
    fn shares(&mut self) -> Vec<f64> {
        let all: u64 = self.tenants.iter().map(|tenant| tenant.had).sum();
        let had = self
            .tenants
            .iter_mut()
            .map(|tenant| std::mem::take(&mut tenant.had));
        had.map(|had| had as f64 / all as f64).collect()
    }
}

/// Whether all are within five hundredths.
fn are_near(found: &[f64], expected: &[f64]) -> bool {
    let mut pairs = found.iter().zip(expected);
    found.len() == expected.len() && pairs.all(|(one, other)| (one - other).abs() < 0.05)
}

#[test]
fn milliseconds_and_seconds_share_engines_by_weight() {
    for engines in [1, 2, 4] {
        for long in [0, 1] {
            let takes = |n| if n == long { SECOND } else { MILLISECOND };
            let pair = |n| (takes(n), takes(n));
            let mut simulation = Simulation::new(engines, 7)
                .tenant(1, pair(0))
                .tenant(3, pair(1));
            // A task of a second is a tenth of ten, and of what the lighter tenant gets more than a third.
            simulation.until(if long == 1 { 10 } else { 40 } * SECOND);
            let shares = simulation.shares();
            assert!(are_near(&shares, &[0.25, 0.75]), "{engines}: {shares:?}");
        }
    }
}

#[test]
fn an_idle_share_goes_to_the_others_and_is_not_saved_up() {
    let quick = (MILLISECOND, MILLISECOND);
    let mut simulation = Simulation::new(2, 7)
        .tenant(1, quick)
        .tenant(3, (SECOND / 100, SECOND / 100));
    let keeps = std::mem::replace(&mut simulation.tenants[1].keeps, 0);
    simulation.until(100 * SECOND);
    assert!(are_near(&simulation.shares(), &[1.0, 0.0]));
    // Nobody pays for what was free.
    simulation.tenants[1].keeps = keeps;
    simulation.until(101 * SECOND);
    let shares = simulation.shares();
    assert!(are_near(&shares, &[0.25, 0.75]), "{shares:?}");
    simulation.tenants[0].keeps = 0;
    simulation.until(200 * SECOND);
    assert!(are_near(&simulation.shares(), &[0.0, 1.0]));
    simulation.tenants[0].keeps = keeps;
    simulation.until(201 * SECOND);
    let shares = simulation.shares();
    assert!(are_near(&shares, &[0.25, 0.75]), "{shares:?}");
}

#[test]
fn weights_change_while_work_goes_on() {
    let quick = (MILLISECOND, MILLISECOND);
    let mut simulation = Simulation::new(2, 7).tenant(1, quick).tenant(1, quick);
    simulation.until(SECOND);
    assert!(are_near(&simulation.shares(), &[0.5, 0.5]));
    simulation.sut.set_share(TenantId(2), weight(4));
    simulation.until(2 * SECOND);
    assert!(are_near(&simulation.shares(), &[0.2, 0.8]));
    simulation.sut.set_share(TenantId(1), weight(36));
    simulation.until(3 * SECOND);
    assert!(are_near(&simulation.shares(), &[0.9, 0.1]));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Whatever dispatches take, no two tenants who want all they can get are further apart than what a few of their
    /// dispatches take.
    #[test]
    fn tenants_get_engine_time_by_weight(
        engines in 1_u32..5,
        tenants in prop::collection::vec((1_u32..6, 1_u64..40, 1_u64..40), 2..5),
        seed in any::<u64>(),
    ) {
        let mut simulation = Simulation::new(engines, seed);
        for (weight, least, more) in &tenants {
            let least = least * MILLISECOND;
            simulation = simulation.tenant(*weight, (least, least + more * MILLISECOND));
        }
        simulation.until(20 * SECOND);
        let per_weight = |n: usize| simulation.tenants[n].had / u64::from(tenants[n].0);
        let longest = |n: usize| simulation.tenants[n].takes.1 / u64::from(tenants[n].0);
        for one in 0..tenants.len() {
            for other in 0..one {
                let apart = per_weight(one).abs_diff(per_weight(other));
                let most = u64::from(engines + 1) * (longest(one) + longest(other));
                prop_assert!(apart <= most, "{one} and {other} are {apart} apart, at most {most}");
            }
        }
    }
}

/// An order of a tenant, for any engine.
fn of_tenant(id: u64, tenant: u64) -> super::Order {
    let mut order = order(id, 9, Eligible::Any);
    order.tenant = TenantId(tenant);
    order
}

#[test]
fn a_newcomer_does_not_wait_behind_what_another_has_queued() {
    let mut sut = machine(Policy::LeastLoad, Machine::HWM, 2);
    for id in 0..100_000 {
        sut.submit(of_tenant(id, 1));
    }
    assert_eq!(assigned(&mut sut), [(0, 0), (1, 1)]);
    for id in 100_000..100_050 {
        sut.submit(of_tenant(id, 2));
        sut.finished(EngineId(0), last(&sut, 0), TOOK);
        // A priority counts among the orders of a tenant.
        let mut urgent = of_tenant(id + 1000, 1);
        urgent.priority = 9;
        sut.submit(urgent);
        assert_eq!(assigned(&mut sut), [(0, id)]);
        sut.finished(EngineId(0), DispatchId(id), TOOK / 1000);
        assert_eq!(assigned(&mut sut), [(0, id + 1000)]);
    }
}

/// The dispatch that an engine has.
fn last(sut: &Machine, engine: usize) -> DispatchId {
    sut.status().engines[engine].outstanding[0]
}

#[test]
fn a_tenant_has_no_more_running_than_it_may_and_holds_up_nobody() {
    let mut sut = machine(Policy::LeastLoad, Machine::HWM, 4);
    let share = Share {
        running: 2,
        ..Share::default()
    };
    sut.set_share(TenantId(1), share);
    (0..4).for_each(|id| sut.submit(of_tenant(id, 1)));
    assert_eq!(assigned(&mut sut), [(0, 0), (1, 1)]);
    (4..7).for_each(|id| sut.submit(of_tenant(id, 2)));
    assert_eq!(assigned(&mut sut), [(2, 4), (3, 5)]);
    sut.finished(EngineId(3), DispatchId(5), TOOK);
    assert_eq!(assigned(&mut sut), [(3, 6)]);
    sut.finished(EngineId(2), DispatchId(4), TOOK);
    assert_eq!(assigned(&mut sut), []);
    // Raised while its orders wait.
    sut.set_share(TenantId(1), Share::default());
    assert_eq!(assigned(&mut sut), [(2, 2)]);
}

#[test]
fn a_tenant_takes_no_more_memory_than_it_may_and_holds_up_nobody() {
    let mut sut = machine(Policy::LeastLoad, Machine::HWM, 4);
    let share = Share {
        memory: 100,
        ..Share::default()
    };
    sut.set_share(TenantId(1), share);
    let sized = |id, tenant, memory| super::Order {
        memory,
        ..of_tenant(id, tenant)
    };
    // The first may take more than the budget, which was lowered since: it runs by itself.
    for (id, memory) in [150, 60, 60, 40].into_iter().enumerate() {
        sut.submit(sized(id as u64, 1, memory));
    }
    assert_eq!(assigned(&mut sut), [(0, 0)]);
    sut.submit(sized(9, 2, 150));
    assert_eq!(assigned(&mut sut), [(1, 9)]);
    sut.finished(EngineId(0), DispatchId(0), TOOK);
    assert_eq!(assigned(&mut sut), [(2, 1)]);
    sut.finished(EngineId(2), DispatchId(1), TOOK);
    assert_eq!(assigned(&mut sut), [(3, 2), (0, 3)]);
}

#[test]
fn a_closed_tenant_leaves_nothing() {
    let mut sut = machine(Policy::LeastLoad, Machine::HWM, 2);
    for id in 0..6 {
        let mut order = of_tenant(id, 1 + id % 2);
        if id > 2 {
            order.eligible = Eligible::One(EngineId(0));
        }
        sut.submit(order);
    }
    assert_eq!(assigned(&mut sut), [(0, 0), (1, 1)]);
    assert_eq!(sut.tenants(), 2);
    assert_eq!(sut.close_tenant(TenantId(1)), [2, 4].map(DispatchId));
    // What runs is still its own.
    assert_eq!(sut.tenants(), 2);
    sut.finished(EngineId(0), DispatchId(0), TOOK);
    assert_eq!(sut.tenants(), 1);
    assert_eq!(assigned(&mut sut), [(0, 3)]);
    assert_eq!(sut.close_tenant(TenantId(2)), [DispatchId(5)]);
    assert_eq!(sut.engine_lost(EngineId(1)), [DispatchId(1)]);
    sut.finished(EngineId(0), DispatchId(3), TOOK);
    assert_eq!(sut.tenants(), 0);
    assert!(sut.is_empty());
}

#[test]
fn tenants_do_not_cost_steps() {
    const TENANTS: u64 = 1000;
    let mut sut = machine(Policy::LeastLoad, Machine::HWM, 16);
    for id in 0..50_000 {
        sut.submit(of_tenant(id, id % TENANTS));
    }
    STEPS.set(0);
    for _ in 0..50_000 {
        let Some(Decision::Assign { engine, id }) = sut.next() else {
            panic!("an engine is free");
        };
        sut.finished(engine, id, TOOK);
    }
    let spent = STEPS.get();
    assert!(spent <= 8 * 50_000, "{spent} steps");
    assert!(sut.is_empty());
}
