//! The result of one task: always present, a value or a failure, with what it used.

use crate::ids::EngineId;
use crate::value::Packed;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Which part of which input a task ran on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The task's place in input order, from 0.
    pub index: u64,
    /// The name of the input: its path, or what it was called.
    pub input: Arc<str>,
    /// The bytes of that input; up to `u64::MAX` for a stream whose length is not known.
    pub range: Range<u64>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, range, .. } = self;
        if range.end == u64::MAX {
            write!(f, "{input}, from byte {}", range.start)
        } else {
            write!(f, "{input}, bytes {}..{}", range.start, range.end)
        }
    }
}

/// What became of one task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The value it gave, or why there is none.
    pub result: Result<Packed, Failure>,
    /// What it used.
    pub usage: Usage,
}

/// Why a task gave no value. The code is stable; the message is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Failure {
    /// The class of the failure.
    pub code: FailureCode,
    /// What happened, with the facts: lowercase, no full stop.
    pub message: String,
    /// Whether the task's input could not be read: then neither task nor module is at fault.
    pub is_input_error: bool,
    /// The functions of the guest that were running, innermost first, if it was stopped in one.
    pub backtrace: Option<String>,
}

impl Failure {
    /// A failure without a backtrace.
    #[must_use]
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            is_input_error: false,
            backtrace: None,
        }
    }
}

/// The classes of failure, with the names they have in JSON and on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureCode {
    /// The guest trapped.
    Trap,
    /// It ran longer than its time limit.
    Timeout,
    /// It wanted more memory than its limit.
    MemoryLimit,
    /// It used up its fuel.
    FuelExhausted,
    /// Its calls nested too deeply.
    StackOverflow,
    /// It produced more than its output limit.
    OutputLimit,
    /// Its input is larger than the input limit.
    InputLimit,
    /// It returned an error.
    GuestError,
    /// It ended with an exit code other than 0.
    ExitCode,
    /// Its input does not fit its parameter, for instance is not UTF-8.
    BadInput,
    /// What it returned breaks the canonical ABI.
    BadOutput,
    /// It called an import that the host does not have.
    ImportDenied,
    /// What it was to be granted is not allowed on the engine.
    PolicyDenied,
    /// It was stopped because its job was.
    Cancelled,
    /// Its engine died.
    EngineLost,
    /// A task it waited for failed.
    DependencyFailed,
    /// A fault of the host, contained.
    Internal,
}

impl FailureCode {
    /// The stable name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::MemoryLimit => "memory-limit",
            Self::FuelExhausted => "fuel-exhausted",
            Self::StackOverflow => "stack-overflow",
            Self::OutputLimit => "output-limit",
            Self::InputLimit => "input-limit",
            Self::GuestError => "guest-error",
            Self::ExitCode => "exit-code",
            Self::BadInput => "bad-input",
            Self::BadOutput => "bad-output",
            Self::ImportDenied => "import-denied",
            Self::PolicyDenied => "policy-denied",
            Self::Cancelled => "cancelled",
            Self::EngineLost => "engine-lost",
            Self::DependencyFailed => "dependency-failed",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one run of a task used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Usage {
    /// Where it ran.
    pub engine: EngineId,
    /// Which run of the task this was, from 1.
    pub attempt: u32,
    /// When it was handed to the cluster.
    pub queued: SystemTime,
    /// When it began to run.
    pub started: SystemTime,
    /// How long it ran, instantiation included.
    pub run_time: Duration,
    /// The largest sum of its linear memories, in bytes.
    pub peak_memory: u64,
    /// Bytes that went in.
    pub bytes_in: u64,
    /// Bytes that came out.
    pub bytes_out: u64,
    /// Fuel it used, where fuel is counted.
    pub fuel: Option<u64>,
    /// What it printed, where it printed anything.
    pub logs: Option<Box<Logs>>,
}

/// What a task printed, as it printed it: the first bytes of each stream, up to the limit.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Logs {
    /// Its stdout; empty for a command, whose stdout is its result.
    pub stdout: Log,
    /// Its stderr.
    pub stderr: Log,
}

/// One stream of what a task printed: the first bytes up to the limit.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Log {
    /// The bytes that were kept.
    pub kept: Vec<u8>,
    /// How many were dropped.
    pub dropped: u64,
}
