//! The waiting tasks, by lane: one lane for all if any engine will do, else one per target.
//!
//! A lane yields its reduces before its maps and both in order, and counts its dispatches under way. Lanes that may
//! have something to dispatch stand in a queue, so that nobody has to look at all of a thousand targets.

use super::rules::Assignment;
use crate::merge::tree::Node;
use rwasm_value::ids::{ChunkIndex, EngineId};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// See the [module](self). Tasks are slots of the table.
pub(super) struct Lanes {
    all: Vec<Lane>,
    by_target: HashMap<EngineId, usize>,
    /// The lanes to look at next.
    queue: VecDeque<usize>,
    waiting_maps: usize,
}

#[derive(Default)]
struct Lane {
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
    queued: bool,
}

impl Lane {
    fn waiting_maps(&self) -> usize {
        self.fresh.len() + self.again.len()
    }
}

impl Lanes {
    pub(super) fn new(assignment: &Assignment) -> Self {
        let all: Vec<Lane> = match assignment {
            Assignment::Any => vec![Lane::default()],
            Assignment::Fixed(targets) => targets
                .iter()
                .map(|&target| Lane {
                    target: Some(target),
                    ..Lane::default()
                })
                .collect(),
        };
        let targets = all.iter().enumerate();
        let by_target = targets
            .filter_map(|(at, lane)| Some((lane.target?, at)))
            .collect();
        Self {
            all,
            by_target,
            queue: VecDeque::new(),
            waiting_maps: 0,
        }
    }

    /// The lane of a chunk that is fixed to `target`, or to no engine.
    pub(super) fn of(&self, target: Option<EngineId>) -> usize {
        let lane = target.and_then(|target| self.by_target.get(&target).copied());
        debug_assert_eq!(
            lane.is_some(),
            !self.by_target.is_empty(),
            "target {target:?} does not fit the assignment"
        );
        lane.unwrap_or(0)
    }

    /// The engine of the lane.
    pub(super) fn target(&self, lane: usize) -> Option<EngineId> {
        self.all[lane].target
    }

    /// The lane, or the next one after it whose engine is not known to be gone.
    pub(super) fn alive(&self, lane: usize) -> usize {
        let mut around = (lane..self.all.len()).chain(0..lane);
        around.find(|&at| !self.all[at].lost).unwrap_or(lane)
    }

    /// Marks the lane's engine as gone.
    pub(super) fn lose(&mut self, lane: usize) {
        self.all[lane].lost = self.all[lane].target.is_some();
    }

    /// Adds a map that comes after all others so far.
    pub(super) fn add_map(&mut self, lane: usize, index: ChunkIndex, slot: usize) {
        let fresh = &mut self.all[lane].fresh;
        debug_assert!(
            fresh.back().is_none_or(|(last, _)| *last < index),
            "chunk {index} is out of order"
        );
        fresh.push_back((index, slot));
        self.waiting_maps += 1;
        self.wake(lane);
    }

    /// Adds a map that is to run again.
    pub(super) fn add_map_again(&mut self, lane: usize, index: ChunkIndex, slot: usize) {
        self.all[lane].again.insert(index, slot);
        self.waiting_maps += 1;
        self.wake(lane);
    }

    /// Adds a reduce, for the first time or again.
    pub(super) fn add_merge(&mut self, lane: usize, node: Node, slot: usize) {
        self.all[lane].merges.insert(node, slot);
        self.wake(lane);
    }

    /// The number of waiting maps.
    pub(super) fn waiting_maps(&self) -> usize {
        self.waiting_maps
    }

    /// Whether any lane has fewer than `enough` waiting maps.
    pub(super) fn any_short_of(&self, enough: usize) -> bool {
        self.all
            .iter()
            .any(|lane| !lane.lost && lane.waiting_maps() < enough)
    }

    /// Returns a lane that may start another dispatch and has something waiting, until it is [put to
    /// rest](Self::rest).
    pub(super) fn next(&mut self, most_flights: usize) -> Option<usize> {
        while let Some(&at) = self.queue.front() {
            let lane = &self.all[at];
            if lane.flights < most_flights && (!lane.merges.is_empty() || lane.waiting_maps() > 0) {
                return Some(at);
            }
            self.rest();
        }
        None
    }

    /// Puts the lane returned last to rest until it is woken.
    pub(super) fn rest(&mut self) {
        if let Some(at) = self.queue.pop_front() {
            self.all[at].queued = false;
        }
    }

    /// Moves the lane returned last behind the others, after it has started a dispatch.
    pub(super) fn turn(&mut self) {
        self.queue.rotate_left(usize::from(!self.queue.is_empty()));
    }

    /// Wakes a lane, because something has changed for it.
    fn wake(&mut self, at: usize) {
        if !std::mem::replace(&mut self.all[at].queued, true) {
            self.queue.push_back(at);
        }
    }

    /// Wakes all lanes.
    pub(super) fn wake_all(&mut self) {
        for at in 0..self.all.len() {
            self.wake(at);
        }
    }

    /// Counts another dispatch of the lane.
    pub(super) fn flight_started(&mut self, lane: usize) {
        self.all[lane].flights += 1;
    }

    /// Counts a dispatch of the lane as ended.
    pub(super) fn flight_ended(&mut self, lane: usize) {
        debug_assert!(
            self.all[lane].flights > 0,
            "lane {lane} has no dispatch under way"
        );
        self.all[lane].flights -= 1;
        self.wake(lane);
    }

    /// Removes and returns the lane's first reduce: lowest rank, then input order.
    pub(super) fn pop_merge(&mut self, lane: usize) -> Option<usize> {
        self.all[lane].merges.pop_first().map(|(_, slot)| slot)
    }

    /// Returns the lane's first map in input order.
    pub(super) fn first_map(&self, lane: usize) -> Option<(ChunkIndex, usize)> {
        let Lane { fresh, again, .. } = &self.all[lane];
        let again = again.first_key_value().map(|(index, slot)| (*index, *slot));
        match (fresh.front().copied(), again) {
            (Some(fresh), Some(again)) => Some(fresh.min(again)),
            (fresh, again) => fresh.or(again),
        }
    }

    /// Removes and returns the lane's first map in input order.
    pub(super) fn pop_map(&mut self, lane: usize) -> Option<usize> {
        let (index, slot) = self.first_map(lane)?;
        let Lane { fresh, again, .. } = &mut self.all[lane];
        if again.remove(&index).is_none() {
            fresh.pop_front();
        }
        self.waiting_maps -= 1;
        Some(slot)
    }

    /// Removes and returns the maps after chunk `fence`.
    pub(super) fn take_maps_after(&mut self, fence: ChunkIndex) -> Vec<usize> {
        let mut taken = vec![];
        for lane in &mut self.all {
            let kept = lane.fresh.partition_point(|(index, _)| *index <= fence);
            taken.extend(lane.fresh.drain(kept..).map(|(_, slot)| slot));
            taken.extend(
                lane.again
                    .split_off(&ChunkIndex(fence.0.saturating_add(1)))
                    .into_values(),
            );
        }
        self.waiting_maps -= taken.len();
        debug_assert_eq!(
            self.waiting_maps,
            self.all.iter().map(Lane::waiting_maps).sum::<usize>(),
            "maps that wait after chunk {fence} is fatal"
        );
        taken
    }

    /// Removes and returns everything that waits.
    pub(super) fn take_all(&mut self) -> Vec<usize> {
        let mut taken = vec![];
        for lane in &mut self.all {
            taken.extend(
                std::mem::take(&mut lane.fresh)
                    .into_iter()
                    .map(|(_, slot)| slot),
            );
            taken.extend(std::mem::take(&mut lane.again).into_values());
            taken.extend(std::mem::take(&mut lane.merges).into_values());
        }
        self.waiting_maps = 0;
        taken
    }
}
