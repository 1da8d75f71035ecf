//! The options of `doctor`.

use super::{Loudness, ShownAs};
use clap::Args;

/// Show what this machine gives to keep tasks apart from the program.
#[derive(Args, Debug)]
#[command(
    before_help = "Example:
  rwasm-cluster doctor",
    after_long_help = "A process for tasks is started, gives up what it can, and is asked what that was. Each layer is shown \
with what it would stop; one that is missing or stands in part, with what the machine or the container must allow for it.\n\n\
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
