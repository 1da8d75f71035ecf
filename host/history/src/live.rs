//! Whether the process that runs a job is still alive.
//!
//! A process that records jobs locks a file of its own beside the history, its *live file*, and
//! each of its jobs names it. The system releases the lock when the process ends, however it ends.
//! A job that is `running` but whose live file is missing or not locked was interrupted. Unlike
//! process ids, this works across restarts and between containers.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Separates the history's name and the owner's in the name of a live file.
const MARK: &str = "-live-";

/// This process's live file, locked. Dropping it ends all its claims to be running.
#[derive(Debug)]
pub(super) struct Live {
    owner: String,
    path: PathBuf,
    _lock: File,
}

impl Live {
    /// Creates a live file for the history at `history` and locks it.
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
            // Another process may have seen it before it was locked, and removed it.
            if path.try_exists()? {
                return Ok(Self {
                    owner,
                    path,
                    _lock: lock,
                });
            }
        }
    }

    /// Returns the owner's name, as jobs carry it.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // If it stays, the next process that records removes it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the owner's process is alive.
pub(super) fn is_alive(history: &Path, owner: &str) -> bool {
    // Content of the file is not trusted to be a valid name.
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

/// Whether the file's lock is held. A file that cannot be opened counts as held.
fn is_locked(path: &Path) -> bool {
    match File::open(path) {
        // Shared, so that two checks at once do not take each other for the owner.
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
