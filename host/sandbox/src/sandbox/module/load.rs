//! Loading: finds out what kind of file it is, its form, its exports and its imports.
//!
//! Nothing is compiled here; the compiler may still refuse a module that loads.

use super::bare_exports;
use super::bytes_abi::{self, Abi, BoundAbi};
use super::facts::{Facts, MAX_DEPTH};
use super::foreign::{Refused, contained};
use super::imports;
use super::merged;
use super::numeric;
use super::room::Room;
use super::script;
use super::wit::{self, Bind, Exported};
use super::{Form, Function, Import, Inner, Module, ModuleHash, ModuleInfo, Uncallable};
use crate::limits::{Limits, MODULE_SIZE};
use bytes::Bytes;
use rwasm_value::plain::{self, in_line, plain};
use rwasm_value::units::ByteSize;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The error of loading or compiling a module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file does not exist.
    #[error("module `{}` does not exist", plain::path(.path))]
    NotFound {
        /// The path that was given.
        path: PathBuf,
    },
    /// The path is a directory.
    #[error("module `{}` is a directory, not a .wasm or .wat file", plain::path(.path))]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read module `{}`", plain::path(.path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The module is larger than allowed.
    #[error(
        "module `{name}` is larger than {limit}, the most a module may have (raise `Limits::module`)"
    )]
    TooLarge {
        /// The module.
        name: String,
        /// The largest size allowed.
        limit: ByteSize,
    },
    /// The file is not a WebAssembly module.
    #[error("`{name}` is not a WebAssembly module: {found}")]
    NotAModule {
        /// The module.
        name: String,
        /// What it appears to be.
        found: String,
    },
    /// The module is malformed or uses features that are not allowed.
    #[error("module `{name}` is not valid: {message}")]
    Invalid {
        /// The module.
        name: String,
        /// What is wrong, and where.
        message: String,
    },
    /// The module targets a different kind of host.
    #[error("module `{name}` cannot run here: {message}")]
    Unsupported {
        /// The module.
        name: String,
        /// What it targets, and what to build it for instead.
        message: String,
    },
    /// The WebAssembly text does not parse.
    #[error("module `{name}` is not valid WebAssembly text: {message}")]
    InvalidText {
        /// The module.
        name: String,
        /// What is wrong, and where.
        message: String,
    },
    /// Compiling the module exceeded a limit.
    #[error("module `{name}` {limit}")]
    CompileLimit {
        /// The module.
        name: String,
        /// The limit.
        limit: CompileLimit,
    },
    /// The process that compiled the module ended without a result. Nothing else is affected.
    #[error("module `{name}` crashed the compiler: {message}")]
    CompilerCrashed {
        /// The module.
        name: String,
        /// What is known of the cause.
        message: String,
    },
    /// So many compilers in this process go on past their time limits that no more are started.
    #[error(
        "module `{name}` was not compiled: {count} modules before it take longer than their limit, and go on"
    )]
    CompilersStuck {
        /// The module.
        name: String,
        /// How many there are.
        count: usize,
    },
    /// The program for compiling produces code that this program cannot run.
    #[error("module `{name}` was not compiled: `{}` is a different build from this program", plain::path(.program))]
    CompilerMismatch {
        /// The module.
        name: String,
        /// The program of [`Compiler::Helper`](crate::sandbox::Compiler::Helper).
        program: PathBuf,
    },
    /// The program for compiling cannot be started.
    #[error("module `{name}` was not compiled: `{}` cannot be started", plain::path(.program))]
    CompilerUnavailable {
        /// The module.
        name: String,
        /// The program of [`Compiler::Helper`](crate::sandbox::Compiler::Helper).
        program: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The module is not in the code cache, and this cluster does not compile.
    #[error(
        "module `{name}` is not in the code cache, and this cluster does not compile: \
        prepare it with the same limits on a cluster that has a compiler and the same cache directory"
    )]
    NotPrecompiled {
        /// The module.
        name: String,
    },
    /// The module's functions cannot be called by this ABI.
    #[error("the ABI `{abi}` does not fit module `{name}`: {message}")]
    Abi {
        /// The module.
        name: String,
        /// The text of the ABI.
        abi: String,
        /// Why it does not fit.
        message: String,
    },
    /// The script does not fit the component.
    #[error("the script does not fit module `{name}`: {message}")]
    Script {
        /// The module.
        name: String,
        /// What is wrong, and in which line.
        message: String,
    },
    /// The module cannot be turned into a component.
    #[error("module `{name}` cannot be turned into a component: {message}")]
    NoComponent {
        /// The module.
        name: String,
        /// Why it cannot.
        message: String,
    },
    /// The cluster was shut down while the module was compiled.
    #[error("module `{name}` was not compiled: the cluster was shut down")]
    ShutDown {
        /// The module.
        name: String,
    },
}

impl Module {
    /// Loads and analyzes the module in a file: a `.wasm` core module or component, or `.wat` text.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, is not a module, or is larger than
    /// [`MODULE_SIZE`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::read(path.as_ref(), MODULE_SIZE)
    }

    /// Does the same for a file of at most [`Limits::module`] bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, is not a module, or is larger than that.
    pub fn from_file_within(path: impl AsRef<Path>, limits: &Limits) -> Result<Self, LoadError> {
        Self::read(path.as_ref(), limits.module)
    }

    fn read(path: &Path, limit: ByteSize) -> Result<Self, LoadError> {
        let unreadable = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => LoadError::NotFound {
                path: path.to_owned(),
            },
            std::io::ErrorKind::IsADirectory => LoadError::Directory {
                path: path.to_owned(),
            },
            _ => LoadError::Unreadable {
                path: path.to_owned(),
                source,
            },
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        if file.metadata().is_ok_and(|meta| meta.is_dir()) {
            return Err(LoadError::Directory {
                path: path.to_owned(),
            });
        }
        let mut bytes = Vec::new();
        // One byte beyond the limit is enough to know; an endless file is not read to its end.
        file.take(limit.bytes().saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self::analyse(
            &path.display().to_string(),
            Some(absolute),
            bytes.into(),
            limit,
        )
    }

    /// Loads and analyzes a module in memory, in binary or text form; `name` is its name in errors.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not a module, or are more than [`MODULE_SIZE`].
    pub fn from_bytes(name: impl Into<String>, bytes: impl Into<Bytes>) -> Result<Self, LoadError> {
        Self::analyse(&name.into(), None, bytes.into(), MODULE_SIZE)
    }

    /// Does the same for at most [`Limits::module`] bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not a module, or are more than that.
    pub fn from_bytes_within(
        name: impl Into<String>,
        bytes: impl Into<Bytes>,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        Self::analyse(&name.into(), None, bytes.into(), limits.module)
    }

    pub(super) fn analyse(
        name: &str,
        path: Option<PathBuf>,
        bytes: Bytes,
        limit: ByteSize,
    ) -> Result<Self, LoadError> {
        let name = in_line(name);
        if bytes.len() as u64 > limit.bytes() {
            return Err(LoadError::TooLarge { name, limit });
        }
        let bytes = binary(&name, bytes)?;
        let invalid = |message: String| LoadError::Invalid {
            name: name.clone(),
            message: in_line(&plain(message)),
        };
        let mut room = Room::new();
        let mut facts =
            Facts::read(&bytes, &mut room).map_err(|error| invalid(error.to_string()))?;
        if facts.is_too_deep {
            let message = format!("components are nested deeper than {MAX_DEPTH} levels");
            return Err(invalid(message));
        }
        if let Some(message) = facts.obstacle.take() {
            return Err(LoadError::Unsupported { name, message });
        }
        let abi = declared_abi(&name, &facts)?;
        let bound = abi.as_ref().map(|abi| BoundAbi::find(abi, &facts));
        let found = bound
            .as_ref()
            .and_then(|bound| bound.as_ref().ok()?.as_ref());
        let functions = || {
            if facts.is_component {
                component_functions(&bytes, &mut room, &mut facts)
            } else {
                core_functions(&bytes, &facts, found, &mut room)
            }
        };
        let (form, exported) = contained(functions).map_err(|why| refused(&name, why))?;
        if form == Form::Plain
            && let (Some(abi), Some(Err(message))) = (&abi, &bound)
        {
            return Err(LoadError::Abi {
                name,
                abi: in_line(&abi.to_string()),
                message: message.clone(),
            });
        }
        if form == Form::TypedCore {
            // It can be turned into a component, and then has what components have.
            for import in &mut facts.imports {
                import.offered |= imports::preview2(&import.module).is_some();
            }
        }
        let begins_with_start = form == Form::Plain && facts.begins_with_start();
        let likely_abi = (form == Form::Plain && abi.is_none())
            .then(|| bytes_abi::likely(&facts))
            .flatten();
        let hash = ModuleHash::of(&bytes);
        let (script, code_hash) = script_of(facts.script.take(), hash, &bytes).map_err(invalid)?;
        let info = ModuleInfo(Arc::new(Inner {
            script,
            code_hash,
            has_wit: form != Form::Plain,
            likely_abi,
            abi: abi.filter(|_| form == Form::Plain),
            hash,
            form: if facts.is_command {
                Form::Command
            } else {
                form
            },
            is_component: facts.is_component,
            functions: exported.functions.into(),
            uncallable: exported.uncallable,
            imports: facts.imports,
            begins_with_start,
            demands: facts.demands,
            is_preview3: facts.is_preview3,
            unlinkable: facts.unlinkable,
            name,
            path,
            size: bytes.len() as u64,
            weight: room.taken(),
        }));
        Ok(Self { info, bytes })
    }
}

/// Returns the bytes as binary WebAssembly: text is converted, anything else is identified and
/// refused.
fn binary(name: &str, bytes: Bytes) -> Result<Bytes, LoadError> {
    const WASM: &[u8] = b"\0asm";
    const ELF: &[u8] = b"\x7fELF";
    let refuse = |found: &str| LoadError::NotAModule {
        name: name.to_owned(),
        found: found.to_owned(),
    };
    if bytes.starts_with(WASM) {
        return Ok(bytes);
    }
    if bytes.is_empty() {
        return Err(refuse("the file is empty"));
    }
    if bytes.starts_with(ELF) {
        return Err(refuse(
            if wasmtime::Engine::detect_precompiled(&bytes).is_some() {
                "it is precompiled code (.cwasm), which is native code and never accepted; use the .wasm that it was compiled from"
            } else {
                "it is a native program (ELF); compile it for wasm32-wasip1"
            },
        ));
    }
    if bytes.len() < WASM.len() && WASM.starts_with(&bytes) {
        return Err(refuse("the file is truncated"));
    }
    let Some(text) = std::str::from_utf8(&bytes)
        .ok()
        .filter(|text| looks_like_wat(text))
    else {
        return Err(refuse(&format!(
            "it begins with {}, but a module begins with 00 61 73 6d",
            bytes
                .iter()
                .take(4)
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .join(" ")
        )));
    };
    let parsed = || {
        wat::parse_str(text).map(Bytes::from).map_err(|mut error| {
            error.set_path(name);
            narrow(&error.to_string())
        })
    };
    contained(parsed).map_err(|message| LoadError::InvalidText {
        name: name.to_owned(),
        message: plain(message),
    })
}

/// A message of the parser, with the line that it concerns shortened: a generated module may be one
/// line.
fn narrow(message: &str) -> String {
    const WIDEST: usize = 160;
    let mut narrow = String::new();
    for (index, line) in message.lines().enumerate() {
        if index > 0 {
            narrow.push('\n');
        }
        match line.char_indices().nth(WIDEST) {
            Some((end, _)) => {
                narrow.push_str(line[..end].trim_end());
                narrow.push('…');
            }
            None => narrow.push_str(line),
        }
    }
    narrow
}

/// Whether it is meant as WebAssembly text: it begins with a parenthesis, after blanks and
/// comments.
fn looks_like_wat(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while let Some(comment) = rest.strip_prefix(";;") {
        rest = comment
            .split_once('\n')
            .map_or("", |(_, after)| after)
            .trim_start();
    }
    rest.starts_with('(')
}

fn refused(name: &str, why: Refused) -> LoadError {
    let name = name.to_owned();
    match why {
        Refused::Invalid(message) => LoadError::Invalid {
            name,
            message: in_line(&plain(message)),
        },
        Refused::Unsupported(message) => LoadError::Unsupported {
            name,
            message: in_line(&plain(message)),
        },
    }
}

/// Finds the functions, and the one that a script is, and adds to the imports the functions that a known interface lacks.
fn component_functions(
    bytes: &[u8],
    room: &mut Room,
    facts: &mut Facts,
) -> Result<(Form, Exported), Refused> {
    let (resolve, world) = bare_exports::decode(bytes)?;
    let mut exported = wit::functions(&resolve, world, Bind::Component, room)?;
    let missing = wit::not_in_host(&resolve, world).into_iter();
    facts.imports.extend(missing.map(|(module, name)| Import {
        module,
        name,
        offered: false,
    }));
    if let Some(text) = &facts.script {
        match script::bind(&resolve, world, text, room) {
            Ok(script) => exported.functions.push(script),
            Err(reason) => exported.uncallable.push(Uncallable {
                name: script::NAME.to_owned(),
                wit: "func()".to_owned(),
                reason: in_line(&plain(reason)),
            }),
        }
    }
    Ok((Form::Component, exported))
}

/// The text of a script, and the hash of what is compiled.
fn script_of(
    text: Option<Vec<u8>>,
    hash: ModuleHash,
    bytes: &[u8],
) -> Result<(Option<String>, ModuleHash), String> {
    let Some(text) = text else {
        return Ok((None, hash));
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let code = script::without_section(bytes)?;
    Ok((Some(text), ModuleHash::of(&code)))
}

/// The ABI that the module states for its plain functions.
fn declared_abi(name: &str, facts: &Facts) -> Result<Option<Abi>, LoadError> {
    let Some(text) = &facts.abi else {
        return Ok(None);
    };
    let read = String::from_utf8_lossy(text).parse();
    read.map(Some)
        .map_err(|error: bytes_abi::AbiError| LoadError::Abi {
            name: name.to_owned(),
            abi: in_line(&String::from_utf8_lossy(text)),
            message: error.to_string(),
        })
}

fn core_functions(
    bytes: &[u8],
    facts: &Facts,
    abi: Option<&BoundAbi>,
    room: &mut Room,
) -> Result<(Form, Exported), Refused> {
    if let Some((resolve, world)) = merged::decode(bytes)? {
        merged::check(bytes, room)?;
        let mut found = wit::functions(&resolve, world, Bind::Core, room)?;
        let exported: HashSet<&str> = facts
            .exported_functions
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        found
            .functions
            .retain(|function| exported.contains(function.name.as_str()));
        if !facts.has_memory {
            found.leave_out(
                Function::needs_memory,
                "its types are passed in memory, but the module exports none",
            );
        }
        return Ok((Form::TypedCore, found));
    }
    let mut exported = Exported::default();
    for (name, index) in &facts.exported_functions {
        if is_of_the_toolchain(name) {
            continue;
        }
        if let Some(ty) = facts.function_type(*index) {
            for _ in ty.params().iter().chain(ty.results()) {
                room.take(0)?;
            }
            let function = match abi {
                Some(abi) => abi.function(name, ty),
                None => Some(numeric::function(name, ty)),
            };
            let Some(function) = function else {
                continue;
            };
            match function {
                Ok(function) => exported.functions.push(function),
                Err(uncallable) => exported.uncallable.push(uncallable),
            }
        }
    }
    Ok((Form::Plain, exported))
}

/// Whether an export serves the host or the linker rather than callers. C reserves names with two underscores for the
/// toolchain (`__wasm_call_ctors`).
fn is_of_the_toolchain(name: &str) -> bool {
    let is_reserved = ["__", "_emscripten_"]
        .iter()
        .any(|begin| name.starts_with(begin));
    is_reserved || ["_start", "_initialize", "cabi_realloc"].contains(&name)
}

/// The limit that the compilation of a module exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileLimit {
    /// It took too long.
    #[error(
        "took more time to compile than its limit of {} (compile-limit; raise `Limits::compile_time`)",
        humantime::format_duration(*.0)
    )]
    Time(Duration),
    /// It took too much memory.
    #[error(
        "took more memory to compile than its limit of {0} (compile-limit; raise `Limits::compile_memory`)"
    )]
    Memory(ByteSize),
    /// It produced too much code.
    #[error(
        "compiled to more code than its limit of {0} (compile-limit; raise `Limits::compiled`)"
    )]
    Code(ByteSize),
}

impl LoadError {
    pub(in crate::sandbox) fn invalid(module: &ModuleInfo, message: String) -> Self {
        Self::Invalid {
            name: module.name().to_owned(),
            // It may repeat names, which may be any text.
            message: in_line(&plain(message)),
        }
    }
}
