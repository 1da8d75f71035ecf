//! What tasks may use, in the form in which a worker of this process is told.

use super::dirs::GrantedDirs;
use super::net::Peers;
use super::request::{CommandLine, Setting};
use crate::grants::{Access, Clock, DirGrant, Grants, NetGrant, ParseGrantError, Random};
use crate::limits::Limits;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

/// See the [module](self). The directories themselves come as descriptors beside it, and names come with their addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[doc(hidden)]
pub struct SettingForm {
    limits: Limits,
    dirs: Vec<DirForm>,
    env: Vec<(String, String)>,
    net: Vec<String>,
    names: Vec<(String, Vec<IpAddr>)>,
    clock: String,
    seed: Option<u64>,
    deterministic: bool,
    arguments: Vec<String>,
    ok_exit: Vec<u32>,
    keep_instance: bool,
}

/// A directory: what guests call it. What it is called here is nobody's business there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct DirForm {
    guest: String,
    read_only: bool,
}

impl SettingForm {
    /// `names` are those of its peers, with their addresses.
    #[must_use]
    pub fn of(setting: &Setting, names: Vec<(String, Vec<IpAddr>)>) -> Self {
        let grants = &setting.grants;
        let dir = |dir: &DirGrant| DirForm {
            guest: dir.guest.clone(),
            read_only: dir.access == Access::ReadOnly,
        };
        Self {
            limits: setting.limits.clone(),
            dirs: grants.dirs.iter().map(dir).collect(),
            env: grants.env.clone(),
            net: grants.net.iter().map(ToString::to_string).collect(),
            names,
            clock: grants.clock.to_string(),
            seed: match grants.random {
                Random::System => None,
                Random::Seeded(seed) => Some(seed),
            },
            deterministic: setting.deterministic,
            arguments: setting.command.arguments.clone(),
            ok_exit: setting.command.ok_exit.clone(),
            keep_instance: setting.keep_instance,
        }
    }

    /// What a worker is made for: the directories and peers of the setting.
    #[must_use]
    pub fn of_grants(setting: &Setting) -> Self {
        Self {
            env: Vec::new(),
            arguments: Vec::new(),
            ..Self::of(setting, Vec::new())
        }
    }

    /// Returns what is granted.
    ///
    /// # Errors
    ///
    /// If a part of it has another form.
    pub fn grants(&self) -> Result<Grants, ParseGrantError> {
        let dir = |dir: &DirForm| DirGrant {
            host: dir.guest.clone().into(),
            guest: dir.guest.clone(),
            access: if dir.read_only {
                Access::ReadOnly
            } else {
                Access::ReadWrite
            },
        };
        let net = self.net.iter().map(|peer| peer.parse::<NetGrant>());
        Ok(Grants {
            dirs: self.dirs.iter().map(dir).collect(),
            env: self.env.clone(),
            net: net.collect::<Result<_, _>>()?,
            clock: self.clock.parse::<Clock>()?,
            random: self.seed.map_or(Random::System, Random::Seeded),
        })
    }

    /// `dirs` are the directories that it names.
    ///
    /// # Errors
    ///
    /// If a part of it has another form.
    pub fn setting(self, dirs: GrantedDirs) -> Result<Setting, ParseGrantError> {
        let grants = self.grants()?;
        Ok(Setting {
            peers: Arc::new(Peers::given(&grants.net, self.names)),
            grants: Arc::new(grants),
            limits: self.limits,
            dirs,
            deterministic: self.deterministic,
            command: CommandLine {
                arguments: self.arguments,
                ok_exit: self.ok_exit,
            },
            keep_instance: self.keep_instance,
            // It is for whoever chooses the code.
            keeps_state: false,
            caller: None,
        })
    }
}
