//! The times at which something is due, in order, each removable.

use rwasm_value::ids::JobId;
use std::collections::BTreeSet;
use std::time::Duration;

/// What is due. If two are due at once, the first of these comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The end of the whole task's time.
    Deadline,
    /// The end of a pause, or of the time in the queue, depending on the state.
    Turn,
}

/// At most one entry of each kind for a task.
#[derive(Debug, Default)]
pub(super) struct Timers {
    entries: BTreeSet<(Duration, JobId, Due)>,
}

impl Timers {
    pub(super) fn set(&mut self, at: Duration, job: JobId, due: Due) {
        self.entries.insert((at, job, due));
    }

    pub(super) fn unset(&mut self, at: Duration, job: JobId, due: Due) {
        self.entries.remove(&(at, job, due));
    }

    /// The time of the first.
    pub(super) fn first(&self) -> Option<Duration> {
        self.entries.first().map(|(at, ..)| *at)
    }

    /// Takes the first of those due by now.
    pub(super) fn pop(&mut self, now: Duration) -> Option<(JobId, Due)> {
        if self.first()? > now {
            return None;
        }
        self.entries.pop_first().map(|(_, job, due)| (job, due))
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[cfg(test)]
    pub(super) fn check(&self, wanted: &BTreeSet<(Duration, JobId, Due)>) {
        assert_eq!(&self.entries, wanted);
    }
}
