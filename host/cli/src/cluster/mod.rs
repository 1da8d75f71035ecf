//! Clusters on this machine: a NATS server and a process with engines, which run on in the background, by profile.
//!
//! Nothing of a job is known here. What is started is started as a user would by hand: `nats-server`, `engine join`, `ssh`.

mod background;
mod began;
mod engines;
mod found;
mod process;
pub(crate) mod profile;
mod server;
mod settings;
mod start;
mod state;
mod status;
mod stop;
mod tether;
mod waiting;

pub(crate) use background::BoundedLog;
pub(crate) use start::start;
pub(crate) use status::{list, status};
pub(crate) use stop::stop;
pub(crate) use tether::held;

use std::process::ExitCode;

/// The lane of tasks that name none.
pub(crate) const MAIN_LANE: &str = "main";

/// Does what a process of a cluster was started for, if it was; none of it is for people to call.
pub(crate) fn serve() -> Option<ExitCode> {
    background::serve().or_else(tether::serve)
}
