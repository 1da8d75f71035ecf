//! The clusters that a process with engines serves, and its membership in each.
//!
//! Most processes serve one. One that serves several has a connection, an id and a queue of its own in each, under the
//! key of each: what is in one of them is as unknown in another as if each had engines of its own. They share the
//! engines by weight, each as a tenant of the pool.

use super::fetch::{self, Queue};
use super::lanes::Shares;
use super::modules::Modules;
use super::task::Bench;
use super::vital::Vital;
use super::worker::Worker;
use super::{JoinError, JoinReport, JoinSettings, direct, notes};
use crate::cluster::{Cluster, Tenant};
use crate::nats::blob::Blobs;
use crate::nats::connect::{ConnectSettings, Connection, Key, Role};
use crate::nats::names;
use crate::nats::orders::Obedience;
use crate::nats::presence;
use crate::view::{Budget, TenantState};
use async_nats::{SubscribeError, Subscriber};
use rwasm_sandbox::cancel::Cancel;
use rwasm_value::ids::EngineId;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{AbortHandle, JoinHandle};
use tracing::Instrument as _;

/// A cluster that a process with engines serves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServedCluster {
    /// What it is called in this process's log; by default its URL.
    pub name: String,
    /// How to reach it, and with which key.
    pub connect: ConnectSettings,
    /// Its part of the engine time among several clusters; 1 by default. What one does not use goes to the others.
    pub weight: NonZeroU32,
}

impl ServedCluster {
    /// The cluster that is reached like this, with weight 1.
    #[must_use]
    pub fn new(connect: ConnectSettings) -> Self {
        Self {
            name: connect.url.clone(),
            connect,
            weight: NonZeroU32::MIN,
        }
    }

    /// Sets its part of the engine time.
    #[must_use]
    pub fn weight(mut self, weight: NonZeroU32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets what it is called in the log.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

/// A cluster's place at the engines of this process.
#[derive(Default)]
pub(super) struct Seat {
    /// The tenant as which it has engine time, if it shares the engines with other clusters.
    tenant: Option<Tenant>,
    /// What is added to the id of an engine for its id in the cluster.
    pub(super) id_offset: u32,
}

impl Seat {
    /// A place beside other clusters, at engines whose ids begin at 0.
    fn beside_others(
        cluster: &ServedCluster,
        pool: &Cluster,
        place: usize,
        first: EngineId,
    ) -> Self {
        // Names may be equal, places are not.
        let tenant = pool.tenant(format!("{place} {}", cluster.name));
        tenant.set_budget(Budget {
            weight: cluster.weight.get(),
            ..Budget::default()
        });
        Self {
            tenant: Some(tenant),
            id_offset: first.0,
        }
    }

    pub(super) fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// For whom modules are made ready.
    pub(super) fn state(&self, pool: &Cluster) -> Arc<TenantState> {
        let tenant = self.tenant.as_ref().map(Tenant::state);
        Arc::clone(tenant.unwrap_or(&pool.core().own))
    }

    /// The id here of an engine that the cluster knows by this id.
    pub(super) fn here(&self, engine: EngineId) -> EngineId {
        EngineId(engine.0.wrapping_sub(self.id_offset))
    }

    /// Why an engine is neither removed nor restarted by order of this cluster, if others have it too.
    pub(super) fn refusal(&self) -> Option<String> {
        self.tenant.as_ref().map(|_| {
            "these engines serve several clusters, so none of them may remove or restart one: stop their process instead".to_owned()
        })
    }
}

/// A cluster that admits this process: everything that can be checked before engines are started.
pub(super) struct Entrance {
    connection: Connection,
    queues: Vec<Queue>,
    obedience: Obedience,
    modules: Blobs,
    blobs: Blobs,
    pub(super) ids: Vec<EngineId>,
}

impl Entrance {
    /// Connects, and takes ids for the engines.
    pub(super) async fn open(
        cluster: &ServedCluster,
        settings: &JoinSettings,
        engines: u32,
    ) -> Result<Self, JoinError> {
        let connect = &cluster.connect;
        let connection =
            Connection::to_cluster(connect, Role::Engine, "rwasm-cluster engines").await?;
        let queues = fetch::queues(&connection, &settings.lanes).await?;
        let obedience = Obedience::of(connect.key.as_ref());
        let ready_to_obey = obedience.begin(&connection).await;
        ready_to_obey.map_err(|reason| refused(&connection, reason.to_owned()))?;
        let bucket = async |bucket| {
            let opened = Blobs::open(&connection, bucket).await;
            opened.map_err(|error| refused(&connection, error.to_string()))
        };
        let (modules, blobs) = (bucket(names::MODULES).await?, bucket(names::BLOBS).await?);
        let ids = presence::take_ids(&connection, engines.max(1)).await;
        let ids = ids.map_err(|reason| refused(&connection, reason))?;
        Ok(Self {
            connection,
            queues,
            obedience,
            modules,
            blobs,
            ids,
        })
    }

    /// Becomes a member: registers the engines, and begins to take tasks.
    pub(super) async fn enter(
        self,
        place: usize,
        settings: &JoinSettings,
        pool: &Arc<Cluster>,
        vital: &Vital,
    ) -> Result<Membership, JoinError> {
        let cluster = &settings.clusters[place];
        let connection = self.connection;
        let (seat, modules) = if settings.clusters.len() > 1 {
            let seat = Seat::beside_others(cluster, pool, place, self.ids[0]);
            (seat, format!("modules-{}", identity(&cluster.connect)))
        } else {
            (Seat::default(), "modules".to_owned())
        };
        let module_dir = settings.cache_dir.as_ref().map(|dir| dir.join(modules));
        let shares = Shares::new(&settings.lanes, pool, seat.tenant());
        let bench = Bench::new(
            Arc::clone(pool),
            seat,
            Modules::new(self.modules, module_dir),
            self.blobs,
            settings.policy.clone(),
        );
        let worker = Worker::new(
            connection.clone(),
            bench,
            shares,
            settings,
            &self.ids,
            self.obedience,
        );
        // Before anyone hears of these engines, so that nothing is sent to them in vain.
        let subscribed = subscribe(&connection, &worker.process()).await;
        let (tasks, wishes, cancelled) =
            subscribed.map_err(|error| refused(&connection, error.to_string()))?;
        let registered = worker.register().await;
        registered.map_err(|reason| refused(&connection, reason))?;
        // What is logged of one of several says of which.
        let span = match worker.bench.seat.tenant() {
            Some(_) => tracing::error_span!("cluster", name = cluster.name),
            None => tracing::Span::none(),
        };
        let current = {
            let worker = Arc::clone(&worker);
            async move { worker.obedience.keep_current(&worker.connection).await }
        };
        let spawn = |part: Pin<Box<dyn Future<Output = ()> + Send>>| {
            tokio::spawn(vital.clone().watch(part).instrument(span.clone()))
        };
        let beside = [
            spawn(Box::pin(current)),
            spawn(Box::pin(Arc::clone(&worker).renew())),
            spawn(Box::pin(notes::write(Arc::clone(&worker)))),
            spawn(Box::pin(Arc::clone(&worker).hear_cancelled(cancelled))),
            spawn(Box::pin(direct::serve(Arc::clone(&worker), tasks))),
            spawn(Box::pin(direct::obey(Arc::clone(&worker), wishes))),
        ];
        let stop = Cancel::default();
        let fetching = fetch::run(Arc::clone(&worker), self.queues, stop.clone());
        let fetching = spawn(Box::pin(fetching));
        Ok(Membership {
            worker,
            stop,
            fetching,
            beside: beside.map(|task| task.abort_handle()),
        })
    }
}

/// This process as a member of a cluster, taking its tasks.
pub(super) struct Membership {
    pub(super) worker: Arc<Worker>,
    stop: Cancel,
    fetching: JoinHandle<()>,
    beside: [AbortHandle; 6],
}

impl Membership {
    /// Takes nothing more, waits for what runs, and leaves.
    pub(super) async fn end(self, limit: Duration) -> JoinReport {
        let begun = Instant::now();
        let worker = &self.worker;
        worker.begin_drain().await;
        self.stop.cancel();
        let _ = self.fetching.await;
        worker.drain(limit.saturating_sub(begun.elapsed())).await;
        let report = worker.report();
        // A registration that is renewed would come back.
        self.beside.iter().for_each(AbortHandle::abort);
        worker.leave().await;
        report
    }
}

fn refused(connection: &Connection, reason: String) -> JoinError {
    JoinError::Refused {
        url: connection.url.to_string(),
        reason,
    }
}

/// What tells a cluster from others whose modules are kept in the same directory: nobody is to run what only another one
/// has.
fn identity(connect: &ConnectSettings) -> String {
    let mut hash = Sha256::new();
    hash.update(&connect.url);
    hash.update("\n");
    hash.update(
        connect
            .key
            .as_ref()
            .map(Key::public_key)
            .unwrap_or_default(),
    );
    let hash = hash.finalize();
    hash[..8].iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Subscribes to what is sent to a process: its tasks, its orders, and the names of cancelled work.
async fn subscribe(
    connection: &Connection,
    process: &str,
) -> Result<(Subscriber, Subscriber, Subscriber), SubscribeError> {
    let client = &connection.client;
    Ok((
        client.subscribe(names::execute(process)).await?,
        client.subscribe(names::control(process)).await?,
        client.subscribe(names::ALL_CANCELLED).await?,
    ))
}
