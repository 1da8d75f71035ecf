//! What `start` is to start: its options, behind them the environment and the profile, then what is usual.

use super::engines::EngineSettings;
use super::profile::Profile;
use crate::args::{HostArgument, StartArguments, check_engines};
use crate::exit::CliError;
use rwasm_cluster::ByteSize;
use rwasm_cluster::join::EnginePolicy;
use std::path::PathBuf;
use std::time::Duration;

/// How long running tasks have to end when the engines are stopped.
const DRAIN: Duration = Duration::from_secs(30);

/// What is to be started.
pub(super) struct StartSettings {
    pub(super) engines: u32,
    /// Whether that number was asked for.
    pub(super) says_engines: bool,
    pub(super) hosts: Vec<HostArgument>,
    pub(super) engine: EngineSettings,
    pub(super) nats_server: Option<PathBuf>,
    pub(super) port: Option<u16>,
    pub(super) store: Option<ByteSize>,
    pub(super) keep: Option<Duration>,
    /// The time for all of it to be ready.
    pub(super) within: Duration,
    pub(super) asked: Asked,
    /// Whether the options ask for lanes, labels, a policy, a boundary or a health address, which engines that run do not take on.
    pub(super) changes_engines: bool,
}

/// What the options ask of a server, and not the profile: it may run already, and be another one.
pub(super) struct Asked {
    pub(super) port: Option<u16>,
    pub(super) store: Option<ByteSize>,
}

impl StartSettings {
    /// What the options, and behind them the profile, want.
    pub(super) fn resolve(arguments: &StartArguments, profile: &Profile) -> Result<Self, CliError> {
        let set = profile.settings();
        if let Some(url) = &set.url {
            return Err(CliError::Wrong {
                message: format!(
                    "the profile `{}` names the cluster at {url}, but `start` starts one on this machine",
                    profile.path().display()
                ),
                hint: "name another profile with --profile".to_owned(),
            });
        }
        let says_engines = arguments.engines.or(set.engines);
        let engines = says_engines.unwrap_or_else(|| {
            std::thread::available_parallelism()
                .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
        });
        let hosts = if arguments.hosts.is_empty() {
            profile.parsed("hosts", &set.hosts)?
        } else {
            arguments.hosts.clone()
        };
        if engines > 0 || hosts.is_empty() {
            check_engines(Some(engines))?;
        }
        for host in &hosts {
            check_engines(Some(host.engines))?;
        }
        let engine = EngineSettings::resolve(arguments, profile)?;
        let nats_server = set.nats_server.as_deref().map(|path| profile.resolve(path));
        Ok(Self {
            engines,
            says_engines: says_engines.is_some(),
            hosts,
            engine,
            nats_server: arguments.nats_server.clone().or(nats_server),
            port: arguments.port.or(set.port),
            store: match (arguments.store, &set.store) {
                (Some(size), _) => Some(size),
                (None, Some(size)) => profile.parsed("store", std::slice::from_ref(size))?.pop(),
                (None, None) => None,
            },
            keep: match arguments.keep {
                Some(time) => Some(time),
                None => profile.time("keep", set.keep.as_deref())?,
            },
            within: arguments.within,
            asked: Asked {
                port: arguments.port,
                store: arguments.store,
            },
            changes_engines: !arguments.lanes.is_empty()
                || !arguments.labels.is_empty()
                || arguments.policy.is_some()
                || arguments.boundary.is_some()
                || arguments.health.is_some(),
        })
    }
}

impl EngineSettings {
    /// What the options, and behind them the profile, want of engines.
    fn resolve(arguments: &StartArguments, profile: &Profile) -> Result<Self, CliError> {
        let set = profile.settings();
        let labels = if arguments.labels.is_empty() {
            let labels = set.labels.iter();
            let labels: Vec<_> = labels
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            profile.parsed("labels", &labels)?
        } else {
            arguments.labels.clone()
        };
        let policy = match (&arguments.policy, &set.policy) {
            (Some(path), _) => Some(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
            (None, Some(path)) => Some(profile.resolve(path)),
            (None, None) => None,
        };
        // What engines would end at is said before anything is started.
        if let Some(path) = &policy {
            EnginePolicy::read(path).map_err(CliError::Policy)?;
        }
        let lanes = if arguments.lanes.is_empty() {
            &set.lanes
        } else {
            &arguments.lanes
        };
        let boundary = match (arguments.boundary, &set.boundary) {
            (Some(argument), _) => Some(argument.into()),
            (None, Some(text)) => profile
                .parsed("boundary", std::slice::from_ref(text))?
                .pop(),
            (None, None) => None,
        };
        let health = match (arguments.health, &set.health) {
            (Some(address), _) => Some(address),
            (None, Some(text)) => profile.parsed("health", std::slice::from_ref(text))?.pop(),
            (None, None) => None,
        };
        let drain = profile.time("drain-timeout", set.drain_timeout.as_deref());
        Ok(Self {
            lanes: lanes.clone(),
            labels,
            policy,
            boundary,
            health,
            drain_timeout: match arguments.drain_timeout {
                Some(time) => time,
                None => drain?.unwrap_or(DRAIN),
            },
            ssh: arguments
                .ssh
                .clone()
                .or_else(|| set.ssh.clone())
                .unwrap_or_else(|| "ssh".to_owned()),
        })
    }
}
