//! Running: `program` is a module with its code and its imports bound (`portable` is one for workers), and `runner` runs a task in
//! it on the calling thread, through `core` (with `plain`, functions without types) or `component`
//! (with `bulk`, the static types of bulk data). `text` is what both share, and `failure` describes why a guest was stopped.

mod bulk;
mod component;
mod concurrent;
mod core;
pub(super) mod failure;
mod live;
mod plain;
pub(super) mod portable;
pub(super) mod program;
pub(super) mod runner;
mod script;
mod streams;
mod text;
