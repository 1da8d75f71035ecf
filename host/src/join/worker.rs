//! The state of a process with engines, and the way of each message from its arrival to its acknowledgement.

use super::JoinSettings;
use super::cancelled::{Cancelled, Scope, WHOLE_JOB};
use super::lanes::Shares;
use super::notes::Notes;
use super::run::Run;
use super::task::Bench;
use super::warnings::Warnings;
use crate::boundary::BoundaryKind;
use crate::dispatch::Dispatch;
use crate::nats::connect::Connection;
use crate::nats::names;
use crate::nats::orders::{Disobeyed, ONCE_MORE, Obedience};
use crate::nats::presence::Record;
use crate::nats::wire::decode_cancelled;
use async_nats::Subscriber;
use async_nats::jetstream::{AckKind, Message};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt};
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::outcome::{Failure, FailureCode};
use rwasm_value::ids::EngineId;
use rwasm_value::plain;
use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;
use tracing::Instrument as _;

/// The pause before something that the server did not accept is sent again.
pub(super) const AGAIN: Duration = Duration::from_millis(250);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long a message that cannot be run yet stays away, at first and later, and after how many deliveries nobody tries any
/// more: a quarter of an hour.
const LATER: Duration = Duration::from_secs(1);
const MUCH_LATER: Duration = Duration::from_secs(10);
const QUICK_TRIES: u64 = 10;
const TRIES: u64 = 100;

/// Cancels by keys that are not in the list yet, which wait until it was read again, and the most bytes of one.
const LATER_CANCELS: usize = 64;
const LARGEST_LATER: usize = 64 << 10;

/// A message held by this process.
pub(super) struct Held {
    /// The message to acknowledge, if it came from the queue.
    pub(super) message: Option<Message>,
    /// Its dispatch, once an engine has it.
    pub(super) dispatch: Option<Arc<Dispatch>>,
    cancel: Cancel,
    /// The engine that was chosen for it.
    engine: Option<EngineId>,
    /// The bytes of the message.
    bytes: usize,
    /// The place of its queue: see [`Shares`].
    pub(super) queue: usize,
}

pub(super) type Name = (Arc<str>, Arc<str>);

/// See the [module](self).
pub(super) struct Worker {
    pub(super) connection: Connection,
    pub(super) bench: Arc<Bench>,
    pub(super) shares: Shares,
    pub(super) record: Mutex<Record>,
    pub(super) held: Mutex<HashMap<Name, Held>>,
    cancelled: Mutex<Cancelled>,
    pub(super) busy: AtomicU32,
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) given_back: AtomicU64,
    /// Results that were already stored when they were to be stored.
    pub(super) refused: AtomicU64,
    idle_since: Mutex<Option<Instant>>,
    pub(super) is_draining: AtomicBool,
    /// Notified when a message has ended.
    pub(super) freed: Notify,
    /// Notified when no engine is left.
    pub(super) empty: Notify,
    /// Whether the server has heard from this process recently.
    pub(super) is_heard: AtomicBool,
    /// Whether its engines have worker processes, which may be lost.
    pub(super) has_workers: bool,
    pub(super) notes: Notes,
    /// Whose orders are obeyed.
    pub(super) obedience: Obedience,
    /// What is said of messages that are not as they should be.
    pub(super) warnings: Warnings,
}

/// Where a message came from.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, on its way into its task"
)]
pub(super) enum Received {
    /// With its delivery, and the place of the queue.
    Queue(Message, u64, usize),
    Request(EngineId),
}

/// A message that this process has, until this is dropped.
struct Holding<'a> {
    worker: &'a Worker,
    name: &'a Name,
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.worker.notes.forget(self.name);
        let mut held = lock(&self.worker.held);
        held.remove(self.name);
        if held.is_empty() {
            *lock(&self.worker.idle_since) = Some(Instant::now());
        }
        drop(held);
        self.worker.freed.notify_waiters();
    }
}

impl Worker {
    pub(super) fn new(
        connection: Connection,
        bench: Bench,
        shares: Shares,
        settings: &JoinSettings,
        ids: &[EngineId],
        obedience: Obedience,
    ) -> Arc<Self> {
        let started = SystemTime::now().duration_since(UNIX_EPOCH);
        let record = Record {
            process: ulid::Ulid::new().to_string(),
            host: host_name(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engines: ids.iter().map(|id| id.0).collect(),
            lanes: settings
                .lanes
                .iter()
                .map(|lane| lane.name.clone())
                .collect(),
            labels: settings.labels.clone(),
            busy: 0,
            tasks: 0,
            done: 0,
            failed: 0,
            started_ms: u64::try_from(started.unwrap_or_default().as_millis()).unwrap_or_default(),
            draining: false,
            restarts: BTreeMap::new(),
            workers_lost: 0,
            last_loss: None,
            usage: BTreeMap::new(),
        };
        Arc::new(Self {
            connection,
            bench: Arc::new(bench),
            shares,
            record: Mutex::new(record),
            held: Mutex::default(),
            cancelled: Mutex::default(),
            busy: AtomicU32::new(0),
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            given_back: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            idle_since: Mutex::new(Some(Instant::now())),
            is_draining: AtomicBool::new(false),
            freed: Notify::new(),
            empty: Notify::new(),
            is_heard: AtomicBool::new(false),
            has_workers: settings.boundary.kind() != BoundaryKind::Thread,
            notes: Notes::default(),
            obedience,
            warnings: Warnings::default(),
        })
    }

    pub(super) fn process(&self) -> String {
        lock(&self.record).process.clone()
    }

    pub(super) fn engines(&self) -> Vec<EngineId> {
        let record = lock(&self.record);
        record.engines.iter().map(|id| EngineId(*id)).collect()
    }

    pub(super) fn has(&self, engine: EngineId) -> bool {
        lock(&self.record).engines.contains(&engine.0)
    }

    pub(super) fn engine_count(&self) -> usize {
        lock(&self.record).engines.len()
    }

    /// The number of messages held by this process.
    pub(super) fn held(&self) -> usize {
        lock(&self.held).len()
    }

    /// The number of tasks that its engines have.
    pub(super) fn tasks(&self) -> u64 {
        let held = lock(&self.held);
        let dispatches = held.values().filter_map(|held| held.dispatch.as_ref());
        dispatches
            .map(|dispatch| dispatch.unanswered() as u64)
            .sum()
    }

    /// The number and the bytes of the messages for chosen engines held by this process.
    pub(super) fn held_direct(&self) -> (usize, usize) {
        let held = lock(&self.held);
        let direct = held.values().filter(|one| one.engine.is_some());
        direct.fold((0, 0), |(count, bytes), one| (count + 1, bytes + one.bytes))
    }

    /// The number of messages held by this process that take room from this queue.
    pub(super) fn held_beside(&self, queue: usize) -> usize {
        let held = lock(&self.held);
        let takes_room =
            |held: &&Held| held.engine.is_none() && self.shares.takes_room(held.queue, queue);
        held.values().filter(takes_room).count()
    }

    /// Whether an engine of this process runs a message of the lane of this queue.
    pub(super) fn is_running(&self, queue: usize) -> bool {
        let held = lock(&self.held);
        held.values().any(|held| {
            held.engine.is_none()
                && self.shares.are_of_one_lane(held.queue, queue)
                && held.dispatch.as_ref().is_some_and(|one| one.is_running())
        })
    }

    /// Since when this process has been idle; `None` if it is busy.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        *lock(&self.idle_since)
    }

    /// Takes a message to its end.
    pub(super) async fn take(
        self: Arc<Self>,
        job: Arc<str>,
        number: Arc<str>,
        payload: Bytes,
        from: Received,
    ) {
        let name: Name = (job, number);
        let cancel = Cancel::default();
        let (delivery, engine, message, queue) = match from {
            Received::Queue(message, delivery, queue) => (delivery, None, Some(message), queue),
            // They are of the middle class, as it were.
            Received::Request(engine) => (1, Some(engine), None, self.shares.middle()),
        };
        let scope = lock(&self.cancelled).find(&name);
        if let Some(cancelled) = scope {
            if let Some(message) = message {
                let _ = message
                    .ack_with(match cancelled {
                        Scope::Message => AckKind::Term,
                        // It is about to be taken out of the queue; what comes again later was submitted since.
                        Scope::Job => AckKind::Nak(Some(WHOLE_JOB)),
                    })
                    .await;
            }
            return;
        }
        {
            let mut held = lock(&self.held);
            if let Some(held) = held.get_mut(&name) {
                // Given to us again while we have it: our sign of life was late. What runs goes on, under the new one.
                held.message = message;
                return;
            }
            held.insert(
                name.clone(),
                Held {
                    message: message.clone(),
                    dispatch: None,
                    cancel: cancel.clone(),
                    engine,
                    bytes: payload.len(),
                    queue,
                },
            );
            *lock(&self.idle_since) = None;
        }
        // Whatever happens: what is held is kept from others, and takes room.
        let _holding = Holding {
            worker: &self,
            name: &name,
        };
        let run = async {
            let run = self.run(&name, &payload, delivery, engine, &cancel).await;
            self.conclude(&name, &payload, (delivery, engine), run)
                .await;
        };
        if AssertUnwindSafe(run).catch_unwind().await.is_ok() {
            return;
        }
        let failure = Failure::new(
            FailureCode::Internal,
            "the process that had the task panicked, which is a fault of rwasm-cluster",
        );
        let refuse = async {
            let (first, outcomes) = self.refusals(&payload, engine, &failure).await;
            let run = Run::Ended(first, outcomes, None);
            self.conclude(&name, &payload, (delivery, engine), run)
                .await;
        };
        // Where even that goes wrong, it comes again, here or elsewhere.
        let _ = AssertUnwindSafe(refuse).catch_unwind().await;
    }

    /// Stores the outcomes of a message and acknowledges it, or gives it back. Its delivery and the engine chosen for it
    /// are those with which it came.
    async fn conclude(
        &self,
        name: &Name,
        payload: &Bytes,
        (delivery, engine): (u64, Option<EngineId>),
        run: Run,
    ) {
        // It may have come once more meanwhile.
        let message = lock(&self.held)
            .get(name)
            .and_then(|held| held.message.clone());
        match run {
            Run::Ended(first, outcomes, suspect) => {
                self.notes.finish(name).await;
                if self.store(name, delivery, first, &outcomes).await {
                    // Until here its ledger stands.
                    if let Some(suspect) = suspect {
                        suspect.end().await;
                    }
                    if let Some(message) = &message {
                        let _ = message.ack().await;
                    }
                }
                let queue = lock(&self.held).get(name).map(|held| held.queue);
                if let (Some(queue), None) = (queue, engine) {
                    let time = outcomes.iter().map(|one| one.usage.run_time).sum();
                    self.shares.learn(queue, time);
                }
                let failed = outcomes.iter().filter(|one| one.result.is_err()).count();
                self.done
                    .fetch_add(outcomes.len() as u64, Ordering::Relaxed);
                self.failed.fetch_add(failed as u64, Ordering::Relaxed);
            }
            Run::GivenBack => {
                self.given_back.fetch_add(1, Ordering::Relaxed);
                if let Some(message) = &message {
                    let _ = message.ack_with(AckKind::Nak(None)).await;
                } else {
                    let failure = Failure::new(
                        FailureCode::EngineLost,
                        "its process was told to leave before the task was finished",
                    );
                    let (first, refused) = self.refusals(payload, engine, &failure).await;
                    self.store(name, delivery, first, &refused).await;
                }
            }
            Run::Later(reason) if delivery >= TRIES => {
                let message = format!("no engine could begin it: {reason}");
                let failure = Failure::new(FailureCode::EngineLost, message);
                let (first, refused) = self.refusals(payload, engine, &failure).await;
                let run = Run::Ended(first, refused, None);
                Box::pin(self.conclude(name, payload, (delivery, engine), run)).await;
            }
            Run::Later(reason) => {
                if let Some(left_out) = self.warnings.next() {
                    tracing::warn!(job = &*name.0, reason, left_out, "gave a task back for now");
                }
                if let Some(message) = &message {
                    let later = if delivery <= QUICK_TRIES {
                        LATER
                    } else {
                        MUCH_LATER
                    };
                    let _ = message.ack_with(AckKind::Nak(Some(later))).await;
                }
            }
        }
    }

    /// Listens for what is no longer wanted.
    pub(super) async fn hear_cancelled(self: Arc<Self>, mut messages: Subscriber) {
        let later = Arc::new(Semaphore::new(LATER_CANCELS));
        while let Some(message) = messages.next().await {
            let Some(job) = message.subject.rsplit('.').next() else {
                continue;
            };
            let Ok(numbers) = decode_cancelled(&message.payload) else {
                continue;
            };
            let is_name = |name: &String| names::is_token(name);
            if !names::is_job(job) || !numbers.iter().all(is_name) {
                continue;
            }
            match self.obedience.check(&message) {
                Ok(()) => self.cancel(job, &numbers),
                // Whoever cancels hears no answer, and does not ask again.
                Err(Disobeyed::Stranger) if message.payload.len() <= LARGEST_LATER => {
                    let Ok(place) = Arc::clone(&later).try_acquire_owned() else {
                        continue;
                    };
                    let (worker, job) = (Arc::clone(&self), job.to_owned());
                    let again = async move {
                        sleep(ONCE_MORE).await;
                        match worker.obedience.check(&message) {
                            Ok(()) => worker.cancel(&job, &numbers),
                            Err(reason) => worker.did_not("cancel", &job, reason),
                        }
                        drop(place);
                    };
                    tokio::spawn(again.in_current_span());
                }
                Err(reason) => self.did_not("cancel", job, reason),
            }
        }
    }

    /// Reports an order that is not obeyed.
    pub(super) fn did_not(&self, what: &str, about: &str, reason: Disobeyed) {
        if let Some(left_out) = self.warnings.next() {
            let about = plain::in_line(about);
            tracing::warn!(about, %reason, left_out, "did not {what}");
        }
    }

    /// Stops these messages if they run, and begins none of them later; an empty list stands for the whole job.
    fn cancel(&self, job: &str, numbers: &[String]) {
        let job: Arc<str> = job.into();
        let named: Vec<Name> = if numbers.is_empty() {
            let held = lock(&self.held);
            held.keys().filter(|name| name.0 == job).cloned().collect()
        } else {
            let name = |number: &String| (Arc::clone(&job), Arc::from(number.as_str()));
            numbers.iter().map(name).collect()
        };
        let mut stopped: Vec<(Cancel, Option<Arc<Dispatch>>)> = {
            let held = lock(&self.held);
            let held = named.iter().filter_map(|name| held.get(name));
            held.map(|held| (held.cancel.clone(), held.dispatch.clone()))
                .collect()
        };
        // Those that wait come first: an engine that another one leaves is not to begin them.
        stopped.sort_by_key(|(_, dispatch)| dispatch.as_ref().is_some_and(|one| one.is_running()));
        for (cancel, dispatch) in stopped {
            if let Some(dispatch) = dispatch {
                dispatch.cancel.cancel();
            }
            cancel.cancel();
        }
        let mut cancelled = lock(&self.cancelled);
        if numbers.is_empty() {
            cancelled.add_job(job);
        } else {
            for name in named {
                cancelled.add(name);
            }
        }
    }

    /// Tells the server that this process still holds its messages.
    pub(super) async fn keep_alive(&self) {
        let messages: Vec<Message> = lock(&self.held)
            .values()
            .filter_map(|held| held.message.clone())
            .collect();
        for message in messages {
            let _ = message.ack_with(AckKind::Progress).await;
        }
    }

    pub(super) fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }
}

/// The name of this machine, for people.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}
