//! The request to the process that compiles, as its second argument, and its answer, as a line on
//! stderr. Both are JSON. If the builds differ so that one side does not understand the other, or
//! if the compatibility numbers differ, that is a mismatch, and no code is passed.

use super::super::variant::VariantKey;
use serde::{Deserialize, Serialize};

/// The first argument of a process that compiles.
pub(super) const COMMAND: &str = "compile-module";

/// What is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::sandbox) enum CodeKind {
    Core,
    Component,
}

impl CodeKind {
    /// Returns its name in the cache.
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
    pub(super) kind: CodeKind,
    pub(super) variant: VariantKey,
    /// Whether the code is for an engine with addresses enough, whose memories are laid out differently.
    pub(super) spacious: bool,
    /// The [`Variant::compatibility`](crate::sandbox::compile::variant::Variant::compatibility) of the
    /// engine that will run the code.
    pub(super) compatibility: u64,
    /// Bytes of the module on stdin. The end of stdin after them means that the code is no longer
    /// wanted.
    pub(super) module: u64,
    /// Seconds of processor time, of all cores together.
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
    /// This many bytes of code, with this checksum, are in stdout.
    Compiled { bytes: u64, crc32: u32 },
    /// The module is not valid.
    Invalid { message: String },
    /// A limit was exceeded.
    Limit { passed: Passed },
    /// The two are different builds.
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
    /// Finds the answer in `text`: the last line that is one. Other lines come from the runtime.
    pub(super) fn find(text: &str) -> Option<Self> {
        text.lines()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok())
    }
}
