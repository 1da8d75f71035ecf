//! Looking at durable jobs, cancelling, retrying and removing them.

use super::manifest::{DurableJob, DurableState, JobCounts};
use super::submit::{Messages, plan_object, queue_object};
use super::{DurableError, DurableJobs, Store, server};
use crate::nats::index::{Index, Round, read_places};
use crate::nats::names;
use crate::nats::wire::{
    OutcomesHead, TasksHead, decode_failed, decode_tasks, encode_cancelled, encode_tasks, frame,
    parse,
};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::kv::Operation;
use async_nats::jetstream::stream::DirectGetErrorKind;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, HashMap};
use std::io::{Seek, SeekFrom};

/// The most that is taken of what is stored of a job's tasks, and of the results of a message.
const LARGEST: u64 = 4 << 30;

impl DurableJobs {
    /// All durable jobs, the newest first.
    ///
    /// # Errors
    /// When the server does not tell.
    pub fn list(&self) -> Result<Vec<DurableJob>, DurableError> {
        self.runtime.block_on(self.store.list())
    }

    /// A durable job, and what has come of it so far; by a viewer's key that is not known. Where all tasks have outcomes, it is
    /// done from then on.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn show(&self, id: &str) -> Result<(DurableJob, Option<JobCounts>), DurableError> {
        self.runtime.block_on(async {
            if self.store.reads_results {
                let (job, counts) = self.store.show(id).await?;
                return Ok((job, Some(counts)));
            }
            Ok((self.store.seen(id).await?, None))
        })
    }

    /// Cancels a durable job: what waits is never run, what runs is stopped, outcomes that are stored stay. Cancelling it
    /// again, or when it is done, does nothing. Says how far it was before.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn cancel(&self, id: &str) -> Result<DurableState, DurableError> {
        self.runtime.block_on(self.store.cancel(id))
    }

    /// Runs the tasks again that failed, or have no outcome since the job was cancelled; how many these are.
    ///
    /// # Errors
    /// When there is none of that id, or it has not ended.
    pub fn retry(&self, id: &str) -> Result<u64, DurableError> {
        self.runtime.block_on(self.store.retry(id))
    }

    /// Removes a durable job and all that is stored of it. One that runs is cancelled.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn remove(&self, id: &str) -> Result<(), DurableError> {
        self.runtime.block_on(self.store.remove(id))
    }
}

/// What is stored of the results of a message: how many outcomes, how many of them failures.
pub(super) type Stored = HashMap<String, JobCounts>;

impl Store {
    async fn list(&self) -> Result<Vec<DurableJob>, DurableError> {
        let mut jobs = BTreeMap::new();
        let status = self.jobs.status().await.map_err(|error| server(&error))?;
        if status.values() > 0 {
            let watch = self.jobs.watch_with_history(">");
            let watch = self.connection.watched(names::JOBS, watch).await;
            let mut entries = watch
                .map_err(|denied| server(&denied))?
                .map_err(|error| server(&error))?;
            while let Some(entry) = entries.next().await {
                let entry = entry.map_err(|error| server(&error))?;
                match entry.operation {
                    Operation::Put => {
                        if let Ok(job) = serde_json::from_slice::<DurableJob>(&entry.value) {
                            jobs.insert(entry.key, job);
                        }
                    }
                    Operation::Delete | Operation::Purge => {
                        jobs.remove(&entry.key);
                    }
                }
                if entry.seen_current {
                    break;
                }
            }
        }
        let mut jobs: Vec<DurableJob> = jobs.into_values().collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.submitted()));
        Ok(jobs)
    }

    /// The results that are stored of a job, without what is in them.
    pub(super) async fn stored(&self, id: &str) -> Result<Stored, DurableError> {
        let config = pull::OrderedConfig {
            filter_subject: names::results_of_job(id),
            headers_only: true,
            deliver_policy: DeliverPolicy::All,
            ..pull::OrderedConfig::default()
        };
        let consumer = self.results.create_consumer(config);
        let consumer = self.connection.watched(names::RESULTS, consumer).await;
        let mut consumer = consumer
            .map_err(|denied| server(&denied))?
            .map_err(|error| server(&error))?;
        let mut stored = Stored::new();
        let info = consumer.info().await.map_err(|error| server(&error))?;
        if info.num_pending == 0 {
            return Ok(stored);
        }
        let mut messages = consumer.messages().await.map_err(|error| server(&error))?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| server(&error))?;
            let pending = message.info().map_or(0, |info| info.pending);
            let number = message.subject.rsplit('.').next().unwrap_or_default();
            let figure = |name: &str| {
                let headers = message.headers.as_ref()?;
                headers.get(name)?.as_str().parse().ok()
            };
            let counts = JobCounts {
                done: figure(names::COUNT).unwrap_or(0),
                failed: figure(names::FAILURES).unwrap_or(0),
            };
            stored.insert(number.to_owned(), counts);
            if pending == 0 {
                break;
            }
        }
        Ok(stored)
    }

    async fn index(&self, job: &DurableJob) -> Result<Index, DurableError> {
        let damaged = |reason: String| DurableError::Damaged {
            id: job.id.clone(),
            reason,
        };
        let plan = self.blobs.get(&plan_object(&job.id), LARGEST).await?;
        let (_, places) = parse::<IgnoredAny>(&plan).map_err(|error| damaged(error.to_string()))?;
        let (mut index, _) = read_places(&places).map_err(|error| damaged(error.to_string()))?;
        index.set_rounds(job.rounds.clone());
        Ok(index)
    }

    async fn show(&self, id: &str) -> Result<(DurableJob, JobCounts), DurableError> {
        let (mut job, revision) = self.record(id).await?;
        let stored = self.stored(id).await?;
        let counts = if job.rounds.is_empty() {
            stored
                .values()
                .fold(JobCounts::default(), |all, one| JobCounts {
                    done: all.done + one.done,
                    failed: all.failed + one.failed,
                })
        } else {
            let failed = self.failed(&job, &stored).await?;
            let missing = failed.iter().filter(|(_, is_missing)| *is_missing).count() as u64;
            JobCounts {
                done: job.tasks - missing,
                failed: failed.len() as u64 - missing,
            }
        };
        if job.state == DurableState::Queued && counts.done >= job.tasks {
            job.state = DurableState::Done;
            // Whoever sees it first says so; it is as true when somebody else does, or nobody may.
            let _ = self.put(&job, revision).await;
        }
        Ok((job, counts))
    }

    /// A job by how many messages have results, without reading these.
    async fn seen(&self, id: &str) -> Result<DurableJob, DurableError> {
        let (mut job, _) = self.record(id).await?;
        if job.state == DurableState::Queued {
            let results = names::results_of_job(id);
            let subjects = self.results.info_with_subjects(results);
            let subjects = self.connection.watched(names::RESULTS, subjects).await;
            let subjects = subjects
                .map_err(|denied| server(&denied))?
                .map_err(|error| server(&error))?;
            let again: u64 = job.rounds.iter().map(Round::len).sum();
            let stored = subjects.try_fold(0, |count, _| std::future::ready(Ok(count + 1)));
            let stored: u64 = stored.await.map_err(|error| server(&error))?;
            if stored >= job.messages + again {
                job.state = DurableState::Done;
            }
        }
        Ok(job)
    }

    /// The tasks whose last attempt failed, or has no outcome.
    async fn failed(
        &self,
        job: &DurableJob,
        stored: &Stored,
    ) -> Result<Vec<(u64, bool)>, DurableError> {
        let index = self.index(job).await?;
        let mut failed = Vec::new();
        let mut task = 0;
        while let Some(found) = index.find(task) {
            let counts = stored.get(&found.number);
            let outcomes = match counts {
                Some(counts) if counts.failed > 0 => Some(self.failures(job, &found.number).await?),
                _ => None,
            };
            let end = found.tasks.end;
            while task < end && index.find(task).is_some_and(|one| one == found) {
                let place = task - found.tasks.start;
                match (counts, &outcomes) {
                    (None, _) => failed.push((task, true)),
                    (Some(_), Some(failures)) if failures.contains(&place) => {
                        failed.push((task, false));
                    }
                    _ => {}
                }
                task += 1;
            }
        }
        Ok(failed)
    }

    /// The places of the failures among the outcomes of a message.
    async fn failures(&self, job: &DurableJob, number: &str) -> Result<Vec<u64>, DurableError> {
        let body = self.outcomes(&job.id, number).await?.unwrap_or_default();
        decode_failed(&body).map_err(|error| DurableError::Damaged {
            id: job.id.clone(),
            reason: error.to_string(),
        })
    }

    /// The encoded outcomes of a message; none where they are not stored.
    pub(super) async fn outcomes(
        &self,
        id: &str,
        number: &str,
    ) -> Result<Option<Bytes>, DurableError> {
        let get = self
            .results
            .direct_get_last_for_subject(names::result(id, number));
        let got = self.connection.watched(names::RESULTS, get).await;
        let message = match got.map_err(|denied| server(&denied))? {
            Ok(message) => message,
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(server(&error)),
        };
        let (head, body) =
            parse::<OutcomesHead>(&message.payload).map_err(|error| DurableError::Damaged {
                id: id.to_owned(),
                reason: error.to_string(),
            })?;
        Ok(Some(match head.body {
            None => body,
            Some(name) => self.blobs.get(&name, LARGEST).await?,
        }))
    }

    async fn cancel(&self, id: &str) -> Result<DurableState, DurableError> {
        let (mut job, counts) = self.show(id).await?;
        if counts.done >= job.tasks && job.state != DurableState::Submitting
            || job.state == DurableState::Cancelled
        {
            return Ok(job.state);
        }
        let (_, revision) = self.record(id).await?;
        let before = std::mem::replace(&mut job.state, DurableState::Cancelled);
        self.put(&job, revision).await?;
        self.stop(id).await?;
        Ok(before)
    }

    /// Takes what waits out of the queue, and has engines stop what runs.
    async fn stop(&self, id: &str) -> Result<(), DurableError> {
        let purge = async { self.tasks.purge().filter(names::tasks_of_job(id)).await };
        let purged = self.connection.watched(names::TASKS, purge).await;
        purged
            .map_err(|denied| server(&denied))?
            .map_err(|error| server(&error))?;
        let everything = encode_cancelled(&[]);
        let client = &self.connection.client;
        client
            .publish(names::cancelled(id), everything)
            .await
            .map_err(|error| server(&error))?;
        client.flush().await.map_err(|error| server(&error))
    }

    async fn retry(&self, id: &str) -> Result<u64, DurableError> {
        let (mut job, counts) = self.show(id).await?;
        match job.state {
            DurableState::Submitting => {
                return Err(DurableError::Incomplete { id: id.to_owned() });
            }
            DurableState::Queued => {
                return Err(DurableError::Unfinished {
                    id: id.to_owned(),
                    done: counts.done,
                    tasks: job.tasks,
                });
            }
            DurableState::Done | DurableState::Cancelled => {}
        }
        let stored = self.stored(id).await?;
        let failed = self.failed(&job, &stored).await?;
        if failed.is_empty() {
            return Ok(0);
        }
        let attempt = job.attempt() + 1;
        let round = Round::of(attempt, failed.iter().map(|(task, _)| *task));
        let messages = self.again(&job, &round).await?;
        let (_, revision) = self.record(id).await?;
        job.rounds.push(round);
        job.state = DurableState::Queued;
        self.put(&job, revision).await?;
        for (number, message) in messages {
            self.publish(&job, number, message).await?;
        }
        Ok(failed.len() as u64)
    }

    /// A message for each task of the round, of what was stored when the job was submitted.
    async fn again(
        &self,
        job: &DurableJob,
        round: &Round,
    ) -> Result<Vec<(String, Bytes)>, DurableError> {
        let damaged = |reason: String| DurableError::Damaged {
            id: job.id.clone(),
            reason,
        };
        let mut file = tempfile::tempfile()?;
        self.blobs.get_to(&queue_object(&job.id), &mut file).await?;
        file.seek(SeekFrom::Start(0))?;
        let mut stored = Messages::new(file);
        let mut messages = Vec::new();
        while let Some((_, message)) = stored.next()? {
            let (head, body) =
                parse::<TasksHead>(&message).map_err(|error| damaged(error.to_string()))?;
            let body = match &head.body {
                None => body,
                Some(name) => self.blobs.get(name, LARGEST).await?,
            };
            let tasks = decode_tasks(&body).map_err(|error| damaged(error.to_string()))?;
            for mut task in tasks {
                if !round.has(task.index) {
                    continue;
                }
                let number = round.number(task.index);
                task.attempt = round.attempt;
                let body = encode_tasks(std::slice::from_ref(&task));
                let mut head = TasksHead {
                    // It was for the first attempt.
                    deadline: None,
                    body: None,
                    ..head.clone()
                };
                if body.len() <= crate::nats::blob::LARGEST_INLINE {
                    messages.push((number, frame(&head, &body)));
                } else {
                    let name = format!("i/{}/{number}", job.id);
                    self.blobs.put_bytes(&name, &body).await?;
                    head.body = Some(name);
                    messages.push((number, frame(&head, &[])));
                }
            }
        }
        Ok(messages)
    }

    async fn remove(&self, id: &str) -> Result<(), DurableError> {
        let (job, _) = self.record(id).await?;
        self.stop(&job.id).await?;
        let purge = async { self.results.purge().filter(names::results_of_job(id)).await };
        let purged = self.connection.watched(names::RESULTS, purge).await;
        purged
            .map_err(|denied| server(&denied))?
            .map_err(|error| server(&error))?;
        for kind in ["i", "o"] {
            self.blobs.remove_all(&format!("{kind}/{id}/")).await?;
        }
        self.blobs.remove(&queue_object(id)).await?;
        self.blobs.remove(&plan_object(id)).await?;
        let delete = self.jobs.purge(id);
        let deleted = self.connection.watched(names::JOBS, delete).await;
        deleted
            .map_err(|denied| server(&denied))?
            .map_err(|error| server(&error))
    }
}
