//! The clocks that a guest reads: real ones, coarse by default to make timing attacks on other
//! guests harder; one that stands still; and one that advances only while the guest sleeps, and so
//! is the same on every run. None of them ever reads zero, which programs take for a clock that is
//! missing or was never set: Go's runtime ends a program that reads it.

use crate::grants::Clock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// The granularity of coarse readings, in nanoseconds.
const COARSE: u64 = 1_000_000;

/// The time that artificial clocks start at: the beginning of the year 2000. Some programs take an
/// earlier time for a clock that was never set.
const STANDING: Duration = Duration::from_hours(262_968);

/// What monotonic clocks read when the guest starts. Not zero, and enough that a program can go
/// back from it by any timeout: in many languages, an instant before zero is an overflow.
const BEFORE: Duration = Duration::from_hours(24);

/// The clocks of one guest, which start with it.
#[derive(Clone, Copy)]
pub(super) struct GuestClock {
    kind: ClockKind,
    /// On a runtime whose time stands still while a guest computes, this is the runtime's time.
    started: tokio::time::Instant,
}

#[derive(Clone, Copy)]
enum ClockKind {
    System { resolution: u64 },
    Fixed,
    Virtual,
}

impl GuestClock {
    /// The clock that is granted.
    pub(super) fn granted(clock: Clock) -> Self {
        let kind = match clock {
            Clock::Precise => ClockKind::System { resolution: 1 },
            Clock::Coarse => ClockKind::System { resolution: COARSE },
            Clock::Fixed => ClockKind::Fixed,
        };
        Self::new(kind)
    }

    /// A clock that advances while the guest sleeps, on a runtime with its own time.
    pub(super) fn simulated() -> Self {
        Self::new(ClockKind::Virtual)
    }

    fn new(kind: ClockKind) -> Self {
        Self {
            kind,
            started: tokio::time::Instant::now(),
        }
    }

    fn elapsed(self) -> Duration {
        match self.kind {
            ClockKind::Fixed => Duration::ZERO,
            ClockKind::System { .. } | ClockKind::Virtual => self.started.elapsed(),
        }
    }

    fn step(self) -> u64 {
        match self.kind {
            ClockKind::System { resolution } => resolution,
            ClockKind::Fixed | ClockKind::Virtual => 1,
        }
    }
}

/// Rounds a time down to a multiple of this many nanoseconds.
fn rounded(time: Duration, step: u64) -> Duration {
    let step = u128::from(step);
    let nanos = time.as_nanos() / step * step;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl HostWallClock for GuestClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(self.step())
    }

    fn now(&self) -> Duration {
        let time = match self.kind {
            ClockKind::System { .. } => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                // Of a machine whose clock was never set.
                .max(STANDING),
            ClockKind::Fixed | ClockKind::Virtual => STANDING + self.elapsed(),
        };
        rounded(time, self.step())
    }
}

impl HostMonotonicClock for GuestClock {
    fn resolution(&self) -> u64 {
        self.step()
    }

    fn now(&self) -> u64 {
        let time = rounded(BEFORE + self.elapsed(), self.step());
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }
}
