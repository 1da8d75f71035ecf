//! Which processes with engines are present: what each reports, and how others learn of it.
//!
//! A record stays as long as it is renewed; the server lets it expire when its process dies.

use super::connect::{Connection, Denied};
use super::problem::Problem;
use super::{listing, names};
use async_nats::jetstream::kv::{self, Operation};
use futures_util::StreamExt;
use rwasm_value::ids::EngineId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

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

/// Reports all present processes, then each change, until `tell` wants no more.
///
/// # Errors
/// If the server stops reporting; changes since then are unknown.
pub(crate) async fn watch(
    connection: &Connection,
    mut tell: impl FnMut(Change) -> bool,
) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let bucket = bucket(connection).await?;
    let begin = async {
        let status = bucket.status().await.map_err(|error| text(&error))?;
        let entries = bucket.watch_with_history(">").await;
        Ok::<_, String>((status, entries.map_err(|error| text(&error))?))
    };
    let begun = connection.watched(names::ENGINES, begin).await;
    let (status, mut entries) = begun.map_err(|denied| denied.to_string())??;
    let mut is_current = status.values() == 0;
    if is_current && !tell(Change::Current) {
        return Ok(());
    }
    while let Some(entry) = entries.next().await {
        let entry = entry.map_err(|error| text(&error))?;
        let change = match entry.operation {
            // Anything that is not a record is of another version.
            Operation::Put => match serde_json::from_slice(&entry.value) {
                Ok(record) => Some(Change::Present(Box::new(record))),
                Err(_) => None,
            },
            Operation::Delete => Some(Change::Left { process: entry.key }),
            Operation::Purge => Some(Change::Silent { process: entry.key }),
        };
        if let Some(change) = change
            && !tell(change)
        {
            return Ok(());
        }
        if !is_current && entry.seen_current {
            is_current = true;
            if !tell(Change::Current) {
                return Ok(());
            }
        }
    }
    Err("the server no longer reports engines".to_owned())
}

/// Returns all present processes.
///
/// # Errors
/// If the server does not answer.
pub(crate) async fn list(connection: &Connection) -> Result<Vec<Record>, Problem> {
    /// If the last of those present expires before it is reported, nothing is.
    const PATIENCE: Duration = Duration::from_secs(5);
    const TRIES: u32 = 4;
    for _ in 0..TRIES {
        let all = listing::all(connection, names::ENGINES);
        if let Ok(found) = tokio::time::timeout(PATIENCE, all).await {
            // Anything that is not a record is of another version.
            let records = found?.into_values();
            let records = records.filter_map(|text| serde_json::from_slice(&text).ok());
            let mut records: Vec<Record> = records.collect();
            records.sort_by_key(|record| record.engines.first().copied());
            return Ok(records);
        }
    }
    Err(Problem::Other("it does not report engines".to_owned()))
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
