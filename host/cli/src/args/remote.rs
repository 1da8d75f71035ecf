//! The options by which a command says which cluster it talks to, and who it is there.

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use std::path::PathBuf;
use std::str::FromStr;

const CLUSTER: &str = "Cluster";

/// Options of every command that can use a cluster.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RemoteOptions {
    /// Use a cluster, at `nats://HOST:4222` or `tls://HOST:4222`; without a URL the running one
    ///
    /// Several servers of a cluster are written with commas. The running one is that which `rwasm-cluster start` has started, or the URL of the profile.
    /// Without a URL it stands last, or is written --cluster=running; --cluster=local runs in this
    /// process whatever the environment, rwasm.toml and the profile say.
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
    /// The profile: its settings, and which of the clusters on this machine is meant [default: default]
    #[arg(long, value_name = "NAME", value_parser = name, env = "RWASM_PROFILE", hide_env = true, help_heading = CLUSTER)]
    pub(crate) profile: Option<String>,

    /// The key of our role there, as `rwasm-cluster keys` makes it
    #[arg(long, value_name = "FILE", env = "RWASM_KEY", hide_env = true, help_heading = CLUSTER)]
    pub(crate) key: Option<PathBuf>,

    /// The certificate of the authority that signed the server's, beside those the system trusts
    #[arg(long, value_name = "FILE", env = "RWASM_CA", hide_env = true, help_heading = CLUSTER)]
    pub(crate) ca: Option<PathBuf>,

    /// Our certificate, where the server wants one
    #[arg(long, value_name = "FILE", env = "RWASM_CERT", hide_env = true, hide_short_help = true, help_heading = CLUSTER)]
    pub(crate) cert: Option<PathBuf>,

    /// The key of our certificate
    #[arg(long, value_name = "FILE", env = "RWASM_CERT_KEY", hide_env = true, hide_short_help = true, help_heading = CLUSTER)]
    pub(crate) cert_key: Option<PathBuf>,

    /// Let a connection that is not encrypted leave this machine
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
                "no URL of a cluster: write nats://HOST:PORT or tls://HOST:PORT; without a URL --cluster stands last, \
                 or is written --cluster=running"
                    .to_owned(),
            ),
        }
    }
}

/// A name that can be a file's, on any system.
pub(super) fn name(text: &str) -> Result<String, String> {
    const LONGEST: usize = 64;
    let fits = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    if text.is_empty() || text.len() > LONGEST || !text.chars().all(fits) {
        return Err(format!(
            "a name has 1 to {LONGEST} letters, digits, `-` and `_`"
        ));
    }
    Ok(text.to_owned())
}
