//! Modules fetched from a cluster: verified by their hash, kept on disk and in memory.

use super::task::NotReady;
use crate::nats::blob::{BlobError, Blobs};
use crate::nats::wire::TasksHead;
use bytes::Bytes;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::{Failure, FailureCode};
use rwasm_sandbox::sandbox::Module;
use rwasm_value::aside::Aside;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Modules that are kept in memory; beyond that, those on disk are read again.
const MOST: usize = 64;

/// See the [module](self).
pub(super) struct Modules {
    store: Blobs,
    /// A private directory; `None` keeps nothing.
    dir: Option<PathBuf>,
    known: Mutex<HashMap<String, (Module, u64)>>,
    /// Held while a module is fetched, so that others find it afterwards.
    turn: tokio::sync::Mutex<u64>,
}

impl Modules {
    pub(super) fn new(store: Blobs, dir: Option<PathBuf>) -> Self {
        Self {
            store,
            dir,
            known: Mutex::default(),
            turn: tokio::sync::Mutex::new(0),
        }
    }

    /// Returns the module that `head` names.
    pub(super) async fn get(&self, head: &TasksHead, limits: &Limits) -> Result<Module, NotReady> {
        if let Some(module) = self.known(&head.module) {
            return Ok(module);
        }
        let mut turn = self.turn.lock().await;
        *turn += 1;
        if let Some(module) = self.known(&head.module) {
            return Ok(module);
        }
        let is_hash =
            head.module.len() == 64 && head.module.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err(refused(format!(
                "`{}` is not a valid module hash",
                head.module
            )));
        }
        let module = if let Some(module) = self.kept(head, limits) {
            module
        } else {
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
            let module = load(head, bytes, limits)?;
            self.keep(&module);
            module
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST
            && let Some(oldest) = known
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(name, _)| name.clone())
        {
            known.remove(&oldest);
        }
        known.insert(head.module.clone(), (module.clone(), *turn));
        Ok(module)
    }

    fn known(&self, hash: &str) -> Option<Module> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).map(|(module, _)| module.clone())
    }

    fn kept(&self, head: &TasksHead, limits: &Limits) -> Option<Module> {
        let path = self.dir.as_ref()?.join(format!("{}.wasm", head.module));
        let bytes = std::fs::read(path).ok()?;
        load(head, bytes.into(), limits).ok()
    }

    /// Written aside and renamed. It is not synced, since its hash is compared when it is read; a module that cannot be kept
    /// or read is fetched again.
    fn keep(&self, module: &Module) {
        let Some(dir) = &self.dir else { return };
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(dir)?;
            let mut file = Aside::beside(&dir.join(format!("{}.wasm", module.hash())))?;
            file.write_all(module.bytes())?;
            file.complete_unsynced()
        };
        if let Err(error) = write() {
            tracing::debug!(%error, "cannot keep a module on disk");
        }
    }
}

fn refused(message: String) -> NotReady {
    NotReady::Failed(Failure::new(FailureCode::BadInput, message))
}

/// Loads nothing but the requested module.
fn load(head: &TasksHead, bytes: Bytes, limits: &Limits) -> Result<Module, NotReady> {
    let module = Module::from_bytes_within(head.name.clone(), bytes, limits)
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
