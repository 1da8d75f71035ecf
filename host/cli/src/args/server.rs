//! The options of the commands that set up a server: its keys, its configuration, its streams.

use super::values::{duration, lane, named_dir, parsed, positive_size, read};
use super::{IdentityOptions, Loudness, ShownAs};
use clap::Args;
use rwasm_cluster::ByteSize;
use rwasm_cluster::nats::Role;
use std::path::PathBuf;
use std::time::Duration;

/// The default directory of keys.
const DIR: &str = "keys";

/// Create the keys of a cluster and certificates for its server.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster keys                              a key for each role
  rwasm-cluster keys --host nats.example.org      also a certificate
  rwasm-cluster keys --role client --name alice   keys/client-alice.key
  rwasm-cluster keys --role client --name web --lane web   for one lane",
    after_long_help = "Existing keys are kept. Each use of --host renews the certificate; the first one also creates the authority \
that signs it. Engines need engine.key and ca.pem, clients need client.key and ca.pem; keep admin.key and ca.key to yourself.\n\n\
A cluster accepts a new key after three steps: write the server's configuration again (`server-config`), make the server read \
it (`nats-server --signal reload`), and run `init` with admin.key and public.toml in one directory. To revoke a key, delete its \
line in public.toml and do the same.\n\n\
Exit codes:
  0    success
  2    usage error
  14   a file cannot be read or written"
)]
pub(crate) struct KeysArguments {
    /// Directory of the keys, created if missing
    ///
    /// Only its owner can access a directory that is created.
    #[arg(long, value_name = "DIR", default_value = DIR)]
    pub(crate) dir: PathBuf,

    /// Role of the keys: admin, engine, client or viewer [default: all]
    #[arg(long = "role", value_name = "ROLE", value_parser = read::<Role>, value_delimiter = ',')]
    pub(crate) roles: Vec<Role>,

    /// Name of the key owner, so that the key can be revoked separately
    ///
    /// The name follows the role in the name of the file. Without --role, a key of each role gets this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Lane to which the key may submit, with --role client [default: all]
    #[arg(long, value_name = "NAME", value_parser = lane, requires = "roles")]
    pub(crate) lane: Option<String>,

    /// Name or address of the server; creates or renews its certificate
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',')]
    pub(crate) hosts: Vec<String>,

    /// How long the certificate is valid
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = duration)]
    pub(crate) valid: Duration,

    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ShownAs,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Write the configuration of a cluster's server.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster server-config -o nats.conf   for this machine only
  # For the network, with a certificate:
  rwasm-cluster server-config --listen 0.0.0.0:4222 -o nats.conf
  # One of three servers:
  rwasm-cluster server-config --name n1 --listen 0.0.0.0:4222 \\
      --cluster-listen 0.0.0.0:6222 --route n1:6222,n2:6222,n3:6222
  # Two teams that see nothing of each other:
  rwasm-cluster server-config --tenant red=keys-red --tenant blue=keys-blue",
    after_long_help = "The configuration contains the keys of public.toml in DIR, each with the permissions of its role, and \
the certificate server.pem in DIR, if there is one (see `keys --host`). It contains no secrets. `nats-server --signal reload` makes a \
running server read it again.\n\n\
Exit codes:
  0    success
  2    usage error
  14   a file cannot be read or written"
)]
pub(crate) struct ServerConfigArguments {
    /// Directory of the keys
    #[arg(long, value_name = "DIR", default_value = DIR)]
    pub(crate) dir: PathBuf,

    /// Address for clients and engines
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4222")]
    pub(crate) listen: String,

    /// Address of the monitoring endpoint, open to anyone
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) monitor: Option<String>,

    /// Directory of stored data [default: `store` beside the keys]
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,

    /// Disk space for data [default: 3/4 of the free space]
    #[arg(long, value_name = "SIZE", value_parser = positive_size)]
    pub(crate) max_store: Option<ByteSize>,

    /// Size limit of a message
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = positive_size)]
    pub(crate) max_payload: ByteSize,

    /// Encrypt stored data with the key in VARIABLE
    ///
    /// VARIABLE is an environment variable of the server.
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) store_key: Option<String>,

    /// Name of the server; must be unique if there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Address for the other servers of the cluster
    #[arg(long, value_name = "HOST:PORT", requires = "routes")]
    pub(crate) cluster_listen: Option<String>,

    /// Address of a server of the cluster, including this one
    #[arg(
        long = "route",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        requires = "cluster_listen"
    )]
    pub(crate) routes: Vec<String>,

    /// Allow unencrypted connections from other machines
    #[arg(long)]
    pub(crate) allow_plain: bool,

    /// Tenant with an account of its own and the keys in DIR; repeat for more
    ///
    /// Nothing passes between accounts. Create the keys with `keys --dir DIR`, and let engines serve several tenants
    /// with `engine join --tenant`.
    #[arg(long = "tenant", value_name = "NAME=DIR", value_parser = named_dir)]
    pub(crate) tenants: Vec<(String, PathBuf)>,

    /// Disk space for the data of each tenant [default: no limit of its own]
    #[arg(long, value_name = "SIZE", value_parser = positive_size, requires = "tenants")]
    pub(crate) tenant_store: Option<ByteSize>,

    /// Write the configuration to FILE [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Set up a cluster on a running server.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster init nats://localhost:4222 --key keys/admin.key
  rwasm-cluster init tls://h:4222 --key admin.key --ca ca.pem --replicas 3
  rwasm-cluster init tls://h:4222 --key admin.key --ca ca.pem --lane gpu
  rwasm-cluster init --lane gpu   add a lane to the running cluster",
    after_long_help = "The command can be repeated at any time. Existing streams are kept; differences from the given options are \
reported, and --change applies them. Omitted options are not checked; their defaults apply to new streams only.\n\n\
It also stores the list of keys that may give orders to engines, such as to cancel a job: the clients and admins of the \
public.toml beside the admin key. Run it again after you add or remove a key.\n\n\
Exit codes:
  0    success
  2    usage error
  13   the server cannot be reached, or refuses
  14   a file cannot be read"
)]
pub(crate) struct InitArguments {
    /// URL of the server [default: the cluster of the profile]
    ///
    /// A URL has the form `nats://HOST:4222` or `tls://HOST:4222`; separate several servers with commas. By
    /// default, use the URL of the profile, or else the server that `rwasm-cluster start` started.
    #[arg(value_name = "URL", env = "RWASM_CLUSTER", hide_env = true)]
    pub(crate) url: Option<String>,

    /// Servers that keep a copy of each task and result: 1, 3 or 5 [default: 1]
    #[arg(long, value_name = "N", value_parser = parsed::<usize>("1, 3 or 5"))]
    pub(crate) replicas: Option<usize>,

    /// Lane for engines of another kind; repeat for more
    #[arg(long = "lane", value_name = "NAME", value_parser = lane, value_delimiter = ',')]
    pub(crate) lanes: Vec<String>,

    /// Silence of an engine before others get its tasks [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ack_wait: Option<Duration>,

    /// Silence of an engine before it counts as lost [default: 15s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) presence: Option<Duration>,

    /// How long to keep tasks, results and large values [default: 7d]
    ///
    /// Modules that no job uses are kept twice as long.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) keep: Option<Duration>,

    /// Disk space for each kind of data [default: that of the server]
    ///
    /// Tasks, results and large values get this much each, which the server reserves.
    #[arg(long, value_name = "SIZE", value_parser = positive_size)]
    pub(crate) max_bytes: Option<ByteSize>,

    /// Apply the given options to existing streams
    #[arg(long)]
    pub(crate) change: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ShownAs,

    #[command(flatten)]
    pub(crate) identity: IdentityOptions,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}
