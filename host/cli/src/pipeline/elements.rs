//! `--elements`: jobs whose results are printed element by element, as they come.

use super::job::{Ended, Progress, RunningJob};
use crate::exit::CliError;
use crate::output::printers::ElementPrinter;
use crate::output::results::Output;
use crate::output::summary::{Summary, figures};
use anyhow::Context as _;
use rwasm_cluster::format::Format;
use rwasm_cluster::{
    Canceller, Cluster, DynamicCallable, Elements, PlanError, SubmitError, TaskInfo, Type, Value,
};

/// The type of what a function gives while it runs.
pub(crate) fn element_type(function: &DynamicCallable) -> Result<Type, CliError> {
    let signature = function.signature();
    signature.element_type().ok_or_else(|| {
        let function = signature.to_string();
        CliError::Submit(SubmitError::Plan(PlanError::NoElements { function }))
    })
}

/// A job that runs: its results are printed as they are, or element by element.
pub(crate) enum EitherJob<J> {
    Whole(J),
    Elements(Box<RunningElements>),
}

impl<J: RunningJob> RunningJob for EitherJob<J> {
    fn canceller(&self) -> Box<dyn FnOnce() + Send> {
        match self {
            Self::Whole(job) => job.canceller(),
            Self::Elements(elements) => elements.canceller(),
        }
    }

    fn progress(&self) -> Option<Progress> {
        match self {
            Self::Whole(job) => job.progress(),
            Self::Elements(elements) => elements.progress(),
        }
    }

    fn print(self, output: Output, cluster: &Cluster) -> Ended {
        match self {
            Self::Whole(job) => job.print(output, cluster),
            Self::Elements(elements) => elements.print(output, cluster),
        }
    }
}

/// Tasks that have begun, and how what they give is printed.
pub(crate) struct RunningElements {
    pub(crate) elements: Elements<Value>,
    pub(crate) format: Format,
    pub(crate) is_quiet: bool,
}

impl RunningJob for RunningElements {
    fn canceller(&self) -> Box<dyn FnOnce() + Send> {
        let canceller: Canceller = self.elements.canceller();
        Box::new(move || canceller.cancel())
    }

    fn progress(&self) -> Option<Progress> {
        let handle = self.elements.progress()?;
        Some(Progress {
            handle,
            is_streaming: true,
        })
    }

    fn print(mut self, output: Output, cluster: &Cluster) -> Ended {
        let printer = ElementPrinter {
            output,
            format: self.format,
            is_quiet: self.is_quiet,
        };
        let printed = printer.all(&mut self.elements);
        match self.elements.progress() {
            Some(progress) => Ended::of_job(printed.and_then(|()| self.summary()), &progress),
            None => self.of_call(printed, cluster),
        }
    }
}

impl RunningElements {
    /// What a map or a run came to.
    fn summary(&self) -> Result<Summary, CliError> {
        let result = self.elements.result();
        let result = result
            .context("a successful job has no result")
            .map_err(CliError::Internal)?;
        let mut warnings = Vec::new();
        if result.failures > 0 && !self.is_quiet {
            let (failures, tasks) = (result.failures, result.stats.chunks);
            warnings.push(format!("{failures} of {tasks} tasks failed"));
        }
        Ok(Summary::of_job(result, warnings))
    }

    /// What a call came to.
    fn of_call(&self, ending: Result<(), CliError>, cluster: &Cluster) -> Ended {
        let calls: Vec<TaskInfo> = self.elements.info().into_iter().collect();
        let mut stats = figures(&calls);
        stats.wall_time = self.elements.elapsed();
        stats.engine_count = cluster.engines().len();
        let failures = u64::from(ending.is_err());
        Ended {
            summary: Summary::of_calls(&calls, stats, failures),
            ending,
        }
    }
}
