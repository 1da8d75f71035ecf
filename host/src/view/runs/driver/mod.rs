//! The driver of a job: the thread that owns its machine and does what it decides.
//!
//! Events come to its inbox from the reader (chunks), the engines (outcomes) and the handle
//! (stop); decisions go out as dispatches to the backend, wishes to the reader and outcomes to
//! the handle. It waits for nothing but its inbox. While the handle is slow to take outcomes it
//! decides nothing new: that is what bounds the memory of a job nobody reads.
//!
//! A [`Context`] describes the job and never changes; the [`Driver`] has the rest. `flights` hands tasks over,
//! `answers` receives their outcomes, and `outbox` delivers those that are due to the handle.

mod answers;
mod flights;
mod outbox;

use super::ending::{Fault, Part, Stopped, conclude, unchanged};
use super::pieces::{Piece, Total};
use super::plan::Plan;
use super::reader::Reader;
use super::recording::Recording;
use crate::backend::Backend;
use crate::dispatch::{DispatchPreset, Pushed, Reply};
use crate::graph::Retry;
use crate::job::assign::blocks;
use crate::job::{ChunkFacts, Decision, Ending, Machine, ReadRequest, TaskId};
use crate::merge::Fold;
use crate::observe::{ObservedMerge, TaskRef};
use crate::placement::Eligible;
use crate::timers::Timers;
use crate::view::shared::elements::ElementBuffers;
use crate::view::shared::events::{Event, Progress};
use crate::view::shared::result::{JobError, JobResult, TaskRecord};
use crate::view::shared::slot::{Done, Slot};
use crate::view::shared::stats::JobStats;
use crate::view::shared::tenant::TenantRoom;
use flights::Flights;
use outbox::Outbox;
use rwasm_sandbox::input::InputWatch;
use rwasm_sandbox::outcome::{Attempt, Origin, Outcome};
use rwasm_value::ids::{ChunkIndex, DispatchId, EngineId};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

/// What a job is, for as long as it runs.
pub(crate) struct Context {
    pub(crate) plan: Plan,
    /// What all its dispatches have in common.
    pub(crate) preset: DispatchPreset,
    /// The engines of a direct view.
    pub(crate) targets: Option<Vec<EngineId>>,
    /// The number of engines when the job was made.
    pub(crate) engine_count: usize,
    /// How much input there is.
    pub(crate) total: Total,
    /// What is noticed of its inputs while they are read.
    pub(crate) watch: InputWatch,
    pub(crate) retry: Retry,
    /// The time that a task may wait for an engine.
    pub(crate) queue_time: Option<Duration>,
    /// How long the whole job may take.
    pub(crate) deadline: Option<Duration>,
    /// Whether a job in which a task failed has failed, although it tolerates that.
    pub(crate) failures_count: bool,
    pub(crate) keep_records: bool,
    /// What is pushed to the engines.
    pub(crate) pushed: Option<Arc<Pushed>>,
    /// Where the end of the job is told.
    pub(crate) slot: Arc<Slot>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) dispatch_ids: Arc<AtomicU64>,
    pub(crate) reply: Arc<dyn Reply>,
    /// Where the handle reads the elements of tasks that run.
    pub(crate) elements: Option<Arc<ElementBuffers>>,
}

impl Context {
    /// When the queue time of a task that is ready now is over.
    fn start_by(&self) -> Option<Instant> {
        Instant::now().checked_add(self.queue_time?)
    }
}

/// The initial values of what changes while a driver runs.
pub(crate) struct Beginnings {
    pub(crate) machine: Machine<Piece, Part, Fault, Stopped>,
    pub(crate) fold: Option<Fold>,
    /// The engines of a balanced view.
    pub(crate) eligible: Eligible,
    /// Whether something must end before the job begins.
    pub(crate) waits: bool,
    /// The job's record in the history, if it has one.
    pub(crate) recording: Option<Recording>,
    pub(crate) outcomes: tokio::sync::mpsc::Sender<Vec<(Origin, Outcome)>>,
    /// What it has in the queue of its tenant.
    pub(crate) room: Option<TenantRoom>,
}

/// The driver: what changes while a job runs, and what the job is.
pub(crate) struct Driver {
    context: Context,
    /// What waits in it are answers of dispatches in flight, which the machine's budget bounds, one notice of the reader, and
    /// what the job's handle asks for.
    inbox: Receiver<Event>,
    machine: Machine<Piece, Part, Fault, Stopped>,
    fold: Option<Fold>,
    recording: Option<Recording>,
    eligible: Eligible,
    flights: Flights,
    outbox: Outbox,
    begun: Instant,
    stats: JobStats,
    wish_pending: bool,
    input_ended: bool,
    deadline_passed: bool,
    /// What the job waits for has not ended.
    waits: bool,
    /// Tasks that are to be tried again, and when.
    pauses: Timers<Instant, TaskId>,
    /// When the time in the queue of a dispatch is over.
    expiries: Timers<Instant, DispatchId>,
    /// The attempts before, of tasks that failed and are tried again.
    earlier: HashMap<ChunkIndex, Vec<Attempt>>,
    records: Vec<TaskRecord>,
    /// What it has in the queue of its tenant.
    room: Option<TenantRoom>,
    /// Results that are being merged here, if that is observed.
    merging: Option<Merging>,
}

/// Results that are merged one after the other, for whoever observes that.
struct Merging {
    started: SystemTime,
    clock: Instant,
    parts: Vec<TaskRef>,
}

impl Merging {
    fn begin() -> Self {
        Self {
            started: SystemTime::now(),
            clock: Instant::now(),
            parts: Vec::new(),
        }
    }

    fn add(&mut self, made_by: TaskRef) {
        self.parts.push(made_by);
    }

    fn end(self, preset: &DispatchPreset) {
        if let Some(observer) = &preset.observer {
            observer.merged(&ObservedMerge {
                job: preset.job,
                started: self.started,
                took: self.clock.elapsed(),
                parts: &self.parts,
            });
        }
    }
}

/// Events that are taken in before deciding anew.
const EVENTS_AT_ONCE: usize = 256;

impl Driver {
    pub(crate) fn new(context: Context, inbox: Receiver<Event>, begin: Beginnings) -> Self {
        Self {
            inbox,
            machine: begin.machine,
            fold: begin.fold,
            recording: begin.recording,
            eligible: begin.eligible,
            flights: Flights::default(),
            outbox: Outbox::new(begin.outcomes),
            begun: Instant::now(),
            stats: JobStats {
                engine_count: context.engine_count,
                ..JobStats::default()
            },
            wish_pending: false,
            input_ended: false,
            deadline_passed: false,
            waits: begin.waits,
            pauses: Timers::default(),
            expiries: Timers::default(),
            earlier: HashMap::new(),
            records: Vec::new(),
            room: begin.room,
            merging: None,
            context,
        }
    }

    /// Runs the job to its end.
    pub(crate) fn run(mut self, mut reader: Reader) -> Result<JobResult, JobError> {
        self.begun = Instant::now();
        let ending = self.until_the_end(&reader);
        while !self.outbox.deliver() {
            self.wait(&reader);
        }
        reader.end();
        self.stats.wall_time = self.begun.elapsed();
        self.stats.chunks = self.context.progress.chunks_read.load(Ordering::Relaxed);
        // Whoever hears of the end finds nothing of it in the queue.
        self.room = None;
        let engines = self.stats.engines.keys().copied().collect();
        let (usage, wall_time) = (self.stats.usage, self.stats.wall_time);
        let context = self.context;
        let result = conclude(
            ending,
            self.fold,
            context.deadline,
            self.stats,
            self.records,
        );
        let result = result.and_then(|result| unchanged(result, context.watch.changes()));
        let result = result.map_err(|ended| {
            let (error, failed) = *ended;
            // The first to set it, since a job ends once.
            let _ = context.progress.failed.set(failed);
            error
        });
        if let Some(recording) = self.recording {
            recording.end(&result, self.input_ended);
        }
        let success = result
            .as_ref()
            .is_ok_and(|result| result.failures == 0 || !context.failures_count);
        context
            .slot
            .fill(Done::job(success, usage, engines, wall_time));
        result
    }

    /// Handles events and carries out decisions until the machine decides how the job ends.
    fn until_the_end(&mut self, reader: &Reader) -> Ending<Part, Fault, Stopped> {
        loop {
            if self.context.targets.is_none() && matches!(self.eligible, Eligible::Any) {
                self.machine
                    .set_engines(self.context.backend.engine_count());
            }
            // While the handle is slow to take outcomes, none are added; what comes is taken in.
            let may_decide = self.outbox.deliver() || self.deadline_passed;
            if may_decide && let Some(ending) = self.decide() {
                return ending;
            }
            self.outbox.deliver();
            if !self.wish_pending && !self.input_ended && !self.waits {
                let wanted = self.input_wanted();
                if wanted.chunks > 0 {
                    self.wish_pending = true;
                    reader.want(wanted);
                }
            }
            self.wait(reader);
            if let Some(recording) = &mut self.recording {
                recording.hand_over();
            }
        }
    }

    /// How much input to read now, within the budget of its tenant. A job that has tasks is asked again when one of them
    /// has ended, and one that has none may always read one.
    fn input_wanted(&mut self) -> ReadRequest {
        let mut wanted = self.machine.input_wanted();
        if let Some(room) = &mut self.room {
            room.set(self.machine.outstanding() as u64, self.machine.held());
            let (tasks, bytes) = room.left();
            wanted.chunks = if bytes == 0 {
                0
            } else {
                wanted.chunks.min(tasks)
            };
            wanted.bytes = wanted.bytes.min(bytes);
        }
        wanted
    }

    /// Takes in what has happened: at least one event, the deadline, or the end of a pause.
    fn wait(&mut self, reader: &Reader) {
        let deadline = self
            .context
            .deadline
            .filter(|_| !self.deadline_passed)
            .and_then(|deadline| self.begun.checked_add(deadline));
        let due = [deadline, self.pauses.first(), self.expiries.first()];
        let first = match due.into_iter().flatten().min() {
            None => self.inbox.recv().ok(),
            Some(wake) => {
                let left = wake.saturating_duration_since(Instant::now());
                self.inbox.recv_timeout(left).ok()
            }
        };
        let now = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline_passed = true;
            self.machine.stop(Stopped::Deadline);
        }
        while let Some(task) = self.pauses.pop(now) {
            self.machine.resume(task);
        }
        while let Some(dispatch) = self.expiries.pop(now) {
            self.expire(dispatch);
        }
        let Some(first) = first else { return };
        self.receive(first, reader);
        for _ in 1..EVENTS_AT_ONCE {
            match self.inbox.try_recv() {
                Ok(event) => self.receive(event, reader),
                Err(_) => break,
            }
        }
    }

    fn receive(&mut self, event: Event, reader: &Reader) {
        match event {
            Event::Read => self.take_in(reader.take()),
            Event::WishServed => {
                self.wish_pending = false;
                self.take_in(reader.take());
            }
            Event::InputEnd => {
                self.take_in(reader.take());
                self.end_input();
                self.machine.input_end();
            }
            Event::InputFailed(error) => {
                self.take_in(reader.take());
                self.end_input();
                self.machine.input_failed(Stopped::Input(error));
            }
            Event::InputPanicked(text) => {
                self.take_in(reader.take());
                self.end_input();
                self.machine.input_failed(Stopped::Panicked(text));
            }
            Event::Begin(Ok(eligible)) => {
                self.waits = false;
                if self.context.targets.is_none() {
                    self.eligible = eligible;
                }
            }
            Event::Begin(Err(failure)) => self.machine.stop(Stopped::Waiting(failure)),
            Event::Detach => self.outbox.close(),
            Event::Answer(answer) => self.finished(answer),
            Event::Taken => {}
            Event::Stop => {
                self.outbox.close();
                self.machine.stop(Stopped::Cancelled);
            }
        }
    }

    fn take_in(&mut self, pieces: Vec<Piece>) {
        self.context
            .progress
            .chunks_read
            .fetch_add(pieces.len() as u64, Ordering::Relaxed);
        let total = self.context.total.number();
        let start_by = self.context.start_by();
        for mut piece in pieces {
            piece.start_by = start_by;
            if let Some(recording) = &mut self.recording {
                recording.read(&mut piece);
            }
            let targets = self.context.targets.as_ref();
            let target = targets.map(|targets| blocks(piece.position, total, piece.index, targets));
            let facts = ChunkFacts {
                size: piece.size,
                held: piece.held,
                target,
            };
            self.machine.chunk(piece, facts);
        }
    }

    fn end_input(&mut self) {
        self.wish_pending = false;
        self.input_ended = true;
        let progress = &self.context.progress;
        progress.input_ended.store(true, Ordering::Relaxed);
    }

    /// Does what the machine decides; its last decision ends the job.
    fn decide(&mut self) -> Option<Ending<Part, Fault, Stopped>> {
        let ending = self.do_what_is_decided();
        if let Some(merging) = self.merging.take() {
            merging.end(&self.context.preset);
        }
        ending
    }

    fn do_what_is_decided(&mut self) -> Option<Ending<Part, Fault, Stopped>> {
        while let Some(decision) = self.machine.next_decision() {
            match decision {
                Decision::Dispatch(dispatch) => self.dispatch(dispatch),
                Decision::Emit { index, result } => self.emit(index, result),
                Decision::Later { id, pause } => {
                    if let Some(end) = Instant::now().checked_add(pause) {
                        self.pauses.set(end, id);
                    }
                }
                Decision::CancelTasks(tasks) => self.flights.stop_tasks(&tasks),
                Decision::Cancel => {
                    self.flights.stop_all();
                    self.context.backend.cancel(self.context.preset.job);
                }
                Decision::Done(ending) => return Some(ending),
            }
        }
        None
    }

    /// Merges or delivers the next outcome in input order.
    fn emit(&mut self, index: ChunkIndex, result: Result<Part, Fault>) {
        match (result, &mut self.fold) {
            (Ok(part), Some(fold)) => {
                if self.context.preset.observer.is_some() {
                    self.merging
                        .get_or_insert_with(Merging::begin)
                        .add(part.made_by);
                }
                if let Err(error) = fold.push(&part.value) {
                    self.machine.stop(Stopped::Merge(error));
                }
            }
            (Err(_), Some(_)) => {}
            (Ok(Part { value, told, .. }), None) => {
                debug_assert!(told.is_some(), "outcome {index} is delivered");
                if let Some(told) = told {
                    let (origin, usage) = *told;
                    let result = Ok(value);
                    self.outbox.put(origin, Outcome { result, usage });
                }
            }
            (Err(fault), None) => {
                let outcome = Outcome {
                    result: Err(fault.failure),
                    usage: *fault.usage,
                };
                self.outbox.put(fault.origin, outcome);
            }
        }
    }
}
