//! `Cluster`: the engines of a program and the ways to give them work.

mod builder;
mod tenant;

pub use builder::{ClusterBuilder, StartError};
pub use tenant::Tenant;

#[cfg(feature = "nats")]
use crate::backend::NatsSettings;
use crate::backend::{EngineError, QueueStatus};
use crate::blocking::BlockingCluster;
use crate::capacity::Shortage;
use crate::events::ClusterEvents;
use crate::graph::Dependency;
use crate::observe::Presence;
use crate::view::{
    ClusterNotes, Core, DirectView, Elements, Job, JobSpec, LoadBalancedView, Shutdown,
    SubmitError, TargetError, Targets, Workshop,
};
#[cfg(feature = "history")]
use rwasm_history::History;
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::input::Input;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::note::LogLevel;
use rwasm_sandbox::sandbox::{LoadError, Module, Setting};
use rwasm_value::ids::EngineId;
use rwasm_value::value::FromWit;
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

impl Cluster {
    /// Returns the settings of a new cluster; [`ClusterBuilder::start`] starts it.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
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

    /// A cluster of these parts, which has started.
    fn new(core: Core, shortages: Vec<Shortage>) -> Self {
        let core = Arc::new(core);
        if let Some(observer) = core.events.observer() {
            let core = Arc::downgrade(&core);
            observer.started(&Presence(Arc::new(move || {
                let status = core.upgrade().map(|core| core.backend.status());
                let engines = status.into_iter().flat_map(|status| status.engines);
                engines
                    .map(|engine| (engine.engine, engine.outstanding))
                    .collect()
            })));
        }
        Self { core, shortages }
    }

    #[cfg(feature = "nats")]
    pub(crate) fn core(&self) -> &Arc<Core> {
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
        &self.core.limits
    }

    /// Returns what jobs and calls may reach by default.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.core.grants
    }

    /// Returns the resources that its engines could exhaust if every task used what the cluster's limits allow,
    /// compared with what this process had at the start. Cgroups are taken into account.
    #[must_use]
    pub fn shortages(&self) -> &[Shortage] {
        &self.shortages
    }

    /// Returns the view that gives each call to whichever engine is free.
    pub fn load_balanced_view(&self) -> LoadBalancedView {
        LoadBalancedView::new(Arc::clone(&self.core), Arc::clone(&self.core.own))
    }

    /// Returns the view of the named engines: `Targets::All`, an id such as `2`, a position from the end such as
    /// `-1`, a range such as `0..4`, several such as `[0, 2]`, or parsed text.
    ///
    /// # Errors
    /// If one of them does not exist, none is named, or one is named twice.
    pub fn direct_view(&self, targets: impl Into<Targets>) -> Result<DirectView, TargetError> {
        let (core, own) = (Arc::clone(&self.core), Arc::clone(&self.core.own));
        DirectView::new(core, own, &targets.into())
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

    /// Whether its engines take nothing more: it was shut down, or the thread that feeds them has panicked.
    #[cfg(feature = "nats")]
    pub(crate) fn has_ended(&self) -> bool {
        self.core.backend.has_ended()
    }

    #[cfg(all(test, feature = "nats"))]
    pub(crate) fn break_engines(&self) {
        self.core.backend.break_down();
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
        self.core.notes(None)
    }

    /// Returns the lines of this level and above that the tasks of all its jobs log from now on.
    #[must_use]
    pub fn log(&self, from: LogLevel) -> ClusterNotes {
        self.core.notes(Some(from))
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

    /// The same for programs with an async runtime: the module is compiled on a thread of its own, once however many
    /// calls wait for it.
    ///
    /// # Errors
    /// As for [`Self::prepare`]; also if the thread cannot be started.
    pub async fn prepare_async(&self, module: &Module, limits: &Limits) -> Result<(), SubmitError> {
        let variant = self.core.variant(&Setting::under(limits.clone()));
        let made = self
            .core
            .made_ready_elsewhere(&self.core.own, module, variant, limits);
        made.await?;
        Ok(())
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
        self.run_after(module, inputs, spec, [])
    }

    /// Starts a job without a merge whose function returns streams, and gives their elements as they come.
    ///
    /// # Errors
    /// As for [`Self::run`]; also if the job has a merge, or its function does not give elements of this type.
    pub fn run_elements<T: FromWit>(
        &self,
        module: &Module,
        inputs: Vec<Input>,
        spec: &JobSpec,
    ) -> Result<Elements<T>, SubmitError> {
        self.core.run_elements(&self.core.own, module, inputs, spec)
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
        let own = &self.core.own;
        self.core.run(own, module, inputs, spec, after)
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

impl Cluster {
    /// [`Self::shutdown`] for programs with an async runtime: it waits on a thread of its own. Dropping the future does
    /// not stop what it has begun.
    pub async fn shutdown_async(&self, grace: Duration) -> Shutdown {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let core = Arc::clone(&self.core);
        let thread = std::thread::Builder::new()
            .name("rwasm-shutdown".to_owned())
            .spawn(move || {
                // Nobody may wait for it any more.
                let _ = answer.send(core.shutdown(grace));
            });
        if thread.is_ok()
            && let Ok(shutdown) = answered.await
        {
            return shutdown;
        }
        self.core.shutdown(grace)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.core.shutdown(Duration::ZERO);
    }
}
