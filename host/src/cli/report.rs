//! `--report`: one JSON document on a job, for programs.

use super::exit::CliError;
use super::output::Output;
use rwasm_cluster::{JobResult, JobSpec, Limits, Merge, Module, Origin, TaskRecord};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The version of the document's shape; a field may be added without a new one.
const VERSION: u32 = 1;

/// Writes the report on a job that ended well, failures it bore included.
pub(crate) fn write(
    mut output: Output,
    module: &Module,
    spec: &JobSpec,
    merge: &Merge,
    result: &JobResult,
) -> Result<(), CliError> {
    let document = json!({
        "version": VERSION,
        "module": {
            "name": module.name(),
            "sha256": module.hash().to_string(),
            "size": module.size(),
            "form": module.form().name(),
        },
        "merge": merge_name(merge),
        "limits": limits(&spec.limits),
        "stats": stats(result),
        "failures": result.failed.iter().map(|(origin, failure)| json!({
            "task": task(origin),
            "code": failure.code.name(),
            "message": failure.message,
        })).collect::<Vec<_>>(),
        "outcomes": result.records.iter().map(record).collect::<Vec<_>>(),
    });
    output.bytes(format!("{document:#}\n").as_bytes())?;
    output.complete()
}

fn merge_name(merge: &Merge) -> String {
    match merge {
        Merge::Reducer(name) => format!("reducer {name}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn limits(limits: &Limits) -> Json {
    json!({
        "time_s": limits.time.as_secs_f64(),
        "memory": limits.memory.bytes(),
        "table_elements": limits.table_elements,
        "input": limits.input.bytes(),
        "output": limits.output.bytes(),
        "logs": limits.logs.bytes(),
        "fuel": limits.fuel,
        "handles": limits.handles,
    })
}

fn stats(result: &JobResult) -> Json {
    let stats = &result.stats;
    json!({
        "tasks": stats.tasks,
        "merges": stats.merges,
        "retries": stats.retries,
        "failures": result.failures,
        "dispatches": stats.dispatches,
        "chunks": stats.chunks,
        "bytes_in": stats.bytes_in,
        "wall_time_s": stats.wall_time.as_secs_f64(),
        "serial_time_s": stats.serial_time.as_secs_f64(),
        "speed_up": stats.speed_up(),
        "efficiency": stats.efficiency(),
        "peak_memory": stats.peak_memory,
        "engine_count": stats.engine_count,
        "engines": stats.engines.iter().map(|(id, engine)| json!({
            "engine": id.0,
            "tasks": engine.tasks,
            "busy_s": engine.busy.as_secs_f64(),
            "bytes_in": engine.bytes_in,
        })).collect::<Vec<_>>(),
    })
}

fn task(origin: &Origin) -> Json {
    json!({
        "index": origin.index,
        "input": &*origin.input,
        "start": origin.range.start,
        "end": (origin.range.end != u64::MAX).then_some(origin.range.end),
    })
}

/// One task's record, as it stands in the document.
#[derive(Serialize)]
struct Record {
    kind: &'static str,
    task: Json,
    code: Option<&'static str>,
    engine: u32,
    attempt: u32,
    queued_s: f64,
    started_s: f64,
    run_time_s: f64,
    peak_memory: u64,
    bytes_in: u64,
    bytes_out: u64,
    fuel: Option<u64>,
}

fn record(record: &TaskRecord) -> Record {
    let usage = &record.usage;
    Record {
        kind: if record.is_merge { "merge" } else { "map" },
        task: task(&record.origin),
        code: record.code.map(rwasm_cluster::FailureCode::name),
        engine: usage.engine.0,
        attempt: usage.attempt,
        queued_s: since_epoch(usage.queued),
        started_s: since_epoch(usage.started),
        run_time_s: usage.run_time.as_secs_f64(),
        peak_memory: usage.peak_memory,
        bytes_in: usage.bytes_in,
        bytes_out: usage.bytes_out,
        fuel: usage.fuel,
    }
}

fn since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs_f64()
}
