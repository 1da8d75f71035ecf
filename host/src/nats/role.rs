//! The roles of a cluster, and the keys with which a process proves its role.
//!
//! Keys are read here, and created in [`super::keys`].

use super::keys::PublicKeys;
use super::names;
use rwasm_value::{plain, small_file};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What a key may do; `docs/src/reference/roles.md` lists the permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Sets the cluster up, and may do everything.
    Admin,
    /// Takes tasks and stores their results.
    Engine,
    /// Submits jobs and reads their results.
    Client,
    /// Looks on, and changes nothing.
    Viewer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Engine, Self::Client, Self::Viewer];

    /// Returns its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Engine => "engine",
            Self::Client => "client",
            Self::Viewer => "viewer",
        }
    }

    /// The prefix of its reply subjects: no role may read replies to another.
    pub(crate) fn inbox(self) -> String {
        format!("_INBOX_{}", self.name())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|role| role.name() == text).ok_or_else(|| {
            format!("`{text}` is not a valid role: write admin, engine, client or viewer")
        })
    }
}

/// The key of a role: the seed of an nkey, which never leaves this process.
#[derive(Clone)]
pub struct Key {
    pub(crate) role: Role,
    pub(crate) seed: String,
    /// The public halves of the admin keys that its owner trusts.
    pub(crate) admins: Vec<String>,
    /// The lane to which it may submit; `None` for all.
    pub(crate) lane: Option<String>,
    /// The directory of its file.
    pub(crate) dir: Option<PathBuf>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.role)
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key `{}`", plain::path(.path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file contains no key.
    #[error(
        "`{}` does not contain a key: expected a line `role: ROLE` and the seed of an nkey (SU…), as \
         `rwasm-cluster keys` writes them",
        plain::path(.path)
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// Other users can read the file.
    #[error("the key `{}` can be read by other users: run `chmod 600` on it", plain::path(.path))]
    Public {
        /// The file.
        path: PathBuf,
    },
}

impl Key {
    /// Reads a key file as written by `rwasm-cluster keys`: comments, a line `role: ROLE`, and the seed. Between them, a
    /// key for engines has a line `admin: KEY` for each admin key, and one for the clients of a lane has `lane: NAME`. A
    /// file without admin keys trusts those of a `public.toml` beside it.
    ///
    /// # Errors
    /// If there is no key in it, or users other than its owner can read it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let text = small_file::read(path).map_err(unreadable)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, PermissionsExt};
            let meta = std::fs::metadata(path).map_err(unreadable)?;
            let us = rustix::process::geteuid().as_raw();
            if is_open(meta.permissions().mode(), meta.uid(), us) {
                return Err(KeyError::Public {
                    path: path.to_owned(),
                });
            }
        }
        let mut key = Self::parse(&text).ok_or_else(|| KeyError::NotAKey {
            path: path.to_owned(),
        })?;
        let dir = path.parent().unwrap_or(Path::new("."));
        if key.admins.is_empty()
            && let Ok(known) = PublicKeys::read(dir)
        {
            // A key of an earlier version does not name them.
            key.admins = known.admins();
        }
        key.dir = Some(dir.to_owned());
        Ok(key)
    }

    /// Returns what it is for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns its public half, by which the server knows it.
    #[must_use]
    pub fn public_key(&self) -> String {
        let pair = nkeys::KeyPair::from_seed(&self.seed);
        pair.map(|pair| pair.public_key()).unwrap_or_default()
    }

    /// Returns the lane to which tasks go that are submitted with this key: its own, if it has one and no other than
    /// the main lane is named. The server refuses what a key may not do.
    #[must_use]
    pub fn lane_for(&self, named: &str) -> String {
        let own = self.lane.as_deref();
        let own = own.filter(|_| named == names::MAIN_LANE);
        own.unwrap_or(named).to_owned()
    }

    /// Parses the text of a key file; returns `None` if it contains no key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let first = lines.next()?;
        let mut admins = Vec::new();
        let mut lane = None;
        let (role, seed) = match first.strip_prefix("role:") {
            Some(role) => {
                let role = role.trim().parse().ok()?;
                let mut line = lines.next()?;
                loop {
                    if let Some(admin) = line.strip_prefix("admin:") {
                        admins.push(admin.trim().to_owned());
                    } else if let Some(name) = line.strip_prefix("lane:") {
                        lane = Some(name.trim().to_owned());
                    } else {
                        break;
                    }
                    line = lines.next()?;
                }
                (role, line)
            }
            // A seed made by other tools: most are for those who submit.
            None => (Role::Client, first),
        };
        nkeys::KeyPair::from_seed(seed).ok()?;
        Some(Self {
            role,
            seed: seed.to_owned(),
            admins,
            lane,
            dir: None,
        })
    }
}

/// Whether others may read or change a file that should be a secret of `us`. A file of root's may also be readable by
/// its group: Kubernetes and newer systemd hand secrets to unprivileged processes this way.
#[cfg(unix)]
fn is_open(mode: u32, owner: u32, us: u32) -> bool {
    const OTHERS: u32 = 0o077;
    const READ_BY_GROUP: u32 = 0o040;
    let is_kept_by_root = owner == 0 && us != 0;
    let allowed = if is_kept_by_root { READ_BY_GROUP } else { 0 };
    mode & OTHERS & !allowed != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_key_is_its_users_alone_or_roots_and_a_groups() {
        const USER: u32 = 1000;
        for (mode, owner, us, wanted) in [
            (0o100_600, USER, USER, false),
            (0o100_640, USER, USER, true),
            (0o100_400, 0, USER, false),
            (0o100_440, 0, USER, false),
            (0o100_444, 0, USER, true),
            (0o100_660, 0, USER, true),
            (0o100_640, 0, 0, true),
            (0o100_640, 1001, USER, true),
        ] {
            assert_eq!(
                is_open(mode, owner, us),
                wanted,
                "{mode:o} of {owner}, by {us}"
            );
        }
    }

    #[test]
    fn a_key_says_its_role() {
        let pair = nkeys::KeyPair::new_user();
        let seed = pair.seed().expect("a seed");
        let text = format!("# a key of rwasm-cluster\nrole: viewer\n{seed}\n");
        let key = Key::parse(&text).expect("a key");
        assert_eq!((key.role, &key.seed), (Role::Viewer, &seed));
        assert_eq!(format!("{key:?}"), "Key(viewer)");
        assert_eq!(Key::parse(&seed).expect("a key").role, Role::Client);
        let text = format!("role: client\nlane: web\n{seed}\n");
        let key = Key::parse(&text).expect("a key");
        assert_eq!(key.lane.as_deref(), Some("web"));
        assert_eq!(key.lane_for("main"), "web");
        assert_eq!(key.lane_for("gpu"), "gpu");
        assert_eq!(Key::parse(&seed).expect("a key").lane_for("main"), "main");
        let text = format!("role: engine\nadmin: UA\n# why\nadmin: UB\n{seed}\n");
        let key = Key::parse(&text).expect("a key");
        assert_eq!(
            (key.role, key.admins),
            (Role::Engine, vec!["UA".to_owned(), "UB".to_owned()])
        );
        for text in ["", "role: viewer", "role: king\nSU", "SUAAAA"] {
            assert!(Key::parse(text).is_none(), "{text}");
        }
    }
}
