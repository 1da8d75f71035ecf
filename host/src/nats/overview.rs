//! A cluster at a glance: its server, its engines, and what waits for them.
//!
//! It only asks and changes nothing, so a viewer's key is enough. The answer describes one moment and is out of date
//! in the next.

use super::connect::{ConnectSettings, Connection, runtime};
use super::lanes;
use super::names::{self, Class};
use super::presence::{self, LaneUsage, Record};
use super::problem::Problem;
use super::refusal::ConnectError;
use super::role::Role;
use async_nats::jetstream::consumer::pull;
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// If more messages than this wait, their jobs are not looked up: the answer would have to name each message.
const MOST_SUBJECTS: u64 = 100_000;

/// A cluster at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Overview {
    /// The URL at which its servers were reached.
    pub url: String,
    /// The name of the server that answered.
    pub server: String,
    /// The version of that server.
    pub version: String,
    /// The processes with engines, in the order of their engine ids.
    pub processes: Vec<Process>,
    /// The lanes, the main one first.
    pub lanes: Vec<Lane>,
    /// The jobs with tasks that wait or run; `None` if there are too many tasks to look at.
    pub jobs: Option<Vec<String>>,
}

/// A process with engines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Process {
    /// Its id.
    pub id: String,
    /// The machine on which it runs.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
    /// The ids of its engines.
    pub engines: Vec<u32>,
    /// The lanes that they serve.
    pub lanes: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many of its engines are running a task.
    pub busy: u32,
    /// The tasks that its engines have: those that run, and the rest of their dispatches.
    pub tasks: u64,
    /// Tasks that have ended on it, failed ones included.
    pub done: u64,
    /// Tasks that have failed on it.
    pub failed: u64,
    /// When it joined.
    pub started: SystemTime,
    /// Whether it takes no more tasks, and ends once it is idle.
    pub draining: bool,
    /// How often each engine was restarted, for those that were.
    pub restarts: BTreeMap<u32, u64>,
    /// Worker processes of its engines that were lost, if they have a [boundary](crate::Boundary).
    pub workers_lost: u64,
    /// Why the last one was.
    pub last_loss: Option<String>,
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
            tasks: record.tasks,
            done: record.done,
            failed: record.failed,
            started: SystemTime::UNIX_EPOCH + Duration::from_millis(record.started_ms),
            draining: record.draining,
            restarts: record.restarts,
            workers_lost: record.workers_lost,
            last_loss: record.last_loss,
        }
    }
}

/// The load of one lane, counted in messages: each carries one or many tasks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// Messages that no engine has taken.
    pub waiting: u64,
    /// Messages that an engine has taken and not finished.
    pub running: u64,
    /// How many engines serve it.
    pub engines: usize,
    /// What its tasks have used.
    pub usage: LaneUsage,
    /// Whether it exists: messages for a lane that does not exist are taken by nobody.
    pub is_made: bool,
}

/// Looks at a cluster. Blocks the calling thread, on a runtime of its own.
///
/// # Errors
/// If the cluster cannot be reached or is not set up, or the key may not look.
pub fn overview(settings: &ConnectSettings) -> Result<Overview, ConnectError> {
    let runtime = runtime(settings)?;
    let found = runtime.block_on(look(settings));
    runtime.shutdown_background();
    found
}

async fn look(settings: &ConnectSettings) -> Result<Overview, ConnectError> {
    let connection = Connection::to_cluster(settings, Role::Viewer, "rwasm-cluster status").await?;
    let listed = Box::pin(presence::list(&connection));
    let records = asked(&connection, names::ENGINES, listed).await?;
    let (jobs, queued) = asked(&connection, names::TASKS, queued(&connection)).await?;
    let of_engines = records.iter().flat_map(|record| record.lanes.clone());
    let mut names: BTreeSet<String> = queued.keys().cloned().chain(of_engines).collect();
    names.extend(lanes::all(&connection).await.unwrap_or_default());
    names.remove(names::MAIN_LANE);
    let mut found = Vec::new();
    for name in std::iter::once(names::MAIN_LANE.to_owned()).chain(names) {
        let waiting = queued.get(&name).copied().unwrap_or_default();
        let depth = depth(&connection, &name, waiting);
        let mut lane = asked(&connection, "CONSUMER.INFO", depth).await?;
        let serving = records.iter().filter(|record| record.serves(&name));
        for record in &records {
            if let Some(usage) = record.usage.get(&name) {
                lane.usage.add(usage);
            }
        }
        lane.engines = serving.map(|record| record.engines.len()).sum();
        found.push(lane);
    }
    let processes = records.into_iter().map(Process::from).collect();
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

/// Awaits a reply, or the denial of the request.
async fn asked<T>(
    connection: &Connection,
    hint: &str,
    act: impl Future<Output = Result<T, Problem>>,
) -> Result<T, ConnectError> {
    match connection.watched(hint, act).await {
        Ok(answer) => answer.map_err(|problem| problem.found(hint, &connection.url)),
        Err(denied) => Err(connection.denied(&denied)),
    }
}

/// The jobs of the tasks on the server, and the number of messages of each lane.
async fn queued(
    connection: &Connection,
) -> Result<(Option<Vec<String>>, BTreeMap<String, u64>), Problem> {
    let stream = connection.js.get_stream(names::TASKS).await?;
    let mut lanes = BTreeMap::new();
    if stream.cached_info().state.subjects_count > MOST_SUBJECTS {
        return Ok((None, lanes));
    }
    let mut subjects = stream.info_with_subjects(names::TASK_SUBJECTS).await?;
    let mut jobs = BTreeSet::new();
    while let Some(subject) = subjects.next().await {
        let (subject, count) = subject?;
        let tokens: Vec<&str> = subject.split('.').collect();
        if let [_, _, lane, _, job, ..] = *tokens {
            *lanes.entry(lane.to_owned()).or_default() += count as u64;
            jobs.insert(names::id_of(job).to_owned());
        }
    }
    Ok((Some(jobs.into_iter().collect()), lanes))
}

/// The load of a lane with this many messages.
async fn depth(connection: &Connection, name: &str, messages: u64) -> Result<Lane, Problem> {
    let mut lane = Lane {
        name: name.to_owned(),
        waiting: 0,
        running: 0,
        engines: 0,
        usage: LaneUsage::default(),
        is_made: false,
    };
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
            lane.is_made = true;
        }
    }
    if !lane.is_made {
        lane.waiting = messages;
    }
    Ok(lane)
}
