//! Notes of running tasks, on their way to whoever listens. Lost notes are not resent: outcomes carry those that are
//! kept.

use super::WireError;
use bytes::Bytes;
use rwasm_sandbox::note::{LogLevel, TaskNote};
use rwasm_value::value::{Malformed, Reader, Writer};
use std::sync::Arc;

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

const BEGUN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const LOG: u8 = 3;
const PROGRESS: u8 = 4;
const PUBLISHED: u8 = 5;
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

fn put_note(task: u64, note: &TaskNote, out: &mut Writer) {
    let mut begin = |tag: u8| {
        out.put_u8(tag);
        out.put_u64_leb(task);
    };
    match note {
        TaskNote::Stdout(bytes) => {
            begin(STDOUT);
            out.put_bytes(bytes);
        }
        TaskNote::Stderr(bytes) => {
            begin(STDERR);
            out.put_bytes(bytes);
        }
        TaskNote::Log { level, message } => {
            begin(LOG);
            out.put_bytes(level.name().as_bytes());
            out.put_bytes(message.as_bytes());
        }
        TaskNote::Progress { done, total } => {
            begin(PROGRESS);
            out.put_u64_leb(*done);
            out.put_bool(total.is_some());
            out.put_u64_leb(total.unwrap_or_default());
        }
        TaskNote::Published { name, bytes } => {
            begin(PUBLISHED);
            out.put_bytes(name.as_bytes());
            out.put_bytes(bytes);
        }
    }
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
    let task = from.u64_leb()?;
    let note = match tag {
        STDOUT => TaskNote::Stdout(message.slice_ref(from.byte_string()?)),
        STDERR => TaskNote::Stderr(message.slice_ref(from.byte_string()?)),
        LOG => {
            let level = from.str()?;
            let mut levels = LogLevel::ALL.into_iter();
            TaskNote::Log {
                level: levels
                    .find(|one| one.name() == level)
                    .ok_or(Malformed::BadCase)?,
                message: from.str()?.to_owned(),
            }
        }
        PROGRESS => {
            let done = from.u64_leb()?;
            let has_total = from.bool()?;
            let total = from.u64_leb()?;
            TaskNote::Progress {
                done,
                total: has_total.then_some(total),
            }
        }
        PUBLISHED => TaskNote::Published {
            name: Arc::from(from.str()?),
            bytes: message.slice_ref(from.byte_string()?),
        },
        _ => return Err(Malformed::BadCase.into()),
    };
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
