//! Engines that come and go, and orders that go with them, one story at a time.

use super::super::{Decision, Eligible, Machine, Order, Policy, Stage};
use super::{TOOK, assigned, decisions, machine, order, set};
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::sync::Arc;

fn one(id: u32) -> Eligible {
    Eligible::One(EngineId(id))
}

fn reject(id: u64, eligible: Eligible) -> Decision {
    let id = DispatchId(id);
    Decision::Reject { id, eligible }
}

#[test]
fn what_waits_for_a_lost_engine_is_for_its_replacement() {
    let mut sut = machine(Policy::LeastLoad, 1, 2);
    (0..3).for_each(|id| sut.submit(order(id, 0, one(0))));
    assert_eq!(assigned(&mut sut), [(0, 0)]);
    assert_eq!(sut.engine_lost(EngineId(0)), [DispatchId(0)]);
    sut.submit(order(3, 0, one(0)));
    assert_eq!(sut.next(), None);
    // A note that comes late changes nothing.
    sut.finished(EngineId(0), DispatchId(0), TOOK);
    sut.engine_up(EngineId(0));
    assert_eq!(assigned(&mut sut), [(0, 1)]);
}

#[test]
fn a_lost_engine_that_cannot_be_replaced_takes_its_own_with_it() {
    let mut sut = machine(Policy::LeastLoad, 1, 2);
    (0..2).for_each(|id| sut.submit(order(id, 0, one(1))));
    sut.next();
    sut.engine_lost(EngineId(1));
    assert_eq!(sut.engine_gone(EngineId(1)), []);
    sut.submit(order(2, 0, one(1)));
    assert_eq!(decisions(&mut sut), [reject(1, one(1)), reject(2, one(1))]);
    assert!(sut.is_empty());
}

#[test]
fn an_engine_that_leaves_finishes_what_it_has() {
    let mut sut = machine(Policy::LeastLoad, 2, 1);
    (0..2).for_each(|id| sut.submit(order(id, 0, Eligible::Any)));
    assert_eq!(assigned(&mut sut), [(0, 0), (0, 1)]);
    sut.submit(order(2, 0, one(0)));
    assert!(!sut.engine_leaving(EngineId(0)));
    sut.submit(order(3, 0, Eligible::Any));
    sut.finished(EngineId(0), DispatchId(0), TOOK);
    assert_eq!(decisions(&mut sut), [reject(2, one(0))]);
    assert!(!sut.engine_leaving(EngineId(0)));
    sut.finished(EngineId(0), DispatchId(1), TOOK);
    assert!(sut.engine_leaving(EngineId(0)));
    assert_eq!(sut.engine_gone(EngineId(0)), []);
    // What any engine may take waits for one to come.
    assert_eq!(sut.next(), None);
    sut.engine_up(EngineId(1));
    assert_eq!(assigned(&mut sut), [(1, 3)]);
}

#[test]
fn a_set_is_served_as_long_as_one_of_it_is_there() {
    let mut sut = machine(Policy::LeastLoad, 1, 3);
    let some = set([1, 2]);
    let eligible = || Eligible::Of(Arc::clone(&some));
    (0..5).for_each(|id| sut.submit(order(id, 0, eligible())));
    assert_eq!(assigned(&mut sut), [(1, 0), (2, 1)]);
    assert_eq!(sut.engine_gone(EngineId(1)), [DispatchId(0)]);
    sut.finished(EngineId(2), DispatchId(1), TOOK);
    assert_eq!(assigned(&mut sut), [(2, 2)]);
    assert_eq!(sut.engine_lost(EngineId(2)), [DispatchId(2)]);
    assert_eq!(sut.next(), None);
    sut.engine_leaving(EngineId(2));
    let rejected = [reject(3, eligible()), reject(4, eligible())];
    assert_eq!(decisions(&mut sut), rejected);
    sut.submit(order(5, 0, eligible()));
    sut.submit(order(6, 0, Eligible::Of(set([]))));
    let rejected = [reject(5, eligible()), reject(6, Eligible::Of(set([])))];
    assert_eq!(decisions(&mut sut), rejected);
    assert!(sut.is_empty());
}

#[test]
fn an_engine_that_comes_takes_from_sets_that_named_it_before() {
    let mut sut = machine(Policy::LeastLoad, 1, 1);
    let both = set([0, 1]);
    (0..2).for_each(|id| sut.submit(order(id, 0, Eligible::Of(Arc::clone(&both)))));
    assert_eq!(assigned(&mut sut), [(0, 0)]);
    sut.engine_up(EngineId(1));
    assert_eq!(assigned(&mut sut), [(1, 1)]);
}

#[test]
fn what_is_to_be_rejected_can_no_longer_be_cancelled() {
    let mut sut = machine(Policy::LeastLoad, 1, 0);
    sut.submit(order(0, 0, one(0)));
    sut.submit(order(1, 0, Eligible::Any));
    assert!(!sut.cancel(DispatchId(0)));
    assert!(sut.cancel(DispatchId(1)));
    assert!(!sut.cancel(DispatchId(1)));
    assert_eq!(sut.cancel_group(JobId(0)), []);
    assert_eq!(decisions(&mut sut), [reject(0, one(0))]);
}

#[test]
fn a_higher_priority_goes_first_even_to_a_busier_engine() {
    let mut sut = machine(Policy::LeastLoad, 2, 2);
    sut.submit(order(0, 0, one(1)));
    assert_eq!(assigned(&mut sut), [(1, 0)]);
    let urgent = Order {
        priority: 1,
        ..order(2, 0, one(1))
    };
    sut.submit(order(1, 0, Eligible::Any));
    sut.submit(urgent);
    assert_eq!(assigned(&mut sut), [(1, 2), (0, 1)]);
}

#[test]
fn a_reduce_goes_first_within_its_group_only() {
    let mut sut = machine(Policy::LeastLoad, usize::MAX, 1);
    let stages = [Stage::Map, Stage::Map, Stage::Map, Stage::Reduce];
    for (id, (group, stage)) in [0, 0, 1, 0].into_iter().zip(stages).enumerate() {
        // Half of them by way of another queue, which makes no difference.
        let eligible = if id % 2 == 0 { Eligible::Any } else { one(0) };
        sut.submit(Order {
            stage,
            ..order(id as u64, group, eligible)
        });
    }
    assert_eq!(assigned(&mut sut), [(0, 3), (0, 2), (0, 0), (0, 1)]);
}

#[test]
fn a_group_is_dropped_in_the_order_of_submission() {
    let mut sut = machine(Policy::LeastLoad, 1, 1);
    let ways = [Eligible::Any, one(0), Eligible::Of(set([0])), Eligible::Any];
    for (id, eligible) in ways.into_iter().enumerate() {
        sut.submit(Order {
            priority: -i32::try_from(id % 3).unwrap(),
            ..order(id as u64, 5, eligible)
        });
    }
    sut.submit(order(4, 6, Eligible::Any));
    assert_eq!(sut.cancel_group(JobId(5)), [0, 1, 2, 3].map(DispatchId));
    assert_eq!(assigned(&mut sut), [(0, 4)]);
    sut.finished(EngineId(0), DispatchId(4), TOOK);
    assert!(sut.is_empty());
}

#[test]
fn a_limit_of_none_is_one() {
    let mut sut = machine(Policy::LeastLoad, 0, 1);
    (0..2).for_each(|id| sut.submit(order(id, 0, Eligible::Any)));
    assert_eq!(assigned(&mut sut), [(0, 0)]);
}

#[test]
fn a_machine_without_engines_waits() {
    let mut sut = Machine::new(Policy::default(), Machine::HWM, 0);
    assert_eq!(sut.next(), None);
    sut.submit(order(0, 0, Eligible::Any));
    assert_eq!(sut.next(), None);
    assert_eq!(sut.status().unassigned, 1);
}
