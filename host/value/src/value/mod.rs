//! `Value`: the arguments and results of tasks, in the shape of WIT's types.
//!
//! `ty` has the types, `packed` the compact binary form that travels between engines, `typed` the
//! conversion between that form and Rust's own types, `argument` the arguments of a call. Text
//! forms live in [`crate::format`]; memory layouts live in the sandbox.

mod argument;
#[doc(hidden)]
pub mod codec;
mod convert;
mod mismatch;
mod pack;
mod packed;
mod tagged;
mod ty;
mod typed;
mod unpack;

pub use argument::{Argument, ArgumentError, Reference};
pub use codec::Malformed;
pub use mismatch::{Mismatch, Path};
pub use packed::{Packed, PackedError};
pub use ty::{Case, Field, ResultType, Type};
pub use typed::{FromWit, Params, ToArgument, ToWit};

#[doc(hidden)]
pub use argument::PackedArgument;
#[doc(hidden)]
pub use codec::{Reader, Writer};
pub(crate) use mismatch::Step;
#[doc(hidden)]
pub use typed::{Fill, Stands, Unfit};
#[doc(hidden)]
pub use unpack::skip;

use bytes::Bytes;
use std::sync::Arc;

/// A value of any WIT type.
///
/// `list<u8>` and `string` have variants of their own, so that bulk data never travels as one
/// `Value` per byte.
///
/// # Examples
///
/// ```
/// use rwasm_value::value::{Type, Value};
///
/// let pair = Value::from(("answer", 42_u64));
/// assert_eq!(pair.as_list().and_then(|fields| fields[1].as_u64()), Some(42));
/// assert_eq!(Value::from(vec![1_u8, 2]).as_bytes(), Some(&[1, 2][..]));
///
/// let ty = Type::tuple([Type::String, Type::U64]);
/// assert_eq!(ty.to_string(), "tuple<string, u64>");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A `bool`.
    Bool(bool),
    /// An `s8`.
    S8(i8),
    /// A `u8`.
    U8(u8),
    /// An `s16`.
    S16(i16),
    /// A `u16`.
    U16(u16),
    /// An `s32`.
    S32(i32),
    /// A `u32`.
    U32(u32),
    /// An `s64`.
    S64(i64),
    /// A `u64`.
    U64(u64),
    /// An `f32`.
    F32(f32),
    /// An `f64`.
    F64(f64),
    /// A `char`.
    Char(char),
    /// A `string`.
    String(String),
    /// A `list<u8>`.
    Bytes(Bytes),
    /// A `list<T>`, except `list<u8>`.
    List(Vec<Value>),
    /// A `tuple<…>`.
    Tuple(Vec<Value>),
    /// A `record`, its fields in the order of the type.
    Record(Vec<(Arc<str>, Value)>),
    /// A case of a `variant` and its payload.
    Variant(Arc<str>, Option<Box<Value>>),
    /// A case of an `enum`.
    Enum(Arc<str>),
    /// The `flags` that are set, in the order of the type.
    Flags(Vec<Arc<str>>),
    /// An `option<T>`.
    Option(Option<Box<Value>>),
    /// A `result<T, E>`.
    Result(Result<Option<Box<Value>>, Option<Box<Value>>>),
    /// A `map<K, V>`, its entries in the order given.
    Map(Vec<(Value, Value)>),
}
