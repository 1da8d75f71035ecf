//! From a module's bytes to compiled code, by way of the cache where there is one.

use super::cache::CodeCache;
use super::load::LoadError;
use super::module::Module;
use super::variant::Variant;
use std::fs::File;
use std::path::Path;

/// What the two kinds of compiled code have in common.
pub(super) trait Code: Sized {
    /// Distinguishes the kinds in the cache.
    const KIND: &'static str;

    fn compile(engine: &wasmtime::Engine, bytes: &[u8]) -> wasmtime::Result<Self>;
    fn serialize(&self) -> wasmtime::Result<Vec<u8>>;

    /// Maps code that [`Code::serialize`] gave: the open file, which is the one at `path`.
    fn map(engine: &wasmtime::Engine, file: File, path: &Path) -> wasmtime::Result<Self>;
}

impl Code for wasmtime::Module {
    const KIND: &'static str = "core";

    fn compile(engine: &wasmtime::Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        Self::from_binary(engine, bytes)
    }

    fn serialize(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    #[expect(
        unsafe_code,
        reason = "the one way to map compiled code; it is our own"
    )]
    fn map(engine: &wasmtime::Engine, file: File, _: &Path) -> wasmtime::Result<Self> {
        // SAFETY: the file is from our private cache directory: written by `serialize` of the
        // same build of wasmtime, checked against its checksum, and never changed in place.
        unsafe { Self::deserialize_open_file(engine, file) }
    }
}

impl Code for wasmtime::component::Component {
    const KIND: &'static str = "component";

    fn compile(engine: &wasmtime::Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        Self::from_binary(engine, bytes)
    }

    fn serialize(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    #[expect(
        unsafe_code,
        reason = "the one way to map compiled code; it is our own"
    )]
    fn map(engine: &wasmtime::Engine, _: File, path: &Path) -> wasmtime::Result<Self> {
        // SAFETY: as for modules above. Another process may have put its own file there since
        // the check, by a rename, and then checked nothing less than we do.
        unsafe { Self::deserialize_file(engine, path) }
    }
}

/// The compiled code of `module`. `bytes` gives what is compiled: the module itself, or the
/// component that was made of it.
pub(super) fn compiled<C: Code>(
    variant: &Variant,
    cache: Option<&CodeCache>,
    module: &Module,
    bytes: impl FnOnce() -> Result<bytes::Bytes, LoadError>,
) -> Result<C, LoadError> {
    let name = format!(
        "{}-{}-{:016x}",
        module.hash(),
        C::KIND,
        variant.compatibility()
    );
    if let Some(cache) = cache
        && let Some(file) = cache.get(&name)
    {
        match C::map(&variant.engine, file, &cache.path(&name)) {
            Ok(code) => return Ok(code),
            Err(_) => cache.discard(&name),
        }
    }
    let code = C::compile(&variant.engine, &bytes()?)
        .map_err(|error| LoadError::invalid(module, format!("{error:#}")))?;
    if let Some(cache) = cache
        && let Ok(serialized) = code.serialize()
    {
        // A full disk or a read-only cache is no reason to fail: the code is at hand.
        let _ = cache.put(&name, &serialized);
    }
    Ok(code)
}
