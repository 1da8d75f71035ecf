//! One run of one task, as the sandbox is asked for it, and what it says of it.

use super::net::Peers;
use crate::cancel::Cancel;
use crate::grants::Grants;
use crate::ids::EngineId;
use crate::input::Chunk;
use crate::limits::Limits;
use crate::note::{Listener, Notes};
use crate::outcome::{Failure, Logs};
use crate::pushed::PushedValues;
use crate::value::Packed;
use std::fs::File;
use std::sync::Arc;

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callee {
    /// The program of a WASI command.
    Command,
    /// The function of the module at this place.
    Function(usize),
}

/// What it is called with.
#[derive(Clone, Debug)]
pub(crate) enum Arguments {
    /// A chunk of the input: the one string or `list<u8>` of a function, or a command's stdin.
    Chunk(Chunk),
    /// One value for each parameter.
    Values(Vec<Packed>),
    /// The elements of the one list that the function takes.
    Parts(Vec<Packed>),
}

/// What all runs of a job's tasks have in common.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) limits: Limits,
    pub(crate) grants: Arc<Grants>,
    /// The peers among them, with the addresses that names have for the job.
    pub(crate) peers: Arc<Peers>,
    /// The directories of the grants, in their order, as they were found when they were granted.
    pub(crate) dirs: Arc<[File]>,
    /// Whether it comes to the same, with the same fuel, on every engine and every run.
    pub(crate) deterministic: bool,
    /// The arguments of a WASI command, its own name first.
    pub(crate) program_arguments: Vec<String>,
    /// Whether the instance is kept for the next task.
    pub(crate) keep_instance: bool,
}

/// Where a task runs: what it can learn of its host, and who hears what it tells.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) engine: EngineId,
    /// How many engines the cluster has.
    pub(crate) engine_count: u32,
    /// The task's id, by which the listener and the embedder's functions know it.
    pub(crate) task: u64,
    /// The values that were pushed to the engine.
    pub(crate) pushed: Option<Arc<PushedValues>>,
    pub(crate) listener: Option<Arc<dyn Listener>>,
}

#[cfg(test)]
impl Setting {
    /// Fresh instances with nothing granted, under these limits.
    pub(crate) fn under(limits: Limits) -> Self {
        Self {
            limits,
            grants: Arc::default(),
            peers: Arc::default(),
            dirs: Arc::default(),
            deterministic: false,
            program_arguments: Vec::new(),
            keep_instance: false,
        }
    }
}

#[cfg(test)]
impl Surroundings {
    /// An engine on its own, with no values, of which nobody hears.
    pub(crate) fn of(engine: EngineId) -> Self {
        Self {
            engine,
            engine_count: 1,
            task: 0,
            pushed: None,
            listener: None,
        }
    }
}

/// One run.
pub(crate) struct Request<'a> {
    pub(crate) callee: Callee,
    pub(crate) arguments: &'a Arguments,
    pub(crate) setting: &'a Setting,
    pub(crate) cancel: &'a Cancel,
    pub(crate) surroundings: &'a Surroundings,
}

/// What came of it.
pub(crate) struct Report {
    pub(crate) result: Result<Packed, Failure>,
    pub(crate) peak_memory: u64,
    pub(crate) bytes_in: u64,
    pub(crate) fuel: Option<u64>,
    pub(crate) logs: Option<Box<Logs>>,
    pub(crate) notes: Option<Box<Notes>>,
}
