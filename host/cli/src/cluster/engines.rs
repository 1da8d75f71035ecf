//! The processes with engines of a cluster on this machine: here, and by ssh on other machines.
//!
//! Here one process has them all: `rwasm-cluster engine join`. On another machine that is started by ssh, which carries
//! the connection to the server too, so that nothing listens on a network; see [`super::tether`] for what holds it.

use super::MAIN_LANE;
use super::background::{self, BackgroundProcess, own_program};
use super::began::{Began, ProcessKind};
use super::process::Mark;
use super::state::{ClusterDir, ClusterState};
use super::tether;
use super::waiting::{Deadline, until_ready};
use crate::args::{HostArgument, LabelArgument};
use crate::environment::compiler::cache_dir;
use crate::environment::signals::Signals;
use crate::exit::CliError;
use crate::text::shell_word;
use rwasm_cluster::BoundaryKind;
use rwasm_cluster::nats::{ConnectSettings, Process, Role, overview};
use rwasm_cluster::plain;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Variables that speak to commands of the user's, and not to engines that have their options from here.
const NOT_FOR_ENGINES: [&str; 13] = [
    "RWASM_ALLOW_PLAIN",
    "RWASM_BOUNDARY",
    "RWASM_CA",
    "RWASM_CERT",
    "RWASM_CERT_KEY",
    "RWASM_CLUSTER",
    "RWASM_COLOR",
    "RWASM_ENGINES",
    "RWASM_KEY",
    "RWASM_POLICY",
    "RWASM_PROFILE",
    "RWASM_QUIET",
    "RWASM_VERBOSE",
];

/// The file in which engines on this machine say that they have joined, in the directory of the cluster.
pub(super) const READY: &str = "engines.ready";

/// The option by which `engine join` learns which file its stderr is.
const LOG_OPTION: &str = "--stderr-log";

/// The label that says by which name a machine was reached.
const BY_SSH: &str = "ssh";

/// How engines are to be.
#[derive(Clone, Debug)]
pub(super) struct EngineSettings {
    pub(super) lanes: Vec<String>,
    pub(super) labels: Vec<LabelArgument>,
    /// Of engines on this machine: other machines have policies of their own.
    pub(super) policy: Option<PathBuf>,
    pub(super) boundary: Option<BoundaryKind>,
    /// Where engines on this machine say how they are.
    pub(super) health: Option<SocketAddr>,
    pub(super) drain_timeout: Duration,
    pub(super) ssh: String,
}

impl EngineSettings {
    /// The options of `engine join` that engines here and elsewhere have.
    fn options(&self, engines: u32) -> Vec<OsString> {
        let drain = humantime::format_duration(self.drain_timeout).to_string();
        let mut options: Vec<OsString> = Vec::new();
        let mut option = |name: &str, value: &str| options.extend([name.into(), value.into()]);
        option("--engines", &engines.to_string());
        option("--drain-timeout", &drain.replace(' ', ""));
        if let Some(boundary) = self.boundary {
            option("--boundary", &boundary.to_string());
        }
        for lane in &self.lanes {
            option("--lane", lane);
        }
        if !self.lanes.is_empty() {
            option("--lane", MAIN_LANE);
        }
        for label in &self.labels {
            option("--label", &format!("{}={}", label.name, label.value));
        }
        options
    }
}

/// Starts engines in a process on this machine, without waiting for them.
pub(super) fn start(
    place: &ClusterDir,
    url: &str,
    engines: u32,
    settings: &EngineSettings,
    began: &Began,
    written: impl FnOnce(Mark) -> ClusterState,
) -> Result<BackgroundProcess, CliError> {
    let ready = place.file(READY);
    // Of engines that were there before.
    let _ = fs::remove_file(&ready);
    let mut arguments: Vec<OsString> = vec!["engine".into(), "join".into(), url.into()];
    arguments.extend(settings.options(engines));
    arguments.extend(["--key".into(), place.key(Role::Engine).into()]);
    arguments.extend(["--ready-file".into(), ready.clone().into()]);
    arguments.extend(["--profile".into(), place.name().into()]);
    if let Some(health) = &settings.health {
        arguments.extend(["--health".into(), health.to_string().into()]);
    }
    if let Some(policy) = &settings.policy {
        arguments.extend(["--policy".into(), policy.into()]);
    }
    if let Some(cache) = cache_dir() {
        // It may be relative to where we are.
        arguments.extend([
            "--cache-dir".into(),
            std::path::absolute(&cache).unwrap_or(cache).into(),
        ]);
    }
    let log = place.file("engines.log");
    arguments.extend([LOG_OPTION.into(), log.clone().into()]);
    let spawn = || spawn(&own_program(), arguments, place, &log);
    began.start(ProcessKind::Engines, spawn, written)
}

/// Waits until engines on this machine have joined.
pub(super) fn await_ready(
    place: &ClusterDir,
    started: &mut BackgroundProcess,
    deadline: Deadline,
    signals: &Signals,
) -> Result<(), CliError> {
    let ready = place.file(READY);
    let what = "the process with engines";
    until_ready(what, started, deadline, signals, || {
        ready.exists().then_some(())
    })
}

/// Starts engines on another machine, without waiting for them.
pub(super) fn start_on(
    host: &HostArgument,
    place: &ClusterDir,
    port: u16,
    settings: &EngineSettings,
    began: &Began,
    written: impl FnOnce(Mark) -> ClusterState,
) -> Result<BackgroundProcess, CliError> {
    // Where the server seems to be over there. Which ports are free there nobody knows here; ssh ends where it is not.
    let there = fastrand::u16(20_000..32_000);
    let mut command: Vec<OsString> = vec!["rwasm-cluster".into(), "engine".into(), "join".into()];
    command.push(format!("nats://127.0.0.1:{there}").into());
    command.extend(settings.options(host.engines));
    command.extend(["--label".into(), format!("{BY_SSH}={}", host.host).into()]);
    command.push(tether::OPTION.into());
    let command: Vec<String> = command
        .iter()
        .map(|word| shell_word(&word.to_string_lossy()))
        .collect();
    let name: String = host
        .host
        .chars()
        .map(|one| {
            if one.is_ascii_alphanumeric() || "-.".contains(one) {
                one
            } else {
                '_'
            }
        })
        .collect();
    let log = place.file(&format!("ssh-{name}.log"));
    let mut arguments: Vec<OsString> = vec![
        tether::COMMAND.into(),
        place.key(Role::Engine).into(),
        log.clone().into(),
        settings.drain_timeout.as_millis().to_string().into(),
        settings.ssh.clone().into(),
    ];
    arguments.extend(
        [
            "-T",
            // Nobody is there to be asked for a password.
            "-oBatchMode=yes",
            "-oExitOnForwardFailure=yes",
            // A connection that is lost is heard of.
            "-oServerAliveInterval=15",
            "-R",
        ]
        .map(OsString::from),
    );
    arguments.push(format!("127.0.0.1:{there}:127.0.0.1:{port}").into());
    arguments.extend([host.host.clone().into(), command.join(" ").into()]);
    let spawn = || spawn(&own_program(), arguments, place, &log);
    began.start(ProcessKind::Engines, spawn, written)
}

/// Waits until engines on another machine have joined, which are none of those that were there before.
pub(super) fn await_joined(
    host: &HostArgument,
    started: &mut BackgroundProcess,
    before: &[String],
    viewer: &ConnectSettings,
    deadline: Deadline,
    signals: &Signals,
) -> Result<(), CliError> {
    /// To look takes a connection; once in a while will do.
    const PAUSE: Duration = Duration::from_millis(300);
    let what = format!("ssh to {}", host.host);
    let is_theirs = |process: &Process| {
        process.labels.get(BY_SSH) == Some(&host.host) && !before.contains(&process.id)
    };
    until_ready(&what, started, deadline, signals, || {
        let found = overview(viewer).ok()?;
        if found.processes.iter().any(is_theirs) {
            return Some(());
        }
        std::thread::sleep(PAUSE);
        None
    })
}

fn spawn(
    program: &Path,
    arguments: Vec<OsString>,
    place: &ClusterDir,
    log: &Path,
) -> Result<BackgroundProcess, CliError> {
    let mut command = background::command(program, arguments, place.dir());
    for variable in NOT_FOR_ENGINES {
        command.env_remove(variable);
    }
    background::spawn(command, log).map_err(|source| CliError::Output {
        what: format!("`{}`", plain::path(log)),
        source,
    })
}
