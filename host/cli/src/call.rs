//! `call`: one function, on any engine or on each that is named.

use super::args::CallArguments;
use super::exit::CliError;
use super::grants::grants;
use super::output::Output;
use super::report::{self, Report};
use super::setup;
use super::signals::Signals;
use super::tell::{self, Steps};
use super::told::{Named, Told};
use super::{history, stats};
use rwasm_cluster::format::{Call, Format, arguments_from_text};
use rwasm_cluster::{
    Argument, Cluster, DynamicCallable, EngineStats, JobStats, SubmitError, TaskInfo, Tasks, Value,
};
use std::sync::Arc;

/// What the input is made of.
const PIECES: &str = "calls";

/// Calls a function and prints what it gives.
pub(crate) fn call(arguments: &CallArguments, signals: &Signals) -> Result<(), CliError> {
    let task = &arguments.task;
    // What can be refused is refused first, the cheap before the dear.
    setup::check_engines(task.engines)?;
    let called = Called::new(arguments)?;
    let grants = grants(&task.grants, &task.determinism)?;
    let mut steps = Steps::new(task.loudness.verbose);
    let module = setup::module(&arguments.module, task)?;
    let function = setup::function(&module, &called.name)?;
    let given = called.arguments(&function, arguments)?;
    let format = task.format.unwrap_or(Format::Text);
    setup::check_format(format, setup::given(&function).as_ref())?;
    let (output, report) = setup::outputs(task, signals)?;
    steps.done("module read");

    let cluster = setup::cluster(task, None, &grants)?;
    let mut events = cluster.events();
    steps.done("engines started");
    let named = match task.targets {
        Some(_) => Named::ByCall,
        None => Named::Alone,
    };
    let told = Told::follow(&cluster, task, named);
    let tasks = Arc::new(submit(&cluster, &function, given, arguments)?);
    let stopped = Arc::clone(&tasks);
    signals.watch(move || stopped.abort());
    steps.done("module compiled or loaded from the cache, and call started");
    let ended = print(&tasks, output, format, task.targets.is_some());
    drop(told);
    history::tell_lost(&mut events);
    if let Some(ending) = signals.ending() {
        return Err(CliError::Signal(ending));
    }
    ended?;
    steps.done("call done and result written");

    let calls: Vec<TaskInfo> = tasks.info().into_iter().flatten().collect();
    let figures = figures(&tasks, &calls, cluster.engines().len());
    if task.stats {
        tell::print(&stats::table(&figures, PIECES));
    }
    if let Some(output) = report {
        let document = Report {
            command: "call",
            module: &module,
            function: Some(function.name()),
            merge: None,
            label: task.label.as_deref(),
            limits: cluster.limits(),
            grants: cluster.grants(),
            deterministic: task.determinism.deterministic,
        };
        report::write(output, &document.on_calls(&figures, &calls))?;
    }
    Ok(())
}

/// What is to be called, as it was typed.
struct Called {
    name: String,
    /// In WAVE's spelling, with its arguments. Instead of the name, which may be none that WAVE
    /// knows, it has another as long, so that places in it are those of what was typed.
    wave: Option<String>,
}

impl Called {
    fn new(arguments: &CallArguments) -> Result<Self, CliError> {
        let text = arguments.function.trim();
        let Some(open) = text.find('(') else {
            return Ok(Self {
                name: text.to_owned(),
                wave: None,
            });
        };
        let wrong = |message| CliError::Wrong {
            message,
            hint: "write `fib 30` or, in quotes, `'fib(30)'`".to_owned(),
        };
        if !arguments.arguments.is_empty() {
            return Err(wrong(format!(
                "`{text}` already has arguments in parentheses, but more arguments follow"
            )));
        }
        let wave = "f".repeat(open) + &text[open..];
        if let Err(error) = Call::parse(&wave) {
            return Err(wrong(format!("`{text}` is not a function call: {error}")));
        }
        Ok(Self {
            name: text[..open].trim_end().to_owned(),
            wave: Some(wave),
        })
    }

    fn arguments(
        &self,
        function: &DynamicCallable,
        arguments: &CallArguments,
    ) -> Result<Vec<Argument>, CliError> {
        let params = &function.signature().params;
        let call = self.wave.as_deref().and_then(|text| Call::parse(text).ok());
        let values = if let Some(call) = call {
            call.arguments(params)
        } else {
            let given = arguments.arguments.iter();
            let given: Vec<&[u8]> = given.map(|text| text.as_encoded_bytes()).collect();
            arguments_from_text(params, &given)
        };
        let values = values.map_err(|error| CliError::Wrong {
            message: format!("`{}`: {error}", function.signature()),
            hint: "write strings, bytes and single characters as they are, anything else as JSON or WAVE".to_owned(),
        })?;
        Ok(values.into_iter().map(Argument::from).collect())
    }
}

/// A call on each engine that is named, or on any.
fn submit(
    cluster: &Cluster,
    function: &DynamicCallable,
    given: Vec<Argument>,
    arguments: &CallArguments,
) -> Result<Tasks<Value>, SubmitError> {
    let task = &arguments.task;
    macro_rules! configured {
        ($view:expr) => {{
            let mut view = $view
                .deterministic(task.determinism.deterministic)
                .retry(setup::retry(task))
                .reuse(setup::reuse(task))
                .memo(serde_json::json!({ "format": task.format.unwrap_or(Format::Text).name() }));
            if let Some(label) = &task.label {
                view = view.label(label.as_str());
            }
            if let Some(time) = task.queue_timeout {
                view = view.queue_timeout(time);
            }
            if let Some(time) = task.deadline {
                view = view.deadline(time);
            }
            view.blocking()
        }};
    }
    if let Some(targets) = &task.targets {
        let view = configured!(cluster.direct_view(targets.clone())?);
        return view.submit(function, given);
    }
    let view = configured!(cluster.load_balanced_view());
    Ok(Tasks::join([view.submit(function, given)?]))
}

/// Prints what each call gives, in the order of the engines, up to the first that fails.
fn print(
    tasks: &Tasks<Value>,
    mut output: Output,
    format: Format,
    are_records: bool,
) -> Result<(), CliError> {
    for task in tasks {
        let value = match task.get() {
            Ok(value) => value,
            Err(error) => {
                // What came before the failure is good, and is printed.
                output.flush()?;
                return Err(error.into());
            }
        };
        // A function without a result has nothing to print.
        if value == Value::Tuple(Vec::new()) {
            continue;
        }
        if are_records {
            output.record(&value, format)?;
        } else {
            output.value(&value, format)?;
        }
    }
    output.complete()
}

/// The figures of the calls, as a job has them.
fn figures(tasks: &Tasks<Value>, calls: &[TaskInfo], engines: usize) -> JobStats {
    let mut stats = JobStats::default();
    stats.chunks = calls.len() as u64;
    stats.wall_time = tasks.wall_time().unwrap_or_default();
    stats.engine_count = engines;
    for call in calls {
        let attempts = call.attempts.len() as u64;
        stats.tasks += attempts;
        stats.dispatches += attempts;
        stats.retries += attempts.saturating_sub(1);
        stats.bytes_in += call.usage.bytes_in;
        stats.peak_memory = stats.peak_memory.max(call.usage.peak_memory);
        for attempt in &call.attempts {
            stats.serial_time += attempt.run_time;
            let Some(engine) = attempt.engine else {
                continue;
            };
            let engine: &mut EngineStats = stats.engines.entry(engine).or_default();
            engine.tasks += 1;
            engine.busy += attempt.run_time;
            engine.bytes_in += call.usage.bytes_in;
        }
    }
    stats
}
