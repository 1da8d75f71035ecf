//! Whether the process that runs a job still lives.
//!
//! A process that records jobs holds a lock on a file of its own beside the history, its *live
//! file*, and each of its jobs names it. The system lets go of the lock when the process ends,
//! however it ends. A job that is `running` and whose live file is gone or not locked was
//! interrupted. Unlike process ids, this holds across restarts and between containers.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// What stands between the history's name and that of an owner in the name of a live file.
const MARK: &str = "-live-";

/// This process's live file, locked. Dropping it ends all claims to be running.
#[derive(Debug)]
pub(super) struct Live {
    owner: String,
    path: PathBuf,
    _lock: File,
}

impl Live {
    /// Makes a live file for the history at `history` and locks it.
    pub(super) fn new(history: &Path) -> io::Result<Self> {
        loop {
            let owner = format!("{:x}-{:016x}", std::process::id(), fastrand::u64(..));
            let path = live_path(history, &owner);
            let lock = match create(&path) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            lock.lock()?;
            // Whoever sweeps may have seen it before it was locked, and removed it.
            if path.try_exists()? {
                return Ok(Self {
                    owner,
                    path,
                    _lock: lock,
                });
            }
        }
    }

    /// The name that jobs carry.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // One that stays is swept away by the next process that records.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the owner's process lives.
pub(super) fn is_alive(history: &Path, owner: &str) -> bool {
    // What comes from a file is not trusted to be a name.
    let is_name = owner
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_name && is_locked(&live_path(history, owner))
}

/// Removes the live files of processes that ended without doing it.
pub(super) fn sweep(history: &Path) {
    let (Some(dir), Some(name)) = (history.parent(), history.file_name()) else {
        return;
    };
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut prefix = name.to_owned();
    prefix.push(MARK);
    for entry in entries.flatten() {
        let is_live_file = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(prefix.as_encoded_bytes());
        if is_live_file && !is_locked(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether somebody holds the file's lock. One that cannot be looked at counts as held.
fn is_locked(path: &Path) -> bool {
    match File::open(path) {
        // Shared, so that two who look at once do not take each other for the owner.
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

fn live_path(history: &Path, owner: &str) -> PathBuf {
    let mut name = OsString::from(history);
    name.push(MARK);
    name.push(owner);
    name.into()
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_lives_until_it_is_dropped_or_its_lock_is_gone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let history = dir.path().join("history.db");
        let live = Live::new(&history).expect("a live file");
        let owner = live.owner().to_owned();
        assert!(is_alive(&history, &owner));
        sweep(&history);
        assert!(is_alive(&history, &owner));
        drop(live);
        assert!(!is_alive(&history, &owner));

        // What a process leaves that was killed: a file that nobody locks.
        fs::write(live_path(&history, "1-2"), "").expect("written");
        assert!(!is_alive(&history, "1-2"));
        sweep(&history);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
        assert!(!is_alive(&history, "../../etc/passwd"));
    }
}
