//! The configuration of a NATS server for a cluster, as printed by `rwasm-cluster server-config`.
//!
//! It is text made from values; nothing is read or started here. The permissions are in [`super::permissions`].

use super::certificates;
use super::connect::is_loopback;
use super::keys::PublicKey;
use super::names;
use super::permissions::{self, Permission};
use super::role::Role;
use rwasm_value::ids::not_a_name;
use rwasm_value::units::ByteSize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The default port of NATS servers.
pub const PORT: u16 = 4222;

/// The server's certificate files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerTls {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificate of the authority that signed it.
    pub ca: PathBuf,
}

impl ServerTls {
    /// Returns the files that [`make_keys`](super::make_keys) created in that directory, if it created certificates.
    pub fn find(dir: &Path) -> Option<Self> {
        let at = |name: &str| dir.join(name);
        at(certificates::SERVER).exists().then(|| {
            Self::new(
                at(certificates::SERVER),
                at(certificates::SERVER_KEY),
                at(certificates::CA),
            )
        })
    }

    /// Names the three files.
    pub fn new(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        ca: impl Into<PathBuf>,
    ) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            ca: ca.into(),
        }
    }
}

/// A server's place among several.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Routes {
    /// The `HOST:PORT` at which the other servers reach this one.
    pub listen: String,
    /// The `HOST:PORT` of every server, this one included.
    pub servers: Vec<String>,
}

impl Routes {
    /// A server at `listen` among these servers.
    pub fn new(listen: impl Into<String>, servers: Vec<String>) -> Self {
        Self {
            listen: listen.into(),
            servers,
        }
    }
}

/// One of several who share a server and perhaps engines, in an account of its own: its streams, keys and limits are its
/// own, and nothing passes to another account.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TenantAccount {
    /// The name of the account.
    pub name: String,
    /// The keys that belong to it.
    pub keys: Vec<PublicKey>,
    /// How much it may store; by default as much as there is.
    pub max_store: Option<ByteSize>,
}

impl TenantAccount {
    /// The account of that name with these keys, and no limit to what it stores.
    pub fn new(name: impl Into<String>, keys: Vec<PublicKey>) -> Self {
        Self {
            name: name.into(),
            keys,
            max_store: None,
        }
    }

    /// Sets how much it may store.
    #[must_use]
    pub fn max_store(mut self, size: ByteSize) -> Self {
        self.max_store = Some(size);
        self
    }
}

/// The settings of a server. Start from [`ServerConfig::new`] and change what should differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Its name, which each of several servers needs.
    pub name: Option<String>,
    /// The `HOST:PORT` on which it listens.
    pub listen: String,
    /// The `HOST:PORT` on which it serves its monitoring pages, to anyone; `None` for none.
    pub monitor: Option<String>,
    /// The directory to which it writes the ports that the system chose.
    pub ports_dir: Option<PathBuf>,
    /// The directory in which it stores streams.
    pub store: PathBuf,
    /// How much it may store; by default three quarters of the free space.
    pub max_store: Option<ByteSize>,
    /// The largest message.
    pub max_payload: ByteSize,
    /// The environment variable with the key that encrypts the storage.
    pub store_key: Option<String>,
    /// Its certificate; without one, connections are not encrypted.
    pub tls: Option<ServerTls>,
    /// Its place among several servers.
    pub routes: Option<Routes>,
    /// Whether unencrypted connections may come from other machines.
    pub allow_plain: bool,
    /// The keys that it accepts.
    pub keys: Vec<PublicKey>,
    /// Further accounts, each with keys of its own.
    pub tenants: Vec<TenantAccount>,
}

/// Why a configuration cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerConfigError {
    /// Other machines could connect without encryption.
    #[error(
        "`{listen}` is reachable from other machines, but connections would not be encrypted: create a certificate with `rwasm-cluster keys --host NAME`, or listen on 127.0.0.1"
    )]
    Plain {
        /// The listening address.
        listen: String,
    },
    /// The text is not an address to listen on.
    #[error("`{found}` is not a valid HOST:PORT")]
    Address {
        /// The given text.
        found: String,
    },
    /// One of several servers has no name.
    #[error("each of several servers needs a name of its own")]
    Unnamed,
    /// A role without which the cluster is of no use has no key.
    #[error(
        "there is no {role} key{}, and without one {without}: create it with `rwasm-cluster keys`",
        tenant.as_ref().map(|tenant| format!(" of tenant `{tenant}`")).unwrap_or_default()
    )]
    NoKey {
        /// The tenant, if it is one's key.
        tenant: Option<String>,
        /// The role.
        role: Role,
        /// What cannot be done without it.
        without: &'static str,
    },
    /// The text is not a valid name for a tenant.
    #[error("{}", not_a_name("tenant", name))]
    TenantName {
        /// The requested name.
        name: String,
    },
    /// A name is that of another account.
    #[error("the account `{name}` is there already: give the tenant another name")]
    SameAccount {
        /// The requested name.
        name: String,
    },
    /// Tenants may store more than the server has.
    #[error(
        "the tenants may store {wanted} together, more than the {most} of the server, which then refuses to serve them: lower --tenant-store, or raise --max-store"
    )]
    TooMuchForTenants {
        /// What they may store together.
        wanted: ByteSize,
        /// What the server may store.
        most: ByteSize,
    },
    /// A key is in two accounts.
    #[error(
        "the key `{label}` of tenant `{tenant}` is also in another account, but each account needs keys of its own: create them in a directory of their own with `rwasm-cluster keys --dir DIR`"
    )]
    SameKey {
        /// Whose key it is.
        label: String,
        /// The tenant.
        tenant: String,
    },
    /// A name or path cannot be written in a configuration.
    #[error("`{found}` cannot be written in a server configuration")]
    Unwritable {
        /// The name or path.
        found: String,
    },
}

/// The quotas of the account, since a configuration has none for a single key. A cluster has seven streams and three
/// consumers for each lane, and all streams are in files: 0 bytes of memory forbid streams in memory, for which nobody
/// sets a bound. A connection has a subscription for each request whose answer has parts, and a few beside.
const STREAM_QUOTAS: &str = "max_streams: 32, max_consumers: 10000, max_mem: 0";
const CONNECTION_QUOTAS: &str = "limits { max_subscriptions: 10000 }";

/// The account of those who are no tenants, and that of the server itself.
const MAIN_ACCOUNT: &str = "RWASM";
const SYSTEM_ACCOUNT: &str = "SYS";

/// Replies to one request, and for how long. One is sent at once; the second allows for repeated requests.
const RESPONSES: &str = "{ max: 2, expires: \"1m\" }";

/// Seconds for a TLS handshake: 1 000 engines that join at once need many from few cores, and the server's default is
/// 2 s.
const TLS_TIMEOUT: u32 = 15;

impl ServerConfig {
    /// Settings for a server that only this machine can reach.
    pub fn new(store: impl Into<PathBuf>, keys: Vec<PublicKey>) -> Self {
        Self {
            name: None,
            listen: format!("127.0.0.1:{PORT}"),
            monitor: None,
            ports_dir: None,
            store: store.into(),
            max_store: None,
            max_payload: ByteSize::new(1 << 20),
            store_key: None,
            tls: None,
            routes: None,
            allow_plain: false,
            keys,
            tenants: Vec::new(),
        }
    }

    /// Returns the text of the configuration.
    ///
    /// # Errors
    /// If connections from other machines would not be encrypted, a role lacks a key, or a key is in two accounts.
    pub fn to_text(&self) -> Result<String, ServerConfigError> {
        self.check()?;
        let mut text = String::new();
        let out = &mut text;
        line(
            out,
            0,
            "# A NATS server for an rwasm-cluster, written by `rwasm-cluster server-config`. Start it with",
        );
        line(out, 0, "#   nats-server -c THIS_FILE");
        line(out, 0, "# and set the cluster up once, with the admin key:");
        line(out, 0, &format!("#   {}", self.init_command()));
        line(out, 0, "");
        if let Some(name) = &self.name {
            line(out, 0, &format!("server_name: {}", quoted(name)?));
        }
        line(out, 0, &format!("listen: {}", quoted(&self.listen)?));
        if let Some(monitor) = &self.monitor {
            line(out, 0, &format!("http: {}", quoted(monitor)?));
        }
        if let Some(dir) = &self.ports_dir {
            line(out, 0, &format!("ports_file_dir: {}", path(dir)?));
        }
        line(
            out,
            0,
            &format!("max_payload: {}", self.max_payload.bytes()),
        );
        line(
            out,
            0,
            "# Who does not read what is sent to it is cut off, and holds up nobody who sends.",
        );
        line(out, 0, "no_fast_producer_stall: true");
        line(out, 0, "");
        self.jetstream(out)?;
        if let Some(tls) = &self.tls {
            line(out, 0, "");
            line(out, 0, "tls {");
            self::tls(out, 1, tls)?;
            line(out, 0, "}");
        }
        if let Some(routes) = &self.routes {
            line(out, 0, "");
            self.cluster(out, routes)?;
        }
        line(out, 0, "");
        self.accounts(out)?;
        Ok(text)
    }

    fn check(&self) -> Result<(), ServerConfigError> {
        let mut open = vec![&self.listen];
        open.extend(self.routes.as_ref().map(|routes| &routes.listen));
        for listen in open {
            let host = host(listen)?;
            if self.tls.is_none() && !self.allow_plain && !is_loopback(host) {
                return Err(ServerConfigError::Plain {
                    listen: listen.clone(),
                });
            }
        }
        if let Some(monitor) = &self.monitor {
            host(monitor)?;
        }
        if let Some(routes) = &self.routes {
            for server in &routes.servers {
                host(server)?;
            }
            if self.name.is_none() {
                return Err(ServerConfigError::Unnamed);
            }
        }
        check_roles(&self.keys, None)?;
        let wanted = self.tenants_store();
        if let Some(most) = self.max_store.filter(|most| wanted > *most) {
            return Err(ServerConfigError::TooMuchForTenants { wanted, most });
        }
        let mut names = vec![MAIN_ACCOUNT, SYSTEM_ACCOUNT];
        let mut keys: BTreeSet<&str> = self.keys.iter().map(|key| key.public.as_str()).collect();
        for tenant in &self.tenants {
            let name = &tenant.name;
            if !names::is_token(name) {
                return Err(ServerConfigError::TenantName { name: name.clone() });
            }
            if names.contains(&name.as_str()) {
                return Err(ServerConfigError::SameAccount { name: name.clone() });
            }
            names.push(name);
            check_roles(&tenant.keys, Some(name))?;
            let twice = tenant.keys.iter().find(|key| !keys.insert(&key.public));
            if let Some(key) = twice {
                return Err(ServerConfigError::SameKey {
                    label: key.label.clone(),
                    tenant: name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Returns what all tenants with a limit may store together, which the server sets aside.
    #[must_use]
    pub fn tenants_store(&self) -> ByteSize {
        let stores = self.tenants.iter().filter_map(|tenant| tenant.max_store);
        let sum = stores.fold(0, |sum: u64, store| sum.saturating_add(store.bytes()));
        ByteSize::new(sum)
    }

    /// The command that sets up the cluster, for readers of the configuration.
    fn init_command(&self) -> String {
        let scheme = if self.tls.is_some() { "tls" } else { "nats" };
        let ca = if self.tls.is_some() {
            " --ca ca.pem"
        } else {
            ""
        };
        let replicas = self
            .routes
            .as_ref()
            .map_or(0, |routes| routes.servers.len());
        let replicas = match replicas {
            0..3 => String::new(),
            3 | 4 => " --replicas 3".to_owned(),
            _ => " --replicas 5".to_owned(),
        };
        let listen = &self.listen;
        format!("rwasm-cluster init {scheme}://{listen} --key admin.key{ca}{replicas}")
    }

    fn jetstream(&self, out: &mut String) -> Result<(), ServerConfigError> {
        line(out, 0, "jetstream {");
        line(out, 1, &format!("store_dir: {}", path(&self.store)?));
        if let Some(size) = self.max_store {
            line(out, 1, &format!("max_file_store: {}", size.bytes()));
        }
        line(
            out,
            1,
            "# Acknowledged messages are on the disk. Without this, those of the last two minutes may not be.",
        );
        line(out, 1, "sync_interval: always");
        if let Some(variable) = &self.store_key {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if variable.is_empty() || !variable.bytes().all(fits) {
                return Err(unwritable(variable));
            }
            line(out, 1, "cipher: aes");
            line(out, 1, &format!("key: ${variable}"));
        }
        line(out, 0, "}");
        Ok(())
    }

    fn cluster(&self, out: &mut String, routes: &Routes) -> Result<(), ServerConfigError> {
        line(out, 0, "cluster {");
        line(out, 1, "name: rwasm-cluster");
        line(out, 1, &format!("listen: {}", quoted(&routes.listen)?));
        line(out, 1, "routes: [");
        for server in &routes.servers {
            line(out, 2, &quoted(&format!("nats://{server}"))?);
        }
        line(out, 1, "]");
        if let Some(tls) = &self.tls {
            line(
                out,
                1,
                "# Servers prove themselves to one another by a certificate of the same authority.",
            );
            line(out, 1, "tls {");
            self::tls(out, 2, tls)?;
            line(out, 2, "verify: true");
            line(out, 1, "}");
        }
        line(out, 0, "}");
        Ok(())
    }

    fn accounts(&self, out: &mut String) -> Result<(), ServerConfigError> {
        line(
            out,
            0,
            "# An account is a domain of trust: whoever has one of its keys is trusted with everything in it.",
        );
        line(out, 0, "accounts {");
        line(out, 1, &format!("{SYSTEM_ACCOUNT} {{ users: [] }}"));
        account(out, MAIN_ACCOUNT, &self.keys, None)?;
        for tenant in &self.tenants {
            account(out, &quoted(&tenant.name)?, &tenant.keys, tenant.max_store)?;
        }
        line(out, 0, "}");
        line(out, 0, &format!("system_account: {SYSTEM_ACCOUNT}"));
        Ok(())
    }
}

/// Checks whether these keys of an account, perhaps a tenant's, are those of all roles that it needs.
fn check_roles(keys: &[PublicKey], tenant: Option<&str>) -> Result<(), ServerConfigError> {
    for (role, without) in [
        (Role::Admin, "the cluster cannot be set up"),
        (Role::Engine, "no engine can join"),
        (Role::Client, "nothing can be submitted"),
    ] {
        if !keys.iter().any(|key| key.role == role) {
            let tenant = tenant.map(str::to_owned);
            return Err(ServerConfigError::NoKey {
                tenant,
                role,
                without,
            });
        }
    }
    Ok(())
}

fn account(
    out: &mut String,
    name: &str,
    keys: &[PublicKey],
    max_store: Option<ByteSize>,
) -> Result<(), ServerConfigError> {
    line(out, 1, &format!("{name} {{"));
    line(out, 2, "# Of the account, and of each connection:");
    let store = max_store.map(|size| format!(", max_file: {}", size.bytes()));
    let store = store.unwrap_or_default();
    line(out, 2, &format!("jetstream {{ {STREAM_QUOTAS}{store} }}"));
    line(out, 2, CONNECTION_QUOTAS);
    line(out, 2, "users: [");
    for key in keys {
        line(out, 3, &format!("# {}", key.label));
        match permissions::of_key(key.role, key.lane.as_deref()) {
            None => line(out, 3, &format!("{{ nkey: {} }}", key.public)),
            Some(lines) => user(out, key, &lines)?,
        }
    }
    line(out, 2, "]");
    line(out, 1, "}");
    Ok(())
}

fn user(out: &mut String, key: &PublicKey, lines: &[Permission]) -> Result<(), ServerConfigError> {
    line(out, 3, &format!("{{ nkey: {}, permissions: {{", key.public));
    allowed(out, "publish", lines, |line| &line.publish)?;
    allowed(out, "subscribe", lines, |line| &line.subscribe)?;
    if permissions::answers(key.role) {
        line(out, 4, &format!("allow_responses: {RESPONSES}"));
    }
    line(out, 3, "} }");
    Ok(())
}

fn allowed(
    out: &mut String,
    verb: &str,
    lines: &[Permission],
    subjects: impl Fn(&Permission) -> &Vec<String>,
) -> Result<(), ServerConfigError> {
    line(out, 4, &format!("{verb}: {{ allow: ["));
    let mut said: Vec<&String> = Vec::new();
    for permission in lines {
        let mut new: Vec<&String> = subjects(permission).iter().collect();
        new.retain(|subject| !said.contains(subject));
        if new.is_empty() {
            continue;
        }
        line(out, 5, &format!("# {}", permission.what));
        for subject in new {
            line(out, 5, &quoted(subject)?);
            said.push(subject);
        }
    }
    line(out, 4, "] }");
    Ok(())
}

fn tls(out: &mut String, depth: usize, tls: &ServerTls) -> Result<(), ServerConfigError> {
    line(
        out,
        depth,
        &format!("cert_file: {}", path(&tls.certificate)?),
    );
    line(out, depth, &format!("key_file: {}", path(&tls.key)?));
    line(out, depth, &format!("ca_file: {}", path(&tls.ca)?));
    line(out, depth, &format!("timeout: {TLS_TIMEOUT}"));
    Ok(())
}

fn line(out: &mut String, depth: usize, text: &str) {
    // Writing to a string cannot fail.
    let _ = if text.is_empty() {
        writeln!(out)
    } else {
        writeln!(out, "{}{text}", "  ".repeat(depth))
    };
}

/// The host of `HOST:PORT`.
fn host(listen: &str) -> Result<&str, ServerConfigError> {
    let address = || ServerConfigError::Address {
        found: listen.to_owned(),
    };
    let (host, port) = listen.rsplit_once(':').ok_or_else(address)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let fits = match bare {
        Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    // -1 has the server choose one.
    if !fits || (port != "-1" && port.parse::<u16>().is_err()) {
        return Err(address());
    }
    Ok(host)
}

fn path(path: &Path) -> Result<String, ServerConfigError> {
    let text = path
        .to_str()
        .ok_or_else(|| unwritable(&path.display().to_string()))?;
    quoted(text)
}

fn quoted(text: &str) -> Result<String, ServerConfigError> {
    if text.chars().any(char::is_control) {
        return Err(unwritable(&text.escape_debug().to_string()));
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(format!("\"{escaped}\""))
}

fn unwritable(found: &str) -> ServerConfigError {
    ServerConfigError::Unwritable {
        found: found.to_owned(),
    }
}

#[cfg(test)]
mod tests;
