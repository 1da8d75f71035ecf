//! Writing rows: a job that begins, its tasks, its end. The caller makes the transactions.

use super::entry::{JobEnd, JobKey, JobState, Kept, NewJob, RecordedInput, TaskEntry, TaskState};
use super::rows::{
    LONG_TEXT, attempts_to_json, cut, duration_to_sql, inputs_to_json, path_to_sql, time_to_sql,
};
use super::values;
use rusqlite::{Connection, named_params};
use rwasm_value::units::ByteSize;
use rwasm_value::value::{Packed, Type};

/// The texts of a new job, made before a transaction begins.
pub(super) struct JobTexts {
    options: String,
    inputs: String,
}

impl JobTexts {
    pub(super) fn new(job: &NewJob) -> serde_json::Result<Self> {
        Ok(Self {
            options: job.options.to_string(),
            inputs: inputs_to_json(&job.inputs)?,
        })
    }

    /// Returns the number of bytes.
    pub(super) fn len(&self) -> u64 {
        (self.options.len() + self.inputs.len()) as u64
    }
}

pub(super) fn job(
    connection: &Connection,
    owner: &str,
    job: &NewJob,
    texts: &JobTexts,
) -> rusqlite::Result<JobKey> {
    let sql = "INSERT INTO job (kind, state, owner, label, function, module_path, module_hash, \
               module_name, repeats, options, inputs, submitted) \
               VALUES (:kind, 'running', :owner, :label, :function, :module_path, :module_hash, \
               :module_name, :repeats, :options, :inputs, :submitted)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":kind": job.kind.name(),
        ":owner": owner,
        ":label": job.label,
        ":function": job.function,
        ":module_path": job.module_path.as_deref().map(path_to_sql),
        ":module_hash": job.module_hash,
        ":module_name": job.module_name,
        ":repeats": job.repeats.map(|key| key.0.cast_signed()),
        ":options": texts.options,
        ":inputs": texts.inputs,
        ":submitted": time_to_sql(job.submitted),
    })?;
    Ok(JobKey(connection.last_insert_rowid().cast_unsigned()))
}

/// Ends a job that is running; leaves any other unchanged.
pub(super) fn end(
    connection: &Connection,
    key: JobKey,
    end: &JobEnd,
    lost: u64,
    most: ByteSize,
) -> rusqlite::Result<()> {
    let kept = end.result.clone().map_or(Kept::Nothing, Kept::Value);
    let mut result = Stored::new(&kept, most);
    let types = match &kept {
        Kept::Value(value) => values::types_text(std::slice::from_ref(value.ty())),
        _ => None,
    };
    result.leave_out_without(types.is_some());
    let sql = "UPDATE job SET state = :state, ended = :ended, stats = :stats, message = :message, \
               lost = lost + :lost, result_types = :types, result = :result, \
               result_bytes = :bytes, result_left_out = :left_out \
               WHERE key = :key AND state = 'running'";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":key": key.0.cast_signed(),
        ":state": end.state.name(),
        ":ended": time_to_sql(end.ended),
        ":stats": end.stats.to_string(),
        ":message": end.message.as_deref().map(|text| cut(text, LONG_TEXT)),
        ":lost": lost.cast_signed(),
        ":types": result.blob.as_ref().and(types),
        ":result": result.blob,
        ":bytes": result.bytes,
        ":left_out": result.left_out,
    })?;
    Ok(())
}

/// Ends a job whose end will not be reported any more.
pub(super) fn interrupt(connection: &Connection, key: JobKey, lost: u64) -> rusqlite::Result<()> {
    let sql = "UPDATE job SET state = ?2, lost = lost + ?3 WHERE key = ?1 AND state = 'running'";
    let state = JobState::Interrupted.name();
    connection
        .prepare_cached(sql)?
        .execute((key.0.cast_signed(), state, lost.cast_signed()))?;
    Ok(())
}

/// The rows of `value_types` that a job has so far. A job has few different types.
#[derive(Debug, Default)]
pub(super) struct KnownTypes(Vec<(Vec<Type>, i64)>);

impl KnownTypes {
    /// Returns the row with these types; none if they cannot be stored.
    fn row(
        &mut self,
        connection: &Connection,
        key: JobKey,
        values: &[Packed],
    ) -> rusqlite::Result<Option<i64>> {
        let is_same = |types: &[Type]| {
            types.len() == values.len()
                && types.iter().zip(values).all(|(ty, value)| ty == value.ty())
        };
        if let Some((_, row)) = self.0.iter().find(|(types, _)| is_same(types)) {
            return Ok(Some(*row));
        }
        let types: Vec<Type> = values.iter().map(|value| value.ty().clone()).collect();
        let Some(text) = values::types_text(&types) else {
            return Ok(None);
        };
        connection
            .prepare_cached("INSERT INTO value_types (job, types) VALUES (?, ?)")?
            .execute((key.0.cast_signed(), text))?;
        let row = connection.last_insert_rowid();
        self.0.push((types, row));
        Ok(Some(row))
    }
}

const TASK: &str = "\
INSERT INTO task (job, position, state, code, engine, queued, started, finished, run_time, \
peak_memory, bytes_in, bytes_out, fuel, attempts, input_types, input_path, input_start, input_end, \
input_sha256, input_elsewhere, result_types, result_bytes, result_left_out, message, backtrace, \
stderr, input, result) \
VALUES (:job, :position, :state, :code, :engine, :queued, :started, :finished, :run_time, \
:peak_memory, :bytes_in, :bytes_out, :fuel, :attempts, :input_types, :input_path, :input_start, \
:input_end, :input_sha256, :input_elsewhere, :result_types, :result_bytes, :result_left_out, \
:message, :backtrace, :stderr, :input, :result) \
ON CONFLICT (job, position) DO NOTHING";

/// Adds tasks of a job; leaves one that exists unchanged.
pub(super) fn tasks(
    connection: &Connection,
    key: JobKey,
    entries: &[TaskEntry],
    known: &mut KnownTypes,
    most: ByteSize,
) -> rusqlite::Result<()> {
    let (mut added, mut failed) = (0_i64, 0_i64);
    for entry in entries {
        if task(connection, key, entry, known, most)? {
            added += 1;
            failed += i64::from(entry.state == TaskState::Failed);
        }
    }
    let sql = "UPDATE job SET tasks = tasks + ?2, kept = kept + ?2, failed = failed + ?3 \
               WHERE key = ?1";
    connection
        .prepare_cached(sql)?
        .execute((key.0.cast_signed(), added, failed))?;
    Ok(())
}

fn task(
    connection: &Connection,
    key: JobKey,
    entry: &TaskEntry,
    known: &mut KnownTypes,
    most: ByteSize,
) -> rusqlite::Result<bool> {
    let (mut input, mut elsewhere) = (None, None);
    let mut input_types = None;
    let mut range = (None, None, None, None);
    match &entry.input {
        RecordedInput::Stored(arguments) => {
            let bytes: usize = arguments.iter().map(Packed::len).sum();
            if bytes > most.as_usize() {
                elsewhere = Some(too_large(bytes, most));
            } else if let Some(row) = known.row(connection, key, arguments)? {
                input_types = Some(row);
                input = Some(values::encode(arguments));
            } else {
                elsewhere = Some(TOO_DEEP.to_owned());
            }
        }
        RecordedInput::Range {
            path,
            start,
            end,
            sha256,
        } => {
            range = (
                Some(path_to_sql(path)),
                Some(start.cast_signed()),
                Some(end.cast_signed()),
                sha256.as_deref(),
            );
        }
        RecordedInput::Elsewhere(reason) => elsewhere = Some(cut(reason, LONG_TEXT)),
    }
    let mut result = Stored::new(&entry.result, most);
    let mut result_types = None;
    if let (Some(_), Kept::Value(value)) = (&result.blob, &entry.result) {
        result_types = known.row(connection, key, std::slice::from_ref(value))?;
    }
    result.leave_out_without(result_types.is_some());
    let attempts = attempts_to_json(&entry.attempts)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let stderr = &entry.stderr[entry.stderr.len().saturating_sub(LONG_TEXT)..];
    let text = |text: &Option<String>| text.as_deref().map(|text| cut(text, LONG_TEXT));
    let changed = connection.prepare_cached(TASK)?.execute(named_params! {
        ":job": key.0.cast_signed(),
        ":position": i64::try_from(entry.index).unwrap_or(i64::MAX),
        ":state": entry.state.name(),
        ":code": entry.code,
        ":engine": entry.engine.map(|engine| engine.0),
        ":queued": entry.queued.map(time_to_sql),
        ":started": entry.started.map(time_to_sql),
        ":finished": entry.finished.map(time_to_sql),
        ":run_time": duration_to_sql(entry.run_time),
        ":peak_memory": entry.peak_memory.cast_signed(),
        ":bytes_in": entry.bytes_in.cast_signed(),
        ":bytes_out": entry.bytes_out.cast_signed(),
        ":fuel": entry.fuel.map(u64::cast_signed),
        ":attempts": attempts,
        ":input_types": input_types,
        ":input_path": range.0,
        ":input_start": range.1,
        ":input_end": range.2,
        ":input_sha256": range.3,
        ":input_elsewhere": elsewhere,
        ":result_types": result_types,
        ":result_bytes": result.bytes,
        ":result_left_out": result.left_out,
        ":message": text(&entry.message),
        ":backtrace": text(&entry.backtrace),
        ":stderr": stderr,
        ":input": input,
        ":result": result.blob,
    })?;
    Ok(changed == 1)
}

const TOO_DEEP: &str = "its type nests too deeply to be kept";

fn too_large(bytes: usize, most: ByteSize) -> String {
    let bytes = ByteSize::new(bytes as u64);
    format!("it has {bytes}, more than the {most} that are kept")
}

/// The columns of a value that may be kept, except its types.
#[derive(Default)]
struct Stored {
    blob: Option<Vec<u8>>,
    bytes: Option<i64>,
    left_out: Option<String>,
}

impl Stored {
    fn new(kept: &Kept, most: ByteSize) -> Self {
        let (bytes, value) = match kept {
            Kept::Nothing => return Self::default(),
            Kept::LeftOut { bytes, reason } => (*bytes, Err(cut(reason, LONG_TEXT))),
            Kept::Value(value) if value.len() > most.as_usize() => {
                (value.len() as u64, Err(too_large(value.len(), most)))
            }
            Kept::Value(value) => (value.len() as u64, Ok(value)),
        };
        Self {
            blob: value
                .as_ref()
                .ok()
                .map(|value| values::encode(std::slice::from_ref(*value))),
            bytes: Some(bytes.cast_signed()),
            left_out: value.err(),
        }
    }

    /// A value whose types cannot be stored is not kept.
    fn leave_out_without(&mut self, has_types: bool) {
        if self.blob.is_some() && !has_types {
            self.blob = None;
            self.left_out = Some(TOO_DEEP.to_owned());
        }
    }
}
