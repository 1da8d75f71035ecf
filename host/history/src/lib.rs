//! A record of jobs and tasks in a file, so that a result can be fetched and a failed task repeated
//! after the program has ended. Nothing is recorded unless a program opens one.
//!
//! The file is an `SQLite` database, limited in rows and bytes, private to its owner, and shared by
//! any number of processes. It holds the past, not live state: the layers above add records and
//! query them. It knows nothing of engines, views or wasmtime. Reading never writes.
//!
//! `entry` has the records and `query` the conditions; `file` opens; `write`, `read` and `trim` are
//! the SQL; `recorder` and `queue` are the writer's thread; `live` finds out whose process still
//! runs.

#[cfg(test)]
#[path = "../arbitrary.rs"]
mod arbitrary;

mod entry;
mod error;
mod file;
mod live;
mod query;
mod queue;
mod read;
mod recorder;
mod rows;
mod trim;
mod types;
mod values;
mod write;

#[cfg(test)]
mod tests;

pub use entry::{
    AttemptEntry, InputEntry, JobEntry, JobKey, JobKind, JobState, Kept, RecordedInput, TaskEntry,
    TaskState,
};
pub use error::HistoryError;
pub use query::{JobQuery, TaskQuery};

#[doc(hidden)]
pub use entry::{JobEnd, NewJob};
#[doc(hidden)]
pub use recorder::Recorder;

use error::of_database;
use live::Live;
use queue::Queue;
use recorder::Writer;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use rwasm_value::units::ByteSize;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use trim::{Bounds, shrink_fully, trim};

/// Where a history is and how much it may hold.
///
/// # Examples
///
/// ```
/// use rwasm_history::HistorySettings;
/// use rwasm_value::units::ByteSize;
///
/// let mut settings = HistorySettings::new("history.db");
/// assert_eq!(settings.max_rows, 100_000);
/// settings.max_bytes = ByteSize::mib(64);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistorySettings {
    /// The file. It and its directory are created if they do not exist, readable only by their
    /// owner.
    pub path: PathBuf,
    /// The most tasks that are kept, and the most jobs.
    pub max_rows: u64,
    /// The most bytes that all records may take, at least 1 MiB. The file and its log may be a few
    /// MiB larger for a while.
    pub max_bytes: ByteSize,
    /// The largest input and result of a task that is stored.
    pub small_input: ByteSize,
    /// The largest merged result of a job that is stored, at most a quarter of `max_bytes`.
    pub job_result: ByteSize,
}

impl HistorySettings {
    /// A history in the file `path`, with the defaults: 100 000 tasks, 256 MiB, inputs and results
    /// of up to 64 KiB, merged results of up to 16 MiB.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_rows: 100_000,
            max_bytes: ByteSize::mib(256),
            small_input: ByteSize::kib(64),
            job_result: ByteSize::mib(16),
        }
    }

    /// Returns the limits; the smallest ones leave room for the tables and one task.
    fn bounds(&self) -> Bounds {
        Bounds {
            rows: self.max_rows.max(1),
            bytes: self.max_bytes.max(ByteSize::mib(1)).bytes(),
        }
    }

    /// Returns the largest value that is stored at once.
    fn largest(&self) -> ByteSize {
        ByteSize::new(self.bounds().bytes / 4)
    }
}

/// An open history. Clones share it.
#[derive(Clone, Debug)]
pub struct History {
    shared: Arc<Shared>,
}

/// Says that this process is about to end before its jobs do, because of a signal for example.
#[derive(Clone, Debug)]
pub struct Interruption(Arc<AtomicBool>);

impl Interruption {
    /// From now on, jobs that are cancelled are recorded as [`Interrupted`](JobState::Interrupted), as
    /// those of a process that was killed are.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Shared {
    settings: HistorySettings,
    /// The file, by a path that stays valid if the current directory changes.
    path: PathBuf,
    /// The connection that reads, begins and removes jobs.
    connection: Mutex<Connection>,
    queue: Arc<Queue>,
    /// Whether this process is about to end before its jobs do.
    is_interrupted: Arc<AtomicBool>,
    /// Set when the first job begins. Dropped after the thread was joined, so that jobs count as
    /// running until the last of them is written.
    recording: Mutex<Option<ActiveRecorder>>,
    /// After the connections, which are closed by then.
    _claim: file::Claim,
}

/// What a process that records jobs has.
#[derive(Debug)]
struct ActiveRecorder {
    live: Live,
    writer: Option<JoinHandle<()>>,
}

impl History {
    /// Opens the history, and creates it if there is nothing at its path.
    ///
    /// # Errors
    ///
    /// Returns an error if what is at the path is not a sound history of this program and version,
    /// or cannot be written. It is left unchanged.
    pub fn open(settings: HistorySettings) -> Result<Self, HistoryError> {
        let path =
            std::path::absolute(&settings.path).map_err(|error| HistoryError::Unreadable {
                path: settings.path.clone(),
                reason: error.to_string(),
            })?;
        let (connection, claim) = file::open(&path)?;
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                path,
                connection: Mutex::new(connection),
                queue: Arc::default(),
                is_interrupted: Arc::default(),
                recording: Mutex::new(None),
                _claim: claim,
            }),
        })
    }

    /// Returns the settings it was opened with.
    #[must_use]
    pub fn settings(&self) -> &HistorySettings {
        &self.shared.settings
    }

    /// Returns the jobs that match a query, newest first.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
    pub fn jobs(&self, query: &JobQuery) -> Result<Vec<JobEntry>, HistoryError> {
        self.shared.catch_up();
        read::jobs(&self.shared.lock(), &self.shared.path, query)
    }

    /// Returns one job.
    ///
    /// # Errors
    ///
    /// Returns an error if the job never existed or was removed, or if the file cannot be read.
    pub fn job(&self, key: JobKey) -> Result<JobEntry, HistoryError> {
        self.shared.catch_up();
        read::job(&self.shared.lock(), &self.shared.path, key)
    }

    /// Returns the tasks of a job that match a query, in input order. All of them are held in
    /// memory, with their inputs and results; read a long list in pages with [`TaskQuery::first`].
    ///
    /// # Errors
    ///
    /// Fails like [`job`](Self::job).
    pub fn tasks(&self, key: JobKey, query: &TaskQuery) -> Result<Vec<TaskEntry>, HistoryError> {
        self.shared.catch_up();
        let (connection, path) = (self.shared.lock(), &self.shared.path);
        let tasks = read::tasks(&connection, path, key, query)?;
        if tasks.is_empty() {
            read::job(&connection, path, key)?;
        }
        Ok(tasks)
    }

    /// Returns one task of a job.
    ///
    /// # Errors
    ///
    /// Fails like [`job`](Self::job), and if the job does not have this task.
    pub fn task(&self, key: JobKey, index: u64) -> Result<TaskEntry, HistoryError> {
        let query = TaskQuery {
            first: index,
            limit: Some(1),
            ..TaskQuery::default()
        };
        let first = self.tasks(key, &query)?.into_iter().next();
        if let Some(task) = first.filter(|task| task.index == index) {
            return Ok(task);
        }
        let job = self.job(key)?;
        Err(HistoryError::UnknownTask {
            key,
            index,
            tasks: job.tasks,
            dropped: job.tasks_dropped,
        })
    }

    /// Returns the merged result of a job, or [`Kept::Nothing`] if it has none.
    ///
    /// # Errors
    ///
    /// Fails like [`job`](Self::job), and if the job is still running.
    pub fn result(&self, key: JobKey) -> Result<Kept, HistoryError> {
        self.shared.catch_up();
        let (connection, path) = (self.shared.lock(), &self.shared.path);
        if read::job(&connection, path, key)?.state == JobState::Running {
            return Err(HistoryError::StillRunning { key });
        }
        read::result(&connection, path, key)
    }

    /// Removes these jobs and everything that belongs to them.
    ///
    /// # Errors
    ///
    /// Returns an error if one of them does not exist or is still running; then none is removed.
    pub fn remove(&self, keys: &[JobKey]) -> Result<(), HistoryError> {
        let path = &self.shared.path;
        self.shared.change(|transaction| {
            for key in keys {
                if read::job(transaction, path, *key)?.state == JobState::Running {
                    return Err(HistoryError::StillRunning { key: *key });
                }
            }
            for key in keys {
                trim::remove(transaction, *key).map_err(|error| of_database(path, error))?;
            }
            Ok(())
        })?;
        self.shared.give_back();
        Ok(())
    }

    /// Removes all jobs that have ended, and returns how many; those that are running stay.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written; then none is removed.
    pub fn clear(&self) -> Result<u64, HistoryError> {
        let path = &self.shared.path;
        let ended = self.shared.change(|transaction| {
            let mut ended = 0;
            for job in read::jobs(transaction, path, &JobQuery::default())? {
                if job.state != JobState::Running {
                    trim::remove(transaction, job.key).map_err(|error| of_database(path, error))?;
                    ended += 1;
                }
            }
            Ok(ended)
        })?;
        self.shared.give_back();
        Ok(ended)
    }

    /// Returns the handle that says when this process is about to end before its jobs do. It does not
    /// keep the history open.
    #[must_use]
    pub fn interruption(&self) -> Interruption {
        Interruption(Arc::clone(&self.shared.is_interrupted))
    }

    /// Records that a job begins. Its recorder takes the rest.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written, or if the job's description is larger than a
    /// quarter of what the history may hold.
    #[doc(hidden)]
    pub fn begin(&self, job: &NewJob) -> Result<Recorder, HistoryError> {
        let Shared { settings, path, .. } = &*self.shared;
        let texts = write::JobTexts::new(job).map_err(|error| HistoryError::Failed {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let (bytes, limit) = (texts.len(), settings.largest().bytes());
        if bytes > limit {
            return Err(HistoryError::TooLarge { bytes, limit });
        }
        let owner = self.shared.owner()?;
        let key = self.shared.change(|transaction| {
            let insert = || {
                let key = write::job(transaction, &owner, job, &texts)?;
                trim(transaction, path, settings.bounds())?;
                Ok(key)
            };
            insert().map_err(|error| of_database(path, error))
        })?;
        Ok(Recorder::new(Arc::clone(&self.shared), key))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until everything that this process has recorded so far is written, so that reads see
    /// it.
    fn catch_up(&self) {
        let is_recording = self
            .recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some();
        if is_recording {
            recorder::flush(&self.queue);
        }
    }

    /// Does all of `work` or nothing.
    fn change<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        let failed = |error| of_database(&self.path, error);
        let mut connection = self.lock();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let value = work(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(value)
    }

    /// Makes the file as small as its content, and moves the content of the log into the file, so
    /// that nothing of what was removed is left. If the file is in use, this happens later.
    fn give_back(&self) {
        let connection = self.lock();
        let _ = shrink_fully(&connection);
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// Returns the owner that jobs of this process name. The first call starts the writer's thread.
    fn owner(&self) -> Result<String, HistoryError> {
        let mut recording = self
            .recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(recording) = &*recording {
            return Ok(recording.live.owner().to_owned());
        }
        self.settle()?;
        let unwritable = |error: std::io::Error| HistoryError::Unwritable {
            path: self.path.clone(),
            reason: error.to_string(),
        };
        let live = Live::new(&self.path).map_err(unwritable)?;
        let bounds = self.settings.bounds();
        let largest = self.settings.largest();
        let writer = Writer {
            connection: file::reopen(&self.path)?,
            path: self.path.clone(),
            bounds,
            task_value: self.settings.small_input.min(largest),
            job_value: self.settings.job_result.min(largest),
            types: HashMap::new(),
        };
        let queue = Arc::clone(&self.queue);
        let thread = std::thread::Builder::new()
            .name("rwasm-history".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(unwritable)?;
        let owner = live.owner().to_owned();
        *recording = Some(ActiveRecorder {
            live,
            writer: Some(thread),
        });
        Ok(owner)
    }

    /// Marks the jobs that were interrupted, and removes what their processes left.
    fn settle(&self) -> Result<(), HistoryError> {
        self.change(|transaction| {
            let mark = || {
                let dead = read::dead_owners(transaction, &self.path)?;
                let sql = "UPDATE job SET state = 'interrupted' WHERE state = 'running' \
                           AND owner IN (SELECT value FROM json_each(?))";
                transaction.execute(sql, [dead])
            };
            mark().map_err(|error| of_database(&self.path, error))
        })?;
        live::sweep(&self.path);
        Ok(())
    }
}

impl Drop for ActiveRecorder {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was printed; there is no one else to inform.
            let _ = writer.join();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The recorders are gone, or they would hold this; the writer ends when everything is
        // written.
        self.queue.close();
        // It is joined before the other connection is closed: of two that close at the same time,
        // each takes the other for open, and the log stays behind.
        let recording = self.recording.get_mut();
        *recording.unwrap_or_else(PoisonError::into_inner) = None;
    }
}
