//! The self-describing form of a value, for values whose type the receiver does not know, such as
//! those pushed to remote engines. Values whose type both ends know travel packed, which is
//! smaller.
//!
//! One byte gives the kind of the value that follows. Nesting is bounded, and no length from
//! outside is trusted.

use super::Value;
use super::codec::{Malformed, Reader, Writer};
use super::unpack::MAX_DEPTH;
use bytes::Bytes;
use std::sync::Arc;

const BOOL: u8 = 0;
const S8: u8 = 1;
const U8: u8 = 2;
const S16: u8 = 3;
const U16: u8 = 4;
const S32: u8 = 5;
const U32: u8 = 6;
const S64: u8 = 7;
const U64: u8 = 8;
const F32: u8 = 9;
const F64: u8 = 10;
const CHAR: u8 = 11;
const STRING: u8 = 12;
const BYTES: u8 = 13;
const LIST: u8 = 14;
const TUPLE: u8 = 15;
const RECORD: u8 = 16;
const VARIANT: u8 = 17;
const ENUM: u8 = 18;
const FLAGS: u8 = 19;
const OPTION: u8 = 20;
const OK: u8 = 21;
const ERR: u8 = 22;
const MAP: u8 = 23;

impl Value {
    /// Returns the value in self-describing form.
    #[doc(hidden)]
    pub fn to_tagged(&self) -> Vec<u8> {
        let mut out = Writer::default();
        put(self, &mut out);
        out.into_vec()
    }

    /// Reads a value in self-describing form, which may come from an untrusted source. Also returns the bytes of memory
    /// that it takes, at most `most`: a byte can stand for forty.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not exactly one value, or if it takes more memory than that.
    #[doc(hidden)]
    pub fn from_tagged(bytes: &[u8], most: u64) -> Result<(Self, u64), Malformed> {
        let mut from = Tagged {
            bytes: Reader::new(bytes),
            left: most,
        };
        let value = get(&mut from, 0)?;
        if from.bytes.remaining() > 0 {
            return Err(Malformed::BadCase);
        }
        Ok((value, most - from.left))
    }
}

fn put(value: &Value, out: &mut Writer) {
    match value {
        Value::Bool(flag) => {
            out.put_u8(BOOL);
            out.put_bool(*flag);
        }
        Value::S8(number) => signed(S8, (*number).into(), out),
        Value::S16(number) => signed(S16, (*number).into(), out),
        Value::S32(number) => signed(S32, (*number).into(), out),
        Value::S64(number) => signed(S64, *number, out),
        Value::U8(number) => unsigned(U8, (*number).into(), out),
        Value::U16(number) => unsigned(U16, (*number).into(), out),
        Value::U32(number) => unsigned(U32, (*number).into(), out),
        Value::U64(number) => unsigned(U64, *number, out),
        Value::F32(number) => {
            out.put_u8(F32);
            out.put_f32_bits(number.to_bits());
        }
        Value::F64(number) => {
            out.put_u8(F64);
            out.put_f64_bits(number.to_bits());
        }
        Value::Char(char) => {
            out.put_u8(CHAR);
            out.put_char(*char);
        }
        Value::String(text) => {
            out.put_u8(STRING);
            out.put_bytes(text.as_bytes());
        }
        Value::Bytes(bytes) => {
            out.put_u8(BYTES);
            out.put_bytes(bytes);
        }
        Value::List(items) => all(LIST, items, out),
        Value::Tuple(items) => all(TUPLE, items, out),
        Value::Record(fields) => {
            out.put_u8(RECORD);
            out.put_len(fields.len());
            for (name, value) in fields {
                out.put_bytes(name.as_bytes());
                put(value, out);
            }
        }
        Value::Variant(case, payload) => {
            out.put_u8(VARIANT);
            out.put_bytes(case.as_bytes());
            maybe(payload.as_deref(), out);
        }
        Value::Enum(case) => {
            out.put_u8(ENUM);
            out.put_bytes(case.as_bytes());
        }
        Value::Flags(flags) => {
            out.put_u8(FLAGS);
            out.put_len(flags.len());
            for flag in flags {
                out.put_bytes(flag.as_bytes());
            }
        }
        Value::Option(value) => payload(OPTION, value.as_deref(), out),
        Value::Result(Ok(value)) => payload(OK, value.as_deref(), out),
        Value::Result(Err(value)) => payload(ERR, value.as_deref(), out),
        Value::Map(entries) => {
            out.put_u8(MAP);
            out.put_len(entries.len());
            for (key, value) in entries {
                put(key, out);
                put(value, out);
            }
        }
    }
}

fn payload(tag: u8, value: Option<&Value>, out: &mut Writer) {
    out.put_u8(tag);
    maybe(value, out);
}

fn signed(tag: u8, number: i64, out: &mut Writer) {
    out.put_u8(tag);
    out.put_i64_zigzag(number);
}

fn unsigned(tag: u8, number: u64, out: &mut Writer) {
    out.put_u8(tag);
    out.put_u64_leb(number);
}

fn all(tag: u8, items: &[Value], out: &mut Writer) {
    out.put_u8(tag);
    out.put_len(items.len());
    for item in items {
        put(item, out);
    }
}

fn maybe(value: Option<&Value>, out: &mut Writer) {
    out.put_bool(value.is_some());
    if let Some(value) = value {
        put(value, out);
    }
}

/// The bytes of a value, and the memory that is left for it.
struct Tagged<'a> {
    bytes: Reader<'a>,
    left: u64,
}

impl<'a> Tagged<'a> {
    fn take(&mut self, bytes: usize) -> Result<(), Malformed> {
        let left = self.left.checked_sub(bytes as u64);
        self.left = left.ok_or(Malformed::TooLarge)?;
        Ok(())
    }

    fn byte_string(&mut self) -> Result<&'a [u8], Malformed> {
        let bytes = self.bytes.byte_string()?;
        self.take(bytes.len())?;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let text = self.bytes.str()?;
        self.take(text.len())?;
        Ok(text)
    }
}

fn get(from: &mut Tagged<'_>, depth: usize) -> Result<Value, Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::TooDeep);
    }
    from.take(size_of::<Value>())?;
    let inner = depth + 1;
    Ok(match from.bytes.u8()? {
        BOOL => Value::Bool(from.bytes.bool()?),
        S8 => Value::S8(narrow(from.bytes.i64_zigzag()?)?),
        S16 => Value::S16(narrow(from.bytes.i64_zigzag()?)?),
        S32 => Value::S32(narrow(from.bytes.i64_zigzag()?)?),
        S64 => Value::S64(from.bytes.i64_zigzag()?),
        U8 => Value::U8(narrow(from.bytes.u64_leb()?)?),
        U16 => Value::U16(narrow(from.bytes.u64_leb()?)?),
        U32 => Value::U32(narrow(from.bytes.u64_leb()?)?),
        U64 => Value::U64(from.bytes.u64_leb()?),
        F32 => Value::F32(f32::from_bits(from.bytes.f32_bits()?)),
        F64 => Value::F64(f64::from_bits(from.bytes.f64_bits()?)),
        CHAR => Value::Char(from.bytes.char()?),
        STRING => Value::String(from.text()?.to_owned()),
        BYTES => Value::Bytes(Bytes::copy_from_slice(from.byte_string()?)),
        LIST => Value::List(several(from, 1, |from| get(from, inner))?),
        TUPLE => Value::Tuple(several(from, 1, |from| get(from, inner))?),
        RECORD => Value::Record(several(from, 2, |from| {
            Ok((name(from)?, get(from, inner)?))
        })?),
        VARIANT => Value::Variant(name(from)?, boxed(from, inner)?),
        ENUM => Value::Enum(name(from)?),
        FLAGS => Value::Flags(several(from, 1, name)?),
        OPTION => Value::Option(boxed(from, inner)?),
        OK => Value::Result(Ok(boxed(from, inner)?)),
        ERR => Value::Result(Err(boxed(from, inner)?)),
        MAP => Value::Map(several(from, 2, |from| {
            Ok((get(from, inner)?, get(from, inner)?))
        })?),
        _ => return Err(Malformed::BadCase),
    })
}

fn narrow<F, T: TryFrom<F>>(number: F) -> Result<T, Malformed> {
    T::try_from(number).map_err(|_| Malformed::BadLeb)
}

/// Reads a number of items, each of which takes at least `least` bytes.
fn several<T>(
    from: &mut Tagged<'_>,
    least: usize,
    mut one: impl FnMut(&mut Tagged<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = from.bytes.count(least)?;
    let mut all = Vec::new();
    // Names and pairs are larger than a value, which is counted by itself.
    from.take(count.saturating_mul(size_of::<T>().saturating_sub(size_of::<Value>())))?;
    for _ in 0..count {
        all.push(one(from)?);
    }
    Ok(all)
}

fn name(from: &mut Tagged<'_>) -> Result<Arc<str>, Malformed> {
    from.text().map(Arc::from)
}

fn boxed(from: &mut Tagged<'_>, depth: usize) -> Result<Option<Box<Value>>, Malformed> {
    Ok(if from.bytes.bool()? {
        Some(Box::new(get(from, depth)?))
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbitrary::any_typed;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_value_comes_back_as_it_was((_, value) in any_typed()) {
            let bytes = value.to_tagged();
            let (back, taken) = Value::from_tagged(&bytes, u64::MAX).expect("it is a value");
            prop_assert!(taken >= size_of::<Value>() as u64);
            prop_assert!(Value::from_tagged(&bytes, taken).is_ok());
            prop_assert_eq!(Value::from_tagged(&bytes, taken - 1), Err(Malformed::TooLarge));
            // A NaN is not equal to itself, but its bytes are.
            prop_assert_eq!(back.to_tagged(), bytes);
        }

        #[test]
        fn bytes_from_anywhere_do_no_harm(bytes: Vec<u8>) {
            if let Ok((value, _)) = Value::from_tagged(&bytes, u64::MAX) {
                prop_assert!(Value::from_tagged(&value.to_tagged(), u64::MAX).is_ok());
            }
        }
    }

    #[test]
    fn what_nests_without_end_or_counts_without_bytes_is_refused() {
        assert_eq!(
            Value::from_tagged(&[LIST, 1].repeat(100_000), u64::MAX),
            Err(Malformed::TooDeep)
        );
        assert!(Value::from_tagged(&[LIST, 0xff, 0xff, 0xff, 0x7f, 0], u64::MAX).is_err());
        assert!(Value::from_tagged(&[BOOL, 1, 0], u64::MAX).is_err());
    }
}
