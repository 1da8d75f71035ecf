//! What a module may want to access, judged by its imports.

use super::ModuleInfo;
use super::imports;
use super::javascript;
use std::collections::BTreeSet;
use std::fmt;

/// Something beyond its input that a module may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Need {
    /// Files and directories.
    Files,
    /// Network peers.
    Network,
    /// Environment variables.
    Environment,
    /// A program's arguments.
    Arguments,
    /// A program's stdin.
    Stdin,
    /// A clock, or a pause.
    Clock,
    /// Random numbers.
    Random,
}

impl Need {
    /// Returns its name, as the command line shows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Network => "network",
            Self::Environment => "environment",
            Self::Arguments => "arguments",
            Self::Stdin => "stdin",
            Self::Clock => "clock",
            Self::Random => "random numbers",
        }
    }

    /// Returns the option that grants it; `None` if it needs no grant.
    #[must_use]
    pub const fn option(self) -> Option<&'static str> {
        match self {
            Self::Files => Some("--dir"),
            Self::Network => Some("--net"),
            Self::Environment => Some("--env"),
            Self::Arguments | Self::Stdin | Self::Clock | Self::Random => None,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ModuleInfo {
    /// Returns what the module may use, judged by its imports. That is usually more than it does
    /// use: the standard libraries of languages import functions that a program never calls, and an
    /// adapter between versions of WASI imports nearly everything.
    #[must_use]
    pub fn needs(&self) -> Vec<Need> {
        let mut needs = BTreeSet::new();
        for import in self.imports() {
            let wanted: &[Need] = if import.module == "wasi_snapshot_preview1" {
                of_preview1(&import.name)
            } else if import.module == javascript::ENV && import.offered {
                of_javascript(&import.name)
            } else {
                let interface = imports::preview2(&import.module);
                let interface = interface.or_else(|| imports::preview3(&import.module));
                interface.map_or(&[], of_interface)
            };
            needs.extend(wanted);
        }
        needs.into_iter().collect()
    }
}

fn of_preview1(name: &str) -> &'static [Need] {
    match name {
        "args_get" => &[Need::Arguments],
        "environ_get" => &[Need::Environment],
        "clock_time_get" | "poll_oneoff" => &[Need::Clock],
        "random_get" => &[Need::Random],
        // It also reads files, but only those that were opened.
        "fd_read" => &[Need::Stdin],
        name if name.starts_with("path_") => &[Need::Files],
        _ => &[],
    }
}

fn of_javascript(name: &str) -> &'static [Need] {
    match name {
        "seed" | "Math.random" => &[Need::Random],
        name if name.contains("now") => &[Need::Clock],
        _ => &[],
    }
}

fn of_interface(interface: &str) -> &'static [Need] {
    match interface {
        "cli/environment" => &[Need::Environment, Need::Arguments],
        "cli/stdin" => &[Need::Stdin],
        "clocks/monotonic-clock" | "clocks/system-clock" | "clocks/wall-clock" => &[Need::Clock],
        "filesystem/preopens" | "filesystem/types" => &[Need::Files],
        "random/insecure" | "random/insecure-seed" | "random/random" => &[Need::Random],
        "http/client" | "http/outgoing-handler" => &[Need::Network],
        interface if interface.starts_with("sockets/") => &[Need::Network],
        _ => &[],
    }
}
