//! The machine of one job: events in as methods, decisions out of [`Machine::next_decision`].
//!
//! It owns all of the job's state: the tasks that wait and run, the outcomes that wait for their turn or the merge
//! tree, what is held in memory, and how the job ends. It starts nothing and waits for nobody. A batch of events may
//! be fed before decisions are taken; then they are taken until there are none.

mod settling;

use super::failures::Failures;
use super::flights::Flights;
use super::messages::{
    ChunkFacts, Decision, Ending, Finished, HandedOver, ReadRequest, ReportFate, Retry, Task, Work,
};
use super::pace::{MOST_TASKS, Pace};
use super::queues::Queues;
use super::rules::{Assignment, Delivery, Rules};
use super::table::{Entry, Table, TaskId, TaskKind};
use super::window::Window;
use crate::merge::tree::Tree;
use rwasm_value::ids::ChunkIndex;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// The most chunks that wait to be dispatched: descriptors of files are small, but not nothing.
const WAITING_CHUNKS: usize = 64 << 10;

/// If each chunk's engine is fixed, one engine's chunks may lie far behind another's: this many are read at a time
/// until each engine has its share.
const FIXED_READ: usize = 1024;

/// See the [module](self). `C` is a chunk, `P` a partial result, `F` a failure, `R` a reason to stop; all cheap to
/// clone.
pub(crate) struct Machine<C, P, F, R> {
    rules: Rules,
    table: Table<C, P>,
    queues: Queues,
    flights: Flights,
    pace: Pace,
    failures: Failures<F>,
    outcomes: Outcomes<P, F>,
    input: InputState<R>,
    state: Lifecycle<P, F, R>,
    /// Decisions that are taken and not given out.
    decided: VecDeque<Decision<C, P, F, R>>,
    /// The chunks that came.
    chunks: u64,
    /// The chunks whose outcome is known, where no window counts them.
    mapped: u64,
    /// Tasks that failed and are to run again after a pause, by the attempt that failed.
    paused: HashMap<TaskId, usize>,
    /// Of a job that is to fail: the chunk that is fatal unless one before it is. None after it matters.
    fence: Option<ChunkIndex>,
    /// Of a reduced job that is to fail: the failure at the fence.
    fatal: Option<(ChunkIndex, F)>,
    /// The bytes of unfinished chunks that are in memory.
    held_inputs: u64,
    /// The tasks handed out and not back.
    under_way: usize,
    /// Whether a dispatch was withheld because too many outcomes wait for their turn.
    withheld: bool,
}

/// Where outcomes go.
enum Outcomes<P, F> {
    Ordered(Window<P, F>),
    AsCompleted,
    Reduced(Tree<Placed<P>>),
}

/// A partial result and the queue whose engine made it, which is where it is merged.
struct Placed<P> {
    part: P,
    queue: usize,
}

enum InputState<R> {
    Open,
    Ended,
    /// It broke off; what came before is finished.
    Broken(R),
}

enum Lifecycle<P, F, R> {
    Running,
    /// Decided, and waiting for what is under way.
    Ending(Ending<P, F, R>),
    Over,
}

impl<C: Clone, P: Clone, F: Clone, R> Machine<C, P, F, R> {
    /// A job without chunks.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            table: Table::new(),
            queues: Queues::new(&rules.assignment),
            flights: Flights::new(),
            pace: Pace::new(rules.hand_over.work),
            failures: Failures::new(rules.tolerance),
            outcomes: match rules.delivery {
                Delivery::Ordered => Outcomes::Ordered(Window::new()),
                Delivery::AsCompleted => Outcomes::AsCompleted,
                Delivery::Reduced(shape) => Outcomes::Reduced(Tree::new(shape)),
            },
            input: InputState::Open,
            state: Lifecycle::Running,
            decided: VecDeque::new(),
            chunks: 0,
            mapped: 0,
            paused: HashMap::new(),
            fence: None,
            fatal: None,
            held_inputs: 0,
            under_way: 0,
            withheld: false,
            rules,
        }
    }

    /// The next chunk, in input order. Gives its index. One that comes when it no longer matters is dropped.
    pub(crate) fn chunk(&mut self, chunk: C, facts: ChunkFacts) -> ChunkIndex {
        debug_assert!(
            matches!(self.input, InputState::Open),
            "chunk {} came after the end",
            self.chunks
        );
        let index = ChunkIndex(self.chunks);
        self.chunks += 1;
        if matches!(self.state, Lifecycle::Running) && self.fence.is_none() {
            let queue = self.queues.of(facts.target);
            self.held_inputs += facts.held;
            let slot = self.table.insert(Entry {
                kind: TaskKind::Map(index),
                work: Some(Work::Map(index, chunk)),
                size: facts.size,
                held: facts.held,
                queue,
                attempts: 0,
                flight: None,
            });
            self.queues.add_map(queue, index, slot);
        }
        index
    }

    /// There are no more chunks.
    pub(crate) fn input_end(&mut self) {
        self.close_input(InputState::Ended);
    }

    /// The input broke off. What came before is still delivered; a reduced job has no use for it.
    pub(crate) fn input_failed(&mut self, reason: R) {
        match self.outcomes {
            Outcomes::Ordered(_) | Outcomes::AsCompleted => {
                self.close_input(InputState::Broken(reason));
            }
            Outcomes::Reduced(_) => self.stop(reason),
        }
    }

    fn close_input(&mut self, how: InputState<R>) {
        debug_assert!(
            matches!(self.input, InputState::Open),
            "the input ended twice"
        );
        self.input = how;
        if let (Lifecycle::Running, Outcomes::Reduced(tree)) = (&self.state, &mut self.outcomes) {
            tree.close(self.chunks);
        }
        self.settle();
    }

    /// How much input to read now: enough to keep the engines busy while it is read, and within the memory there is.
    ///
    /// To be asked when what was wanted before has been read.
    pub(crate) fn input_wanted(&self) -> ReadRequest {
        let open = matches!(
            (&self.state, &self.input),
            (Lifecycle::Running, InputState::Open)
        );
        let bytes = self.rules.held_budget.max(1).saturating_sub(self.held());
        if !open || self.fence.is_some() || bytes == 0 {
            return ReadRequest::default();
        }
        let waiting = self.queues.waiting_maps();
        // What one round of dispatches takes, twice: one to go on with, one to be read meanwhile.
        let per_queue = self
            .most_flights()
            .saturating_mul(self.dispatch_size())
            .saturating_mul(2)
            .max(1);
        let room = self
            .rules
            .max_outstanding
            .map_or(usize::MAX, |most| most.saturating_sub(self.outstanding()));
        let chunks = match self.rules.assignment {
            Assignment::Any => {
                let enough = per_queue.min(WAITING_CHUNKS);
                if waiting > enough / 2 {
                    0
                } else {
                    enough - waiting
                }
            }
            // Where all targets are gone, what comes must still get its failure.
            Assignment::Fixed(_) if waiting == 0 || self.queues.any_short_of(per_queue) => {
                FIXED_READ
                    .max(per_queue)
                    .min(WAITING_CHUNKS.saturating_sub(waiting))
            }
            Assignment::Fixed(_) => 0,
        };
        ReadRequest {
            chunks: chunks.min(room),
            bytes,
        }
    }

    /// An attempt has come back.
    pub(crate) fn finished(&mut self, report: Finished<P, F>) -> ReportFate {
        let Some((slot, entry, flight)) = self.table.finish(report.id) else {
            return ReportFate::Ignored;
        };
        let (kind, queue, attempts) = (entry.kind, entry.queue, entry.attempts);
        self.under_way -= 1;
        self.task_back(flight, report.cost);
        let verdict = match report.result {
            _ if !self.matters(kind) => {
                self.forget(slot);
                ReportFate::Ignored
            }
            Err(failed) if failed.retry != Retry::Never && attempts <= self.rules.retries => {
                match failed.retry {
                    Retry::After(pause) if !pause.is_zero() => {
                        self.paused.insert(report.id, slot);
                        self.decided.push_back(Decision::Later {
                            id: report.id,
                            pause,
                        });
                    }
                    retry => self.run_again(slot, kind, queue, retry),
                }
                ReportFate::Retried
            }
            Ok(part) => {
                self.forget(slot);
                self.succeeded(kind, queue, part, report.size);
                ReportFate::Final
            }
            Err(failed) => {
                self.forget(slot);
                self.failed(kind, failed.failure);
                ReportFate::Final
            }
        };
        self.settle();
        verdict
    }

    /// The pause of a task is over. Without effect if it is no longer wanted.
    pub(crate) fn resume(&mut self, id: TaskId) {
        if let Some(slot) = self.paused.remove(&id)
            && let Some((kind, queue)) = self.table.get(slot).map(|entry| (entry.kind, entry.queue))
        {
            self.run_again(slot, kind, queue, Retry::Allowed);
        }
    }

    /// The job is to end now. Without effect where it is ending already.
    pub(crate) fn stop(&mut self, reason: R) {
        if let Lifecycle::Running = self.state {
            self.end(Ending::Stopped(reason));
            self.settle();
        }
    }

    /// What is to be done next; `None` until something has happened.
    pub(crate) fn next_decision(&mut self) -> Option<Decision<C, P, F, R>> {
        if let Some(decision) = self.decided.pop_front() {
            return Some(decision);
        }
        match self.state {
            Lifecycle::Running => self.next_dispatch().map(Decision::Dispatch),
            Lifecycle::Ending(_) | Lifecycle::Over => None,
        }
    }

    fn next_dispatch(&mut self) -> Option<HandedOver<C, P>> {
        self.collect_merges();
        while let Some(queue) = self.queues.next(self.most_flights()) {
            // A job that is to fail merges no more; its chunks before the fence still run.
            if self.fence.is_none()
                && let Some(merge) = self.queues.pop_merge(queue)
            {
                return Some(self.dispatch(queue, false, &[merge]));
            }
            let maps = self.next_maps(queue);
            if !maps.is_empty() {
                return Some(self.dispatch(queue, true, &maps));
            }
            self.queues.rest();
        }
        None
    }

    /// Puts the reduces whose parts are there into the queues of their first parts.
    fn collect_merges(&mut self) {
        let Outcomes::Reduced(tree) = &mut self.outcomes else {
            return;
        };
        while let Some(combine) = tree.next_ready() {
            let queue = self
                .queues
                .alive(combine.parts.first().map_or(0, |first| first.queue));
            let parts = combine
                .parts
                .into_iter()
                .map(|placed| placed.part)
                .collect();
            let slot = self.table.insert(Entry {
                kind: TaskKind::Reduce(combine.node),
                work: Some(Work::Reduce(combine.node, parts)),
                size: None,
                held: 0,
                queue,
                attempts: 0,
                flight: None,
            });
            self.queues.add_merge(queue, combine.node, slot);
        }
    }

    /// The maps of the queue's next dispatch.
    fn next_maps(&mut self, queue: usize) -> Vec<usize> {
        let mut most = self.dispatch_size();
        if !matches!(self.input, InputState::Open) && self.rules.assignment == Assignment::Any {
            // What is left is spread, so that the engines end together.
            let shares = self.rules.engines.saturating_mul(2).max(1);
            most = most.min(self.queues.waiting_maps().div_ceil(shares));
        }
        let only = self.only_map();
        let (mut maps, mut bytes) = (Vec::new(), 0_u64);
        while maps.len() < most
            && let Some((index, slot)) = self.queues.first_map(queue)
        {
            if only.is_some_and(|only| only != index) {
                self.withheld = true;
                break;
            }
            let size = self.table.get(slot).and_then(|entry| entry.size);
            bytes = bytes.saturating_add(size.unwrap_or(u64::MAX));
            if !maps.is_empty() && bytes > self.rules.hand_over.bytes {
                break;
            }
            maps.extend(self.queues.pop_map(queue));
        }
        maps
    }

    /// The only map that may be started where the outcomes that wait fill their half of the budget: the one they
    /// wait for. It has been read, for it comes before them, so the job goes on.
    fn only_map(&self) -> Option<ChunkIndex> {
        match &self.outcomes {
            Outcomes::Ordered(window) if window.held() > self.rules.held_budget / 2 => {
                Some(window.next())
            }
            Outcomes::Ordered(_) | Outcomes::AsCompleted | Outcomes::Reduced(_) => None,
        }
    }

    /// How many tasks go into a dispatch.
    fn dispatch_size(&self) -> usize {
        self.rules
            .dispatch_size
            .map_or_else(|| self.pace.size(), |size| size.clamp(1, MOST_TASKS))
    }

    /// The tasks that have been read and whose outcomes are not out.
    pub(crate) fn outstanding(&self) -> usize {
        let waiting = match &self.outcomes {
            Outcomes::Ordered(window) => window.kept(),
            Outcomes::AsCompleted | Outcomes::Reduced(_) => 0,
        };
        self.table.len() + waiting
    }

    fn dispatch(&mut self, queue: usize, maps: bool, slots: &[usize]) -> HandedOver<C, P> {
        let flight = self.flights.start(queue, maps, slots.len());
        self.queues.flight_started(queue);
        self.queues.turn();
        let mut tasks = Vec::with_capacity(slots.len());
        for &slot in slots {
            let started = self.table.start(slot, flight, self.rules.retries);
            debug_assert!(
                started.is_some(),
                "the task in slot {slot} has nothing to work on"
            );
            tasks.extend(started.map(|(id, attempt, work)| Task { id, attempt, work }));
        }
        self.under_way += tasks.len();
        HandedOver {
            tasks,
            target: self.queues.target(queue),
        }
    }

    /// Sets the number of engines. With none, whatever is dispatched fails, and must.
    pub(crate) fn set_engines(&mut self, engines: usize) {
        let engines = engines.max(1);
        if engines > self.rules.engines {
            self.queues.wake_all();
        }
        self.rules.engines = engines;
    }

    /// The most dispatches under way at a time, per queue.
    fn most_flights(&self) -> usize {
        match self.rules.assignment {
            Assignment::Any => self
                .rules
                .engines
                .saturating_mul(self.rules.hand_over.depth),
            Assignment::Fixed(_) => self.rules.hand_over.depth,
        }
    }

    fn task_back(&mut self, flight: usize, cost: Duration) {
        if let Some(flight) = self.flights.task_back(flight, cost) {
            self.queues.flight_ended(flight.queue);
            if flight.maps {
                self.pace.learn(flight.tasks, flight.cost);
            }
        }
    }

    /// Whether it still makes a difference what becomes of the task.
    fn matters(&self, kind: TaskKind) -> bool {
        let beyond = match (kind, self.fence) {
            (TaskKind::Map(index), Some(fence)) => index > fence,
            (TaskKind::Reduce(_), Some(_)) => true,
            (_, None) => false,
        };
        matches!(self.state, Lifecycle::Running) && !beyond
    }

    /// The task is through, or need not run.
    fn forget(&mut self, slot: usize) {
        if let Some(entry) = self.table.remove(slot) {
            self.held_inputs -= entry.held;
        }
    }

    fn run_again(&mut self, slot: usize, kind: TaskKind, mut queue: usize, retry: Retry) {
        if retry == Retry::Elsewhere {
            self.queues.lose(queue);
            queue = self.queues.alive(queue);
            self.table.move_to(slot, queue);
        }
        match kind {
            TaskKind::Map(index) => self.queues.add_map_again(queue, index, slot),
            TaskKind::Reduce(node) => self.queues.add_merge(queue, node, slot),
        }
    }

    /// The bytes of chunks and of outcomes that are in memory.
    pub(crate) fn held(&self) -> u64 {
        let outcomes = match &self.outcomes {
            Outcomes::Ordered(window) => window.held(),
            Outcomes::AsCompleted | Outcomes::Reduced(_) => 0,
        };
        self.held_inputs.saturating_add(outcomes)
    }
}
