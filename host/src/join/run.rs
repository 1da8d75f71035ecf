//! Runs the tasks of a message: prepares them, has an engine run them, and returns their outcomes.

use super::collector::{Collector, Teller};
use super::suspect::{Step, Suspect};
use super::task::{NotReady, Ready};
use super::worker::{AGAIN, Name, Worker};
use crate::dispatch::{Dispatch, DispatchPreset, DispatchedTask};
use crate::nats::wire::{
    Heard, TasksHead, decode_tasks, encode_heard, largest_tasks, micros, parse, time,
};
use crate::placement::{Eligible, Stage};
use bytes::Bytes;
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::note::Listener;
use rwasm_sandbox::outcome::{Failure, FailureCode, Outcome, Usage};
use rwasm_sandbox::sandbox::{Callee, value_type};
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use rwasm_value::value::Type;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// When whoever waits is told that a module is being compiled: most are compiled sooner; and how often from then on.
const FIRST_WORD: Duration = Duration::from_secs(1);
const NEXT_WORD: Duration = Duration::from_secs(2);

/// What became of a message.
pub(super) enum Run {
    /// Its tasks have outcomes; with the indices of the first and last, and the ledger that ends with it.
    Ended((u64, u64), Vec<Outcome>, Option<Box<Suspect>>),
    /// Another process is to run it.
    GivenBack,
    /// It is to be tried again a little later.
    Later(String),
}

impl Worker {
    pub(super) async fn run(
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
                if let Some(left_out) = self.warnings.next() {
                    tracing::warn!(job = &*name.0, %error, left_out, "a message is not a valid task");
                }
                return Run::Ended((0, 0), Vec::new(), None);
            }
        };
        if head
            .deadline
            .is_some_and(|end| micros(SystemTime::now()) > end)
        {
            let failure = Failure::new(
                FailureCode::Timeout,
                "the job's deadline passed before the task began",
            );
            return self.refuse(payload, engine, &failure).await;
        }
        if engine.is_none() && Suspect::is(delivery, head.deliveries) {
            let suspect = Suspect::open(
                &self.bench.blobs,
                (&name.0, &name.1),
                delivery,
                head.deliveries,
                &self.bench.bodies,
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

    /// Runs a message part by part, because processes were lost with it.
    async fn run_by_parts(
        self: &Arc<Self>,
        name: &Name,
        payload: &Bytes,
        head: &TasksHead,
        cancel: &Cancel,
        mut suspect: Suspect,
    ) -> Run {
        if suspect.is_hopeless() {
            let (first, outcomes) = self.refusals(payload, None, &given_up(head)).await;
            return Run::Ended(first, outcomes, Some(Box::new(suspect)));
        }
        tracing::warn!(
            job = &*name.0,
            number = &*name.1,
            "engines were lost while they had these tasks: running them in parts"
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
        let Some(finished) = suspect.ready(tasks.len(), &ty) else {
            // What it has of the budget for bodies, too: its refusal reads the body once more.
            drop((ready, tasks));
            let (first, outcomes) = self.refusals(payload, None, &given_up(head)).await;
            return Run::Ended(first, outcomes, Some(Box::new(suspect)));
        };
        let mut rest = tasks.split_off(finished.min(tasks.len()));
        loop {
            match suspect.next() {
                Step::End => break,
                Step::GiveUp => {
                    let after = rest.split_off(1.min(rest.len()));
                    let Some(task) = std::mem::replace(&mut rest, after).pop() else {
                        break;
                    };
                    let engine = lock(&self.record).engines.first().map(|id| EngineId(*id));
                    suspect.through(vec![Outcome {
                        result: Err(given_up(head)),
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
                    let run = self.run_tasks(name, head, &ready, part, None, cancel);
                    let Some(outcomes) = run.await else {
                        suspect.give_back().await;
                        return Run::GivenBack;
                    };
                    suspect.through(outcomes);
                }
            }
        }
        let outcomes = std::mem::take(&mut suspect.done);
        Run::Ended(first, outcomes, Some(Box::new(suspect)))
    }

    /// Prepares the tasks of a message, or returns what becomes of it instead.
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
            // On the heap, since it is large, and part of what each message waits in.
            let made = Box::pin(self.bench.make_ready(&name.0, head, body.clone()));
            match self.telling(name, &head.module, made).await {
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
            let failure = Failure::cancelled();
            return Err(self.refuse(payload, engine, &failure).await);
        }
        if self.is_draining.load(Ordering::Relaxed) && engine.is_none() {
            return Err(Run::GivenBack);
        }
        Ok(ready)
    }

    /// Waits for the tasks of a message to be ready, and tells whoever sent it while its module is being compiled.
    async fn telling<T>(&self, name: &Name, module: &str, made: impl Future<Output = T>) -> T {
        let mut made = pin!(made);
        let mut pause = FIRST_WORD;
        loop {
            tokio::select! {
                biased;
                made = &mut made => return made,
                () = sleep(pause) => {}
            }
            pause = NEXT_WORD;
            if let Some(before) = self.bench.cluster.core().compiling_before(module) {
                let before = u32::try_from(before).unwrap_or(u32::MAX);
                let note = encode_heard(&name.1, &Heard::Compiling(before));
                self.notes.put(name, note);
            }
        }
    }

    /// Has an engine run tasks, until the deadline of their job at most. Returns `None` if they are given back.
    async fn run_tasks(
        self: &Arc<Self>,
        name: &Name,
        head: &TasksHead,
        ready: &Ready,
        tasks: Vec<DispatchedTask>,
        engine: Option<EngineId>,
        cancel: &Cancel,
    ) -> Option<Vec<Outcome>> {
        let stop = Cancel::default();
        let (dispatch, mut answered) = self.dispatch(name, head, ready, tasks, engine, &stop);
        if let Some(held) = lock(&self.held).get_mut(name) {
            held.dispatch = Some(Arc::clone(&dispatch));
        }
        if cancel.is_wanted() {
            stop.cancel();
        }
        self.bench.cluster.core().backend.submit(dispatch);
        let is_over = tokio::select! {
            biased;
            // An error is that the engines ended under it.
            outcomes = &mut answered => {
                let mut outcomes = outcomes.ok().flatten()?;
                self.bench.policy.explain(head, &mut outcomes);
                return Some(outcomes);
            }
            () = cancel.wanted() => false,
            () = over(head.deadline) => true,
        };
        stop.cancel();
        let mut outcomes = answered.await.ok().flatten()?;
        if is_over {
            outcomes.iter_mut().for_each(timed_out);
        }
        Some(outcomes)
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
        let listener = head.listens.then(|| {
            Arc::new(Teller {
                worker: Arc::clone(self),
                name: name.clone(),
            }) as Arc<dyn Listener>
        });
        // What came from a queue that goes first goes first here too; what came for this engine alone, from no queue.
        let queue = lock(&self.held).get(name).map_or(0, |held| held.queue);
        let account = match engine {
            None => self.shares.account(queue),
            Some(_) => self.shares.direct(),
        };
        let mut hasher = DefaultHasher::new();
        (account.tenant, &name.0).hash(&mut hasher);
        let ids = &self.bench.cluster.core().dispatch_ids;
        let id = DispatchId(ids.fetch_add(1, Ordering::Relaxed));
        let preset = DispatchPreset {
            job: JobId(hasher.finish()),
            account,
            priority: self.shares.priority(queue),
            program: Arc::clone(&ready.program),
            setting: Arc::clone(&ready.setting),
            reuse: ready.reuse,
            owner: ready.owner.clone(),
            span: tracing::Span::current(),
            observer: self.bench.cluster.core().events.observer().cloned(),
        };
        let mut dispatch = preset.dispatch(id, ready.callee, tasks, reply);
        let seat = &self.bench.seat;
        dispatch.id_offset = seat.id_offset;
        dispatch.eligible = engine.map_or(Eligible::Any, |engine| Eligible::One(seat.here(engine)));
        if head.reduces {
            dispatch.stage = Stage::Reduce;
        }
        dispatch.queued = ready.queued;
        dispatch.cancel = cancel.clone();
        dispatch.pushed.clone_from(&ready.pushed);
        dispatch.listener = listener;
        dispatch.engine_count = Some(head.engines);
        (Arc::new(dispatch), answered)
    }

    /// Ends the tasks of a message with the same failure each.
    async fn refuse(&self, payload: &Bytes, engine: Option<EngineId>, failure: &Failure) -> Run {
        let (first, outcomes) = self.refusals(payload, engine, failure).await;
        Run::Ended(first, outcomes, None)
    }

    /// Returns outcomes for a message whose tasks did not run, and the indices of its first and last task.
    pub(super) async fn refusals(
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
            // If it cannot be fetched, whoever submitted it knows its number of tasks.
            Some(name) => {
                let most = largest_tasks(&self.bench.policy.limits(&head));
                let read = self.bench.blobs.get_within(name, most, &self.bench.bodies);
                read.await.map(|read| read.bytes).unwrap_or_default()
            }
        };
        let tasks = decode_tasks(&body).unwrap_or_default();
        let engine = engine.or_else(|| lock(&self.record).engines.first().map(|id| EngineId(*id)));
        let outcomes: Vec<Outcome> = tasks
            .iter()
            .map(|task| Outcome {
                result: Err(failure.clone()),
                usage: Usage::none(engine, task.attempt, time(head.queued)),
            })
            .collect();
        let first = (
            tasks.first().map_or(0, |task| task.index),
            tasks.last().map_or(0, |task| task.index),
        );
        (first, outcomes)
    }
}

/// The failure of a task that too many engines were lost with.
fn given_up(head: &TasksHead) -> Failure {
    let count = head.deliveries;
    Failure::new(
        FailureCode::EngineLost,
        format!(
            "it was given to {count} engines and each was lost: it may be what ends them, so no other engine gets it"
        ),
    )
}

/// Waits for the deadline of a job, if it has one.
async fn over(deadline: Option<u64>) {
    match deadline {
        None => std::future::pending().await,
        Some(end) => {
            let left = time(end).duration_since(SystemTime::now());
            sleep(left.unwrap_or_default()).await;
        }
    }
}

/// A task stopped at the deadline of its job has timed out; nobody cancelled it.
fn timed_out(outcome: &mut Outcome) {
    if let Err(failure) = &mut outcome.result
        && failure.code == FailureCode::Cancelled
    {
        *failure = Failure::new(
            FailureCode::Timeout,
            "the job's deadline passed before the task ended",
        );
    }
}

/// The indices of the first and the last.
fn range(tasks: &[DispatchedTask]) -> (u64, u64) {
    let index = |task: Option<&DispatchedTask>| task.map_or(0, |task| task.index);
    (index(tasks.first()), index(tasks.last()))
}
