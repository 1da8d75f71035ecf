//! This process in all clusters that it serves. Of several, one that cannot be joined keeps nobody from the others.

use super::served::{Entrance, Membership};
use super::worker::Worker;
use super::{JoinError, JoinReport, JoinSettings};
use crate::cluster::Cluster;
use futures_util::future::join_all;
use rwasm_sandbox::lock::lock;
use rwasm_value::ids::EngineId;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The pause after which a cluster is tried again that could not be joined.
const AGAIN: Duration = Duration::from_secs(30);

/// How often it is looked whether several clusters, or one that is busy, have nothing to do.
const LOOK: Duration = Duration::from_millis(500);

/// See the [module](self).
pub(super) struct Members {
    all: Mutex<Vec<Membership>>,
    /// What this process is in each of them, also while it leaves.
    workers: Mutex<Vec<Arc<Worker>>>,
    /// Those that go on trying.
    trying: Mutex<JoinSet<()>>,
}

/// Opens the clusters that admit this process, each with its place among them.
///
/// # Errors
/// If none does: that of the first.
pub(super) async fn open(
    settings: &JoinSettings,
    engines: u32,
) -> Result<Vec<(usize, Entrance)>, JoinError> {
    let opened = settings.clusters.iter();
    let opened = opened.map(|cluster| Entrance::open(cluster, settings, engines));
    let mut entrances = Vec::new();
    let mut errors = Vec::new();
    for (place, opened) in join_all(opened).await.into_iter().enumerate() {
        match opened {
            Ok(entrance) => entrances.push((place, entrance)),
            Err(error) => errors.push((place, error)),
        }
    }
    unless_all_failed(settings, entrances.is_empty(), errors)?;
    Ok(entrances)
}

/// Reports what could not be joined, or returns the first reason if nothing could.
fn unless_all_failed(
    settings: &JoinSettings,
    all_failed: bool,
    errors: Vec<(usize, JoinError)>,
) -> Result<(), JoinError> {
    if all_failed {
        let first = errors.into_iter().next();
        return Err(first.map_or(JoinError::NoCluster, |(_, error)| error));
    }
    for (place, error) in errors {
        tracing::warn!(
            cluster = settings.clusters[place].name,
            %error,
            "not joined; trying again every {} seconds",
            AGAIN.as_secs()
        );
    }
    Ok(())
}

impl Members {
    /// Joins those clusters, and goes on trying the others.
    ///
    /// # Errors
    /// If none can be joined: that of the first.
    pub(super) async fn enter(
        entrances: Vec<(usize, Entrance)>,
        engines: u32,
        settings: &Arc<JoinSettings>,
        pool: &Arc<Cluster>,
    ) -> Result<Arc<Self>, JoinError> {
        let members = Arc::new(Self {
            all: Mutex::default(),
            workers: Mutex::default(),
            trying: Mutex::default(),
        });
        let mut missing: Vec<usize> = (0..settings.clusters.len()).collect();
        let mut errors = Vec::new();
        for (place, entrance) in entrances {
            let cluster = &settings.clusters[place];
            match Box::pin(entrance.enter(cluster, place, settings, pool)).await {
                Ok(member) => {
                    missing.retain(|one| *one != place);
                    members.add(member);
                }
                Err(error) => errors.push((place, error)),
            }
        }
        let all_failed = lock(&members.workers).is_empty();
        unless_all_failed(settings, all_failed, errors)?;
        for place in missing {
            let (all, settings) = (Arc::clone(&members), Arc::clone(settings));
            let pool = Arc::clone(pool);
            lock(&members.trying).spawn(async move {
                all.join_later(place, engines, &settings, &pool).await;
            });
        }
        Ok(members)
    }

    async fn join_later(
        &self,
        place: usize,
        engines: u32,
        settings: &JoinSettings,
        pool: &Arc<Cluster>,
    ) {
        let cluster = &settings.clusters[place];
        loop {
            sleep(AGAIN).await;
            let joined = match Box::pin(Entrance::open(cluster, settings, engines)).await {
                Ok(entrance) => Box::pin(entrance.enter(cluster, place, settings, pool)).await,
                Err(error) => Err(error),
            };
            match joined {
                Ok(member) => {
                    tracing::info!(cluster = cluster.name, "joined");
                    return self.add(member);
                }
                Err(error) => tracing::debug!(cluster = cluster.name, %error, "still not joined"),
            }
        }
    }

    fn add(&self, member: Membership) {
        lock(&self.workers).push(Arc::clone(&member.worker));
        lock(&self.all).push(member);
    }

    /// What this process is in each of them, also while it leaves.
    pub(super) fn workers(&self) -> Vec<Arc<Worker>> {
        lock(&self.workers).clone()
    }

    /// The ids of the engines, as the first of them knows them.
    pub(super) fn engines(&self) -> Vec<EngineId> {
        let first = self.workers().into_iter().next();
        first.map(|worker| worker.engines()).unwrap_or_default()
    }

    /// Returns once there was nothing to do for this long, in any of them.
    pub(super) async fn idle(&self, time: Option<Duration>) {
        let Some(time) = time else {
            return std::future::pending().await;
        };
        loop {
            let since: Option<Vec<Instant>> = self
                .workers()
                .iter()
                .map(|worker| worker.idle_since())
                .collect();
            let idle_for = since.and_then(|all| all.into_iter().max());
            match idle_for.map(|since| since.elapsed()) {
                Some(idle_for) if idle_for >= time => return,
                Some(idle_for) => sleep(time.saturating_sub(idle_for)).await,
                None => sleep(time.min(LOOK)).await,
            }
        }
    }

    /// Returns once no engine is left. Engines that several clusters share stay.
    pub(super) async fn emptied(&self) {
        match self.workers().as_slice() {
            [worker] => worker.emptied().await,
            _ => std::future::pending().await,
        }
    }

    /// Leaves all of them: each takes nothing more, and what runs may end.
    pub(super) async fn end(&self, settings: &JoinSettings) -> JoinReport {
        lock(&self.trying).abort_all();
        let engines = self.engines();
        let all = std::mem::take(&mut *lock(&self.all));
        let reports = join_all(all.into_iter().map(|one| one.end(settings))).await;
        let sum = |number: fn(&JoinReport) -> u64| reports.iter().map(number).sum();
        JoinReport {
            engines,
            done: sum(|one| one.done),
            failed: sum(|one| one.failed),
            given_back: sum(|one| one.given_back),
        }
    }
}
