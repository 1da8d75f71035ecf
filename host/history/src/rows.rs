//! The stored form of times, numbers, paths and lists kept as JSON.

use super::entry::{AttemptEntry, InputEntry};
use super::error::Damage;
use rusqlite::types::Value as Sql;
use rwasm_value::ids::EngineId;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970; 64 bits cover 292 years before and after.
pub(super) fn time_to_sql(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => duration_to_sql(after),
        Err(before) => -duration_to_sql(before.duration()),
    }
}

pub(super) fn time_from_sql(nanoseconds: i64) -> Result<SystemTime, Damage> {
    let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
    let time = if nanoseconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    };
    time.ok_or_else(|| Damage(format!("{nanoseconds} is not a valid time")))
}

pub(super) fn duration_to_sql(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

pub(super) fn duration_from_sql(nanoseconds: i64) -> Duration {
    Duration::from_nanos(nanoseconds.max(0).unsigned_abs())
}

pub(super) fn engine_from_sql(engine: i64) -> Result<EngineId, Damage> {
    let id =
        u32::try_from(engine).map_err(|_| Damage(format!("{engine} is not a valid engine id")))?;
    Ok(EngineId(id))
}

/// Stores a path as text, or as bytes if it is not UTF-8.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredPath {
    Text(String),
    Bytes(Vec<u8>),
}

impl StoredPath {
    fn new(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(path.as_os_str().as_encoded_bytes().to_vec()),
        }
    }

    fn path(self) -> PathBuf {
        match self {
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => path_of_bytes(bytes),
        }
    }
}

#[cfg(unix)]
fn path_of_bytes(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn path_of_bytes(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

pub(super) fn path_to_sql(path: &Path) -> Sql {
    match StoredPath::new(path) {
        StoredPath::Text(text) => Sql::Text(text),
        StoredPath::Bytes(bytes) => Sql::Blob(bytes),
    }
}

pub(super) fn path_from_sql(path: Sql) -> Result<Option<PathBuf>, Damage> {
    match path {
        Sql::Null => Ok(None),
        Sql::Text(text) => Ok(Some(text.into())),
        Sql::Blob(bytes) => Ok(Some(path_of_bytes(bytes))),
        other => Err(Damage(format!("a path is stored as {}", other.data_type()))),
    }
}

#[derive(Serialize, Deserialize)]
struct StoredInput {
    name: String,
    path: Option<StoredPath>,
    bytes: Option<u64>,
}

pub(super) fn inputs_to_json(inputs: &[InputEntry]) -> serde_json::Result<String> {
    let stored: Vec<_> = inputs
        .iter()
        .map(|input| StoredInput {
            name: input.name.clone(),
            path: input.path.as_deref().map(StoredPath::new),
            bytes: input.bytes,
        })
        .collect();
    serde_json::to_string(&stored)
}

pub(super) fn inputs_from_json(text: &str) -> Result<Vec<InputEntry>, Damage> {
    let stored: Vec<StoredInput> = parsed(text, "the inputs")?;
    let inputs = stored.into_iter().map(|input| InputEntry {
        name: input.name,
        path: input.path.map(StoredPath::path),
        bytes: input.bytes,
    });
    Ok(inputs.collect())
}

#[derive(Serialize, Deserialize)]
struct StoredAttempt {
    engine: u32,
    code: Option<String>,
    message: String,
    started: i64,
    run_time: i64,
}

/// The most runs of a task that are kept, the last ones: there may be many retries.
pub(super) const MAX_ATTEMPTS: usize = 100;

pub(super) fn attempts_to_json(attempts: &[AttemptEntry]) -> serde_json::Result<String> {
    let last = &attempts[attempts.len().saturating_sub(MAX_ATTEMPTS)..];
    let stored: Vec<_> = last
        .iter()
        .map(|run| StoredAttempt {
            engine: run.engine.0,
            code: run.code.clone(),
            message: cut(&run.message, SHORT_TEXT),
            started: time_to_sql(run.started),
            run_time: duration_to_sql(run.run_time),
        })
        .collect();
    serde_json::to_string(&stored)
}

pub(super) fn attempts_from_json(text: &str) -> Result<Vec<AttemptEntry>, Damage> {
    let stored: Vec<StoredAttempt> = parsed(text, "the attempts")?;
    let attempts = stored.into_iter().map(|run| {
        Ok(AttemptEntry {
            engine: EngineId(run.engine),
            code: run.code,
            message: run.message,
            started: time_from_sql(run.started)?,
            run_time: duration_from_sql(run.run_time),
        })
    });
    attempts.collect()
}

/// Parses JSON text; `what` names it in the error.
pub(super) fn parsed<T: for<'de> Deserialize<'de>>(text: &str, what: &str) -> Result<T, Damage> {
    serde_json::from_str(text).map_err(|error| Damage(format!("{what} are malformed: {error}")))
}

/// The most bytes of a message that are kept: one may be as long as a task's output.
pub(super) const LONG_TEXT: usize = 64 << 10;

/// The most bytes of the message of one run of several.
const SHORT_TEXT: usize = 4 << 10;

/// Returns the beginning of a text, with a mark if it was longer.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("añb", 2), "a…");
        assert_eq!(cut("añb", 4), "añb");
    }

    #[cfg(unix)]
    #[test]
    fn paths_that_are_not_utf8_round_trip() {
        let input = InputEntry {
            path: Some(path_of_bytes(b"/tmp/\xff/a".to_vec())),
            ..InputEntry::new("a")
        };
        let text = inputs_to_json(std::slice::from_ref(&input)).expect("written");
        assert_eq!(inputs_from_json(&text), Ok(vec![input.clone()]));
        let path = input.path.expect("set");
        assert_eq!(path_from_sql(path_to_sql(&path)), Ok(Some(path)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn times_round_trip(nanoseconds in -i64::MAX..=i64::MAX) {
            let time = time_from_sql(nanoseconds).expect("within what the system can tell");
            prop_assert_eq!(time_to_sql(time), nanoseconds);
        }
    }
}
