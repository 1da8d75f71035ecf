//! The errors of the history.
//!
//! They do not carry errors of the database library, only its messages.

use super::entry::JobKey;
use rwasm_value::plain;
use std::path::{Path, PathBuf};

/// The error of opening, reading or writing the history. The file is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The path is not a regular file.
    #[error(
        "history `{}`: expected a regular file, found {found}",
        plain::path(path)
    )]
    NotAFile {
        /// The history's file.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// The file is not an `SQLite` database.
    #[error(
        "history `{}` is not an SQLite database: it begins with {found}",
        plain::path(path)
    )]
    NotSqlite {
        /// The history's file.
        path: PathBuf,
        /// Its first bytes, printable.
        found: String,
    },
    /// The file is an `SQLite` database of another program.
    #[error(
        "history `{}` is another program's database: {found}",
        plain::path(path)
    )]
    Foreign {
        /// The history's file.
        path: PathBuf,
        /// What shows it.
        found: String,
    },
    /// The file was written by a newer version of this program.
    #[error(
        "history `{}` has format version {found}, newer than version {wanted}, the newest supported",
        plain::path(path)
    )]
    Newer {
        /// The history's file.
        path: PathBuf,
        /// The version of the file.
        found: u32,
        /// The newest supported version.
        wanted: u32,
    },
    /// The file is half written or otherwise damaged.
    #[error("history `{}` is damaged: {reason}", plain::path(path))]
    Damaged {
        /// The history's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file or its directory cannot be created or written.
    #[error("history `{}` cannot be written: {reason}", plain::path(path))]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        reason: String,
    },
    /// The file or its directory cannot be read.
    #[error("history `{}` cannot be read: {reason}", plain::path(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        reason: String,
    },
    /// There is no space left for the file.
    #[error("history `{}` cannot grow: the disk is full", plain::path(path))]
    Full {
        /// The history's file.
        path: PathBuf,
    },
    /// Another process keeps writing to the file.
    #[error(
        "history `{}` is busy: another process has been writing for too long",
        plain::path(path)
    )]
    Busy {
        /// The history's file.
        path: PathBuf,
    },
    /// Records arrive faster than the file can be written.
    #[error(
        "history `{}` cannot keep up with the records to write",
        plain::path(path)
    )]
    Behind {
        /// The history's file.
        path: PathBuf,
    },
    /// The description of a job is too large to be kept.
    #[error(
        "the job's description takes {bytes} bytes, more than the {limit} that the history keeps"
    )]
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The largest size that is kept, in bytes.
        limit: u64,
    },
    /// The database failed for another reason.
    #[error("history `{}` failed: {reason}", plain::path(path))]
    Failed {
        /// The history's file.
        path: PathBuf,
        /// The message of the database library.
        reason: String,
    },
    /// No job with this key was ever recorded.
    #[error("job {key} is not in the history: no such job was ever recorded")]
    UnknownJob {
        /// The key that was asked for.
        key: JobKey,
    },
    /// The job was removed by a user or to stay within the history's limits.
    #[error("job {key} was removed from the history")]
    RemovedJob {
        /// The key that was asked for.
        key: JobKey,
    },
    /// The job is recorded, but this task of it is not.
    #[error("{}", unknown_task(*key, *index, *tasks, *dropped))]
    UnknownTask {
        /// The job.
        key: JobKey,
        /// The index of the task in input order.
        index: u64,
        /// The number of the job's tasks.
        tasks: u64,
        /// The number of the job's tasks that are no longer kept.
        dropped: u64,
    },
    /// The job is still running.
    #[error("job {key} is still running")]
    StillRunning {
        /// The job.
        key: JobKey,
    },
}

fn unknown_task(key: JobKey, index: u64, tasks: u64, dropped: u64) -> String {
    if index < tasks && dropped > 0 {
        return format!(
            "task {index} of job {key} is not in the history: {dropped} of the job's tasks were dropped to stay within \
             its limits"
        );
    }
    if index < tasks {
        return format!("task {index} of job {key} is not in the history: it did not end");
    }
    let has = match tasks {
        0 => "no tasks".to_owned(),
        1 => "1 task, numbered 0".to_owned(),
        _ => format!("{tasks} tasks, numbered from 0"),
    };
    format!("job {key} has no task {index}: it has {has}")
}

/// What is wrong with a stored row, without the name of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage(pub(super) String);

impl Damage {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    pub(super) fn in_file(self, path: &Path) -> HistoryError {
        HistoryError::Damaged {
            path: path.to_owned(),
            reason: self.0,
        }
    }
}

/// Converts an error of the database library to a [`HistoryError`].
#[expect(
    clippy::needless_pass_by_value,
    reason = "used as the function of `map_err`"
)]
pub(super) fn of_database(path: &Path, error: rusqlite::Error) -> HistoryError {
    use rusqlite::ErrorCode as Code;
    let path = path.to_owned();
    let reason = error.to_string();
    if is_bad_row(&error) {
        return HistoryError::Damaged { path, reason };
    }
    match error.sqlite_error_code() {
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => HistoryError::Damaged { path, reason },
        Some(Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied) => {
            HistoryError::Unwritable { path, reason }
        }
        Some(Code::DiskFull) => HistoryError::Full { path },
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => HistoryError::Busy { path },
        _ => HistoryError::Failed { path, reason },
    }
}

fn is_bad_row(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..)
    )
}
