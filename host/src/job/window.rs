//! The outcomes of an ordered job that arrived before their turn.

use rwasm_value::ids::ChunkIndex;
use std::collections::VecDeque;

/// The overhead of a kept outcome in bytes, so that outcomes without bytes do not pile up unnoticed.
const OUTCOME_OVERHEAD: u64 = 64;

/// Holds outcomes until all before them are delivered.
pub(super) struct Window<P, F> {
    /// The first chunk whose outcome is not delivered.
    next: u64,
    /// The outcomes from `next` on, with their sizes.
    waiting: VecDeque<Option<(Result<P, F>, u64)>>,
    held: u64,
    kept: usize,
}

impl<P, F> Window<P, F> {
    pub(super) fn new() -> Self {
        Self {
            next: 0,
            waiting: VecDeque::new(),
            held: 0,
            kept: 0,
        }
    }

    /// The first chunk whose outcome is not delivered; unless an outcome is due, it has not arrived yet.
    pub(super) fn next(&self) -> ChunkIndex {
        ChunkIndex(self.next)
    }

    /// The bytes that are held.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// The number of outcomes held.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// Adds the outcome of chunk `index`, of `size` bytes.
    pub(super) fn put(&mut self, index: ChunkIndex, outcome: Result<P, F>, size: u64) {
        let Some(at) = index
            .0
            .checked_sub(self.next)
            .and_then(|at| usize::try_from(at).ok())
        else {
            debug_assert!(false, "chunk {index} has an outcome before {}", self.next);
            return;
        };
        while self.waiting.len() <= at {
            self.waiting.push_back(None);
        }
        debug_assert!(self.waiting[at].is_none(), "chunk {index} has two outcomes");
        let held = size.saturating_add(OUTCOME_OVERHEAD);
        self.held += held;
        self.kept += 1;
        self.waiting[at] = Some((outcome, held));
    }

    /// Returns the next outcome in input order, if it has arrived.
    pub(super) fn take_due(&mut self) -> Option<(ChunkIndex, Result<P, F>)> {
        let (outcome, held) = self.waiting.front_mut()?.take()?;
        self.waiting.pop_front();
        self.held -= held;
        self.kept -= 1;
        self.next += 1;
        Some((ChunkIndex(self.next - 1), outcome))
    }
}
