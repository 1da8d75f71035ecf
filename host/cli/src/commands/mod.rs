//! The commands, a file each: what `main` calls with the arguments of one.

mod build;
mod cache;
mod call;
mod doctor;
#[cfg(feature = "nats")]
mod engine;
#[cfg(feature = "nats")]
mod init;
mod inspect;
mod job;
#[cfg(feature = "nats")]
mod keys;
mod manual;
mod map;
mod new;
mod run;
#[cfg(feature = "nats")]
mod server_config;
mod template;
mod test;

pub(crate) use build::build;
pub(crate) use cache::cache;
pub(crate) use call::call;
pub(crate) use doctor::doctor;
#[cfg(feature = "nats")]
pub(crate) use engine::engine;
#[cfg(feature = "nats")]
pub(crate) use init::init;
pub(crate) use inspect::inspect;
pub(crate) use job::job;
#[cfg(feature = "nats")]
pub(crate) use keys::keys;
pub(crate) use manual::{completions, man, version};
pub(crate) use map::map;
pub(crate) use new::new;
pub(crate) use run::run;
#[cfg(feature = "nats")]
pub(crate) use server_config::server_config;
pub(crate) use test::test;
