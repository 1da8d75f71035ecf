//! Lists, shows, cancels and removes durable jobs.

use super::manifest::{DurableJob, DurableState, JobCounts};
use super::{DurableError, DurableJobs, Store, server};
use crate::nats::index::Round;
use crate::nats::problem::Problem;
use crate::nats::wire::{OutcomesHead, encode_cancelled, parse};
use crate::nats::{direct, listing, names};
use async_nats::jetstream::stream::DirectGetErrorKind;
use bytes::Bytes;
use futures_util::TryStreamExt;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::timeout;

/// How long the server may take to list all jobs.
const PATIENCE: Duration = Duration::from_secs(20);

impl DurableJobs {
    /// Returns all durable jobs, the newest first. A job whose record cannot be read is
    /// [`Damaged`](DurableState::Damaged).
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn list(&self) -> Result<Vec<DurableJob>, DurableError> {
        self.runtime.block_on(self.store.list())
    }

    /// Returns a durable job and its counts so far. With a viewer's key the counts are unknown (`None`).
    ///
    /// A job whose tasks all have outcomes is recorded as done from then on.
    ///
    /// # Errors
    /// [`DurableError::Unknown`] if no job has this id.
    pub fn show(&self, id: &str) -> Result<(DurableJob, Option<JobCounts>), DurableError> {
        self.runtime.block_on(async {
            if self.store.reads_results {
                let (job, _, counts) = self.store.look(id).await?;
                return Ok((job.shown(counts), Some(counts)));
            }
            Ok((self.store.seen(id).await?, None))
        })
    }

    /// Cancels a durable job and returns the state that it was in: waiting tasks never run, running tasks are
    /// stopped, and stored outcomes stay.
    ///
    /// Cancelling a job that is cancelled or done has no effect.
    ///
    /// # Errors
    /// [`DurableError::Unknown`] if no job has this id.
    pub fn cancel(&self, id: &str) -> Result<DurableState, DurableError> {
        self.runtime.block_on(self.store.cancel(id))
    }

    /// Removes a durable job and everything that is stored for it. A running job is cancelled first. A damaged job is
    /// removed too.
    ///
    /// # Errors
    /// [`DurableError::Unknown`] if no job has this id.
    pub fn remove(&self, id: &str) -> Result<(), DurableError> {
        self.runtime.block_on(self.store.remove(id))
    }
}

fn unread(problem: Problem, what: &str) -> DurableError {
    server(&problem.of(what, 1, -1))
}

/// The stored results by message: how many outcomes each has, and how many of these are failures.
pub(super) type Stored = HashMap<String, JobCounts>;

impl Store {
    async fn list(&self) -> Result<Vec<DurableJob>, DurableError> {
        let records = timeout(PATIENCE, listing::all(&self.connection, names::JOBS));
        let records = self.connection.watched(names::JOBS, records).await;
        let records = records
            .map_err(|denied| server(&denied))?
            .unwrap_or(Err(Problem::Silent))
            .map_err(|problem| unread(problem, names::JOBS))?;
        // No job has a key that is not a name, and no command could be given one.
        let jobs = records.iter().filter(|(id, _)| names::is_token(id));
        let mut jobs: Vec<DurableJob> = jobs
            .map(|(id, record)| DurableJob::parse(id, record).unwrap_or_else(|damage| damage.job))
            .collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.submitted()));
        Ok(jobs)
    }

    /// Lists the stored results of a job. Their contents come with them and are dropped: who may read single messages
    /// and no more cannot leave them out.
    pub(super) async fn stored(&self, job: &DurableJob) -> Result<Stored, DurableError> {
        let mut stored = Stored::new();
        let subject = names::results_of_job(&job.name());
        let all = direct::all(&self.connection, names::RESULTS, &subject, 0, |message| {
            let number = message.subject.rsplit('.').next().unwrap_or_default();
            let figure = |name: &str| message.headers.get(name)?.as_str().parse().ok();
            let counts = JobCounts {
                done: figure(names::COUNT).unwrap_or(0),
                failed: figure(names::FAILURES).unwrap_or(0),
            };
            stored.insert(number.to_owned(), counts);
        });
        match self.connection.watched(names::RESULTS, all).await {
            Ok(Ok(_)) => Ok(stored),
            Ok(Err(problem)) => Err(unread(problem, names::RESULTS)),
            Err(denied) => Err(server(&denied)),
        }
    }

    /// Returns the record of a job, its revision and its counts.
    pub(super) async fn look(
        &self,
        id: &str,
    ) -> Result<(DurableJob, u64, JobCounts), DurableError> {
        let (mut job, mut revision) = self.record(id).await?;
        if let (DurableState::Done, Some(failed)) = (job.state, job.failed) {
            let done = job.tasks;
            return Ok((job, revision, JobCounts { done, failed }));
        }
        let stored = self.stored(&job).await?;
        let counts = job.counts(&stored);
        if job.state == DurableState::Queued && counts.done >= job.tasks {
            job.state = DurableState::Done;
            job.failed = Some(counts.failed);
            job.is_retrying = false;
            // Whoever sees it first says so; it is as true when somebody else does, or nobody may.
            if let Ok(Some(now)) = self.update(&job, revision).await {
                revision = now;
            }
        }
        Ok((job, revision, counts))
    }

    /// Judges a job by the number of messages with results, without reading them.
    async fn seen(&self, id: &str) -> Result<DurableJob, DurableError> {
        let (mut job, _) = self.record(id).await?;
        if job.state == DurableState::Queued {
            let results = names::results_of_job(&job.name());
            let subjects = self.results.info_with_subjects(results);
            let subjects = self.connection.watched(names::RESULTS, subjects).await;
            let subjects = subjects
                .map_err(|denied| server(&denied))?
                .map_err(|error| server(&error))?;
            let again = job.rounds.iter().map(Round::len);
            let messages = again.fold(job.messages, u64::saturating_add);
            let stored = subjects.try_fold(0, |count, _| std::future::ready(Ok(count + 1)));
            let stored: u64 = stored.await.map_err(|error| server(&error))?;
            if stored >= messages {
                job.state = DurableState::Done;
            } else if stored > 0 {
                job.state = DurableState::Running;
            }
        }
        Ok(job)
    }

    /// Returns the encoded outcomes of a message, if they are stored, which have at most so many bytes.
    pub(super) async fn outcomes(
        &self,
        job: &DurableJob,
        number: &str,
        largest: u64,
    ) -> Result<Option<Bytes>, DurableError> {
        let get = self
            .results
            .direct_get_last_for_subject(names::result(&job.name(), number));
        let got = self.connection.watched(names::RESULTS, get).await;
        let message = match got.map_err(|denied| server(&denied))? {
            Ok(message) => message,
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(server(&error)),
        };
        let (head, body) =
            parse::<OutcomesHead>(&message.payload).map_err(|error| DurableError::Damaged {
                id: job.id.clone(),
                reason: error.to_string(),
            })?;
        Ok(Some(match head.body {
            None => body,
            Some(name) => self.blobs.get(&name, largest).await?,
        }))
    }

    async fn cancel(&self, id: &str) -> Result<DurableState, DurableError> {
        loop {
            let (mut job, revision, counts) = self.look(id).await?;
            let before = job.clone().shown(counts).state;
            if matches!(job.state, DurableState::Done | DurableState::Cancelled) {
                return Ok(before);
            }
            job.state = DurableState::Cancelled;
            job.is_retrying = false;
            // Before what waits is taken out of the queue: whoever adds to it sees that nobody wants it any more.
            if self.update(&job, revision).await?.is_some() {
                self.stop(&job).await?;
                return Ok(before);
            }
        }
    }

    /// Removes waiting messages from the queue and stops what engines are running.
    async fn stop(&self, job: &DurableJob) -> Result<(), DurableError> {
        let name = job.name();
        let tasks = names::tasks_of_job(&name);
        self.purge(&self.tasks, names::TASKS, tasks).await?;
        let everything = encode_cancelled(&[]);
        let client = &self.connection.client;
        let cancel = names::cancelled(&name);
        let told = self.connection.tell(&cancel, &everything).await;
        told.map_err(|error| server(&error))?;
        client.flush().await.map_err(|error| server(&error))
    }

    /// Results that engines store after this belong to no job, and expire with the stream's retention time.
    async fn remove(&self, id: &str) -> Result<(), DurableError> {
        loop {
            let (found, mut revision) = self.found(id).await?;
            let mut job = found.unwrap_or_else(|damage| damage.job);
            let is_damaged = job.state == DurableState::Damaged;
            if !is_damaged && !matches!(job.state, DurableState::Done | DurableState::Cancelled) {
                job.state = DurableState::Cancelled;
                job.is_retrying = false;
                match self.update(&job, revision).await? {
                    Some(now) => revision = now,
                    None => continue,
                }
            }
            // A damaged record may not say which submission it is of, and then nothing else can be found.
            if !job.mark.is_empty() {
                self.stop(&job).await?;
                self.forget(&job).await?;
            }
            let delete = self.jobs.purge_expect_revision(id, Some(revision));
            let deleted = self.connection.watched(names::JOBS, delete).await;
            let deleted = deleted.map_err(|denied| server(&denied))?;
            // Where it is another one by now, somebody else removed this one.
            if deleted.is_ok()
                || self
                    .record(id)
                    .await
                    .is_ok_and(|(now, _)| now.mark != job.mark)
            {
                return Ok(());
            }
            deleted.map_err(|error| server(&error))?;
        }
    }
}
