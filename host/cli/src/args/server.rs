//! The options of the commands that set a cluster's server up: its keys, its configuration, what is kept on it.

use super::values::{duration, positive_size};
use super::{IdentityOptions, Loudness, ShownAs};
use clap::Args;
use rwasm_cluster::ByteSize;
use rwasm_cluster::nats::Role;
use std::path::PathBuf;
use std::time::Duration;

/// Where keys are, if nothing else is said.
const DIR: &str = "keys";

/// Make the keys of a cluster, and certificates for its server.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster keys                                  a key for each role, in keys/
  rwasm-cluster keys --host nats.example.org          and a certificate for the server
  rwasm-cluster keys --role client --name alice       one more client key: keys/client-alice.key",
    after_long_help = "Keys that are there stay as they are. The certificate is made anew whenever --host is given, by the \
authority that was made with the first one: this renews it. Give engines engine.key and ca.pem, those who submit client.key \
and ca.pem; admin.key and ca.key stay with you. To lock a key out, delete its line in public.toml and make the server's \
configuration anew.\n\n\
Exit codes: 0 all well, 2 usage, 14 where a file cannot be read or written."
)]
pub(crate) struct KeysArguments {
    /// The directory of the keys; it is made, for its owner alone
    #[arg(long, value_name = "DIR", default_value = DIR)]
    pub(crate) dir: PathBuf,

    /// For which roles: admin, engine, client, viewer [default: all]
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    pub(crate) roles: Vec<Role>,

    /// Whose keys they are, so that one can be locked out without the others
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// A name or address by which the server is reached: makes or renews its certificate
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',')]
    pub(crate) hosts: Vec<String>,

    /// How long the certificate is to hold
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = duration)]
    pub(crate) valid: Duration,

    /// How what was made is shown
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ShownAs,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Write the configuration of a cluster's server.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster server-config -o nats.conf                          for this machine alone
  rwasm-cluster server-config --listen 0.0.0.0:4222 -o nats.conf    for others too, with the certificate of `keys --host`
  rwasm-cluster server-config --name n1 --listen 0.0.0.0:4222 \\
      --cluster-listen 0.0.0.0:6222 --route n1:6222,n2:6222,n3:6222     one of three servers",
    after_long_help = "The keys are those of public.toml in DIR, each with the permissions of its role; the certificate is \
server.pem there, if there is one. Nothing in it is secret. A server that runs takes a new one by \
`nats-server --signal reload`.\n\n\
Exit codes: 0 all well, 2 usage, 14 where a file cannot be read or written."
)]
pub(crate) struct ServerConfigArguments {
    /// The directory of the keys
    #[arg(long, value_name = "DIR", default_value = DIR)]
    pub(crate) dir: PathBuf,

    /// Where the server listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4222")]
    pub(crate) listen: String,

    /// Where it says how it is, to anyone who asks
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) monitor: Option<String>,

    /// Where it keeps what is stored [default: store in DIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,

    /// How much it may store [default: three quarters of what is free]
    #[arg(long, value_name = "SIZE", value_parser = positive_size)]
    pub(crate) max_store: Option<ByteSize>,

    /// The largest message
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = positive_size)]
    pub(crate) max_payload: ByteSize,

    /// Encrypt what is stored, by the key in this environment variable of the server
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) store_key: Option<String>,

    /// What the server is called; each of several wants a name of its own
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Where the other servers of the cluster reach it
    #[arg(long, value_name = "HOST:PORT", requires = "routes")]
    pub(crate) cluster_listen: Option<String>,

    /// A server of the cluster, this one too
    #[arg(
        long = "route",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        requires = "cluster_listen"
    )]
    pub(crate) routes: Vec<String>,

    /// Let connections that are not encrypted come from other machines
    #[arg(long)]
    pub(crate) allow_plain: bool,

    /// Write it to a file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Set a cluster up on a server that runs.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster init nats://localhost:4222 --key keys/admin.key
  rwasm-cluster init tls://nats.example.org:4222 --key keys/admin.key --ca keys/ca.pem --replicas 3
  rwasm-cluster init tls://nats.example.org:4222 --key keys/admin.key --ca keys/ca.pem --lane gpu
  rwasm-cluster init --lane gpu                     of the cluster that was started here, or of the profile",
    after_long_help = "What is there stays as it is, and it is said where it differs from an option that is given; --change changes it. \
What is not given is compared with nothing, and the defaults are for what is made. It can be done again at any time.\n\n\
Exit codes: 0 all well, 2 usage, 13 where the server cannot be reached or refuses, 14 where a file cannot be read."
)]
pub(crate) struct InitArguments {
    /// The server: `nats://HOST:4222` or `tls://HOST:4222`, several separated by commas [default: that of the profile, else the one of `start`]
    #[arg(value_name = "URL", env = "RWASM_CLUSTER", hide_env = true)]
    pub(crate) url: Option<String>,

    /// On how many servers each task and result is kept: 1, 3 or 5 [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) replicas: Option<usize>,

    /// A lane beside the main one, for engines of another kind
    #[arg(long = "lane", value_name = "NAME", value_delimiter = ',')]
    pub(crate) lanes: Vec<String>,

    /// After how long a task whose engine is silent is given to another [default: 10s; of further lanes that of the main one]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ack_wait: Option<Duration>,

    /// After how long an engine that is silent is taken for lost [default: 15s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) presence: Option<Duration>,

    /// How long tasks, results and large values are kept [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) keep: Option<Duration>,

    /// How much tasks, results and large values may take, each, which is set aside for them [default: what the server has]
    #[arg(long, value_name = "SIZE", value_parser = positive_size)]
    pub(crate) max_bytes: Option<ByteSize>,

    /// Give what is there with other settings these
    #[arg(long)]
    pub(crate) change: bool,

    /// How what was made is shown
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ShownAs,

    #[command(flatten)]
    pub(crate) identity: IdentityOptions,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}
