//! The host's functions for tasks.
//!
//! In a unit test there is no host: log lines go to stderr, the only engine has the id 0, and
//! pushed values are those that were passed to [`testing`](crate::testing), which also shows what a
//! task reported.

use crate::json::Mismatch;
use crate::lift::Lift;
use std::fmt;

#[cfg(target_family = "wasm")]
pub(crate) mod interface;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod native;
#[cfg(target_family = "wasm")]
mod wasm;

#[cfg(not(target_family = "wasm"))]
use native as platform;
#[cfg(target_family = "wasm")]
use wasm as platform;

#[cfg(all(feature = "panics", target_family = "wasm"))]
pub(crate) use wasm::panicked;

/// The severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every step, to find a bug.
    Trace,
    /// Information that helps to find a bug.
    Debug,
    /// Information for users.
    Info,
    /// Something that may be wrong.
    Warn,
    /// Something that is wrong.
    Error,
}

/// Adds a line to the task's log.
pub fn log(level: Level, message: impl AsRef<str>) {
    platform::log(level, message.as_ref());
}

/// Logs a line at [`Level::Trace`].
pub fn trace(message: impl AsRef<str>) {
    log(Level::Trace, message);
}

/// Logs a line at [`Level::Debug`].
pub fn debug(message: impl AsRef<str>) {
    log(Level::Debug, message);
}

/// Logs a line at [`Level::Info`].
pub fn info(message: impl AsRef<str>) {
    log(Level::Info, message);
}

/// Logs a line at [`Level::Warn`].
pub fn warn(message: impl AsRef<str>) {
    log(Level::Warn, message);
}

/// Logs a line at [`Level::Error`].
pub fn error(message: impl AsRef<str>) {
    log(Level::Error, message);
}

/// Reports progress: `done` of `total` steps, or `None` if the total is not known.
pub fn progress(done: u64, total: impl Into<Option<u64>>) {
    platform::progress(done, total.into());
}

/// Publishes an intermediate value for observers; the last one of each name is kept. By convention,
/// text and bytes are published verbatim, anything else as JSON.
pub fn publish(name: impl AsRef<str>, value: impl AsRef<[u8]>) {
    platform::publish(name.as_ref(), value.as_ref());
}

/// Returns the id of the engine that runs the task.
#[must_use]
pub fn engine_id() -> u32 {
    platform::engine_id()
}

/// Returns the number of engines that the cluster had when the task started.
#[must_use]
pub fn engine_count() -> u32 {
    platform::engine_count()
}

/// Returns the value that was pushed to this engine under that name, if there is one.
///
/// As a `String` or a `Vec<u8>`, a text or bytes are returned verbatim, and any other value as its
/// JSON. As any other type, the value is parsed from JSON.
///
/// # Errors
///
/// Returns an error if the value does not fit the type.
///
/// # Examples
///
/// ```
/// use rwasm_task::{host, testing};
///
/// testing::push("weights", "[[\"a\", 0.5], [\"b\", 2]]");
/// let weights: Vec<(String, f64)> = host::pushed("weights")?.unwrap_or_default();
/// assert_eq!(weights[0], ("a".to_owned(), 0.5));
/// assert_eq!(host::pushed::<u64>("nothing")?, None);
/// # Ok::<(), host::PushedError>(())
/// ```
pub fn pushed<T: Lift>(name: impl AsRef<str>) -> Result<Option<T>, PushedError> {
    let name = name.as_ref();
    let Some(bytes) = platform::pushed(name) else {
        return Ok(None);
    };
    match T::read_bytes(bytes) {
        Ok(value) => Ok(Some(value)),
        Err(mismatch) => Err(PushedError {
            name: name.to_owned(),
            mismatch,
        }),
    }
}

/// The error for a pushed value that does not have the expected type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedError {
    name: String,
    mismatch: Mismatch,
}

impl fmt::Display for PushedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pushed value `{}`: {}", self.name, self.mismatch)
    }
}

impl std::error::Error for PushedError {}
