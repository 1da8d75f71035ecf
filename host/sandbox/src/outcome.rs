//! The result of one task: always present, a value or a failure, with what it used.

use crate::note::Notes;
use rwasm_value::ids::EngineId;
use rwasm_value::plain::plain;
use rwasm_value::value::Packed;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What a task ran on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The task's place in its job, in input order from 0.
    pub index: u64,
    /// What it was called with.
    pub place: Place,
}

/// Where a task's arguments are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A chunk of an input.
    Chunk {
        /// The name of the input: its path, or what it was called.
        input: Arc<str>,
        /// The bytes of that input; up to `u64::MAX` for a stream whose length is not known.
        range: Range<u64>,
    },
    /// A line of an input.
    Line {
        /// The name of the input.
        input: Arc<str>,
        /// The line's number, from 1.
        line: u64,
    },
    /// Arguments that were given to the call.
    Arguments,
    /// Results of other tasks, which it merges.
    Results,
}

impl Origin {
    /// The bytes of its input, if it is a chunk of one; up to `u64::MAX` for a stream whose length is
    /// not known.
    #[must_use]
    pub fn range(&self) -> Option<Range<u64>> {
        match &self.place {
            Place::Chunk { range, .. } => Some(range.clone()),
            _ => None,
        }
    }

    /// Whether the task runs on a stream whose end is not known, which can be read but once.
    #[doc(hidden)]
    pub fn is_stream(&self) -> bool {
        matches!(&self.place, Place::Chunk { range, .. } if range.end == u64::MAX)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Chunk { input, range } if range.end == u64::MAX => {
                write!(f, "{input}, from byte {}", range.start)
            }
            Place::Chunk { input, range } => {
                write!(f, "{input}, bytes {}..{}", range.start, range.end)
            }
            Place::Line { input, line } => write!(f, "{input}, line {line}"),
            Place::Arguments => write!(f, "argument list {}", self.index),
            Place::Results => f.write_str("the merge"),
        }
    }
}

/// What became of one task.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The value it gave, or why there is none.
    pub result: Result<Packed, Failure>,
    /// What it used.
    pub usage: Usage,
}

impl Outcome {
    /// Every attempt at the task, the first first; none where it never came to an engine.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        let mut attempts = self.usage.earlier.clone();
        if self.usage.engine.is_some() {
            attempts.push(Attempt::of(self));
        }
        attempts
    }
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
    /// A failure without a backtrace. Guests have a say in what messages contain, so a long one is cut, and control
    /// characters are escaped.
    #[must_use]
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: plain(message.into()),
            is_input_error: false,
            backtrace: None,
        }
    }

    /// Of a task that was cancelled, whether it ran or not.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(FailureCode::Cancelled, "the task was cancelled")
    }

    /// Of a task that was cancelled and that no engine had begun.
    #[must_use]
    pub fn cancelled_before_it_ran() -> Self {
        Self::new(
            FailureCode::Cancelled,
            "the task was cancelled before it ran",
        )
    }
}

/// The classes of failure, with the names they have in JSON and on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Trap,
        Self::Timeout,
        Self::MemoryLimit,
        Self::FuelExhausted,
        Self::StackOverflow,
        Self::OutputLimit,
        Self::InputLimit,
        Self::GuestError,
        Self::ExitCode,
        Self::BadInput,
        Self::BadOutput,
        Self::ImportDenied,
        Self::PolicyDenied,
        Self::Cancelled,
        Self::EngineLost,
        Self::DependencyFailed,
        Self::Internal,
    ];

    /// The code of that name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

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
pub struct Usage {
    /// Where it ran, if it did.
    pub engine: Option<EngineId>,
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
    /// What it logged, published and said of its progress, if anything.
    pub notes: Option<Box<Notes>>,
    /// Whether the state that its engine kept for it is lost: the next call begins anew.
    pub state_lost: bool,
    /// The attempts before this one, the first first.
    pub earlier: Vec<Attempt>,
}

impl Usage {
    /// What a task used that did not run.
    #[doc(hidden)]
    pub fn none(engine: Option<EngineId>, attempt: u32, queued: SystemTime) -> Self {
        Self {
            engine,
            attempt,
            queued,
            started: SystemTime::now(),
            run_time: Duration::ZERO,
            peak_memory: 0,
            bytes_in: 0,
            bytes_out: 0,
            fuel: None,
            logs: None,
            notes: None,
            state_lost: false,
            earlier: Vec::new(),
        }
    }

    /// When it ended.
    #[must_use]
    pub fn finished(&self) -> SystemTime {
        self.started + self.run_time
    }
}

/// One run of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which it was, from 1.
    pub number: u32,
    /// Where it ran, if it did.
    pub engine: Option<EngineId>,
    /// When it began.
    pub started: SystemTime,
    /// How long it ran.
    pub run_time: Duration,
    /// Why it failed; none of the one that went well.
    pub failure: Option<Failure>,
}

impl Attempt {
    #[doc(hidden)]
    pub fn of(outcome: &Outcome) -> Self {
        Self {
            number: outcome.usage.attempt,
            engine: outcome.usage.engine,
            started: outcome.usage.started,
            run_time: outcome.usage.run_time,
            failure: outcome.result.as_ref().err().cloned(),
        }
    }
}

/// What a task printed, as it printed it: the first bytes of each stream, up to the limit.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// Its stdout; empty for a command, whose stdout is its result.
    pub stdout: Log,
    /// Its stderr.
    pub stderr: Log,
}

/// One stream of what a task printed: the first bytes up to the limit.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The bytes that were kept.
    pub kept: Vec<u8>,
    /// How many were dropped.
    pub dropped: u64,
}
