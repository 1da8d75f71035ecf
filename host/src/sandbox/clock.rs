//! The clocks a guest reads: real ones, coarse, so that they are of little use for spying on
//! other guests by timing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// What a clock reading is rounded down to.
const RESOLUTION: Duration = Duration::from_millis(1);

/// The system's wall clock in whole milliseconds.
pub(super) struct CoarseClock;

/// A clock that starts at 0 with the task and counts whole milliseconds.
pub(super) struct CoarseMonotonicClock(Instant);

impl CoarseClock {
    pub(super) fn started_now() -> CoarseMonotonicClock {
        CoarseMonotonicClock(Instant::now())
    }
}

fn coarse(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl HostWallClock for CoarseClock {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        coarse(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        )
    }
}

impl HostMonotonicClock for CoarseMonotonicClock {
    fn resolution(&self) -> u64 {
        u64::try_from(RESOLUTION.as_nanos()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> u64 {
        u64::try_from(coarse(self.0.elapsed()).as_nanos()).unwrap_or(u64::MAX)
    }
}
