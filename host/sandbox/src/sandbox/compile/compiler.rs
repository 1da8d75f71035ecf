//! The embedder's choice of where modules are compiled.

use std::path::PathBuf;

/// Where modules are compiled if they are not in the code cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compiler {
    /// In this process, on a thread of its own: the default, which needs nothing else.
    ///
    /// [`Limits::compile_time`](crate::limits::Limits::compile_time) by the clock and
    /// [`compiled`](crate::limits::Limits::compiled) are kept. **Memory is not bounded**, and a crash
    /// of the compiler crashes this process: use [`Helper`](Self::Helper) for modules that you do
    /// not trust. A compiler that is past its time cannot be stopped: its thread goes on until it is
    /// through. There are as many of those as there are cores at most, and while there are, a module
    /// that is not in the cache is refused with
    /// [`LoadError::CompilersStuck`](crate::sandbox::LoadError::CompilersStuck).
    #[default]
    Bounded,
    /// In this process, on the calling thread, without any limit: a malicious module can keep the
    /// compiler busy for hours or exhaust memory, and a crash of the compiler crashes this process.
    /// Use it for modules that you trust as much as the program itself.
    InProcess,
    /// In a separate process, which runs the given program and ends with the module.
    /// [`Limits::compile_time`](crate::limits::Limits::compile_time),
    /// [`compile_memory`](crate::limits::Limits::compile_memory) and
    /// [`compiled`](crate::limits::Limits::compiled) limit its time, its memory and the size of the
    /// code, and a crash only fails that module. Each module being compiled has its own process,
    /// which ends with this one.
    ///
    /// The program must call [`compile_worker`](crate::sandbox::compile_worker) before anything
    /// else, and be built with the same version of this library: `rwasm-cluster` itself is such a
    /// program.
    Helper(PathBuf),
    /// Nowhere: modules that are not in the cache are refused. `Cluster::prepare` of a cluster with
    /// another compiler and the same cache directory puts them there.
    PrecompiledOnly,
}
