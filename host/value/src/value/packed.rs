//! [`Packed`]: the compact binary form of a value, driven by its type and without tags.
//!
//! Numbers are LEB128 (signed ones zigzag) and floats little-endian. Strings and `list<u8>` are a
//! length and bytes; other lists and maps are a count and elements; tuples and records are their
//! fields. Variants and enums are the index of the case, options and results one byte, each
//! followed by the payload; flags are one bit each. Equal values have equal bytes (floats by their
//! bits).
//!
//! External bytes enter by [`Packed::from_wire`], which checks everything, so a `Packed` is always
//! well formed. It does not compress, and does not describe its type: both ends know it.

use super::codec::Malformed;
use super::codec::Writer;
use super::mismatch::Mismatch;
use super::pack::Packer;
use super::unpack::Decoder;
use super::{Type, Value};
use bytes::Bytes;

/// The first byte of the wire form; it changes with the encoding.
const WIRE_VERSION: u8 = 1;

/// A value in its binary form, with its type. Cheap to clone.
///
/// # Examples
///
/// ```
/// use rwasm_value::value::{Packed, Type, Value};
///
/// let ty = Type::list(Type::U64);
/// let value = Value::List(vec![1_u64.into(), 300_u64.into()]);
/// let packed = Packed::pack(&value, &ty)?;
/// assert_eq!(packed.payload()[..], [2, 1, 0xac, 0x02]);
/// assert_eq!(packed.unpack()?, value);
/// assert!(Packed::pack(&Value::from("text"), &ty).is_err());
/// # Ok::<(), rwasm_value::value::PackedError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    ty: Type,
    bytes: Bytes,
}

/// The error for a value that cannot be packed, or bytes that are not a packed value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PackedError {
    /// The value does not fit the type.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The bytes are not a value of the type.
    #[error("malformed packed value at byte {offset}: {reason}")]
    Malformed {
        /// The byte offset in the payload.
        offset: usize,
        /// What is wrong there.
        reason: Malformed,
    },
    /// Bytes follow the end of the value.
    #[error("{count} bytes follow the packed value")]
    Trailing {
        /// The number of these bytes.
        count: usize,
    },
    /// The first byte is not a format version that this program knows.
    #[error("packed value has the wrong format version: expected {WIRE_VERSION}, found {found}")]
    Version {
        /// The first byte.
        found: u8,
    },
    /// There are no bytes, not even a version.
    #[error("packed value is empty")]
    Empty,
}

impl Packed {
    /// Packs `value` as a value of type `ty`.
    ///
    /// # Errors
    ///
    /// Returns an error if the value does not fit the type. The error has the path, what was found
    /// and what was wanted.
    pub fn pack(value: &Value, ty: &Type) -> Result<Self, PackedError> {
        let mut packer = Packer::default();
        packer.value(value, ty, 0)?;
        Ok(Self::from_payload(ty.clone(), packer.finish().into()))
    }

    /// Unpacks the value. Its bytes (`list<u8>`) share the memory of this value.
    ///
    /// # Errors
    ///
    /// Never fails on a `Packed` that this library made; the bytes are checked as they are read.
    pub fn unpack(&self) -> Result<Value, PackedError> {
        Decoder::read_all(&self.bytes, |decoder| decoder.value(&self.ty, 0))
    }

    /// Returns the type of the value.
    #[must_use]
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// Returns the size of the payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the payload is empty, like that of an empty tuple.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the encoded value, without the version byte.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.bytes
    }

    /// Wraps a payload that this program wrote for type `ty`.
    #[doc(hidden)]
    pub fn from_payload(ty: Type, bytes: Bytes) -> Self {
        let packed = Self { ty, bytes };
        debug_assert_eq!(packed.check(), Ok(()), "payload of {}", packed.ty);
        packed
    }

    /// Returns the wire form: a version byte, then the payload.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(1 + self.bytes.len());
        wire.push(WIRE_VERSION);
        wire.extend_from_slice(&self.bytes);
        wire
    }

    /// Returns the length of the wire form in bytes.
    #[doc(hidden)]
    pub fn wire_len(&self) -> usize {
        1 + self.bytes.len()
    }

    /// Writes the wire form, without its length.
    #[doc(hidden)]
    pub fn put_wire(&self, out: &mut Writer) {
        out.put_u8(WIRE_VERSION);
        out.put_raw(&self.bytes);
    }

    /// Does the same as [`Self::from_wire`], keeping the bytes without a copy.
    #[doc(hidden)]
    pub fn from_wire_bytes(ty: Type, wire: &Bytes) -> Result<Self, PackedError> {
        checked(&ty, wire)?;
        Ok(Self {
            ty,
            bytes: wire.slice(1..),
        })
    }

    /// Reads a value of type `ty` from its wire form, which may come from an untrusted source.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not exactly the wire form of one value of this type.
    pub fn from_wire(ty: Type, wire: &[u8]) -> Result<Self, PackedError> {
        let payload = checked(&ty, wire)?;
        Ok(Self {
            ty,
            bytes: Bytes::copy_from_slice(payload),
        })
    }

    fn check(&self) -> Result<(), PackedError> {
        check(&self.ty, &self.bytes)
    }
}

/// Returns the payload of a wire form after checking that it is exactly one value of type `ty`.
/// Does not allocate.
fn checked<'a>(ty: &Type, wire: &'a [u8]) -> Result<&'a [u8], PackedError> {
    let (&version, payload) = wire.split_first().ok_or(PackedError::Empty)?;
    if version != WIRE_VERSION {
        return Err(PackedError::Version { found: version });
    }
    check(ty, payload)?;
    Ok(payload)
}

/// Checks that `payload` is exactly one value of type `ty`. Does not allocate.
fn check(ty: &Type, payload: &[u8]) -> Result<(), PackedError> {
    let mut decoder = Decoder::new(payload);
    decoder
        .skip(ty, 0)
        .map_err(|reason| decoder.malformed(payload, reason))?;
    decoder.finish()
}

#[cfg(test)]
mod tests {
    use super::super::codec::Reader;
    use super::super::unpack::{MAX_DEPTH, MAX_EMPTY, skip};
    use super::super::{Case, Field};
    use super::*;
    use crate::arbitrary::{any_type, any_typed};
    use proptest::prelude::*;

    fn counts() -> Type {
        Type::list(Type::tuple([Type::String, Type::U64]))
    }

    #[test]
    fn the_encoding_is_what_the_header_says() {
        let value = Value::List(vec![("a", 300u64).into()]);
        let packed = Packed::pack(&value, &counts()).unwrap();
        assert_eq!(packed.payload()[..], [1, 1, b'a', 0xac, 0x02]);
        assert_eq!(packed.to_wire(), [1, 1, 1, b'a', 0xac, 0x02]);

        let ty = Type::Flags((0..9).map(|bit| format!("f{bit}").into()).collect());
        let value = Value::Flags(vec!["f1".into(), "f8".into()]);
        assert_eq!(Packed::pack(&value, &ty).unwrap().payload()[..], [2, 1]);

        let value = Value::S16(-3);
        assert_eq!(Packed::pack(&value, &Type::S16).unwrap().payload()[..], [5]);
    }

    #[test]
    fn a_mismatch_says_where_and_what() {
        let value = Value::List(vec![
            Value::Tuple(vec!["a".into(), 1u64.into()]),
            Value::Tuple(vec!["b".into(), 2u32.into()]),
        ]);
        let error = Packed::pack(&value, &counts()).unwrap_err();
        assert_eq!(error.to_string(), "[1].1: expected u64, found u32");

        let error = Packed::pack(&Value::Bool(true), &Type::Char).unwrap_err();
        assert_eq!(error.to_string(), "the value: expected char, found bool");

        let ty = Type::Record([("n", Type::U8)].map(field).into());
        let value = Value::Record(vec![("n".into(), Value::Option(None))]);
        let error = Packed::pack(&value, &ty).unwrap_err();
        assert_eq!(error.to_string(), ".n: expected u8, found option");
        let value = Value::Record(vec![("m".into(), Value::U8(1))]);
        let error = Packed::pack(&value, &ty).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the value: expected field `n`, found field `m`"
        );

        let case = Case {
            name: "some".into(),
            ty: None,
        };
        let ty = Type::Variant([case].into());
        let value = Value::Variant("some".into(), Some(Box::new(Value::U8(1))));
        let error = Packed::pack(&value, &ty).unwrap_err();
        assert_eq!(error.to_string(), ".some: expected no payload, found u8");
    }

    fn field((name, ty): (&str, Type)) -> Field {
        Field {
            name: name.into(),
            ty,
        }
    }

    #[test]
    fn wire_bytes_that_are_not_one_value_are_refused() {
        let refused = |ty: &Type, wire: &[u8]| Packed::from_wire(ty.clone(), wire).unwrap_err();
        assert_eq!(refused(&Type::U8, &[]), PackedError::Empty);
        assert_eq!(
            refused(&Type::U8, &[2, 0]),
            PackedError::Version { found: 2 }
        );
        assert_eq!(
            refused(&Type::U8, &[1, 0, 0, 0]),
            PackedError::Trailing { count: 2 }
        );
        let cases: [(&Type, &[u8], usize, Malformed); 6] = [
            (&Type::Bool, &[1, 2], 1, Malformed::BadBool),
            (&Type::String, &[1, 1, 0xff], 2, Malformed::BadUtf8),
            (&Type::U16, &[1, 0x80, 0x80, 0x04], 3, Malformed::BadLeb),
            (
                &Type::Enum(["a".into()].into()),
                &[1, 1],
                1,
                Malformed::BadCase,
            ),
            (
                &Type::Flags(["a".into()].into()),
                &[1, 2],
                1,
                Malformed::BadCase,
            ),
            (
                &counts(),
                &[1, 0xff, 0xff, 0xff, 0x7f],
                4,
                Malformed::UnexpectedEnd,
            ),
        ];
        for (ty, wire, offset, reason) in cases {
            assert_eq!(
                refused(ty, wire),
                PackedError::Malformed { offset, reason },
                "{ty}"
            );
        }
    }

    #[test]
    fn elements_without_bytes_are_bounded_over_the_whole_value() {
        let empty = Type::list(Type::tuple([]));
        let mut out = crate::value::codec::Writer::default();
        out.put_u8(WIRE_VERSION);
        out.put_len(MAX_EMPTY);
        let wire = out.into_vec();
        let packed = Packed::from_wire(empty.clone(), &wire).unwrap();
        let value = packed.unpack().unwrap();
        assert_eq!(value.as_list().unwrap().len(), MAX_EMPTY);
        assert_eq!(Packed::pack(&value, &empty), Ok(packed));

        let twice = [&[WIRE_VERSION, 2], &wire[1..], &wire[1..]].concat();
        let error = Packed::from_wire(Type::list(empty), &twice).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("more than 1048576 empty elements"),
            "{error}"
        );
    }

    #[test]
    fn deep_nesting_is_refused_both_ways() {
        let (mut ty, mut value) = (Type::U8, Value::U8(0));
        for _ in 0..MAX_DEPTH {
            (ty, value) = (Type::option(ty), Some(value).into());
        }
        let packed = Packed::pack(&value, &ty).unwrap();
        let wire = packed.to_wire();
        assert_eq!(Packed::from_wire(ty.clone(), &wire), Ok(packed));

        let (ty, value) = (Type::option(ty), Some(value).into());
        let error = Packed::pack(&value, &ty).unwrap_err();
        assert!(
            error.to_string().ends_with("nested deeper than 64 levels"),
            "{error}"
        );
        let deeper = [&[WIRE_VERSION, 1], &wire[1..]].concat();
        assert!(Packed::from_wire(ty, &deeper).is_err());
    }

    #[test]
    fn nan_keeps_its_bits() {
        let value = Value::F32(f32::from_bits(0x7fc1_2345));
        let packed = Packed::pack(&value, &Type::F32).unwrap();
        assert_eq!(packed.payload()[..], 0x7fc1_2345_u32.to_le_bytes());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn values_round_trip((ty, value) in any_typed()) {
            let packed = Packed::pack(&value, &ty).unwrap();
            prop_assert_eq!(&packed.unpack().unwrap(), &value);
            let arrived = Packed::from_wire(ty, &packed.to_wire()).unwrap();
            prop_assert_eq!(arrived, packed);
        }

        #[test]
        fn skip_ends_where_the_value_ends((ty, value) in any_typed(), tail: [u8; 3]) {
            let packed = Packed::pack(&value, &ty).unwrap();
            let bytes = [&packed.payload()[..], &tail].concat();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(skip(&mut reader, &ty).unwrap(), &packed.payload()[..]);
            prop_assert_eq!(reader.rest(), tail);
        }

        /// What is accepted unpacks, and has only this one encoding.
        #[test]
        fn arbitrary_wire_bytes_do_not_panic(ty in any_type(), payload: Vec<u8>) {
            let wire = [&[WIRE_VERSION], &payload[..]].concat();
            if let Ok(packed) = Packed::from_wire(ty.clone(), &wire) {
                let value = packed.unpack().unwrap();
                prop_assert_eq!(Packed::pack(&value, &ty).unwrap(), packed);
            }
        }

        #[test]
        fn mutated_wire_bytes_do_not_panic(
            (ty, value) in any_typed(),
            at: prop::sample::Index,
            byte: u8,
            cut: prop::sample::Index,
        ) {
            let mut wire = Packed::pack(&value, &ty).unwrap().to_wire();
            let at = at.index(wire.len());
            wire[at] = byte;
            if let Ok(packed) = Packed::from_wire(ty.clone(), &wire) {
                let value = packed.unpack().unwrap();
                prop_assert_eq!(Packed::pack(&value, &ty).unwrap(), packed);
            }
            let cut = cut.index(wire.len());
            drop(Packed::from_wire(ty, &wire[..cut]));
        }
    }
}
