//! What the worker has inherited and should not have. Rust's own descriptors are closed on `exec`, but not those of whoever
//! started the program, nor those of libraries.

use super::{ConfineError, fail};
use crate::layers::Layer;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::path::Path;

/// The standard streams.
const STANDARD: std::ops::RangeInclusive<RawFd> = 0..=2;

/// Closes all descriptors but these. A standard stream leads nowhere then: if its number were free, the next file that is
/// opened would get it, and what is printed would go there.
pub(super) fn close_all_but(keep: &[BorrowedFd<'_>]) -> Result<(), ConfineError> {
    let path = "/proc/self/fd";
    let unreadable = |source| ConfineError::Unreadable { path, source };
    let mut open = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        open.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    let keep: BTreeSet<RawFd> = keep.iter().map(BorrowedFd::as_raw_fd).collect();
    lead_nowhere(&keep)?;
    let foreign = open
        .difference(&keep)
        .filter(|number| !STANDARD.contains(number));
    for number in foreign {
        // The directory that was listed is closed by now.
        if Path::new(path).join(number.to_string()).is_symlink() {
            close(*number);
        }
    }
    Ok(())
}

fn lead_nowhere(keep: &BTreeSet<RawFd>) -> Result<(), ConfineError> {
    if STANDARD.into_iter().all(|number| keep.contains(&number)) {
        return Ok(());
    }
    let step = "lead the standard streams nowhere";
    let nowhere = null().map_err(|error| fail(Layer::Descriptors, step, &error))?;
    for number in STANDARD.filter(|number| !keep.contains(number)) {
        match number {
            0 => dup2_stdin(&nowhere),
            1 => dup2_stdout(&nowhere),
            _ => dup2_stderr(&nowhere),
        }
        .map_err(|errno| fail(Layer::Descriptors, step, &errno))?;
    }
    Ok(())
}

fn null() -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/null")
}

#[expect(
    unsafe_code,
    reason = "closing a descriptor that nothing owns has no safe form: whoever started the program left it open"
)]
fn close(number: RawFd) {
    // SAFETY: called at the start of `main`, when this process has opened nothing itself that it still holds but what its
    // caller lists, which is not closed. So no value owns or borrows this number. It is open: this is the one thread, and
    // has just seen it.
    unsafe { rustix::io::close(number) };
}
