//! The time during which this process may run: it stands still while the process is suspended, by SIGSTOP or by a
//! debugger, so that this is not taken from the time of its tasks.

use crate::lock::lock;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// A gap between two ticks that says that the process was suspended. On a machine so busy that a thread does not get its
/// turn for as long, tasks did not either.
const GAP: Duration = Duration::from_secs(1);

/// A time of this clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[doc(hidden)]
pub struct Awake(Duration);

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::new);

struct Clock {
    start: Instant,
    ticks: Mutex<Ticks>,
}

/// Both by the clock of the system, since the start.
#[derive(Default)]
struct Ticks {
    last: Duration,
    suspended: Duration,
}

impl Clock {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            ticks: Mutex::default(),
        }
    }

    fn tick(&self, now: Duration) {
        let mut ticks = lock(&self.ticks);
        let gap = now.saturating_sub(ticks.last);
        if gap > GAP {
            ticks.suspended += gap;
        }
        ticks.last += gap;
    }

    fn awake(&self, now: Duration) -> Awake {
        let ticks = lock(&self.ticks);
        // The next tick will count the time since the last one.
        let is_late = now.saturating_sub(ticks.last) > GAP;
        let now = if is_late { ticks.last } else { now };
        Awake(now.saturating_sub(ticks.suspended))
    }
}

/// Must be called much more often than a process may be suspended unnoticed, and before the first deadline is made.
pub(crate) fn tick() {
    CLOCK.tick(CLOCK.start.elapsed());
}

impl Awake {
    #[must_use]
    pub fn now() -> Self {
        CLOCK.awake(CLOCK.start.elapsed())
    }

    /// None if it is further away than clocks reach.
    #[must_use]
    pub fn after(self, time: Duration) -> Option<Self> {
        self.0.checked_add(time).map(Self)
    }

    /// How long it is until then; none if it is past.
    #[must_use]
    pub fn left(self) -> Option<Duration> {
        let left = self.0.saturating_sub(Self::now().0);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_stands_still_while_nothing_ticks() {
        let clock = Clock::new();
        clock.tick(SECOND / 2);
        clock.tick(SECOND);
        let before = clock.awake(SECOND);
        assert_eq!(before, Awake(SECOND));
        // Suspended for an hour; whoever asks before the first tick is told the same as afterwards.
        let later = 3600 * SECOND;
        assert_eq!(clock.awake(later), before);
        clock.tick(later);
        assert_eq!(clock.awake(later), before);
        assert_eq!(clock.awake(later + SECOND / 4), Awake(SECOND + SECOND / 4));
    }

    #[test]
    fn several_that_tick_count_a_gap_once() {
        let clock = Clock::new();
        for now in [10, 10, 12, 11, 12] {
            clock.tick(now * SECOND);
        }
        assert_eq!(clock.awake(12 * SECOND), Awake(Duration::ZERO));
    }
}
