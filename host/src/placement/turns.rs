//! Whose turn it is: groups by the time at which they last got an engine, or arrived.

use rwasm_value::ids::JobId;
use std::collections::{BTreeMap, BTreeSet};

/// The groups that have orders waiting.
#[derive(Default)]
pub(super) struct Turns {
    served: BTreeMap<JobId, u64>,
    /// The same, by time.
    order: BTreeSet<(u64, JobId)>,
}

impl Turns {
    /// Adds a group that has orders waiting, after all that wait already.
    pub(super) fn arrive(&mut self, group: JobId, time: u64) {
        if !self.served.contains_key(&group) {
            self.served(group, time);
        }
    }

    /// Records that a group had its turn.
    pub(super) fn served(&mut self, group: JobId, time: u64) {
        self.leave(group);
        self.served.insert(group, time);
        self.order.insert((time, group));
    }

    /// Removes a group that has nothing waiting any more.
    pub(super) fn leave(&mut self, group: JobId) {
        if let Some(served) = self.served.remove(&group) {
            self.order.remove(&(served, group));
        }
    }

    /// Returns when the group had its last turn or arrived; 0 if it has nothing waiting.
    pub(super) fn last(&self, group: JobId) -> u64 {
        self.served.get(&group).copied().unwrap_or(0)
    }

    /// Returns the groups, the one whose last turn is longest ago first.
    pub(super) fn oldest_first(&self) -> impl Iterator<Item = JobId> {
        self.order.iter().map(|(_, group)| *group)
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        debug_assert_eq!(self.served.is_empty(), self.order.is_empty());
        self.served.is_empty()
    }
}
