//! Modules fetched from a cluster: verified by their hash, kept on disk, and in memory while programs are made of them.

use super::task::NotReady;
use crate::nats::blob::{BlobError, Blobs, Charge, Charged, ReadBudget};
use crate::nats::wire::TasksHead;
use bytes::Bytes;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::{Failure, FailureCode};
use rwasm_sandbox::sandbox::{LoadError, Module, ModuleHash, ModuleInfo};
use rwasm_value::aside::Aside;
use rwasm_value::plain;
use rwasm_value::units::ByteSize;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;
use tokio::sync::{Semaphore, oneshot};

/// Modules that are known at a time, and what that takes, in bytes; others are analyzed again.
const MOST: usize = 128;
const MOST_BYTES: u64 = 8 << 20;

/// The bytes of modules that are kept on disk; beyond that, they are fetched again.
const MOST_ON_DISK: u64 = 1 << 30;

/// The bytes of modules that are in memory at a time: whoever finds no room waits in turn.
const IN_MEMORY: u32 = 256 << 20;

/// How many modules are analyzed at a time: it takes a core, and memory that the allocator keeps.
const ANALYSES: usize = 1;

/// How much lower the priority of an analysis is than that of a task.
#[cfg(target_os = "linux")]
const COURTESY: i32 = 10;

/// See the [module](self).
pub(super) struct Modules {
    store: Blobs,
    shelf: Option<Arc<Shelf>>,
    known: Mutex<Known>,
    analyses: Semaphore,
    room: ReadBudget,
}

/// A module whose bytes are in memory, and the room for them.
pub(super) struct Held {
    module: Module,
    _room: Charge,
}

impl Deref for Held {
    type Target = Module;

    fn deref(&self) -> &Module {
        &self.module
    }
}

/// What is known of modules, by their hashes.
#[derive(Default)]
struct Known {
    kept: HashMap<String, Kept>,
    /// Counts uses, to know the last.
    now: u64,
    /// Held while one is fetched, so that others who want it find it afterwards.
    fetching: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
    /// Why modules are refused, the last one last: they need not be fetched again for that.
    refused: VecDeque<(String, String)>,
}

/// A module that this cluster has. Its bytes are in memory only while somebody makes a program of it.
struct Kept {
    info: ModuleInfo,
    module: Weak<Held>,
    used: u64,
}

impl Known {
    fn get(&mut self, hash: &str) -> Option<&Kept> {
        self.now += 1;
        let kept = self.kept.get_mut(hash)?;
        kept.used = self.now;
        Some(kept)
    }

    fn refuse(&mut self, hash: &str, reason: &str) {
        self.refused.retain(|(known, _)| known != hash);
        self.refused.push_back((hash.to_owned(), reason.to_owned()));
        if self.refused.len() > MOST {
            self.refused.pop_front();
        }
    }

    fn refusal(&self, hash: &str) -> Option<NotReady> {
        let found = self.refused.iter().find(|(known, _)| known == hash);
        found.map(|(_, reason)| refused(reason.clone()))
    }

    /// Keeps what is known of a module, and lets go of what was not used for the longest time.
    fn keep(&mut self, hash: &str, module: &Arc<Held>) {
        self.now += 1;
        let kept = Kept {
            info: module.info().clone(),
            module: Arc::downgrade(module),
            used: self.now,
        };
        self.kept.insert(hash.to_owned(), kept);
        let weight = |kept: &Kept| kept.info.weight();
        let mut bytes: u64 = self.kept.values().map(weight).sum();
        while self.kept.len() > MOST || bytes > MOST_BYTES && self.kept.len() > 1 {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                return;
            };
            bytes -= self.kept.remove(&oldest).as_ref().map_or(0, weight);
        }
    }
}

impl Modules {
    pub(super) fn new(store: Blobs, dir: Option<PathBuf>) -> Self {
        Self {
            store,
            shelf: dir.map(|dir| Arc::new(Shelf { dir })),
            known: Mutex::default(),
            analyses: Semaphore::new(ANALYSES),
            room: ReadBudget::new(IN_MEMORY),
        }
    }

    /// Returns what is known of a module that was fetched from this cluster before.
    pub(super) fn known(&self, hash: &str) -> Option<ModuleInfo> {
        let mut known = lock(&self.known);
        known.get(hash).map(|kept| kept.info.clone())
    }

    fn in_memory(&self, hash: &str) -> Option<Arc<Held>> {
        let mut known = lock(&self.known);
        known.get(hash).and_then(|kept| kept.module.upgrade())
    }

    /// Returns the module that `head` names, to be held as long as its bytes are needed.
    pub(super) async fn get(
        &self,
        head: &TasksHead,
        limits: &Limits,
    ) -> Result<Arc<Held>, NotReady> {
        let hash = &head.module;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err(refused(format!(
                "`{}` is not a valid module hash",
                plain::in_line(hash)
            )));
        }
        if let Some(module) = self.in_memory(hash) {
            return Ok(module);
        }
        let turn = {
            let mut known = lock(&self.known);
            // Of those who gave up waiting, nobody removes the lock.
            known.fetching.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(known.fetching.entry(hash.clone()).or_default())
        };
        let turn = turn.lock_owned().await;
        if let Some(module) = self.in_memory(hash) {
            return Ok(module);
        }
        if let Some(refusal) = lock(&self.known).refusal(hash) {
            return Err(refusal);
        }
        let made = self.make(head, limits).await.map(Arc::new);
        let mut known = lock(&self.known);
        if let Ok(module) = &made {
            known.keep(hash, module);
        }
        // Whoever waits has the lock by itself, and finds the module or is the next to fetch it.
        known.fetching.remove(hash);
        drop(known);
        drop(turn);
        made
    }

    /// Reads the module from disk, or fetches it.
    async fn make(&self, head: &TasksHead, limits: &Limits) -> Result<Held, NotReady> {
        if let Some(shelf) = &self.shelf {
            let (shelf, hash, limit) = (Arc::clone(shelf), head.module.clone(), limits.module);
            if let Some((file, size)) = aside(move || shelf.open(&hash)).await? {
                let room = self.room.charge(size.min(limit.bytes())).await;
                let found = aside(move || Shelf::read(&file, limit)).await?;
                if let Some(bytes) = found
                    && let Ok(module) = self.load(head, bytes, limits).await
                {
                    return Ok(Held {
                        module,
                        _room: room,
                    });
                }
            }
        }
        let limit = limits.module.bytes();
        let got = self.store.get_within(&head.module, limit, &self.room).await;
        let Charged { bytes, room } = match got {
            Err(error @ BlobError::TooLarge { .. }) => {
                return Err(refused(error.to_string()));
            }
            Err(BlobError::Missing { .. }) => {
                return Err(NotReady::Later(format!(
                    "the server does not have the module {} yet",
                    head.module
                )));
            }
            other => other?,
        };
        let module = self.load(head, bytes, limits).await?;
        if let Some(shelf) = &self.shelf {
            let (shelf, module) = (Arc::clone(shelf), module.clone());
            aside(move || shelf.put(&module)).await?;
        }
        Ok(Held {
            module,
            _room: room,
        })
    }

    /// Loads nothing but the requested module. Analyzing takes as long as the module is large, and results and heartbeats
    /// go on meanwhile.
    async fn load(
        &self,
        head: &TasksHead,
        bytes: Bytes,
        limits: &Limits,
    ) -> Result<Module, NotReady> {
        // It is never closed.
        let _one_of_few = self.analyses.acquire().await;
        let (name, limits) = (head.name.clone(), limits.clone());
        let wanted = head.module.clone();
        let load = move || {
            let loaded = Module::from_bytes_within(name, bytes.clone(), &limits);
            loaded.map_err(|error| {
                // Its job decides how large it may be, and other bytes that were stored under its name prove nothing.
                let is_too_large = matches!(error, LoadError::TooLarge { .. });
                let stays = !is_too_large && ModuleHash::of(&bytes).to_string() == wanted;
                (error, stays)
            })
        };
        let module = politely(load).await?.map_err(|(error, stays)| {
            let message = format!("the module cannot be loaded here: {error}");
            if stays {
                lock(&self.known).refuse(&head.module, &message);
            }
            refused(message)
        })?;
        if module.hash().to_string() != head.module {
            return Err(refused(format!(
                "received the module {}, but {} was requested",
                module.hash(),
                head.module
            )));
        }
        Ok(module)
    }
}

/// Does something that takes its time on another thread than that of the connection.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotReady> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| NotReady::Failed(Failure::new(FailureCode::Internal, error.to_string())))
}

/// Does the same on a thread that leaves the processor to the tasks that run, as compilers do.
async fn politely<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotReady> {
    let (answer, answered) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("rwasm-analyze".to_owned())
        .spawn(move || {
            // Of this thread alone. Without it, it takes as much as a task.
            #[cfg(target_os = "linux")]
            let _ = rustix::process::nice(COURTESY);
            // Whoever asked may have gone.
            let _ = answer.send(work());
        });
    thread.map_err(|error| NotReady::Later(format!("a module cannot be analyzed: {error}")))?;
    answered.await.map_err(|_| {
        let message = "the thread that analyzed the module has panicked";
        NotReady::Failed(Failure::new(FailureCode::Internal, message))
    })
}

/// The modules on disk, in a private directory. Their names are their hashes, which are checked when they are loaded.
struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    fn path(&self, hash: &str) -> PathBuf {
        self.dir.join(format!("{hash}.wasm"))
    }

    /// Opens a module that is there, and returns its size in bytes.
    fn open(&self, hash: &str) -> Option<(File, u64)> {
        let file = File::open(self.path(hash)).ok()?;
        let size = file.metadata().ok()?.len();
        Some((file, size))
    }

    /// Reads a module of at most this size, and marks it as used.
    fn read(mut file: &File, limit: ByteSize) -> Option<Bytes> {
        let mut bytes = Vec::new();
        let most = limit.bytes().saturating_add(1);
        (&mut file).take(most).read_to_end(&mut bytes).ok()?;
        // Without it the module goes earlier.
        let _ = file.set_modified(SystemTime::now());
        Some(bytes.into())
    }

    /// Written aside and renamed. It is not synced, since its hash is compared when it is read; a module that cannot be kept
    /// or read is fetched again.
    fn put(&self, module: &Module) {
        let write = || -> std::io::Result<()> {
            let mut builder = fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.recursive(true).create(&self.dir)?;
            let name = module.hash().to_string();
            let mut file = Aside::beside(&self.path(&name))?;
            file.write_all(module.bytes())?;
            file.complete_unsynced()?;
            self.trim(&name)
        };
        if let Err(error) = write() {
            tracing::debug!(%error, "cannot keep a module on disk");
        }
    }

    /// Removes what was not used for the longest time until the rest is within its size, but not what was just put there.
    fn trim(&self, newest: &str) -> std::io::Result<()> {
        let mut kept = Vec::new();
        let mut total = 0;
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            // Another process may have removed it.
            let Ok(meta) = fs::symlink_metadata(&path) else {
                continue;
            };
            let used = meta.modified()?;
            if path
                .extension()
                .is_some_and(|extension| extension == "wasm")
            {
                total += meta.len();
                kept.push((used, meta.len(), path));
            }
        }
        kept.sort_unstable();
        let newest = self.path(newest);
        for (_, size, path) in kept {
            if total <= MOST_ON_DISK {
                break;
            }
            if path != newest && fs::remove_file(path).is_ok() {
                total -= size;
            }
        }
        Ok(())
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(message: String) -> NotReady {
    NotReady::Failed(Failure::new(FailureCode::BadInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(number: u64) -> Module {
        let text = format!("(module (func (export \"f\") (result i64) i64.const {number}))");
        Module::from_bytes("test", text).expect("it is a module")
    }

    fn held(number: u64) -> Held {
        let room = ReadBudget::new(1);
        Held {
            module: module(number),
            _room: pollster::block_on(room.charge(1)),
        }
    }

    #[test]
    fn the_last_used_are_known_and_have_bytes_while_somebody_has_them() {
        let mut known = Known::default();
        let first = Arc::new(held(0));
        known.keep("0", &first);
        for number in 1..MOST as u64 + 8 {
            known.keep(&number.to_string(), &Arc::new(held(number)));
            assert!(
                known
                    .get("0")
                    .is_some_and(|kept| kept.module.upgrade().is_some())
            );
        }
        assert_eq!(known.kept.len(), MOST);
        assert!(known.get("1").is_none());
        drop(first);
        assert!(
            known
                .get("0")
                .is_some_and(|kept| kept.module.upgrade().is_none())
        );
    }

    #[test]
    fn the_last_refusals_are_known() {
        let mut known = Known::default();
        for number in 0..MOST + 8 {
            known.refuse(&number.to_string(), "it is broken");
            known.refuse("always", "it is not a module");
        }
        assert_eq!(known.refused.len(), MOST);
        assert!(known.refusal("0").is_none());
        let refusal = known.refusal("always");
        assert!(
            matches!(refusal, Some(NotReady::Failed(failure)) if failure.message == "it is not a module")
        );
    }

    #[cfg(unix)]
    #[test]
    fn those_on_disk_are_private_and_bounded() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let shelf = Shelf {
            dir: dir.path().join("modules"),
        };
        let (first, second) = (module(1), module(2));
        shelf.put(&first);
        let mode = |path: &std::path::Path| {
            let meta = fs::metadata(path).expect("it is there");
            meta.permissions().mode() & 0o777
        };
        let of_first = shelf.path(&first.hash().to_string());
        assert_eq!((mode(&shelf.dir), mode(&of_first)), (0o700, 0o600));
        // As if it were large, which takes no room.
        let large = File::options().write(true).open(&of_first);
        large
            .and_then(|file| file.set_len(MOST_ON_DISK))
            .expect("a sparse file");
        let hash = first.hash().to_string();
        let (file, size) = shelf.open(&hash).expect("it is there");
        assert_eq!(size, MOST_ON_DISK);
        let read = Shelf::read(&file, ByteSize::kib(1));
        assert!(read.is_some_and(|bytes| bytes.len() == 1025));
        shelf.put(&second);
        assert!(!of_first.exists());
        assert!(shelf.path(&second.hash().to_string()).exists());
    }
}
