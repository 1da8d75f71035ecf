//! What the options of a command that runs tasks come to: resolved once, and not looked up again.

use super::cluster::ClusterSettings;
use super::grants::grants;
use super::limits::limits;
use super::module::beside;
use super::output::OutputSettings;
#[cfg(feature = "nats")]
use super::store::StoreSettings;
use crate::args::{ManyOptions, ReuseArgument, TaskOptions, View, check_engines};
use crate::exit::CliError;
use crate::output::messages::Steps;
use crate::output::report::is_page;
use rwasm_cluster::{Backoff, Grants, JobSettings, Limits, Retry, Reuse, TaskSettings, ViewKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No pause before a further attempt is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What holds for a job of `run`, `call` or `map`.
pub(crate) struct Settings {
    pub(super) place: JobPlace,
    /// What each task may use.
    pub(crate) limits: Limits,
    /// Which engines run the tasks.
    pub(crate) view: ViewKind,
    /// What else holds for each task; each command adds what it alone knows.
    pub(crate) task: TaskSettings,
    /// What holds for the tasks together.
    pub(crate) job: JobSettings,
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
    /// Refuses to write results or a report over what the job reads: these files, and those that its options name.
    pub(crate) fn refuse_to_replace<'a>(
        &self,
        read: impl IntoIterator<Item = &'a Path>,
        task: &TaskOptions,
    ) -> Result<(), CliError> {
        let read: Vec<PathBuf> = read.into_iter().map(Path::to_owned).collect();
        let abi = read.iter().map(|path| beside(path));
        let all: Vec<PathBuf> = abi
            .chain(task.grants.env_files.iter().cloned())
            .chain(read.iter().cloned())
            .collect();
        self.output.refuse_read(all.iter().map(PathBuf::as_path))
    }

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
        let place = JobPlace::resolve(task, many, &limits, &grants)?;
        let mut each = each_task(task);
        if !place.is_attended() {
            // Whoever runs it later has no other word of what its tasks may use and reach.
            each.limits = Some(limits.clone());
            each.grants = Some(grants);
        }
        Ok(Self {
            place,
            limits,
            view: view(task, many),
            task: each,
            job: many.map_or_else(JobSettings::default, |many| together(task, many)),
            output: OutputSettings::resolve(task, many)?,
            steps,
        })
    }
}

/// What the options say of each task, whichever command runs it.
fn each_task(options: &TaskOptions) -> TaskSettings {
    let mut task = TaskSettings::default();
    task.reuse = match options.reuse {
        ReuseArgument::None => Reuse::None,
        ReuseArgument::Dispatch => Reuse::Dispatch,
        ReuseArgument::Engine => Reuse::Engine,
    };
    task.deterministic = options.determinism.deterministic;
    task.retry = Retry::times(options.retries)
        .on(options.retry_on)
        .backoff(Backoff::exponential(options.backoff, LONGEST_PAUSE));
    task.queue_timeout = options.queue_timeout;
    task.deadline = options.deadline;
    task.label = options.label.as_deref().map(Into::into);
    task
}

/// Which engines the options name.
fn view(task: &TaskOptions, many: Option<&ManyOptions>) -> ViewKind {
    let targets = task.targets.clone();
    match (many.map(|many| many.view), targets) {
        // One call goes to each engine that is named.
        (None, targets) => targets.map_or(ViewKind::Balanced, ViewKind::Direct),
        (Some(View::Balanced), None) => ViewKind::Balanced,
        (Some(View::Balanced), Some(targets)) => ViewKind::BalancedAmong(targets),
        (Some(View::Direct), targets) => ViewKind::Direct(targets.unwrap_or_default()),
    }
}

/// What the options say of the tasks together.
fn together(task: &TaskOptions, many: &ManyOptions) -> JobSettings {
    let mut job = JobSettings::default();
    job.max_failures = many.max_failures;
    job.unordered = many.unordered;
    job.keep_records = task.report.as_deref().is_some_and(|path| !is_page(path));
    job
}
