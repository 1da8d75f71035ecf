//! Modules fetched from a cluster: verified by their hash, kept on disk and in memory.

use super::task::NotReady;
use crate::nats::blob::{BlobError, Blobs};
use crate::nats::wire::TasksHead;
use bytes::Bytes;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::{Failure, FailureCode};
use rwasm_sandbox::sandbox::Module;
use rwasm_value::aside::Aside;
use rwasm_value::plain;
use rwasm_value::units::ByteSize;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::Semaphore;

/// Modules that are kept in memory, and their bytes; beyond that, those on disk are read again.
const MOST: usize = 64;
const MOST_BYTES: u64 = 64 << 20;

/// The bytes of modules that are kept on disk; beyond that, they are fetched again.
const MOST_ON_DISK: u64 = 1 << 30;

/// How many modules are analyzed at a time: it takes a core each, and memory.
const ANALYSES: usize = 2;

/// See the [module](self).
pub(super) struct Modules {
    store: Blobs,
    shelf: Option<Arc<Shelf>>,
    known: Mutex<Known>,
    analyses: Semaphore,
}

/// What is known of modules, by their hashes.
#[derive(Default)]
struct Known {
    kept: HashMap<String, (Module, u64)>,
    /// Counts uses, to know the last.
    now: u64,
    /// Held while one is fetched, so that others who want it find it afterwards.
    fetching: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
}

impl Known {
    fn get(&mut self, hash: &str) -> Option<Module> {
        self.now += 1;
        let (module, used) = self.kept.get_mut(hash)?;
        *used = self.now;
        Some(module.clone())
    }

    /// Keeps a module, and lets those go that were not used for the longest time.
    fn keep(&mut self, hash: &str, module: Module) {
        self.now += 1;
        self.kept.insert(hash.to_owned(), (module, self.now));
        let size = |module: &Module| module.bytes().len() as u64;
        let mut bytes: u64 = self.kept.values().map(|(module, _)| size(module)).sum();
        while self.kept.len() > MOST || bytes > MOST_BYTES && self.kept.len() > 1 {
            let oldest = self.kept.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                return;
            };
            let gone = self.kept.remove(&oldest);
            bytes -= gone.map_or(0, |(module, _)| size(&module));
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
        }
    }

    /// Returns the module that `head` names.
    pub(super) async fn get(&self, head: &TasksHead, limits: &Limits) -> Result<Module, NotReady> {
        let hash = &head.module;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err(refused(format!(
                "`{}` is not a valid module hash",
                plain::in_line(hash)
            )));
        }
        let turn = {
            let mut known = lock(&self.known);
            if let Some(module) = known.get(hash) {
                return Ok(module);
            }
            // Of those who gave up waiting, nobody removes the lock.
            known.fetching.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(known.fetching.entry(hash.clone()).or_default())
        };
        let turn = turn.lock_owned().await;
        if let Some(module) = lock(&self.known).get(hash) {
            return Ok(module);
        }
        let made = self.make(head, limits).await;
        let mut known = lock(&self.known);
        if let Ok(module) = &made {
            known.keep(hash, module.clone());
        }
        // Whoever waits has the lock by itself, and finds the module or is the next to fetch it.
        known.fetching.remove(hash);
        drop(known);
        drop(turn);
        made
    }

    /// Reads the module from disk, or fetches it.
    async fn make(&self, head: &TasksHead, limits: &Limits) -> Result<Module, NotReady> {
        if let Some(shelf) = &self.shelf {
            let (shelf, hash, limit) = (Arc::clone(shelf), head.module.clone(), limits.module);
            let found = aside(move || shelf.take(&hash, limit)).await?;
            if let Some(bytes) = found
                && let Ok(module) = self.load(head, bytes, limits).await
            {
                return Ok(module);
            }
        }
        let limit = limits.module.bytes();
        let bytes = match self.store.get(&head.module, limit).await {
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
        Ok(module)
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
        let loaded = aside(move || Module::from_bytes_within(name, bytes, &limits)).await?;
        let module = loaded
            .map_err(|error| refused(format!("the module cannot be loaded here: {error}")))?;
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

/// The modules on disk, in a private directory. Their names are their hashes, which are checked when they are loaded.
struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    fn path(&self, hash: &str) -> PathBuf {
        self.dir.join(format!("{hash}.wasm"))
    }

    /// Reads a module of at most this size, and marks it as used.
    fn take(&self, hash: &str, limit: ByteSize) -> Option<Bytes> {
        let file = File::open(self.path(hash)).ok()?;
        let mut bytes = Vec::new();
        let most = limit.bytes().saturating_add(1);
        (&file).take(most).read_to_end(&mut bytes).ok()?;
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

    #[test]
    fn the_last_used_are_kept_in_memory() {
        let mut known = Known::default();
        for number in 0..MOST as u64 + 8 {
            known.keep(&number.to_string(), module(number));
            assert!(known.get("0").is_some());
        }
        assert_eq!(known.kept.len(), MOST);
        assert!(known.get("1").is_none());
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
        assert!(
            shelf
                .take(&hash, ByteSize::kib(1))
                .is_some_and(|bytes| bytes.len() == 1025)
        );
        shelf.put(&second);
        assert!(!of_first.exists());
        assert!(shelf.path(&second.hash().to_string()).exists());
    }
}
