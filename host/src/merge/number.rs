//! Numbers of any WIT type, read from packed values and added up, alone or by key.

use super::MergeError;
use bytes::Bytes;
use rwasm_value::format::to_wave;
use rwasm_value::value::codec::{Malformed, Reader, Writer};
use rwasm_value::value::{Packed, Type, skip};
use std::collections::HashMap;
use std::fmt;

/// A number as wide as its kind allows; the range of its type is checked as it is added.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(number) => number.fmt(f),
            Self::Signed(number) => number.fmt(f),
            Self::F32(number) => number.fmt(f),
            Self::F64(number) => number.fmt(f),
        }
    }
}

impl Number {
    /// Zero of type `ty`; `None` if that is not a type of number.
    pub(super) fn zero(ty: &Type) -> Option<Self> {
        Some(match ty {
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => Self::Unsigned(0),
            Type::S8 | Type::S16 | Type::S32 | Type::S64 => Self::Signed(0),
            Type::F32 => Self::F32(0.0),
            Type::F64 => Self::F64(0.0),
            _ => return None,
        })
    }

    /// Reads a number of type `ty`.
    pub(super) fn read(reader: &mut Reader<'_>, ty: &Type) -> Result<Self, Malformed> {
        Ok(match ty {
            Type::U8 => Self::Unsigned(reader.u8()?.into()),
            Type::S8 => Self::Signed(reader.u8()?.cast_signed().into()),
            Type::S16 | Type::S32 | Type::S64 => Self::Signed(reader.i64_zigzag()?),
            Type::F32 => Self::F32(f32::from_bits(reader.f32_bits()?)),
            Type::F64 => Self::F64(f64::from_bits(reader.f64_bits()?)),
            _ => Self::Unsigned(reader.u64_leb()?),
        })
    }

    /// Writes a number of type `ty`, which it fits.
    pub(super) fn write(self, out: &mut Writer, ty: &Type) {
        match self {
            Self::Unsigned(number) if *ty == Type::U8 => out.put_u8(number.to_le_bytes()[0]),
            Self::Unsigned(number) => out.put_u64_leb(number),
            Self::Signed(number) if *ty == Type::S8 => out.put_u8(number.to_le_bytes()[0]),
            Self::Signed(number) => out.put_i64_zigzag(number),
            Self::F32(number) => out.put_f32_bits(number.to_bits()),
            Self::F64(number) => out.put_f64_bits(number.to_bits()),
        }
    }

    /// The sum of two numbers of type `ty`; `None` if it does not fit the type.
    pub(super) fn plus(self, other: Self, ty: &Type) -> Option<Self> {
        match (self, other) {
            (Self::Unsigned(left), Self::Unsigned(right)) => {
                let most = match ty {
                    Type::U8 => u8::MAX.into(),
                    Type::U16 => u16::MAX.into(),
                    Type::U32 => u32::MAX.into(),
                    _ => u64::MAX,
                };
                let sum = left.checked_add(right).filter(|sum| *sum <= most)?;
                Some(Self::Unsigned(sum))
            }
            (Self::Signed(left), Self::Signed(right)) => {
                let range = match ty {
                    Type::S8 => i8::MIN.into()..=i8::MAX.into(),
                    Type::S16 => i16::MIN.into()..=i16::MAX.into(),
                    Type::S32 => i32::MIN.into()..=i32::MAX.into(),
                    _ => i64::MIN..=i64::MAX,
                };
                let sum = left.checked_add(right).filter(|sum| range.contains(sum))?;
                Some(Self::Signed(sum))
            }
            (Self::F32(left), Self::F32(right)) => Some(Self::F32(left + right)),
            (Self::F64(left), Self::F64(right)) => Some(Self::F64(left + right)),
            _ => None,
        }
    }
}

/// Adds up numbers by key. Keys are compared by their packed bytes, so that none is unpacked.
#[derive(Debug)]
pub(super) struct SumByKey {
    key_ty: Type,
    number_ty: Type,
    /// The position of a key's sum in `sums`. Keys come from guests, so the hash is a keyed one.
    places: HashMap<Box<[u8]>, usize>,
    /// In the order in which the keys first appeared.
    sums: Vec<Number>,
}

impl SumByKey {
    /// `None` unless `ty` is a list of pairs, or a map, of keys without floats to numbers.
    pub(super) fn new(ty: &Type) -> Option<Self> {
        let (key_ty, number_ty) = match ty {
            Type::Map(types) => (&types.0, &types.1),
            Type::List(element) => match &**element {
                Type::Tuple(types) => match &types[..] {
                    [key, number] => (key, number),
                    _ => return None,
                },
                Type::Record(fields) => match &fields[..] {
                    [key, number] => (&key.ty, &number.ty),
                    _ => return None,
                },
                _ => return None,
            },
            _ => return None,
        };
        (number_ty.is_number() && !has_floats(key_ty)).then(|| Self {
            key_ty: key_ty.clone(),
            number_ty: number_ty.clone(),
            places: HashMap::new(),
            sums: Vec::new(),
        })
    }

    /// Adds the pairs of a packed list or map; both have the same form.
    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), MergeError> {
        let mut reader = Reader::new(payload);
        let malformed = |reason| MergeError::Malformed { reason };
        let count = reader.count(1).map_err(malformed)?;
        if self.places.is_empty() {
            // The first part is a fair guess at how many keys there are.
            self.places.reserve(count);
            self.sums.reserve(count);
        }
        for _ in 0..count {
            let key = key_bytes(&mut reader, &self.key_ty).map_err(malformed)?;
            let number = Number::read(&mut reader, &self.number_ty).map_err(malformed)?;
            if let Some(&place) = self.places.get(key) {
                let sum = &mut self.sums[place];
                *sum = sum.plus(number, &self.number_ty).ok_or_else(|| {
                    let key = Bytes::copy_from_slice(key);
                    MergeError::Overflow {
                        ty: self.number_ty.clone(),
                        key: Packed::from_payload(self.key_ty.clone(), key)
                            .unpack()
                            .ok()
                            .map(|key| to_wave(&key)),
                        left: sum.to_string(),
                        right: number.to_string(),
                    }
                })?;
            } else {
                self.places.insert(key.into(), self.sums.len());
                self.sums.push(number);
            }
        }
        Ok(())
    }

    /// Returns the payload of the list or map of all keys and their sums.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut keys = vec![Box::default(); self.sums.len()];
        let mut size = 0;
        for (key, place) in self.places {
            size += key.len();
            keys[place] = key;
        }
        let mut out = Writer::with_capacity(size + 4 * keys.len());
        out.put_len(keys.len());
        for (key, sum) in keys.iter().zip(&self.sums) {
            out.put_raw(key);
            sum.write(&mut out, &self.number_ty);
        }
        out.into_vec()
    }
}

/// Returns the packed bytes of the next value.
fn key_bytes<'a>(reader: &mut Reader<'a>, ty: &Type) -> Result<&'a [u8], Malformed> {
    // The usual key; what is packed is known to be UTF-8.
    if *ty == Type::String {
        let start = reader.rest();
        reader.byte_string()?;
        return Ok(&start[..start.len() - reader.remaining()]);
    }
    skip(reader, ty)
}

/// Whether values of this type contain floats, whose bits do not show whether they are equal.
fn has_floats(ty: &Type) -> bool {
    let payload = |ty: &Option<Type>| ty.as_ref().is_some_and(has_floats);
    match ty {
        Type::F32 | Type::F64 => true,
        Type::List(inner) | Type::Option(inner) => has_floats(inner),
        Type::FixedList(list) => has_floats(&list.0),
        Type::Tuple(types) => types.iter().any(has_floats),
        Type::Record(fields) => fields.iter().any(|field| has_floats(&field.ty)),
        Type::Variant(cases) => cases.iter().any(|case| payload(&case.ty)),
        Type::Result(sides) => payload(&sides.ok) || payload(&sides.err),
        Type::Map(types) => has_floats(&types.0) || has_floats(&types.1),
        _ => false,
    }
}
