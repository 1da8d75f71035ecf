//! `job` for durable jobs of a cluster.

use crate::args::{
    CancelArguments, ClusterArgument, JobCommand, JobName, ListArguments, RemoteOptions,
    ResultArguments, ShownAs,
};
use crate::cluster::profile;
use crate::environment::compiler::{bounded, compiled};
use crate::environment::signals::Signals;
use crate::exit::CliError;
use crate::output::messages::{note, warn};
use crate::output::printers::{MapPrinter, RunFormat, RunPrinter};

use crate::output::results::Output;
use crate::output::stdout::print;
use crate::pipeline::durable;
use crate::text::{aligned, in_options, json_document, time};
use anyhow::Context as _;
use rwasm_cluster::durable::{DurableError, DurableJob, DurableJobs, DurableState, JobCounts};
use rwasm_cluster::format::Format;
use rwasm_cluster::nats::{ConnectError, ConnectSettings, Role};
use rwasm_cluster::plain::in_line;
use rwasm_cluster::{Cluster, Value};
use serde_json::{Value as Json, json};

/// Refuses a job of the history that is looked for at a cluster: numbers name those, and no durable one.
pub(super) fn check(command: &JobCommand) -> Result<(), CliError> {
    let (ids, remote) = match command {
        JobCommand::Show(show) => (std::slice::from_ref(&show.id), &show.shown.remote),
        JobCommand::Result(result) => (std::slice::from_ref(&result.id), &result.remote),
        JobCommand::Retry(retry) => (std::slice::from_ref(&retry.id), &retry.remote),
        JobCommand::Rm(rm) => (&*rm.ids, &rm.remote),
        JobCommand::Cancel(_) | JobCommand::List(_) | JobCommand::Replay(_) => return Ok(()),
    };
    let number = ids.iter().find_map(|id| match id {
        JobName::History(number) => Some(number),
        JobName::Durable(_) => None,
    });
    let is_elsewhere = remote.is_typed && remote.cluster != Some(ClusterArgument::Local);
    match number {
        Some(number) if is_elsewhere => Err(CliError::Wrong {
            message: format!(
                "`{number}` is a job of the history on this machine, not of a cluster"
            ),
            hint: "omit --cluster, or list the jobs of the cluster with `rwasm-cluster job list --cluster`"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The jobs of the cluster that is meant, if one is, to look at.
pub(super) fn looked_at(remote: &RemoteOptions) -> Result<Option<DurableJobs>, CliError> {
    meant(remote, DurableJobs::look_on)
}

/// The jobs of the cluster that has one of that name, to look at.
pub(super) fn look_for(id: &str, remote: &RemoteOptions) -> Result<DurableJobs, CliError> {
    looked_at(remote)?.ok_or_else(|| nowhere(id))
}

/// The same, to work with.
pub(super) fn of(id: &str, remote: &RemoteOptions) -> Result<DurableJobs, CliError> {
    meant(remote, DurableJobs::connect)?.ok_or_else(|| nowhere(id))
}

fn meant(
    remote: &RemoteOptions,
    connect: fn(&ConnectSettings) -> Result<DurableJobs, ConnectError>,
) -> Result<Option<DurableJobs>, CliError> {
    profile::remote(remote, Role::Client)?
        .map(|settings| connect(&settings).map_err(CliError::Connect))
        .transpose()
}

fn nowhere(id: &str) -> CliError {
    CliError::Wrong {
        message: format!("`{id}` is not a job id: ids in the history are numbers"),
        hint: "to find a durable job, name its cluster with --cluster URL or --cluster=running"
            .to_owned(),
    }
}

pub(super) fn list(jobs: &DurableJobs, arguments: &ListArguments) -> Result<(), CliError> {
    if arguments.engine.is_some() {
        return Err(CliError::Wrong {
            message: "--engine is for jobs of the history only".to_owned(),
            hint: "omit --engine or --cluster".to_owned(),
        });
    }
    let mut rows = Vec::new();
    for job in jobs.list().map_err(durable)? {
        if rows.len() == arguments.limit {
            break;
        }
        let fits = |wanted: &Option<String>, found: Option<&str>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| found.is_some_and(|found| glob(wanted, found)))
        };
        if !fits(&arguments.label, job.label.as_deref())
            || !fits(&arguments.function, job.function.as_deref())
            || arguments.since.is_some_and(|since| job.submitted() < since)
        {
            continue;
        }
        let Some((job, counts)) = looked_up(jobs, job)? else {
            continue;
        };
        let mut wanted = arguments.state.iter();
        if arguments.state.is_empty() || wanted.any(|state| state.name() == job.state.name()) {
            rows.push((job, counts));
        }
    }
    match arguments.shown.format {
        ShownAs::Json => {
            let all: Vec<Json> = rows
                .iter()
                .map(|(job, counts)| json(job, *counts))
                .collect();
            print(&json_document(&Json::from(all)))
        }
        ShownAs::Text => print(&table(&rows)),
    }
}

/// Looks at a job of the list; it may have been removed meanwhile.
fn looked_up(
    jobs: &DurableJobs,
    mut job: DurableJob,
) -> Result<Option<(DurableJob, Option<JobCounts>)>, CliError> {
    if job.state == DurableState::Damaged {
        return Ok(Some((job, None)));
    }
    match jobs.show(&job.id) {
        Ok(shown) => Ok(Some(shown)),
        Err(DurableError::Unknown { .. }) => Ok(None),
        // It is one job, and the others are to be seen.
        Err(DurableError::Damaged { .. }) => {
            job.state = DurableState::Damaged;
            Ok(Some((job, None)))
        }
        Err(error) => Err(durable(error)),
    }
}

/// The number of tasks; a damaged record may say anything.
fn tasks(job: &DurableJob) -> Option<u64> {
    (job.state != DurableState::Damaged).then_some(job.tasks)
}

pub(super) fn show(jobs: &DurableJobs, id: &str, format: ShownAs) -> Result<(), CliError> {
    let (job, counts) = jobs.show(id).map_err(durable)?;
    match format {
        ShownAs::Json => print(&json_document(&json(&job, counts))),
        ShownAs::Text => print(&text(&job, counts)),
    }
}

pub(super) fn result(
    jobs: &DurableJobs,
    id: &str,
    arguments: &ResultArguments,
    signals: &Signals,
) -> Result<(), CliError> {
    if let Some(task) = arguments.task {
        return of_task(jobs, id, task, arguments);
    }
    let (job, counts) = jobs.show(id).map_err(durable)?;
    let is_under_way = matches!(job.state, DurableState::Queued | DurableState::Running);
    if is_under_way && !arguments.follow {
        return Err(durable(DurableError::Unfinished {
            id: id.to_owned(),
            done: counts.unwrap_or_default().done,
            tasks: job.tasks,
        }));
    }
    if job.state == DurableState::Cancelled {
        return Err(cancelled(&job, counts.unwrap_or_default()));
    }
    let ended = print_recalled(jobs, &job, is_under_way, arguments, signals)?;
    if let Some(ending) = signals.ending() {
        return Err(CliError::Signal(ending));
    }
    match meanwhile(jobs, id) {
        Some(how) if is_under_way && (ended.is_err() || how == CANCELLED) => Err(CliError::Ended {
            message: format!("job {id} was {how} by another user before it ended"),
            hint: match how {
                CANCELLED => {
                    format!("resume the job with `rwasm-cluster job retry {id} --cluster`")
                }
                _ => "submit the job again".to_owned(),
            },
        }),
        _ => ended,
    }
}

fn cancelled(job: &DurableJob, counts: JobCounts) -> CliError {
    CliError::Wrong {
        message: format!(
            "job {} was cancelled after {} of {} tasks and has no result",
            job.id,
            counts.done.saturating_sub(counts.failed),
            job.tasks
        ),
        hint: format!(
            "resume the job with `rwasm-cluster job retry {} --cluster`",
            job.id
        ),
    }
}

/// Prints what a job gives, whether that is there or comes; what comes of printing is the inner result.
fn print_recalled(
    jobs: &DurableJobs,
    job: &DurableJob,
    is_under_way: bool,
    arguments: &ResultArguments,
    signals: &Signals,
) -> Result<Result<(), CliError>, CliError> {
    let recalled = jobs
        .recall_by(&job.id, compiled(bounded(Cluster::builder())?)?)
        .map_err(durable)?;
    let format = match (arguments.printed.format, &job.format) {
        (Some(format), _) => Some(format),
        (None, Some(name)) => name.parse().ok(),
        (None, None) => None,
    };
    let output = Output::open(arguments.printed.output.as_deref())?;
    let is_quiet = arguments.loudness.quiet;
    if !is_quiet && is_under_way && recalled.engines().is_empty() {
        warn("the cluster has no engines; tasks wait until one joins");
    }
    if job.kind == "map" {
        let mut map = recalled.map().map_err(durable)?;
        let canceller = map.canceller();
        signals.watch(move || canceller.cancel());
        let printer = MapPrinter {
            output,
            format: format.unwrap_or(Format::Jsonl),
            is_quiet,
        };
        return Ok(printer.all(&mut map));
    }
    let merge = recalled
        .spec()
        .merge_for(recalled.module())
        .context("a stored job does not fit its module")
        .map_err(CliError::Internal)?;
    let format = RunFormat::new(format, &merge);
    let run = recalled
        .run_as(&format.applied_to(recalled.spec().clone()))
        .map_err(durable)?;
    let canceller = run.canceller();
    signals.watch(move || canceller.cancel());
    let printer = RunPrinter {
        output,
        format,
        is_quiet,
    };
    Ok(printer.all(run).map(|(_, warnings)| {
        for text in &warnings {
            warn(text);
        }
    }))
}

const CANCELLED: &str = "cancelled";

/// What somebody has done with a job; nothing where that cannot be told.
fn meanwhile(jobs: &DurableJobs, id: &str) -> Option<&'static str> {
    match jobs.show(id) {
        Ok((job, _)) if job.state == DurableState::Cancelled => Some(CANCELLED),
        Err(DurableError::Unknown { .. }) => Some("removed"),
        _ => None,
    }
}

/// Prints what one task gave.
fn of_task(
    jobs: &DurableJobs,
    id: &str,
    task: u64,
    arguments: &ResultArguments,
) -> Result<(), CliError> {
    let (job, _) = jobs.show(id).map_err(durable)?;
    let value = match jobs.outcome(id, task).map_err(durable)?.result {
        Ok(value) => value,
        Err(failure) => {
            return Err(CliError::Wrong {
                message: format!(
                    "task {task} of job {id} failed and has no result ({}): {}",
                    failure.code,
                    in_options(&failure.message)
                ),
                hint: format!(
                    "run the failed tasks again with `rwasm-cluster job retry {id} --cluster`"
                ),
            });
        }
    };
    let remembered = job.format.as_ref().and_then(|name| name.parse().ok());
    let format = match arguments.printed.format.or(remembered) {
        // A record is one line, whatever it holds.
        Some(Format::Jsonl) => Format::Json,
        Some(format) => format,
        None if job.kind == "map" => Format::Json,
        None => Format::Text,
    };
    let value: Value = value
        .unpack()
        .context("a stored value cannot be unpacked")
        .map_err(CliError::Internal)?;
    let mut output = Output::open(arguments.printed.output.as_deref())?;
    output.value(&value, format)?;
    output.complete()
}

pub(super) fn cancel(arguments: &CancelArguments) -> Result<(), CliError> {
    let JobName::Durable(id) = &arguments.id else {
        return Err(CliError::Wrong {
            message: "a job of the history cannot be cancelled from another process".to_owned(),
            hint: "press Ctrl-C where the job runs; only durable jobs (run --detach) can be cancelled remotely"
                .to_owned(),
        });
    };
    let before = of(id, &arguments.remote)?.cancel(id).map_err(durable)?;
    if !arguments.loudness.quiet {
        match before {
            DurableState::Done | DurableState::Failed => {
                note(&format!("job {id} had already ended"));
            }
            DurableState::Cancelled => note(&format!("job {id} was already cancelled")),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn retry(jobs: &DurableJobs, id: &str, is_quiet: bool) -> Result<(), CliError> {
    let count = jobs.retry(id).map_err(durable)?;
    if !is_quiet {
        note(&match count {
            0 => format!("no task of job {id} failed"),
            1 => format!("1 task of job {id} runs again"),
            count => format!("{count} tasks of job {id} run again"),
        });
    }
    Ok(())
}

/// Whether a text fits: `*` is any text, `?` any character.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| glob(rest, &text[at..]))
        }
        Some(wanted) => {
            let mut rest = text.chars();
            let found = rest.next();
            found.is_some_and(|found| wanted == '?' || found == wanted)
                && glob(&pattern[wanted.len_utf8()..], rest.as_str())
        }
    }
}

fn json(job: &DurableJob, counts: Option<JobCounts>) -> Json {
    json!({
        "id": job.id,
        "state": job.state.name(),
        "kind": job.kind,
        "function": job.function,
        "label": job.label,
        "module": { "name": job.module, "sha256": job.hash },
        "merge": job.merge,
        "submitted": time(job.submitted()),
        "tasks": tasks(job),
        "done": counts.map(|counts| counts.done),
        "failed": counts.map(|counts| counts.failed),
        "attempt": job.attempt(),
        "lane": job.lane,
        "priority": job.priority,
    })
}

fn text(job: &DurableJob, counts: Option<JobCounts>) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows = [
        ("job", job.id.clone()),
        ("state", job.state.to_string()),
        ("kind", job.kind.clone()),
        ("label", or_none(&job.label)),
        ("module", format!("{} ({})", job.module, job.hash)),
        ("function", or_none(&job.function)),
        ("merge", job.merge.clone()),
        ("submitted", time(job.submitted())),
        (
            "tasks",
            match counts {
                Some(JobCounts { done, failed, .. }) => {
                    format!("{done} of {} done, {failed} failed", job.tasks)
                }
                None => format!("{}; a viewer cannot see their progress", job.tasks),
            },
        ),
        ("attempt", job.attempt().to_string()),
        ("lane", format!("{}, priority {}", job.lane, job.priority)),
    ];
    let lines = rows
        .iter()
        .map(|(name, value)| format!("{name:<10} {}\n", in_line(value)));
    lines.collect()
}

fn table(rows: &[(DurableJob, Option<JobCounts>)]) -> String {
    let figure = |figure: Option<u64>| figure.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let mut cells = vec![
        [
            "ID",
            "STATE",
            "KIND",
            "FUNCTION",
            "LABEL",
            "SUBMITTED",
            "DONE",
            "TASKS",
            "FAILED",
        ]
        .map(str::to_owned),
    ];
    cells.extend(rows.iter().map(|(job, counts)| {
        [
            job.id.clone(),
            job.state.to_string(),
            match &*job.kind {
                "" => "-".to_owned(),
                kind => kind.to_owned(),
            },
            job.function.clone().unwrap_or_else(|| "-".to_owned()),
            job.label.clone().unwrap_or_else(|| "-".to_owned()),
            time(job.submitted()),
            figure(counts.map(|counts| counts.done)),
            figure(tasks(job)),
            figure(counts.map(|counts| counts.failed)),
        ]
        // A name or label comes from outside, and is to stay in its line.
        .map(|cell| in_line(&cell))
    }));
    aligned(&cells)
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn labels_fit_their_patterns() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("ä*", "äh", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
