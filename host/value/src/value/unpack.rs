//! Unpacking: turns bytes in the form that `packed` describes into a value, or only checks them.
//!
//! The bytes are not trusted. Checking does not allocate; unpacking never allocates for more
//! elements than the remaining bytes can hold.

use super::codec::{Malformed, Reader};
use super::packed::PackedError;
use super::{Type, Value};
use bytes::Bytes;
use std::sync::Arc;

/// The maximum nesting depth of values, so that walking one never exhausts the stack.
pub(super) const MAX_DEPTH: usize = 64;

/// The most list elements without bytes in a value (2^20): their number is the only length that the
/// size of the input does not bound.
pub(super) const MAX_EMPTY: usize = 1 << 20;

/// Moves `reader` past one value of type `ty` and returns the bytes of that value.
#[doc(hidden)]
pub fn skip<'a>(reader: &mut Reader<'a>, ty: &Type) -> Result<&'a [u8], Malformed> {
    let start = reader.rest();
    let mut decoder = Decoder::new(start);
    decoder.skip(ty, 0)?;
    *reader = decoder.reader;
    Ok(&start[..start.len() - reader.remaining()])
}

/// Returns the fewest bytes that a value of this type takes; 0 only if all its values take none.
pub(super) fn least_size(ty: &Type, depth: usize) -> usize {
    match ty {
        // Too deep to be decoded: any bound will do.
        _ if depth > MAX_DEPTH => 1,
        Type::F32 => 4,
        Type::F64 => 8,
        Type::Flags(names) => names.len().div_ceil(8),
        Type::Tuple(fields) => fields.iter().map(|ty| least_size(ty, depth + 1)).sum(),
        Type::FixedList(list) => least_size(&list.0, depth + 1).saturating_mul(list.1 as usize),
        Type::Record(fields) => fields
            .iter()
            .map(|field| least_size(&field.ty, depth + 1))
            .sum(),
        _ => 1,
    }
}

/// Public in name only: the sealed traits of `typed` read from it.
pub struct Decoder<'a> {
    pub(super) reader: Reader<'a>,
    /// What the reader reads from, if bytes are to share its memory.
    whole: Option<&'a Bytes>,
    /// The number of elements without bytes so far.
    empty: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(payload),
            whole: None,
            empty: 0,
        }
    }

    /// Reads all of `whole` with `read`; `list<u8>` are slices of it.
    pub(super) fn read_all<T>(
        whole: &'a Bytes,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<T, PackedError> {
        let mut decoder = Self {
            whole: Some(whole),
            ..Self::new(whole)
        };
        let value = read(&mut decoder).map_err(|reason| decoder.malformed(whole, reason))?;
        decoder.finish()?;
        Ok(value)
    }

    /// Reads a `list<u8>`.
    pub(super) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let bytes = self.reader.byte_string()?;
        Ok(match self.whole {
            Some(whole) => whole.slice_ref(bytes),
            None => Bytes::copy_from_slice(bytes),
        })
    }

    /// Reads one value.
    pub(super) fn value(&mut self, ty: &Type, depth: usize) -> Result<Value, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        let depth = depth + 1;
        Ok(match ty {
            Type::Bool => Value::Bool(self.reader.bool()?),
            Type::S8 => Value::S8(self.reader.u8()?.cast_signed()),
            Type::U8 => Value::U8(self.reader.u8()?),
            Type::S16 => Value::S16(self.reader.i16_zigzag()?),
            Type::U16 => Value::U16(self.reader.u16_leb()?),
            Type::S32 => Value::S32(self.reader.i32_zigzag()?),
            Type::U32 => Value::U32(self.reader.u32_leb()?),
            Type::S64 => Value::S64(self.reader.i64_zigzag()?),
            Type::U64 => Value::U64(self.reader.u64_leb()?),
            Type::F32 => Value::F32(f32::from_bits(self.reader.f32_bits()?)),
            Type::F64 => Value::F64(f64::from_bits(self.reader.f64_bits()?)),
            Type::Char => Value::Char(self.reader.char()?),
            Type::String => Value::String(self.reader.str()?.to_owned()),
            Type::List(_) if ty.is_bytes() => Value::Bytes(self.bytes()?),
            Type::List(element) => {
                let count = self.count(|| least_size(element, depth))?;
                let mut items = Vec::with_capacity(count);
                for _ in 0..count {
                    items.push(self.value(element, depth)?);
                }
                Value::List(items)
            }
            Type::FixedList(list) => {
                let count = self.fixed_count(&list.0, list.1, depth)?;
                let mut items = Vec::with_capacity(count);
                for _ in 0..count {
                    items.push(self.value(&list.0, depth)?);
                }
                Value::List(items)
            }
            Type::Tuple(types) => {
                let mut values = Vec::with_capacity(types.len());
                for ty in types.iter() {
                    values.push(self.value(ty, depth)?);
                }
                Value::Tuple(values)
            }
            Type::Record(fields) => {
                let mut values = Vec::with_capacity(fields.len());
                for field in fields.iter() {
                    let value = self.value(&field.ty, depth)?;
                    values.push((Arc::clone(&field.name), value));
                }
                Value::Record(values)
            }
            Type::Variant(cases) => {
                let case = &cases[self.reader.case(cases.len())?];
                let payload = self.payload(case.ty.as_ref(), depth)?;
                Value::Variant(Arc::clone(&case.name), payload)
            }
            Type::Enum(names) => Value::Enum(Arc::clone(&names[self.reader.case(names.len())?])),
            Type::Flags(names) => {
                let bits = self.flags(names.len())?;
                let is_set = |index: usize| bits[index / 8] >> (index % 8) & 1 == 1;
                let set = names.iter().enumerate().filter(|(index, _)| is_set(*index));
                Value::Flags(set.map(|(_, name)| Arc::clone(name)).collect())
            }
            Type::Option(inner) => {
                let inner = self.reader.bool()?.then_some(&**inner);
                Value::Option(self.payload(inner, depth)?)
            }
            Type::Result(sides) => Value::Result(if self.reader.bool()? {
                Err(self.payload(sides.err.as_ref(), depth)?)
            } else {
                Ok(self.payload(sides.ok.as_ref(), depth)?)
            }),
            Type::Map(types) => Value::Map(self.entries(types, depth)?),
        })
    }

    fn entries(
        &mut self,
        (key_ty, value_ty): &(Type, Type),
        depth: usize,
    ) -> Result<Vec<(Value, Value)>, Malformed> {
        let count = self.count(|| least_size(key_ty, depth) + least_size(value_ty, depth))?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let key = self.value(key_ty, depth)?;
            entries.push((key, self.value(value_ty, depth)?));
        }
        Ok(entries)
    }

    fn payload(
        &mut self,
        ty: Option<&Type>,
        depth: usize,
    ) -> Result<Option<Box<Value>>, Malformed> {
        ty.map(|ty| self.value(ty, depth).map(Box::new)).transpose()
    }

    /// Checks one value and moves past it.
    #[doc(hidden)]
    pub fn skip(&mut self, ty: &Type, depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        let depth = depth + 1;
        match ty {
            Type::Bool => drop(self.reader.bool()?),
            Type::S8 | Type::U8 => drop(self.reader.u8()?),
            Type::S16 => drop(self.reader.i16_zigzag()?),
            Type::U16 => drop(self.reader.u16_leb()?),
            Type::S32 => drop(self.reader.i32_zigzag()?),
            Type::U32 => drop(self.reader.u32_leb()?),
            Type::S64 => drop(self.reader.i64_zigzag()?),
            Type::U64 => drop(self.reader.u64_leb()?),
            Type::F32 => drop(self.reader.f32_bits()?),
            Type::F64 => drop(self.reader.f64_bits()?),
            Type::Char => drop(self.reader.char()?),
            Type::String => drop(self.reader.str()?),
            Type::List(_) if ty.is_bytes() => drop(self.reader.byte_string()?),
            Type::List(element) => {
                for _ in 0..self.count(|| least_size(element, depth))? {
                    self.skip(element, depth)?;
                }
            }
            Type::Tuple(types) => {
                for ty in types.iter() {
                    self.skip(ty, depth)?;
                }
            }
            Type::Record(fields) => {
                for field in fields.iter() {
                    self.skip(&field.ty, depth)?;
                }
            }
            Type::Variant(cases) => {
                let case = &cases[self.reader.case(cases.len())?];
                self.skip_payload(case.ty.as_ref(), depth)?;
            }
            Type::FixedList(list) => {
                for _ in 0..self.fixed_count(&list.0, list.1, depth)? {
                    self.skip(&list.0, depth)?;
                }
            }
            Type::Enum(names) => drop(self.reader.case(names.len())?),
            Type::Flags(names) => drop(self.flags(names.len())?),
            Type::Option(inner) => {
                let inner = self.reader.bool()?.then_some(&**inner);
                self.skip_payload(inner, depth)?;
            }
            Type::Result(sides) => {
                let side = if self.reader.bool()? {
                    &sides.err
                } else {
                    &sides.ok
                };
                self.skip_payload(side.as_ref(), depth)?;
            }
            Type::Map(types) => {
                let (key_ty, value_ty) = &**types;
                let least = || least_size(key_ty, depth) + least_size(value_ty, depth);
                for _ in 0..self.count(least)? {
                    self.skip(key_ty, depth)?;
                    self.skip(value_ty, depth)?;
                }
            }
        }
        Ok(())
    }

    fn skip_payload(&mut self, ty: Option<&Type>, depth: usize) -> Result<(), Malformed> {
        ty.map_or(Ok(()), |ty| self.skip(ty, depth))
    }

    /// Reads the bits of `count` flags; the bits beyond the last must be clear.
    fn flags(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let bits = self.reader.bytes(count.div_ceil(8))?;
        match bits.last() {
            Some(last) if !count.is_multiple_of(8) && last >> (count % 8) != 0 => {
                Err(Malformed::BadCase)
            }
            _ => Ok(bits),
        }
    }

    /// Reads a number of elements. The least size of one is computed only if there are any, so that
    /// computing it never costs more than decoding the first element.
    pub(super) fn count(&mut self, least: impl FnOnce() -> usize) -> Result<usize, Malformed> {
        let mut ahead = self.reader;
        if ahead.u64_leb()? == 0 {
            self.reader = ahead;
            return Ok(0);
        }
        let least = least();
        let count = self.reader.count(least)?;
        self.count_empty(count, least)?;
        Ok(count)
    }

    /// The number of elements of a list of fixed length, if there is enough left for them.
    fn fixed_count(
        &mut self,
        element: &Type,
        count: u32,
        depth: usize,
    ) -> Result<usize, Malformed> {
        let (count, least) = (count as usize, least_size(element, depth));
        if least > 0 && count > self.reader.remaining() / least {
            return Err(Malformed::UnexpectedEnd);
        }
        self.count_empty(count, least)?;
        Ok(count)
    }

    fn count_empty(&mut self, count: usize, least: usize) -> Result<(), Malformed> {
        if least == 0 {
            self.empty = self.empty.saturating_add(count);
            if self.empty > MAX_EMPTY {
                return Err(Malformed::TooManyEmpty);
            }
        }
        Ok(())
    }

    pub(super) fn malformed(&self, payload: &[u8], reason: Malformed) -> PackedError {
        PackedError::Malformed {
            offset: payload.len() - self.reader.remaining(),
            reason,
        }
    }

    pub(super) fn finish(&self) -> Result<(), PackedError> {
        match self.reader.remaining() {
            0 => Ok(()),
            count => Err(PackedError::Trailing { count }),
        }
    }
}
