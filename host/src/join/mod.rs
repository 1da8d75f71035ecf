//! A process with engines that joins a cluster: it takes tasks, runs them on its own engines, and stores their
//! results.
//!
//! `fetch` takes messages from the queue as engines become free, `direct` those for one engine. `task`, `modules` and
//! `values` prepare them within the `policy` of this machine. `worker` takes each to its end: run it, store its result,
//! and only then acknowledge it, so that no result is lost; a second result of a message is refused. `suspect` finds the
//! task that ends whoever runs it, `cancelled` knows what is no longer wanted, `notes` has what tasks say on the way, and
//! `member` is what the cluster sees of the process. `served` is the membership in one cluster, and `members` has those
//! in all that the process serves; `vital` sees to it that no process stays that is broken itself. It knows nothing of
//! jobs but their names: chunks, merges and retries belong to the submitter.

mod cancelled;
mod collector;
mod direct;
mod fetch;
mod granted;
mod health;
mod lanes;
mod member;
mod members;
mod modules;
mod notes;
mod policy;
mod results;
mod roots;
mod run;
mod served;
mod suspect;
mod task;
mod values;
mod vital;
mod warnings;
mod worker;

pub use lanes::{LaneError, ServedLane};
pub use policy::{EnginePolicy, PolicyError};
pub use served::ServedCluster;

use crate::boundary::Boundary;
use crate::cluster::{Cluster, StartError};
use crate::nats::AssetError;
use crate::nats::connect::ConnectError;
use crate::observe::{Metrics, Observer, Observers};
use members::Members;
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::sandbox::{CodeCache, Compiler};
use rwasm_value::ids::EngineId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How a process with engines joins. Start from [`JoinSettings::new`] and change what should differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JoinSettings {
    /// The clusters that are served; several share the engines by weight, and see nothing of each other. One of several
    /// that does not admit the engines is tried again from time to time.
    pub clusters: Vec<ServedCluster>,
    /// The number of engines; by default one for each core that this process may use.
    pub engines: Option<u32>,
    /// A private directory in which modules and compiled code are kept; `None`, the default, keeps nothing.
    pub cache_dir: Option<PathBuf>,
    /// Where modules are compiled.
    pub compiler: Compiler,
    /// How tasks are isolated from this process; [`Boundary::Thread`] by default. The policy may require more.
    pub boundary: Boundary,
    /// The lanes whose tasks are taken: one before the other, or each with its part of the engine time if they have
    /// weights, which they cannot among several clusters; `main` by default.
    pub lanes: Vec<ServedLane>,
    /// Labels that are shown with this process.
    pub labels: BTreeMap<String, String>,
    /// The most that tasks may be granted here; nothing by default.
    pub policy: EnginePolicy,
    /// How long running tasks may take to end after [`Drain::begin`]; 1 minute by default.
    pub drain_timeout: Duration,
    /// Leave after being idle this long; never by default.
    pub exit_when_idle: Option<Duration>,
    /// The address on which health is served by HTTP: `/healthz`, `/readyz` and `/metrics`.
    pub health: Option<SocketAddr>,
    observers: Observers,
}

impl JoinSettings {
    /// Settings with one engine per core for these clusters, on the main lane, with no grants allowed.
    #[must_use]
    pub fn new(clusters: impl IntoIterator<Item = ServedCluster>) -> Self {
        Self {
            clusters: clusters.into_iter().collect(),
            engines: None,
            cache_dir: None,
            compiler: Compiler::default(),
            boundary: Boundary::default(),
            lanes: vec![ServedLane::main()],
            labels: BTreeMap::new(),
            policy: EnginePolicy::default(),
            drain_timeout: Duration::from_mins(1),
            exit_when_idle: None,
            health: None,
            observers: Observers::default(),
        }
    }

    /// Has this observer told of the tasks that these engines run.
    #[must_use]
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.observers.add(Arc::new(observer));
        self
    }
}

/// Tells a process with engines to leave. Cheap to clone: all clones stand for the same process.
#[derive(Clone, Debug, Default)]
pub struct Drain(Cancel);

impl Drain {
    /// Makes the process take nothing more, give back what no engine has begun, and end once the rest has finished.
    pub fn begin(&self) {
        self.0.cancel();
    }
}

/// Why a process with engines could not join, or had to leave.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The cluster cannot be reached, or rejects the connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The cluster's streams are missing, or this key may not use them.
    #[error(transparent)]
    Assets(#[from] AssetError),
    /// The engines cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The lanes are not valid, or not together.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// The cluster does not admit the engines.
    #[error("the cluster at {url} does not admit these engines: {reason}")]
    Refused {
        /// The server's URL.
        url: String,
        /// Its reason.
        reason: String,
    },
    /// No cluster is named.
    #[error("there is no cluster to join")]
    NoCluster,
    /// The health address is taken, or not an address of this machine.
    #[error("cannot serve health checks at {address}")]
    Health {
        /// The requested address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// A part of the process has panicked, so that it could not go on.
    #[error(
        "a part of this process has panicked, which is a fault of rwasm-cluster: it has left the cluster, which runs its tasks elsewhere"
    )]
    Broken,
    /// The thread for the connection cannot be started.
    #[error("cannot start a thread for the connection")]
    Thread(#[source] std::io::Error),
}

/// What a process with engines did, once it has left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinReport {
    /// The ids of its engines, as the first cluster that it joined knew them.
    pub engines: Vec<EngineId>,
    /// Tasks that ended, failed ones included.
    pub done: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Dispatches that were given back.
    pub given_back: u64,
}

/// Joins clusters and runs their tasks until `drain` begins or the engines were idle for long enough. Blocks the
/// calling thread. `ready` is called with the ids of the engines once a cluster knows them: those of the first that does,
/// if there are several.
///
/// # Cancellation
/// [`Drain::begin`] ends it: running tasks may take [`JoinSettings::drain_timeout`] to end, all others are given
/// back.
///
/// # Errors
/// If the process cannot join, or has to leave because a part of it has panicked.
pub fn join(
    settings: JoinSettings,
    drain: &Drain,
    ready: impl FnOnce(&[EngineId]),
) -> Result<JoinReport, JoinError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("rwasm-join-io")
        .build()
        .map_err(JoinError::Thread)?;
    let report = runtime.block_on(run(settings, drain, ready));
    runtime.shutdown_background();
    report
}

async fn run(
    mut settings: JoinSettings,
    drain: &Drain,
    ready: impl FnOnce(&[EngineId]),
) -> Result<JoinReport, JoinError> {
    lanes::check(&settings.lanes, settings.clusters.len())?;
    let (kind, required) = (settings.boundary.kind(), settings.policy.boundary());
    if kind < required {
        let reason = format!(
            "the policy requires the boundary `{required}`, and these engines have `{kind}`"
        );
        return Err(StartError::Boundary(reason).into());
    }
    settings.policy.warn_of_missing_dirs();
    let health = match settings.health {
        None => None,
        Some(address) => Some(
            tokio::net::TcpListener::bind(address)
                .await
                .map_err(|source| JoinError::Health { address, source })?,
        ),
    };
    // Counted only where somebody can ask.
    let metrics = health.as_ref().map(|_| Metrics::new());
    if let Some(metrics) = &metrics {
        settings = settings.observe(metrics.clone());
    }
    let (members, pool) = Members::join(settings).await?;
    if let (Some(listener), Some(metrics)) = (health, metrics) {
        tokio::spawn(health::serve(listener, Arc::clone(&members), metrics));
    }
    ready(&members.engines());
    let is_broken = tokio::select! {
        () = drain.0.wanted() => false,
        () = members.idle() => false,
        () = members.emptied() => false,
        () = members.broken() => true,
    };
    let report = members.end().await;
    let ended = tokio::task::spawn_blocking(move || pool.shutdown(Duration::ZERO));
    let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
    if is_broken {
        return Err(JoinError::Broken);
    }
    Ok(report)
}

/// Starts the engines of this process, under ids from `first` on.
fn start_engines(
    settings: &JoinSettings,
    engines: u32,
    first: EngineId,
) -> Result<Cluster, StartError> {
    let mut builder = Cluster::builder()
        .engines(engines)
        .max_engines(engines)
        .compiler(settings.compiler.clone())
        .boundary(settings.boundary.clone())
        .checks_workers()
        .first_engine(first);
    if let Some(dir) = &settings.cache_dir {
        // The same files as those of runs without a cluster: what one has compiled serves the other.
        if let Err(error) = CodeCache::make(dir, CodeCache::SIZE) {
            let code = dir.display();
            tracing::warn!(
                "the cache `{code}` cannot be used, so every module is fetched and compiled again: {error}"
            );
        }
        builder = builder.cache_dir(dir);
    }
    builder.observed_by(settings.observers.clone()).start()
}

fn default_engines() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| {
        u32::try_from(cores.get()).unwrap_or(rwasm_sandbox::limits::MAX_ENGINES)
    })
}
