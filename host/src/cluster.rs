//! `Cluster`: the engines of a program and the way to give them work.

use crate::backend::{Backend, Local};
use crate::ids::{EngineId, JobId};
use crate::input::Input;
use crate::limits::{Limits, MAX_ENGINES};
use crate::sandbox::{CodeCache, LoadError, Lowering, Module, ModuleHash, Program, Sandbox};
use crate::units::ByteSize;
use crate::view::{self, Job, JobContext, JobSpec, Plan, SubmitError};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The engines of this process. Dropping it stops what runs and joins every thread.
pub struct Cluster {
    backend: Arc<dyn Backend>,
    sandbox: Sandbox,
    /// Modules made ready, by what they were made of. Locked when a job begins, not for tasks.
    programs: Mutex<HashMap<(ModuleHash, bool), Arc<Program>>>,
    job_ids: AtomicU64,
    dispatch_ids: Arc<AtomicU64>,
}

/// How a cluster is made.
#[derive(Clone, Debug)]
#[must_use = "a builder starts nothing until `start` is called"]
pub struct ClusterBuilder {
    engines: Option<u32>,
    cache: Option<(PathBuf, ByteSize)>,
    lowering: Lowering,
    strict_imports: bool,
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
}

/// What compiled code may take on disk unless said otherwise.
const CACHE_SIZE: ByteSize = ByteSize::mib(1024);

impl Cluster {
    /// Says how a cluster should be; [`ClusterBuilder::start`] makes it.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder {
            engines: None,
            cache: None,
            lowering: Lowering::default(),
            strict_imports: false,
        }
    }

    /// Its engines, in the order of their ids.
    #[must_use]
    pub fn engines(&self) -> Vec<EngineId> {
        self.backend.engines()
    }

    /// Whether instances come from a pool. Where the address space is too small for one, each is
    /// mapped anew, which is slower.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.sandbox.is_pooled()
    }

    /// Compiles `module` for these limits, so that a job with it begins at once.
    ///
    /// # Errors
    /// When it does not compile or wants what the host cannot stand in for.
    pub fn prepare(&self, module: &Module, limits: &Limits) -> Result<(), LoadError> {
        self.program(module, limits).map(drop)
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
        let plan = Plan::new(module, spec)?;
        let chunks = view::cut(&plan, spec, inputs)?;
        let program = self.program(module, &spec.limits)?;
        let context = JobContext {
            job: JobId(self.job_ids.fetch_add(1, Ordering::Relaxed)),
            backend: Arc::clone(&self.backend),
            dispatch_ids: Arc::clone(&self.dispatch_ids),
            program,
        };
        view::start(context, plan, spec, chunks)
    }

    /// Ends the cluster: running tasks are stopped, their jobs told, every thread joined.
    pub fn shutdown(self) {
        drop(self);
    }

    fn program(&self, module: &Module, limits: &Limits) -> Result<Arc<Program>, LoadError> {
        let key = (module.hash(), limits.fuel.is_some());
        let programs = || self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = programs().get(&key) {
            return Ok(Arc::clone(program));
        }
        // Compiled without the lock: another module need not wait for it.
        let program = Arc::new(self.sandbox.program(module, limits)?);
        Ok(Arc::clone(programs().entry(key).or_insert(program)))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.backend.shutdown();
    }
}

impl ClusterBuilder {
    /// How many engines; by default as many as this process may use cores.
    pub fn engines(mut self, engines: u32) -> Self {
        self.engines = Some(engines);
        self
    }

    /// Keeps compiled code in this directory, which must be private to the user, for the next
    /// start. By default nothing is kept.
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache = Some((dir.into(), CACHE_SIZE));
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

    /// Starts the engines.
    ///
    /// # Errors
    /// When the number of engines is not possible or the system does not give what they need.
    pub fn start(self) -> Result<Cluster, StartError> {
        let engines = self.engines.unwrap_or_else(default_engines);
        if engines == 0 || engines > MAX_ENGINES {
            return Err(StartError::EngineCount { wanted: engines });
        }
        let cache = self
            .cache
            .and_then(|(dir, size)| CodeCache::open(&dir, size.bytes()));
        let sandbox = Sandbox::new(engines, cache, self.lowering, self.strict_imports)
            .map_err(StartError::Sandbox)?;
        let backend =
            Local::start(engines).map_err(|source| StartError::Threads { engines, source })?;
        Ok(Cluster {
            backend: Arc::new(backend),
            sandbox,
            programs: Mutex::new(HashMap::new()),
            job_ids: AtomicU64::new(0),
            dispatch_ids: Arc::new(AtomicU64::new(0)),
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
