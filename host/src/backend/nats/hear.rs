//! What the agent hears from the server while it runs (engines, results, notes), and the cancellations it sends to
//! engines.

use super::agent::{AGAIN, Agent, QUIET, Seen};
use super::flight;
use crate::nats::names;
use crate::nats::presence;
use crate::nats::wire::encode_cancelled;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use futures_util::StreamExt;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

/// Bytes of received results kept on the server, at most.
const KEPT: usize = 64 << 20;

/// The approximate overhead that the server keeps with each message.
const OVERHEAD: usize = 128;

/// Numbers of cancelled messages that are sent together.
const CANCELLED_AT_ONCE: usize = 4096;

/// Up to this many messages are removed from the queue one by one; beyond it, engines drop each when they get it.
const PURGED_ALONE: usize = 256;

/// What gives the results of a session, or of a durable job, that the stream has after the one numbered `last`.
pub(super) fn results_after(session: &str, last: u64) -> pull::OrderedConfig {
    pull::OrderedConfig {
        filter_subject: names::results_of_job(session),
        deliver_policy: match last {
            0 => DeliverPolicy::All,
            last => DeliverPolicy::ByStartSequence {
                start_sequence: last + 1,
            },
        },
        ..pull::OrderedConfig::default()
    }
}

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

/// Receives results in the order in which they were stored; after an interruption, continues after the last one. The
/// notes of a task arrive before its result, and are handled first.
///
/// The consumer lives on one server and is lost with it, which the client would notice only half a minute later: if
/// nothing arrives for a while and something should, the stream itself is asked whether there is more.
pub(super) async fn hear(agent: Arc<Agent>) {
    let subject = names::notes(&agent.session);
    let notes = agent.connection.client.subscribe(subject).await;
    let mut notes = match notes {
        Ok(notes) => notes.left_stream(),
        // What is told is lost then, as it is where it cannot be taken in time.
        Err(_) => futures_util::stream::pending().right_stream(),
    };
    let mut last = 0;
    let mut heard = 0;
    let room = room(&agent.results);
    loop {
        let config = results_after(&agent.session, last);
        let consumer = agent.results.create_consumer(config);
        if let Ok(Ok(consumer)) = agent.connection.watched(names::RESULTS, consumer).await
            && let Ok(mut messages) = consumer.messages().await
        {
            let mut renewals = agent.connection.renewals();
            let mut quiet = Instant::now() + QUIET;
            loop {
                let message = tokio::select! {
                    biased;
                    Ok(()) = renewals.changed() => break,
                    Some(note) = notes.next() => {
                        agent.hear_note(&note.payload);
                        continue;
                    }
                    message = timeout_at(quiet, messages.next()) => match message {
                        Ok(Some(Ok(message))) => message,
                        Ok(Some(Err(error))) => {
                            tracing::debug!(%error, "requesting results again");
                            break;
                        }
                        Ok(None) => break,
                        Err(_) => {
                            if !agent.flights().is_empty() && agent.has_more(last).await {
                                tracing::debug!("the server has results that did not arrive");
                                break;
                            }
                            quiet = Instant::now() + QUIET;
                            continue;
                        }
                    },
                };
                quiet = Instant::now() + QUIET;
                if let Ok(info) = message.info() {
                    last = info.stream_sequence;
                }
                flight::land(&agent, &message.subject, &message.payload);
                heard += message.payload.len() + OVERHEAD;
                // Those of a durable job stay until it is removed.
                if heard >= room && agent.recalled.is_none() {
                    heard = 0;
                    agent.make_room(last);
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
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
pub(super) async fn tell_cancelled(agent: Arc<Agent>, mut cancelled: UnboundedReceiver<u64>) {
    // What runs is stopped at once, whether or not the server has time for the queue.
    let (told, purged) = unbounded_channel();
    tokio::spawn(purge_cancelled(Arc::clone(&agent), purged));
    let mut numbers = Vec::new();
    while cancelled.recv_many(&mut numbers, CANCELLED_AT_ONCE).await > 0 {
        let unwanted: Vec<String> = numbers.drain(..).map(|number| number.to_string()).collect();
        let message = encode_cancelled(&unwanted);
        let subject = names::cancelled(&agent.session);
        let _ = agent.connection.client.publish(subject, message).await;
        let _ = told.send(unwanted);
    }
}

/// Removes cancelled messages from the queue.
async fn purge_cancelled(agent: Arc<Agent>, mut cancelled: UnboundedReceiver<Vec<String>>) {
    while let Some(unwanted) = cancelled.recv().await {
        if unwanted.len() <= PURGED_ALONE {
            for name in unwanted {
                let subject = format!("rwc.t.*.*.{}.{name}", agent.session);
                let _ = agent.tasks.purge().filter(subject).await;
            }
        } else if agent.flights().is_empty() {
            let all = names::tasks_of_job(&agent.session);
            let _ = agent.tasks.purge().filter(all).await;
        }
    }
}
