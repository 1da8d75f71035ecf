//! The options of the commands on engines of a cluster.

use super::remote::name;
use super::values::{duration, pause};
use super::{EngineListArguments, IdentityOptions, LabelArgument, Loudness, RemoteOptions};
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Engines of a cluster.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster engine join nats://127.0.0.1:4222 -n 4
  rwasm-cluster engine join tls://queue.example.org:4222 --key engine.key --ca ca.pem --policy policy.toml
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
    /// Join a cluster with engines of this machine, and run its tasks until told to go
    Join(Box<JoinArguments>),
    /// List the processes with engines: where they run and what they do
    List(Box<EngineListArguments>),
    /// Let engines go: each takes nothing more and ends when it is through, its process with the last
    Drain(Box<DrainArguments>),
}

impl EngineCommand {
    pub(crate) fn loudness(&self) -> &Loudness {
        match self {
            Self::Join(join) => &join.loudness,
            Self::List(list) => &list.loudness,
            Self::Drain(drain) => &drain.loudness,
        }
    }
}

/// Let engines of a cluster go.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster engine drain 3 --cluster             an engine, as `engine list` names it
  rwasm-cluster engine drain 4 5 6 7 --cluster tls://queue.example.org:4222 --key client.key --ca ca.pem",
    after_long_help = "Where one of them is not there, all stay.\n\n\
Exit codes: 0 they take nothing more; 2 usage, or there is no such engine; 13 there is no cluster, it does not answer, or the \
key may not do it; 14 where a file cannot be read."
)]
pub(crate) struct DrainArguments {
    /// The engines, by their ids
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<u32>,

    #[command(flatten)]
    pub(crate) remote: RemoteOptions,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Join a cluster with engines of this machine.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster engine join nats://127.0.0.1:4222 -n 4
  rwasm-cluster engine join tls://queue.example.org:4222 --key engine.key --ca ca.pem --policy policy.toml
  rwasm-cluster engine join --profile big                                    the cluster that the profile names
  rwasm-cluster engine join $URL --exit-when-idle 10m --drain-timeout 2m     in a batch job",
    after_long_help = "SIGTERM or Ctrl-C drains: nothing more is taken, running tasks finish within --drain-timeout, the rest \
goes back to the cluster for others. A second signal ends the process at once; what it had is given to others when it was \
silent for long enough. A server that goes away is waited for, and the engines are there again under the same ids.\n\n\
Tasks are granted nothing here, whatever their job asks for, unless the policy file allows it:\n\n\
  dirs = [\"/data:ro\", \"/scratch\"]      directories with all that is in them\n\
  net = [\"db.example.org:5432\"]          peers\n\
  env = [\"REGION\", \"APP_*\"]            variables, whose values come with the job\n\
  precise_clock = true\n\
  [limits]                               the most that jobs may ask for\n\
  memory = \"1GiB\"\n\
  time = \"10m\"\n\n\
What it grants, warns of and refuses is logged to stderr, a line each; -q leaves only what is wrong, -v says more.\n\n\
Exit codes: 0 drained or idle for long enough, 2 usage or a policy that is none, 13 the cluster could not be joined, 14 the \
policy or a key cannot be read, or the ready file not be written."
)]
pub(crate) struct JoinArguments {
    /// The cluster: `nats://HOST:4222` or `tls://HOST:4222`, several with commas [default: that of the profile, else the one of `start`]
    #[arg(value_name = "URL", env = "RWASM_CLUSTER", hide_env = true)]
    pub(crate) url: Option<String>,

    /// Number of engines [default: the cores this process may use]
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        env = "RWASM_ENGINES",
        hide_env = true
    )]
    pub(crate) engines: Option<u32>,

    #[command(flatten)]
    pub(crate) identity: IdentityOptions,

    /// A lane whose tasks are taken, again for more: the first named goes first [default: main]
    #[arg(long = "lane", value_name = "NAME", value_parser = name)]
    pub(crate) lanes: Vec<String>,

    /// Something to tell of these engines, again for more
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<LabelArgument>,

    /// What tasks may be granted here at most [default: nothing]
    #[arg(long, value_name = "FILE", env = "RWASM_POLICY_FILE", hide_env = true)]
    pub(crate) policy: Option<PathBuf>,

    /// Where modules and compiled code are kept [default: the user's cache directory]
    #[arg(long, value_name = "DIR", env = "RWASM_CACHE_DIR", hide_env = true)]
    pub(crate) cache_dir: Option<PathBuf>,

    /// How long running tasks are given to end when told to go
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = pause)]
    pub(crate) drain_timeout: Duration,

    /// Go when there was nothing to do for so long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) exit_when_idle: Option<Duration>,

    /// Answer there by HTTP: /healthz, /readyz, /metrics
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) health: Option<SocketAddr>,

    /// Write the ids of the engines to FILE when the cluster knows them
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) ready_file: Option<PathBuf>,

    /// Take the key from stdin, and drain when stdin ends: for whoever starts this on another machine
    #[arg(long, hide = true, conflicts_with = "key")]
    pub(crate) tethered: bool,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}
