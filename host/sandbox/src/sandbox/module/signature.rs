//! Functions and types as WIT writes them, and which types cannot be values. For showing functions
//! that no task can call; other functions are shown by their own types.

use std::fmt;
use wit_parser::{Function, Handle, Resolve, Type, TypeDef, TypeDefKind};

/// The depth to which a type is written out; anything deeper is shown as a mark.
const DEEPEST: usize = 8;

/// A type that a task cannot use, because its input is copied in and its result copied out.
#[derive(Debug)]
pub(super) struct Obstacle {
    /// The type, as WIT writes it.
    ty: String,
    kind: UnsupportedType,
}

#[derive(Debug)]
pub(super) enum UnsupportedType {
    Resource,
    Stream,
    Future,
    ErrorContext,
    Unknown,
}

impl Obstacle {
    /// Returns what `ty` itself is, if it cannot be a value.
    pub(super) fn of(resolve: &Resolve, ty: &Type) -> Self {
        let kind = match ty {
            Type::ErrorContext => UnsupportedType::ErrorContext,
            Type::Id(id) => match &resolve.types[*id].kind {
                TypeDefKind::Resource | TypeDefKind::Handle(_) => UnsupportedType::Resource,
                TypeDefKind::Stream(_) => UnsupportedType::Stream,
                TypeDefKind::Future(_) => UnsupportedType::Future,
                _ => UnsupportedType::Unknown,
            },
            _ => UnsupportedType::Unknown,
        };
        Self::new(resolve, ty, kind)
    }

    pub(super) fn new(resolve: &Resolve, ty: &Type, kind: UnsupportedType) -> Self {
        Self {
            ty: written(resolve, ty),
            kind,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.kind {
            UnsupportedType::Resource => "a resource, which only a script can keep",
            UnsupportedType::Stream => {
                "a stream that this host cannot pass: it passes those of numbers, `bool`, `char`, `string`, `list<u8>`, \
                `list<string>`, and `tuple<string, T>` of a string, `u32` or `u64`, as a parameter, a result, or part of a \
                tuple, option or result that is returned"
            }
            UnsupportedType::Future => {
                "a future that this host cannot pass: it passes those of the types that it passes in a stream"
            }
            UnsupportedType::ErrorContext => {
                "a handle, which cannot leave the instance it was made in"
            }
            UnsupportedType::Unknown => "a type unknown to this host",
        };
        write!(f, "has the type `{}`, {why}", self.ty)
    }
}

/// Writes the function in WIT without its name: `func(path: string) -> file`.
pub(super) fn of(resolve: &Resolve, function: &Function) -> String {
    let params: Vec<String> = function
        .params
        .iter()
        .map(|param| format!("{}: {}", param.name, written(resolve, &param.ty)))
        .collect();
    let begin = if function.kind.is_async() {
        "async func"
    } else {
        "func"
    };
    let result = function
        .result
        .as_ref()
        .map_or_else(String::new, |ty| format!(" -> {}", written(resolve, ty)));
    format!("{begin}({}){result}", params.join(", "))
}

/// Writes a type by its name if it has one, otherwise by its structure.
fn written(resolve: &Resolve, ty: &Type) -> String {
    Written { resolve, depth: 0 }.ty(ty)
}

#[derive(Clone, Copy)]
struct Written<'a> {
    resolve: &'a Resolve,
    depth: usize,
}

impl Written<'_> {
    fn ty(self, ty: &Type) -> String {
        let id = match ty {
            Type::Bool => return "bool".to_owned(),
            Type::U8 => return "u8".to_owned(),
            Type::U16 => return "u16".to_owned(),
            Type::U32 => return "u32".to_owned(),
            Type::U64 => return "u64".to_owned(),
            Type::S8 => return "s8".to_owned(),
            Type::S16 => return "s16".to_owned(),
            Type::S32 => return "s32".to_owned(),
            Type::S64 => return "s64".to_owned(),
            Type::F32 => return "f32".to_owned(),
            Type::F64 => return "f64".to_owned(),
            Type::Char => return "char".to_owned(),
            Type::String => return "string".to_owned(),
            Type::ErrorContext => return "error-context".to_owned(),
            Type::Id(id) => *id,
        };
        let definition = &self.resolve.types[id];
        if let Some(name) = &definition.name {
            return name.clone();
        }
        if self.depth == DEEPEST {
            return "…".to_owned();
        }
        let inner = Self {
            depth: self.depth + 1,
            ..self
        };
        inner.definition(definition)
    }

    fn definition(self, definition: &TypeDef) -> String {
        let part = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), |ty| self.ty(ty));
        match &definition.kind {
            TypeDefKind::Type(ty) => self.ty(ty),
            TypeDefKind::List(ty) => format!("list<{}>", self.ty(ty)),
            TypeDefKind::FixedLengthList(ty, length) => format!("list<{}, {length}>", self.ty(ty)),
            TypeDefKind::Option(ty) => format!("option<{}>", self.ty(ty)),
            TypeDefKind::Map(key, value) => format!("map<{}, {}>", self.ty(key), self.ty(value)),
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<String> = tuple.types.iter().map(|ty| self.ty(ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::Result(sides) => match (&sides.ok, &sides.err) {
                (None, None) => "result".to_owned(),
                (ok, None) => format!("result<{}>", part(ok)),
                (ok, err) => format!("result<{}, {}>", part(ok), part(err)),
            },
            TypeDefKind::Handle(Handle::Own(id)) => self.ty(&Type::Id(*id)),
            TypeDefKind::Handle(Handle::Borrow(id)) => {
                format!("borrow<{}>", self.ty(&Type::Id(*id)))
            }
            TypeDefKind::Stream(None) => "stream".to_owned(),
            TypeDefKind::Stream(ty) => format!("stream<{}>", part(ty)),
            TypeDefKind::Future(None) => "future".to_owned(),
            TypeDefKind::Future(ty) => format!("future<{}>", part(ty)),
            // These have names if they are well formed.
            TypeDefKind::Record(_) => "record".to_owned(),
            TypeDefKind::Variant(_) => "variant".to_owned(),
            TypeDefKind::Enum(_) => "enum".to_owned(),
            TypeDefKind::Flags(_) => "flags".to_owned(),
            TypeDefKind::Resource => "resource".to_owned(),
            TypeDefKind::Unknown => "unknown".to_owned(),
        }
    }
}
