//! The desk: the thread that looks after calls and maps that wait for others, are tried again, or
//! have limits of time. It hosts the graph machine, and is started when it is first needed.
//!
//! A call that wants none of that never comes here: it goes to the backend as it is, and its
//! engine answers its slot.

use super::maker::{Maker, Prepared};
use super::slot::{Done, Registry, Slot};
use crate::dispatch::{Answer, Dispatch, Reply};
use crate::graph::{
    Decision, DependencyError, Ended, Known, Machine, ReportFate, Resolution, Terms,
};
use crate::placement::Eligible;
use rwasm_sandbox::outcome::{Attempt, Failure, FailureCode, Outcome, Usage};
use rwasm_value::ids::{EngineId, JobId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// The desk of a cluster.
#[derive(Default)]
pub(crate) struct Desk(Mutex<DeskState>);

#[derive(Default)]
enum DeskState {
    #[default]
    NotNeeded,
    Running(DeskHandle, JoinHandle<()>),
    Closed,
}

/// The way to the desk. One that has closed hears nothing; what was with it is resolved.
///
/// It has no bound of its own: who submits waits for the answer, and the rest is one answer for each attempt of what was
/// submitted, which has room in the queue of the cluster.
#[derive(Clone)]
pub(crate) struct DeskHandle(Sender<Message>);

enum Message {
    Submit(
        Box<(Entrant, Terms)>,
        SyncSender<Result<(), DependencyError>>,
    ),
    Answer {
        job: JobId,
        attempt: u32,
        outcome: Box<Outcome>,
    },
    Ended(JobId, Ended),
    Cancel(JobId),
    Close,
}

/// Why the desk does not take something.
pub(crate) enum Refused {
    Dependency(DependencyError),
    Closed,
    Thread(std::io::Error),
}

/// What is looked after.
pub(crate) struct Entrant {
    pub(crate) slot: Arc<Slot>,
    pub(crate) work: Work,
}

pub(crate) enum Work {
    /// A call, which is made for each attempt.
    Call {
        maker: Arc<Maker>,
        prepared: Prepared,
        /// Its dispatch, for whoever wants to know whether it runs.
        current: Arc<Mutex<Weak<Dispatch>>>,
    },
    /// A job with a driver of its own, which is told that it may begin, or why not.
    Job(Box<dyn FnOnce(Result<Eligible, Failure>) + Send>),
}

impl Desk {
    /// Takes something in.
    pub(crate) fn submit(
        &self,
        registry: &Arc<Registry>,
        entrant: Entrant,
        terms: Terms,
    ) -> Result<DeskHandle, Refused> {
        let desk = self.handle(registry)?;
        let (answer, answered) = sync_channel(1);
        let sent = desk
            .0
            .send(Message::Submit(Box::new((entrant, terms)), answer));
        sent.map_err(|_| Refused::Closed)?;
        match answered.recv() {
            Ok(Ok(())) => Ok(desk),
            Ok(Err(error)) => Err(Refused::Dependency(error)),
            Err(_) => Err(Refused::Closed),
        }
    }

    fn handle(&self, registry: &Arc<Registry>) -> Result<DeskHandle, Refused> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            DeskState::Running(desk, _) => Ok(desk.clone()),
            DeskState::Closed => Err(Refused::Closed),
            DeskState::NotNeeded => {
                let (sender, inbox) = channel();
                let desk = DeskHandle(sender);
                let host = Host {
                    machine: Machine::new(),
                    begun: Instant::now(),
                    entries: HashMap::new(),
                    registry: Arc::clone(registry),
                    held: Vec::new(),
                    own: desk.clone(),
                };
                let thread = std::thread::Builder::new()
                    .name("rwasm-desk".to_owned())
                    .spawn(move || host.run(&inbox))
                    .map_err(Refused::Thread)?;
                *state = DeskState::Running(desk.clone(), thread);
                Ok(desk)
            }
        }
    }

    /// Stops a call or job, if it has it.
    pub(crate) fn cancel(&self, job: JobId) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let DeskState::Running(desk, _) = &*state {
            desk.cancel(job);
        }
    }

    /// Resolves what is left as cancelled, and ends the thread.
    pub(crate) fn close(&self) {
        let state = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *state, DeskState::Closed)
        };
        if let DeskState::Running(desk, thread) = state {
            let _ = desk.0.send(Message::Close);
            // A panic of the desk has no one left to be told to.
            let _ = thread.join();
        }
    }
}

impl DeskHandle {
    /// Stops a call whose slot is filled already.
    pub(crate) fn cancel(&self, job: JobId) {
        let _ = self.0.send(Message::Cancel(job));
    }
}

/// Takes the answer of one attempt to the desk.
struct DeskReply {
    desk: DeskHandle,
    job: JobId,
    attempt: u32,
}

impl Reply for DeskReply {
    fn answer(&self, answer: Answer) {
        for outcome in answer.outcomes {
            // A desk that has closed has resolved the call.
            let _ = self.desk.0.send(Message::Answer {
                job: self.job,
                attempt: self.attempt,
                outcome: Box::new(outcome),
            });
        }
    }
}

struct Entry {
    slot: Arc<Slot>,
    work: Option<Work>,
    attempts: Vec<Attempt>,
    last: Option<Outcome>,
    submitted: SystemTime,
}

/// The thread's own.
struct Host {
    machine: Machine,
    begun: Instant,
    entries: HashMap<JobId, Entry>,
    registry: Arc<Registry>,
    /// What new dependencies name, until it is watched: it might end and be let go meanwhile.
    held: Vec<Arc<Slot>>,
    own: DeskHandle,
}

impl Host {
    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let message = match self.machine.next_wake() {
                None => inbox.recv().ok(),
                Some(wake) => match inbox.recv_timeout(wake.saturating_sub(self.now())) {
                    Ok(message) => Some(message),
                    Err(RecvTimeoutError::Timeout) => {
                        self.machine.tick(self.now());
                        self.decide();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => None,
                },
            };
            let is_open = message.is_some_and(|message| self.receive(message));
            self.machine.tick(self.now());
            if !is_open {
                self.machine.shutdown();
            }
            self.decide();
            if !is_open {
                return;
            }
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Takes in one message; false when it was the last.
    fn receive(&mut self, message: Message) -> bool {
        let now = self.now();
        match message {
            Message::Submit(new, answer) => {
                let (entrant, terms) = *new;
                let taken = self.submit(entrant, terms);
                // Whoever asked and has gone needs no answer.
                let _ = answer.send(taken);
            }
            Message::Answer {
                job,
                attempt,
                outcome,
            } => {
                let Some(entry) = self.entries.get_mut(&job) else {
                    return true;
                };
                let engine = outcome.usage.engine;
                let report = match &outcome.result {
                    Ok(_) => Ok(engine.unwrap_or(EngineId(0))),
                    Err(failure) => Err((failure.code, engine.unwrap_or(EngineId(0)))),
                };
                let verdict = self.machine.finished(job, attempt, report, now);
                if verdict != ReportFate::Ignored {
                    entry.attempts.push(Attempt::of(&outcome));
                    entry.last = Some(*outcome);
                }
            }
            Message::Ended(job, ended) => {
                let is_waiting = |entry: &Entry| matches!(entry.work, Some(Work::Job(_)));
                if self.entries.get(&job).is_some_and(is_waiting) {
                    // A job that ended before it began was given up by its user.
                    self.machine.cancel(job, now);
                } else {
                    self.machine.ended(job, ended, now);
                }
            }
            Message::Cancel(job) => self.machine.cancel(job, now),
            Message::Close => return false,
        }
        true
    }

    fn submit(&mut self, entrant: Entrant, terms: Terms) -> Result<(), DependencyError> {
        let Entrant { slot, work } = entrant;
        let (job, tenant) = (slot.job, slot.tenant);
        let held = RefCell::new(Vec::new());
        let states = |job: JobId| {
            let slot = self.registry.find_of(tenant, job)?;
            let ended = slot.look(|done| done.ended());
            held.borrow_mut().push(slot);
            Some(ended.map_or(Known::Pending, Known::Ended))
        };
        self.machine
            .submit(job, terms, states, self.begun.elapsed())?;
        if let Work::Job(_) = work {
            // It ends by itself, and may do so before it has begun.
            let own = self.own.clone();
            slot.watch(move |done| {
                let _ = own.0.send(Message::Ended(job, done.ended()));
            });
        }
        self.held = held.into_inner();
        let entry = Entry {
            slot,
            work: Some(work),
            attempts: Vec::new(),
            last: None,
            submitted: SystemTime::now(),
        };
        self.entries.insert(job, entry);
        Ok(())
    }

    fn decide(&mut self) {
        while let Some(decision) = self.machine.next_decision() {
            match decision {
                Decision::Watch(job) => self.watch(job),
                Decision::Start {
                    job,
                    attempt,
                    eligible,
                } => self.start(job, attempt, eligible),
                Decision::Expire { job, attempt } => {
                    let dispatch = self.current(job);
                    let has_begun = dispatch.is_some_and(|dispatch| !dispatch.expire());
                    if has_begun {
                        self.machine.began(job, attempt);
                    } else {
                        self.take_back(job);
                        self.machine.expired(job, attempt, self.now());
                    }
                }
                Decision::Stop { job, attempt } => {
                    tracing::debug!(%job, attempt, "an attempt is stopped");
                    self.take_back(job);
                }
                Decision::Resolve { job, how } => self.resolve(job, how),
            }
        }
        self.held.clear();
    }

    fn watch(&self, job: JobId) {
        let own = self.own.clone();
        // What a dependency names is held from when it was looked at until now.
        if let Some(slot) = self.registry.find(job) {
            slot.watch(move |done| {
                let _ = own.0.send(Message::Ended(job, done.ended()));
            });
        } else {
            debug_assert!(false, "job {job} is waited for and not held");
        }
    }

    fn start(&mut self, job: JobId, attempt: u32, eligible: Eligible) {
        let Some(entry) = self.entries.get_mut(&job) else {
            return;
        };
        match entry.work.take() {
            Some(Work::Job(begin)) => begin(Ok(eligible)),
            Some(Work::Call {
                maker,
                prepared,
                current,
            }) => {
                let reply = DeskReply {
                    desk: self.own.clone(),
                    job,
                    attempt,
                };
                let listener = Arc::clone(&entry.slot);
                let made = prepared.clone().attempt(attempt).eligible(eligible);
                let dispatch = maker.dispatch(made, Arc::new(reply), listener);
                *current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&dispatch);
                maker.backend.submit(dispatch);
                entry.work = Some(Work::Call {
                    maker,
                    prepared,
                    current,
                });
            }
            None => {}
        }
    }

    fn current(&self, job: JobId) -> Option<Arc<Dispatch>> {
        match &self.entries.get(&job)?.work {
            Some(Work::Call { current, .. }) => current
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .upgrade(),
            _ => None,
        }
    }

    /// Stops an attempt, wherever it is.
    fn take_back(&self, job: JobId) {
        if let Some(dispatch) = self.current(job) {
            dispatch.cancel.cancel();
            if let Some(Entry {
                work: Some(Work::Call { maker, .. }),
                ..
            }) = self.entries.get(&job)
            {
                maker.backend.cancel_dispatch(dispatch.id);
            }
        }
    }

    fn resolve(&mut self, job: JobId, how: Resolution) {
        let Some(mut entry) = self.entries.remove(&job) else {
            return;
        };
        let failure = match how {
            Resolution::Reported => {
                if let Some(mut outcome) = entry.last.take() {
                    entry.attempts.pop();
                    outcome.usage.earlier = entry.attempts;
                    entry.slot.fill(Done::call(outcome));
                }
                return;
            }
            Resolution::DependencyFailed(why) => Failure::new(FailureCode::DependencyFailed, why),
            Resolution::Cancelled => Failure::cancelled(),
            Resolution::QueueTimeout(limit) => Failure::new(
                FailureCode::Timeout,
                format!(
                    "it waited longer than its time in the queue of {}",
                    humantime::format_duration(limit)
                ),
            ),
            Resolution::Deadline(limit) => Failure::new(
                FailureCode::Timeout,
                format!(
                    "it did not finish within its deadline of {}",
                    humantime::format_duration(limit)
                ),
            ),
        };
        if let Some(Work::Job(begin)) = entry.work.take() {
            return begin(Err(failure));
        }
        let attempt = u32::try_from(entry.attempts.len()).unwrap_or(u32::MAX);
        let mut usage = Usage::none(None, attempt.max(1), entry.submitted);
        usage.earlier = entry.attempts;
        let result = Err(failure);
        entry.slot.fill(Done::call(Outcome { result, usage }));
    }
}

/// Whether the dispatch of a call that is looked after runs.
pub(crate) fn runs(current: &Mutex<Weak<Dispatch>>) -> bool {
    let current = current.lock().unwrap_or_else(PoisonError::into_inner);
    current
        .upgrade()
        .is_some_and(|dispatch| dispatch.is_running())
}
