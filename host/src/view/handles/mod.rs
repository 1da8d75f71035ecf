//! The handles of what users have submitted.

pub(crate) mod elements;
pub(crate) mod errors;
pub(crate) mod job;
pub(crate) mod map;
pub(crate) mod task;
pub(crate) mod tasks;
