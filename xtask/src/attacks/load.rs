//! What attackers take of the processor for themselves, which on their own machine would cost the neighbour nothing.

use super::gate::Gate;
use anyhow::{Context, Result};
use std::fs;
use std::hint::black_box;
use std::thread::sleep;
use std::time::Duration;

/// The unit of processor times in `/proc`.
const TICK: Duration = Duration::from_millis(10);

/// How long a load computes and rests, together.
const PERIOD: Duration = Duration::from_millis(20);

/// How long this process has computed, with those of its children that have ended.
pub(super) fn spent() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").context("cannot read `/proc/self/stat`")?;
    // The name of the program may contain anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times = fields.split_whitespace().skip(11).take(4);
    let ticks: u32 = times.filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

/// Computes that part of the time on this thread, until the gate is over.
pub(super) fn compute(share: f64, gate: &Gate) {
    let part = PERIOD.mul_f64(share.clamp(0.0, 1.0));
    while !gate.is_over() {
        let start = on_processor();
        while on_processor().saturating_sub(start) < part && !gate.is_over() {
            black_box((0..black_box(10_000_u64)).sum::<u64>());
        }
        sleep(PERIOD.saturating_sub(part));
    }
}

/// How long this thread has computed; zero if the system does not say.
fn on_processor() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split_whitespace().next();
    Duration::from_nanos(nanos.and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}
