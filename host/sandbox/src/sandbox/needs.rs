//! What a module may want to reach, by its imports.

use super::imports;
use super::module::Module;
use std::collections::BTreeSet;
use std::fmt;

/// Something beyond its input that a module may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Need {
    /// Files and directories.
    Files,
    /// Peers on the network.
    Network,
    /// Variables of the environment.
    Environment,
    /// Arguments of a program.
    Arguments,
    /// A program's stdin.
    Stdin,
    /// A clock, or a pause.
    Clock,
    /// Random numbers.
    Random,
}

impl Need {
    /// Its name, as the command line says it.
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

    /// The option that grants it; none where it is there without.
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

impl Module {
    /// What it may use, by what it imports. That is more than it does use, most often: languages' libraries
    /// import things for parts of them that a program never comes to, and an adapter from one version of WASI
    /// to another imports nearly all there is.
    #[must_use]
    pub fn needs(&self) -> Vec<Need> {
        let mut needs = BTreeSet::new();
        for import in self.imports() {
            let wanted: &[Need] = if import.module == "wasi_snapshot_preview1" {
                of_preview1(&import.name)
            } else {
                imports::preview2(&import.module).map_or(&[], of_preview2)
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
        // Files are read by it too, but none is there that was not opened.
        "fd_read" => &[Need::Stdin],
        name if name.starts_with("path_") => &[Need::Files],
        _ => &[],
    }
}

fn of_preview2(interface: &str) -> &'static [Need] {
    match interface {
        "cli/environment" => &[Need::Environment, Need::Arguments],
        "cli/stdin" => &[Need::Stdin],
        "clocks/monotonic-clock" | "clocks/wall-clock" => &[Need::Clock],
        "filesystem/preopens" | "filesystem/types" => &[Need::Files],
        "random/insecure" | "random/insecure-seed" | "random/random" => &[Need::Random],
        interface if interface.starts_with("sockets/") => &[Need::Network],
        _ => &[],
    }
}
