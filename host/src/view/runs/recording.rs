//! What jobs and calls tell the history: how they begin, what became of each task, how they end.
//! Nothing of this is made where no history is set, and none of it can fail a job: one that cannot
//! be recorded is told of as an event.
//!
//! What a task was called with is turned into its recorded form by the job's reader, which also
//! takes the hashes of files' parts; the driver holds that form while the task is under way.

use super::pieces::{Piece, Pieces, Total};
use super::spec::ViewKind;
use super::start::NewJob;
use crate::dispatch::TaskInput;
use crate::merge::Builtin;
use crate::view::shared::keeper::{Beginning, Keeper, Results, too_large};
use crate::view::shared::result::{JobError, JobResult};
use crate::view::shared::settings::TaskSettings;
use crate::view::shared::slot::Slot;
pub(crate) use rwasm_history::{InputEntry, JobKind, RecordedInput};
use rwasm_history::{JobEnd, JobState, Recorder, TaskEntry, TaskState};
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::chunk::Records;
use rwasm_sandbox::grants::{Grants, Random};
use rwasm_sandbox::input::{Chunk, ChunkData, Input, InputError, Reading};
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::{Failure, Origin, Outcome, Usage};
use rwasm_sandbox::sandbox::{Arguments, Callee, ModuleInfo};
use rwasm_value::units::ByteSize;
use rwasm_value::value::{Packed, Type, Value};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

impl Keeper {
    /// Begins to record a job of many tasks, of which those that give outcomes keep them.
    pub(crate) fn job(&self, new: &NewJob<'_>) -> Option<Recording> {
        Some(Recording {
            recorder: self.begin(beginning(new))?,
            keeper: self.clone(),
            results: match &new.elements {
                Some(_) => Results::Read,
                None if new.plan.gives_outcomes() => Results::Kept,
                None => Results::Merged,
            },
            under_way: BTreeMap::new(),
            batch: Vec::new(),
        })
    }

    /// Records a call when its slot is filled.
    pub(crate) fn call(
        &self,
        task: &TaskSettings,
        granted: (&Limits, &Grants),
        (module, function): (&ModuleInfo, &str),
        input: &TaskInput,
        slot: &Slot,
        is_read: bool,
    ) {
        let beginning = Beginning {
            kind: JobKind::Call,
            module,
            function,
            label: task.label.as_deref(),
            repeats: task.repeats,
            options: call_options(task, granted),
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
            let results = if is_read {
                Results::Read
            } else {
                Results::Kept
            };
            let mut entry = keeper.entry(0, result.as_ref(), usage, results);
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
                stats: json!({ "input_read": true, "tasks": 1, "run_time_s": usage.run_time.as_secs_f64() }),
                message,
            });
            keeper.check(&recorder);
        });
    }

    /// The reader's side: pieces that know what is recorded of them.
    pub(crate) fn noting(&self, pieces: Box<dyn Pieces>) -> Box<dyn Pieces> {
        Box::new(Noting {
            most: self.most(),
            pieces,
        })
    }
}

/// The record of a job of many tasks, as its driver holds it.
pub(crate) struct Recording {
    recorder: Recorder,
    keeper: Keeper,
    results: Results,
    /// What the tasks that have not ended were called with.
    under_way: BTreeMap<u64, RecordedInput>,
    /// Tasks that have ended and are not handed over yet.
    batch: Vec<TaskEntry>,
}

/// Tasks that are handed over together, at most.
const BATCH: usize = 256;

impl Recording {
    /// Takes down a piece that was read.
    pub(crate) fn read(&mut self, piece: &mut Piece) {
        if let Some(input) = piece.kept.take() {
            self.under_way.insert(piece.index.0, *input);
        }
    }

    /// What is recorded if this turns out to be the task's outcome.
    pub(crate) fn entry(
        &self,
        origin: &Origin,
        result: &Result<Packed, Failure>,
        usage: &Usage,
    ) -> TaskEntry {
        self.keeper
            .entry(origin.index, result.as_ref(), usage, self.results)
    }

    /// A task has ended.
    pub(crate) fn ended(&mut self, mut entry: TaskEntry) {
        if let Some(input) = self.under_way.remove(&entry.index) {
            entry.input = input;
        }
        self.batch.push(entry);
        if self.batch.len() >= BATCH {
            self.hand_over();
        }
    }

    /// Hands over what there is.
    pub(crate) fn hand_over(&mut self) {
        if !self.batch.is_empty() {
            self.recorder.tasks(std::mem::take(&mut self.batch));
            self.keeper.check(&self.recorder);
        }
    }

    /// The job has ended, with all of its input read or not. Comes back when that is written.
    pub(crate) fn end(mut self, result: &Result<JobResult, JobError>, input_read: bool) {
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
            stats: result
                .as_ref()
                .map_or_else(|_| json!({ "input_read": input_read }), stats),
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
fn arguments(input: &TaskInput, most: ByteSize, stop: &Cancel) -> RecordedInput {
    match input {
        TaskInput::Ready(Arguments::Values(values) | Arguments::Parts(values)) => {
            let bytes = values.iter().map(|value| value.len() as u64).sum();
            if bytes > most.bytes() {
                return RecordedInput::Elsewhere(too_large(bytes, most));
            }
            RecordedInput::Stored(values.clone())
        }
        TaskInput::Ready(Arguments::Chunk(chunk)) => kept_chunk(chunk, most, stop),
        TaskInput::Named(_) => {
            RecordedInput::Elsewhere("it names a value that was pushed to an engine".to_owned())
        }
        TaskInput::Refused(failure) => {
            RecordedInput::Elsewhere(format!("it could not be read: {}", failure.message))
        }
    }
}

fn kept_chunk(chunk: &Chunk, most: ByteSize, stop: &Cancel) -> RecordedInput {
    match &chunk.data {
        ChunkData::File(_) => RecordedInput::Range {
            path: absolute(Path::new(&*chunk.source.name)),
            start: chunk.range.start,
            end: chunk.range.end,
            sha256: hash(chunk, stop),
        },
        ChunkData::Bytes(bytes) if bytes.len() as u64 <= most.bytes() => {
            let value = Value::from(bytes.to_vec());
            match Packed::pack(&value, &Type::bytes()) {
                Ok(packed) => RecordedInput::Stored(vec![packed]),
                Err(error) => RecordedInput::Elsewhere(error.to_string()),
            }
        }
        ChunkData::Bytes(bytes) => RecordedInput::Elsewhere(too_large(bytes.len() as u64, most)),
        ChunkData::Stream(_) => {
            RecordedInput::Elsewhere("it was a stream, which is read once and not kept".to_owned())
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

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What is recorded of inputs before they are cut.
pub(crate) fn input_entries(inputs: &[Input]) -> Vec<InputEntry> {
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
fn beginning<'a>(new: &'a NewJob<'_>) -> Beginning<'a> {
    /// What runs of a command that names no function.
    const PROGRAM: &str = "_start";
    let module = &new.program.module;
    Beginning {
        kind: new.kind,
        module,
        function: match new.plan.map {
            Callee::Function(place) => &module.functions()[place].name,
            Callee::Command => PROGRAM,
        },
        label: new.task.label.as_deref(),
        repeats: new.task.repeats,
        options: job_options(new),
        inputs: new.inputs.clone(),
    }
}

/// The request of a job in its recorded form.
fn job_options(new: &NewJob<'_>) -> Json {
    let NewJob {
        run,
        task,
        job,
        setting,
        ..
    } = new;
    let view = match new.view {
        ViewKind::Balanced => "balanced".to_owned(),
        ViewKind::BalancedAmong(targets) => format!("balanced among {targets}"),
        ViewKind::Direct(targets) => format!("direct on {targets}"),
    };
    let chunking = run.and_then(|run| run.chunking);
    let options = json!({
        "map": run.and_then(|run| run.map.as_deref()),
        "merge": new.plan.merge.to_string(),
        "chunk": chunking.map(|chunking| chunking.to_string()),
        "reading": run.map(|run| reading(&run.reading)),
        "arguments": run.map_or(&[][..], |run| &run.arguments),
        "argv0": run.and_then(|run| run.argv0.as_deref()),
        "ok_exit": run.map_or(&[][..], |run| &run.ok_exit),
        "view": view,
        "reuse": task.reuse.name(),
        "retries": task.retry.retries,
        "max_failures": job.max_failures.to_string(),
        "deadline_s": seconds(task.deadline),
        "queue_timeout_s": seconds(task.queue_timeout),
        "priority": task.priority,
        "unordered": job.unordered,
        "memo": task.memo,
    });
    let is_streamed =
        run.is_some_and(|run| run.streamed) && new.plan.merge.builtin() == Some(Builtin::Concat);
    let streamed = is_streamed.then(|| ("streamed", true.into()));
    let more = granted(&setting.limits, &setting.grants, setting.deterministic);
    with(options, more.into_iter().chain(streamed))
}

/// How inputs were read, as far as that is not the default.
fn reading(reading: &Reading) -> Json {
    let records = match &reading.records {
        Records::Groups(lines) => json!({ "lines": lines }),
        Records::Start(expression) => json!({ "start": expression.to_string() }),
        Records::Csv => json!("csv"),
        _ => json!("lines"),
    };
    json!({
        "inflate": reading.inflate,
        "records": records,
        "header": reading.header.to_string(),
        "invalid_utf8": reading.invalid_utf8.name(),
    })
}

fn call_options(task: &TaskSettings, (limits, grants): (&Limits, &Grants)) -> Json {
    let options = json!({
        "arguments": task.arguments,
        "reuse": task.reuse.name(),
        "retries": task.retry.retries,
        "deadline_s": seconds(task.deadline),
        "queue_timeout_s": seconds(task.queue_timeout),
        "priority": task.priority,
        "memo": task.memo,
    });
    with(options, granted(limits, grants, task.deterministic))
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

fn with(mut options: Json, more: impl IntoIterator<Item = (&'static str, Json)>) -> Json {
    if let Json::Object(options) = &mut options {
        let more = more.into_iter();
        options.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    options
}

fn stats(result: &JobResult) -> Json {
    let stats = &result.stats;
    json!({
        "input_read": true,
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
