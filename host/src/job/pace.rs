//! How many tasks go into one dispatch: enough that handing over costs little compared with the work, and no more.

use std::time::Duration;

/// What handing over a dispatch costs, expressed as the work that one should carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandOver {
    /// The work of one dispatch.
    pub(crate) work: Duration,
    /// The most bytes of a dispatch of several tasks: a larger task is worth a hand-over by itself.
    pub(crate) bytes: u64,
    /// Dispatches under way per engine: one that runs and one that waits, so that an engine has work when it
    /// becomes free; and those on their way there or back.
    pub(crate) depth: usize,
}

impl HandOver {
    /// To an engine of this process: some 10 µs in total, half a percent of the work.
    pub(crate) const NEAR: Self = Self {
        work: Duration::from_millis(2),
        bytes: 1 << 20,
        depth: 2,
    };

    /// Through a server that stores it, and its result, on a disk: some 0.5 to 2 ms, and now and then much more on a machine
    /// that is busy. A lane must not run out of work then: an engine that finds none takes another lane's, which may be
    /// long. Anything larger than these bytes would not fit into a message.
    #[cfg(feature = "nats")]
    pub(crate) const FAR: Self = Self {
        work: Duration::from_millis(20),
        bytes: 448 << 10,
        depth: 8,
    };
}

/// The most tasks of a dispatch whose size its submitter chose: each takes up to a KiB of an engine process, with its outcome and usage.
pub(crate) const MOST_TASKS: usize = 1 << 14;

/// The most tasks of one dispatch, at which handing over costs a few nanoseconds each.
const DISPATCH_TASKS: usize = 4096;

/// How many times larger a dispatch may be than the largest that has come back, since costs may be uneven.
const GROWTH: usize = 8;

/// Learns what tasks cost, and decides how many go into a dispatch.
pub(super) struct Pace {
    /// The work that a dispatch should carry.
    work: Duration,
    /// The running average of a task's cost, in nanoseconds, once one has come back.
    task_cost: Option<f64>,
    /// The largest dispatch that has come back.
    proven: usize,
}

impl Pace {
    pub(super) fn new(work: Duration) -> Self {
        Self {
            work,
            task_cost: None,
            proven: 1,
        }
    }

    /// Learns from a returned dispatch: its number of tasks, and their total run time.
    #[expect(clippy::cast_precision_loss, reason = "an average")]
    pub(super) fn learn(&mut self, tasks: usize, cost: Duration) {
        let cost = cost.as_nanos() as f64 / tasks.max(1) as f64;
        self.proven = self.proven.max(tasks);
        self.task_cost = Some(match self.task_cost {
            None => cost,
            // Tasks that turn out dearer make dispatches that are too large, which is worse than too small.
            Some(before) if cost > before => f64::midpoint(before, cost),
            Some(before) => before + (cost - before) / 4.0,
        });
    }

    /// Returns the number of tasks for the next dispatch.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "a quotient of positive numbers, rounded down; what does not fit saturates"
    )]
    pub(super) fn size(&self) -> usize {
        let Some(cost) = self.task_cost else { return 1 };
        let affordable = (self.work.as_nanos() as f64 / cost.max(1.0)) as usize;
        affordable.clamp(1, DISPATCH_TASKS.min(self.proven * GROWTH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispatches_grow_step_by_step_to_the_work_they_should_hold() {
        let mut pace = Pace::new(HandOver::NEAR.work);
        let mut sizes = vec![];
        for _ in 0..6 {
            sizes.push(pace.size());
            pace.learn(pace.size(), Duration::from_micros(6 * pace.size() as u64));
        }
        assert_eq!(sizes, [1, 8, 64, 333, 333, 333]);
    }

    #[test]
    fn dispatches_are_never_empty_nor_endless() {
        let mut pace = Pace::new(HandOver::NEAR.work);
        pace.learn(1, Duration::from_secs(30));
        assert_eq!(pace.size(), 1);
        for _ in 0..100 {
            pace.learn(pace.size(), Duration::ZERO);
        }
        assert_eq!(pace.size(), DISPATCH_TASKS);
        pace.learn(DISPATCH_TASKS, Duration::from_secs(4096));
        assert_eq!(pace.size(), 1);
    }
}
