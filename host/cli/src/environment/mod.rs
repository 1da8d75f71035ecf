//! What surrounds the program: its project file, the user's directories and profiles, signals and panics.

pub(crate) mod compiler;
pub(crate) mod config;
pub(crate) mod panics;
pub(crate) mod places;
#[cfg(feature = "nats")]
pub(crate) mod profile;
pub(crate) mod signals;
