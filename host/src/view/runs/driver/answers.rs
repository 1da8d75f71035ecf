//! The answers of engines: outcomes on their way to the machine, the figures and the history.

use super::Driver;
use crate::dispatch::Answer;
use crate::graph::Retry;
use crate::job::{Failed, Finished, ReportFate, Retry as Again, TaskId};
use crate::observe::TaskRef;
use crate::view::runs::ending::{Fault, Part};
use crate::view::shared::result::TaskRecord;
use rwasm_sandbox::outcome::{Attempt, FailureCode, Origin, Outcome};
use rwasm_value::ids::ChunkIndex;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Driver {
    /// Hands the outcomes of a dispatch to the machine.
    pub(super) fn finished(&mut self, answer: Answer) {
        let Some(flight) = self.flights.0.get_mut(&answer.dispatch) else {
            return;
        };
        flight.unanswered = flight.unanswered.saturating_sub(answer.outcomes.len());
        let is_merge = flight.is_merge;
        let is_last = flight.unanswered == 0;
        let tasks = flight.tasks.iter().skip(answer.first);
        let tasks: Vec<_> = tasks.take(answer.outcomes.len()).cloned().collect();
        let mut made_by = TaskRef {
            dispatch: answer.dispatch,
            place: u32::try_from(answer.first).unwrap_or(u32::MAX),
        };
        for ((id, origin), outcome) in tasks.into_iter().zip(answer.outcomes) {
            self.task_finished(id, origin, outcome, made_by, is_merge);
            made_by.place = made_by.place.saturating_add(1);
        }
        if is_last {
            self.flights.0.remove(&answer.dispatch);
        }
    }

    fn task_finished(
        &mut self,
        id: TaskId,
        origin: Origin,
        mut outcome: Outcome,
        made_by: TaskRef,
        is_merge: bool,
    ) {
        let index = ChunkIndex(origin.index);
        if !is_merge && let Some(earlier) = self.earlier.remove(&index) {
            outcome.usage.earlier = earlier;
        }
        // Kept apart only where the task may be tried again.
        let mut attempts = Vec::new();
        if outcome.result.is_err() && self.context.retry.retries > 0 {
            attempts.clone_from(&outcome.usage.earlier);
            attempts.push(Attempt::of(&outcome));
        }
        let Outcome { result, usage } = &outcome;
        if usage.run_time > Duration::ZERO {
            self.stats.add(usage, is_merge);
        }
        let bytes_in = usage.bytes_in;
        let record = self.context.keep_records.then(|| TaskRecord {
            origin: origin.clone(),
            code: result.as_ref().err().map(|failure| failure.code),
            usage: usage.clone(),
            is_merge,
        });
        let recording = self.recording.as_ref().filter(|_| !is_merge);
        let entry = recording.map(|recording| recording.entry(&origin, result, usage));
        let printed = result.is_ok().then(|| usage.logs.clone()).flatten();
        let report = self.report(id, origin, outcome, made_by, is_merge);
        let verdict = self.machine.finished(report);
        if let Some(logs) = printed.filter(|_| verdict == ReportFate::Final) {
            self.stats.stderr.add(index.0, &logs.stderr);
        }
        if verdict == ReportFate::Retried && !is_merge {
            self.earlier.insert(index, attempts);
        }
        if verdict != ReportFate::Ignored {
            self.records.extend(record);
        }
        if verdict == ReportFate::Final && !is_merge {
            if let (Some(recording), Some(entry)) = (&mut self.recording, entry) {
                recording.ended(entry);
            }
            let progress = &self.context.progress;
            progress.chunks_done.fetch_add(1, Ordering::Relaxed);
            progress.bytes_done.fetch_add(bytes_in, Ordering::Relaxed);
        }
    }

    /// Returns an outcome in the form that the machine takes.
    fn report(
        &self,
        id: TaskId,
        origin: Origin,
        outcome: Outcome,
        made_by: TaskRef,
        is_merge: bool,
    ) -> Finished<Part, Fault> {
        let Outcome { result, usage } = outcome;
        let cost = usage.run_time;
        let elements = self.context.elements.as_ref();
        // What it has given and nobody has read waits with it for its turn.
        let unread = elements.map_or(0, |elements| elements.held(origin.index));
        let size = result.as_ref().map_or(0, |value| value.len() as u64) + unread;
        let result = match result {
            Ok(value) => {
                let is_delivered = !is_merge && self.context.plan.gives_outcomes();
                let told = is_delivered.then(|| Box::new((origin, usage)));
                Ok(Part {
                    value,
                    made_by,
                    told,
                })
            }
            Err(failure) => Err(Failed {
                retry: if origin.is_stream() {
                    // A stream that went into a task unread cannot be read again.
                    Again::Never
                } else {
                    again(&self.context.retry, failure.code, usage.attempt)
                },
                failure: Fault {
                    failure,
                    origin,
                    usage: Box::new(usage),
                },
            }),
        };
        Finished {
            id,
            result,
            cost,
            size,
        }
    }
}

/// Whether a task that failed so is to be tried again.
fn again(retry: &Retry, code: FailureCode, attempt: u32) -> Again {
    match retry.next(attempt, code) {
        None => Again::Never,
        Some(_) if code == FailureCode::EngineLost => Again::Elsewhere,
        Some(pause) => Again::After(pause),
    }
}
