//! Encodes a dispatch as the message from which a remote engine rebuilds it.

use crate::dispatch::{Dispatch, DispatchedTask, Reuse, TaskInput};
use crate::nats::blob::{BlobError, Blobs, LARGEST_INLINE};
use crate::nats::wire::{
    ChunkForm, InputForm, PushedForm, TaskForm, TasksHead, frame, frame_tasks, from_now, micros,
};
use crate::placement::Stage;
use bytes::Bytes;
use rwasm_sandbox::grants::{Clock, Random};
use rwasm_sandbox::input::ChunkData;
use rwasm_sandbox::pushed::PushedValue;
use rwasm_sandbox::sandbox::{Arguments, Callee};
use rwasm_value::ids::EngineId;
use rwasm_value::value::{Packed, PackedArgument};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

/// Inputs of at least this many bytes are streamed, never held.
const STREAMED: u64 = 4 << 20;

/// The encoder for the dispatches of one session.
pub(crate) struct Encoder {
    pub(crate) blobs: Blobs,
    /// The session, which is part of the names of its objects.
    pub(crate) session: Arc<str>,
    pub(crate) deliveries: u32,
    /// The objects of pushed values, by the address of the value.
    pushed: Mutex<HashMap<usize, (Weak<PushedValue>, String)>>,
}

/// Why a dispatch cannot be sent.
pub(crate) enum EncodeError {
    /// Its input cannot be read, or its grants cannot be expressed: trying again does not help.
    Refused(String, bool),
    /// The server refused it, or cannot be reached.
    Blob(BlobError),
}

impl From<BlobError> for EncodeError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Io(error) => Self::Refused(format!("cannot read the input: {error}"), true),
            error => Self::Blob(error),
        }
    }
}

impl Encoder {
    pub(crate) fn new(blobs: Blobs, session: Arc<str>, deliveries: u32) -> Self {
        Self {
            blobs,
            session,
            deliveries,
            pushed: Mutex::default(),
        }
    }

    /// Encodes `dispatch` under this number; for `engine`, if one was chosen. `objects` gets the names of the objects
    /// stored for it, which are there even if it fails.
    pub(crate) async fn encode(
        &self,
        dispatch: &Dispatch,
        number: &str,
        engine: Option<EngineId>,
        engines: usize,
        objects: &mut Vec<String>,
    ) -> Result<Bytes, EncodeError> {
        let mut tasks = Vec::with_capacity(dispatch.tasks.len());
        for (place, task) in dispatch.tasks.iter().enumerate() {
            tasks.push(TaskForm {
                index: task.index,
                attempt: task.attempt,
                start_by: start_by(task),
                input: self.input(task, number, place, objects).await?,
            });
        }
        let mut head = self.head(dispatch, engine, engines);
        head.pushed = self.pushed(dispatch, engine).await?;
        let body = match frame_tasks(&head, &tasks, LARGEST_INLINE) {
            Ok(message) => return Ok(message),
            Err(body) => body,
        };
        drop(tasks);
        let name = format!("i/{}/{number}", self.session);
        self.blobs.put_bytes(&name, &body).await?;
        objects.push(name.clone());
        head.body = Some(name);
        Ok(frame(&head, &[]))
    }

    /// What the tasks of a dispatch have in common.
    pub(crate) fn head(
        &self,
        dispatch: &Dispatch,
        engine: Option<EngineId>,
        engines: usize,
    ) -> TasksHead {
        let module = &dispatch.program.module;
        let setting = &dispatch.setting;
        let grants = &setting.grants;
        TasksHead {
            module: module.hash().to_string(),
            size: module.size(),
            name: module.name().to_owned(),
            function: match dispatch.callee {
                Callee::Command => None,
                Callee::Function(place) => Some(module.functions()[place].name.clone()),
            },
            reduces: dispatch.stage == Stage::Reduce,
            limits: setting.limits.clone(),
            dirs: grants.dirs.iter().map(ToString::to_string).collect(),
            env: grants.env.clone(),
            net: grants.net.iter().map(ToString::to_string).collect(),
            clock: clock(grants.clock).to_owned(),
            seed: match grants.random {
                Random::Seeded(seed) => Some(seed),
                Random::System => None,
            },
            deterministic: setting.deterministic,
            arguments: setting.command.arguments.clone(),
            ok_exit: setting.command.ok_exit.clone(),
            reuse: dispatch.reuse.name().to_owned(),
            owner: (dispatch.reuse == Reuse::Engine)
                .then(|| format!("{}-{}", self.session, dispatch.owner.number())),
            engine: engine.map(|engine| engine.0),
            engines: u32::try_from(engines).unwrap_or(u32::MAX).max(1),
            queued: micros(dispatch.queued),
            deadline: None,
            deliveries: self.deliveries,
            listens: dispatch.listener.is_some(),
            pushed: Vec::new(),
            body: None,
        }
    }

    async fn input<'a>(
        &self,
        task: &'a DispatchedTask,
        number: &str,
        place: usize,
        objects: &mut Vec<String>,
    ) -> Result<InputForm<&'a Packed>, EncodeError> {
        Ok(match &task.input {
            TaskInput::Ready(Arguments::Values(values)) => {
                InputForm::Values(values.iter().collect())
            }
            TaskInput::Ready(Arguments::Parts(values)) => InputForm::Parts(values.iter().collect()),
            TaskInput::Ready(Arguments::Chunk(chunk)) => {
                let (data, end) = if chunk.len().is_some_and(|len| len < STREAMED) {
                    let bytes = read(chunk).await?;
                    (ChunkForm::Inline(bytes), chunk.range.end)
                } else {
                    let name = format!("i/{}/{number}.{place}", self.session);
                    let put = if let ChunkData::Bytes(bytes) = &chunk.data {
                        let mut from: &[u8] = bytes;
                        self.blobs.put(&name, chunk.len(), &mut from).await?
                    } else {
                        let reader = chunk.open().map_err(BlobError::Io)?;
                        self.blobs.put_reader(&name, chunk.len(), reader).await?
                    };
                    objects.push(name.clone());
                    (ChunkForm::Object(name), chunk.range.start + put)
                };
                InputForm::Chunk {
                    source: chunk.source.name.to_string(),
                    number: chunk.source.number as u64,
                    position: chunk.position,
                    range: chunk.range.start..end,
                    data,
                }
            }
            TaskInput::Named(arguments) => InputForm::Named(
                arguments
                    .iter()
                    .map(|argument| match argument {
                        PackedArgument::Value(value) => Ok(value),
                        PackedArgument::Reference { name, .. } => Err(name.to_string()),
                    })
                    .collect(),
            ),
            TaskInput::Refused(failure) => InputForm::Refused {
                code: failure.code.name().to_owned(),
                message: failure.message.clone(),
                is_input_error: failure.is_input_error,
            },
        })
    }

    /// The values pushed to the engines that may run the dispatch. Each value is stored once, however many engines
    /// and dispatches use it.
    async fn pushed(
        &self,
        dispatch: &Dispatch,
        engine: Option<EngineId>,
    ) -> Result<Vec<PushedForm>, BlobError> {
        let Some(pushed) = &dispatch.pushed else {
            return Ok(Vec::new());
        };
        let mut forms = Vec::new();
        for (of, values) in pushed.iter() {
            if engine.is_some_and(|engine| engine != *of) {
                continue;
            }
            for (name, value) in values.iter() {
                forms.push(PushedForm {
                    engine: of.0,
                    name: name.to_string(),
                    object: self.value(value).await?,
                });
            }
        }
        Ok(forms)
    }

    async fn value(&self, value: &Arc<PushedValue>) -> Result<String, BlobError> {
        let place = Arc::as_ptr(value) as usize;
        let known = || self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, name)) = known().get(&place)
            && known
                .upgrade()
                .is_some_and(|known| Arc::ptr_eq(&known, value))
        {
            return Ok(name.clone());
        }
        let bytes = value.value().to_tagged();
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        let name = hash
            .iter()
            .fold(String::from("v/"), |name, byte| format!("{name}{byte:02x}"));
        if !self.blobs.has(&name).await? {
            self.blobs.put_bytes(&name, &bytes).await?;
        }
        let mut known = known();
        known.retain(|_, (value, _)| value.strong_count() > 0);
        known.insert(place, (Arc::downgrade(value), name.clone()));
        Ok(name)
    }
}

/// Reads the bytes of a chunk, which may be on a disk.
async fn read(chunk: &rwasm_sandbox::input::Chunk) -> Result<Bytes, EncodeError> {
    if let ChunkData::Bytes(bytes) = &chunk.data {
        return Ok(bytes.clone());
    }
    let chunk = chunk.clone();
    let read = tokio::task::spawn_blocking(move || chunk.bytes()).await;
    let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    Ok(read.map_err(BlobError::Io)?)
}

/// The name of the clock on the command line.
fn clock(clock: Clock) -> &'static str {
    clock.name()
}

/// When a task's time in the queue ends, in wall-clock time, which machines share; 0 if it does not.
fn start_by(task: &DispatchedTask) -> u64 {
    task.start_by.map_or(0, |end| {
        from_now(end.saturating_duration_since(Instant::now())).map_or(0, micros)
    })
}
