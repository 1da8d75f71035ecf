//! Finds the functions that a module exports in the WIT it carries, including those that no task
//! can call.

use super::imports::{self, host_functions};
use super::room::{Room, Weights};
use super::signature::{self, Obstacle};
use super::streamed;
use super::{Binding, Function, Uncallable};
use crate::sandbox::abi::Signature;
use rwasm_value::plain::in_line;
use rwasm_value::value::{Case, Field, Type};
use std::sync::Arc;
use wit_parser::{Resolve, SizeAlign, Type as WitType, TypeDefKind, WorldId, WorldItem, WorldKey};

/// Whether functions are bound as exports of a core module or of a component.
#[derive(Clone, Copy)]
pub(super) enum Bind {
    Core,
    Component,
}

/// Why no task can call the function by which a module answers requests.
const SERVES: &str = "it answers HTTP requests, as a server does, and a task is called with values";

/// What a module exports.
#[derive(Default)]
pub(super) struct Exported {
    pub(super) functions: Vec<Function>,
    /// Those whose types cannot be values, such as resources, each with its reason.
    pub(super) uncallable: Vec<Uncallable>,
}

impl Exported {
    /// Moves functions to those that no task can call, for this reason.
    pub(super) fn leave_out(&mut self, which: impl Fn(&Function) -> bool, reason: &str) {
        for function in self.functions.extract_if(.., |function| which(function)) {
            let wit = function.to_string();
            let name = in_line(&function.name);
            self.uncallable.push(Uncallable {
                wit: wit[name.len()..].trim_start_matches(": ").to_owned(),
                name: function.name,
                reason: reason.to_owned(),
            });
        }
    }
}

/// Returns the functions that `world` exports, both directly and in interfaces.
///
/// # Errors
///
/// Returns an error if they take more than the room that is left.
pub(super) fn functions(
    resolve: &Resolve,
    world: WorldId,
    bind: Bind,
    room: &mut Room,
) -> Result<Exported, String> {
    let mut sizes = SizeAlign::default();
    sizes.fill(resolve);
    let mut weights = Weights::default();
    let mut found = Exported::default();
    let mut add = |interface: Option<&str>, function: &wit_parser::Function| {
        room.take(interface.map_or(0, str::len) + function.name.len())?;
        let params = function
            .params
            .iter()
            .map(|param| (&*param.name, &param.ty));
        for (name, ty) in params.chain(function.result.iter().map(|ty| ("", ty))) {
            room.take(name.len())?;
            room.take_all(weights.of(resolve, ty))?;
        }
        match bound(resolve, &sizes, interface, function, bind) {
            Ok(function) => found.functions.push(function),
            Err(reason) => found.uncallable.push(Uncallable {
                name: full_name(interface, function),
                wit: signature::of(resolve, function),
                reason: match interface {
                    Some(interface) if imports::is_server(interface) => SERVES.to_owned(),
                    _ => reason,
                },
            }),
        }
        Ok::<(), String>(())
    };
    for (key, item) in &resolve.worlds[world].exports {
        if is_of_a_tool(resolve, key, item) {
            continue;
        }
        match item {
            WorldItem::Function(function) => add(None, function)?,
            WorldItem::Interface { id, .. } => {
                let interface = resolve.name_world_key(key);
                for function in resolve.interfaces[*id].functions.values() {
                    add(Some(&interface), function)?;
                }
            }
            WorldItem::Type { .. } => {}
        }
    }
    Ok(found)
}

/// Whether a tool added the export: componentize-py runs a Python module once when it makes the
/// component, through an export that it leaves behind.
pub(super) fn is_of_a_tool(resolve: &Resolve, key: &WorldKey, item: &WorldItem) -> bool {
    let (WorldKey::Name(name), WorldItem::Interface { id, .. }) = (key, item) else {
        return false;
    };
    let mut functions = resolve.interfaces[*id].functions.values();
    let is_init = |function: &wit_parser::Function| {
        let first = function.params.first();
        function.name == "init" && first.is_some_and(|param| param.name == "app-name")
    };
    name == "exports" && functions.len() == 1 && functions.all(is_init)
}

/// Returns the functions that `world` imports of the host's interface but its version lacks, each
/// with the interface.
pub(super) fn not_in_host(resolve: &Resolve, world: WorldId) -> Vec<(String, String)> {
    let mut missing = Vec::new();
    for (key, item) in &resolve.worlds[world].imports {
        let WorldItem::Interface { id, .. } = item else {
            continue;
        };
        let interface = resolve.name_world_key(key);
        let Some(known) = host_functions(&interface) else {
            continue;
        };
        let functions = resolve.interfaces[*id].functions.keys();
        let unknown = functions.filter(|name| !known.contains(&name.as_str()));
        missing.extend(unknown.map(|name| (interface.clone(), name.clone())));
    }
    missing
}

fn full_name(interface: Option<&str>, function: &wit_parser::Function) -> String {
    match interface {
        Some(interface) => format!("{interface}#{}", function.name),
        None => function.name.clone(),
    }
}

/// # Errors
///
/// Returns an error, with the reason, if no task can call it.
fn bound(
    resolve: &Resolve,
    sizes: &SizeAlign,
    interface: Option<&str>,
    function: &wit_parser::Function,
    bind: Bind,
) -> Result<Function, String> {
    let mut is_streamed = function.kind.is_async();
    let mut is_fed = false;
    let mut params = Vec::with_capacity(function.params.len());
    for param in &function.params {
        let passed = streamed::param(resolve, &param.ty)
            .map_err(|obstacle| format!("its parameter `{}` {obstacle}", param.name))?;
        is_streamed |= passed.is_streamed;
        is_fed = passed.is_streamed && passed.ty.is_bytes() && function.params.len() == 1;
        params.push((param.name.clone(), passed.ty));
    }
    let mut elements = None;
    let result = match &function.result {
        Some(ty) => {
            let passed = streamed::result(resolve, ty);
            let passed = passed.map_err(|obstacle| format!("its result {obstacle}"))?;
            is_streamed |= passed.is_streamed;
            elements = passed.elements;
            Some(passed.ty)
        }
        None => None,
    };
    let declared = is_streamed.then(|| signature::of(resolve, function).into());
    let binding = match bind {
        Bind::Core => {
            if is_streamed {
                return Err(
                    "it is async or has a stream or a future, which only a component's function can"
                        .to_owned(),
                );
            }
            let mut types = params.iter().map(|(_, ty)| ty).chain(&result);
            if types.any(has_fixed_list) {
                return Err(
                    "it has a list of fixed length, which only a component's function can have here"
                        .to_owned(),
                );
            }
            let signature = Signature::of(resolve, sizes, function);
            // Every value has a layout, unless it is larger than any memory.
            Binding::Typed(signature.ok_or("its types do not fit into a memory")?)
        }
        Bind::Component => Binding::Component {
            instance: interface.map(str::to_owned),
            function: function.name.clone(),
        },
    };
    Ok(Function {
        name: full_name(interface, function),
        params,
        result,
        binding,
        declared,
        is_fed,
        elements,
    })
}

/// Returns the value type for `ty`.
///
/// # Errors
///
/// Returns the obstacle if it cannot be a value.
pub(crate) fn value_type(resolve: &Resolve, ty: &WitType) -> Result<Type, Obstacle> {
    Ok(match ty {
        WitType::Bool => Type::Bool,
        WitType::S8 => Type::S8,
        WitType::U8 => Type::U8,
        WitType::S16 => Type::S16,
        WitType::U16 => Type::U16,
        WitType::S32 => Type::S32,
        WitType::U32 => Type::U32,
        WitType::S64 => Type::S64,
        WitType::U64 => Type::U64,
        WitType::F32 => Type::F32,
        WitType::F64 => Type::F64,
        WitType::Char => Type::Char,
        WitType::String => Type::String,
        WitType::ErrorContext => return Err(Obstacle::of(resolve, ty)),
        WitType::Id(id) => match &resolve.types[*id].kind {
            TypeDefKind::Type(inner) => value_type(resolve, inner)?,
            TypeDefKind::List(element) => Type::list(value_type(resolve, element)?),
            TypeDefKind::FixedLengthList(element, count) => {
                Type::FixedList(Arc::new((value_type(resolve, element)?, *count)))
            }
            TypeDefKind::Option(some) => Type::option(value_type(resolve, some)?),
            TypeDefKind::Map(key, value) => Type::Map(Arc::new((
                value_type(resolve, key)?,
                value_type(resolve, value)?,
            ))),
            TypeDefKind::Tuple(tuple) => Type::Tuple(
                tuple
                    .types
                    .iter()
                    .map(|ty| value_type(resolve, ty))
                    .collect::<Result<_, Obstacle>>()?,
            ),
            TypeDefKind::Result(sides) => Type::result(
                side(resolve, sides.ok.as_ref())?,
                side(resolve, sides.err.as_ref())?,
            ),
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|field| {
                    let name = field.name.as_str().into();
                    value_type(resolve, &field.ty).map(|ty| Field { name, ty })
                });
                Type::Record(fields.collect::<Result<_, Obstacle>>()?)
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter().map(|case| {
                    let name = case.name.as_str().into();
                    side(resolve, case.ty.as_ref()).map(|ty| Case { name, ty })
                });
                Type::Variant(cases.collect::<Result<_, Obstacle>>()?)
            }
            TypeDefKind::Enum(names) => Type::Enum(
                names
                    .cases
                    .iter()
                    .map(|case| case.name.as_str().into())
                    .collect(),
            ),
            TypeDefKind::Flags(names) => Type::Flags(
                names
                    .flags
                    .iter()
                    .map(|flag| flag.name.as_str().into())
                    .collect(),
            ),
            TypeDefKind::Resource
            | TypeDefKind::Handle(_)
            | TypeDefKind::Future(_)
            | TypeDefKind::Stream(_)
            | TypeDefKind::Unknown => return Err(Obstacle::of(resolve, ty)),
        },
    })
}

/// The type of an optional part.
fn side(resolve: &Resolve, ty: Option<&WitType>) -> Result<Option<Type>, Obstacle> {
    ty.map(|ty| value_type(resolve, ty)).transpose()
}

/// Whether the type is or contains a list of fixed length.
pub(in crate::sandbox) fn has_fixed_list(ty: &Type) -> bool {
    let side = |ty: &Option<Type>| ty.as_ref().is_some_and(has_fixed_list);
    match ty {
        Type::FixedList(_) => true,
        Type::List(inner) | Type::Option(inner) => has_fixed_list(inner),
        Type::Map(types) => has_fixed_list(&types.0) || has_fixed_list(&types.1),
        Type::Tuple(types) => types.iter().any(has_fixed_list),
        Type::Record(fields) => fields.iter().any(|field| has_fixed_list(&field.ty)),
        Type::Variant(cases) => cases.iter().any(|case| side(&case.ty)),
        Type::Result(sides) => side(&sides.ok) || side(&sides.err),
        _ => false,
    }
}
