//! The formats in which tasks and outcomes travel. Pure: bytes to plain data and back.
//!
//! A message is a version byte, a header in JSON (so that fields can be added that older programs ignore), and a body
//! of tasks or outcomes in the primitives of the packed form. Received messages are checked: no length is trusted,
//! and their contents are plain data until an engine has looked at them.

mod note;
mod outcome;
mod task;
#[cfg(test)]
mod tests;

pub(crate) use note::{
    Heard, MOST_CANCELLED, decode_cancelled, decode_heard, encode_cancelled, encode_heard,
};
pub(crate) use outcome::{
    LARGEST_OUTCOMES, OutcomesHead, decode_failed, decode_outcomes, encode_outcomes,
    largest_outcomes,
};
pub(crate) use task::{
    ChunkForm, InputForm, PushedForm, TaskForm, TasksHead, decode_tasks, encode_tasks, frame_tasks,
    largest_tasks,
};

use bytes::Bytes;
use rwasm_value::value::{Malformed, Reader, Writer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first byte of a message; it changes whenever an older program would misread one.
const VERSION: u8 = 2;

/// Headers are small; a larger one is not ours.
const LARGEST_HEAD: usize = 1 << 20;

/// Why a message is not one of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// It was made by another version.
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
    #[error("it has more tasks or arguments than one message may have")]
    TooMany,
    /// It has the outcomes of other tasks as well.
    #[error("it has more outcomes than there are tasks")]
    TooManyOutcomes,
    /// A value in it does not match its type.
    #[error("malformed value: {0}")]
    Value(#[from] rwasm_value::value::PackedError),
}

/// Builds a message from its two parts.
pub(crate) fn frame(head: &impl Serialize, body: &[u8]) -> Bytes {
    let mut out = begin(head, body.len());
    out.put_raw(body);
    out.into_vec().into()
}

/// Begins a message up to its body, with room for that.
fn begin(head: &impl Serialize, body: usize) -> Writer {
    // Heads are of strings, numbers and lists, which always can be written.
    let head = serde_json::to_vec(head).unwrap_or_default();
    let mut out = Writer::with_capacity(body + head.len() + 8);
    out.put_u8(VERSION);
    out.put_bytes(&head);
    out
}

/// Splits a message into its two parts.
pub(crate) fn parse<H: DeserializeOwned>(message: &Bytes) -> Result<(H, Bytes), WireError> {
    let mut from = Reader::new(message);
    let version = from.u8()?;
    if version != VERSION {
        return Err(WireError::Version { found: version });
    }
    let head = from.byte_string()?;
    if head.len() > LARGEST_HEAD {
        return Err(WireError::Head(format!("it has {} bytes", head.len())));
    }
    let head = serde_json::from_slice(head).map_err(|error| WireError::Head(error.to_string()))?;
    let rest = message.len() - from.remaining();
    Ok((head, message.slice(rest..)))
}

/// When that much time has passed; `None` if it is later than the system can say, which is never.
pub(crate) fn from_now(span: Duration) -> Option<SystemTime> {
    SystemTime::now().checked_add(span)
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
