//! The order of packed values, for `min` and `max`: numbers by size, `false` before `true`, chars
//! by scalar value, strings and bytes by their bytes, enums by index, tuples and records by their
//! fields from the first.

use rwasm_value::value::Type;
use rwasm_value::value::codec::{Malformed, Reader};
use std::cmp::Ordering;

/// Whether values of this type have an order.
pub(super) fn is_ordered(ty: &Type) -> bool {
    match ty {
        Type::Bool | Type::Char | Type::String | Type::Enum(_) => true,
        Type::Tuple(types) => types.iter().all(is_ordered),
        Type::Record(fields) => fields.iter().all(|field| is_ordered(&field.ty)),
        _ => ty.is_number() || ty.is_bytes(),
    }
}

/// Compares two values of an ordered type. If they differ, the readers stop in the middle.
pub(super) fn compare(
    ty: &Type,
    left: &mut Reader<'_>,
    right: &mut Reader<'_>,
) -> Result<Ordering, Malformed> {
    Ok(match ty {
        Type::Bool | Type::U8 => left.u8()?.cmp(&right.u8()?),
        Type::S8 => left.u8()?.cast_signed().cmp(&right.u8()?.cast_signed()),
        Type::S16 | Type::S32 | Type::S64 => left.i64_zigzag()?.cmp(&right.i64_zigzag()?),
        Type::F32 => {
            let (left, right) = (left.f32_bits()?, right.f32_bits()?);
            f32::from_bits(left).total_cmp(&f32::from_bits(right))
        }
        Type::F64 => {
            let (left, right) = (left.f64_bits()?, right.f64_bits()?);
            f64::from_bits(left).total_cmp(&f64::from_bits(right))
        }
        // UTF-8 keeps the order of scalar values.
        Type::String | Type::List(_) => left.byte_string()?.cmp(right.byte_string()?),
        Type::Tuple(types) => compare_fields(types.iter(), left, right)?,
        Type::Record(fields) => compare_fields(fields.iter().map(|field| &field.ty), left, right)?,
        // The other unsigned integers, chars and enums.
        _ => left.u64_leb()?.cmp(&right.u64_leb()?),
    })
}

fn compare_fields<'t>(
    types: impl Iterator<Item = &'t Type>,
    left: &mut Reader<'_>,
    right: &mut Reader<'_>,
) -> Result<Ordering, Malformed> {
    for ty in types {
        let order = compare(ty, left, right)?;
        if order.is_ne() {
            return Ok(order);
        }
    }
    Ok(Ordering::Equal)
}

/// Whether a value of an ordered type is or contains NaN; moves past the value.
pub(super) fn has_nan(ty: &Type, reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match ty {
        Type::F32 => Ok(f32::from_bits(reader.f32_bits()?).is_nan()),
        Type::F64 => Ok(f64::from_bits(reader.f64_bits()?).is_nan()),
        Type::Tuple(types) => any_nan(types.iter(), reader),
        Type::Record(fields) => any_nan(fields.iter().map(|field| &field.ty), reader),
        _ => rwasm_value::value::skip(reader, ty).map(|_| false),
    }
}

fn any_nan<'t>(
    types: impl Iterator<Item = &'t Type>,
    reader: &mut Reader<'_>,
) -> Result<bool, Malformed> {
    let mut found = false;
    for ty in types {
        found |= has_nan(ty, reader)?;
    }
    Ok(found)
}
