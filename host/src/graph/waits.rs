//! Which tasks wait for which jobs.

use rwasm_value::ids::JobId;
#[cfg(test)]
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// A task that waits for a job, and the dependency that makes it.
pub(super) type Waiter = (JobId, usize);

/// All pairs of a job and a task that waits for it. One ordered set rather than a list per job: a job that nobody
/// waits for costs nothing, and each pair can be removed even if a hundred thousand tasks wait for the same job.
#[derive(Debug, Default)]
pub(super) struct Waits {
    pairs: BTreeSet<(JobId, Waiter)>,
}

impl Waits {
    pub(super) fn add(&mut self, job: JobId, waiter: Waiter) {
        self.pairs.insert((job, waiter));
    }

    pub(super) fn remove(&mut self, job: JobId, waiter: Waiter) {
        self.pairs.remove(&(job, waiter));
    }

    /// Whether any task waits for this job.
    pub(super) fn contains(&self, job: JobId) -> bool {
        self.pairs.range(all_of(job)).next().is_some()
    }

    /// Removes and returns all who wait for this job, in order.
    pub(super) fn take(&mut self, job: JobId) -> Vec<Waiter> {
        let waiters: Vec<_> = self
            .pairs
            .range(all_of(job))
            .map(|(_, waiter)| *waiter)
            .collect();
        for waiter in &waiters {
            self.pairs.remove(&(job, *waiter));
        }
        waiters
    }

    pub(super) fn clear(&mut self) {
        self.pairs.clear();
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Whether each of these waits for this many jobs, and nobody else for any.
    #[cfg(test)]
    pub(super) fn check(&self, wanted: &BTreeMap<Waiter, usize>) {
        let mut found = BTreeMap::new();
        for (_, waiter) in &self.pairs {
            *found.entry(*waiter).or_insert(0) += 1;
        }
        assert_eq!(&found, wanted, "{:?}", self.pairs);
    }
}

fn all_of(job: JobId) -> RangeInclusive<(JobId, Waiter)> {
    let (first, last) = ((JobId(0), 0), (JobId(u64::MAX), usize::MAX));
    (job, first)..=(job, last)
}
