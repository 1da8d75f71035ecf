//! Remote engines, reached over NATS JetStream.
//!
//! JetStream's consumers do here what placement does for the engines of this process: a dispatch for any engine is a
//! message in a work queue, which an engine takes when it is free, and which another engine gets if that one dies. A
//! dispatch for one engine is a request to its process. Either way, outcomes come back in the stream of results,
//! where each message is written once.
//!
//! `agent` is the thread that does all this, `hear` what it listens to, `flight` the way of one dispatch. `encode`
//! turns dispatches into messages, and `roster` knows the engines.

mod agent;
mod encode;
mod flight;
mod hear;
mod recall;
mod reports;
mod roster;

use super::{Backend, EngineError, EngineStatus, QueueStatus, end};
use crate::dispatch::Dispatch;
use crate::events::EventSender;
use crate::job::HandOver;
use crate::nats::connect::{ConnectError, ConnectSettings};
use crate::nats::names;
use agent::Order;
pub(crate) use encode::{EncodeError, Encoder};
pub(crate) use recall::Recalled;
use roster::Roster;
use rwasm_sandbox::lock::lock;
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::mpsc::UnboundedSender;

/// How tasks are given to a cluster.
#[derive(Clone)]
pub(crate) struct NatsSettings {
    pub(crate) connect: ConnectSettings,
    /// The lane whose engines get the tasks.
    pub(crate) lane: String,
    /// How many engines a task may be given to if each is lost with it.
    pub(crate) deliveries: u32,
    /// The durable job whose outcomes are recalled, if any.
    pub(crate) recalled: Option<Arc<Recalled>>,
}

impl std::fmt::Debug for NatsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsSettings")
            .field("connect", &self.connect)
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

impl Default for NatsSettings {
    fn default() -> Self {
        Self {
            connect: ConnectSettings::new("nats://127.0.0.1:4222"),
            lane: names::MAIN_LANE.to_owned(),
            deliveries: 5,
            recalled: None,
        }
    }
}

/// The engines of a cluster over NATS.
pub(crate) struct Nats {
    orders: UnboundedSender<Order>,
    roster: Arc<Roster>,
    lane: String,
    /// Taken by whoever shuts the backend down.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Nats {
    /// Connects, and returns once the present engines are known.
    ///
    /// # Errors
    /// If the cluster cannot be reached, rejects the connection, or is not set up.
    pub(crate) fn start(settings: NatsSettings, events: EventSender) -> Result<Self, ConnectError> {
        // No bound of its own: what is submitted has room in the queue of its cluster or job, and who controls an engine
        // or wants to know something waits for the answer. The agent takes orders without waiting for the server.
        let (orders, inbox) = tokio::sync::mpsc::unbounded_channel();
        let roster = Arc::new(Roster::new(events));
        let (started, starting) = sync_channel(1);
        let url = settings.connect.url.clone();
        let mut settings = settings;
        settings.lane = settings.connect.lane_for(&settings.lane);
        let lane = settings.lane.clone();
        let failed = move |error: std::io::Error| ConnectError::Unreachable {
            url: url.clone(),
            reason: format!("cannot start a thread for the connection: {error}"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("rwasm-nats-io")
            .build()
            .map_err(&failed)?;
        let thread = std::thread::Builder::new()
            .name("rwasm-nats".to_owned())
            .spawn({
                let roster = Arc::clone(&roster);
                let orders = orders.clone();
                move || {
                    runtime.block_on(agent::run(settings, roster, orders, inbox, started));
                    // A reader of a stream that does not end is left to end with it.
                    runtime.shutdown_background();
                }
            })
            .map_err(&failed)?;
        match starting.recv() {
            Ok(Ok(())) => Ok(Self {
                orders,
                roster,
                lane,
                thread: Mutex::new(Some(thread)),
            }),
            Ok(Err(error)) => {
                let _ = thread.join();
                Err(error)
            }
            Err(_) => Err(failed(std::io::Error::other("it ended at once"))),
        }
    }

    fn order(&self, order: Order) {
        // What cannot be sent is dropped: a dispatch answers so.
        let _ = self.orders.send(order);
    }

    /// Asks the agent; `None` if it has ended.
    fn ask<T>(&self, question: impl FnOnce(SyncSender<T>) -> Order) -> Option<T> {
        let (answer, answered) = sync_channel(1);
        self.order(question(answer));
        answered.recv().ok()
    }
}

impl Backend for Nats {
    fn submit(&self, dispatch: Arc<Dispatch>) {
        dispatch.observe_submission();
        self.order(Order::Submit(dispatch));
    }

    fn cancel(&self, job: JobId) {
        self.order(Order::Cancel(job));
    }

    fn cancel_dispatch(&self, id: DispatchId) {
        self.order(Order::CancelDispatch(id));
    }

    fn hand_over(&self) -> HandOver {
        HandOver::FAR
    }

    fn engines(&self) -> Vec<EngineId> {
        self.roster.engines()
    }

    fn engine_count(&self) -> usize {
        self.roster.count()
    }

    fn is_served(&self) -> bool {
        self.roster.is_served(&self.lane)
    }

    fn add_engines(&self, _: u32) -> Result<Vec<EngineId>, EngineError> {
        if self.roster.is_closed() {
            return Err(EngineError::ShutDown);
        }
        Err(EngineError::Elsewhere)
    }

    fn remove_engine(&self, engine: EngineId) -> Result<(), EngineError> {
        self.ask(|answer| Order::Control(engine, agent::Control::Remove, answer))
            .unwrap_or(Err(EngineError::ShutDown))
    }

    fn restart_engine(&self, engine: EngineId) -> Result<(), EngineError> {
        self.ask(|answer| Order::Control(engine, agent::Control::Restart, answer))
            .unwrap_or(Err(EngineError::ShutDown))
    }

    fn status(&self) -> QueueStatus {
        self.ask(Order::Status).unwrap_or_default()
    }

    fn has_ended(&self) -> bool {
        let thread = lock(&self.thread);
        thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn shutdown(&self) {
        end(&self.thread, || self.order(Order::Shutdown));
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn idle(engine: EngineId) -> EngineStatus {
    EngineStatus {
        engine,
        outstanding: 0,
        queue: 0,
        completed: 0,
        workers_lost: 0,
        last_loss: None,
    }
}
