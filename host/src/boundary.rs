//! How the tasks of a cluster are isolated from the process that started it.

use std::path::PathBuf;

/// How tasks are isolated from the process that started the cluster, in addition to the sandbox of the runtime.
///
/// The program of a worker process must call [`task_worker`](crate::task_worker) before anything else, and must be built with the
/// same version of this library. A program that is its own worker passes `/proc/self/exe`.
///
/// # Examples
///
/// ```no_run
/// use rwasm_cluster::{Boundary, Cluster};
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     if let Some(ended) = rwasm_cluster::task_worker(std::env::args_os().skip(1)) {
///         return ended;
///     }
///     let boundary = Boundary::Process("/proc/self/exe".into());
///     let cluster = Cluster::builder().boundary(boundary).start();
///     // …
///     # drop(cluster);
///     ExitCode::SUCCESS
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Boundary {
    /// Tasks run on threads of this process. The default.
    #[default]
    Thread,
    /// Each engine runs its tasks in worker processes, which give up everything that this machine lets them give up: a fault of
    /// the runtime ends one worker, and a guest that escapes from the runtime finds no file, no socket and no key. Linux only.
    Process(PathBuf),
    /// The same, but the cluster does not start on a machine that lacks a layer.
    Strict(PathBuf),
}

/// A layer of the boundary on this machine, from [`boundary_layers`](crate::boundary_layers).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BoundaryLayer {
    /// Its name.
    pub name: &'static str,
    /// Whether this machine has it.
    pub status: LayerStatus,
    /// What it stops, as a sentence.
    pub stops: &'static str,
    /// What the machine or the container must allow for it, as a sentence.
    pub needs: &'static str,
}

/// Whether a machine has a layer of the boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerStatus {
    /// It has.
    Full,
    /// It has a part of it; the text says what is missing.
    Partial(String),
    /// It has not; the text says why.
    Missing(String),
}
