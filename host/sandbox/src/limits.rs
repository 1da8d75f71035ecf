//! What a task may use. Every limit is finite; the failure that a limit causes names it.

use rwasm_value::units::{self, ByteSize};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most engines a cluster may have.
pub const MAX_ENGINES: u32 = 1024;

/// The limits of one task. Start from [`Limits::default`], or from [`Cluster::limits`], and change what
/// should differ.
///
/// A cluster has limits, which apply to its jobs and calls; a job or a view may have its own instead.
/// The repository's `docs/src/reference/limits.md` has a table: what each bounds, and what happens to a
/// task that reaches it.
///
/// [`Cluster::limits`]: crate::Cluster::limits
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// Wall time of one run of the task. Of a deterministic one, the time that it sleeps.
    #[serde(rename = "time_s", with = "units::seconds")]
    pub time: Duration,
    /// Bytes of all its linear memories together.
    pub memory: ByteSize,
    /// Elements of all its tables together, up to [`MAX_TABLE_ELEMENTS`].
    pub table_elements: usize,
    /// Bytes of the stack of its calls, from [`MIN_STACK`] to [`MAX_STACK`].
    pub stack: ByteSize,
    /// Bytes copied into the guest. A command's stdin is streamed and not counted.
    pub input: ByteSize,
    /// Bytes of its result; for a command, of its stdout.
    pub output: ByteSize,
    /// Bytes of stdout and of stderr that are kept, each; the rest is dropped with a mark.
    pub logs: ByteSize,
    /// Instructions, in wasmtime's units of fuel; not counted when absent.
    pub fuel: Option<u64>,
    /// Open handles: files, directories, sockets, streams, timers.
    pub handles: usize,
    /// Random bytes it may ask for at once.
    pub random: ByteSize,
    /// Bytes that it may write to files, and by which it may make them longer, in directories that it was granted.
    pub written: ByteSize,
    /// Files, directories and links that it may make there.
    pub files: usize,
    /// Bytes of the module, where it is loaded by [`Module::from_file_within`](crate::Module::from_file_within).
    pub module: ByteSize,
    /// Wall time of compiling the module, where [`Compiler`](crate::Compiler) can bound it.
    #[serde(rename = "compile_time_s", with = "units::seconds")]
    pub compile_time: Duration,
    /// Memory of the process that compiles the module, threads and the module itself included.
    pub compile_memory: ByteSize,
    /// Bytes of the compiled code.
    pub compiled: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
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
            module: MODULE_SIZE,
            compile_time: Duration::from_mins(2),
            compile_memory: ByteSize::mib(4096),
            compiled: ByteSize::mib(2048),
        }
    }
}

/// The most table elements a task can be allowed: what the slots of the pool have room for.
pub const MAX_TABLE_ELEMENTS: usize = 1_000_000;

/// The largest module that is loaded unless said otherwise.
pub const MODULE_SIZE: ByteSize = ByteSize::mib(128);

/// The least stack with which a program gets anywhere.
pub const MIN_STACK: ByteSize = ByteSize::kib(16);

/// The largest stack of a guest: an engine's thread has room for it, and for the host's own frames.
pub const MAX_STACK: ByteSize = ByteSize::mib(8);

/// The fuel of a deterministic task that is given none: about half a minute of computing.
pub const DETERMINISTIC_FUEL: u64 = 30_000_000_000;
