//! Tasks on their way to an engine.

use super::WireError;
use crate::job::MOST_TASKS;
use bytes::Bytes;
use rwasm_sandbox::limits::Limits;
use rwasm_value::value::{Packed, Reader, Writer};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What the tasks of a message have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TasksHead {
    /// The module's SHA-256, its size in bytes, and its name in errors.
    pub(crate) module: String,
    pub(crate) size: u64,
    pub(crate) name: String,
    /// The function's full name; `None` for a WASI command.
    pub(crate) function: Option<String>,
    /// Whether it reduces results.
    #[serde(default)]
    pub(crate) reduces: bool,
    pub(crate) limits: Limits,
    /// The grants, in the form of the command line's options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dirs: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) env: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) net: Vec<String>,
    pub(crate) clock: String,
    /// The seed of its random numbers, unless they come from the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    #[serde(default)]
    pub(crate) deterministic: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) arguments: Vec<String>,
    /// Exit codes with which a WASI command succeeds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ok_exit: Vec<u32>,
    /// How long an instance lives, and its owner if it outlives the message.
    pub(crate) reuse: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    /// The engine that is to run them, if one was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<u32>,
    /// The number of engines of the cluster, for guests that ask.
    pub(crate) engines: u32,
    /// When they were submitted, in microseconds since 1970.
    pub(crate) queued: u64,
    /// The deadline of the job, in microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<u64>,
    /// How many engines they may be given to if each is lost with them.
    pub(crate) deliveries: u32,
    /// Whether somebody listens to the notes of the tasks.
    #[serde(default)]
    pub(crate) listens: bool,
    /// The values pushed to the engines that may run them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pushed: Vec<PushedForm>,
    /// The object that holds the body, if that is too large for the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
}

/// A value pushed to an engine under a name: the object that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PushedForm {
    pub(crate) engine: u32,
    pub(crate) name: String,
    pub(crate) object: String,
}

/// A value in a message: one of this process, or the wire form that was received.
pub(crate) trait WireValue {
    fn wire_len(&self) -> usize;

    fn put(&self, out: &mut Writer);
}

impl WireValue for Bytes {
    fn wire_len(&self) -> usize {
        self.len()
    }

    fn put(&self, out: &mut Writer) {
        out.put_raw(self);
    }
}

impl WireValue for &Packed {
    fn wire_len(&self) -> usize {
        Packed::wire_len(self)
    }

    fn put(&self, out: &mut Writer) {
        self.put_wire(out);
    }
}

/// One task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TaskForm<V = Bytes> {
    pub(crate) index: u64,
    pub(crate) attempt: u32,
    /// When its time in the queue ends, in microseconds since 1970; 0 for never.
    pub(crate) start_by: u64,
    pub(crate) input: InputForm<V>,
}

/// The input of a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum InputForm<V = Bytes> {
    /// One value for each parameter.
    Values(Vec<V>),
    /// The elements of the one list that the function takes.
    Parts(Vec<V>),
    /// A chunk of an input.
    Chunk {
        source: String,
        number: u64,
        position: u64,
        range: Range<u64>,
        data: ChunkForm,
    },
    /// Values, or the names under which they were pushed.
    Named(Vec<Result<V, String>>),
    /// It cannot be called: the failure's code and text, and whether its input could not be read.
    Refused {
        code: String,
        message: String,
        is_input_error: bool,
    },
}

/// Where the bytes of a chunk are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChunkForm {
    Inline(Bytes),
    Object(String),
}

const VALUES: u8 = 0;
const PARTS: u8 = 1;
const CHUNK: u8 = 2;
const CHUNK_OBJECT: u8 = 3;
const NAMED: u8 = 4;
const REFUSED: u8 = 5;

/// The least number of bytes of a task, against which counts are checked.
const LEAST: usize = 4;

/// The most memory that the parts of one message's tasks take beside their bytes. A task of five bytes becomes hundreds,
/// and a message is not trusted for how many it has; what clients send stays far below.
const MOST_PARTS: usize = 32 << 20;

/// Upper bound for the tasks of one message, in bytes as they travel. Clients send several tasks together only if they are
/// small: what is larger than a message is the input of one task.
pub(crate) fn largest_tasks(limits: &Limits) -> u64 {
    const BESIDE_INPUT: u64 = 1 << 20;
    limits.input.bytes().saturating_add(BESIDE_INPUT)
}

/// The memory that a body of tasks becomes at most, with `each` for a task beside its form, in bytes: what is to be charged
/// before it is decoded.
pub(crate) fn most_decoded(body: &Bytes, each: usize) -> u64 {
    let count = Reader::new(body).count(LEAST).unwrap_or(0).min(MOST_TASKS);
    let parts = body
        .len()
        .saturating_mul(size_of::<Bytes>())
        .min(MOST_PARTS);
    (count.saturating_mul(size_of::<TaskForm>() + each) + parts) as u64
}

/// The memory that decoded tasks take, with `each` for a task beside its form, in bytes.
pub(crate) fn decoded(tasks: &[TaskForm], each: usize) -> u64 {
    let parts = |task: &TaskForm| match &task.input {
        InputForm::Values(values) | InputForm::Parts(values) => values.len() * size_of::<Bytes>(),
        InputForm::Named(values) => values.len() * size_of::<Result<Bytes, String>>(),
        InputForm::Chunk { source, .. } => source.len(),
        InputForm::Refused { code, message, .. } => code.len() + message.len(),
    };
    let parts: usize = tasks.iter().map(parts).sum();
    (tasks.len() * (size_of::<TaskForm>() + each) + parts) as u64
}

/// What is left of the memory for the parts of a message.
struct Room(usize);

impl Room {
    /// Takes the memory for this many parts of a kind.
    fn take<T>(&mut self, count: usize) -> Result<(), WireError> {
        let left = count
            .checked_mul(size_of::<T>())
            .and_then(|bytes| self.0.checked_sub(bytes));
        self.0 = left.ok_or(WireError::TooMany)?;
        Ok(())
    }
}

/// Encodes the body of a message of tasks.
pub(crate) fn encode_tasks<V: WireValue>(tasks: &[TaskForm<V>]) -> Vec<u8> {
    let mut out = Writer::default();
    put_tasks(tasks, &mut out);
    out.into_vec()
}

/// Encodes a message of tasks, or its body alone if that is larger than `most` and travels in another way.
pub(crate) fn frame_tasks<V: WireValue>(
    head: &TasksHead,
    tasks: &[TaskForm<V>],
    most: usize,
) -> Result<Bytes, Bytes> {
    let about: usize = tasks.iter().map(|task| LEAST_LEN + task.input.len()).sum();
    let mut out = super::begin(head, about);
    let begin = out.len();
    put_tasks(tasks, &mut out);
    let message = Bytes::from(out.into_vec());
    if message.len() - begin <= most {
        Ok(message)
    } else {
        Err(message.slice(begin..))
    }
}

/// The approximate number of bytes of a task's numbers.
const LEAST_LEN: usize = 24;

impl<V: WireValue> InputForm<V> {
    /// The approximate number of bytes of its contents.
    fn len(&self) -> usize {
        const EACH: usize = 5;
        let all = |values: &[V]| -> usize { values.iter().map(|one| EACH + one.wire_len()).sum() };
        match self {
            Self::Values(values) | Self::Parts(values) => all(values),
            Self::Chunk { source, data, .. } => {
                let data = match data {
                    ChunkForm::Inline(bytes) => bytes.len(),
                    ChunkForm::Object(name) => name.len(),
                };
                source.len() + data + 8 * EACH
            }
            Self::Named(values) => values
                .iter()
                .map(|one| EACH + one.as_ref().map_or_else(String::len, V::wire_len))
                .sum(),
            Self::Refused { code, message, .. } => code.len() + message.len() + 2 * EACH,
        }
    }
}

fn put_tasks<V: WireValue>(tasks: &[TaskForm<V>], out: &mut Writer) {
    out.put_len(tasks.len());
    for task in tasks {
        out.put_u64_leb(task.index);
        out.put_u64_leb(task.attempt.into());
        out.put_u64_leb(task.start_by);
        put_input(&task.input, out);
    }
}

fn put_input<V: WireValue>(input: &InputForm<V>, out: &mut Writer) {
    match input {
        InputForm::Values(values) => put_all(VALUES, values, out),
        InputForm::Parts(values) => put_all(PARTS, values, out),
        InputForm::Chunk {
            source,
            number,
            position,
            range,
            data,
        } => {
            out.put_u8(match data {
                ChunkForm::Inline(_) => CHUNK,
                ChunkForm::Object(_) => CHUNK_OBJECT,
            });
            out.put_bytes(source.as_bytes());
            for field in [*number, *position, range.start, range.end] {
                out.put_u64_leb(field);
            }
            match data {
                ChunkForm::Inline(bytes) => out.put_bytes(bytes),
                ChunkForm::Object(name) => out.put_bytes(name.as_bytes()),
            }
        }
        InputForm::Named(values) => {
            out.put_u8(NAMED);
            out.put_len(values.len());
            for value in values {
                out.put_bool(value.is_ok());
                match value {
                    Ok(value) => put_value(value, out),
                    Err(name) => out.put_bytes(name.as_bytes()),
                }
            }
        }
        InputForm::Refused {
            code,
            message,
            is_input_error,
        } => {
            out.put_u8(REFUSED);
            out.put_bytes(code.as_bytes());
            out.put_bytes(message.as_bytes());
            out.put_bool(*is_input_error);
        }
    }
}

fn put_value(value: &impl WireValue, out: &mut Writer) {
    out.put_len(value.wire_len());
    value.put(out);
}

fn put_all(tag: u8, values: &[impl WireValue], out: &mut Writer) {
    out.put_u8(tag);
    out.put_len(values.len());
    for value in values {
        put_value(value, out);
    }
}

/// Decodes the tasks of a body.
pub(crate) fn decode_tasks(body: &Bytes) -> Result<Vec<TaskForm>, WireError> {
    let mut from = Reader::new(body);
    let mut room = Room(MOST_PARTS);
    let count = from.count(LEAST)?;
    if count > MOST_TASKS {
        return Err(WireError::TooMany);
    }
    room.take::<TaskForm>(count)?;
    let mut tasks = Vec::with_capacity(count);
    for _ in 0..count {
        tasks.push(TaskForm {
            index: from.u64_leb()?,
            attempt: from.u32_leb()?,
            start_by: from.u64_leb()?,
            input: input(&mut from, body, &mut room)?,
        });
    }
    if from.remaining() > 0 {
        return Err(WireError::Head(format!(
            "{} bytes follow the tasks",
            from.remaining()
        )));
    }
    Ok(tasks)
}

fn input(from: &mut Reader<'_>, body: &Bytes, room: &mut Room) -> Result<InputForm, WireError> {
    let tag = from.u8()?;
    Ok(match tag {
        VALUES => InputForm::Values(all(from, body, room)?),
        PARTS => InputForm::Parts(all(from, body, room)?),
        CHUNK | CHUNK_OBJECT => {
            let source = from.str()?.to_owned();
            let number = from.u64_leb()?;
            let position = from.u64_leb()?;
            let range = from.u64_leb()?..from.u64_leb()?;
            let data = if tag == CHUNK {
                ChunkForm::Inline(body.slice_ref(from.byte_string()?))
            } else {
                ChunkForm::Object(from.str()?.to_owned())
            };
            InputForm::Chunk {
                source,
                number,
                position,
                range,
                data,
            }
        }
        NAMED => {
            let count = from.count(2)?;
            room.take::<Result<Bytes, String>>(count)?;
            let mut values = Vec::with_capacity(count);
            for _ in 0..count {
                values.push(if from.bool()? {
                    Ok(body.slice_ref(from.byte_string()?))
                } else {
                    Err(from.str()?.to_owned())
                });
            }
            InputForm::Named(values)
        }
        REFUSED => InputForm::Refused {
            code: from.str()?.to_owned(),
            message: from.str()?.to_owned(),
            is_input_error: from.bool()?,
        },
        _ => return Err(rwasm_value::value::Malformed::BadCase.into()),
    })
}

fn all(from: &mut Reader<'_>, body: &Bytes, room: &mut Room) -> Result<Vec<Bytes>, WireError> {
    let count = from.count(1)?;
    room.take::<Bytes>(count)?;
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(body.slice_ref(from.byte_string()?));
    }
    Ok(values)
}
