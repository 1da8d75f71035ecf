//! What is recorded of jobs and tasks, as plain data. The same structs are written and read.

use rwasm_value::ids::EngineId;
use rwasm_value::value::Packed;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// The name of a job in a history: counted from 1, never given twice, not even after a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey(pub u64);

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An enum of which each variant has a stable name.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable name, as in the history's file, in JSON and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The one of this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.name() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// What kind of job it was.
    JobKind {
        /// An input mapped in chunks, and merged.
        Run = "run",
        /// One task per item.
        Map = "map",
        /// A single call, or one on each of several engines.
        Call = "call",
    }
}

named! {
    /// What has become of a job.
    JobState {
        /// It is running.
        Running = "running",
        /// It ended as it should.
        Done = "done",
        /// It ended by a failure.
        Failed = "failed",
        /// It was stopped.
        Cancelled = "cancelled",
        /// The process that ran it ended before the job did.
        Interrupted = "interrupted",
    }
}

named! {
    /// What has become of a task.
    TaskState {
        /// It gave a value.
        Done = "done",
        /// It failed.
        Failed = "failed",
        /// It was stopped, or never ran, because its job was stopped.
        Cancelled = "cancelled",
    }
}

/// A job that begins, as it is recorded.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct NewJob {
    /// What kind of job it is.
    pub kind: JobKind,
    /// Where the module was loaded from, if from a file.
    pub module_path: Option<PathBuf>,
    /// The SHA-256 of the module, in lowercase hexadecimal digits.
    pub module_hash: String,
    /// What the module is called.
    pub module_name: String,
    /// The function its tasks call.
    pub function: String,
    /// What the user calls the job.
    pub label: Option<String>,
    /// The job of which this one repeats tasks.
    pub repeats: Option<JobKey>,
    /// Limits, merge, retries and the like: not looked into here.
    pub options: serde_json::Value,
    /// When it was submitted.
    pub submitted: SystemTime,
    /// What it reads.
    pub inputs: Vec<InputEntry>,
}

/// How a job ended, as it is recorded.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct JobEnd {
    /// What has become of it.
    pub state: JobState,
    /// When it ended.
    pub ended: SystemTime,
    /// Its merged result, if it has one.
    pub result: Option<Packed>,
    /// Its figures: not looked into here.
    pub stats: serde_json::Value,
    /// Why it did not end well.
    pub message: Option<String>,
}

/// One input of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputEntry {
    /// What it was called.
    pub name: String,
    /// Its file, if it has one: absolute, so that it can be found again.
    pub path: Option<PathBuf>,
    /// Its length in bytes, where that was known beforehand.
    pub bytes: Option<u64>,
}

impl InputEntry {
    /// An input that is only named, as stdin is.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path: None,
            bytes: None,
        }
    }
}

/// A job of the history.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobEntry {
    /// Its name in this history.
    pub key: JobKey,
    /// What kind of job it was.
    pub kind: JobKind,
    /// What has become of it.
    pub state: JobState,
    /// What the user called it.
    pub label: Option<String>,
    /// The function its tasks called.
    pub function: String,
    /// Where the module was loaded from, if from a file.
    pub module_path: Option<PathBuf>,
    /// The SHA-256 of the module, in lowercase hexadecimal digits.
    pub module_hash: String,
    /// What the module was called.
    pub module_name: String,
    /// The job of which this one repeated tasks.
    pub repeats: Option<JobKey>,
    /// Limits, merge, retries and the like, as the job was given them.
    pub options: serde_json::Value,
    /// What it read.
    pub inputs: Vec<InputEntry>,
    /// When it was submitted.
    pub submitted: SystemTime,
    /// When it ended; none while it runs or where it was interrupted.
    pub ended: Option<SystemTime>,
    /// Its figures, once it has ended.
    pub stats: Option<serde_json::Value>,
    /// Why it did not end well.
    pub message: Option<String>,
    /// How many of its tasks were recorded.
    pub tasks: u64,
    /// How many of these failed.
    pub tasks_failed: u64,
    /// How many of its tasks are no longer, or never were, kept: the history's bounds, or an
    /// error while recording.
    pub tasks_dropped: u64,
}

/// A value that is kept, or why it is not.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kept {
    /// There is no value.
    Nothing,
    /// The value.
    Value(Packed),
    /// There was a value, and it is not kept.
    LeftOut {
        /// Its size in bytes.
        bytes: u64,
        /// Why it is not kept.
        reason: String,
    },
}

/// What a task was called with, or where that can be had again.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TaskInput {
    /// Its arguments.
    Stored(Vec<Packed>),
    /// A part of a file.
    Range {
        /// The file: absolute, so that it can be found again.
        path: PathBuf,
        /// The first byte.
        start: u64,
        /// The byte after the last; `u64::MAX` where the end of the file is meant.
        end: u64,
        /// The SHA-256 of these bytes, in hexadecimal digits, where it was taken.
        sha256: Option<String>,
    },
    /// It cannot be had again, and why.
    Elsewhere(String),
}

/// One run of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptEntry {
    /// Where it ran.
    pub engine: EngineId,
    /// The code of its failure; none where it gave a value.
    pub code: Option<String>,
    /// What its failure says; empty where it gave a value.
    pub message: String,
    /// When it began to run.
    pub started: SystemTime,
    /// How long it ran.
    pub run_time: Duration,
}

impl AttemptEntry {
    /// A run that gave a value.
    #[must_use]
    pub fn new(engine: EngineId, started: SystemTime, run_time: Duration) -> Self {
        Self {
            engine,
            code: None,
            message: String::new(),
            started,
            run_time,
        }
    }
}

/// A task of the history.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskEntry {
    /// Its place in input order, from 0.
    pub index: u64,
    /// What has become of it.
    pub state: TaskState,
    /// The code of its failure, if it failed: a [`FailureCode`](crate::FailureCode) by its name.
    pub code: Option<String>,
    /// What its failure says.
    pub message: Option<String>,
    /// The functions of the guest that were running when it was stopped.
    pub backtrace: Option<String>,
    /// Where it ran last, if it ran.
    pub engine: Option<EngineId>,
    /// Its runs, in order.
    pub attempts: Vec<AttemptEntry>,
    /// When it was handed to the cluster.
    pub queued: Option<SystemTime>,
    /// When its last run began.
    pub started: Option<SystemTime>,
    /// When its last run ended.
    pub finished: Option<SystemTime>,
    /// How long its last run took.
    pub run_time: Duration,
    /// The largest sum of its linear memories, in bytes.
    pub peak_memory: u64,
    /// Bytes that went in.
    pub bytes_in: u64,
    /// Bytes that came out.
    pub bytes_out: u64,
    /// Fuel it used, where fuel is counted.
    pub fuel: Option<u64>,
    /// What it was called with.
    pub input: TaskInput,
    /// What it gave.
    pub result: Kept,
    /// The end of what it wrote to stderr.
    pub stderr: Vec<u8>,
}

impl TaskEntry {
    /// A task that gave nothing and used nothing; the rest is filled in by whoever records it.
    #[must_use]
    pub fn new(index: u64, state: TaskState, input: TaskInput) -> Self {
        Self {
            index,
            state,
            code: None,
            message: None,
            backtrace: None,
            engine: None,
            attempts: Vec::new(),
            queued: None,
            started: None,
            finished: None,
            run_time: Duration::ZERO,
            peak_memory: 0,
            bytes_in: 0,
            bytes_out: 0,
            fuel: None,
            input,
            result: Kept::Nothing,
            stderr: Vec::new(),
        }
    }

    /// About how many bytes it holds, for whoever bounds them.
    pub(super) fn weight(&self) -> usize {
        /// The fixed part, here and in the file.
        const BASE: usize = 256;
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let input = match &self.input {
            TaskInput::Stored(values) => values.iter().map(Packed::len).sum(),
            TaskInput::Range { path, .. } => path.as_os_str().len(),
            TaskInput::Elsewhere(reason) => reason.len(),
        };
        let result = match &self.result {
            Kept::Value(value) => value.len(),
            _ => 0,
        };
        let attempts: usize = self
            .attempts
            .iter()
            .map(|run| BASE + run.message.len())
            .sum();
        BASE + input
            + result
            + attempts
            + self.stderr.len()
            + text(&self.message)
            + text(&self.backtrace)
    }
}
