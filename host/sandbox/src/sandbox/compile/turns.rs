//! Who compiles when: each module once for each kind of settings, and no more compilers at a time than there are cores.
//! A free compiler goes to the tenants that wait in turn, and for each of them to the module that came first.
//!
//! This holds for the threads of this process and, by way of locked files in the cache's directory, for all processes that
//! share it. The system gives up a lock with the process that holds it, so that one that is killed holds up nobody.

use super::cache::CodeCache;
use rwasm_value::ids::TenantId;
use std::collections::BTreeMap;
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

/// How many tenants are remembered by their last turns. One that is forgotten is as one that had none.
const TENANTS: usize = 1024;

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
    /// The code that is wanted, in the order in which it came.
    queue: Vec<Wanted>,
    /// The tenants that had turns, in the order of their last ones.
    served: Vec<TenantId>,
}

struct Wanted {
    name: String,
    /// Who wants it: it is made in the turn of any of them.
    by: Vec<TenantId>,
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
    _slot: Slot,
    /// Nobody else makes this code, and this is one of so many compilers: locks of the cache's directory.
    _locks: [Option<NamedLock>; 2],
    /// Given up last, since those who wait look again then.
    _place: Place<'a>,
}

impl Wanted {
    fn also_by(&mut self, tenant: TenantId) {
        if !self.by.contains(&tenant) {
            self.by.push(tenant);
        }
    }
}

impl TurnsState {
    /// Returns the places of the code of which this is true in the order in which it is made, each with the tenant whose
    /// turn it is. First are tenants that had no turn, then those whose last turn was the longest ago.
    fn order(&self, counts: impl Fn(&Wanted) -> bool) -> Vec<(usize, TenantId)> {
        let mut places: BTreeMap<TenantId, Vec<usize>> = BTreeMap::new();
        for (place, wanted) in self.queue.iter().enumerate() {
            for tenant in wanted.by.iter().filter(|_| counts(wanted)) {
                places.entry(*tenant).or_default().push(place);
            }
        }
        let last_turn = |tenant| self.served.iter().position(|served| *served == tenant);
        let mut tenants: Vec<_> = places
            .into_iter()
            .map(|(tenant, places)| (last_turn(tenant), places[0], tenant, places.into_iter()))
            .collect();
        tenants.sort_unstable_by_key(|(last_turn, first, tenant, _)| (*last_turn, *first, *tenant));
        let mut is_taken = vec![false; self.queue.len()];
        let mut order = Vec::new();
        loop {
            let before = order.len();
            for (.., tenant, places) in &mut tenants {
                // Another tenant that wants it, too, may have had its turn.
                if let Some(place) = places.find(|place| !is_taken[*place]) {
                    is_taken[place] = true;
                    order.push((place, *tenant));
                }
            }
            if order.len() == before {
                return order;
            }
        }
    }

    /// Begins the turn of a tenant.
    fn serve(&mut self, place: usize, tenant: TenantId) {
        self.queue[place].stage = Stage::Running;
        self.served.retain(|served| *served != tenant);
        self.served.push(tenant);
        if self.served.len() > TENANTS {
            self.served.remove(0);
        }
    }
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

    /// Waits until nobody makes the code of this name, and this tenant may start a compiler. Whoever had to wait may find
    /// the code in the cache. Returns `None` if there are no more turns.
    pub(super) fn begin(
        &self,
        cache: Option<&CodeCache>,
        name: &str,
        tenant: TenantId,
    ) -> Option<Turn<'_>> {
        let place = self.enter(name, tenant)?;
        let making = match cache.map(|cache| cache.lock_path(name)) {
            Some(path) => self.retried(|_| NamedLock::attempt_once(&path))?,
            None => None,
        };
        place.waits();
        let slot = self.retried(|state| {
            if !self.compilers.has_room() {
                return Err(Busy);
            }
            let order = state.order(|wanted| wanted.stage == Stage::Waiting);
            let next = order.first().copied();
            let next = next.filter(|(place, _)| state.queue[*place].name == name);
            let (place, tenant) = next.ok_or(Busy)?;
            let slot = self.compilers.attempt().ok_or(Busy)?;
            state.serve(place, tenant);
            Ok(slot)
        })?;
        // There may be another compiler for the next one.
        self.changed.notify_all();
        let shared = match cache {
            Some(cache) => self.retried(|_| free_of(cache))?,
            None => None,
        };
        Some(Turn {
            _slot: slot,
            _locks: [making, shared],
            _place: place,
        })
    }

    /// Returns how many modules are made before the one whose code has a name that begins so, or at the same time.
    pub(super) fn before(&self, name: &str) -> Option<usize> {
        let state = self.lock();
        let mut queue = state.queue.iter();
        let place = queue.position(|wanted| wanted.name.starts_with(name))?;
        let is_running = |wanted: &Wanted| wanted.stage == Stage::Running;
        let running = |queue: &[Wanted]| queue.iter().filter(|wanted| is_running(wanted)).count();
        if is_running(&state.queue[place]) {
            return Some(running(&state.queue[..place]));
        }
        let order = state.order(|wanted| !is_running(wanted));
        let turn = order.iter().position(|(other, _)| *other == place)?;
        Some(running(&state.queue) + turn)
    }

    /// Has code that waits under a name that begins so wait for a turn of this tenant, too.
    pub(super) fn wanted_too(&self, name: &str, tenant: TenantId) {
        let mut state = self.lock();
        let queue = state.queue.iter_mut();
        for wanted in queue.filter(|wanted| wanted.name.starts_with(name)) {
            wanted.also_by(tenant);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Ends all waiting.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Takes a place at the end of the queue, once nobody has one for the same code.
    fn enter(&self, name: &str, tenant: TenantId) -> Option<Place<'_>> {
        let mut state = self.lock();
        while !state.is_closed
            && let Some(wanted) = state.queue.iter_mut().find(|wanted| wanted.name == name)
        {
            wanted.also_by(tenant);
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
            by: vec![tenant],
            stage: Stage::Elsewhere,
        });
        Some(Place {
            turns: self,
            name: name.to_owned(),
        })
    }

    /// Attempts something until it is not busy, unless turns end.
    fn retried<T>(&self, attempt: impl Fn(&mut TurnsState) -> Result<T, Busy>) -> Option<T> {
        let mut pause = FIRST_PAUSE;
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Ok(done) = attempt(&mut state) {
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
    /// No other process makes it: it waits for its turn.
    fn waits(&self) {
        let mut state = self.turns.lock();
        let mut queue = state.queue.iter_mut();
        if let Some(wanted) = queue.find(|wanted| wanted.name == self.name) {
            wanted.stage = Stage::Waiting;
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
    fn has_room(&self) -> bool {
        *self.lock() < most()
    }

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
                    let turn = turns
                        .begin(Some(cache), "code", TenantId(0))
                        .expect("they go on");
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
                    let turn = turns.begin(None, name, TenantId(0)).expect("they go on");
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

    /// Has one compiler make what these tenants want, and returns the order in which it was made. `and_then` is called
    /// when all of it waits.
    fn made_in_turn(wanted: &[(&'static str, u64)], and_then: impl FnOnce(&Turns)) -> Vec<String> {
        let compilers: &_ = Box::leak(Box::new(Compilers(Mutex::new(0))));
        let turns = Turns::of(compilers);
        let mut taken: Vec<Slot> = std::iter::from_fn(|| compilers.attempt()).collect();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for (name, tenant) in wanted {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    let turn = turns.begin(None, name, TenantId(*tenant));
                    order.lock().expect("whole").push((*name).to_owned());
                    drop(turn);
                });
                while turns.before(name).is_none() {
                    std::thread::yield_now();
                }
            }
            while turns
                .lock()
                .queue
                .iter()
                .any(|one| one.stage != Stage::Waiting)
            {
                std::thread::yield_now();
            }
            and_then(&turns);
            drop(taken.pop());
        });
        order.into_inner().expect("whole")
    }

    #[test]
    fn tenants_take_turns_and_know_their_places() {
        let wanted = [
            ("a1", 1),
            ("a2", 1),
            ("a3", 1),
            ("b1", 2),
            ("b2", 2),
            ("c1", 3),
        ];
        let made = made_in_turn(&wanted, |turns| {
            let places = wanted.map(|(name, _)| turns.before(name).expect("it waits"));
            assert_eq!(places, [0, 3, 5, 1, 4, 2]);
        });
        assert_eq!(made, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn what_two_tenants_want_is_made_in_the_first_of_their_turns() {
        let wanted = [("a1", 1), ("a2", 1), ("a3", 1)];
        let made = made_in_turn(&wanted, |turns| {
            turns.wanted_too("a3", TenantId(2));
            assert_eq!(turns.before("a3"), Some(1));
        });
        assert_eq!(made, ["a1", "a3", "a2"]);
    }

    #[test]
    fn whose_turn_was_the_longest_ago_is_next() {
        let mut state = TurnsState::default();
        let mut next = |wanted: &[u64]| {
            state.queue = wanted
                .iter()
                .map(|tenant| Wanted {
                    name: String::new(),
                    by: vec![TenantId(*tenant)],
                    stage: Stage::Waiting,
                })
                .collect();
            let (place, tenant) = state.order(|_| true)[0];
            state.serve(place, tenant);
            tenant.0
        };
        assert_eq!(next(&[1, 2]), 1);
        // It left nothing in the queue, and comes back.
        assert_eq!(next(&[1, 2]), 2);
        assert_eq!(next(&[2, 1]), 1);
        assert_eq!(next(&[1, 2, 3]), 3);
        for tenant in 10..10 + 2 * TENANTS as u64 {
            assert_eq!(next(&[tenant]), tenant);
        }
        assert_eq!(state.served.len(), TENANTS);
    }

    #[test]
    fn whoever_waits_is_let_go_at_the_end() {
        let turns = Turns::default();
        let turn = turns.begin(None, "code", TenantId(0)).expect("they go on");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| turns.begin(None, "code", TenantId(0)).is_none());
            turns.close();
            assert!(waits.join().expect("it ends"));
        });
        drop(turn);
        assert!(turns.begin(None, "other", TenantId(0)).is_none());
        assert!(turns.lock().queue.is_empty());
    }
}
