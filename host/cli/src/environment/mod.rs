//! What surrounds the program: its project file, the user's directories, its open files, signals and panics.

#[cfg(feature = "nats")]
pub(crate) mod allocator;
pub(crate) mod compiler;
pub(crate) mod config;
pub(crate) mod files;
pub(crate) mod panics;
pub(crate) mod places;
pub(crate) mod signals;
