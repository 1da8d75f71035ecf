//! Which processes with engines are present: what each reports, and how others learn of it.
//!
//! A record stays as long as it is renewed; the server lets it expire when its process dies.

use super::connect::{Connection, Denied};
use super::listing::{self, Entry};
use super::names;
use super::problem::Problem;
use crate::account::TenantUsage;
use async_nats::jetstream::kv;
use bytes::Bytes;
use futures_util::StreamExt;
use rwasm_value::ids::EngineId;
use rwasm_value::units;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What a process with engines reports about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its id, which no other process has.
    pub(crate) process: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// The ids of its engines.
    pub(crate) engines: Vec<u32>,
    /// The lanes whose tasks they take.
    pub(crate) lanes: Vec<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// How many of them are running a task.
    pub(crate) busy: u32,
    /// The tasks that they have: those that run, and the rest of their dispatches.
    #[serde(default)]
    pub(crate) tasks: u64,
    /// Tasks that have ended on them, and how many of these failed.
    pub(crate) done: u64,
    pub(crate) failed: u64,
    /// When it joined, in milliseconds since 1970.
    pub(crate) started_ms: u64,
    /// Whether it takes no more tasks, and ends once it is idle.
    #[serde(default)]
    pub(crate) draining: bool,
    /// How often each engine was restarted, for those that were.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) restarts: BTreeMap<u32, u64>,
    /// How many of their worker processes were lost, and why the last one was.
    #[serde(default)]
    pub(crate) workers_lost: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_loss: Option<String>,
    /// What the tasks of each lane have used here since it joined.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) usage: BTreeMap<String, LaneUsage>,
}

/// What the tasks of a lane have used, on the processes that are present and since each of them joined. Each attempt at a
/// task counts as one; tasks for chosen engines belong to no lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LaneUsage {
    /// The number of tasks that succeeded.
    pub succeeded: u64,
    /// The numbers of tasks that failed, by the names of their codes.
    pub failed: BTreeMap<String, u64>,
    /// How long tasks ran, including instantiation.
    #[serde(rename = "wall_time_s", with = "units::seconds")]
    pub wall_time: Duration,
    /// How long engines computed for them.
    #[serde(rename = "processor_time_s", with = "units::seconds")]
    pub processor_time: Duration,
    /// The fuel of tasks for which it is counted.
    pub fuel: u64,
    /// The largest memory of any task, in bytes.
    pub peak_memory: u64,
    /// The bytes of their inputs.
    pub bytes_in: u64,
    /// The bytes of their results.
    pub bytes_out: u64,
}

impl LaneUsage {
    /// Returns the number of tasks that have ended.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.succeeded.saturating_add(self.failures())
    }

    /// Returns the number of tasks that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed
            .values()
            .fold(0, |all, one| all.saturating_add(*one))
    }

    /// Adds what another process reports, which may be anything.
    pub(crate) fn add(&mut self, other: &Self) {
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        for (code, count) in &other.failed {
            let sum = self.failed.entry(code.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.wall_time = self.wall_time.saturating_add(other.wall_time);
        self.processor_time = self.processor_time.saturating_add(other.processor_time);
        self.fuel = self.fuel.saturating_add(other.fuel);
        self.peak_memory = self.peak_memory.max(other.peak_memory);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
    }
}

impl From<TenantUsage> for LaneUsage {
    fn from(usage: TenantUsage) -> Self {
        let failed = usage.failed.into_iter();
        Self {
            succeeded: usage.succeeded,
            failed: failed
                .map(|(code, count)| (code.name().to_owned(), count))
                .collect(),
            wall_time: usage.wall_time,
            processor_time: usage.processor_time,
            fuel: usage.fuel,
            peak_memory: usage.peak_memory.bytes(),
            bytes_in: usage.bytes_in,
            bytes_out: usage.bytes_out,
        }
    }
}

impl Record {
    /// Whether it takes tasks of the lane.
    pub(crate) fn serves(&self, lane: &str) -> bool {
        !self.draining && !self.engines.is_empty() && self.lanes.iter().any(|one| one == lane)
    }
}

/// A change among the processes with engines.
#[derive(Debug)]
pub(crate) enum Change {
    /// One is present, or reports something new.
    Present(Box<Record>),
    /// One has left.
    Left { process: String },
    /// One was silent for too long.
    Silent { process: String },
    /// All that were present at first have been reported.
    Current,
}

/// How long after its time a record is looked for that nobody renewed: the server needs a moment to remove it.
const GRACE: Duration = Duration::from_millis(100);

/// Reports all present processes, then each change, until `tell` wants no more.
///
/// Changes are heard as they are published. Nobody publishes that a record has expired: one that was not renewed in its
/// time is looked for, and so a lost change is found.
///
/// # Errors
/// If the server stops reporting or the connection was lost; changes since then are unknown.
pub(crate) async fn watch(
    connection: &Connection,
    mut tell: impl FnMut(Change) -> bool,
) -> Result<(), String> {
    let mut renewals = connection.renewals();
    let prefix = format!("$KV.{}.", names::ENGINES);
    // Before the look at what is there, so that nothing is missed in between.
    let heard = connection.client.subscribe(format!("{prefix}*")).await;
    let mut heard = heard.map_err(|error| error.to_string())?;
    let age = bucket(connection)
        .await?
        .stream
        .cached_info()
        .config
        .max_age;
    // When a process is looked for unless it is heard before.
    let mut due: HashMap<String, Instant> = HashMap::new();
    for (process, value) in look(connection).await? {
        due.insert(process, Instant::now() + age + GRACE);
        if !present(&value, &mut tell) {
            return Ok(());
        }
    }
    if !tell(Change::Current) {
        return Ok(());
    }
    loop {
        let next = due.values().min().copied().filter(|_| !age.is_zero());
        let overdue = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        let goes_on = tokio::select! {
            Ok(()) = renewals.changed() => return Err("the connection was lost".to_owned()),
            message = heard.next() => {
                let message = message.ok_or("the server no longer reports engines")?;
                let process = message.subject.strip_prefix(&prefix).unwrap_or_default().to_owned();
                match Entry::of(message.headers.as_ref()) {
                    Entry::Value => {
                        due.insert(process, Instant::now() + age + GRACE);
                        present(&message.payload, &mut tell)
                    }
                    Entry::Removed => {
                        due.remove(&process);
                        tell(Change::Left { process })
                    }
                    Entry::Gone => {
                        due.remove(&process);
                        tell(Change::Silent { process })
                    }
                }
            }
            () = overdue => find(&look(connection).await?, age, &mut due, &mut tell),
        };
        if !goes_on {
            return Ok(());
        }
    }
}

/// Reports the overdue processes that are no longer in the bucket, and those in it that were not heard.
fn find(
    there: &BTreeMap<String, Bytes>,
    age: Duration,
    due: &mut HashMap<String, Instant>,
    tell: &mut impl FnMut(Change) -> bool,
) -> bool {
    let now = Instant::now();
    let silent: Vec<String> = due
        .iter()
        .filter(|(process, due)| **due <= now && !there.contains_key(*process))
        .map(|(process, _)| process.clone())
        .collect();
    for process in silent {
        due.remove(&process);
        if !tell(Change::Silent { process }) {
            return false;
        }
    }
    for (process, value) in there {
        if due.get(process).is_some_and(|due| *due > now) {
            continue;
        }
        due.insert(process.clone(), now + (age / 10).max(GRACE));
        if !present(value, tell) {
            return false;
        }
    }
    true
}

fn present(value: &[u8], tell: &mut impl FnMut(Change) -> bool) -> bool {
    match serde_json::from_slice(value) {
        Ok(record) => tell(Change::Present(Box::new(record))),
        // Anything that is not a record is of another version.
        Err(_) => true,
    }
}

async fn look(connection: &Connection) -> Result<BTreeMap<String, Bytes>, String> {
    let all = listing::all(connection, names::ENGINES);
    match connection.watched(names::ENGINES, all).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(problem)) => Err(problem.of(names::ENGINES, 1, -1).to_string()),
        Err(denied) => Err(denied.to_string()),
    }
}

/// Returns all present processes.
///
/// # Errors
/// If the server does not answer.
pub(crate) async fn list(connection: &Connection) -> Result<Vec<Record>, Problem> {
    let found = listing::all(connection, names::ENGINES).await?;
    // Anything that is not a record is of another version.
    let records = found.into_values();
    let records = records.filter_map(|text| serde_json::from_slice(&text).ok());
    let mut records: Vec<Record> = records.collect();
    records.sort_by_key(|record| record.engines.first().copied());
    Ok(records)
}

/// The bucket of records.
pub(crate) async fn bucket(connection: &Connection) -> Result<kv::Store, String> {
    let get = connection.js.get_key_value(names::ENGINES);
    match connection.watched(names::ENGINES, get).await {
        Ok(bucket) => bucket.map_err(|error| error.to_string()),
        Err(denied) => Err(denied.to_string()),
    }
}

/// Takes `count` ids that no engine of the cluster ever had.
///
/// # Errors
/// If the server does not give them.
pub(crate) async fn take_ids(connection: &Connection, count: u32) -> Result<Vec<EngineId>, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let denied = |denied: Denied| denied.to_string();
    let get = connection.js.get_key_value(names::IDS);
    let bucket = connection.watched(names::IDS, get).await.map_err(denied)?;
    let bucket = bucket.map_err(|error| text(&error))?;
    // Others take ids at the same time; one of them gets on in each round.
    loop {
        let entry = connection
            .watched(names::IDS, bucket.entry(names::NEXT_ENGINE))
            .await
            .map_err(denied)?
            .map_err(|error| text(&error))?;
        let (first, revision) = match &entry {
            Some(entry) => {
                let text = std::str::from_utf8(&entry.value).unwrap_or_default();
                let first: u32 = text.parse().map_err(|_| {
                    format!("the next engine id is `{text}`, which is not a number")
                })?;
                (first, entry.revision)
            }
            None => (0, 0),
        };
        let next = first
            .checked_add(count)
            .ok_or_else(|| "no engine ids are left".to_owned())?;
        let value = next.to_string().into();
        let update = bucket.update(names::NEXT_ENGINE, value, revision);
        match connection.watched(names::IDS, update).await {
            Ok(Ok(_)) => return Ok((first..next).map(EngineId).collect()),
            Ok(Err(error)) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => {}
            Ok(Err(error)) => return Err(text(&error)),
            Err(denied) => return Err(denied.to_string()),
        }
    }
}
