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

/// The fields or cases of a type that a message shows.
const BRIEF: usize = 8;

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

    /// Returns the type as WIT writes it, without most fields and cases of those that have many: for messages.
    #[doc(hidden)]
    #[must_use]
    pub fn brief(&self) -> impl fmt::Display {
        Written {
            ty: self,
            most: BRIEF,
        }
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
        let all = Written {
            ty: self,
            most: usize::MAX,
        };
        all.fmt(f)
    }
}

/// A type in WIT with at most so many fields or cases in each of its parts, and half as many in parts of those.
struct Written<'a> {
    ty: &'a Type,
    most: usize,
}

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ty {
            Type::Bool => f.write_str("bool"),
            Type::S8 => f.write_str("s8"),
            Type::U8 => f.write_str("u8"),
            Type::S16 => f.write_str("s16"),
            Type::U16 => f.write_str("u16"),
            Type::S32 => f.write_str("s32"),
            Type::U32 => f.write_str("u32"),
            Type::S64 => f.write_str("s64"),
            Type::U64 => f.write_str("u64"),
            Type::F32 => f.write_str("f32"),
            Type::F64 => f.write_str("f64"),
            Type::Char => f.write_str("char"),
            Type::String => f.write_str("string"),
            Type::List(element) => write!(f, "list<{}>", self.as_much(element)),
            Type::FixedList(list) => write!(f, "list<{}, {}>", self.as_much(&list.0), list.1),
            Type::Option(inner) => write!(f, "option<{}>", self.as_much(inner)),
            Type::Map(entry) => {
                let (key, value) = (self.as_much(&entry.0), self.as_much(&entry.1));
                write!(f, "map<{key}, {value}>")
            }
            Type::Tuple(fields) => {
                f.write_str("tuple<")?;
                self.join(f, fields.iter().map(|ty| self.less(ty)))?;
                f.write_str(">")
            }
            Type::Record(fields) => {
                let fields = fields.iter();
                let fields =
                    fields.map(|field| format!("{}: {}", field.name, self.less(&field.ty)));
                self.braced(f, "record", fields)
            }
            Type::Variant(cases) => {
                let cases = cases.iter().map(|case| match &case.ty {
                    Some(ty) => format!("{}({})", case.name, self.less(ty)),
                    None => case.name.to_string(),
                });
                self.braced(f, "variant", cases)
            }
            Type::Enum(names) => self.braced(f, "enum", names.iter()),
            Type::Flags(names) => self.braced(f, "flags", names.iter()),
            Type::Result(sides) => {
                let side = |ty: &Option<Type>| ty.as_ref().map(|ty| self.as_much(ty).to_string());
                match (side(&sides.ok), side(&sides.err)) {
                    (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
                    (Some(ok), None) => write!(f, "result<{ok}>"),
                    (None, Some(err)) => write!(f, "result<_, {err}>"),
                    (None, None) => f.write_str("result"),
                }
            }
        }
    }
}

impl<'a> Written<'a> {
    const fn as_much(&self, ty: &'a Type) -> Self {
        Self {
            ty,
            most: self.most,
        }
    }

    /// A part of a part that has several.
    fn less(&self, ty: &'a Type) -> Self {
        let most = match self.most {
            usize::MAX => usize::MAX,
            most => (most / 2).max(1),
        };
        Self { ty, most }
    }

    fn braced<T: fmt::Display>(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        items: impl ExactSizeIterator<Item = T>,
    ) -> fmt::Result {
        write!(f, "{what} {{ ")?;
        self.join(f, items)?;
        f.write_str(" }")
    }

    fn join<T: fmt::Display>(
        &self,
        f: &mut fmt::Formatter<'_>,
        items: impl ExactSizeIterator<Item = T>,
    ) -> fmt::Result {
        let left = items.len().saturating_sub(self.most);
        for (idx, item) in items.take(self.most).enumerate() {
            if idx > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{item}")?;
        }
        if left > 0 {
            write!(f, ", … {left} more")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_types_are_told_in_brief() {
        let named = |index: usize| Arc::<str>::from(format!("case-{index}"));
        let many = Type::Enum((0..300).map(named).collect());
        assert_eq!(
            many.brief().to_string(),
            "enum { case-0, case-1, case-2, case-3, case-4, case-5, case-6, case-7, … 292 more }"
        );
        let field = |index| Field {
            name: format!("f{index}").into(),
            ty: many.clone(),
        };
        let record = Type::Record((0..2).map(field).collect());
        let inner = "enum { case-0, case-1, case-2, case-3, … 296 more }";
        assert_eq!(
            Type::list(record).brief().to_string(),
            format!("list<record {{ f0: {inner}, f1: {inner} }}>")
        );
        assert_eq!(many.to_string().matches(',').count(), 299);
    }
}
