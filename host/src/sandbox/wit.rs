//! From the WIT a module carries to the functions it exports.

use super::abi::Signature;
use super::module::{Binding, Function};
use super::room::{Room, Weights};
use crate::value::{Case, Field, Type};
use std::sync::Arc;
use wit_parser::{Resolve, SizeAlign, Type as WitType, TypeDefKind, WorldId, WorldItem, WorldKey};

/// Whether functions are bound as exports of a core module or of a component.
#[derive(Clone, Copy)]
pub(super) enum Bind {
    Core,
    Component,
}

/// The functions that `world` exports, alone and in interfaces, but for those whose types
/// cannot be values (resources, streams, futures).
///
/// # Errors
/// When they take more than the room that is left.
pub(super) fn functions(
    resolve: &Resolve,
    world: WorldId,
    bind: Bind,
    room: &mut Room,
) -> Result<Vec<Function>, String> {
    let mut sizes = SizeAlign::default();
    sizes.fill(resolve);
    let mut weights = Weights::default();
    let mut found = Vec::new();
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
        found.extend(bound(resolve, &sizes, interface, function, bind));
        Ok::<(), String>(())
    };
    for (key, item) in &resolve.worlds[world].exports {
        match item {
            WorldItem::Function(function) => add(None, function)?,
            WorldItem::Interface { id, .. } => {
                let interface = interface_name(resolve, key);
                for function in resolve.interfaces[*id].functions.values() {
                    add(Some(&interface), function)?;
                }
            }
            WorldItem::Type { .. } => {}
        }
    }
    Ok(found)
}

fn interface_name(resolve: &Resolve, key: &WorldKey) -> String {
    resolve.name_world_key(key)
}

fn bound(
    resolve: &Resolve,
    sizes: &SizeAlign,
    interface: Option<&str>,
    function: &wit_parser::Function,
    bind: Bind,
) -> Option<Function> {
    let params = function
        .params
        .iter()
        .map(|param| Some((param.name.clone(), value_type(resolve, &param.ty)?)))
        .collect::<Option<Vec<_>>>()?;
    let result = match &function.result {
        Some(ty) => Some(value_type(resolve, ty)?),
        None => None,
    };
    let name = match interface {
        Some(interface) => format!("{interface}#{}", function.name),
        None => function.name.clone(),
    };
    let binding = match bind {
        Bind::Core => Binding::Typed(Signature::of(resolve, sizes, function)?),
        Bind::Component => Binding::Component {
            instance: interface.map(str::to_owned),
            function: function.name.clone(),
        },
    };
    Some(Function {
        name,
        params,
        result,
        binding,
    })
}

/// The value type that `ty` is, if it is one.
fn value_type(resolve: &Resolve, ty: &WitType) -> Option<Type> {
    Some(match ty {
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
        WitType::ErrorContext => return None,
        WitType::Id(id) => match &resolve.types[*id].kind {
            TypeDefKind::Type(inner) => value_type(resolve, inner)?,
            TypeDefKind::List(element) => Type::list(value_type(resolve, element)?),
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
                    .collect::<Option<_>>()?,
            ),
            TypeDefKind::Result(sides) => Type::result(
                side(resolve, sides.ok.as_ref())?,
                side(resolve, sides.err.as_ref())?,
            ),
            TypeDefKind::Record(record) => Type::Record(
                record
                    .fields
                    .iter()
                    .map(|field| {
                        let ty = value_type(resolve, &field.ty)?;
                        Some(Field {
                            name: field.name.as_str().into(),
                            ty,
                        })
                    })
                    .collect::<Option<_>>()?,
            ),
            TypeDefKind::Variant(variant) => Type::Variant(
                variant
                    .cases
                    .iter()
                    .map(|case| {
                        let ty = side(resolve, case.ty.as_ref())?;
                        Some(Case {
                            name: case.name.as_str().into(),
                            ty,
                        })
                    })
                    .collect::<Option<_>>()?,
            ),
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
            | TypeDefKind::FixedLengthList(..)
            | TypeDefKind::Unknown => return None,
        },
    })
}

/// The type of an optional part: absent is fine, unsupported is not.
#[expect(
    clippy::option_option,
    reason = "no type, and a type that is none, are two things"
)]
fn side(resolve: &Resolve, ty: Option<&WitType>) -> Option<Option<Type>> {
    match ty {
        Some(ty) => value_type(resolve, ty).map(Some),
        None => Some(None),
    }
}
