//! Turns a message into a dispatch for an engine of this process.

use super::granted::{self, Granted, forget_oldest};
use super::modules::Modules;
use super::policy::EnginePolicy;
use super::served::Seat;
use super::values::Values;
use super::warnings::Warnings;
use crate::cluster::Cluster;
use crate::dispatch::{DispatchedTask, Owner, ParseReuseError, Pushed, Reuse, TaskInput};
use crate::nats::blob::{BlobError, Blobs, Charge, Length, ReadBudget};
use crate::nats::wire::{
    ChunkForm, InputForm, TaskForm, TasksHead, WireError, decode_tasks, decoded, largest_tasks,
    most_decoded, time,
};
use crate::view::{Lookup, NotReady as Unmade, TaskSettings};
use bytes::Bytes;
use rwasm_sandbox::input::{Chunk, ChunkData, Source};
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::outcome::{Failure, FailureCode, Outcome};
use rwasm_sandbox::sandbox::{
    Arguments, Callee, CommandLine, LoadError, ModuleInfo, Program, Setting,
};
use rwasm_value::ids::ChunkIndex;
use rwasm_value::units::ByteSize;
use rwasm_value::value::{Packed, PackedArgument, Type};
use std::collections::HashMap;
use std::fmt::Display;
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// Inputs larger than this many bytes are kept in a file rather than in memory.
const LARGEST_HELD: u64 = 64 << 20;

/// What one process reads and holds for its messages at a time, in bytes: bodies, and inputs that are objects. Whoever finds
/// no room waits in turn. Bodies have room of their own, since a message has its body while it waits for its inputs.
const BODIES: u32 = 256 << 20;
const INPUTS: u32 = 512 << 20;

/// What the tasks of all messages become when they are decoded, with the places of their outcomes, in bytes.
const DECODED: u32 = 256 << 20;

/// What a task takes beside its form: as part of a dispatch, and the place of its outcome.
const EACH: usize = size_of::<DispatchedTask>() + size_of::<Option<Outcome>>();

/// The most that the inputs of one message may have, each object counted once.
const MESSAGE_INPUTS: u64 = 256 << 20;

/// The most directories, peers and variables each that a job may be granted here: they are opened and compared for each job.
const GRANTS: usize = 64;

/// What is longer is decoded on another thread than that of the connection.
const SHORT: usize = 1 << 20;

/// Owners of kept instances known at a time; beyond that, the one silent for longest is forgotten.
const OWNERS: usize = 1024;

/// The most bytes of an owner's name, which is made of a session and a number.
const LONGEST_OWNER: usize = 256;

/// What tasks are prepared with.
pub(super) struct Bench {
    pub(super) cluster: Arc<Cluster>,
    pub(super) seat: Seat,
    pub(super) modules: Modules,
    pub(super) blobs: Blobs,
    pub(super) policy: EnginePolicy,
    owners: Mutex<HashMap<String, (Owner, Instant)>>,
    values: Values,
    pub(super) granted: Granted,
    /// The room for bodies, and for the ledgers of suspect messages.
    pub(super) bodies: ReadBudget,
    inputs: ReadBudget,
    decoded: ReadBudget,
    warnings: Warnings,
}

/// The tasks of a message, ready to run.
pub(super) struct Ready {
    pub(super) program: Arc<Program>,
    pub(super) setting: Arc<Setting>,
    pub(super) callee: Callee,
    pub(super) reuse: Reuse,
    pub(super) owner: Owner,
    pub(super) tasks: Vec<DispatchedTask>,
    pub(super) queued: SystemTime,
    pub(super) pushed: Option<Arc<Pushed>>,
    /// What its body, its inputs and its tasks take, as long as it has them.
    _rooms: [Charge; 3],
}

/// What the tasks of a message call, and what it takes.
#[derive(Clone, Copy)]
struct Target<'a> {
    callee: Callee,
    params: &'a [&'a Type],
    /// Whether an input flows into it, instead of being copied.
    is_streamed: bool,
    /// How long its tasks have waited for their program.
    compiled: Duration,
}

/// Why the tasks of a message do not run.
pub(super) enum NotReady {
    /// Each of them fails with this.
    Failed(Failure),
    /// Something is away for now: they had better be given back.
    Later(String),
}

impl From<BlobError> for NotReady {
    fn from(error: BlobError) -> Self {
        if error.is_passing() {
            return Self::Later(error.to_string());
        }
        let code = match &error {
            BlobError::TooLarge { .. } => FailureCode::InputLimit,
            _ => FailureCode::BadInput,
        };
        let message = format!("the task's input cannot be fetched: {error}");
        Self::Failed(Failure::new(code, message))
    }
}

impl From<WireError> for NotReady {
    fn from(error: WireError) -> Self {
        let message = format!("the task's message cannot be read: {error}");
        Self::Failed(Failure::new(FailureCode::Internal, message))
    }
}

/// Checks the number of arguments against that of the parameters.
fn check_count(found: usize, wanted: usize) -> Result<(), NotReady> {
    if found == wanted {
        return Ok(());
    }
    Err(bad(format!("expected {wanted} arguments, found {found}")))
}

pub(super) fn bad(message: impl Into<String>) -> NotReady {
    NotReady::Failed(Failure::new(FailureCode::BadInput, message))
}

fn is_granted(head: &TasksHead) -> bool {
    !(head.dirs.is_empty() && head.net.is_empty() && head.env.is_empty())
}

/// The bytes of the objects that are the inputs of these tasks and are held in memory, each counted once.
fn inputs_of(tasks: &[TaskForm]) -> Result<u64, NotReady> {
    let mut objects = HashMap::new();
    let mut files = 0;
    for task in tasks {
        let InputForm::Chunk { data, range, .. } = &task.input else {
            continue;
        };
        if let ChunkForm::Object(name) = data {
            let length = range.end.saturating_sub(range.start);
            if length > LARGEST_HELD {
                files += 1;
            } else {
                let known: &mut u64 = objects.entry(name).or_default();
                *known = length.max(*known);
            }
        }
    }
    let total = objects.values().sum();
    let refused = |message| {
        Err(NotReady::Failed(Failure::new(
            FailureCode::InputLimit,
            message,
        )))
    };
    if total > MESSAGE_INPUTS {
        let most = ByteSize::new(MESSAGE_INPUTS);
        return refused(format!(
            "the inputs of tasks that were sent together have {total} bytes, more than the {most} that an engine process holds for them; send fewer together, or make smaller chunks"
        ));
    }
    if files > 1 {
        let most = ByteSize::new(LARGEST_HELD);
        return refused(format!(
            "{files} tasks with inputs larger than {most} were sent together; send each by itself"
        ));
    }
    Ok(total)
}

/// What of a module a message's tasks call.
fn callee(module: &ModuleInfo, head: &TasksHead) -> Result<Callee, NotReady> {
    let Some(name) = &head.function else {
        return Ok(Callee::Command);
    };
    let found = module.functions().iter().position(|one| one.name == *name);
    let place = found.ok_or_else(|| bad(format!("the module has no function `{name}`")))?;
    Ok(Callee::Function(place))
}

impl Bench {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        seat: Seat,
        modules: Modules,
        blobs: Blobs,
        policy: EnginePolicy,
    ) -> Self {
        Self {
            cluster,
            seat,
            modules,
            blobs,
            policy,
            owners: Mutex::default(),
            values: Values::default(),
            granted: Granted::default(),
            bodies: ReadBudget::new(BODIES),
            inputs: ReadBudget::new(INPUTS),
            decoded: ReadBudget::new(DECODED),
            warnings: Warnings::default(),
        }
    }

    /// Prepares a message: checks it, and fetches what its tasks need.
    pub(super) async fn make_ready(
        self: &Arc<Self>,
        job: &str,
        head: &TasksHead,
        body: Bytes,
    ) -> Result<Ready, NotReady> {
        let limits = self.policy.limits(head);
        let reuse = head.reuse.parse();
        let reuse = reuse.map_err(|error: ParseReuseError| bad(error.to_string()))?;
        let setting = if is_granted(head) {
            let (bench, job, head) = (Arc::clone(self), job.to_owned(), head.clone());
            // Directories are opened, and the connection goes on meanwhile.
            let opened = tokio::task::spawn_blocking(move || bench.setting(&job, &head, reuse));
            opened.await.map_err(|error| bad(error.to_string()))??
        } else {
            self.setting(job, head, reuse)?
        };
        let asked = Instant::now();
        let program = self.program(head, &limits, &setting).await?;
        // To wait for a compiler is not to wait in the queue.
        let compiled = asked.elapsed();
        let module = &program.module;
        let callee = callee(module, head)?;
        let (body, room_of_body) = match &head.body {
            None => (body, self.bodies.charge(0).await),
            Some(name) => {
                let most = largest_tasks(&limits);
                let read = self.blobs.get_within(name, most, &self.bodies).await?;
                (read.bytes, read.room)
            }
        };
        let params: Vec<&Type> = match callee {
            Callee::Command => Vec::new(),
            Callee::Function(place) => {
                let params = &module.functions()[place].params;
                params.iter().map(|(_, ty)| ty).collect()
            }
        };
        let target = Target {
            callee,
            params: &params,
            is_streamed: module.streams_input(callee),
            compiled,
        };
        let most = most_decoded(&body, EACH);
        let mut room_of_tasks = self.decoded.charge(most).await;
        let forms = if body.len() > SHORT {
            let decoded = tokio::task::spawn_blocking(move || decode_tasks(&body)).await;
            decoded.map_err(|error| bad(error.to_string()))??
        } else {
            decode_tasks(&body)?
        };
        room_of_tasks.shrink(decoded(&forms, EACH));
        let room_of_inputs = self.inputs.charge(inputs_of(&forms)?).await;
        let mut objects = HashMap::new();
        let mut tasks = Vec::with_capacity(forms.len());
        for form in forms {
            tasks.push(self.task(form, target, head, &mut objects).await?);
        }
        Ok(Ready {
            program,
            setting,
            callee,
            reuse,
            owner: match &head.owner {
                Some(name) if name.len() > LONGEST_OWNER => {
                    return Err(bad("the name of its owner is too long"));
                }
                Some(name) => self.owner(name),
                None => Owner::default(),
            },
            tasks,
            queued: time(head.queued),
            pushed: self.values.of(head, &self.blobs, &self.seat).await?,
            _rooms: [room_of_body, room_of_inputs, room_of_tasks],
        })
    }

    /// Returns what a message's tasks run. The bytes of its module are in memory only until that is made.
    async fn program(
        &self,
        head: &TasksHead,
        limits: &Limits,
        setting: &Setting,
    ) -> Result<Arc<Program>, NotReady> {
        let core = self.cluster.core();
        let state = self.seat.state(&self.cluster);
        if let Some(module) = self.modules.known(&head.module) {
            if let Some(program) = core.kept_program(&state, module.hash(), setting) {
                return Ok(program);
            }
            // Before it is fetched for nothing.
            callee(&module, head)?;
        }
        let module = self.modules.get(head, limits).await?;
        // Before it is compiled for nothing.
        callee(&module, head)?;
        let made = core.program_elsewhere(&state, &module, setting).await;
        made.map_err(|error| {
            let name = &head.name;
            let failed = |error: &dyn Display| {
                format!("the module `{name}` cannot be prepared on this engine: {error}")
            };
            match error {
                Unmade::Load(error @ LoadError::CompileLimit { .. }) => {
                    NotReady::Failed(Failure::new(FailureCode::CompileLimit, failed(&error)))
                }
                Unmade::Load(error) => bad(failed(&error)),
                Unmade::Thread(error) => NotReady::Later(failed(&error)),
            }
        })
    }

    /// Returns what the tasks may use and reach. Grants are opened and resolved once per job.
    fn setting(&self, job: &str, head: &TasksHead, reuse: Reuse) -> Result<Arc<Setting>, NotReady> {
        let denied = |message: String| {
            if let Some(left_out) = self.warnings.next() {
                tracing::warn!(
                    job,
                    module = head.module,
                    reason = message,
                    left_out,
                    "refused"
                );
            }
            NotReady::Failed(Failure::new(FailureCode::PolicyDenied, message))
        };
        let is_granted = is_granted(head);
        for (what, count) in [
            ("directories", head.dirs.len()),
            ("peers", head.net.len()),
            ("variables", head.env.len()),
        ] {
            if count > GRANTS {
                return Err(denied(format!(
                    "the job asks for {count} {what}, but an engine grants at most {GRANTS}"
                )));
            }
        }
        let key = is_granted.then(|| granted::key(job, head));
        if let Some(setting) = key.as_ref().and_then(|key| self.granted.get(key)) {
            return Ok(setting);
        }
        let (grants, dirs) = self.policy.grants(head).map_err(denied)?;
        for grant in grants.described() {
            tracing::info!(job, module = head.module, grant, "granted");
        }
        let limits = self.policy.limits(head);
        let task = TaskSettings {
            deterministic: head.deterministic,
            reuse,
            ..TaskSettings::default()
        };
        let command = CommandLine {
            arguments: head.arguments.clone(),
            ok_exit: head.ok_exit.clone(),
        };
        let setting = task
            .settle(
                &limits,
                &Arc::new(grants),
                command,
                Lookup::Opened(dirs),
                None,
            )
            .map_err(|error| denied(error.to_string()))?;
        if let Some(key) = key {
            self.granted.keep(key, &setting, head.dirs.len());
        }
        Ok(setting)
    }

    async fn task(
        &self,
        form: TaskForm,
        target: Target<'_>,
        head: &TasksHead,
        objects: &mut HashMap<String, Bytes>,
    ) -> Result<DispatchedTask, NotReady> {
        let start_by = match form.start_by {
            0 => None,
            micros => {
                let start_by = time(micros).checked_add(target.compiled);
                let left = start_by
                    .unwrap_or_else(|| time(micros))
                    .duration_since(SystemTime::now());
                Some(Instant::now() + left.unwrap_or_default())
            }
        };
        let input = match self
            .input(form.input, form.index, target, head, objects)
            .await
        {
            Ok(input) => input,
            // It alone fails.
            Err(NotReady::Failed(failure)) => TaskInput::Refused(failure),
            Err(later) => return Err(later),
        };
        Ok(DispatchedTask {
            input,
            index: form.index,
            attempt: form.attempt,
            start_by,
        })
    }

    async fn input(
        &self,
        form: InputForm,
        index: u64,
        target: Target<'_>,
        head: &TasksHead,
        objects: &mut HashMap<String, Bytes>,
    ) -> Result<TaskInput, NotReady> {
        let packed = |ty: &Type, wire: &Bytes| {
            Packed::from_wire_bytes(ty.clone(), wire)
                .map_err(|error| NotReady::from(WireError::from(error)))
        };
        let params = target.params;
        Ok(match form {
            InputForm::Values(values) => {
                if target.callee != Callee::Command || !values.is_empty() {
                    check_count(values.len(), params.len())?;
                }
                let values = params
                    .iter()
                    .zip(&values)
                    .map(|(ty, wire)| packed(ty, wire));
                TaskInput::Ready(Arguments::Values(values.collect::<Result<_, _>>()?))
            }
            InputForm::Parts(parts) => {
                let [Type::List(element)] = params else {
                    return Err(bad("the function does not take a list of parts"));
                };
                let parts = parts.iter().map(|wire| packed(element, wire));
                TaskInput::Ready(Arguments::Parts(parts.collect::<Result<_, _>>()?))
            }
            InputForm::Named(values) => {
                check_count(values.len(), params.len())?;
                let argument = |(ty, value): (&&Type, Result<Bytes, String>)| match value {
                    Ok(wire) => Ok(PackedArgument::Value(packed(ty, &wire)?)),
                    Err(name) => Ok(PackedArgument::Reference {
                        name: name.into(),
                        ty: (*ty).clone(),
                    }),
                };
                let arguments = params.iter().zip(values).map(argument);
                TaskInput::Named(arguments.collect::<Result<_, NotReady>>()?)
            }
            InputForm::Refused {
                code,
                message,
                is_input_error,
            } => {
                let code = FailureCode::named(&code).unwrap_or(FailureCode::BadInput);
                let mut failure = Failure::new(code, message);
                failure.is_input_error = is_input_error;
                TaskInput::Refused(failure)
            }
            InputForm::Chunk {
                source,
                number,
                position,
                range,
                data,
            } => {
                let is_text = target.callee == Callee::Command
                    || matches!(params, [ty] if **ty == Type::String || ty.is_bytes());
                if !is_text {
                    return Err(bad("the function does not take a chunk of an input"));
                }
                let data = self.chunk_data(data, &range, target, head, objects).await?;
                TaskInput::Ready(Arguments::Chunk(Chunk {
                    index: ChunkIndex(index),
                    source: Arc::new(Source {
                        name: source.into(),
                        number: usize::try_from(number).unwrap_or_default(),
                    }),
                    range,
                    position,
                    data,
                }))
            }
        })
    }

    /// Returns the bytes of a chunk: those of its message, or those of its object.
    async fn chunk_data(
        &self,
        data: ChunkForm,
        range: &Range<u64>,
        target: Target<'_>,
        head: &TasksHead,
        objects: &mut HashMap<String, Bytes>,
    ) -> Result<ChunkData, NotReady> {
        let length = range.end.checked_sub(range.start);
        let length = length.ok_or_else(|| bad("the chunk ends before it begins"))?;
        match data {
            ChunkForm::Inline(bytes) if bytes.len() as u64 == length => Ok(ChunkData::Bytes(bytes)),
            ChunkForm::Inline(_) => Err(bad("the chunk has the wrong length")),
            ChunkForm::Object(name) => {
                if let Some(bytes) = objects.get(&name).filter(|one| one.len() as u64 == length) {
                    return Ok(ChunkData::Bytes(bytes.clone()));
                }
                let data = self
                    .object(&name, range.start, length, target, head)
                    .await?;
                if let ChunkData::Bytes(bytes) = &data {
                    objects.insert(name, bytes.clone());
                }
                Ok(data)
            }
        }
    }

    /// Fetches the bytes of a chunk that was too large for a message: into memory if a guest gets them at once, else
    /// into a file.
    async fn object(
        &self,
        name: &str,
        start: u64,
        length: u64,
        target: Target<'_>,
        head: &TasksHead,
    ) -> Result<ChunkData, NotReady> {
        let limit = self.policy.limits(head).input.bytes();
        if !target.is_streamed && length > limit {
            let message = format!(
                "the chunk has {length} bytes, more than the {limit} allowed for a task's input"
            );
            return Err(NotReady::Failed(Failure::new(
                FailureCode::InputLimit,
                message,
            )));
        }
        if length <= LARGEST_HELD {
            let bytes = self.blobs.get_fitting(name, Length::Exactly(length));
            return Ok(ChunkData::Bytes(bytes.await?));
        }
        let mut file = tempfile::tempfile().map_err(BlobError::Io)?;
        // It stands in the file where it stood in the input: what is before takes no room.
        file.seek(SeekFrom::Start(start)).map_err(BlobError::Io)?;
        let fits = Length::Exactly(length);
        self.blobs.get_to(name, fits, &mut file).await?;
        Ok(Chunk::own_file(file))
    }

    fn owner(&self, name: &str) -> Owner {
        let mut owners = lock(&self.owners);
        if let Some((owner, used)) = owners.get_mut(name) {
            *used = Instant::now();
            return owner.clone();
        }
        forget_oldest(&mut owners, OWNERS, |(_, used)| *used);
        let owner = Owner::default();
        owners.insert(name.to_owned(), (owner.clone(), Instant::now()));
        owner
    }
}
