//! The connection to the NATS server of a cluster: the key used, whether the server is suitable, and why it rejects
//! us.
//!
//! A server reports a missing permission by an event, while the operation that needed it would run into its time-out:
//! [`Connection::watched`] ends the operation at once with the reason.

use super::assets::{self, AssetError};
use super::names::{self, Class};
use super::orders::Signer;
use super::refusal::refused;
use super::standing::Standing;
use async_nats::jetstream::context::{ContextBuilder, PublishError};
use async_nats::jetstream::{self, publish::PublishAck};
use async_nats::{Client, ConnectOptions, HeaderMap, RequestErrorKind, ServerAddr};
use bytes::Bytes;
use rwasm_value::small_file;
use rwasm_value::units::ByteSize;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub(crate) use super::refusal::{ConnectError, Denied};
pub(crate) use super::role::{Key, Role};

/// The oldest suitable server: it has per-message time limits and markers for expired keys.
pub(crate) const OLDEST: (u64, u64) = (2, 11);

/// The smallest suitable `max_payload`, which is the servers' default: pieces of large values have this size.
pub(crate) const LEAST_PAYLOAD: ByteSize = ByteSize::new(1 << 20);

/// How to reach a cluster. Start from [`ConnectSettings::new`] and change what should differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectSettings {
    /// One or more servers: `nats://host:4222` or `tls://host:4222`, separated by commas.
    pub url: String,
    /// The key to connect with; `None` if the server asks for none, or the URL contains it.
    pub key: Option<Key>,
    /// The certificate of the authority that signed the server's; by default the system's trusted authorities.
    pub ca: Option<PathBuf>,
    /// The client certificate and its key, if the server requires one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whether unencrypted connections may leave this machine.
    pub allow_plain: bool,
    /// How long to try to connect.
    pub timeout: Duration,
}

impl ConnectSettings {
    /// Settings for a server that asks for no key, with a timeout of 10 seconds.
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

    /// Sets the key to connect with.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Returns the lane to which tasks go if this one is named: see [`Key::lane_for`].
    #[must_use]
    pub fn lane_for(&self, named: &str) -> String {
        let key = self.key.as_ref();
        key.map_or_else(|| named.to_owned(), |key| key.lane_for(named))
    }

    /// Checks whether the key may submit to a lane.
    ///
    /// # Errors
    /// If the key is for another lane alone.
    pub fn check_lane(&self, lane: &str) -> Result<(), AssetError> {
        let own = self.key.as_ref().and_then(|key| key.lane.as_deref());
        match own {
            Some(own) if own != lane => Err(AssetError::OtherLane {
                lane: lane.to_owned(),
                own: own.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Sets the authority that signed the server's certificate.
    #[must_use]
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// Sets the client certificate and its key.
    #[must_use]
    pub fn certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Allows unencrypted connections to other machines, for networks that are private as a whole.
    #[must_use]
    pub fn allow_plain(mut self, allow: bool) -> Self {
        self.allow_plain = allow;
        self
    }

    /// Sets how long to try to connect.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// A connection that knows which permissions were denied.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) js: jetstream::Context,
    pub(crate) url: Arc<str>,
    pub(crate) who: Arc<str>,
    pub(crate) role: Role,
    /// Signs orders, if there is a key.
    pub(super) signer: Option<Arc<Signer>>,
    /// How it was made.
    pub(crate) settings: Arc<ConnectSettings>,
    /// The subject prefix for replies.
    inbox: Arc<str>,
    denials: watch::Receiver<Option<Denied>>,
    /// The number of times the connection was made.
    made: watch::Receiver<u64>,
    is_rejected: watch::Receiver<bool>,
}

/// How long an operation on the server may take: a group of servers without a leader needs up to ten seconds for one.
const OPERATION: Duration = Duration::from_secs(20);

/// How often the server is pinged: one that does not answer three times counts as lost.
const PING: Duration = Duration::from_secs(5);

/// A name that no job and no stream has.
const PROBE: &str = "-";

/// Published messages that wait for their acknowledgement, at most.
pub(crate) const MAX_UNACKED: usize = 4096;

impl Connection {
    /// Connects as `role`, and checks that the server is suitable.
    ///
    /// # Errors
    /// If the server cannot be reached, rejects the connection or is not suitable, in one sentence.
    pub(crate) async fn open(
        settings: &ConnectSettings,
        role: Role,
        name: &str,
    ) -> Result<Self, ConnectError> {
        let servers = servers(settings)?;
        check_files(settings)?;
        let role = settings.key.as_ref().map_or(role, |key| key.role);
        let url: Arc<str> = shown(&servers).into();
        let who: Arc<str> = match &settings.key {
            Some(key) => format!("the {} key", key.role).into(),
            None => "a connection without a key".into(),
        };
        let standing = Standing::new(Arc::clone(&url), Arc::clone(&who), role, servers.len());
        let (denials, made) = (standing.denials(), standing.made());
        let is_rejected = standing.is_rejected();
        let mut options = match &settings.key {
            Some(key) => ConnectOptions::with_nkey(key.seed.clone()),
            None => ConnectOptions::new(),
        };
        let inbox: Arc<str> = role.inbox().into();
        options = options
            .name(name)
            .custom_inbox_prefix(inbox.to_string())
            .connection_timeout(settings.timeout)
            .request_timeout(Some(OPERATION))
            .ping_interval(PING)
            .subscription_capacity(1 << 16)
            .client_capacity(1 << 14)
            .event_callback(move |event| {
                standing.hear(&event);
                std::future::ready(())
            });
        let client = encrypted(options, settings, &servers)
            .connect(servers)
            .await
            .map_err(|error| refused(&error, &url, &who, settings.ca.is_some()))?;
        check_server(&client, &url).await?;
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
            role,
            signer: settings.key.as_ref().and_then(Signer::of).map(Arc::new),
            settings: Arc::new(settings.clone()),
            inbox,
            denials,
            made,
            is_rejected,
        })
    }

    /// Like [`open`](Self::open), for a cluster that is set up, and for what the role does: permissions are checked
    /// first, since a server reports a denial where nobody waits for it.
    ///
    /// # Errors
    /// Also if the cluster is not set up, or the key lacks a permission.
    pub(crate) async fn to_cluster(
        settings: &ConnectSettings,
        role: Role,
        name: &str,
    ) -> Result<Self, ConnectError> {
        let connection = Self::open(settings, role, name).await?;
        assets::check(&connection).await?;
        connection.may(role).await?;
        Ok(connection)
    }

    /// Checks whether the server grants the permissions of a role. Asking changes nothing.
    async fn may(&self, role: Role) -> Result<(), ConnectError> {
        let asked = match role {
            Role::Client => {
                let lane = self.settings.lane_for(names::MAIN_LANE);
                vec![
                    names::task(&lane, Class::Low, PROBE, "0"),
                    names::read_of_leader(names::RESULTS),
                ]
            }
            Role::Engine => vec![names::result(PROBE, "0")],
            Role::Admin | Role::Viewer => Vec::new(),
        };
        for subject in asked {
            // What is meant for a stream that is not there is stored in none, and what does not say what it wants is
            // refused: both are answered.
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Expected-Stream", PROBE);
            let request = self
                .client
                .request_with_headers(subject.clone(), headers, Bytes::new());
            // Any answer will do, and no answer is not a denial.
            if let Err(denied) = self.watched(&subject, request).await {
                return Err(self.denied(&denied));
            }
        }
        Ok(())
    }

    /// Turns a denial into the reason why the cluster cannot be used.
    pub(crate) fn denied(&self, denied: &Denied) -> ConnectError {
        ConnectError::Denied {
            url: self.url.to_string(),
            what: denied.to_string(),
        }
    }

    /// Publishes a message to a stream and waits until the server has it, unless it denies something with `hint` in its
    /// name.
    ///
    /// # Errors
    /// What the server denied, or inside of it why the message is not stored.
    pub(crate) async fn publish(
        &self,
        hint: &str,
        subject: &str,
        headers: &HeaderMap,
        message: &Bytes,
    ) -> Result<Result<PublishAck, PublishError>, Denied> {
        let publish = async {
            self.js
                .publish_with_headers(subject.to_owned(), headers.clone(), message.clone())
                .await?
                .await
        };
        self.watched(hint, publish).await
    }

    /// Performs `act`, unless the server meanwhile denies something with `hint` in its name.
    ///
    /// # Errors
    /// What the server denied.
    pub(crate) async fn watched<T>(
        &self,
        hint: &str,
        act: impl Future<Output = T>,
    ) -> Result<T, Denied> {
        let mut denials = self.denials.clone();
        denials.mark_unchanged();
        // Without answers nothing comes to an end.
        if let Some(deaf) = denials
            .borrow()
            .clone()
            .filter(|denied| denied.is_of(&self.inbox))
        {
            return Err(self.without_answers(&deaf));
        }
        let denied = async {
            loop {
                if denials.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                let last = denials.borrow_and_update().clone();
                if let Some(denied) = last {
                    if denied.is_of(&self.inbox) {
                        return self.without_answers(&denied);
                    }
                    if denied.is_of(hint) {
                        return denied;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            done = act => Ok(done),
            denied = denied => Err(denied),
        }
    }

    /// Explains a denial by the server knowing the key under another role than its file states.
    fn without_answers(&self, denied: &Denied) -> Denied {
        let who = &self.who;
        Denied(
            format!("{denied}; so {who} does not have the role that its file states, and receives no replies")
                .into(),
        )
    }

    /// Changes when a lost connection is back: requests made before usually get no reply.
    pub(crate) fn renewals(&self) -> watch::Receiver<u64> {
        let mut made = self.made.clone();
        made.mark_unchanged();
        made
    }

    /// Performs `act` within this time and on one connection; returns `None` if there is no reply by then.
    pub(crate) async fn within<T>(
        &self,
        patience: Duration,
        act: impl Future<Output = T>,
    ) -> Option<T> {
        let mut renewals = self.renewals();
        tokio::select! {
            biased;
            done = act => Some(done),
            Ok(()) = renewals.changed() => None,
            () = tokio::time::sleep(patience) => None,
        }
    }

    /// Whether the server rejects the connection at present: it accepted the key before.
    pub(crate) fn is_rejected(&self) -> bool {
        *self.is_rejected.borrow()
    }

    /// Changes when the server begins to reject the connection, and when it accepts it again.
    pub(crate) fn rejections(&self) -> watch::Receiver<bool> {
        self.is_rejected.clone()
    }

    /// The last denial by the server, whenever that was.
    pub(crate) fn last_denial(&self) -> Option<Denied> {
        self.denials.borrow().clone()
    }
}

/// Checks that a file contains PEM of this kind, before the client looks: it would accept one without and trust
/// nobody.
fn has_pem(path: &Path, kind: &str) -> Result<(), ConnectError> {
    let reason = match small_file::read(path) {
        Ok(text) if text.contains(&format!("{kind}-----")) => return Ok(()),
        Ok(_) => format!("there is no {} in it", kind.to_ascii_lowercase()),
        Err(error) => error.to_string(),
    };
    Err(ConnectError::File {
        path: path.to_owned(),
        reason,
    })
}

/// The runtime on which a blocking call waits for a server, on this thread alone.
///
/// # Errors
/// If the system gives no event queue.
pub(crate) fn runtime(settings: &ConnectSettings) -> Result<Runtime, ConnectError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| ConnectError::Unreachable {
        url: settings.url.clone(),
        reason: format!("cannot create an event loop for the connection: {error}"),
    })
}

/// Checks the files of certificates and keys.
fn check_files(settings: &ConnectSettings) -> Result<(), ConnectError> {
    let certificates = settings.certificate.iter().map(|(file, _)| file);
    for file in settings.ca.iter().chain(certificates) {
        has_pem(file, "CERTIFICATE")?;
    }
    if let Some((_, file)) = &settings.certificate {
        has_pem(file, "PRIVATE KEY")?;
    }
    Ok(())
}

/// Parses the addresses in the settings. The client takes each by itself.
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

/// The options with what the settings say of encryption.
fn encrypted(
    mut options: ConnectOptions,
    settings: &ConnectSettings,
    servers: &[ServerAddr],
) -> ConnectOptions {
    if servers.iter().all(ServerAddr::tls_required) {
        // Servers announce others by address alone: a connection to one of these is no less encrypted.
        options = options.require_tls(true);
    } else if !settings.allow_plain {
        // One that is only to be reached on this machine may announce others that are not on it.
        options = options.ignore_discovered_servers();
    }
    if let Some(ca) = &settings.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &settings.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    options
}

/// Checks that the server is suitable.
async fn check_server(client: &Client, url: &str) -> Result<(), ConnectError> {
    let info = client.server_info();
    let url = url.to_owned();
    if !is_new_enough(&info.version) {
        let found = info.version;
        return Err(ConnectError::TooOld { url, found });
    }
    if !info.jetstream && !is_passed_on(client).await {
        return Err(ConnectError::JetStreamOff { url });
    }
    let found = ByteSize::new(info.max_payload as u64);
    if found < LEAST_PAYLOAD {
        return Err(ConnectError::SmallMessages { url, found });
    }
    Ok(())
}

/// Whether a server without `JetStream` passes requests on, as a leaf node does to the servers behind it.
async fn is_passed_on(client: &Client) -> bool {
    let asked = format!("$JS.API.STREAM.INFO.{}", names::TASKS);
    let answer = client.request(asked, Bytes::new()).await;
    // Any answer will do; what it means is seen where the streams are looked for.
    !answer.is_err_and(|error| error.kind() == RequestErrorKind::NoResponders)
}

/// Whether the host can only be this machine.
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

/// Returns whether a server of that version, such as `2.15.1`, is recent enough.
#[must_use]
pub fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(str::parse::<u64>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        // What calls itself something else is tried.
        return true;
    };
    (major, minor) >= OLDEST
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
}
