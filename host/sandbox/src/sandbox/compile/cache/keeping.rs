//! The content of the cache, and what is removed from it.

use super::super::turns::remove_abandoned;
use super::{CodeCache, LOCKED, UNFINISHED, intact};
use rwasm_value::units::ByteSize;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// An unfinished file older than this was left by a process that was killed: writing takes seconds.
const STALE: Duration = Duration::from_hours(1);

/// Statistics of a code cache.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheInfo {
    /// The directory.
    pub dir: PathBuf,
    /// The number of files of compiled code.
    pub files: u64,
    /// The bytes that these files take.
    pub bytes: u64,
    /// The most bytes that they may take.
    pub size: ByteSize,
    /// The number of unfinished files: being written, or left by a killed process.
    pub unfinished: u64,
    /// When the least recently used file was used.
    pub oldest: Option<SystemTime>,
    /// When the most recently used file was used.
    pub newest: Option<SystemTime>,
}

/// What to remove from a cache, in addition to malformed and abandoned files and those beyond its
/// size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prune {
    /// Remove everything.
    pub all: bool,
    /// Remove the least recently used files until no more than this is left.
    pub max_size: Option<ByteSize>,
    /// Remove files that were not used for this long.
    pub older_than: Option<Duration>,
}

/// What was removed from a cache, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// The number of files removed, for whatever reason.
    pub files: u64,
    /// The bytes that these files took.
    pub bytes: u64,
    /// The number of malformed files among them.
    pub damaged: u64,
    /// The number of abandoned files among them, left unfinished by a process.
    pub unfinished: u64,
    /// The number of files of compiled code that are left.
    pub files_left: u64,
    /// The bytes that the files left take.
    pub bytes_left: u64,
}

/// A file of a cache; ordered by its last use.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct CachedFile {
    used: SystemTime,
    size: u64,
    path: PathBuf,
}

impl CachedFile {
    fn is_older_than(&self, age: Duration) -> bool {
        // One from the future, by a clock that was set back, counts as new.
        self.used.elapsed().is_ok_and(|elapsed| elapsed > age)
    }

    /// Removes it. It is fine if another process has done so.
    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl CodeCache {
    /// Returns statistics of the cache.
    ///
    /// # Errors
    ///
    /// Returns an error if the directory cannot be read.
    pub fn info(&self) -> io::Result<CacheInfo> {
        let Files {
            code, unfinished, ..
        } = self.files()?;
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

    /// Removes files from the cache. Other processes may continue to use the cache: they keep the
    /// code that they run, and compile again what they miss.
    ///
    /// # Errors
    ///
    /// Returns an error if the directory cannot be read, or if a file in it cannot be removed.
    pub fn prune(&self, prune: &Prune) -> io::Result<Pruned> {
        let Files {
            code,
            unfinished,
            locks,
        } = self.files()?;
        for lock in locks {
            remove_abandoned(&lock);
        }
        let mut pruned = Pruned::default();
        let mut remove = |file: &CachedFile| -> io::Result<()> {
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

    /// Removes the least recently used files until the directory is within its size, except what
    /// was just put there, and abandoned files.
    pub(super) fn trim(&self, newest: &str) -> io::Result<()> {
        let Files {
            code,
            unfinished,
            locks,
        } = self.files()?;
        for lock in locks {
            remove_abandoned(&lock);
        }
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

    /// Returns its files, the least recently used first.
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
                if name.starts_with(LOCKED) {
                    files.locks.push(entry.path());
                }
                continue;
            };
            // A file may vanish when another process trims the cache.
            if let Ok(meta) = entry.metadata()
                && meta.is_file()
            {
                kind.push(CachedFile {
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
    code: Vec<CachedFile>,
    unfinished: Vec<CachedFile>,
    locks: Vec<PathBuf>,
}

/// Whether a file of this name is one of ours: `CodeCache::name` makes the names.
fn is_code(name: &str) -> bool {
    /// Digits of a SHA-256, and of a compatibility number.
    const HASH: usize = 64;
    const NUMBER: usize = 16;
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let parts: Vec<&str> = name.split('-').collect();
    matches!(parts[..], [hash, "core" | "component", number] if is_hex(hash, HASH) && is_hex(number, NUMBER))
}
