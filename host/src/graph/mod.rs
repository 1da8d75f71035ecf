//! The graph: single tasks and whole maps that wait for others, are retried and have time limits.
//!
//! A pure state machine: no thread, clock, lock, file or wasmtime. It owns the dependencies, attempts and times of
//! each task. It does not know what a task does, its input or its outcome, only whether it succeeded and where it
//! ran; placement, below, decides which engine gets an attempt. Time is a `Duration` since the cluster's start,
//! passed in with each event. `PROTOCOL.md` beside this file describes the life of a task, and why each has exactly
//! one outcome.

mod dependency;
mod machine;
mod messages;
mod retry;
mod task;
#[cfg(test)]
mod tests;
mod waiting;
mod waits;

pub(crate) use crate::job::ReportFate;
pub use dependency::{Dependency, DependencyError};
pub(crate) use machine::Machine;
pub(crate) use messages::{Decision, Ended, Known, Resolution, Terms};
pub use retry::{Backoff, FailureSet, ParseFailureSetError, Retry};
