//! `call`: one function, on any engine or on each that is named.

use crate::args::CallArguments;
use crate::environment::signals::Signals;
use crate::exit::CliError;
use crate::output::notes::TaskNaming;
use crate::output::printers::{check_format, memo};
use crate::output::report::Subject;
use crate::output::results::Output;
use crate::output::summary::{Summary, figures};
use crate::pipeline::{
    EitherJob, Ended, Plan, Progress, RunningElements, RunningJob, Settings, Wording, carry_out,
    element_type, function, read_module, read_script, result_type, scripted,
};
#[cfg(feature = "nats")]
use rwasm_cluster::durable::{DurableJobs, DurableSettings};
use rwasm_cluster::format::{Call, Format, arguments_from_text, arguments_of_core};
use rwasm_cluster::{
    Argument, ArgumentError, Cluster, DynamicCallable, Elements, EngineId, Module, Need,
    SubmitError, TaskInfo, TaskSettings, Tasks, Type, Value, ViewKind,
};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

/// Calls a function and prints what it gives.
pub(crate) fn call(arguments: &CallArguments, signals: &Signals) -> Result<(), CliError> {
    let settings = Settings::resolve(&arguments.task, None)?;
    let calls = Calls::plan(arguments, &settings)?;
    carry_out(calls, settings, signals)
}

/// A call that can begin: one on any engine, or one on each that is named.
struct Calls {
    module: Module,
    function: DynamicCallable,
    arguments: Vec<Argument>,
    view: ViewKind,
    task: TaskSettings,
    format: Format,
    elements: bool,
    is_quiet: bool,
}

impl Calls {
    fn plan(arguments: &CallArguments, settings: &Settings) -> Result<Self, CliError> {
        let read = [&arguments.module].into_iter().chain(&arguments.script);
        settings.refuse_to_replace(read.map(PathBuf::as_path), &arguments.task)?;
        let module = read_module(
            &arguments.module,
            &settings.limits,
            arguments.task.abi.as_ref(),
        )?;
        let called = Called::new(arguments, &module)?;
        let (module, function) = if let Some(script) = &called.script {
            scripted(&module, script)?
        } else {
            let function = function(&module, &called.name)?;
            (module, function)
        };
        let mut task = settings.task.clone();
        task.arguments = program_arguments(&module, &function, arguments, &called.arguments)?;
        let are_programs = function.signature().params.is_empty() && !task.arguments.is_empty();
        let given = if are_programs {
            Vec::new()
        } else {
            called.values(&function)?
        };
        let format = settings.output.format.unwrap_or(Format::Text);
        let elements = settings.output.elements;
        let printed = if elements {
            Some(element_type(&function)?)
        } else {
            result_type(&function)
        };
        check_format(format, printed.as_ref())?;
        if elements && matches!(settings.view, ViewKind::Direct(_)) {
            return Err(CliError::Wrong {
                message: "--elements prints what one call gives, but --targets calls the function on each engine"
                    .to_owned(),
                hint: "omit --elements or --targets".to_owned(),
            });
        }
        task.memo = memo(format);
        Ok(Self {
            module,
            function,
            arguments: given,
            view: settings.view.clone(),
            task,
            format,
            elements,
            is_quiet: settings.output.is_quiet,
        })
    }

    /// Whether there is a result for each of several engines.
    fn are_many(&self) -> bool {
        matches!(self.view, ViewKind::Direct(_))
    }

    fn submit(self, cluster: &Cluster) -> Result<Tasks<Value>, SubmitError> {
        if let ViewKind::Direct(targets) = self.view {
            let view = cluster.direct_view(targets)?.task_settings(self.task);
            return view.blocking().submit(&self.function, self.arguments);
        }
        let view = cluster.load_balanced_view().task_settings(self.task);
        let task = view.blocking().submit(&self.function, self.arguments)?;
        Ok(Tasks::join([task]))
    }

    /// The same, for whoever reads the elements of the result as they come.
    fn submit_elements(self, cluster: &Cluster) -> Result<Elements<Value>, SubmitError> {
        let view = cluster.load_balanced_view().task_settings(self.task);
        let view = view.elements().blocking();
        view.submit(&self.function, self.arguments)
    }
}

impl Plan for Calls {
    type Running = EitherJob<RunningCalls>;

    const WORDING: Wording = Wording {
        piece: "call",
        begun: "module compiled or loaded from the cache, and call started",
        ended: "call done and result written",
    };

    fn subject(&self) -> Subject {
        Subject {
            function: Some(self.function.name().to_owned()),
            ..Subject::of("call", &self.module, &self.task)
        }
    }

    fn naming(&self) -> TaskNaming {
        if self.are_many() {
            TaskNaming::ByCall
        } else {
            TaskNaming::Alone
        }
    }

    fn begin(self, cluster: &Cluster) -> Result<Self::Running, SubmitError> {
        let (format, are_records, is_quiet) = (self.format, self.are_many(), self.is_quiet);
        if self.elements {
            return Ok(EitherJob::Elements(Box::new(RunningElements {
                elements: self.submit_elements(cluster)?,
                format,
                is_quiet,
            })));
        }
        Ok(EitherJob::Whole(RunningCalls {
            tasks: Arc::new(self.submit(cluster)?),
            format,
            are_records,
        }))
    }

    #[cfg(feature = "nats")]
    fn store(self, _: &DurableJobs, _: &DurableSettings) -> Result<String, CliError> {
        Err(CliError::Internal(anyhow::anyhow!("a call is not stored")))
    }
}

/// Calls that have begun.
struct RunningCalls {
    tasks: Arc<Tasks<Value>>,
    format: Format,
    /// Whether each result is one among several.
    are_records: bool,
}

impl RunningJob for RunningCalls {
    fn canceller(&self) -> Box<dyn FnOnce() + Send> {
        let tasks = Arc::clone(&self.tasks);
        Box::new(move || tasks.abort())
    }

    fn progress(&self) -> Option<Progress> {
        None
    }

    fn print(self, output: Output, cluster: &Cluster) -> Ended {
        let ending = print(&self.tasks, output, self.format, self.are_records);
        // Of those that have not ended there is nothing to tell.
        let calls: Vec<TaskInfo> = self.tasks.info().into_iter().flatten().collect();
        let mut stats = figures(&calls);
        stats.wall_time = self.tasks.elapsed();
        stats.engine_count = cluster.engines().len();
        let failed = |call: &&TaskInfo| {
            let last = call.attempts.last();
            last.is_some_and(|attempt| attempt.failure.is_some())
        };
        let failures = calls.iter().filter(failed).count() as u64;
        Ended {
            summary: Summary::of_calls(&calls, stats, failures),
            ending,
        }
    }
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
        match task.target().filter(|_| are_records) {
            Some(engine) => labelled(&mut output, engine, value, format)?,
            None => output.value(&value, format)?,
        }
    }
    output.complete()
}

/// Writes what one engine gave, on a line that begins with its id or has it in a record. `Raw` has neither lines nor
/// records.
fn labelled(
    output: &mut Output,
    engine: EngineId,
    value: Value,
    format: Format,
) -> Result<(), CliError> {
    let value = match format {
        Format::Raw => value,
        Format::Text => {
            output.bytes(format!("{engine}\t").as_bytes())?;
            value
        }
        _ => Value::Record(vec![
            ("engine".into(), engine.0.into()),
            ("value".into(), value),
        ]),
    };
    output.record(&value, format)
}

/// What is to be called, as it was typed.
struct Called<'a> {
    name: String,
    /// Instead of the name.
    script: Option<String>,
    arguments: Vec<&'a OsStr>,
    /// In WAVE's spelling, with its arguments. Instead of the name, which may be none that WAVE
    /// knows, it has another as long, so that places in it are those of what was typed.
    wave: Option<String>,
}

impl<'a> Called<'a> {
    fn new(arguments: &'a CallArguments, module: &Module) -> Result<Self, CliError> {
        let given = arguments.arguments.iter().map(OsString::as_os_str);
        let first = arguments.function.as_deref();
        if let Some(path) = &arguments.script {
            return Ok(Self {
                name: String::new(),
                script: Some(read_script(path)?),
                arguments: first.map(OsStr::new).into_iter().chain(given).collect(),
                wave: None,
            });
        }
        let text = first.unwrap_or_default().trim();
        let alone = |name: &str, script, wave| Self {
            name: name.to_owned(),
            script,
            arguments: given.collect(),
            wave,
        };
        let Some(open) = opening(text, module) else {
            return Ok(alone(text, None, None));
        };
        let name = text[..open].trim_end();
        let wave = waved(text, open);
        let parsed = Call::parse(&wave).map(|_| ());
        // What is no call of a function that can be called may be one of a resource.
        if module.reads_as_script(text) && (parsed.is_err() || module.signature(name).is_none()) {
            return Ok(alone(name, Some(text.to_owned()), None));
        }
        let wrong = |message| CliError::Wrong {
            message,
            hint: "write `fib 30` or, in quotes, `'fib(30)'`".to_owned(),
        };
        if !arguments.arguments.is_empty() {
            return Err(wrong(format!(
                "`{text}` already has arguments in parentheses, but more arguments follow"
            )));
        }
        if let Err(error) = parsed {
            return Err(wrong(format!("`{text}` is not a function call: {error}")));
        }
        Ok(alone(name, None, Some(wave)))
    }

    fn values(&self, function: &DynamicCallable) -> Result<Vec<Argument>, CliError> {
        let params = &function.signature().params;
        let call = self.wave.as_deref().and_then(|text| Call::parse(text).ok());
        let given = self.arguments.iter();
        let given: Vec<&[u8]> = given.map(|text| text.as_encoded_bytes()).collect();
        let parse = |params: &[(String, Type)]| match &call {
            Some(call) => call.arguments(params),
            None => arguments_from_text(params, &given),
        };
        let values = if function.module().has_wit() {
            parse(params)
        } else {
            arguments_of_core(params, parse)
        };
        let values = values.map_err(|error| CliError::Wrong {
            message: format!("`{}`: {error}", function.signature().brief()),
            hint: match function.module().likely_abi() {
                Some(abi) if matches!(error, ArgumentError::Count { .. }) => {
                    format!("a function that takes text may need `--abi {abi}`")
                }
                _ => argument_hint(&error, params, &self.arguments).to_owned(),
            },
        })?;
        Ok(values.into_iter().map(Argument::from).collect())
    }
}

/// What the functions of a program can read of its command line: its name, if that is given or there is more, and the
/// arguments that a function without parameters leaves to it.
fn program_arguments(
    module: &Module,
    function: &DynamicCallable,
    arguments: &CallArguments,
    given: &[&OsStr],
) -> Result<Vec<String>, CliError> {
    let reads = module.needs().contains(&Need::Arguments);
    let is_its = reads && function.signature().params.is_empty();
    let given = if is_its { given } else { &[] };
    if given.is_empty() && arguments.argv0.is_none() {
        return Ok(Vec::new());
    }
    let file = arguments.module.file_name().unwrap_or_default();
    let name = match &arguments.argv0 {
        Some(name) => name.clone(),
        None => file.to_string_lossy().into_owned(),
    };
    let mut all = vec![name];
    for argument in given {
        let text = argument.to_str().ok_or_else(|| CliError::Wrong {
            message: format!("the argument {} is not UTF-8", argument.display()),
            hint: "arguments of a program are text".to_owned(),
        })?;
        all.push(text.to_owned());
    }
    Ok(all)
}

/// Where the arguments of a call begin; none if it has no parentheses, or only those of a function's own name.
fn opening(text: &str, module: &Module) -> Option<usize> {
    let first = text.find('(')?;
    let is_function = |name: &str| module.signature(name).is_some();
    if is_function(text) {
        return None;
    }
    // A name that has some itself, and arguments behind it.
    let mut others = text.match_indices('(').skip(1).map(|(open, _)| open);
    let behind_name = others.find(|open| {
        is_function(text[..*open].trim_end()) && Call::parse(&waved(text, *open)).is_ok()
    });
    behind_name.or(Some(first))
}

/// The call in WAVE's spelling, with another name that is as long.
fn waved(text: &str, open: usize) -> String {
    "f".repeat(open) + &text[open..]
}

/// What to do about arguments that do not fit: their number is often wrong for one of two reasons.
fn argument_hint(
    error: &ArgumentError,
    params: &[(String, Type)],
    given: &[&OsStr],
) -> &'static str {
    let is_count = matches!(error, ArgumentError::Count { .. });
    let has_comma = |text: &&OsStr| text.as_encoded_bytes().contains(&b',');
    match params {
        [(_, Type::List(_))] if is_count && given.len() > 1 => {
            "a list is one argument: '[1, 2, 3]'"
        }
        _ if is_count && given.len() < params.len() && given.iter().any(has_comma) => {
            "separate arguments with spaces"
        }
        _ => {
            "write strings, bytes and single characters as they are, anything else as JSON or WAVE"
        }
    }
}
