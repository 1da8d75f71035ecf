//! What a module demands of the engine that runs it beyond what most do, as far as its sections state it: support for
//! concurrent calls, and more parts than a place in a pool has. Either costs all others something, so that such
//! modules run on variants of their own.

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentDefinedType, ComponentType,
    ComponentTypeDeclaration, ComponentValType, Instance, InstanceTypeDeclaration, Payload,
    PrimitiveValType, Result,
};

/// The bytes of a page of memory: others are not accepted.
const PAGE: u64 = 64 << 10;

/// What a module demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sandbox) struct Demands {
    /// Whether it has async functions, streams, futures, error contexts, or built-in functions for them.
    pub(in crate::sandbox) concurrency: bool,
    /// Whether it makes error contexts, of which the host keeps the texts.
    pub(in crate::sandbox) error_contexts: bool,
    /// Core modules that it instantiates, counted once each.
    pub(in crate::sandbox) instances: u32,
    /// Memories, those of all its core modules together.
    pub(in crate::sandbox) memories: u32,
    /// Tables, likewise.
    pub(in crate::sandbox) tables: u32,
    /// The elements that its largest table begins with.
    pub(in crate::sandbox) table_elements: u64,
    /// The elements that all its tables begin with.
    pub(in crate::sandbox) all_table_elements: u64,
    /// The bytes that all its memories begin with.
    pub(in crate::sandbox) initial_memory: u64,
}

impl Demands {
    /// Adds those of a section, at any depth of a component.
    pub(super) fn add(&mut self, section: &Payload<'_>) -> Result<()> {
        match section {
            Payload::MemorySection(memories) => {
                self.memories += memories.count();
                for memory in memories.clone() {
                    let bytes = memory?.initial.saturating_mul(PAGE);
                    self.initial_memory = self.initial_memory.saturating_add(bytes);
                }
            }
            Payload::TableSection(tables) => {
                self.tables += tables.count();
                for table in tables.clone() {
                    let elements = table?.ty.initial;
                    self.table_elements = self.table_elements.max(elements);
                    self.all_table_elements = self.all_table_elements.saturating_add(elements);
                }
            }
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    let is_made = matches!(instance?, Instance::Instantiate { .. });
                    self.instances += u32::from(is_made);
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions.clone() {
                    let function = function?;
                    self.concurrency |= is_concurrent(&function);
                    self.error_contexts |=
                        matches!(function, CanonicalFunction::ErrorContextNew { .. });
                }
            }
            Payload::ComponentTypeSection(types) if !self.concurrency => {
                for ty in types.clone() {
                    self.concurrency |= has_concurrency(&ty?);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn is_concurrent(function: &CanonicalFunction) -> bool {
    match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            let is_async = |option| {
                matches!(
                    option,
                    &CanonicalOption::Async | &CanonicalOption::Callback(_)
                )
            };
            options.iter().any(is_async)
        }
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => false,
        _ => true,
    }
}

fn has_concurrency(ty: &ComponentType<'_>) -> bool {
    match ty {
        ComponentType::Defined(ty) => is_or_has_handle(ty),
        ComponentType::Func(function) => {
            let params = function.params.iter().map(|(_, ty)| *ty);
            function.async_ || params.chain(function.result).any(is_error_context)
        }
        ComponentType::Component(declarations) => {
            declarations.iter().any(|declaration| match declaration {
                ComponentTypeDeclaration::Type(ty) => has_concurrency(ty),
                _ => false,
            })
        }
        ComponentType::Instance(declarations) => {
            declarations.iter().any(|declaration| match declaration {
                InstanceTypeDeclaration::Type(ty) => has_concurrency(ty),
                _ => false,
            })
        }
        ComponentType::Resource { .. } => false,
    }
}

/// Whether a type is a stream, a future or an error context, or contains an error context, which needs no definition.
fn is_or_has_handle(ty: &ComponentDefinedType<'_>) -> bool {
    match ty {
        ComponentDefinedType::Stream(_) | ComponentDefinedType::Future(_) => true,
        ComponentDefinedType::Primitive(ty) => *ty == PrimitiveValType::ErrorContext,
        ComponentDefinedType::Record(fields) => fields.iter().any(|(_, ty)| is_error_context(*ty)),
        ComponentDefinedType::Variant(cases) => {
            let mut types = cases.iter().filter_map(|case| case.ty);
            types.any(is_error_context)
        }
        ComponentDefinedType::Tuple(types) => types.iter().copied().any(is_error_context),
        ComponentDefinedType::List(ty)
        | ComponentDefinedType::Option(ty)
        | ComponentDefinedType::FixedLengthList(ty, _) => is_error_context(*ty),
        ComponentDefinedType::Map(key, value) => is_error_context(*key) || is_error_context(*value),
        ComponentDefinedType::Result { ok, err } => {
            ok.iter().chain(err).copied().any(is_error_context)
        }
        _ => false,
    }
}

fn is_error_context(ty: ComponentValType) -> bool {
    matches!(
        ty,
        ComponentValType::Primitive(PrimitiveValType::ErrorContext)
    )
}
