//! The tasks that failed for good, and whether there are too many.
//!
//! The failure that ends an ordered job does not depend on which engine is faster: if `n` failures are tolerated, it
//! is the one with `n` others before it in input order, and an earlier one may still take its place until all before
//! it have ended.

use super::rules::Tolerance;
use rwasm_value::ids::ChunkIndex;
use std::collections::{BTreeMap, BTreeSet};

/// The number of failures that are kept to be reported; the rest are only counted.
const KEPT_FAILURES: usize = 100;

/// See the [module](self).
pub(super) struct Failures<F> {
    tolerance: Tolerance,
    /// The first failures in input order.
    kept: BTreeMap<ChunkIndex, F>,
    count: u64,
    /// In ordered jobs: failures that have not been delivered, as far as they may be the fatal one.
    waiting: BTreeSet<ChunkIndex>,
}

impl<F: Clone> Failures<F> {
    pub(super) fn new(tolerance: Tolerance) -> Self {
        // No share of any number of tasks: that need not wait for the end.
        let tolerance = if tolerance == Tolerance::Percent(0.0) {
            Tolerance::Count(0)
        } else {
            tolerance
        };
        Self {
            tolerance,
            kept: BTreeMap::new(),
            count: 0,
            waiting: BTreeSet::new(),
        }
    }

    /// The number of failures so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Handles a failure in an ordered job before its turn. Returns the chunk that is fatal unless others before it
    /// fail too: nothing after it matters any more.
    pub(super) fn foresee(&mut self, index: ChunkIndex) -> Option<ChunkIndex> {
        let Tolerance::Count(allowed) = self.tolerance else {
            return None;
        };
        self.waiting.insert(index);
        let left = usize::try_from(allowed.saturating_sub(self.count)).unwrap_or(usize::MAX);
        while self.waiting.len() > left.saturating_add(1) {
            self.waiting.pop_last();
        }
        if self.waiting.len() > left {
            self.waiting.last().copied()
        } else {
            None
        }
    }

    /// Counts a failed task: in input order in an ordered job, as they come in another. `Err` is the fatal one.
    pub(super) fn add(&mut self, index: ChunkIndex, failure: &F) -> Result<(), (ChunkIndex, F)> {
        self.waiting.remove(&index);
        self.count += 1;
        self.kept.insert(index, failure.clone());
        if self.kept.len() > KEPT_FAILURES {
            self.kept.pop_last();
        }
        match self.tolerance {
            Tolerance::Count(allowed) if self.count > allowed => Err(self
                .fatal(allowed)
                .unwrap_or_else(|| (index, failure.clone()))),
            Tolerance::Count(_) | Tolerance::Percent(_) => Ok(()),
        }
    }

    /// Judges the failures once all `tasks` tasks have ended. `Err` is the fatal one.
    pub(super) fn judge(&self, tasks: u64) -> Result<(), (ChunkIndex, F)> {
        let allowed = self.tolerance.allowed(tasks);
        let last_kept = || {
            self.kept
                .last_key_value()
                .map(|(index, failure)| (*index, failure.clone()))
        };
        match self.fatal(allowed).or_else(last_kept) {
            Some(fatal) if self.count > allowed => Err(fatal),
            _ => Ok(()),
        }
    }

    /// Returns the kept failures, in input order.
    pub(super) fn take(&mut self) -> Vec<(ChunkIndex, F)> {
        std::mem::take(&mut self.kept).into_iter().collect()
    }

    /// The first failure that is one too many, if it was kept.
    fn fatal(&self, allowed: u64) -> Option<(ChunkIndex, F)> {
        let (index, failure) = self.kept.iter().nth(usize::try_from(allowed).ok()?)?;
        Some((*index, failure.clone()))
    }
}
