//! Rust's own types for WIT's: the parameters and results of typed functions.
//!
//! A type is checked against a WIT type once, when a function is looked up. After that it is
//! written to and read from the packed form directly, without a [`Value`](super::Value) in between.
//! `scalars`, `compound` and `maps` have the types, `params` the lists of parameters. Nothing here
//! knows modules or functions.

mod compound;
mod maps;
mod params;
mod scalars;

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use params::Unfit;
#[doc(hidden)]
pub use params::place::Fill;
pub use params::{Params, ToArgument};

use super::mismatch::Mismatch;
use super::pack::Packer;
use super::unpack::Decoder;
use super::{Packed, PackedError, Type};
#[doc(hidden)]
pub use sealed::Stands;
use sealed::{Read, Write};

/// A Rust type that can be an argument of a typed function.
///
/// | WIT | Rust |
/// |---|---|
/// | `bool`, `char` | the same |
/// | `s8` … `s64`, `u8` … `u64`, `f32`, `f64` | `i8` … `i64`, `u8` … `u64`, `f32`, `f64` |
/// | `string` | `String`, `&str`, `Arc<str>` |
/// | `list<u8>` | `Vec<u8>`, `&[u8]`, `[u8; N]`, `Bytes`: copied as a whole |
/// | `list<T>` | `Vec<T>`, `&[T]`, `[T; N]` |
/// | `option<T>` | `Option<T>` |
/// | `result<T, E>` | `Result<T, E>`, with `()` for a side without a payload |
/// | `tuple<…>` of at most 8 | tuples |
/// | `map<K, V>`, `list<tuple<K, V>>` | `HashMap`, `BTreeMap` |
/// | records, variants, enums, flags, anything | [`Value`](crate::value::Value) |
///
/// A number only fits the WIT type of its own size and sign, so that nothing is truncated: a plain
/// core function takes `i32`, `i64`, `f32` and `f64`, but not `u32`. References and `Box` stand for
/// the type that they point to. A `HashMap` is written in no particular order; use a `BTreeMap` if
/// equal arguments must have equal bytes.
///
/// The trait is sealed: only the types above implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not correspond to a WIT type",
    note = "pass records, variants, enums and flags as `rwasm_cluster::Value`"
)]
pub trait ToWit: Write {}

impl<T: Write> ToWit for T {}

/// A Rust type that can be the result of a typed function: those of [`ToWit`] that own their data
/// (no arrays), and `()` for a function without a result.
///
/// If a map has a key twice, the last entry wins. The trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a WIT type",
    note = "a result owns its data: use `String` rather than `&str`, and `Vec<T>` rather than `&[T]`; read records, variants, enums and flags as `rwasm_cluster::Value`"
)]
pub trait FromWit: Read {}

impl<T: Read> FromWit for T {}

impl Packed {
    /// Packs a value of one of Rust's own types as a value of type `ty`.
    ///
    /// # Errors
    ///
    /// Returns an error if the Rust type does not correspond to this type, or if a
    /// [`Value`](crate::value::Value) in it does not fit.
    pub fn pack_from<T: ToWit>(value: &T, ty: &Type) -> Result<Self, PackedError> {
        if !T::fits(ty) {
            return Err(Mismatch::of_type(T::wit(), ty).into());
        }
        let mut packer = Packer::default();
        value.write(ty, 0, &mut packer)?;
        Ok(Self::from_payload(ty.clone(), packer.finish().into()))
    }

    /// Unpacks the value as one of Rust's own types. `Bytes` share the memory of this value.
    ///
    /// # Errors
    ///
    /// Returns an error if the Rust type does not correspond to the type of the value.
    pub fn unpack_as<T: FromWit>(&self) -> Result<T, PackedError> {
        if !T::fits(self.ty()) {
            return Err(Mismatch::new(self.ty().to_string(), T::wit()).into());
        }
        Decoder::read_all(self.payload(), |decoder| T::read(self.ty(), 0, decoder))
    }
}

/// The foundation of the public traits. Other crates can neither name nor implement it.
pub(crate) mod sealed {
    use super::super::codec::Malformed;
    use super::super::mismatch::{Mismatch, Step};
    use super::super::pack::{Packer, inside};
    use super::super::unpack::{Decoder, least_size};
    use super::super::{PackedError, Type};

    /// A Rust type that corresponds to WIT types.
    pub trait Stands {
        /// Whether values of this type can be values of `ty`.
        fn fits(ty: &Type) -> bool;

        /// The corresponding WIT type, in words for an error.
        fn wit() -> String;

        /// Whether it can be the payload of one side of a `result`.
        fn fits_side(side: Option<&Type>) -> bool {
            side.is_some_and(Self::fits)
        }

        /// The same in words; none without a payload.
        fn wit_side() -> Option<String> {
            Some(Self::wit())
        }
    }

    /// A Rust type that can be written as a WIT type.
    pub trait Write: Stands + Sized {
        /// The same type, with `'a` for the lifetimes in it.
        type At<'a>: Write + 'a;

        /// Writes the value as type `ty`, which it fits, nested `depth` levels deep.
        fn write(&self, ty: &Type, depth: usize, out: &mut Packer) -> Result<(), PackedError>;

        /// Writes many as the elements of a list. Bytes are written all at once.
        fn write_list(
            items: &[Self],
            element: &Type,
            depth: usize,
            out: &mut Packer,
        ) -> Result<(), PackedError> {
            out.count(items.len(), least_size(element, depth))?;
            for (index, item) in items.iter().enumerate() {
                inside(item.write(element, depth, out), || Step::Index(index))?;
            }
            Ok(())
        }

        /// Writes the payload of one side of a `result`.
        fn write_side(
            &self,
            side: Option<&Type>,
            depth: usize,
            out: &mut Packer,
        ) -> Result<(), PackedError> {
            match side {
                Some(ty) => self.write(ty, depth, out),
                None => Err(Mismatch::new(Self::wit(), "no payload").into()),
            }
        }
    }

    /// A Rust type that can be read from a WIT type.
    pub trait Read: Stands + Sized {
        /// Reads a value of type `ty`, which fits.
        fn read(ty: &Type, depth: usize, from: &mut Decoder<'_>) -> Result<Self, Malformed>;

        /// Reads the elements of a list. Bytes are read all at once.
        fn read_list(
            element: &Type,
            depth: usize,
            from: &mut Decoder<'_>,
        ) -> Result<Vec<Self>, Malformed> {
            let count = from.count(|| least_size(element, depth))?;
            let mut items = Vec::with_capacity(count);
            for _ in 0..count {
                items.push(Self::read(element, depth, from)?);
            }
            Ok(items)
        }

        /// Reads the payload of one side of a `result`.
        fn read_side(
            side: Option<&Type>,
            depth: usize,
            from: &mut Decoder<'_>,
        ) -> Result<Self, Malformed> {
            let ty = side.ok_or(Malformed::BadCase)?;
            Self::read(ty, depth, from)
        }
    }
}
