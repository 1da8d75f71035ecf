//! A worker gives up what its task does not need: first what no task needs, then, after the runtime is set up, the rest.
//!
//! The order of a worker's `main`, all on its first thread:
//!
//! 1. [`early`], before anything else.
//! 2. Whatever opens files or asks the system: the engine and its pools (wasmtime opens `/proc/self/pagemap` with the
//!    first), the message that says what the task is granted.
//! 3. [`Early::lock`]. Users, capabilities, Landlock and seccomp belong to a thread and pass to those that it starts, so it
//!    refuses to run beside a second thread.
//! 4. Other threads, and strangers' code.
//!
//! What the kernel does not have is reported, not an error: the caller decides by the [`Report`] whether that is enough.
//! An error means that a step failed that must not; then the process should end.

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod linux;

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
use linux as system;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(crate) use linux::{
    LandlockAsked, NETWORK, install_hostile, landlock_standing, landlock_withheld, unshare,
};
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
use nowhere as system;

use crate::layers::{Layer, Standing};
use std::io;
use std::os::fd::BorrowedFd;

/// The user and the group that a worker becomes if it was started by root.
///
/// No distribution hands it out: it lies between the users that systemd makes up, which end at 65 519, and `nobody`, 65 534,
/// whom others use. Workers share it; what keeps them from each other is Landlock and seccomp.
pub const UNUSED_USER: u32 = 65_529;

/// Whether there are any layers on systems of this kind.
pub const IS_SUPPORTED: bool = cfg!(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
));

/// What Landlock lacks before its ABI 10, which matters to whoever has peers alone.
pub const UDP_IS_OPEN: &str = "this kernel does not check the ports of UDP";

/// Why nothing is confined elsewhere.
pub const NOT_HERE: &str = "workers are confined only by Linux, on x86_64 and aarch64";

/// What [`early`] needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Start<'fd> {
    /// The descriptors that stay open. All others are closed, and standard streams lead to `/dev/null`. Sockets should
    /// be connected streams: those for datagrams can send to others.
    pub keep: &'fd [BorrowedFd<'fd>],
    /// The process that started this one. If it is given and gone already, [`early`] fails.
    pub parent: Option<u32>,
    /// The limits of the process.
    pub limits: Limits,
}

/// Limits of the process, which it cannot raise again.
///
/// Address space is not limited, since wasmtime reserves terabytes of it, nor is the size of files, which would count for
/// shared memory too. No core file is ever written, no memory locked, and no message queue or signal queued. Threads are
/// limited in a user namespace of its own alone: elsewhere the kernel counts them together with those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many descriptors it may have.
    pub descriptors: u64,
    /// How many threads it may have.
    pub threads: u64,
}

impl Default for Limits {
    /// 256 descriptors: memory that is mapped needs none, so it is the task's files and sockets that count. 1024 threads, of
    /// which a runtime has some hundreds if as many calls of the system block.
    fn default() -> Self {
        Self {
            descriptors: 256,
            threads: 1024,
        }
    }
}

/// What a worker may still do after [`Early::lock`]: by default compute, and use the descriptors that it has.
#[derive(Debug, Default)]
pub struct Confinement<'fd> {
    directories: Vec<(BorrowedFd<'fd>, Access)>,
    ports: Option<Ports>,
    user: User,
    memory_files: bool,
}

/// What may be done below a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Files may be read and directories listed.
    ReadOnly,
    /// Files, directories and symbolic links may be made, changed and removed too. Nothing may be executed, and no devices,
    /// sockets or pipes made.
    ReadWrite,
}

/// The sockets that may be made: TCP and, if `udp`, UDP, over IPv4 and IPv6. None can listen.
///
/// Kernels before Landlock's ABI 10 do not check the ports of UDP. Addresses are not checked by the kernel at all.
/// Names must be looked up elsewhere: that takes files of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// The ports to connect to.
    pub connect: Connect,
    /// The local ports to bind to; `0` is any that the kernel picks.
    pub bind: Vec<u16>,
    /// Whether UDP may be used.
    pub udp: bool,
}

/// The ports to which a worker may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connect {
    /// All of them.
    Any,
    /// These.
    Only(Vec<u16>),
}

/// Who a worker is that root started. Others stay who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum User {
    /// [`UNUSED_USER`], who has only the rights of strangers in the directories that are granted.
    #[default]
    Unused,
    /// Root still, without its capabilities: for directories that are granted and belong to root.
    AsStarted,
}

impl<'fd> Confinement<'fd> {
    /// Grants nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Grants what is below an open directory. The descriptor may be an `O_PATH` one.
    ///
    /// Landlock alone keeps the worker below it. If it is missing, files elsewhere are open to the worker as to its user.
    #[must_use]
    pub fn directory(mut self, directory: BorrowedFd<'fd>, access: Access) -> Self {
        self.directories.push((directory, access));
        self
    }

    /// Grants sockets. The worker then stays in the network namespace it was started in.
    #[must_use]
    pub fn ports(mut self, ports: Ports) -> Self {
        self.ports = Some(ports);
        self
    }

    /// Sets who a worker is that root started.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = user;
        self
    }

    /// Grants files in memory (`memfd_create`), which no limit of the process counts. Without it wasmtime copies the initial
    /// memory of modules that are loaded later instead of mapping it.
    #[must_use]
    pub fn memory_files(mut self, granted: bool) -> Self {
        self.memory_files = granted;
        self
    }
}

/// What each layer holds of those that were tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    layers: Vec<(Layer, Standing)>,
}

impl Report {
    /// The layers, in the order in which they were taken on.
    pub fn layers(&self) -> &[(Layer, Standing)] {
        &self.layers
    }

    /// How far this layer stands; `None` if it was not tried.
    pub fn standing(&self, layer: Layer) -> Option<&Standing> {
        let mut found = self.layers.iter().filter(|(tried, _)| *tried == layer);
        found.next().map(|(_, standing)| standing)
    }

    /// The layers that are missing.
    pub fn missing(&self) -> impl Iterator<Item = (Layer, &str)> {
        self.layers.iter().filter_map(|(layer, standing)| {
            if let Standing::Missing(reason) = standing {
                Some((*layer, reason.as_str()))
            } else {
                None
            }
        })
    }
}

/// Why a process could not be confined. It holds an unknown part of its layers then, and should end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfineError {
    /// There are other threads, which would stay free.
    #[error(
        "the process has {found} threads, and can be confined only before it starts a second one"
    )]
    Threads {
        /// How many there are.
        found: usize,
    },
    /// The parent ended before its death could be waited for.
    #[error("the process that started the worker has ended")]
    Orphan,
    /// A system file could not be read.
    #[error("cannot read `{path}`; mount `/proc` where workers run")]
    Unreadable {
        /// The file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A step failed that must not.
    #[error("{layer}: cannot {step}: {reason}. {}", layer.needs())]
    Failed {
        /// The layer.
        layer: Layer,
        /// What was tried, as a verb and what follows it.
        step: &'static str,
        /// Why it failed.
        reason: String,
    },
}

/// A worker between the two phases.
#[derive(Debug)]
#[must_use = "a worker is confined only when it is locked"]
pub struct Early {
    parent: Option<u32>,
    limits: Limits,
    report: Report,
}

/// Gives up what no worker needs. To be called at the start of `main`, before there are other threads.
///
/// In this order: no new privileges, death with the parent, closed descriptors, limits and a `umask` of `077`.
///
/// The kernel sends the deadly signal when the *thread* ends that started the worker. So that thread must live as long.
pub fn early(start: &Start<'_>) -> Result<Early, ConfineError> {
    system::early(start).map(|layers| Early {
        parent: start.parent,
        limits: start.limits,
        report: Report { layers },
    })
}

impl Early {
    /// What the first phase did.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Gives up everything that is not granted, for good, and reports on both phases.
    ///
    /// In this order: namespaces that only root can make, the bounding set, groups and user, the user namespace and those
    /// that need it, the number of threads, an empty root directory, capabilities, not dumpable, death with the parent (a change of user forgets it), Landlock, seccomp.
    ///
    /// # Errors
    ///
    /// If there is a second thread, nothing has happened yet. After other errors the process should end.
    pub fn lock(self, confinement: &Confinement<'_>) -> Result<Report, ConfineError> {
        let Report { mut layers } = self.report;
        layers.extend(system::lock(confinement, self.parent, self.limits)?);
        Ok(Report { layers })
    }
}

/// Where no layer exists.
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same signatures as where a step can fail"
)]
mod nowhere {
    use super::{ConfineError, Confinement, Limits, NOT_HERE, Start};
    use crate::layers::{Layer, Standing};

    type Layers = Vec<(Layer, Standing)>;

    /// The layers of the first phase.
    const FIRST: usize = 4;

    pub(super) fn early(_: &Start<'_>) -> Result<Layers, ConfineError> {
        Ok(missing(&Layer::ALL[..FIRST]))
    }

    pub(super) fn lock(
        confinement: &Confinement<'_>,
        _: Option<u32>,
        _: Limits,
    ) -> Result<Layers, ConfineError> {
        let Confinement {
            directories: _,
            ports: _,
            user: _,
            memory_files: _,
        } = confinement;
        Ok(missing(&Layer::ALL[FIRST..Layer::ALL.len() - 1]))
    }

    fn missing(layers: &[Layer]) -> Layers {
        let missing = || Standing::Missing(NOT_HERE.to_owned());
        layers.iter().map(|layer| (*layer, missing())).collect()
    }
}
