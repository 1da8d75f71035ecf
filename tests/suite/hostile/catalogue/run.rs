//! Runs the steps of a case, through the library.

use super::case::{Call, Case};
use super::files::expect_untouched;
use rwasm_cluster::format::{arguments_from_line, to_wave};
use rwasm_cluster::{
    Argument, Cluster, EngineId, Failure, Grants, Input, JobError, JobSpec, Log, Merge, Module,
    Packed, Tolerance, Value, ViewKind,
};
use std::time::{Duration, Instant};

/// What became of one step.
pub(crate) struct Ended {
    /// Its value, text as it is and any other as WAVE, or why there is none.
    pub(crate) result: Result<String, Failed>,
    /// What it printed to stderr.
    pub(crate) stderr: Log,
    pub(crate) peak_memory: u64,
    /// From when it was submitted until its outcome was there.
    pub(crate) elapsed: Duration,
}

/// Why a step gave no value.
pub(crate) enum Failed {
    /// Its task failed.
    Task(Failure),
    /// It was refused before it was a task.
    Refused(String),
}

impl Ended {
    fn refused(error: impl std::fmt::Display) -> Self {
        Self {
            result: Err(Failed::Refused(error.to_string())),
            stderr: Log::default(),
            peak_memory: 0,
            elapsed: Duration::ZERO,
        }
    }
}

/// Compiles the module as the case will run it, or says why not.
pub(crate) fn prepare(cluster: &Cluster, module: &Module, case: &Case) -> Result<(), String> {
    cluster
        .prepare(module, &case.limits)
        .map_err(|error| error.to_string())
}

/// Runs the steps on this engine. While each runs, `meanwhile` is called again and again, if it is given.
pub(crate) fn run(
    cluster: &Cluster,
    module: &Module,
    case: &Case,
    engine: EngineId,
    mut meanwhile: Option<&mut dyn FnMut()>,
) -> Vec<Ended> {
    let (dir, grants) = match (case.granted, case.served) {
        (Some(make), _) => {
            let (dir, grants) = make();
            (Some(dir), grants)
        }
        (None, Some(serve)) => (None, serve()),
        (None, None) => (None, case.grants.clone()),
    };
    let view = cluster
        .direct_view(engine)
        .expect("the engine is there")
        .limits(case.limits.clone())
        .grants(grants.clone())
        .reuse(case.reuse);
    if let Some((name, value)) = case.pushed {
        view.push(name, value).expect("it can be pushed");
    }
    let mut ended = Vec::new();
    for step in &case.steps {
        ended.push(match &step.call {
            Call::Run { map, input } => {
                let to = (cluster, engine, &grants);
                run_job(to, module, case, (*map, input), &mut meanwhile)
            }
            Call::Function { name, arguments } => {
                call(module, &view, (name, arguments), &mut meanwhile)
            }
        });
    }
    if let Some(dir) = dir {
        expect_untouched(dir.path());
        if let Some(check) = case.afterwards {
            check(dir.path());
        }
    }
    ended
}

fn run_job(
    (cluster, engine, grants): (&Cluster, EngineId, &Grants),
    module: &Module,
    case: &Case,
    (map, input): (Option<&str>, &str),
    meanwhile: &mut Option<&mut dyn FnMut()>,
) -> Ended {
    let mut spec = JobSpec::default();
    spec.map = map.map(str::to_owned);
    spec.merge = Merge::None;
    spec.view = ViewKind::Direct(engine.into());
    spec.task.limits = Some(case.limits.clone());
    spec.task.grants = Some(grants.clone());
    spec.task.reuse = case.reuse;
    // So that a failure is delivered like any outcome.
    spec.job.max_failures = Tolerance::Count(1);
    let begun = Instant::now();
    let inputs = vec![Input::bytes("text", input.as_bytes().to_vec())];
    let mut job = match cluster.run(module, inputs, &spec) {
        Ok(job) => job,
        Err(error) => return Ended::refused(error),
    };
    while let Some(meanwhile) = meanwhile
        && !job.is_ready()
    {
        meanwhile();
    }
    let (_, outcome) = job.next_outcome().expect("there is one task");
    let elapsed = begun.elapsed();
    if let Err(error) = job.wait() {
        assert!(matches!(error, JobError::TaskFailed { .. }), "{error}");
    }
    let usage = outcome.usage;
    Ended {
        result: outcome
            .result
            .map(|value| shown(&value))
            .map_err(Failed::Task),
        stderr: usage.logs.map(|logs| logs.stderr).unwrap_or_default(),
        peak_memory: usage.peak_memory,
        elapsed,
    }
}

fn call(
    module: &Module,
    view: &rwasm_cluster::DirectView,
    (name, line): (&str, &str),
    meanwhile: &mut Option<&mut dyn FnMut()>,
) -> Ended {
    let function = match module.dynamic_function(name) {
        Ok(function) => function,
        Err(error) => return Ended::refused(error),
    };
    let params = &function.signature().params;
    let values = arguments_from_line(params, line).expect("the arguments fit");
    let arguments: Vec<Argument> = values.into_iter().map(Argument::from).collect();
    let begun = Instant::now();
    let tasks = view
        .try_submit(&function, arguments)
        .expect("it is submitted");
    let task = tasks.into_iter().next().expect("there is one engine");
    while let Some(meanwhile) = meanwhile
        && !task.is_ready()
    {
        meanwhile();
    }
    task.wait();
    let elapsed = begun.elapsed();
    let info = task.info().expect("it has ended");
    let result = match (task.get(), info.failure) {
        (Ok(value), _) => Ok(text_of(&value)),
        (Err(_), Some(failure)) => Err(Failed::Task(failure)),
        (Err(error), None) => panic!("it failed without a failure: {error}"),
    };
    Ended {
        result,
        stderr: info.usage.logs.map(|logs| logs.stderr).unwrap_or_default(),
        peak_memory: info.usage.peak_memory,
        elapsed,
    }
}

fn shown(value: &Packed) -> String {
    text_of(&value.unpack().expect("a value can be unpacked"))
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => to_wave(other),
    }
}
