//! What the tasks of a tenant have used.
//!
//! An account goes along with every dispatch, and whoever answers tasks adds to it: atomic counters, without a lock on
//! the way of a task. It also says that its tenant is closed, which is for good.

use crate::placement::TenantId;
use rwasm_sandbox::outcome::{FailureCode, Outcome};
use rwasm_value::units::ByteSize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// See the [module](self). The default is that of the cluster itself, where nothing is counted: nobody can ask.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) tenant: TenantId,
    /// The name of its tenant; none of the cluster itself.
    pub(crate) label: Option<Arc<str>>,
    is_closed: AtomicBool,
    succeeded: AtomicU64,
    failed: [AtomicU64; FailureCode::ALL.len()],
    /// In nanoseconds.
    wall_time: AtomicU64,
    processor_time: AtomicU64,
    fuel: AtomicU64,
    peak_memory: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// What the tasks of a tenant have used so far, from [`Tenant::usage`](crate::Tenant::usage). Each attempt at a task
/// counts as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TenantUsage {
    /// The number of tasks that succeeded.
    pub succeeded: u64,
    /// The numbers of tasks that failed, by their codes; those that were stopped or never began are among them.
    pub failed: Vec<(FailureCode, u64)>,
    /// How long tasks ran, including instantiation.
    pub wall_time: Duration,
    /// How long engines computed for them. It is added when an engine is through with a dispatch.
    pub processor_time: Duration,
    /// The fuel of tasks for which it is counted.
    pub fuel: u64,
    /// The largest memory of any task.
    pub peak_memory: ByteSize,
    /// The bytes of their inputs.
    pub bytes_in: u64,
    /// The bytes of their results.
    pub bytes_out: u64,
}

impl TenantUsage {
    /// Returns the number of tasks that have ended.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.succeeded + self.failed.iter().map(|(_, count)| count).sum::<u64>()
    }
}

impl Account {
    pub(crate) fn new(tenant: TenantId, label: Arc<str>) -> Self {
        Self {
            tenant,
            label: Some(label),
            ..Self::default()
        }
    }

    /// Whether anything is counted.
    pub(crate) fn counts(&self) -> bool {
        self.label.is_some()
    }

    /// Adds tasks that have ended.
    pub(crate) fn add(&self, outcomes: &[Outcome]) {
        if !self.counts() {
            return;
        }
        let mut succeeded = 0;
        let mut wall_time = Duration::ZERO;
        let (mut fuel, mut peak_memory, mut bytes_in, mut bytes_out) = (0, 0, 0, 0);
        for Outcome { result, usage } in outcomes {
            match result {
                Ok(_) => succeeded += 1,
                Err(failure) => {
                    let code = FailureCode::ALL
                        .iter()
                        .position(|code| *code == failure.code);
                    if let Some(count) = code.and_then(|code| self.failed.get(code)) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            wall_time += usage.run_time;
            fuel += usage.fuel.unwrap_or(0);
            peak_memory = peak_memory.max(usage.peak_memory);
            bytes_in += usage.bytes_in;
            bytes_out += usage.bytes_out;
        }
        self.succeeded.fetch_add(succeeded, Ordering::Relaxed);
        self.wall_time
            .fetch_add(nanoseconds(wall_time), Ordering::Relaxed);
        self.fuel.fetch_add(fuel, Ordering::Relaxed);
        self.peak_memory.fetch_max(peak_memory, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
    }

    /// Adds what an engine has computed.
    pub(crate) fn add_processor_time(&self, time: Duration) {
        self.processor_time
            .fetch_add(nanoseconds(time), Ordering::Relaxed);
    }

    pub(crate) fn usage(&self) -> TenantUsage {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let failed = FailureCode::ALL
            .into_iter()
            .zip(self.failed.iter().map(value));
        TenantUsage {
            succeeded: value(&self.succeeded),
            failed: failed.filter(|(_, count)| *count > 0).collect(),
            wall_time: Duration::from_nanos(value(&self.wall_time)),
            processor_time: Duration::from_nanos(value(&self.processor_time)),
            fuel: value(&self.fuel),
            peak_memory: ByteSize::new(value(&self.peak_memory)),
            bytes_in: value(&self.bytes_in),
            bytes_out: value(&self.bytes_out),
        }
    }

    /// Closes it. Backends refuse its dispatches from now on, and engines keep no instance for it.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
