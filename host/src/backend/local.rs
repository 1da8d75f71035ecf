//! Engines as threads of this process, fed by one dispatcher thread.
//!
//! The dispatcher owns the placement machine and the table of dispatches; engines and jobs send
//! it messages and share nothing with it. An engine that dies is replaced under its id, and what
//! was with it is answered as lost.

use super::Backend;
use crate::dispatch::Dispatch;
use crate::engine::{Engine, EngineNote};
use crate::ids::{DispatchId, EngineId, JobId};
use crate::outcome::FailureCode;
use crate::placement::{Decision, Machine, Order, Policy, Priority};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The engines of one process.
pub(crate) struct Local {
    inbox: Sender<Message>,
    engines: Vec<EngineId>,
    /// Taken by whoever shuts the backend down.
    dispatcher: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Submit(Arc<Dispatch>),
    Cancel(JobId),
    Note(EngineNote),
    Shutdown,
}

impl Local {
    /// Starts `count` engines.
    ///
    /// # Errors
    /// When the system does not give the threads.
    pub(crate) fn start(count: u32) -> std::io::Result<Self> {
        let (inbox, messages) = channel();
        let mut engines = HashMap::new();
        let ids: Vec<EngineId> = (0..count).map(EngineId).collect();
        for id in &ids {
            engines.insert(*id, start_engine(*id, &inbox)?);
        }
        let mut placement = Machine::new(Policy::LeastLoad, Machine::HWM);
        for id in &ids {
            placement.engine_up(*id);
        }
        let dispatcher = Dispatcher {
            placement,
            engines,
            dispatches: HashMap::new(),
            inbox: inbox.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("rwasm-dispatch".to_owned())
            .spawn(move || dispatcher.run(&messages))?;
        Ok(Self {
            inbox,
            engines: ids,
            dispatcher: Mutex::new(Some(thread)),
        })
    }
}

fn start_engine(id: EngineId, inbox: &Sender<Message>) -> std::io::Result<Engine> {
    let inbox = inbox.clone();
    Engine::start(id, move |note| {
        // A dispatcher that has ended needs no notes.
        let _ = inbox.send(Message::Note(note));
    })
}

impl Backend for Local {
    fn submit(&self, dispatch: Dispatch) {
        // One that cannot be sent is dropped, and answers so.
        let _ = self.inbox.send(Message::Submit(Arc::new(dispatch)));
    }

    fn cancel(&self, job: JobId) {
        let _ = self.inbox.send(Message::Cancel(job));
    }

    fn engines(&self) -> Vec<EngineId> {
        self.engines.clone()
    }

    fn shutdown(&self) {
        let thread = self
            .dispatcher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = self.inbox.send(Message::Shutdown);
            // A panic of the dispatcher has no one left to be told to.
            let _ = thread.join();
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn fail(dispatch: &Dispatch, code: FailureCode, message: &str) {
    dispatch.fail_rest(dispatch.target.unwrap_or(EngineId(0)), code, message);
}

/// The one owner of who runs what.
struct Dispatcher {
    placement: Machine,
    engines: HashMap<EngineId, Engine>,
    /// Every dispatch that is queued or with an engine.
    dispatches: HashMap<DispatchId, Arc<Dispatch>>,
    inbox: Sender<Message>,
}

impl Dispatcher {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
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

    /// Takes in one message; false when it was the last.
    fn receive(&mut self, message: Message) -> bool {
        match message {
            Message::Submit(dispatch) => {
                self.placement.submit(Order {
                    id: dispatch.id,
                    job: dispatch.job,
                    target: dispatch.target,
                    priority: if dispatch.is_merge {
                        Priority::Reduce
                    } else {
                        Priority::Map
                    },
                });
                self.dispatches.insert(dispatch.id, dispatch);
            }
            Message::Cancel(job) => {
                for id in self.placement.cancel(job) {
                    self.fail(
                        id,
                        FailureCode::Cancelled,
                        "the task was cancelled before it ran",
                    );
                }
            }
            Message::Note(EngineNote::Finished { engine, dispatch }) => {
                self.placement.finished(engine, dispatch);
                self.dispatches.remove(&dispatch);
            }
            Message::Note(EngineNote::Lost { engine }) => self.replace(engine),
            Message::Shutdown => return false,
        }
        true
    }

    fn place(&mut self) {
        while let Some(decision) = self.placement.next() {
            match decision {
                Decision::Assign { engine, id } => {
                    if let (Some(engine), Some(dispatch)) =
                        (self.engines.get(&engine), self.dispatches.get(&id))
                    {
                        engine.run(Arc::clone(dispatch));
                    }
                }
                Decision::Reject { target, id } => {
                    let message = format!("engine {target} is not there");
                    self.fail(id, FailureCode::EngineLost, &message);
                }
            }
        }
    }

    /// Puts a new engine in the place of one that died.
    fn replace(&mut self, id: EngineId) {
        for lost in self.placement.engine_down(id) {
            self.fail(
                lost,
                FailureCode::EngineLost,
                "the engine died while it had the task",
            );
        }
        if let Some(dead) = self.engines.remove(&id) {
            dead.join();
        }
        if let Ok(engine) = start_engine(id, &self.inbox) {
            self.engines.insert(id, engine);
            self.placement.engine_up(id);
        }
    }

    fn fail(&mut self, id: DispatchId, code: FailureCode, message: &str) {
        if let Some(dispatch) = self.dispatches.remove(&id) {
            fail(&dispatch, code, message);
        }
    }

    /// Stops what runs and lets the engines answer it. What is left is answered as it is dropped,
    /// here or in the inbox.
    fn end(mut self) {
        for dispatch in self.dispatches.values() {
            dispatch.cancel.cancel();
        }
        for (_, engine) in self.engines.drain() {
            engine.join();
        }
    }
}
