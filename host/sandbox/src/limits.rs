//! What a task may use. Every limit is finite; a failure caused by a limit names it.

use rwasm_value::units::{self, ByteSize};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most engines that a cluster may have.
pub const MAX_ENGINES: u32 = 1024;

/// The limits of one task. Start from [`Limits::default`] or `Cluster::limits` and change the
/// fields that should differ.
///
/// A cluster's limits apply to all its jobs and calls; a job or a view may replace them with its
/// own. `docs/src/reference/limits.md` in the repository has a table: what each limit bounds, and
/// what happens to a task that reaches it.
///
/// # Examples
///
/// ```
/// use rwasm_sandbox::limits::Limits;
/// use rwasm_value::units::ByteSize;
/// use std::time::Duration;
///
/// let mut limits = Limits::default();
/// limits.time = Duration::from_secs(5);
/// limits.memory = ByteSize::mib(64);
/// assert!(limits.fuel.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// Wall time of one run of the task. For a deterministic task, the time that it sleeps.
    #[serde(rename = "time_s", with = "units::seconds")]
    pub time: Duration,
    /// Wall time of one run of a deterministic task, whose own time passes only while it sleeps. Ten times `time` if
    /// `None`. Such an end depends on the machine, and so is not the outcome of the task:
    /// [`Failure::is_by_clock`](crate::outcome::Failure::is_by_clock).
    #[serde(rename = "wall_s", with = "units::optional_seconds")]
    pub wall: Option<Duration>,
    /// Bytes of all its linear memories together.
    pub memory: ByteSize,
    /// Elements of all its tables together, at most [`MAX_TABLE_ELEMENTS`].
    pub table_elements: usize,
    /// Bytes of its call stack, from [`MIN_STACK`] to [`MAX_STACK`]. Rounded up to one of five sizes:
    /// [`Limits::stack_class`].
    pub stack: ByteSize,
    /// Bytes copied into the guest. A command's stdin is streamed and does not count.
    pub input: ByteSize,
    /// Bytes of its result; for a command, of its stdout.
    pub output: ByteSize,
    /// Bytes of stdout and stderr that are kept, for each of the two. The rest is dropped,
    /// and the text is marked as truncated.
    pub logs: ByteSize,
    /// Instructions, in wasmtime's units of fuel. Not counted if `None`.
    pub fuel: Option<u64>,
    /// Open handles: files, directories, sockets, streams, timers.
    pub handles: usize,
    /// Random bytes per request.
    pub random: ByteSize,
    /// Bytes that it may write to files in granted directories, including gaps that it leaves.
    pub written: ByteSize,
    /// Files, directories and links that it may create in granted directories.
    pub files: usize,
    /// Bytes that one compressed input may inflate to.
    pub inflated: ByteSize,
    /// Bytes of the module when loaded by
    /// [`Module::from_file_within`](crate::sandbox::Module::from_file_within).
    pub module: ByteSize,
    /// Processor time of compiling the module, if the [`Compiler`](crate::sandbox::Compiler) can limit it. Ten times as
    /// much may pass by the clock.
    #[serde(rename = "compile_time_s", with = "units::seconds")]
    pub compile_time: Duration,
    /// Memory of the process that compiles the module, including its threads and the module itself.
    pub compile_memory: ByteSize,
    /// Bytes of the compiled code.
    pub compiled: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            wall: None,
            memory: ByteSize::mib(256),
            table_elements: 100_000,
            stack: ByteSize::kib(512),
            input: ByteSize::mib(64),
            output: ByteSize::mib(64),
            logs: ByteSize::kib(64),
            fuel: None,
            handles: 256,
            random: ByteSize::mib(1),
            written: ByteSize::mib(1024),
            files: 10_000,
            inflated: INFLATED_SIZE,
            module: MODULE_SIZE,
            compile_time: Duration::from_mins(5),
            compile_memory: ByteSize::mib(4096),
            compiled: ByteSize::mib(2048),
        }
    }
}

impl Limits {
    /// Returns how long a deterministic task may run by the clock.
    #[must_use]
    pub fn wall(&self) -> Duration {
        self.wall
            .unwrap_or_else(|| self.time.saturating_mul(WALL_TIMES))
    }
}

impl Limits {
    /// Returns the stack that a task really has: the next of the five sizes from [`MIN_STACK`] to [`MAX_STACK`] that engines
    /// are made for.
    #[must_use]
    pub fn stack_class(&self) -> ByteSize {
        let class = STACKS.into_iter().find(|class| self.stack <= *class);
        class.unwrap_or(MAX_STACK)
    }
}

/// The sizes of stacks. Each needs code and a pool of instances of its own, so they are few.
const STACKS: [ByteSize; 5] = [
    MIN_STACK,
    ByteSize::kib(64),
    ByteSize::kib(512),
    ByteSize::mib(2),
    MAX_STACK,
];

/// A deterministic task may run for this many times its limit of time by the clock, unless another limit is set.
const WALL_TIMES: u32 = 10;

/// The most table elements that a task may be allowed, for which the host needs 800 MB. With more than a
/// million, its instances do not come from a pool, and start more slowly.
pub const MAX_TABLE_ELEMENTS: usize = 100_000_000;

/// The size of the largest module that is loaded by default.
pub const MODULE_SIZE: ByteSize = ByteSize::mib(128);

/// The most that one compressed input inflates to by default. It is read as a stream, so more of it costs time alone: at
/// the speed of the decoders, some minutes.
const INFLATED_SIZE: ByteSize = ByteSize::mib(256 << 10);

/// The smallest stack with which a program can run at all.
pub const MIN_STACK: ByteSize = ByteSize::kib(16);

/// The largest stack of a guest: the thread of an engine has room for it and for the host's own
/// frames.
pub const MAX_STACK: ByteSize = ByteSize::mib(8);

/// The default fuel of a deterministic task: about half a minute of computing.
pub const DETERMINISTIC_FUEL: u64 = 30_000_000_000;
