//! `job`: what was recorded of jobs, for people or as JSON; their results, and their failed tasks
//! again.

mod again;
#[cfg(feature = "nats")]
mod durable;
mod result;
mod show;

use crate::args::{
    AgainArguments, JobCommand, JobName, ListArguments, ResultArguments, RmArguments,
    ShowArguments, ShownAs,
};
use crate::environment::signals::Signals;
use crate::exit::CliError;
use crate::output::messages::note;
use crate::output::stdout::print;
use crate::pipeline::history::{self, HOW};
use crate::text::{aligned, counted, duration, in_options, json_document, time};
use rwasm_cluster::plain::{self, in_line};
use rwasm_cluster::{EngineId, JobEntry, JobKey, JobQuery, Merge};
use serde_json::{Value as Json, json};
use std::io::Write as _;

/// Does what was asked of the history.
pub(crate) fn job(command: &JobCommand, signals: &Signals) -> Result<(), CliError> {
    #[cfg(feature = "nats")]
    durable::check(command)?;
    match command {
        JobCommand::List(arguments) => list(arguments),
        JobCommand::Show(arguments) => match &arguments.id {
            JobName::History(id) => show::show(JobKey(*id), arguments),
            JobName::Durable(id) => durable_show(id, arguments),
        },
        JobCommand::Result(arguments) => match &arguments.id {
            JobName::History(id) => result::result(JobKey(*id), arguments),
            JobName::Durable(id) => durable_result(id, arguments, signals),
        },
        #[cfg(feature = "nats")]
        JobCommand::Cancel(arguments) => durable::cancel(arguments),
        JobCommand::Retry(arguments) => match &arguments.id {
            JobName::History(id) => again::retry(JobKey(*id), arguments, signals),
            JobName::Durable(id) => durable_retry(id, arguments),
        },
        JobCommand::Replay(arguments) => match &arguments.id {
            JobName::History(id) => again::replay(JobKey(*id), arguments, signals),
            JobName::Durable(id) => Err(CliError::Wrong {
                message: format!(
                    "`{id}` is not a job id of the history; only its tasks can be replayed"
                ),
                hint: "list the jobs with `rwasm-cluster job list`, or run the failed tasks of a durable job again with \
                       `rwasm-cluster job retry ID --cluster`"
                    .to_owned(),
            }),
        },
        JobCommand::Rm(arguments) => rm(arguments),
    }
}

#[cfg(feature = "nats")]
fn durable_show(id: &str, arguments: &ShowArguments) -> Result<(), CliError> {
    durable::show(
        &durable::look_for(id, &arguments.shown.remote)?,
        id,
        arguments.shown.format,
    )
}

#[cfg(feature = "nats")]
fn durable_result(
    id: &str,
    arguments: &ResultArguments,
    signals: &Signals,
) -> Result<(), CliError> {
    durable::result(&durable::of(id, &arguments.remote)?, id, arguments, signals)
}

#[cfg(feature = "nats")]
fn durable_retry(id: &str, arguments: &AgainArguments) -> Result<(), CliError> {
    let jobs = durable::of(id, &arguments.remote)?;
    durable::retry(&jobs, id, arguments.loudness.quiet)
}

#[cfg(not(feature = "nats"))]
fn durable_show(id: &str, _: &ShowArguments) -> Result<(), CliError> {
    Err(no_number(id))
}

#[cfg(not(feature = "nats"))]
fn durable_result(id: &str, _: &ResultArguments, _: &Signals) -> Result<(), CliError> {
    Err(no_number(id))
}

#[cfg(not(feature = "nats"))]
fn durable_retry(id: &str, _: &AgainArguments) -> Result<(), CliError> {
    Err(no_number(id))
}

#[cfg(not(feature = "nats"))]
fn no_number(id: &str) -> CliError {
    CliError::Wrong {
        message: format!("`{id}` is not a job id: ids in the history are numbers"),
        hint: "`rwasm-cluster job list` lists the jobs".to_owned(),
    }
}

fn list(arguments: &ListArguments) -> Result<(), CliError> {
    #[cfg(feature = "nats")]
    if let Some(jobs) = durable::looked_at(&arguments.shown.remote)? {
        return durable::list(&jobs, arguments);
    }
    let history = match history::open()? {
        Ok(history) => history,
        Err(path) => {
            if arguments.shown.format == ShownAs::Json {
                print("[]\n")?;
            }
            let text = format!(
                "no history yet ({} does not exist); {HOW}\n",
                plain::path(&path)
            );
            // Where stderr is closed there is nobody to tell.
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
            return Ok(());
        }
    };
    let mut query = JobQuery::default();
    let states = arguments.state.iter();
    query.states = states.filter_map(|state| state.of_history()).collect();
    query.label.clone_from(&arguments.label);
    query.function.clone_from(&arguments.function);
    query.engine = arguments.engine.map(EngineId);
    query.since = arguments.since;
    query.limit = Some(arguments.limit);
    // No job of the history is of a state that only durable ones have.
    let jobs = if query.states.is_empty() && !arguments.state.is_empty() {
        Vec::new()
    } else {
        history.jobs(&query).map_err(CliError::History)?
    };
    match arguments.shown.format {
        ShownAs::Text => print(&table(&jobs)),
        ShownAs::Json => {
            let jobs: Vec<Json> = jobs.iter().map(json).collect();
            print(&json_document(&Json::from(jobs)))
        }
    }
}

fn rm(arguments: &RmArguments) -> Result<(), CliError> {
    let removed = |what: &str| {
        if !arguments.loudness.quiet {
            note(&format!("removed {what}"));
        }
    };
    let mut keys = Vec::new();
    for id in &arguments.ids {
        match id {
            JobName::History(id) => keys.push(JobKey(*id)),
            #[cfg(feature = "nats")]
            JobName::Durable(id) => {
                let jobs = durable::of(id, &arguments.remote)?;
                jobs.remove(id).map_err(crate::pipeline::durable)?;
                removed(&format!("job {id}"));
            }
            #[cfg(not(feature = "nats"))]
            JobName::Durable(id) => return Err(no_number(id)),
        }
    }
    if keys.is_empty() && !arguments.all {
        return Ok(());
    }
    let history = history::existing()?;
    if arguments.all {
        let count = history.clear().map_err(CliError::History)?;
        removed(&counted(count, "job"));
        return Ok(());
    }
    history.remove(&keys).map_err(CliError::History)?;
    for key in keys {
        removed(&format!("job {key}"));
    }
    Ok(())
}

/// Jobs in aligned columns, under their names.
fn table(jobs: &[JobEntry]) -> String {
    const NAMES: [&str; 9] = [
        "ID",
        "STATE",
        "KIND",
        "FUNCTION",
        "LABEL",
        "SUBMITTED",
        "TASKS",
        "FAILED",
        "TIME",
    ];
    let mut rows = vec![NAMES.map(str::to_owned)];
    rows.extend(jobs.iter().map(|job| {
        [
            job.key.to_string(),
            job.state.to_string(),
            job.kind.to_string(),
            job.function.clone(),
            job.label.clone().unwrap_or_else(|| "-".to_owned()),
            time(job.submitted),
            job.tasks.to_string(),
            job.tasks_failed.to_string(),
            run_time(job).unwrap_or_else(|| "-".to_owned()),
        ]
        // A name or label comes from outside, and is to stay in its line.
        .map(|cell| in_line(&cell))
    }));
    aligned(&rows)
}

/// A job as programs read it.
fn json(job: &JobEntry) -> Json {
    json!({
        "id": job.key.0,
        "state": job.state.name(),
        "kind": job.kind.name(),
        "function": job.function,
        "label": job.label,
        "module": {
            "name": job.module_name,
            "path": job.module_path.as_ref().map(|path| path.display().to_string()),
            "sha256": job.module_hash,
        },
        "repeats": job.repeats.map(|key| key.0),
        "submitted": time(job.submitted),
        "ended": job.ended.map(time),
        "tasks": job.tasks,
        "failed": job.tasks_failed,
        "dropped": job.tasks_dropped,
        "message": job.message.as_deref().map(in_options),
        "options": job.options,
        "inputs": job.inputs.iter().map(|input| json!({
            "name": input.name,
            "path": input.path.as_ref().map(|path| path.display().to_string()),
            "bytes": input.bytes,
        })).collect::<Vec<_>>(),
        "stats": job.stats,
    })
}

/// How long a job took, once it has ended.
fn run_time(job: &JobEntry) -> Option<String> {
    let took = job.ended?.duration_since(job.submitted).unwrap_or_default();
    Some(duration(took))
}

/// How the job's outcomes were merged; what is not recorded is as by default.
fn merge_of(job: &JobEntry) -> Merge {
    let text = |name: &str| job.options[name].as_str();
    // Older histories keep the name of a reducer apart.
    match text("reducer") {
        Some(name) => Merge::Reducer(name.to_owned()),
        None => text("merge")
            .and_then(|name| name.parse().ok())
            .unwrap_or_default(),
    }
}

/// Whether the job's outcomes were joined as they came, and no merged value was recorded.
fn is_streamed(job: &JobEntry) -> bool {
    job.options["streamed"] == true
}

/// What the job remembers of how it was printed, or what its options say.
fn remembered<'a>(job: &'a JobEntry, name: &str) -> Option<&'a str> {
    let memo = job.options.get("memo").and_then(|memo| memo.get(name));
    memo.or_else(|| job.options.get(name))?.as_str()
}
