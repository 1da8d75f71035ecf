//! `run`: arguments → cluster → module → job → merge → output.

use super::args::{LimitArgument, MergeArgument, ReuseArgument, RunArguments, TargetList, View};
use super::exit::{CliError, visible};
use super::output::Output;
use super::progress::Bar;
use super::signals::Signals;
use super::{report, stats};
use anyhow::Context as _;
use rwasm_cluster::format::Format;
use rwasm_cluster::{
    Cluster, EngineId, Form, Input, Job, JobError, JobResult, JobSpec, Limits, MAX_ENGINES, Merge,
    Module, Reuse, StartError, Targets, Type, ViewKind,
};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How stdin is written among the inputs.
const STDIN: &str = "-";

/// Runs a job and prints what comes of it.
pub(crate) fn run(arguments: &RunArguments, signals: &Signals) -> Result<(), CliError> {
    // What can be refused is refused first, the cheap before the dear.
    check_engines(arguments.engines)?;
    check_targets(arguments)?;
    let mut steps = Steps::new(arguments.loudness.verbose);
    let module = Module::from_file(&arguments.module).map_err(CliError::Load)?;
    let spec = spec(arguments);
    let merge = spec
        .merge_for(&module)
        .map_err(|error| CliError::Submit(error.into()))?;
    let shown = Shown::new(arguments, &merge);
    shown.check(&spec, &module)?;
    let inputs = inputs(&module, arguments)?;
    let output = Output::open(arguments.output.as_deref())?;
    signals.clean(output.aside());
    let report = match &arguments.report {
        Some(path) => Some(Output::open(Some(path))?),
        None => None,
    };
    signals.clean(report.as_ref().and_then(Output::aside));
    steps.done("module read");

    let cluster = cluster(arguments)?;
    steps.done("engines started");
    if arguments.loudness.verbose && !cluster.is_pooled() {
        warn(
            "the address space is too small for a pool of instances: each is mapped anew, which is slower",
        );
    }
    let job = cluster.run(&module, inputs, &shown.spec(spec.clone()))?;
    signals.watch(job.canceller());
    steps.done("module compiled, or taken from the cache, and job begun");
    let bar = Bar::show(arguments.progress, shown.streams, job.progress());
    let ended = print(job, output, shown, arguments);
    drop(bar);
    if let Some(ending) = signals.ending() {
        return Err(CliError::Signal(ending));
    }
    let result = ended?;
    steps.done("job run and result written");

    tell(&result, shown, arguments);
    if let Some(output) = report {
        report::write(output, &module, &spec, &merge, &result)?;
    }
    Ok(())
}

/// Says with `-v` where the time goes.
struct Steps {
    verbose: bool,
    last: Instant,
}

impl Steps {
    fn new(verbose: bool) -> Self {
        Self {
            verbose,
            last: Instant::now(),
        }
    }

    fn done(&mut self, step: &str) {
        if self.verbose {
            let took = stats::time(self.last.elapsed());
            // Where stderr is closed there is nobody to tell.
            let _ = writeln!(std::io::stderr().lock(), "{step} in {took}");
        }
        self.last = Instant::now();
    }
}

fn check_targets(arguments: &RunArguments) -> Result<(), CliError> {
    if arguments.view == View::Balanced && arguments.targets != TargetList::All {
        return Err(CliError::Wrong {
            message: "--targets names the engines of a direct view, but the view is balanced"
                .to_owned(),
            hint: "add --view direct".to_owned(),
        });
    }
    Ok(())
}

fn check_engines(wanted: Option<u32>) -> Result<(), CliError> {
    match wanted {
        Some(wanted) if wanted == 0 || wanted > MAX_ENGINES => {
            Err(CliError::Start(StartError::EngineCount { wanted }))
        }
        _ => Ok(()),
    }
}

fn cluster(arguments: &RunArguments) -> Result<Cluster, CliError> {
    let mut builder = Cluster::builder().strict_imports(arguments.strict_imports);
    if let Some(engines) = arguments.engines {
        builder = builder.engines(engines);
    }
    if let Some(cache) = cache_dir() {
        builder = builder.cache_dir(cache);
    }
    builder.start().map_err(CliError::Start)
}

/// Where compiled code is kept: `RWASM_CACHE_DIR`, else the user's cache directory.
fn cache_dir() -> Option<PathBuf> {
    match std::env::var_os("RWASM_CACHE_DIR") {
        Some(dir) if dir.is_empty() => None,
        Some(dir) => Some(dir.into()),
        None => dirs::cache_dir().map(|dir| dir.join("rwasm-cluster").join("compiled")),
    }
}

fn spec(arguments: &RunArguments) -> JobSpec {
    let mut limits = Limits::default();
    limits.time = arguments.timeout;
    limits.memory = arguments.memory;
    limits.fuel = arguments.fuel;
    for limit in &arguments.limits {
        match *limit {
            LimitArgument::Input(size) => limits.input = size,
            LimitArgument::Output(size) => limits.output = size,
            LimitArgument::Logs(size) => limits.logs = size,
            LimitArgument::TableElements(number) => limits.table_elements = number,
            LimitArgument::Handles(number) => limits.handles = number,
        }
    }
    let mut spec = JobSpec::default();
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
    spec.view = match (arguments.view, &arguments.targets) {
        (View::Balanced, _) => ViewKind::Balanced,
        (View::Direct, TargetList::All) => ViewKind::Direct(Targets::All),
        (View::Direct, TargetList::Only(ids)) => {
            ViewKind::Direct(Targets::Only(ids.iter().copied().map(EngineId).collect()))
        }
    };
    spec.reuse = match arguments.reuse {
        ReuseArgument::None => Reuse::None,
        ReuseArgument::Dispatch => Reuse::Dispatch,
        ReuseArgument::Engine => Reuse::Engine,
    };
    spec.limits = limits;
    spec.retries = arguments.retries;
    spec.max_failures = arguments.max_failures;
    spec.deadline = arguments.deadline;
    spec.arguments.clone_from(&arguments.program_arguments);
    spec.keep_records = arguments.report.is_some();
    spec
}

/// How results are printed: all at the end, or as they come.
#[derive(Clone, Copy)]
struct Shown {
    format: Format,
    streams: bool,
    /// `none`: each outcome is a record of its own.
    is_records: bool,
}

impl Shown {
    fn new(arguments: &RunArguments, merge: &Merge) -> Self {
        let is_records = *merge == Merge::None;
        let default = if is_records {
            Format::Jsonl
        } else {
            Format::Text
        };
        let format = arguments.format.unwrap_or(default);
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
        let is_text = |ty: &Type| *ty == Type::String || ty.is_bytes();
        if is_text(&ty) || matches!(&ty, Type::List(element) if is_text(element)) {
            return Ok(());
        }
        Err(CliError::Format(format!(
            "format raw writes strings and bytes only, the result is {ty}"
        )))
    }

    fn spec(self, mut spec: JobSpec) -> JobSpec {
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

fn print(
    mut job: Job,
    mut output: Output,
    shown: Shown,
    arguments: &RunArguments,
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
                    .context("a value that the job gave cannot be unpacked")
                    .map_err(CliError::Internal)?;
                output.value(&value, shown.record_format())?;
            }
            Err(failure) if !arguments.loudness.quiet => {
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
            .context("a value that the job gave cannot be unpacked")
            .map_err(CliError::Internal)?;
        output.value(&value, shown.format)?;
    }
    output.complete()?;
    Ok(result)
}

/// What is said on stderr when all is done.
fn tell(result: &JobResult, shown: Shown, arguments: &RunArguments) {
    if result.failures > 0 && !arguments.loudness.quiet {
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
            "{} of {of} tasks failed, the result is without them",
            result.failures
        ));
    }
    if arguments.stats {
        let table = stats::table(&result.stats);
        let _ = std::io::stderr().lock().write_all(table.as_bytes());
    }
}

fn warn(text: &str) {
    // Where stderr is closed there is nobody to warn.
    let _ = writeln!(std::io::stderr().lock(), "warning: {}", visible(text));
}

/// The inputs, with stdin in its place among the files.
fn inputs(module: &Module, arguments: &RunArguments) -> Result<Vec<Input>, CliError> {
    let stdin = || Input::reader("<stdin>", std::io::stdin());
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
                "no input: `{}` maps a function over files or stdin; it has {}",
                module.name(),
                functions.join("; ")
            ),
            hint: format!("for example: rwasm-cluster run {} book.txt", module.name()),
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
            message: "stdin (`-`) is given twice, but can be read only once".to_owned(),
            hint: "give `-` once, in its place among the files".to_owned(),
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
