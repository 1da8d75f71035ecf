//! A job on its way: planned by its command, then running and watched, then ended.

use super::cluster::RunningCluster;
use super::output::OutputSettings;
use crate::environment::signals::Signals;
use crate::exit::CliError;
use crate::output::notes::{NotePrinter, TaskNaming};
use crate::output::progress::{Bar, Compiling};
use crate::output::report::Subject;
use crate::output::results::Output;
use crate::output::summary::Summary;
#[cfg(feature = "nats")]
use rwasm_cluster::durable::{DurableJobs, DurableSettings};
use rwasm_cluster::{Cluster, ProgressHandle, SubmitError};

/// What a command calls its job and what that goes through.
pub(crate) struct Wording {
    /// One part of its input.
    pub(crate) piece: &'static str,
    /// With `-v`, that it has begun.
    pub(crate) begun: &'static str,
    /// With `-v`, that it has ended.
    pub(crate) ended: &'static str,
}

/// A job that can begin: all that can be refused without a cluster has been.
pub(crate) trait Plan: Sized {
    /// The job once it runs.
    type Running: RunningJob;

    /// What it is called.
    const WORDING: Wording;

    /// What it is, for its report.
    fn subject(&self) -> Subject;

    /// How its tasks are called in what they log.
    fn naming(&self) -> TaskNaming;

    /// Submits it.
    fn begin(self, cluster: &Cluster) -> Result<Self::Running, SubmitError>;

    /// Stores it at a cluster, and gives its id.
    #[cfg(feature = "nats")]
    fn store(self, jobs: &DurableJobs, settings: &DurableSettings) -> Result<String, CliError>;
}

/// A job that runs.
pub(crate) trait RunningJob {
    /// What cancels it.
    fn canceller(&self) -> Box<dyn FnOnce() + Send>;

    /// How far it is, if that is known.
    fn progress(&self) -> Option<Progress>;

    /// Prints what it gives, to its end.
    fn print(self, output: Output, cluster: &Cluster) -> Ended;
}

/// What a job came to, and the error that ended it if one did.
pub(crate) struct Ended {
    pub(crate) summary: Summary,
    pub(crate) ending: Result<(), CliError>,
}

impl Ended {
    /// The end of a job of many tasks, which is followed by `progress`.
    pub(crate) fn of_job(printed: Result<Summary, CliError>, progress: &ProgressHandle) -> Self {
        match printed {
            Ok(summary) => Self {
                summary,
                ending: Ok(()),
            },
            Err(error) => Self {
                summary: Summary::of_failed_job(progress.failed(), &error),
                ending: Err(error),
            },
        }
    }
}

/// How far a job is.
pub(crate) struct Progress {
    pub(crate) handle: ProgressHandle,
    /// Whether its results are printed as they come.
    pub(crate) is_streaming: bool,
}

/// A job that runs: what its tasks log is printed, its progress shown, and a signal cancels it.
pub(super) struct WatchedJob<J> {
    job: J,
    bar: Option<Bar>,
    notes: NotePrinter,
}

impl<J: RunningJob> WatchedJob<J> {
    pub(super) fn begin<P: Plan<Running = J>>(
        plan: P,
        cluster: &RunningCluster,
        output: &OutputSettings,
        signals: &Signals,
    ) -> Result<Self, CliError> {
        // Begun before the job is, so that nothing is missed.
        let notes = NotePrinter::follow(cluster, output.notes, plan.naming());
        let compiling = cluster.are_here().then(|| {
            let module = plan.subject().module;
            Compiling::show(module.name(), module.size(), output.is_quiet)
        });
        let job = plan.begin(cluster);
        drop(compiling);
        let job = job?;
        cluster.stop_at_signal(signals, job.canceller());
        let bar = job.progress().and_then(|progress| {
            let Progress {
                handle,
                is_streaming,
            } = progress;
            Bar::show(output.progress, is_streaming, handle, P::WORDING.piece)
        });
        Ok(Self { job, bar, notes })
    }

    /// Prints what it gives, to its end.
    pub(super) fn print(self, output: Output, cluster: &RunningCluster) -> Ended {
        let ended = self.job.print(output, cluster);
        drop((self.bar, self.notes));
        ended
    }
}
