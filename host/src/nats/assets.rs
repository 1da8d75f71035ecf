//! The streams, buckets and consumers of a cluster: how they are created, and whether they exist.

use super::connect::{ConnectError, Connection};
use super::names::{self, Class};
use super::problem::Problem;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{kv, object_store, stream};
use rwasm_value::ids::not_a_name;
use rwasm_value::units::ByteSize;
use std::time::Duration;

/// The settings of a cluster's streams. For whatever is left out, new streams have the default and existing ones stay
/// as they are.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AssetSettings {
    /// On how many servers each is kept: 1, 3 or 5. By default 1.
    pub replicas: Option<usize>,
    /// Lanes in addition to the main one.
    pub lanes: Vec<String>,
    /// How long an engine may be silent before its task is given to another. By default that of the main lane, which
    /// is 10 s.
    pub ack_wait: Option<Duration>,
    /// How long a process may be silent before its engines are removed. By default 15 s.
    pub presence: Option<Duration>,
    /// How long results, inputs and tasks are kept, and half of the time for which modules are that no job uses. By default
    /// 7 days.
    pub keep: Option<Duration>,
    /// How many bytes tasks, results and large values may take, each. By default, and with -1, there is no limit but
    /// the server's; a limit set here is reserved for them.
    pub max_bytes: Option<i64>,
    /// Whether existing assets with other settings are changed; otherwise they stay as they are.
    pub change: bool,
}

impl AssetSettings {
    /// On how many servers new assets are kept.
    fn replicas(&self) -> usize {
        self.replicas.unwrap_or(1)
    }

    fn presence(&self) -> Duration {
        self.presence.unwrap_or(Duration::from_secs(15))
    }

    fn keep(&self) -> Duration {
        self.keep.unwrap_or(Duration::from_hours(7 * 24))
    }

    fn max_bytes(&self) -> i64 {
        self.max_bytes.unwrap_or(-1)
    }
}

/// The acknowledgement time of the main lane in a new cluster.
const ACK_WAIT: Duration = Duration::from_secs(10);

/// A stream, bucket or consumer of a cluster, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asset {
    /// What it is and its name.
    pub name: String,
    /// What became of it.
    pub state: AssetState,
}

/// What became of a stream, bucket or consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssetState {
    /// It was created.
    Made,
    /// It existed with the requested settings.
    Kept,
    /// It existed with other settings and was changed: `replicas 1 → 3`.
    Changed(String),
    /// It exists with other settings and was left: `replicas 1, not 3`.
    Differs(String),
}

/// Why a cluster's streams cannot be created or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetError {
    /// One of them does not exist.
    #[error(
        "the server has no {what}: it is not set up as a cluster, or only for another account; set it up with `rwasm-cluster init`"
    )]
    Missing {
        /// Its kind and name.
        what: String,
    },
    /// The cluster has no such lane.
    #[error(
        "the cluster has no lane `{lane}`: create it with `rwasm-cluster init --lane {lane}`, and let engines join with `--lane {lane}`"
    )]
    NoLane {
        /// The requested lane.
        lane: String,
    },
    /// The key is for another lane.
    #[error(
        "the key submits to the lane `{own}` alone, not to `{lane}`: omit the lane, or use another key"
    )]
    OtherLane {
        /// The requested lane.
        lane: String,
        /// That of the key.
        own: String,
    },
    /// The server did not create it.
    #[error("the server did not create {what}: {reason}")]
    Refused {
        /// Its kind and name.
        what: String,
        /// The server's reason.
        reason: String,
    },
    /// The server's storage is too small for it.
    #[error(
        "the server has no room for {what}, which may take {wanted}: give it more storage (`max_file_store` in its configuration, or a larger disk), or make the streams smaller (--max-bytes)"
    )]
    NoRoom {
        /// Its kind and name.
        what: String,
        /// How many bytes it may take.
        wanted: ByteSize,
    },
    /// There are too few servers.
    #[error(
        "{what} cannot be kept on {replicas} servers: the cluster has fewer servers, or some of them are down"
    )]
    TooFewServers {
        /// Its kind and name.
        what: String,
        /// The requested number of servers.
        replicas: usize,
    },
    /// The number of replicas is not 1, 3 or 5.
    #[error("{replicas} is not a valid number of replicas: write 1, 3 or 5")]
    Replicas {
        /// The requested number.
        replicas: usize,
    },
    /// The text is not a valid lane.
    #[error("{}", not_a_name("lane", lane))]
    Lane {
        /// The requested lane.
        lane: String,
    },
    /// `JetStream` is disabled on the server, or for the account.
    #[error(
        "JetStream is disabled for this account: enable it in the server's configuration (see `rwasm-cluster server-config`)"
    )]
    JetStreamOff,
    /// The server did not answer in time: a group of servers may be without a leader.
    #[error(
        "the server did not report in time whether it has {what}: most servers of the cluster may be down"
    )]
    Silent {
        /// Its kind and name.
        what: String,
    },
    /// The key lacks the permission.
    #[error("this key may not create {what}: use an admin key")]
    Denied {
        /// Its kind and name.
        what: String,
    },
}

/// More than engines ever hold at a time; the server's default of 1 000 would starve them silently.
const MAX_ACK_PENDING: i64 = 100_000;

/// Pulls that wait at a time: one or a few per process with engines.
const MAX_WAITING: i64 = 16_384;

/// How long the server recognizes a task or result that is published twice.
const DUPLICATES: Duration = Duration::from_mins(2);

/// How long the marker of an engine that has left is kept for watchers.
const MARKERS: Duration = Duration::from_mins(1);

/// Creates what is missing. Existing assets are changed only if the settings say so, and only in the settings given.
pub(crate) async fn make(
    connection: &Connection,
    settings: &AssetSettings,
) -> Result<Vec<Asset>, AssetError> {
    let replicas = settings.replicas();
    if !matches!(replicas, 1 | 3 | 5) {
        return Err(AssetError::Replicas { replicas });
    }
    if let Some(lane) = settings.lanes.iter().find(|lane| !names::is_token(lane)) {
        return Err(AssetError::Lane { lane: lane.clone() });
    }
    let mut assets = Vec::new();
    for wanted in wanted(settings) {
        assets.push(make_stream(connection, wanted, settings.change).await?);
    }
    let mut lanes = vec![names::MAIN_LANE];
    lanes.extend(settings.lanes.iter().map(String::as_str));
    lanes.dedup();
    let mut wait = ACK_WAIT;
    for lane in lanes {
        assets.extend(make_lane(connection, lane, settings, wait).await?);
        if lane == names::MAIN_LANE {
            wait = ack_wait_of(connection, lane).await.unwrap_or(wait);
        }
    }
    Ok(assets)
}

/// Checks whether the cluster is set up, by one request that every role may make.
///
/// # Errors
/// If it is not, if `JetStream` is disabled for this account, or if the key may not even ask.
pub(crate) async fn check(connection: &Connection) -> Result<(), ConnectError> {
    let what = format!("stream {}", names::TASKS);
    match connection
        .watched(names::TASKS, stream_info(connection, names::TASKS))
        .await
    {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(problem)) => Err(problem.of(&what, 0, 0).into()),
        Err(denied) => Err(connection.denied(&denied)),
    }
}

/// The requested form of a stream, whatever it is used as.
struct AssetConfig {
    what: String,
    config: AssetKind,
    stream: String,
    /// The requested settings in which an existing stream may differ.
    replicas: Option<usize>,
    max_age: Option<Duration>,
    max_bytes: Option<i64>,
}

enum AssetKind {
    Stream(Box<stream::Config>),
    Bucket(Box<kv::Config>),
    Objects(Box<object_store::Config>),
}

fn wanted(settings: &AssetSettings) -> Vec<AssetConfig> {
    let streams = [tasks(settings), results(settings)].map(|config| AssetConfig {
        what: format!("stream {}", config.name),
        stream: config.name.clone(),
        replicas: settings.replicas,
        max_age: settings.keep,
        max_bytes: settings.max_bytes,
        config: AssetKind::Stream(Box::new(config)),
    });
    let buckets = buckets(settings).map(|config| AssetConfig {
        what: format!("bucket {}", config.bucket),
        stream: names::kv_stream(&config.bucket),
        replicas: settings.replicas,
        max_age: (config.bucket == names::ENGINES)
            .then_some(settings.presence)
            .flatten(),
        max_bytes: None,
        config: AssetKind::Bucket(Box::new(config)),
    });
    let objects = objects(settings).map(|config| (config.bucket == names::MODULES, config));
    let objects = objects.map(|(is_of_modules, config)| AssetConfig {
        what: format!("object store {}", config.bucket),
        stream: names::object_stream(&config.bucket),
        replicas: settings.replicas,
        max_age: settings.keep.map(|keep| {
            if is_of_modules {
                modules_kept(keep)
            } else {
                keep
            }
        }),
        max_bytes: settings.max_bytes.filter(|_| !is_of_modules),
        config: AssetKind::Objects(Box::new(config)),
    });
    streams.into_iter().chain(buckets).chain(objects).collect()
}

async fn make_stream(
    connection: &Connection,
    wanted: AssetConfig,
    change: bool,
) -> Result<Asset, AssetError> {
    let js = &connection.js;
    let state = ensure(connection, &wanted, async {
        let mut there = match stream_info(connection, &wanted.stream).await {
            Ok(there) => there,
            Err(problem) if problem.is(ErrorCode::STREAM_NOT_FOUND) => {
                match &wanted.config {
                    AssetKind::Stream(config) => drop(js.create_stream((**config).clone()).await?),
                    AssetKind::Bucket(config) => {
                        drop(js.create_key_value((**config).clone()).await?);
                    }
                    AssetKind::Objects(config) => {
                        drop(js.create_object_store((**config).clone()).await?);
                    }
                }
                return Ok(AssetState::Made);
            }
            Err(problem) => return Err(problem),
        };
        let mut differences = Differences::default();
        if let Some(replicas) = wanted.replicas {
            differences.put("replicas", &mut there.num_replicas, replicas);
        }
        if let Some(age) = wanted.max_age {
            differences.put_time("kept for", &mut there.max_age, age);
        }
        if let Some(bytes) = wanted.max_bytes {
            differences.put_size("at most", &mut there.max_bytes, bytes);
        }
        if change && !differences.0.is_empty() {
            js.update_stream(&there).await?;
        }
        Ok(differences.state(change))
    })
    .await?;
    Ok(Asset {
        name: wanted.what,
        state,
    })
}

/// Creates the consumers of a lane, unless they exist; with this `ack_wait` if none was requested.
async fn make_lane(
    connection: &Connection,
    lane: &str,
    settings: &AssetSettings,
    wait: Duration,
) -> Result<Vec<Asset>, AssetError> {
    let mut assets = Vec::new();
    for class in Class::ALL {
        assets.push(make_consumer(connection, lane, class, settings, wait).await?);
    }
    Ok(assets)
}

async fn make_consumer(
    connection: &Connection,
    lane: &str,
    class: Class,
    settings: &AssetSettings,
    wait: Duration,
) -> Result<Asset, AssetError> {
    let js = &connection.js;
    let mut config = lane_consumer(lane, class, settings, wait);
    let name = names::consumer(lane, class);
    let wanted = AssetConfig {
        what: format!("consumer {name} of {}", names::TASKS),
        stream: names::TASKS.to_owned(),
        replicas: settings.replicas,
        max_age: None,
        max_bytes: None,
        config: AssetKind::Stream(Box::new(tasks(settings))),
    };
    let state = ensure(connection, &wanted, async {
        let there = js
            .get_consumer_from_stream::<pull::Config, _, _>(&name, names::TASKS)
            .await;
        let mut there = match there {
            Ok(there) => there.cached_info().config.clone(),
            Err(error) => {
                let problem = Problem::from(error);
                if !problem.is(ErrorCode::CONSUMER_NOT_FOUND) {
                    return Err(problem);
                }
                js.create_consumer_on_stream(config, names::TASKS).await?;
                return Ok(AssetState::Made);
            }
        };
        let mut differences = Differences::default();
        // The server has 0 where a consumer is as its stream is.
        if let Some(replicas) = settings.replicas
            && there.num_replicas != 0
        {
            differences.put("replicas", &mut there.num_replicas, replicas);
        }
        if let Some(wait) = settings.ack_wait {
            differences.put_time("given again after", &mut there.ack_wait, wait);
        }
        config.num_replicas = there.num_replicas;
        config.ack_wait = there.ack_wait;
        if settings.change && !differences.0.is_empty() {
            js.create_consumer_on_stream(config, names::TASKS).await?;
        }
        Ok(differences.state(settings.change))
    })
    .await?;
    Ok(Asset {
        name: wanted.what,
        state,
    })
}

/// Returns the acknowledgement time of the lane, if the server reports it.
async fn ack_wait_of(connection: &Connection, lane: &str) -> Option<Duration> {
    let name = names::consumer(lane, Class::Middle);
    let get = connection
        .js
        .get_consumer_from_stream::<pull::Config, _, _>(&name, names::TASKS);
    Some(get.await.ok()?.cached_info().config.ack_wait)
}

async fn ensure(
    connection: &Connection,
    wanted: &AssetConfig,
    act: impl Future<Output = Result<AssetState, Problem>>,
) -> Result<AssetState, AssetError> {
    match connection.watched("$JS.API.", act).await {
        Ok(Ok(state)) => Ok(state),
        Ok(Err(problem)) => {
            let (replicas, bytes) = (wanted.replicas, wanted.max_bytes);
            Err(problem.of(&wanted.what, replicas.unwrap_or(1), bytes.unwrap_or(-1)))
        }
        Err(_) => Err(AssetError::Denied {
            what: wanted.what.clone(),
        }),
    }
}

async fn stream_info(connection: &Connection, name: &str) -> Result<stream::Config, Problem> {
    let stream = connection.js.get_stream(name).await?;
    Ok(stream.cached_info().config.clone())
}

/// The settings in which an existing asset differs from the request.
#[derive(Default)]
struct Differences(Vec<(&'static str, String, String)>);

impl Differences {
    fn put<T: PartialEq + ToString>(&mut self, name: &'static str, there: &mut T, wanted: T) {
        if *there != wanted {
            self.0.push((name, there.to_string(), wanted.to_string()));
            *there = wanted;
        }
    }

    fn put_time(&mut self, name: &'static str, there: &mut Duration, wanted: Duration) {
        let shown = |time: Duration| match time {
            Duration::ZERO => "ever".to_owned(),
            time => humantime::format_duration(time).to_string(),
        };
        if *there != wanted {
            self.0.push((name, shown(*there), shown(wanted)));
            *there = wanted;
        }
    }

    fn put_size(&mut self, name: &'static str, there: &mut i64, wanted: i64) {
        // Nothing, 0 and -1 are all no bound.
        let bound = |size: i64| u64::try_from(size).ok().filter(|size| *size > 0);
        let shown = |size: i64| {
            bound(size).map_or("what there is".to_owned(), |size| {
                ByteSize::new(size).to_string()
            })
        };
        if bound(*there) != bound(wanted) {
            self.0.push((name, shown(*there), shown(wanted)));
            *there = wanted;
        }
    }

    fn state(self, changed: bool) -> AssetState {
        if self.0.is_empty() {
            return AssetState::Kept;
        }
        let joined = |between: &str| {
            let all = self.0.iter();
            all.map(|(name, there, wanted)| format!("{name} {there}{between}{wanted}"))
                .collect::<Vec<_>>()
                .join("; ")
        };
        if changed {
            AssetState::Changed(joined(" → "))
        } else {
            AssetState::Differs(joined(", not "))
        }
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
        num_replicas: settings.replicas(),
        max_bytes: settings.max_bytes(),
        max_age: settings.keep(),
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
        num_replicas: settings.replicas(),
        max_bytes: settings.max_bytes(),
        max_age: settings.keep(),
        allow_direct: true,
        ..stream::Config::default()
    }
}

fn buckets(settings: &AssetSettings) -> [kv::Config; 3] {
    let bucket = |name: &str| kv::Config {
        bucket: name.to_owned(),
        history: 1,
        storage: StorageType::File,
        num_replicas: settings.replicas(),
        ..kv::Config::default()
    };
    [
        bucket(names::JOBS),
        kv::Config {
            max_age: settings.presence(),
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
        num_replicas: settings.replicas(),
        ..object_store::Config::default()
    };
    [
        object_store::Config {
            max_age: modules_kept(settings.keep()),
            ..store(names::MODULES)
        },
        object_store::Config {
            max_age: settings.keep(),
            max_bytes: settings.max_bytes(),
            ..store(names::BLOBS)
        },
    ]
}

/// How long modules are kept that nobody stores anew: whoever submits a task sees to it that its module outlives it.
fn modules_kept(keep: Duration) -> Duration {
    keep.saturating_mul(2)
}

fn lane_consumer(
    lane: &str,
    class: Class,
    settings: &AssetSettings,
    wait: Duration,
) -> pull::Config {
    pull::Config {
        durable_name: Some(names::consumer(lane, class)),
        filter_subject: names::tasks_of(lane, class),
        ack_policy: AckPolicy::Explicit,
        ack_wait: settings.ack_wait.unwrap_or(wait),
        // What is given up is given up by an engine, which says so in a result: a message past the server's own limit
        // would stay for ever and nobody would hear of it.
        max_deliver: -1,
        max_ack_pending: MAX_ACK_PENDING,
        max_waiting: MAX_WAITING,
        // 0 is as the stream has it, whichever that is.
        num_replicas: settings.replicas.unwrap_or_default(),
        ..pull::Config::default()
    }
}
