//! `job retry` and `job replay`: recorded tasks once more, of what the history has or names. What
//! has changed since, or is not kept, is said and not run.

use super::result::{Formats, error_line};
use super::{is_streamed, merge_of};
use crate::args::{AgainArguments, GrantOptions, Printed, ReplayArguments, check_engines};
use crate::environment::compiler::bounded;
use crate::environment::signals::Signals;
use crate::exit::CliError;
use crate::output::messages::warn;
use crate::output::printers::{failed_task, unpacked};
use crate::output::results::Output;
use crate::pipeline::RunningCluster;
use crate::pipeline::grants;
use crate::pipeline::history;
use crate::pipeline::output::refuse_same;
use crate::text::{counted, in_options};
use anyhow::Context as _;
use rwasm_cluster::{
    Argument, Chunking, Cluster, ClusterBuilder, Grants, Input, JobEntry, JobError, JobKey,
    JobKind, JobSpec, JobState, Merge, Module, Random, RecordedInput, TaskEntry, TaskError,
    TaskFailure, TaskQuery, TaskState, Tolerance, Value,
};
use rwasm_cluster::{plain, small_file};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// Runs a job's failed tasks again.
pub(super) fn retry(
    key: JobKey,
    arguments: &AgainArguments,
    signals: &Signals,
) -> Result<(), CliError> {
    check_engines(arguments.engines)?;
    let history = history::existing_to_record(&arguments.history)?;
    let job = history.job(key).map_err(CliError::History)?;
    if job.state == JobState::Running {
        return Err(CliError::History(
            rwasm_cluster::HistoryError::StillRunning { key },
        ));
    }
    let mut query = TaskQuery::default();
    query.states = vec![TaskState::Failed, TaskState::Cancelled];
    let tasks = history.tasks(key, &query).map_err(CliError::History)?;
    let is_merged = Formats::of(&job, None).is_merged;
    refuse_unfinished(&job, &tasks, is_merged)?;
    if tasks.is_empty() {
        return Err(CliError::Wrong {
            message: format!("job {key} has no failed tasks to run again"),
            hint: format!("`rwasm-cluster job show {key}` shows its tasks"),
        });
    }
    let granted = granted(&job, &arguments.grants)?;
    let module = module(&job)?;
    let mut lost = Vec::new();
    let mut given = Vec::new();
    for task in &tasks {
        match Given::of(&job, task) {
            Ok(found) => given.push(found),
            Err(why) => lost.push(format!(
                "task {} of job {key} cannot be run again: {why}",
                task.index
            )),
        }
    }
    if given.is_empty() {
        return Err(gone(lost.remove(0)));
    }
    if is_merged && !lost.is_empty() {
        // What came of the others would look like all of it.
        return Err(gone(lost.remove(0)));
    }
    for text in &lost {
        warn(text);
    }
    let builder = match arguments.engines {
        Some(engines) => Cluster::builder().engines(engines),
        None => Cluster::builder(),
    };
    let mut spec = retried(&job, arguments);
    spec.task.grants = Some(granted);
    let again = Again {
        job: &job,
        module,
        format: Formats::of(&job, arguments.printed.format),
        spec,
    };
    again.run(builder.history(history), given, &arguments.printed, signals)
}

/// Refuses a job that did not run to its end: what it has not read is not known, and what its tasks gave before it was
/// stopped is in no result. So its failed tasks are not all that is missing.
fn refuse_unfinished(job: &JobEntry, again: &[TaskEntry], is_merged: bool) -> Result<(), CliError> {
    let done = job.tasks.saturating_sub(again.len() as u64);
    let is_whole = match job.state {
        JobState::Done => true,
        // Of a process that was killed, not even the call is there.
        JobState::Cancelled | JobState::Interrupted if job.kind == JobKind::Call => {
            !again.is_empty()
        }
        JobState::Failed => {
            let is_read = job
                .stats
                .as_ref()
                .is_some_and(|stats| stats["input_read"] == true);
            is_read && (!is_merged || done == 0)
        }
        _ => false,
    };
    if is_whole {
        return refuse_forgotten(job, again);
    }
    let stopped = again
        .iter()
        .filter(|task| task.state == TaskState::Cancelled);
    let stopped = stopped.count() as u64;
    let inputs = match job.inputs.len() {
        0 => "its input".to_owned(),
        count => format!("its {}", counted(count as u64, "input")),
    };
    let how = match job.state {
        JobState::Failed => "stopped at a failure".to_owned(),
        state => format!("was {state}"),
    };
    Err(CliError::Wrong {
        message: format!(
            "job {} {how} before it had done all of {inputs}: {done} of its tasks ended well, {} failed, {stopped} were stopped, \
             and others may never have started",
            job.key,
            again.len() as u64 - stopped,
        ),
        hint: "run the whole job again".to_owned(),
    })
}

/// Refuses a job of which not all failed tasks are kept: the others would pass for all of them.
fn refuse_forgotten(job: &JobEntry, again: &[TaskEntry]) -> Result<(), CliError> {
    let told = job
        .stats
        .as_ref()
        .and_then(|stats| stats["failures"].as_u64());
    let failed = told.unwrap_or_default().max(job.tasks_failed);
    let is_kept = |task: &&TaskEntry| task.state == TaskState::Failed;
    let kept = again.iter().filter(is_kept).count() as u64;
    if kept >= failed {
        return Ok(());
    }
    Err(gone(format!(
        "of {} of job {}, the history has {kept}: the others were removed to keep it within its limits, or not recorded",
        counted(failed, "failed task"),
        job.key
    )))
}

/// Runs one task again, alone.
pub(super) fn replay(
    key: JobKey,
    arguments: &ReplayArguments,
    signals: &Signals,
) -> Result<(), CliError> {
    let history = history::existing()?;
    let job = history.job(key).map_err(CliError::History)?;
    let task = history
        .task(key, arguments.task)
        .map_err(CliError::History)?;
    let granted = granted(&job, &arguments.grants)?;
    let module = module(&job)?;
    let given = Given::of(&job, &task).map_err(|why| {
        gone(format!(
            "task {} of job {key} cannot be run again: {why}",
            task.index
        ))
    })?;
    let mut spec = spec(&job);
    spec.task.grants = Some(granted);
    spec.merge = Merge::None;
    spec.task.retry.retries = 0;
    spec.job.max_failures = Tolerance::Count(0);
    let mut format = Formats::of(&job, arguments.printed.format);
    format.is_merged = false;
    let again = Again {
        job: &job,
        module,
        format,
        spec,
    };
    again.run(
        Cluster::builder().engines(1),
        vec![given],
        &arguments.printed,
        signals,
    )
}

/// What a retried job is asked for: as before, but for what is wished otherwise now.
fn retried(job: &JobEntry, arguments: &AgainArguments) -> JobSpec {
    let mut spec = spec(job);
    spec.task.repeats = Some(job.key);
    let limits = spec.task.limits.get_or_insert_default();
    limits.time = arguments.timeout.unwrap_or(limits.time);
    limits.memory = arguments.memory.unwrap_or(limits.memory);
    limits.fuel = arguments.fuel.or(limits.fuel);
    spec
}

fn gone(message: String) -> CliError {
    CliError::Gone {
        message,
        hint: "run the whole job again".to_owned(),
    }
}

/// The module that the job ran, if it is still there and the same.
fn module(job: &JobEntry) -> Result<Module, CliError> {
    let Some(path) = &job.module_path else {
        return Err(gone(format!(
            "the module of job {} was not loaded from a file",
            job.key
        )));
    };
    let mut module = Module::from_file(path).map_err(CliError::Load)?;
    if let Some(Ok(abi)) = job.options["abi"].as_str().map(str::parse) {
        module = module.with_abi(&abi).map_err(CliError::Load)?;
    }
    if let Some(script) = job.options["script"].as_str() {
        // It fitted the module that ran.
        let scripted = module.with_script(script);
        module = scripted.map_err(|_| changed(path, job))?;
    }
    if module.hash().to_string() == job.module_hash {
        return Ok(module);
    }
    Err(changed(path, job))
}

fn changed(path: &Path, job: &JobEntry) -> CliError {
    gone(format!(
        "the module `{}` has changed since job {} ran it",
        plain::path(path),
        job.key
    ))
}

/// What a task is called with, once more.
enum Given {
    Input(Input),
    Values(Vec<Value>),
}

impl Given {
    fn of(job: &JobEntry, task: &TaskEntry) -> Result<Self, String> {
        match &task.input {
            RecordedInput::Stored(packed) => {
                let values = packed
                    .iter()
                    .map(|value| value.unpack().map_err(|error| error.to_string()));
                let values: Vec<Value> = values.collect::<Result<_, _>>()?;
                if job.kind != JobKind::Run {
                    return Ok(Self::Values(values));
                }
                match values.into_iter().next() {
                    Some(Value::Bytes(bytes)) => {
                        let name = format!("input of task {} of job {}", task.index, job.key);
                        Ok(Self::Input(Input::bytes(name, bytes)))
                    }
                    _ => Err("its stored input is not a chunk".to_owned()),
                }
            }
            RecordedInput::Range {
                path,
                start,
                end,
                sha256,
            } => {
                let wanted = sha256
                    .as_deref()
                    .ok_or("the hash of its input was not recorded")?;
                part(path, *start, *end, wanted).map(Self::Input)
            }
            RecordedInput::Elsewhere(reason) => {
                Err(format!("its input was not recorded: {reason}"))
            }
            _ => Err("its input is of an unknown kind".to_owned()),
        }
    }
}

/// A part of a regular file, if it is what it was. No more is read than the file has.
fn part(path: &Path, start: u64, end: u64, sha256: &str) -> Result<Input, String> {
    let changed = || {
        format!(
            "bytes {start}..{end} of `{}` have changed",
            plain::path(path)
        )
    };
    let unreadable =
        |error: std::io::Error| format!("cannot read `{}`: {error}", plain::path(path));
    let open = || -> std::io::Result<(File, u64)> {
        small_file::check_regular(path)?;
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    };
    let (file, length) = open().map_err(unreadable)?;
    if end > length && end != u64::MAX {
        return Err(changed());
    }
    let read = || -> std::io::Result<Vec<u8>> {
        (&file).seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        let all = end.min(length).saturating_sub(start);
        (&file).take(all).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(unreadable)?;
    let mut found = String::new();
    for byte in Sha256::digest(&bytes) {
        // Writing to a string cannot fail.
        let _ = write!(found, "{byte:02x}");
    }
    if found != sha256 {
        return Err(changed());
    }
    if (start, end) == (0, length) {
        return Ok(Input::path(path));
    }
    Ok(Input::bytes(
        format!("{} (bytes {start}..{end})", path.display()),
        bytes,
    ))
}

/// Tasks of a job, about to run once more.
struct Again<'a> {
    job: &'a JobEntry,
    module: Module,
    format: Formats,
    spec: JobSpec,
}

impl Again<'_> {
    fn run(
        self,
        builder: ClusterBuilder,
        given: Vec<Given>,
        printed: &Printed,
        signals: &Signals,
    ) -> Result<(), CliError> {
        refuse_same(&[("--output", printed.output.as_deref())])?;
        let output = Output::open(printed.output.as_deref())?;
        let mut cluster = RunningCluster::of_this_process(bounded(builder)?)?;
        let (mut inputs, mut lists) = (Vec::new(), Vec::new());
        for one in given {
            match one {
                Given::Input(input) => inputs.push(input),
                Given::Values(values) => lists.push(values),
            }
        }
        let ended = if self.job.kind == JobKind::Run {
            self.inputs(&cluster, inputs, output, signals)
        } else {
            self.lists(&cluster, lists, output, signals)
        };
        cluster.settle(ended, signals)
    }

    fn inputs(
        &self,
        cluster: &RunningCluster,
        inputs: Vec<Input>,
        mut output: Output,
        signals: &Signals,
    ) -> Result<(), CliError> {
        let mut job = cluster.run(&self.module, inputs, &self.spec)?;
        let canceller = job.canceller();
        cluster.stop_at_signal(signals, move || canceller.cancel());
        while let Some((origin, outcome)) = job.next_outcome() {
            match outcome.result {
                Ok(value) => output.value(&unpacked(&value)?, self.format.record)?,
                Err(failure) => warn(&failed_task(&origin, &failure)),
            }
        }
        let result = job.wait()?;
        // Where outcomes were printed as they came, so were the failures among them.
        let untold = if self.format.is_merged {
            result.failed.as_slice()
        } else {
            &[]
        };
        for (origin, failure) in untold {
            warn(&failed_task(origin, failure));
        }
        if let Some(merged) = &result.merged {
            output.value(&unpacked(merged)?, self.format.whole)?;
        }
        output.complete()
    }

    fn lists(
        &self,
        cluster: &RunningCluster,
        lists: Vec<Vec<Value>>,
        mut output: Output,
        signals: &Signals,
    ) -> Result<(), CliError> {
        let function = self
            .module
            .dynamic_function(&self.job.function)
            .context("a function of the history is missing from its module")
            .map_err(CliError::Internal)?;
        let arguments = lists
            .into_iter()
            .map(|values| values.into_iter().map(Argument::from).collect::<Vec<_>>());
        let mut view = cluster
            .load_balanced_view()
            .limits(self.spec.task.limits.clone().unwrap_or_default())
            .grants(self.spec.task.grants.clone().unwrap_or_default())
            .arguments(self.spec.task.arguments.clone())
            .deterministic(self.spec.task.deterministic)
            .retry(self.spec.task.retry.clone())
            .max_failures(self.spec.job.max_failures)
            .memo(self.spec.task.memo.clone());
        if let Some(key) = self.spec.task.repeats {
            view = view.repeats(key);
        }
        if let Some(label) = &self.spec.task.label {
            view = view.label(Arc::clone(label));
        }
        let tolerates = self.spec.job.max_failures != Tolerance::Count(0);
        let mut map = view.map(&function, arguments)?;
        let canceller = map.canceller();
        cluster.stop_at_signal(signals, move || canceller.cancel());
        while let Some((_, outcome)) = map.next_outcome() {
            match outcome {
                Ok(value) => output.value(&value, self.format.record)?,
                Err(TaskError::Failed(failure)) if tolerates && map.error().is_none() => {
                    let failure = &failure.failure;
                    output.bytes(
                        error_line(failure.code.name(), &in_options(&failure.message)).as_bytes(),
                    )?;
                }
                Err(TaskError::Failed(failure)) => {
                    output.flush()?;
                    return Err(failed(&failure).into());
                }
                Err(error) => return Err(CliError::Internal(error.into())),
            }
        }
        output.complete()
    }
}

/// A task's failure as that of its job.
fn failed(failure: &TaskFailure) -> JobError {
    JobError::TaskFailed {
        origin: failure.origin.clone(),
        failure: Box::new(failure.failure.clone()),
        logs: failure.logs.clone(),
        notes: failure.notes.clone(),
        failures: 1,
        attempts: failure.attempts.clone(),
    }
}

/// What the job was asked for; what is not recorded is as by default.
fn spec(job: &JobEntry) -> JobSpec {
    let options = &job.options;
    let text = |name: &str| options[name].as_str();
    let mut spec = JobSpec::default();
    spec.map = text("map").map(str::to_owned);
    spec.merge = merge_of(job);
    spec.streamed = is_streamed(job);
    // Each input is one task's.
    spec.chunking = Some(Chunking::File);
    let reuse = text("reuse").and_then(|name| name.parse().ok());
    spec.task.reuse = reuse.unwrap_or_default();
    // One that cannot be read is from another version, and has the limits of this one.
    spec.task.limits = serde_json::from_value(options["limits"].clone()).ok();
    spec.task.deterministic = options["deterministic"].as_bool().unwrap_or(false);
    let retries = options["retries"]
        .as_u64()
        .and_then(|count| u32::try_from(count).ok());
    spec.task.retry.retries = retries.unwrap_or(0);
    if let Some(Ok(tolerance)) = text("max_failures").map(str::parse) {
        spec.job.max_failures = tolerance;
    }
    spec.task.label = job.label.as_deref().map(Into::into);
    spec.task.memo = options["memo"].clone();
    if let Some(arguments) = options["arguments"].as_array() {
        let words = arguments.iter().filter_map(Json::as_str);
        let words = words.map(str::to_owned).collect();
        match job.kind {
            JobKind::Run => spec.arguments = words,
            _ => spec.task.arguments = words,
        }
    }
    spec.argv0 = text("argv0").map(str::to_owned);
    if let Some(codes) = options["ok_exit"].as_array() {
        let codes = codes
            .iter()
            .filter_map(|code| u32::try_from(code.as_u64()?).ok());
        spec.ok_exit = codes.collect();
    }
    spec
}

/// What the job was granted, if it is granted again: what a task can reach is for whoever runs it to
/// say, each time, and values of variables are not recorded.
fn granted(job: &JobEntry, options: &GrantOptions) -> Result<Grants, CliError> {
    let recorded = &job.options["granted"];
    let lines = recorded["grants"].as_array();
    let lines = lines.into_iter().flatten().filter_map(Json::as_str);
    let before: BTreeSet<String> = lines.map(str::to_owned).collect();
    let grants = grants::reached(options)?;
    let now: BTreeSet<String> = grants.described().into_iter().collect();
    let missing: Vec<&String> = before.difference(&now).collect();
    if let [first, rest @ ..] = missing.as_slice() {
        let rest = rest.iter().map(|line| format!(", `{line}`"));
        return Err(CliError::Wrong {
            message: format!(
                "job {} needs access that is not granted: `{first}`{}",
                job.key,
                rest.collect::<String>()
            ),
            hint: "repeat the options that grant this access; the history does not store them"
                .to_owned(),
        });
    }
    let mut grants = grants;
    if let Some(Ok(clock)) = recorded["clock"].as_str().map(str::parse) {
        grants.clock = clock;
    }
    if let Some(seed) = recorded["seed"].as_u64() {
        grants.random = Random::Seeded(seed);
    }
    Ok(grants)
}
