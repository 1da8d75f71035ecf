//! What a task may ask of the host that runs it.
//!
//! In a unit test there is no host: log lines go to stderr, the engine is the first of one, pushed values are those that
//! [`testing`](crate::testing) has been given, and what a task tells can be looked at there.

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

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What is of use to who looks for a mistake, step by step.
    Trace,
    /// What is of use to who looks for a mistake.
    Debug,
    /// What is good to know.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

/// Keeps a line for whoever reads the task's log.
pub fn log(level: Level, message: impl AsRef<str>) {
    platform::log(level, message.as_ref());
}

/// A line at [`Level::Trace`].
pub fn trace(message: impl AsRef<str>) {
    log(Level::Trace, message);
}

/// A line at [`Level::Debug`].
pub fn debug(message: impl AsRef<str>) {
    log(Level::Debug, message);
}

/// A line at [`Level::Info`].
pub fn info(message: impl AsRef<str>) {
    log(Level::Info, message);
}

/// A line at [`Level::Warn`].
pub fn warn(message: impl AsRef<str>) {
    log(Level::Warn, message);
}

/// A line at [`Level::Error`].
pub fn error(message: impl AsRef<str>) {
    log(Level::Error, message);
}

/// Says how far the task is: `done` of `total` steps, where it knows how many there will be.
pub fn progress(done: u64, total: impl Into<Option<u64>>) {
    platform::progress(done, total.into());
}

/// Gives an intermediate value to whoever looks on; the last of each name is kept. By convention text and bytes are given as
/// they are, anything else as JSON.
pub fn publish(name: impl AsRef<str>, value: impl AsRef<[u8]>) {
    platform::publish(name.as_ref(), value.as_ref());
}

/// The id of the engine that runs the task.
#[must_use]
pub fn engine_id() -> u32 {
    platform::engine_id()
}

/// How many engines the cluster had when the task began.
#[must_use]
pub fn engine_count() -> u32 {
    platform::engine_count()
}

/// The value that was pushed to this engine under that name, if there is one.
///
/// A `String` or a `Vec<u8>` is the bytes that the host gives, which are those of a text or of bytes, and of any other
/// value its JSON. For any other type they are read as JSON.
///
/// # Errors
///
/// When the value does not fit the type.
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

/// A pushed value is of another type than was asked for.
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
