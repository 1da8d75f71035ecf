//! Takes tasks for one engine, which arrive as requests to its process, and control requests for its engines.

use super::worker::{Received, Worker};
use crate::nats::names;
use crate::nats::orders;
use crate::nats::wire::{TasksHead, parse};
use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt;
use rwasm_value::ids::EngineId;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tracing::Instrument as _;

/// Messages for chosen engines that may wait here, at most, and their bytes; further senders are told to wait.
const WAITING: usize = 4096;
const WAITING_BYTES: usize = 64 << 20;

/// Whether there is no room for a message of this many bytes beside those that are held. One has room if none is held.
fn is_full((count, held): (usize, usize), bytes: usize) -> bool {
    count >= WAITING || count > 0 && held + bytes > WAITING_BYTES
}

/// Serves requests for engines of this process.
pub(super) async fn serve(worker: Arc<Worker>, mut requests: Subscriber) {
    while let Some(request) = requests.next().await {
        let Some(reply) = request.reply.clone() else {
            continue;
        };
        let name = request
            .headers
            .as_ref()
            .and_then(|headers| headers.get(orders::TASK))
            .and_then(|name| name.as_str().split_once('.'))
            .map(|(job, number)| (Arc::<str>::from(job), Arc::<str>::from(number)));
        let engine = parse::<TasksHead>(&request.payload)
            .ok()
            .and_then(|(head, _)| head.engine)
            .map(EngineId);
        if let Err(reason) = worker.obedience.check(&request) {
            let job = name.as_ref().map_or("", |(job, _)| job);
            worker.did_not("take a task", job, reason);
            let answer = Bytes::from(reason.to_string());
            let _ = worker.connection.client.publish(reply, answer).await;
            continue;
        }
        let (answer, taken) = match (name, engine) {
            (Some((job, number)), _) if !names::is_token(&job) || !names::is_token(&number) => {
                ("it does not name a task", None)
            }
            (Some(name), Some(engine)) => {
                if worker.is_draining.load(Ordering::Relaxed) || !worker.has(engine) {
                    ("the engine accepts no more tasks", None)
                } else if is_full(worker.held_direct(), request.payload.len()) {
                    ("busy", None)
                } else {
                    ("accepted", Some((name, engine)))
                }
            }
            _ => ("it is not a valid task, or has another version", None),
        };
        let answer = Bytes::from_static(answer.as_bytes());
        let _ = worker.connection.client.publish(reply, answer).await;
        if let Some(((job, number), engine)) = taken {
            let from = Received::Request(engine);
            let take = Arc::clone(&worker).take(job, number, request.payload, from);
            tokio::spawn(take.in_current_span());
        }
    }
}

/// Carries out control requests: removes an engine, or replaces it.
pub(super) async fn obey(worker: Arc<Worker>, mut requests: Subscriber) {
    while let Some(request) = requests.next().await {
        let Some(reply) = request.reply.clone() else {
            continue;
        };
        let asked = String::from_utf8_lossy(&request.payload).into_owned();
        let mut words = asked.split(' ');
        let (word, engine) = (words.next(), words.next());
        let engine = engine.and_then(|id| id.parse().ok()).map(EngineId);
        let obeyed = worker.obedience.check(&request);
        let done = match (word, engine) {
            _ if let Err(reason) = obeyed => {
                worker.did_not("obey", &asked, reason);
                Err(reason.to_string())
            }
            (Some("remove"), Some(engine)) => {
                let removed = worker.remove(engine);
                let _ = worker.register().await;
                removed.map(|()| "ok".to_owned())
            }
            (Some("restart"), Some(engine)) => {
                let restarted = worker.restart(engine);
                let _ = worker.register().await;
                restarted.map(|count| format!("ok {count}"))
            }
            _ => Err(format!("`{asked}` is not a valid request to an engine")),
        };
        let answer = done.unwrap_or_else(|reason| reason);
        let _ = worker.connection.client.publish(reply, answer.into()).await;
    }
}
