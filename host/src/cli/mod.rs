//! The command line: what the user typed in, what comes out, and nothing of how a task is run.

pub(crate) mod args;
pub(crate) mod build;
pub(crate) mod cache;
pub(crate) mod call;
#[cfg(feature = "nats")]
pub(crate) mod cluster;
pub(crate) mod compiler;
pub(crate) mod config;
#[cfg(feature = "nats")]
pub(crate) mod detach;
#[cfg(feature = "nats")]
pub(crate) mod engine;
pub(crate) mod exit;
mod failed;
mod grants;
pub(crate) mod history;
#[cfg(feature = "nats")]
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod job;
#[cfg(feature = "nats")]
pub(crate) mod keys;
pub(crate) mod map;
pub(crate) mod new;
pub(crate) mod output;
pub(crate) mod panics;
mod places;
#[cfg(feature = "nats")]
pub(crate) mod profile;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod run;
#[cfg(feature = "nats")]
pub(crate) mod server_config;
pub(crate) mod setup;
pub(crate) mod signals;
pub(crate) mod stats;
pub(crate) mod tell;
pub(crate) mod test;
pub(crate) mod told;
