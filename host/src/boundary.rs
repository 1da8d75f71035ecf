//! What stands between the tasks of a cluster and the process that started it.

use std::path::PathBuf;

/// What stands between the tasks of a cluster and the process that started it, beside the sandbox of the runtime.
///
/// The program of a worker calls [`task_worker`](crate::task_worker) before anything else, and is of the same build as this
/// library: with `/proc/self/exe` it is the program itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Boundary {
    /// Nothing: engines are threads of the process. The default.
    #[default]
    Thread,
    /// Engines run their tasks in processes of their own, which are confined as far as this machine can: a fault of the
    /// runtime ends one of them, and what breaks out of it finds no file, no socket and no key. Only on Linux.
    Process(PathBuf),
    /// The same, and nothing runs on a machine that lacks a part of it.
    Strict(PathBuf),
}

/// A layer of a boundary, from [`boundary_layers`](crate::boundary_layers).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BoundaryLayer {
    /// Its name.
    pub name: &'static str,
    /// Whether this machine gives it.
    pub stands: Stands,
    /// What it stops, in a sentence.
    pub stops: &'static str,
    /// What a container or a machine must allow for it, in a sentence.
    pub needs: &'static str,
}

/// Whether a machine gives a layer of a boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands {
    /// All of it.
    Whole,
    /// A part of it, and why no more.
    InPart(String),
    /// Nothing of it, and why.
    Missing(String),
}
