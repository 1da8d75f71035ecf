//! Streams and futures in the types of a function: what they carry, as the value that a caller sees. A stream is a list,
//! of which a guest sees one element after the other; a future is its value.
//!
//! wasmtime carries elements of types that Rust knows, so that not every type can be one: see
//! [`carried`](crate::sandbox::abi::carried).

use super::Elementwise;
use super::signature::{Obstacle, UnsupportedType};
use super::wit::value_type;
use crate::sandbox::abi::carried;
use rwasm_value::value::Type;
use wit_parser::{Resolve, Type as WitType, TypeDefKind};

/// The type of the values that are passed for a parameter or a result.
pub(super) struct Passed {
    pub(super) ty: Type,
    /// Whether it is or has a stream or a future.
    pub(super) is_streamed: bool,
    /// What it gives one after the other, if it is a stream or a future itself.
    pub(super) elements: Option<Elementwise>,
}

impl Passed {
    fn whole(ty: Type) -> Self {
        Self {
            ty,
            is_streamed: false,
            elements: None,
        }
    }
}

/// What is passed for a parameter, which may be a stream or a future.
pub(super) fn param(resolve: &Resolve, ty: &WitType) -> Result<Passed, Obstacle> {
    match handle(resolve, ty)? {
        Some(elements) => Ok(Passed {
            ty: match &elements {
                Elementwise::Stream(element) => Type::list(element.clone()),
                Elementwise::Bytes => Type::bytes(),
                Elementwise::Future(value) => value.clone(),
            },
            is_streamed: true,
            elements: Some(elements),
        }),
        None => value_type(resolve, ty).map(Passed::whole),
    }
}

/// What is passed for a result, which may also have them as parts of a `result`, an `option` or a tuple.
pub(super) fn result(resolve: &Resolve, ty: &WitType) -> Result<Passed, Obstacle> {
    if let Ok(ty) = value_type(resolve, ty) {
        return Ok(Passed::whole(ty));
    }
    let WitType::Id(id) = ty else {
        return param(resolve, ty);
    };
    let part = |ty: &WitType| result(resolve, ty).map(|passed| passed.ty);
    let mut elements = None;
    let side = |ty: Option<&WitType>| ty.map(part).transpose();
    let ty = match &resolve.types[*id].kind {
        TypeDefKind::Type(inner) => return result(resolve, inner),
        TypeDefKind::Option(some) => Type::option(part(some)?),
        TypeDefKind::Result(sides) => {
            let ok = sides.ok.as_ref().map(|ty| result(resolve, ty));
            let ok = ok.transpose()?;
            // An error fails the task, so that the other side is its value.
            let direct = ok.as_ref().filter(|ok| !matches!(ok.ty, Type::Result(_)));
            elements = direct.and_then(|ok| ok.elements.clone());
            Type::result(ok.map(|ok| ok.ty), side(sides.err.as_ref())?)
        }
        TypeDefKind::Tuple(tuple) => {
            let types = tuple.types.iter().map(part);
            Type::Tuple(types.collect::<Result<_, Obstacle>>()?)
        }
        _ => return param(resolve, ty),
    };
    Ok(Passed {
        ty,
        is_streamed: true,
        elements,
    })
}

/// What a stream or a future gives; `None` if the type is neither.
fn handle(resolve: &Resolve, ty: &WitType) -> Result<Option<Elementwise>, Obstacle> {
    let WitType::Id(id) = ty else {
        return Ok(None);
    };
    let (element, is_stream) = match &resolve.types[*id].kind {
        TypeDefKind::Type(inner) => return handle(resolve, inner),
        TypeDefKind::Stream(Some(element)) => (element, true),
        TypeDefKind::Future(Some(element)) => (element, false),
        _ => return Ok(None),
    };
    let carries = value_type(resolve, element).ok().filter(carried);
    let Some(element) = carries else {
        let kind = if is_stream {
            UnsupportedType::Stream
        } else {
            UnsupportedType::Future
        };
        return Err(Obstacle::new(resolve, ty, kind));
    };
    Ok(Some(match element {
        Type::U8 if is_stream => Elementwise::Bytes,
        element if is_stream => Elementwise::Stream(element),
        element => Elementwise::Future(element),
    }))
}
