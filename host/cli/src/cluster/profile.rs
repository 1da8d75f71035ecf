//! Profiles: the settings of a user for a cluster, a small file by name; and what a command's options, the profile and what
//! runs on this machine come to.
//!
//! Options override environment variables, which override `rwasm.toml`, which overrides the profile.

use super::state::{self, ClusterDir};
use crate::args::{ClusterArgument, IdentityOptions, RemoteOptions};
use crate::environment::places;
use crate::exit::CliError;
use rwasm_cluster::nats::{ConnectError, ConnectSettings, Key, Role};
use rwasm_cluster::{plain, small_file};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// The profile where none is named.
pub(crate) const DEFAULT: &str = "default";

/// A profile, by its name; its file may be missing.
#[derive(Debug)]
pub(crate) struct Profile {
    name: String,
    path: PathBuf,
    is_there: bool,
    settings: ProfileSettings,
}

/// What may stand in a profile's file. Relative paths are in the directory of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct ProfileSettings {
    /// The cluster's servers, where it is not one that `start` starts here.
    pub(crate) url: Option<String>,
    key: Option<PathBuf>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    #[serde(alias = "certificate_key")]
    certificate_key: Option<PathBuf>,
    #[serde(alias = "allow_plain")]
    allow_plain: Option<bool>,
    /// What `start` starts, as its options say.
    pub(crate) engines: Option<u32>,
    pub(crate) hosts: Vec<String>,
    pub(crate) lanes: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) port: Option<u16>,
    pub(crate) store: Option<String>,
    pub(crate) keep: Option<String>,
    #[serde(alias = "drain_timeout")]
    pub(crate) drain_timeout: Option<String>,
    #[serde(alias = "nats_server")]
    pub(crate) nats_server: Option<PathBuf>,
    pub(crate) policy: Option<PathBuf>,
    pub(crate) boundary: Option<String>,
    pub(crate) health: Option<String>,
    pub(crate) ssh: Option<String>,
}

/// All keys of a profile, for those who wrote another.
const KEYS: &str = "url, key, ca, certificate, certificate-key, allow-plain; for `start`: engines, hosts, lanes, labels, \
     port, store, keep, drain-timeout, nats-server, policy, boundary, health, ssh";

impl Profile {
    /// Reads the profile of that name, or the usual one.
    pub(crate) fn find(name: Option<&str>) -> Result<Self, CliError> {
        let dir = match (places::config_dir(), name) {
            (Ok(dir), _) => dir.join("profiles"),
            // Who has no home, as services have none, has no profiles; that matters where one is named.
            (Err(_), None) => PathBuf::new(),
            (Err(error), Some(_)) => return Err(error),
        };
        let name = name.unwrap_or(DEFAULT);
        let path = dir.join(name).with_extension("toml");
        let (settings, is_there) = match small_file::read(&path) {
            _ if dir.as_os_str().is_empty() => (ProfileSettings::default(), false),
            Ok(text) => (read(&text, &path)?, true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (ProfileSettings::default(), false)
            }
            Err(error) => {
                return Err(CliError::Gone {
                    message: format!("cannot read the profile `{}`: {error}", plain::path(&path)),
                    hint: "make the file readable, or name another profile with --profile"
                        .to_owned(),
                });
            }
        };
        Ok(Self {
            name: name.to_owned(),
            path,
            is_there,
            settings,
        })
    }

    /// Its name, which is also that of its cluster on this machine.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its file, whether that is there or not.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What stands in it.
    pub(crate) fn settings(&self) -> &ProfileSettings {
        &self.settings
    }

    /// Texts that stand in it under that key, as what they are to be.
    pub(crate) fn parsed<T>(&self, key: &str, texts: &[String]) -> Result<Vec<T>, CliError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let parse = |text: &String| {
            text.parse()
                .map_err(|error: T::Err| self.wrong(key, &error))
        };
        texts.iter().map(parse).collect()
    }

    /// A time that stands in it under that key.
    pub(crate) fn time(&self, key: &str, text: Option<&str>) -> Result<Option<Duration>, CliError> {
        let parse = |text| {
            let wrong = || format!("expected a time such as 30s, found \"{text}\"");
            humantime::parse_duration(text).map_err(|_| self.wrong(key, &wrong()))
        };
        text.map(parse).transpose()
    }

    fn wrong(&self, key: &str, error: &dyn Display) -> CliError {
        CliError::Config {
            path: self.path.clone(),
            message: format!("`{key}`: {error}"),
        }
    }

    /// A path that stands in it, as commands in other directories find it.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}

fn read(text: &str, path: &Path) -> Result<ProfileSettings, CliError> {
    toml::from_str(text).map_err(|error| CliError::Wrong {
        message: format!("invalid profile `{}`: {error}", plain::path(path)),
        hint: format!("a profile can set {KEYS}"),
    })
}

/// The cluster that a command is to use; none where it runs its tasks in this process.
pub(crate) fn remote(
    options: &RemoteOptions,
    role: Role,
) -> Result<Option<ConnectSettings>, CliError> {
    let profile = Profile::find(options.identity.profile.as_deref())?;
    match &options.cluster {
        Some(ClusterArgument::Local) => Ok(None),
        Some(ClusterArgument::Running) => running(&profile, &options.identity, role).map(Some),
        Some(ClusterArgument::Url(url)) => {
            settings(url, &profile, &options.identity, role).map(Some)
        }
        None => match &profile.settings.url {
            Some(url) => settings(url, &profile, &options.identity, role).map(Some),
            None if options.identity.profile.is_none() => Ok(None),
            // Whoever names a profile means its cluster, and nothing is done elsewhere where that is not there.
            None => {
                let place = ClusterDir::of(&profile.name)?;
                // One that neither exists nor ever had a cluster is a mistake of theirs.
                if !profile.is_there && place.state()?.is_none() && !place.dir().exists() {
                    return Err(no_profile(&profile));
                }
                running(&profile, &options.identity, role).map(Some)
            }
        },
    }
}

/// The cluster that a command is about, which has to be one: without a URL the running one.
pub(crate) fn remote_always(
    options: &RemoteOptions,
    role: Role,
) -> Result<ConnectSettings, CliError> {
    if let Some(ClusterArgument::Url(url)) = &options.cluster {
        return at(url, &options.identity, role);
    }
    let profile = Profile::find(options.identity.profile.as_deref())?;
    running(&profile, &options.identity, role)
}

/// The cluster at that URL, or without one that of the profile; the URL may be as `RWASM_CLUSTER` has it.
pub(crate) fn at_or_running(
    url: Option<&str>,
    identity: &IdentityOptions,
    role: Role,
) -> Result<ConnectSettings, CliError> {
    match url {
        Some(url) if !matches!(url, "" | "local" | "running") => at(url, identity, role),
        _ => running(&Profile::find(identity.profile.as_deref())?, identity, role),
    }
}

/// The cluster at that URL.
fn at(url: &str, identity: &IdentityOptions, role: Role) -> Result<ConnectSettings, CliError> {
    let profile = Profile::find(identity.profile.as_deref())?;
    settings(url, &profile, identity, role)
}

/// The cluster that was started for the profile, or that the profile names.
fn running(
    profile: &Profile,
    identity: &IdentityOptions,
    role: Role,
) -> Result<ConnectSettings, CliError> {
    if let Some(url) = &profile.settings.url {
        return settings(url, profile, identity, role);
    }
    match ClusterDir::of(&profile.name)?.running()? {
        Some((_, url)) => settings(&url, profile, identity, role),
        None => Err(none_running(&ClusterDir::of(&profile.name)?)),
    }
}

/// Says that no cluster of the profile runs here, and whether one did.
fn none_running(place: &ClusterDir) -> CliError {
    let start = format!("rwasm-cluster start{}", option(place.name()));
    let (message, hint) = match place.state() {
        Ok(Some(state)) => (
            format!(
                "the server of the cluster `{}` (pid {}) has exited unexpectedly",
                place.name(),
                state.server.pid
            ),
            format!("restart it with its stored data: `{start}`"),
        ),
        _ => (
            format!(
                "the cluster `{}` is not running on this machine",
                place.name()
            ),
            format!("start it with `{start}`, or name a cluster by its URL"),
        ),
    };
    CliError::NoCluster {
        message,
        said: Vec::new(),
        hint: Some(hint),
    }
}

/// Why a cluster does not answer; what is known of one on this machine is said too.
pub(crate) fn unanswered(error: ConnectError, url: &str) -> CliError {
    let (ConnectError::Unreachable { reason, .. }, Some(place)) = (&error, state::at(url)) else {
        return CliError::Connect(error);
    };
    let Ok(Some((running, _))) = place.running() else {
        return CliError::Connect(error);
    };
    let option = option(place.name());
    CliError::NoCluster {
        message: format!(
            "the server of the cluster `{}` (pid {}) does not answer at {url}: {reason}; see its log `{}`",
            place.name(),
            running.server.pid,
            place.file("server.log").display()
        ),
        said: Vec::new(),
        hint: Some(format!(
            "restart it with its stored data: `rwasm-cluster stop{option}`, then `rwasm-cluster start{option}`"
        )),
    }
}

/// The option that names a profile, where it has to be named.
pub(crate) fn option(profile: &str) -> String {
    if profile == DEFAULT {
        String::new()
    } else {
        format!(" --profile {profile}")
    }
}

fn no_profile(profile: &Profile) -> CliError {
    CliError::Wrong {
        message: format!(
            "unknown profile `{}`: `{}` does not exist, and no cluster of that name was started",
            profile.name,
            profile.path.display()
        ),
        hint: format!(
            "create the file (`url = \"tls://HOST:4222\"`), or start a cluster with `rwasm-cluster start{}`",
            option(&profile.name)
        ),
    }
}

/// How to connect to `url`: each setting from the options, else from the profile; the key of a cluster on this machine is
/// known anyway.
fn settings(
    url: &str,
    profile: &Profile,
    identity: &IdentityOptions,
    role: Role,
) -> Result<ConnectSettings, CliError> {
    let set = &profile.settings;
    let here = state::at(url);
    let of_profile = |path: &Option<PathBuf>| path.as_deref().map(|path| profile.resolve(path));
    let key = match (&identity.key, here) {
        (Some(key), _) => Some(key.clone()),
        (None, Some(place)) => Some(place.key(role)),
        (None, None) => of_profile(&set.key),
    };
    let certificate = identity
        .cert
        .clone()
        .or_else(|| of_profile(&set.certificate));
    let certificate_key = identity
        .cert_key
        .clone()
        .or_else(|| of_profile(&set.certificate_key));
    let mut settings = ConnectSettings::new(url)
        .allow_plain(identity.allow_plain || set.allow_plain.unwrap_or_default());
    if let Some(path) = key {
        settings = settings.key(Key::read(&path).map_err(CliError::Key)?);
    }
    if let Some(ca) = identity.ca.clone().or_else(|| of_profile(&set.ca)) {
        settings = settings.ca(readable(ca, "certificate of the authority")?);
    }
    match (certificate, certificate_key) {
        (Some(certificate), Some(key)) => {
            let certificate = readable(certificate, "certificate")?;
            settings = settings.certificate(certificate, readable(key, "key of the certificate")?);
        }
        (None, None) => {}
        (certificate, _) => {
            let (has, wants) = if certificate.is_some() {
                ("--cert", "--cert-key")
            } else {
                ("--cert-key", "--cert")
            };
            return Err(CliError::Wrong {
                message: format!("{has} is given without {wants}"),
                hint: format!("add {wants} FILE"),
            });
        }
    }
    Ok(settings)
}

/// A file that the client reads later, and would not name where it cannot.
fn readable(path: PathBuf, what: &str) -> Result<PathBuf, CliError> {
    match std::fs::File::open(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(CliError::Gone {
            message: format!("cannot read the {what} `{}`: {error}", plain::path(&path)),
            hint: "name another file, or make it readable".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_says_what_it_has_and_nothing_else() {
        let path = Path::new("big.toml");
        let text = "url = 'tls://a:4222'\nallow_plain = true\nengines = 4\nlanes = ['gpu']\nlabels = { zone = 'a' }\n\
             nats-server = 'bin/nats-server'\nhosts = ['a:16']";
        let settings = read(text, path).expect("all of it is known");
        assert_eq!(settings.url.as_deref(), Some("tls://a:4222"));
        assert_eq!(
            (settings.engines, settings.allow_plain),
            (Some(4), Some(true))
        );
        for (text, part) in [
            ("engine = 4", "engine"),
            ("engines = 'four'", "engines"),
            ("url", "url"),
        ] {
            let error = read(text, path).expect_err("it is wrong");
            let CliError::Wrong { message, hint } = error else {
                panic!("{error:?}");
            };
            assert!(
                message.contains("big.toml") && message.contains(part),
                "{message}"
            );
            assert!(hint.contains("certificate-key"), "{hint}");
        }
    }
}
