//! How a cluster is made: its engines, here or elsewhere, and what its tasks may use.

use super::Cluster;
#[cfg(feature = "nats")]
use crate::backend::{Backend, Merging, Nats, NatsSettings};
use crate::backend::{Local, LocalSettings};
use crate::capacity::Available;
use crate::events::EventSender;
use crate::placement::{Machine, Policy};
#[cfg(feature = "history")]
use crate::view::Keeper;
use crate::view::{Core, QueueLimits, Workshop};
#[cfg(feature = "history")]
use rwasm_history::{History, HistoryError, HistorySettings};
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::limits::{Limits, MAX_ENGINES};
use rwasm_sandbox::sandbox::{
    CodeCache, CodeSource, Compiler, HostFunctions, HostFunctionsError, Lowering, Sandbox,
    VariantKey,
};
#[cfg(feature = "nats")]
use rwasm_value::ids::EngineId;
use rwasm_value::units::ByteSize;
use std::path::PathBuf;
use std::sync::Arc;

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
    limits: Limits,
    grants: Arc<Grants>,
    #[cfg(feature = "nats")]
    remote: Option<NatsSettings>,
}

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It was to have no engine, or too many.
    #[error("a cluster has 1 to {MAX_ENGINES} engines, {wanted} were asked for")]
    EngineCount {
        /// How many were asked for.
        wanted: u32,
    },
    /// The system does not give the threads.
    #[error("the system gives no threads for {engines} engines")]
    Threads {
        /// How many engines there were to be.
        engines: u32,
        /// What the system said.
        source: std::io::Error,
    },
    /// WebAssembly cannot be run here.
    #[error("WebAssembly cannot be run here: {0}")]
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
        "functions of this program are offered to guests, and engines elsewhere cannot call them"
    )]
    HostFunctionsElsewhere,
}

/// A cluster has room for so many engines at least, unless said otherwise.
const ROOM: u32 = 16;

impl Default for ClusterBuilder {
    fn default() -> Self {
        Self {
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
            limits: Limits::default(),
            grants: Arc::default(),
            #[cfg(feature = "nats")]
            remote: None,
        }
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
    /// says [`SubmitError::QueueFull`](crate::SubmitError::QueueFull). Maps and runs have bounds of their own.
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
        self.limits = limits;
        self
    }

    /// What its jobs and calls may reach, where they do not say otherwise: nothing by default.
    pub fn grants(mut self, grants: Grants) -> Self {
        self.grants = Arc::new(grants);
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
    pub(super) fn start_elsewhere(self, remote: NatsSettings) -> Result<Cluster, StartError> {
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
            self.limits,
            self.grants,
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
    pub(super) fn start_here(
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
            VariantKey::of(&self.limits, false),
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
        let shortages = Available::now().shortages(engines, &self.limits, &self.grants);
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
            self.limits,
            self.grants,
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
