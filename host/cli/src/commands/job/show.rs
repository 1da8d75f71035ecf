//! `job show`: all about one job.

use super::{json, run_time};
use crate::args::{ShowArguments, ShownAs};
use crate::exit::CliError;
use crate::output::stdout::print;
use crate::pipeline::history;
use crate::text::{counted, in_options, json_document, time};
use rwasm_cluster::plain::in_line;
use rwasm_cluster::{JobEntry, JobKey, RecordedInput, TaskEntry, TaskQuery, TaskState};
use serde_json::{Value as Json, json as json_of};
use std::fmt::Write as _;

/// Failed tasks that are shown to people.
const SHOWN: usize = 20;

pub(super) fn show(key: JobKey, arguments: &ShowArguments) -> Result<(), CliError> {
    let history = history::existing()?;
    let job = history.job(key).map_err(CliError::History)?;
    let mut query = TaskQuery::default();
    query.states = vec![TaskState::Failed];
    query.limit = match arguments.shown.format {
        ShownAs::Text => Some(SHOWN),
        ShownAs::Json => None,
    };
    let failed = history.tasks(key, &query).map_err(CliError::History)?;
    print(&match arguments.shown.format {
        ShownAs::Text => text(&job, &failed),
        ShownAs::Json => {
            let mut document = json(&job);
            document["failed_tasks"] = failed.iter().map(task).collect();
            json_document(&document)
        }
    })
}

fn text(job: &JobEntry, failed: &[TaskEntry]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<10} {}", in_line(value));
    };
    line("job", &job.key.to_string());
    line("state", job.state.name());
    line("kind", job.kind.name());
    line("function", &job.function);
    if let Some(label) = &job.label {
        line("label", label);
    }
    let path = job
        .module_path
        .as_ref()
        .map(|path| path.display().to_string());
    line("module", path.as_deref().unwrap_or(&job.module_name));
    line("sha-256", &job.module_hash);
    if let Some(key) = job.repeats {
        line("repeats", &format!("failed tasks of job {key}"));
    }
    line("submitted", &time(job.submitted));
    if let Some(took) = run_time(job) {
        line("took", &took);
    }
    for input in &job.inputs {
        let size = input
            .bytes
            .map(|bytes| format!(", {}", counted(bytes, "byte")));
        line(
            "input",
            &format!("{}{}", input.name, size.unwrap_or_default()),
        );
    }
    let dropped = match job.tasks_dropped {
        0 => String::new(),
        dropped => format!(", {dropped} of them not kept"),
    };
    line(
        "tasks",
        &format!("{}, {} failed{dropped}", job.tasks, job.tasks_failed),
    );
    if let Some(message) = &job.message {
        line("message", &in_options(message));
    }
    for task in failed {
        let code = task.code.as_deref().unwrap_or("unknown");
        let message = task.message.as_deref().unwrap_or_default();
        line(
            &format!("task {}", task.index),
            &format!("{code}: {}", in_options(message)),
        );
        line("", &format!("on {}", input(&task.input)));
    }
    let untold = job.tasks_failed.saturating_sub(failed.len() as u64);
    if untold > 0 && failed.len() == SHOWN {
        line(
            "",
            &format!("and {untold} more: --format json has them all"),
        );
    }
    text
}

/// What a task was called with, for people.
pub(super) fn input(input: &RecordedInput) -> String {
    match input {
        RecordedInput::Stored(values) => match values.len() {
            1 => "an argument that is kept".to_owned(),
            count => format!("{count} arguments that are kept"),
        },
        RecordedInput::Range {
            path, start, end, ..
        } => {
            format!("{}, bytes {start}..{end}", path.display())
        }
        RecordedInput::Elsewhere(reason) => format!("something that is not kept: {reason}"),
        _ => "something unknown".to_owned(),
    }
}

fn task(task: &TaskEntry) -> Json {
    let range = match &task.input {
        RecordedInput::Range {
            path,
            start,
            end,
            sha256,
        } => json_of!({
            "path": path.display().to_string(),
            "start": start,
            "end": end,
            "sha256": sha256,
        }),
        _ => Json::Null,
    };
    json_of!({
        "task": task.index,
        "code": task.code,
        "message": task.message.as_deref().map(in_options),
        "backtrace": task.backtrace,
        "stderr": String::from_utf8_lossy(&task.stderr),
        "engine": task.engine.map(|engine| engine.0),
        "started": task.started.map(time),
        "run_time_s": task.run_time.as_secs_f64(),
        "attempts": task.attempts.iter().map(|attempt| json_of!({
            "engine": attempt.engine.0,
            "code": attempt.code,
            "message": in_options(&attempt.message),
            "started": time(attempt.started),
            "run_time_s": attempt.run_time.as_secs_f64(),
        })).collect::<Vec<_>>(),
        "input": input(&task.input),
        "range": range,
    })
}
