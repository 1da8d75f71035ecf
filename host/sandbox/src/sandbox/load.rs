//! Loading: what kind of file is this, which form has it, what does it export and import.
//!
//! Nothing is compiled here; a module that passes may still be refused by the compiler.

use super::compiler::CompileLimit;
use super::foreign::contained;
use super::imports;
use super::merged;
use super::module::{Form, Import, Inner, Module, ModuleHash};
use super::numeric;
use super::room::Room;
use super::wit::{self, Bind, Exported};
use crate::limits::{Limits, MODULE_SIZE};
use bytes::Bytes;
use rwasm_value::plain::plain;
use rwasm_value::units::ByteSize;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmparser::{
    ComponentTypeRef, Encoding, ExternalKind, MemoryType, Parser, Payload, TypeBounds, TypeRef,
};

/// Why a module cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no such file.
    #[error("module `{}` does not exist", .path.display())]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It is a directory.
    #[error("module `{}` is a directory, not a .wasm or .wat file", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read module `{}`", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is larger than any module may be.
    #[error(
        "module `{name}` is larger than {limit}, the most a module may have (raise it with --limit module=SIZE)"
    )]
    TooLarge {
        /// The module.
        name: String,
        /// What it may have.
        limit: ByteSize,
    },
    /// It is something else than a module.
    #[error("`{name}` is not a WebAssembly module: {found}")]
    NotAModule {
        /// The module.
        name: String,
        /// What it looks like.
        found: String,
    },
    /// It is a module, but a damaged or forbidden one.
    #[error("module `{name}` is not valid: {message}")]
    Invalid {
        /// The module.
        name: String,
        /// What is wrong and where.
        message: String,
    },
    /// It is made for another kind of host.
    #[error("module `{name}` cannot run here: {message}")]
    Unsupported {
        /// The module.
        name: String,
        /// What it is made for, and what to build it for instead.
        message: String,
    },
    /// Its text does not parse.
    #[error("module `{name}` is not valid WebAssembly text: {message}")]
    InvalidText {
        /// The module.
        name: String,
        /// What is wrong and where.
        message: String,
    },
    /// Compiling it passed a limit.
    #[error("module `{name}` {limit}")]
    CompileLimit {
        /// The module.
        name: String,
        /// The limit.
        limit: CompileLimit,
    },
    /// The process that compiled it ended without a result. Nothing else is affected.
    #[error("module `{name}` crashed the compiler: {message}")]
    CompilerCrashed {
        /// The module.
        name: String,
        /// What is known of it.
        message: String,
    },
    /// The program that is to compile makes code that this one cannot run.
    #[error("module `{name}` was not compiled: `{}` is a different build from this program", .program.display())]
    CompilerMismatch {
        /// The module.
        name: String,
        /// The program of [`Compiler::Helper`](crate::Compiler::Helper).
        program: PathBuf,
    },
    /// The program that is to compile does not start.
    #[error("module `{name}` was not compiled: `{}` cannot be started", .program.display())]
    CompilerUnavailable {
        /// The module.
        name: String,
        /// The program of [`Compiler::Helper`](crate::Compiler::Helper).
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not in the cache of compiled code, and this cluster compiles nothing.
    #[error(
        "module `{name}` is not in the code cache, and this cluster does not compile: \
        prepare it with the same limits on a cluster that has a compiler and the same cache directory"
    )]
    NotPrecompiled {
        /// The module.
        name: String,
    },
    /// No component can be made of it.
    #[error("module `{name}` cannot be turned into a component: {message}")]
    NoComponent {
        /// The module.
        name: String,
        /// Why.
        message: String,
    },
    /// The cluster was shut down while it was compiled.
    #[error("module `{name}` was not compiled: the cluster was shut down")]
    ShutDown {
        /// The module.
        name: String,
    },
}

impl Module {
    /// Reads and analyses the module in a file: `.wasm`, a component, or `.wat` text.
    ///
    /// # Errors
    /// When the file cannot be read, is no module, or is larger than [`MODULE_SIZE`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::read(path.as_ref(), MODULE_SIZE)
    }

    /// The same, of a file that is as large as [`Limits::module`] allows.
    ///
    /// # Errors
    /// When the file cannot be read, is no module, or is larger than that.
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
        // One byte more than allowed is enough to know; an endless file is not read to its end.
        file.take(limit.bytes().saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self::analyse(
            path.display().to_string(),
            Some(absolute),
            bytes.into(),
            limit,
        )
    }

    /// Analyses a module in memory, binary or text, which errors call `name`.
    ///
    /// # Errors
    /// When the bytes are no module, or more than [`MODULE_SIZE`].
    pub fn from_bytes(name: impl Into<String>, bytes: impl Into<Bytes>) -> Result<Self, LoadError> {
        Self::analyse(name.into(), None, bytes.into(), MODULE_SIZE)
    }

    /// The same, of as many bytes as [`Limits::module`] allows.
    ///
    /// # Errors
    /// When the bytes are no module, or more than that.
    pub fn from_bytes_within(
        name: impl Into<String>,
        bytes: impl Into<Bytes>,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        Self::analyse(name.into(), None, bytes.into(), limits.module)
    }

    fn analyse(
        name: String,
        path: Option<PathBuf>,
        bytes: Bytes,
        limit: ByteSize,
    ) -> Result<Self, LoadError> {
        if bytes.len() as u64 > limit.bytes() {
            return Err(LoadError::TooLarge { name, limit });
        }
        let bytes = binary(&name, bytes)?;
        let invalid = |message: String| LoadError::Invalid {
            name: name.clone(),
            message: plain(message),
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
        let functions = || {
            if facts.is_component {
                component_functions(&bytes, &mut room, &mut facts.imports)
            } else {
                core_functions(&bytes, &facts, &mut room)
            }
        };
        let (form, exported) = contained(functions).map_err(invalid)?;
        if form == Form::TypedCore {
            // It may be made a component, and then has what components have.
            for import in &mut facts.imports {
                import.offered |= imports::preview2(&import.module).is_some();
            }
        }
        Ok(Self(Arc::new(Inner {
            has_wit: form != Form::Plain,
            hash: ModuleHash::of(&bytes),
            form: if facts.is_command {
                Form::Command
            } else {
                form
            },
            is_component: facts.is_component,
            functions: exported.functions.into(),
            uncallable: exported.uncallable,
            imports: facts.imports,
            name,
            path,
            bytes,
        })))
    }
}

/// The bytes as binary WebAssembly: text is turned into it, anything else is named and refused.
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
            "it begins with the bytes {}, a module begins with 00 61 73 6d",
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

/// A message of the parser, which repeats the line it is about: a generated module may have no other.
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

/// Text that begins with a parenthesis, after blanks and comments, is meant as WebAssembly text.
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

/// Why the sections of a module cannot be told.
#[derive(Debug, thiserror::Error)]
enum FactsError {
    #[error("{}", parse_message(.0))]
    Parse(#[from] wasmparser::BinaryReaderError),
    #[error("{0}")]
    TooMuch(String),
}

fn parse_message(error: &wasmparser::BinaryReaderError) -> String {
    if error.message().contains("unexpected end") {
        format!("it is truncated (at byte {})", error.offset())
    } else {
        format!("{} (at byte {})", error.message(), error.offset())
    }
}

/// How deep components may lie in each other. Tools make four levels; to check many takes time by the square.
const MAX_DEPTH: u32 = 100;

/// What the sections of a module say.
#[derive(Default)]
struct Facts {
    is_component: bool,
    is_too_deep: bool,
    is_command: bool,
    imports: Vec<Import>,
    types: Vec<Option<wasmparser::FuncType>>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    exported_functions: Vec<(String, u32)>,
    has_memory: bool,
    /// Why it cannot run here, however well it is made.
    obstacle: Option<String>,
}

impl Facts {
    fn read(bytes: &[u8], room: &mut Room) -> Result<Self, FactsError> {
        let mut keep = |name: &str| room.take(name.len()).map_err(FactsError::TooMuch);
        let mut facts = Self::default();
        let mut depth = 0_u32;
        let mut is_preview3 = false;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } => {
                    if depth == 0 {
                        facts.is_component = encoding == Encoding::Component;
                    }
                    depth += 1;
                    if depth > MAX_DEPTH {
                        facts.is_too_deep = true;
                        break;
                    }
                }
                Payload::End(_) => depth -= 1,
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        facts.check_memory(memory?);
                    }
                }
                // What is nested in a component is its own affair.
                _ if depth > 1 => {}
                Payload::TypeSection(types) => {
                    for ty in types.into_iter_err_on_gc_types() {
                        facts.types.push(Some(ty?));
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        keep(import.module)?;
                        keep(import.name)?;
                        facts.import(&import);
                    }
                }
                Payload::FunctionSection(functions) => {
                    for ty in functions {
                        facts.functions.push(ty?);
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        match export.kind {
                            ExternalKind::Func | ExternalKind::FuncExact => {
                                facts.is_command |= export.name == "_start";
                                keep(export.name)?;
                                facts
                                    .exported_functions
                                    .push((export.name.to_owned(), export.index));
                            }
                            ExternalKind::Memory => facts.has_memory = true,
                            _ => {}
                        }
                    }
                }
                Payload::ComponentImportSection(imports) => {
                    for import in imports {
                        let import = import?;
                        // A name for a type that all know is nothing to be offered.
                        if let ComponentTypeRef::Type(TypeBounds::Eq(_)) = import.ty {
                            continue;
                        }
                        let name = import.name.name;
                        keep(name)?;
                        facts.imports.push(Import {
                            offered: imports::preview2(name).is_some() || imports::is_host(name),
                            module: name.to_owned(),
                            name: String::new(),
                        });
                    }
                }
                Payload::ComponentExportSection(exports) => {
                    for export in exports {
                        let name = export?.name.name;
                        facts.is_command |= name.starts_with("wasi:cli/run@0.2.");
                        is_preview3 |=
                            name.starts_with("wasi:cli/run@") && imports::is_preview3(name);
                    }
                }
                _ => {}
            }
        }
        if is_preview3 && !facts.is_command {
            facts.refuse(
                "it targets WASI 0.3, but this host provides 0.2 and preview 1; build it for wasm32-wasip2 or wasm32-wasip1",
            );
        }
        Ok(facts)
    }

    /// What a core module imports.
    fn import(&mut self, import: &wasmparser::Import<'_>) {
        let (module, name) = (import.module, import.name);
        match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => self.functions.push(ty),
            TypeRef::Memory(memory) => {
                self.check_memory(memory);
                self.refuse(&format!(
                    "it imports its memory (`{module}::{name}`), which only a JavaScript host provides; build it to \
                    export one (without --import-memory; with Emscripten, -sSTANDALONE_WASM)"
                ));
            }
            _ => {}
        }
        if let Some(built) = imports::of_another_platform(module, name) {
            self.refuse(built);
        }
        self.imports.push(Import {
            offered: imports::is_offered(module, name),
            module: module.to_owned(),
            name: name.to_owned(),
        });
    }

    /// The first reason is the one that is told.
    fn refuse(&mut self, message: &str) {
        self.obstacle
            .get_or_insert_with(|| plain(message.to_owned()));
    }

    fn check_memory(&mut self, memory: MemoryType) {
        if memory.shared {
            self.refuse(
                "it shares memory between threads, but a task has a single thread; build it for wasm32-wasip1, without -pthread",
            );
        } else if memory.memory64 {
            self.refuse(
                "it has a memory with 64-bit addresses (memory64, wasm64), which are disabled here; build it for wasm32-wasip1",
            );
        }
    }
}

/// The functions, and among the imports what an interface that is here does not have.
fn component_functions(
    bytes: &[u8],
    room: &mut Room,
    imports: &mut Vec<Import>,
) -> Result<(Form, Exported), String> {
    let decoded = wit_parser::decoding::decode(bytes).map_err(|error| format!("{error:#}"))?;
    let wit_parser::decoding::DecodedWasm::Component(resolve, world) = decoded else {
        return Err("it contains only WIT and no code".to_owned());
    };
    let exported = wit::functions(&resolve, world, Bind::Component, room)?;
    let missing = wit::not_in_host(&resolve, world).into_iter();
    imports.extend(missing.map(|(module, name)| Import {
        module,
        name,
        offered: false,
    }));
    Ok((Form::Component, exported))
}

fn core_functions(
    bytes: &[u8],
    facts: &Facts,
    room: &mut Room,
) -> Result<(Form, Exported), String> {
    if let Some((resolve, world)) = merged::decode(bytes)?
        && facts.has_memory
    {
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
        return Ok((Form::TypedCore, found));
    }
    let mut exported = Exported::default();
    for (name, index) in &facts.exported_functions {
        // Names with two underscores belong to the toolchain (`__wasm_call_ctors`).
        if name.starts_with('_') || name == "cabi_realloc" {
            continue;
        }
        let ty = facts.functions.get(*index as usize);
        let ty = ty.and_then(|ty| facts.types.get(*ty as usize)?.as_ref());
        if let Some(ty) = ty {
            for _ in ty.params().iter().chain(ty.results()) {
                room.take(0)?;
            }
            match numeric::function(name, ty) {
                Ok(function) => exported.functions.push(function),
                Err(uncallable) => exported.uncallable.push(uncallable),
            }
        }
    }
    Ok((Form::Plain, exported))
}

impl LoadError {
    pub(super) fn invalid(module: &Module, message: String) -> Self {
        Self::Invalid {
            name: module.name().to_owned(),
            message: plain(message),
        }
    }
}
