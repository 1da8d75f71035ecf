//! The options of the commands on the cache of compiled code.

use super::{Loudness, ShownAs};
use clap::{Args, Subcommand};
use rwasm_cluster::ByteSize;
use std::time::Duration;

/// Show or prune the cache of compiled modules.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster cache info                     location and size
  rwasm-cluster cache prune                    shrink to the size limit
  rwasm-cluster cache prune --older-than 30d   remove old files too
  rwasm-cluster cache prune --all              empty the cache",
    after_long_help = "The cache is the directory rwasm-cluster/compiled in the user's cache directory, or \
RWASM_CACHE_DIR; an empty RWASM_CACHE_DIR turns it off. Its size limit is 1GiB, or RWASM_CACHE_SIZE; the least recently \
used files are removed first.\n\n\
Exit codes:
  0    success, even if there is no cache
  2    usage error
  14   the cache cannot be read, or others can write to it",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct CacheArguments {
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
}

/// What to do with the cache.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show the location, size and size limit of the cache
    Info(InfoArguments),
    /// Remove damaged, unfinished and excess files
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

/// Show the location, size and size limit of the cache.
#[derive(Args, Debug)]
#[command(before_help = "Example:\n  rwasm-cluster cache info --format json")]
pub(crate) struct InfoArguments {
    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ShownAs,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Remove damaged, unfinished and excess files.
#[derive(Args, Debug)]
#[command(before_help = "Examples:
  rwasm-cluster cache prune --max-size 100MiB   keep recently used files
  rwasm-cluster cache prune --older-than 30d    remove old files")]
pub(crate) struct PruneArguments {
    /// Remove all files
    #[arg(long, conflicts_with_all = ["max_size", "older_than"])]
    pub(crate) all: bool,

    /// Remove the least recently used files until at most SIZE is left
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<ByteSize>,

    /// Remove files that have been unused for longer than TIME
    #[arg(long, value_name = "TIME", value_parser = super::values::pause)]
    pub(crate) older_than: Option<Duration>,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}
