//! Giving the messages of a job to engines, for as long as that is wanted.
//!
//! Whoever gives them looks at the job's record from time to time, and when it is through says so there:
//!
//! | the record, meanwhile | what becomes of it |
//! |---|---|
//! | as it was | it goes on |
//! | says that all was given | somebody else was through first, with the same messages: that is as well |
//! | cancelled | it stops, and takes back what it gave |
//! | gone, or of another submission | the same, and what was stored of it goes too |
//!
//! Each of those who change the record does so before it takes messages out of the queue, and so none is overlooked: what was
//! given before that, the other takes out; what is given after that, is taken back here. Where this program dies before it
//! looks again, engines run up to as many messages as are given between two looks, and nobody asks for what comes of them.

use super::manifest::{DurableJob, DurableState};
use super::{DurableError, Store, server};
use crate::nats::names::{self, Class};
use async_nats::HeaderMap;
use async_nats::jetstream::kv::UpdateErrorKind;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rwasm_value::value::Writer;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::time::Duration;

/// Messages that are published and not acknowledged, at most; and after how many the record is looked at.
const UNACKED: usize = 200;

impl Store {
    /// Gives every message of a file to engines that has no result yet, and notes that they have them.
    ///
    /// # Errors
    /// When the server does not take them: that can be taken up again. When somebody cancelled or removed the job: what was
    /// given is taken back.
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

    /// Whether there is still something to note; `last` becomes the place of the last message in the queue.
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

    /// Notes that engines have all of it.
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

    /// The revision of the record as it is now, where its messages are still to be given; none where somebody else has.
    ///
    /// # Errors
    /// [`DurableError::Stopped`] where nobody wants it any more.
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

    /// Takes back what was given of a job that nobody wants any more, as far as the server lets us.
    async fn take_back(&self, job: &DurableJob, last: u64) {
        if last > 0 {
            let purge = async {
                // Not what somebody has given since who took the job up again.
                let purge = self.tasks.purge().sequence(last + 1);
                purge.filter(names::tasks_of_job(&job.name())).await
            };
            if let Ok(Err(error)) = self.connection.watched(names::TASKS, purge).await {
                tracing::warn!(job = job.id, %error, "tasks that are not wanted stay in the queue");
            }
        }
        let is_there = match self.record(&job.id).await {
            Ok((now, _)) => now.mark == job.mark,
            Err(DurableError::Unknown { .. }) => false,
            Err(_) => true,
        };
        if !is_there && let Err(error) = self.forget(job).await {
            tracing::warn!(job = job.id, %error, "what was stored of it stays for as long as it is kept");
        }
    }

    /// Removes what is stored of a job, but not the record of it.
    pub(super) async fn forget(&self, job: &DurableJob) -> Result<(), DurableError> {
        let name = job.name();
        let purge = async {
            let purge = self.results.purge();
            purge.filter(names::results_of_job(&name)).await
        };
        let purged = self.connection.watched(names::RESULTS, purge).await;
        purged
            .map_err(|denied| server(&denied))?
            .map_err(|error| server(&error))?;
        for kind in ["i", "o"] {
            self.blobs.remove_all(&format!("{kind}/{name}/")).await?;
        }
        self.blobs.remove(&job.queue_object()).await?;
        Ok(self.blobs.remove(&job.plan_object()).await?)
    }

    /// Changes the record, where it is as it was at that revision; else there is no revision.
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

    /// Gives a message to engines; comes back with its place in the queue when it is stored.
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
            let publish = async {
                self.connection
                    .js
                    .publish_with_headers(subject.clone(), headers.clone(), message.clone())
                    .await?
                    .await
            };
            let error = match self.connection.watched("rwc.t.", publish).await {
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

    /// Every message of a job, as it was submitted.
    pub(super) async fn messages(&self, job: &DurableJob) -> Result<File, DurableError> {
        let mut file = tempfile::tempfile()?;
        self.blobs.get_to(&job.queue_object(), &mut file).await?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

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

/// A file that was written, to be read from its beginning.
pub(super) fn rewound(file: BufWriter<File>) -> io::Result<File> {
    let mut file = file
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
