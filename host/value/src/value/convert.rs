//! Conversions between [`Value`] and Rust's types: `From` if there is only one way, and accessors.
//!
//! Nothing here changes the type of a number: a `u32` becomes a `u32`, whatever type a function
//! wants.

use super::Value;
use bytes::Bytes;

macro_rules! from {
    ($($rust:ty => $case:ident),* $(,)?) => {$(
        impl From<$rust> for Value {
            fn from(value: $rust) -> Self {
                Self::$case(value.into())
            }
        }
    )*};
}

from! {
    bool => Bool,
    i8 => S8,
    u8 => U8,
    i16 => S16,
    u16 => U16,
    i32 => S32,
    u32 => U32,
    i64 => S64,
    u64 => U64,
    f32 => F32,
    f64 => F64,
    char => Char,
    &str => String,
    String => String,
    Bytes => Bytes,
    Vec<u8> => Bytes,
    Vec<Self> => List,
}

impl<A: Into<Self>, B: Into<Self>> From<(A, B)> for Value {
    fn from((first, second): (A, B)) -> Self {
        Self::Tuple(vec![first.into(), second.into()])
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        Self::Option(value.map(|inner| Box::new(inner.into())))
    }
}

impl Value {
    /// Returns the text of a `string`.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the bytes of a `list<u8>` or of a `string`.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::String(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// Returns the elements of a list, or the fields of a tuple.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) | Self::Tuple(values) => Some(values),
            _ => None,
        }
    }

    /// Returns the number if this is a non-negative integer of any size.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U64(number) => Some(number),
            _ => self.as_i64().and_then(|number| number.try_into().ok()),
        }
    }

    /// Returns the number if this is an integer of any size and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::S8(number) => Some(number.into()),
            Self::U8(number) => Some(number.into()),
            Self::S16(number) => Some(number.into()),
            Self::U16(number) => Some(number.into()),
            Self::S32(number) => Some(number.into()),
            Self::U32(number) => Some(number.into()),
            Self::S64(number) => Some(number),
            Self::U64(number) => number.try_into().ok(),
            _ => None,
        }
    }

    /// Returns the number if this is a float.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(number) => Some(number.into()),
            Self::F64(number) => Some(number),
            _ => None,
        }
    }

    /// Returns the field of this name in a record.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Record(fields) => {
                let field = fields.iter().find(|(known, _)| **known == *name)?;
                Some(&field.1)
            }
            _ => None,
        }
    }

    /// Describes the kind of value in a few words, for messages.
    #[doc(hidden)]
    pub fn kind(&self) -> String {
        match self {
            Self::Bool(_) => "bool".into(),
            Self::S8(_) => "s8".into(),
            Self::U8(_) => "u8".into(),
            Self::S16(_) => "s16".into(),
            Self::U16(_) => "u16".into(),
            Self::S32(_) => "s32".into(),
            Self::U32(_) => "u32".into(),
            Self::S64(_) => "s64".into(),
            Self::U64(_) => "u64".into(),
            Self::F32(_) => "f32".into(),
            Self::F64(_) => "f64".into(),
            Self::Char(_) => "char".into(),
            Self::String(_) => "string".into(),
            Self::Bytes(_) => "list<u8> as bytes".into(),
            Self::List(_) => "list of values".into(),
            Self::Tuple(values) => format!("tuple of {}", values.len()),
            Self::Record(fields) => format!("record of {}", fields.len()),
            Self::Variant(name, _) => format!("variant {name}"),
            Self::Enum(name) => format!("enum {name}"),
            Self::Flags(_) => "flags".into(),
            Self::Option(_) => "option".into(),
            Self::Result(_) => "result".into(),
            Self::Map(_) => "map".into(),
        }
    }
}
