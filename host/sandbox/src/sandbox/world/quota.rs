//! What a task may still do to its granted directories: the bytes it may write and the files it may
//! create. Only an account: `files` consults it.

use crate::limits::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The account of one task. Clones share it: the streams of a guest keep one.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Quota(Arc<Account>);

#[derive(Debug)]
struct Account {
    bytes: Budget,
    files: Budget,
}

/// What is left of a limit, and whether it was exceeded.
#[derive(Debug)]
struct Budget {
    left: AtomicU64,
    refused: AtomicBool,
}

/// A limit that a task reached in its directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Reached {
    /// On bytes written.
    Written,
    /// On files, directories and links created.
    Files,
}

/// The limit is reached: to the guest, like a full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task has no space left in its granted directories")]
pub(super) struct NoRoom;

impl Quota {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Account {
            bytes: Budget::new(limits.written.bytes()),
            files: Budget::new(limits.files as u64),
        }))
    }

    /// Resets it for the next task in the same instance.
    pub(super) fn rearm(&self, limits: &Limits) {
        self.0.bytes.rearm(limits.written.bytes());
        self.0.files.rearm(limits.files as u64);
    }

    /// Reserves this many bytes before they are written.
    pub(super) fn write(&self, bytes: u64) -> Result<(), NoRoom> {
        self.0.bytes.take(bytes)
    }

    /// Returns bytes that were not written after all.
    pub(super) fn give_back(&self, bytes: u64) {
        self.0.bytes.left.fetch_add(bytes, Relaxed);
    }

    /// Reserves a file, directory or link before it is created.
    pub(super) fn make_file(&self) -> Result<(), NoRoom> {
        self.0.files.take(1)
    }

    /// Returns one that was not created after all.
    pub(super) fn give_back_file(&self) {
        self.0.files.left.fetch_add(1, Relaxed);
    }

    /// Returns the limit that was exceeded, if any.
    pub(in crate::sandbox) fn reached(&self) -> Option<Reached> {
        if self.0.bytes.refused.load(Relaxed) {
            Some(Reached::Written)
        } else if self.0.files.refused.load(Relaxed) {
            Some(Reached::Files)
        } else {
            None
        }
    }
}

impl Budget {
    fn new(left: u64) -> Self {
        Self {
            left: AtomicU64::new(left),
            refused: AtomicBool::new(false),
        }
    }

    fn rearm(&self, left: u64) {
        self.left.store(left, Relaxed);
        self.refused.store(false, Relaxed);
    }

    fn take(&self, wanted: u64) -> Result<(), NoRoom> {
        let taken = self
            .left
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(wanted));
        if taken.is_ok() {
            return Ok(());
        }
        self.refused.store(true, Relaxed);
        Err(NoRoom)
    }
}

/// Returns what a write is charged: its bytes, and the gap that it leaves if it starts beyond the
/// end of the file. A gap takes no space yet, but bytes written into it later no longer make the
/// file longer.
pub(super) fn charge(start: u64, bytes: u64, size: u64) -> u64 {
    start.saturating_sub(size).saturating_add(bytes)
}

/// Whether no file can have this size, so that setting it fails whatever is left.
pub(super) fn is_beyond_files(size: u64) -> bool {
    i64::try_from(size).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rwasm_value::units::ByteSize;

    fn limits(written: u64, files: usize) -> Limits {
        Limits {
            written: ByteSize::new(written),
            files,
            ..Limits::default()
        }
    }

    #[test]
    fn what_is_left_is_given_and_no_more() {
        let quota = Quota::new(&limits(10, 1));
        let stream = quota.clone();
        assert_eq!(quota.write(6), Ok(()));
        assert_eq!(stream.write(4), Ok(()));
        assert_eq!(quota.reached(), None);
        assert_eq!(stream.write(1), Err(NoRoom));
        assert_eq!(quota.reached(), Some(Reached::Written));
        quota.give_back(3);
        assert_eq!(quota.write(u64::MAX), Err(NoRoom));
        assert_eq!(quota.write(3), Ok(()));

        quota.rearm(&limits(0, 2));
        assert_eq!(quota.reached(), None);
        assert_eq!(quota.write(0), Ok(()));
        assert_eq!(quota.make_file(), Ok(()));
        assert_eq!(quota.make_file(), Ok(()));
        assert_eq!(quota.make_file(), Err(NoRoom));
        assert_eq!(quota.reached(), Some(Reached::Files));
        quota.give_back_file();
        assert_eq!(quota.make_file(), Ok(()));
    }

    #[test]
    fn a_gap_is_charged_with_the_write_that_leaves_it() {
        assert_eq!(charge(0, 5, 0), 5);
        assert_eq!(charge(5, 5, 100), 5);
        assert_eq!(charge(95, 10, 100), 10);
        assert_eq!(charge(200, 10, 100), 110);
        assert_eq!(charge(u64::MAX, 10, 0), u64::MAX);
    }
}
