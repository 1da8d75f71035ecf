//! `--report`: one document on a job, JSON for programs or a page for people.

use crate::exit::{CliError, Ending};
use crate::output::results::Output;
use crate::output::summary::Summary;
use crate::text::{duration, in_options, json_document, time};
use rwasm_cluster::{
    ArgumentSource, Board, ByteSize, Cluster, Failure, JobError, JobStats, LogLine, Merge, Module,
    Origin, TaskInfo, TaskRecord, TaskSettings, Usage, report_page,
};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};
use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The version of the document's shape; a field may be added without a new one.
const VERSION: u32 = 1;

/// What a job is, for its report.
pub(crate) struct Subject {
    /// Which command ran it.
    pub(crate) command: &'static str,
    pub(crate) module: Module,
    pub(crate) function: Option<String>,
    pub(crate) merge: Option<Merge>,
    pub(crate) label: Option<String>,
    pub(crate) is_deterministic: bool,
    /// The files that it reads.
    pub(crate) inputs: Vec<PathBuf>,
}

impl Subject {
    /// A job of `command` on a module; what it calls and how it merges is for the command to add.
    pub(crate) fn of(command: &'static str, module: &Module, task: &TaskSettings) -> Self {
        Self {
            command,
            module: module.clone(),
            function: None,
            merge: None,
            label: task.label.as_deref().map(str::to_owned),
            is_deterministic: task.deterministic,
            inputs: Vec::new(),
        }
    }
}

/// A report that is to be written when its job has ended.
pub(crate) struct Report {
    file: Output,
    /// What a page shows, which is gathered while the job runs. A document for programs has each task instead.
    board: Option<Board>,
}

impl Report {
    /// Opens the file, in which a page is to be if its name is that of one.
    pub(crate) fn open(path: &Path) -> Result<Self, CliError> {
        Ok(Self {
            file: Output::open(Some(path))?,
            board: is_page(path).then(Board::default),
        })
    }

    /// What is to observe the job.
    pub(crate) fn board(&self) -> Option<&Board> {
        self.board.as_ref()
    }

    /// Writes the report on a job that has ended, with this error if it did not end well.
    pub(crate) fn write(
        mut self,
        subject: &Subject,
        cluster: &Cluster,
        summary: &Summary,
        error: Option<&CliError>,
    ) -> Result<(), CliError> {
        let text = match &self.board {
            Some(board) => page(board, subject, cluster, summary, error),
            None => json_document(&document(subject, cluster, summary, error)),
        };
        self.file.bytes(text.as_bytes())?;
        self.file.complete()
    }
}

/// Whether a file of this name is a page for people.
pub(crate) fn is_page(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| {
        extension.eq_ignore_ascii_case("html") || extension.eq_ignore_ascii_case("htm")
    })
}

/// How a job ended.
fn state(error: Option<&CliError>) -> &'static str {
    match error {
        None => "done",
        Some(CliError::Signal(_) | CliError::OutputClosed) => "interrupted",
        Some(_) => "failed",
    }
}

fn document(
    subject: &Subject,
    cluster: &Cluster,
    summary: &Summary,
    error: Option<&CliError>,
) -> Json {
    json!({
        "version": VERSION,
        "command": subject.command,
        "label": subject.label,
        "state": state(error),
        "error": error.map(fatal),
        "module": {
            "name": subject.module.name(),
            "sha256": subject.module.hash().to_string(),
            "size": subject.module.size(),
            "form": subject.module.form().name(),
        },
        "function": subject.function,
        "merge": subject.merge.as_ref().map(Merge::to_string),
        "limits": cluster.limits(),
        "grants": cluster.grants().described(),
        "deterministic": subject.is_deterministic,
        "stats": summary.stats.as_ref().map(|figures| stats(figures, summary.failures)),
        "failures": summary.failed.iter().map(|(origin, why)| failure(origin, why)).collect::<Vec<_>>(),
        "outcomes": summary.outcomes,
    })
}

/// The page of a job, with what was gathered of its tasks.
fn page(
    board: &Board,
    subject: &Subject,
    cluster: &Cluster,
    summary: &Summary,
    error: Option<&CliError>,
) -> String {
    let module = &subject.module;
    let mut job = json!({
        "command": subject.command,
        "label": subject.label,
        "module": module.name(),
        "SHA-256 of the module": module.hash().to_string(),
        "size of the module": ByteSize::new(module.size()).to_string(),
        "form": module.form().name(),
        "function": subject.function,
        "merge": subject.merge.as_ref().map(Merge::to_string),
    });
    if let Some(stats) = &summary.stats {
        job["wall time"] = duration(stats.wall_time).into();
        job["serial time"] = duration(stats.serial_time).into();
        job["speed-up"] = format!("{:.2}", stats.speed_up()).into();
        job["engines"] = stats.engine_count.into();
        job["chunks"] = stats.chunks.into();
        job["retries"] = stats.retries.into();
    }
    job["ended"] = time(SystemTime::now()).into();
    let inputs = inputs(&subject.inputs);
    let settings = json!({
        "state": state(error),
        "error": error.map(|error| fatal(error)["message"].clone()),
        "job": job,
        "more": {
            "Limits": cluster.limits(),
            "Settings": {
                "grants": cluster.grants().described(),
                "deterministic": subject.is_deterministic,
            },
            "Inputs": inputs,
            "Versions": {
                "rwasm-cluster": env!("CARGO_PKG_VERSION"),
                "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            },
        },
    });
    let title = format!("{} {}", subject.command, module.name());
    let seen_nothing = (u64::MAX, 0);
    report_page(&title, &board.since(seen_nothing), &settings)
}

/// What is said of inputs: of so many, with their hashes as long as that takes a moment.
fn inputs(paths: &[PathBuf]) -> Map<String, Json> {
    const MOST: usize = 1000;
    const MOST_HASHED: u64 = 1 << 30;
    let mut left = MOST_HASHED;
    let listed = paths.iter().take(MOST);
    let mut shown: Map<String, Json> = listed
        .map(|path| (path.display().to_string(), input(path, &mut left).into()))
        .collect();
    if let Some(more) = paths.len().checked_sub(MOST).filter(|more| *more > 0) {
        shown.insert("more".to_owned(), format!("{more} inputs").into());
    }
    shown
}

/// What is said of an input: its hash, unless it is larger than what is left to be hashed.
fn input(path: &Path, left: &mut u64) -> String {
    let mut hashed = || -> std::io::Result<String> {
        let meta = std::fs::metadata(path)?;
        let size = ByteSize::new(meta.len());
        if !meta.is_file() {
            return Ok("not a regular file".to_owned());
        }
        *left = if let Some(left) = left.checked_sub(meta.len()) {
            left
        } else {
            return Ok(format!("{size}, too large to be hashed for a report"));
        };
        let mut hash = Sha256::new();
        let mut file = std::fs::File::open(path)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => hash.update(&buffer[..count]),
            }
        }
        let mut digits = String::new();
        for byte in hash.finalize() {
            digits += &format!("{byte:02x}");
        }
        Ok(format!("{size}, SHA-256 {digits}"))
    };
    hashed().unwrap_or_else(|error| format!("cannot be read any more: {error}"))
}

/// What ended the job; of a task, with what it printed last.
fn fatal(error: &CliError) -> Json {
    let message = match error {
        CliError::Signal(Ending::Interrupted) => "interrupted".to_owned(),
        CliError::Signal(Ending::Terminated) => "terminated".to_owned(),
        CliError::OutputClosed => "nobody reads the result any more".to_owned(),
        error => in_options(&error.message()).into_owned(),
    };
    let mut document = json!({ "message": message, "exit_code": error.code() });
    let (task, failed, logs) = match error {
        CliError::Task { failed, .. } => (&failed.origin, &failed.failure, &*failed.logs),
        CliError::Job(error) => match &**error {
            JobError::TaskFailed {
                origin,
                failure,
                logs,
                ..
            } => (origin, &**failure, &**logs),
            _ => return document,
        },
        _ => return document,
    };
    let Json::Object(parts) = failure(task, failed) else {
        return document;
    };
    for (name, value) in parts {
        // Its message is in the error's.
        if name != "message" {
            document[&name] = value;
        }
    }
    for (name, log) in [("stdout", &logs.stdout), ("stderr", &logs.stderr)] {
        if !log.kept.is_empty() {
            document[name] = Json::from(log.text());
        }
    }
    if let Some(backtrace) = &failed.backtrace {
        document["backtrace"] = Json::from(backtrace.as_str());
    }
    document
}

fn failure(origin: &Origin, failure: &Failure) -> Json {
    let mut document = json!({
        "task": task(origin),
        "code": failure.code.name(),
        "message": in_options(&failure.message),
    });
    if let Some(line) = &failure.last_line {
        document["last_line"] = Json::from(&**line);
    }
    document
}

fn stats(stats: &JobStats, failures: u64) -> Json {
    json!({
        "tasks": stats.tasks,
        "merges": stats.merges,
        "retries": stats.retries,
        "failures": failures,
        "dispatches": stats.dispatches,
        "chunks": stats.chunks,
        "bytes_in": stats.bytes_in,
        "wall_time_s": stats.wall_time.as_secs_f64(),
        "serial_time_s": stats.serial_time.as_secs_f64(),
        "speed_up": stats.speed_up(),
        "efficiency": stats.efficiency(),
        "peak_memory": stats.peak_memory,
        "engine_count": stats.engine_count,
        "engines": stats.engines.iter().map(|(id, engine)| json!({
            "engine": id.0,
            "tasks": engine.tasks,
            "busy_s": engine.busy.as_secs_f64(),
            "bytes_in": engine.bytes_in,
        })).collect::<Vec<_>>(),
    })
}

fn task(origin: &Origin) -> Json {
    match &origin.source {
        ArgumentSource::Chunk { input, range } => json!({
            "index": origin.index,
            "input": &**input,
            "start": range.start,
            "end": (range.end != u64::MAX).then_some(range.end),
        }),
        ArgumentSource::Line { input, line } => json!({
            "index": origin.index,
            "input": &**input,
            "line": line,
        }),
        _ => json!({ "index": origin.index }),
    }
}

/// One attempt at a task, as it stands in the document.
#[derive(Serialize)]
pub(super) struct Record {
    kind: &'static str,
    task: Json,
    code: Option<&'static str>,
    engine: Option<u32>,
    attempt: u32,
    queued_s: f64,
    started_s: f64,
    run_time_s: f64,
    peak_memory: Option<u64>,
    bytes_in: Option<u64>,
    bytes_out: Option<u64>,
    fuel: Option<u64>,
    #[serde(flatten)]
    notes: RecordedNotes,
}

/// What a task told and printed, as far as that is kept; what it did not is left out.
#[derive(Default, Serialize)]
struct RecordedNotes {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    log: Vec<Json>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    published: Map<String, Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Json>,
    #[serde(skip_serializing_if = "String::is_empty")]
    stdout: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    stderr: String,
}

impl RecordedNotes {
    fn of(usage: &Usage) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut recorded = Self::default();
        if let Some(notes) = &usage.notes {
            let line =
                |line: &LogLine| json!({ "level": line.level.name(), "message": line.message });
            recorded.log = notes.log.iter().map(line).collect();
            let published = notes.published.iter();
            recorded.published = published
                .map(|one| (one.name.to_string(), Json::from(text(&one.bytes))))
                .collect();
            recorded.progress = notes
                .progress
                .map(|progress| json!({ "done": progress.done, "total": progress.total }));
        }
        if let Some(logs) = &usage.logs {
            recorded.stdout = logs.stdout.text();
            recorded.stderr = logs.stderr.text();
        }
        recorded
    }
}

pub(super) fn record(record: &TaskRecord) -> Record {
    let usage = &record.usage;
    Record {
        kind: if record.is_merge { "merge" } else { "map" },
        task: task(&record.origin),
        code: record.code.map(rwasm_cluster::FailureCode::name),
        engine: usage.engine.map(|engine| engine.0),
        attempt: usage.attempt,
        queued_s: since_epoch(usage.queued),
        started_s: since_epoch(usage.started),
        run_time_s: usage.run_time.as_secs_f64(),
        peak_memory: Some(usage.peak_memory),
        bytes_in: Some(usage.bytes_in),
        bytes_out: Some(usage.bytes_out),
        fuel: usage.fuel,
        notes: RecordedNotes::of(usage),
    }
}

/// The attempts at a call; what all but the last used beside time is not known.
pub(super) fn attempts(index: u64, call: &TaskInfo) -> Vec<Record> {
    let usage = &call.usage;
    let attempts = call.attempts.iter();
    attempts
        .map(|attempt| {
            let is_last = attempt.number == usage.attempt;
            Record {
                kind: "call",
                task: json!({ "index": index }),
                code: attempt.failure.as_ref().map(|failure| failure.code.name()),
                engine: attempt.engine.map(|engine| engine.0),
                attempt: attempt.number,
                queued_s: since_epoch(if is_last {
                    usage.queued
                } else {
                    call.submitted
                }),
                started_s: since_epoch(attempt.started),
                run_time_s: attempt.run_time.as_secs_f64(),
                peak_memory: is_last.then_some(usage.peak_memory),
                bytes_in: is_last.then_some(usage.bytes_in),
                bytes_out: is_last.then_some(usage.bytes_out),
                fuel: usage.fuel.filter(|_| is_last),
                notes: if is_last {
                    RecordedNotes::of(usage)
                } else {
                    RecordedNotes::default()
                },
            }
        })
        .collect()
}

fn since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs_f64()
}
