//! Tasks of a durable job: their outcomes are not requested from engines but found among the stored results, now or
//! when they arrive.

use super::agent::{AGAIN, Agent, QUIET};
use super::flight::result_type;
use super::hear::results_after;
use crate::dispatch::Dispatch;
use crate::nats::index::{Index, TaskMessage};
use crate::nats::names;
use crate::nats::wire::{OutcomesHead, decode_outcomes, parse};
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::kv::Operation;
use futures_util::StreamExt;
use rwasm_sandbox::outcome::{Failure, FailureCode, Outcome, Usage};
use rwasm_value::ids::EngineId;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Parsed results that are kept: a message of many tasks serves several dispatches.
const KEPT: usize = 64;

/// Upper bound for the results of one message, in bytes.
const LARGEST: u64 = 4 << 30;

/// Tells from the job's record, or from its absence, whether missing results will never be stored.
type IsOver = Box<dyn Fn(Option<&[u8]>) -> bool + Send + Sync>;

/// See the [module](self).
pub(crate) struct Recalled {
    /// The job's name in messages.
    job: Arc<str>,
    index: Index,
    is_over: IsOver,
    /// The names of the messages whose results are stored.
    present: Mutex<HashSet<String>>,
    /// Their number, for those who wait for one; and whether more can come.
    news: watch::Sender<News>,
    read: Mutex<Read>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct News {
    count: usize,
    /// Whether all results that were stored at the first look are known.
    is_current: bool,
    /// Whether the job was cancelled, so that missing results will never be stored.
    is_cancelled: bool,
}

#[derive(Default)]
struct Read {
    outcomes: HashMap<String, Arc<Vec<Outcome>>>,
    order: VecDeque<String>,
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

    fn present(&self) -> MutexGuard<'_, HashSet<String>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the result of the message is stored; returns false if it never will be.
    async fn wait(&self, found: &TaskMessage) -> bool {
        let mut news = self.news.subscribe();
        loop {
            let now = *news.borrow_and_update();
            if self.present().contains(&found.number) {
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

/// Listens for stored results.
pub(super) async fn hear_stored(agent: Arc<Agent>, recalled: Arc<Recalled>) {
    let mut last = 0;
    loop {
        let config = pull::OrderedConfig {
            headers_only: true,
            ..results_after(&recalled.job, last)
        };
        let consumer = agent.results.create_consumer(config);
        if let Ok(Ok(mut consumer)) = agent.connection.watched(names::RESULTS, consumer).await {
            let is_empty = consumer
                .info()
                .await
                .is_ok_and(|info| info.num_pending == 0);
            if is_empty {
                recalled.news.send_modify(|news| news.is_current = true);
            }
            if let Ok(mut messages) = consumer.messages().await {
                loop {
                    let message = match timeout(QUIET, messages.next()).await {
                        Ok(Some(Ok(message))) => message,
                        Ok(_) => break,
                        // The consumer may have gone with its server.
                        Err(_) if agent.has_more(last).await => break,
                        Err(_) => continue,
                    };
                    let pending = message.info().map_or(0, |info| {
                        last = info.stream_sequence;
                        info.pending
                    });
                    let number = message.subject.rsplit('.').next().unwrap_or_default();
                    let mut present = recalled.present();
                    present.insert(number.to_owned());
                    let count = present.len();
                    drop(present);
                    recalled.news.send_modify(|news| {
                        news.count = count;
                        news.is_current |= pending == 0;
                    });
                }
            }
        }
        sleep(AGAIN).await;
    }
}

/// Listens for someone cancelling or removing the job.
pub(super) async fn hear_end(agent: Arc<Agent>, recalled: Arc<Recalled>) {
    let id = names::id_of(&recalled.job);
    loop {
        let watched = async {
            let records = agent.connection.js.get_key_value(names::JOBS).await.ok()?;
            records.watch_with_history(id).await.ok()
        };
        if let Ok(Some(mut entries)) = agent.connection.watched(names::JOBS, watched).await {
            while let Some(Ok(entry)) = entries.next().await {
                let record = (entry.operation == Operation::Put).then_some(&*entry.value);
                if (recalled.is_over)(record) {
                    return recalled.cancelled();
                }
            }
        }
        sleep(AGAIN).await;
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
                DirectGetErrorKind::NotFound => Unread::Lasting("it has been removed".to_owned()),
                _ => Unread::Passing(error.to_string()),
            }
        })?;
    let lasting = |error: &dyn std::fmt::Display| Unread::Lasting(error.to_string());
    let (head, body) = parse::<OutcomesHead>(&message.payload).map_err(|error| lasting(&error))?;
    let body = match head.body {
        None => body,
        Some(name) => match agent.encoder.blobs.get(&name, LARGEST).await {
            Ok(body) => body,
            Err(error) if error.is_passing() => return Err(Unread::Passing(error.to_string())),
            Err(error) => return Err(lasting(&error)),
        },
    };
    let outcomes =
        decode_outcomes(&body, &result_type(dispatch)).map_err(|error| lasting(&error))?;
    let outcomes = Arc::new(outcomes);
    let mut kept = kept();
    if kept.order.len() >= KEPT
        && let Some(oldest) = kept.order.pop_front()
    {
        kept.outcomes.remove(&oldest);
    }
    kept.order.push_back(found.number.clone());
    kept.outcomes
        .insert(found.number.clone(), Arc::clone(&outcomes));
    Ok(outcomes)
}
