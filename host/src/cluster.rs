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

/// The engines of this process.
///
/// Dropping it stops what runs and joins every thread; [`Cluster::shutdown`] gives what runs some time
/// first. Views and handles may outlive it: they then say that it was shut down.
///
/// # Examples
///
/// ```no_run
/// use rwasm_cluster::Cluster;
/// use std::time::Duration;
///
/// let cluster = Cluster::builder().engines(2).max_engines(8).start()?;
/// let added = cluster.add_engines(2)?;
/// cluster.remove_engine(added[0])?;
/// assert_eq!(cluster.engines().len(), 3);
/// cluster.shutdown(Duration::from_secs(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Cluster {
    core: Arc<Core>,
    shortages: Vec<Shortage>,
}

/// How a cluster is made.
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

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It was to have no engine, or too many.
    #[error("a cluster has 1 to {MAX_ENGINES} engines, but {wanted} were requested")]
    EngineCount {
        /// How many were asked for.
        wanted: u32,
    },
    /// The system does not give the threads.
    #[error("cannot start threads for {engines} engines")]
    Threads {
        /// How many engines there were to be.
        engines: u32,
        /// What the system said.
        source: std::io::Error,
    },
    /// WebAssembly cannot be run here.
    #[error("cannot run WebAssembly on this machine: {0}")]
    Sandbox(String),
    /// The functions that it was to offer to guests cannot be offered.
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
    /// Functions of this program cannot be called from engines elsewhere.
    #[error(
        "remote engines cannot call the host functions of this program: set either `host_functions` or `connect`"
    )]
    HostFunctionsElsewhere,
}

/// A cluster has room for so many engines at least, unless said otherwise.
const ROOM: u32 = 16;

impl Cluster {
    /// Says how a cluster should be; [`ClusterBuilder::start`] makes it.
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

    /// A cluster that answers the tasks of a durable job with what is stored of it, and merges on engines of this process, if
    /// it is told so, else on those elsewhere.
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

    /// The cluster that is reached by a NATS server at `url`: `nats://127.0.0.1:4222`, or `tls://…` off this machine. Its
    /// engines are processes that joined it (`rwasm-cluster engine join`). For keys and certificates see
    /// [`ClusterBuilder::connect`].
    ///
    /// # Errors
    /// When it cannot be reached, refuses, or was not set up.
    #[cfg(feature = "nats")]
    pub fn connect(url: impl Into<String>) -> Result<Self, StartError> {
        Self::builder()
            .connect(crate::nats::ConnectSettings::new(url))
            .start()
    }

    /// What its jobs and calls may use, where they do not say otherwise.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.core.defaults.limits
    }

    /// What its jobs and calls may reach, where they do not say otherwise.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.core.defaults.grants
    }

    /// What its engines could use up, all together, if each task used what the cluster's limits allow: where
    /// it is more than this process may have, at the start. Cgroups are counted.
    #[must_use]
    pub fn shortages(&self) -> &[Shortage] {
        &self.shortages
    }

    /// The view that gives each call to whichever engine is free.
    pub fn load_balanced_view(&self) -> LoadBalancedView {
        LoadBalancedView::new(Arc::clone(&self.core))
    }

    /// The view of the engines that are named: `Targets::All`, an id as `2`, a place from the end
    /// as `-1`, a range as `0..4`, several as `[0, 2]`, or a text as the command line has it.
    ///
    /// # Errors
    /// When one of them is not there, none is named, or one twice.
    pub fn direct_view(&self, targets: impl Into<Targets>) -> Result<DirectView, TargetError> {
        DirectView::new(Arc::clone(&self.core), &targets.into())
    }

    /// The same cluster for programs without an async runtime: its views wait.
    #[must_use]
    pub fn blocking(&self) -> BlockingCluster<'_> {
        BlockingCluster::new(self)
    }

    /// Its engines, in the order of their ids. None once it is shut down.
    #[must_use]
    pub fn engines(&self) -> Vec<EngineId> {
        self.core.backend.engines()
    }

    /// Whether one of them takes what is given to any engine: over NATS one that serves the cluster's lane. Without one tasks
    /// wait.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.core.backend.is_served()
    }

    /// Adds engines, under ids that were never used. Jobs that run make use of them, but for direct
    /// ones.
    ///
    /// # Errors
    /// When there is no room for them, or the system gives no threads; none is added then.
    pub fn add_engines(&self, count: u32) -> Result<Vec<EngineId>, EngineError> {
        self.core.backend.add_engines(count)
    }

    /// Takes an engine away, and its id for good. What it runs it finishes; what waits for it alone
    /// fails as `engine-lost`. Comes back at once.
    ///
    /// # Errors
    /// When there is no such engine.
    pub fn remove_engine(&self, engine: EngineId) -> Result<(), EngineError> {
        self.core.backend.remove_engine(engine)?;
        self.core.forget(engine);
        Ok(())
    }

    /// Puts a new engine in an engine's place, under its id. What it has fails as `engine-lost`;
    /// what waits for it goes on waiting; what was pushed to it stays.
    ///
    /// # Errors
    /// When there is no such engine.
    pub fn restart_engine(&self, engine: EngineId) -> Result<(), EngineError> {
        self.core.backend.restart_engine(engine)
    }

    /// What waits and runs now.
    #[must_use]
    pub fn queue_status(&self) -> QueueStatus {
        self.core.backend.status()
    }

    /// What happens from now on: engines that come and go, jobs that begin and end.
    #[must_use]
    pub fn events(&self) -> ClusterEvents {
        self.core.events.subscribe()
    }

    /// What the tasks of all its jobs print, log and publish from now on, as they do. The jobs' own notes
    /// ([`Job::notes`](crate::Job::notes)) begin when the job does, and may miss the first; these do not.
    #[must_use]
    pub fn notes(&self) -> ClusterNotes {
        self.core.told(None)
    }

    /// The lines that the tasks of all its jobs log from now on and that matter at least so much.
    #[must_use]
    pub fn log(&self, from: LogLevel) -> ClusterNotes {
        self.core.told(Some(from))
    }

    /// The history that its jobs are recorded in, if it was given one.
    #[cfg(feature = "history")]
    #[must_use]
    pub fn history(&self) -> Option<&History> {
        self.core.keeper.as_ref().map(|keeper| &keeper.history)
    }

    /// Whether instances come from a pool. Where the address space is too small for one, each is
    /// mapped anew, which is slower.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        match &self.core.workshop {
            Workshop::Here(sandbox) => sandbox.is_pooled(),
            Workshop::Elsewhere { .. } => true,
        }
    }

    /// Compiles `module` for these limits, so that a job with it begins at once.
    ///
    /// # Errors
    /// When it does not compile or wants what the host cannot stand in for.
    pub fn prepare(&self, module: &Module, limits: &Limits) -> Result<(), LoadError> {
        self.core.compile(module, limits).map(drop)
    }

    /// Begins a job: maps a function of `module` over `inputs` and merges what comes out.
    ///
    /// # Errors
    /// When the module does not fit the job, or an input cannot be used. Nothing has run then.
    pub fn run(
        &self,
        module: &Module,
        inputs: Vec<Input>,
        spec: &JobSpec,
    ) -> Result<Job, SubmitError> {
        self.core.run(module, inputs, spec, Vec::new())
    }

    /// Begins a job when others have ended as `after` says: each of them.
    ///
    /// # Errors
    /// As [`Self::run`]; and when a job that is named is not known.
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

    /// Ends the cluster: takes nothing more, gives what runs so much time to end, then stops the
    /// rest. Every thread is joined when this comes back, which it does soon after that time: a
    /// guest is stopped within milliseconds, a host call that is stuck is left after 100 ms.
    ///
    /// Its views and handles stay and say that it was shut down. Doing it again does nothing.
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
    /// How many engines; by default as many as this process may use cores.
    pub fn engines(mut self, engines: u32) -> Self {
        self.engines = Some(engines);
        self
    }

    /// How many engines there may be at a time, for [`Cluster::add_engines`]: room for their guests
    /// is set aside, in address space and not in memory. By default twice as many as at first.
    pub fn max_engines(mut self, engines: u32) -> Self {
        self.max_engines = Some(engines);
        self
    }

    /// The id of the first engine, where engines of other processes have ids too.
    #[cfg(feature = "nats")]
    pub(crate) fn first_engine(mut self, id: EngineId) -> Self {
        self.first_engine = id.0;
        self
    }

    /// How the engine of a call is chosen, where any will do.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The dispatches that an engine has at a time, at most: the one that runs and those that wait
    /// with it, which cannot be taken by another. By default 1, so that nothing waits behind a task
    /// that does not end while another engine is free; more hide the time of a hand-over, which
    /// pays where there are many small calls.
    pub fn hwm(mut self, dispatches: usize) -> Self {
        self.hwm = dispatches.max(1);
        self
    }

    /// What the random policies draw from, so that they choose the same each time.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How much may be submitted by calls and not yet done: beyond it `submit` waits and `try_submit`
    /// says [`SubmitError::QueueFull`]. Maps and runs have bounds of their own.
    pub fn queue(mut self, limits: QueueLimits) -> Self {
        self.queue = limits;
        self
    }

    /// Keeps compiled code in this directory, which must be private to the user, for the next
    /// start. By default nothing is kept.
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(dir.into());
        self
    }

    /// What the compiled code in that directory may take, [`CodeCache::SIZE`] by default: what was
    /// used longest ago is removed first.
    pub fn cache_size(mut self, size: ByteSize) -> Self {
        self.cache_size = size;
        self
    }

    /// Where modules are compiled: by default in this process, which bounds neither time nor memory.
    pub fn compiler(mut self, compiler: Compiler) -> Self {
        self.compiler = compiler;
        self
    }

    /// What its jobs and calls may use, where they do not say otherwise.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.defaults.limits = limits;
        self
    }

    /// What its jobs and calls may reach, where they do not say otherwise: nothing by default.
    pub fn grants(mut self, grants: Grants) -> Self {
        self.defaults.grants = Arc::new(grants);
        self
    }

    /// How typed functions of core modules are called.
    pub fn lowering(mut self, lowering: Lowering) -> Self {
        self.lowering = lowering;
        self
    }

    /// Refuses modules that import what this host does not offer. By default they are loaded,
    /// and a task that calls such an import fails.
    pub fn strict_imports(mut self, strict: bool) -> Self {
        self.strict_imports = strict;
        self
    }

    /// Functions of this program that guests may import.
    pub fn host_functions(mut self, functions: HostFunctions) -> Self {
        self.host = functions;
        self
    }

    /// Records every job and call in this history: what it was called with, what came of each task
    /// and why it failed. By default nothing is recorded. A job that cannot be recorded goes on all
    /// the same, and [`ClusterEvent::HistoryLost`](crate::ClusterEvent::HistoryLost) says why.
    #[cfg(feature = "history")]
    pub fn history(mut self, settings: HistorySettings) -> Self {
        self.history = Some(settings);
        self
    }

    /// Has the engines of a cluster over NATS run the tasks, and none of this process. What is said of engines, of the cache
    /// and of compiling has no meaning then: whoever runs the engines says it.
    #[cfg(feature = "nats")]
    pub fn connect(mut self, settings: crate::nats::ConnectSettings) -> Self {
        let remote = self.remote.take();
        self.remote = Some(NatsSettings {
            connect: settings,
            ..remote.unwrap_or_default()
        });
        self
    }

    /// The lane whose engines get the tasks, for clusters over NATS: `main` unless said otherwise.
    #[cfg(feature = "nats")]
    pub fn lane(mut self, lane: impl Into<String>) -> Self {
        self.remote.get_or_insert_default().lane = lane.into();
        self
    }

    /// To how many engines a task is given that is lost with each, over NATS: then it fails as `engine-lost`, since it may
    /// be what ends them. By default 5.
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

    /// Starts the engines, or connects to those elsewhere.
    ///
    /// # Errors
    /// When the number of engines is not possible, the system does not give what they need, or the
    /// history cannot be opened.
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
