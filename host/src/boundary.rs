//! How the tasks of a cluster are isolated from the process that started it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

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
    /// the runtime ends one worker, and a guest that escapes from the runtime finds no file, no socket and no key. Linux only, on
    /// `x86_64` and `aarch64`. [`ClusterEvent::BoundaryIncomplete`](crate::ClusterEvent::BoundaryIncomplete) says what this machine
    /// does not let them give up.
    Process(PathBuf),
    /// The same, but the cluster does not start on a machine that lacks a layer or a part of one. Newer kernels add to
    /// layers: what counts as all of them is what Linux 6.12 has.
    Strict(PathBuf),
}

impl Boundary {
    /// The boundary of this kind, with this program for its worker processes.
    #[must_use]
    pub fn new(kind: BoundaryKind, program: impl Into<PathBuf>) -> Self {
        match kind {
            BoundaryKind::Thread => Self::Thread,
            BoundaryKind::Process => Self::Process(program.into()),
            BoundaryKind::Strict => Self::Strict(program.into()),
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> BoundaryKind {
        match self {
            Self::Thread => BoundaryKind::Thread,
            Self::Process(_) => BoundaryKind::Process,
            Self::Strict(_) => BoundaryKind::Strict,
        }
    }
}

/// The kind of a [`Boundary`]; the stronger one is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BoundaryKind {
    /// [`Boundary::Thread`].
    #[default]
    Thread,
    /// [`Boundary::Process`].
    Process,
    /// [`Boundary::Strict`].
    Strict,
}

impl BoundaryKind {
    const NAMES: [(&str, Self); 3] = [
        ("thread", Self::Thread),
        ("process", Self::Process),
        ("strict", Self::Strict),
    ];
}

impl fmt::Display for BoundaryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().find(|(_, kind)| kind == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

/// The text is not a boundary: it is not `thread`, `process` or `strict`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid boundary; use thread, process or strict", rwasm_value::plain::in_line(.0))]
pub struct ParseBoundaryError(String);

impl FromStr for BoundaryKind {
    type Err = ParseBoundaryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::NAMES.iter().find(|(name, _)| *name == text);
        named
            .map(|(_, kind)| *kind)
            .ok_or_else(|| ParseBoundaryError(text.to_owned()))
    }
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
    /// Whether [`Boundary::Strict`] refuses to run without all of it: not if it is for others to set up, or if only root has it and
    /// this program has not its rights.
    pub is_required: bool,
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
