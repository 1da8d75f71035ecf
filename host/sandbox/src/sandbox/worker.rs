//! The sandbox of a worker: a process of this build that runs tasks behind a second wall.

use super::compile::compiler::Compiler;
use super::compile::sealed::whole;
use super::compile::variant::{Room, VariantKey};
use super::compile::{CodeSource, Supply};
use super::module::load::LoadError;
use super::module::{Module, ModuleInfo};
use super::run::portable::Portable;
use super::run::program::{Lowering, Program};
use super::world::host::HostFunctions;
use super::{Sandbox, Variants, has_addresses, no_engine};
use crate::limits::Limits;
use rwasm_value::ids::TenantId;
use rwasm_value::units::ByteSize;
use std::io;
use std::sync::Mutex;

impl Sandbox {
    /// The sandbox of a worker with one engine, which takes all programs from elsewhere. No thread is started before
    /// [`Self::begin`].
    ///
    /// # Errors
    ///
    /// Returns an error if wasmtime cannot run here; the text says why.
    #[doc(hidden)]
    pub fn still(key: VariantKey) -> Result<Self, String> {
        let mut variants = Variants::default();
        // As it is where its code is made, under the same limit.
        if !has_addresses() {
            variants.room = Room::Little;
        }
        let made = variants.get(key, 1, false);
        made.map_err(|error| format!("{error:#}"))?;
        Ok(Self {
            engines: 1,
            source: CodeSource::new(None, Compiler::PrecompiledOnly),
            // Each program brings its own.
            lowering: Lowering::default(),
            strict_imports: false,
            host: HostFunctions::default(),
            is_portable: false,
            variants: Mutex::new(variants),
        })
    }

    /// Lets time pass for what runs in it.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    #[doc(hidden)]
    pub fn begin(&self) -> io::Result<()> {
        let ticker = self.lock().ticker.upgrade();
        ticker.map_or(Ok(()), |ticker| ticker.begin())
    }

    /// Makes programs that only workers can run. What is wrong with a module is found here all the same.
    #[doc(hidden)]
    #[must_use]
    pub fn for_workers(mut self) -> Self {
        self.is_portable = true;
        self
    }

    /// Whether only workers can run its programs.
    #[doc(hidden)]
    #[must_use]
    pub fn is_for_workers(&self) -> bool {
        self.is_portable
    }

    /// Returns the settings for which the module is compiled.
    #[doc(hidden)]
    #[must_use]
    pub fn key_for(module: &ModuleInfo, key: VariantKey) -> VariantKey {
        key.with(module.demands())
    }

    /// Makes the program of what another process of this build has made, with the embedder's functions as they are here.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read, or is not what it should be.
    #[doc(hidden)]
    pub fn program_of(
        &self,
        portable: &Portable,
        host: &HostFunctions,
    ) -> Result<Program, LoadError> {
        let unreadable = |source| LoadError::Unreadable {
            path: portable.name.clone().into(),
            source,
        };
        let bytes = whole(&portable.module).map_err(unreadable)?;
        // Whoever sent it has looked at its size.
        let limits = Limits {
            module: ByteSize::new(u64::MAX),
            ..Limits::default()
        };
        let module = Module::from_bytes_within(&portable.name, bytes, &limits)?;
        let variant = self
            .variant(portable.key)
            .map_err(|error| no_engine(&module, &error))?;
        let supply = Supply {
            has_compiled: std::cell::Cell::new(false),
            source: &self.source,
            limits: &limits,
            tenant: TenantId::default(),
            given: Some(&portable.code),
        };
        let lowering = if portable.as_component {
            Lowering::Component
        } else {
            Lowering::Core
        };
        let strict = portable.strict_imports;
        Program::new(&module, variant, &supply, lowering, strict, host)
    }
}
