//! Recording a job while it runs: a [`Recorder`] for each job, and one thread that writes for all.
//!
//! A write that fails does not fail the job. The recorder stops: it counts what it is given from
//! then on without keeping it, and [`Recorder::error`] returns the reason, once. The other
//! recorders go on.

use super::entry::{JobEnd, JobKey, JobState, TaskEntry};
use super::error::{HistoryError, of_database};
use super::queue::Queue;
use super::trim::{Bounds, shrink, trim};
use super::write::{self, KnownTypes};
use super::{Shared, rows::LONG_TEXT};
use rusqlite::{Connection, TransactionBehavior};
use rwasm_value::units::ByteSize;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

/// Records one job. Clones record the same one. If the last clone is dropped without
/// [`end`](Self::end), the job counts as interrupted.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct Recorder {
    line: Arc<Line>,
}

/// A recorder's end of the queue, with what keeps the history open.
#[derive(Debug)]
struct Line {
    shared: Arc<Shared>,
    job: Arc<Recorded>,
}

/// A job that is being recorded, shared by its recorder and the writer.
#[derive(Debug)]
pub(super) struct Recorded {
    key: JobKey,
    is_off: AtomicBool,
    has_ended: AtomicBool,
    /// The number of tasks that were not written.
    lost: AtomicU64,
    /// Why it stopped, until that is returned.
    error: Mutex<Option<HistoryError>>,
}

/// A message to the writer.
#[derive(Debug)]
pub(super) enum Message {
    /// These tasks of the job have ended.
    Tasks(Arc<Recorded>, Vec<TaskEntry>),
    /// The job has ended.
    End(Arc<Recorded>, Box<JobEnd>),
    /// No one records the job any more.
    Abandoned(Arc<Recorded>),
    /// Someone waits until everything before this is written.
    Flush(mpsc::Sender<()>),
}

impl Message {
    fn job(&self) -> Option<&Arc<Recorded>> {
        match self {
            Self::Tasks(job, _) | Self::End(job, _) | Self::Abandoned(job) => Some(job),
            Self::Flush(_) => None,
        }
    }
}

impl Recorder {
    pub(super) fn new(shared: Arc<Shared>, key: JobKey) -> Self {
        let job = Arc::new(Recorded {
            key,
            is_off: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            error: Mutex::new(None),
        });
        Self {
            line: Arc::new(Line { shared, job }),
        }
    }

    /// Returns the key of the job in the history.
    #[cfg(test)]
    pub(crate) fn key(&self) -> JobKey {
        self.line.job.key
    }

    /// Records tasks that have ended. Usually returns at once. If 1 024 batches or 16 MiB are
    /// waiting to be written, it waits up to 5 s for room, and stops the recorder if there is none.
    #[doc(hidden)]
    pub fn tasks(&self, entries: Vec<TaskEntry>) {
        let Line { shared, job } = &*self.line;
        if entries.is_empty() {
            return;
        }
        let count = entries.len() as u64;
        if job.is_off.load(Ordering::Relaxed) {
            job.lost.fetch_add(count, Ordering::Relaxed);
            return;
        }
        let bytes = entries.iter().map(TaskEntry::weight).sum();
        let message = Message::Tasks(Arc::clone(job), entries);
        if shared.queue.send(message, bytes).is_err() {
            job.lost.fetch_add(count, Ordering::Relaxed);
            job.turn_off(HistoryError::Behind {
                path: shared.path.clone(),
            });
        }
    }

    /// Records the end of the job, after all its tasks. Anything recorded later is ignored.
    #[doc(hidden)]
    pub fn end(&self, mut end: JobEnd) {
        let Line { shared, job } = &*self.line;
        if end.state == JobState::Cancelled && shared.is_interrupted.load(Ordering::Relaxed) {
            // Nobody cancelled it, whatever it says.
            (end.state, end.message) = (JobState::Interrupted, None);
        }
        if !job.has_ended.swap(true, Ordering::Relaxed) {
            shared
                .queue
                .push(Message::End(Arc::clone(job), Box::new(end)));
        }
    }

    /// Returns why the recorder stopped, if it did and this was not asked before.
    #[doc(hidden)]
    pub fn error(&self) -> Option<HistoryError> {
        self.line.job.error().take()
    }

    /// Waits until everything recorded so far, of any job of this history, is written.
    #[doc(hidden)]
    pub fn flush(&self) {
        flush(&self.line.shared.queue);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.job.has_ended.load(Ordering::Relaxed) {
            self.shared
                .queue
                .push(Message::Abandoned(Arc::clone(&self.job)));
        }
    }
}

impl Recorded {
    fn turn_off(&self, error: HistoryError) {
        if !self.is_off.swap(true, Ordering::Relaxed) {
            *self.error() = Some(error);
        }
    }

    fn error(&self) -> std::sync::MutexGuard<'_, Option<HistoryError>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until everything in the queue is written.
pub(super) fn flush(queue: &Queue) {
    let (done, wait) = mpsc::channel();
    queue.push(Message::Flush(done));
    // An error means that the writer has ended, and with it the queue.
    let _ = wait.recv();
}

/// Releases everyone who waits for a writer that ends, even by a panic.
struct Leave<'a>(&'a Queue);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// The state of the writer's thread.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) bounds: Bounds,
    /// The largest value of a task, and of a job, that is kept.
    pub(super) task_value: ByteSize,
    pub(super) job_value: ByteSize,
    /// Of jobs that have not ended: a few for each, since a function's types are the same for all of its tasks.
    pub(super) types: HashMap<JobKey, KnownTypes>,
}

/// About how many bytes are written in one transaction, for which other processes have to wait.
const TRANSACTION_BYTES: usize = 2 << 20;

impl Writer {
    /// Writes until the queue is closed.
    pub(super) fn run(mut self, queue: &Queue) {
        let _leave = Leave(queue);
        // A small history is trimmed in small steps, or it would outgrow its limit between them.
        let part = usize::try_from(self.bounds.bytes / 16).unwrap_or(usize::MAX);
        let bytes = TRANSACTION_BYTES.min(part).max(LONG_TEXT);
        while let Some(messages) = queue.take(bytes) {
            self.write(&messages);
            for message in messages {
                if let Message::Flush(done) = message {
                    let _ = done.send(());
                }
            }
        }
    }

    fn write(&mut self, messages: &[Message]) {
        if messages.iter().all(|message| message.job().is_none()) {
            return;
        }
        if let Err(error) = self.transaction(messages) {
            let error = of_database(&self.path, error);
            self.give_up(messages, &error);
        }
        for message in messages {
            if let Message::End(job, _) | Message::Abandoned(job) = message {
                self.types.remove(&job.key);
            }
        }
    }

    /// Stops the recorders of a transaction that failed. Their ends are tried once more, each by
    /// itself: a small change may succeed where a large one does not.
    fn give_up(&mut self, messages: &[Message], error: &HistoryError) {
        let mut lost: BTreeMap<JobKey, u64> = BTreeMap::new();
        for message in messages {
            let Some(job) = message.job() else { continue };
            // The rows of its types were rolled back with the rest.
            self.types.remove(&job.key);
            if let Message::Tasks(job, entries) = message {
                *lost.entry(job.key).or_default() += entries.len() as u64;
                job.lost.fetch_add(entries.len() as u64, Ordering::Relaxed);
            }
            job.turn_off(error.clone());
        }
        if messages.len() == 1 {
            return;
        }
        for message in messages {
            if matches!(message, Message::End(..) | Message::Abandoned(_)) {
                // It has failed already, and its recorder knows.
                let _ = self.transaction(std::slice::from_ref(message));
            }
        }
    }

    fn transaction(&mut self, messages: &[Message]) -> rusqlite::Result<()> {
        let Self {
            connection,
            path,
            bounds,
            task_value,
            job_value,
            types,
        } = self;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for message in messages {
            match message {
                Message::Tasks(job, entries) if job.is_off.load(Ordering::Relaxed) => {
                    job.lost.fetch_add(entries.len() as u64, Ordering::Relaxed);
                }
                Message::Tasks(job, entries) => {
                    let known = types.entry(job.key).or_default();
                    write::tasks(&transaction, job.key, entries, known, *task_value)?;
                }
                Message::End(job, end) => {
                    let lost = job.lost.load(Ordering::Relaxed);
                    write::end(&transaction, job.key, end, lost, *job_value)?;
                }
                Message::Abandoned(job) => {
                    let lost = job.lost.load(Ordering::Relaxed);
                    write::interrupt(&transaction, job.key, lost)?;
                }
                Message::Flush(_) => {}
            }
        }
        trim(&transaction, path, *bounds)?;
        transaction.commit()?;
        // The records are safe; a file that stays large for now is no reason to stop.
        let _ = shrink(connection, bounds.bytes);
        Ok(())
    }
}
