//! Clusters on this machine: a NATS server of our own and a process with engines, by profile.

pub(crate) mod process;
pub(crate) mod state;
