//! What follows from outcomes and failures: which outcomes are due, and how the job ends.

use super::{InputState, Lifecycle, Machine, Outcomes, Placed};
use crate::job::messages::{Decision, Ending};
use crate::job::table::TaskKind;
use crate::job::window::Window;
use rwasm_value::ids::ChunkIndex;

impl<C: Clone, P: Clone, F: Clone, R> Machine<C, P, F, R> {
    pub(super) fn succeeded(&mut self, kind: TaskKind, queue: usize, part: P, size: u64) {
        match (kind, &mut self.outcomes) {
            (TaskKind::Map(index), Outcomes::Ordered(window)) => window.put(index, Ok(part), size),
            (TaskKind::Map(index), Outcomes::AsCompleted) => {
                self.mapped += 1;
                let result = Ok(part);
                self.decided.push_back(Decision::Emit { index, result });
            }
            (TaskKind::Map(index), Outcomes::Reduced(tree)) => {
                self.mapped += 1;
                tree.leaf(index, Some(Placed { part, queue }));
            }
            (TaskKind::Reduce(node), Outcomes::Reduced(tree)) => {
                tree.combined(node, Placed { part, queue });
            }
            (TaskKind::Reduce(node), Outcomes::Ordered(_) | Outcomes::AsCompleted) => {
                debug_assert!(false, "{node:?} of a job without a reducer");
            }
        }
    }

    pub(super) fn failed(&mut self, kind: TaskKind, failure: F) {
        match (kind, &mut self.outcomes) {
            (TaskKind::Map(index), Outcomes::Ordered(window)) => {
                window.put(index, Err(failure), 0);
                if let Some(fence) = self.failures.foresee(index) {
                    self.draw_fence(fence);
                }
            }
            (TaskKind::Map(index), Outcomes::AsCompleted) => {
                if let Err(fatal) = self.failures.add(index, &failure) {
                    return self.end_failed(fatal);
                }
                self.mapped += 1;
                let result = Err(failure);
                self.decided.push_back(Decision::Emit { index, result });
            }
            (TaskKind::Map(index), Outcomes::Reduced(tree)) => {
                match self.failures.add(index, &failure) {
                    Ok(()) => {
                        self.mapped += 1;
                        tree.leaf(index, None);
                    }
                    Err(fatal) if !self.table.has_map_before(fatal.0) => self.end_failed(fatal),
                    Err(fatal) => {
                        // Which failure is told does not depend on who is fast, here as elsewhere.
                        if self.fence.is_none_or(|fence| fatal.0 < fence) {
                            self.draw_fence(fatal.0);
                        }
                        self.fatal = Some(fatal);
                    }
                }
            }
            (TaskKind::Reduce(_), _) => self.end(Ending::MergeFailed { failure }),
        }
    }

    /// Gives up the chunks after `fence`; those before it still run, since one of them may turn out to be fatal.
    fn draw_fence(&mut self, fence: ChunkIndex) {
        let before = self.fence.replace(fence).unwrap_or(ChunkIndex(u64::MAX));
        debug_assert!(
            fence <= before,
            "the fence moved on from {before} to {fence}"
        );
        for slot in self.queues.take_maps_after(fence) {
            self.forget(slot);
        }
        let table = &self.table;
        let beyond = |slot: usize| matches!(table.get(slot), Some(entry) if matches!(entry.kind, TaskKind::Map(index) if index > fence));
        let paused: Vec<usize> = self
            .paused
            .extract_if(|_, slot| beyond(*slot))
            .map(|(_, slot)| slot)
            .collect();
        for slot in paused {
            self.forget(slot);
        }
        let under_way = self.table.maps_under_way(fence, before);
        if !under_way.is_empty() {
            self.decided.push_back(Decision::CancelTasks(under_way));
        }
    }

    /// Draws the conclusions from what has happened: outcomes that are due, and the end.
    pub(super) fn settle(&mut self) {
        if let Lifecycle::Running = self.state {
            match self.outcomes {
                Outcomes::Ordered(_) => self.settle_ordered(),
                Outcomes::AsCompleted => self.settle_as_completed(),
                Outcomes::Reduced(_) => self.settle_reduced(),
            }
        }
        if self.under_way == 0 {
            match std::mem::replace(&mut self.state, Lifecycle::Over) {
                Lifecycle::Ending(ending) => self.decided.push_back(Decision::Done(ending)),
                other => self.state = other,
            }
        }
    }

    fn settle_ordered(&mut self) {
        let Outcomes::Ordered(window) = &mut self.outcomes else {
            return;
        };
        let first = window.next();
        while let Some((index, result)) = window.take_due() {
            if let Err(failure) = &result
                && let Err(fatal) = self.failures.add(index, failure)
            {
                return self.end_failed(fatal);
            }
            self.decided.push_back(Decision::Emit { index, result });
        }
        let next = window.next();
        if next != first && std::mem::take(&mut self.withheld) {
            self.queues.wake_all();
        }
        if next.0 == self.chunks {
            self.end_of_input();
        }
    }

    fn settle_as_completed(&mut self) {
        if self.mapped == self.chunks {
            self.end_of_input();
        }
    }

    /// All outcomes are out: that is the end, if there are to be no more.
    fn end_of_input(&mut self) {
        if matches!(self.input, InputState::Open) {
            return;
        }
        match std::mem::replace(&mut self.input, InputState::Ended) {
            InputState::Broken(reason) => self.end(Ending::Stopped(reason)),
            InputState::Open | InputState::Ended => self.complete(None),
        }
    }

    fn settle_reduced(&mut self) {
        let Outcomes::Reduced(tree) = &mut self.outcomes else {
            return;
        };
        if let Some(fence) = self.fence {
            if !self.table.has_map_before(fence)
                && let Some(fatal) = self.fatal.take()
            {
                self.end_failed(fatal);
            }
            return;
        }
        if matches!(self.input, InputState::Open) || self.mapped < self.chunks {
            return;
        }
        if let Some(merged) = tree.root() {
            self.complete(merged.map(|placed| placed.part));
        } else if let Err(fatal) = self.failures.judge(self.chunks) {
            self.end_failed(fatal);
        }
    }

    fn complete(&mut self, merged: Option<P>) {
        match self.failures.judge(self.chunks) {
            Ok(()) => {
                let (chunks, failures) = (self.chunks, self.failures.count());
                let failed = self.failures.take();
                self.end(Ending::Complete {
                    merged,
                    chunks,
                    failed,
                    failures,
                });
            }
            Err(fatal) => self.end_failed(fatal),
        }
    }

    fn end_failed(&mut self, (index, failure): (ChunkIndex, F)) {
        self.end(Ending::TaskFailed {
            index,
            failure,
            failures: self.failures.count(),
        });
    }

    /// Gives up all that waits and stops what is under way.
    pub(super) fn end(&mut self, ending: Ending<P, F, R>) {
        self.state = Lifecycle::Ending(ending);
        self.outcomes = Outcomes::Ordered(Window::new());
        for slot in self.queues.take_all() {
            self.forget(slot);
        }
        let paused: Vec<usize> = self.paused.drain().map(|(_, slot)| slot).collect();
        for slot in paused {
            self.forget(slot);
        }
        if self.under_way > 0 {
            self.decided.push_back(Decision::Cancel);
        }
    }
}
