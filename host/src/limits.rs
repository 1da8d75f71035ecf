//! What a task may use. Every limit is finite; the failure that a limit causes names it.

use crate::units::ByteSize;
use std::time::Duration;

/// The most engines a cluster may have.
pub const MAX_ENGINES: u32 = 1024;

/// The limits of one task. Start from [`Limits::default`] and change what should differ.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Wall time of one run of the task.
    pub time: Duration,
    /// Bytes of all its linear memories together.
    pub memory: ByteSize,
    /// Elements of all its tables together.
    pub table_elements: usize,
    /// Bytes copied into the guest. A command's stdin is streamed and not counted.
    pub input: ByteSize,
    /// Bytes of its result; for a command, of its stdout.
    pub output: ByteSize,
    /// Bytes of stdout and of stderr that are kept, each; the rest is dropped with a mark.
    pub logs: ByteSize,
    /// Instructions, in wasmtime's units of fuel; not counted when absent.
    pub fuel: Option<u64>,
    /// Open handles: files, streams, timers.
    pub handles: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            memory: ByteSize::mib(256),
            table_elements: 100_000,
            input: ByteSize::mib(64),
            output: ByteSize::mib(64),
            logs: ByteSize::kib(64),
            fuel: None,
            handles: 256,
        }
    }
}

/// The most table elements a task can be allowed: what the slots of the pool have room for.
pub const MAX_TABLE_ELEMENTS: usize = 1_000_000;

/// The largest module that is loaded.
pub const MODULE_SIZE: ByteSize = ByteSize::mib(128);

/// The stack of a guest.
pub const STACK_SIZE: ByteSize = ByteSize::kib(512);
