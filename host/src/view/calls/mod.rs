//! Calls and maps: the views, and what they submit.

pub(crate) mod balanced;
mod call;
pub(crate) mod direct;
pub(crate) mod elements;
mod map;
