//! The facts that the sections of a module state: its imports, exports and types, and what keeps it from running here.

use super::Import;
use super::bytes_abi;
use super::demands::Demands;
use super::imports;
use super::javascript;
use super::room::Room;
use super::script;
use rwasm_value::plain::{in_line, plain};
use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, Encoding, ExternalKind, MemoryType, Parser, Payload,
    TypeBounds, TypeRef,
};

/// Why the sections of a module cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FactsError {
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

/// The deepest nesting of components. Tools produce four levels; the time to check grows with the
/// square.
pub(super) const MAX_DEPTH: u32 = 100;

/// The most items that all sections of a file may have together: types, imports, functions, exports and the like. The largest
/// modules in use have some hundred thousand; each takes time and memory to look at.
const MOST_ITEMS: u64 = 2_000_000;

/// The facts that the sections of a module state.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) is_component: bool,
    pub(super) is_too_deep: bool,
    pub(super) is_command: bool,
    /// Whether it exports a program for WASI 0.3. Tools may make one for 0.2 beside it that only fails.
    pub(super) is_preview3: bool,
    pub(super) imports: Vec<Import>,
    pub(super) types: Vec<Option<wasmparser::FuncType>>,
    /// The type of each function, imported ones first.
    pub(super) functions: Vec<u32>,
    pub(super) exported_functions: Vec<(String, u32)>,
    pub(super) has_memory: bool,
    /// The name of its memory, imported or exported.
    memory: Option<String>,
    shares_memory: bool,
    /// Whether it imports the `abort` of AssemblyScript.
    imports_abort: bool,
    /// The text of its ABI, if it has one.
    pub(super) abi: Option<Vec<u8>>,
    /// The text of its script, if it has one.
    pub(super) script: Option<Vec<u8>>,
    pub(super) demands: Demands,
    /// Of a component, what it imports that nothing can stand for, or exports that wasmtime does not.
    pub(super) unlinkable: Option<String>,
    /// Why it cannot run here, even if it is well formed.
    pub(super) obstacle: Option<String>,
}

impl Facts {
    pub(super) fn read(bytes: &[u8], room: &mut Room) -> Result<Self, FactsError> {
        let mut facts = Self::default();
        let mut depth = 0_u32;
        let mut items = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            items += u64::from(item_count(&payload));
            if items > MOST_ITEMS {
                return Err(FactsError::TooMuch(format!(
                    "its sections have more than {MOST_ITEMS} items, the most a module may have"
                )));
            }
            facts.demands.add(&payload)?;
            if facts.demands.error_contexts {
                facts.refuse(
                    "it makes error contexts (`error-context.new`), whose texts no limit of a task counts; build it without them",
                );
            }
            match payload {
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
                // Sections nested in a component are its own business.
                _ if depth > 1 => {}
                section if facts.is_component => facts.component_section(section, room)?,
                section => facts.core_section(section, room)?,
            }
        }
        facts.is_command |= facts.is_preview3;
        if facts.shares_memory {
            facts.refuse(&facts.shared());
        }
        Ok(facts)
    }

    fn core_section(&mut self, section: Payload<'_>, room: &mut Room) -> Result<(), FactsError> {
        match section {
            Payload::TypeSection(types) => {
                // At once, and no more than there are bytes for: allocators keep what a list has outgrown.
                let most = types.range().len();
                let count = usize::try_from(types.count()).unwrap_or(most);
                self.types.reserve_exact(count.min(most));
                for ty in types.into_iter_err_on_gc_types() {
                    let ty = ty?;
                    let values = ty.params().len() + ty.results().len();
                    let taken = size_of_val(&ty) + values * size_of::<wasmparser::ValType>();
                    room.take_all(taken as u64).map_err(FactsError::TooMuch)?;
                    self.types.push(Some(ty));
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    keep(import.module, room)?;
                    keep(import.name, room)?;
                    self.import(&import);
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions {
                    self.functions.push(ty?);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    match export.kind {
                        ExternalKind::Func | ExternalKind::FuncExact => {
                            self.is_command |= export.name == "_start";
                            keep(export.name, room)?;
                            self.exported_functions
                                .push((export.name.to_owned(), export.index));
                        }
                        ExternalKind::Memory => {
                            self.has_memory = true;
                            keep(export.name, room)?;
                            self.memory.get_or_insert_with(|| export.name.to_owned());
                        }
                        _ => {}
                    }
                }
            }
            Payload::CustomSection(section) if section.name() == bytes_abi::SECTION => {
                let text = section.data();
                keep_bytes(text.len(), room)?;
                self.abi = Some(text.to_vec());
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether its `_start` initializes it: it cannot be a program where there is no WASI, nor is it one of AssemblyScript's.
    pub(super) fn begins_with_start(&self) -> bool {
        let exports = |name: &str| {
            let mut exported = self.exported_functions.iter();
            exported.any(|(exported, _)| exported == name)
        };
        let mut imports = self.imports.iter();
        let has_wasi = imports.any(|import| import.module == "wasi_snapshot_preview1");
        let is_assemblyscript = self.imports_abort || exports("__new") && exports("__pin");
        self.is_command && !exports("_initialize") && (is_assemblyscript || !has_wasi)
    }

    /// Returns the type of an exported function, if it has the name of one.
    pub(super) fn exported_type(&self, name: &str) -> Option<&wasmparser::FuncType> {
        let mut exported = self.exported_functions.iter();
        let (_, index) = exported.find(|(exported, _)| exported == name)?;
        self.function_type(*index)
    }

    /// Returns the type of the function with this index.
    pub(super) fn function_type(&self, index: u32) -> Option<&wasmparser::FuncType> {
        let ty = self.functions.get(index as usize)?;
        self.types.get(*ty as usize)?.as_ref()
    }

    fn component_section(
        &mut self,
        section: Payload<'_>,
        room: &mut Room,
    ) -> Result<(), FactsError> {
        match section {
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let import = import?;
                    // A name for a well-known type does not have to be provided.
                    if let ComponentTypeRef::Type(TypeBounds::Eq(_)) = import.ty {
                        continue;
                    }
                    let name = import.name.name;
                    keep(name, room)?;
                    let kind = match import.ty {
                        ComponentTypeRef::Module(_) => Some("core module"),
                        ComponentTypeRef::Component(_) => Some("component"),
                        ComponentTypeRef::Value(_) => Some("value"),
                        _ => None,
                    };
                    if let Some(kind) = kind {
                        self.unlinkable.get_or_insert_with(|| format!(
                            "it imports the {kind} `{name}`, but this program provides only functions and instances"
                        ));
                    }
                    self.demands.concurrency |= imports::is_preview3(name);
                    self.imports.push(Import {
                        offered: imports::is_provided(name) || imports::is_logging(name),
                        module: name.to_owned(),
                        name: String::new(),
                    });
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    let name = export.name.name;
                    if export.kind == ComponentExternalKind::Component {
                        self.unlinkable.get_or_insert_with(|| {
                            format!(
                                "it exports the component `{name}`, which wasmtime does not run"
                            )
                        });
                    }
                    self.is_command |= name.starts_with("wasi:cli/run@0.2.");
                    self.is_preview3 |=
                        name.starts_with("wasi:cli/run@") && imports::is_preview3(name);
                    self.demands.concurrency |= self.is_preview3;
                }
            }
            Payload::CustomSection(section) if section.name() == script::SECTION => {
                let text = section.data();
                keep_bytes(text.len(), room)?;
                self.script = Some(text.to_vec());
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds an import of a core module.
    fn import(&mut self, import: &wasmparser::Import<'_>) {
        let (module, name) = (import.module, import.name);
        let mut written = None;
        match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                self.functions.push(ty);
                let ty = self.types.get(ty as usize).and_then(Option::as_ref);
                written = ty.map(|ty| javascript::written(ty.params(), ty.results()));
            }
            TypeRef::Memory(memory) => {
                self.check_memory(memory);
                self.memory
                    .get_or_insert_with(|| format!("{module}::{name}"));
                if memory.shared {
                    return self.imports.push(Import {
                        module: module.to_owned(),
                        name: name.to_owned(),
                        offered: false,
                    });
                }
                self.refuse(&format!(
                    "it imports its memory (`{module}::{name}`), which only a JavaScript host provides; build it to \
                    export one (without --import-memory; with Emscripten, -sSTANDALONE_WASM)"
                ));
            }
            _ => {}
        }
        self.imports_abort |= written
            .as_deref()
            .is_some_and(|ty| javascript::is_of_assemblyscript(module, name, ty));
        if let Some(built) = imports::of_another_platform(module, name) {
            self.refuse(built);
        }
        self.imports.push(Import {
            offered: imports::is_offered(module, name, written.as_deref()),
            module: module.to_owned(),
            name: name.to_owned(),
        });
    }

    /// Why a module with a shared memory cannot run: by the name of that, and by what else it wants of its host.
    fn shared(&self) -> String {
        const MOST: usize = 8;
        let mut text = "it shares memory between threads".to_owned();
        if let Some(name) = &self.memory {
            text = format!("{text} (`{name}`)");
        }
        text.push_str(
            ", but a task has a single thread; build it for wasm32-wasip1, without -pthread",
        );
        let mut names: Vec<String> = Vec::new();
        for import in &self.imports {
            let name = format!("`{} {}`", import.module, import.name);
            if names.len() < MOST && !names.contains(&name) {
                names.push(name);
            }
        }
        if !names.is_empty() {
            let more = if self.imports.len() > names.len() {
                ", …"
            } else {
                ""
            };
            text = format!("{text}; it imports {}{more}", names.join(", "));
        }
        text
    }

    /// Only the first reason is kept.
    fn refuse(&mut self, message: &str) {
        self.obstacle
            .get_or_insert_with(|| in_line(&plain(message.to_owned())));
    }

    fn check_memory(&mut self, memory: MemoryType) {
        if memory.shared {
            self.shares_memory = true;
        } else if memory.memory64 {
            self.refuse(
                "it has a memory with 64-bit addresses (memory64, wasm64), which are disabled here; build it for wasm32-wasip1",
            );
        }
    }
}

/// Returns how many items a section says it has.
fn item_count(section: &Payload<'_>) -> u32 {
    match section {
        Payload::TypeSection(items) => items.count(),
        Payload::ImportSection(items) => items.count(),
        Payload::FunctionSection(items) => items.count(),
        Payload::TableSection(items) => items.count(),
        Payload::MemorySection(items) => items.count(),
        Payload::TagSection(items) => items.count(),
        Payload::GlobalSection(items) => items.count(),
        Payload::ExportSection(items) => items.count(),
        Payload::ElementSection(items) => items.count(),
        Payload::DataSection(items) => items.count(),
        Payload::InstanceSection(items) => items.count(),
        Payload::CoreTypeSection(items) => items.count(),
        Payload::ComponentInstanceSection(items) => items.count(),
        Payload::ComponentAliasSection(items) => items.count(),
        Payload::ComponentTypeSection(items) => items.count(),
        Payload::ComponentCanonicalSection(items) => items.count(),
        Payload::ComponentImportSection(items) => items.count(),
        Payload::ComponentExportSection(items) => items.count(),
        Payload::DataCountSection { .. } | Payload::CodeSectionStart { .. } => 0,
        // One of its own: a component has a section for each of its parts.
        _ => 1,
    }
}

/// Reserves room for a name that is kept.
fn keep(name: &str, room: &mut Room) -> Result<(), FactsError> {
    keep_bytes(name.len(), room)
}

fn keep_bytes(count: usize, room: &mut Room) -> Result<(), FactsError> {
    room.take(count).map_err(FactsError::TooMuch)
}
