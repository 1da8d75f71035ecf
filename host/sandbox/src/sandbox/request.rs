//! One run of one task, as the sandbox is asked for it, and what it says of it.

use super::net::Peers;
use crate::cancel::Cancel;
use crate::grants::Grants;
use crate::input::Chunk;
use crate::limits::Limits;
use crate::note::{Listener, Notes};
use crate::outcome::{Failure, Logs};
use crate::pushed::PushedValues;
use rwasm_value::ids::EngineId;
use rwasm_value::value::Packed;
use std::fs::File;
use std::sync::Arc;

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Callee {
    /// The program of a WASI command.
    Command,
    /// The function of the module at this place.
    Function(usize),
}

/// What it is called with.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub enum Arguments {
    /// A chunk of the input: the one string or `list<u8>` of a function, or a command's stdin.
    Chunk(Chunk),
    /// One value for each parameter.
    Values(Vec<Packed>),
    /// The elements of the one list that the function takes.
    Parts(Vec<Packed>),
}

/// What all runs of a job's tasks have in common.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct Setting {
    #[doc(hidden)]
    pub limits: Limits,
    #[doc(hidden)]
    pub grants: Arc<Grants>,
    /// The peers among them, with the addresses that names have for the job.
    pub peers: Arc<Peers>,
    /// The directories of the grants, in their order, as they were found when they were granted.
    pub dirs: Arc<[File]>,
    /// Whether it comes to the same, with the same fuel, on every engine and every run.
    #[doc(hidden)]
    pub deterministic: bool,
    /// The arguments of a WASI command, its own name first.
    #[doc(hidden)]
    pub program_arguments: Vec<String>,
    /// Whether the instance is kept for the next task.
    pub keep_instance: bool,
}

/// Where a task runs: what it can learn of its host, and who hears what it tells.
#[derive(Clone)]
#[doc(hidden)]
pub struct Surroundings {
    pub engine: EngineId,
    /// How many engines the cluster has.
    pub engine_count: u32,
    /// The task's id, by which the listener and the embedder's functions know it.
    pub task: u64,
    /// The values that were pushed to the engine.
    pub pushed: Option<Arc<PushedValues>>,
    pub listener: Option<Arc<dyn Listener>>,
}

impl Setting {
    /// Fresh instances with nothing granted, under these limits.
    #[must_use]
    pub fn under(limits: Limits) -> Self {
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
#[doc(hidden)]
pub struct Request<'a> {
    pub callee: Callee,
    pub arguments: &'a Arguments,
    pub setting: &'a Setting,
    pub cancel: &'a Cancel,
    pub surroundings: &'a Surroundings,
}

/// What came of it.
#[doc(hidden)]
pub struct Report {
    #[doc(hidden)]
    pub result: Result<Packed, Failure>,
    #[doc(hidden)]
    pub peak_memory: u64,
    #[doc(hidden)]
    pub bytes_in: u64,
    #[doc(hidden)]
    pub fuel: Option<u64>,
    #[doc(hidden)]
    pub logs: Option<Box<Logs>>,
    #[doc(hidden)]
    pub notes: Option<Box<Notes>>,
}
