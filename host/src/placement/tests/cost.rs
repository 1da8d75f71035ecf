//! What large clusters cost, in steps and not in time: each step is a fixed number of look-ups in ordered maps.

use super::super::{Decision, Eligible, Machine, Policy};
use super::{STEPS, TOOK, machine, order, set};
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::sync::Arc;

/// What is done, in steps.
fn steps(work: impl FnOnce()) -> usize {
    STEPS.set(0);
    work();
    STEPS.get()
}

/// Takes `count` decisions, each engine finishing at once what it gets.
fn run(sut: &mut Machine, count: usize) {
    for _ in 0..count {
        let Some(Decision::Assign { engine, id }) = sut.next() else {
            panic!("an engine is free");
        };
        sut.finished(engine, id, TOOK);
    }
}

#[test]
fn cancelling_orders_one_by_one_touches_nothing_else() {
    const ORDERS: u64 = 100_000;
    let mut sut = machine(Policy::LeastLoad, 1, 4);
    let some = set([1, 2]);
    for (group, eligible) in [
        Eligible::Any,
        Eligible::One(EngineId(3)),
        Eligible::Of(some),
    ]
    .into_iter()
    .enumerate()
    {
        (0..ORDERS).for_each(|id| sut.submit(order(id, group as u64, eligible.clone())));
        let spent = steps(|| (0..ORDERS).for_each(|id| assert!(sut.cancel(DispatchId(id)))));
        assert!(spent <= 2, "{spent} steps");
        assert!(sut.is_empty());
    }
}

#[test]
fn cancelling_a_group_touches_no_other() {
    let mut sut = machine(Policy::LeastLoad, 1, 64);
    for id in 0..20_000 {
        let engine = EngineId(u32::try_from(id % 64).unwrap());
        sut.submit(order(id, id % 1000, Eligible::One(engine)));
    }
    let spent = steps(|| assert_eq!(sut.cancel_group(JobId(7)).len(), 20));
    assert!(spent <= 20, "{spent} steps");
}

#[test]
fn a_set_is_posted_once_for_all_its_orders() {
    let mut sut = machine(Policy::LeastLoad, 1, 1024);
    let all = set(0..1024);
    let spent = steps(|| {
        (0..50_000).for_each(|id| sut.submit(order(id, 0, Eligible::Of(Arc::clone(&all)))));
    });
    assert!(spent <= 1024, "{spent} steps to submit");
    let spent = steps(|| run(&mut sut, 50_000));
    assert!(spent <= 1024 + 8 * 50_000, "{spent} steps to run");
    assert!(sut.is_empty());
}

#[test]
fn groups_that_all_want_all_engines_do_not_look_at_each_other() {
    const GROUPS: u64 = 200;
    const ENGINES: u32 = 100;
    let ways: [fn(u64) -> Eligible; 2] = [
        |_| Eligible::Any,
        |id| Eligible::One(EngineId(u32::try_from(id).unwrap() % ENGINES)),
    ];
    for policy in Policy::ALL {
        let mut sut = machine(policy, Machine::HWM, ENGINES);
        let orders = 3 * GROUPS * u64::from(ENGINES);
        for id in 0..orders {
            let group = id / u64::from(ENGINES) % GROUPS;
            let way = ways[usize::from(!group.is_multiple_of(10))];
            sut.submit(order(id, group, way(id)));
        }
        let spent = steps(|| run(&mut sut, usize::try_from(orders).unwrap()));
        let each = spent as u64 / orders;
        assert!(each <= 12, "{policy}: {each} steps per decision");
        assert!(sut.is_empty());
    }
}

#[test]
fn groups_of_one_order_each_cost_no_more() {
    let mut sut = machine(Policy::LeastLoad, Machine::HWM, 16);
    for id in 0..50_000 {
        let engine = EngineId(u32::try_from(id % 16).unwrap());
        let eligible = if id % 2 == 0 {
            Eligible::Any
        } else {
            Eligible::One(engine)
        };
        sut.submit(order(id, id, eligible));
    }
    let spent = steps(|| run(&mut sut, 50_000));
    assert!(spent <= 8 * 50_000, "{spent} steps");
    assert!(sut.is_empty());
}
