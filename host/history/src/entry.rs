//! What is recorded of jobs and tasks, as plain data. The same structs are written and read.

use rwasm_value::ids::EngineId;
use rwasm_value::value::Packed;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// The key of a job in a history: counted from 1 and never reused, even after jobs are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey(pub u64);

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Defines an enum whose variants have stable names.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All variants, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the stable name, as in the history's file, in JSON and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// Returns the variant with this name.
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
    /// The kind of a job.
    JobKind {
        /// An input that is mapped in chunks and merged.
        Run = "run",
        /// One task per item.
        Map = "map",
        /// A single call, or one call on each of several engines.
        Call = "call",
    }
}

named! {
    /// The state of a job.
    JobState {
        /// It is running.
        Running = "running",
        /// It succeeded.
        Done = "done",
        /// It failed.
        Failed = "failed",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// Its process ended before the job did: it was killed, or told to end.
        Interrupted = "interrupted",
    }
}

named! {
    /// The outcome of a task.
    TaskState {
        /// It returned a value.
        Done = "done",
        /// It failed.
        Failed = "failed",
        /// It was cancelled, or never ran, because its job was cancelled.
        Cancelled = "cancelled",
    }
}

/// A job that begins, as it is recorded.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct NewJob {
    /// The kind of the job.
    pub kind: JobKind,
    /// The file that the module was loaded from, if any.
    pub module_path: Option<PathBuf>,
    /// The SHA-256 of the module, in lowercase hexadecimal digits.
    pub module_hash: String,
    /// The name of the module.
    pub module_name: String,
    /// The function that its tasks call.
    pub function: String,
    /// The label that the user gave the job.
    pub label: Option<String>,
    /// The job whose tasks this one repeats.
    pub repeats: Option<JobKey>,
    /// Limits, merge, retries and the like; not interpreted here.
    pub options: serde_json::Value,
    /// When it was submitted.
    pub submitted: SystemTime,
    /// Its inputs.
    pub inputs: Vec<InputEntry>,
}

/// The end of a job, as it is recorded.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct JobEnd {
    /// The final state.
    pub state: JobState,
    /// When it ended.
    pub ended: SystemTime,
    /// Its merged result, if it has one.
    pub result: Option<Packed>,
    /// Its statistics; not interpreted here.
    pub stats: serde_json::Value,
    /// Why it did not succeed.
    pub message: Option<String>,
}

/// One input of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputEntry {
    /// Its name.
    pub name: String,
    /// Its file, if it has one: an absolute path, so that it can be found again.
    pub path: Option<PathBuf>,
    /// Its length in bytes, if known in advance.
    pub bytes: Option<u64>,
}

impl InputEntry {
    /// An input that only has a name, such as stdin.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path: None,
            bytes: None,
        }
    }
}

/// A job in the history.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobEntry {
    /// Its key in this history.
    pub key: JobKey,
    /// The kind of the job.
    pub kind: JobKind,
    /// Its state.
    pub state: JobState,
    /// The label that the user gave it.
    pub label: Option<String>,
    /// The function that its tasks call.
    pub function: String,
    /// The file that the module was loaded from, if any.
    pub module_path: Option<PathBuf>,
    /// The SHA-256 of the module, in lowercase hexadecimal digits.
    pub module_hash: String,
    /// The name of the module.
    pub module_name: String,
    /// The job whose tasks this one repeats.
    pub repeats: Option<JobKey>,
    /// Limits, merge, retries and the like, as given to the job.
    pub options: serde_json::Value,
    /// Its inputs.
    pub inputs: Vec<InputEntry>,
    /// When it was submitted.
    pub submitted: SystemTime,
    /// When it ended; `None` while it runs or if it was interrupted.
    pub ended: Option<SystemTime>,
    /// Its statistics, once it has ended.
    pub stats: Option<serde_json::Value>,
    /// Why it did not succeed.
    pub message: Option<String>,
    /// The number of its tasks that were recorded.
    pub tasks: u64,
    /// The number of these that failed.
    pub tasks_failed: u64,
    /// The number of its tasks that are not kept: dropped to stay within the history's limits, or
    /// lost to an error while recording.
    pub tasks_dropped: u64,
}

/// A value that is kept, or the reason why it is not.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kept {
    /// There is no value.
    Nothing,
    /// The value.
    Value(Packed),
    /// There was a value, but it is not kept.
    LeftOut {
        /// Its size in bytes.
        bytes: u64,
        /// Why it is not kept.
        reason: String,
    },
}

/// The input of a task, or where to get it again.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RecordedInput {
    /// Its arguments.
    Stored(Vec<Packed>),
    /// A part of a file.
    Range {
        /// The file: an absolute path, so that it can be found again.
        path: PathBuf,
        /// The first byte.
        start: u64,
        /// The byte after the last; `u64::MAX` for the end of the file.
        end: u64,
        /// The SHA-256 of these bytes, in hexadecimal digits, if it was computed.
        sha256: Option<String>,
    },
    /// The input cannot be restored, for this reason.
    Elsewhere(String),
}

/// One run of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptEntry {
    /// The engine that ran it.
    pub engine: EngineId,
    /// The code of its failure; `None` if it succeeded.
    pub code: Option<String>,
    /// The message of its failure; empty if it succeeded.
    pub message: String,
    /// When it started to run.
    pub started: SystemTime,
    /// How long it ran.
    pub run_time: Duration,
}

impl AttemptEntry {
    /// A run that succeeded.
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

/// A task in the history.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskEntry {
    /// Its index in input order, from 0.
    pub index: u64,
    /// Its outcome.
    pub state: TaskState,
    /// The code of its failure, if it failed: the name of a `FailureCode`.
    pub code: Option<String>,
    /// The message of its failure.
    pub message: Option<String>,
    /// The guest's functions that were running when it was stopped.
    pub backtrace: Option<String>,
    /// The engine that ran it last, if it ran.
    pub engine: Option<EngineId>,
    /// Its runs, in order.
    pub attempts: Vec<AttemptEntry>,
    /// When it was submitted to the cluster.
    pub queued: Option<SystemTime>,
    /// When its last run started.
    pub started: Option<SystemTime>,
    /// When its last run ended.
    pub finished: Option<SystemTime>,
    /// How long its last run took.
    pub run_time: Duration,
    /// The peak total of its linear memories, in bytes.
    pub peak_memory: u64,
    /// The bytes of its input.
    pub bytes_in: u64,
    /// The bytes of its result.
    pub bytes_out: u64,
    /// The fuel used, if fuel is counted.
    pub fuel: Option<u64>,
    /// Its input.
    pub input: RecordedInput,
    /// Its result.
    pub result: Kept,
    /// The end of its stderr.
    pub stderr: Vec<u8>,
}

impl TaskEntry {
    /// A task without result and usage; whoever records it fills in the rest.
    #[must_use]
    pub fn new(index: u64, state: TaskState, input: RecordedInput) -> Self {
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

    /// Returns about how many bytes it holds, for limits on them.
    pub(super) fn weight(&self) -> usize {
        /// The fixed part, here and in the file.
        const BASE: usize = 256;
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let input = match &self.input {
            RecordedInput::Stored(values) => values.iter().map(Packed::len).sum(),
            RecordedInput::Range { path, .. } => path.as_os_str().len(),
            RecordedInput::Elsewhere(reason) => reason.len(),
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
