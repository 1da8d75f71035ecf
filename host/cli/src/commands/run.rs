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
    EitherJob, Ended, Plan, Progress, RunningElements, RunningJob, STDIN_NAME, Settings, Wording,
    carry_out, is_stdin, read_module,
};
#[cfg(feature = "nats")]
use rwasm_cluster::durable::{DurableJobs, DurableSettings};
use rwasm_cluster::{Cluster, Form, Input, Job, JobSpec, Merge, Module, PlanError, SubmitError};
use std::io::IsTerminal;
use std::path::PathBuf;

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
}

impl Run {
    fn plan(arguments: &RunArguments, settings: &Settings) -> Result<Self, CliError> {
        let read = arguments.inputs.iter().chain([&arguments.module]);
        settings.refuse_to_replace(read.map(PathBuf::as_path), &arguments.task)?;
        let module = read_module(
            &arguments.module,
            &settings.limits,
            arguments.task.abi.as_ref(),
        )?;
        let spec = spec(arguments, settings);
        let merge = spec
            .merge_for(&module)
            .map_err(|error| CliError::Submit(error.into()))?;
        if settings.output.elements && merge != Merge::None {
            return Err(CliError::Submit(PlanError::ElementsMerge.into()));
        }
        let format = RunFormat::new(settings.output.format, &merge);
        format.check(&spec, &module)?;
        let inputs = inputs(&module, arguments)?;
        Ok(Self {
            module,
            inputs,
            spec,
            merge,
            format,
            elements: settings.output.elements,
            is_quiet: settings.output.is_quiet,
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
        let printed = printed.map(|(result, warnings)| Summary::of_job(&result, warnings));
        Ended::of_job(printed, &progress)
    }
}

fn spec(arguments: &RunArguments, settings: &Settings) -> JobSpec {
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
    spec
}

/// The inputs, with stdin in its place among the files.
fn inputs(module: &Module, arguments: &RunArguments) -> Result<Vec<Input>, CliError> {
    let stdin = || Input::reader(STDIN_NAME, std::io::stdin());
    let is_module = is_stdin(&arguments.module);
    if arguments.inputs.is_empty() {
        if !is_module && !std::io::stdin().is_terminal() {
            return Ok(vec![stdin()]);
        }
        if module.form() == Form::Command && arguments.map.is_none() {
            return Ok(vec![Input::bytes("<no input>", "")]);
        }
        return Err(no_input(module, is_module));
    }
    let stdins = arguments.inputs.iter().filter(|path| is_stdin(path));
    if stdins.count() + usize::from(is_module) > 1 {
        return Err(CliError::Wrong {
            message: "stdin (`-`) is given more than once, but can be read only once".to_owned(),
            hint: "use `-` only once".to_owned(),
        });
    }
    let input = |path: &PathBuf| {
        if is_stdin(path) {
            stdin()
        } else {
            Input::path(path)
        }
    };
    Ok(arguments.inputs.iter().map(input).collect())
}

fn no_input(module: &Module, is_module: bool) -> CliError {
    let stdin = if is_module {
        "the module"
    } else {
        "a terminal"
    };
    CliError::Wrong {
        message: format!("no input: stdin is {stdin}, and no file is named"),
        hint: format!(
            "name an input: rwasm-cluster run {} book.txt",
            module.name()
        ),
    }
}
