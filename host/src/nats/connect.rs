//! The connection to the NATS server of a cluster: who we are, whether the server will do, and why it refuses.
//!
//! A server tells of a permission that is missing by an event, and the operation that wanted it would run into its time-out:
//! [`Connection::watched`] ends it at once with what was refused.

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr, ServerError};
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The oldest server that has all that is used: time limits of single messages, and marks of keys that expired.
pub(crate) const OLDEST: (u64, u64) = (2, 11);

/// What a key may do. See `docs/cluster.md` for the permissions of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Sets the cluster up; may do everything.
    Admin,
    /// Takes tasks and writes their results.
    Engine,
    /// Submits jobs and reads their results.
    Client,
    /// Looks on.
    Viewer,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Engine, Self::Client, Self::Viewer];

    /// Its name, as the command line has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Engine => "engine",
            Self::Client => "client",
            Self::Viewer => "viewer",
        }
    }

    /// Where answers to it go: no role may read what is sent to another.
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
            format!("there is no role `{text}`: write admin, engine, client or viewer")
        })
    }
}

/// The key of a role: the seed of an nkey, which never leaves this process.
#[derive(Clone)]
pub struct Key {
    pub(crate) role: Role,
    pub(crate) seed: String,
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
    #[error("cannot read the key `{}`", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no key in it.
    #[error(
        "`{}` holds no key: wanted a line `role: ROLE` and the seed of an nkey (SU…), as `rwasm-cluster keys` writes them",
        .path.display()
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// Others can read the file.
    #[error("the key `{}` can be read by others: `chmod 600` it", .path.display())]
    Public {
        /// The file.
        path: PathBuf,
    },
}

impl Key {
    /// Reads a key as `rwasm-cluster keys` writes it: comments, a line `role: ROLE`, the seed.
    ///
    /// # Errors
    /// When there is none, or others than its owner can read it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(path)
                .map_err(unreadable)?
                .permissions()
                .mode();
            if mode & 0o077 != 0 {
                return Err(KeyError::Public {
                    path: path.to_owned(),
                });
            }
        }
        Self::parse(&text).ok_or_else(|| KeyError::NotAKey {
            path: path.to_owned(),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let first = lines.next()?;
        let (role, seed) = match first.strip_prefix("role:") {
            Some(role) => (role.trim().parse().ok()?, lines.next()?),
            // A seed made by other tools: most are for those who submit.
            None => (Role::Client, first),
        };
        nkeys::KeyPair::from_seed(seed).ok()?;
        Some(Self {
            role,
            seed: seed.to_owned(),
        })
    }
}

/// How to reach a cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectSettings {
    /// One or more servers: `nats://host:4222` or `tls://host:4222`, separated by commas.
    pub url: String,
    /// Who we are; none where the server asks for none, or the URL says it.
    pub key: Option<Key>,
    /// The certificate of the authority that signed the server's, beside those the system trusts.
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key, where the server wants one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whether a connection that is not encrypted may leave this machine.
    pub allow_plain: bool,
    /// How long to try.
    pub timeout: Duration,
}

impl ConnectSettings {
    /// A server that asks for no key.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            key: None,
            ca: None,
            certificate: None,
            allow_plain: false,
            timeout: Duration::from_secs(10),
        }
    }

    /// Who we are.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// The authority that signed the server's certificate.
    #[must_use]
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// Our own certificate and its key.
    #[must_use]
    pub fn certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Lets a connection that is not encrypted leave this machine: for networks that are private as a whole.
    #[must_use]
    pub fn allow_plain(mut self, allow: bool) -> Self {
        self.allow_plain = allow;
        self
    }

    /// How long to try to connect.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Why a cluster cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Not a URL of a NATS server.
    #[error(
        "`{found}` is no URL of a cluster: {reason}; write nats://HOST:PORT or tls://HOST:PORT, several separated by commas"
    )]
    Url {
        /// What was given.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It would go over the network in plain text.
    #[error(
        "the connection to {host} would not be encrypted, and tasks, results and what they are granted would go over the network for all to read: use tls:// (see `rwasm-cluster server-config`)"
    )]
    Plain {
        /// Where to.
        host: String,
    },
    /// Nothing answers there.
    #[error("no NATS server answers at {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The server does not take the key.
    #[error("the server at {url} refuses {who}: it is not among those of its configuration")]
    Refused {
        /// Where.
        url: String,
        /// The key, or that there is none.
        who: String,
    },
    /// The server's certificate is not one to trust, or ours is not for it.
    #[error("no encrypted connection to {url}: {reason}")]
    Tls {
        /// Where.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The server is too old.
    #[error(
        "the NATS server at {url} is version {found}, and {}.{} or later is wanted", OLDEST.0, OLDEST.1
    )]
    TooOld {
        /// Where.
        url: String,
        /// Which it is.
        found: String,
    },
    /// It has no `JetStream`.
    #[error(
        "the NATS server at {url} has JetStream switched off: start it with `-js`, or with `jetstream {{}}` in its configuration, and enable it for this account"
    )]
    JetStreamOff {
        /// Where.
        url: String,
    },
    /// The key may not do what every role may.
    #[error("the server at {url} does not let {who} {what}")]
    Denied {
        /// Where.
        url: String,
        /// The key.
        who: String,
        /// What was refused.
        what: String,
    },
    /// It is reached, and was not set up.
    #[error(transparent)]
    Assets(#[from] super::assets::AssetError),
}

/// What the server did not let us do: its own words, as `Permissions Violation for Publish to "rwc.t.x"`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the server does not permit it: {0}")]
pub(crate) struct Denied(pub(crate) Arc<str>);

/// A connection, with what it refused.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) js: jetstream::Context,
    pub(crate) url: Arc<str>,
    pub(crate) who: Arc<str>,
    denials: watch::Receiver<Option<Arc<str>>>,
}

/// How long an operation on the server may take: a cluster of servers without a leader needs up to ten seconds for one.
const OPERATION: Duration = Duration::from_secs(20);

/// Published messages that wait for their acknowledgement, at most.
pub(crate) const MAX_UNACKED: usize = 4096;

impl Connection {
    /// Connects as `role`, and looks whether the server will do.
    ///
    /// # Errors
    /// When it cannot be reached, refuses, or will not do: in one sentence.
    pub(crate) async fn open(
        settings: &ConnectSettings,
        role: Role,
        name: &str,
    ) -> Result<Self, ConnectError> {
        let servers = servers(settings)?;
        let role = settings.key.as_ref().map_or(role, |key| key.role);
        let (denied, denials) = watch::channel(None);
        let mut options = match &settings.key {
            Some(key) => ConnectOptions::with_nkey(key.seed.clone()),
            None => ConnectOptions::new(),
        };
        options = options
            .name(name)
            .custom_inbox_prefix(role.inbox())
            .connection_timeout(settings.timeout)
            .request_timeout(Some(OPERATION))
            .subscription_capacity(1 << 16)
            .client_capacity(1 << 14)
            .event_callback(move |event| {
                if let Event::ServerError(ServerError::Other(text)) = &event
                    && text.to_ascii_lowercase().contains("permissions violation")
                {
                    denied.send_replace(Some(Arc::from(text.as_str())));
                }
                tracing::debug!(%event, "the connection to the server");
                std::future::ready(())
            });
        if let Some(ca) = &settings.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let Some((certificate, key)) = &settings.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        let url: Arc<str> = shown(&servers).into();
        let who: Arc<str> = match &settings.key {
            Some(key) => format!("the {} key", key.role).into(),
            None => "a connection without a key".into(),
        };
        let client = options
            .connect(servers)
            .await
            .map_err(|error| refused(&error, &url, &who))?;
        let info = client.server_info();
        if !is_new_enough(&info.version) {
            return Err(ConnectError::TooOld {
                url: url.to_string(),
                found: info.version.clone(),
            });
        }
        if !info.jetstream {
            return Err(ConnectError::JetStreamOff {
                url: url.to_string(),
            });
        }
        let js = ContextBuilder::new()
            .timeout(OPERATION)
            .ack_timeout(OPERATION)
            .max_ack_inflight(MAX_UNACKED)
            .backpressure_on_inflight(true)
            .build(client.clone());
        Ok(Self {
            client,
            js,
            url,
            who,
            denials,
        })
    }

    /// Does `act`, unless the server says meanwhile that something with `hint` in its name is not permitted.
    ///
    /// # Errors
    /// What the server did not permit.
    pub(crate) async fn watched<T>(
        &self,
        hint: &str,
        act: impl Future<Output = T>,
    ) -> Result<T, Denied> {
        let mut denials = self.denials.clone();
        denials.mark_unchanged();
        let denied = async {
            loop {
                if denials.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                let last = denials.borrow_and_update().clone();
                if let Some(text) = last
                    && text.contains(hint)
                {
                    return Denied(text);
                }
            }
        };
        tokio::select! {
            biased;
            done = act => Ok(done),
            denied = denied => Err(denied),
        }
    }

    /// The last thing that the server did not permit, whenever that was.
    pub(crate) fn last_denial(&self) -> Option<Denied> {
        self.denials.borrow().clone().map(Denied)
    }
}

/// The addresses in the settings. The client takes each by itself.
fn servers(settings: &ConnectSettings) -> Result<Vec<ServerAddr>, ConnectError> {
    let bad = |found: &str, reason: String| ConnectError::Url {
        found: without_secrets(found),
        reason,
    };
    let mut servers = Vec::new();
    for part in settings.url.split(',').map(str::trim) {
        if part.is_empty() {
            return Err(bad(part, "it is empty".to_owned()));
        }
        let scheme = part.split_once("://").map_or("nats", |(scheme, _)| scheme);
        if !matches!(scheme, "nats" | "tls") {
            return Err(bad(part, format!("its scheme is {scheme}")));
        }
        let server: ServerAddr = part
            .parse()
            .map_err(|error: std::io::Error| bad(part, error.to_string()))?;
        if server.host().is_empty() {
            return Err(bad(part, "it names no host".to_owned()));
        }
        if !server.tls_required() && !is_loopback(server.host()) {
            let has_password = server.has_user_pass();
            if has_password || !settings.allow_plain {
                return Err(ConnectError::Plain {
                    host: server.host().to_owned(),
                });
            }
        }
        servers.push(server);
    }
    Ok(servers)
}

/// Whether it can only be this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn without_secrets(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        (None, Some((_, host))) => format!("…@{host}"),
        _ => url.to_owned(),
    }
}

fn shown(servers: &[ServerAddr]) -> String {
    let one = |server: &ServerAddr| {
        let scheme = if server.tls_required() { "tls" } else { "nats" };
        format!("{scheme}://{}:{}", server.host(), server.port())
    };
    servers.iter().map(one).collect::<Vec<_>>().join(",")
}

/// Whether a version as `2.15.1` is one that will do.
fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u64>());
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        // What calls itself something else is tried.
        return true;
    };
    (major, minor) >= OLDEST
}

fn refused(error: &async_nats::ConnectError, url: &str, who: &str) -> ConnectError {
    let url = url.to_owned();
    let mut reason = String::new();
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    if reason.is_empty() {
        reason = error.to_string();
    }
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            ConnectError::Refused {
                url,
                who: who.to_owned(),
            }
        }
        ConnectErrorKind::Tls => ConnectError::Tls { url, reason },
        _ if reason.contains("certificate") || reason.contains("tls") => {
            ConnectError::Tls { url, reason }
        }
        ConnectErrorKind::ServerParse => ConnectError::Url { found: url, reason },
        _ => ConnectError::Unreachable { url, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_on_the_machine_goes_in_plain_text() {
        let check = |url: &str| servers(&ConnectSettings::new(url)).map(|servers| servers.len());
        for url in [
            "nats://127.0.0.1:4222",
            "localhost",
            "nats://[::1]:4222",
            "tls://example.org:4222",
            "tls://a:1,tls://b:2",
        ] {
            assert!(check(url).is_ok(), "{url}");
        }
        for url in ["nats://10.0.0.1:4222", "example.org", "tls://a,nats://b"] {
            assert!(
                matches!(check(url), Err(ConnectError::Plain { .. })),
                "{url}"
            );
        }
        let allowed = |url: &str| servers(&ConnectSettings::new(url).allow_plain(true)).is_ok();
        assert!(allowed("nats://10.0.0.1:4222"));
        assert!(!allowed("nats://user:secret@10.0.0.1:4222"));
    }

    #[test]
    fn what_is_no_url_is_said_without_its_password() {
        for url in [
            "",
            "http://user:secret@example.org",
            "nats://",
            "tls://a,,tls://b",
        ] {
            let error = servers(&ConnectSettings::new(url)).unwrap_err();
            assert!(matches!(error, ConnectError::Url { .. }), "{url}: {error}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        for (version, wanted) in [
            ("2.11.0", true),
            ("2.15.1", true),
            ("2.9.10", false),
            ("2.10.29", false),
            ("3.0.0-beta", true),
            ("dev", true),
        ] {
            assert_eq!(is_new_enough(version), wanted, "{version}");
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
        for text in ["", "role: viewer", "role: king\nSU", "SUAAAA"] {
            assert!(Key::parse(text).is_none(), "{text}");
        }
    }
}
