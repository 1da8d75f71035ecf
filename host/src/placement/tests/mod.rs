//! Placement against random clusters: nothing lost, nothing doubled, nobody overloaded, nobody passed over.

mod cost;
mod life;
mod model;
mod policies;
mod random;
mod tenants;

use super::{Decision, Eligible, Machine, Order, Policy, Stage, TenantId};
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

thread_local! {
    /// Counted by [`count_step`](super::count_step), for each test on its own.
    pub(super) static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// What a dispatch takes if it does not matter.
const TOOK: Duration = Duration::from_millis(1);

/// A machine with engines from 0.
fn machine(policy: Policy, hwm: usize, engines: u32) -> Machine {
    let mut sut = Machine::new(policy, hwm, 7);
    (0..engines).for_each(|id| sut.engine_up(EngineId(id)));
    sut
}

/// An order of a group like any other.
fn order(id: u64, group: u64, eligible: Eligible) -> Order {
    Order {
        id: DispatchId(id),
        tenant: TenantId(0),
        group: JobId(group),
        eligible,
        priority: 0,
        stage: Stage::Map,
        memory: 0,
    }
}

fn set(engines: impl IntoIterator<Item = u32>) -> Arc<[EngineId]> {
    engines.into_iter().map(EngineId).collect()
}

/// All decisions until there are none.
fn decisions(sut: &mut Machine) -> Vec<Decision> {
    std::iter::from_fn(|| sut.next()).collect()
}

/// All assignments until there are none, as numbers: engine, dispatch.
fn assigned(sut: &mut Machine) -> Vec<(u32, u64)> {
    let pair = |decision| match decision {
        Decision::Assign { engine, id } => (engine.0, id.0),
        Decision::Reject { .. } => panic!("{decision:?}"),
    };
    decisions(sut).into_iter().map(pair).collect()
}
