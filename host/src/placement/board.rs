//! Queues as one engine sees them: the next one to take from is at the front.
//!
//! Each engine has a board for each tenant with the queues that are open to it alone or to some engines; one more for
//! each tenant is common to all engines. A queue is posted when it stops being empty, and taken down when it becomes
//! empty. Meanwhile, a group's turn or a taken order changes what many boards should say, and none is told: both can
//! only move a post back, so a post that has come to the front is compared with the truth, and moved if need be.

use super::count_step;
use super::order::Stage;
use super::queues::{QueueKey, Queues};
use super::turns::Turns;
use rwasm_value::ids::JobId;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// See the [module](self). Times are those that were true when a post was last looked at.
#[derive(Default)]
pub(super) struct Board {
    /// Priority, last turn, group.
    turns: BTreeSet<(Reverse<i32>, u64, JobId)>,
    /// For each group, its last turn and the number of its queues here.
    groups: BTreeMap<(i32, JobId), (u64, usize)>,
    /// The queues, by the times of their first orders, which are all different.
    posts: BTreeMap<(i32, JobId, Stage, u64), QueueKey>,
    /// The same times.
    times: BTreeMap<QueueKey, u64>,
}

impl Board {
    /// The highest priority posted.
    pub(super) fn priority(&self) -> Option<i32> {
        self.turns.first().map(|(priority, ..)| priority.0)
    }

    /// Posts a queue whose first order came at `time`, unless it is posted: a set may name its engine twice.
    pub(super) fn post(&mut self, queue: QueueKey, time: u64, turns: &Turns) {
        count_step();
        let QueueKey {
            group,
            priority,
            stage,
            ..
        } = queue;
        if self.times.insert(queue, time).is_some() {
            return;
        }
        self.posts.insert((priority, group, stage, time), queue);
        let (_, queues) = self.groups.entry((priority, group)).or_insert_with(|| {
            let last = turns.last(group);
            self.turns.insert((Reverse(priority), last, group));
            (last, 0)
        });
        *queues += 1;
    }

    /// Takes a queue down, if it is posted.
    pub(super) fn take_down(&mut self, queue: QueueKey) {
        count_step();
        let QueueKey {
            group,
            priority,
            stage,
            ..
        } = queue;
        let Some(time) = self.times.remove(&queue) else {
            return;
        };
        self.posts.remove(&(priority, group, stage, time));
        if let Some((last, queues)) = self.groups.get_mut(&(priority, group)) {
            *queues -= 1;
            if *queues == 0 {
                self.turns.remove(&(Reverse(priority), *last, group));
                self.groups.remove(&(priority, group));
            }
        }
    }

    /// Returns the group whose turn it is among those with orders of this priority here.
    ///
    /// The search goes from both sides: from the front of the board, which is short if few groups had a turn
    /// elsewhere, and from the groups that have waited longest, which is short if most of them are on the board. Only
    /// groups that had a turn elsewhere since the last look can cost a step each.
    pub(super) fn next_group(&mut self, priority: i32, turns: &Turns) -> Option<JobId> {
        let mut oldest = turns.oldest_first();
        loop {
            count_step();
            let (first, stated, group) = *self
                .turns
                .range((Reverse(priority), 0, JobId(0))..)
                .next()?;
            if first != Reverse(priority) {
                return None;
            }
            let last = turns.last(group);
            if last == stated {
                return Some(group);
            }
            if let Some(old) = oldest.next()
                && self.groups.contains_key(&(priority, old))
            {
                return Some(old);
            }
            self.turns.remove(&(first, stated, group));
            self.turns.insert((first, last, group));
            if let Some(entry) = self.groups.get_mut(&(priority, group)) {
                entry.0 = last;
            }
        }
    }

    /// Returns the queue of this group and priority whose first order is due next.
    pub(super) fn next_queue(
        &mut self,
        priority: i32,
        group: JobId,
        queues: &Queues,
    ) -> Option<(Stage, u64, QueueKey)> {
        loop {
            count_step();
            let from = (priority, group, Stage::Reduce, 0);
            let (&post, &queue) = self.posts.range(from..).next()?;
            let (found_priority, found_group, stage, stated) = post;
            if (found_priority, found_group) != (priority, group) {
                return None;
            }
            let (time, _) = queues.first(queue)?;
            if time == stated {
                return Some((stage, time, queue));
            }
            self.posts.remove(&post);
            self.posts.insert((priority, group, stage, time), queue);
            self.times.insert(queue, time);
        }
    }

    /// Whether no queue is posted.
    pub(super) fn is_empty(&self) -> bool {
        debug_assert_eq!(self.turns.is_empty(), self.times.is_empty());
        debug_assert_eq!(self.groups.len(), self.turns.len());
        debug_assert_eq!(self.posts.len(), self.times.len());
        self.times.is_empty()
    }
}
