//! Who compiles when: each module once for each kind of settings, and no more compilers at a time than there are cores.
//!
//! This holds for the threads of this process and, by way of locked files in the cache's directory, for all processes that
//! share it. The system gives up a lock with the process that holds it, so that one that is killed holds up nobody.

use super::cache::CodeCache;
use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

/// The pause between attempts at a lock that another process has: it compiles for milliseconds at least, or for
/// minutes.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How many compile in this process.
static COMPILING: Mutex<usize> = Mutex::new(0);

/// The turns of one cluster.
#[derive(Default)]
pub(super) struct Turns {
    state: Mutex<TurnsState>,
    /// Notified when a turn ends, and when all do.
    changed: Condvar,
}

#[derive(Default)]
struct TurnsState {
    is_closed: bool,
    /// The code that is being made.
    making: HashSet<String>,
}

/// The right to compile. It ends when it is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    name: String,
    /// Nobody else makes this code, and this is one of so many compilers: locks of the cache's directory.
    _locks: [Option<NamedLock>; 2],
    _slot: Slot,
}

impl Turns {
    /// Waits until nobody makes the code of this name, and a compiler may be started. Whoever had to wait may find the
    /// code in the cache. Returns `None` if there are no more turns.
    pub(super) fn begin(&self, cache: Option<&CodeCache>, name: &str) -> Option<Turn<'_>> {
        let mut state = self.lock();
        while !state.is_closed && state.making.contains(name) {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return None;
        }
        state.making.insert(name.to_owned());
        drop(state);
        // From here on the name is given up with this.
        let name = Making {
            turns: self,
            name: Some(name.to_owned()),
        };
        let making = cache.map(|cache| cache.lock_path(&name.shown()));
        let making = match making {
            Some(path) => self.retried(|| NamedLock::attempt_once(&path))?,
            None => None,
        };
        let slot = self.retried(|| Slot::attempt().ok_or(Busy))?;
        let shared = match cache {
            Some(cache) => self.retried(|| free_of(cache))?,
            None => None,
        };
        Some(Turn {
            turns: self,
            name: name.keep(),
            _locks: [making, shared],
            _slot: slot,
        })
    }

    /// Ends all waiting.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Attempts something until it is not busy, unless turns end.
    fn retried<T>(&self, attempt: impl Fn() -> Result<T, Busy>) -> Option<T> {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Ok(done) = attempt() {
                return Some(done);
            }
            let state = self.lock();
            if state.is_closed {
                return None;
            }
            let (state, _) = self
                .changed
                .wait_timeout(state, pause)
                .unwrap_or_else(PoisonError::into_inner);
            drop(state);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn give_up(&self, name: &str) {
        self.lock().making.remove(name);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, TurnsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.give_up(&self.name);
    }
}

/// A name that is being waited for with.
struct Making<'a> {
    turns: &'a Turns,
    name: Option<String>,
}

impl Making<'_> {
    fn shown(&self) -> String {
        self.name.clone().unwrap_or_default()
    }

    fn keep(mut self) -> String {
        self.name.take().unwrap_or_default()
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.turns.give_up(name);
        }
    }
}

/// Somebody else has it.
struct Busy;

/// One of the compilers of this process.
struct Slot;

impl Slot {
    fn attempt() -> Option<Self> {
        let mut compiling = COMPILING.lock().unwrap_or_else(PoisonError::into_inner);
        // Made only where it is taken: one that is dropped gives its place back, for which it waits for this lock.
        if *compiling >= most() {
            return None;
        }
        *compiling += 1;
        Some(Self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *COMPILING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

fn most() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// A lock on one of the compilers of all processes that share a cache.
fn free_of(cache: &CodeCache) -> Result<Option<NamedLock>, Busy> {
    for number in 0..most() {
        if let Ok(lock) = NamedLock::attempt(&cache.lock_path(&format!("compiler-{number}"))) {
            return Ok(lock);
        }
    }
    Err(Busy)
}

/// A locked file.
struct NamedLock {
    _file: File,
    /// Where it is, if it is removed in the end.
    removed: Option<PathBuf>,
}

impl NamedLock {
    /// Locks a file, unless somebody else has it. A directory that cannot be written has no locks, and needs none: what is
    /// compiled is not kept in it either.
    fn attempt(path: &Path) -> Result<Option<Self>, Busy> {
        let Ok(file) = File::options().create(true).append(true).open(path) else {
            return Ok(None);
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Self {
                _file: file,
                removed: None,
            })),
            Err(TryLockError::WouldBlock) => Err(Busy),
            // File systems without locks.
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    /// The same, for a file that is removed with the lock. Somebody may hold the removed one while another makes it anew:
    /// then both look into the cache first, where the code is.
    fn attempt_once(path: &Path) -> Result<Option<Self>, Busy> {
        let mut lock = Self::attempt(path)?;
        if let Some(lock) = &mut lock {
            lock.removed = Some(path.to_owned());
        }
        Ok(lock)
    }
}

impl Drop for NamedLock {
    fn drop(&mut self) {
        if let Some(path) = &self.removed {
            // What stays is an empty file.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rwasm_value::units::ByteSize;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn cache(dir: &Path) -> CodeCache {
        CodeCache::make(&dir.join("cache"), ByteSize::mib(1)).expect("a cache")
    }

    /// Many threads of two clusters that share a cache, which want the same code: one at a time.
    #[test]
    fn one_at_a_time_makes_a_name_across_clusters() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = cache(dir.path());
        let clusters = [Turns::default(), Turns::default()];
        let (now, most_seen, done) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let turns = &clusters[thread % 2];
                let (cache, now, most_seen, done) = (&cache, &now, &most_seen, &done);
                scope.spawn(move || {
                    let turn = turns.begin(Some(cache), "code").expect("they go on");
                    most_seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                    drop(turn);
                });
            }
        });
        // The lock file is made anew now and then, and two clusters may hold an old and a new one.
        assert!(most_seen.load(Ordering::SeqCst) <= 2);
        assert_eq!(done.load(Ordering::SeqCst), 16);
        assert_eq!(*COMPILING.lock().expect("whole"), 0);
        let left = std::fs::read_dir(cache.dir()).expect("it is there");
        let named = left.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        assert!(
            named
                .into_iter()
                .all(|name| name.starts_with(".lock-compiler-"))
        );
    }

    #[test]
    fn whoever_waits_is_let_go_at_the_end() {
        let turns = Turns::default();
        let turn = turns.begin(None, "code").expect("they go on");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| turns.begin(None, "code").is_none());
            turns.close();
            assert!(waits.join().expect("it ends"));
        });
        drop(turn);
        assert!(turns.begin(None, "other").is_none());
        assert!(turns.lock().making.is_empty());
    }
}
