//! Packing: writes a value in the form that `packed` describes, and checks it against its type on
//! the way.

use super::codec::{Malformed, Writer};
use super::mismatch::{Mismatch, Step};
use super::packed::PackedError;
use super::unpack::{MAX_DEPTH, MAX_EMPTY, least_size};
use super::{Field, Type, Value};
use std::sync::Arc;

/// Public in name only: the sealed traits of `typed` write to it.
#[derive(Default)]
pub struct Packer {
    pub(super) out: Writer,
    /// The number of elements without bytes so far.
    empty: usize,
}

impl Packer {
    pub(super) fn finish(self) -> Vec<u8> {
        self.out.into_vec()
    }

    /// Writes one value, nested `depth` levels deep.
    pub(super) fn value(
        &mut self,
        value: &Value,
        ty: &Type,
        depth: usize,
    ) -> Result<(), PackedError> {
        if depth > MAX_DEPTH {
            return Err(self.refuse(Malformed::TooDeep));
        }
        match (value, ty) {
            (Value::Bool(flag), Type::Bool) => self.out.put_bool(*flag),
            (Value::S8(number), Type::S8) => self.out.put_u8(number.cast_unsigned()),
            (Value::U8(number), Type::U8) => self.out.put_u8(*number),
            (Value::S16(number), Type::S16) => self.out.put_i64_zigzag((*number).into()),
            (Value::U16(number), Type::U16) => self.out.put_u64_leb((*number).into()),
            (Value::S32(number), Type::S32) => self.out.put_i64_zigzag((*number).into()),
            (Value::U32(number), Type::U32) => self.out.put_u64_leb((*number).into()),
            (Value::S64(number), Type::S64) => self.out.put_i64_zigzag(*number),
            (Value::U64(number), Type::U64) => self.out.put_u64_leb(*number),
            (Value::F32(number), Type::F32) => self.out.put_f32_bits(number.to_bits()),
            (Value::F64(number), Type::F64) => self.out.put_f64_bits(number.to_bits()),
            (Value::Char(char), Type::Char) => self.out.put_char(*char),
            (Value::String(text), Type::String) => self.out.put_bytes(text.as_bytes()),
            (Value::Bytes(bytes), _) if ty.is_bytes() => self.out.put_bytes(bytes),
            (Value::List(items), Type::List(element)) if !ty.is_bytes() => {
                self.count(items.len(), least_size(element, depth + 1))?;
                for (index, item) in items.iter().enumerate() {
                    let packed = self.value(item, element, depth + 1);
                    inside(packed, || Step::Index(index))?;
                }
            }
            (Value::List(items), Type::FixedList(list)) => self.fixed(items, list, ty, depth)?,
            (Value::Tuple(values), Type::Tuple(types)) if values.len() == types.len() => {
                for (index, (value, ty)) in values.iter().zip(types.iter()).enumerate() {
                    let packed = self.value(value, ty, depth + 1);
                    inside(packed, || Step::Field(index))?;
                }
            }
            (Value::Record(values), Type::Record(fields)) if values.len() == fields.len() => {
                self.fields(values, fields, depth)?;
            }
            (Value::Variant(name, payload), Type::Variant(cases)) => {
                let index = cases.iter().position(|case| case.name == *name);
                let Some(index) = index else {
                    return Err(Mismatch::of_type(format!("case `{name}`"), ty).into());
                };
                self.out.put_len(index);
                let packed = self.payload(payload.as_deref(), cases[index].ty.as_ref(), depth);
                inside(packed, || Step::Name(Arc::clone(name)))?;
            }
            (Value::Enum(name), Type::Enum(names)) => {
                self.out.put_len(case_index(name, names, ty)?);
            }
            (Value::Flags(set), Type::Flags(names)) => {
                self.flags(set, names, ty)?;
            }
            (Value::Option(inner), Type::Option(ty)) => {
                self.out.put_bool(inner.is_some());
                if let Some(inner) = inner {
                    let packed = self.value(inner, ty, depth + 1);
                    inside(packed, || Step::Part("some"))?;
                }
            }
            (Value::Result(result), Type::Result(sides)) => {
                self.out.put_bool(result.is_err());
                let (payload, ty, part) = match result {
                    Ok(payload) => (payload, &sides.ok, "ok"),
                    Err(payload) => (payload, &sides.err, "err"),
                };
                let packed = self.payload(payload.as_deref(), ty.as_ref(), depth);
                inside(packed, || Step::Part(part))?;
            }
            (Value::Map(entries), Type::Map(types)) => {
                self.entries(entries, types, depth)?;
            }
            _ => return Err(Mismatch::of_type(value.kind(), ty).into()),
        }
        Ok(())
    }

    /// Writes a list of fixed length, whose count its type has.
    fn fixed(
        &mut self,
        items: &[Value],
        (element, count): &(Type, u32),
        ty: &Type,
        depth: usize,
    ) -> Result<(), PackedError> {
        if items.len() != *count as usize {
            return Err(Mismatch::of_type(format!("{} elements", items.len()), ty).into());
        }
        self.count_empty(items.len(), least_size(element, depth + 1))?;
        for (index, item) in items.iter().enumerate() {
            let packed = self.value(item, element, depth + 1);
            inside(packed, || Step::Index(index))?;
        }
        Ok(())
    }

    /// Writes the fields of a record.
    fn fields(
        &mut self,
        values: &[(Arc<str>, Value)],
        fields: &[Field],
        depth: usize,
    ) -> Result<(), PackedError> {
        for ((name, value), field) in values.iter().zip(fields) {
            if *name != field.name {
                let found = format!("field `{name}`");
                return Err(Mismatch::new(found, format!("field `{}`", field.name)).into());
            }
            let packed = self.value(value, &field.ty, depth + 1);
            inside(packed, || Step::Name(Arc::clone(name)))?;
        }
        Ok(())
    }

    /// Writes flags, one bit each.
    fn flags(
        &mut self,
        set: &[Arc<str>],
        names: &[Arc<str>],
        ty: &Type,
    ) -> Result<(), PackedError> {
        let mut bits = vec![0u8; names.len().div_ceil(8)];
        for name in set {
            let index = case_index(name, names, ty)?;
            bits[index / 8] |= 1 << (index % 8);
        }
        self.out.put_raw(&bits);
        Ok(())
    }

    /// Writes the entries of a map.
    fn entries(
        &mut self,
        entries: &[(Value, Value)],
        (key_ty, value_ty): &(Type, Type),
        depth: usize,
    ) -> Result<(), PackedError> {
        let least = least_size(key_ty, depth + 1) + least_size(value_ty, depth + 1);
        self.count(entries.len(), least)?;
        for (index, (key, value)) in entries.iter().enumerate() {
            let packed = inside(self.value(key, key_ty, depth + 1), || Step::Part("key"));
            inside(packed, || Step::Index(index))?;
            let packed = self.value(value, value_ty, depth + 1);
            let packed = inside(packed, || Step::Part("value"));
            inside(packed, || Step::Index(index))?;
        }
        Ok(())
    }

    /// Writes the payload of a case of a variant or of a side of a result.
    fn payload(
        &mut self,
        value: Option<&Value>,
        ty: Option<&Type>,
        depth: usize,
    ) -> Result<(), PackedError> {
        match (value, ty) {
            (Some(value), Some(ty)) => self.value(value, ty, depth + 1),
            (None, None) => Ok(()),
            (Some(value), None) => Err(Mismatch::new(value.kind(), "no payload").into()),
            (None, Some(ty)) => Err(Mismatch::of_type("no payload", ty).into()),
        }
    }

    /// Writes the number of elements, each of which takes at least `least` bytes.
    pub(super) fn count(&mut self, count: usize, least: usize) -> Result<(), PackedError> {
        self.count_empty(count, least)?;
        self.out.put_len(count);
        Ok(())
    }

    fn count_empty(&mut self, count: usize, least: usize) -> Result<(), PackedError> {
        if least == 0 {
            self.empty = self.empty.saturating_add(count);
            if self.empty > MAX_EMPTY {
                return Err(self.refuse(Malformed::TooManyEmpty));
            }
        }
        Ok(())
    }

    fn refuse(&self, reason: Malformed) -> PackedError {
        PackedError::Malformed {
            offset: self.out.len(),
            reason,
        }
    }
}

fn case_index(name: &str, names: &[Arc<str>], ty: &Type) -> Result<usize, PackedError> {
    names
        .iter()
        .position(|known| **known == *name)
        .ok_or_else(|| Mismatch::of_type(format!("case `{name}`"), ty).into())
}

/// Adds a step to the path of a mismatch on its way out.
#[inline]
pub(super) fn inside(
    result: Result<(), PackedError>,
    step: impl FnOnce() -> Step,
) -> Result<(), PackedError> {
    result.map_err(|error| match error {
        PackedError::Mismatch(mismatch) => mismatch.within(step()).into(),
        other => other,
    })
}
