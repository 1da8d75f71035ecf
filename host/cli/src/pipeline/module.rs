//! The module of a command, and the function of it that is called.

use super::{STDIN, STDIN_NAME};
use crate::exit::CliError;
use rwasm_cluster::plain;
use rwasm_cluster::small_file;
use rwasm_cluster::{Abi, AbiError, ByteSize, DynamicCallable, Limits, LoadError, Module, Type};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// The largest file with a script.
const LARGEST_SCRIPT: ByteSize = ByteSize::kib(64);

/// The largest file with an ABI.
const LARGEST_ABI: ByteSize = ByteSize::kib(16);

/// Whether the module is read from stdin.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

/// Reads the module, within the limit of its size, with this ABI, or else the one of the file beside it.
pub(crate) fn read_module(
    path: &Path,
    limits: &Limits,
    abi: Option<&Abi>,
) -> Result<Module, CliError> {
    let module = if is_stdin(path) {
        from_stdin(limits)?
    } else {
        Module::from_file_within(path, limits).map_err(CliError::Load)?
    };
    let beside = match abi {
        None if !is_stdin(path) => abi_beside(path)?,
        _ => None,
    };
    match abi.or(beside.as_ref()) {
        Some(abi) => module.with_abi(abi).map_err(CliError::Load),
        None => Ok(module),
    }
}

fn from_stdin(limits: &Limits) -> Result<Module, CliError> {
    let mut bytes = Vec::new();
    // One byte beyond the limit is enough to know.
    let most = limits.module.bytes().saturating_add(1);
    let read = std::io::stdin().lock().take(most).read_to_end(&mut bytes);
    read.map_err(|source| {
        CliError::Load(LoadError::Unreadable {
            path: STDIN_NAME.into(),
            source,
        })
    })?;
    Module::from_bytes_within(STDIN_NAME, bytes, limits).map_err(CliError::Load)
}

/// Where the ABI of a module is, if it has one.
pub(crate) fn beside(module: &Path) -> PathBuf {
    module.with_added_extension("abi")
}

/// The ABI that the file `MODULE.abi` names, if there is one: its lines without comments, which begin with `#` after a blank or at the
/// beginning of a line.
fn abi_beside(module: &Path) -> Result<Option<Abi>, CliError> {
    let path = beside(module);
    let wrong = |message: String| CliError::Wrong {
        message,
        hint: "write one ABI into it, such as `ptr-len`, or name one with --abi".to_owned(),
    };
    let bytes = match small_file::read_regular(&path, LARGEST_ABI) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(wrong(format!(
                "cannot read `{}`: {error}",
                plain::path(&path)
            )));
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let said = |line: &'_ str| -> String {
        let end = line.find(" #").unwrap_or(line.len());
        line[..end].trim().to_owned()
    };
    let lines = text.lines().map(said);
    let lines: Vec<String> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let read = lines.join("\n").parse();
    read.map(Some)
        .map_err(|error: AbiError| wrong(format!("`{}`: {error}", plain::path(&path))))
}

/// The module's function of that name, whatever its types are.
pub(crate) fn function(module: &Module, name: &str) -> Result<DynamicCallable, CliError> {
    module
        .dynamic_function(name)
        .map_err(|error| CliError::Function(Box::new(error)))
}

/// The module with a script, and the function that this is.
pub(crate) fn scripted(module: &Module, text: &str) -> Result<(Module, DynamicCallable), CliError> {
    let module = module.with_script(text).map_err(CliError::Load)?;
    let function = function(&module, module.script_function().unwrap_or_default())?;
    Ok((module, function))
}

/// The text of a script in a file.
pub(crate) fn read_script(path: &Path) -> Result<String, CliError> {
    let wrong = |message: String| {
        CliError::Wrong {
        message,
        hint: "a script is a text file whose lines are calls, such as `let it = thing.make(1)` and `it.size()`".to_owned(),
    }
    };
    let bytes = small_file::read_regular(path, LARGEST_SCRIPT);
    let bytes =
        bytes.map_err(|error| wrong(format!("cannot read `{}`: {error}", plain::path(path))))?;
    String::from_utf8(bytes).map_err(|_| wrong(format!("`{}` is not UTF-8", plain::path(path))))
}

/// The type of what a call gives; none where it gives nothing.
pub(crate) fn result_type(function: &DynamicCallable) -> Option<Type> {
    match &function.signature().result {
        Some(Type::Result(sides)) => sides.ok.clone(),
        other => other.clone(),
    }
}
