//! What a task may reach beyond its input: nothing, unless granted. Grants are checked when a job
//! or call begins, so that anything missing is known before a task runs.

mod guest_path;
mod opened;

use guest_path::GuestPath;
use opened::lies_within;
use rwasm_value::plain;
use std::fmt;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[doc(hidden)]
pub use opened::{identity, open_directory};

/// The grants of a task: none by default.
///
/// A cluster's grants apply to all its jobs and calls; a job or a view may replace them with its
/// own.
///
/// # Examples
///
/// ```
/// use rwasm_sandbox::grants::{Access, Clock, Grants};
///
/// let grants = Grants::none()
///     .dir("data", "/data", Access::ReadOnly)
///     .env("STAGE", "test")
///     .net("db.example.org:5432".parse()?)
///     .clock(Clock::Precise);
/// # drop(grants);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grants {
    /// Directories.
    pub dirs: Vec<DirGrant>,
    /// Environment variables, by name.
    pub env: Vec<(String, String)>,
    /// Network peers. Only components can use them: WASI preview 1 cannot open sockets.
    pub net: Vec<NetGrant>,
    /// The clock.
    pub clock: Clock,
    /// Where random numbers come from.
    pub random: Random,
}

/// A host directory that a task may use, and nothing outside of it.
///
/// Its text is `HOST::GUEST`, followed by `:ro` if it is read-only. `HOST` alone uses the same path
/// in the guest.
///
/// # Examples
///
/// ```
/// use rwasm_sandbox::grants::{Access, DirGrant};
///
/// let dir: DirGrant = "./data::/data:ro".parse()?;
/// assert_eq!(dir.guest, "/data");
/// assert_eq!(dir.access, Access::ReadOnly);
/// # Ok::<(), rwasm_sandbox::grants::ParseGrantError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirGrant {
    /// The directory's path on the host.
    pub host: PathBuf,
    /// The directory's path in the guest. Guests take `/data`, `data`, `./data` and `/data/` for the
    /// same, so no two grants of a task may differ by that alone. It has no `:`.
    pub guest: String,
    /// What the guest may do in it.
    pub access: Access,
}

/// What a guest may do in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Read files and list directories. Nothing may be changed, created, renamed or linked.
    ReadOnly,
    /// Everything, within the limits `written` and `files`.
    #[default]
    ReadWrite,
}

/// A peer that a task may connect or send to by TCP or UDP, and whose name it may look up.
///
/// Its text is `HOST:PORT`: a name or an address (IPv6 in brackets), and a port or `*` for all
/// ports. A name stands for the addresses that it has when a task of the job first uses the
/// network; the host looks them up once per job. Link-local addresses, such as the metadata service
/// of cloud providers, are never among them: they can only be granted by address.
///
/// # Examples
///
/// ```
/// use rwasm_sandbox::grants::{NetGrant, NetHost};
///
/// let peer: NetGrant = "db.example.org:5432".parse()?;
/// assert_eq!(peer.host, NetHost::Name("db.example.org".into()));
/// assert_eq!(peer.port, Some(5432));
/// assert_eq!("[::1]:*".parse::<NetGrant>()?.port, None);
/// # Ok::<(), rwasm_sandbox::grants::ParseGrantError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct NetGrant {
    /// The peer's address or name.
    pub host: NetHost,
    /// The peer's port, or `None` for all ports.
    pub port: Option<u16>,
}

/// The address or name of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NetHost {
    /// An address.
    Address(IpAddr),
    /// A name, in lower case.
    Name(String),
}

/// The clock that a task reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clock {
    /// The system clock at full precision. A guest can learn more from it about other work on the
    /// machine.
    Precise,
    /// The system clock in whole milliseconds.
    #[default]
    Coarse,
    /// A clock that stands still, at the beginning of the year 2000.
    Fixed,
}

/// The source of a task's random numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Random {
    /// The operating system: suitable for keys.
    #[default]
    System,
    /// This seed together with the task's module, function and input: the same on every run,
    /// different for different inputs, and predictable to anyone who knows all of these.
    Seeded(u64),
}

/// The error for a text that is not a valid grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseGrantError {
    /// The text is not a valid directory grant.
    #[error(
        "`{found}` is not a valid directory grant: write HOST::GUEST, like ./data::/data, and append :ro to make it read-only"
    )]
    Dir {
        /// The text that was given.
        found: String,
    },
    /// The text has a single colon, like the mounts of other programs.
    #[error("`{found}` is not a valid directory grant: HOST::GUEST has two colons, like {instead}")]
    DirColon {
        /// The text that was given.
        found: String,
        /// What was probably meant.
        instead: String,
    },
    /// What follows the path in the guest is not a known access.
    #[error(
        "`{found}` is not a valid directory grant: its end `:{suffix}` is not known, the only one is `:ro`; without it, a directory is writable"
    )]
    DirSuffix {
        /// The text that was given.
        found: String,
        /// The unknown access.
        suffix: String,
    },
    /// The text is not the name of a clock.
    #[error("`{found}` is not a valid clock: write precise, coarse or fixed")]
    Clock {
        /// The text that was given.
        found: String,
    },
    /// The text is not a valid network peer.
    #[error(
        "`{found}` is not a valid network peer: write HOST:PORT, like db.example.org:5432, 10.0.0.7:80 or [::1]:* (all ports)"
    )]
    Net {
        /// The text that was given.
        found: String,
    },
}

/// The reason why something cannot be granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// The directory does not exist or cannot be opened.
    #[error("cannot grant the directory `{}`", plain::path(.path))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The path of the directory is relative or not UTF-8, so remote engines cannot resolve it.
    #[error(
        "the directory `{}` is resolved on the machines that run the engines: write its absolute path there, in UTF-8",
        plain::path(.path)
    )]
    Elsewhere {
        /// The directory.
        path: PathBuf,
    },
    /// Two directories have the same path in the guest, so that one would hide the other.
    #[error("{}: rename one of them", same_name(.first, .second))]
    SameName {
        /// The path in the guest of one.
        first: String,
        /// The path of the other, which guests take for the same.
        second: String,
    },
    /// The path of a directory in the guest is not usable.
    #[error(
        "`{guest}` is not a valid path of a directory in the guest: it is empty, or contains `:` or NUL"
    )]
    GuestPath {
        /// The path in the guest.
        guest: String,
    },
    /// A read-only directory lies inside a writable one.
    #[error(
        "`{}` is granted read-only, but lies inside `{}`, which is writable: make both read-only, or grant a different directory",
        plain::path(.inner),
        plain::path(.outer)
    )]
    ReadOnlyWithin {
        /// The read-only directory.
        inner: PathBuf,
        /// The writable directory.
        outer: PathBuf,
    },
    /// The name is not valid for an environment variable.
    #[error("`{name}` is not a valid variable name: it is empty, or contains `=` or NUL")]
    Variable {
        /// The name.
        name: String,
    },
    /// The value is not valid for an environment variable.
    #[error("the value of the variable `{name}` contains NUL")]
    VariableValue {
        /// The name of the variable.
        name: String,
    },
    /// A deterministic task was granted something that can differ between runs.
    #[error(
        "a deterministic task cannot be granted {what}: what it sees there can change between runs"
    )]
    NotDeterministic {
        /// What was granted.
        what: &'static str,
    },
}

impl Grants {
    /// Grants nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Grants a directory: `host` is its path on the host, `guest` its path in the guest.
    #[must_use]
    pub fn dir(
        mut self,
        host: impl Into<PathBuf>,
        guest: impl Into<String>,
        access: Access,
    ) -> Self {
        self.dirs.push(DirGrant {
            host: host.into(),
            guest: guest.into(),
            access,
        });
        self
    }

    /// Grants an environment variable. If a name is granted twice, the last value applies.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Grants a network peer.
    #[must_use]
    pub fn net(mut self, peer: NetGrant) -> Self {
        self.net.push(peer);
        self
    }

    /// Sets the clock that the task reads.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the source of the task's random numbers.
    #[must_use]
    pub fn random(mut self, random: Random) -> Self {
        self.random = random;
        self
    }

    /// Whether anything is granted that a task could reach; the clock and random numbers do not
    /// count.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dirs.is_empty() && self.env.is_empty() && self.net.is_empty()
    }

    /// Opens the directories, in order. Whatever comes in their place afterwards is not granted.
    #[doc(hidden)]
    pub fn open(&self) -> Result<Vec<File>, GrantError> {
        let open = |dir: &DirGrant| {
            open_directory(&dir.host).map_err(|source| GrantError::Directory {
                path: dir.host.clone(),
                source,
            })
        };
        self.dirs.iter().map(open).collect()
    }

    /// Checks that all grants are possible, with these directories, in order.
    #[doc(hidden)]
    pub fn check(&self, opened: &[File], deterministic: bool) -> Result<(), GrantError> {
        self.check_names()?;
        self.check_overlaps(opened)?;
        self.check_rest(deterministic)
    }

    /// Checks that all grants can be requested from remote engines, including the directories.
    #[doc(hidden)]
    pub fn check_elsewhere(&self, deterministic: bool) -> Result<(), GrantError> {
        for dir in &self.dirs {
            if !dir.host.is_absolute() || dir.host.to_str().is_none() {
                return Err(GrantError::Elsewhere {
                    path: dir.host.clone(),
                });
            }
        }
        self.check_names()?;
        self.check_rest(deterministic)
    }

    fn check_names(&self) -> Result<(), GrantError> {
        let mut known: Vec<(GuestPath<'_>, &str)> = Vec::new();
        for DirGrant { guest, .. } in &self.dirs {
            let path = GuestPath::of(guest).ok_or_else(|| GrantError::GuestPath {
                guest: guest.clone(),
            })?;
            if let Some((_, first)) = known.iter().find(|(one, _)| *one == path) {
                return Err(GrantError::SameName {
                    first: (*first).to_owned(),
                    second: guest.clone(),
                });
            }
            known.push((path, guest));
        }
        Ok(())
    }

    fn check_rest(&self, deterministic: bool) -> Result<(), GrantError> {
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(GrantError::Variable { name: name.clone() });
            }
            if value.contains('\0') {
                return Err(GrantError::VariableValue { name: name.clone() });
            }
        }
        if deterministic && !self.net.is_empty() {
            return Err(GrantError::NotDeterministic { what: "a network" });
        }
        Ok(())
    }

    /// Checks that every read-only directory is read-only by all paths that lead to it.
    fn check_overlaps(&self, opened: &[File]) -> Result<(), GrantError> {
        let dirs = self.dirs.iter().zip(opened);
        let dirs = dirs.map(|(dir, opened)| (&*dir.host, dir.access, Some(opened)));
        match read_only_within(&dirs.collect::<Vec<_>>()) {
            None => Ok(()),
            Some((inner, outer)) => Err(GrantError::ReadOnlyWithin {
                inner: inner.to_owned(),
                outer: outer.to_owned(),
            }),
        }
    }

    /// Lists what can be reached, one line for each, as options of the command line. Variables show
    /// only their names, since their values may be secrets.
    #[must_use]
    pub fn described(&self) -> Vec<String> {
        let dirs = self.dirs.iter().map(|dir| format!("--dir {dir}"));
        let env = self.env.iter().map(|(name, _)| format!("--env {name}"));
        let net = self.net.iter().map(|peer| format!("--net {peer}"));
        dirs.chain(env).chain(net).collect()
    }
}

/// Finds a read-only directory that lies inside a writable one, and that one: by what is open of both, else by their
/// names, with links followed as far as there is something.
#[doc(hidden)]
#[must_use]
pub fn read_only_within<'a>(
    dirs: &[(&'a Path, Access, Option<&File>)],
) -> Option<(&'a Path, &'a Path)> {
    let place = |dir: &Path| dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let of = |wanted| dirs.iter().filter(move |(_, access, _)| *access == wanted);
    of(Access::ReadOnly).find_map(|(inner, _, inner_opened)| {
        let at = place(inner);
        let is_within = |outer: &Path, outer_opened: Option<&File>| {
            at.starts_with(place(outer))
                || inner_opened
                    .zip(outer_opened)
                    .is_some_and(|(inner, outer)| lies_within(inner, outer).unwrap_or(false))
        };
        let (outer, ..) =
            of(Access::ReadWrite).find(|(outer, _, opened)| is_within(outer, *opened))?;
        Some((*inner, *outer))
    })
}

fn same_name(first: &str, second: &str) -> String {
    if first == second {
        return format!("two directories have the name `{first}` in the guest");
    }
    format!(
        "two directories have the names `{first}` and `{second}`, which are the same in the guest"
    )
}

impl FromStr for DirGrant {
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = || text.to_owned();
        let (rest, access) = match text.strip_suffix(":ro") {
            Some(rest) => (rest, Access::ReadOnly),
            None => (text.strip_suffix(":rw").unwrap_or(text), Access::ReadWrite),
        };
        let (host, guest) = rest.split_once("::").unwrap_or((rest, rest));
        if !host.is_empty() && GuestPath::of(guest).is_some() {
            return Ok(Self {
                host: host.into(),
                guest: guest.to_owned(),
                access,
            });
        }
        let both = text.split_once("::");
        let suffix = both.and_then(|(_, guest)| guest.split_once(':'));
        Err(match (both, suffix, text.split_once(':')) {
            (Some((host, _)), Some((guest, suffix)), _)
                if !host.is_empty() && !guest.is_empty() && !suffix.starts_with(':') =>
            {
                ParseGrantError::DirSuffix {
                    found: found(),
                    suffix: suffix.to_owned(),
                }
            }
            (None, _, Some((host, guest))) if !host.is_empty() && !guest.is_empty() => {
                ParseGrantError::DirColon {
                    found: found(),
                    instead: format!("{host}::{guest}"),
                }
            }
            _ => ParseGrantError::Dir { found: found() },
        })
    }
}

impl fmt::Display for DirGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.host.display(), self.guest)?;
        match self.access {
            Access::ReadOnly => f.write_str(":ro"),
            Access::ReadWrite => Ok(()),
        }
    }
}

impl FromStr for NetGrant {
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (host, port) = text.rsplit_once(':')?;
            let port = match port {
                "*" => None,
                port => Some(port.parse::<u16>().ok().filter(|port| *port != 0)?),
            };
            let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
                Some(address) => NetHost::Address(IpAddr::V6(address?.parse().ok()?)),
                None => match host.parse::<IpAddr>() {
                    Ok(IpAddr::V6(_)) => return None,
                    Ok(address) => NetHost::Address(address),
                    Err(_) => NetHost::Name(host_name(host)?),
                },
            };
            Some(Self { host, port })
        };
        parsed().ok_or_else(|| ParseGrantError::Net {
            found: text.to_owned(),
        })
    }
}

/// Normalizes a host name for comparison; none if it is not a host name.
pub(crate) fn host_name(text: &str) -> Option<String> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    // A text that looks like a number is a malformed address.
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    (text.len() <= 253 && !is_number && text.split('.').all(is_label))
        .then(|| text.to_ascii_lowercase())
}

impl fmt::Display for NetGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            NetHost::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            NetHost::Address(address) => write!(f, "{address}")?,
            NetHost::Name(name) => f.write_str(name)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

impl Clock {
    /// Returns the name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Precise => "precise",
            Self::Coarse => "coarse",
            Self::Fixed => "fixed",
        }
    }
}

impl FromStr for Clock {
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = [Self::Precise, Self::Coarse, Self::Fixed].into_iter();
        all.find(|clock| clock.name() == text)
            .ok_or_else(|| ParseGrantError::Clock {
                found: text.to_owned(),
            })
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
