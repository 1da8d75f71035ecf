//! What a process with engines holds, and the way of each message from its arrival to its acknowledgement.

use super::JoinSettings;
use super::suspect::{Step, Suspect};
use super::task::{Bench, LARGEST_BODY, NotReady, Ready};
use crate::cancel::Cancel;
use crate::dispatch::{Answer, Course, Dispatch, DispatchedTask, Reply};
use crate::ids::{DispatchId, EngineId, JobId};
use crate::nats::blob::LARGEST_INLINE;
use crate::nats::connect::Connection;
use crate::nats::names;
use crate::nats::presence::{self, Record};
use crate::nats::wire::{
    Heard, OutcomesHead, TasksHead, decode_cancelled, decode_tasks, encode_heard, encode_outcomes,
    frame, micros, parse,
};
use crate::note::{Listener, TaskNote};
use crate::outcome::{Failure, FailureCode, Outcome, Usage};
use crate::placement::{Eligible, Stage};
use crate::sandbox::{Callee, value_type};
use crate::value::Type;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::{AckKind, Message};
use async_nats::{HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

/// Cancelled messages that are remembered, for when they arrive.
const CANCELLED: usize = 1 << 20;

/// After how long what the server did not take is sent again.
const AGAIN: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long nothing of a job is begun that was cancelled as a whole: what was on its way has arrived by then. A durable job
/// may be retried later.
const WHOLE_JOB: Duration = Duration::from_secs(10);

/// How long the server may take to say that a result is stored, at first: a server that died with it says nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a message that cannot be run yet stays away.
const LATER: Duration = Duration::from_secs(1);

/// A message that is with this process.
pub(super) struct Held {
    /// For the server, where it is one of the queue.
    pub(super) message: Option<Message>,
    /// Once it is with an engine.
    dispatch: Option<Arc<Dispatch>>,
    cancel: Cancel,
    /// For an engine that was chosen beforehand.
    engine: Option<EngineId>,
    /// The place of the queue it came from: what is from the first goes first.
    queue: usize,
}

type Name = (Arc<str>, Arc<str>);

/// See the [module](self).
pub(super) struct Worker {
    pub(super) connection: Connection,
    pub(super) bench: Arc<Bench>,
    pub(super) record: Mutex<Record>,
    held: Mutex<HashMap<Name, Held>>,
    cancelled: Mutex<Cancelled>,
    next: AtomicU64,
    busy: AtomicU32,
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) given_back: AtomicU64,
    /// Results that were there already when they were to be stored.
    pub(super) refused: AtomicU64,
    idle_since: Mutex<Option<Instant>>,
    pub(super) is_draining: AtomicBool,
    /// Told when a message is through.
    pub(super) freed: Notify,
    /// Told when no engine is left.
    empty: Notify,
    /// Whether the server has heard of this process lately.
    pub(super) is_heard: AtomicBool,
}

/// What is not wanted any more, so that it is not begun when it arrives.
#[derive(Default)]
struct Cancelled {
    names: HashSet<Name>,
    order: VecDeque<Name>,
    /// Jobs of which nothing is wanted any more, for a while.
    jobs: HashMap<Arc<str>, Instant>,
}

/// What of a job is not wanted any more.
#[derive(Clone, Copy)]
enum Scope {
    Message,
    Job,
}

/// Where a message came from.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, on its way into its task"
)]
pub(super) enum From {
    /// With its delivery, and the place of the queue.
    Queue(Message, u64, usize),
    Request(EngineId),
}

impl Worker {
    pub(super) fn new(
        connection: Connection,
        bench: Bench,
        settings: &JoinSettings,
        ids: &[EngineId],
    ) -> Arc<Self> {
        let started = SystemTime::now().duration_since(UNIX_EPOCH);
        let record = Record {
            process: ulid::Ulid::new().to_string(),
            host: host_name(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engines: ids.iter().map(|id| id.0).collect(),
            lanes: settings.lanes.clone(),
            labels: settings.labels.clone(),
            busy: 0,
            done: 0,
            failed: 0,
            started_ms: u64::try_from(started.unwrap_or_default().as_millis()).unwrap_or_default(),
            draining: false,
            restarts: BTreeMap::new(),
        };
        Arc::new(Self {
            connection,
            bench: Arc::new(bench),
            record: Mutex::new(record),
            held: Mutex::default(),
            cancelled: Mutex::default(),
            next: AtomicU64::new(0),
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
        })
    }

    pub(super) fn process(&self) -> String {
        lock(&self.record).process.clone()
    }

    pub(super) fn has(&self, engine: EngineId) -> bool {
        lock(&self.record).engines.contains(&engine.0)
    }

    pub(super) fn engine_count(&self) -> usize {
        lock(&self.record).engines.len()
    }

    /// How many messages are with this process; those for engines that were chosen beforehand apart.
    pub(super) fn held(&self) -> (usize, usize) {
        let held = lock(&self.held);
        let direct = held.values().filter(|one| one.engine.is_some()).count();
        (held.len() - direct, direct)
    }

    fn lane_count(&self) -> usize {
        lock(&self.record).lanes.len()
    }

    /// How many messages of this queue, and of those that go first, are with this process.
    pub(super) fn held_up_to(&self, queue: usize) -> usize {
        let held = lock(&self.held);
        let of_it = |held: &&Held| held.engine.is_none() && held.queue <= queue;
        held.values().filter(of_it).count()
    }

    /// Since when there was nothing to do; none while there is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        *lock(&self.idle_since)
    }

    /// Takes a message to its end.
    pub(super) async fn take(
        self: Arc<Self>,
        job: Arc<str>,
        number: Arc<str>,
        payload: Bytes,
        from: From,
    ) {
        let name: Name = (job, number);
        let cancel = Cancel::default();
        let (delivery, engine, message, queue) = match from {
            From::Queue(message, delivery, queue) => (delivery, None, Some(message), queue),
            // They are of the middle class, as it were.
            From::Request(engine) => (1, Some(engine), None, self.lane_count()),
        };
        if let Some(cancelled) = self.is_cancelled(&name) {
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
                    queue,
                },
            );
            *lock(&self.idle_since) = None;
        }
        let outcomes = self.run(&name, &payload, delivery, engine, &cancel).await;
        // It may have come once more meanwhile.
        let message = lock(&self.held)
            .get(&name)
            .and_then(|held| held.message.clone());
        match outcomes {
            Run::Ended(first, outcomes, suspect) => {
                if self.store(&name, delivery, first, &outcomes).await {
                    // Until here its ledger stands.
                    if let Some(suspect) = suspect {
                        suspect.end().await;
                    }
                    if let Some(message) = &message {
                        let _ = message.ack().await;
                    }
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
                        "its process was told to go before the task was through",
                    );
                    let (first, refused) = self.refusals(&payload, engine, &failure).await;
                    self.store(&name, delivery, first, &refused).await;
                }
            }
            Run::Later(reason) => {
                tracing::warn!(job = &*name.0, reason, "a task is given back for now");
                if let Some(message) = &message {
                    let _ = message.ack_with(AckKind::Nak(Some(LATER))).await;
                }
            }
        }
        let mut held = lock(&self.held);
        held.remove(&name);
        if held.is_empty() {
            *lock(&self.idle_since) = Some(Instant::now());
        }
        drop(held);
        self.freed.notify_waiters();
    }

    async fn run(
        self: &Arc<Self>,
        name: &Name,
        payload: &Bytes,
        delivery: u64,
        engine: Option<EngineId>,
        cancel: &Cancel,
    ) -> Run {
        let (head, body) = match parse::<TasksHead>(payload) {
            Ok(parts) => parts,
            Err(error) => {
                tracing::warn!(job = &*name.0, %error, "a message is no task");
                return Run::Ended((0, 0), Vec::new(), None);
            }
        };
        if head
            .deadline
            .is_some_and(|end| micros(SystemTime::now()) > end)
        {
            let failure = Failure::new(
                FailureCode::Timeout,
                "the deadline of its job was over before it began",
            );
            return self.refuse(payload, engine, &failure).await;
        }
        if engine.is_none() && Suspect::is(delivery, head.deliveries) {
            let suspect = Suspect::open(
                &self.bench.blobs,
                (&name.0, &name.1),
                delivery,
                head.deliveries,
            );
            return match suspect.await {
                Ok(suspect) => {
                    self.run_by_parts(name, payload, &head, cancel, suspect)
                        .await
                }
                Err(error) => Run::Later(error.to_string()),
            };
        }
        let mut ready = match self
            .make_ready(name, payload, &head, body, engine, cancel)
            .await
        {
            Ok(ready) => ready,
            Err(run) => return run,
        };
        let tasks = std::mem::take(&mut ready.tasks);
        let first = range(&tasks);
        if tasks.is_empty() {
            return Run::Ended(first, Vec::new(), None);
        }
        match self
            .run_tasks(name, &head, &ready, tasks, engine, cancel)
            .await
        {
            Some(outcomes) => Run::Ended(first, outcomes, None),
            None => Run::GivenBack,
        }
    }

    /// Runs a message part by part that was with processes which were lost.
    async fn run_by_parts(
        self: &Arc<Self>,
        name: &Name,
        payload: &Bytes,
        head: &TasksHead,
        cancel: &Cancel,
        mut suspect: Suspect,
    ) -> Run {
        let lost = || {
            let count = head.deliveries;
            Failure::new(
                FailureCode::EngineLost,
                format!(
                    "it was with {count} engines, and each was lost with it: it may be what ends them, and is given to no other"
                ),
            )
        };
        if suspect.is_hopeless() {
            let (first, outcomes) = self.refusals(payload, None, &lost()).await;
            return Run::Ended(first, outcomes, Some(Box::new(suspect)));
        }
        tracing::warn!(
            job = &*name.0,
            number = &*name.1,
            "engines were lost with these tasks: they run part by part"
        );
        if let Err(error) = suspect.prepare().await {
            return Run::Later(error.to_string());
        }
        let body = parse::<TasksHead>(payload)
            .map(|(_, body)| body)
            .unwrap_or_default();
        let mut ready = match self
            .make_ready(name, payload, head, body, None, cancel)
            .await
        {
            Ok(ready) => ready,
            Err(Run::Ended(first, outcomes, _)) => {
                return Run::Ended(first, outcomes, Some(Box::new(suspect)));
            }
            Err(run) => {
                suspect.give_back().await;
                return run;
            }
        };
        let mut tasks = std::mem::take(&mut ready.tasks);
        let first = range(&tasks);
        let ty = match ready.callee {
            Callee::Command => Type::bytes(),
            Callee::Function(place) => value_type(&ready.program.module.functions()[place]),
        };
        let mut rest = tasks.split_off(suspect.ready(tasks.len(), &ty));
        loop {
            match suspect.next() {
                Step::End => break,
                Step::GiveUp => {
                    let task = rest.remove(0);
                    let engine = lock(&self.record).engines.first().map(|id| EngineId(*id));
                    suspect.through(vec![Outcome {
                        result: Err(lost()),
                        usage: Usage::none(engine, task.attempt, ready.queued),
                    }]);
                }
                Step::Run(count) => {
                    if self.is_draining.load(Ordering::Relaxed) {
                        suspect.give_back().await;
                        return Run::GivenBack;
                    }
                    if let Err(error) = suspect.begin().await {
                        suspect.give_back().await;
                        return Run::Later(error.to_string());
                    }
                    let after = rest.split_off(count.min(rest.len()));
                    let part = std::mem::replace(&mut rest, after);
                    if let Some(outcomes) =
                        self.run_tasks(name, head, &ready, part, None, cancel).await
                    {
                        suspect.through(outcomes);
                    } else {
                        suspect.give_back().await;
                        return Run::GivenBack;
                    }
                }
            }
        }
        let outcomes = std::mem::take(&mut suspect.done);
        Run::Ended(first, outcomes, Some(Box::new(suspect)))
    }

    /// What the tasks of a message need; else what becomes of it.
    async fn make_ready(
        &self,
        name: &Name,
        payload: &Bytes,
        head: &TasksHead,
        body: Bytes,
        engine: Option<EngineId>,
        cancel: &Cancel,
    ) -> Result<Ready, Run> {
        let mut tries = 0;
        let ready = loop {
            match self.bench.make_ready(&name.0, head, body.clone()).await {
                Ok(ready) => break ready,
                Err(NotReady::Failed(failure)) => {
                    return Err(self.refuse(payload, engine, &failure).await);
                }
                Err(NotReady::Later(reason)) if engine.is_none() || tries == 20 => {
                    if engine.is_none() {
                        return Err(Run::Later(reason));
                    }
                    let failure = Failure::new(FailureCode::EngineLost, reason);
                    return Err(self.refuse(payload, engine, &failure).await);
                }
                Err(NotReady::Later(_)) => {
                    tries += 1;
                    sleep(AGAIN).await;
                }
            }
        };
        if cancel.is_wanted() {
            let failure = Failure::new(
                FailureCode::Cancelled,
                "the task was cancelled before it ran",
            );
            return Err(self.refuse(payload, engine, &failure).await);
        }
        if self.is_draining.load(Ordering::Relaxed) && engine.is_none() {
            return Err(Run::GivenBack);
        }
        Ok(ready)
    }

    /// Has an engine run tasks. None where they are given back.
    async fn run_tasks(
        self: &Arc<Self>,
        name: &Name,
        head: &TasksHead,
        ready: &Ready,
        tasks: Vec<DispatchedTask>,
        engine: Option<EngineId>,
        cancel: &Cancel,
    ) -> Option<Vec<Outcome>> {
        let (dispatch, answered) = self.dispatch(name, head, ready, tasks, engine, cancel);
        if let Some(held) = lock(&self.held).get_mut(name) {
            held.dispatch = Some(Arc::clone(&dispatch));
        }
        self.bench.cluster.core().backend.submit(dispatch);
        // An error is that the engines ended under it.
        answered.await.ok().flatten()
    }

    fn dispatch(
        self: &Arc<Self>,
        name: &Name,
        head: &TasksHead,
        ready: &Ready,
        tasks: Vec<DispatchedTask>,
        engine: Option<EngineId>,
        cancel: &Cancel,
    ) -> (Arc<Dispatch>, oneshot::Receiver<Option<Vec<Outcome>>>) {
        let (reply, answered) = Collector::new(self, name, tasks.len(), head.listens);
        let mut hasher = DefaultHasher::new();
        name.0.hash(&mut hasher);
        let listener = head.listens.then(|| {
            Arc::new(Teller {
                worker: Arc::clone(self),
                name: name.clone(),
            }) as Arc<dyn Listener>
        });
        // What came from a queue that goes first goes first here too.
        let queue = lock(&self.held).get(name).map_or(0, |held| held.queue);
        let dispatch = Dispatch {
            id: DispatchId(self.next.fetch_add(1, Ordering::Relaxed)),
            job: JobId(hasher.finish()),
            eligible: engine.map_or(Eligible::Any, Eligible::One),
            priority: -i32::try_from(queue).unwrap_or(i32::MAX),
            stage: if head.reduces {
                Stage::Reduce
            } else {
                Stage::Map
            },
            program: Arc::clone(&ready.program),
            setting: Arc::clone(&ready.setting),
            reuse: ready.reuse,
            owner: ready.owner.clone(),
            callee: ready.callee,
            tasks,
            queued: ready.queued,
            cancel: cancel.clone(),
            pushed: ready.pushed.clone(),
            listener,
            reply,
            course: Course::default(),
            engine_count: Some(head.engines),
        };
        (Arc::new(dispatch), answered)
    }

    /// Ends the tasks of a message with the same failure each.
    async fn refuse(&self, payload: &Bytes, engine: Option<EngineId>, failure: &Failure) -> Run {
        let (first, outcomes) = self.refusals(payload, engine, failure).await;
        Run::Ended(first, outcomes, None)
    }

    /// Outcomes of a message whose tasks did not run, and the indices of its first and last task.
    async fn refusals(
        &self,
        payload: &Bytes,
        engine: Option<EngineId>,
        failure: &Failure,
    ) -> ((u64, u64), Vec<Outcome>) {
        let Ok((head, body)) = parse::<TasksHead>(payload) else {
            return ((0, 0), Vec::new());
        };
        let body = match &head.body {
            None => body,
            // Where it cannot be had, whoever submitted it knows how many tasks it had.
            Some(name) => self
                .bench
                .blobs
                .get(name, LARGEST_BODY)
                .await
                .unwrap_or_default(),
        };
        let tasks = decode_tasks(&body).unwrap_or_default();
        let engine = engine.or_else(|| lock(&self.record).engines.first().map(|id| EngineId(*id)));
        let outcomes: Vec<Outcome> = tasks
            .iter()
            .map(|task| Outcome {
                result: Err(failure.clone()),
                usage: Usage::none(engine, task.attempt, crate::nats::wire::time(head.queued)),
            })
            .collect();
        let first = (
            tasks.first().map_or(0, |task| task.index),
            tasks.last().map_or(0, |task| task.index),
        );
        (first, outcomes)
    }

    /// Stores a result, once: whoever was first has it. Whether it is stored.
    async fn store(
        &self,
        name: &Name,
        delivery: u64,
        (first, last): (u64, u64),
        outcomes: &[Outcome],
    ) -> bool {
        let body = encode_outcomes(outcomes);
        let failures = outcomes.iter().filter(|one| one.result.is_err()).count();
        let mut head = OutcomesHead {
            process: self.process(),
            delivery,
            count: outcomes.len() as u64,
            failures: failures as u64,
            first,
            last,
            body: None,
        };
        let mut pause = AGAIN;
        let message = if body.len() <= LARGEST_INLINE {
            frame(&head, &body)
        } else {
            // Two engines that both ran it write different objects, so that none loses its pieces to the other.
            let object = format!("o/{}/{}.{}", name.0, name.1, head.process);
            while let Err(error) = self.bench.blobs.put_bytes(&object, &body).await {
                tracing::warn!(%error, "a large result is not stored yet");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            head.body = Some(object);
            frame(&head, &[])
        };
        drop(body);
        let subject = names::result(&name.0, &name.1);
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
        // For whoever looks on without reading what is in it.
        headers.insert(names::COUNT, outcomes.len().to_string());
        headers.insert(names::FAILURES, failures.to_string());
        let mut patience = PATIENCE;
        loop {
            let publish = async {
                self.connection
                    .js
                    .publish_with_headers(subject.clone(), headers.clone(), message.clone())
                    .await?
                    .await
            };
            let publish = self.connection.watched("rwc.r.", publish);
            let reason = match self.connection.within(patience, publish).await {
                Some(Ok(Ok(_))) => return true,
                Some(Ok(Err(error))) if error.kind() == PublishErrorKind::WrongLastSequence => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                Some(Ok(Err(error))) => error.to_string(),
                Some(Err(denied)) => denied.to_string(),
                None => {
                    patience *= 2;
                    "the server does not say that it is".to_owned()
                }
            };
            tracing::warn!(reason, "a result is not stored yet");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Hears what is not wanted any more.
    pub(super) async fn hear_cancelled(self: Arc<Self>, mut messages: Subscriber) {
        while let Some(message) = messages.next().await {
            let Some(job) = message.subject.rsplit('.').next() else {
                continue;
            };
            let Ok(numbers) = decode_cancelled(&message.payload) else {
                continue;
            };
            self.cancel(job, &numbers);
        }
    }

    /// Stops what runs of these, and begins none of them; none named are all of the job.
    fn cancel(&self, job: &str, numbers: &[String]) {
        let job: Arc<str> = job.into();
        let named: Vec<Name> = if numbers.is_empty() {
            let held = lock(&self.held);
            held.keys().filter(|name| name.0 == job).cloned().collect()
        } else {
            let name = |number: &String| (Arc::clone(&job), Arc::from(number.as_str()));
            numbers.iter().map(name).collect()
        };
        for name in &named {
            if let Some(held) = lock(&self.held).get(name) {
                held.cancel.cancel();
            }
        }
        let mut cancelled = lock(&self.cancelled);
        if numbers.is_empty() {
            cancelled
                .jobs
                .retain(|_, since| since.elapsed() < WHOLE_JOB);
            cancelled.jobs.insert(job, Instant::now());
        } else {
            for name in named {
                cancelled.add(name);
            }
        }
    }

    fn is_cancelled(&self, name: &Name) -> Option<Scope> {
        let cancelled = lock(&self.cancelled);
        if cancelled.names.contains(name) {
            return Some(Scope::Message);
        }
        let since = cancelled.jobs.get(&name.0)?;
        (since.elapsed() < WHOLE_JOB).then_some(Scope::Job)
    }

    /// Says to the server that what it gave us is still with us.
    pub(super) async fn keep_alive(&self) {
        let messages: Vec<Message> = lock(&self.held)
            .values()
            .filter_map(|held| held.message.clone())
            .collect();
        for message in messages {
            let _ = message.ack_with(AckKind::Progress).await;
        }
    }

    /// Tells the cluster of these engines.
    pub(super) async fn register(&self) -> Result<(), String> {
        let (key, value) = {
            let mut record = lock(&self.record);
            record.busy = self.busy.load(Ordering::Relaxed);
            record.done = self.done.load(Ordering::Relaxed);
            record.failed = self.failed.load(Ordering::Relaxed);
            record.draining = self.is_draining.load(Ordering::Relaxed);
            (
                record.process.clone(),
                serde_json::to_vec(&*record).unwrap_or_default(),
            )
        };
        let bucket = presence::bucket(&self.connection).await?;
        let put = bucket.put(key, value.into());
        let put = self.connection.watched(names::ENGINES, put).await;
        let heard = match put {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(denied) => Err(denied.to_string()),
        };
        self.is_heard.store(heard.is_ok(), Ordering::Relaxed);
        heard
    }

    /// Says again and again that these engines are there.
    pub(super) async fn renew(self: Arc<Self>) {
        loop {
            let age = match presence::bucket(&self.connection).await {
                Ok(bucket) => bucket.stream.cached_info().config.max_age,
                Err(_) => Duration::from_secs(3),
            };
            let renewed = match timeout(age, self.register()).await {
                Ok(renewed) => renewed,
                Err(_) => Err("the server does not answer".to_owned()),
            };
            match renewed {
                Ok(()) => sleep((age / 3).max(Duration::from_millis(50))).await,
                Err(reason) => {
                    self.is_heard.store(false, Ordering::Relaxed);
                    tracing::warn!(reason, "the cluster does not hear of these engines");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Lets an engine go; the last takes the process with it.
    pub(super) fn remove(&self, engine: EngineId) -> Result<(), String> {
        let removed = self.bench.cluster.remove_engine(engine);
        removed.map_err(|error| error.to_string())?;
        let mut record = lock(&self.record);
        record.engines.retain(|id| *id != engine.0);
        if record.engines.is_empty() {
            self.empty.notify_one();
        }
        Ok(())
    }

    /// Puts a new engine in an engine's place; how often that was done.
    pub(super) fn restart(&self, engine: EngineId) -> Result<u64, String> {
        let restarted = self.bench.cluster.restart_engine(engine);
        restarted.map_err(|error| error.to_string())?;
        let mut record = lock(&self.record);
        let count = record.restarts.entry(engine.0).or_default();
        *count += 1;
        Ok(*count)
    }

    pub(super) async fn emptied(&self) {
        self.empty.notified().await;
    }

    /// Takes nothing more, and says so.
    pub(super) async fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        let _ = timeout(Duration::from_secs(2), self.register()).await;
        let held: Vec<Arc<Dispatch>> = lock(&self.held)
            .values()
            .filter_map(|held| held.dispatch.clone())
            .collect();
        for dispatch in held {
            if dispatch.expire() {
                dispatch.fail_rest(None, FailureCode::EngineLost, GIVEN_BACK);
            }
        }
    }

    /// Waits for what runs, and gives back what is left then.
    pub(super) async fn drain(&self, limit: Duration) {
        let through = async {
            loop {
                let freed = self.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                if lock(&self.held).is_empty() {
                    return;
                }
                freed.await;
            }
        };
        tokio::pin!(through);
        if timeout(limit, &mut through).await.is_ok() {
            return;
        }
        let left: Vec<Arc<Dispatch>> = lock(&self.held)
            .values()
            .filter_map(|held| held.dispatch.clone())
            .collect();
        for dispatch in left {
            // Answered first: what the engine says of it when it is stopped is not to be stored.
            dispatch.fail_rest(None, FailureCode::EngineLost, GIVEN_BACK);
            dispatch.cancel.cancel();
        }
        let _ = timeout(Duration::from_secs(2), through).await;
    }

    pub(super) fn report(&self) -> super::JoinReport {
        super::JoinReport {
            engines: lock(&self.record)
                .engines
                .iter()
                .map(|id| EngineId(*id))
                .collect(),
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            given_back: self.given_back.load(Ordering::Relaxed),
        }
    }

    /// Leaves no trace, and ends the engines.
    pub(super) async fn leave(&self) {
        let leave = async {
            if let Ok(bucket) = presence::bucket(&self.connection).await {
                let _ = bucket.delete(self.process()).await;
            }
            let _ = self.connection.client.flush().await;
        };
        let _ = timeout(Duration::from_secs(2), leave).await;
        let cluster = Arc::clone(&self.bench.cluster);
        let ended = tokio::task::spawn_blocking(move || cluster.shutdown(Duration::ZERO));
        let _ = timeout(Duration::from_secs(5), ended).await;
    }

    pub(super) fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }
}

/// The indices of the first and the last.
fn range(tasks: &[DispatchedTask]) -> (u64, u64) {
    let index = |task: Option<&DispatchedTask>| task.map_or(0, |task| task.index);
    (index(tasks.first()), index(tasks.last()))
}

/// What a dispatch is answered with that is given back: known again by its text, and never stored.
const GIVEN_BACK: &str = "the process was told to go";

/// What became of a message.
enum Run {
    /// Its tasks have outcomes; with the indices of the first and last, and the ledger that is over with it.
    Ended((u64, u64), Vec<Outcome>, Option<Box<Suspect>>),
    /// Another is to run it.
    GivenBack,
    /// It is to be tried again a little later.
    Later(String),
}

/// Collects the outcomes of a dispatch.
struct Collector {
    worker: Arc<Worker>,
    name: Name,
    wanted: usize,
    listens: bool,
    has_begun: AtomicBool,
    state: Mutex<Collected>,
}

struct Collected {
    outcomes: Vec<Option<Outcome>>,
    count: usize,
    /// Gets all outcomes together; none where the dispatch was given back.
    done: Option<oneshot::Sender<Option<Vec<Outcome>>>>,
}

impl Collector {
    fn new(
        worker: &Arc<Worker>,
        name: &Name,
        wanted: usize,
        listens: bool,
    ) -> (Arc<Self>, oneshot::Receiver<Option<Vec<Outcome>>>) {
        let (done, answered) = oneshot::channel();
        let collector = Self {
            worker: Arc::clone(worker),
            name: name.clone(),
            wanted,
            listens,
            has_begun: AtomicBool::new(false),
            state: Mutex::new(Collected {
                outcomes: std::iter::repeat_with(|| None).take(wanted).collect(),
                count: 0,
                done: Some(done),
            }),
        };
        (Arc::new(collector), answered)
    }
}

impl Reply for Collector {
    fn begun(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
        self.worker.busy.fetch_add(1, Ordering::Relaxed);
        if self.listens {
            tell(&self.worker, &self.name, &Heard::Begun);
        }
    }

    fn answer(&self, answer: Answer) {
        let mut state = lock(&self.state);
        let is_given_back = answer.outcomes.iter().any(|outcome| {
            let failure = outcome.result.as_ref().err();
            failure.is_some_and(|failure| failure.message == GIVEN_BACK)
        });
        for (place, outcome) in answer.outcomes.into_iter().enumerate() {
            if let Some(slot) = state.outcomes.get_mut(answer.first + place)
                && slot.is_none()
            {
                *slot = Some(outcome);
                state.count += 1;
            }
        }
        if state.count < self.wanted && !is_given_back {
            return;
        }
        if self.has_begun.swap(false, Ordering::Relaxed) {
            self.worker.busy.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(done) = state.done.take() {
            let outcomes = std::mem::take(&mut state.outcomes);
            let outcomes = (!is_given_back).then(|| outcomes.into_iter().flatten().collect());
            // The process may be ending.
            let _ = done.send(outcomes);
        }
    }
}

/// Passes on what running tasks tell.
struct Teller {
    worker: Arc<Worker>,
    name: Name,
}

impl Listener for Teller {
    fn note(&self, task: u64, note: TaskNote) {
        tell(&self.worker, &self.name, &Heard::Note(task, note));
    }
}

/// What nobody can take in time is lost: a guest that prints is not held up by the network.
fn tell(worker: &Worker, name: &Name, heard: &Heard) {
    let message = encode_heard(&name.1, heard);
    if message.len() > LARGEST_INLINE {
        return;
    }
    let subject = names::notes(&name.0);
    let mut publish = Box::pin(worker.connection.client.publish(subject, message));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = std::future::Future::poll(publish.as_mut(), &mut context);
}

impl Cancelled {
    fn add(&mut self, name: Name) {
        if self.names.insert(name.clone()) {
            self.order.push_back(name);
            if self.order.len() > CANCELLED
                && let Some(oldest) = self.order.pop_front()
            {
                self.names.remove(&oldest);
            }
        }
    }
}

/// What this machine is called, for people.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
