//! The graph: tasks submitted one by one, and whole maps, that wait for others, are tried again and have limits of time.
//!
//! A pure state machine: no thread, clock, lock, file or wasmtime. It owns what each task waits for, its attempts and
//! its times. It does not know what a task does, its input or its outcome, only whether it succeeded and where it ran;
//! which engine gets an attempt is decided below, by placement. Time is a `Duration` since the cluster's start, handed
//! in with each event. `PROTOCOL.md` beside this file tells the life of a task and why each has exactly one outcome.

mod dependency;
mod machine;
mod messages;
mod retry;
mod task;
#[cfg(test)]
mod tests;
mod waiting;
mod waits;

pub use dependency::{Dependency, DependencyError};
pub(crate) use machine::Machine;
pub(crate) use messages::{Decision, Ended, Known, Resolution, Terms, Verdict};
pub use retry::{Backoff, FailureSet, ParseFailureSetError, Retry};
