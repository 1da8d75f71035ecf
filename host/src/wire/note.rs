//! Notes of tasks.

use bytes::Bytes;
use rwasm_sandbox::note::{LogLevel, TaskNote};
use rwasm_value::value::{Malformed, Reader, Writer};
use std::sync::Arc;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const LOG: u8 = 3;
const PROGRESS: u8 = 4;
const PUBLISHED: u8 = 5;

/// Writes a note of the task with this index: its kind, from 1 to 5, the index, and what it says.
pub(crate) fn put_note(task: u64, note: &TaskNote, out: &mut Writer) {
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

/// Reads what follows the kind of a note. `message` is what `from` reads.
pub(crate) fn read_note(
    kind: u8,
    from: &mut Reader<'_>,
    message: &Bytes,
) -> Result<(u64, TaskNote), Malformed> {
    let task = from.u64_leb()?;
    let note = match kind {
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
        _ => return Err(Malformed::BadCase),
    };
    Ok((task, note))
}
