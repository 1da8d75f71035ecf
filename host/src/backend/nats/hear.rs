//! What the agent hears from the server while it runs (engines, results, notes), and the cancellations it sends to
//! engines.

use super::agent::{AGAIN, Agent, QUIET, Seen};
use super::flight;
use crate::events::ClusterEvent;
use crate::nats::presence;
use crate::nats::wire::{MOST_CANCELLED, encode_cancelled};
use crate::nats::{direct, names};
use async_nats::Subscriber;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, UnboundedSender, channel};
use tokio::time::{Instant, timeout};

/// Bytes of received results kept on the server, at most.
const KEPT: usize = 64 << 20;

/// How often results are looked for that were not heard, while others are.
const LOOK: Duration = Duration::from_secs(10);

/// How often it is reported that the server rejects the key.
const TOLD_AGAIN: Duration = Duration::from_secs(10);

/// Requests for single results that are under way at a time.
const ASKED_AT_ONCE: usize = 64;

/// The approximate overhead that the server keeps with each message.
const OVERHEAD: usize = 128;

/// Up to this many messages are removed from the queue one by one; beyond it, engines drop each when they get it.
const PURGED_ALONE: usize = 256;

/// Cancelled messages of which engines are not told yet, such as while the server is away: 8 MiB.
pub(super) const MOST_UNWANTED: usize = 1 << 20;

/// Purges that wait for the server, of up to [`PURGED_ALONE`] messages each: about 8 MiB.
const PURGES: usize = 1024;

/// Watches engines for as long as somebody listens; starts anew after an interruption.
pub(super) async fn watch_engines(agent: Arc<Agent>, seen: UnboundedSender<Seen>) {
    loop {
        if seen.send(Seen::Afresh).is_err() {
            return;
        }
        let watch = presence::watch(&agent.connection, |change| {
            seen.send(Seen::Change(change)).is_ok()
        });
        if let Err(error) = watch.await {
            tracing::debug!(error, "watching the engines again");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Hears results as engines publish them. The notes of a task arrive before its result, and are handled first.
pub(super) async fn hear(agent: Arc<Agent>, notes: Subscriber, mut results: Subscriber) {
    let mut notes = notes;
    let mut heard = 0;
    let room = room(&agent.results);
    loop {
        let message = tokio::select! {
            biased;
            Some(note) = notes.next() => {
                agent.hear_note(&note.payload);
                continue;
            }
            message = results.next() => message,
        };
        // The connection has ended, and this process with it.
        let Some(message) = message else { return };
        agent.heard();
        flight::land(&agent, &message.subject, &message.payload);
        heard += message.payload.len() + OVERHEAD;
        // Those of a durable job stay until it is removed.
        if heard >= room && agent.recalled.is_none() {
            heard = 0;
            tokio::spawn(make_room(Arc::clone(&agent)));
        }
    }
}

/// Reports from time to time that the server rejects the key, as long as it does: whoever listens may begin later.
pub(super) async fn tell_rejected(agent: Arc<Agent>) {
    let connection = &agent.connection;
    let mut rejections = connection.rejections();
    loop {
        if connection.is_rejected() {
            let rejected = ClusterEvent::Rejected {
                url: Arc::clone(&connection.url),
                who: Arc::clone(&connection.who),
            };
            agent.roster.events().tell(rejected);
        }
        if let Ok(Err(_)) = timeout(TOLD_AGAIN, rejections.changed()).await {
            return;
        }
    }
}

/// Looks for results that are stored and were not heard: after the connection was lost, when none was heard for a
/// while, and from time to time, since servers may lose one another.
pub(super) async fn find_missed(agent: Arc<Agent>) {
    let mut renewals = agent.connection.renewals();
    let mut looked = Instant::now();
    loop {
        let is_renewed = matches!(timeout(QUIET, renewals.changed()).await, Ok(Ok(())));
        if !is_renewed && agent.heard_for() < QUIET && looked.elapsed() < LOOK {
            continue;
        }
        looked = Instant::now();
        let unheard = agent.unheard();
        let subjects: Vec<String> = unheard
            .iter()
            .map(|number| names::result(&agent.session, &number.to_string()))
            .collect();
        let found = direct::latest(&agent.connection, names::RESULTS, &subjects);
        match agent.connection.watched(names::RESULTS, found).await {
            Ok(Ok(found)) => {
                for message in found {
                    flight::land(&agent, &message.subject, &message.payload);
                }
            }
            Ok(Err(problem)) => {
                let reason = problem.of(names::RESULTS, 1, -1);
                tracing::debug!(%reason, "cannot look for results");
            }
            Err(denied) => tracing::debug!(%denied, "may not look for results"),
        }
    }
}

/// Removes received results from the server: their dispatches are answered, and second results are ignored.
///
/// 1. The last number that the stream has given is read from its leader.
/// 2. For what is still unanswered, the leader is asked for the result: it may be on its way here, or was lost on it.
/// 3. So all results of this session up to that number were received, and are removed.
async fn make_room(agent: Arc<Agent>) {
    // What stays is removed with the next ones, or at the end.
    let Ok(info) = agent.results.get_info().await else {
        return;
    };
    let last = info.state.last_sequence;
    let asked = agent.unheard().into_iter().map(|number| {
        let agent = &agent;
        async move {
            let subject = names::result(&agent.session, &number.to_string());
            let found = agent
                .results
                .get_last_raw_message_by_subject(&subject)
                .await;
            match found {
                Ok(message) => flight::land(agent, &subject, &message.payload),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {}
                Err(error) => return Err(error),
            }
            Ok(())
        }
    });
    let mut asked = futures_util::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
    while let Some(asked) = asked.next().await {
        if asked.is_err() {
            return;
        }
    }
    let results = names::results_of_job(&agent.session);
    let purge = agent.results.purge().filter(results);
    let _ = purge.sequence(last + 1).await;
}

/// The number of bytes of received results after which they are removed: a small stream must have room for the next.
fn room(results: &Stream) -> usize {
    let most = usize::try_from(results.cached_info().config.max_bytes).unwrap_or_default();
    match most {
        0 => KEPT,
        most => KEPT.min(most / 8),
    }
}

/// Sends cancellations to engines, many at a time.
pub(super) async fn tell_cancelled(agent: Arc<Agent>, mut cancelled: Receiver<u64>) {
    // What runs is stopped at once, whether or not the server has time for the queue.
    let (told, purged) = channel(PURGES);
    tokio::spawn(purge_cancelled(Arc::clone(&agent), purged));
    let mut numbers = Vec::new();
    while cancelled.recv_many(&mut numbers, MOST_CANCELLED).await > 0 {
        let unwanted: Vec<String> = numbers.drain(..).map(|number| number.to_string()).collect();
        let message = encode_cancelled(&unwanted);
        let subject = names::cancelled(&agent.session);
        let _ = agent.connection.tell(&subject, &message).await;
        let purge = if unwanted.len() <= PURGED_ALONE {
            Purge::These(unwanted)
        } else {
            Purge::AllIfNoneIsWanted
        };
        // What a slow server has no time for stays: engines drop it when they get it.
        let _ = told.try_send(purge);
    }
}

/// What is to be removed from the queue.
enum Purge {
    /// The messages with these names.
    These(Vec<String>),
    /// All of this session, if it wants none of them.
    AllIfNoneIsWanted,
}

/// Removes cancelled messages from the queue.
async fn purge_cancelled(agent: Arc<Agent>, mut cancelled: Receiver<Purge>) {
    while let Some(purge) = cancelled.recv().await {
        match purge {
            Purge::These(names) => {
                for name in names {
                    let subject = format!("rwc.t.*.*.{}.{name}", agent.session);
                    let _ = agent.tasks.purge().filter(subject).await;
                }
            }
            Purge::AllIfNoneIsWanted if agent.flights().is_empty() => {
                let all = names::tasks_of_job(&agent.session);
                let _ = agent.tasks.purge().filter(all).await;
            }
            Purge::AllIfNoneIsWanted => {}
        }
    }
}
