//! The formats in which tasks and outcomes travel. Pure: bytes to plain data and back.
//!
//! A message is a version byte, a header in JSON (so that fields can be added that older programs ignore), and a body
//! of tasks or outcomes in the primitives of the packed form. Received messages are checked: no length is trusted,
//! and their contents are plain data until an engine has looked at them.

mod note;
mod task;
#[cfg(test)]
mod tests;

pub(crate) use crate::wire::{
    LARGEST_OUTCOMES, OutcomesHead, VERSION, WireError, decode_failed, decode_outcomes,
    encode_outcomes, largest_outcomes, micros, time,
};
pub(crate) use note::{
    Heard, MOST_CANCELLED, decode_cancelled, decode_heard, encode_cancelled, encode_heard,
};
pub(crate) use task::{
    ChunkForm, InputForm, PushedForm, TaskForm, TasksHead, decode_tasks, decoded, encode_tasks,
    frame_tasks, largest_tasks, most_decoded,
};

use bytes::Bytes;
use rwasm_value::value::{Reader, Writer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::{Duration, SystemTime};

/// Headers are small; a larger one is not ours.
const LARGEST_HEAD: usize = 1 << 20;

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
