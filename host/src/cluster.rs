//! `Cluster`: the engines of a program and the ways to give them work.

mod builder;

pub use builder::{ClusterBuilder, StartError};

#[cfg(feature = "nats")]
use crate::backend::NatsSettings;
use crate::backend::{EngineError, QueueStatus};
use crate::blocking::BlockingCluster;
use crate::capacity::Shortage;
use crate::events::ClusterEvents;
use crate::graph::Dependency;
use crate::view::{
    ClusterNotes, Core, DirectView, Job, JobSpec, LoadBalancedView, Shutdown, SubmitError,
    TargetError, Targets, Workshop,
};
#[cfg(feature = "history")]
use rwasm_history::History;
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::input::Input;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::note::LogLevel;
use rwasm_sandbox::sandbox::{LoadError, Module};
use rwasm_value::ids::EngineId;
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

impl Cluster {
    /// Says how a cluster should be; [`ClusterBuilder::start`] makes it.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
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
        &self.core.limits
    }

    /// What its jobs and calls may reach, where they do not say otherwise.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.core.grants
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
        self.core.notes(None)
    }

    /// The lines that the tasks of all its jobs log from now on and that matter at least so much.
    #[must_use]
    pub fn log(&self, from: LogLevel) -> ClusterNotes {
        self.core.notes(Some(from))
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
