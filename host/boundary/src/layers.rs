//! The layers of the wall: what the kernel can hold back from a worker, each with what it stops and what it needs.
//!
//! [`probe()`] tells what this machine has, as far as that can be told from outside. What a worker really got is in its
//! [`Report`](crate::confine::Report), which is the one to trust.

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod probe;

use std::fmt;

/// One thing that the kernel holds back from a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges,
    /// `PR_SET_PDEATHSIG` with `SIGKILL`.
    ParentDeath,
    /// All descriptors are closed but those that were granted.
    Descriptors,
    /// Resource limits: the numbers of descriptors and threads, no core files, no locked memory, no queues.
    Limits,
    /// `PR_SET_DUMPABLE` off.
    NotDumpable,
    /// All capabilities are dropped, in every set.
    Capabilities,
    /// A user and a group that own nothing.
    UnusedUser,
    /// A user namespace of its own, in which nobody is mapped.
    UserNamespace,
    /// A network namespace of its own, without interfaces.
    NetworkNamespace,
    /// IPC and UTS namespaces of its own.
    OtherNamespaces,
    /// An empty root directory (`chroot`).
    EmptyRoot,
    /// Landlock: files, TCP ports, abstract sockets and signals.
    Landlock,
    /// A list of the system calls that may be made.
    Seccomp,
    /// A control group with limits for memory and processors, which is for others to set up. No worker takes it on by itself.
    Cgroup,
}

/// How far a layer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It holds.
    Full,
    /// It holds in part; what does not, and why.
    Partial(String),
    /// It does not hold; why.
    Missing(String),
}

impl Layer {
    /// All of them, in the order in which a worker takes them on.
    pub const ALL: [Self; 14] = [
        Self::NoNewPrivileges,
        Self::ParentDeath,
        Self::Descriptors,
        Self::Limits,
        Self::UserNamespace,
        Self::NetworkNamespace,
        Self::OtherNamespaces,
        Self::UnusedUser,
        Self::EmptyRoot,
        Self::Capabilities,
        Self::NotDumpable,
        Self::Landlock,
        Self::Seccomp,
        Self::Cgroup,
    ];

    /// A short name, as it is shown in lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoNewPrivileges => "no new privileges",
            Self::ParentDeath => "death with the parent",
            Self::Descriptors => "closed descriptors",
            Self::Limits => "resource limits",
            Self::NotDumpable => "not dumpable",
            Self::Capabilities => "no capabilities",
            Self::UnusedUser => "unused user",
            Self::UserNamespace => "user namespace",
            Self::NetworkNamespace => "network namespace",
            Self::OtherNamespaces => "other namespaces",
            Self::EmptyRoot => "empty root directory",
            Self::Landlock => "Landlock",
            Self::Seccomp => "seccomp",
            Self::Cgroup => "control group",
        }
    }

    /// What it stops, in one sentence.
    pub fn stops(self) -> &'static str {
        match self {
            Self::NoNewPrivileges => {
                "A worker that was taken over cannot gain rights through programs such as `sudo`."
            }
            Self::ParentDeath => "A worker does not outlive the program that started it.",
            Self::Descriptors => {
                "A worker that was taken over cannot use files and connections that the program had open."
            }
            Self::Limits => {
                "A worker cannot use up the descriptors and threads of the machine, and leaves no memory image behind."
            }
            Self::NotDumpable => {
                "Other programs of the same user cannot read a worker's memory, nor it theirs through `/proc`."
            }
            Self::Capabilities => "A worker that was taken over has none of the powers of root.",
            Self::UnusedUser => {
                "A worker that was taken over cannot touch the files and processes of any user."
            }
            Self::UserNamespace => {
                "A power that a mistake in the kernel hands to a worker counts for nothing outside."
            }
            Self::NetworkNamespace => {
                "A worker that was taken over reaches no network, not even that of its own machine."
            }
            Self::OtherNamespaces => {
                "A worker that was taken over cannot use shared memory and message queues of others."
            }
            Self::EmptyRoot => {
                "A worker that was taken over cannot even see which files the machine has."
            }
            Self::Landlock => {
                "A worker that was taken over can open only the directories and ports that its task was granted."
            }
            Self::Seccomp => {
                "A worker that was taken over can start no program, and reaches only a small part of the kernel."
            }
            Self::Cgroup => "A worker cannot take the memory and processors of the whole machine.",
        }
    }

    /// What a container or a deployment must allow for it, in one sentence.
    pub fn needs(self) -> &'static str {
        match self {
            Self::NoNewPrivileges | Self::ParentDeath | Self::Limits | Self::NotDumpable => {
                "Any Linux gives it; nothing has to be allowed."
            }
            Self::Capabilities => {
                "A worker that has any must be allowed `capset`, which `~@privileged` in a systemd unit forbids."
            }
            Self::Descriptors => "`/proc` must be mounted.",
            Self::UnusedUser => {
                "The program must run as root with the capabilities `SETUID` and `SETGID`, which Docker gives by default."
            }
            Self::UserNamespace => {
                "The kernel must let ordinary users make user namespaces (`user.max_user_namespaces`, \
                 `kernel.unprivileged_userns_clone`, `kernel.apparmor_restrict_unprivileged_userns`), and the \
                 container's seccomp profile or the unit (`RestrictNamespaces`) must allow `unshare` and `capset`: the \
                 default profiles of Docker, containerd and Kubernetes (`RuntimeDefault`) refuse it without `SYS_ADMIN`."
            }
            Self::NetworkNamespace | Self::OtherNamespaces => {
                "User namespaces must be allowed, or the program must run as root with the capability `SYS_ADMIN`; the \
                 container's seccomp profile or the unit (`RestrictNamespaces`) must allow `unshare`."
            }
            Self::EmptyRoot => {
                "`/proc` must be mounted, and user namespaces must be allowed or the program run as root with the \
                 capability `SYS_CHROOT`, which Docker gives by default; a filter of system calls must allow `chroot`."
            }
            Self::Landlock => {
                "The kernel must be 6.12 or newer with `landlock` among its `lsm=`; a filter of system calls must allow \
                 `landlock_create_ruleset`, `landlock_add_rule` and `landlock_restrict_self`, as the default ones of \
                 containers do since 2021."
            }
            Self::Seccomp => {
                "The kernel must be built with `CONFIG_SECCOMP_FILTER`; a filter of system calls must allow `seccomp`, as \
                 the default ones of containers do."
            }
            Self::Cgroup => {
                "Limit the memory and processors of the container or the service; its workers are within those limits \
                 together. No worker has one of its own: what each has in memory is checked while it runs."
            }
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Standing {
    /// Whether the layer holds in full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full)
    }

    /// What does not hold, and why.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Full => None,
            Self::Partial(reason) | Self::Missing(reason) => Some(reason),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Partial(reason) => write!(f, "partial: {reason}"),
            Self::Missing(reason) => write!(f, "missing: {reason}"),
        }
    }
}

/// Tells for each layer what this machine gives, in the order of [`Layer::ALL`], and changes nothing.
///
/// Some of it shows only when it is tried, and then it says so.
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub fn probe() -> Vec<(Layer, Standing)> {
    Layer::ALL
        .into_iter()
        .map(|layer| (layer, probe::standing(layer)))
        .collect()
}

/// Tells for each layer what this machine gives: none of them, since it is not Linux on `x86_64` or `aarch64`.
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
pub fn probe() -> Vec<(Layer, Standing)> {
    let missing = || Standing::Missing(crate::confine::NOT_HERE.to_owned());
    Layer::ALL
        .into_iter()
        .map(|layer| (layer, missing()))
        .collect()
}
