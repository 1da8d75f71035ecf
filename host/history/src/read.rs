//! Reading rows. Their content is not trusted: what does not fit is [`Damage`], which names the job
//! and the task.

use super::entry::{
    JobEntry, JobKey, JobKind, JobState, Kept, RecordedInput, TaskEntry, TaskState,
};
use super::error::{Damage, HistoryError, of_database};
use super::query::{JobQuery, TaskQuery, limit};
use super::rows::{
    attempts_from_json, duration_from_sql, engine_from_sql, inputs_from_json, parsed,
    path_from_sql, time_from_sql,
};
use super::{live, values};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use std::path::Path;

/// Why a row cannot be read: the database, or its content.
enum RowError {
    Database(rusqlite::Error),
    Damage(Damage),
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Damage> for RowError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl RowError {
    fn in_file(self, path: &Path) -> HistoryError {
        match self {
            Self::Database(error) => of_database(path, error),
            Self::Damage(damage) => damage.in_file(path),
        }
    }

    /// Returns the same damage as seen from outside the row.
    fn of(self, name: impl FnOnce() -> String) -> Self {
        match self {
            Self::Damage(Damage(what)) => Damage(format!("{}: {what}", name())).into(),
            Self::Database(error @ rusqlite::Error::SqliteFailure(..)) => error.into(),
            Self::Database(error) => Damage(format!("{}: {error}", name())).into(),
        }
    }
}

/// Returns the owners of `running` jobs whose process has ended, as a JSON array.
pub(super) fn dead_owners(connection: &Connection, path: &Path) -> rusqlite::Result<String> {
    let mut statement =
        connection.prepare_cached("SELECT DISTINCT owner FROM job WHERE state = 'running'")?;
    let owners = statement.query_map([], |row| row.get::<_, String>(0))?;
    let owners: Vec<String> = owners.collect::<rusqlite::Result<_>>()?;
    let dead: Vec<_> = owners
        .into_iter()
        .filter(|owner| !live::is_alive(path, owner))
        .collect();
    Ok(serde_json::Value::from(dead).to_string())
}

/// Jobs with their present state: parameter 1 has the dead owners. This is where a job becomes
/// `interrupted`; reading writes nothing.
const JOBS: &str = "\
SELECT * FROM (SELECT job.*, CASE WHEN state = 'running' \
AND owner IN (SELECT value FROM json_each(?1)) THEN 'interrupted' ELSE state END AS present \
FROM job)";

/// Returns the newest jobs that match, newest first.
pub(super) fn jobs(
    connection: &Connection,
    path: &Path,
    query: &JobQuery,
) -> Result<Vec<JobEntry>, HistoryError> {
    let read = || -> Result<Vec<JobEntry>, RowError> {
        let conditions = query.conditions();
        let sql = format!("{JOBS} {} ORDER BY key DESC LIMIT ?", conditions.clause());
        let mut values = vec![Sql::from(dead_owners(connection, path)?)];
        values.extend(conditions.values);
        values.push(limit(query.limit).into());
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut jobs = Vec::new();
        while let Some(row) = rows.next()? {
            jobs.push(job_of(row)?);
        }
        Ok(jobs)
    };
    read().map_err(|error| error.in_file(path))
}

/// Returns the job with this key.
pub(super) fn job(
    connection: &Connection,
    path: &Path,
    key: JobKey,
) -> Result<JobEntry, HistoryError> {
    let read = || -> Result<Option<JobEntry>, RowError> {
        let dead = dead_owners(connection, path)?;
        let mut statement = connection.prepare_cached(&format!("{JOBS} WHERE key = ?"))?;
        let mut rows = statement.query((dead, key.0.cast_signed()))?;
        rows.next()?.map(job_of).transpose()
    };
    match read().map_err(|error| error.in_file(path))? {
        Some(job) => Ok(job),
        None => Err(missing(connection, path, key)),
    }
}

/// Returns why there is no job with this key: it was removed, or never existed.
pub(super) fn missing(connection: &Connection, path: &Path, key: JobKey) -> HistoryError {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'job'";
    let highest = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    match highest.optional() {
        Ok(highest) if key.0 > 0 && key.0 <= highest.unwrap_or(0).cast_unsigned() => {
            HistoryError::RemovedJob { key }
        }
        Ok(_) => HistoryError::UnknownJob { key },
        Err(error) => of_database(path, error),
    }
}

fn job_of(row: &Row<'_>) -> Result<JobEntry, RowError> {
    let key = JobKey(row.get::<_, i64>("key")?.cast_unsigned());
    let read = || -> Result<JobEntry, RowError> {
        let number = |column: &str| Ok::<_, RowError>(row.get::<_, i64>(column)?.cast_unsigned());
        let (kind, state): (String, String) = (row.get("kind")?, row.get("present")?);
        let options: String = row.get("options")?;
        let inputs: String = row.get("inputs")?;
        let stats: Option<String> = row.get("stats")?;
        let ended: Option<i64> = row.get("ended")?;
        let tasks = number("tasks")?;
        Ok(JobEntry {
            key,
            kind: JobKind::from_name(&kind).ok_or_else(|| unnamed("kind", &kind))?,
            state: JobState::from_name(&state).ok_or_else(|| unnamed("state", &state))?,
            label: row.get("label")?,
            function: row.get("function")?,
            module_path: path_from_sql(row.get("module_path")?)?,
            module_hash: row.get("module_hash")?,
            module_name: row.get("module_name")?,
            repeats: row
                .get::<_, Option<i64>>("repeats")?
                .map(|key| JobKey(key.cast_unsigned())),
            options: parsed(&options, "the options")?,
            inputs: inputs_from_json(&inputs)?,
            submitted: time_from_sql(row.get("submitted")?)?,
            ended: ended.map(time_from_sql).transpose()?,
            stats: stats.map(|text| parsed(&text, "the figures")).transpose()?,
            message: row.get("message")?,
            tasks,
            tasks_failed: number("failed")?,
            tasks_dropped: tasks
                .saturating_sub(number("kept")?)
                .saturating_add(number("lost")?),
        })
    };
    read().map_err(|error| error.of(|| format!("job {key}")))
}

fn unnamed(what: &str, found: &str) -> Damage {
    Damage(format!("unknown {what} `{found}`"))
}

/// Returns the merged result of the job with this key, which must exist.
pub(super) fn result(
    connection: &Connection,
    path: &Path,
    key: JobKey,
) -> Result<Kept, HistoryError> {
    let read = || -> Result<Kept, RowError> {
        let sql = "SELECT result_types, result, result_bytes, result_left_out FROM job \
                   WHERE key = ?";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([key.0.cast_signed()])?;
        match rows.next()? {
            Some(row) => kept_of(row, 0).map_err(|error| error.of(|| format!("job {key}"))),
            None => Ok(Kept::Nothing),
        }
    };
    read().map_err(|error| error.in_file(path))
}

/// Reads a value from the four columns from `first` on: types, value, size, why it is not kept.
fn kept_of(row: &Row<'_>, first: usize) -> Result<Kept, RowError> {
    let types: Option<String> = row.get(first)?;
    let blob: Option<Vec<u8>> = row.get(first + 1)?;
    let bytes: Option<i64> = row.get(first + 2)?;
    let left_out: Option<String> = row.get(first + 3)?;
    match (types, blob, left_out) {
        (Some(types), Some(blob), None) => {
            let mut values = values::decode(&types, &blob)?.into_iter();
            match (values.next(), values.next()) {
                (Some(value), None) => Ok(Kept::Value(value)),
                _ => Err(Damage::new("a result is not one value").into()),
            }
        }
        (None, None, Some(reason)) => Ok(Kept::LeftOut {
            bytes: bytes.unwrap_or(0).cast_unsigned(),
            reason,
        }),
        (None, None, None) => Ok(Kept::Nothing),
        _ => Err(Damage::new("a result is incomplete").into()),
    }
}

const TASKS: &str = "\
SELECT result_type.types AS result_types_text, result, result_bytes, result_left_out, task.*, \
input_type.types AS input_types_text FROM task \
LEFT JOIN value_types AS result_type ON result_type.id = task.result_types \
LEFT JOIN value_types AS input_type ON input_type.id = task.input_types";

/// Returns the first tasks of a job that match, in input order.
pub(super) fn tasks(
    connection: &Connection,
    path: &Path,
    key: JobKey,
    query: &TaskQuery,
) -> Result<Vec<TaskEntry>, HistoryError> {
    let read = || -> Result<Vec<TaskEntry>, RowError> {
        let conditions = query.conditions(key.0.cast_signed());
        let sql = format!("{TASKS} {} ORDER BY position LIMIT ?", conditions.clause());
        let mut values = conditions.values;
        values.push(limit(query.limit).into());
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut tasks = Vec::new();
        while let Some(row) = rows.next()? {
            let index = row.get::<_, i64>("position")?.cast_unsigned();
            let task = task_of(row, index);
            let name = || format!("job {key}, task {index}");
            tasks.push(task.map_err(|error| error.of(name))?);
        }
        Ok(tasks)
    };
    read().map_err(|error| error.in_file(path))
}

fn task_of(row: &Row<'_>, index: u64) -> Result<TaskEntry, RowError> {
    let number = |column: &str| Ok::<_, RowError>(row.get::<_, i64>(column)?.cast_unsigned());
    let time = |column: &str| {
        let time: Option<i64> = row.get(column)?;
        Ok::<_, RowError>(time.map(time_from_sql).transpose()?)
    };
    let state: String = row.get("state")?;
    let attempts: String = row.get("attempts")?;
    let engine: Option<i64> = row.get("engine")?;
    Ok(TaskEntry {
        index,
        state: TaskState::from_name(&state).ok_or_else(|| unnamed("state", &state))?,
        code: row.get("code")?,
        message: row.get("message")?,
        backtrace: row.get("backtrace")?,
        engine: engine.map(engine_from_sql).transpose()?,
        attempts: attempts_from_json(&attempts)?,
        queued: time("queued")?,
        started: time("started")?,
        finished: time("finished")?,
        run_time: duration_from_sql(row.get("run_time")?),
        peak_memory: number("peak_memory")?,
        bytes_in: number("bytes_in")?,
        bytes_out: number("bytes_out")?,
        fuel: row.get::<_, Option<i64>>("fuel")?.map(i64::cast_unsigned),
        input: input_of(row)?,
        result: kept_of(row, 0)?,
        stderr: row.get("stderr")?,
    })
}

fn input_of(row: &Row<'_>) -> Result<RecordedInput, RowError> {
    let types: Option<String> = row.get("input_types_text")?;
    let blob: Option<Vec<u8>> = row.get("input")?;
    let path = path_from_sql(row.get("input_path")?)?;
    let elsewhere: Option<String> = row.get("input_elsewhere")?;
    match (types, blob, path, elsewhere) {
        (Some(types), Some(blob), None, None) => {
            Ok(RecordedInput::Stored(values::decode(&types, &blob)?))
        }
        (None, None, Some(path), None) => Ok(RecordedInput::Range {
            path,
            start: row.get::<_, i64>("input_start")?.cast_unsigned(),
            end: row.get::<_, i64>("input_end")?.cast_unsigned(),
            sha256: row.get("input_sha256")?,
        }),
        (None, None, None, Some(reason)) => Ok(RecordedInput::Elsewhere(reason)),
        _ => Err(Damage::new("an input is incomplete").into()),
    }
}
