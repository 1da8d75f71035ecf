//! The figures of a job.

use crate::events::JobUsage;
use crate::observe::Histogram;
use rwasm_sandbox::outcome::{Log, Usage};
use rwasm_value::ids::EngineId;
use std::collections::BTreeMap;
use std::time::Duration;

/// The figures of a job.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct JobStats {
    /// Tasks that ran, retries and those of the merge included.
    pub tasks: u64,
    /// Calls of the reducer among them.
    pub merges: u64,
    /// Retries among them.
    pub retries: u64,
    /// Hand-overs to engines.
    pub dispatches: u64,
    /// Chunks of the input.
    pub chunks: u64,
    /// Bytes of input that tasks have read.
    pub bytes_in: u64,
    /// The time from the start of the job to its end.
    pub wall_time: Duration,
    /// The sum of the tasks' run times: what one engine would have needed.
    pub serial_time: Duration,
    /// The largest memory of any task, in bytes.
    pub peak_memory: u64,
    /// The engines that ran any task, in the order of their ids.
    pub engines: BTreeMap<EngineId, EngineStats>,
    /// The number of engines that the job could use.
    pub engine_count: usize,
    /// What all tasks used together.
    pub usage: JobUsage,
    /// What the tasks that succeeded wrote to stderr.
    pub stderr: StderrStats,
    /// How long tasks ran, in nanoseconds.
    pub run_times: Histogram,
}

/// What tasks that succeeded wrote to stderr.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StderrStats {
    /// The tasks that wrote something.
    pub tasks: u64,
    /// The bytes that they wrote.
    pub bytes: u64,
    /// The last line of the first of these tasks, in input order.
    pub last_line: Option<String>,
    first: Option<u64>,
}

impl StderrStats {
    /// Adds a task, by its place among all.
    #[doc(hidden)]
    pub fn add(&mut self, index: u64, log: &Log) {
        let bytes = log.kept.len() as u64 + log.dropped;
        if bytes == 0 {
            return;
        }
        self.tasks += 1;
        self.bytes += bytes;
        if self.first.is_none_or(|first| index < first) {
            self.first = Some(index);
            self.last_line = log.last_line();
        }
    }
}

/// What one engine did for a job.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct EngineStats {
    /// Tasks that it ran.
    pub tasks: u64,
    /// How long it was running them.
    pub busy: Duration,
    /// Bytes that they read.
    pub bytes_in: u64,
}

impl JobStats {
    /// Returns how many times faster the job was than on one engine: serial time divided by wall time.
    #[must_use]
    pub fn speed_up(&self) -> f64 {
        let wall = self.wall_time.as_secs_f64();
        if wall > 0.0 {
            self.serial_time.as_secs_f64() / wall
        } else {
            0.0
        }
    }

    /// Returns the speed-up divided by the number of engines: 1 if all were busy all the time.
    #[must_use]
    pub fn efficiency(&self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a cluster has at most 1024 engines"
        )]
        let engines = self.engine_count.max(1) as f64;
        self.speed_up() / engines
    }

    pub(crate) fn add(&mut self, usage: &Usage, is_merge: bool) {
        self.usage.add(usage);
        self.tasks += 1;
        self.merges += u64::from(is_merge);
        self.retries += u64::from(usage.attempt > 1);
        self.serial_time += usage.run_time;
        let run_time = u64::try_from(usage.run_time.as_nanos()).unwrap_or(u64::MAX);
        self.run_times.add(run_time);
        self.peak_memory = self.peak_memory.max(usage.peak_memory);
        let Some(engine) = usage.engine else { return };
        let engine = self.engines.entry(engine).or_default();
        engine.tasks += 1;
        engine.busy += usage.run_time;
        engine.bytes_in += usage.bytes_in;
        if !is_merge {
            self.bytes_in += usage.bytes_in;
        }
    }
}
