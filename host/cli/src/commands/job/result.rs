//! `job result`: what a job printed, again; or what one of its tasks gave.

use super::{is_streamed, merge_of, remembered};
use crate::args::ResultArguments;
use crate::exit::CliError;
use crate::output::messages::warn;
use crate::output::results::Output;
use crate::pipeline::history;
use crate::pipeline::output::refuse_same;
use crate::text::in_options;
use anyhow::Context as _;
use rwasm_cluster::format::Format;
use rwasm_cluster::{
    History, JobEntry, JobKey, JobKind, JobState, Kept, Merge, Packed, TaskEntry, TaskQuery,
    TaskState, Value,
};
use std::borrow::Cow;

/// Tasks that are held in memory at a time.
const PAGE: usize = 64;

pub(super) fn result(key: JobKey, arguments: &ResultArguments) -> Result<(), CliError> {
    let history = history::existing()?;
    let job = history.job(key).map_err(CliError::History)?;
    let format = Formats::of(&job, arguments.printed.format);
    let path = arguments.printed.output.as_deref();
    refuse_same(&[("--output", path)])?;
    let output = || Output::open(path);
    if let Some(index) = arguments.task {
        let task = history.task(key, index).map_err(CliError::History)?;
        let value = value_of(&job, &task)?;
        let mut output = output()?;
        write(&mut output, &value, format.record)?;
        return output.complete();
    }
    ended_well(key, &job)?;
    if format.is_merged {
        let value = match history.result(key).map_err(CliError::History)? {
            Kept::Value(value) => value,
            Kept::LeftOut { reason, .. } => {
                return Err(not_kept(&format!("the result of job {key}"), &reason));
            }
            // `min` of nothing, say.
            _ => return output()?.complete(),
        };
        let mut output = output()?;
        write(&mut output, &value, format.whole)?;
        return output.complete();
    }
    // What cannot be printed whole is not begun.
    if job.tasks_dropped > 0 {
        return Err(not_kept(
            &format!("the result of {} tasks of job {key}", job.tasks_dropped),
            "the tasks were removed to keep the history within its limits",
        ));
    }
    each(&history, key, |task| {
        if task.state == TaskState::Done {
            value_of(&job, &task)?;
        }
        Ok(())
    })?;
    let mut output = output()?;
    each(&history, key, |task| match (task.state, job.kind) {
        (TaskState::Done, _) => write(&mut output, &value_of(&job, &task)?, format.record),
        (_, JobKind::Run) => {
            if !arguments.loudness.quiet {
                warn(&format!("task {} failed: {}", task.index, failure(&task).1));
            }
            Ok(())
        }
        _ => {
            let (code, message) = failure(&task);
            output.bytes(error_line(code, &message).as_bytes())
        }
    })?;
    output.complete()
}

/// Refuses a job that has no result as a whole.
fn ended_well(key: JobKey, job: &JobEntry) -> Result<(), CliError> {
    match job.state {
        JobState::Running => {
            return Err(CliError::History(
                rwasm_cluster::HistoryError::StillRunning { key },
            ));
        }
        JobState::Done => {}
        state => {
            let why = job
                .message
                .as_ref()
                .map(|why| format!(": {why}"))
                .unwrap_or_default();
            let how = match state {
                JobState::Failed => "failed".to_owned(),
                other => format!("was {other}"),
            };
            return Err(CliError::Wrong {
                message: format!("job {key} {how} and has no result{why}"),
                hint: format!(
                    "show details with `rwasm-cluster job show {key}`, or print the result of one task with \
                     `rwasm-cluster job result {key} TASK`"
                ),
            });
        }
    }
    Ok(())
}

/// How a job prints.
pub(super) struct Formats {
    /// One value for all of it, not one for each task.
    pub(super) is_merged: bool,
    pub(super) whole: Format,
    /// Of one task's value.
    pub(super) record: Format,
}

impl Formats {
    /// As is wished, else as the job was printed.
    pub(super) fn of(job: &JobEntry, wished: Option<Format>) -> Self {
        let is_streamed = is_streamed(job);
        let is_merged = job.kind == JobKind::Run && merge_of(job) != Merge::None && !is_streamed;
        let remembered = remembered(job, "format").and_then(|name| name.parse().ok());
        let is_map = job.kind == JobKind::Map;
        let default = if is_map { Format::Jsonl } else { Format::Text };
        let whole = wished.or(remembered).unwrap_or(default);
        Self {
            is_merged,
            whole,
            // A record is one line, whatever it holds.
            record: match whole {
                Format::Jsonl if !is_merged && !is_streamed => Format::Json,
                format => format,
            },
        }
    }
}

/// The line that stands in the place of a failed task's value.
pub(super) fn error_line(code: &str, message: &str) -> String {
    format!(
        "{}\n",
        serde_json::json!({ "error": { "code": code, "message": message } })
    )
}

fn failure(task: &TaskEntry) -> (&str, Cow<'_, str>) {
    (
        task.code.as_deref().unwrap_or("unknown"),
        in_options(task.message.as_deref().unwrap_or_default()),
    )
}

fn write(output: &mut Output, value: &Packed, format: Format) -> Result<(), CliError> {
    let value: Value = value
        .unpack()
        .context("a value in the history cannot be unpacked")
        .map_err(CliError::Internal)?;
    output.value(&value, format)
}

fn value_of(job: &JobEntry, task: &TaskEntry) -> Result<Packed, CliError> {
    let what = format!("the result of task {} of job {}", task.index, job.key);
    match &task.result {
        Kept::Value(value) => Ok(value.clone()),
        Kept::LeftOut { reason, .. } => Err(not_kept(&what, reason)),
        _ if task.state == TaskState::Done => {
            Err(not_kept(&what, "it was merged into the result of the job"))
        }
        _ => {
            let (code, message) = failure(task);
            Err(CliError::Wrong {
                message: format!(
                    "task {} of job {} failed and has no result ({code}): {message}",
                    task.index, job.key
                ),
                hint: format!(
                    "run it again with `rwasm-cluster job replay {} {}`",
                    job.key, task.index
                ),
            })
        }
    }
}

fn not_kept(what: &str, why: &str) -> CliError {
    CliError::Gone {
        message: format!("{what} was not recorded: {why}"),
        hint: "run the job again with --output to keep its result".to_owned(),
    }
}

/// Goes through the tasks of a job in input order, a page at a time.
fn each(
    history: &History,
    key: JobKey,
    mut work: impl FnMut(TaskEntry) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut query = TaskQuery::default();
    query.limit = Some(PAGE);
    loop {
        let page = history.tasks(key, &query).map_err(CliError::History)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        query.first = last.index + 1;
        page.into_iter().try_for_each(&mut work)?;
    }
}
