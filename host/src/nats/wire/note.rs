//! Notes of running tasks, on their way to whoever listens. Lost notes are not resent: outcomes carry those that are
//! kept.

use super::WireError;
use crate::wire::{put_note, read_note};
use bytes::Bytes;
use rwasm_sandbox::note::TaskNote;
use rwasm_value::value::{Reader, Writer};

/// Something heard of the tasks of a message, which is identified by its number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// An engine has begun them.
    Begun,
    /// Their module is being compiled, after this many others.
    Compiling(u32),
    /// A note of a task, which is identified by its index.
    Note(u64, TaskNote),
}

// Those between are the kinds of notes.
const BEGUN: u8 = 0;
const COMPILING: u8 = 6;

pub(crate) fn encode_heard(number: &str, heard: &Heard) -> Bytes {
    let mut out = Writer::default();
    out.put_bytes(number.as_bytes());
    match heard {
        Heard::Begun => out.put_u8(BEGUN),
        Heard::Compiling(before) => {
            out.put_u8(COMPILING);
            out.put_u64_leb((*before).into());
        }
        Heard::Note(task, note) => put_note(*task, note, &mut out),
    }
    out.into_vec().into()
}

pub(crate) fn decode_heard(message: &Bytes) -> Result<(String, Heard), WireError> {
    let mut from = Reader::new(message);
    let number = from.str()?.to_owned();
    let tag = from.u8()?;
    if tag == BEGUN {
        return Ok((number, Heard::Begun));
    }
    if tag == COMPILING {
        return Ok((number, Heard::Compiling(from.u32_leb()?)));
    }
    let (task, note) = read_note(tag, &mut from, message)?;
    Ok((number, Heard::Note(task, note)))
}

/// Names of cancelled messages that are sent together, at most.
pub(crate) const MOST_CANCELLED: usize = 4096;

/// The cancelled messages of a job; an empty list stands for all of them.
pub(crate) fn encode_cancelled(numbers: &[String]) -> Bytes {
    let mut out = Writer::default();
    out.put_len(numbers.len());
    for number in numbers {
        out.put_bytes(number.as_bytes());
    }
    out.into_vec().into()
}

pub(crate) fn decode_cancelled(message: &[u8]) -> Result<Vec<String>, WireError> {
    let mut from = Reader::new(message);
    let mut numbers = Vec::new();
    let count = from.count(1)?;
    if count > MOST_CANCELLED {
        return Err(WireError::TooMany);
    }
    for _ in 0..count {
        numbers.push(from.str()?.to_owned());
    }
    Ok(numbers)
}
