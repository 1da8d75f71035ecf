//! The outcome of one task: always present, either a value or a failure, with its usage.

use crate::note::Notes;
use rwasm_value::ids::EngineId;
use rwasm_value::plain::{in_line, plain};
use rwasm_value::value::Packed;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The identity of a task within its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The task's index in its job, in input order from 0.
    pub index: u64,
    /// The source of its arguments.
    pub source: ArgumentSource,
}

/// The source of a task's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentSource {
    /// A chunk of an input.
    Chunk {
        /// The name of the input: its path, or the name it was given.
        input: Arc<str>,
        /// The byte range in that input; up to `u64::MAX` for a stream of unknown length.
        range: Range<u64>,
    },
    /// A line of an input.
    Line {
        /// The name of the input: its path, or the name it was given.
        input: Arc<str>,
        /// The line number, from 1.
        line: u64,
    },
    /// The arguments of the call.
    Arguments,
    /// The results of other tasks, which it merges.
    Results,
}

impl Origin {
    /// Returns the byte range of its input if it is a chunk; up to `u64::MAX` for a stream of
    /// unknown length.
    #[must_use]
    pub fn range(&self) -> Option<Range<u64>> {
        match &self.source {
            ArgumentSource::Chunk { range, .. } => Some(range.clone()),
            _ => None,
        }
    }

    /// Whether the task reads a stream of unknown length, which can be read only once.
    #[doc(hidden)]
    pub fn is_stream(&self) -> bool {
        matches!(&self.source, ArgumentSource::Chunk { range, .. } if range.end == u64::MAX)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            ArgumentSource::Chunk { input, range } if range.end == u64::MAX => {
                write!(f, "{}, from byte {}", in_line(input), range.start)
            }
            ArgumentSource::Chunk { input, range } => {
                write!(
                    f,
                    "{}, bytes {}..{}",
                    in_line(input),
                    range.start,
                    range.end
                )
            }
            ArgumentSource::Line { input, line } => write!(f, "{}, line {line}", in_line(input)),
            ArgumentSource::Arguments => write!(f, "argument list {}", self.index),
            ArgumentSource::Results => f.write_str("the merge"),
        }
    }
}

/// The outcome of one task.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The value, or the failure.
    pub result: Result<Packed, Failure>,
    /// What the task used.
    pub usage: Usage,
}

impl Outcome {
    /// Returns every attempt at the task, in order; none if it never reached an engine.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        let mut attempts = self.usage.earlier.clone();
        if self.usage.engine.is_some() {
            attempts.push(Attempt::of(self));
        }
        attempts
    }
}

/// The failure of a task. The code is stable; the message is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Failure {
    /// The class of the failure.
    pub code: FailureCode,
    /// What happened, with the facts: lower case, no full stop.
    pub message: String,
    /// Whether the task's input could not be read, so that neither task nor module is at fault.
    pub is_input_error: bool,
    /// Whether the clock ended a deterministic task: on another machine, or at another time, it may end otherwise. Never an
    /// outcome that may be taken for that of the same task elsewhere.
    pub is_by_clock: bool,
    /// The guest's functions that were running when it was stopped, innermost first.
    pub backtrace: Option<String>,
    /// The last line that the task wrote to stderr, if it wrote any.
    pub last_line: Option<Box<str>>,
}

impl Failure {
    /// A failure without a backtrace. Guests can influence messages, so a long one is truncated and
    /// control characters are escaped.
    #[must_use]
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: plain(message.into()),
            is_input_error: false,
            is_by_clock: false,
            backtrace: None,
            last_line: None,
        }
    }

    /// Of a task that was cancelled, whether it ran or not.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(FailureCode::Cancelled, "the task was cancelled")
    }

    /// Of a task that took longer than it may.
    #[doc(hidden)]
    #[must_use]
    pub fn timeout(limit: Duration) -> Self {
        let limit = humantime::format_duration(limit);
        let message =
            format!("the task ran longer than its time limit of {limit} (raise `Limits::time`)");
        Self::new(FailureCode::Timeout, message)
    }

    /// Of a task whose cluster was shut down before it ended.
    #[doc(hidden)]
    #[must_use]
    pub fn shut_down() -> Self {
        Self::new(FailureCode::Cancelled, "the cluster was shut down")
    }

    /// Of a task whose outcome nobody waits for any more.
    #[doc(hidden)]
    #[must_use]
    pub fn unwanted() -> Self {
        Self::new(
            FailureCode::Cancelled,
            "the task's outcome is no longer wanted",
        )
    }
}

/// Whether a line is Rust's advice on a panic, which is of no use here: its variable would have to be
/// granted, and the backtrace is known anyway.
#[doc(hidden)]
#[must_use]
pub fn is_backtrace_advice(line: &str) -> bool {
    line.starts_with("note: run with `RUST_BACKTRACE")
}

/// The class of a failure. Its name in JSON and on the command line is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// The guest trapped.
    Trap,
    /// The task exceeded its time limit.
    Timeout,
    /// The task asked for more memory than its limit.
    MemoryLimit,
    /// The task used up its fuel.
    FuelExhausted,
    /// The task's calls nested too deeply.
    StackOverflow,
    /// The task produced more than its output limit.
    OutputLimit,
    /// The task's input is larger than the input limit.
    InputLimit,
    /// The task returned an error.
    GuestError,
    /// The task exited with a code other than 0.
    ExitCode,
    /// The input does not fit the parameter, for example because it is not UTF-8.
    BadInput,
    /// The result violates the canonical ABI.
    BadOutput,
    /// The task called an import that the host does not provide.
    ImportDenied,
    /// The module takes more time or memory to compile than its limits, or compiles to more code.
    CompileLimit,
    /// The engine's policy does not allow what the task was to be granted.
    PolicyDenied,
    /// The task was stopped because its job was cancelled.
    Cancelled,
    /// The engine was lost.
    EngineLost,
    /// A task that it depends on failed.
    DependencyFailed,
    /// A fault of the host, contained.
    Internal,
}

impl FailureCode {
    /// All codes.
    pub const ALL: [Self; 18] = [
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
        Self::CompileLimit,
        Self::PolicyDenied,
        Self::Cancelled,
        Self::EngineLost,
        Self::DependencyFailed,
        Self::Internal,
    ];

    /// Returns the code with this name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// Returns the stable name, as in JSON.
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
            Self::CompileLimit => "compile-limit",
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
    /// The engine that ran it, if it ran.
    pub engine: Option<EngineId>,
    /// The number of this run of the task, from 1.
    pub attempt: u32,
    /// When it was submitted to the cluster.
    pub queued: SystemTime,
    /// When it started to run.
    pub started: SystemTime,
    /// How long it ran, including instantiation.
    pub run_time: Duration,
    /// The peak total of its linear memories, in bytes.
    pub peak_memory: u64,
    /// The bytes of its input.
    pub bytes_in: u64,
    /// The bytes of its result.
    pub bytes_out: u64,
    /// The fuel used, if fuel is counted.
    pub fuel: Option<u64>,
    /// What it printed, if anything.
    pub logs: Option<Box<Logs>>,
    /// What it logged and published, and its progress, if anything.
    pub notes: Option<Box<Notes>>,
    /// How long its phases took, if an observer wanted to know and its engine is a thread of this process.
    pub phases: Option<Box<Phases>>,
    /// Whether the state that its engine kept is lost, so that the next call starts afresh.
    pub state_lost: bool,
    /// The attempts before this one, in order.
    pub earlier: Vec<Attempt>,
}

impl Usage {
    /// The usage of a task that did not run.
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
            phases: None,
            state_lost: false,
            earlier: Vec::new(),
        }
    }

    /// Returns when it ended.
    #[must_use]
    pub fn finished(&self) -> SystemTime {
        self.started + self.run_time
    }
}

/// When the phases of a task ended, as times since it started. The last one ends with the task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Its instance was there.
    pub instantiated: Option<Duration>,
    /// Its function had returned; what came then is the lifting of its result. `None` where the two are not told apart.
    pub called: Option<Duration>,
}

/// One run of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The number of the attempt, from 1.
    pub number: u32,
    /// The engine that ran it, if it ran.
    pub engine: Option<EngineId>,
    /// When it started.
    pub started: SystemTime,
    /// How long it ran.
    pub run_time: Duration,
    /// Why it failed; `None` for the one that succeeded.
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

/// What a task printed: the first and the last bytes of each stream, up to the limit.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// Its stdout; of a command, whose stdout is its result, only if it failed.
    pub stdout: Log,
    /// Its stderr.
    pub stderr: Log,
}

/// One output stream of a task: all of it, or its beginning and its end if it exceeds the limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The bytes that were kept.
    pub kept: Vec<u8>,
    /// The number of bytes that were dropped.
    pub dropped: u64,
    /// The place in the kept bytes where they were dropped.
    pub dropped_at: usize,
}

impl Log {
    /// Returns what was kept before and after the bytes that were dropped; nothing after if none
    /// were.
    #[must_use]
    pub fn parts(&self) -> (&[u8], &[u8]) {
        if self.dropped == 0 {
            return (&self.kept, &[]);
        }
        self.kept.split_at(self.dropped_at.min(self.kept.len()))
    }

    /// Returns it as text, with a line for the bytes that were dropped.
    #[must_use]
    pub fn text(&self) -> String {
        let (head, tail) = self.parts();
        let mut text = String::from_utf8_lossy(head).into_owned();
        if self.dropped > 0 {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text += &format!("… {} bytes were dropped here …\n", self.dropped);
            text += &String::from_utf8_lossy(tail);
        }
        text
    }

    /// Returns the last line that is not empty, without what may not stand in a line.
    #[must_use]
    pub fn last_line(&self) -> Option<String> {
        /// The most characters of it.
        const LENGTH: usize = 400;
        let (head, tail) = self.parts();
        let part = if tail.is_empty() { head } else { tail };
        let text = String::from_utf8_lossy(part);
        let mut lines = text.lines().rev();
        let line = lines.find(|line| !line.trim().is_empty() && !is_backtrace_advice(line))?;
        Some(in_line(line.trim()).chars().take(LENGTH).collect())
    }
}
