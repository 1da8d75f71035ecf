//! The options of the commands on the cache of compiled code.

use super::{Loudness, ShownAs};
use clap::{Args, Subcommand};
use rwasm_cluster::ByteSize;
use std::time::Duration;

/// Compiled code that is kept for the next start.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster cache info                        where it is, what it takes
  rwasm-cluster cache prune                       remove what is damaged or beyond its bound
  rwasm-cluster cache prune --older-than 30d      and what was not used for a month
  rwasm-cluster cache prune --all                 empty it",
    after_long_help = "It is in rwasm-cluster/compiled of the user's cache directory, or in RWASM_CACHE_DIR; set to \
nothing, none is kept. Its bound is 1GiB, or RWASM_CACHE_SIZE: what was used longest ago goes first.\n\n\
Exit codes: 0 all well, also where there is none; 2 usage; 14 where it cannot be read, or is open to others.",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct CacheArguments {
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
}

/// What to do with compiled code.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show where it is, what it takes and may take
    Info(InfoArguments),
    /// Remove what is damaged, left over, or beyond its bound, and what else is asked for
    Prune(PruneArguments),
}

impl CacheCommand {
    pub(crate) fn loudness(&self) -> &Loudness {
        match self {
            Self::Info(info) => &info.loudness,
            Self::Prune(prune) => &prune.loudness,
        }
    }
}

/// Show where it is, what it takes and may take.
#[derive(Args, Debug)]
#[command(before_help = "Example:\n  rwasm-cluster cache info --format json")]
pub(crate) struct InfoArguments {
    /// How it is shown
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ShownAs,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Remove what is damaged, left over, or beyond its bound, and what else is asked for.
#[derive(Args, Debug)]
#[command(before_help = "Examples:
  rwasm-cluster cache prune --max-size 100MiB     keep what was used last
  rwasm-cluster cache prune --older-than 30d      remove what was not used for a month")]
pub(crate) struct PruneArguments {
    /// Everything
    #[arg(long, conflicts_with_all = ["max_size", "older_than"])]
    pub(crate) all: bool,

    /// What was used longest ago, until no more than this is left
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<ByteSize>,

    /// What was not used for so long
    #[arg(long, value_name = "TIME", value_parser = super::values::pause)]
    pub(crate) older_than: Option<Duration>,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}
