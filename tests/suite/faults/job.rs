//! A map that runs while things fail, and whose outcomes are checked as they come: each once, each the right one.

use super::PATIENCE;
use crate::support::numbers;
use rwasm_cluster::{Cluster, Map};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Short naps, until it is told to end.
pub(super) struct Naps {
    map: Map<u64>,
    seen: Vec<bool>,
    count: usize,
    is_over: Arc<AtomicBool>,
    begun: Instant,
}

/// How long the task at that place sleeps, which is what it gives.
fn nap(place: u64) -> u64 {
    place % 3
}

impl Naps {
    /// At most `most` at a time; as they end, not in order.
    pub(super) fn start(cluster: &Cluster, most: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let naps = (0..most as u64).map(nap).take_while({
            let is_over = Arc::clone(&is_over);
            move |_| !is_over.load(Ordering::Relaxed)
        });
        let view = cluster.load_balanced_view().unordered();
        Self {
            map: view.map(&numbers().nap, naps).expect("it begins"),
            seen: Vec::new(),
            count: 0,
            is_over,
            begun: Instant::now(),
        }
    }

    /// How many outcomes were taken.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Takes the next outcome; false where there are no more.
    fn take_one(&mut self, patience: Duration) -> Option<bool> {
        let Ok(next) = self.map.next_timeout(patience) else {
            return None;
        };
        let Some((place, outcome)) = next else {
            return Some(false);
        };
        let value = outcome.unwrap_or_else(|error| panic!("task {place}: {error}"));
        assert_eq!(value, nap(place), "task {place}");
        let at = usize::try_from(place).expect("it fits");
        self.seen.resize(self.seen.len().max(at + 1), false);
        assert!(!self.seen[at], "task {place} has two outcomes");
        self.seen[at] = true;
        self.count += 1;
        Some(true)
    }

    /// Takes `count` outcomes; the longest time that it took until the next came.
    #[track_caller]
    pub(super) fn take(&mut self, count: usize) -> Duration {
        let mut longest = Duration::ZERO;
        for _ in 0..count {
            let asked = Instant::now();
            let taken = self.take_one(PATIENCE);
            assert_eq!(taken, Some(true), "after {} outcomes", self.count);
            longest = longest.max(asked.elapsed());
        }
        longest
    }

    /// Takes the outcomes that arrive within this time.
    pub(super) fn take_for(&mut self, time: Duration) {
        let begun = Instant::now();
        while let Some(left) = time.checked_sub(begun.elapsed()) {
            self.take_one(left);
        }
    }

    /// Takes the rest; all that were begun have one outcome. How many these were, and how long it took.
    #[track_caller]
    pub(super) fn end(mut self) -> (usize, Duration) {
        self.is_over.store(true, Ordering::Relaxed);
        loop {
            match self.take_one(PATIENCE) {
                Some(true) => {}
                Some(false) => break,
                None => panic!("it does not end after {} outcomes", self.count),
            }
        }
        assert!(self.seen.iter().all(|seen| *seen), "a task has no outcome");
        let stats = self.map.stats().expect("it ended well");
        assert!(stats.tasks >= self.count as u64);
        (self.count, self.begun.elapsed())
    }
}
