//! The sandbox: the only layer that knows wasmtime. It loads modules, prepares them for running,
//! and runs tasks in them under limits.
//!
//! From bottom to top, and imports only point downwards: `abi` is how values cross into a guest,
//! `module` what a module is, `compile` how it becomes code, `world` what a guest sees of its host,
//! and `run` runs a task. `Sandbox` owns what all programs of a cluster share.
//! The sandbox knows nothing of engines, jobs, or the names of input files.

mod abi;
mod compile;
mod links;
mod module;
mod run;
mod worker;
mod world;

#[doc(hidden)]
pub use compile::CodeSource;
pub use compile::cache::{CacheInfo, CodeCache, Prune, Pruned};
pub use compile::compiler::Compiler;
pub use compile::helper::compile_worker;
pub use module::bytes_abi::{Abi, AbiError};
pub use module::function::{Callable, DynamicCallable, FunctionError, FunctionList};
pub use module::load::{CompileLimit, LoadError};
pub use module::needs::Need;
#[doc(hidden)]
pub use module::{Callee, Elementwise, value_type};
pub use module::{Form, Function, Import, Module, ModuleHash, ModuleInfo, Uncallable};
#[doc(hidden)]
pub use run::portable::Portable;
pub use run::program::Lowering;
#[doc(hidden)]
pub use run::program::Program;
#[doc(hidden)]
pub use run::runner::{KeptInstance, Runner, copied_size};
#[doc(hidden)]
pub use world::dirs::GrantedDirs;
#[doc(hidden)]
pub use world::host::{Carried, HostCarrier, HostFailure, HostImport};
pub use world::host::{HostCall, HostError, HostFunctions, HostFunctionsError, HostParams};
#[doc(hidden)]
pub use world::http::tls::{system_roots, trust_roots};
#[doc(hidden)]
pub use world::net::Peers;
#[doc(hidden)]
pub use world::request::{
    Arguments, Caller, CommandLine, PhaseMarks, Report, Request, Setting, Surroundings,
};
#[doc(hidden)]
pub use world::setting_form::SettingForm;

#[cfg(test)]
mod tests;

use crate::limits::Limits;
use compile::Supply;
use compile::ticker::Ticker;
#[doc(hidden)]
pub use compile::variant::VariantKey;
use compile::variant::{Room, Variant};
use rustix::process::{Resource, getrlimit};
use rwasm_value::ids::TenantId;
use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The basis of programs: a cluster's variants and its code cache. Locked when a module is loaded,
/// never while a task runs.
#[doc(hidden)]
pub struct Sandbox {
    engines: u32,
    source: CodeSource,
    lowering: Lowering,
    strict_imports: bool,
    host: HostFunctions,
    /// Whether its programs are for workers.
    is_portable: bool,
    variants: Mutex<Variants>,
}

/// The variants that there are, and the thread that all of them share, which ends with the last one.
#[derive(Default)]
struct Variants {
    list: Vec<Arc<Variant>>,
    ticker: Weak<Ticker>,
    room: Room,
}

impl Variants {
    /// Returns the variant, with a thread that ticks if it is to.
    fn get(
        &mut self,
        key: VariantKey,
        engines: u32,
        ticks: bool,
    ) -> wasmtime::Result<Arc<Variant>> {
        if let Some(variant) = self.list.iter().find(|variant| variant.key == key) {
            return Ok(Arc::clone(variant));
        }
        // Each has a pool. Those that no program needs are made again when one does; the first one stays.
        let mut place = 0;
        self.list.retain(|variant| {
            place += 1;
            place == 1 || Arc::strong_count(variant) > 1
        });
        let ticker = match self.ticker.upgrade() {
            Some(ticker) => ticker,
            None => Arc::new(Ticker::still()),
        };
        if ticks {
            ticker.begin()?;
        }
        self.ticker = Arc::downgrade(&ticker);
        let variant = Arc::new(Variant::new(key, engines, self.room, ticker)?);
        self.list.push(Arc::clone(&variant));
        Ok(variant)
    }
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
        let mut variants = Variants::default();
        if engines == 0 && !has_addresses() {
            variants.room = Room::Little;
        }
        let made = variants.get(first, engines, true);
        made.map_err(|error| format!("{error:#}"))?;
        Ok(Self {
            engines,
            source,
            lowering,
            strict_imports,
            host,
            is_portable: false,
            variants: Mutex::new(variants),
        })
    }

    /// Prepares `module` for running on the variant, compiled under `limits` when it is this tenant's turn.
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
        tenant: TenantId,
    ) -> Result<Program, LoadError> {
        let variant = self
            .variant(key.with(module.demands()))
            .map_err(|error| no_engine(module, &error))?;
        let supply = Supply {
            source: &self.source,
            limits,
            tenant,
            given: None,
            has_compiled: Cell::new(false),
        };
        let made = Program::new(
            module,
            variant,
            &supply,
            self.lowering,
            self.strict_imports,
            &self.host,
        );
        let mut program = made.map_err(|error| module::valid::explained(module, error))?;
        program.was_compiled = supply.has_compiled.get();
        if self.is_portable {
            let (lowering, strict) = (self.lowering, self.strict_imports);
            return program.into_portable(module, &self.source, lowering, strict, &self.host);
        }
        Ok(program)
    }

    /// Stops compilation and drops the variants, which end with the last program made of them.
    #[doc(hidden)]
    pub fn close(&self) {
        self.source.close();
        let mut variants = self.lock();
        let gone = std::mem::take(&mut variants.list);
        drop(variants);
        drop(gone);
    }

    /// Lets a module that is to be compiled for somebody else be compiled in a turn of this tenant, too, if that is sooner.
    #[doc(hidden)]
    pub fn wanted_too(&self, module: ModuleHash, tenant: TenantId) {
        self.source.wanted_too(&module.to_string(), tenant);
    }

    /// Returns how many modules are compiled before the one with this hash, or at the same time; none if it is not being
    /// compiled here.
    #[doc(hidden)]
    pub fn compiling_before(&self, module: &str) -> Option<usize> {
        self.source.compiling_before(module)
    }

    /// Whether instances come from a pool; otherwise each is mapped anew, which is slower.
    #[doc(hidden)]
    pub fn is_pooled(&self) -> bool {
        let variants = self.lock();
        variants.list.iter().all(|variant| variant.spacious)
    }

    fn variant(&self, key: VariantKey) -> wasmtime::Result<Arc<Variant>> {
        // A worker begins when it is confined; what it makes later ticks at once.
        self.lock().get(key, self.engines, true)
    }

    fn lock(&self) -> MutexGuard<'_, Variants> {
        self.variants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_engine(module: &Module, error: &wasmtime::Error) -> LoadError {
    let message = format!("no engine can be configured for it: {error:#}");
    LoadError::invalid(module, message)
}

/// Whether the addresses of this process and of those that it starts are not limited.
fn has_addresses() -> bool {
    getrlimit(Resource::As).current.is_none()
}
