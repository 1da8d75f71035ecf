//! The two phases, step by step. A step per layer; each tells how far it got.

mod capabilities;
mod descriptors;
mod landlock;
mod namespaces;
mod root;
mod seccomp;
mod user;

pub(crate) use landlock::{
    Asked as LandlockAsked, standing as landlock_standing, withheld as landlock_withheld,
};
pub(crate) use namespaces::{NETWORK, unshare};
pub(crate) use seccomp::install_hostile;

use super::{ConfineError, Confinement, Limits, Start};
use crate::layers::{Layer, Standing};
use namespaces::Namespaces;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getppid, getrlimit, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit, umask,
};
use rustix::thread::{CapabilitySet, set_no_new_privs};
use std::fs;

type Layers = Vec<(Layer, Standing)>;

pub(super) fn early(start: &Start<'_>) -> Result<Layers, ConfineError> {
    let failed = |step| move |errno| fail(Layer::NoNewPrivileges, step, &errno);
    set_no_new_privs(true).map_err(failed("set `no_new_privs`"))?;
    die_with(start.parent)?;
    descriptors::close_all_but(start.keep)?;
    limit(start.limits)?;
    // What it makes in granted directories is for the user whom it runs as.
    umask(Mode::RWXG | Mode::RWXO);
    Ok([
        Layer::NoNewPrivileges,
        Layer::ParentDeath,
        Layer::Descriptors,
        Layer::Limits,
    ]
    .map(|layer| (layer, Standing::Full))
    .to_vec())
}

pub(super) fn lock(
    confinement: &Confinement<'_>,
    parent: Option<u32>,
    limits: Limits,
) -> Result<Layers, ConfineError> {
    ensure_one_thread()?;
    // All capabilities of root are still there, if it was root that started it.
    let mut namespaces = Namespaces::wanted(confinement.ports.is_some());
    namespaces.make_as_root();
    capabilities::empty_bounding_set();
    let user = capabilities::keeping(CapabilitySet::SYS_CHROOT, || user::leave(confinement.user));
    // A user namespace is made by whoever it is by now, so that inside nothing belongs to the user of before; it comes with
    // all capabilities for what is inside, and a full bounding set.
    namespaces.make_as_anyone();
    capabilities::empty_bounding_set();
    if namespaces.has_own_users() && counts_by_namespace() {
        set(Resource::Nproc, limits.threads)?;
    }
    // After the namespace, which nobody in a changed root can make.
    let root = root::empty();
    let capabilities = capabilities::drop_all()?;
    let not_dumpable = |errno| fail(Layer::NotDumpable, "turn it on", &errno);
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(not_dumpable)?;
    die_with(parent)?;
    // The last of all: both forbid what is done above.
    let landlock = landlock::restrict(confinement)?;
    let seccomp = seccomp::restrict(confinement)?;

    let mut layers = namespaces.into_layers();
    layers.extend([
        (Layer::UnusedUser, user),
        (Layer::EmptyRoot, root),
        (Layer::Capabilities, capabilities),
        (Layer::NotDumpable, Standing::Full),
        (Layer::Landlock, landlock),
        (Layer::Seccomp, seccomp),
    ]);
    Ok(layers)
}

/// What belongs to a thread would leave others free.
fn ensure_one_thread() -> Result<(), ConfineError> {
    let path = "/proc/self/task";
    let tasks = fs::read_dir(path).map_err(|source| ConfineError::Unreadable { path, source })?;
    match tasks.count() {
        1 => Ok(()),
        found => Err(ConfineError::Threads { found }),
    }
}

/// Ends with the parent. If that has ended before, no signal comes, so it is looked for afterwards.
fn die_with(parent: Option<u32>) -> Result<(), ConfineError> {
    let failed = |errno| fail(Layer::ParentDeath, "ask for the signal", &errno);
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed)?;
    let Some(parent) = parent else { return Ok(()) };
    let now = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if now == Some(parent) {
        Ok(())
    } else {
        Err(ConfineError::Orphan)
    }
}

/// The limits that count for the process alone, or for what it never needs.
fn limit(limits: Limits) -> Result<(), ConfineError> {
    set(Resource::Nofile, limits.descriptors)?;
    let nothing = [
        Resource::Core,
        Resource::Memlock,
        Resource::Msgqueue,
        Resource::Sigpending,
    ];
    nothing
        .into_iter()
        .try_for_each(|resource| set(resource, 0))
}

fn set(resource: Resource, most: u64) -> Result<(), ConfineError> {
    // Only root may go above what there is.
    let most = getrlimit(resource)
        .maximum
        .map_or(most, |hard| hard.min(most));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(resource, limit).map_err(|errno| fail(Layer::Limits, "set a limit", &errno))
}

/// Whether the kernel counts the threads of a user for each user namespace, as since 5.14. Before, they were counted with all
/// others of that user, and a limit would be one for all workers together.
fn counts_by_namespace() -> bool {
    const SINCE: (u32, u32) = (5, 14);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse::<u32>().ok();
    matches!((number(), number()), (Some(major), Some(minor)) if (major, minor) >= SINCE)
}

fn fail(layer: Layer, step: &'static str, reason: &dyn std::fmt::Display) -> ConfineError {
    ConfineError::Failed {
        layer,
        step,
        reason: reason.to_string(),
    }
}

/// How the kernel answers if it does not have something, or does not let it be used.
fn is_withheld(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::PERM
            | Errno::ACCESS
            | Errno::NOSYS
            | Errno::INVAL
            | Errno::OPNOTSUPP
            | Errno::NOSPC
            | Errno::USERS
    )
}
