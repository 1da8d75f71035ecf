//! `run`: arguments → cluster → module → job → merge → output.

use super::args::{MergeArgument, RunArguments, View};
use super::exit::CliError;
use super::grants::grants;
use super::output::Output;
use super::progress::Bar;
use super::report::{self, Report};
use super::setup::{self, STDIN, STDIN_NAME};
use super::signals::Signals;
use super::tell::{self, Steps, warn};
use super::told::{Named, Told};
use super::{history, stats};
use anyhow::Context as _;
use rwasm_cluster::format::Format;
use rwasm_cluster::{Form, Input, Job, JobError, JobResult, JobSpec, Merge, Module, ViewKind};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// What a job's input is made of.
const PIECES: &str = "chunks";

/// Runs a job and prints what comes of it.
pub(crate) fn run(arguments: &RunArguments, signals: &Signals) -> Result<(), CliError> {
    // What can be refused is refused first, the cheap before the dear.
    setup::check_engines(arguments.task.engines)?;
    let mut steps = Steps::new(arguments.task.loudness.verbose);
    let module = setup::module(&arguments.module, &arguments.task)?;
    let grants = grants(&arguments.task.grants, &arguments.task.determinism)?;
    let spec = spec(arguments);
    let merge = spec
        .merge_for(&module)
        .map_err(|error| CliError::Submit(error.into()))?;
    let shown = Shown::new(arguments.task.format, &merge);
    shown.check(&spec, &module)?;
    let inputs = inputs(&module, arguments)?;
    #[cfg(feature = "nats")]
    if arguments.many.detach {
        return super::detach::run(&module, inputs, spec, arguments, &grants);
    }
    let (output, report) = setup::outputs(&arguments.task, signals)?;
    steps.done("module read");

    let cluster = setup::cluster(&arguments.task, Some(&arguments.many), &grants)?;
    let mut events = cluster.events();
    steps.done("engines started");
    let told = Told::follow(&cluster, &arguments.task, Named::ByIndex);
    let job = cluster.run(&module, inputs, &shown.spec(spec.clone()))?;
    let canceller = job.canceller();
    signals.watch(move || canceller.cancel());
    steps.done("module compiled or loaded from the cache, and job started");
    let bar = Bar::show(
        arguments.many.progress,
        shown.streams,
        job.progress(),
        PIECES,
    );
    let ended = print(job, output, shown, arguments.task.loudness.quiet);
    drop((bar, told));
    history::tell_lost(&mut events);
    if let Some(ending) = signals.ending() {
        return Err(CliError::Signal(ending));
    }
    let result = ended?;
    steps.done("job done and result written");

    tell(&result, shown, arguments.task.loudness.quiet);
    if arguments.task.stats {
        tell::print(&stats::table(&result.stats, PIECES));
    }
    if let Some(output) = report {
        let document = Report {
            command: "run",
            module: &module,
            function: spec.map.as_deref(),
            merge: Some(&merge),
            label: spec.label.as_deref(),
            limits: cluster.limits(),
            grants: cluster.grants(),
            deterministic: spec.deterministic,
        };
        report::write(output, &document.on_job(&result))?;
    }
    Ok(())
}

fn spec(arguments: &RunArguments) -> JobSpec {
    let task = &arguments.task;
    let mut spec = setup::spec(task, &arguments.many);
    spec.map.clone_from(&arguments.map);
    spec.merge = match (&arguments.reduce, arguments.merge) {
        (Some(name), _) => Merge::Reducer(name.clone()),
        (None, None) => Merge::Default,
        (None, Some(merge)) => match merge {
            MergeArgument::Collect => Merge::Collect,
            MergeArgument::Concat => Merge::Concat,
            MergeArgument::Sum => Merge::Sum,
            MergeArgument::Min => Merge::Min,
            MergeArgument::Max => Merge::Max,
            MergeArgument::Count => Merge::Count,
            MergeArgument::None => Merge::None,
        },
    };
    spec.chunking = arguments.chunk;
    spec.view = match (arguments.many.view, task.targets.clone()) {
        (View::Balanced, None) => ViewKind::Balanced,
        (View::Balanced, Some(targets)) => ViewKind::BalancedAmong(targets),
        (View::Direct, targets) => ViewKind::Direct(targets.unwrap_or_default()),
    };
    spec.unordered = arguments.many.unordered;
    spec.arguments.clone_from(&arguments.program_arguments);
    spec.keep_records = task.report.is_some();
    spec
}

/// How results are printed: all at the end, or as they come.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    format: Format,
    streams: bool,
    /// `none`: each outcome is a record of its own.
    is_records: bool,
}

impl Shown {
    pub(crate) fn new(format: Option<Format>, merge: &Merge) -> Self {
        let is_records = *merge == Merge::None;
        let default = if is_records {
            Format::Jsonl
        } else {
            Format::Text
        };
        let format = format.unwrap_or(default);
        // Joined values are the same printed one by one, but for documents with a beginning and
        // an end.
        let joins = *merge == Merge::Concat && !matches!(format, Format::Json | Format::Wave);
        Self {
            format,
            streams: is_records || joins,
            is_records,
        }
    }

    /// Refuses a format that cannot write what the job gives.
    fn check(self, spec: &JobSpec, module: &Module) -> Result<(), CliError> {
        if self.format != Format::Raw {
            return Ok(());
        }
        let ty = spec
            .type_for(module)
            .map_err(|error| CliError::Submit(error.into()))?;
        setup::check_format(self.format, Some(&ty))
    }

    pub(crate) fn spec(self, mut spec: JobSpec) -> JobSpec {
        spec.memo = serde_json::json!({ "format": self.format.name() });
        if self.streams {
            spec.merge = Merge::None;
        }
        spec
    }

    /// The format of one outcome that is printed as it comes.
    fn record_format(self) -> Format {
        match self.format {
            // A record is one line, whatever it holds.
            Format::Jsonl if self.is_records => Format::Json,
            format => format,
        }
    }
}

pub(crate) fn print(
    mut job: Job,
    mut output: Output,
    shown: Shown,
    is_quiet: bool,
) -> Result<JobResult, CliError> {
    loop {
        let mut next = job.try_next_outcome();
        if next.is_none() {
            // Whoever reads along has all there is before the next is waited for.
            output.flush()?;
            next = job.next_outcome();
        }
        let Some((origin, outcome)) = next else { break };
        match outcome.result {
            Ok(value) => {
                let value = value
                    .unpack()
                    .context("a result of the job cannot be unpacked")
                    .map_err(CliError::Internal)?;
                output.value(&value, shown.record_format())?;
            }
            Err(failure) if !is_quiet => {
                warn(&format!(
                    "a task failed ({}) on {origin}: {}",
                    failure.code, failure.message
                ));
            }
            Err(_) => {}
        }
    }
    let result = match job.wait() {
        Ok(result) => result,
        Err(error @ JobError::TaskFailed { .. }) if shown.streams => {
            // What came before the failure is good, and is printed.
            output.flush()?;
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(merged) = &result.merged {
        let value = merged
            .unpack()
            .context("a result of the job cannot be unpacked")
            .map_err(CliError::Internal)?;
        output.value(&value, shown.format)?;
    }
    output.complete()?;
    Ok(result)
}

/// What is said on stderr when all is done.
pub(crate) fn tell(result: &JobResult, shown: Shown, is_quiet: bool) {
    if result.failures > 0 && !is_quiet {
        // Where outcomes were printed as they came, so were the failures among them.
        let untold = if shown.streams {
            &[]
        } else {
            result.failed.as_slice()
        };
        for (origin, failure) in untold {
            warn(&format!(
                "a task failed ({}) on {origin}: {}",
                failure.code, failure.message
            ));
        }
        let of = result.stats.chunks;
        warn(&format!(
            "{} of {of} tasks failed and are missing from the result",
            result.failures
        ));
    }
}

/// The inputs, with stdin in its place among the files.
fn inputs(module: &Module, arguments: &RunArguments) -> Result<Vec<Input>, CliError> {
    let stdin = || Input::reader(STDIN_NAME, std::io::stdin());
    if arguments.inputs.is_empty() {
        if !std::io::stdin().is_terminal() {
            return Ok(vec![stdin()]);
        }
        if module.form() == Form::Command && arguments.map.is_none() {
            return Ok(vec![Input::bytes("<no input>", "")]);
        }
        let functions: Vec<String> = module
            .functions()
            .iter()
            .map(|function| format!("`{function}`"))
            .collect();
        return Err(CliError::Wrong {
            message: format!(
                "no input: `run` maps a function of `{}` over files or stdin; its functions are {}",
                module.name(),
                functions.join("; ")
            ),
            hint: format!(
                "name an input: rwasm-cluster run {} book.txt",
                module.name()
            ),
        });
    }
    let is_stdin = |path: &PathBuf| path.as_path() == Path::new(STDIN);
    if arguments
        .inputs
        .iter()
        .filter(|path| is_stdin(path))
        .count()
        > 1
    {
        return Err(CliError::Wrong {
            message: "stdin (`-`) is given more than once, but can be read only once".to_owned(),
            hint: "use `-` only once".to_owned(),
        });
    }
    Ok(arguments
        .inputs
        .iter()
        .map(|path| {
            if is_stdin(path) {
                stdin()
            } else {
                Input::path(path)
            }
        })
        .collect())
}
