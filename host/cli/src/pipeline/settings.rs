//! What the options of a command that runs tasks come to: resolved once, and not looked up again.

use super::cluster::ClusterSettings;
use super::grants::grants;
use super::limits::limits;
use super::output::OutputSettings;
#[cfg(feature = "nats")]
use super::store::StoreSettings;
use crate::args::{ManyOptions, ReuseArgument, TaskOptions, View, check_engines};
use crate::exit::CliError;
use crate::output::messages::Steps;
use rwasm_cluster::{Backoff, Grants, JobSpec, Limits, Retry, Reuse, ViewKind};
use std::time::Duration;

/// No pause before a further attempt is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What holds for a job of `run`, `call` or `map`.
pub(crate) struct Settings {
    pub(super) place: JobPlace,
    /// What each task may use.
    pub(crate) limits: Limits,
    /// What else holds for the tasks; each command adds what it alone knows.
    pub(crate) job: JobSpec,
    pub(crate) output: OutputSettings,
    /// The time since they were resolved, and what it went into.
    pub(super) steps: Steps,
}

/// Where a job runs, and whether somebody waits for it.
pub(super) enum JobPlace {
    /// On a cluster that this process starts or reaches, and to its end.
    Attended(Box<ClusterSettings>),
    /// Stored at a cluster, where it goes on by itself.
    #[cfg(feature = "nats")]
    Stored(Box<StoreSettings>),
}

impl JobPlace {
    fn resolve(
        task: &TaskOptions,
        many: Option<&ManyOptions>,
        limits: &Limits,
        grants: &Grants,
    ) -> Result<Self, CliError> {
        #[cfg(feature = "nats")]
        if let Some(many) = many.filter(|many| many.detach) {
            let store = StoreSettings::resolve(task, many)?;
            return Ok(Self::Stored(Box::new(store)));
        }
        let cluster = ClusterSettings::resolve(task, many, limits, grants)?;
        Ok(Self::Attended(Box::new(cluster)))
    }

    fn is_attended(&self) -> bool {
        matches!(self, Self::Attended(_))
    }
}

impl Settings {
    /// What the options of the command say; `many` are those of commands of many tasks.
    pub(crate) fn resolve(
        task: &TaskOptions,
        many: Option<&ManyOptions>,
    ) -> Result<Self, CliError> {
        // What can be refused is refused first, the cheap before the dear.
        check_engines(task.engines)?;
        let steps = Steps::new(task.loudness.verbose);
        let limits = limits(&task.limits, task.determinism.deterministic);
        let grants = grants(&task.grants, &task.determinism)?;
        let mut job = job(task, many);
        let place = JobPlace::resolve(task, many, &limits, &grants)?;
        if !place.is_attended() {
            // Whoever runs it later has no other word of what its tasks may use and reach.
            job.task.limits = Some(limits.clone());
            job.task.grants = Some(grants);
        }
        Ok(Self {
            place,
            limits,
            job,
            output: OutputSettings::resolve(task, many)?,
            steps,
        })
    }
}

/// What the options say of a job, whichever command runs it.
fn job(task: &TaskOptions, many: Option<&ManyOptions>) -> JobSpec {
    let mut job = JobSpec::default();
    job.task.reuse = match task.reuse {
        ReuseArgument::None => Reuse::None,
        ReuseArgument::Dispatch => Reuse::Dispatch,
        ReuseArgument::Engine => Reuse::Engine,
    };
    job.task.deterministic = task.determinism.deterministic;
    job.task.retry = Retry::times(task.retries)
        .on(task.retry_on)
        .backoff(Backoff::exponential(task.backoff, LONGEST_PAUSE));
    job.task.queue_timeout = task.queue_timeout;
    job.task.deadline = task.deadline;
    job.task.label = task.label.as_deref().map(Into::into);
    let targets = task.targets.clone();
    let Some(many) = many else {
        // One call goes to each engine that is named.
        job.view = targets.map_or(ViewKind::Balanced, ViewKind::Direct);
        return job;
    };
    job.view = match (many.view, targets) {
        (View::Balanced, None) => ViewKind::Balanced,
        (View::Balanced, Some(targets)) => ViewKind::BalancedAmong(targets),
        (View::Direct, targets) => ViewKind::Direct(targets.unwrap_or_default()),
    };
    job.job.max_failures = many.max_failures;
    job.job.unordered = many.unordered;
    job.job.keep_records = task.report.is_some();
    job
}
