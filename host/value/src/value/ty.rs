//! The types of values: those of WIT, except those that cannot be values (resources, streams,
//! futures).
//!
//! A `Type` is a handle that is cheap to clone. It knows nothing of wasmtime or of memory layouts;
//! the sandbox makes one for each parameter and result when it loads a module.

use std::fmt;
use std::sync::Arc;

/// The type of a [`Value`](super::Value), as in WIT. It displays in WIT's syntax.
///
/// # Examples
///
/// ```
/// use rwasm_value::value::Type;
///
/// let ty = Type::list(Type::tuple([Type::String, Type::option(Type::U64)]));
/// assert_eq!(ty.to_string(), "list<tuple<string, option<u64>>>");
/// assert!(Type::list(Type::U8).is_bytes());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`, a Unicode scalar value
    Char,
    /// `string`, UTF-8
    String,
    /// `list<T>`; `list<u8>` has its own kind of value, see [`Type::is_bytes`]
    List(Arc<Type>),
    /// `list<T, N>`, of exactly so many elements
    FixedList(Arc<(Type, u32)>),
    /// `tuple<…>`
    Tuple(Arc<[Type]>),
    /// `record { name: type, … }`
    Record(Arc<[Field]>),
    /// `variant { name, name(type), … }`
    Variant(Arc<[Case]>),
    /// `enum { name, … }`
    Enum(Arc<[Arc<str>]>),
    /// `flags { name, … }`
    Flags(Arc<[Arc<str>]>),
    /// `option<T>`
    Option(Arc<Type>),
    /// `result<T, E>`, either of which may be absent
    Result(Arc<ResultType>),
    /// `map<K, V>`
    Map(Arc<(Type, Type)>),
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Its name, in WIT's kebab case.
    pub name: Arc<str>,
    /// Its type.
    pub ty: Type,
}

/// One case of a variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    /// Its name, in WIT's kebab case.
    pub name: Arc<str>,
    /// The type of its payload, if it has one.
    pub ty: Option<Type>,
}

/// The two sides of `result<T, E>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResultType {
    /// The type of the payload of `ok`.
    pub ok: Option<Type>,
    /// The type of the payload of `err`.
    pub err: Option<Type>,
}

impl Type {
    /// The types without parts.
    #[doc(hidden)]
    pub const LEAVES: [Self; 13] = [
        Self::Bool,
        Self::S8,
        Self::U8,
        Self::S16,
        Self::U16,
        Self::S32,
        Self::U32,
        Self::S64,
        Self::U64,
        Self::F32,
        Self::F64,
        Self::Char,
        Self::String,
    ];

    /// Returns `list<T>`.
    #[must_use]
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    /// Returns `list<u8>`, whose values are [`Value::Bytes`](super::Value::Bytes).
    #[must_use]
    pub fn bytes() -> Self {
        Self::list(Self::U8)
    }

    /// Returns `tuple<…>`.
    #[must_use]
    pub fn tuple(fields: impl IntoIterator<Item = Self>) -> Self {
        Self::Tuple(fields.into_iter().collect())
    }

    /// Returns `option<T>`.
    #[must_use]
    pub fn option(inner: Self) -> Self {
        Self::Option(Arc::new(inner))
    }

    /// Returns `result<T, E>`.
    #[must_use]
    pub fn result(ok: Option<Self>, err: Option<Self>) -> Self {
        Self::Result(Arc::new(ResultType { ok, err }))
    }

    /// Whether this is `list<u8>`.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        matches!(self, Self::List(element) if **element == Self::U8)
    }

    /// Whether this is one of the integer or float types.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(
            self,
            Self::S8
                | Self::U8
                | Self::S16
                | Self::U16
                | Self::S32
                | Self::U32
                | Self::S64
                | Self::U64
                | Self::F32
                | Self::F64
        )
    }
}

/// Writes the type as WIT does; records, variants, enums and flags are written inline.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::S8 => f.write_str("s8"),
            Self::U8 => f.write_str("u8"),
            Self::S16 => f.write_str("s16"),
            Self::U16 => f.write_str("u16"),
            Self::S32 => f.write_str("s32"),
            Self::U32 => f.write_str("u32"),
            Self::S64 => f.write_str("s64"),
            Self::U64 => f.write_str("u64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::FixedList(list) => write!(f, "list<{}, {}>", list.0, list.1),
            Self::Option(inner) => write!(f, "option<{inner}>"),
            Self::Map(entry) => write!(f, "map<{}, {}>", entry.0, entry.1),
            Self::Tuple(fields) => {
                f.write_str("tuple<")?;
                join(f, fields.iter())?;
                f.write_str(">")
            }
            Self::Record(fields) => {
                f.write_str("record { ")?;
                join(
                    f,
                    fields
                        .iter()
                        .map(|field| format!("{}: {}", field.name, field.ty)),
                )?;
                f.write_str(" }")
            }
            Self::Variant(cases) => {
                f.write_str("variant { ")?;
                join(
                    f,
                    cases.iter().map(|case| match &case.ty {
                        Some(ty) => format!("{}({ty})", case.name),
                        None => case.name.to_string(),
                    }),
                )?;
                f.write_str(" }")
            }
            Self::Enum(names) => {
                f.write_str("enum { ")?;
                join(f, names.iter())?;
                f.write_str(" }")
            }
            Self::Flags(names) => {
                f.write_str("flags { ")?;
                join(f, names.iter())?;
                f.write_str(" }")
            }
            Self::Result(sides) => match (&sides.ok, &sides.err) {
                (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
                (Some(ok), None) => write!(f, "result<{ok}>"),
                (None, Some(err)) => write!(f, "result<_, {err}>"),
                (None, None) => f.write_str("result"),
            },
        }
    }
}

fn join<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
) -> fmt::Result {
    for (idx, item) in items.enumerate() {
        if idx > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}
