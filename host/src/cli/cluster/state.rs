//! What is written down of a cluster on this machine: where it is, and which processes are its own.
//!
//! Each profile has a directory, of its user alone: `state.json`, the lock, the server's configuration and store, keys and
//! logs. The file is written whole, by whoever holds the lock; the store and the keys stay when the cluster is stopped.

use super::super::exit::CliError;
use super::super::places;
use super::process::Mark;
use rwasm_cluster::nats::Role;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A cluster on this machine that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Where clients and engines find its server.
    pub(crate) url: String,
    /// Its server.
    pub(crate) server: Mark,
    /// The processes with engines on this machine.
    pub(crate) engines: Vec<Mark>,
    /// The commands by which engines run on other machines.
    #[serde(default)]
    pub(crate) remote: Vec<Mark>,
}

/// The directory of a cluster on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    name: String,
    dir: PathBuf,
}

impl Place {
    /// That of a profile, whether it is there or not.
    pub(crate) fn of(profile: &str) -> Result<Self, CliError> {
        Ok(Self {
            name: profile.to_owned(),
            dir: clusters()?.join(profile),
        })
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

    /// The key of a role.
    pub(crate) fn key(&self, role: Role) -> PathBuf {
        self.dir.join("keys").join(format!("{role}.key"))
    }

    /// What is written down; none where no cluster was started, or it was stopped.
    pub(crate) fn state(&self) -> Result<Option<State>, CliError> {
        let path = self.file("state.json");
        let unreadable = |reason: String| CliError::Gone {
            message: format!("`{}` cannot be read: {reason}", path.display()),
            hint: "remove it if nothing of that cluster runs any more".to_owned(),
        };
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| unreadable(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// The state of a cluster whose server runs.
    pub(crate) fn running(&self) -> Result<Option<State>, CliError> {
        Ok(self.state()?.filter(|state| state.server.is_running()))
    }
}

/// The running cluster on this machine that has that URL.
pub(crate) fn at(url: &str) -> Result<Option<Place>, CliError> {
    // Who has no home, as services have none, has started none.
    let Ok(Ok(dirs)) = clusters().map(fs::read_dir) else {
        return Ok(None);
    };
    for dir in dirs.flatten() {
        let place = Place {
            name: dir.file_name().to_string_lossy().into_owned(),
            dir: dir.path(),
        };
        // Another profile's file is not our affair.
        if let Ok(Some(state)) = place.running()
            && state.url == url
        {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

fn clusters() -> Result<PathBuf, CliError> {
    Ok(places::state_dir()?.join("clusters"))
}
