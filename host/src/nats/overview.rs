//! A cluster at a glance: its server, its engines, and what waits for them.
//!
//! It asks and changes nothing; a viewer's key will do. What it tells is of one moment and is out of date in the next.

use super::assets::AssetError;
use super::connect::{ConnectSettings, Connection, runtime};
use super::names::{self, Class};
use super::presence::{self, Record};
use super::refusal::ConnectError;
use super::role::Role;
use async_nats::jetstream::consumer::pull;
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// More messages than that are not looked at one by one for the jobs they belong to: the answer would have to name each.
const MOST_SUBJECTS: u64 = 100_000;

/// What a cluster is like.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Overview {
    /// Where its servers were reached.
    pub url: String,
    /// The server that answered.
    pub server: String,
    /// Its version.
    pub version: String,
    /// The processes with engines, by the ids of these.
    pub processes: Vec<Process>,
    /// The lanes, the main one first.
    pub lanes: Vec<Lane>,
    /// The jobs of which tasks wait or run; none where there are too many tasks to tell.
    pub jobs: Option<Vec<String>>,
}

/// A process with engines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Process {
    /// Its id.
    pub id: String,
    /// The machine it runs on.
    pub host: String,
    /// Its number there.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
    /// The ids of its engines.
    pub engines: Vec<u32>,
    /// Whose tasks they take.
    pub lanes: Vec<String>,
    /// What it was labelled with.
    pub labels: BTreeMap<String, String>,
    /// How many of its engines run something.
    pub busy: u32,
    /// Tasks that have ended on it, also those that failed.
    pub done: u64,
    /// Tasks that have failed on it.
    pub failed: u64,
    /// When it joined.
    pub started: SystemTime,
    /// Whether it takes nothing more, and ends when it is through.
    pub draining: bool,
}

impl From<Record> for Process {
    fn from(record: Record) -> Self {
        Self {
            id: record.process,
            host: record.host,
            pid: record.pid,
            version: record.version,
            engines: record.engines,
            lanes: record.lanes,
            labels: record.labels,
            busy: record.busy,
            done: record.done,
            failed: record.failed,
            started: SystemTime::UNIX_EPOCH + Duration::from_millis(record.started_ms),
            draining: record.draining,
        }
    }
}

/// What is to be done on a lane. Tasks travel many to a message, and messages are what the server counts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// Messages that no engine has.
    pub waiting: u64,
    /// Messages that an engine has and that are not done.
    pub running: u64,
}

/// Looks at a cluster. It waits, on a runtime of its own.
///
/// # Errors
/// When it cannot be reached, was not set up, or the key may not look.
pub fn overview(settings: &ConnectSettings) -> Result<Overview, ConnectError> {
    let runtime = runtime(settings)?;
    let found = runtime.block_on(look(settings));
    runtime.shutdown_background();
    found
}

async fn look(settings: &ConnectSettings) -> Result<Overview, ConnectError> {
    let connection = Connection::to_cluster(settings, Role::Viewer, "rwasm-cluster status").await?;
    let processes = asked(
        &connection,
        names::ENGINES,
        Box::pin(processes(&connection)),
    )
    .await?;
    let (jobs, mut lanes) = asked(&connection, names::TASKS, queued(&connection)).await?;
    lanes.extend(processes.iter().flat_map(|process| process.lanes.clone()));
    lanes.remove(names::MAIN_LANE);
    let mut found = Vec::new();
    for lane in std::iter::once(names::MAIN_LANE.to_owned()).chain(lanes) {
        let depth = depth(&connection, &lane);
        found.extend(asked(&connection, "CONSUMER.INFO", depth).await?);
    }
    let info = connection.client.server_info();
    Ok(Overview {
        url: connection.url.to_string(),
        server: info.server_name,
        version: info.version,
        processes,
        lanes: found,
        jobs,
    })
}

/// Awaits an answer, or hears that the key may not ask.
async fn asked<T>(
    connection: &Connection,
    hint: &str,
    act: impl Future<Output = Result<T, String>>,
) -> Result<T, ConnectError> {
    match connection.watched(hint, act).await {
        Ok(answer) => answer.map_err(|reason| {
            ConnectError::Assets(AssetError::Missing {
                what: format!("{hint} ({reason})"),
            })
        }),
        Err(denied) => Err(connection.denied(&denied)),
    }
}

/// The processes with engines that are there.
async fn processes(connection: &Connection) -> Result<Vec<Process>, String> {
    /// Where the last of those that were there expires before it is told of, nothing is told.
    const PATIENCE: Duration = Duration::from_secs(5);
    const TRIES: u32 = 4;
    for _ in 0..TRIES {
        if let Ok(found) = tokio::time::timeout(PATIENCE, presence::list(connection)).await {
            return Ok(found?.into_iter().map(Process::from).collect());
        }
    }
    Err("the server does not tell of engines".to_owned())
}

/// The jobs and lanes of the tasks that are on the server.
async fn queued(
    connection: &Connection,
) -> Result<(Option<Vec<String>>, BTreeSet<String>), String> {
    let stream = connection.js.get_stream(names::TASKS).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let mut lanes = BTreeSet::new();
    if stream.cached_info().state.subjects_count > MOST_SUBJECTS {
        return Ok((None, lanes));
    }
    let subjects = stream.info_with_subjects(names::TASK_SUBJECTS).await;
    let mut subjects = subjects.map_err(|error| error.to_string())?;
    let mut jobs = BTreeSet::new();
    while let Some(subject) = subjects.next().await {
        let (subject, _) = subject.map_err(|error| error.to_string())?;
        let tokens: Vec<&str> = subject.split('.').collect();
        if let [_, _, lane, _, job, ..] = *tokens {
            lanes.insert(lane.to_owned());
            jobs.insert(names::id_of(job).to_owned());
        }
    }
    Ok((Some(jobs.into_iter().collect()), lanes))
}

/// What is to be done on a lane; none where the server does not know it.
async fn depth(connection: &Connection, name: &str) -> Result<Option<Lane>, String> {
    let mut lane = Lane {
        name: name.to_owned(),
        waiting: 0,
        running: 0,
    };
    let mut is_known = false;
    for class in Class::ALL {
        let consumer = names::consumer(name, class);
        let found = connection
            .js
            .get_consumer_from_stream::<pull::Config, _, _>(&consumer, names::TASKS)
            .await;
        if let Ok(found) = found {
            let info = found.cached_info();
            lane.waiting += info.num_pending;
            lane.running += info.num_ack_pending as u64;
            is_known = true;
        }
    }
    Ok(is_known.then_some(lane))
}
