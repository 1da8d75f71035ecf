//! What this machine has. What can be tried on a thread that ends afterwards is tried, since that says most; the rest is
//! read from the kernel's settings.

use super::{Layer, Standing};
use crate::confine;
use landlock::{LandlockStatus, Ruleset, RulesetAttr as _, RulesetError, Scope};
use rustix::process::{geteuid, getuid};
use rustix::thread::{CapabilitySet, capabilities};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// The root of control groups.
const CGROUPS: &str = "/sys/fs/cgroup";

pub(super) fn standing(layer: Layer) -> Standing {
    match layer {
        // Every kernel that Rust's library runs on has them.
        Layer::NoNewPrivileges
        | Layer::ParentDeath
        | Layer::Limits
        | Layer::NotDumpable
        | Layer::Capabilities => Standing::Full,
        Layer::Descriptors => descriptors(),
        Layer::UnusedUser => unused_user(),
        Layer::UserNamespace => user_namespace(),
        Layer::NetworkNamespace => network_namespace(),
        Layer::OtherNamespaces => through_users("they show only when they are tried"),
        Layer::EmptyRoot => empty_root(),
        Layer::Landlock => aside(landlock),
        Layer::Seccomp => aside(confine::install_hostile),
        Layer::Cgroup => cgroup(),
    }
}

/// Tries what changes only the thread that does it.
fn aside(attempt: impl FnOnce() -> Standing + Send) -> Standing {
    let failed = |why: &str| Standing::Missing(format!("it could not be tried: {why}"));
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("probe".to_owned());
        match thread.spawn_scoped(scope, attempt) {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|_| failed("the attempt panicked")),
            Err(error) => failed(&error.to_string()),
        }
    })
}

fn landlock() -> Standing {
    let asked = confine::LandlockAsked::now();
    let tried: Result<LandlockStatus, RulesetError> = asked
        .ruleset
        .scope(Scope::Signal)
        .and_then(|ruleset| ruleset.handle_access(landlock::AccessFs::MakeBlock))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map(|status| status.landlock);
    match tried {
        Ok(status) => confine::landlock_standing(&status, &asked.errno),
        Err(error) => confine::landlock_withheld(&error)
            .unwrap_or_else(|| Standing::Missing(error.to_string())),
    }
}

fn descriptors() -> Standing {
    match fs::read_dir("/proc/self/fd") {
        Ok(_) => Standing::Full,
        Err(error) => Standing::Missing(format!("`/proc/self/fd` cannot be read: {error}")),
    }
}

fn has(capability: CapabilitySet) -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(capability))
}

fn unused_user() -> Standing {
    if !getuid().is_root() && !geteuid().is_root() {
        return Standing::Missing("the program does not run as root".to_owned());
    }
    if !has(CapabilitySet::SETUID) || !has(CapabilitySet::SETGID) {
        return Standing::Missing(
            "root runs it, but without the capabilities `SETUID` and `SETGID`".to_owned(),
        );
    }
    Standing::Full
}

fn empty_root() -> Standing {
    if has(CapabilitySet::SYS_CHROOT) {
        return Standing::Full;
    }
    through_users("it shows only when it is tried")
}

/// A process with threads cannot make one, so it is not tried.
fn user_namespace() -> Standing {
    let setting = |name: &str| {
        let text = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    if !Path::new("/proc/self/ns/user").exists() {
        return Standing::Missing("the kernel is built without it".to_owned());
    }
    if setting("user/max_user_namespaces") == Some(0) {
        return Standing::Missing("`user.max_user_namespaces` is 0".to_owned());
    }
    // Workers of root too make theirs as an ordinary user.
    if setting("kernel/unprivileged_userns_clone") == Some(0) {
        return Standing::Missing("`kernel.unprivileged_userns_clone` is 0".to_owned());
    }
    if setting("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return Standing::Partial(
            "`kernel.apparmor_restrict_unprivileged_userns` is 1, so that no other namespace comes with it".to_owned(),
        );
    }
    Standing::Partial("the settings allow it, but it shows only when it is tried".to_owned())
}

/// Root makes one without a user namespace, for a thread alone.
fn network_namespace() -> Standing {
    if has(CapabilitySet::SYS_ADMIN) {
        let tried = aside(|| match confine::unshare(confine::NETWORK) {
            Ok(()) => Standing::Full,
            Err(errno) => Standing::Missing(errno.to_string()),
        });
        if tried.is_full() {
            return tried;
        }
    }
    through_users("it shows only when it is tried")
}

/// What comes with a user namespace if root does not make it.
fn through_users(unsure: &str) -> Standing {
    if has(CapabilitySet::SYS_ADMIN) {
        return Standing::Partial(format!("root may make it, but {unsure}"));
    }
    match user_namespace() {
        Standing::Missing(reason) => {
            Standing::Missing(format!("it takes a user namespace: {reason}"))
        }
        Standing::Partial(reason) if reason.contains("apparmor") => Standing::Missing(reason),
        Standing::Partial(_) | Standing::Full => {
            Standing::Partial(format!("it takes a user namespace, and {unsure}"))
        }
    }
}

fn cgroup() -> Standing {
    let Ok(own) = fs::read_to_string("/proc/self/cgroup") else {
        return Standing::Missing("the kernel is built without it".to_owned());
    };
    let unified = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let is_unified = Path::new(CGROUPS).join("cgroup.controllers").exists();
    let Some(own) = unified.filter(|_| is_unified) else {
        return Standing::Missing(
            "version 2 of control groups is not mounted on `/sys/fs/cgroup`".to_owned(),
        );
    };
    let group = Path::new(CGROUPS).join(own);
    match limit(&group) {
        Some(most) => Standing::Partial(format!(
            "the program and its workers share a limit of {most} bytes of memory; a worker alone has none"
        )),
        None => Standing::Missing(
            "neither the program nor its workers have a limit of memory".to_owned(),
        ),
    }
}

/// The lowest limit of memory of a group and those around it.
fn limit(group: &Path) -> Option<u64> {
    let groups = group
        .ancestors()
        .take_while(|group| group.starts_with(CGROUPS));
    let limit_of = |group: PathBuf| {
        let text = fs::read_to_string(group.join("memory.max")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    groups.map(Path::to_owned).filter_map(limit_of).min()
}
