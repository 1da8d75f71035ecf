//! The form in which outcomes and notes travel from engines that are not threads of this process. Pure: bytes to plain data and back.
//! What was received is checked: no length is trusted.

mod note;
mod outcome;

pub(crate) use note::{put_note, read_note};
pub(crate) use outcome::largest_outcomes;
#[cfg(feature = "nats")]
pub(crate) use outcome::{
    LARGEST_OUTCOMES, OutcomesHead, decode_failed, decode_outcomes, encode_outcomes,
};
#[cfg(target_os = "linux")]
pub(crate) use outcome::{decode_outcome, put_outcome};

use rwasm_value::value::Malformed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first byte of a message over NATS; it changes whenever an older program would misread one.
#[cfg(feature = "nats")]
pub(crate) const VERSION: u8 = 2;

/// Why a message is not one of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// It was made by another version.
    #[cfg(feature = "nats")]
    #[error(
        "it has format version {found}, but this program knows version {VERSION}: use one version of rwasm-cluster throughout a cluster"
    )]
    Version { found: u8 },
    /// The header is not JSON, or has invalid fields.
    #[error("malformed header: {0}")]
    Head(String),
    /// The body is truncated or malformed.
    #[error("malformed body: {0}")]
    Body(#[from] Malformed),
    /// It has more tasks or arguments than a message may have.
    #[cfg(feature = "nats")]
    #[error("it has more tasks or arguments than one message may have")]
    TooMany,
    /// It has the outcomes of other tasks as well.
    #[cfg(feature = "nats")]
    #[error("it has more outcomes than there are tasks")]
    TooManyOutcomes,
    /// A value in it does not match its type.
    #[error("malformed value: {0}")]
    Value(#[from] rwasm_value::value::PackedError),
}

/// Microseconds since 1970.
pub(crate) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) fn time(micros: u64) -> SystemTime {
    // What is beyond what the system can say is said to be now.
    UNIX_EPOCH
        .checked_add(Duration::from_micros(micros))
        .unwrap_or_else(SystemTime::now)
}
