//! What is written down of a cluster on this machine: where it is, and which processes are its own.
//!
//! Each profile has a directory, of its user alone: `state.json`, the lock, the server's configuration and store, keys and
//! logs. The file is written whole, by whoever holds the lock; the store and the keys stay when the cluster is stopped.

use super::process::Mark;
use crate::environment::places;
use crate::exit::CliError;
use crate::output::results::plain;
use rwasm_cluster::aside::Aside;
use rwasm_cluster::nats::Role;
use rwasm_cluster::plain;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The file of what runs.
const STATE: &str = "state.json";

/// The file of what is kept from one start to the next.
const KEPT: &str = "kept.json";

/// A cluster on this machine that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterState {
    /// Where clients and engines find its server; none while that is being started.
    pub(crate) url: Option<String>,
    /// Its server.
    pub(crate) server: Mark,
    /// The processes with engines that were started with it.
    pub(crate) engines: Vec<EngineGroup>,
    /// Milliseconds that running tasks have to end when it is stopped.
    pub(crate) drain_ms: u64,
}

/// Engines that were started together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EngineGroup {
    /// The process that has them; for those on another machine the one that holds the connection.
    pub(crate) process: Mark,
    /// How many there are.
    pub(crate) engines: u32,
    /// The other machine.
    pub(crate) host: Option<String>,
}

/// What a cluster keeps from one start to the next.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The port under which clients and engines know it.
    pub(crate) port: Option<u16>,
    /// What it may store, in bytes: what is set aside for streams when they are made.
    pub(crate) store: Option<u64>,
}

/// The directory of a cluster on this machine.
#[derive(Clone, Debug)]
pub(crate) struct ClusterDir {
    name: String,
    dir: PathBuf,
}

impl ClusterDir {
    /// That of a profile, whether it is there or not.
    pub(crate) fn of(profile: &str) -> Result<Self, CliError> {
        Ok(Self {
            name: profile.to_owned(),
            dir: clusters()?.join(profile),
        })
    }

    /// One that is elsewhere.
    #[cfg(test)]
    pub(super) fn in_dir(name: &str, dir: &Path) -> Self {
        Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
        }
    }

    /// The profile.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The directory of keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    /// The key of a role.
    pub(crate) fn key(&self, role: Role) -> PathBuf {
        self.keys().join(format!("{role}.key"))
    }

    /// Makes the directory, for its user alone.
    pub(crate) fn make(&self) -> Result<(), CliError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.dir);
        made.map_err(|source| unwritable(&self.dir, source))
    }

    /// Waits until no other command is at this cluster, and keeps others away until the result is dropped; `waits` is told
    /// if there is one.
    pub(crate) fn lock(&self, waits: impl FnOnce()) -> Result<File, CliError> {
        let path = self.file("lock");
        let failed = |source| unwritable(&path, source);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                waits();
                file.lock().map_err(failed)?;
                Ok(file)
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Writes a file whole, for its user alone.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), CliError> {
        let path = self.file(name);
        let written = Aside::beside(&path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.complete()
        });
        written.map_err(|source| unwritable(&path, source))
    }

    /// Writes down what was started.
    pub(crate) fn record(&self, state: &ClusterState) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(state);
        let text = text.map_err(|error| CliError::Internal(error.into()))?;
        self.write(STATE, &(text + "\n"))
    }

    /// Writes down that nothing runs.
    pub(crate) fn forget(&self) -> Result<(), CliError> {
        let path = self.file(STATE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(&path, error)),
            _ => Ok(()),
        }
    }

    /// What it has kept from an earlier start; nothing where there was none, or that cannot be read.
    pub(crate) fn kept(&self) -> Kept {
        let text = fs::read(self.file(KEPT)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Keeps it for the next.
    pub(crate) fn keep(&self, kept: &Kept) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(kept);
        let text = text.map_err(|error| CliError::Internal(error.into()))?;
        self.write(KEPT, &(text + "\n"))
    }

    /// What is written down; none where no cluster was started, or it was stopped.
    pub(crate) fn state(&self) -> Result<Option<ClusterState>, CliError> {
        let path = self.file(STATE);
        let unreadable = |reason: String| {
            CliError::Gone {
            message: format!("cannot read `{}`: {reason}", plain::path(&path)),
            hint: "on Linux, `rwasm-cluster start` and `rwasm-cluster stop` find the running processes; elsewhere, remove the \
                   file when no nats-server and no rwasm-cluster process is running"
                .to_owned(),
        }
        };
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| unreadable(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// The state of a cluster whose server runs, and where that is.
    pub(crate) fn running(&self) -> Result<Option<(ClusterState, String)>, CliError> {
        let running = self.state()?.filter(|state| state.server.is_running());
        Ok(running.and_then(|state| {
            let url = state.url.clone()?;
            Some((state, url))
        }))
    }
}

/// The running cluster on this machine that has that URL.
pub(crate) fn at(url: &str) -> Option<ClusterDir> {
    // Who has no home, as services have none, has started none.
    let Ok(Ok(dirs)) = clusters().map(fs::read_dir) else {
        return None;
    };
    for dir in dirs.flatten() {
        let place = ClusterDir {
            name: dir.file_name().to_string_lossy().into_owned(),
            dir: dir.path(),
        };
        // Another profile's file is not our affair.
        if let Ok(Some((_, at))) = place.running()
            && at == url
        {
            return Some(place);
        }
    }
    None
}

fn unwritable(path: &Path, source: io::Error) -> CliError {
    CliError::Output {
        what: format!("`{}`", plain::path(path)),
        source: plain(source),
    }
}

fn clusters() -> Result<PathBuf, CliError> {
    Ok(places::state_dir()?.join("clusters"))
}
