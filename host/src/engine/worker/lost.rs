//! A worker that is of no more use, and what is known of the task that it ran.

use super::super::resolve;
use crate::dispatch::{Dispatch, DispatchedTask};
use rwasm_boundary::slate::{LastOutput, LastWords};
use rwasm_sandbox::outcome::{Failure, Log, Logs, Outcome, Usage};
use rwasm_sandbox::sandbox::copied_size;
use rwasm_value::ids::EngineId;
use std::time::Instant;

/// See the [module](self).
pub(super) struct Lost {
    /// The tasks that were answered before.
    pub(super) answered: usize,
    /// Since when it ran a task, which is then to blame; none if it ran none.
    pub(super) ran_since: Option<Instant>,
    /// What becomes of that task.
    pub(super) failure: Failure,
    /// Whether that is a fault of the worker, and not how its task was to be ended.
    pub(super) is_fault: bool,
    /// What the task has used and printed, if it is known.
    pub(super) words: Option<Box<LastWords>>,
}

impl Lost {
    /// The outcome of the task that it ran.
    pub(super) fn outcome(
        self,
        dispatch: &Dispatch,
        task: &DispatchedTask,
        engine: EngineId,
    ) -> Outcome {
        let mut failure = self.failure;
        let told = dispatch.told(engine);
        let mut usage = Usage::none(Some(told), task.attempt, dispatch.queued);
        if let Some(since) = self.ran_since {
            // All of it, or as much as had flowed; no more than there is.
            let known = resolve(engine, dispatch, task).ok();
            let module = &dispatch.program.module;
            let size = known.and_then(|known| copied_size(module, dispatch.callee, &known));
            let read = self.words.as_ref().map(|words| words.bytes_read);
            usage.bytes_in = size.or(read).unwrap_or_default();
            usage.run_time = since.elapsed();
            usage.started = usage
                .started
                .checked_sub(usage.run_time)
                .unwrap_or(usage.started);
        }
        if let Some(words) = self.words {
            let limits = &dispatch.setting.limits;
            // Its process may have written anything.
            usage.fuel = limits.fuel.map(|most| words.fuel.min(most));
            usage.peak_memory = words.peak_memory.min(limits.memory.bytes());
            let limit = limits.logs.as_usize();
            let [stdout, stderr] = words.streams.map(|output| log(output, limit));
            if !stdout.kept.is_empty() || !stderr.kept.is_empty() {
                failure.last_line = stderr.last_line().map(Into::into);
                usage.logs = Some(Box::new(Logs { stdout, stderr }));
            }
        }
        Outcome {
            result: Err(failure),
            usage,
        }
    }
}

/// As much of an output as a log may have.
fn log(output: LastOutput, limit: usize) -> Log {
    let LastOutput {
        head: mut kept,
        mut tail,
        mut dropped,
    } = output;
    if kept.len() + tail.len() > limit {
        // Where the first bytes end, the last ones go on, unless some are missing between them.
        if dropped == 0 {
            kept.append(&mut tail);
            tail = kept.split_off(limit / 2);
        }
        let first = kept.len().min(limit / 2);
        let last = tail.len().min(limit - first);
        dropped += (kept.len() - first + tail.len() - last) as u64;
        kept.truncate(first);
        tail.drain(..tail.len() - last);
    }
    let dropped_at = kept.len();
    kept.append(&mut tail);
    Log {
        kept,
        dropped,
        dropped_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_the_first_and_the_last_of_an_output() {
        let output = |head: &[u8], tail: &[u8], dropped| LastOutput {
            head: head.to_vec(),
            tail: tail.to_vec(),
            dropped,
        };
        for (given, limit, kept, dropped) in [
            (output(b"abcd", b"", 0), 6, "abcd", 0),
            (output(b"abcd", b"ef", 0), 6, "abcdef", 0),
            (output(b"abcd", b"yz", 90), 6, "abcdyz", 90),
            (output(b"abcd", b"wxyz", 90), 4, "abyz", 94),
            (output(b"abcdefgh", b"", 0), 4, "abgh", 4),
            (output(b"abcd", b"wxyz", 0), 2, "az", 6),
            (output(b"abcd", b"wxyz", 3), 0, "", 11),
        ] {
            let log = log(given.clone(), limit);
            assert_eq!(log.kept, kept.as_bytes(), "{given:?}");
            assert_eq!(log.dropped, dropped, "{given:?}");
            assert!(log.dropped_at <= log.kept.len());
        }
    }
}
