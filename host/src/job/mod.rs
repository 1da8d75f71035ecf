//! The job: chunks go in, dispatches and outcomes come out.
//!
//! A pure state machine: no thread, clock, lock, file or wasmtime. It owns the tasks of one job, their retries, the
//! outcomes that wait for their turn, and the merge tree. Its driver feeds it events and carries out its decisions;
//! placement, below, chooses the engine of a dispatch that names none. `PROTOCOL.md` beside this file describes the
//! life of a task, and why no outcome is lost or doubled.

pub(crate) mod assign;
mod failures;
mod flights;
mod machine;
mod messages;
mod pace;
mod queues;
mod rules;
mod table;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use machine::Machine;
pub(crate) use messages::{
    ChunkFacts, Decision, Ending, Failed, Finished, HandedOver, ReadRequest, ReportFate, Retry,
    Work,
};
pub(crate) use pace::HandOver;
#[cfg(feature = "nats")]
pub(crate) use pace::MOST_TASKS;
pub(crate) use rules::{Assignment, Delivery, Rules};
pub use rules::{ParseToleranceError, Tolerance};
pub(crate) use table::TaskId;
