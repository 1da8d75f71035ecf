//! Takes messages from the queue: as many as the engines can begin soon, the high class before the middle one, the
//! middle one before the low.
//!
//! A message that waits here cannot be begun by an idle engine elsewhere, so few do: one per engine, and more only if
//! tasks are so short that the way to the server takes longer.

use super::lanes::ServedLane;
use super::worker::{Received, Worker};
use crate::nats::AssetError;
use crate::nats::connect::Connection;
use crate::nats::names::{self, Class};
use async_nats::jetstream::consumer::{Consumer, pull};
use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use rwasm_sandbox::cancel::Cancel;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::Instrument as _;

/// One class of a lane.
pub(super) struct Queue {
    consumer: Consumer<pull::Config>,
    /// Messages that were requested and have not arrived.
    asked: usize,
    /// The number of the current order: the end of an earlier one is ignored.
    order: u64,
    /// How many orders in a row the server has refused.
    refused: u32,
}

/// How long the server keeps an order open for messages that are not there yet.
const ORDER: Duration = Duration::from_secs(5);

/// The pause after which a queue that refused an order is asked again, and the longest one if it goes on refusing.
const AGAIN: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// An order that ends sooner without a message was refused: the server holds one open that it cannot fill.
const REFUSED: Duration = Duration::from_secs(1);

/// So many refusals in a row are reported: a few are those of a server that has just started.
const WORTH_TELLING: u32 = 5;

/// Opens the queues of these lanes, by precedence.
pub(super) async fn queues(
    connection: &Connection,
    lanes: &[ServedLane],
) -> Result<Vec<Queue>, AssetError> {
    let mut queues = Vec::new();
    for class in Class::ALL {
        for lane in lanes.iter().map(|lane| &lane.name) {
            let name = names::consumer(lane, class);
            let get = connection
                .js
                .get_consumer_from_stream::<pull::Config, _, _>(&name, names::TASKS);
            let consumer = match connection.watched(names::TASKS, get).await {
                Ok(Ok(consumer)) => consumer,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a consumer does not exist");
                    return Err(if *lane == names::MAIN_LANE {
                        AssetError::Missing {
                            what: format!("consumer {name} of {}", names::TASKS),
                        }
                    } else {
                        let lane = lane.clone();
                        AssetError::NoLane { lane }
                    });
                }
                Err(denied) => {
                    return Err(AssetError::Refused {
                        what: format!("use of the lane `{lane}`"),
                        reason: denied.to_string(),
                    });
                }
            };
            queues.push(Queue {
                consumer,
                asked: 0,
                order: 0,
                refused: 0,
            });
        }
    }
    Ok(queues)
}

type Arriving = Pin<Box<dyn futures_util::Stream<Item = (usize, Arrival)> + Send>>;

#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, on its way from the server to a task of its own"
)]
enum Arrival {
    Message(async_nats::jetstream::Message),
    /// The order of this number has ended, and may have been refused.
    End(u64, bool),
}

/// Takes messages until it is told to stop.
pub(super) async fn run(worker: Arc<Worker>, mut queues: Vec<Queue>, stop: Cancel) {
    let ack_wait = queues
        .iter()
        .map(|queue| queue.consumer.cached_info().config.ack_wait)
        .min()
        .unwrap_or(Duration::from_secs(10));
    let mut signs = interval((ack_wait / 3).max(Duration::from_millis(50)));
    signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn({
        let worker = Arc::clone(&worker);
        async move {
            loop {
                signs.tick().await;
                worker.keep_alive().await;
            }
        }
    });
    let mut arriving: SelectAll<Arriving> = SelectAll::new();
    let mut renewals = worker.connection.renewals();
    loop {
        let freed = worker.freed.notified();
        tokio::pin!(freed);
        freed.as_mut().enable();
        order(&worker, &mut queues, &mut arriving).await;
        tokio::select! {
            biased;
            () = stop.wanted() => break,
            Some((place, arrival)) = arriving.next() => take_in(&worker, &mut queues, place, arrival),
            () = &mut freed => {}
            // The server that had our orders is gone, or has forgotten them.
            Ok(()) = renewals.changed() => queues.iter_mut().for_each(|queue| queue.asked = 0),
        }
    }
    // What comes still goes to the next engine at once.
    let rest = async {
        while let Some((_, arrival)) = arriving.next().await {
            if let Arrival::Message(message) = arrival {
                let _ = message
                    .ack_with(async_nats::jetstream::AckKind::Nak(None))
                    .await;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(100), rest).await;
}

/// Requests as many messages as there is room for from each queue that has no order open. Messages of a queue with
/// lower precedence take none of its room, and lanes that share engine time have room of their own each, so that each
/// has tasks here when its turn comes.
async fn order(worker: &Worker, queues: &mut [Queue], arriving: &mut SelectAll<Arriving>) {
    for (place, queue) in queues.iter_mut().enumerate() {
        if queue.asked > 0 {
            continue;
        }
        let ahead = worker.shares.ahead(place, worker.is_running(place));
        let room = worker.engine_count() * (1 + ahead);
        let room = room.saturating_sub(worker.held_beside(place));
        if room == 0 {
            continue;
        }
        let batch = queue
            .consumer
            .batch()
            .max_messages(room)
            .expires(ORDER)
            .messages()
            .await;
        queue.asked = room;
        queue.order += 1;
        let number = queue.order;
        let pause = AGAIN
            .saturating_mul(1 << queue.refused.min(10))
            .min(LONGEST_PAUSE);
        let arrivals: Arriving = match batch {
            Ok(batch) => {
                let begun = Instant::now();
                let has_come = Arc::new(AtomicBool::new(false));
                let came = Arc::clone(&has_come);
                let messages = batch.filter_map(move |message| {
                    std::future::ready(match message {
                        Ok(message) => {
                            came.store(true, Ordering::Relaxed);
                            Some((place, Arrival::Message(message)))
                        }
                        Err(error) => {
                            tracing::debug!(%error, "a request for tasks ended early");
                            None
                        }
                    })
                });
                let end = async move {
                    let is_refused = !has_come.load(Ordering::Relaxed) && begun.elapsed() < REFUSED;
                    if is_refused {
                        sleep(pause).await;
                    }
                    (place, Arrival::End(number, is_refused))
                };
                Box::pin(messages.chain(futures_util::stream::once(end)))
            }
            Err(error) => {
                tracing::debug!(%error, "cannot request tasks");
                Box::pin(futures_util::stream::once(async move {
                    sleep(pause).await;
                    (place, Arrival::End(number, true))
                }))
            }
        };
        arriving.push(arrivals);
    }
}

fn take_in(worker: &Arc<Worker>, queues: &mut [Queue], place: usize, arrival: Arrival) {
    let message = match arrival {
        Arrival::End(number, is_refused) => {
            let queue = &mut queues[place];
            if queue.order == number {
                queue.asked = 0;
                queue.refused = if is_refused { queue.refused + 1 } else { 0 };
                if queue.refused == WORTH_TELLING {
                    let queue = &queue.consumer.cached_info().name;
                    tracing::warn!(
                        queue,
                        "the server gives no tasks of this queue; asking less often"
                    );
                }
            }
            return;
        }
        Arrival::Message(message) => message,
    };
    let delivery = message
        .info()
        .map_or(1, |info| u64::try_from(info.delivered).unwrap_or(1));
    let mut tokens = message.subject.rsplit('.');
    let (Some(number), Some(job)) = (tokens.next(), tokens.next()) else {
        return;
    };
    let (job, number): (Arc<str>, Arc<str>) = (job.into(), number.into());
    let payload = message.payload.clone();
    let from = Received::Queue(message, delivery, place);
    let take = Arc::clone(worker).take(job, number, payload, from);
    tokio::spawn(take.in_current_span());
}
