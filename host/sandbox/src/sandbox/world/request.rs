//! One run of one task: the request to the sandbox, and its report.

use super::dirs::GrantedDirs;
use super::net::Peers;
use crate::cancel::Cancel;
use crate::element::ElementSink;
use crate::grants::Grants;
use crate::input::Chunk;
use crate::limits::Limits;
use crate::note::{Listener, Notes, Recorder};
use crate::outcome::{Failure, Logs, Phases};
use crate::pushed::PushedValues;
use crate::sandbox::module::Callee;
use rwasm_value::ids::EngineId;
use rwasm_value::value::Packed;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The arguments of the call.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub enum Arguments {
    /// A chunk of the input: the one string or `list<u8>` of a function, or a command's stdin.
    Chunk(Chunk),
    /// One value for each parameter.
    Values(Vec<Packed>),
    /// The elements of the only list that the function takes.
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
    /// The granted peers, with the addresses that names have for the job.
    pub peers: Arc<Peers>,
    /// The granted directories, opened when they were granted.
    pub dirs: GrantedDirs,
    /// Whether the outcome and its fuel are the same on every engine and every run.
    #[doc(hidden)]
    pub deterministic: bool,
    /// How a WASI command is called; what functions can read of it are the arguments.
    #[doc(hidden)]
    pub command: CommandLine,
    /// Whether the instance is kept for the next task.
    pub keep_instance: bool,
    /// Whether it is kept for later jobs, too, which count on what is in it.
    pub keeps_state: bool,
    /// What the embedder's functions learn of whoever submitted the job.
    pub caller: Option<Arc<Caller>>,
}

/// How a WASI command is called, and how it may end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[doc(hidden)]
pub struct CommandLine {
    /// Its arguments, starting with its own name.
    pub arguments: Vec<String>,
    /// Exit codes that are no failure, besides 0.
    pub ok_exit: Vec<u32>,
}

/// What the embedder's functions learn of whoever submitted a job.
#[derive(Debug)]
#[doc(hidden)]
pub struct Caller {
    /// The label of the tenant.
    pub(super) tenant: Option<Arc<str>>,
    /// A value of the embedder's.
    pub(super) context: Option<Arc<dyn Any + Send + Sync>>,
}

impl Caller {
    /// None if there is nothing to learn.
    #[must_use]
    pub fn of(
        tenant: Option<&Arc<str>>,
        context: Option<&Arc<dyn Any + Send + Sync>>,
    ) -> Option<Arc<Self>> {
        if tenant.is_none() && context.is_none() {
            return None;
        }
        Some(Arc::new(Self {
            tenant: tenant.cloned(),
            context: context.cloned(),
        }))
    }
}

/// Where a task runs: what it can learn of its host, and who receives its notes.
#[derive(Clone)]
#[doc(hidden)]
pub struct Surroundings {
    pub engine: EngineId,
    /// The number of engines in the cluster.
    pub engine_count: u32,
    /// The task's id for the listener and the embedder's functions.
    pub task: u64,
    /// The values pushed to the engine.
    pub pushed: Option<Arc<PushedValues>>,
    pub listener: Option<Arc<dyn Listener>>,
    pub recorder: Option<Arc<dyn Recorder>>,
    /// Who reads the elements of its result while it runs; otherwise they are gathered into a value.
    pub elements: Option<Arc<dyn ElementSink>>,
    /// Where the ends of its phases are marked, if anybody wants to know.
    pub phases: Option<Arc<PhaseMarks>>,
}

/// When the phases of a task ended, as far as they have.
#[doc(hidden)]
pub struct PhaseMarks {
    started: Instant,
    /// In nanoseconds since then; 0 while it has not ended.
    instantiated: AtomicU64,
    called: AtomicU64,
}

impl PhaseMarks {
    /// Of a task that starts then.
    #[must_use]
    pub fn since(started: Instant) -> Self {
        Self {
            started,
            instantiated: AtomicU64::new(0),
            called: AtomicU64::new(0),
        }
    }

    fn mark(&self, phase: &AtomicU64) {
        let time = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        phase.store(time.max(1), Ordering::Relaxed);
    }

    /// Returns what was marked.
    #[must_use]
    pub fn phases(&self) -> Phases {
        let time = |phase: &AtomicU64| match phase.load(Ordering::Relaxed) {
            0 => None,
            time => Some(Duration::from_nanos(time)),
        };
        Phases {
            instantiated: time(&self.instantiated),
            called: time(&self.called),
        }
    }
}

impl Surroundings {
    /// The task has its instance.
    pub(in crate::sandbox) fn mark_instantiated(&self) {
        if let Some(marks) = &self.phases {
            marks.mark(&marks.instantiated);
        }
    }

    /// Its function has returned.
    pub(in crate::sandbox) fn mark_called(&self) {
        if let Some(marks) = &self.phases {
            marks.mark(&marks.called);
        }
    }
}

impl Setting {
    /// Fresh instances under these limits, with nothing granted.
    #[must_use]
    pub fn under(limits: Limits) -> Self {
        Self {
            limits,
            grants: Arc::default(),
            peers: Arc::default(),
            dirs: GrantedDirs::default(),
            deterministic: false,
            command: CommandLine::default(),
            keep_instance: false,
            keeps_state: false,
            caller: None,
        }
    }
}

#[cfg(test)]
impl Surroundings {
    /// An engine by itself, without values or listener.
    pub(crate) fn of(engine: EngineId) -> Self {
        Self {
            engine,
            engine_count: 1,
            task: 0,
            pushed: None,
            listener: None,
            recorder: None,
            elements: None,
            phases: None,
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

/// The report of a run.
#[doc(hidden)]
pub struct Report {
    #[doc(hidden)]
    pub result: Result<Packed, Failure>,
    /// The bytes of the elements that were read while it ran.
    #[doc(hidden)]
    pub delivered: u64,
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
