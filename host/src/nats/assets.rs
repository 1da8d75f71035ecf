//! The streams, buckets and consumers of a cluster: how they are made, and whether they are there.

use super::connect::Connection;
use super::names::{self, Class};
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{kv, object_store, stream};
use std::time::Duration;

/// How a cluster's streams are to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AssetSettings {
    /// On how many servers each is kept: 1, 3 or 5.
    pub replicas: usize,
    /// Lanes beside the main one.
    pub lanes: Vec<String>,
    /// After how long a task whose engine is silent is given to another.
    pub ack_wait: Duration,
    /// After how long an engine that is silent is gone.
    pub presence: Duration,
    /// How long results, inputs and tasks are kept.
    pub keep: Duration,
    /// How many bytes tasks, results and large values may take, each.
    pub max_bytes: i64,
}

impl Default for AssetSettings {
    fn default() -> Self {
        Self {
            replicas: 1,
            lanes: Vec::new(),
            ack_wait: Duration::from_secs(10),
            presence: Duration::from_secs(15),
            keep: Duration::from_hours(7 * 24),
            max_bytes: 10 << 30,
        }
    }
}

/// Why a cluster's streams cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetError {
    /// One is not there.
    #[error(
        "the server has no {what}: it was not set up as a cluster, or for another account; `rwasm-cluster init` sets it up"
    )]
    Missing {
        /// Which.
        what: String,
    },
    /// The server does not make it.
    #[error("the server does not make {what}: {reason}")]
    Refused {
        /// Which.
        what: String,
        /// What the server said.
        reason: String,
    },
    /// The key may not.
    #[error("this key may not make {what}: an admin key is wanted")]
    Denied {
        /// Which.
        what: String,
    },
}

/// More than engines ever hold at a time; the server's own default of 1 000 would starve them silently.
const MAX_ACK_PENDING: i64 = 100_000;

/// Pulls that wait at a time: one or a few for each process with engines.
const MAX_WAITING: i64 = 16_384;

/// What a published task or result is known again by, if it is published twice.
const DUPLICATES: Duration = Duration::from_mins(2);

/// How long the mark of an engine that has gone is kept for those who watch.
const MARKERS: Duration = Duration::from_mins(1);

/// Makes what is missing, and changes nothing of what is there.
pub(crate) async fn make(
    connection: &Connection,
    settings: &AssetSettings,
) -> Result<(), AssetError> {
    let js = &connection.js;
    for config in [tasks(settings), results(settings)] {
        let what = format!("stream {}", config.name);
        ensure(connection, &what, "STREAM.CREATE", async {
            // Asked for first: a stream that is there with other settings is left as it is.
            match js.get_stream(&config.name).await {
                Ok(_) => Ok(()),
                Err(_) => js.create_stream(config.clone()).await.map(drop),
            }
            .map_err(|error| error.to_string())
        })
        .await?;
    }
    for config in buckets(settings) {
        let what = format!("bucket {}", config.bucket);
        ensure(connection, &what, "STREAM.CREATE", async {
            match js.get_key_value(&config.bucket).await {
                Ok(_) => Ok(()),
                Err(_) => js.create_key_value(config.clone()).await.map(drop),
            }
            .map_err(|error| error.to_string())
        })
        .await?;
    }
    for config in objects(settings) {
        let what = format!("object store {}", config.bucket);
        ensure(connection, &what, "STREAM.CREATE", async {
            match js.get_object_store(&config.bucket).await {
                Ok(_) => Ok(()),
                Err(_) => js.create_object_store(config.clone()).await.map(drop),
            }
            .map_err(|error| error.to_string())
        })
        .await?;
    }
    let lanes = std::iter::once(names::MAIN_LANE).chain(settings.lanes.iter().map(String::as_str));
    for lane in lanes {
        make_lane(connection, lane, settings).await?;
    }
    Ok(())
}

/// Makes the consumers of a lane, unless they are there.
pub(crate) async fn make_lane(
    connection: &Connection,
    lane: &str,
    settings: &AssetSettings,
) -> Result<(), AssetError> {
    for class in Class::ALL {
        let name = names::consumer(lane, class);
        let what = format!("consumer {name} of {}", names::TASKS);
        ensure(connection, &what, "CONSUMER", async {
            let config = lane_consumer(lane, class, settings);
            let there = connection
                .js
                .get_consumer_from_stream::<pull::Config, _, _>(&name, names::TASKS)
                .await;
            match there {
                Ok(_) => Ok(()),
                Err(_) => connection
                    .js
                    .create_consumer_on_stream(config, names::TASKS)
                    .await
                    .map(drop)
                    .map_err(|error| error.to_string()),
            }
        })
        .await?;
    }
    Ok(())
}

async fn ensure(
    connection: &Connection,
    what: &str,
    hint: &str,
    act: impl Future<Output = Result<(), String>>,
) -> Result<(), AssetError> {
    match connection.watched(hint, act).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(reason)) => Err(AssetError::Refused {
            what: what.to_owned(),
            reason,
        }),
        Err(_) => Err(AssetError::Denied {
            what: what.to_owned(),
        }),
    }
}

fn tasks(settings: &AssetSettings) -> stream::Config {
    stream::Config {
        name: names::TASKS.to_owned(),
        subjects: vec![names::TASK_SUBJECTS.to_owned()],
        retention: RetentionPolicy::WorkQueue,
        // Full is said to whoever submits, and nothing that waits is dropped.
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: settings.replicas,
        max_bytes: settings.max_bytes,
        max_age: settings.keep,
        duplicate_window: DUPLICATES,
        allow_direct: true,
        ..stream::Config::default()
    }
}

fn results(settings: &AssetSettings) -> stream::Config {
    stream::Config {
        name: names::RESULTS.to_owned(),
        subjects: vec![names::RESULT_SUBJECTS.to_owned()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_messages_per_subject: 1,
        storage: StorageType::File,
        num_replicas: settings.replicas,
        max_bytes: settings.max_bytes,
        max_age: settings.keep,
        allow_direct: true,
        ..stream::Config::default()
    }
}

fn buckets(settings: &AssetSettings) -> [kv::Config; 3] {
    let bucket = |name: &str| kv::Config {
        bucket: name.to_owned(),
        history: 1,
        storage: StorageType::File,
        num_replicas: settings.replicas,
        ..kv::Config::default()
    };
    [
        bucket(names::JOBS),
        kv::Config {
            max_age: settings.presence,
            limit_markers: Some(MARKERS),
            ..bucket(names::ENGINES)
        },
        bucket(names::IDS),
    ]
}

fn objects(settings: &AssetSettings) -> [object_store::Config; 2] {
    let store = |name: &str| object_store::Config {
        bucket: name.to_owned(),
        storage: StorageType::File,
        num_replicas: settings.replicas,
        ..object_store::Config::default()
    };
    [
        store(names::MODULES),
        object_store::Config {
            max_age: settings.keep,
            max_bytes: settings.max_bytes,
            ..store(names::BLOBS)
        },
    ]
}

fn lane_consumer(lane: &str, class: Class, settings: &AssetSettings) -> pull::Config {
    pull::Config {
        durable_name: Some(names::consumer(lane, class)),
        filter_subject: names::tasks_of(lane, class),
        ack_policy: AckPolicy::Explicit,
        ack_wait: settings.ack_wait,
        // What is given up is given up by an engine, which says so in a result: a message past the server's own limit
        // would stay for ever and nobody would hear of it.
        max_deliver: -1,
        max_ack_pending: MAX_ACK_PENDING,
        max_waiting: MAX_WAITING,
        num_replicas: settings.replicas,
        ..pull::Config::default()
    }
}
