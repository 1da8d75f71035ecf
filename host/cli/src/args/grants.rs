//! Options of what a task may reach. The project file cannot set them: it comes with what is run.

use super::values::parsed;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use rwasm_cluster::{Clock, DirGrant, NetGrant};
use std::path::PathBuf;

const GRANTS: &str = "Access granted to tasks";

/// What tasks are granted.
#[derive(Args, Debug)]
pub(crate) struct GrantOptions {
    /// Grant a directory under its guest path; `:ro` makes it read-only
    ///
    /// For example `--dir ./data::/data:ro`. The directory must exist. A task cannot leave it by any path
    /// or link, and cannot open pipes or devices in it.
    #[arg(long = "dir", value_name = "HOST::GUEST[:ro]", env = "RWASM_DIR", hide_env = true, action = ArgAction::Append, help_heading = GRANTS)]
    pub(crate) dirs: Vec<DirGrant>,

    /// Grant an environment variable, with its current value by default
    #[arg(long = "env", value_name = "NAME[=VALUE]", action = ArgAction::Append, help_heading = GRANTS)]
    pub(crate) env: Vec<String>,

    /// Grant the variables in FILE, one NAME=VALUE or NAME per line
    ///
    /// Lines starting with # are comments.
    #[arg(long = "env-file", value_name = "FILE", action = ArgAction::Append, hide_short_help = true, help_heading = GRANTS)]
    pub(crate) env_files: Vec<PathBuf>,

    /// Grant a network peer for TCP, UDP and name lookup
    ///
    /// The port `*` is any port.
    #[arg(long = "net", value_name = "HOST:PORT", env = "RWASM_NET", hide_env = true, value_delimiter = ',', action = ArgAction::Append, help_heading = GRANTS)]
    pub(crate) net: Vec<NetGrant>,
}

/// What makes the results of tasks reproducible.
#[derive(Args, Debug)]
pub(crate) struct DeterminismOptions {
    /// Clock that tasks read: `precise`, `coarse` (whole milliseconds) or `fixed`
    #[arg(long, default_value = "coarse", value_name = "CLOCK", env = "RWASM_CLOCK", hide_env = true, hide_short_help = true, help_heading = GRANTS)]
    pub(crate) clock: Clock,

    /// Derive random numbers from N and the task's module, function and input
    #[arg(long, value_name = "N", value_parser = parsed::<u64>("a number such as 42"), env = "RWASM_SEED", hide_env = true, hide_short_help = true, help_heading = GRANTS)]
    pub(crate) seed: Option<u64>,

    /// Give the same result and use the same fuel on every engine and in every run
    ///
    /// The clock starts at the year 2000 and advances only while a task sleeps, which takes no real time.
    /// Random numbers are seeded (with 0, unless --seed is given), and floating-point and SIMD instructions have
    /// one result each. Fuel limits computation (30 billion units, unless --fuel is given), not time.
    #[arg(long, env = "RWASM_DETERMINISTIC", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, hide_short_help = true, help_heading = GRANTS)]
    pub(crate) deterministic: bool,
}
