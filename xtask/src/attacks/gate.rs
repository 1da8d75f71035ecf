//! Lets attackers work and pause, all at once.

use anyhow::Result;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Closed at first.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_open: bool,
    is_over: bool,
    /// Attackers in the middle of a step.
    busy: usize,
    steps: u64,
    /// Why something did not end as it must.
    failed: Option<String>,
}

impl Gate {
    /// Does one step after the other while the gate is open, until it is over.
    pub(super) fn repeat(&self, step: impl Fn(u64) -> Result<()>) {
        while let Some(number) = self.enter() {
            self.note(step(number));
            self.lock().busy -= 1;
            self.changed.notify_all();
        }
    }

    /// Keeps the first error.
    pub(super) fn note(&self, done: Result<()>) {
        if let Err(error) = done {
            let mut state = self.lock();
            state.failed.get_or_insert(format!("{error:#}"));
        }
    }

    pub(super) fn open(&self) {
        self.lock().is_open = true;
        self.changed.notify_all();
    }

    /// Returns when every attacker has ended its step.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_open = false;
        while state.busy > 0 {
            state = self.wait(state);
        }
    }

    pub(super) fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// How many steps there were, and the first error.
    pub(super) fn steps(&self) -> (u64, Option<String>) {
        let state = self.lock();
        (state.steps, state.failed.clone())
    }

    /// The number of the next step; none if all is over.
    fn enter(&self) -> Option<u64> {
        let mut state = self.lock();
        while !state.is_open && !state.is_over {
            state = self.wait(state);
        }
        if state.is_over {
            return None;
        }
        state.busy += 1;
        state.steps += 1;
        Some(state.steps)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let woken = self.changed.wait(state);
        woken.unwrap_or_else(PoisonError::into_inner)
    }
}
