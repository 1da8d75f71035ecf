//! The options by which a command says which cluster it talks to, and who it is there.

use super::values::profile;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use std::path::PathBuf;
use std::str::FromStr;

const CLUSTER: &str = "Cluster";

/// Options of every command that can use a cluster.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RemoteOptions {
    /// Use the cluster at URL, or else the running one
    ///
    /// A URL has the form `nats://HOST:4222` or `tls://HOST:4222`; separate several servers with commas. The
    /// running cluster is the one that `rwasm-cluster start` started, or the one at the URL of the profile.
    /// Without a URL, put --cluster last or write --cluster=running. --cluster=local runs tasks in this process
    /// and overrides the environment and the profile.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "running", env = "RWASM_CLUSTER", hide_env = true, help_heading = CLUSTER)]
    pub(crate) cluster: Option<ClusterArgument>,

    /// Whether a job's command had it on the command line.
    #[arg(skip)]
    pub(crate) is_typed: bool,

    #[command(flatten)]
    pub(crate) identity: IdentityOptions,
}

/// Who we are at a cluster, and whom we believe.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct IdentityOptions {
    /// Profile with the settings of the cluster [default: default]
    #[arg(long, value_name = "NAME", value_parser = profile, env = "RWASM_PROFILE", hide_env = true, help_heading = CLUSTER)]
    pub(crate) profile: Option<String>,

    /// Key of your role, created by `rwasm-cluster keys`
    #[arg(long, value_name = "FILE", env = "RWASM_KEY", hide_env = true, help_heading = CLUSTER)]
    pub(crate) key: Option<PathBuf>,

    /// Authority of the server's certificate, if the system does not trust it
    #[arg(long, value_name = "FILE", env = "RWASM_CA", hide_env = true, help_heading = CLUSTER)]
    pub(crate) ca: Option<PathBuf>,

    /// Client certificate, if the server requires one
    #[arg(long, value_name = "FILE", env = "RWASM_CERT", hide_env = true, hide_short_help = true, help_heading = CLUSTER)]
    pub(crate) cert: Option<PathBuf>,

    /// Private key of the client certificate
    #[arg(long, value_name = "FILE", env = "RWASM_CERT_KEY", hide_env = true, hide_short_help = true, help_heading = CLUSTER)]
    pub(crate) cert_key: Option<PathBuf>,

    /// Allow unencrypted connections to other machines
    #[arg(long, env = "RWASM_ALLOW_PLAIN", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, hide_short_help = true, help_heading = CLUSTER)]
    pub(crate) allow_plain: bool,
}

/// Which cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClusterArgument {
    /// None: engines of this process.
    Local,
    /// The one that runs here, or that the profile names.
    Running,
    /// The one with servers at these addresses.
    Url(String),
}

impl FromStr for ClusterArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            // As an empty variable of the environment says.
            "" | "local" => Ok(Self::Local),
            "running" => Ok(Self::Running),
            url if url.contains("://") => Ok(Self::Url(url.to_owned())),
            _ => Err(
                "expected nats://HOST:PORT or tls://HOST:PORT, or --cluster=running for the \
                 running cluster"
                    .to_owned(),
            ),
        }
    }
}
