//! The sandbox: the only layer that knows wasmtime. It loads modules, prepares them for running,
//! and runs tasks in them under limits.
//!
//! From a file to a run: `load` (with `facts`) and `wit` (with `signature`) analyse a module, within `room` and
//! with panics of parsers contained by `foreign`. `names` finds a function by its name, `printed`
//! writes the WIT of a module, `strip` makes other modules from it, and `function` checks its types
//! against Rust's. `variant`, `compile`, `compiler`, `helper` and `cache` turn it into code, and
//! `program` binds its imports. `runner` runs a task, by means of `core` (with `abi`) or
//! `component` (with `bulk`). `state`, `wasi`, `files`, `net`, `stdio` and `clock` are what the
//! guest sees of the host, `host` is what it may ask of it, and `failure` describes why it stopped.
//! The sandbox knows nothing of engines, jobs, or the names of input files.

mod facts;
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

/// The most variants: each has its own pool and thread.
const MAX_VARIANTS: usize = 8;

/// The basis of programs: a cluster's variants and its code cache. Locked when a module is loaded,
/// never while a task runs.
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
    /// The sandbox of a cluster with `engines` engines. The variant that its jobs need first is
    /// created at once, so that a machine that cannot run any is found out at the start.
    ///
    /// # Errors
    ///
    /// Returns an error if wasmtime cannot run here; the text says why.
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

    /// Prepares `module` for running on the variant, compiled under `limits`.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not compile or its imports cannot be bound.
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

    /// Stops compilation and drops the variants. Their threads end with the last program made of
    /// them.
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
