//! What is in the cache, and what of it goes.

use super::{CodeCache, UNFINISHED, intact};
use rwasm_value::units::ByteSize;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// A file that was not finished in this time was left by a process that was killed: writing takes
/// seconds.
const STALE: Duration = Duration::from_hours(1);

/// What is in a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheInfo {
    /// Where it is.
    pub dir: PathBuf,
    /// Files of compiled code.
    pub files: u64,
    /// What they take.
    pub bytes: u64,
    /// What they may take.
    pub size: ByteSize,
    /// Files that are being written, or were when a process was killed.
    pub unfinished: u64,
    /// When the file was used that was used longest ago.
    pub oldest: Option<SystemTime>,
    /// When one was used last.
    pub newest: Option<SystemTime>,
}

/// What is to be removed from a cache, beside what is damaged, left unfinished, or beyond its bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prune {
    /// Everything.
    pub all: bool,
    /// What was used longest ago, until no more than this is left.
    pub max_size: Option<ByteSize>,
    /// What was not used for so long.
    pub older_than: Option<Duration>,
}

/// What was removed from a cache, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Files that were removed, whatever for.
    pub files: u64,
    /// What they took.
    pub bytes: u64,
    /// Those of them that were damaged.
    pub damaged: u64,
    /// Those of them that a process had left unfinished.
    pub unfinished: u64,
    /// Files of compiled code that are left.
    pub files_left: u64,
    /// What they take.
    pub bytes_left: u64,
}

/// A file of a cache, oldest use first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    used: SystemTime,
    size: u64,
    path: PathBuf,
}

impl Found {
    fn is_older_than(&self, age: Duration) -> bool {
        // One from the future, by a clock that was set back, is new.
        self.used.elapsed().is_ok_and(|elapsed| elapsed > age)
    }

    /// Removes it. Another process may have done so, which is as good.
    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl CodeCache {
    /// What is in it.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn info(&self) -> io::Result<CacheInfo> {
        let Files { code, unfinished } = self.files()?;
        Ok(CacheInfo {
            dir: self.dir.clone(),
            files: code.len() as u64,
            bytes: code.iter().map(|file| file.size).sum(),
            size: self.size,
            unfinished: unfinished.len() as u64,
            oldest: code.first().map(|file| file.used),
            newest: code.last().map(|file| file.used),
        })
    }

    /// Removes what is to be removed. Other processes may go on using the cache: what they run they
    /// have, and what they miss they compile again.
    ///
    /// # Errors
    /// When the directory cannot be read, or a file in it cannot be removed.
    pub fn prune(&self, prune: &Prune) -> io::Result<Pruned> {
        let Files { code, unfinished } = self.files()?;
        let mut pruned = Pruned::default();
        let mut remove = |file: &Found| -> io::Result<()> {
            file.remove()?;
            pruned.files += 1;
            pruned.bytes += file.size;
            Ok(())
        };
        let mut unfinished_gone = 0;
        for file in &unfinished {
            if prune.all || file.is_older_than(STALE) {
                remove(file)?;
                unfinished_gone += 1;
            }
        }
        let mut damaged = 0;
        let mut left = Vec::new();
        for file in code {
            let is_old = || prune.older_than.is_some_and(|age| file.is_older_than(age));
            if prune.all || is_old() {
                remove(&file)?;
            } else if File::open(&file.path)
                .is_ok_and(|mut file| !intact(&mut file).unwrap_or(false))
            {
                remove(&file)?;
                damaged += 1;
            } else {
                left.push(file);
            }
        }
        let bound = prune.max_size.map_or(self.size, |size| size.min(self.size));
        let mut bytes_left: u64 = left.iter().map(|file| file.size).sum();
        let mut files_left = left.len() as u64;
        for file in &left {
            if bytes_left <= bound.bytes() {
                break;
            }
            remove(file)?;
            bytes_left -= file.size;
            files_left -= 1;
        }
        Ok(Pruned {
            damaged,
            unfinished: unfinished_gone,
            files_left,
            bytes_left,
            ..pruned
        })
    }

    /// Removes what was used longest ago until the directory is within its bound, but never what
    /// was just put there; and what was left unfinished.
    pub(super) fn trim(&self, newest: &str) -> io::Result<()> {
        let Files { code, unfinished } = self.files()?;
        for file in unfinished {
            if file.is_older_than(STALE) {
                file.remove()?;
            }
        }
        let mut total: u64 = code.iter().map(|file| file.size).sum();
        for file in code {
            if total <= self.size.bytes() {
                break;
            }
            if file.path.file_name() != Some(OsStr::new(newest)) && file.remove().is_ok() {
                total -= file.size;
            }
        }
        Ok(())
    }

    /// Its files, those that were used longest ago first.
    fn files(&self) -> io::Result<Files> {
        let mut files = Files::default();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let kind = if is_code(name) {
                &mut files.code
            } else if name.starts_with(UNFINISHED) {
                &mut files.unfinished
            } else {
                continue;
            };
            // A file may vanish under another process's trimming.
            if let Ok(meta) = entry.metadata()
                && meta.is_file()
            {
                kind.push(Found {
                    used: meta.modified()?,
                    size: meta.len(),
                    path: entry.path(),
                });
            }
        }
        files.code.sort_unstable();
        Ok(files)
    }
}

/// The files in a cache.
#[derive(Default)]
struct Files {
    code: Vec<Found>,
    unfinished: Vec<Found>,
}

/// Whether a file of this name is one of ours: `CodeCache::name` says how they are made.
fn is_code(name: &str) -> bool {
    /// Digits of a SHA-256, and of a number of compatibility.
    const HASH: usize = 64;
    const NUMBER: usize = 16;
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let parts: Vec<&str> = name.split('-').collect();
    matches!(parts[..], [hash, "core" | "component", number] if is_hex(hash, HASH) && is_hex(number, NUMBER))
}
