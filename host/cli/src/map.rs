//! `map`: one task per line of arguments, one line per result.

use super::args::{MapArguments, View};
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
use rwasm_cluster::{
    Cluster, DynamicCallable, InputError, JobError, JobResult, Map, Merge, SubmitError, TaskError,
    TaskFailure, Value,
};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a map's input is made of.
const PIECES: &str = "lines";

/// Calls a function on each line and prints what comes of it.
pub(crate) fn map(arguments: &MapArguments, signals: &Signals) -> Result<(), CliError> {
    let task = &arguments.task;
    // What can be refused is refused first, the cheap before the dear.
    setup::check_engines(task.engines)?;
    let mut steps = Steps::new(task.loudness.verbose);
    let module = setup::module(&arguments.module, task)?;
    let function = setup::function(&module, &arguments.function)?;
    let format = task.format.unwrap_or(Format::Jsonl);
    setup::check_format(format, setup::given(&function).as_ref())?;
    let grants = grants(&task.grants, &task.determinism)?;
    let input = Lines::open(arguments, &function)?;
    #[cfg(feature = "nats")]
    if arguments.many.detach {
        return super::detach::map(&function, &input.name, input.input, arguments, &grants);
    }
    let (output, report) = setup::outputs(task, signals)?;
    steps.done("module read");

    let cluster = setup::cluster(task, Some(&arguments.many), &grants)?;
    let mut events = cluster.events();
    steps.done("engines started");
    let told = Told::follow(&cluster, task, Named::ByIndex);
    let mut map = begin(&cluster, &function, input, arguments)?;
    let canceller = map.canceller();
    signals.watch(move || canceller.cancel());
    steps.done("module compiled or loaded from the cache, and map started");
    let bar = Bar::show(arguments.many.progress, true, map.progress(), PIECES);
    let ended = Printed::new(output, format, task.loudness.quiet).all(&mut map);
    drop((bar, told));
    history::tell_lost(&mut events);
    if let Some(ending) = signals.ending() {
        return Err(CliError::Signal(ending));
    }
    ended?;
    steps.done("map done and results written");

    let result = map
        .result()
        .context("a successful map has no result")
        .map_err(CliError::Internal)?;
    tell(result, arguments);
    if let Some(output) = report {
        let document = Report {
            command: "map",
            module: &module,
            function: Some(function.name()),
            merge: Some(&Merge::None),
            label: task.label.as_deref(),
            limits: cluster.limits(),
            grants: cluster.grants(),
            deterministic: task.determinism.deterministic,
        };
        report::write(output, &document.on_job(result))?;
    }
    Ok(())
}

/// The lines that are read.
struct Lines {
    name: String,
    input: Box<dyn Read + Send>,
}

impl Lines {
    fn open(arguments: &MapArguments, function: &DynamicCallable) -> Result<Self, CliError> {
        let path = arguments.input.as_deref();
        let Some(path) = path.filter(|path| *path != Path::new(STDIN)) else {
            if path.is_none() && std::io::stdin().is_terminal() {
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
                Err(refused(InputError::NotFound { path: owned }))
            }
            Err(source) => Err(refused(InputError::Unreadable {
                path: owned,
                source,
            })),
        }
    }
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
            module.display(),
            function.name()
        ),
    }
}

fn begin(
    cluster: &Cluster,
    function: &DynamicCallable,
    lines: Lines,
    arguments: &MapArguments,
) -> Result<Map<Value>, SubmitError> {
    let task = &arguments.task;
    let many = &arguments.many;
    macro_rules! configured {
        ($view:expr) => {{
            let mut view = $view
                .deterministic(task.determinism.deterministic)
                .retry(setup::retry(task))
                .reuse(setup::reuse(task))
                .max_failures(many.max_failures)
                .memo(serde_json::json!({ "format": task.format.unwrap_or(Format::Jsonl).name() }));
            if let Some(label) = &task.label {
                view = view.label(label.as_str());
            }
            if let Some(time) = task.queue_timeout {
                view = view.queue_timeout(time);
            }
            if let Some(time) = task.deadline {
                view = view.deadline(time);
            }
            if many.unordered {
                view = view.unordered();
            }
            if let Some(tasks) = arguments.dispatch_size {
                view = view.dispatch_size(tasks);
            }
            if let Some(tasks) = arguments.max_outstanding {
                view = view.max_outstanding(tasks);
            }
            if task.report.is_some() {
                view = view.keep_records();
            }
            view
        }};
    }
    let targets = task.targets.clone();
    match many.view {
        View::Direct => {
            let view = configured!(cluster.direct_view(targets.unwrap_or_default())?);
            view.map_lines(function, &lines.name, lines.input)
        }
        View::Balanced => {
            let mut view = configured!(cluster.load_balanced_view());
            if let Some(targets) = targets {
                view = view.targets(targets);
            }
            view.map_lines(function, &lines.name, lines.input)
        }
    }
}

/// Where and how results are printed.
pub(crate) struct Printed {
    output: Output,
    format: Format,
    is_quiet: bool,
}

impl Printed {
    pub(crate) fn new(output: Output, format: Format, is_quiet: bool) -> Self {
        Self {
            output,
            format,
            is_quiet,
        }
    }

    /// Prints all results as they come, up to a failure that is not borne.
    pub(crate) fn all(mut self, map: &mut Map<Value>) -> Result<(), CliError> {
        loop {
            let mut next = map.try_next_outcome();
            if next.is_none() {
                // Whoever reads along has all there is before the next is waited for.
                self.output.flush()?;
                next = map.next_outcome();
            }
            let Some((_, outcome)) = next else { break };
            match outcome {
                Ok(value) => self.output.record(&value, self.format)?,
                Err(error) => match (error, map.error()) {
                    (TaskError::Failed(failed), None) => self.failed(&failed)?,
                    (error, ended) => {
                        // What came before the failure is good, and is printed.
                        self.output.flush()?;
                        return Err(ending(error, ended));
                    }
                },
            }
        }
        self.output.complete()
    }

    /// A failure that is borne stands in its place, where the format has a way to say so.
    fn failed(&mut self, failed: &Arc<TaskFailure>) -> Result<(), CliError> {
        let failure = &failed.failure;
        if matches!(self.format, Format::Json | Format::Jsonl) {
            let said = Value::Record(vec![
                ("code".into(), failure.code.name().to_owned().into()),
                ("message".into(), failure.message.clone().into()),
            ]);
            let record = Value::Record(vec![("error".into(), said)]);
            return self.output.value(&record, Format::Json);
        }
        if !self.is_quiet {
            warn(&format!(
                "a task failed ({}) on {}: {}",
                failure.code, failed.origin, failure.message
            ));
        }
        Ok(())
    }
}

/// The error that ended the map.
fn ending(error: TaskError, ended: Option<&JobError>) -> CliError {
    match (error, ended) {
        (TaskError::Failed(failed), Some(JobError::TaskFailed { failures, .. })) => {
            CliError::Task {
                failed,
                failures: *failures,
            }
        }
        (error, _) => error.into(),
    }
}

/// What is said on stderr when all is done.
fn tell(result: &JobResult, arguments: &MapArguments) {
    if result.failures > 0 && !arguments.task.loudness.quiet {
        warn(&format!(
            "{} of {} tasks failed",
            result.failures, result.stats.chunks
        ));
    }
    if arguments.task.stats {
        tell::print(&stats::table(&result.stats, PIECES));
    }
}
