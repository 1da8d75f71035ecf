//! `map`: one task per line of arguments, one line per result.

use crate::args::MapArguments;
use crate::environment::signals::Signals;
use crate::exit::CliError;
use crate::output::notes::TaskNaming;
use crate::output::printers::{MapPrinter, check_format, memo};
use crate::output::report::Subject;
use crate::output::results::Output;
use crate::output::summary::Summary;
#[cfg(feature = "nats")]
use crate::pipeline::durable;
use crate::pipeline::{
    EitherJob, Ended, Plan, Progress, RunningElements, RunningJob, STDIN_NAME, Settings, Wording,
    carry_out, element_type, function, is_stdin, read_module, result_type, scripted,
};
use crate::text::shell_word;
use anyhow::Context as _;
use rwasm_cluster::format::{Format, arguments_from_text};
use rwasm_cluster::plain;
use rwasm_cluster::{
    Cluster, DirectView, DynamicCallable, Elements, Inflated, InputError, JobSettings,
    LoadBalancedView, Map, Merge, Module, SubmitError, TaskSettings, Type, Value, ViewKind,
};
#[cfg(feature = "nats")]
use rwasm_cluster::{
    JobSpec,
    durable::{DurableJobs, DurableSettings},
};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Calls a function on each line and prints what comes of it.
pub(crate) fn map(arguments: &MapArguments, signals: &Signals) -> Result<(), CliError> {
    let settings = Settings::resolve(&arguments.task, Some(&arguments.many))?;
    let map = LineMap::plan(arguments, &settings)?;
    carry_out(map, settings, signals)
}

/// A map that can begin.
struct LineMap {
    module: Module,
    function: DynamicCallable,
    lines: Lines,
    view: ViewKind,
    task: TaskSettings,
    job: JobSettings,
    format: Format,
    elements: bool,
    is_quiet: bool,
    /// The file of the lines, unless they come from stdin.
    file: Option<PathBuf>,
}

/// A view with the settings of a map.
enum ChosenView {
    Direct(DirectView),
    Balanced(LoadBalancedView),
}

impl LineMap {
    fn plan(arguments: &MapArguments, settings: &Settings) -> Result<Self, CliError> {
        let read = arguments.input.iter().chain([&arguments.module]);
        settings.refuse_to_replace(read.map(PathBuf::as_path), &arguments.task)?;
        let module = read_module(
            &arguments.module,
            &settings.limits,
            arguments.task.abi.as_ref(),
        )?;
        let (module, function) = if module.reads_as_script(&arguments.function) {
            scripted(&module, &arguments.function)?
        } else {
            let function = function(&module, &arguments.function)?;
            (module, function)
        };
        let format = settings.output.format.unwrap_or(Format::Jsonl);
        let elements = settings.output.elements;
        let printed = if elements {
            Some(element_type(&function)?)
        } else {
            result_type(&function)
        };
        check_format(format, printed.as_ref())?;
        let mut lines = Lines::open(arguments, &function)?;
        lines.input = Box::new(Inflated::new(lines.input, settings.limits.inflated));
        let mut task = settings.task.clone();
        task.memo = memo(format);
        let mut job = settings.job.clone();
        job.dispatch_size = arguments.dispatch_size;
        job.max_outstanding = arguments.max_outstanding;
        Ok(Self {
            module,
            function,
            lines,
            view: settings.view.clone(),
            task,
            job,
            format,
            elements,
            is_quiet: settings.output.is_quiet,
            file: arguments.input.clone().filter(|path| !is_stdin(path)),
        })
    }

    fn submit(self, cluster: &Cluster) -> Result<Map<Value>, SubmitError> {
        let chosen = self.chosen(cluster)?;
        let Lines { name, input } = self.lines;
        match chosen {
            ChosenView::Direct(view) => view.map_lines(&self.function, &name, input),
            ChosenView::Balanced(view) => view.map_lines(&self.function, &name, input),
        }
    }

    /// The same, for whoever reads the elements of results as they come.
    fn submit_elements(self, cluster: &Cluster) -> Result<Elements<Value>, SubmitError> {
        let chosen = self.chosen(cluster)?;
        let Lines { name, input } = self.lines;
        match chosen {
            ChosenView::Direct(view) => view.elements().map_lines(&self.function, &name, input),
            ChosenView::Balanced(view) => view.elements().map_lines(&self.function, &name, input),
        }
    }

    fn chosen(&self, cluster: &Cluster) -> Result<ChosenView, SubmitError> {
        let (task, job) = (self.task.clone(), self.job.clone());
        let balanced = cluster.load_balanced_view();
        let balanced = match &self.view {
            ViewKind::Direct(targets) => {
                let view = cluster.direct_view(targets.clone())?;
                return Ok(ChosenView::Direct(
                    view.task_settings(task).job_settings(job),
                ));
            }
            ViewKind::BalancedAmong(targets) => balanced.targets(targets.clone()),
            _ => balanced,
        };
        Ok(ChosenView::Balanced(
            balanced.task_settings(task).job_settings(job),
        ))
    }
}

impl Plan for LineMap {
    type Running = EitherJob<RunningMap>;

    const WORDING: Wording = Wording {
        piece: "line",
        begun: "module compiled or loaded from the cache, and map started",
        ended: "map done and results written",
    };

    fn subject(&self) -> Subject {
        Subject {
            function: Some(self.function.name().to_owned()),
            merge: Some(Merge::None),
            inputs: self.file.iter().cloned().collect(),
            ..Subject::of("map", &self.module, &self.task)
        }
    }

    fn naming(&self) -> TaskNaming {
        TaskNaming::ByIndex
    }

    fn begin(self, cluster: &Cluster) -> Result<Self::Running, SubmitError> {
        let (format, is_quiet) = (self.format, self.is_quiet);
        if self.elements {
            return Ok(EitherJob::Elements(Box::new(RunningElements {
                elements: self.submit_elements(cluster)?,
                format,
                is_quiet,
            })));
        }
        Ok(EitherJob::Whole(RunningMap {
            map: self.submit(cluster)?,
            format,
            is_quiet,
        }))
    }

    #[cfg(feature = "nats")]
    fn store(self, jobs: &DurableJobs, settings: &DurableSettings) -> Result<String, CliError> {
        let Lines { name, input } = self.lines;
        let mut spec = JobSpec::default();
        (spec.view, spec.task, spec.job) = (self.view, self.task, self.job);
        jobs.submit_lines(&self.function, &name, input, &spec, settings)
            .map_err(durable)
    }
}

/// A map that has begun.
struct RunningMap {
    map: Map<Value>,
    format: Format,
    is_quiet: bool,
}

impl RunningJob for RunningMap {
    fn canceller(&self) -> Box<dyn FnOnce() + Send> {
        let canceller = self.map.canceller();
        Box::new(move || canceller.cancel())
    }

    fn progress(&self) -> Option<Progress> {
        Some(Progress {
            handle: self.map.progress(),
            is_streaming: true,
        })
    }

    fn print(self, output: Output, _: &Cluster) -> Ended {
        let progress = self.map.progress();
        Ended::of_job(self.print_all(output), &progress)
    }
}

impl RunningMap {
    fn print_all(mut self, output: Output) -> Result<Summary, CliError> {
        let printer = MapPrinter {
            output,
            format: self.format,
            is_quiet: self.is_quiet,
        };
        printer.all(&mut self.map)?;
        let result = self
            .map
            .result()
            .context("a successful map has no result")
            .map_err(CliError::Internal)?;
        let mut warnings = Vec::new();
        if result.failures > 0 && !self.is_quiet {
            let (failures, lines) = (result.failures, result.stats.chunks);
            warnings.push(format!("{failures} of {lines} tasks failed"));
        }
        Ok(Summary::of_job(result, warnings))
    }
}

/// The lines that are read.
struct Lines {
    name: String,
    input: Box<dyn Read + Send>,
}

impl Lines {
    fn open(arguments: &MapArguments, function: &DynamicCallable) -> Result<Self, CliError> {
        let path = arguments.input.as_deref();
        let Some(path) = path.filter(|path| !is_stdin(path)) else {
            let has_none = path.is_none() && std::io::stdin().is_terminal();
            if has_none || is_stdin(&arguments.module) {
                return Err(no_input(arguments, function));
            }
            return Ok(Self {
                name: STDIN_NAME.to_owned(),
                input: Box::new(std::io::stdin()),
            });
        };
        let refused = |error| CliError::Submit(SubmitError::Input(error));
        let owned = path.to_owned();
        match open(path) {
            Ok(Some(file)) => Ok(Self {
                name: path.display().to_string(),
                input: Box::new(file),
            }),
            Ok(None) => Err(refused(InputError::Directory { path: owned })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let missing = InputError::NotFound { path: owned };
                Err(match single_call(arguments, function, path) {
                    Some(hint) => CliError::Gone {
                        message: missing.to_string(),
                        hint,
                    },
                    None => refused(missing),
                })
            }
            Err(source) => Err(refused(InputError::Unreadable {
                path: owned,
                source,
            })),
        }
    }
}

/// The call that someone may mean who names an argument in the place of a file. Any name is a string, and bytes.
fn single_call(
    arguments: &MapArguments,
    function: &DynamicCallable,
    path: &Path,
) -> Option<String> {
    let text = path.to_str()?;
    let params = &function.signature().params;
    if matches!(params.as_slice(), [(_, ty)] if *ty == Type::String || ty.is_bytes())
        || arguments_from_text(params, &[text]).is_err()
    {
        return None;
    }
    Some(format!(
        "to call it once: `rwasm-cluster call {} {} {}`",
        shell_word(&arguments.module.display().to_string()),
        shell_word(function.name()),
        shell_word(text)
    ))
}

/// The file, unless it is a directory.
fn open(path: &Path) -> std::io::Result<Option<File>> {
    let file = File::open(path)?;
    Ok((!file.metadata()?.is_dir()).then_some(file))
}

fn no_input(arguments: &MapArguments, function: &DynamicCallable) -> CliError {
    let module: PathBuf = arguments.module.clone();
    CliError::Wrong {
        message: format!(
            "no input: `map` calls `{}` on each line of a file or of stdin",
            function.signature()
        ),
        hint: format!(
            "name an input: rwasm-cluster map {} {} lines.txt",
            plain::path(&module),
            function.name()
        ),
    }
}
