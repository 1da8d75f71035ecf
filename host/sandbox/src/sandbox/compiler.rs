//! What an embedder chooses: where modules are compiled, and how it is told that one took too much.

use rwasm_value::units::ByteSize;
use std::path::PathBuf;
use std::time::Duration;

/// Where modules are compiled that are not in the cache of compiled code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compiler {
    /// In this process, on the thread that asks. Needs nothing else, but bounds nothing either: a
    /// module that is made for it keeps the compiler busy for hours or takes all memory, and a crash of
    /// the compiler is one of this process. For modules that are trusted as the program itself is.
    #[default]
    InProcess,
    /// In a process of its own, which runs this program and ends with the module. Time, memory and the
    /// size of the code are bounded by [`Limits::compile_time`](crate::Limits::compile_time),
    /// [`compile_memory`](crate::Limits::compile_memory) and
    /// [`compiled`](crate::Limits::compiled), and a crash fails that module alone. There is one such
    /// process for each module that is being compiled; it ends with this one.
    ///
    /// The program must call [`compile_worker`](crate::compile_worker) first of all, and be built
    /// with the same version of this library: `rwasm-cluster` itself is such a program.
    Helper(PathBuf),
    /// Nowhere: what is not in the cache is refused. [`Cluster::prepare`](crate::Cluster::prepare) of a
    /// cluster with another compiler and the same cache directory puts it there.
    PrecompiledOnly,
}

/// The limit that compiling a module passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileLimit {
    /// It took too long.
    #[error(
        "took longer to compile than its limit of {} (compile-limit; raise it with --limit compile-time=TIME)",
        humantime::format_duration(*.0)
    )]
    Time(Duration),
    /// It took too much memory.
    #[error(
        "took more memory to compile than its limit of {0} (compile-limit; raise it with --limit compile-memory=SIZE)"
    )]
    Memory(ByteSize),
    /// It became too much code.
    #[error(
        "compiled to more code than its limit of {0} (compile-limit; raise it with --limit compiled=SIZE)"
    )]
    Code(ByteSize),
}
