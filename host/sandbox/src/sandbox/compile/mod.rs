//! From the bytes of a module to compiled code: from the `cache` if there is one with the code,
//! otherwise from the cluster's `compiler`, in this process or in a `helper`. Code belongs to a
//! `variant`, whose `ticker` advances its epoch.

mod bounded;
pub(super) mod cache;
pub(super) mod compiler;
pub(super) mod helper;
pub(super) mod sealed;
pub(super) mod ticker;
mod turns;
pub(super) mod variant;

use crate::limits::Limits;
use crate::sandbox::module::Module;
use crate::sandbox::module::load::CompileLimit;
use crate::sandbox::module::load::LoadError;
use crate::sandbox::module::valid::expect_compilable;
use bounded::NoCode;
use bytes::Bytes;
use cache::CodeCache;
use compiler::Compiler;
use helper::{CodeKind, HelperError, Helpers, Passed, Task};
use rwasm_value::ids::TenantId;
use sealed::{sealed, whole};
use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use turns::Turns;
use variant::Variant;
use wasmtime::component::Component;

/// What the two kinds of compiled code have in common.
pub(super) trait Code: Sized + Send + 'static {
    /// Distinguishes the kinds in the cache.
    const KIND: CodeKind;

    fn compile(engine: &wasmtime::Engine, bytes: &[u8]) -> wasmtime::Result<Self>;

    /// The bytes of its image in memory.
    fn size(&self) -> u64;
    fn serialize(&self) -> wasmtime::Result<Vec<u8>>;

    /// Maps code that [`Code::serialize`] produced: `file` is open and is the one at `path`.
    fn map(engine: &wasmtime::Engine, file: File, path: &Path) -> wasmtime::Result<Self>;

    /// Takes code from a file of which nobody needs to know the name.
    fn open(engine: &wasmtime::Engine, file: &File) -> wasmtime::Result<Self>;

    /// Maps code that a helper process produced.
    fn take(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Self>;
}

/// wasmtime's two types have the same functions, but for the one that maps a file.
macro_rules! code {
    ($code:ty, $kind:ident, $map:expr, $open:expr) => {
        impl Code for $code {
            const KIND: CodeKind = CodeKind::$kind;

            fn compile(engine: &wasmtime::Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
                expect_compilable(bytes)?;
                Self::from_binary(engine, bytes)
            }

            fn size(&self) -> u64 {
                let image = self.image_range();
                (image.end.addr() - image.start.addr()) as u64
            }

            fn serialize(&self) -> wasmtime::Result<Vec<u8>> {
                self.serialize()
            }

            fn map(engine: &wasmtime::Engine, file: File, path: &Path) -> wasmtime::Result<Self> {
                $map(engine, file, path)
            }

            fn open(engine: &wasmtime::Engine, file: &File) -> wasmtime::Result<Self> {
                $open(engine, file)
            }

            #[expect(
                unsafe_code,
                reason = "the one way to take what another process compiled"
            )]
            fn take(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Self> {
                // SAFETY: a program that the embedder named as its own compiler gave the code, for an
                // engine of this compatibility, and it is as it was when it gave it: its checksum was
                // compared.
                unsafe { Self::deserialize(engine, code) }
            }
        }
    };
}

code!(wasmtime::Module, Core, map_module, |engine, file: &File| {
    map_module(engine, file.try_clone()?, Path::new(""))
});
// Components are mapped by their names alone.
code!(Component, Component, map_component, |engine, file| {
    Component::take(engine, &whole(file)?)
});

#[expect(
    unsafe_code,
    reason = "the one way to map compiled code; it is our own"
)]
fn map_module(
    engine: &wasmtime::Engine,
    file: File,
    _: &Path,
) -> wasmtime::Result<wasmtime::Module> {
    // SAFETY: the file is from our private cache directory: written by `serialize` of the
    // same build of wasmtime, checked against its checksum, and never changed in place.
    unsafe { wasmtime::Module::deserialize_open_file(engine, file) }
}

#[expect(
    unsafe_code,
    reason = "the one way to map compiled code; it is our own"
)]
fn map_component(engine: &wasmtime::Engine, _: File, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: as for modules above. Another process may have put its own file there since
    // the check, by a rename, and then checked nothing less than we do.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Where a cluster gets its compiled code.
#[derive(Default)]
#[doc(hidden)]
pub struct CodeSource {
    cache: Option<CodeCache>,
    compiler: Compiler,
    helpers: Helpers,
    turns: Turns,
}

/// The same, under the limits of whoever wants the code.
pub(super) struct Supply<'a> {
    pub(super) source: &'a CodeSource,
    pub(super) limits: &'a Limits,
    pub(super) tenant: TenantId,
    /// The code, if it was compiled elsewhere.
    pub(super) given: Option<&'a File>,
    /// Whether anything was compiled, so that not all of it was in the cache.
    pub(super) has_compiled: Cell<bool>,
}

impl CodeSource {
    #[doc(hidden)]
    pub fn new(cache: Option<CodeCache>, compiler: Compiler) -> Self {
        Self {
            cache,
            compiler,
            helpers: Helpers::default(),
            turns: Turns::default(),
        }
    }

    /// Stops compilation in other processes; in this process it cannot be stopped.
    pub(super) fn close(&self) {
        self.turns.close();
        self.helpers.close();
    }

    /// Returns how many modules are compiled before the one with this hash, or at the same time; none if it is not being
    /// compiled here.
    pub(super) fn compiling_before(&self, module: &str) -> Option<usize> {
        self.turns.before(module)
    }

    /// Has a module that waits for its turn wait for one of this tenant's, too.
    pub(super) fn wanted_too(&self, module: &str, tenant: TenantId) {
        self.turns.wanted_too(module, tenant);
    }

    /// Returns the code with that name, if it is in the cache and suits this engine.
    fn cached<C: Code>(&self, engine: &wasmtime::Engine, name: &str) -> Option<C> {
        let cache = self.cache.as_ref()?;
        let file = cache.get(name)?;
        let code = C::map(engine, file, &cache.path(name)).ok();
        if code.is_none() {
            // It is of another build or other settings, under a name that is not its own.
            cache.discard(name);
        }
        code
    }

    /// Returns code that was just used, as a file: the cache's, or one without a name.
    pub(super) fn file<C: Code>(
        &self,
        code: &C,
        variant: &Variant,
        module: &Module,
    ) -> wasmtime::Result<File> {
        let name = CodeCache::name(module.code_hash(), C::KIND, variant.compatibility());
        if let Some(cache) = &self.cache
            && let Ok(file) = File::open(cache.path(&name))
            && file.metadata().is_ok_and(|found| found.is_file())
        {
            return Ok(file);
        }
        Ok(sealed(&code.serialize()?)?)
    }

    /// Keeps code for the next start. A full disk or a read-only cache is not an error, since the
    /// code is at hand.
    fn keep(&self, name: &str, code: &mut impl Read) -> bool {
        let cache = self.cache.as_ref();
        cache.is_some_and(|cache| cache.put(name, code).is_ok())
    }
}

impl Supply<'_> {
    /// Returns the compiled code of `module`. `bytes` returns what is compiled: the module itself,
    /// or the component made from it.
    pub(super) fn code<C: Code>(
        &self,
        variant: &Variant,
        module: &Module,
        bytes: impl FnOnce() -> Result<Bytes, LoadError>,
    ) -> Result<C, LoadError> {
        if let Some(file) = self.given {
            let crashed = |error: wasmtime::Error| LoadError::invalid(module, format!("{error:#}"));
            return C::open(&variant.engine, file).map_err(crashed);
        }
        let name = CodeCache::name(module.code_hash(), C::KIND, variant.compatibility());
        if let Some(code) = self.source.cached(&variant.engine, &name) {
            return Ok(code);
        }
        if self.source.compiler == Compiler::PrecompiledOnly {
            return Err(LoadError::NotPrecompiled {
                name: module.name().to_owned(),
            });
        }
        let cache = self.source.cache.as_ref();
        let Some(_turn) = self.source.turns.begin(cache, &name, self.tenant) else {
            return Err(LoadError::ShutDown {
                name: module.name().to_owned(),
            });
        };
        // Whoever had the turn before may have made it.
        if let Some(code) = self.source.cached(&variant.engine, &name) {
            return Ok(code);
        }
        self.has_compiled.set(true);
        match &self.source.compiler {
            Compiler::InProcess => {
                let code = C::compile(&variant.engine, &bytes()?)
                    .map_err(|error| LoadError::invalid(module, format!("{error:#}")))?;
                Ok(self.kept(&name, code))
            }
            Compiler::Bounded => {
                let code =
                    bounded::compile::<C>(&variant.engine, bytes()?, self.limits.compile_time)
                        .map_err(|why| self.no_code(module, why))?;
                if code.size() > self.limits.compiled.bytes() {
                    return Err(LoadError::CompileLimit {
                        name: module.name().to_owned(),
                        limit: CompileLimit::Code(self.limits.compiled),
                    });
                }
                Ok(self.kept(&name, code))
            }
            Compiler::Helper(program) => {
                let compiled = self.ask(program, C::KIND, variant, module, bytes()?)?;
                self.take(&compiled, &name, variant, module)
            }
            Compiler::PrecompiledOnly => Err(LoadError::NotPrecompiled {
                name: module.name().to_owned(),
            }),
        }
    }

    /// Keeps code that was compiled in this process for the next start.
    fn kept<C: Code>(&self, name: &str, code: C) -> C {
        if self.source.cache.is_some()
            && let Ok(serialized) = code.serialize()
        {
            self.source.keep(name, &mut serialized.as_slice());
        }
        code
    }

    /// Says why the compiler in this process gave no code.
    fn no_code(&self, module: &Module, why: NoCode) -> LoadError {
        let name = module.name().to_owned();
        match why {
            NoCode::Invalid(error) => LoadError::invalid(module, format!("{error:#}")),
            NoCode::Time => LoadError::CompileLimit {
                name,
                limit: CompileLimit::Time(self.limits.compile_time),
            },
            NoCode::Stuck(count) => LoadError::CompilersStuck { name, count },
            NoCode::Crashed(message) => LoadError::CompilerCrashed { name, message },
        }
    }

    /// Lets a helper process compile the module.
    fn ask(
        &self,
        program: &Path,
        kind: CodeKind,
        variant: &Variant,
        module: &Module,
        bytes: Bytes,
    ) -> Result<File, LoadError> {
        let limits = self.limits;
        let task = Task {
            kind,
            variant,
            module: bytes,
            time: limits.compile_time,
            memory: limits.compile_memory.bytes(),
            code: limits.compiled.bytes(),
        };
        let name = module.name().to_owned();
        let program = program.to_owned();
        let compiled = self.source.helpers.compile(&program, task);
        compiled.map_err(|error| match error {
            HelperError::Invalid(message) => LoadError::Invalid { name, message },
            HelperError::Limit(passed) => LoadError::CompileLimit {
                name,
                limit: match passed {
                    Passed::Time => CompileLimit::Time(limits.compile_time),
                    Passed::Memory => CompileLimit::Memory(limits.compile_memory),
                    Passed::Code => CompileLimit::Code(limits.compiled),
                },
            },
            HelperError::Crashed(message) => LoadError::CompilerCrashed { name, message },
            HelperError::Mismatch => LoadError::CompilerMismatch { name, program },
            HelperError::Unavailable(source) => LoadError::CompilerUnavailable {
                name,
                program,
                source,
            },
            HelperError::Closed => LoadError::ShutDown { name },
        })
    }

    /// Takes code from a helper process, by way of the cache if it can be written: code that is
    /// mapped from a file is in memory once for all processes.
    fn take<C: Code>(
        &self,
        mut compiled: &File,
        name: &str,
        variant: &Variant,
        module: &Module,
    ) -> Result<C, LoadError> {
        if self.source.keep(name, &mut compiled)
            && let Some(code) = self.source.cached(&variant.engine, name)
        {
            return Ok(code);
        }
        let crashed = |error: std::io::Error| LoadError::CompilerCrashed {
            name: module.name().to_owned(),
            message: format!("cannot read the code that it produced: {error}"),
        };
        let mut code = Vec::new();
        compiled.rewind().map_err(crashed)?;
        compiled.read_to_end(&mut code).map_err(crashed)?;
        C::take(&variant.engine, &code)
            .map_err(|error| LoadError::invalid(module, format!("{error:#}")))
    }
}
