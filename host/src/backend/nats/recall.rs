//! Tasks of a durable job: their outcomes are not requested from engines but found among the stored results, now or
//! when they arrive.

use super::agent::{AGAIN, ANSWER, Agent, QUIET};
use super::flight::{fetch_results, result_type};
use crate::dispatch::Dispatch;
use crate::nats::index::{Index, TaskMessage};
use crate::nats::listing::Entry;
use crate::nats::wire::{OutcomesHead, decode_outcomes, parse};
use crate::nats::{direct, names};
use futures_util::StreamExt;
use rwasm_sandbox::outcome::{Failure, FailureCode, Outcome, Usage};
use rwasm_value::ids::EngineId;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Parsed results that are kept, by number and by bytes as they travelled: a message of many tasks serves several
/// dispatches. The last one is kept in any case.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 64 << 20;

/// How long after it was heard a result is taken to be on its way into the stream.
const STORED: Duration = Duration::from_secs(10);

/// The longest time between two looks at the record of the job.
const LOOK: Duration = Duration::from_secs(10);

/// Tells from the job's record, or from its absence, whether missing results will never be stored.
type IsOver = Box<dyn Fn(Option<&[u8]>) -> bool + Send + Sync>;

/// See the [module](self).
pub(crate) struct Recalled {
    /// The job's name in messages.
    job: Arc<str>,
    index: Index,
    is_over: IsOver,
    /// The names of the job's messages whose results are stored.
    /// Those that were heard, and not yet looked for, may not be stored yet.
    present: Mutex<HashMap<String, Option<Instant>>>,
    /// Their number, for those who wait for one; and whether more can come.
    news: watch::Sender<News>,
    read: Mutex<ReadResults>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct News {
    count: usize,
    /// Whether all results that were stored at the first look are known.
    is_current: bool,
    /// Whether the job was cancelled, so that missing results will never be stored.
    is_cancelled: bool,
}

/// The parsed results that are kept.
#[derive(Default)]
struct ReadResults {
    outcomes: HashMap<String, Arc<Vec<Outcome>>>,
    /// Their names and lengths in bytes, the oldest first.
    order: VecDeque<(String, usize)>,
    bytes: usize,
}

impl ReadResults {
    /// Keeps parsed results that had so many bytes, and lets the oldest go.
    fn keep(&mut self, number: &str, outcomes: &Arc<Vec<Outcome>>, bytes: usize) {
        // Another dispatch may have read them at the same time.
        if self.outcomes.contains_key(number) {
            return;
        }
        while self.order.len() >= KEPT || self.bytes.saturating_add(bytes) > KEPT_BYTES {
            let Some((oldest, bytes)) = self.order.pop_front() else {
                break;
            };
            self.bytes -= bytes;
            self.outcomes.remove(&oldest);
        }
        self.order.push_back((number.to_owned(), bytes));
        self.bytes += bytes;
        let outcomes = Arc::clone(outcomes);
        self.outcomes.insert(number.to_owned(), outcomes);
    }
}

impl Recalled {
    pub(crate) fn new(
        job: &str,
        index: Index,
        is_over: impl Fn(Option<&[u8]>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            job: job.into(),
            index,
            is_over: Box::new(is_over),
            present: Mutex::default(),
            news: watch::Sender::new(News::default()),
            read: Mutex::default(),
        }
    }

    /// Records that no more results will come, because the job was cancelled.
    pub(crate) fn cancelled(&self) {
        self.news.send_modify(|news| news.is_cancelled = true);
    }

    /// Notes that the result of a message is stored, or was heard at some time.
    fn know(&self, number: &str, heard: Option<Instant>) {
        // Others may publish under any name.
        if !self.index.has(number) {
            return;
        }
        let mut present = self.present();
        match present.get_mut(number) {
            Some(None) => return,
            Some(known) => *known = heard,
            None => drop(present.insert(number.to_owned(), heard)),
        }
        let count = present.len();
        drop(present);
        self.news.send_modify(|news| news.count = count);
    }

    /// Whether a result was heard so recently that it may be on its way into the stream.
    fn may_come(&self, number: &str) -> bool {
        let heard = self.present().get(number).copied().flatten();
        heard.is_some_and(|heard| heard.elapsed() < STORED)
    }

    fn present(&self) -> MutexGuard<'_, HashMap<String, Option<Instant>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the result of the message is stored; returns false if it never will be.
    async fn wait(&self, found: &TaskMessage) -> bool {
        let mut news = self.news.subscribe();
        loop {
            let now = *news.borrow_and_update();
            if self.present().contains_key(&found.number) {
                return true;
            }
            if now.is_cancelled && now.is_current {
                return false;
            }
            if news.changed().await.is_err() {
                return false;
            }
        }
    }
}

/// Listens for results: heard as engines publish them, and looked for when none was heard for a while.
pub(super) async fn hear_stored(agent: Arc<Agent>, recalled: Arc<Recalled>) {
    let subject = names::results_of_job(&recalled.job);
    let Ok(mut results) = agent.connection.client.subscribe(subject.clone()).await else {
        return;
    };
    // The last number that the stream had given when it was looked at.
    let mut looked_at = None;
    loop {
        let is_behind = match looked_at {
            None => true,
            Some(last) => {
                let next = agent
                    .results
                    .direct_get_next_for_subject(subject.clone(), Some(last + 1));
                matches!(timeout(ANSWER, next).await, Ok(Ok(_)))
            }
        };
        if is_behind {
            match look(&agent, &recalled).await {
                Ok(last) => looked_at = Some(last),
                Err(reason) => {
                    tracing::debug!(reason, "looking for stored results again");
                    sleep(AGAIN).await;
                    continue;
                }
            }
        }
        let mut renewals = agent.connection.renewals();
        loop {
            let heard = tokio::select! {
                Ok(()) = renewals.changed() => break,
                heard = timeout(QUIET, results.next()) => heard,
            };
            match heard {
                Ok(Some(message)) => {
                    let number = message.subject.rsplit('.').next().unwrap_or_default();
                    recalled.know(number, Some(Instant::now()));
                }
                Ok(None) => return,
                Err(_) => break,
            }
        }
    }
}

/// Notes which results are stored, and returns the last number that the stream has given.
async fn look(agent: &Agent, recalled: &Recalled) -> Result<u64, String> {
    let subject = names::results_of_job(&recalled.job);
    let look = async {
        let info = agent.results.get_info().await;
        let last = info.map_err(|error| error.to_string())?.state.last_sequence;
        let subjects = agent.results.info_with_subjects(&subject).await;
        let mut subjects = subjects.map_err(|error| error.to_string())?;
        while let Some(found) = subjects.next().await {
            let (subject, _) = found.map_err(|error| error.to_string())?;
            recalled.know(subject.rsplit('.').next().unwrap_or_default(), None);
        }
        Ok::<u64, String>(last)
    };
    let looked = agent.connection.watched(names::RESULTS, look).await;
    let last = looked.map_err(|denied| denied.to_string())??;
    recalled.news.send_modify(|news| news.is_current = true);
    Ok(last)
}

/// Listens for someone cancelling or removing the job. What is heard may be refused by the server: the record is read.
pub(super) async fn hear_end(agent: Arc<Agent>, recalled: Arc<Recalled>) {
    let id = names::id_of(&recalled.job);
    let record = format!("$KV.{}.{id}", names::JOBS);
    let heard = agent.connection.client.subscribe(record.clone()).await;
    let Ok(mut heard) = heard else { return };
    let mut pause = AGAIN;
    loop {
        let stream = names::kv_stream(names::JOBS);
        let subjects = std::slice::from_ref(&record);
        let read = direct::latest(&agent.connection, &stream, subjects);
        if let Ok(Ok(found)) = agent.connection.watched(names::JOBS, read).await {
            let value = found
                .iter()
                .find(|found| Entry::of(Some(&found.headers)) == Entry::Value);
            if (recalled.is_over)(value.map(|found| &*found.payload)) {
                return recalled.cancelled();
            }
        }
        match timeout(pause, heard.next()).await {
            // The server that is read may be behind.
            Ok(Some(_)) => pause = AGAIN,
            Ok(None) => return,
            Err(_) => pause = (pause * 2).min(LOOK),
        }
    }
}

/// Answers a dispatch with stored outcomes, task by task in order.
pub(super) async fn answer(agent: Arc<Agent>, recalled: Arc<Recalled>, dispatch: Arc<Dispatch>) {
    let _ = dispatch.begin();
    let mut ready = Vec::new();
    for task in &dispatch.tasks {
        let outcome = tokio::select! {
            () = dispatch.cancel.wanted() => break,
            outcome = outcome(&agent, &recalled, &dispatch, task.index) => outcome,
        };
        ready.push(outcome);
    }
    if !ready.is_empty() {
        dispatch.answer(ready);
    }
    dispatch.fail_rest_with(None, &Failure::unwanted());
}

async fn outcome(agent: &Agent, recalled: &Recalled, dispatch: &Dispatch, index: u64) -> Outcome {
    let failed = |code: FailureCode, message: String| Outcome {
        result: Err(Failure::new(code, message)),
        usage: Usage::none(None::<EngineId>, 1, dispatch.queued),
    };
    let Some(found) = recalled.index.find(index) else {
        return failed(
            FailureCode::Internal,
            "it is not a task of the job".to_owned(),
        );
    };
    if !recalled.wait(&found).await {
        return Outcome {
            result: Err(Failure::cancelled()),
            usage: Usage::none(None::<EngineId>, 1, dispatch.queued),
        };
    }
    let place = usize::try_from(index - found.tasks.start).unwrap_or(usize::MAX);
    loop {
        match read(agent, recalled, dispatch, &found).await {
            Ok(outcomes) => {
                return outcomes.get(place).cloned().unwrap_or_else(|| {
                    failed(
                        FailureCode::Internal,
                        "the stored result has fewer tasks than its message".to_owned(),
                    )
                });
            }
            Err(Unread::Passing(reason)) => {
                tracing::debug!(reason, "reading a stored result again");
                sleep(AGAIN).await;
            }
            Err(Unread::Lasting(reason)) => {
                return failed(
                    FailureCode::Internal,
                    format!("the stored result cannot be read: {reason}"),
                );
            }
        }
    }
}

enum Unread {
    Passing(String),
    Lasting(String),
}

async fn read(
    agent: &Agent,
    recalled: &Recalled,
    dispatch: &Dispatch,
    found: &TaskMessage,
) -> Result<Arc<Vec<Outcome>>, Unread> {
    let kept = || recalled.read.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(outcomes) = kept().outcomes.get(&found.number) {
        return Ok(Arc::clone(outcomes));
    }
    let subject = names::result(&recalled.job, &found.number);
    let message = agent
        .results
        .direct_get_last_for_subject(subject)
        .await
        .map_err(|error| {
            use async_nats::jetstream::stream::DirectGetErrorKind;
            match error.kind() {
                DirectGetErrorKind::NotFound if !recalled.may_come(&found.number) => {
                    Unread::Lasting("it has been removed".to_owned())
                }
                _ => Unread::Passing(error.to_string()),
            }
        })?;
    let lasting = |error: &dyn std::fmt::Display| Unread::Lasting(error.to_string());
    let (head, body) = parse::<OutcomesHead>(&message.payload).map_err(|error| lasting(&error))?;
    let tasks = found.tasks.end - found.tasks.start;
    let fetched = match head.body {
        None => None,
        Some(name) => match fetch_results(agent, &name, dispatch, tasks).await {
            Ok(fetched) => Some(fetched),
            Err(error) if error.is_passing() => return Err(Unread::Passing(error.to_string())),
            Err(error) => return Err(lasting(&error)),
        },
    };
    let body = fetched.as_ref().map_or(&body, |fetched| &fetched.bytes);
    let outcomes =
        decode_outcomes(body, &result_type(dispatch), tasks).map_err(|error| lasting(&error))?;
    let outcomes = Arc::new(outcomes);
    kept().keep(&found.number, &outcomes, body.len());
    Ok(outcomes)
}
