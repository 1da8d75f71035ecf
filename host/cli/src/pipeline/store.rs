//! `--detach`: a job is stored at a cluster and goes on by itself; its id is all that is printed.

use super::cluster::unserved;
use super::job::Plan;
use crate::args::{ManyOptions, TaskOptions};
use crate::cluster::profile;
use crate::exit::CliError;
use crate::output::messages::warn;
use crate::output::stdout::print;
use rwasm_cluster::durable::{DurableError, DurableJobs, DurableSettings};
use rwasm_cluster::nats::{ConnectSettings, Role};

/// Where a job is stored, and as what.
pub(super) struct StoreSettings {
    connect: ConnectSettings,
    job: DurableSettings,
    /// The lane, if one was named.
    lane: Option<String>,
    is_quiet: bool,
}

impl StoreSettings {
    pub(super) fn resolve(task: &TaskOptions, many: &ManyOptions) -> Result<Self, CliError> {
        check(&many.typed)?;
        let Some(connect) = profile::remote(&task.remote, Role::Client)? else {
            return Err(CliError::Wrong {
                message: "--detach stores the job on a cluster, but none is named".to_owned(),
                hint: "name a cluster with --cluster URL, or start one with `rwasm-cluster start` and add --cluster=running"
                    .to_owned(),
            });
        };
        let mut job = DurableSettings::default();
        job.id.clone_from(&many.job_id);
        if let Some(lane) = &task.lane {
            let checked = connect.check_lane(lane);
            checked.map_err(|error| CliError::Connect(error.into()))?;
            job.lane.clone_from(lane);
        }
        job.format = task.format.map(|format| format.name().to_owned());
        Ok(Self {
            connect,
            job,
            lane: task.lane.clone(),
            is_quiet: task.loudness.quiet,
        })
    }

    /// Stores a job and prints its id; says whether it has to wait for an engine.
    pub(super) fn keep(self, plan: impl Plan) -> Result<(), CliError> {
        let jobs = DurableJobs::connect(&self.connect).map_err(CliError::Connect)?;
        let id = plan.store(&jobs, &self.job)?;
        if let Some(lane) = self.lane.filter(|_| !self.is_quiet) {
            warn_unserved(&jobs, &lane);
        }
        print(&format!("{id}\n"))
    }
}

/// Warns where no engine takes tasks of the lane that was named, which are stored. That there may be no engines at all is what
/// storing is for.
fn warn_unserved(jobs: &DurableJobs, lane: &str) {
    // Whoever has stored a job knows that the server is there; what is not known is not warned of.
    if let Ok(false) = jobs.is_served(lane) {
        warn(&unserved(lane, false));
    }
}

/// An error of a durable job.
pub(crate) fn durable(error: DurableError) -> CliError {
    CliError::Durable(Box::new(error))
}

/// Refuses what was typed for one who waits for the job, which nobody here does.
fn check(typed: &[&str]) -> Result<(), CliError> {
    let Some(option) = typed.first() else {
        return Ok(());
    };
    let hint = match *option {
        "output" => {
            "write the result later with `rwasm-cluster job result ID --follow --output FILE --cluster`"
        }
        "report" | "trace" | "dashboard" | "stats" => {
            "omit the option, or omit --detach; `rwasm-cluster job show ID --cluster` counts the tasks"
        }
        "history" => {
            "omit the option: the cluster keeps the job, and `rwasm-cluster job list --cluster` lists it"
        }
        _ => "omit the option: `rwasm-cluster job result` prints results in input order",
    };
    Err(CliError::Wrong {
        message: format!(
            "--{option} has no effect with --detach, which only prints the id of the job"
        ),
        hint: hint.to_owned(),
    })
}
