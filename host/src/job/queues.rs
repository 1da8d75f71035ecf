//! The queues of waiting tasks: one for all if any engine will do, otherwise one per target.
//!
//! A queue yields its reduces before its maps and both in order, and counts its dispatches under way. Queues that may
//! have something to dispatch are listed, so that nobody has to look at all of a thousand targets.

use super::rules::Assignment;
use crate::merge::tree::Node;
use rwasm_value::ids::{ChunkIndex, EngineId};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// See the [module](self). Tasks are slots of the table.
pub(super) struct Queues {
    all: Vec<Queue>,
    by_target: HashMap<EngineId, usize>,
    /// The queues to look at next.
    ready: VecDeque<usize>,
    waiting_maps: usize,
}

#[derive(Default)]
struct Queue {
    target: Option<EngineId>,
    /// Whether its engine is gone.
    lost: bool,
    /// Maps that have not run, in input order.
    fresh: VecDeque<(ChunkIndex, usize)>,
    /// Maps that are to run again.
    again: BTreeMap<ChunkIndex, usize>,
    merges: BTreeMap<Node, usize>,
    /// Dispatches under way.
    flights: usize,
    is_ready: bool,
}

impl Queue {
    fn waiting_maps(&self) -> usize {
        self.fresh.len() + self.again.len()
    }
}

impl Queues {
    pub(super) fn new(assignment: &Assignment) -> Self {
        let all: Vec<Queue> = match assignment {
            Assignment::Any => vec![Queue::default()],
            Assignment::Fixed(targets) => targets
                .iter()
                .map(|&target| Queue {
                    target: Some(target),
                    ..Queue::default()
                })
                .collect(),
        };
        let targets = all.iter().enumerate();
        let by_target = targets
            .filter_map(|(at, queue)| Some((queue.target?, at)))
            .collect();
        Self {
            all,
            by_target,
            ready: VecDeque::new(),
            waiting_maps: 0,
        }
    }

    /// The queue of a chunk that is fixed to `target`, or to no engine.
    pub(super) fn of(&self, target: Option<EngineId>) -> usize {
        let queue = target.and_then(|target| self.by_target.get(&target).copied());
        debug_assert_eq!(
            queue.is_some(),
            !self.by_target.is_empty(),
            "target {target:?} does not fit the assignment"
        );
        queue.unwrap_or(0)
    }

    /// The engine of the queue.
    pub(super) fn target(&self, queue: usize) -> Option<EngineId> {
        self.all[queue].target
    }

    /// The queue, or the next one after it whose engine is not known to be gone.
    pub(super) fn alive(&self, queue: usize) -> usize {
        let mut around = (queue..self.all.len()).chain(0..queue);
        around.find(|&at| !self.all[at].lost).unwrap_or(queue)
    }

    /// Marks the queue's engine as gone.
    pub(super) fn lose(&mut self, queue: usize) {
        self.all[queue].lost = self.all[queue].target.is_some();
    }

    /// Adds a map that comes after all others so far.
    pub(super) fn add_map(&mut self, queue: usize, index: ChunkIndex, slot: usize) {
        let fresh = &mut self.all[queue].fresh;
        debug_assert!(
            fresh.back().is_none_or(|(last, _)| *last < index),
            "chunk {index} is out of order"
        );
        fresh.push_back((index, slot));
        self.waiting_maps += 1;
        self.wake(queue);
    }

    /// Adds a map that is to run again.
    pub(super) fn add_map_again(&mut self, queue: usize, index: ChunkIndex, slot: usize) {
        self.all[queue].again.insert(index, slot);
        self.waiting_maps += 1;
        self.wake(queue);
    }

    /// Adds a reduce, for the first time or again.
    pub(super) fn add_merge(&mut self, queue: usize, node: Node, slot: usize) {
        self.all[queue].merges.insert(node, slot);
        self.wake(queue);
    }

    /// The number of waiting maps.
    pub(super) fn waiting_maps(&self) -> usize {
        self.waiting_maps
    }

    /// Whether any queue has fewer than `enough` waiting maps.
    pub(super) fn any_short_of(&self, enough: usize) -> bool {
        self.all
            .iter()
            .any(|queue| !queue.lost && queue.waiting_maps() < enough)
    }

    /// Returns a queue that may start another dispatch and has something waiting, until it is [put to
    /// rest](Self::rest).
    pub(super) fn next(&mut self, most_flights: usize) -> Option<usize> {
        while let Some(&at) = self.ready.front() {
            let queue = &self.all[at];
            if queue.flights < most_flights
                && (!queue.merges.is_empty() || queue.waiting_maps() > 0)
            {
                return Some(at);
            }
            self.rest();
        }
        None
    }

    /// Puts the queue returned last to rest until it is woken.
    pub(super) fn rest(&mut self) {
        if let Some(at) = self.ready.pop_front() {
            self.all[at].is_ready = false;
        }
    }

    /// Moves the queue returned last behind the others, after it has started a dispatch.
    pub(super) fn turn(&mut self) {
        self.ready.rotate_left(usize::from(!self.ready.is_empty()));
    }

    /// Wakes a queue, because something has changed for it.
    fn wake(&mut self, at: usize) {
        if !std::mem::replace(&mut self.all[at].is_ready, true) {
            self.ready.push_back(at);
        }
    }

    /// Wakes all queues.
    pub(super) fn wake_all(&mut self) {
        for at in 0..self.all.len() {
            self.wake(at);
        }
    }

    /// Counts another dispatch of the queue.
    pub(super) fn flight_started(&mut self, queue: usize) {
        self.all[queue].flights += 1;
    }

    /// Counts a dispatch of the queue as ended.
    pub(super) fn flight_ended(&mut self, queue: usize) {
        debug_assert!(
            self.all[queue].flights > 0,
            "queue {queue} has no dispatch under way"
        );
        self.all[queue].flights -= 1;
        self.wake(queue);
    }

    /// Removes and returns the queue's first reduce: lowest rank, then input order.
    pub(super) fn pop_merge(&mut self, queue: usize) -> Option<usize> {
        self.all[queue].merges.pop_first().map(|(_, slot)| slot)
    }

    /// Returns the queue's first map in input order.
    pub(super) fn first_map(&self, queue: usize) -> Option<(ChunkIndex, usize)> {
        let Queue { fresh, again, .. } = &self.all[queue];
        let again = again.first_key_value().map(|(index, slot)| (*index, *slot));
        match (fresh.front().copied(), again) {
            (Some(fresh), Some(again)) => Some(fresh.min(again)),
            (fresh, again) => fresh.or(again),
        }
    }

    /// Removes and returns the queue's first map in input order.
    pub(super) fn pop_map(&mut self, queue: usize) -> Option<usize> {
        let (index, slot) = self.first_map(queue)?;
        let Queue { fresh, again, .. } = &mut self.all[queue];
        if again.remove(&index).is_none() {
            fresh.pop_front();
        }
        self.waiting_maps -= 1;
        Some(slot)
    }

    /// Removes and returns the maps after chunk `fence`.
    pub(super) fn take_maps_after(&mut self, fence: ChunkIndex) -> Vec<usize> {
        let mut taken = vec![];
        for queue in &mut self.all {
            let kept = queue.fresh.partition_point(|(index, _)| *index <= fence);
            taken.extend(queue.fresh.drain(kept..).map(|(_, slot)| slot));
            taken.extend(
                queue
                    .again
                    .split_off(&ChunkIndex(fence.0.saturating_add(1)))
                    .into_values(),
            );
        }
        self.waiting_maps -= taken.len();
        debug_assert_eq!(
            self.waiting_maps,
            self.all.iter().map(Queue::waiting_maps).sum::<usize>(),
            "maps that wait after chunk {fence} is fatal"
        );
        taken
    }

    /// Removes and returns everything that waits.
    pub(super) fn take_all(&mut self) -> Vec<usize> {
        let mut taken = vec![];
        for queue in &mut self.all {
            taken.extend(
                std::mem::take(&mut queue.fresh)
                    .into_iter()
                    .map(|(_, slot)| slot),
            );
            taken.extend(std::mem::take(&mut queue.again).into_values());
            taken.extend(std::mem::take(&mut queue.merges).into_values());
        }
        self.waiting_maps = 0;
        taken
    }
}
