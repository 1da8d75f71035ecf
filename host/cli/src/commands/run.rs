//! `run`: a function mapped over inputs, or a program run on each, and the outcomes merged.

use crate::args::RunArguments;
use crate::environment::signals::Signals;
use crate::exit::CliError;
use crate::output::notes::TaskNaming;
use crate::output::printers::{RunFormat, RunPrinter};
use crate::output::report::Subject;
use crate::output::results::Output;
use crate::output::summary::Summary;
#[cfg(feature = "nats")]
use crate::pipeline::durable;
use crate::pipeline::{
    EitherJob, Ended, InputFiles, Plan, Progress, RunningElements, RunningJob, Settings, Wording,
    carry_out, is_stdin, read_module, reading,
};
use crate::text::counted;
#[cfg(feature = "nats")]
use rwasm_cluster::durable::{DurableJobs, DurableSettings};
use rwasm_cluster::{
    Cluster, Input, InvalidUtf8, Job, JobSpec, Merge, Module, PlanError, SubmitError,
};
use std::path::{Path, PathBuf};

/// Runs a job and prints what comes of it.
pub(crate) fn run(arguments: &RunArguments, signals: &Signals) -> Result<(), CliError> {
    let settings = Settings::resolve(&arguments.task, Some(&arguments.many))?;
    let run = Run::plan(arguments, &settings)?;
    carry_out(run, settings, signals)
}

/// A run that can begin.
struct Run {
    module: Module,
    inputs: Vec<Input>,
    spec: JobSpec,
    /// How outcomes are merged, which the spec may leave to the module.
    merge: Merge,
    format: RunFormat,
    elements: bool,
    is_quiet: bool,
    /// The files among the inputs.
    files: Vec<PathBuf>,
}

impl Run {
    fn plan(arguments: &RunArguments, settings: &Settings) -> Result<Self, CliError> {
        let files = InputFiles::find(arguments)?;
        let read = files.paths().chain([arguments.module.as_path()]);
        settings.refuse_to_replace(read, &arguments.task)?;
        let module = read_module(
            &arguments.module,
            &settings.limits,
            arguments.task.abi.as_ref(),
        )?;
        let spec = spec(arguments, settings)?;
        let merge = spec
            .merge_for(&module)
            .map_err(|error| CliError::Submit(error.into()))?;
        if settings.output.elements && merge != Merge::None {
            return Err(CliError::Submit(PlanError::ElementsMerge.into()));
        }
        let format = RunFormat::new(settings.output.format, &merge);
        format.check(&spec, &module)?;
        let named = files.paths().filter(|path| !is_stdin(path));
        let named = named.map(Path::to_owned).collect();
        let inputs = files.open(&module, arguments)?;
        Ok(Self {
            module,
            inputs,
            spec,
            merge,
            format,
            elements: settings.output.elements,
            is_quiet: settings.output.is_quiet,
            files: named,
        })
    }
}

impl Plan for Run {
    type Running = EitherJob<RunningRun>;

    const WORDING: Wording = Wording {
        piece: "chunk",
        begun: "module compiled or loaded from the cache, and job started",
        ended: "job done and result written",
    };

    fn subject(&self) -> Subject {
        Subject {
            function: self.spec.map.clone(),
            merge: Some(self.merge.clone()),
            inputs: self.files.clone(),
            ..Subject::of("run", &self.module, &self.spec.task)
        }
    }

    fn naming(&self) -> TaskNaming {
        TaskNaming::ByIndex
    }

    fn begin(self, cluster: &Cluster) -> Result<Self::Running, SubmitError> {
        let spec = self.format.applied_to(self.spec);
        if self.elements {
            return Ok(EitherJob::Elements(Box::new(RunningElements {
                elements: cluster.run_elements(&self.module, self.inputs, &spec)?,
                format: self.format.of_record(),
                is_quiet: self.is_quiet,
            })));
        }
        Ok(EitherJob::Whole(RunningRun {
            job: cluster.run(&self.module, self.inputs, &spec)?,
            format: self.format,
            invalid_utf8: spec.reading.invalid_utf8,
            is_quiet: self.is_quiet,
        }))
    }

    #[cfg(feature = "nats")]
    fn store(self, jobs: &DurableJobs, settings: &DurableSettings) -> Result<String, CliError> {
        jobs.submit(&self.module, self.inputs, &self.spec, settings)
            .map_err(durable)
    }
}

/// A run that has begun.
struct RunningRun {
    job: Job,
    format: RunFormat,
    /// What became of bytes that are not UTF-8.
    invalid_utf8: InvalidUtf8,
    is_quiet: bool,
}

impl RunningJob for RunningRun {
    fn canceller(&self) -> Box<dyn FnOnce() + Send> {
        let canceller = self.job.canceller();
        Box::new(move || canceller.cancel())
    }

    fn progress(&self) -> Option<Progress> {
        Some(Progress {
            handle: self.job.progress(),
            is_streaming: self.format.is_streaming(),
        })
    }

    fn print(self, output: Output, _: &Cluster) -> Ended {
        let progress = self.job.progress();
        let printer = RunPrinter {
            output,
            format: self.format,
            is_quiet: self.is_quiet,
        };
        let printed = printer.all(self.job);
        let printed = printed.map(|(result, mut warnings)| {
            if result.not_utf8 > 0 && !self.is_quiet {
                warnings.push(not_utf8(self.invalid_utf8, result.not_utf8));
            }
            Summary::of_job(&result, warnings)
        });
        Ended::of_job(printed, &progress)
    }
}

/// Says how much was not UTF-8, and what became of it.
fn not_utf8(way: InvalidUtf8, count: u64) -> String {
    match way {
        InvalidUtf8::SkipLine => format!("{} left out: not UTF-8", counted(count, "line")),
        _ => format!(
            "{} of bytes replaced by U+FFFD: not UTF-8",
            counted(count, "sequence")
        ),
    }
}

fn spec(arguments: &RunArguments, settings: &Settings) -> Result<JobSpec, CliError> {
    let mut spec = JobSpec::default();
    spec.view = settings.view.clone();
    spec.task = settings.task.clone();
    spec.job = settings.job.clone();
    spec.map.clone_from(&arguments.map);
    spec.merge = match (&arguments.reduce, &arguments.merge) {
        (Some(name), _) => Merge::Reducer(name.clone()),
        (None, merge) => merge.clone().unwrap_or_default(),
    };
    spec.chunking = arguments.chunk;
    spec.arguments.clone_from(&arguments.program_arguments);
    spec.argv0.clone_from(&arguments.argv0);
    spec.ok_exit.clone_from(&arguments.ok_exit);
    spec.reading = reading(&arguments.read)?;
    Ok(spec)
}
