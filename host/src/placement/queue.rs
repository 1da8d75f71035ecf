//! Dispatches that wait, taken in turn from each job that has some.

use super::machine::{Order, Priority};
use crate::ids::{DispatchId, JobId};
use std::collections::{HashMap, VecDeque};

/// See the [module](self).
#[derive(Default)]
pub(super) struct Queue {
    jobs: HashMap<JobId, Waiting>,
    /// The jobs that have something waiting, the next one first.
    turns: VecDeque<JobId>,
}

/// What waits for one job.
#[derive(Default)]
struct Waiting {
    reduces: VecDeque<DispatchId>,
    maps: VecDeque<DispatchId>,
}

impl Queue {
    /// The job whose turn it is.
    pub(super) fn next_job(&self) -> Option<JobId> {
        self.turns.front().copied()
    }

    pub(super) fn push(&mut self, order: &Order) {
        let turns = &mut self.turns;
        let waiting = self.jobs.entry(order.job).or_insert_with(|| {
            turns.push_back(order.job);
            Waiting::default()
        });
        match order.priority {
            Priority::Reduce => waiting.reduces.push_back(order.id),
            Priority::Map => waiting.maps.push_back(order.id),
        }
    }

    /// Takes the first reduce, else the first map, of the job whose turn it is.
    pub(super) fn pop(&mut self) -> Option<(JobId, DispatchId)> {
        let job = self.turns.pop_front()?;
        let waiting = self.jobs.get_mut(&job)?;
        let id = waiting
            .reduces
            .pop_front()
            .or_else(|| waiting.maps.pop_front())?;
        if waiting.reduces.is_empty() && waiting.maps.is_empty() {
            self.jobs.remove(&job);
        } else {
            self.turns.push_back(job);
        }
        Some((job, id))
    }

    /// Takes all that waits for `job`.
    pub(super) fn remove(&mut self, job: JobId) -> Vec<DispatchId> {
        let Some(waiting) = self.jobs.remove(&job) else {
            return Vec::new();
        };
        self.turns.retain(|other| *other != job);
        waiting.reduces.into_iter().chain(waiting.maps).collect()
    }
}
