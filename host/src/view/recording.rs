//! What jobs and calls tell the history: how they begin, what became of each task, how they end.
//! Nothing of this is made where no history is set, and none of it can fail a job: one that cannot
//! be recorded is told of as an event.
//!
//! What a task was called with is turned into its recorded form by the job's reader, which also
//! takes the hashes of files' parts; the driver holds that form while the task is under way.

use super::handle::{JobError, JobResult};
use super::options::Options;
use super::pieces::{Piece, Pieces, Total};
use super::plan::Plan;
use super::slot::Slot;
use super::spec::{JobSpec, Merge, ViewKind};
use crate::dispatch::{Reuse, TaskInput};
use crate::events::{ClusterEvent, EventSender};
use rwasm_history::{
    AttemptEntry, History, JobEnd, JobKey, JobState, Kept, NewJob, Recorder, TaskEntry, TaskState,
};
pub(super) use rwasm_history::{InputEntry, JobKind, TaskInput as KeptInput};
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::grants::{Grants, Random};
use rwasm_sandbox::input::{Chunk, ChunkData, Input, InputError};
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::{Attempt, Failure, FailureCode, Origin, Outcome, Usage};
use rwasm_sandbox::sandbox::{Arguments, Callee, Module, Program, Setting};
use rwasm_value::units::ByteSize;
use rwasm_value::value::{Packed, Type, Value};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Where the jobs of a cluster are recorded.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) history: History,
    events: EventSender,
}

/// What is recorded of a job when it begins.
pub(super) struct Beginning<'a> {
    pub(super) kind: JobKind,
    pub(super) module: &'a Module,
    pub(super) function: &'a str,
    pub(super) label: Option<&'a str>,
    pub(super) repeats: Option<JobKey>,
    pub(super) options: Json,
    pub(super) inputs: Vec<InputEntry>,
}

impl Keeper {
    pub(crate) fn new(history: History, events: EventSender) -> Self {
        Self { history, events }
    }

    fn begin(&self, beginning: Beginning<'_>) -> Option<Recorder> {
        let Beginning {
            kind,
            module,
            function,
            label,
            repeats,
            options,
            inputs,
        } = beginning;
        let begun = self.history.begin(&NewJob {
            kind,
            module_path: module.path().map(Path::to_owned),
            module_hash: module.hash().to_string(),
            module_name: module.name().to_owned(),
            function: function.to_owned(),
            label: label.map(str::to_owned),
            repeats,
            options,
            submitted: SystemTime::now(),
            inputs,
        });
        match begun {
            Ok(recorder) => Some(recorder),
            Err(error) => {
                self.lost(&error.to_string());
                None
            }
        }
    }

    /// Begins to record a job of many tasks, of which those that give outcomes keep them.
    pub(super) fn job(&self, beginning: Beginning<'_>, keeps_results: bool) -> Option<Recording> {
        Some(Recording {
            recorder: self.begin(beginning)?,
            keeper: self.clone(),
            keeps_results,
            under_way: BTreeMap::new(),
            batch: Vec::new(),
        })
    }

    /// Records a call when its slot is filled.
    pub(super) fn call(
        &self,
        options: &Options,
        module: &Module,
        function: &str,
        input: &TaskInput,
        slot: &Slot,
    ) {
        let beginning = Beginning {
            kind: JobKind::Call,
            module,
            function,
            label: options.label.as_deref(),
            repeats: options.repeats,
            options: call_options(options),
            inputs: Vec::new(),
        };
        let Some(recorder) = self.begin(beginning) else {
            return;
        };
        let keeper = self.clone();
        let input = arguments(input, keeper.most(), &Cancel::default());
        slot.watch(move |done| {
            let Some(Outcome { result, usage }) = &done.outcome else {
                return;
            };
            let mut entry = keeper.entry(0, result.as_ref(), usage, true);
            entry.input = input;
            let state = match entry.state {
                TaskState::Done => JobState::Done,
                TaskState::Cancelled => JobState::Cancelled,
                TaskState::Failed => JobState::Failed,
            };
            let message = entry.message.clone();
            recorder.tasks(vec![entry]);
            recorder.end(JobEnd {
                state,
                ended: SystemTime::now(),
                result: None,
                stats: json!({ "tasks": 1, "run_time_s": usage.run_time.as_secs_f64() }),
                message,
            });
            keeper.check(&recorder);
        });
    }

    /// The reader's side: pieces that know what is recorded of them.
    pub(super) fn noting(&self, pieces: Box<dyn Pieces>) -> Box<dyn Pieces> {
        Box::new(Noting {
            most: self.most(),
            pieces,
        })
    }

    /// What is recorded of a task that has ended, but for its input.
    fn entry(
        &self,
        index: u64,
        result: Result<&Packed, &Failure>,
        usage: &Usage,
        keeps_result: bool,
    ) -> TaskEntry {
        let state = match result {
            Ok(_) => TaskState::Done,
            Err(failure) if failure.code == FailureCode::Cancelled => TaskState::Cancelled,
            Err(_) => TaskState::Failed,
        };
        let mut entry = TaskEntry::new(index, state, KeptInput::Elsewhere(String::new()));
        match result {
            Ok(value) if keeps_result => entry.result = self.kept(value),
            Ok(_) => {}
            Err(failure) => {
                entry.code = Some(failure.code.name().to_owned());
                entry.message = Some(failure.message.clone());
                entry.backtrace.clone_from(&failure.backtrace);
            }
        }
        let last = Attempt {
            number: usage.attempt,
            engine: usage.engine,
            started: usage.started,
            run_time: usage.run_time,
            failure: result.err().cloned(),
        };
        entry.attempts = usage
            .earlier
            .iter()
            .chain(std::iter::once(&last))
            .filter_map(attempt_entry)
            .collect();
        entry.engine = usage.engine;
        entry.queued = Some(usage.queued);
        entry.started = usage.engine.map(|_| usage.started);
        entry.finished = usage.engine.map(|_| usage.finished());
        entry.run_time = usage.run_time;
        entry.peak_memory = usage.peak_memory;
        entry.bytes_in = usage.bytes_in;
        entry.bytes_out = usage.bytes_out;
        entry.fuel = usage.fuel;
        if let Some(logs) = &usage.logs {
            entry.stderr.clone_from(&logs.stderr.kept);
        }
        entry
    }

    fn kept(&self, value: &Packed) -> Kept {
        let most = self.most();
        let bytes = value.len() as u64;
        if bytes <= most.bytes() {
            return Kept::Value(value.clone());
        }
        let reason = too_large(bytes, most);
        Kept::LeftOut { bytes, reason }
    }

    fn most(&self) -> ByteSize {
        self.history.settings().small_input
    }

    /// Tells of a recorder that has gone off.
    fn check(&self, recorder: &Recorder) {
        if let Some(error) = recorder.error() {
            self.lost(&error.to_string());
        }
    }

    fn lost(&self, reason: &str) {
        tracing::warn!("{reason}");
        self.events.tell(ClusterEvent::HistoryLost(reason.into()));
    }
}

/// The record of a job of many tasks, as its driver holds it.
pub(super) struct Recording {
    recorder: Recorder,
    keeper: Keeper,
    keeps_results: bool,
    /// What the tasks that have not ended were called with.
    under_way: BTreeMap<u64, KeptInput>,
    /// Tasks that have ended and are not handed over yet.
    batch: Vec<TaskEntry>,
}

/// Tasks that are handed over together, at most.
const BATCH: usize = 256;

impl Recording {
    /// Takes down a piece that was read.
    pub(super) fn read(&mut self, piece: &mut Piece) {
        if let Some(input) = piece.kept.take() {
            self.under_way.insert(piece.index.0, *input);
        }
    }

    /// What is recorded if this turns out to be the task's outcome.
    pub(super) fn entry(
        &self,
        origin: &Origin,
        result: &Result<Packed, Failure>,
        usage: &Usage,
    ) -> TaskEntry {
        self.keeper
            .entry(origin.index, result.as_ref(), usage, self.keeps_results)
    }

    /// A task has ended.
    pub(super) fn ended(&mut self, mut entry: TaskEntry) {
        if let Some(input) = self.under_way.remove(&entry.index) {
            entry.input = input;
        }
        self.batch.push(entry);
        if self.batch.len() >= BATCH {
            self.hand_over();
        }
    }

    /// Hands over what there is.
    pub(super) fn hand_over(&mut self) {
        if !self.batch.is_empty() {
            self.recorder.tasks(std::mem::take(&mut self.batch));
            self.keeper.check(&self.recorder);
        }
    }

    /// The job has ended. Comes back when that is written.
    pub(super) fn end(mut self, result: &Result<JobResult, JobError>) {
        // What had been read and came to nothing was stopped.
        for (index, input) in std::mem::take(&mut self.under_way) {
            self.batch
                .push(TaskEntry::new(index, TaskState::Cancelled, input));
        }
        self.hand_over();
        self.recorder.end(JobEnd {
            state: match result {
                Ok(_) => JobState::Done,
                Err(JobError::Cancelled) => JobState::Cancelled,
                Err(_) => JobState::Failed,
            },
            ended: SystemTime::now(),
            result: result.as_ref().ok().and_then(|done| done.merged.clone()),
            stats: result.as_ref().map_or(Json::Null, stats),
            message: result.as_ref().err().map(ToString::to_string),
        });
        self.recorder.flush();
        self.keeper.check(&self.recorder);
    }
}

/// Pieces with what is recorded of them. It does not hold the history, which a reader that is
/// stuck would keep open.
struct Noting {
    most: ByteSize,
    pieces: Box<dyn Pieces>,
}

impl Pieces for Noting {
    fn next(&mut self, stop: &Cancel) -> Option<Result<Piece, InputError>> {
        let mut next = self.pieces.next(stop);
        if let Some(Ok(piece)) = &mut next {
            let input = arguments(&piece.input, self.most, stop);
            piece.kept = Some(Box::new(input));
        }
        next
    }

    fn total(&self) -> Total {
        self.pieces.total()
    }
}

/// The recorded form of what a task is called with.
fn arguments(input: &TaskInput, most: ByteSize, stop: &Cancel) -> KeptInput {
    match input {
        TaskInput::Ready(Arguments::Values(values) | Arguments::Parts(values)) => {
            let bytes = values.iter().map(|value| value.len() as u64).sum();
            if bytes > most.bytes() {
                return KeptInput::Elsewhere(too_large(bytes, most));
            }
            KeptInput::Stored(values.clone())
        }
        TaskInput::Ready(Arguments::Chunk(chunk)) => kept_chunk(chunk, most, stop),
        TaskInput::Named(_) => {
            KeptInput::Elsewhere("it names a value that was pushed to an engine".to_owned())
        }
        TaskInput::Refused(failure) => {
            KeptInput::Elsewhere(format!("it could not be read: {}", failure.message))
        }
    }
}

fn kept_chunk(chunk: &Chunk, most: ByteSize, stop: &Cancel) -> KeptInput {
    match &chunk.data {
        ChunkData::File(_) => KeptInput::Range {
            path: absolute(Path::new(&*chunk.source.name)),
            start: chunk.range.start,
            end: chunk.range.end,
            sha256: hash(chunk, stop),
        },
        ChunkData::Bytes(bytes) if bytes.len() as u64 <= most.bytes() => {
            let value = Value::from(bytes.to_vec());
            match Packed::pack(&value, &Type::bytes()) {
                Ok(packed) => KeptInput::Stored(vec![packed]),
                Err(error) => KeptInput::Elsewhere(error.to_string()),
            }
        }
        ChunkData::Bytes(bytes) => KeptInput::Elsewhere(too_large(bytes.len() as u64, most)),
        ChunkData::Stream(_) => {
            KeptInput::Elsewhere("it was a stream, which is read once and not kept".to_owned())
        }
    }
}

/// The SHA-256 of a chunk's bytes; none where they cannot be read, or nobody waits for them.
fn hash(chunk: &Chunk, stop: &Cancel) -> Option<String> {
    const AT_ONCE: usize = 256 << 10;
    let mut reader = chunk.open().ok()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; AT_ONCE.min(usize::try_from(chunk.len()?).unwrap_or(AT_ONCE).max(1))];
    loop {
        if stop.is_wanted() {
            return None;
        }
        match std::io::Read::read(&mut reader, &mut buffer) {
            Ok(0) => break,
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    let mut digits = String::new();
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    Some(digits)
}

fn too_large(bytes: u64, most: ByteSize) -> String {
    let bytes = ByteSize::new(bytes);
    format!("it has {bytes}, more than the {most} that are kept")
}

fn attempt_entry(attempt: &Attempt) -> Option<AttemptEntry> {
    let mut entry = AttemptEntry::new(attempt.engine?, attempt.started, attempt.run_time);
    if let Some(failure) = &attempt.failure {
        entry.code = Some(failure.code.name().to_owned());
        entry.message.clone_from(&failure.message);
    }
    Some(entry)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What is recorded of inputs before they are cut.
pub(super) fn input_entries(inputs: &[Input]) -> Vec<InputEntry> {
    let entry = |input: &Input| match input {
        Input::Path(path) => {
            let mut entry = InputEntry::new(path.display().to_string());
            let meta = std::fs::metadata(path).ok();
            entry.bytes = meta
                .filter(std::fs::Metadata::is_file)
                .map(|meta| meta.len());
            entry.path = Some(absolute(path));
            entry
        }
        Input::Bytes { name, bytes } => {
            let mut entry = InputEntry::new(name);
            entry.bytes = Some(bytes.len() as u64);
            entry
        }
        Input::Reader { name, .. } => InputEntry::new(name),
    };
    inputs.iter().map(entry).collect()
}

/// What the history is told of a job that begins.
pub(super) fn beginning<'a>(
    plan: &Plan,
    spec: &'a JobSpec,
    setting: &Setting,
    program: &'a Program,
    kind: JobKind,
    inputs: Vec<InputEntry>,
) -> Beginning<'a> {
    /// What runs of a command that names no function.
    const PROGRAM: &str = "_start";
    let module = &program.module;
    let function = match plan.map {
        Callee::Function(place) => &module.functions()[place].name,
        Callee::Command => PROGRAM,
    };
    Beginning {
        kind,
        module,
        function,
        label: spec.label.as_deref(),
        repeats: spec.repeats,
        options: job_options(spec, setting, &plan.merge),
        inputs,
    }
}

/// What a job was asked for, as it is recorded. `merge` has nothing left to default.
fn job_options(spec: &JobSpec, setting: &Setting, merge: &Merge) -> Json {
    let view = match &spec.view {
        ViewKind::Balanced => "balanced".to_owned(),
        ViewKind::BalancedAmong(targets) => format!("balanced among {targets}"),
        ViewKind::Direct(targets) => format!("direct on {targets}"),
    };
    let (merge, reducer) = match merge {
        Merge::Reducer(name) => ("reducer".to_owned(), Some(name)),
        other => (format!("{other:?}").to_lowercase(), None),
    };
    let options = json!({
        "map": spec.map,
        "merge": merge,
        "reducer": reducer,
        "chunk": spec.chunking.map(|chunking| chunking.to_string()),
        "arguments": spec.arguments,
        "view": view,
        "reuse": reuse(spec.reuse),
        "retries": spec.retry.retries,
        "max_failures": spec.max_failures.to_string(),
        "deadline_s": seconds(spec.deadline),
        "queue_timeout_s": seconds(spec.queue_timeout),
        "priority": spec.priority,
        "unordered": spec.unordered,
        "memo": spec.memo,
    });
    with(
        options,
        granted(&setting.limits, &setting.grants, setting.deterministic),
    )
}

fn call_options(options: &Options) -> Json {
    let more = granted(&options.limits, &options.grants, options.deterministic);
    let options = json!({
        "reuse": reuse(options.reuse),
        "retries": options.retry.retries,
        "deadline_s": seconds(options.deadline),
        "queue_timeout_s": seconds(options.queue_time),
        "priority": options.priority,
        "memo": options.memo.as_deref(),
    });
    with(options, more)
}

fn reuse(reuse: Reuse) -> &'static str {
    match reuse {
        Reuse::None => "none",
        Reuse::Dispatch => "dispatch",
        Reuse::Engine => "engine",
    }
}

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64())
}

/// What tasks may use and reach. Of the environment the names alone: values may be secrets.
fn granted(limits: &Limits, grants: &Grants, deterministic: bool) -> [(&'static str, Json); 3] {
    let seed = match grants.random {
        Random::System => None,
        Random::Seeded(seed) => Some(seed),
    };
    [
        ("limits", json!(limits)),
        (
            "granted",
            json!({
                "grants": grants.described(),
                "clock": grants.clock.name(),
                "seed": seed,
            }),
        ),
        ("deterministic", json!(deterministic)),
    ]
}

fn with(mut options: Json, more: [(&'static str, Json); 3]) -> Json {
    if let Json::Object(options) = &mut options {
        options.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    options
}

fn stats(result: &JobResult) -> Json {
    let stats = &result.stats;
    json!({
        "tasks": stats.tasks,
        "merges": stats.merges,
        "retries": stats.retries,
        "failures": result.failures,
        "dispatches": stats.dispatches,
        "chunks": stats.chunks,
        "bytes_in": stats.bytes_in,
        "wall_time_s": stats.wall_time.as_secs_f64(),
        "serial_time_s": stats.serial_time.as_secs_f64(),
        "peak_memory": stats.peak_memory,
        "engine_count": stats.engine_count,
    })
}

/// What a view's calls remember, shared by its clones.
pub(super) type Memo = Option<Arc<Json>>;
