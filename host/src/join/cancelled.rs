//! What is no longer wanted, so that it is not begun when it arrives.

use super::granted::forget_oldest;
use super::worker::Name;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Cancelled messages that are remembered in case they arrive later: some 20 MB, since names have a length. Whoever
/// cancels more of them at once takes most out of the queue.
const CANCELLED: usize = 1 << 17;

/// Cancelled jobs that are refused as a whole at a time.
const JOBS: usize = 1 << 12;

/// How long a cancelled job is refused as a whole: by then, everything that was on its way has arrived. A durable job
/// may be retried later.
pub(super) const WHOLE_JOB: Duration = Duration::from_secs(10);

/// See the [module](self).
#[derive(Default)]
pub(super) struct Cancelled {
    names: HashSet<Name>,
    order: VecDeque<Name>,
    /// Jobs that are refused as a whole, for a while.
    jobs: HashMap<Arc<str>, Instant>,
}

/// The part of a job that is no longer wanted.
#[derive(Clone, Copy)]
pub(super) enum Scope {
    Message,
    Job,
}

impl Cancelled {
    pub(super) fn add(&mut self, name: Name) {
        if self.names.insert(name.clone()) {
            self.order.push_back(name);
            if self.order.len() > CANCELLED
                && let Some(oldest) = self.order.pop_front()
            {
                self.names.remove(&oldest);
            }
        }
    }

    pub(super) fn add_job(&mut self, job: Arc<str>) {
        self.jobs.retain(|_, since| since.elapsed() < WHOLE_JOB);
        forget_oldest(&mut self.jobs, JOBS, |since| *since);
        self.jobs.insert(job, Instant::now());
    }

    /// How much is no longer wanted, if this is not.
    pub(super) fn find(&self, name: &Name) -> Option<Scope> {
        if self.names.contains(name) {
            return Some(Scope::Message);
        }
        let since = self.jobs.get(&name.0)?;
        (since.elapsed() < WHOLE_JOB).then_some(Scope::Job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_cancelled_messages_are_remembered_and_the_last_ones() {
        let mut cancelled = Cancelled::default();
        let name = |number: usize| (Arc::from("job"), Arc::from(number.to_string()));
        for number in 0..CANCELLED + 5 {
            cancelled.add(name(number));
            cancelled.add(name(number));
        }
        assert_eq!(
            (cancelled.names.len(), cancelled.order.len()),
            (CANCELLED, CANCELLED)
        );
        assert!(!cancelled.names.contains(&name(4)) && cancelled.names.contains(&name(5)));
    }
}
