//! Outcomes on their way back.

use super::{WireError, micros, time};
use bytes::Bytes;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::note::{LogLevel, LogLine, Notes, Progress, Published};
use rwasm_sandbox::outcome::{Failure, FailureCode, Log, Logs, Outcome, Usage};
use rwasm_value::ids::EngineId;
use rwasm_value::value::{Malformed, Packed, Reader, Type, Writer};
#[cfg(feature = "nats")]
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The header of the outcomes of one message.
#[cfg(feature = "nats")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutcomesHead {
    /// The process that ran them.
    pub(crate) process: String,
    /// Which delivery of the tasks it was, from 1.
    pub(crate) delivery: u64,
    /// The number of outcomes, and of failures among them, so that observers need not read the body.
    pub(crate) count: u64,
    pub(crate) failures: u64,
    /// The index of the first task of a map or run in the message, and of the last.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The object that holds the body, if that is too large for the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
}

/// The least number of bytes of an outcome.
#[cfg(feature = "nats")]
const LEAST: usize = 10;

/// Encodes the body of a message of outcomes.
#[cfg(feature = "nats")]
pub(crate) fn encode_outcomes(outcomes: &[Outcome]) -> Vec<u8> {
    let mut out = Writer::default();
    out.put_len(outcomes.len());
    for outcome in outcomes {
        put_outcome(outcome, &mut out);
    }
    out.into_vec()
}

/// Writes one outcome.
pub(crate) fn put_outcome(outcome: &Outcome, out: &mut Writer) {
    let usage = &outcome.usage;
    out.put_bool(usage.engine.is_some());
    if let Some(engine) = usage.engine {
        out.put_u64_leb(engine.0.into());
    }
    out.put_u64_leb(usage.attempt.into());
    out.put_u64_leb(micros(usage.queued));
    out.put_u64_leb(micros(usage.started));
    out.put_u64_leb(u64::try_from(usage.run_time.as_nanos()).unwrap_or(u64::MAX));
    out.put_u64_leb(usage.peak_memory);
    out.put_u64_leb(usage.bytes_in);
    out.put_u64_leb(usage.bytes_out);
    out.put_bool(usage.fuel.is_some());
    if let Some(fuel) = usage.fuel {
        out.put_u64_leb(fuel);
    }
    out.put_bool(usage.state_lost);
    out.put_bool(usage.logs.is_some());
    if let Some(logs) = &usage.logs {
        for log in [&logs.stdout, &logs.stderr] {
            out.put_bytes(&log.kept);
            out.put_u64_leb(log.dropped);
            out.put_len(log.dropped_at);
        }
    }
    out.put_bool(usage.notes.is_some());
    if let Some(notes) = &usage.notes {
        put_notes(notes, out);
    }
    out.put_bool(outcome.result.is_ok());
    match &outcome.result {
        Ok(value) => {
            out.put_len(value.wire_len());
            value.put_wire(out);
        }
        Err(failure) => {
            out.put_bytes(failure.code.name().as_bytes());
            out.put_bytes(failure.message.as_bytes());
            out.put_bool(failure.is_input_error);
            out.put_bool(failure.is_by_clock);
            out.put_bool(failure.backtrace.is_some());
            if let Some(backtrace) = &failure.backtrace {
                out.put_bytes(backtrace.as_bytes());
            }
        }
    }
}

fn put_notes(notes: &Notes, out: &mut Writer) {
    out.put_len(notes.log.len());
    for line in &notes.log {
        out.put_bytes(line.level.name().as_bytes());
        out.put_bytes(line.message.as_bytes());
    }
    out.put_u64_leb(notes.log_dropped);
    out.put_len(notes.published.len());
    for published in &notes.published {
        out.put_bytes(published.name.as_bytes());
        out.put_bytes(&published.bytes);
    }
    out.put_u64_leb(notes.published_dropped);
    out.put_bool(notes.progress.is_some());
    if let Some(progress) = notes.progress {
        out.put_u64_leb(progress.done);
        out.put_bool(progress.total.is_some());
        out.put_u64_leb(progress.total.unwrap_or_default());
    }
}

/// The most bytes that the outcomes of one message may have in any case: whoever has them holds all.
pub(crate) const LARGEST_OUTCOMES: u64 = 4 << 30;

/// Upper bound for the outcomes of so many tasks that ran within `limits`, in bytes as they travel.
pub(crate) fn largest_outcomes(limits: &Limits, tasks: u64) -> u64 {
    /// For numbers, and the message and backtrace of a failure.
    const BESIDE: u64 = 256 << 10;
    // A number may take up to twice the bytes that it has in the guest, and a task may publish as much as it may return.
    let values = limits.output.bytes().saturating_mul(3);
    // What it printed on both streams, and its lines.
    let logs = limits.logs.bytes().saturating_mul(3);
    let each = values.saturating_add(logs).saturating_add(BESIDE);
    each.saturating_mul(tasks).min(LARGEST_OUTCOMES)
}

/// Decodes the outcomes of a body, whose values have type `ty`: of up to `tasks` tasks, because a few bytes become
/// hundreds.
#[cfg(feature = "nats")]
pub(crate) fn decode_outcomes(
    body: &[u8],
    ty: &Type,
    tasks: u64,
) -> Result<Vec<Outcome>, WireError> {
    let mut from = Reader::new(body);
    let count = from.count(LEAST)?;
    if count as u64 > tasks {
        return Err(WireError::TooManyOutcomes);
    }
    let mut outcomes = Vec::new();
    for _ in 0..count {
        outcomes.push(outcome(&mut from, ty)?);
    }
    nothing_follows(&from)?;
    Ok(outcomes)
}

/// Reads one outcome, whose value has type `ty`, of which `bytes` are all.
#[cfg(target_os = "linux")]
pub(crate) fn decode_outcome(bytes: &[u8], ty: &Type) -> Result<Outcome, WireError> {
    let mut from = Reader::new(bytes);
    let outcome = outcome(&mut from, ty)?;
    nothing_follows(&from)?;
    Ok(outcome)
}

fn nothing_follows(from: &Reader<'_>) -> Result<(), WireError> {
    match from.remaining() {
        0 => Ok(()),
        more => Err(WireError::Head(format!("{more} bytes follow the outcomes"))),
    }
}

/// Returns the positions of the failures among the outcomes of a body, whatever the type of their values.
#[cfg(feature = "nats")]
pub(crate) fn decode_failed(body: &[u8]) -> Result<Vec<u64>, WireError> {
    let mut from = Reader::new(body);
    let count = from.count(LEAST)?;
    let mut failed = Vec::new();
    for place in 0..count as u64 {
        usage(&mut from)?;
        if from.bool()? {
            from.byte_string()?;
        } else {
            failure(&mut from)?;
            failed.push(place);
        }
    }
    Ok(failed)
}

fn outcome(from: &mut Reader<'_>, ty: &Type) -> Result<Outcome, WireError> {
    let usage = usage(from)?;
    let result = if from.bool()? {
        Ok(Packed::from_wire(ty.clone(), from.byte_string()?)?)
    } else {
        let mut failure = failure(from)?;
        let logs = usage.logs.as_ref();
        failure.last_line = logs
            .and_then(|logs| logs.stderr.last_line())
            .map(Into::into);
        Err(failure)
    };
    Ok(Outcome { result, usage })
}

fn usage(from: &mut Reader<'_>) -> Result<Usage, WireError> {
    let engine = if from.bool()? {
        Some(EngineId(from.u32_leb()?))
    } else {
        None
    };
    let mut usage = Usage::none(engine, from.u32_leb()?, time(from.u64_leb()?));
    usage.started = time(from.u64_leb()?);
    usage.run_time = Duration::from_nanos(from.u64_leb()?);
    usage.peak_memory = from.u64_leb()?;
    usage.bytes_in = from.u64_leb()?;
    usage.bytes_out = from.u64_leb()?;
    if from.bool()? {
        usage.fuel = Some(from.u64_leb()?);
    }
    usage.state_lost = from.bool()?;
    if from.bool()? {
        let mut log = || -> Result<Log, Malformed> {
            Ok(Log {
                kept: from.byte_string()?.to_vec(),
                dropped: from.u64_leb()?,
                dropped_at: usize::try_from(from.u64_leb()?).unwrap_or(usize::MAX),
            })
        };
        let (stdout, stderr) = (log()?, log()?);
        usage.logs = Some(Box::new(Logs { stdout, stderr }));
    }
    if from.bool()? {
        usage.notes = Some(Box::new(notes(from)?));
    }
    Ok(usage)
}

fn failure(from: &mut Reader<'_>) -> Result<Failure, WireError> {
    let code = from.str()?;
    let code = FailureCode::named(code)
        .ok_or_else(|| WireError::Head(format!("unknown failure code `{code}`")))?;
    let mut failure = Failure::new(code, from.str()?);
    failure.is_input_error = from.bool()?;
    failure.is_by_clock = from.bool()?;
    if from.bool()? {
        failure.backtrace = Some(rwasm_value::plain::plain(from.str()?.to_owned()));
    }
    Ok(failure)
}

fn notes(from: &mut Reader<'_>) -> Result<Notes, WireError> {
    let mut notes = Notes::default();
    for _ in 0..from.count(2)? {
        let level = from.str()?;
        let mut levels = LogLevel::ALL.into_iter();
        let level = levels
            .find(|one| one.name() == level)
            .ok_or_else(|| WireError::Head(format!("unknown log level `{level}`")))?;
        let message = from.str()?.to_owned();
        notes.log.push(LogLine { level, message });
    }
    notes.log_dropped = from.u64_leb()?;
    for _ in 0..from.count(2)? {
        notes.published.push(Published {
            name: Arc::from(from.str()?),
            bytes: Bytes::copy_from_slice(from.byte_string()?),
        });
    }
    notes.published_dropped = from.u64_leb()?;
    if from.bool()? {
        let done = from.u64_leb()?;
        let has_total = from.bool()?;
        let total = from.u64_leb()?;
        notes.progress = Some(Progress {
            done,
            total: has_total.then_some(total),
        });
    }
    Ok(notes)
}
