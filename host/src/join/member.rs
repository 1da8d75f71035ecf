//! A process with engines as a member of its cluster: it registers, removes engines, drains and leaves.

use super::collector::GIVEN_BACK;
use super::worker::{AGAIN, LONGEST_PAUSE, Worker};
use crate::dispatch::Dispatch;
use crate::nats::names;
use crate::nats::presence;
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::outcome::FailureCode;
use rwasm_value::ids::EngineId;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// How long each part of leaving may take that the server or an engine has to answer, beside the time to drain.
const FAREWELL: Duration = Duration::from_secs(1);

/// How old the figures of a process may be that somebody looks at. Of one that does nothing they stay right.
const NEWS: Duration = Duration::from_millis(800);

impl Worker {
    /// Registers these engines with the cluster.
    pub(super) async fn register(&self) -> Result<(), String> {
        let losses = self.losses().await;
        let (key, value) = {
            let mut record = lock(&self.record);
            (record.workers_lost, record.last_loss) = losses;
            (record.busy, record.tasks, record.done, record.failed) = self.figures();
            record.usage = self.shares.usage();
            record.draining = self.is_draining.load(Ordering::Relaxed);
            (
                record.process.clone(),
                serde_json::to_vec(&*record).unwrap_or_default(),
            )
        };
        let bucket = presence::bucket(&self.connection).await?;
        let put = bucket.put(key, value.into());
        let put = self.connection.watched(names::ENGINES, put).await;
        let heard = match put {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(denied) => Err(denied.to_string()),
        };
        self.is_heard.store(heard.is_ok(), Ordering::Relaxed);
        heard
    }

    /// How many worker processes the engines have lost, and why one of the last was.
    async fn losses(&self) -> (u64, Option<String>) {
        /// The longest reason, in characters: it is in each report.
        const LONGEST: usize = 200;
        if !self.has_workers {
            return (0, None);
        }
        let cluster = self.bench.cluster.clone();
        // The engines' own thread answers, which may be busy.
        let asked = tokio::task::spawn_blocking(move || cluster.queue_status());
        let Ok(status) = asked.await else {
            return (0, None);
        };
        status
            .engines
            .iter()
            .fold((0, None), |(lost, reason), engine| {
                let last = engine.last_loss.as_ref();
                let last =
                    last.map(|last| rwasm_value::plain::shortened(last.to_string(), LONGEST));
                (lost + engine.workers_lost, reason.or(last))
            })
    }

    /// What changes while tasks run: the engines that are busy, the tasks that they have, and those that ended and failed.
    fn figures(&self) -> (u32, u64, u64, u64) {
        (
            self.busy.load(Ordering::Relaxed),
            self.tasks(),
            self.done.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        )
    }

    /// Waits until the registration is to be renewed: after `most`, or when its figures are out of date, but not at once.
    async fn await_news(&self, most: Duration) {
        let end = Instant::now() + most;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            sleep(left.min(NEWS)).await;
            let told = {
                let record = lock(&self.record);
                (record.busy, record.tasks, record.done, record.failed)
            };
            if Instant::now() >= end || told != self.figures() {
                return;
            }
        }
    }

    /// Renews the registration periodically.
    pub(super) async fn renew(self: Arc<Self>) {
        let mut pause = AGAIN;
        loop {
            let age = match presence::bucket(&self.connection).await {
                Ok(bucket) => bucket.stream.cached_info().config.max_age,
                Err(_) => Duration::from_secs(3),
            };
            let renewed = match timeout(age, self.register()).await {
                Ok(renewed) => renewed,
                Err(_) => Err("the server does not answer".to_owned()),
            };
            match renewed {
                Ok(()) => {
                    pause = AGAIN;
                    self.bench.granted.forget_old();
                    self.await_news((age / 3).max(Duration::from_millis(50)))
                        .await;
                }
                Err(reason) => {
                    self.is_heard.store(false, Ordering::Relaxed);
                    // That the server rejects the key was said once.
                    if !self.connection.is_rejected()
                        && let Some(left_out) = self.warnings.next()
                    {
                        let what = "cannot report these engines to the cluster";
                        tracing::warn!(reason, left_out, "{what}");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Removes an engine; the last one takes the process with it.
    pub(super) fn remove(&self, engine: EngineId) -> Result<(), String> {
        self.bench.seat.refusal().map_or(Ok(()), Err)?;
        let removed = self.bench.cluster.remove_engine(engine);
        removed.map_err(|error| error.to_string())?;
        let mut record = lock(&self.record);
        record.engines.retain(|id| *id != engine.0);
        if record.engines.is_empty() {
            self.empty.notify_one();
        }
        Ok(())
    }

    /// Replaces an engine with a new one under its id, and returns how often that has happened.
    pub(super) fn restart(&self, engine: EngineId) -> Result<u64, String> {
        self.bench.seat.refusal().map_or(Ok(()), Err)?;
        let restarted = self.bench.cluster.restart_engine(engine);
        restarted.map_err(|error| error.to_string())?;
        let mut record = lock(&self.record);
        let count = record.restarts.entry(engine.0).or_default();
        *count += 1;
        Ok(*count)
    }

    pub(super) async fn emptied(&self) {
        self.empty.notified().await;
    }

    /// Stops taking tasks, and reports so.
    pub(super) async fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        let _ = timeout(FAREWELL, self.register()).await;
        let held: Vec<Arc<Dispatch>> = lock(&self.held)
            .values()
            .filter_map(|held| held.dispatch.clone())
            .collect();
        for dispatch in held {
            if dispatch.expire() {
                dispatch.fail_rest(None, FailureCode::EngineLost, GIVEN_BACK);
            }
        }
    }

    /// Waits for running tasks, and gives back those left after `limit`.
    pub(super) async fn drain(&self, limit: Duration) {
        let through = async {
            loop {
                let freed = self.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                if lock(&self.held).is_empty() {
                    return;
                }
                freed.await;
            }
        };
        tokio::pin!(through);
        if timeout(limit, &mut through).await.is_ok() {
            return;
        }
        let left: Vec<Arc<Dispatch>> = lock(&self.held)
            .values()
            .filter_map(|held| held.dispatch.clone())
            .collect();
        for dispatch in left {
            // Answered first: what the engine says of it when it is stopped is not to be stored.
            dispatch.fail_rest(None, FailureCode::EngineLost, GIVEN_BACK);
            dispatch.cancel.cancel();
        }
        let _ = timeout(FAREWELL, through).await;
    }

    pub(super) fn report(&self) -> super::JoinReport {
        super::JoinReport {
            engines: self.engines(),
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            given_back: self.given_back.load(Ordering::Relaxed),
        }
    }

    /// Removes the registration.
    pub(super) async fn leave(&self) {
        let leave = async {
            if let Ok(bucket) = presence::bucket(&self.connection).await {
                let _ = bucket.delete(self.process()).await;
            }
            let _ = self.connection.client.flush().await;
        };
        let _ = timeout(FAREWELL, leave).await;
    }
}
