//! This process in all clusters that it serves. Of several, one that cannot be joined keeps nobody from the others.

use super::served::{Entrance, Membership};
use super::vital::Vital;
use super::worker::Worker;
use super::{JoinError, JoinReport, JoinSettings, default_engines, start_engines};
use crate::cluster::Cluster;
use futures_util::future::join_all;
use rwasm_sandbox::lock::lock;
use rwasm_value::ids::EngineId;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The pause after which a cluster is tried again that could not be joined.
const AGAIN: Duration = Duration::from_secs(30);

/// How often it is looked whether several clusters, or one that is busy, have nothing to do.
const LOOK: Duration = Duration::from_millis(500);

/// How long those that are joined wait for others.
const PATIENCE: Duration = Duration::from_secs(2);

/// See the [module](self).
pub(super) struct Members {
    engines: u32,
    settings: Arc<JoinSettings>,
    pool: Arc<Cluster>,
    vital: Vital,
    all: Mutex<Vec<Membership>>,
    /// What this process is in each of them, also while it leaves.
    workers: Mutex<Vec<Arc<Worker>>>,
    /// Those that go on trying.
    trying: Mutex<JoinSet<()>>,
}

impl Members {
    /// Joins the clusters of these settings with engines of its own: one, or of several those that admit this process.
    /// The others are tried again from time to time, and none waits for another.
    ///
    /// # Errors
    /// If none can be joined: the reason of the first.
    pub(super) async fn join(
        settings: JoinSettings,
    ) -> Result<(Arc<Self>, Arc<Cluster>), JoinError> {
        let settings = Arc::new(settings);
        let engines = settings.engines.unwrap_or_else(default_engines);
        match settings.clusters.as_slice() {
            [] => Err(JoinError::NoCluster),
            [cluster] => {
                let entrance = Box::pin(Entrance::open(cluster, &settings, engines)).await?;
                let pool = Arc::new(start_engines(&settings, engines, entrance.ids[0])?);
                let members = Self::new(engines, &settings, &pool);
                members.add(Box::pin(entrance.enter(0, &settings, &pool, &members.vital)).await?);
                Ok((members, pool))
            }
            several => {
                let pool = Arc::new(start_engines(&settings, engines, EngineId(0))?);
                let members = Self::new(engines, &settings, &pool);
                members.join_several(several.len()).await?;
                Ok((members, pool))
            }
        }
    }

    fn new(engines: u32, settings: &Arc<JoinSettings>, pool: &Arc<Cluster>) -> Arc<Self> {
        Arc::new(Self {
            engines,
            settings: Arc::clone(settings),
            pool: Arc::clone(pool),
            vital: Vital::default(),
            all: Mutex::default(),
            workers: Mutex::default(),
            trying: Mutex::default(),
        })
    }

    /// Begins to join each, and returns when one is joined and the others are as well, have failed or take long.
    async fn join_several(self: &Arc<Self>, count: usize) -> Result<(), JoinError> {
        let (tell, mut told) = mpsc::channel(count);
        for place in 0..count {
            let (members, tell) = (Arc::clone(self), tell.clone());
            lock(&self.trying).spawn(async move { members.keep_trying(place, tell).await });
        }
        drop(tell);
        let mut errors: Vec<Option<JoinError>> = (0..count).map(|_| None).collect();
        let mut is_joined = false;
        let mut patience = pin!(sleep(PATIENCE));
        loop {
            let (place, error) = tokio::select! {
                next = told.recv() => match next {
                    Some(next) => next,
                    None => break,
                },
                () = &mut patience, if is_joined => break,
            };
            is_joined |= error.is_none();
            errors[place] = error;
        }
        let failed = || {
            errors
                .iter()
                .enumerate()
                .filter_map(|(place, error)| Some((place, error.as_ref()?)))
        };
        if is_joined {
            for (place, error) in failed() {
                tracing::warn!(
                    cluster = self.settings.clusters[place].name,
                    %error,
                    "not joined; trying again every {} seconds",
                    AGAIN.as_secs()
                );
            }
            return Ok(());
        }
        lock(&self.trying).abort_all();
        let first = errors.into_iter().flatten().next();
        Err(first.unwrap_or(JoinError::NoCluster))
    }

    /// Tries to join until that succeeds, and tells what became of the first attempt.
    async fn keep_trying(&self, place: usize, tell: mpsc::Sender<(usize, Option<JoinError>)>) {
        let cluster = &self.settings.clusters[place];
        let mut tell = Some(tell);
        loop {
            let joined = match Box::pin(Entrance::open(cluster, &self.settings, self.engines)).await
            {
                Ok(entrance) => {
                    Box::pin(entrance.enter(place, &self.settings, &self.pool, &self.vital)).await
                }
                Err(error) => Err(error),
            };
            let error = match joined {
                Ok(member) => {
                    self.add(member);
                    None
                }
                Err(error) => Some(error),
            };
            let is_joined = error.is_none();
            match (tell.take(), error) {
                // Nobody may listen any more.
                (Some(tell), error) => drop(tell.send((place, error)).await),
                (None, None) => tracing::info!(cluster = cluster.name, "joined"),
                (None, Some(error)) => {
                    tracing::debug!(cluster = cluster.name, %error, "still not joined");
                }
            }
            if is_joined {
                return;
            }
            sleep(AGAIN).await;
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
    pub(super) async fn idle(&self) {
        let Some(time) = self.settings.exit_when_idle else {
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

    /// Returns once this process can serve nobody any more, by a fault of its own.
    pub(super) async fn broken(&self) {
        self.vital.broken(&self.pool).await;
    }

    /// Returns once no engine is left. Engines that several clusters share stay.
    pub(super) async fn emptied(&self) {
        match (self.settings.clusters.len(), self.workers().as_slice()) {
            (1, [worker]) => worker.emptied().await,
            _ => std::future::pending().await,
        }
    }

    /// Leaves all of them: each takes nothing more, and what runs may end.
    pub(super) async fn end(&self) -> JoinReport {
        lock(&self.trying).abort_all();
        let engines = self.engines();
        let all = std::mem::take(&mut *lock(&self.all));
        let reports = join_all(
            all.into_iter()
                .map(|one| one.end(self.settings.drain_timeout)),
        )
        .await;
        let sum = |number: fn(&JoinReport) -> u64| reports.iter().map(number).sum();
        JoinReport {
            engines,
            done: sum(|one| one.done),
            failed: sum(|one| one.failed),
            given_back: sum(|one| one.given_back),
        }
    }
}
