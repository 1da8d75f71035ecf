//! From the options that commands share to what the library is told, and what can be refused at once.

use super::args::{LimitArgument, LimitOptions, ManyOptions, ReuseArgument, TaskOptions};
use super::compiler;
use super::exit::CliError;
use super::history;
use super::output::Output;
use super::signals::Signals;
use super::tell::warn;
use rwasm_cluster::format::Format;
use rwasm_cluster::{
    Backoff, ByteSize, Cluster, ClusterBuilder, CodeCache, DETERMINISTIC_FUEL, DynamicCallable,
    Grants, JobSpec, Limits, MAX_ENGINES, Module, ParseByteSizeError, Resource, Retry, Reuse,
    StartError, Type,
};
#[cfg(feature = "nats")]
use rwasm_cluster::{ClusterEvent, durable::DurableJobs, nats::Role};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The lane of tasks that name none.
#[cfg(feature = "nats")]
const MAIN_LANE: &str = "main";

/// How stdin is written where a file is wanted.
pub(crate) const STDIN: &str = "-";

/// What stdin is called in messages.
pub(crate) const STDIN_NAME: &str = "<stdin>";

/// No pause before a further attempt is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Refuses a number of engines that no cluster can have.
pub(crate) fn check_engines(wanted: Option<u32>) -> Result<(), CliError> {
    match wanted {
        Some(wanted) if wanted == 0 || wanted > MAX_ENGINES => {
            Err(CliError::Start(StartError::EngineCount { wanted }))
        }
        _ => Ok(()),
    }
}

/// Starts the engines.
pub(crate) fn cluster(
    options: &TaskOptions,
    many: Option<&ManyOptions>,
    grants: &Grants,
) -> Result<Cluster, CliError> {
    let mut builder = Cluster::builder()
        .strict_imports(options.strict_imports)
        .limits(limits(&options.limits, options.determinism.deterministic))
        .grants(grants.clone());
    if let Some(engines) = options.engines {
        builder = builder.engines(engines);
    }
    if let Some(many) = many {
        builder = builder.policy(many.policy);
        if let Some(dispatches) = many.hwm {
            builder = builder.hwm(dispatches);
        }
    }
    if let Some(history) = history::settings(&options.history)? {
        builder = builder.history(history);
    }
    #[cfg(feature = "nats")]
    if let Some(remote) = super::profile::remote(&options.remote, Role::Client)? {
        return elsewhere(options, builder.connect(remote));
    }
    let cluster = compiled(builder)?.start().map_err(CliError::Start)?;
    if !options.loudness.quiet {
        warn_of_shortages(&cluster);
    }
    if options.loudness.verbose && !cluster.is_pooled() {
        warn(
            "the address space is too small for a pool of instances: each is mapped anew, which is slower",
        );
    }
    Ok(cluster)
}

/// Reaches the engines of a cluster.
#[cfg(feature = "nats")]
fn elsewhere(options: &TaskOptions, mut builder: ClusterBuilder) -> Result<Cluster, CliError> {
    if let Some(lane) = &options.lane {
        builder = builder.lane(lane);
    }
    let cluster = builder.start().map_err(CliError::Start)?;
    if !options.loudness.quiet && options.engines_typed {
        warn(
            "--engines says nothing of a cluster that is elsewhere: its tasks run on the engines that it has",
        );
    }
    if !options.loudness.quiet {
        tell_of_stalls(&cluster);
    }
    if !options.loudness.quiet && !cluster.is_served() {
        warn(&unserved(
            options.lane.as_deref(),
            cluster.engines().is_empty(),
        ));
    }
    Ok(cluster)
}

/// Warns, as long as the cluster is there, when it takes no tasks.
#[cfg(feature = "nats")]
fn tell_of_stalls(cluster: &Cluster) {
    let events = cluster.events();
    let follow = move || {
        for event in events {
            if let ClusterEvent::Stalled(reason) = event {
                warn(&format!("tasks wait: {reason}"));
            }
        }
    };
    // Without a thread it is not told, and the job runs all the same.
    let _ = std::thread::Builder::new()
        .name("rwasm-stalls".to_owned())
        .spawn(follow);
}

/// Warns where no engine takes tasks of the lane that was named, which are stored. That there may be no engines at all is what
/// storing is for.
#[cfg(feature = "nats")]
pub(crate) fn warn_unserved(jobs: &DurableJobs, lane: Option<&str>) {
    // Whoever has stored a job knows that the server is there; what is not known is not warned of.
    if let Some(lane) = lane
        && let Ok(false) = jobs.is_served(lane)
    {
        warn(&unserved(Some(lane), false));
    }
}

/// That tasks have no engine which takes them.
#[cfg(feature = "nats")]
fn unserved(lane: Option<&str>, has_none: bool) -> String {
    let lane = lane.unwrap_or(MAIN_LANE);
    if has_none && lane == MAIN_LANE {
        return "the cluster has no engine now: tasks wait until one joins".to_owned();
    }
    format!("no engine serves the lane `{lane}` now: tasks wait until one joins with --lane {lane}")
}

/// Warns where all engines together could use up more than there is.
pub(crate) fn warn_of_shortages(cluster: &Cluster) {
    for shortage in cluster.shortages() {
        warn(&format!("{shortage}; {}", remedy(shortage.resource)));
    }
}

/// What to do where the engines could use up something.
fn remedy(resource: Resource) -> &'static str {
    match resource {
        Resource::Memory => "use fewer --engines or less --memory if tasks come near their limits",
        Resource::Files => "use fewer --engines or --limit handles=N if tasks open many files",
        _ => "use fewer --engines",
    }
}

/// Reads the module, within the limit of its size.
pub(crate) fn module(path: &Path, options: &TaskOptions) -> Result<Module, CliError> {
    let limits = limits(&options.limits, options.determinism.deterministic);
    Module::from_file_within(path, &limits).map_err(CliError::Load)
}

/// With this program as its compiler, and the cache of compiled code if there is one.
pub(crate) fn compiled(builder: ClusterBuilder) -> Result<ClusterBuilder, CliError> {
    let builder = builder.compiler(compiler::compiler());
    Ok(match cache_dir() {
        Some(dir) => builder.cache_dir(dir).cache_size(cache_size()?),
        None => builder,
    })
}

/// What compiled code may take on disk: `RWASM_CACHE_SIZE`, else what the library has.
pub(crate) fn cache_size() -> Result<ByteSize, CliError> {
    const NAME: &str = "RWASM_CACHE_SIZE";
    let Some(size) = std::env::var_os(NAME).filter(|size| !size.is_empty()) else {
        return Ok(CodeCache::SIZE);
    };
    let size = size.to_string_lossy();
    size.parse()
        .map_err(|error: ParseByteSizeError| CliError::Wrong {
            message: format!("{NAME}: {error}"),
            hint: "unset it to have the default".to_owned(),
        })
}

/// Where compiled code is kept: `RWASM_CACHE_DIR`, else the user's cache directory.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    match std::env::var_os("RWASM_CACHE_DIR") {
        Some(dir) if dir.is_empty() => None,
        Some(dir) => Some(dir.into()),
        None => dirs::cache_dir().map(|dir| dir.join("rwasm-cluster").join("compiled")),
    }
}

/// What each task may use.
pub(crate) fn limits(options: &LimitOptions, deterministic: bool) -> Limits {
    let mut limits = Limits::default();
    limits.time = options.timeout;
    limits.memory = options.memory;
    limits.fuel = options.fuel.or(deterministic.then_some(DETERMINISTIC_FUEL));
    for limit in &options.limits {
        match *limit {
            LimitArgument::Input(size) => limits.input = size,
            LimitArgument::Output(size) => limits.output = size,
            LimitArgument::Logs(size) => limits.logs = size,
            LimitArgument::TableElements(number) => limits.table_elements = number,
            LimitArgument::Handles(number) => limits.handles = number,
            LimitArgument::Stack(size) => limits.stack = size,
            LimitArgument::Random(size) => limits.random = size,
            LimitArgument::Written(size) => limits.written = size,
            LimitArgument::Files(number) => limits.files = number,
            LimitArgument::Module(size) => limits.module = size,
            LimitArgument::CompileTime(time) => limits.compile_time = time,
            LimitArgument::CompileMemory(size) => limits.compile_memory = size,
            LimitArgument::Compiled(size) => limits.compiled = size,
        }
    }
    limits
}

/// What the options that commands of many tasks share say of a job.
pub(crate) fn spec(task: &TaskOptions, many: &ManyOptions) -> JobSpec {
    let mut spec = JobSpec::default();
    spec.reuse = reuse(task);
    spec.deterministic = task.determinism.deterministic;
    spec.retry = retry(task);
    spec.max_failures = many.max_failures;
    spec.queue_timeout = task.queue_timeout;
    spec.deadline = task.deadline;
    spec.label.clone_from(&task.label);
    spec
}

/// What is tried again.
pub(crate) fn retry(options: &TaskOptions) -> Retry {
    Retry::times(options.retries)
        .on(options.retry_on)
        .backoff(Backoff::exponential(options.backoff, LONGEST_PAUSE))
}

/// How long an instance lives.
pub(crate) fn reuse(options: &TaskOptions) -> Reuse {
    match options.reuse {
        ReuseArgument::None => Reuse::None,
        ReuseArgument::Dispatch => Reuse::Dispatch,
        ReuseArgument::Engine => Reuse::Engine,
    }
}

/// The module's function of that name, whatever its types are.
pub(crate) fn function(module: &Module, name: &str) -> Result<DynamicCallable, CliError> {
    module
        .dynamic_function(name)
        .map_err(|error| CliError::Function(Box::new(error)))
}

/// The type of what a call gives; none where it gives nothing.
pub(crate) fn given(function: &DynamicCallable) -> Option<Type> {
    match &function.signature().result {
        Some(Type::Result(sides)) => sides.ok.clone(),
        other => other.clone(),
    }
}

/// Refuses a format that cannot write values of this type.
pub(crate) fn check_format(format: Format, ty: Option<&Type>) -> Result<(), CliError> {
    let is_text = |ty: &Type| *ty == Type::String || ty.is_bytes();
    match ty {
        _ if format != Format::Raw => Ok(()),
        None => Ok(()),
        Some(ty) if is_text(ty) => Ok(()),
        Some(Type::List(element)) if is_text(element) => Ok(()),
        Some(ty) => Err(CliError::Format(format!(
            "format raw writes strings and bytes only, the result is {ty}"
        ))),
    }
}

/// The places for results and, if there is to be one, for the report; opened before anything runs,
/// since they may be refused.
pub(crate) fn outputs(
    options: &TaskOptions,
    signals: &Signals,
) -> Result<(Output, Option<Output>), CliError> {
    let open = |path: Option<&Path>| -> Result<Output, CliError> {
        let output = Output::open(path)?;
        signals.clean(output.aside());
        Ok(output)
    };
    let output = open(options.output.as_deref())?;
    let report = match &options.report {
        Some(path) => Some(open(Some(path))?),
        None => None,
    };
    Ok((output, report))
}
