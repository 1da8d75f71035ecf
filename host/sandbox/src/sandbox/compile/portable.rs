//! A program as workers take it: processes of this build that run tasks behind a second wall. They have no compiler, no cache
//! and no name to open; what they run comes as open files.

use super::helper::unnamed_file;
use super::variant::VariantKey;
use crate::sandbox::module::Module;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

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
}

impl Portable {
    /// A module, in a file without a name.
    ///
    /// # Errors
    ///
    /// If there is no room for it.
    pub(in crate::sandbox) fn file_of(module: &Module) -> io::Result<File> {
        let mut file = unnamed_file()?;
        file.write_all(&module.shared_bytes())?;
        Ok(file)
    }
}

/// Reads a file of which others may have moved the position.
pub(in crate::sandbox) fn whole(file: &File) -> io::Result<Vec<u8>> {
    let size = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
