//! `Cluster`: the engines of a program and the ways to give them work.

#[cfg(feature = "nats")]
use crate::backend::{Backend, Merging, Nats, NatsSettings};
use crate::backend::{EngineError, Local, LocalSettings, QueueStatus};
use crate::blocking::BlockingCluster;
use crate::capacity::{Available, Shortage};
use crate::events::{ClusterEvents, EventSender};
use crate::graph::Dependency;
use crate::placement::{Machine, Policy};
#[cfg(feature = "history")]
use crate::view::Keeper;
use crate::view::{
    ClusterNotes, Core, Defaults, DirectView, Job, JobSpec, LoadBalancedView, QueueLimits,
    Shutdown, SubmitError, TargetError, Targets, Workshop,
};
#[cfg(feature = "history")]
use rwasm_history::{History, HistoryError, HistorySettings};
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::input::Input;
use rwasm_sandbox::limits::{Limits, MAX_ENGINES};
use rwasm_sandbox::note::LogLevel;
use rwasm_sandbox::sandbox::{
    CodeCache, CodeSource, Compiler, HostFunctions, HostFunctionsError, LoadError, Lowering,
    Module, Sandbox, VariantKey,
};
use rwasm_value::ids::EngineId;
use rwasm_value::units::ByteSize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The engines of a program, and the calls to give them work.
///
/// Dropping it stops what is running and joins every thread; [`Cluster::shutdown`] first gives running tasks some
/// time. Views and handles may outlive the cluster, and then report that it was shut down.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::Cluster;
/// use std::time::Duration;
///
/// let cluster = Cluster::builder().engines(2).max_engines(8).start()?;
/// let added = cluster.add_engines(2)?;
/// cluster.remove_engine(added[0])?;
/// cluster.shutdown(Duration::from_secs(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Cluster {
    core: Arc<Core>,
    shortages: Vec<Shortage>,
}

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
    history: Option<HistorySettings>,
    defaults: Defaults,
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
    /// WebAssembly cannot run on this machine.
    #[error("cannot run WebAssembly on this machine: {0}")]
    Sandbox(String),
    /// The host functions for guests are not valid.
    #[error(transparent)]
    HostFunctions(#[from] HostFunctionsError),
    /// The history cannot be opened.
    #[cfg(feature = "history")]
    #[error(transparent)]
    History(#[from] HistoryError),
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

impl Cluster {
    /// Returns the settings of a new cluster; [`ClusterBuilder::start`] starts it.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder {
            engines: None,
            first_engine: 0,
            max_engines: None,
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
            defaults: Defaults::default(),
            #[cfg(feature = "nats")]
            remote: None,
        }
    }

    /// A cluster that answers the tasks of a durable job from storage, and merges on engines of this process or on
    /// remote ones.
    #[cfg(feature = "nats")]
    pub(crate) fn recalling(
        builder: ClusterBuilder,
        remote: NatsSettings,
        merges_here: bool,
    ) -> Result<Self, StartError> {
        if merges_here {
            builder.start_here(Some(remote))
        } else {
            builder.start_elsewhere(remote)
        }
    }

    #[cfg(feature = "nats")]
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Connects to the cluster behind a NATS server at `url`: `nats://127.0.0.1:4222`, or `tls://…` for another
    /// machine. Its engines are processes that joined it (`rwasm-cluster engine join`). For keys and certificates,
    /// see [`ClusterBuilder::connect`].
    ///
    /// # Errors
    /// If the cluster cannot be reached, rejects the connection, or is not set up.
    #[cfg(feature = "nats")]
    pub fn connect(url: impl Into<String>) -> Result<Self, StartError> {
        Self::builder()
            .connect(crate::nats::ConnectSettings::new(url))
            .start()
    }

    /// Returns what jobs and calls may use by default.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.core.defaults.limits
    }

    /// Returns what jobs and calls may reach by default.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.core.defaults.grants
    }

    /// Returns the resources that its engines could exhaust if every task used what the cluster's limits allow,
    /// compared with what this process had at the start. Cgroups are taken into account.
    #[must_use]
    pub fn shortages(&self) -> &[Shortage] {
        &self.shortages
    }

    /// Returns the view that gives each call to whichever engine is free.
    pub fn load_balanced_view(&self) -> LoadBalancedView {
        LoadBalancedView::new(Arc::clone(&self.core))
    }

    /// Returns the view of the named engines: `Targets::All`, an id such as `2`, a position from the end such as
    /// `-1`, a range such as `0..4`, several such as `[0, 2]`, or parsed text.
    ///
    /// # Errors
    /// If one of them does not exist, none is named, or one is named twice.
    pub fn direct_view(&self, targets: impl Into<Targets>) -> Result<DirectView, TargetError> {
        DirectView::new(Arc::clone(&self.core), &targets.into())
    }

    /// Returns the same cluster for programs without an async runtime: its views block.
    #[must_use]
    pub fn blocking(&self) -> BlockingCluster<'_> {
        BlockingCluster::new(self)
    }

    /// Returns the ids of its engines, in order; none once it is shut down.
    #[must_use]
    pub fn engines(&self) -> Vec<EngineId> {
        self.core.backend.engines()
    }

    /// Returns whether any engine takes calls that may run on any engine; over NATS, one that serves the cluster's
    /// lane. Without one, tasks wait.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.core.backend.is_served()
    }

    /// Adds engines, under ids that were never used. Running jobs make use of them, except those of direct views.
    ///
    /// # Errors
    /// If there is no room for them, or their threads cannot be started; none is added then.
    pub fn add_engines(&self, count: u32) -> Result<Vec<EngineId>, EngineError> {
        self.core.backend.add_engines(count)
    }

    /// Removes an engine, and its id for good, and returns at once. The engine finishes what it is running; what
    /// waits for it alone fails as `engine-lost`.
    ///
    /// # Errors
    /// If there is no such engine.
    pub fn remove_engine(&self, engine: EngineId) -> Result<(), EngineError> {
        self.core.backend.remove_engine(engine)?;
        self.core.forget(engine);
        Ok(())
    }

    /// Replaces an engine with a new one under its id. What it was running fails as `engine-lost`; what waits for it
    /// goes on waiting, and what was pushed to it stays.
    ///
    /// # Errors
    /// If there is no such engine.
    pub fn restart_engine(&self, engine: EngineId) -> Result<(), EngineError> {
        self.core.backend.restart_engine(engine)
    }

    /// Returns what waits and runs at this moment.
    #[must_use]
    pub fn queue_status(&self) -> QueueStatus {
        self.core.backend.status()
    }

    /// Returns the events from now on: engines that come and go, jobs that begin and end.
    #[must_use]
    pub fn events(&self) -> ClusterEvents {
        self.core.events.subscribe()
    }

    /// Returns what the tasks of all its jobs print, log and publish from now on, as it happens. A job's own notes
    /// ([`Job::notes`](crate::Job::notes)) start with the job and may miss its first ones; these do not.
    #[must_use]
    pub fn notes(&self) -> ClusterNotes {
        self.core.told(None)
    }

    /// Returns the lines of this level and above that the tasks of all its jobs log from now on.
    #[must_use]
    pub fn log(&self, from: LogLevel) -> ClusterNotes {
        self.core.told(Some(from))
    }

    /// Returns the history in which its jobs are recorded, if there is one.
    #[cfg(feature = "history")]
    #[must_use]
    pub fn history(&self) -> Option<&History> {
        self.core.keeper.as_ref().map(|keeper| &keeper.history)
    }

    /// Returns whether instances come from a pool. If the address space is too small for a pool, each instance is
    /// mapped separately, which is slower.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        match &self.core.workshop {
            Workshop::Here(sandbox) => sandbox.is_pooled(),
            Workshop::Elsewhere { .. } => true,
        }
    }

    /// Compiles `module` for these limits, so that a job with it can begin at once.
    ///
    /// # Errors
    /// If it does not compile, or needs what the host cannot provide.
    pub fn prepare(&self, module: &Module, limits: &Limits) -> Result<(), LoadError> {
        self.core.compile(module, limits).map(drop)
    }

    /// Starts a job: maps a function of `module` over `inputs` and merges the results.
    ///
    /// # Errors
    /// If the module does not fit the job, or an input cannot be used. Nothing has run then.
    pub fn run(
        &self,
        module: &Module,
        inputs: Vec<Input>,
        spec: &JobSpec,
    ) -> Result<Job, SubmitError> {
        self.core.run(module, inputs, spec, Vec::new())
    }

    /// Starts a job once all of `after` are met.
    ///
    /// # Errors
    /// As for [`Self::run`]; also if a named job is not known.
    pub fn run_after(
        &self,
        module: &Module,
        inputs: Vec<Input>,
        spec: &JobSpec,
        after: impl IntoIterator<Item = Dependency>,
    ) -> Result<Job, SubmitError> {
        let after = after.into_iter().collect();
        self.core.run(module, inputs, spec, after)
    }

    /// Ends the cluster: takes no more work, lets running tasks go on for `grace`, then stops the rest and joins
    /// every thread. Returns soon after that time: a guest is stopped within milliseconds, and a stuck host call is
    /// abandoned after 100 ms.
    ///
    /// Its views and handles remain, and report that it was shut down. A second call has no effect.
    pub fn shutdown(&self, grace: Duration) -> Shutdown {
        self.core.shutdown(grace)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.core.shutdown(Duration::ZERO);
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
    /// higher values hide the time of a hand-over, which pays off for many small calls.
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
    /// [`SubmitError::QueueFull`]. Maps and runs have bounds of their own.
    pub fn queue(mut self, limits: QueueLimits) -> Self {
        self.queue = limits;
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

    /// Sets where modules are compiled: by default in this process, which bounds neither time nor memory.
    pub fn compiler(mut self, compiler: Compiler) -> Self {
        self.compiler = compiler;
        self
    }

    /// Sets what jobs and calls may use by default.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.defaults.limits = limits;
        self
    }

    /// Sets what jobs and calls may reach by default: nothing, unless set.
    pub fn grants(mut self, grants: Grants) -> Self {
        self.defaults.grants = Arc::new(grants);
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
    pub fn history(mut self, settings: HistorySettings) -> Self {
        self.history = Some(settings);
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
    fn start_elsewhere(self, remote: NatsSettings) -> Result<Cluster, StartError> {
        if !self.host.is_empty() {
            return Err(StartError::HostFunctionsElsewhere);
        }
        #[cfg(feature = "history")]
        let history = self.history.map(History::open).transpose()?;
        let events = EventSender::new();
        let backend = Nats::start(remote, events.clone())?;
        #[cfg(feature = "history")]
        let keeper = history.map(|history| Keeper::new(history, events.clone()));
        #[cfg(not(feature = "history"))]
        let keeper = None;
        let workshop = Workshop::Elsewhere {
            strict_imports: self.strict_imports,
        };
        let core = Core::new(
            Arc::new(backend),
            workshop,
            self.defaults,
            events,
            self.queue,
            keeper,
        );
        Ok(Cluster {
            core: Arc::new(core),
            shortages: Vec::new(),
        })
    }

    /// Starts the engines, or connects to remote ones.
    ///
    /// # Errors
    /// If the number of engines is not valid, the system does not provide what they need, or the history cannot be
    /// opened.
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

    /// Starts the engines; `stored`, if that is given, has the outcomes of tasks.
    fn start_here(
        self,
        #[cfg(feature = "nats")] stored: Option<NatsSettings>,
    ) -> Result<Cluster, StartError> {
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
        let size = self.cache_size;
        let cache = self
            .cache_dir
            .and_then(|dir| CodeCache::make(&dir, size).ok());
        self.host.check()?;
        let sandbox = Sandbox::new(
            max_engines,
            VariantKey::of(&self.defaults.limits, false),
            CodeSource::new(cache, self.compiler),
            self.lowering,
            self.strict_imports,
            self.host,
        )
        .map_err(StartError::Sandbox)?;
        #[cfg(feature = "history")]
        let history = self.history.map(History::open).transpose()?;
        let events = EventSender::new();
        let settings = LocalSettings {
            engines,
            first_engine: self.first_engine,
            max_engines,
            policy: self.policy,
            hwm: self.hwm,
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..)),
        };
        let shortages =
            Available::now().shortages(engines, &self.defaults.limits, &self.defaults.grants);
        let backend = Local::start(&settings, events.clone())
            .map_err(|source| StartError::Threads { engines, source })?;
        #[cfg(feature = "nats")]
        let backend: Arc<dyn Backend> = match stored {
            Some(stored) => {
                let stored = Nats::start(stored, EventSender::new())?;
                Arc::new(Merging::new(stored, backend))
            }
            None => Arc::new(backend),
        };
        #[cfg(not(feature = "nats"))]
        let backend = Arc::new(backend);
        #[cfg(feature = "history")]
        let keeper = history.map(|history| Keeper::new(history, events.clone()));
        #[cfg(not(feature = "history"))]
        let keeper = None;
        let core = Core::new(
            backend,
            Workshop::Here(sandbox),
            self.defaults,
            events,
            self.queue,
            keeper,
        );
        Ok(Cluster {
            core: Arc::new(core),
            shortages,
        })
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
