//! The keys of a cluster, as created by `rwasm-cluster keys`: a directory with the seed of each key in a file of its
//! own, and their public halves in `public.toml`, which is all that a server's configuration needs.
//!
//! No existing file is overwritten, and no key that was removed from `public.toml` comes back. Certificates are in
//! [`super::certificates`].

use super::role::{Key, Role};
use super::{certificates, names};
use rwasm_value::aside::Aside;
use rwasm_value::ids::not_a_name;
use rwasm_value::{plain, small_file};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The public keys: one line each, such as `client-alice = "U…"`.
pub(crate) const PUBLIC: &str = "public.toml";

/// Which keys and certificates to create.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeySettings {
    /// The roles to create keys for.
    pub roles: Vec<Role>,
    /// The owner of the keys, if a role has several: `alice` creates `client-alice.key`.
    pub name: Option<String>,
    /// The lane to which a client's key may submit; all by default.
    pub lane: Option<String>,
    /// The names and addresses by which the server is reached; if empty, no certificate is created.
    pub hosts: Vec<String>,
    /// How long the server's certificate is valid.
    pub valid: Duration,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self {
            roles: Role::ALL.to_vec(),
            name: None,
            lane: None,
            hosts: Vec::new(),
            valid: Duration::from_hours(365 * 24),
        }
    }
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Written {
    /// It is new.
    New,
    /// It existed and is unchanged.
    Kept,
    /// It existed and was replaced: only certificates are renewed.
    Renewed,
    /// It existed, and its public key is not in `public.toml`: no server accepts it.
    LockedOut,
    /// It does not exist, and its public key is known: the key is kept elsewhere.
    Elsewhere,
}

/// A file of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyFile {
    /// Its path.
    pub path: PathBuf,
    /// What became of it.
    pub written: Written,
}

impl KeyFile {
    pub(crate) fn new(path: PathBuf, written: Written) -> Self {
        Self { path, written }
    }
}

/// Why keys cannot be created, or public keys cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A file cannot be read.
    #[error("cannot read `{}`", plain::path(.path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", plain::path(.path))]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// `public.toml` is not in the format that `keys` writes.
    #[error("`{}` is not a valid list of public keys: {reason}", plain::path(.path))]
    NotPublicKeys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The text is not a valid name for a key.
    #[error("{}", not_a_name("key name", name))]
    Name {
        /// The requested name.
        name: String,
    },
    /// The text is not a valid lane.
    #[error("{}", not_a_name("lane", lane))]
    Lane {
        /// The requested lane.
        lane: String,
    },
    /// Only a client's key can be for a lane.
    #[error(
        "only client keys can be for one lane: use `--role client`, and create keys of other roles without a lane"
    )]
    LaneOfRole,
    /// The text is not a valid host name or address.
    #[error("`{host}` is not a valid host name or address: {reason}")]
    Host {
        /// The requested host.
        host: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The requested validity is too long: such certificates would never be renewed.
    #[error("a certificate cannot be valid for {}: the maximum is {}", humantime::format_duration(*.wanted), humantime::format_duration(*.most))]
    Validity {
        /// The requested validity.
        wanted: Duration,
        /// The longest validity.
        most: Duration,
    },
    /// The authority cannot sign.
    #[error("the certificate authority in `{}` cannot sign: {reason}", plain::path(.dir))]
    Authority {
        /// The directory with its files.
        dir: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl KeysError {
    pub(crate) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Unreadable { path, source }
    }

    pub(crate) fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Unwritable { path, source }
    }
}

/// Creates the missing keys, and a certificate for the named hosts. Existing files stay, except the server's
/// certificate, which is renewed.
///
/// # Errors
/// If a name or host is not valid, or a file cannot be read or written. Files created until then stay and are
/// complete.
pub fn make_keys(dir: &Path, settings: &KeySettings) -> Result<Vec<KeyFile>, KeysError> {
    if let Some(name) = &settings.name
        && !names::is_token(name)
    {
        return Err(KeysError::Name { name: name.clone() });
    }
    if let Some(lane) = &settings.lane {
        if !names::is_token(lane) {
            return Err(KeysError::Lane { lane: lane.clone() });
        }
        if settings.roles != [Role::Client] {
            return Err(KeysError::LaneOfRole);
        }
    }
    certificates::check(&settings.hosts, settings.valid)?;
    private_dir(dir).map_err(KeysError::unwritable(dir))?;
    // Two that make keys at once would each write a list without the other's.
    let locked = std::fs::File::open(dir).and_then(|file| file.lock().map(|()| file));
    let _locked = locked.map_err(KeysError::unreadable(dir))?;

    let mut known = PublicKeys::read_or_none(dir)?;
    let mut files = Vec::new();
    for role in &settings.roles {
        let label = match &settings.name {
            Some(name) => format!("{role}-{name}"),
            None => role.name().to_owned(),
        };
        let path = dir.join(format!("{label}.key"));
        let listed = known.public(&label);
        let there = path
            .try_exists()
            .map_err(KeysError::unreadable(&path))?
            .then(|| Key::read(&path).ok().and_then(|key| public_of(&key)));
        let written = match (there, listed) {
            (Some(public), Some(listed)) if public.as_deref() == Some(listed) => Written::Kept,
            (Some(_), _) => Written::LockedOut,
            (None, Some(_)) => Written::Elsewhere,
            (None, None) => {
                let lines = beside(*role, settings.lane.as_deref(), &known.admins());
                let public = new_key(&path, &label, *role, &lines)?;
                known.add(&label, *role, settings.lane.as_deref(), &public);
                known.write(dir)?;
                Written::New
            }
        };
        files.push(KeyFile::new(path, written));
    }
    if !settings.hosts.is_empty() {
        files.extend(certificates::make(dir, &settings.hosts, settings.valid)?);
    }
    Ok(files)
}

/// Returns the lines of a key's file beside its role and seed. An engine's key names the admin keys, whose word it takes for
/// who may give it orders; a client's its lane, if it is for one.
fn beside(role: Role, lane: Option<&str>, admins: &[String]) -> String {
    let admins = admins.iter().filter(|_| role == Role::Engine);
    let admins = admins.map(|admin| format!("admin: {admin}\n"));
    admins
        .chain(lane.map(|lane| format!("lane: {lane}\n")))
        .collect()
}

/// Creates a key, writes its seed with these lines before it, and returns its public half.
fn new_key(path: &Path, label: &str, role: Role, lines: &str) -> Result<String, KeysError> {
    let pair = nkeys::KeyPair::new_user();
    let seed = pair.seed().map_err(|error| KeysError::Unwritable {
        path: path.to_owned(),
        source: io::Error::other(error.to_string()),
    })?;
    let public = pair.public_key();
    let text = format!(
        "# The {label} key of an rwasm-cluster, public half {public}.\n\
         # Whoever has this file is {} to the cluster: keep it secret.\n\
         role: {role}\n{lines}{seed}\n",
        match role {
            Role::Admin | Role::Engine => format!("an {role}"),
            Role::Client | Role::Viewer => format!("a {role}"),
        },
    );
    write_new(path, &text).map_err(KeysError::unwritable(path))?;
    Ok(public)
}

fn public_of(key: &Key) -> Option<String> {
    let pair = nkeys::KeyPair::from_seed(&key.seed).ok()?;
    Some(pair.public_key())
}

/// The public keys that a server accepts, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicKeys {
    /// The text of the file, comments included.
    text: String,
    keys: Vec<PublicKey>,
}

/// A public key that a server accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublicKey {
    /// Its label: its role, or its role, `-` and its owner.
    pub label: String,
    /// Its role.
    pub role: Role,
    /// The key itself, `U…`.
    pub public: String,
    /// The lane to which it may submit; `None` for all.
    pub lane: Option<String>,
}

impl PublicKeys {
    /// Reads `public.toml` in the directory.
    ///
    /// # Errors
    /// If it cannot be read, or contains anything that is not a public key.
    pub fn read(dir: &Path) -> Result<Self, KeysError> {
        let path = dir.join(PUBLIC);
        let text = small_file::read(&path).map_err(KeysError::unreadable(&path))?;
        Self::parse(&text).map_err(|reason| KeysError::NotPublicKeys { path, reason })
    }

    fn read_or_none(dir: &Path) -> Result<Self, KeysError> {
        match Self::read(dir) {
            Err(KeysError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(Self {
                    text: HEADER.to_owned(),
                    keys: Vec::new(),
                })
            }
            other => other,
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| error.message().to_owned())?;
        let mut keys = Vec::new();
        for (label, value) in table {
            let role = label.split_once('-').map_or(&*label, |(role, _)| role);
            let role = role
                .parse()
                .map_err(|error| format!("`{label}`: {error}"))?;
            let (public, lane) = entry(&value, role)
                .ok_or_else(|| format!("`{label}` is not a valid public key (U…)"))?;
            keys.push(PublicKey {
                label,
                role,
                public,
                lane,
            });
        }
        // A key that is listed twice would have the server refuse its whole configuration.
        for (index, key) in keys.iter().enumerate() {
            if let Some(same) = keys[..index].iter().find(|same| same.public == key.public) {
                return Err(format!(
                    "`{}` and `{}` are the same key",
                    same.label, key.label
                ));
            }
        }
        Ok(Self {
            text: text.to_owned(),
            keys,
        })
    }

    /// Iterates over the keys.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter()
    }

    /// The public halves of the admin keys.
    pub(crate) fn admins(&self) -> Vec<String> {
        let admins = self.keys.iter().filter(|key| key.role == Role::Admin);
        admins.map(|key| key.public.clone()).collect()
    }

    fn public(&self, label: &str) -> Option<&str> {
        let mut keys = self.keys.iter();
        keys.find(|key| key.label == label)
            .map(|key| key.public.as_str())
    }

    fn add(&mut self, label: &str, role: Role, lane: Option<&str>, public: &str) {
        if !self.text.ends_with('\n') && !self.text.is_empty() {
            self.text.push('\n');
        }
        // Writing to a string cannot fail.
        let _ = match lane {
            None => writeln!(self.text, "{label} = \"{public}\""),
            Some(lane) => writeln!(
                self.text,
                "{label} = {{ key = \"{public}\", lane = \"{lane}\" }}"
            ),
        };
        self.keys.push(PublicKey {
            label: label.to_owned(),
            role,
            public: public.to_owned(),
            lane: lane.map(str::to_owned),
        });
        self.keys.sort_by(|a, b| a.label.cmp(&b.label));
    }

    fn write(&self, dir: &Path) -> Result<(), KeysError> {
        let path = dir.join(PUBLIC);
        replace(&path, &self.text, Readers::All).map_err(KeysError::unwritable(&path))
    }
}

const HEADER: &str = "# The public keys that a cluster's servers accept, each with its role, as added by `rwasm-cluster keys`.
# Nothing here is secret. To lock a key out, delete its line and write the server's configuration again.
";

/// Returns the public key of an entry, and its lane if it has one: only a client's has.
fn entry(value: &toml::Value, role: Role) -> Option<(String, Option<String>)> {
    let public = |value: &toml::Value| {
        let public = value.as_str().filter(|public| is_public(public));
        public.map(str::to_owned)
    };
    let Some(table) = value.as_table() else {
        return Some((public(value)?, None));
    };
    let lane = table.get("lane")?.as_str()?;
    let is_known = table.len() == 2 && role == Role::Client && names::is_token(lane);
    is_known.then(|| Some((public(table.get("key")?)?, Some(lane.to_owned()))))?
}

fn is_public(text: &str) -> bool {
    nkeys::KeyPair::from_public_key(text)
        .is_ok_and(|pair| matches!(pair.key_pair_type(), nkeys::KeyPairType::User))
}

/// Who may read a file that is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    Owner,
    All,
}

/// Creates a directory that only its owner may enter, unless it exists.
fn private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Writes a file that only its owner may read; fails if it exists.
pub(crate) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    written(path, text, Readers::Owner)?.complete_new()
}

/// Replaces a file.
pub(crate) fn replace(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    written(path, text, readers)?.complete()
}

/// Written completely before it has its name, so that there is never half a key.
fn written(path: &Path, text: &str, readers: Readers) -> io::Result<Aside> {
    let mode = match readers {
        Readers::All => 0o644,
        Readers::Owner => 0o600,
    };
    let permissions: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
    let mut file = Aside::with(path, &permissions)?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(files: &[KeyFile]) -> Vec<(String, Written)> {
        let name = |path: &Path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let files = files.iter();
        files
            .map(|file| (name(&file.path).unwrap_or_default(), file.written))
            .collect()
    }

    #[test]
    fn each_role_has_a_key_that_only_its_owner_reads_and_that_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("keys");
        let settings = KeySettings::default();
        let made = make_keys(&dir, &settings).expect("keys");
        assert_eq!(made.len(), 4);
        for (file, role) in made.iter().zip(Role::ALL) {
            assert_eq!(file.written, Written::New);
            let key = Key::read(&file.path).expect("a key");
            assert_eq!(key.role, role);
            let mode = std::fs::metadata(&file.path)
                .expect("metadata")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
            let text = std::fs::read_to_string(&file.path).expect("text");
            assert!(text.contains(&public_of(&key).expect("public")), "{text}");
        }
        let before = std::fs::read_to_string(dir.join("client.key")).expect("text");
        let listed = PublicKeys::read(&dir).expect("public keys");
        let labels: Vec<&str> = listed.iter().map(|key| key.label.as_str()).collect();
        assert_eq!(labels, ["admin", "client", "engine", "viewer"]);

        let again = make_keys(&dir, &settings).expect("keys");
        assert!(again.iter().all(|file| file.written == Written::Kept));
        let after = std::fs::read_to_string(dir.join("client.key")).expect("text");
        assert_eq!(after, before);
        assert_eq!(PublicKeys::read(&dir).expect("public keys"), listed);
    }

    #[test]
    fn a_key_that_was_locked_out_stays_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        let mut settings = KeySettings {
            roles: vec![Role::Client],
            ..KeySettings::default()
        };
        make_keys(dir, &settings).expect("keys");
        settings.name = Some("alice".to_owned());
        make_keys(dir, &settings).expect("keys");
        let path = dir.join(PUBLIC);
        let text = std::fs::read_to_string(&path).expect("text");
        let kept: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("client-alice"))
            .collect();
        let kept = kept.join("\n");
        std::fs::write(&path, format!("{kept}\n# alice has left")).expect("written");
        let again = make_keys(dir, &settings).expect("keys");
        assert_eq!(
            names(&again),
            [("client-alice.key".to_owned(), Written::LockedOut)]
        );
        // The next key's line goes below what a person wrote.
        settings.name = Some("bob".to_owned());
        make_keys(dir, &settings).expect("keys");
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(
            text.contains("# alice has left\nclient-bob = \"U"),
            "{text}"
        );
        // One whose seed is kept elsewhere is not made anew.
        std::fs::remove_file(dir.join("client-bob.key")).expect("removed");
        let again = make_keys(dir, &settings).expect("keys");
        assert_eq!(
            names(&again),
            [("client-bob.key".to_owned(), Written::Elsewhere)]
        );
        assert!(!dir.join("client-bob.key").exists());
    }

    #[test]
    fn what_is_no_list_of_public_keys_is_said() {
        let good = nkeys::KeyPair::new_user().public_key();
        let account = nkeys::KeyPair::new_account().public_key();
        let parsed = |text: &str| PublicKeys::parse(text);
        assert!(
            parsed(&format!("viewer = \"{good}\"\nviewer-wall = \"{}\"", {
                nkeys::KeyPair::new_user().public_key()
            }))
            .is_ok()
        );
        for (text, wanted) in [
            (format!("king = \"{good}\""), "`king` is not a valid role"),
            ("client = 3".to_owned(), "is not a valid public key"),
            ("client = \"U\"".to_owned(), "is not a valid public key"),
            (
                format!("client = \"{account}\""),
                "is not a valid public key",
            ),
            (
                format!("client = \"{good}\"\nviewer = \"{good}\""),
                "are the same key",
            ),
            (
                format!("client = \"{good}\"\nclient = \"{good}\""),
                "duplicate key",
            ),
            ("client".to_owned(), ""),
        ] {
            let error = parsed(&text).expect_err(&text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn names_and_hosts_that_will_not_do_are_refused_before_anything_is_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("keys");
        for name in ["", "a b", "../x", "a.b"] {
            let settings = KeySettings {
                name: Some(name.to_owned()),
                ..KeySettings::default()
            };
            assert!(matches!(
                make_keys(&dir, &settings),
                Err(KeysError::Name { .. })
            ));
        }
        let settings = KeySettings {
            hosts: vec!["tls://example.org:4222".to_owned()],
            ..KeySettings::default()
        };
        assert!(matches!(
            make_keys(&dir, &settings),
            Err(KeysError::Host { .. })
        ));
        assert!(!dir.exists());
    }
}
