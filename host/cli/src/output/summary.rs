//! What a job came to: for people as warnings and figures, for programs as what its report is made of.

use super::report::{self, Record};
use super::{messages, stats};
use crate::exit::CliError;
use crate::text::counted;
use rwasm_cluster::{
    ByteSize, EngineStats, FailedJob, Failure, JobError, JobResult, JobStats, Origin, TaskInfo,
};

/// What is said of a job that has ended, well or not.
#[derive(Default)]
pub(crate) struct Summary {
    /// None if it is not known.
    pub(super) stats: Option<JobStats>,
    pub(super) failures: u64,
    /// The first of the tasks that failed.
    pub(super) failed: Vec<(Origin, Failure)>,
    pub(super) outcomes: Vec<Record>,
    warnings: Vec<String>,
}

impl Summary {
    /// Of a job of many tasks, of which the warnings are to be given.
    pub(crate) fn of_job(result: &JobResult, warnings: Vec<String>) -> Self {
        Self {
            stats: Some(result.stats.clone()),
            failures: result.failures,
            failed: result.failed.clone(),
            outcomes: result.records.iter().map(report::record).collect(),
            warnings,
        }
    }

    /// Of a job of many tasks that ended with this error.
    pub(crate) fn of_failed_job(failed: Option<&FailedJob>, error: &CliError) -> Self {
        let failures = match error {
            CliError::Job(error) => match &**error {
                JobError::TaskFailed { failures, .. } => *failures,
                _ => 0,
            },
            CliError::Task { failures, .. } => *failures,
            _ => 0,
        };
        let records = failed.map_or(&[][..], |failed| &failed.records);
        Self {
            stats: failed.map(|failed| failed.stats.clone()),
            failures,
            outcomes: records.iter().map(report::record).collect(),
            ..Self::default()
        }
    }

    /// Of calls, one for each engine that was meant, which took that time together.
    pub(crate) fn of_calls(calls: &[TaskInfo], stats: JobStats, failures: u64) -> Self {
        let outcomes = (0..).zip(calls);
        Self {
            stats: Some(stats),
            failures,
            outcomes: outcomes
                .flat_map(|(index, call)| report::attempts(index, call))
                .collect(),
            ..Self::default()
        }
    }

    /// Warns of what the user is to know.
    pub(crate) fn warn(&self) {
        for text in &self.warnings {
            messages::warn(text);
        }
    }

    /// Says in one line what the tasks wrote to stderr, if they did.
    pub(crate) fn print_stderr(&self) {
        let stderr = self.stats.as_ref().map(|stats| &stats.stderr);
        let Some(stderr) = stderr.filter(|stderr| stderr.tasks > 0) else {
            return;
        };
        let line = stderr.last_line.as_deref().unwrap_or_default();
        messages::note(&format!(
            "{} wrote {} to stderr, ending in `{line}`; --stderr all shows it",
            counted(stderr.tasks, "task"),
            ByteSize::new(stderr.bytes)
        ));
    }

    /// Prints the figures; `piece` is what the input is made of.
    pub(crate) fn print_stats(&self, piece: &str) {
        if let Some(stats) = &self.stats {
            messages::print(&stats::table(stats, piece));
        }
    }
}

/// The figures of calls, as a job has them, but for the time that passed.
pub(crate) fn figures(calls: &[TaskInfo]) -> JobStats {
    let mut stats = JobStats::default();
    stats.chunks = calls.len() as u64;
    for (index, call) in (0..).zip(calls) {
        let last = call.attempts.last();
        let is_success = last.is_some_and(|attempt| attempt.failure.is_none());
        if let Some(logs) = call.usage.logs.as_ref().filter(|_| is_success) {
            stats.stderr.add(index, &logs.stderr);
        }
        let attempts = call.attempts.len() as u64;
        stats.tasks += attempts;
        stats.dispatches += attempts;
        stats.retries += attempts.saturating_sub(1);
        stats.bytes_in += call.usage.bytes_in;
        stats.peak_memory = stats.peak_memory.max(call.usage.peak_memory);
        for attempt in &call.attempts {
            stats.serial_time += attempt.run_time;
            let run_time = u64::try_from(attempt.run_time.as_nanos()).unwrap_or(u64::MAX);
            stats.run_times.add(run_time);
            let Some(engine) = attempt.engine else {
                continue;
            };
            let engine: &mut EngineStats = stats.engines.entry(engine).or_default();
            engine.tasks += 1;
            engine.busy += attempt.run_time;
            engine.bytes_in += call.usage.bytes_in;
        }
    }
    stats
}
