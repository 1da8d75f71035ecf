//! Engines as threads of this process, fed by one dispatcher thread.
//!
//! The dispatcher owns the placement machine, the engines and the table of dispatches; everyone else sends it
//! messages and shares nothing with it but the number of engines. An engine that dies is replaced under its id, and
//! the tasks it had are answered as lost.

use super::{Backend, EngineError, EngineStatus, QueueStatus, end};
use crate::dispatch::Dispatch;
use crate::engine::{Engine, EngineNote, Isolation};
use crate::events::{ClusterEvent, EventSender};
use crate::job::HandOver;
use crate::placement::{Decision, Eligible, Machine, Order, Policy, Share, TenantId, TenantLoad};
use crate::spin;
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::outcome::FailureCode;
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The engines of one process.
pub(crate) struct Local {
    /// No bound of its own: what is submitted has room in the queue of its cluster or job, an engine notes the end of what
    /// it was given, and who asks for something waits for the answer.
    inbox: Sender<Message>,
    count: Arc<AtomicU32>,
    /// Taken by whoever shuts the backend down.
    dispatcher: Mutex<Option<JoinHandle<()>>>,
}

/// The settings of a process's engines.
pub(crate) struct LocalSettings {
    pub(crate) engines: u32,
    /// The id of the first engine; the others have the following ones.
    pub(crate) first_engine: u32,
    /// The most engines at a time.
    pub(crate) max_engines: u32,
    pub(crate) isolation: Isolation,
    pub(crate) policy: Policy,
    /// The most dispatches that an engine has at a time.
    pub(crate) hwm: usize,
    /// The seed of the random policies.
    pub(crate) seed: u64,
}

enum Message {
    Submit(Arc<Dispatch>),
    Cancel(JobId),
    CancelDispatch(DispatchId),
    Share(TenantId, Share),
    CloseTenant(TenantId),
    TenantStatus(TenantId, SyncSender<TenantLoad>),
    Note(u64, EngineNote),
    Engines(SyncSender<Vec<EngineId>>),
    Add(u32, SyncSender<Result<Vec<EngineId>, EngineError>>),
    Remove(EngineId, SyncSender<Result<(), EngineError>>),
    Restart(EngineId, SyncSender<Result<(), EngineError>>),
    Status(SyncSender<QueueStatus>),
    #[cfg(all(test, feature = "nats"))]
    Panic,
    Shutdown,
}

impl Local {
    /// Starts the engines.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub(crate) fn start(settings: &LocalSettings, events: EventSender) -> std::io::Result<Self> {
        let (inbox, messages) = channel();
        let mut dispatcher = Dispatcher {
            isolation: settings.isolation.clone(),
            placement: Machine::new(settings.policy, settings.hwm, settings.seed),
            engines: BTreeMap::new(),
            ending: HashMap::new(),
            next_engine: settings.first_engine,
            next_thread: 0,
            max_engines: settings.max_engines,
            count: Arc::new(AtomicU32::new(settings.engines)),
            dispatches: HashMap::new(),
            inbox: inbox.clone(),
            events,
            spin: Duration::ZERO,
        };
        let count = Arc::clone(&dispatcher.count);
        for _ in 0..settings.engines {
            dispatcher.add()?;
        }
        let thread = std::thread::Builder::new()
            .name("rwasm-dispatch".to_owned())
            .spawn(move || dispatcher.run(&messages))?;
        Ok(Self {
            inbox,
            count,
            dispatcher: Mutex::new(Some(thread)),
        })
    }

    /// Asks the dispatcher; `None` if it has ended.
    fn ask<T>(&self, question: impl FnOnce(SyncSender<T>) -> Message) -> Option<T> {
        let (answer, answered) = sync_channel(1);
        self.inbox.send(question(answer)).ok()?;
        answered.recv().ok()
    }
}

impl Backend for Local {
    fn submit(&self, dispatch: Arc<Dispatch>) {
        dispatch.observe_submission();
        // One that cannot be sent is dropped, and answers so.
        let _ = self.inbox.send(Message::Submit(dispatch));
    }

    fn cancel(&self, job: JobId) {
        let _ = self.inbox.send(Message::Cancel(job));
    }

    fn cancel_dispatch(&self, id: DispatchId) {
        let _ = self.inbox.send(Message::CancelDispatch(id));
    }

    fn set_share(&self, tenant: TenantId, share: Share) {
        let _ = self.inbox.send(Message::Share(tenant, share));
    }

    fn close_tenant(&self, tenant: TenantId) {
        let _ = self.inbox.send(Message::CloseTenant(tenant));
    }

    fn tenant_status(&self, tenant: TenantId) -> TenantLoad {
        self.ask(|answer| Message::TenantStatus(tenant, answer))
            .unwrap_or_default()
    }

    fn hand_over(&self) -> HandOver {
        HandOver::NEAR
    }

    fn engines(&self) -> Vec<EngineId> {
        self.ask(Message::Engines).unwrap_or_default()
    }

    fn engine_count(&self) -> usize {
        self.count.load(Ordering::Relaxed) as usize
    }

    fn has_ended(&self) -> bool {
        let dispatcher = lock(&self.dispatcher);
        dispatcher.as_ref().is_none_or(JoinHandle::is_finished)
    }

    #[cfg(all(test, feature = "nats"))]
    fn break_down(&self) {
        let _ = self.inbox.send(Message::Panic);
    }

    fn add_engines(&self, count: u32) -> Result<Vec<EngineId>, EngineError> {
        self.ask(|answer| Message::Add(count, answer))
            .unwrap_or(Err(EngineError::ShutDown))
    }

    fn remove_engine(&self, engine: EngineId) -> Result<(), EngineError> {
        self.ask(|answer| Message::Remove(engine, answer))
            .unwrap_or(Err(EngineError::ShutDown))
    }

    fn restart_engine(&self, engine: EngineId) -> Result<(), EngineError> {
        self.ask(|answer| Message::Restart(engine, answer))
            .unwrap_or(Err(EngineError::ShutDown))
    }

    fn status(&self) -> QueueStatus {
        self.ask(Message::Status).unwrap_or_default()
    }

    fn shutdown(&self) {
        end(&self.dispatcher, || {
            let _ = self.inbox.send(Message::Shutdown);
        });
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// An engine and its thread, as the dispatcher knows them.
struct Worker {
    /// The number of its thread: ids are used again by later threads, these are not.
    thread: u64,
    engine: Engine,
    completed: u64,
    /// Its worker processes that were lost, and why the last one was.
    workers_lost: u64,
    last_loss: Option<Arc<str>>,
    /// Whether it gets nothing more, and is removed once it is idle.
    is_leaving: bool,
}

/// The one owner of who runs what.
struct Dispatcher {
    isolation: Isolation,
    placement: Machine,
    engines: BTreeMap<EngineId, Worker>,
    /// Threads that were told to end and have not confirmed it.
    ending: HashMap<u64, Engine>,
    next_engine: u32,
    next_thread: u64,
    max_engines: u32,
    /// The number of engines, for guests that ask.
    count: Arc<AtomicU32>,
    /// Every dispatch that is queued or with an engine.
    dispatches: HashMap<DispatchId, Arc<Dispatch>>,
    inbox: Sender<Message>,
    events: EventSender,
    /// How long to look for the next message before sleeping.
    spin: Duration,
}

impl Dispatcher {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = spin::receive(messages, self.spin) {
            self.spin = Duration::ZERO;
            if !self.receive(message) {
                break;
            }
            // What has come meanwhile is taken in before deciding: fewer, better decisions.
            while let Ok(message) = messages.try_recv() {
                if !self.receive(message) {
                    return self.end();
                }
            }
            self.place();
        }
        self.end();
    }

    /// Handles one message; returns false after the last.
    fn receive(&mut self, message: Message) -> bool {
        // Whoever asked and has gone needs no answer.
        match message {
            Message::Submit(dispatch) => self.submit(dispatch),
            Message::Cancel(job) => {
                for id in self.placement.cancel_group(job) {
                    self.cancelled(id);
                }
            }
            Message::CancelDispatch(id) => {
                if self.placement.cancel(id) {
                    self.cancelled(id);
                }
            }
            Message::Share(tenant, share) => self.placement.set_share(tenant, share),
            Message::CloseTenant(tenant) => self.close_tenant(tenant),
            Message::TenantStatus(tenant, answer) => {
                let _ = answer.send(self.placement.load_of(tenant));
            }
            Message::Note(thread, note) => self.note(thread, note),
            Message::Engines(answer) => {
                let _ = answer.send(self.present());
            }
            Message::Add(count, answer) => {
                let _ = answer.send(self.add_many(count));
            }
            Message::Remove(engine, answer) => {
                let _ = answer.send(self.remove(engine));
            }
            Message::Restart(engine, answer) => {
                let _ = answer.send(self.restart(engine));
            }
            Message::Status(answer) => {
                let _ = answer.send(self.status());
            }
            #[cfg(all(test, feature = "nats"))]
            Message::Panic => panic!("as it was told"),
            Message::Shutdown => return false,
        }
        true
    }

    fn submit(&mut self, dispatch: Arc<Dispatch>) {
        if dispatch.account.is_closed() {
            return dispatch.cancel_rest(None);
        }
        self.placement.submit(Order {
            id: dispatch.id,
            tenant: dispatch.account.tenant,
            group: dispatch.job,
            eligible: dispatch.eligible.clone(),
            priority: dispatch.priority,
            stage: dispatch.stage,
            memory: dispatch.setting.limits.memory.bytes(),
        });
        self.dispatches.insert(dispatch.id, dispatch);
    }

    fn close_tenant(&mut self, tenant: TenantId) {
        for id in self.placement.close_tenant(tenant) {
            self.cancelled(id);
        }
        for dispatch in self.dispatches.values() {
            if dispatch.account.tenant == tenant {
                dispatch.cancel.cancel();
            }
        }
        for worker in self.engines.values() {
            worker.engine.let_go();
        }
    }

    fn note(&mut self, thread: u64, note: EngineNote) {
        match note {
            EngineNote::Finished {
                engine,
                dispatch,
                spent,
            } => {
                let Some(worker) = self.engines.get_mut(&engine) else {
                    return;
                };
                if worker.thread != thread {
                    // It was lost before it could say so; its dispatch has been answered.
                    return;
                }
                self.placement.finished(engine, dispatch, spent);
                if let Some(dispatch) = self.dispatches.remove(&dispatch) {
                    worker.completed += dispatch.tasks.len() as u64;
                    self.spin = spin::after(dispatch.tasks.len(), spent);
                }
                if worker.is_leaving && self.placement.engine_leaving(engine) {
                    self.let_go(engine);
                }
            }
            EngineNote::WorkerLost { engine, reason } => {
                if let Some(worker) = self.engines.get_mut(&engine) {
                    worker.workers_lost += 1;
                    worker.last_loss = Some(Arc::clone(&reason));
                }
                self.events
                    .tell(ClusterEvent::WorkerLost { engine, reason });
            }
            EngineNote::Lost { engine } => {
                let is_current = |worker: &Worker| worker.thread == thread;
                if self.engines.get(&engine).is_some_and(is_current) {
                    self.replace(engine, "its thread died while it had the task");
                }
                self.join(thread);
            }
            EngineNote::Ended => self.join(thread),
        }
    }

    /// Joins a thread that has sent its last message, and so ends at once.
    fn join(&mut self, thread: u64) {
        if let Some(engine) = self.ending.remove(&thread) {
            engine.join();
        }
    }

    fn present(&self) -> Vec<EngineId> {
        let present = self.engines.iter().filter(|(_, worker)| !worker.is_leaving);
        present.map(|(id, _)| *id).collect()
    }

    fn status(&self) -> QueueStatus {
        let status = self.placement.status();
        let engines = status.engines.iter().map(|load| {
            let worker = self.engines.get(&load.id);
            EngineStatus {
                engine: load.id,
                outstanding: load.outstanding.len(),
                queue: load.waiting,
                completed: worker.map_or(0, |worker| worker.completed),
                workers_lost: worker.map_or(0, |worker| worker.workers_lost),
                last_loss: worker.and_then(|worker| worker.last_loss.clone()),
            }
        });
        QueueStatus {
            engines: engines.collect(),
            unassigned: status.unassigned,
        }
    }

    fn place(&mut self) {
        while let Some(decision) = self.placement.next() {
            match decision {
                Decision::Assign { engine, id } => {
                    if let (Some(worker), Some(dispatch)) =
                        (self.engines.get(&engine), self.dispatches.get(&id))
                    {
                        worker.engine.run(Arc::clone(dispatch));
                    }
                }
                Decision::Reject { id, eligible } => {
                    let (engine, message) = match &eligible {
                        Eligible::One(engine) => {
                            (Some(*engine), format!("there is no engine {engine}"))
                        }
                        Eligible::Of(engines) => (
                            None,
                            format!("none of the engines {} exists", super::ids(engines)),
                        ),
                        Eligible::Any => (None, "there are no engines".to_owned()),
                    };
                    self.fail(id, engine, FailureCode::EngineLost, &message);
                }
            }
        }
    }

    fn start(&mut self, id: EngineId) -> std::io::Result<Worker> {
        let thread = self.next_thread;
        self.next_thread += 1;
        let inbox = self.inbox.clone();
        let engine = Engine::start(id, Arc::clone(&self.count), &self.isolation, move |note| {
            // A dispatcher that has ended needs no notes.
            let _ = inbox.send(Message::Note(thread, note));
        })?;
        Ok(Worker {
            thread,
            engine,
            completed: 0,
            workers_lost: 0,
            last_loss: None,
            is_leaving: false,
        })
    }

    fn add(&mut self) -> std::io::Result<EngineId> {
        let id = EngineId(self.next_engine);
        let worker = self.start(id)?;
        self.next_engine += 1;
        self.engines.insert(id, worker);
        self.placement.engine_up(id);
        Ok(id)
    }

    fn add_many(&mut self, count: u32) -> Result<Vec<EngineId>, EngineError> {
        let present = u32::try_from(self.engines.len()).unwrap_or(u32::MAX);
        if count > self.max_engines.saturating_sub(present) {
            return Err(EngineError::TooMany {
                wanted: count,
                present,
                most: self.max_engines,
            });
        }
        let mut added = Vec::new();
        for _ in 0..count {
            match self.add() {
                Ok(id) => added.push(id),
                Err(error) => {
                    for id in added {
                        self.let_go(id);
                    }
                    return Err(EngineError::Thread(error));
                }
            }
        }
        self.count_engines();
        for id in &added {
            self.events.tell(ClusterEvent::EngineAdded(*id));
        }
        Ok(added)
    }

    fn remove(&mut self, id: EngineId) -> Result<(), EngineError> {
        let engines = self.present();
        let worker = self
            .engines
            .get_mut(&id)
            .filter(|worker| !worker.is_leaving);
        let Some(worker) = worker else {
            return Err(EngineError::Unknown {
                engine: id,
                engines,
            });
        };
        worker.is_leaving = true;
        if self.placement.engine_leaving(id) {
            self.let_go(id);
        }
        self.count_engines();
        Ok(())
    }

    /// Removes an engine that has nothing left to do.
    fn let_go(&mut self, id: EngineId) {
        let lost = self.placement.engine_gone(id);
        debug_assert!(lost.is_empty(), "engine {id} goes and has {lost:?}");
        if let Some(worker) = self.engines.remove(&id) {
            self.close(worker);
            self.events.tell(ClusterEvent::EngineRemoved(id));
        }
    }

    /// Tells a thread to end; it is joined when it confirms that.
    fn close(&mut self, mut worker: Worker) {
        worker.engine.close();
        self.ending.insert(worker.thread, worker.engine);
    }

    fn restart(&mut self, id: EngineId) -> Result<(), EngineError> {
        if self.engines.get(&id).is_none_or(|worker| worker.is_leaving) {
            return Err(EngineError::Unknown {
                engine: id,
                engines: self.present(),
            });
        }
        self.replace(id, "the engine was restarted while it had the task");
        Ok(())
    }

    /// Puts a new engine in the place of one that died or is being restarted.
    fn replace(&mut self, id: EngineId, reason: &str) {
        tracing::warn!(engine = %id, reason, "lost an engine");
        for lost in self.placement.engine_lost(id) {
            let dispatch = self.dispatches.get(&lost).cloned();
            self.fail(lost, Some(id), FailureCode::EngineLost, reason);
            if let Some(dispatch) = dispatch {
                // Not before it is answered: the engine would say that it was cancelled.
                dispatch.cancel.cancel();
            }
        }
        let Some(worker) = self.engines.remove(&id) else {
            return;
        };
        let was_leaving = worker.is_leaving;
        self.close(worker);
        self.events.tell(ClusterEvent::EngineLost {
            engine: id,
            reason: reason.into(),
        });
        if !was_leaving && let Ok(worker) = self.start(id) {
            self.engines.insert(id, worker);
            self.placement.engine_up(id);
            self.events.tell(ClusterEvent::EngineReplaced(id));
        } else {
            for lost in self.placement.engine_gone(id) {
                self.fail(lost, Some(id), FailureCode::EngineLost, reason);
            }
            self.events.tell(ClusterEvent::EngineRemoved(id));
        }
        self.count_engines();
    }

    fn count_engines(&self) {
        let count = u32::try_from(self.present().len()).unwrap_or(u32::MAX);
        self.count.store(count, Ordering::Relaxed);
    }

    fn cancelled(&mut self, id: DispatchId) {
        if let Some(dispatch) = self.dispatches.remove(&id) {
            dispatch.cancel_rest(None);
        }
    }

    fn fail(&mut self, id: DispatchId, engine: Option<EngineId>, code: FailureCode, message: &str) {
        if let Some(dispatch) = self.dispatches.remove(&id) {
            dispatch.fail_rest(engine, code, message);
        }
    }

    /// Stops running tasks and lets the engines answer them. What is left is answered when it is dropped, here or in
    /// the inbox.
    fn end(mut self) {
        for dispatch in self.dispatches.values() {
            dispatch.cancel.cancel();
        }
        while let Some((_, mut worker)) = self.engines.pop_first() {
            worker.engine.close();
            self.ending.insert(worker.thread, worker.engine);
        }
        for (_, engine) in self.ending.drain() {
            engine.join();
        }
        self.events.tell(ClusterEvent::ShutDown);
    }
}
