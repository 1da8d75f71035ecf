//! From the options of a command that runs tasks to a job: settings, grants, the history it is recorded in, and the
//! cluster that keeps it if nobody waits for it.

pub(crate) mod settings;

pub(crate) mod grants;
pub(crate) mod history;

#[cfg(feature = "nats")]
pub(crate) mod detach;
