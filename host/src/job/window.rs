//! The outcomes of an ordered job that arrived before their turn.

use rwasm_value::ids::ChunkIndex;
use std::collections::VecDeque;

/// What an outcome costs to keep, beside its bytes: outcomes without bytes must not pile up unseen.
const OUTCOME_OVERHEAD: u64 = 64;

/// Holds outcomes until all before them are out.
pub(super) struct Window<P, F> {
    /// The first chunk whose outcome is not out.
    next: u64,
    /// The outcomes from `next` on, with what they hold.
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

    /// The first chunk whose outcome is not out; unless an outcome is due, it has not come yet.
    pub(super) fn next(&self) -> ChunkIndex {
        ChunkIndex(self.next)
    }

    /// The bytes that are kept.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// How many outcomes are kept.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// Takes in the outcome of chunk `index`, of `size` bytes.
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

    /// The next outcome in input order, if it has come.
    pub(super) fn take_due(&mut self) -> Option<(ChunkIndex, Result<P, F>)> {
        let (outcome, held) = self.waiting.front_mut()?.take()?;
        self.waiting.pop_front();
        self.held -= held;
        self.kept -= 1;
        self.next += 1;
        Some((ChunkIndex(self.next - 1), outcome))
    }
}
