//! The most that tasks may be granted on this machine: a file of the machine's owner, which no job can widen.

use super::roots::Roots;
use crate::boundary::BoundaryKind;
use crate::nats::wire::TasksHead;
use rwasm_sandbox::grants::{Access, Clock, DirGrant, Grants, NetGrant, NetHost, Random};
use rwasm_sandbox::limits::{DETERMINISTIC_FUEL, Limits, MAX_STACK, MIN_STACK};
use rwasm_sandbox::outcome::{FailureCode, Outcome};
use rwasm_value::units::ByteSize;
use rwasm_value::{plain, small_file};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most that tasks may be granted on a machine: nothing by default, with the default limits.
#[derive(Clone, Debug, Default)]
pub struct EnginePolicy {
    /// Directories, with everything in them.
    dirs: Roots,
    net: Vec<NetGrant>,
    /// Variables; a trailing `*` matches any rest.
    env: Vec<String>,
    /// Whether the precise clock may be read.
    precise_clock: bool,
    /// The weakest that the engines may have.
    boundary: BoundaryKind,
    caps: Caps,
}

/// Upper bounds for a job's limits; a job that asks for more is limited to these.
#[derive(Clone, Debug)]
struct Caps {
    time: Duration,
    /// Of deterministic tasks, by the clock.
    wall: Option<Duration>,
    fuel: u64,
    memory: ByteSize,
    /// As many as its memory has room for, if the file does not say.
    table_elements: Option<usize>,
    stack: ByteSize,
    input: ByteSize,
    output: ByteSize,
    written: ByteSize,
    module: ByteSize,
    compile_time: Duration,
    compile_memory: ByteSize,
}

impl Default for Caps {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            // Longer than the default, since it harms nobody: a task that waits or computes has its engine to itself.
            time: Duration::from_hours(24),
            wall: None,
            // About a day of computing.
            fuel: 100_000_000_000_000,
            memory: ByteSize::mib(4096),
            table_elements: None,
            stack: MAX_STACK,
            input: ByteSize::mib(1024),
            output: ByteSize::mib(1024),
            written: limits.written,
            module: limits.module,
            compile_time: limits.compile_time,
            compile_memory: limits.compile_memory,
        }
    }
}

/// What an element of a table takes, in bytes.
const ELEMENT: u64 = 8;

impl Caps {
    fn table_elements(&self) -> usize {
        let room = usize::try_from(self.memory.bytes() / ELEMENT).unwrap_or(usize::MAX);
        self.table_elements.unwrap_or(room)
    }

    fn wall(&self) -> Duration {
        let mut limits = Limits::default();
        (limits.time, limits.wall) = (self.time, self.wall);
        limits.wall()
    }
}

/// The policy file, as parsed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    dirs: Vec<String>,
    net: Vec<String>,
    env: Vec<String>,
    precise_clock: bool,
    boundary: Option<String>,
    limits: Limited,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limited {
    time: Option<String>,
    wall: Option<String>,
    fuel: Option<u64>,
    memory: Option<String>,
    table_elements: Option<usize>,
    stack: Option<String>,
    input: Option<String>,
    output: Option<String>,
    written: Option<String>,
    module: Option<String>,
    compile_time: Option<String>,
    compile_memory: Option<String>,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read the policy `{}`", plain::path(.path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not a valid policy.
    #[error("`{}` is not a valid policy: {reason}", plain::path(.path))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
}

/// Reads a time of the policy's limits.
fn duration(name: &str, text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| {
        format!("`limits.{name}`: `{text}` is not a valid duration such as 30s or 5m: {error}")
    })
}

impl EnginePolicy {
    /// Reads a policy from a TOML file.
    ///
    /// # Errors
    /// If the file cannot be read, or is not a valid policy.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let text = small_file::read(path).map_err(|source| PolicyError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|reason| PolicyError::Invalid {
            path: path.to_owned(),
            reason,
        })
    }

    /// The weakest boundary that engines with this policy may have; [`BoundaryKind::Thread`] by default.
    #[must_use]
    pub fn boundary(&self) -> BoundaryKind {
        self.boundary
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut policy = Self {
            dirs: Roots::open(&file.dirs)?,
            env: file.env,
            precise_clock: file.precise_clock,
            boundary: file.boundary.map_or(Ok(BoundaryKind::Thread), |text| {
                text.parse().map_err(|error| format!("`boundary`: {error}"))
            })?,
            ..Self::default()
        };
        for peer in file.net {
            policy
                .net
                .push(peer.parse().map_err(|error| format!("`net`: {error}"))?);
        }
        let caps = &mut policy.caps;
        let limits = &file.limits;
        caps.fuel = limits.fuel.unwrap_or(caps.fuel);
        caps.table_elements = limits.table_elements;
        if let Some(text) = &limits.wall {
            caps.wall = Some(duration("wall", text)?);
        }
        for (name, cap, text) in [
            ("memory", &mut caps.memory, &limits.memory),
            ("stack", &mut caps.stack, &limits.stack),
            ("input", &mut caps.input, &limits.input),
            ("output", &mut caps.output, &limits.output),
            ("written", &mut caps.written, &limits.written),
            ("module", &mut caps.module, &limits.module),
            (
                "compile_memory",
                &mut caps.compile_memory,
                &limits.compile_memory,
            ),
        ] {
            if let Some(text) = text {
                let size = text.parse();
                *cap = size.map_err(|error| format!("`limits.{name}`: {error}"))?;
            }
        }
        if !(MIN_STACK..=MAX_STACK).contains(&caps.stack) {
            return Err(format!(
                "`limits.stack`: {} is not a stack of {MIN_STACK} to {MAX_STACK}",
                caps.stack
            ));
        }
        for (name, cap, text) in [
            ("time", &mut caps.time, &limits.time),
            ("compile_time", &mut caps.compile_time, &limits.compile_time),
        ] {
            if let Some(text) = text {
                *cap = duration(name, text)?;
            }
        }
        Ok(policy)
    }

    /// Logs which of its directories are missing: jobs that ask for them are refused until the process joins anew.
    pub(super) fn warn_of_missing_dirs(&self) {
        for dir in self.dirs.missing() {
            let dir = plain::path(dir);
            tracing::warn!(
                "`{dir}` in `dirs` of the policy does not exist, so no job gets it (create it and restart the engine)"
            );
        }
    }

    /// Returns the limits of a job, lowered to what is allowed here.
    pub(super) fn limits(&self, head: &TasksHead) -> Limits {
        let caps = &self.caps;
        let mut limits = wanted(head);
        limits.time = limits.time.min(caps.time);
        limits.wall = Some(head.limits.wall().min(caps.wall()));
        limits.fuel = limits.fuel.map(|fuel| fuel.min(caps.fuel));
        limits.memory = limits.memory.min(caps.memory);
        limits.table_elements = limits.table_elements.min(caps.table_elements());
        limits.stack = limits.stack.min(caps.stack);
        limits.input = limits.input.min(caps.input);
        limits.output = limits.output.min(caps.output);
        limits.written = limits.written.min(caps.written);
        limits.module = limits.module.min(caps.module);
        limits.compile_time = limits.compile_time.min(caps.compile_time);
        limits.compile_memory = limits.compile_memory.min(caps.compile_memory);
        let default = Limits::default();
        limits.logs = limits.logs.min(ByteSize::mib(16));
        limits.random = limits.random.min(ByteSize::mib(64));
        limits.handles = limits.handles.min(4096);
        limits.files = limits.files.min(1_000_000);
        limits.compiled = limits.compiled.min(default.compiled);
        // Of inputs that its own host inflates; those of jobs are inflated where they are submitted.
        limits.inflated = limits.inflated.min(default.inflated);
        limits
    }

    /// Names the policy in failures by limits that it lowered, so that nobody is told to raise them.
    pub(super) fn explain(&self, head: &TasksHead, outcomes: &mut [Outcome]) {
        let (here, wanted) = (self.limits(head), wanted(head));
        for outcome in outcomes {
            let Err(failure) = &mut outcome.result else {
                continue;
            };
            let limit = match failure.code {
                FailureCode::Timeout if failure.is_by_clock => {
                    if here.wall() >= wanted.wall() {
                        continue;
                    }
                    "wall"
                }
                FailureCode::FuelExhausted if here.fuel < wanted.fuel => "fuel",
                FailureCode::Timeout if here.time < wanted.time => "time",
                FailureCode::StackOverflow if here.stack < wanted.stack => "stack",
                FailureCode::MemoryLimit if here.memory < wanted.memory => "memory",
                FailureCode::InputLimit if here.input < wanted.input => "input",
                FailureCode::OutputLimit if here.output < wanted.output => "output",
                _ => continue,
            };
            // What a failure advises stands in parentheses at its end.
            if let Some(advice) = failure.message.rfind(" (") {
                failure.message.truncate(advice);
            }
            failure.message += &format!(
                " (the job asked for more than the engine's policy allows: `{limit}` in its `[limits]`)"
            );
        }
    }

    /// Returns what a job is granted, with its directories, open and in order; or the first thing that is not allowed
    /// here, as a sentence.
    ///
    /// # Errors
    /// If the job asks for something that is not allowed.
    pub(super) fn grants(&self, head: &TasksHead) -> Result<(Grants, Vec<std::fs::File>), String> {
        let mut grants = Grants::none();
        let mut opened = Vec::with_capacity(head.dirs.len());
        for dir in &head.dirs {
            let dir: DirGrant = dir.parse().map_err(|error| format!("{error}"))?;
            let found = self.dirs.find(&dir.host)?;
            if dir.access == Access::ReadWrite && found.access == Access::ReadOnly {
                return Err(format!(
                    "the engine's policy allows only reading the directory `{}` (grant it with `:ro`, or remove the `:ro` in `dirs`)",
                    dir.host.display()
                ));
            }
            grants = grants.dir(found.path, dir.guest, dir.access);
            opened.push(found.directory);
        }
        for peer in &head.net {
            let peer: NetGrant = peer.parse().map_err(|error| format!("{error}"))?;
            let is_allowed = self.net.iter().any(|allowed| {
                canonical(&allowed.host) == canonical(&peer.host)
                    && (allowed.port.is_none() || allowed.port == peer.port)
            });
            if !is_allowed {
                return Err(format!(
                    "the engine's policy does not allow the peer `{peer}` (add it to `net`)"
                ));
            }
            grants = grants.net(peer);
        }
        for (name, value) in &head.env {
            let is_allowed = |allowed: &String| match allowed.strip_suffix('*') {
                Some(begin) => name.starts_with(begin),
                None => allowed == name,
            };
            if !self.env.iter().any(is_allowed) {
                return Err(format!(
                    "the engine's policy does not allow the variable `{name}` (add it to `env`)"
                ));
            }
            grants = grants.env(name, value);
        }
        let clock: Clock = head.clock.parse().map_err(|error| format!("{error}"))?;
        if clock == Clock::Precise && !self.precise_clock {
            return Err(
                "the engine's policy does not allow the precise clock (add `precise_clock = true`)"
                    .to_owned(),
            );
        }
        grants = grants.clock(clock);
        if let Some(seed) = head.seed {
            grants = grants.random(Random::Seeded(seed));
        }
        Ok((grants, opened))
    }
}

/// The limits that a job asks for. A deterministic one that names no fuel asks for the default, which may be more than is
/// allowed here.
fn wanted(head: &TasksHead) -> Limits {
    let mut limits = head.limits.clone();
    if head.deterministic {
        limits.fuel = limits.fuel.or(Some(DETERMINISTIC_FUEL));
    }
    limits
}

/// IPv4 addresses mapped into IPv6 count as the IPv4 address.
fn canonical(host: &NetHost) -> NetHost {
    match host {
        NetHost::Address(address) => NetHost::Address(address.to_canonical()),
        NetHost::Name(name) => NetHost::Name(name.clone()),
    }
}

#[cfg(test)]
mod tests;
