//! What an engine and its worker say to each other: one byte that tells the kind, then the message. The worker trusts the
//! engine; what comes from a worker is read as from a stranger.

use super::super::resolve;
use crate::dispatch::{Dispatch, DispatchedTask, TaskInput};
use crate::wire::{self, WireError, put_note};
use bytes::Bytes;
use rwasm_sandbox::input::{Chunk, ChunkData, Source};
use rwasm_sandbox::note::{StandardOutput, TaskNote};
use rwasm_sandbox::outcome::{Failure, FailureCode};
use rwasm_sandbox::pushed::{PushedValue, PushedValues};
use rwasm_sandbox::sandbox::{Arguments, Callee, ModuleInfo, SettingForm, VariantKey};
use rwasm_value::ids::{ChunkIndex, EngineId};
use rwasm_value::value::{Malformed, Packed, Reader, Type, Value, Writer, skip};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// To a worker: the build of whoever started it, and what it is for, with which it becomes ready.
pub(super) const HELLO: u8 = 1;
/// A program, of which the module and the code come as descriptors.
pub(super) const PROGRAM: u8 = 2;
/// What dispatches have in common.
pub(super) const PRESET: u8 = 3;
/// Values that were pushed to the engine.
pub(super) const PUSHED: u8 = 4;
/// Tasks.
pub(super) const DISPATCH: u8 = 5;
/// What is not needed any more.
pub(super) const FORGET: u8 = 6;
/// The answer of a function of the embedder's.
pub(super) const HOST_REPLY: u8 = 7;

/// From a worker: its build, and that it is ready.
pub(super) const READY: u8 = 1;
/// It cannot do what it is for.
pub(super) const REFUSED: u8 = 2;
/// The outcome of the next task.
pub(super) const OUTCOME: u8 = 3;
/// What a task says while it runs.
pub(super) const NOTE: u8 = 4;
/// The end of a dispatch.
pub(super) const END: u8 = 5;
/// A call of a function of the embedder's.
pub(super) const HOST_CALL: u8 = 6;
/// Elements that a task gives while it runs.
pub(super) const ELEMENTS: u8 = 7;

/// What a worker is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) engine: u32,
    pub(super) key: VariantKey,
    /// The setting with what is granted, if something is: its directories come as descriptors.
    pub(super) granted: Option<SettingForm>,
    /// Whether the certificates that the system trusts come as one more descriptor.
    pub(super) has_roots: bool,
}

/// A layer of the boundary, as a worker found it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LayerForm {
    pub(super) name: String,
    /// Why it stands in part or not at all, and whether not at all.
    pub(super) lacks: Option<(String, bool)>,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ProgramForm {
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) key: VariantKey,
    pub(super) as_component: bool,
    pub(super) strict_imports: bool,
    /// The functions of the embedder's that it imports: the interface of each, and its name.
    pub(super) host: Vec<(String, String)>,
}

/// What dispatches have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PresetForm {
    pub(super) number: u64,
    pub(super) program: u64,
    /// The place of the function; none for a command.
    pub(super) function: Option<usize>,
    pub(super) setting: SettingForm,
    pub(super) reuse: String,
    pub(super) owner: u64,
    pub(super) listens: bool,
    /// Whether somebody reads the elements of what tasks return while they run.
    pub(super) reads: bool,
}

/// What a worker may let go of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Forget {
    pub(super) programs: Vec<u64>,
    pub(super) presets: Vec<u64>,
    pub(super) pushed: Vec<u64>,
    pub(super) owners: Vec<u64>,
}

/// What a dispatch has beside its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DispatchHead {
    /// Its number, by which it is cancelled.
    pub(super) number: u32,
    pub(super) preset: u64,
    pub(super) engines: u32,
    /// What is added to the id of the engine: see `Dispatch::told`.
    pub(super) id_offset: u32,
    /// The values that the engine has, if it has any.
    pub(super) pushed: Option<u64>,
    /// How many descriptors come with its tasks.
    pub(super) descriptors: usize,
    pub(super) tasks: usize,
}

/// How a dispatch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) number: u32,
    /// How long it computed.
    pub(super) computed: Duration,
    /// Whether an instance is kept for its owner.
    pub(super) has_instance: bool,
}

/// Writes certificates into a file.
pub(super) fn put_roots(roots: &[Vec<u8>], file: &mut impl io::Write) -> io::Result<()> {
    let mut out = Writer::default();
    out.put_len(roots.len());
    for root in roots {
        out.put_bytes(root);
    }
    file.write_all(&out.into_vec())
}

pub(super) fn read_roots(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut from = Reader::new(bytes);
    let count = from.count(1)?;
    (0..count)
        .map(|_| Ok(from.byte_string()?.to_vec()))
        .collect()
}

/// The place of an output among those of a slate.
pub(super) fn stream_of(output: StandardOutput) -> usize {
    match output {
        StandardOutput::Stdout => 0,
        StandardOutput::Stderr => 1,
    }
}

/// Begins a message.
pub(super) fn message(kind: u8) -> Writer {
    let mut out = Writer::default();
    out.put_u8(kind);
    out
}

/// A message of plain data.
pub(super) fn plain(kind: u8, form: &impl Serialize) -> Vec<u8> {
    let mut out = message(kind);
    // Strings, numbers and lists, which always can be written.
    out.put_raw(&serde_json::to_vec(form).unwrap_or_default());
    out.into_vec()
}

/// A message of plain data behind the build of its sender, which is all that a sender and a reader of different builds agree on.
pub(super) fn of_build(kind: u8, build: &str, form: &impl Serialize) -> Vec<u8> {
    let mut out = message(kind);
    out.put_bytes(build.as_bytes());
    out.put_raw(&serde_json::to_vec(form).unwrap_or_default());
    out.into_vec()
}

/// Reads what is behind the build of a message, which must be this one; else returns the other.
pub(super) fn read_of_build<'a>(bytes: &'a [u8], build: &str) -> Result<&'a [u8], String> {
    let mut from = Reader::new(bytes);
    match from.byte_string() {
        Ok(found) if found == build.as_bytes() => Ok(from.rest()),
        Ok(other) => Err(String::from_utf8_lossy(other).into_owned()),
        Err(_) => Err("an unknown one".to_owned()),
    }
}

/// Reads one.
pub(super) fn read_plain<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(bytes)?)
}

impl DispatchHead {
    pub(super) fn put(&self, out: &mut Writer) {
        out.put_u64_leb(self.number.into());
        out.put_u64_leb(self.preset);
        out.put_u64_leb(self.engines.into());
        out.put_u64_leb(self.id_offset.into());
        out.put_u64_leb(self.pushed.map_or(0, |number| number + 1));
        out.put_len(self.descriptors);
        out.put_len(self.tasks);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            number: from.u32_leb()?,
            preset: from.u64_leb()?,
            engines: from.u32_leb()?,
            id_offset: from.u32_leb()?,
            pushed: from.u64_leb()?.checked_sub(1),
            descriptors: usize::try_from(from.u64_leb()?).unwrap_or(usize::MAX),
            tasks: usize::try_from(from.u64_leb()?).unwrap_or(usize::MAX),
        })
    }
}

impl End {
    pub(super) fn message(self) -> Vec<u8> {
        let mut out = message(END);
        out.put_u64_leb(self.number.into());
        out.put_u64_leb(u64::try_from(self.computed.as_nanos()).unwrap_or(u64::MAX));
        out.put_bool(self.has_instance);
        out.into_vec()
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes);
        Ok(Self {
            number: from.u32_leb()?,
            computed: Duration::from_nanos(from.u64_leb()?),
            has_instance: from.bool()?,
        })
    }
}

const VALUES: u8 = 0;
const PARTS: u8 = 1;
const BYTES: u8 = 2;
const FILE: u8 = 3;
const STREAM: u8 = 4;
const FAILED: u8 = 5;

/// A reader that the worker cannot have: somebody has to read it for the worker.
pub(super) struct StreamInput {
    pub(super) task: usize,
    pub(super) reader: Box<dyn Read + Send>,
    pub(super) into: io::PipeWriter,
}

/// What comes with a task beside its message.
#[derive(Default)]
pub(super) struct Attachments {
    pub(super) descriptors: Vec<OwnedFd>,
    /// The places of files that chunks share.
    shared: HashMap<usize, usize>,
    pub(super) pumped: Vec<StreamInput>,
}

impl Attachments {
    /// The place of the descriptor of a chunk's file.
    fn place_of(&mut self, chunk: &Chunk) -> io::Result<usize> {
        let known = chunk.file_id().and_then(|file| self.shared.get(&file));
        if let Some(place) = known {
            return Ok(*place);
        }
        let file = chunk
            .file()
            .unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))?;
        let place = self.descriptors.len();
        self.descriptors.push(file.into());
        if let Some(file) = chunk.file_id() {
            self.shared.insert(file, place);
        }
        Ok(place)
    }
}

/// The descriptors that came with tasks, which may share files.
pub(super) struct Received {
    descriptors: Vec<Option<OwnedFd>>,
    files: HashMap<usize, ChunkData>,
}

impl Received {
    pub(super) fn new(descriptors: Vec<OwnedFd>) -> Self {
        Self {
            descriptors: descriptors.into_iter().map(Some).collect(),
            files: HashMap::new(),
        }
    }

    fn take(&mut self, place: usize) -> Result<File, Malformed> {
        let descriptor = self.descriptors.get_mut(place).and_then(Option::take);
        descriptor.map(File::from).ok_or(Malformed::BadCase)
    }

    fn file(&mut self, place: usize) -> Result<ChunkData, Malformed> {
        if let Some(known) = self.files.get(&place) {
            return Ok(known.clone());
        }
        let file = Chunk::own_file(self.take(place)?);
        self.files.insert(place, file.clone());
        Ok(file)
    }
}

/// Writes the task at this place of a dispatch.
pub(super) fn put_task(
    engine: EngineId,
    dispatch: &Dispatch,
    place: usize,
    out: &mut Writer,
    beside: &mut Attachments,
) {
    let task = &dispatch.tasks[place];
    out.put_u64_leb(task.index);
    out.put_u64_leb(task.attempt.into());
    let left = |time: Instant| time.saturating_duration_since(Instant::now()).as_micros();
    let left = task.start_by.map(left).map(u64::try_from);
    out.put_u64_leb(left.map_or(0, |left| left.unwrap_or(u64::MAX).saturating_add(1)));
    let arguments = match resolve(engine, dispatch, task) {
        Ok(arguments) => arguments,
        Err(failure) => return put_failed(&failure, out),
    };
    match &*arguments {
        Arguments::Values(values) => put_values(VALUES, values, out),
        Arguments::Parts(values) => put_values(PARTS, values, out),
        Arguments::Chunk(chunk) => put_chunk(chunk, place, out, beside),
    }
}

fn put_values(kind: u8, values: &[Packed], out: &mut Writer) {
    out.put_u8(kind);
    out.put_len(values.len());
    for value in values {
        out.put_len(value.wire_len());
        value.put_wire(out);
    }
}

fn put_failed(failure: &Failure, out: &mut Writer) {
    out.put_u8(FAILED);
    out.put_bytes(failure.code.name().as_bytes());
    out.put_bytes(failure.message.as_bytes());
    out.put_bool(failure.is_input_error);
}

fn put_chunk(chunk: &Chunk, place: usize, out: &mut Writer, beside: &mut Attachments) {
    let unreadable = |error: &io::Error| {
        let mut failure = Failure::new(FailureCode::BadInput, error.to_string());
        failure.is_input_error = true;
        failure
    };
    let mut descriptor = beside.descriptors.len();
    let kind = match &chunk.data {
        ChunkData::Bytes(_) => BYTES,
        ChunkData::File(_) => match beside.place_of(chunk) {
            Ok(found) => {
                descriptor = found;
                FILE
            }
            Err(error) => return put_failed(&unreadable(&error), out),
        },
        ChunkData::Stream(_) => {
            let piped = chunk.open().and_then(|reader| Ok((reader, io::pipe()?)));
            match piped {
                Ok((reader, (from, into))) => {
                    beside.descriptors.push(from.into());
                    beside.pumped.push(StreamInput {
                        task: place,
                        reader,
                        into,
                    });
                    STREAM
                }
                Err(error) => return put_failed(&unreadable(&error), out),
            }
        }
    };
    out.put_u8(kind);
    out.put_bytes(chunk.source.name.as_bytes());
    out.put_len(chunk.source.number);
    out.put_u64_leb(chunk.index.0);
    out.put_u64_leb(chunk.position);
    out.put_u64_leb(chunk.range.start);
    out.put_u64_leb(chunk.range.end);
    match &chunk.data {
        ChunkData::Bytes(bytes) => out.put_bytes(bytes),
        ChunkData::File(_) | ChunkData::Stream(_) => out.put_len(descriptor),
    }
}

/// Reads the tasks of a dispatch. `descriptors` are what came with them, in order.
pub(super) fn read_tasks(
    from: &mut Reader<'_>,
    body: &Bytes,
    count: usize,
    params: &[&Type],
    descriptors: &mut Received,
) -> Result<Vec<DispatchedTask>, WireError> {
    let mut tasks = Vec::with_capacity(count);
    for _ in 0..count {
        let (index, attempt) = (from.u64_leb()?, from.u32_leb()?);
        let left = from.u64_leb()?.checked_sub(1);
        let start_by =
            left.and_then(|left| Instant::now().checked_add(Duration::from_micros(left)));
        tasks.push(DispatchedTask {
            input: read_input(from, body, params, descriptors)?,
            index,
            attempt,
            start_by,
        });
    }
    Ok(tasks)
}

fn read_input(
    from: &mut Reader<'_>,
    body: &Bytes,
    params: &[&Type],
    descriptors: &mut Received,
) -> Result<TaskInput, WireError> {
    let kind = from.u8()?;
    let element = || match params {
        [Type::List(element)] => Ok(&**element),
        _ => Err(Malformed::BadCase),
    };
    Ok(TaskInput::Ready(match kind {
        VALUES | PARTS => {
            let count = from.count(1)?;
            let mut values = Vec::with_capacity(count);
            for place in 0..count {
                let ty = match kind {
                    PARTS => element()?,
                    _ => params.get(place).copied().ok_or(Malformed::BadCase)?,
                };
                let wire = body.slice_ref(from.byte_string()?);
                // Behind the version, it is what the engine has checked.
                values.push(Packed::from_payload(
                    ty.clone(),
                    wire.slice(1.min(wire.len())..),
                ));
            }
            match kind {
                PARTS => Arguments::Parts(values),
                _ => Arguments::Values(values),
            }
        }
        BYTES | FILE | STREAM => {
            let name = from.str()?.into();
            let number = usize::try_from(from.u64_leb()?).unwrap_or(usize::MAX);
            let index = ChunkIndex(from.u64_leb()?);
            let position = from.u64_leb()?;
            let range = from.u64_leb()?..from.u64_leb()?;
            let data = match kind {
                BYTES => ChunkData::Bytes(body.slice_ref(from.byte_string()?)),
                FILE => descriptors.file(from.u32_leb()? as usize)?,
                _ => ChunkData::stream(Box::new(descriptors.take(from.u32_leb()? as usize)?)),
            };
            Arguments::Chunk(Chunk {
                index,
                source: Arc::new(Source { name, number }),
                range,
                position,
                data,
            })
        }
        FAILED => {
            let code = FailureCode::named(from.str()?).unwrap_or(FailureCode::Internal);
            let mut failure = Failure::new(code, from.str()?);
            failure.is_input_error = from.bool()?;
            return Ok(TaskInput::Refused(failure));
        }
        _ => return Err(Malformed::BadCase.into()),
    }))
}

/// The types of what a callee takes.
pub(super) fn params(module: &ModuleInfo, callee: Callee) -> Vec<&Type> {
    match callee {
        Callee::Command => Vec::new(),
        Callee::Function(place) => {
            let function = module.functions().get(place);
            let params = function.map(|function| function.params.iter().map(|(_, ty)| ty));
            params.into_iter().flatten().collect()
        }
    }
}

/// Values that were pushed to an engine.
pub(super) fn pushed_message(number: u64, values: &PushedValues) -> Vec<u8> {
    let mut out = message(PUSHED);
    out.put_u64_leb(number);
    out.put_len(values.len());
    for (name, value) in values {
        out.put_bytes(name.as_bytes());
        out.put_bytes(&value.value().to_tagged());
    }
    out.into_vec()
}

pub(super) fn read_pushed(bytes: &[u8]) -> Result<(u64, PushedValues), Malformed> {
    let mut from = Reader::new(bytes);
    let number = from.u64_leb()?;
    let count = from.count(2)?;
    let mut values = PushedValues::with_capacity(count);
    for _ in 0..count {
        let name = Arc::from(from.str()?);
        let (value, _) = Value::from_tagged(from.byte_string()?, u64::MAX)?;
        values.insert(name, Arc::new(PushedValue::new(value)));
    }
    Ok((number, values))
}

pub(super) fn note_message(task: u64, note: &TaskNote) -> Vec<u8> {
    let mut out = message(NOTE);
    put_note(task, note, &mut out);
    out.into_vec()
}

pub(super) fn read_note(bytes: &[u8]) -> Result<(u64, TaskNote), Malformed> {
    // Copied, since the message is read anew.
    let message = Bytes::copy_from_slice(bytes);
    let mut from = Reader::new(&message);
    let kind = from.u8()?;
    wire::read_note(kind, &mut from, &message)
}

/// Elements of the task with this index, in packed form one after the other.
pub(super) fn elements_message(task: u64, count: usize, packed: &[u8]) -> Vec<u8> {
    let mut out = message(ELEMENTS);
    out.put_u64_leb(task);
    out.put_len(count);
    out.put_raw(packed);
    out.into_vec()
}

/// Reads the index of a task, and how many elements of this type it gives with which bytes.
pub(super) fn read_elements<'a>(
    bytes: &'a [u8],
    ty: &Type,
) -> Result<(u64, usize, &'a [u8]), Malformed> {
    let mut from = Reader::new(bytes);
    let task = from.u64_leb()?;
    let count = from.count(1)?;
    let packed = from.rest();
    for _ in 0..count {
        skip(&mut from, ty)?;
    }
    if from.remaining() > 0 {
        return Err(Malformed::BadCase);
    }
    Ok((task, count, packed))
}
