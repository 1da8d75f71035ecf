//! The settings of a cluster: its engines, in this process or elsewhere, and what its tasks may use.

use super::Cluster;
#[cfg(feature = "nats")]
use crate::backend::{Backend, Merging, Nats, NatsSettings};
use crate::backend::{Local, LocalSettings};
use crate::boundary::Boundary;
use crate::capacity::Available;
use crate::engine::Isolation;
#[cfg(target_os = "linux")]
use crate::engine::{BoundaryReport, WorkerSettings};
use crate::events::EventSender;
use crate::observe::{Observer, Observers};
use crate::placement::{Machine, Policy};
#[cfg(feature = "history")]
use crate::view::Keeper;
use crate::view::{Core, QueueLimits, Workshop};
#[cfg(target_os = "linux")]
use rwasm_boundary::confine::IS_SUPPORTED;
use rwasm_boundary::confine::NOT_HERE;
#[cfg(feature = "history")]
use rwasm_history::History;
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::limits::{Limits, MAX_ENGINES};
use rwasm_sandbox::sandbox::{
    CodeCache, CodeSource, Compiler, HostFunctions, HostFunctionsError, Lowering, Sandbox,
    VariantKey,
};
use rwasm_value::ids::EngineId;
use rwasm_value::units::ByteSize;
use std::path::PathBuf;
use std::sync::Arc;

/// The settings of a cluster, made by [`Cluster::builder`].
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{ByteSize, Cluster, Limits, Policy};
/// use std::time::Duration;
///
/// let mut limits = Limits::default();
/// limits.memory = ByteSize::new(64 << 20);
/// limits.time = Duration::from_secs(5);
/// let cluster = Cluster::builder()
///     .engines(2)
///     .limits(limits)
///     .policy(Policy::LeastRecentlyUsed)
///     .start()?;
/// assert_eq!(cluster.engines().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder starts nothing until `start` is called"]
pub struct ClusterBuilder {
    engines: Option<u32>,
    first_engine: u32,
    max_engines: Option<u32>,
    boundary: Boundary,
    ready_workers: Option<u32>,
    checks_workers: bool,
    cache_dir: Option<PathBuf>,
    cache_size: ByteSize,
    compiler: Compiler,
    lowering: Lowering,
    strict_imports: bool,
    host: HostFunctions,
    policy: Policy,
    hwm: usize,
    seed: Option<u64>,
    queue: QueueLimits,
    #[cfg(feature = "history")]
    history: Option<History>,
    limits: Limits,
    grants: Arc<Grants>,
    observers: Observers,
    #[cfg(feature = "nats")]
    remote: Option<NatsSettings>,
}

/// Why a cluster could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The number of engines is 0, or too high.
    #[error("a cluster has 1 to {MAX_ENGINES} engines, but {wanted} were requested")]
    EngineCount {
        /// The requested number.
        wanted: u32,
    },
    /// The engines' threads cannot be started.
    #[error("cannot start threads for {engines} engines")]
    Threads {
        /// The requested number of engines.
        engines: u32,
        /// The system's error.
        source: std::io::Error,
    },
    /// Engines cannot be put behind the boundary that was asked for.
    #[error("tasks cannot run in processes of their own here: {0}")]
    Boundary(String),
    /// WebAssembly cannot run on this machine.
    #[error("cannot run WebAssembly on this machine: {0}")]
    Sandbox(String),
    /// The host functions for guests are not valid.
    #[error(transparent)]
    HostFunctions(#[from] HostFunctionsError),
    /// The cluster over NATS cannot be reached.
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Connect(#[from] crate::nats::ConnectError),
    /// Host functions were set together with remote engines, which cannot call them.
    #[error(
        "remote engines cannot call the host functions of this program: set either `host_functions` or `connect`"
    )]
    HostFunctionsElsewhere,
}

/// A cluster has room for at least this many engines, unless set otherwise.
const ROOM: u32 = 16;

impl Default for ClusterBuilder {
    fn default() -> Self {
        Self {
            engines: None,
            first_engine: 0,
            max_engines: None,
            boundary: Boundary::default(),
            ready_workers: None,
            checks_workers: false,
            cache_dir: None,
            cache_size: CodeCache::SIZE,
            compiler: Compiler::default(),
            lowering: Lowering::default(),
            strict_imports: false,
            host: HostFunctions::new(),
            policy: Policy::default(),
            hwm: Machine::HWM,
            seed: None,
            queue: QueueLimits::default(),
            #[cfg(feature = "history")]
            history: None,
            limits: Limits::default(),
            grants: Arc::default(),
            observers: Observers::default(),
            #[cfg(feature = "nats")]
            remote: None,
        }
    }
}

impl ClusterBuilder {
    /// Sets the number of engines; by default one for each core that this process may use.
    pub fn engines(mut self, engines: u32) -> Self {
        self.engines = Some(engines);
        self
    }

    /// Sets how many engines there may be at a time, for [`Cluster::add_engines`]; by default twice the initial
    /// number. Room for their guests is reserved in address space, not in memory.
    pub fn max_engines(mut self, engines: u32) -> Self {
        self.max_engines = Some(engines);
        self
    }

    /// Sets the id of the first engine, if engines of other processes have ids too.
    #[cfg(feature = "nats")]
    pub(crate) fn first_engine(mut self, id: EngineId) -> Self {
        self.first_engine = id.0;
        self
    }

    /// Sets how the engine of a call is chosen if any will do.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the most dispatches that an engine has at a time: the running one and those waiting behind it, which no
    /// other engine can take. By default 1, so that nothing waits behind a long task while another engine is free;
    /// higher values hide the time between dispatches, which pays off for many small calls.
    pub fn hwm(mut self, dispatches: usize) -> Self {
        self.hwm = dispatches.max(1);
        self
    }

    /// Sets the seed of the random policies, so that they choose the same each time.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets how much may be submitted by calls and not yet done: beyond it `submit` waits and `try_submit` returns
    /// [`SubmitError::QueueFull`](crate::SubmitError::QueueFull). Maps and runs have bounds of their own.
    pub fn queue(mut self, limits: QueueLimits) -> Self {
        self.queue = limits;
        self
    }

    /// Sets what stands between tasks and this process beside the sandbox: by default nothing, see [`Boundary`].
    pub fn boundary(mut self, boundary: Boundary) -> Self {
        self.boundary = boundary;
        self
    }

    /// Sets how many engines start a worker process together with the cluster, all of them by default. The others start
    /// theirs when they get a task, so a program that runs one task pays for one worker. Without a [boundary](Self::boundary)
    /// there are none to start.
    pub fn ready_workers(mut self, engines: u32) -> Self {
        self.ready_workers = Some(engines);
        self
    }

    /// Waits until the first worker of each engine is ready, and fails if it does not become so.
    #[cfg(feature = "nats")]
    pub(crate) fn checks_workers(mut self) -> Self {
        self.checks_workers = true;
        self
    }

    /// Keeps compiled code in this directory, which must be private to the user, for the next start. By default
    /// nothing is kept.
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(dir.into());
        self
    }

    /// Sets how large that directory may grow, [`CodeCache::SIZE`] by default: what was unused for longest is removed
    /// first.
    pub fn cache_size(mut self, size: ByteSize) -> Self {
        self.cache_size = size;
        self
    }

    /// Sets where modules are compiled: by default in this process, within limits of time and code, but not of memory:
    /// see [`Compiler`].
    pub fn compiler(mut self, compiler: Compiler) -> Self {
        self.compiler = compiler;
        self
    }

    /// Sets what jobs and calls may use by default.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets what jobs and calls may reach by default: nothing, unless set.
    pub fn grants(mut self, grants: Grants) -> Self {
        self.grants = Arc::new(grants);
        self
    }

    /// Sets how typed functions of core modules are called.
    pub fn lowering(mut self, lowering: Lowering) -> Self {
        self.lowering = lowering;
        self
    }

    /// Sets whether to refuse modules with imports that this host does not offer. By default they are loaded, and a
    /// task that calls such an import fails.
    pub fn strict_imports(mut self, strict: bool) -> Self {
        self.strict_imports = strict;
        self
    }

    /// Offers functions of this program for guests to import.
    pub fn host_functions(mut self, functions: HostFunctions) -> Self {
        self.host = functions;
        self
    }

    /// Records every job and call in this history: its arguments, and the outcome of each task. By default nothing is
    /// recorded. A job that cannot be recorded goes on all the same, and
    /// [`ClusterEvent::HistoryLost`](crate::ClusterEvent::HistoryLost) says why.
    #[cfg(feature = "history")]
    pub fn history(mut self, history: History) -> Self {
        self.history = Some(history);
        self
    }

    #[cfg(feature = "nats")]
    pub(crate) fn observed_by(mut self, observers: Observers) -> Self {
        self.observers = observers;
        self
    }

    /// Has this observer told of tasks and jobs: a [`Trace`](crate::Trace), or one of the program. There may be several.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.observers.add(Arc::new(observer));
        self
    }

    /// Uses the engines of a cluster over NATS, and none of this process. Settings of engines, of the cache and of
    /// compiling have no effect then: they belong to whoever runs the engines.
    #[cfg(feature = "nats")]
    pub fn connect(mut self, settings: crate::nats::ConnectSettings) -> Self {
        let remote = self.remote.take();
        self.remote = Some(NatsSettings {
            connect: settings,
            ..remote.unwrap_or_default()
        });
        self
    }

    /// Sets the lane whose engines get the tasks, for clusters over NATS; `main` by default.
    #[cfg(feature = "nats")]
    pub fn lane(mut self, lane: impl Into<String>) -> Self {
        self.remote.get_or_insert_default().lane = lane.into();
        self
    }

    /// Sets how many engines a task may be given to, over NATS, if each is lost with it; then it fails as
    /// `engine-lost`, since it may be what ends them. 5 by default.
    #[cfg(feature = "nats")]
    pub fn deliveries(mut self, engines: u32) -> Self {
        self.remote.get_or_insert_default().deliveries = engines.max(1);
        self
    }

    #[cfg(feature = "nats")]
    pub(super) fn start_elsewhere(self, remote: NatsSettings) -> Result<Cluster, StartError> {
        if !self.host.is_empty() {
            return Err(StartError::HostFunctionsElsewhere);
        }
        let events = EventSender::new(self.observers.clone().all());
        let backend = Nats::start(remote, events.clone())?;
        #[cfg(feature = "history")]
        let keeper = self
            .history
            .map(|history| Keeper::new(history, events.clone()));
        #[cfg(not(feature = "history"))]
        let keeper = None;
        let workshop = Workshop::Elsewhere {
            strict_imports: self.strict_imports,
        };
        let core = Core::new(
            Arc::new(backend),
            workshop,
            self.limits,
            self.grants,
            events,
            self.queue,
            keeper,
        );
        Ok(Cluster::new(core, Vec::new()))
    }

    /// Starts the engines, or connects to remote ones.
    ///
    /// # Errors
    /// If the number of engines is not valid, or the system does not provide what they need.
    pub fn start(self) -> Result<Cluster, StartError> {
        #[cfg(feature = "nats")]
        if let Some(remote) = self.remote.clone() {
            return self.start_elsewhere(remote);
        }
        self.start_here(
            #[cfg(feature = "nats")]
            None,
        )
    }

    /// The number of engines, and the most there may be.
    fn engine_counts(&self) -> Result<(u32, u32), StartError> {
        let engines = self.engines.unwrap_or_else(default_engines);
        if engines == 0 || engines > MAX_ENGINES {
            return Err(StartError::EngineCount { wanted: engines });
        }
        let room = engines.saturating_mul(2).clamp(ROOM, MAX_ENGINES);
        let max_engines = self.max_engines.unwrap_or(room).max(engines);
        if max_engines > MAX_ENGINES {
            return Err(StartError::EngineCount {
                wanted: max_engines,
            });
        }
        Ok((engines, max_engines))
    }

    /// Where engines run their tasks.
    #[cfg(target_os = "linux")]
    fn isolation(&self, first: VariantKey, events: &EventSender) -> Result<Isolation, StartError> {
        let (program, is_strict) = match &self.boundary {
            Boundary::Thread => return Ok(Isolation::Thread),
            Boundary::Process(program) => (program, false),
            Boundary::Strict(program) => (program, true),
        };
        if !IS_SUPPORTED {
            return Err(StartError::Boundary(NOT_HERE.to_owned()));
        }
        let ready = self.ready_workers.unwrap_or(u32::MAX);
        Ok(Isolation::Workers(WorkerSettings {
            program: program.clone(),
            first,
            is_strict,
            ready_below: EngineId(self.first_engine.saturating_add(ready)),
            is_checked: self.checks_workers,
            keeps_spares: self.ready_workers.is_none(),
            report: Arc::new(BoundaryReport::new(events.clone())),
        }))
    }

    #[cfg(not(target_os = "linux"))]
    fn isolation(&self, _: VariantKey, _: &EventSender) -> Result<Isolation, StartError> {
        match self.boundary {
            Boundary::Thread => Ok(Isolation::Thread),
            _ => Err(StartError::Boundary(NOT_HERE.to_owned())),
        }
    }

    /// Starts the engines; `stored`, if given, has the outcomes of tasks.
    pub(super) fn start_here(
        self,
        #[cfg(feature = "nats")] stored: Option<NatsSettings>,
    ) -> Result<Cluster, StartError> {
        let (engines, max_engines) = self.engine_counts()?;
        let size = self.cache_size;
        let cache = self
            .cache_dir
            .as_ref()
            .and_then(|dir| CodeCache::make(dir, size).ok());
        self.host.check()?;
        let is_elsewhere = self.boundary != Boundary::Thread;
        let mut likely = VariantKey::of(&self.limits, false);
        if is_elsewhere {
            likely = likely.ended_with_its_process();
        }
        let events = EventSender::new(self.observers.clone().all());
        let isolation = self.isolation(likely, &events)?;
        let settings = LocalSettings {
            engines,
            first_engine: self.first_engine,
            max_engines,
            isolation,
            policy: self.policy,
            hwm: self.hwm,
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..)),
        };
        let shortages = Available::now().shortages(engines, &self.limits, &self.grants);
        let backend = Local::start(&settings, events.clone()).map_err(|source| {
            if is_elsewhere {
                return StartError::Boundary(source.to_string());
            }
            StartError::Threads { engines, source }
        })?;
        // After the engines, whose workers start meanwhile.
        let sandbox = Sandbox::new(
            if is_elsewhere { 0 } else { max_engines },
            likely,
            CodeSource::new(cache, self.compiler),
            self.lowering,
            self.strict_imports,
            self.host,
        )
        .map_err(StartError::Sandbox)?;
        let sandbox = if is_elsewhere {
            sandbox.for_workers()
        } else {
            sandbox
        };
        #[cfg(feature = "nats")]
        let backend: Arc<dyn Backend> = match stored {
            Some(stored) => {
                let stored = Nats::start(stored, EventSender::new(None))?;
                Arc::new(Merging::new(stored, backend))
            }
            None => Arc::new(backend),
        };
        #[cfg(not(feature = "nats"))]
        let backend = Arc::new(backend);
        #[cfg(feature = "history")]
        let keeper = self
            .history
            .map(|history| Keeper::new(history, events.clone()));
        #[cfg(not(feature = "history"))]
        let keeper = None;
        let core = Core::new(
            backend,
            Workshop::Here(Box::new(sandbox)),
            self.limits,
            self.grants,
            events,
            self.queue,
            keeper,
        );
        Ok(Cluster::new(core, shortages))
    }
}

/// The cores this process may use, its affinity and its cgroup counted.
fn default_engines() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| {
        u32::try_from(cores.get())
            .unwrap_or(MAX_ENGINES)
            .min(MAX_ENGINES)
    })
}
