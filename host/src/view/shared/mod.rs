//! What runs, calls, maps and their handles share.

pub(crate) mod admission;
pub(crate) mod core;
pub(crate) mod desk;
pub(crate) mod drivers;
pub(crate) mod elements;
pub(crate) mod events;
#[cfg(feature = "history")]
pub(crate) mod keeper;
#[cfg(not(feature = "history"))]
#[path = "no_keeper.rs"]
pub(crate) mod keeper;
pub(crate) mod live;
pub(crate) mod maker;
pub(crate) mod namespace;
pub(crate) mod notes;
pub(crate) mod programs;
pub(crate) mod result;
pub(crate) mod settings;
pub(crate) mod slot;
pub(crate) mod stats;
pub(crate) mod targets;
pub(crate) mod tenant;
