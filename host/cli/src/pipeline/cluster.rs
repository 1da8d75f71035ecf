//! The cluster that a job runs on: engines of this process, or those of a cluster elsewhere.

use super::boundary::BoundaryWatch;
use super::history;
use crate::args::{BoundaryArgument, ManyOptions, TaskOptions};
#[cfg(feature = "nats")]
use crate::cluster::{MAIN_LANE, profile};
use crate::environment::compiler::{compiled, own, usable_cache};
use crate::environment::signals::Signals;
use crate::exit::CliError;
#[cfg(feature = "nats")]
use crate::output::messages::note;
use crate::output::messages::warn;
use rwasm_cluster::plain;
use rwasm_cluster::{
    Boundary, Cluster, ClusterBuilder, ClusterEvents, Grants, History, Limits, Observer, Resource,
};
#[cfg(feature = "nats")]
use rwasm_cluster::{
    ClusterEvent,
    nats::{ConnectError, Role},
};
use std::ops::Deref;

/// How a job gets its cluster.
pub(super) struct ClusterSettings {
    builder: ClusterBuilder,
    engines: EnginesOf,
    is_quiet: bool,
    is_verbose: bool,
}

/// Whose engines run the tasks.
enum EnginesOf {
    ThisProcess {
        has_boundary: bool,
    },
    #[cfg(feature = "nats")]
    Elsewhere {
        lane: String,
        /// How many there are is for others to say, but the command line does.
        is_counted: bool,
        /// Likewise the boundary.
        is_bounded: bool,
    },
}

impl ClusterSettings {
    pub(super) fn resolve(
        task: &TaskOptions,
        many: Option<&ManyOptions>,
        limits: &Limits,
        grants: &Grants,
    ) -> Result<Self, CliError> {
        if task.boundary == BoundaryArgument::Strict && !grants.net.is_empty() {
            return Err(CliError::Wrong {
                message:
                    "--boundary strict grants no peers: the kernel does not know their addresses"
                        .to_owned(),
                hint: "use --boundary process, or run without --net".to_owned(),
            });
        }
        let mut builder = Cluster::builder()
            .strict_imports(task.strict_imports)
            .boundary(Boundary::new(task.boundary.into(), own()))
            .limits(limits.clone())
            .grants(grants.clone());
        if let Some(engines) = task.engines {
            builder = builder.engines(engines);
        }
        // A single call needs a single worker.
        if many.is_none() && task.targets.is_none() {
            builder = builder.ready_workers(1);
        }
        if let Some(many) = many {
            builder = builder.policy(many.policy);
            if let Some(dispatches) = many.hwm {
                builder = builder.hwm(dispatches);
            }
        }
        if let Some(history) = history::to_record(&task.history)? {
            builder = builder.history(history);
        }
        #[cfg_attr(
            not(feature = "nats"),
            expect(unused_mut, reason = "all are of this process")
        )]
        let mut settings = Self {
            builder,
            engines: EnginesOf::ThisProcess {
                has_boundary: task.boundary != BoundaryArgument::Thread,
            },
            is_quiet: task.loudness.quiet,
            is_verbose: task.loudness.verbose,
        };
        #[cfg(feature = "nats")]
        if let Some(remote) = profile::remote(&task.remote, Role::Client)? {
            if let Some(lane) = &task.lane {
                let checked = remote.check_lane(lane);
                checked.map_err(|error| CliError::Connect(error.into()))?;
            }
            let lane = remote.lane_for(task.lane.as_deref().unwrap_or(MAIN_LANE));
            settings.builder = settings.builder.connect(remote);
            if let Some(lane) = &task.lane {
                settings.builder = settings.builder.lane(lane);
            }
            // It would be a promise that nobody keeps.
            if task.boundary == BoundaryArgument::Strict {
                return Err(CliError::Wrong {
                    message: "--boundary strict cannot be kept on a remote cluster: its engines belong to other machines"
                        .to_owned(),
                    hint: "use --boundary thread there, or run without a cluster".to_owned(),
                });
            }
            settings.engines = EnginesOf::Elsewhere {
                lane,
                is_counted: task.engines_typed,
                is_bounded: task.boundary_typed && task.boundary != BoundaryArgument::Thread,
            };
        }
        Ok(settings)
    }
}

impl ClusterSettings {
    /// Whether the engines are of this process.
    pub(super) fn are_here(&self) -> bool {
        matches!(self.engines, EnginesOf::ThisProcess { .. })
    }

    /// Has this observer told of the tasks.
    pub(super) fn observed_by(mut self, observer: impl Observer) -> Self {
        self.builder = self.builder.observe(observer);
        self
    }
}

/// A cluster with engines, and what is told of them.
pub(crate) struct RunningCluster {
    cluster: Cluster,
    events: ClusterEvents,
    boundary: BoundaryWatch,
    /// Whether its engines are of this process, which compiles for them.
    are_here: bool,
}

impl RunningCluster {
    /// Starts the engines, or reaches those that there are, and warns of what is amiss with them.
    ///
    /// A cluster that rejects the key later ends what `signals` watches.
    #[cfg_attr(
        not(feature = "nats"),
        expect(unused_variables, reason = "no cluster elsewhere rejects a key")
    )]
    pub(super) fn start(settings: ClusterSettings, signals: &Signals) -> Result<Self, CliError> {
        let is_quiet = settings.is_quiet;
        match settings.engines {
            EnginesOf::ThisProcess { has_boundary } => {
                let mut running = Self::of_this_process(settings.builder)?;
                if has_boundary {
                    running.boundary = BoundaryWatch::begin(&running, is_quiet);
                }
                if !is_quiet {
                    warn_of_shortages(&running);
                    warn_of_cache();
                }
                if settings.is_verbose && !running.is_pooled() {
                    warn(
                        "the address space is too small for a pool of instances; tasks start more slowly",
                    );
                }
                Ok(running)
            }
            #[cfg(feature = "nats")]
            EnginesOf::Elsewhere {
                lane,
                is_counted,
                is_bounded,
            } => {
                let cluster = settings.builder.start().map_err(CliError::Start)?;
                end_if_rejected(&cluster, signals);
                if !is_quiet {
                    if is_bounded {
                        warn("--boundary has no effect on a remote cluster");
                    }
                    warn_of_engines(&cluster, &lane, is_counted);
                }
                Ok(Self::new(cluster, false))
            }
        }
    }

    /// Starts engines in this process.
    pub(crate) fn of_this_process(builder: ClusterBuilder) -> Result<Self, CliError> {
        let cluster = compiled(builder)?.start().map_err(CliError::Start)?;
        Ok(Self::new(cluster, true))
    }

    fn new(cluster: Cluster, are_here: bool) -> Self {
        let events = cluster.events();
        Self {
            cluster,
            events,
            boundary: BoundaryWatch::default(),
            are_here,
        }
    }

    pub(super) fn are_here(&self) -> bool {
        self.are_here
    }

    /// Has a signal stop what runs: its process ends before it does, as the history then says.
    pub(crate) fn stop_at_signal(&self, signals: &Signals, stop: impl FnOnce() + Send + 'static) {
        // The history itself would stay open until the program ends.
        let interruption = self.cluster.history().map(History::interruption);
        signals.watch(move || {
            if let Some(interruption) = interruption {
                interruption.begin();
            }
            stop();
        });
    }

    /// What a job came to, now that it has ended: a signal that ended it goes before what it says itself.
    pub(crate) fn settle<T>(
        &mut self,
        ended: Result<T, CliError>,
        signals: &Signals,
    ) -> Result<T, CliError> {
        while let Some(event) = self.events.try_next() {
            history::warn_of_loss(&event);
            self.boundary.take(&event);
        }
        if let Some(ending) = signals.ending() {
            return Err(CliError::Signal(ending));
        }
        #[cfg(feature = "nats")]
        if let Some(failure) = signals.failure() {
            return Err(failure);
        }
        match self.boundary.failure() {
            Some(failure) => Err(failure),
            None => ended,
        }
    }
}

impl Deref for RunningCluster {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

/// Warns of what a user may not expect of the engines of a cluster elsewhere.
#[cfg(feature = "nats")]
fn warn_of_engines(cluster: &Cluster, lane: &str, is_counted: bool) {
    if is_counted {
        warn("--engines has no effect on a remote cluster");
    }
    warn_of_stalls(cluster);
    if !cluster.is_served() {
        warn(&unserved(lane, cluster.engines().is_empty()));
    }
}

/// Ends what runs, as long as the cluster is there, when its server rejects the key that it accepted before: nobody else
/// waits for it to be accepted again.
#[cfg(feature = "nats")]
fn end_if_rejected(cluster: &Cluster, signals: &Signals) {
    let (mut events, signals) = (cluster.events(), signals.clone());
    let follow = move || {
        let rejected = events.find_map(|event| match event {
            ClusterEvent::Rejected { url, who } => Some(ConnectError::Refused {
                url: url.to_string(),
                who: who.to_string(),
            }),
            _ => None,
        });
        if let Some(rejected) = rejected {
            signals.fail(CliError::Connect(rejected));
        }
    };
    // Without a thread the job waits.
    let _ = std::thread::Builder::new()
        .name("rwasm-rejected".to_owned())
        .spawn(follow);
}

/// Warns, as long as the cluster is there, when it takes no tasks, and says what it compiles.
#[cfg(feature = "nats")]
fn warn_of_stalls(cluster: &Cluster) {
    let events = cluster.events();
    let follow = move || {
        for event in events {
            match event {
                ClusterEvent::Stalled(reason) => warn(&format!("tasks are waiting: {reason}")),
                ClusterEvent::Compiling { module, before: 0 } => {
                    note(&format!("an engine compiles `{module}`"));
                }
                ClusterEvent::Compiling { module, before } => {
                    let others = if before == 1 { "module" } else { "modules" };
                    note(&format!(
                        "`{module}` waits to be compiled: {before} {others} before it"
                    ));
                }
                _ => {}
            }
        }
    };
    // Without a thread it is not told, and the job runs all the same.
    let _ = std::thread::Builder::new()
        .name("rwasm-stalls".to_owned())
        .spawn(follow);
}

/// That tasks have no engine which takes them.
#[cfg(feature = "nats")]
pub(super) fn unserved(lane: &str, has_none: bool) -> String {
    if has_none && lane == MAIN_LANE {
        return "the cluster has no engines; tasks wait until one joins".to_owned();
    }
    format!("no engine serves the lane `{lane}`; tasks wait until one joins with --lane {lane}")
}

/// Warns that modules are compiled each time, and why.
fn warn_of_cache() {
    if let Err((dir, error)) = usable_cache() {
        warn(&format!(
            "compiled modules are not kept: cannot use the cache `{}`: {error}",
            plain::path(&dir)
        ));
    }
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
