//! Sends the messages of a job to engines, for as long as the job is wanted.
//!
//! The publisher rereads the job's record from time to time, and records when it has sent everything:
//!
//! | the record meanwhile | what the publisher does |
//! |---|---|
//! | is unchanged | continues |
//! | says that everything was sent | stops: another publisher sent the same messages first |
//! | is cancelled | stops, and withdraws what it sent |
//! | is gone, or of another submission | the same, and removes what is stored |
//!
//! Whoever changes the record does so before removing messages from the queue, so that none is overlooked: they
//! remove what was sent before the change, the publisher withdraws what it sent after it. If this program dies before
//! it rereads the record, engines run at most as many unwanted messages as are sent between two looks.

use super::manifest::{DurableJob, DurableState};
use super::{DurableError, Store, server};
use crate::nats::blob::Length;
use crate::nats::names::{self, Class};
use async_nats::HeaderMap;
use async_nats::jetstream::kv::UpdateErrorKind;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rwasm_value::value::Writer;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::time::Duration;

/// Messages published and not yet acknowledged, at most; also the number after which the record is reread.
const UNACKED: usize = 200;

impl Store {
    /// Sends every message of a file that has no result yet to engines, and records that they have them.
    ///
    /// # Errors
    /// If the server does not accept the messages, which can be resumed; or if someone cancelled or removed the job,
    /// in which case what was sent is withdrawn.
    pub(super) async fn give(
        &self,
        job: &DurableJob,
        revision: u64,
        file: File,
    ) -> Result<(), DurableError> {
        let mut last = 0;
        let given = match self.give_all(job, file, &mut last).await {
            Ok(true) => self.all_given(job, revision).await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if matches!(given, Err(DurableError::Stopped { .. })) {
            self.take_back(job, last).await;
        }
        given
    }

    /// Returns whether there is still something to record; `last` becomes the position of the last message in the
    /// queue.
    async fn give_all(
        &self,
        job: &DurableJob,
        file: File,
        last: &mut u64,
    ) -> Result<bool, DurableError> {
        let stored = self.stored(job).await?;
        let mut messages = Messages::new(file);
        let mut acks = FuturesUnordered::new();
        let mut until_look = UNACKED;
        while let Some((number, message)) = messages.next()? {
            if stored.contains_key(&number) {
                continue;
            }
            acks.push(self.publish(job, number, message));
            while acks.len() >= UNACKED {
                if let Some(acked) = acks.next().await {
                    *last = (*last).max(acked?);
                }
            }
            until_look -= 1;
            if until_look == 0 {
                until_look = UNACKED;
                match self.still_wanted(job).await {
                    Ok(Some(_)) => {}
                    other => {
                        // What is under way is taken back too, once it is known where it is.
                        while let Some(acked) = acks.next().await {
                            *last = (*last).max(acked.unwrap_or(0));
                        }
                        return other.map(|_| false);
                    }
                }
            }
        }
        while let Some(acked) = acks.next().await {
            *last = (*last).max(acked?);
        }
        Ok(true)
    }

    /// Records that engines have everything.
    async fn all_given(&self, job: &DurableJob, revision: u64) -> Result<(), DurableError> {
        let mut done = job.clone();
        done.state = DurableState::Queued;
        done.is_retrying = false;
        let mut revision = revision;
        while self.update(&done, revision).await?.is_none() {
            match self.still_wanted(job).await? {
                Some(now) => revision = now,
                None => break,
            }
        }
        Ok(())
    }

    /// Returns the current revision of the record if its messages are still to be sent, or `None` if another
    /// publisher has sent them.
    ///
    /// # Errors
    /// [`DurableError::Stopped`] if nobody wants the job any more.
    pub(super) async fn still_wanted(&self, job: &DurableJob) -> Result<Option<u64>, DurableError> {
        let stopped = |how: &'static str| {
            Err(DurableError::Stopped {
                id: job.id.clone(),
                how,
            })
        };
        let (now, revision) = match self.record(&job.id).await {
            Err(DurableError::Unknown { .. }) => return stopped("removed"),
            other => other?,
        };
        if now.mark != job.mark {
            return stopped("submitted again");
        }
        if now.state == DurableState::Cancelled {
            return stopped("cancelled");
        }
        if now.attempt() != job.attempt() {
            return stopped("cancelled and retried");
        }
        Ok(now.is_being_given().then_some(revision))
    }

    /// Withdraws what was sent for a job that nobody wants any more, as far as the server allows.
    async fn take_back(&self, job: &DurableJob, last: u64) {
        if last > 0 {
            let purge = async {
                // Not what somebody has given since who took the job up again.
                let purge = self.tasks.purge().sequence(last + 1);
                purge.filter(names::tasks_of_job(&job.name())).await
            };
            if let Ok(Err(error)) = self.connection.watched(names::TASKS, purge).await {
                tracing::warn!(job = job.id, %error, "cannot remove unwanted tasks from the queue");
            }
        }
        let is_there = match self.record(&job.id).await {
            Ok((now, _)) => now.mark == job.mark,
            Err(DurableError::Unknown { .. }) => false,
            Err(_) => true,
        };
        if !is_there && let Err(error) = self.forget(job).await {
            tracing::warn!(job = job.id, %error, "cannot remove what was stored for the job; it expires with its retention time");
        }
    }

    /// Removes what is stored of a job, except its record.
    pub(super) async fn forget(&self, job: &DurableJob) -> Result<(), DurableError> {
        let name = job.name();
        let results = names::results_of_job(&name);
        self.purge(&self.results, names::RESULTS, results).await?;
        for kind in ["i", "o"] {
            self.blobs.remove_all(&format!("{kind}/{name}/")).await?;
        }
        self.blobs.remove(&job.queue_object()).await?;
        Ok(self.blobs.remove(&job.plan_object()).await?)
    }

    /// Removes all messages of a stream whose subject matches.
    pub(super) async fn purge(
        &self,
        stream: &Stream,
        name: &'static str,
        subjects: String,
    ) -> Result<(), DurableError> {
        let purge = async { stream.purge().filter(subjects).await };
        let purged = self.connection.watched(name, purge).await;
        purged
            .map_err(|denied| server(&denied))?
            .map_err(|error| server(&error))?;
        Ok(())
    }

    /// Changes the record if it still has this revision; otherwise returns `None`.
    pub(super) async fn update(
        &self,
        job: &DurableJob,
        revision: u64,
    ) -> Result<Option<u64>, DurableError> {
        let update = self.jobs.update(&job.id, job.to_bytes(), revision);
        match self.connection.watched(names::JOBS, update).await {
            Ok(Ok(revision)) => Ok(Some(revision)),
            Ok(Err(error)) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
            Ok(Err(error)) => Err(server(&error)),
            Err(denied) => Err(server(&denied)),
        }
    }

    /// Sends a message to engines and returns its position in the queue once it is stored.
    async fn publish(
        &self,
        job: &DurableJob,
        number: String,
        message: Bytes,
    ) -> Result<u64, DurableError> {
        const TRIES: u32 = 20;
        let name = job.name();
        let subject = names::task(&job.lane, Class::of(job.priority), &name, &number);
        let mut headers = HeaderMap::new();
        // No other submission has it, and a submission gives a message of a number once, however often it is taken up: a
        // duplicate is this very message, which the server has or engines are through with.
        headers.insert("Nats-Msg-Id", format!("{name}/{number}"));
        let mut pause = Duration::from_millis(100);
        let mut tries = 0;
        loop {
            let publish = self
                .connection
                .publish("rwc.t.", &subject, &headers, &message);
            let error = match publish.await {
                Ok(Ok(ack)) => return Ok(ack.sequence),
                Ok(Err(error)) => server(&error),
                Err(denied) => return Err(server(&denied)),
            };
            tries += 1;
            if tries == TRIES {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Returns a file with every message of a job, as submitted.
    pub(super) async fn messages(&self, job: &DurableJob) -> Result<File, DurableError> {
        let mut file = tempfile::tempfile()?;
        let queue = job.queue_object();
        let fits = Length::AtMost(LARGEST_QUEUE);
        self.blobs.get_to(&queue, fits, &mut file).await?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

/// Upper bound for the messages of a job, in bytes, which go to a temporary file of whoever handles the job.
const LARGEST_QUEUE: u64 = 64 << 30;

/// The messages of a job, read one after the other.
pub(super) struct Messages(BufReader<File>);

impl Messages {
    pub(super) fn new(file: File) -> Self {
        Self(BufReader::new(file))
    }

    pub(super) fn next(&mut self) -> std::io::Result<Option<(String, Bytes)>> {
        let Some(number) = self.bytes(1024)? else {
            return Ok(None);
        };
        let number = String::from_utf8(number).map_err(std::io::Error::other)?;
        let message = self.bytes(1 << 30)?;
        let message = message.ok_or_else(|| std::io::Error::other("a message is truncated"))?;
        Ok(Some((number, message.into())))
    }

    fn bytes(&mut self, most: u64) -> std::io::Result<Option<Vec<u8>>> {
        let mut length = 0_u64;
        let mut shift = 0;
        loop {
            let mut byte = [0];
            if self.0.read(&mut byte)? == 0 {
                return Ok(None);
            }
            length |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                break;
            }
            shift += 7;
            if shift > 35 {
                return Err(std::io::Error::other("a length is not a number"));
            }
        }
        if length > most {
            return Err(std::io::Error::other("a message is too long"));
        }
        let mut bytes = Vec::new();
        (&mut self.0).take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(std::io::Error::other("a message is truncated"));
        }
        Ok(Some(bytes))
    }
}

/// Writes a message as [`Messages`] reads it.
pub(super) fn put_message(into: &mut impl Write, number: &str, message: &[u8]) -> io::Result<()> {
    let mut framed = Writer::default();
    framed.put_bytes(number.as_bytes());
    framed.put_bytes(message);
    into.write_all(&framed.into_vec())
}

/// Flushes a file and rewinds it for reading.
pub(super) fn rewound(file: BufWriter<File>) -> io::Result<File> {
    let mut file = file
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
