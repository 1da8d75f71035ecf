//! One task in the machine: its conditions, attempts and state.

use super::retry::Retry;
use super::waiting::Waiting;
use crate::placement::Eligible;
use rwasm_value::ids::EngineId;
use std::time::Duration;

/// What is due. If two are due at once, the one listed first here comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The end of the time that the whole task may take.
    Deadline,
    /// The end of a pause or of the time in the queue: whichever its state has.
    Turn,
}

/// A time limit: when it is reached, and how long it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) at: Duration,
    pub(super) length: Duration,
}

#[derive(Debug)]
pub(super) struct Task {
    /// Narrowed by the jobs it follows once it is ready.
    pub(super) eligible: Eligible,
    /// `None` if no failure is retried, as is usual: a million tasks may wait.
    pub(super) retry: Option<Box<Retry>>,
    pub(super) queue_time: Option<Duration>,
    pub(super) deadline: Option<Limit>,
    /// The number of attempts so far, the present one included.
    pub(super) attempts: u32,
    /// The engine of the last attempt that was reported.
    pub(super) ran_on: Option<EngineId>,
    pub(super) state: TaskState,
}

#[derive(Debug)]
pub(super) enum TaskState {
    /// For its dependencies.
    Waiting(Box<Waiting>),
    /// Until it is tried again.
    Pausing {
        until: Duration,
    },
    UnderWay(UnderWay),
}

/// An attempt from when it is ready until its report.
#[derive(Debug)]
pub(super) struct UnderWay {
    /// Whether the host has taken the decision to start it.
    pub(super) handed_over: bool,
    pub(super) phase: Phase,
    /// When its time in the queue ends.
    pub(super) expires: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Queued,
    /// The host was asked to withdraw it and has not answered.
    Expiring,
    Running,
}

impl Task {
    /// Whether it is too late for any attempt to start.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.deadline.is_some_and(|deadline| deadline.at <= now)
    }

    /// The present attempt, if it has this number and the host has it.
    pub(super) fn attempt(&mut self, attempt: u32) -> Option<&mut UnderWay> {
        if self.attempts != attempt {
            return None;
        }
        self.under_way()
    }

    /// The present attempt, if the host has it.
    pub(super) fn under_way(&mut self) -> Option<&mut UnderWay> {
        match &mut self.state {
            TaskState::UnderWay(under_way) if under_way.handed_over => Some(under_way),
            _ => None,
        }
    }

    /// The entries of the timers that belong to it.
    pub(super) fn timers(&self) -> impl Iterator<Item = (Duration, Due)> {
        let turn = match &self.state {
            TaskState::Waiting(_) => None,
            TaskState::Pausing { until } => Some(*until),
            TaskState::UnderWay(under_way) => under_way.expires,
        };
        let deadline = self.deadline.map(|deadline| (deadline.at, Due::Deadline));
        deadline.into_iter().chain(turn.map(|at| (at, Due::Turn)))
    }
}
