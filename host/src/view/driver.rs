//! The driver of a job: the thread that owns its machine and does what it decides.
//!
//! Events come to its inbox from the reader (chunks), the engines (outcomes) and the handle
//! (stop); decisions go out as dispatches to the backend, wishes to the reader and outcomes to
//! the handle. It waits for nothing but its inbox. While the handle is slow to take outcomes it
//! decides nothing new: that is what bounds the memory of a job nobody reads.

use super::events::{Event, Progress};
use super::handle::{JobError, JobResult, TaskRecord};
use super::plan::Plan;
use super::reader::Reader;
use super::stats::JobStats;
use crate::backend::Backend;
use crate::cancel::Cancel;
use crate::dispatch::{Answer, Dispatch, DispatchedTask, Reply, Reuse};
use crate::ids::{ChunkIndex, DispatchId, EngineId, JobId};
use crate::input::{Chunk, InputError};
use crate::job::assign::blocks;
use crate::job::{
    ChunkFacts, Decision, Ending, Failed, Finished, Machine, Retry, TaskId, Verdict, Work,
};
use crate::merge::{Fold, MergeError};
use crate::outcome::{Failure, FailureCode, Logs, Origin, Outcome, Usage};
use crate::sandbox::{Arguments, Program, Setting};
use crate::value::Packed;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc::error::TrySendError;

/// The value of a task, as the machine carries it to its delivery or merge.
#[derive(Clone)]
pub(super) struct Part {
    value: Packed,
    /// What the handle is told beside the value, where outcomes are delivered.
    told: Option<Box<(Origin, Usage)>>,
}

/// A task's failure, likewise.
#[derive(Clone)]
pub(super) struct Fault {
    failure: Failure,
    origin: Origin,
    usage: Box<Usage>,
}

/// Why a job was stopped before its end.
pub(super) enum Stopped {
    Cancelled,
    Deadline,
    Input(InputError),
    Merge(MergeError),
}

/// A dispatch that is under way.
struct Flight {
    tasks: Vec<(TaskId, Origin)>,
    is_merge: bool,
    unanswered: usize,
    cancel: Cancel,
}

/// What a driver is made of.
pub(super) struct Driver {
    pub(super) job: JobId,
    pub(super) plan: Plan,
    pub(super) program: Arc<Program>,
    pub(super) setting: Arc<Setting>,
    pub(super) reuse: Reuse,
    /// The engines of a direct view.
    pub(super) targets: Option<Vec<EngineId>>,
    /// The time of the whole job.
    pub(super) deadline: Option<Duration>,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) dispatch_ids: Arc<AtomicU64>,
    pub(super) events: Receiver<Event>,
    pub(super) reply: Arc<dyn Reply>,
    pub(super) outcomes: tokio::sync::mpsc::Sender<Vec<(Origin, Outcome)>>,
    pub(super) progress: Arc<Progress>,
    pub(super) fold: Option<Fold>,
    pub(super) machine: Machine<Chunk, Part, Fault, Stopped>,
    pub(super) engine_count: usize,
    pub(super) keep_records: bool,
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
    records: Vec<TaskRecord>,
}

/// Outcomes go to the handle together, but never more of them or of their bytes than this.
const OUTBOX_ITEMS: usize = 1024;
const OUTBOX_BYTES: u64 = 1 << 20;

/// Events that are taken in before deciding anew.
const EVENTS_AT_ONCE: usize = 256;

impl Driver {
    /// Runs the job to its end.
    pub(super) fn run(mut self, mut reader: Reader) -> Result<JobResult, JobError> {
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
            records: Vec::new(),
        };
        let ending = loop {
            // While the handle is slow to take outcomes, none are added; what comes is taken in.
            let may_decide = self.deliver(&mut running) || running.deadline_passed;
            if may_decide && let Some(ending) = self.decide(&mut running) {
                break ending;
            }
            self.deliver(&mut running);
            if !running.wish_pending && !running.input_ended {
                let wanted = self.machine.input_wanted();
                if wanted.chunks > 0 {
                    running.wish_pending = true;
                    reader.want(wanted);
                }
            }
            self.wait(&mut running);
        };
        while !self.deliver(&mut running) {
            self.wait(&mut running);
        }
        reader.end(running.input_ended || self.progress.bytes_total.is_some());
        running.stats.wall_time = running.begun.elapsed();
        self.conclude(ending, running.stats, running.records)
    }

    /// Takes in what has happened, at least one event or the deadline.
    fn wait(&mut self, running: &mut Running) {
        let first = match self.deadline {
            Some(deadline) if !running.deadline_passed => {
                let left = deadline.saturating_sub(running.begun.elapsed());
                match self.events.recv_timeout(left) {
                    Ok(event) => Some(event),
                    Err(RecvTimeoutError::Timeout) => {
                        running.deadline_passed = true;
                        self.machine.stop(Stopped::Deadline);
                        None
                    }
                    Err(RecvTimeoutError::Disconnected) => None,
                }
            }
            _ => self.events.recv().ok(),
        };
        let Some(first) = first else { return };
        self.receive(first, running);
        for _ in 1..EVENTS_AT_ONCE {
            match self.events.try_recv() {
                Ok(event) => self.receive(event, running),
                Err(_) => break,
            }
        }
    }

    fn receive(&mut self, event: Event, running: &mut Running) {
        match event {
            Event::Chunks(chunks) => self.take_in(chunks),
            Event::WishServed(chunks) => {
                running.wish_pending = false;
                self.take_in(chunks);
            }
            Event::InputEnd(chunks) => {
                self.take_in(chunks);
                self.end_input(running);
                self.machine.input_end();
            }
            Event::InputFailed(chunks, error) => {
                self.take_in(chunks);
                self.end_input(running);
                self.machine.input_failed(Stopped::Input(error));
            }
            Event::Answer(answer) => self.finished(answer, running),
            Event::Taken => {}
            Event::Stop => {
                running.stopping = true;
                self.machine.stop(Stopped::Cancelled);
            }
        }
    }

    fn take_in(&mut self, chunks: Vec<Chunk>) {
        self.progress
            .chunks_read
            .fetch_add(chunks.len() as u64, Ordering::Relaxed);
        for chunk in chunks {
            let target = self.targets.as_ref().map(|targets| {
                blocks(
                    chunk.position,
                    self.progress.bytes_total,
                    chunk.index,
                    targets,
                )
            });
            let facts = ChunkFacts {
                size: chunk.len(),
                held: chunk.held(),
                target,
            };
            self.machine.chunk(chunk, facts);
        }
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
        for (idx, outcome) in answer.outcomes.into_iter().enumerate() {
            let Some((id, origin)) = flight.tasks.get(answer.first + idx).cloned() else {
                continue;
            };
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
            let result = match result {
                Ok(value) => {
                    let told = (self.fold.is_none() && !is_merge)
                        .then(|| Box::new((origin, usage)))
                        .filter(|_| self.plan.reduce.is_none());
                    Ok(Part { value, told })
                }
                Err(failure) => Err(Failed {
                    retry: if !is_merge && origin.range.end == u64::MAX {
                        // A stream that went into a task unread cannot be read again.
                        Retry::Never
                    } else {
                        retry(failure.code)
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
            if verdict == Verdict::Final {
                running.records.extend(record);
            }
            if verdict == Verdict::Final && !is_merge {
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
                Decision::CancelTasks(tasks) => cancel_flights(&tasks, running),
                Decision::Cancel => {
                    running
                        .flights
                        .values()
                        .for_each(|flight| flight.cancel.cancel());
                    self.backend.cancel(self.job);
                }
                Decision::Done(ending) => return Some(ending),
            }
        }
        None
    }

    fn dispatch(&mut self, dispatch: crate::job::Dispatch<Chunk, Part>, running: &mut Running) {
        let mut tasks = Vec::with_capacity(dispatch.tasks.len());
        let mut flying = Vec::with_capacity(dispatch.tasks.len());
        let mut is_merge = false;
        for task in dispatch.tasks {
            let (arguments, origin) = match task.work {
                Work::Map(index, chunk) => {
                    let origin = origin(index, &chunk);
                    (Arguments::Chunk(chunk), origin)
                }
                Work::Reduce(node, parts) => {
                    is_merge = true;
                    let parts = parts.into_iter().map(|part| part.value).collect();
                    let origin = Origin {
                        index: node.index,
                        input: "the merge".into(),
                        range: 0..u64::MAX,
                    };
                    (self.merge_arguments(parts), origin)
                }
            };
            tasks.push(DispatchedTask {
                arguments,
                attempt: task.attempt,
            });
            flying.push((task.id, origin));
        }
        let callee = match (&self.plan.reduce, is_merge) {
            (Some(reduce), true) => reduce.function,
            _ => self.plan.map,
        };
        let id = DispatchId(self.dispatch_ids.fetch_add(1, Ordering::Relaxed));
        let cancel = Cancel::default();
        running.stats.dispatches += 1;
        running.flights.insert(
            id,
            Flight {
                unanswered: flying.len(),
                tasks: flying,
                is_merge,
                cancel: cancel.clone(),
            },
        );
        self.backend.submit(Dispatch {
            id,
            job: self.job,
            target: dispatch.target,
            is_merge,
            program: Arc::clone(&self.program),
            setting: Arc::clone(&self.setting),
            reuse: self.reuse,
            callee,
            tasks,
            queued: SystemTime::now(),
            cancel,
            reply: Arc::clone(&self.reply),
            answered: std::sync::atomic::AtomicUsize::new(0),
        });
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
            Err(TrySendError::Closed(_)) => {
                running.stopping = true;
                self.machine.stop(Stopped::Cancelled);
                true
            }
        }
    }

    fn conclude(
        self,
        ending: Ending<Part, Fault, Stopped>,
        mut stats: JobStats,
        records: Vec<TaskRecord>,
    ) -> Result<JobResult, JobError> {
        let deadline = self.deadline.unwrap_or_default();
        match ending {
            Ending::Complete {
                merged,
                chunks,
                failed,
                failures,
            } => {
                stats.chunks = chunks;
                let merged = match self.fold {
                    Some(fold) => fold.finish(),
                    None => merged.map(|part| part.value),
                };
                let failed = failed
                    .into_iter()
                    .map(|(_, fault)| (fault.origin, fault.failure))
                    .collect();
                Ok(JobResult {
                    merged,
                    failed,
                    failures,
                    stats,
                    records,
                })
            }
            Ending::TaskFailed {
                failure: fault,
                failures,
                ..
            } => Err(JobError::TaskFailed {
                origin: fault.origin,
                failure: Box::new(fault.failure),
                stderr: fault
                    .usage
                    .logs
                    .map(|logs: Box<Logs>| logs.stderr)
                    .unwrap_or_default(),
                failures,
            }),
            Ending::MergeFailed { failure } => {
                Err(JobError::ReducerFailed(Box::new(failure.failure)))
            }
            Ending::Stopped(Stopped::Cancelled) => Err(JobError::Cancelled),
            Ending::Stopped(Stopped::Deadline) => Err(JobError::Deadline(deadline)),
            Ending::Stopped(Stopped::Input(error)) => Err(JobError::Input(error)),
            Ending::Stopped(Stopped::Merge(error)) => Err(JobError::Merge(error)),
        }
    }
}

fn origin(index: ChunkIndex, chunk: &Chunk) -> Origin {
    Origin {
        index: index.0,
        input: Arc::clone(&chunk.source.name),
        range: chunk.range.clone(),
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
            flight.cancel.cancel();
        }
    }
}

/// Whether a task that failed so may do better the next time.
fn retry(code: FailureCode) -> Retry {
    match code {
        FailureCode::EngineLost => Retry::Elsewhere,
        FailureCode::BadInput | FailureCode::InputLimit | FailureCode::Cancelled => Retry::Never,
        _ => Retry::Allowed,
    }
}
