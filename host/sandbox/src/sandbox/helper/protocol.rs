//! What the process that compiles is asked, as its second argument, and what it answers, as a line on
//! its stderr. Both are JSON. Where one side is of another build, the other does not understand it, or
//! the numbers of compatibility differ: that is a mismatch, and no code changes hands.

use crate::sandbox::variant::VariantKey;
use serde::{Deserialize, Serialize};

/// The first argument of a process that is to compile.
pub(super) const COMMAND: &str = "compile-module";

/// What is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::sandbox) enum Kind {
    Core,
    Component,
}

impl Kind {
    /// What it is called in the cache.
    pub(in crate::sandbox) const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Component => "component",
        }
    }
}

/// One module to compile.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(super) kind: Kind,
    pub(super) variant: VariantKey,
    /// Whether the code is for an engine with a pool, whose memories are laid out otherwise.
    pub(super) pooled: bool,
    /// What the engine that is to run the code has as [`Variant::compatibility`](crate::sandbox::variant::Variant::compatibility).
    pub(super) compatibility: u64,
    /// Bytes of the module, on stdin. What stdin has after them is its end, when the code is not wanted
    /// any more.
    pub(super) module: u64,
    /// Seconds of processor time, all cores together.
    pub(super) cpu_seconds: u64,
    /// Bytes of memory.
    pub(super) memory: u64,
    /// Bytes of code.
    pub(super) code: u64,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Answer {
    /// So many bytes of code, with this checksum, stand in stdout.
    Compiled { bytes: u64, crc32: u32 },
    /// The module is not valid.
    Invalid { message: String },
    /// A limit was passed.
    Limit { passed: Passed },
    /// The two are of different builds.
    Mismatch,
    /// The compiler panicked, or a pipe broke.
    Failed { message: String },
}

/// The limits there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::sandbox) enum Passed {
    Time,
    Memory,
    Code,
}

impl Answer {
    /// The last line of `text` that is one; other lines are what the runtime had to say.
    pub(super) fn find(text: &str) -> Option<Self> {
        text.lines()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok())
    }
}
