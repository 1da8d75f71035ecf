//! Compares what the engines of a cluster may use together with what this process may use: memory, files and threads.
//! The system's limits are read once, at the start; the comparison is plain arithmetic.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "what Linux says is read on Linux alone")
)]

use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::limits::Limits;
use rwasm_value::units::ByteSize;
use std::fmt;
use std::path::{Path, PathBuf};

/// A resource of which the engines of a cluster may use more, all together, than this process has.
///
/// Formats as the arithmetic. Nothing is wrong as long as tasks stay well below their limits;
/// otherwise the system may refuse memory, or kill the process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortage {
    /// The resource.
    pub resource: Resource,
    /// The number of engines.
    pub engines: u32,
    /// What each engine may use, by name, in bytes or in numbers.
    pub each: Vec<(&'static str, u64)>,
    /// What the process uses besides.
    pub own: u64,
    /// What is available, in bytes or in numbers.
    pub available: u64,
    /// The setting that limits it.
    pub bound: &'static str,
}

/// A resource of which a process has a limited amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// Memory, in bytes.
    Memory,
    /// Open files.
    Files,
    /// Threads.
    Threads,
}

impl Shortage {
    /// Returns what the process may use with all its engines, in bytes or in numbers.
    #[must_use]
    pub fn wanted(&self) -> u64 {
        let amounts = self.each.iter().map(|(_, amount)| *amount);
        let each = amounts.fold(0, u64::saturating_add);
        let engines = each.saturating_mul(self.engines.into());
        engines.saturating_add(self.own)
    }

    fn amount(&self, amount: u64) -> String {
        match self.resource {
            Resource::Memory => ByteSize::new(amount).to_string(),
            Resource::Files | Resource::Threads => amount.to_string(),
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self
            .each
            .iter()
            .map(|(name, amount)| format!("{} of {name}", self.amount(*amount)))
            .collect();
        let what = match self.resource {
            Resource::Memory => "",
            Resource::Files => " open files",
            Resource::Threads => " threads",
        };
        let own = match self.own {
            0 => String::new(),
            own => format!(" + {}", self.amount(own)),
        };
        write!(
            f,
            "{} engines × ({}){own} = {}{what}, more than the {} available to this process ({})",
            self.engines,
            each.join(" + "),
            self.amount(self.wanted()),
            self.amount(self.available),
            self.bound
        )
    }
}

/// An upper bound and its origin; `None` if there is no bound.
type Bound = Option<(u64, &'static str)>;

/// What this process may use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Available {
    memory: Bound,
    files: Bound,
    threads: Bound,
}

/// Files that a process has open besides those of its guests.
const OWN_FILES: u64 = 64;

/// Files of an engine: those of its runtime.
const FILES_PER_ENGINE: u64 = 4;

/// Threads of an engine: its own, and one in which a host call may wait.
const THREADS_PER_ENGINE: u64 = 2;

impl Available {
    /// Returns the resources that `engines` engines could exhaust.
    pub(crate) fn shortages(
        &self,
        engines: u32,
        limits: &Limits,
        grants: &Grants,
    ) -> Vec<Shortage> {
        let short = |resource, bound: Bound, each: Vec<(&'static str, u64)>, own: u64| {
            let (available, bound) = bound?;
            let shortage = Shortage {
                resource,
                engines,
                each,
                own,
                available,
                bound,
            };
            (shortage.wanted() > available).then_some(shortage)
        };
        let memory = vec![
            ("memory", limits.memory.bytes()),
            ("output", limits.output.bytes()),
            ("stack", limits.stack.bytes()),
        ];
        // Without a grant a handle is none of the system's.
        let mut files = vec![("its own", FILES_PER_ENGINE)];
        if !grants.dirs.is_empty() || !grants.net.is_empty() {
            files.push(("handles", limits.handles as u64));
        }
        let threads = vec![("threads", THREADS_PER_ENGINE)];
        [
            short(Resource::Memory, self.memory, memory, 0),
            short(Resource::Files, self.files, files, OWN_FILES),
            short(Resource::Threads, self.threads, threads, 0),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Asks the system.
    #[cfg(target_os = "linux")]
    pub(crate) fn now() -> Self {
        let file = |path: &Path| std::fs::read_to_string(path).ok();
        let own = file(Path::new("/proc/self/cgroup")).unwrap_or_default();
        let machine = file(Path::new("/proc/meminfo")).and_then(|text| total_memory(&text));
        let group = |version, name| least(&groups(&own, version), name, file);
        Self {
            memory: tightest([
                (machine, "the machine's memory"),
                (group(&UNIFIED, "memory.max"), "memory.max of its cgroup"),
                (
                    group(&MEMORY, "memory.limit_in_bytes"),
                    "memory.limit_in_bytes of its cgroup",
                ),
                (resource::memory(), "ulimit -v or -d"),
            ]),
            files: tightest([(resource::files(), "ulimit -n")]),
            threads: tightest([
                (group(&UNIFIED, "pids.max"), "pids.max of its cgroup"),
                (group(&PIDS, "pids.max"), "pids.max of its cgroup"),
                (resource::threads(), "ulimit -u"),
            ]),
        }
    }

    /// Asks the system.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now() -> Self {
        Self {
            memory: tightest([(resource::memory(), "ulimit -v or -d")]),
            files: tightest([(resource::files(), "ulimit -n")]),
            threads: tightest([(resource::threads(), "ulimit -u")]),
        }
    }
}

fn tightest<const N: usize>(bounds: [(Option<u64>, &'static str); N]) -> Bound {
    let known = bounds
        .into_iter()
        .filter_map(|(amount, what)| Some((amount?, what)));
    known.min_by_key(|(amount, _)| *amount)
}

/// The limits that `ulimit` shows.
#[cfg(unix)]
mod resource {
    use rustix::process::{Resource, getrlimit};

    pub(super) fn memory() -> Option<u64> {
        let limits = [Resource::As, Resource::Data].map(|what| getrlimit(what).current);
        limits.into_iter().flatten().min()
    }

    pub(super) fn files() -> Option<u64> {
        getrlimit(Resource::Nofile).current
    }

    pub(super) fn threads() -> Option<u64> {
        getrlimit(Resource::Nproc).current
    }
}

#[cfg(not(unix))]
mod resource {
    pub(super) fn memory() -> Option<u64> {
        None
    }

    pub(super) fn files() -> Option<u64> {
        None
    }

    pub(super) fn threads() -> Option<u64> {
        None
    }
}

/// Returns the machine's memory in bytes, from the text of `/proc/meminfo`.
fn total_memory(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A hierarchy of control groups.
struct Hierarchy {
    /// The controller in the lines of `/proc/self/cgroup`; empty for version 2.
    controller: &'static str,
    root: &'static str,
}

/// Version 2, for all controllers together.
const UNIFIED: Hierarchy = Hierarchy {
    controller: "",
    root: "/sys/fs/cgroup",
};

/// Version 1, for memory.
const MEMORY: Hierarchy = Hierarchy {
    controller: "memory",
    root: "/sys/fs/cgroup/memory",
};

/// Version 1, for numbers of threads.
const PIDS: Hierarchy = Hierarchy {
    controller: "pids",
    root: "/sys/fs/cgroup/pids",
};

/// Returns the directories of a process's group and of all groups around it, from the text of `/proc/self/cgroup`; none
/// if it has no group in this hierarchy.
fn groups(text: &str, kind: &Hierarchy) -> Vec<PathBuf> {
    let of_kind = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(":/")?;
        let is_it = controllers.split(',').any(|name| name == kind.controller);
        is_it.then(|| Path::new(kind.root).join(path))
    };
    let Some(own) = text.lines().find_map(of_kind) else {
        return Vec::new();
    };
    own.ancestors()
        .take_while(|group| group.starts_with(kind.root))
        .map(Path::to_owned)
        .collect()
}

/// Returns the least number in the files of this name; `max` and missing files are no bound.
fn least(groups: &[PathBuf], name: &str, file: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    groups
        .iter()
        .filter_map(|group| file(&group.join(name))?.trim().parse().ok())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rwasm_sandbox::grants::Access;

    fn available(memory: u64, files: u64) -> Available {
        Available {
            memory: Some((memory, "the machine's memory")),
            files: Some((files, "ulimit -n")),
            threads: None,
        }
    }

    #[test]
    fn what_fits_is_no_shortage() {
        let limits = Limits::default();
        let found = available(4 << 30, 100).shortages(8, &limits, &Grants::none());
        assert_eq!(found, []);
    }

    #[test]
    fn what_does_not_fit_is_said_with_the_arithmetic() {
        let limits = Limits::default();
        let found = available(2 << 30, 1024).shortages(8, &limits, &Grants::none());
        let text: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "8 engines × (256MiB of memory + 64MiB of output + 512KiB of stack) = 2564MiB, more than the 2GiB available to this process (the machine's memory)"
            ]
        );
    }

    #[test]
    fn handles_count_where_they_are_files() {
        let limits = Limits::default();
        let grants = Grants::none().dir("a", "/a", Access::ReadOnly);
        let found = available(4 << 30, 1024).shortages(4, &limits, &grants);
        let text: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "4 engines × (4 of its own + 256 of handles) + 64 = 1104 open files, more than the 1024 available to this process (ulimit -n)"
            ]
        );
    }

    #[test]
    fn the_tightest_group_around_a_process_counts() {
        let text = "12:cpu:/old\n3:memory,hugetlb:/c\n0::/a/b\n";
        let root = Path::new("/sys/fs/cgroup");
        let old = groups(text, &MEMORY);
        assert_eq!(old, [root.join("memory/c"), root.join("memory")]);
        assert!(groups(text, &PIDS).is_empty());
        let groups = groups(text, &UNIFIED);
        assert_eq!(groups, [root.join("a/b"), root.join("a"), root.to_owned()]);
        let file = |path: &Path| match path.to_str()? {
            "/sys/fs/cgroup/a/b/memory.max" => Some("max\n".to_owned()),
            "/sys/fs/cgroup/a/memory.max" => Some("4096\n".to_owned()),
            _ => None,
        };
        assert_eq!(least(&groups, "memory.max", file), Some(4096));
        assert_eq!(least(&groups, "pids.max", file), None);
    }

    #[test]
    fn the_machines_memory_is_read() {
        let text = "MemFree:  1 kB\nMemTotal:       24000000 kB\n";
        assert_eq!(total_memory(text), Some(24_000_000 << 10));
        assert_eq!(total_memory("MemTotal: lots"), None);
    }
}
