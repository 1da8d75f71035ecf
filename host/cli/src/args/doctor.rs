//! The options of `doctor`.

use super::{Loudness, ShownAs};
use clap::Args;

/// Check which isolation of tasks this machine supports.
#[derive(Args, Debug)]
#[command(
    before_help = "Example:
  rwasm-cluster doctor",
    after_long_help = "Starts a worker process and lists the layers of its isolation, each with what it stops. For a layer that is \
missing or partial, also shows what the machine or the container must allow.\n\n\
Exit codes:
  0   success, whatever is missing
  2   usage error"
)]
pub(crate) struct DoctorArguments {
    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ShownAs,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}
