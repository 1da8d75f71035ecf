//! The options of the commands on engines of a cluster.

use super::values::{
    BoundaryArgument, OF_ENGINES, duration, parsed, pause, served_lane, tenant_key,
};
use super::{EngineListArguments, IdentityOptions, LabelArgument, Loudness, RemoteOptions};
use clap::{Args, Subcommand};
use rwasm_cluster::join::ServedLane;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// Join, list and drain the engines of a cluster.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster engine join nats://127.0.0.1:4222 -n 4
  rwasm-cluster engine join tls://h:4222 --key engine.key --ca ca.pem
  rwasm-cluster engine list
  rwasm-cluster engine drain 3 --cluster",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct EngineArguments {
    #[command(subcommand)]
    pub(crate) command: EngineCommand,
}

/// What to do with engines.
#[derive(Debug, Subcommand)]
pub(crate) enum EngineCommand {
    /// Join a cluster with engines of this machine and run its tasks until stopped
    Join(Box<JoinArguments>),
    /// List the processes that run engines
    List(Box<EngineListArguments>),
    /// Drain engines: they finish their tasks, take no new ones and leave
    Drain(Box<DrainArguments>),
}

impl EngineCommand {
    pub(crate) fn loudness(&self) -> &Loudness {
        match self {
            Self::Join(join) => &join.loudness,
            Self::List(list) => &list.shown.loudness,
            Self::Drain(drain) => &drain.loudness,
        }
    }
}

/// Drain engines: they finish their tasks, take no new ones and leave.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster engine drain 3 --cluster   an id from `engine list`
  rwasm-cluster engine drain 4 5 --cluster tls://h:4222 --key client.key",
    after_long_help = "A process exits when its last engine has drained. If one of the ids is unknown, no engine drains.\n\n\
Exit codes:
  0    the engines drain
  2    usage error, or an unknown engine
  13   there is no cluster, it does not answer, or the key lacks the permission
  14   a file cannot be read"
)]
pub(crate) struct DrainArguments {
    /// Ids of the engines
    #[arg(value_name = "ID", value_parser = parsed::<u32>("the id of an engine such as 0"), required = true)]
    pub(crate) ids: Vec<u32>,

    #[command(flatten)]
    pub(crate) remote: RemoteOptions,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Join a cluster with engines of this machine and run its tasks until stopped.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster engine join nats://127.0.0.1:4222 -n 4
  rwasm-cluster engine join tls://h:4222 --key engine.key --ca ca.pem
  rwasm-cluster engine join --profile big --policy policy.toml
  rwasm-cluster engine join tls://h:4222 --tenant red.key=3 --tenant blue.key
  # In a batch job:
  rwasm-cluster engine join $URL --exit-when-idle 10m --drain-timeout 2m",
    after_long_help = "SIGTERM or Ctrl-C drains: the engines take no new tasks, running tasks finish within --drain-timeout, \
and the rest goes back to the cluster. A second signal ends the process at once; its tasks go to other engines once its \
silence is noticed. If the server goes away, the engines wait for it and rejoin under the same ids.\n\n\
By default tasks get no access to this machine, whatever their job asks for. A policy file allows it:

  dirs = [\"/data:ro\", \"/scratch\"]      directories, including their contents
  net = [\"db.example.org:5432\"]          network peers
  env = [\"REGION\", \"APP_*\"]            variables, whose values come with the job
  precise_clock = true
  [limits]                               upper limits for jobs
  memory = \"1GiB\"
  time = \"10m\"

Grants, warnings and refusals are logged to stderr, one line each; -q logs only warnings and errors, -v logs more.\n\n\
Exit codes:
  0    drained, or idle for --exit-when-idle
  2    usage error, or an invalid policy
  13   the cluster could not be joined
  14   the policy or a key cannot be read, or the ready file cannot be written"
)]
pub(crate) struct JoinArguments {
    /// URL of the cluster [default: the cluster of the profile]
    ///
    /// A URL has the form `nats://HOST:4222` or `tls://HOST:4222`; separate several servers with commas. By
    /// default, join the cluster at the URL of the profile, or else the one that `rwasm-cluster start` started.
    #[arg(value_name = "URL", env = "RWASM_CLUSTER", hide_env = true)]
    pub(crate) url: Option<String>,

    /// Number of engines [default: the available cores]
    #[arg(
        short = 'n',
        long,
        visible_short_alias = 'j',
        value_name = "N", value_parser = parsed::<u32>(OF_ENGINES),
        env = "RWASM_ENGINES",
        hide_env = true
    )]
    pub(crate) engines: Option<u32>,

    #[command(flatten)]
    pub(crate) identity: IdentityOptions,

    /// Key of a tenant to serve; repeat for more, in place of --key
    ///
    /// Tenants have an account each on the server (see `server-config --tenant`) and see nothing of each other. They
    /// share the engine time by weight, as in `--tenant a.key=3 --tenant b.key=1`: each gets its part as long as it has
    /// tasks. The weight is 1 by default. A tenant whose cluster is not set up yet is tried again every 30 seconds.
    #[arg(long = "tenant", value_name = "FILE[=WEIGHT]", value_parser = tenant_key, conflicts_with = "tethered")]
    pub(crate) tenants: Vec<(PathBuf, NonZeroU32)>,

    /// Lane to serve; repeat for more [default: main]
    ///
    /// The first lane has priority. With a weight for each, as in `--lane a=3 --lane b=1`, lanes share the engine
    /// time: each gets its part as long as it has tasks. Lanes of several tenants have no weights.
    #[arg(long = "lane", value_name = "NAME[=WEIGHT]", value_parser = served_lane)]
    pub(crate) lanes: Vec<ServedLane>,

    /// Label of these engines; repeat for more
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<LabelArgument>,

    /// Policy file that limits the access of tasks [default: no access]
    #[arg(long, value_name = "FILE", env = "RWASM_POLICY_FILE", hide_env = true)]
    pub(crate) policy: Option<PathBuf>,

    /// Isolation of tasks in addition to the sandbox; a policy may require more
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "BOUNDARY",
        env = "RWASM_BOUNDARY",
        hide_env = true
    )]
    pub(crate) boundary: BoundaryArgument,

    /// Directory of cached modules [default: the user's cache directory]
    #[arg(long, value_name = "DIR", env = "RWASM_CACHE_DIR", hide_env = true)]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Time for running tasks to finish when draining
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = pause)]
    pub(crate) drain_timeout: Duration,

    /// Exit after being idle this long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) exit_when_idle: Option<Duration>,

    /// Serve /healthz, /readyz and /metrics over HTTP
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parsed::<SocketAddr>("an address and a port such as 127.0.0.1:8080"))]
    pub(crate) health: Option<SocketAddr>,

    /// Serve a page on this machine that shows what these engines run, and print its address to stderr
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0", value_name = "ADDR", value_parser = parsed::<SocketAddr>("an address such as 127.0.0.1:8080"))]
    pub(crate) dashboard: Option<SocketAddr>,

    /// Write the ids of the engines to FILE once they have joined
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) ready_file: Option<PathBuf>,

    /// Take the key from stdin, and drain when stdin ends: for whoever starts this on another machine
    #[arg(long, hide = true, conflicts_with = "key")]
    pub(crate) tethered: bool,

    /// The file that stderr is appended to, to be kept short: for whoever starts this in the background
    #[arg(long, hide = true, value_name = "FILE")]
    pub(crate) stderr_log: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}
