//! Who compiles when: each module once for each kind of settings, and no more compilers at a time than there are cores.
//!
//! This holds for the threads of this process and, by way of locked files in the cache's directory, for all processes that
//! share it. The system gives up a lock with the process that holds it, so that one that is killed holds up nobody.

use super::cache::CodeCache;
use std::fs::{File, Metadata, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

/// The pause between attempts at a lock that another process has: it compiles for milliseconds at least, or for
/// minutes.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Who compiles in this process.
static COMPILERS: Compilers = Compilers(Mutex::new(0));

/// The turns of one cluster.
pub(super) struct Turns {
    compilers: &'static Compilers,
    state: Mutex<TurnsState>,
    /// Notified when a turn ends, and when all do.
    changed: Condvar,
}

#[derive(Default)]
struct TurnsState {
    is_closed: bool,
    /// The code that is wanted, in the order in which it is made.
    queue: Vec<Wanted>,
}

struct Wanted {
    name: String,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Another process makes the same code.
    Elsewhere,
    Waiting,
    Running,
}

/// The right to compile. It ends when it is dropped.
pub(super) struct Turn<'a> {
    _place: Place<'a>,
    /// Nobody else makes this code, and this is one of so many compilers: locks of the cache's directory.
    _locks: [Option<NamedLock>; 2],
    _slot: Slot,
}

impl Default for Turns {
    fn default() -> Self {
        Self::of(&COMPILERS)
    }
}

impl Turns {
    fn of(compilers: &'static Compilers) -> Self {
        Self {
            compilers,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits until nobody makes the code of this name, and a compiler may be started. Whoever had to wait may find the
    /// code in the cache. Returns `None` if there are no more turns.
    pub(super) fn begin(&self, cache: Option<&CodeCache>, name: &str) -> Option<Turn<'_>> {
        let place = self.enter(name)?;
        let making = match cache.map(|cache| cache.lock_path(name)) {
            Some(path) => self.retried(|_| NamedLock::attempt_once(&path))?,
            None => None,
        };
        place.is_in(Stage::Waiting);
        // Those who came before go first.
        let slot = self.retried(|state| {
            let mut waiting = state.queue.iter();
            let next = waiting.find(|wanted| wanted.stage == Stage::Waiting);
            if next.is_none_or(|next| next.name != name) {
                return Err(Busy);
            }
            self.compilers.attempt().ok_or(Busy)
        })?;
        let shared = match cache {
            Some(cache) => self.retried(|_| free_of(cache))?,
            None => None,
        };
        place.is_in(Stage::Running);
        Some(Turn {
            _place: place,
            _locks: [making, shared],
            _slot: slot,
        })
    }

    /// Returns how many modules are made before the one whose code has a name that begins so, or at the same time.
    pub(super) fn before(&self, name: &str) -> Option<usize> {
        let state = self.lock();
        let mut queue = state.queue.iter();
        queue.position(|wanted| wanted.name.starts_with(name))
    }

    /// Ends all waiting.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Takes a place at the end of the queue, once nobody has one for the same code.
    fn enter(&self, name: &str) -> Option<Place<'_>> {
        let mut state = self.lock();
        while !state.is_closed && state.queue.iter().any(|wanted| wanted.name == name) {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return None;
        }
        state.queue.push(Wanted {
            name: name.to_owned(),
            stage: Stage::Elsewhere,
        });
        Some(Place {
            turns: self,
            name: name.to_owned(),
        })
    }

    /// Attempts something until it is not busy, unless turns end.
    fn retried<T>(&self, attempt: impl Fn(&TurnsState) -> Result<T, Busy>) -> Option<T> {
        let mut pause = FIRST_PAUSE;
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Ok(done) = attempt(&state) {
                return Some(done);
            }
            (state, _) = self
                .changed
                .wait_timeout(state, pause)
                .unwrap_or_else(PoisonError::into_inner);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn lock(&self) -> MutexGuard<'_, TurnsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, given up when it is dropped.
struct Place<'a> {
    turns: &'a Turns,
    name: String,
}

impl Place<'_> {
    fn is_in(&self, stage: Stage) {
        let mut state = self.turns.lock();
        let mut queue = state.queue.iter_mut();
        if let Some(wanted) = queue.find(|wanted| wanted.name == self.name) {
            wanted.stage = stage;
        }
        drop(state);
        self.turns.changed.notify_all();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        state.queue.retain(|wanted| wanted.name != self.name);
        drop(state);
        self.turns.changed.notify_all();
    }
}

/// Somebody else has it.
struct Busy;

/// The number of compilers that run.
struct Compilers(Mutex<usize>);

/// One of them.
struct Slot(&'static Compilers);

impl Compilers {
    fn attempt(&'static self) -> Option<Slot> {
        let mut running = self.lock();
        let is_free = *running < most();
        *running += usize::from(is_free);
        // Made only if it is: one that is dropped gives up its place.
        is_free.then(|| Slot(self))
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
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
            // Whoever had it before has removed it: the lock is on a file that nobody else finds.
            Ok(()) if !is_at(&file, path) => Err(Busy),
            Ok(()) => Ok(Some(Self {
                _file: file,
                removed: None,
            })),
            Err(TryLockError::WouldBlock) => Err(Busy),
            // File systems without locks.
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    /// The same, for a file that is removed with the lock.
    fn attempt_once(path: &Path) -> Result<Option<Self>, Busy> {
        let mut lock = Self::attempt(path)?;
        if let Some(lock) = &mut lock {
            lock.removed = Some(path.to_owned());
        }
        Ok(lock)
    }
}

/// Whether the file is the one of this path.
fn is_at(file: &File, path: &Path) -> bool {
    let place = |meta: Metadata| (meta.dev(), meta.ino());
    let (held, found) = (file.metadata().map(place), path.metadata().map(place));
    matches!((held, found), (Ok(held), Ok(found)) if held == found)
}

/// Removes a lock's file that was left by a process that was killed, unless somebody has the lock.
pub(super) fn remove_abandoned(path: &Path) {
    if let Ok(file) = File::open(path)
        && file.try_lock().is_ok()
        && is_at(&file, path)
    {
        // Removed while it is locked, as by whoever had it.
        let _ = std::fs::remove_file(path);
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
        let compilers: &_ = Box::leak(Box::new(Compilers(Mutex::new(0))));
        let clusters = [Turns::of(compilers), Turns::of(compilers)];
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
        assert_eq!(most_seen.load(Ordering::SeqCst), 1);
        assert_eq!(done.load(Ordering::SeqCst), 16);
        assert_eq!(*compilers.lock(), 0);
        let left = std::fs::read_dir(cache.dir()).expect("it is there");
        let named = left.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        assert!(
            named
                .into_iter()
                .all(|name| name.starts_with(".lock-compiler-"))
        );
    }

    #[test]
    fn a_lock_that_somebody_has_is_not_abandoned() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(".lock-code");
        let Ok(Some(lock)) = NamedLock::attempt_once(&path) else {
            panic!("it is free");
        };
        remove_abandoned(&path);
        assert!(path.exists());
        drop(lock);
        assert!(!path.exists());
        // As left by a process that was killed.
        File::create(&path).expect("it is made");
        remove_abandoned(&path);
        assert!(!path.exists());
    }

    #[test]
    fn those_who_came_first_go_first_and_know_their_places() {
        let compilers: &_ = Box::leak(Box::new(Compilers(Mutex::new(0))));
        let turns = Turns::of(compilers);
        let mut taken: Vec<Slot> = std::iter::from_fn(|| compilers.attempt()).collect();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for name in ["a-core", "b-core", "c-core"] {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    let turn = turns.begin(None, name).expect("they go on");
                    order.lock().expect("whole").push(name);
                    drop(turn);
                });
                while turns.before(name).is_none() {
                    std::thread::yield_now();
                }
            }
            assert_eq!(turns.before("c"), Some(2));
            assert_eq!(turns.before("d"), None);
            // One at a time, so that they begin in order.
            drop(taken.pop());
        });
        assert_eq!(
            *order.lock().expect("whole"),
            ["a-core", "b-core", "c-core"]
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
        assert!(turns.lock().queue.is_empty());
    }
}
