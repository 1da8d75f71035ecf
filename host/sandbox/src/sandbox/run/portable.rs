//! A program as workers take it: processes of this build that run tasks behind a second wall. They have no compiler, no cache
//! and no name to open; what they run comes as open files.

use crate::sandbox::compile::variant::VariantKey;
use crate::sandbox::world::host::HostImport;
use std::fs::File;

/// What a program is made of, as open files: shared by all workers that run it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Portable {
    /// The module's name in errors.
    pub name: String,
    pub module: File,
    pub code: File,
    /// The settings of the `wasmtime::Engine` for which it was compiled.
    pub key: VariantKey,
    /// Whether its typed functions are called as those of a component.
    pub as_component: bool,
    /// Whether an import that nothing provides is refused.
    pub strict_imports: bool,
    /// The functions of the embedder's that it imports.
    pub host: Vec<HostImport>,
}
