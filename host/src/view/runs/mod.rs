//! Jobs of many tasks: how they are specified, read, driven, merged and recorded.

pub(crate) mod driver;
pub(crate) mod ending;
pub(crate) mod lines;
#[cfg(feature = "nats")]
pub(crate) mod packs;
pub(crate) mod pieces;
pub(crate) mod plan;
pub(crate) mod reader;
#[cfg(feature = "nats")]
pub(crate) mod recall;
#[cfg(feature = "history")]
pub(crate) mod recording;
#[cfg(not(feature = "history"))]
#[path = "unrecorded.rs"]
pub(crate) mod recording;
pub(crate) mod run;
pub(crate) mod spec;
pub(crate) mod start;
pub(crate) mod submit;
