//! Runs the tasks of a job again that failed or have no outcome.
//!
//! The record first says which tasks these are and that they are being sent, and at the end that engines have them.
//! If this is interrupted, the next retry resumes it under the same numbers.

use super::manage::Stored;
use super::manifest::{DurableJob, DurableState};
use super::publish::{Messages, put_message, rewound};
use super::same::{LARGEST_PLAN, indexed};
use super::{DurableError, DurableJobs, Store};
use crate::nats::blob::LARGEST_INLINE;
use crate::nats::index::{Index, MOST_ROUNDS, Round};
use crate::nats::wire::{
    LARGEST_OUTCOMES, TasksHead, decode_failed, decode_tasks, encode_tasks, frame, largest_tasks,
    parse,
};
use std::fs::File;
use std::io::BufWriter;

impl DurableJobs {
    /// Runs all tasks again that failed, or that have no outcome because the job was cancelled, and returns their
    /// number.
    ///
    /// Resumes a retry that was interrupted.
    ///
    /// # Errors
    /// If no job has this id, the job has not ended, or someone cancels or removes it meanwhile.
    pub fn retry(&self, id: &str) -> Result<u64, DurableError> {
        self.runtime.block_on(self.store.retry(id))
    }
}

impl Store {
    async fn retry(&self, id: &str) -> Result<u64, DurableError> {
        loop {
            let (mut job, mut revision, counts) = self.look(id).await?;
            if !job.is_stored || job.state == DurableState::Submitting {
                return Err(DurableError::Incomplete { id: id.to_owned() });
            }
            if job.is_retrying {
                self.modules.renew(&job.hash, LARGEST_PLAN).await?;
            } else {
                if job.state == DurableState::Queued {
                    return Err(DurableError::Unfinished {
                        id: id.to_owned(),
                        done: counts.done,
                        tasks: job.tasks,
                    });
                }
                let stored = self.stored(&job).await?;
                let failed = self.failed(&job, &stored).await?;
                if failed.is_empty() {
                    return Ok(0);
                }
                if job.rounds.len() >= MOST_ROUNDS {
                    return Err(DurableError::Unsupported {
                        what: format!("more than {MOST_ROUNDS} retries: submit it again"),
                    });
                }
                self.modules.renew(&job.hash, LARGEST_PLAN).await?;
                let attempt = job.attempt() + 1;
                let round = Round::of(attempt, failed);
                job.rounds.push(round);
                job.state = DurableState::Queued;
                job.failed = None;
                job.is_retrying = true;
                match self.update(&job, revision).await? {
                    Some(now) => revision = now,
                    // Somebody else did something with it.
                    None => continue,
                }
            }
            let Some(round) = job.rounds.last() else {
                return Ok(0);
            };
            let messages = self.again(&job, round).await?;
            self.give(&job, revision, messages).await?;
            return Ok(round.len());
        }
    }

    async fn index(&self, job: &DurableJob) -> Result<Index, DurableError> {
        let (_, sources) = self.plan(job).await?;
        Ok(indexed(job, &sources)?.0)
    }

    /// Returns the tasks whose latest attempt failed or has no outcome.
    async fn failed(&self, job: &DurableJob, stored: &Stored) -> Result<Vec<u64>, DurableError> {
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
                    (None, _) => failed.push(task),
                    (Some(_), Some(failures)) if failures.contains(&place) => failed.push(task),
                    _ => {}
                }
                task += 1;
            }
        }
        Ok(failed)
    }

    /// Returns the positions of the failures among the outcomes of a message.
    async fn failures(&self, job: &DurableJob, number: &str) -> Result<Vec<u64>, DurableError> {
        let body = self
            .outcomes(job, number, LARGEST_OUTCOMES)
            .await?
            .unwrap_or_default();
        decode_failed(&body).map_err(|error| DurableError::Damaged {
            id: job.id.clone(),
            reason: error.to_string(),
        })
    }

    /// Builds a message for each task of the round from what was stored at submission.
    async fn again(&self, job: &DurableJob, round: &Round) -> Result<File, DurableError> {
        let damaged = |reason: String| DurableError::Damaged {
            id: job.id.clone(),
            reason,
        };
        let mut stored = Messages::new(self.messages(job).await?);
        let mut messages = BufWriter::new(tempfile::tempfile()?);
        while let Some((_, message)) = stored.next()? {
            let (head, body) =
                parse::<TasksHead>(&message).map_err(|error| damaged(error.to_string()))?;
            let body = match &head.body {
                None => body,
                Some(name) => self.blobs.get(name, largest_tasks(&head.limits)).await?,
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
                let message = if body.len() <= LARGEST_INLINE {
                    frame(&head, &body)
                } else {
                    let name = format!("i/{}/{number}", job.name());
                    // Where this is taken up, engines may be reading it.
                    if !self.blobs.has(&name).await? {
                        self.blobs.put_bytes(&name, &body).await?;
                    }
                    head.body = Some(name);
                    frame(&head, &[])
                };
                put_message(&mut messages, &number, &message)?;
            }
        }
        Ok(rewound(messages)?)
    }
}
