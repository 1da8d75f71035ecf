//! Options of what a task may reach. The project file cannot set them: it comes with what is run.

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use rwasm_cluster::{Clock, DirGrant, NetGrant};
use std::path::PathBuf;

const GRANTS: &str = "What tasks may reach";

/// What tasks are granted.
#[derive(Args, Debug)]
pub(crate) struct GrantOptions {
    /// Grant a directory, by its name here and in the guest; `:ro` behind it makes it read-only
    ///
    /// For example `--dir ./data::/data:ro`. It must be there, and a task cannot leave it by any path or
    /// link; pipes and devices in it are not opened.
    #[arg(long = "dir", value_name = "HOST::GUEST[:ro]", env = "RWASM_DIR", hide_env = true, action = ArgAction::Append, help_heading = GRANTS)]
    pub(crate) dirs: Vec<DirGrant>,

    /// Grant a variable of the environment; without a value, the one it has here
    #[arg(long = "env", value_name = "NAME[=VALUE]", action = ArgAction::Append, help_heading = GRANTS)]
    pub(crate) env: Vec<String>,

    /// Grant the variables in a file, NAME=VALUE or NAME on a line; lines that begin with # say nothing
    #[arg(long = "env-file", value_name = "FILE", action = ArgAction::Append, hide_short_help = true, help_heading = GRANTS)]
    pub(crate) env_files: Vec<PathBuf>,

    /// Grant a peer on the network, for TCP, UDP and the look-up of its name; `*` is any port
    #[arg(long = "net", value_name = "HOST:PORT", env = "RWASM_NET", hide_env = true, value_delimiter = ',', action = ArgAction::Append, help_heading = GRANTS)]
    pub(crate) net: Vec<NetGrant>,
}

/// What makes tasks come to the same each time.
#[derive(Args, Debug)]
pub(crate) struct DeterminismOptions {
    /// The clock tasks read: `precise`, `coarse` (whole milliseconds) or `fixed`
    #[arg(long, default_value = "coarse", value_name = "CLOCK", env = "RWASM_CLOCK", hide_env = true, hide_short_help = true, help_heading = GRANTS)]
    pub(crate) clock: Clock,

    /// Random numbers that follow from N and the task's module, function and input
    #[arg(long, value_name = "N", env = "RWASM_SEED", hide_env = true, hide_short_help = true, help_heading = GRANTS)]
    pub(crate) seed: Option<u64>,

    /// The same outcome and the same fuel on every engine and every run
    ///
    /// The clock begins with the year 2000 and goes on only while a task sleeps, which takes no time;
    /// random numbers are seeded (with 0, unless --seed says otherwise), floating point and SIMD have one result each, and
    /// fuel is what bounds computing (30 thousand million, unless --fuel says otherwise), not time.
    #[arg(long, env = "RWASM_DETERMINISTIC", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, hide_short_help = true, help_heading = GRANTS)]
    pub(crate) deterministic: bool,
}
