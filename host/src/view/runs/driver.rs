//! The driver of a job: the thread that owns its machine and does what it decides.
//!
//! Events come to its inbox from the reader (chunks), the engines (outcomes) and the handle
//! (stop); decisions go out as dispatches to the backend, wishes to the reader and outcomes to
//! the handle. It waits for nothing but its inbox. While the handle is slow to take outcomes it
//! decides nothing new: that is what bounds the memory of a job nobody reads.

use super::ending::{Fault, Part, Stopped, conclude};
use super::pieces::{Piece, Total};
use super::plan::Plan;
use super::reader::Reader;
use super::recording::Recording;
use crate::backend::Backend;
use crate::dispatch::{
    Answer, Course, Dispatch, DispatchedTask, Owner, Pushed, Reply, Reuse, TaskInput,
};
use crate::graph::Retry;
use crate::job::assign::blocks;
use crate::job::{
    ChunkFacts, Decision, Ending, Failed, Finished, Machine, Retry as Again, TaskId, Verdict, Work,
};
use crate::merge::Fold;
use crate::placement::{Eligible, Stage};
use crate::view::shared::events::{Event, Progress};
use crate::view::shared::result::{JobError, JobResult, TaskRecord};
use crate::view::shared::slot::{Done, Slot};
use crate::view::shared::stats::JobStats;
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::note::Listener;
use rwasm_sandbox::outcome::{Attempt, FailureCode, Origin, Outcome, Place};
use rwasm_sandbox::sandbox::{Arguments, Program, Setting};
use rwasm_value::ids::{ChunkIndex, DispatchId, EngineId, JobId};
use rwasm_value::value::Packed;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc::error::TrySendError;

/// A dispatch that is under way.
struct Flight {
    tasks: Vec<(TaskId, Origin)>,
    is_merge: bool,
    unanswered: usize,
    cancel: Cancel,
    /// None once it is over.
    dispatch: Weak<Dispatch>,
}

impl Flight {
    /// Stops it where it runs. One that no engine has begun is answered at once: it may be with an
    /// engine, behind something that takes long.
    fn stop(&self) {
        self.cancel.cancel();
        if let Some(dispatch) = self.dispatch.upgrade()
            && dispatch.expire()
        {
            let message = "the task was cancelled before it ran";
            dispatch.fail_rest(None, FailureCode::Cancelled, message);
        }
    }
}

/// What a driver is made of.
pub(crate) struct Driver {
    pub(crate) job: JobId,
    pub(crate) plan: Plan,
    pub(crate) program: Arc<Program>,
    pub(crate) setting: Arc<Setting>,
    pub(crate) reuse: Reuse,
    /// The engines of a direct view.
    pub(crate) targets: Option<Vec<EngineId>>,
    /// The engines of a balanced one.
    pub(crate) eligible: Eligible,
    /// How much input there is.
    pub(crate) total: Total,
    pub(crate) priority: i32,
    pub(crate) retry: Retry,
    /// The time that a task may wait for an engine.
    pub(crate) queue_time: Option<Duration>,
    pub(crate) owner: Owner,
    /// Whether a job in which a task failed has failed, though it bears that.
    pub(crate) failures_count: bool,
    /// What is pushed to the engines.
    pub(crate) pushed: Option<Arc<Pushed>>,
    /// Where the end of the job is told.
    pub(crate) slot: Arc<Slot>,
    /// Whether something must end before the job begins.
    pub(crate) waits: bool,
    /// The time of the whole job.
    pub(crate) deadline: Option<Duration>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) dispatch_ids: Arc<AtomicU64>,
    pub(crate) events: Receiver<Event>,
    pub(crate) reply: Arc<dyn Reply>,
    pub(crate) outcomes: tokio::sync::mpsc::Sender<Vec<(Origin, Outcome)>>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) fold: Option<Fold>,
    pub(crate) machine: Machine<Piece, Part, Fault, Stopped>,
    pub(crate) engine_count: usize,
    pub(crate) keep_records: bool,
    /// The job's record in the history, if it has one.
    pub(crate) recording: Option<Recording>,
}

/// What changes while a driver runs.
struct Running {
    begun: Instant,
    stats: JobStats,
    flights: HashMap<DispatchId, Flight>,
    /// Outcomes on their way to the handle.
    outbox: Vec<(Origin, Outcome)>,
    outbox_bytes: u64,
    wish_pending: bool,
    input_ended: bool,
    deadline_passed: bool,
    /// Nobody wants the outcomes any more.
    stopping: bool,
    /// What the job waits for has not ended.
    waits: bool,
    /// Tasks that are to be tried again, and when.
    pauses: BinaryHeap<Reverse<(Instant, TaskId)>>,
    /// When the time in the queue of a dispatch is over.
    expiries: BinaryHeap<Reverse<(Instant, DispatchId)>>,
    /// The attempts before, of tasks that failed and are tried again.
    earlier: HashMap<ChunkIndex, Vec<Attempt>>,
    records: Vec<TaskRecord>,
}

/// Outcomes go to the handle together, but never more of them or of their bytes than this.
const OUTBOX_ITEMS: usize = 1024;
const OUTBOX_BYTES: u64 = 1 << 20;

/// Events that are taken in before deciding anew.
const EVENTS_AT_ONCE: usize = 256;

impl Driver {
    /// Runs the job to its end.
    pub(crate) fn run(mut self, mut reader: Reader) -> Result<JobResult, JobError> {
        let mut running = Running {
            begun: Instant::now(),
            stats: JobStats {
                engine_count: self.engine_count,
                ..JobStats::default()
            },
            flights: HashMap::new(),
            outbox: Vec::new(),
            outbox_bytes: 0,
            wish_pending: false,
            input_ended: false,
            deadline_passed: false,
            stopping: false,
            waits: self.waits,
            pauses: BinaryHeap::new(),
            expiries: BinaryHeap::new(),
            earlier: HashMap::new(),
            records: Vec::new(),
        };
        let ending = loop {
            if self.targets.is_none() && matches!(self.eligible, Eligible::Any) {
                self.machine.set_engines(self.backend.engine_count());
            }
            // While the handle is slow to take outcomes, none are added; what comes is taken in.
            let may_decide = self.deliver(&mut running) || running.deadline_passed;
            if may_decide && let Some(ending) = self.decide(&mut running) {
                break ending;
            }
            self.deliver(&mut running);
            if !running.wish_pending && !running.input_ended && !running.waits {
                let wanted = self.machine.input_wanted();
                if wanted.chunks > 0 {
                    running.wish_pending = true;
                    reader.want(wanted);
                }
            }
            self.wait(&reader, &mut running);
            if let Some(recording) = &mut self.recording {
                recording.hand_over();
            }
        };
        while !self.deliver(&mut running) {
            self.wait(&reader, &mut running);
        }
        reader.end();
        running.stats.wall_time = running.begun.elapsed();
        let slot = Arc::clone(&self.slot);
        let failures_count = self.failures_count;
        let engines = running.stats.engines.keys().copied().collect();
        let recording = self.recording.take();
        let result = conclude(
            ending,
            self.fold,
            self.deadline,
            running.stats,
            running.records,
        );
        if let Some(recording) = recording {
            recording.end(&result);
        }
        let success = result
            .as_ref()
            .is_ok_and(|result| result.failures == 0 || !failures_count);
        slot.fill(Done::job(success, engines));
        result
    }

    /// Takes in what has happened: at least one event, the deadline, or the end of a pause.
    fn wait(&mut self, reader: &Reader, running: &mut Running) {
        let deadline = self
            .deadline
            .filter(|_| !running.deadline_passed)
            .and_then(|deadline| running.begun.checked_add(deadline));
        let pause = running.pauses.peek().map(|Reverse((end, _))| *end);
        let expiry = running.expiries.peek().map(|Reverse((end, _))| *end);
        let first = match deadline.into_iter().chain(pause).chain(expiry).min() {
            None => self.events.recv().ok(),
            Some(wake) => {
                let left = wake.saturating_duration_since(Instant::now());
                self.events.recv_timeout(left).ok()
            }
        };
        let now = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            running.deadline_passed = true;
            self.machine.stop(Stopped::Deadline);
        }
        while let Some(Reverse((end, task))) = running.pauses.peek()
            && *end <= now
        {
            self.machine.resume(*task);
            running.pauses.pop();
        }
        while let Some(Reverse((end, dispatch))) = running.expiries.peek()
            && *end <= now
        {
            self.expire(*dispatch, running);
            running.expiries.pop();
        }
        let Some(first) = first else { return };
        self.receive(first, reader, running);
        for _ in 1..EVENTS_AT_ONCE {
            match self.events.try_recv() {
                Ok(event) => self.receive(event, reader, running),
                Err(_) => break,
            }
        }
    }

    /// Takes a dispatch back that no engine has begun, and fails its tasks.
    fn expire(&self, id: DispatchId, running: &Running) {
        let flight = running.flights.get(&id);
        if let Some(dispatch) = flight.and_then(|flight| flight.dispatch.upgrade())
            && dispatch.expire()
        {
            let message = "it waited longer than its time in the queue";
            dispatch.fail_rest(None, FailureCode::Timeout, message);
            self.backend.cancel_dispatch(id);
        }
    }

    fn receive(&mut self, event: Event, reader: &Reader, running: &mut Running) {
        match event {
            Event::Read => self.take_in(reader.take()),
            Event::WishServed => {
                running.wish_pending = false;
                self.take_in(reader.take());
            }
            Event::InputEnd => {
                self.take_in(reader.take());
                self.end_input(running);
                self.machine.input_end();
            }
            Event::InputFailed(error) => {
                self.take_in(reader.take());
                self.end_input(running);
                self.machine.input_failed(Stopped::Input(error));
            }
            Event::InputPanicked(text) => {
                self.take_in(reader.take());
                self.end_input(running);
                self.machine.input_failed(Stopped::Panicked(text));
            }
            Event::Begin(Ok(eligible)) => {
                running.waits = false;
                if self.targets.is_none() {
                    self.eligible = eligible;
                }
            }
            Event::Begin(Err(failure)) => self.machine.stop(Stopped::Waiting(failure)),
            Event::Detach => running.stopping = true,
            Event::Answer(answer) => self.finished(answer, running),
            Event::Taken => {}
            Event::Stop => {
                running.stopping = true;
                self.machine.stop(Stopped::Cancelled);
            }
        }
    }

    fn take_in(&mut self, pieces: Vec<Piece>) {
        self.progress
            .chunks_read
            .fetch_add(pieces.len() as u64, Ordering::Relaxed);
        let total = self.total.number();
        let start_by = self.start_by();
        for mut piece in pieces {
            piece.start_by = start_by;
            if let Some(recording) = &mut self.recording {
                recording.read(&mut piece);
            }
            let target = self
                .targets
                .as_ref()
                .map(|targets| blocks(piece.position, total, piece.index, targets));
            let facts = ChunkFacts {
                size: piece.size,
                held: piece.held,
                target,
            };
            self.machine.chunk(piece, facts);
        }
    }

    /// When the queue time of a task that is ready now is over.
    fn start_by(&self) -> Option<Instant> {
        Instant::now().checked_add(self.queue_time?)
    }

    fn end_input(&self, running: &mut Running) {
        running.wish_pending = false;
        running.input_ended = true;
        self.progress.input_ended.store(true, Ordering::Relaxed);
    }

    /// Hands the outcomes of a dispatch to the machine.
    fn finished(&mut self, answer: Answer, running: &mut Running) {
        let Some(flight) = running.flights.get_mut(&answer.dispatch) else {
            return;
        };
        flight.unanswered = flight.unanswered.saturating_sub(answer.outcomes.len());
        let is_last = flight.unanswered == 0;
        let is_merge = flight.is_merge;
        for (idx, mut outcome) in answer.outcomes.into_iter().enumerate() {
            let Some((id, origin)) = flight.tasks.get(answer.first + idx).cloned() else {
                continue;
            };
            let index = ChunkIndex(origin.index);
            if !is_merge && let Some(earlier) = running.earlier.remove(&index) {
                outcome.usage.earlier = earlier;
            }
            // Kept apart only where the task may be tried again.
            let mut attempts = Vec::new();
            if outcome.result.is_err() && self.retry.retries > 0 {
                attempts.clone_from(&outcome.usage.earlier);
                attempts.push(Attempt::of(&outcome));
            }
            let Outcome { result, usage } = outcome;
            let has_run = usage.run_time > Duration::ZERO;
            if has_run {
                running.stats.add(&usage, is_merge);
            }
            let (cost, bytes_in) = (usage.run_time, usage.bytes_in);
            let record = self.keep_records.then(|| TaskRecord {
                origin: origin.clone(),
                code: result.as_ref().err().map(|failure| failure.code),
                usage: usage.clone(),
                is_merge,
            });
            let size = result.as_ref().map_or(0, |value| value.len() as u64);
            let entry = self
                .recording
                .as_ref()
                .filter(|_| !is_merge)
                .map(|recording| recording.entry(&origin, &result, &usage));
            let result = match result {
                Ok(value) => {
                    let told = (self.fold.is_none() && !is_merge)
                        .then(|| Box::new((origin, usage)))
                        .filter(|_| self.plan.reduce.is_none());
                    Ok(Part { value, told })
                }
                Err(failure) => Err(Failed {
                    retry: if origin.is_stream() {
                        // A stream that went into a task unread cannot be read again.
                        Again::Never
                    } else {
                        again(&self.retry, failure.code, usage.attempt)
                    },
                    failure: Fault {
                        failure,
                        origin,
                        usage: Box::new(usage),
                    },
                }),
            };
            let verdict = self.machine.finished(Finished {
                id,
                result,
                cost,
                size,
            });
            if verdict == Verdict::Retried && !is_merge {
                running.earlier.insert(index, attempts);
            }
            if verdict != Verdict::Ignored {
                running.records.extend(record);
            }
            if verdict == Verdict::Final && !is_merge {
                if let (Some(recording), Some(entry)) = (&mut self.recording, entry) {
                    recording.ended(entry);
                }
                self.progress.chunks_done.fetch_add(1, Ordering::Relaxed);
                self.progress
                    .bytes_done
                    .fetch_add(bytes_in, Ordering::Relaxed);
            }
        }
        if is_last {
            running.flights.remove(&answer.dispatch);
        }
    }

    /// Does what the machine decides; its last decision ends the job.
    fn decide(&mut self, running: &mut Running) -> Option<Ending<Part, Fault, Stopped>> {
        while let Some(decision) = self.machine.next_decision() {
            match decision {
                Decision::Dispatch(dispatch) => self.dispatch(dispatch, running),
                Decision::Emit { index, result } => self.emit(index, result, running),
                Decision::Later { id, pause } => {
                    if let Some(end) = Instant::now().checked_add(pause) {
                        running.pauses.push(Reverse((end, id)));
                    }
                }
                Decision::CancelTasks(tasks) => cancel_flights(&tasks, running),
                Decision::Cancel => {
                    running.flights.values().for_each(Flight::stop);
                    self.backend.cancel(self.job);
                }
                Decision::Done(ending) => return Some(ending),
            }
        }
        None
    }

    fn dispatch(&mut self, dispatch: crate::job::Dispatch<Piece, Part>, running: &mut Running) {
        let mut tasks = Vec::with_capacity(dispatch.tasks.len());
        let mut flying = Vec::with_capacity(dispatch.tasks.len());
        let mut is_merge = false;
        for task in dispatch.tasks {
            let (input, origin, start_by) = match task.work {
                Work::Map(_, piece) if task.attempt > 1 => {
                    let origin = piece.origin();
                    (piece.input, origin, self.start_by())
                }
                Work::Map(_, piece) => {
                    let origin = piece.origin();
                    (piece.input, origin, piece.start_by)
                }
                Work::Reduce(node, parts) => {
                    is_merge = true;
                    let parts = parts.into_iter().map(|part| part.value).collect();
                    let origin = Origin {
                        index: node.index,
                        place: Place::Results,
                    };
                    (TaskInput::Ready(self.merge_arguments(parts)), origin, None)
                }
            };
            tasks.push(DispatchedTask {
                input,
                index: origin.index,
                attempt: task.attempt,
                start_by,
            });
            flying.push((task.id, origin));
        }
        let callee = match (&self.plan.reduce, is_merge) {
            (Some(reduce), true) => reduce.function,
            _ => self.plan.map,
        };
        let id = DispatchId(self.dispatch_ids.fetch_add(1, Ordering::Relaxed));
        let cancel = Cancel::default();
        let eligible = match dispatch.target {
            Some(target) => Eligible::One(target),
            None => self.eligible.clone(),
        };
        let listener: Arc<dyn Listener> = Arc::clone(&self.slot) as Arc<dyn Listener>;
        // Over when it is over for all of them; an engine looks at each by itself.
        if let Some(end) = tasks.iter().map(|task| task.start_by).max().flatten() {
            running.expiries.push(Reverse((end, id)));
        }
        let dispatch = Arc::new(Dispatch {
            id,
            job: self.job,
            eligible,
            priority: self.priority,
            stage: if is_merge { Stage::Reduce } else { Stage::Map },
            program: Arc::clone(&self.program),
            setting: Arc::clone(&self.setting),
            reuse: self.reuse,
            owner: self.owner.clone(),
            callee,
            tasks,
            queued: SystemTime::now(),
            cancel: cancel.clone(),
            pushed: self.pushed.clone(),
            listener: Some(listener),
            reply: Arc::clone(&self.reply),
            course: Course::default(),
            engine_count: None,
        });
        running.stats.dispatches += 1;
        running.flights.insert(
            id,
            Flight {
                unanswered: flying.len(),
                tasks: flying,
                is_merge,
                cancel,
                dispatch: Arc::downgrade(&dispatch),
            },
        );
        self.backend.submit(dispatch);
    }

    fn merge_arguments(&self, parts: Vec<Packed>) -> Arguments {
        match self.plan.delivery() {
            crate::job::Delivery::Reduced(crate::merge::tree::Shape::Pair) => {
                Arguments::Values(parts)
            }
            _ => Arguments::Parts(parts),
        }
    }

    /// Merges or delivers the next outcome in input order.
    fn emit(&mut self, index: ChunkIndex, result: Result<Part, Fault>, running: &mut Running) {
        match (result, &mut self.fold) {
            (Ok(part), Some(fold)) => {
                if let Err(error) = fold.push(&part.value) {
                    self.machine.stop(Stopped::Merge(error));
                }
            }
            (Err(_), Some(_)) => {}
            (Ok(Part { value, told }), None) => {
                debug_assert!(told.is_some(), "outcome {index} is delivered");
                if let Some(told) = told {
                    let (origin, usage) = *told;
                    self.tell(
                        origin,
                        Outcome {
                            result: Ok(value),
                            usage,
                        },
                        running,
                    );
                }
            }
            (Err(fault), None) => {
                let Fault {
                    failure,
                    origin,
                    usage,
                } = fault;
                self.tell(
                    origin,
                    Outcome {
                        result: Err(failure),
                        usage: *usage,
                    },
                    running,
                );
            }
        }
    }

    fn tell(&mut self, origin: Origin, outcome: Outcome, running: &mut Running) {
        running.outbox_bytes += outcome.usage.bytes_out;
        running.outbox.push((origin, outcome));
        if running.outbox.len() >= OUTBOX_ITEMS || running.outbox_bytes >= OUTBOX_BYTES {
            self.deliver(running);
        }
    }

    /// Hands on the outcomes that are due, as far as the handle has room. Whether none are left.
    fn deliver(&mut self, running: &mut Running) -> bool {
        if running.outbox.is_empty() {
            return true;
        }
        if running.stopping {
            running.outbox.clear();
            return true;
        }
        match self.outcomes.try_send(std::mem::take(&mut running.outbox)) {
            Ok(()) => {
                running.outbox_bytes = 0;
                true
            }
            Err(TrySendError::Full(batch)) => {
                running.outbox = batch;
                false
            }
            // Whoever let go of the handle says by an event whether the job goes on.
            Err(TrySendError::Closed(_)) => true,
        }
    }
}

/// Stops the dispatches of which nothing is wanted any more.
fn cancel_flights(tasks: &[TaskId], running: &Running) {
    let unwanted: HashSet<&TaskId> = tasks.iter().collect();
    for flight in running.flights.values() {
        let answered = flight.tasks.len() - flight.unanswered;
        if flight.tasks[answered..]
            .iter()
            .all(|(id, _)| unwanted.contains(id))
        {
            flight.stop();
        }
    }
}

/// Whether a task that failed so is to be tried again.
fn again(retry: &Retry, code: FailureCode, attempt: u32) -> Again {
    if !retry.on.contains(code) {
        return Again::Never;
    }
    match code {
        FailureCode::EngineLost => Again::Elsewhere,
        _ => Again::After(retry.backoff.pause(attempt)),
    }
}
