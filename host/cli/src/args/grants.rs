//! Options of what a task may reach. The project file cannot set them: it may come from an untrusted project.

use super::values::{parsed, read};
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
    /// For example `--dir ./data::/data:ro`. Without `:ro`, tasks can write to it. HOST alone is granted under the same
    /// path: `--dir .` is `--dir .::.`. The directory must exist. A task cannot leave it by any path or link, and cannot
    /// open pipes or devices in it.
    #[arg(long = "dir", value_name = "HOST::GUEST[:ro]", value_parser = read::<DirGrant>, env = "RWASM_DIR", hide_env = true, action = ArgAction::Append, help_heading = GRANTS)]
    pub(crate) dirs: Vec<DirGrant>,

    /// Grant an environment variable, with its current value by default
    #[arg(long = "env", value_name = "NAME[=VALUE]", action = ArgAction::Append, help_heading = GRANTS)]
    pub(crate) env: Vec<String>,

    /// Grant the variables in FILE, one NAME=VALUE or NAME per line
    ///
    /// Lines starting with # are comments.
    #[arg(long = "env-file", value_name = "FILE", action = ArgAction::Append, hide_short_help = true, help_heading = GRANTS)]
    pub(crate) env_files: Vec<PathBuf>,

    /// Grant a network peer for TCP, UDP, HTTP and name lookup
    ///
    /// The port `*` is any port.
    #[arg(long = "net", value_name = "HOST:PORT", value_parser = read::<NetGrant>, env = "RWASM_NET", hide_env = true, value_delimiter = ',', action = ArgAction::Append, help_heading = GRANTS)]
    pub(crate) net: Vec<NetGrant>,
}

/// What makes the results of tasks reproducible.
#[derive(Args, Debug)]
pub(crate) struct DeterminismOptions {
    /// Clock that tasks read: `precise`, `coarse` (whole milliseconds) or `fixed`
    #[arg(long, default_value = "coarse", value_name = "CLOCK", value_parser = read::<Clock>, env = "RWASM_CLOCK", hide_env = true, hide_short_help = true, help_heading = GRANTS)]
    pub(crate) clock: Clock,

    /// Derive random numbers from N and the task's module, function and input
    #[arg(long, value_name = "N", value_parser = parsed::<u64>("a number such as 42"), env = "RWASM_SEED", hide_env = true, hide_short_help = true, help_heading = GRANTS)]
    pub(crate) seed: Option<u64>,

    /// Give the same result and use the same fuel on every engine and in every run
    ///
    /// The clock starts at the year 2000 and advances only while a task sleeps, which takes no real time.
    /// Random numbers are seeded (with 0, unless --seed is given), and floating-point and SIMD instructions are
    /// deterministic. Fuel rather than time limits computation (30 billion units, unless --fuel is given).
    ///
    /// The result can still change with granted directories and variables, with --seed, --fuel and the limits, and
    /// for a task that asks for the id of its engine. --clock has no effect; --net and --reuse are refused.
    #[arg(long, env = "RWASM_DETERMINISTIC", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, hide_short_help = true, help_heading = GRANTS)]
    pub(crate) deterministic: bool,
}
