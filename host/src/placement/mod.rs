//! Placement: which engine gets the next dispatch, and which dispatch it gets.
//!
//! A pure state machine inside the local backend. It owns the queues of unassigned dispatches and the list of those
//! that each engine has; it knows names only, no tasks, inputs or outcomes.
//!
//! [`order`] is what is asked and answered, [`queues`] what waits, [`tenants`] which tenant is next, [`turns`] which of
//! its jobs, [`board`] what an engine may take in which order; [`policy`] and [`pool`] choose an engine, and [`machine`]
//! puts them together.

mod board;
mod machine;
mod order;
mod policy;
mod pool;
mod queues;
mod tenants;
#[cfg(test)]
mod tests;
mod turns;

pub(crate) use machine::Machine;
#[cfg(test)]
pub(crate) use machine::{EngineStatus, Status};
pub(crate) use order::{Decision, Eligible, Order, Stage};
pub use policy::{ParsePolicyError, Policy};
pub(crate) use rwasm_value::ids::TenantId;
pub(crate) use tenants::{Share, TenantLoad};

/// Marks work of which an event may cause more than a fixed amount, so that tests can hold it against the events.
fn count_step() {
    #[cfg(test)]
    tests::STEPS.set(tests::STEPS.get() + 1);
}
