//! The sandbox: the one layer that knows wasmtime. It loads modules, makes them ready to run,
//! and runs tasks in them under limits.
//!
//! From a file to a run: `load` and `wit` (with `signature`) say what a module is, within
//! `room` and with `foreign` parsers contained; `names` finds a function by its name; `printed` writes its WIT, `strip`
//! makes other bytes of it; `function` checks what is asked of
//! it against Rust's types; `variant`, `compile`, `compiler`, `helper` and `cache`
//! turn it into code; `program` binds its imports; `runner` runs a task in it, by way of `core`
//! (with `abi`) or `component` (with `bulk`); `state`, `wasi`, `files`, `stdio` and `clock` are what the guest sees of the host;
//! `host` is what it may ask of it; `failure` says why it was stopped. It knows nothing of engines, jobs or input files' names.

mod foreign;
mod function;
mod imports;
mod load;
mod merged;
mod module;
mod names;
mod needs;
mod numeric;
mod printed;
mod room;
mod signature;
mod strip;
mod wit;

mod cache;
mod compile;
mod compiler;
mod helper;
mod program;
mod stubs;
mod ticker;
mod variant;

mod abi;
mod bulk;
mod component;
mod core;
mod request;
mod runner;
mod text;
mod val;
mod valid;

mod clock;
mod failure;
mod files;
mod host;
mod net;
mod quota;
mod state;
mod stdio;
mod wasi;

pub use cache::{CacheInfo, CodeCache, Prune, Pruned};
#[doc(hidden)]
pub use compile::CodeSource;
pub use compiler::{CompileLimit, Compiler};
pub use function::{Callable, DynamicCallable, FunctionError};
pub use helper::compile_worker;
pub use host::{HostCall, HostError, HostFunctions, HostFunctionsError, HostParams};
pub use load::LoadError;
pub use module::{Form, Function, Import, Module, ModuleHash, Uncallable};
pub use needs::Need;
#[doc(hidden)]
pub use net::Peers;
pub use program::Lowering;
#[doc(hidden)]
pub use program::Program;
#[doc(hidden)]
pub use request::{Arguments, Callee, Report, Request, Setting, Surroundings};
#[doc(hidden)]
pub use runner::{Runner, Session};
#[doc(hidden)]
pub use text::value_type;

#[cfg(test)]
mod tests;

use crate::limits::Limits;
use compile::Supply;
use std::sync::{Arc, Mutex, PoisonError};
use variant::Variant;
#[doc(hidden)]
pub use variant::VariantKey;

/// Each variant has a pool and a thread of its own.
const MAX_VARIANTS: usize = 8;

/// What programs are made with: the variants of a cluster and its cache of compiled code.
/// Locked when a module is loaded, never on the way of a task.
#[doc(hidden)]
pub struct Sandbox {
    engines: u32,
    source: CodeSource,
    lowering: Lowering,
    strict_imports: bool,
    host: HostFunctions,
    variants: Mutex<Vec<Arc<Variant>>>,
}

impl Sandbox {
    /// The sandbox of a cluster with `engines` engines. The variant that its jobs want first is made at
    /// once, so that a machine that cannot run any is known at the start.
    ///
    /// # Errors
    /// When wasmtime cannot run here; the text says why.
    #[doc(hidden)]
    pub fn new(
        engines: u32,
        first: VariantKey,
        source: CodeSource,
        lowering: Lowering,
        strict_imports: bool,
        host: HostFunctions,
    ) -> Result<Self, String> {
        let first = Variant::new(first, engines).map_err(|error| format!("{error:#}"))?;
        Ok(Self {
            engines,
            source,
            lowering,
            strict_imports,
            host,
            variants: Mutex::new(vec![Arc::new(first)]),
        })
    }

    /// Makes `module` ready to run on the variant, compiled under `limits`.
    ///
    /// # Errors
    /// When it does not compile or its imports cannot be bound.
    #[doc(hidden)]
    pub fn program(
        &self,
        module: &Module,
        key: VariantKey,
        limits: &Limits,
    ) -> Result<Program, LoadError> {
        let variant = self.variant(key).map_err(|error| {
            LoadError::invalid(
                module,
                format!("no engine can be configured for it: {error:#}"),
            )
        })?;
        Program::new(
            module.clone(),
            variant,
            &Supply {
                source: &self.source,
                limits,
            },
            self.lowering,
            self.strict_imports,
            &self.host,
        )
    }

    /// Stops what compiles, and lets the variants go, and with the last programs made of them their
    /// threads.
    #[doc(hidden)]
    pub fn close(&self) {
        self.source.close();
        let mut variants = self.variants.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = std::mem::take(&mut *variants);
        drop(variants);
        drop(gone);
    }

    /// Whether instances come from a pool; otherwise each is mapped anew, which is slower.
    #[doc(hidden)]
    pub fn is_pooled(&self) -> bool {
        let variants = self.variants.lock().unwrap_or_else(PoisonError::into_inner);
        variants.iter().all(|variant| variant.pooled)
    }

    fn variant(&self, key: VariantKey) -> wasmtime::Result<Arc<Variant>> {
        let mut variants = self.variants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(variant) = variants.iter().find(|variant| variant.key == key) {
            return Ok(Arc::clone(variant));
        }
        if variants.len() == MAX_VARIANTS {
            wasmtime::bail!(
                "the jobs of this cluster have used {MAX_VARIANTS} combinations of stack size, fuel and determinism, the most that one can have"
            );
        }
        let variant = Arc::new(Variant::new(key, self.engines)?);
        variants.push(Arc::clone(&variant));
        Ok(variant)
    }
}
