//! `--detach`: a job is stored at a cluster and goes on by itself; its id is all that is printed.

use super::args::{ManyOptions, MapArguments, RunArguments, TaskOptions};
use super::exit::CliError;
use super::output::print;
use super::{profile, setup};
use rwasm_cluster::durable::{DurableJobs, DurableSettings};
use rwasm_cluster::nats::Role;
use rwasm_cluster::{DynamicCallable, Grants, Input, JobSpec, Module};
use std::io::Read;

/// Stores a run.
pub(crate) fn run(
    module: &Module,
    inputs: Vec<Input>,
    spec: JobSpec,
    arguments: &RunArguments,
    grants: &Grants,
) -> Result<(), CliError> {
    let (jobs, settings) = cluster(&arguments.task, &arguments.many)?;
    let spec = with_all(spec, &arguments.task, grants);
    let id = jobs.submit(module, inputs, &spec, &settings);
    stored(&jobs, &id.map_err(durable)?, &arguments.task)
}

/// Stores a map.
pub(crate) fn map(
    function: &DynamicCallable,
    name: &str,
    lines: Box<dyn Read + Send>,
    arguments: &MapArguments,
    grants: &Grants,
) -> Result<(), CliError> {
    let task = &arguments.task;
    let (jobs, settings) = cluster(task, &arguments.many)?;
    let mut spec = setup::spec(task, &arguments.many);
    spec.dispatch_size = arguments.dispatch_size;
    if task.targets.is_some() || arguments.many.view == super::args::View::Direct {
        spec.view = rwasm_cluster::ViewKind::Direct(task.targets.clone().unwrap_or_default());
    }
    let spec = with_all(spec, task, grants);
    let id = jobs.submit_lines(function, name, lines, &spec, &settings);
    stored(&jobs, &id.map_err(durable)?, task)
}

/// Tells the id of a job that is stored, and whether it has to wait for an engine.
fn stored(jobs: &DurableJobs, id: &str, task: &TaskOptions) -> Result<(), CliError> {
    if !task.loudness.quiet {
        setup::warn_unserved(jobs, task.lane.as_deref());
    }
    print(&format!("{id}\n"))
}

/// An error of a durable job.
pub(crate) fn durable(error: rwasm_cluster::durable::DurableError) -> CliError {
    CliError::Durable(Box::new(error))
}

fn with_all(mut spec: JobSpec, task: &TaskOptions, grants: &Grants) -> JobSpec {
    let limits = setup::limits(&task.limits, task.determinism.deterministic);
    spec.limits = Some(limits);
    spec.grants = Some(grants.clone());
    spec
}

/// Refuses what was typed for one who waits for the job, which nobody here does.
fn check(typed: &[&str]) -> Result<(), CliError> {
    let Some(option) = typed.first() else {
        return Ok(());
    };
    let hint = match *option {
        "output" => "`job result ID --follow --output FILE` writes the result, once there is one",
        "report" | "stats" => {
            "leave it out, or wait for the job without --detach; `job show ID` counts its tasks"
        }
        "history" => {
            "leave it out: what comes of the job is kept at the cluster, where `job list` and `job result` find it"
        }
        _ => "leave it out: `job result` prints in input order",
    };
    Err(CliError::Wrong {
        message: format!(
            "--{option} says nothing of a job that is detached: its id is all that is printed"
        ),
        hint: hint.to_owned(),
    })
}

fn cluster(
    task: &TaskOptions,
    many: &ManyOptions,
) -> Result<(DurableJobs, DurableSettings), CliError> {
    check(&many.typed)?;
    let Some(connect) = profile::remote(&task.remote, Role::Client)? else {
        return Err(CliError::Wrong {
            message: "--detach stores the job at a cluster, and none is named".to_owned(),
            hint: "name one with --cluster URL, or start one here with `rwasm-cluster start` and write --cluster=running"
                .to_owned(),
        });
    };
    let mut settings = DurableSettings::default();
    settings.id.clone_from(&many.job_id);
    if let Some(lane) = &task.lane {
        settings.lane.clone_from(lane);
    }
    settings.format = task.format.map(|format| format.name().to_owned());
    let jobs = DurableJobs::connect(&connect).map_err(CliError::Connect)?;
    Ok((jobs, settings))
}
