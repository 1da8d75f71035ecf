//! Replaces the host in unit tests: records what a task reports, separately for each thread, as
//! tests run in parallel.

use super::Level;
use std::cell::RefCell;
use std::collections::HashMap;

/// What tasks have reported since the test began, or since it was last taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// The log lines.
    pub log: Vec<(Level, String)>,
    /// The progress reports.
    pub progress: Vec<(u64, Option<u64>)>,
    /// The published values, in order.
    pub published: Vec<(String, Vec<u8>)>,
}

thread_local! {
    static REPORTED: RefCell<Reported> = RefCell::default();
    static PUSHED: RefCell<HashMap<String, Vec<u8>>> = RefCell::default();
}

#[expect(clippy::print_stderr, reason = "that is where log lines go")]
pub(super) fn log(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
    REPORTED.with_borrow_mut(|reported| reported.log.push((level, message.to_owned())));
}

pub(super) fn progress(done: u64, total: Option<u64>) {
    REPORTED.with_borrow_mut(|reported| reported.progress.push((done, total)));
}

pub(super) fn publish(name: &str, value: &[u8]) {
    REPORTED
        .with_borrow_mut(|reported| reported.published.push((name.to_owned(), value.to_owned())));
}

pub(super) fn engine_id() -> u32 {
    0
}

pub(super) fn engine_count() -> u32 {
    1
}

pub(super) fn pushed(name: &str) -> Option<Vec<u8>> {
    PUSHED.with_borrow(|pushed| pushed.get(name).cloned())
}

/// Pushes a value for the task to read: a text or bytes verbatim, anything else as JSON (`"[1, 2]"`
/// is read as a `Vec<u32>`). Only this thread sees it, and so only this test.
pub fn push(name: impl Into<String>, value: impl Into<Vec<u8>>) {
    PUSHED.with_borrow_mut(|pushed| pushed.insert(name.into(), value.into()));
}

/// Takes what tasks have reported on this thread.
#[must_use]
pub fn reported() -> Reported {
    REPORTED.take()
}
