//! The dispatches under way: a dispatch has ended when all its tasks are back, in whatever order.

use std::time::Duration;

/// How many tasks of a dispatch are out, and what those that are back have cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct TasksOut {
    /// Its queue.
    pub(super) queue: usize,
    /// Whether its tasks are maps.
    pub(super) maps: bool,
    /// The number of its tasks.
    pub(super) tasks: usize,
    /// The total run time of the tasks that are back.
    pub(super) cost: Duration,
    /// The number of tasks that are not back.
    left: usize,
}

/// See the [module](self).
pub(super) struct Flights {
    slots: Vec<TasksOut>,
    free: Vec<usize>,
}

impl Flights {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Starts a dispatch of this many tasks, at least one.
    pub(super) fn start(&mut self, queue: usize, maps: bool, tasks: usize) -> usize {
        debug_assert!(tasks > 0, "a dispatch without tasks");
        let flight = TasksOut {
            queue,
            maps,
            tasks,
            cost: Duration::ZERO,
            left: tasks,
        };
        if let Some(at) = self.free.pop() {
            self.slots[at] = flight;
            return at;
        }
        self.slots.push(flight);
        self.slots.len() - 1
    }

    /// Handles the return of one of its tasks. Returns the flight if it was the last.
    pub(super) fn task_back(&mut self, at: usize, cost: Duration) -> Option<TasksOut> {
        let flight = self.slots.get_mut(at)?;
        debug_assert!(flight.left > 0, "{flight:?} got back more than it carried");
        flight.left -= 1;
        flight.cost = flight.cost.saturating_add(cost);
        if flight.left > 0 {
            return None;
        }
        self.free.push(at);
        Some(*flight)
    }
}
