//! Placement: which engine gets the next dispatch.
//!
//! A pure state machine inside the local backend. It owns the queues of dispatches that no engine has yet and the
//! list of those that each engine has; it knows nothing of tasks, inputs or outcomes, only names.

mod machine;
mod queue;
#[cfg(test)]
mod tests;

pub(crate) use machine::{Decision, Machine, Order, Policy, Priority};
