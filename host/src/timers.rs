//! Times at which something is due, in order, each removable. The graph's machine and the drivers of jobs keep their
//! pauses and time limits in it.

use std::collections::BTreeSet;

/// What is due and when, in the order of the times. `D` is what is due, and orders what is due at the same time.
#[derive(Debug)]
pub(crate) struct Timers<T, D> {
    entries: BTreeSet<(T, D)>,
}

impl<T, D> Default for Timers<T, D> {
    fn default() -> Self {
        Self {
            entries: BTreeSet::new(),
        }
    }
}

impl<T: Copy + Ord, D: Ord> Timers<T, D> {
    pub(crate) fn set(&mut self, at: T, due: D) {
        self.entries.insert((at, due));
    }

    pub(crate) fn unset(&mut self, at: T, due: D) {
        self.entries.remove(&(at, due));
    }

    /// The time of the first.
    pub(crate) fn first(&self) -> Option<T> {
        self.entries.first().map(|(at, _)| *at)
    }

    /// Takes the first of those due by now.
    pub(crate) fn pop(&mut self, now: T) -> Option<D> {
        if self.first()? > now {
            return None;
        }
        self.entries.pop_first().map(|(_, due)| due)
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn check(&self, wanted: &BTreeSet<(T, D)>)
    where
        T: std::fmt::Debug,
        D: std::fmt::Debug,
    {
        assert_eq!(&self.entries, wanted);
    }
}
