//! The thread between this process and a cluster: it submits dispatches, receives results, and knows the engines.

use super::encode::Encoder;
use super::recall::{self, Recalled};
use super::reports::Reports;
use super::roster::Roster;
use super::{NatsSettings, flight, hear, idle};
use crate::backend::{EngineError, EngineStatus, QueueStatus};
use crate::dispatch::Dispatch;
use crate::events::ClusterEvent;
use crate::nats::assets::AssetError;
use crate::nats::blob::{Blobs, ReadBudget};
use crate::nats::connect::{ConnectError, Connection, Role};
use crate::nats::presence::Change;
use crate::nats::wire::{Heard, decode_heard, encode_cancelled};
use crate::nats::{lanes, names};
use crate::placement::Stage;
use async_nats::jetstream::stream::Stream;
use async_nats::{SubscribeError, Subscriber};
use bytes::Bytes;
use rwasm_sandbox::outcome::{Failure, FailureCode};
use rwasm_sandbox::sandbox::ModuleHash;
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// An order to the agent.
pub(super) enum Order {
    Submit(Arc<Dispatch>),
    Cancel(JobId),
    CancelDispatch(DispatchId),
    Control(EngineId, Control, SyncSender<Result<(), EngineError>>),
    Status(SyncSender<QueueStatus>),
    Shutdown,
}

/// A control request to the process of an engine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Control {
    Remove,
    Restart,
}

impl Control {
    fn word(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::Restart => "restart",
        }
    }
}

/// Dispatches that are encoded and sent at a time; others wait.
const SENDING: usize = 256;

/// The bytes of results too large for a message that are read and decoded at a time; one that is larger is alone.
const READ_AT_ONCE: u32 = 256 << 20;

/// How long engines may take to answer stopped tasks at the end.
const LAST_ANSWERS: Duration = Duration::from_millis(700);

/// How long a process may take to accept a dispatch, or to carry out a control request.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// The pause before something that was lost is asked for again.
pub(super) const AGAIN: Duration = Duration::from_millis(250);

/// How long no result may be heard before the stream is asked whether there is one.
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// See the [module](self). Shared by what runs on its thread.
pub(super) struct Agent {
    pub(super) connection: Connection,
    pub(super) results: Stream,
    pub(super) tasks: Stream,
    pub(super) encoder: Encoder,
    pub(super) modules: Blobs,
    /// The job id under which the server knows this session.
    pub(super) session: Arc<str>,
    pub(super) lane: String,
    pub(super) roster: Arc<Roster>,
    pub(super) sending: Semaphore,
    /// The room for results that are read.
    pub(super) reading: ReadBudget,
    /// Modules known to be on the server, and until when they are: those submitted in the last minute.
    pub(super) uploaded: tokio::sync::Mutex<HashMap<ModuleHash, Instant>>,
    flights: Mutex<HashMap<u64, SentDispatch>>,
    /// Locks for sending to one engine in order, of the engines that something is sent to.
    turns: Mutex<HashMap<EngineId, Arc<tokio::sync::Mutex<()>>>>,
    /// The numbers of messages that engines are still to be told about.
    unwanted: mpsc::Sender<u64>,
    has_sent: AtomicBool,
    /// When it was last reported that tasks are not accepted.
    reports: Reports,
    /// When a result was heard last.
    heard: Mutex<Instant>,
    /// Notified when a dispatch has ended.
    landed: Notify,
    /// Where the outcomes of a durable job are found, if this session recalls one.
    pub(super) recalled: Option<Arc<Recalled>>,
}

/// A dispatch that was sent to engines elsewhere and is not fully answered.
pub(super) struct SentDispatch {
    pub(super) dispatch: Arc<Dispatch>,
    /// The engine that was chosen for it.
    pub(super) engine: Option<EngineId>,
    /// The objects that were stored for it.
    pub(super) objects: Vec<String>,
    /// Whether its result was received: it may be heard and found.
    pub(super) has_landed: bool,
    /// Notified when it has ended.
    pub(super) done: Option<oneshot::Sender<()>>,
}

pub(super) enum Seen {
    /// The engines are being watched anew.
    Afresh,
    Change(Change),
}

/// Serves the connection until it ends.
pub(super) async fn run(
    settings: NatsSettings,
    roster: Arc<Roster>,
    orders: UnboundedSender<Order>,
    mut inbox: UnboundedReceiver<Order>,
    started: SyncSender<Result<(), ConnectError>>,
) {
    // The other end is held for those who submit; the inbox ends by an order.
    drop(orders);
    let (unwanted, cancelled) = channel(hear::MOST_UNWANTED);
    let agent = match Agent::open(settings, roster, unwanted).await {
        Ok(agent) => Arc::new(agent),
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    // Before anything is sent, so that its result is heard.
    let (notes, results) = match agent.subscribe().await {
        Ok(subscribed) => subscribed,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    // No bound: the loop below takes what is there between any two messages of the server, so that no more waits than
    // the cluster has engines.
    let (seen, mut changes) = unbounded_channel();
    tokio::spawn(hear::watch_engines(Arc::clone(&agent), seen));
    tokio::spawn(hear::hear(Arc::clone(&agent), notes, results));
    tokio::spawn(hear::find_missed(Arc::clone(&agent)));
    tokio::spawn(hear::tell_rejected(Arc::clone(&agent)));
    if let Some(recalled) = &agent.recalled {
        tokio::spawn(recall::hear_stored(
            Arc::clone(&agent),
            Arc::clone(recalled),
        ));
        tokio::spawn(recall::hear_end(Arc::clone(&agent), Arc::clone(recalled)));
    }
    tokio::spawn(hear::tell_cancelled(Arc::clone(&agent), cancelled));
    let mut present = Vec::new();
    let mut is_current = false;
    let first = timeout(Duration::from_secs(10), async {
        while let Some(seen) = changes.recv().await {
            agent.see(seen, &mut present, &mut is_current);
            if is_current {
                return;
            }
        }
    });
    if first.await.is_err() {
        let reason = agent.connection.last_denial().map_or_else(
            || "it does not report its engines".to_owned(),
            |denied| denied.to_string(),
        );
        let _ = started.send(Err(ConnectError::Unreachable {
            url: agent.connection.url.to_string(),
            reason,
        }));
        return;
    }
    if started.send(Ok(())).is_err() {
        return;
    }
    loop {
        tokio::select! {
            order = inbox.recv() => match order {
                None | Some(Order::Shutdown) => break,
                Some(order) => agent.obey(order),
            },
            Some(seen) = changes.recv() => agent.see(seen, &mut present, &mut is_current),
        }
    }
    // Nobody takes what is seen any more.
    drop(changes);
    agent.end().await;
}

impl Agent {
    async fn open(
        settings: NatsSettings,
        roster: Arc<Roster>,
        unwanted: mpsc::Sender<u64>,
    ) -> Result<Self, ConnectError> {
        let connection =
            Connection::to_cluster(&settings.connect, Role::Client, "rwasm-cluster client").await?;
        // Nothing is sent where outcomes are only recalled.
        if settings.recalled.is_none() {
            lanes::check(&connection, &settings.lane).await?;
        }
        let tasks = stream(&connection, names::TASKS).await?;
        let results = stream(&connection, names::RESULTS).await?;
        let blobs = |bucket| {
            let connection = &connection;
            async move {
                Blobs::open(connection, bucket)
                    .await
                    .map_err(|error| missing(connection, bucket, &error.to_string()))
            }
        };
        let (modules, blobs) = (blobs(names::MODULES).await?, blobs(names::BLOBS).await?);
        let session: Arc<str> = ulid::Ulid::new().to_string().into();
        Ok(Self {
            tasks,
            results,
            encoder: Encoder::new(blobs, Arc::clone(&session), settings.deliveries),
            modules,
            session,
            lane: settings.lane,
            roster,
            sending: Semaphore::new(SENDING),
            reading: ReadBudget::new(READ_AT_ONCE),
            reports: Reports::default(),
            heard: Mutex::new(Instant::now()),
            uploaded: tokio::sync::Mutex::default(),
            flights: Mutex::default(),
            turns: Mutex::default(),
            unwanted,
            has_sent: AtomicBool::new(false),
            landed: Notify::new(),
            recalled: settings.recalled,
            connection,
        })
    }

    /// Subscribes to what engines publish for this session: notes and results.
    async fn subscribe(&self) -> Result<(Subscriber, Subscriber), ConnectError> {
        let client = &self.connection.client;
        let subscribe = async {
            let notes = client.subscribe(names::notes(&self.session)).await?;
            let results = client.subscribe(names::results_of_job(&self.session));
            Ok((notes, results.await?))
        };
        subscribe
            .await
            .map_err(|error: SubscribeError| ConnectError::Unreachable {
                url: self.connection.url.to_string(),
                reason: error.to_string(),
            })
    }

    pub(super) fn flights(&self) -> MutexGuard<'_, HashMap<u64, SentDispatch>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports that tasks are not accepted.
    pub(super) fn stalled(&self, reason: &str) {
        self.reports.stalled(self.roster.events(), reason);
    }

    pub(super) fn turn(&self, engine: EngineId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if !turns.contains_key(&engine) {
            // Engines come and go; ids are never used again.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(engine).or_default())
    }

    /// Has whoever runs a message told that it is no longer wanted.
    pub(super) fn unwanted(&self, number: u64) {
        // Without room, engines are not told: it runs for nobody, and its result is ignored.
        let _ = self.unwanted.try_send(number);
    }

    fn obey(self: &Arc<Self>, order: Order) {
        match order {
            Order::Submit(dispatch) if dispatch.stage == Stage::Map && self.recalled.is_some() => {
                if let Some(recalled) = self.recalled.clone() {
                    tokio::spawn(recall::answer(Arc::clone(self), recalled, dispatch));
                }
            }
            Order::Submit(dispatch) => {
                self.has_sent.store(true, Ordering::Relaxed);
                flight::begin(self, dispatch);
            }
            Order::Cancel(job) => {
                let of_job: Vec<u64> = self
                    .flights()
                    .iter()
                    .filter(|(_, flight)| flight.dispatch.job == job)
                    .map(|(number, _)| *number)
                    .collect();
                for number in of_job {
                    self.take_back(number);
                }
            }
            Order::CancelDispatch(id) => self.take_back(id.0),
            Order::Control(engine, control, answer) => {
                let agent = Arc::clone(self);
                tokio::spawn(async move {
                    let _ = answer.send(agent.control(engine, control).await);
                });
            }
            Order::Status(answer) => {
                let _ = answer.send(self.status());
            }
            Order::Shutdown => {}
        }
    }

    /// Answers a dispatch as cancelled, unless an engine has begun it. Forgets one that is already answered.
    fn take_back(&self, number: u64) {
        let dispatch = self
            .flights()
            .get(&number)
            .map(|flight| Arc::clone(&flight.dispatch));
        let Some(dispatch) = dispatch else { return };
        if dispatch.is_running() {
            return;
        }
        let _ = dispatch.expire();
        dispatch.cancel_rest(None);
        self.unwanted(number);
        self.over(number);
    }

    /// Records that a result was heard.
    pub(super) fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns since when no result was heard.
    pub(super) fn heard_for(&self) -> Duration {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.elapsed()
    }

    /// Returns the dispatches whose results were not received.
    pub(super) fn unheard(&self) -> Vec<u64> {
        let flights = self.flights();
        let unheard = flights.iter().filter(|(_, flight)| !flight.has_landed);
        unheard.map(|(number, _)| *number).collect()
    }

    /// Forgets a dispatch that has ended.
    pub(super) fn over(&self, number: u64) -> Option<SentDispatch> {
        let mut flight = self.flights().remove(&number)?;
        self.landed.notify_waiters();
        if let Some(done) = flight.done.take() {
            let _ = done.send(());
        }
        self.remove_objects(std::mem::take(&mut flight.objects));
        Some(flight)
    }

    /// Has these objects removed when the dispatch ends, which may have been in the meantime.
    pub(super) fn keep_objects(&self, number: u64, objects: Vec<String>) {
        let gone = match self.flights().get_mut(&number) {
            Some(flight) => {
                // An earlier attempt may have stored what this one did not come to.
                for name in objects {
                    if !flight.objects.contains(&name) {
                        flight.objects.push(name);
                    }
                }
                return;
            }
            None => objects,
        };
        self.remove_objects(gone);
    }

    fn remove_objects(&self, objects: Vec<String>) {
        if objects.is_empty() {
            return;
        }
        let blobs = self.encoder.blobs.clone();
        tokio::spawn(async move {
            for name in objects {
                // What stays is removed when its time is over.
                let _ = blobs.remove(&name).await;
            }
        });
    }

    fn see(&self, seen: Seen, present: &mut Vec<String>, is_current: &mut bool) {
        match seen {
            Seen::Afresh => {
                present.clear();
                *is_current = false;
            }
            Seen::Change(Change::Current) => {
                *is_current = true;
                for (_, engines) in self.roster.keep_only(present) {
                    self.lost(&engines);
                }
            }
            Seen::Change(change) => {
                if let (Change::Present(record), false) = (&change, *is_current) {
                    present.push(record.process.clone());
                }
                if let Some((_, engines)) = self.roster.take_in(change) {
                    self.lost(&engines);
                }
            }
        }
    }

    /// Answers what was given to these engines alone as lost.
    fn lost(&self, engines: &[EngineId]) {
        let lost: Vec<(u64, Arc<Dispatch>, EngineId)> = self
            .flights()
            .iter()
            .filter_map(|(number, flight)| {
                let engine = flight.engine.filter(|engine| engines.contains(engine))?;
                Some((*number, Arc::clone(&flight.dispatch), engine))
            })
            .collect();
        for (number, dispatch, engine) in lost {
            let message = "its process left while it had the task";
            dispatch.fail_rest(Some(engine), FailureCode::EngineLost, message);
            self.over(number);
        }
    }

    async fn control(&self, engine: EngineId, control: Control) -> Result<(), EngineError> {
        let Some(process) = self.roster.process(engine) else {
            return Err(EngineError::Unknown {
                engine,
                engines: self.roster.engines(),
            });
        };
        let asked = Bytes::from(format!("{} {engine}", control.word()));
        let subject = names::control(&process);
        let request = self.connection.order(&subject, &asked);
        let refused = |reason: String| EngineError::Refused { engine, reason };
        match timeout(ANSWER, self.connection.watched("rwc.e.", request)).await {
            Ok(Ok(Ok(reply))) => {
                let reply = String::from_utf8_lossy(&reply.payload).into_owned();
                match reply.strip_prefix("ok").map(|count| count.trim().parse()) {
                    None => return Err(refused(reply)),
                    // What it says of itself to everyone may come later.
                    Some(count) => match control {
                        Control::Remove => self.roster.remove(engine),
                        Control::Restart => self.roster.restarted(engine, count.unwrap_or(0)),
                    },
                }
                Ok(())
            }
            Ok(Ok(Err(error))) => Err(refused(error.to_string())),
            Ok(Err(denied)) => Err(refused(denied.to_string())),
            Err(_) => Err(refused("its process does not answer".to_owned())),
        }
    }

    pub(super) fn hear_note(&self, payload: &Bytes) {
        let Ok((number, heard)) = decode_heard(payload) else {
            return;
        };
        let Ok(number) = number.parse() else { return };
        let dispatch = self
            .flights()
            .get(&number)
            .map(|flight| Arc::clone(&flight.dispatch));
        let Some(dispatch) = dispatch else { return };
        match heard {
            Heard::Begun => {
                let _ = dispatch.begin();
            }
            Heard::Compiling(before) => {
                // An engine has taken them: to wait for a compiler is not to wait in the queue.
                let _ = dispatch.begin();
                let module = &dispatch.program.module;
                self.reports.compiling(self.roster.events(), module, before);
            }
            Heard::Note(task, note) => {
                if let Some(listener) = &dispatch.listener {
                    listener.note(task, note);
                }
            }
        }
    }

    fn status(&self) -> QueueStatus {
        let mut engines: HashMap<EngineId, EngineStatus> = HashMap::new();
        let mut unassigned = 0;
        for flight in self.flights().values() {
            match flight.engine {
                None => unassigned += 1,
                Some(engine) => {
                    let status = engines.entry(engine).or_insert_with(|| idle(engine));
                    if flight.dispatch.is_running() {
                        status.outstanding += 1;
                    } else {
                        status.queue += 1;
                    }
                }
            }
        }
        let all = self.roster.engines().into_iter().map(|engine| {
            let mut status = engines.remove(&engine).unwrap_or_else(|| idle(engine));
            status.completed = self.roster.done(engine);
            status
        });
        QueueStatus {
            engines: all.collect(),
            unassigned,
        }
    }

    /// Stops what is running, lets engines answer it, and removes everything of the session from the server.
    async fn end(&self) {
        if self.has_sent.load(Ordering::Relaxed) {
            let waiting: Vec<(u64, Arc<Dispatch>)> = self
                .flights()
                .iter()
                .map(|(number, flight)| (*number, Arc::clone(&flight.dispatch)))
                .collect();
            if !waiting.is_empty() {
                for (_, dispatch) in &waiting {
                    dispatch.cancel.cancel();
                }
                let everything = encode_cancelled(&[]);
                let subject = names::cancelled(&self.session);
                let _ = self.connection.tell(&subject, &everything).await;
                drop(waiting);
                let answered = async {
                    loop {
                        let landed = self.landed.notified();
                        tokio::pin!(landed);
                        landed.as_mut().enable();
                        if self.flights().is_empty() {
                            return;
                        }
                        landed.await;
                    }
                };
                let _ = timeout(LAST_ANSWERS, answered).await;
            }
            let purge = async {
                let tasks = self
                    .tasks
                    .purge()
                    .filter(names::tasks_of_job(&self.session));
                let _ = tasks.await;
                let results = names::results_of_job(&self.session);
                let _ = self.results.purge().filter(results).await;
            };
            let _ = timeout(Duration::from_secs(2), purge).await;
        }
        let rest = std::mem::take(&mut *self.flights());
        for flight in rest.into_values() {
            flight
                .dispatch
                .fail_rest_with(flight.engine, &Failure::shut_down());
        }
        let _ = timeout(Duration::from_secs(1), self.connection.client.flush()).await;
        self.roster.close();
        self.roster.events().tell(ClusterEvent::ShutDown);
    }
}

async fn stream(connection: &Connection, name: &'static str) -> Result<Stream, ConnectError> {
    let get = connection.js.get_stream(name);
    match connection.watched(name, get).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(missing(connection, name, &error.to_string())),
        Err(denied) => Err(connection.denied(&denied)),
    }
}

fn missing(connection: &Connection, name: &str, reason: &str) -> ConnectError {
    tracing::debug!(name, reason, "a stream does not exist");
    if let Some(denied) = connection.last_denial() {
        return connection.denied(&denied);
    }
    ConnectError::Assets(AssetError::Missing {
        what: format!("stream {name}"),
    })
}
