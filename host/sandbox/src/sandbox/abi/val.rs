//! Converts between the packed form and the component model's dynamic values.

use rwasm_value::value::Type;
use rwasm_value::value::codec::{Malformed, Reader, Writer};
use std::sync::Arc;
use wasmtime::component::Val;

/// Why a dynamic value cannot be packed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum WriteError {
    /// It is larger than the limit.
    TooLarge,
    /// It does not have the type.
    Type,
}

/// Reads a value of type `ty`.
pub(in crate::sandbox) fn read(reader: &mut Reader<'_>, ty: &Type) -> Result<Val, Malformed> {
    Ok(match ty {
        Type::Bool => Val::Bool(reader.bool()?),
        Type::S8 => Val::S8(reader.u8()?.cast_signed()),
        Type::U8 => Val::U8(reader.u8()?),
        Type::S16 => Val::S16(reader.i16_zigzag()?),
        Type::U16 => Val::U16(reader.u16_leb()?),
        Type::S32 => Val::S32(reader.i32_zigzag()?),
        Type::U32 => Val::U32(reader.u32_leb()?),
        Type::S64 => Val::S64(reader.i64_zigzag()?),
        Type::U64 => Val::U64(reader.u64_leb()?),
        Type::F32 => Val::Float32(f32::from_bits(reader.f32_bits()?)),
        Type::F64 => Val::Float64(f64::from_bits(reader.f64_bits()?)),
        Type::Char => Val::Char(reader.char()?),
        Type::String => Val::String(reader.str()?.to_owned()),
        Type::List(element) if **element == Type::U8 => Val::List(
            reader
                .byte_string()?
                .iter()
                .map(|byte| Val::U8(*byte))
                .collect(),
        ),
        Type::List(element) => {
            let count = reader.count(0)?;
            Val::List(
                (0..count)
                    .map(|_| read(reader, element))
                    .collect::<Result<_, _>>()?,
            )
        }
        Type::FixedList(list) => {
            // Each takes a byte at least, or the list was refused when it was packed.
            let elements = (0..list.1).map(|_| read(reader, &list.0));
            Val::FixedLengthList(elements.collect::<Result<_, _>>()?)
        }
        Type::Map(entry) => {
            let count = reader.count(0)?;
            Val::Map(
                (0..count)
                    .map(|_| Ok((read(reader, &entry.0)?, read(reader, &entry.1)?)))
                    .collect::<Result<_, Malformed>>()?,
            )
        }
        Type::Tuple(fields) => Val::Tuple(
            fields
                .iter()
                .map(|ty| read(reader, ty))
                .collect::<Result<_, _>>()?,
        ),
        Type::Record(fields) => Val::Record(
            fields
                .iter()
                .map(|field| Ok((field.name.to_string(), read(reader, &field.ty)?)))
                .collect::<Result<_, Malformed>>()?,
        ),
        Type::Variant(cases) => {
            let case = &cases[reader.case(cases.len())?];
            Val::Variant(case.name.to_string(), read_side(reader, case.ty.as_ref())?)
        }
        Type::Enum(names) => Val::Enum(names[reader.case(names.len())?].to_string()),
        Type::Option(inner) => Val::Option(if reader.bool()? {
            Some(Box::new(read(reader, inner)?))
        } else {
            None
        }),
        Type::Result(sides) => Val::Result(if reader.bool()? {
            Err(read_side(reader, sides.err.as_ref())?)
        } else {
            Ok(read_side(reader, sides.ok.as_ref())?)
        }),
        Type::Flags(names) => {
            let bits = reader.bytes(names.len().div_ceil(8))?;
            Val::Flags(
                names
                    .iter()
                    .enumerate()
                    .filter(|(idx, _)| bits[idx / 8] & (1 << (idx % 8)) != 0)
                    .map(|(_, name)| name.to_string())
                    .collect(),
            )
        }
    })
}

fn read_side(reader: &mut Reader<'_>, ty: Option<&Type>) -> Result<Option<Box<Val>>, Malformed> {
    ty.map(|ty| read(reader, ty).map(Box::new)).transpose()
}

/// Packs a value of type `ty`, of at most `limit` bytes including what `out` holds already.
pub(in crate::sandbox) fn write(
    out: &mut Writer,
    val: &Val,
    ty: &Type,
    limit: usize,
) -> Result<(), WriteError> {
    match (val, ty) {
        (Val::Bool(flag), Type::Bool) => out.put_bool(*flag),
        (Val::S8(number), Type::S8) => out.put_u8(number.cast_unsigned()),
        (Val::U8(number), Type::U8) => out.put_u8(*number),
        (Val::S16(number), Type::S16) => out.put_i64_zigzag((*number).into()),
        (Val::U16(number), Type::U16) => out.put_u64_leb((*number).into()),
        (Val::S32(number), Type::S32) => out.put_i64_zigzag((*number).into()),
        (Val::U32(number), Type::U32) => out.put_u64_leb((*number).into()),
        (Val::S64(number), Type::S64) => out.put_i64_zigzag(*number),
        (Val::U64(number), Type::U64) => out.put_u64_leb(*number),
        (Val::Float32(number), Type::F32) => out.put_f32_bits(number.to_bits()),
        (Val::Float64(number), Type::F64) => out.put_f64_bits(number.to_bits()),
        (Val::Char(char), Type::Char) => out.put_char(*char),
        (Val::String(text), Type::String) => out.put_bytes(text.as_bytes()),
        (Val::List(elements), Type::List(element)) => {
            out.put_len(elements.len());
            for val in elements {
                write(out, val, element, limit)?;
            }
        }
        (Val::FixedLengthList(elements), Type::FixedList(list)) => {
            for val in elements {
                write(out, val, &list.0, limit)?;
            }
        }
        (Val::Map(entries), Type::Map(types)) => {
            out.put_len(entries.len());
            for (key, value) in entries {
                write(out, key, &types.0, limit)?;
                write(out, value, &types.1, limit)?;
            }
        }
        (Val::Tuple(fields), Type::Tuple(types)) => {
            for (val, ty) in fields.iter().zip(types.iter()) {
                write(out, val, ty, limit)?;
            }
        }
        (Val::Record(fields), Type::Record(types)) => {
            for ((_, val), field) in fields.iter().zip(types.iter()) {
                write(out, val, &field.ty, limit)?;
            }
        }
        (Val::Variant(name, payload), Type::Variant(cases)) => {
            let idx = cases
                .iter()
                .position(|case| *case.name == **name)
                .ok_or(WriteError::Type)?;
            out.put_len(idx);
            write_side(out, payload.as_deref(), cases[idx].ty.as_ref(), limit)?;
        }
        (Val::Enum(name), Type::Enum(names)) => {
            out.put_len(position(names, name)?);
        }
        (Val::Option(some), Type::Option(inner)) => {
            out.put_bool(some.is_some());
            let inner = some.is_some().then_some(&**inner);
            write_side(out, some.as_deref(), inner, limit)?;
        }
        (Val::Result(Ok(ok)), Type::Result(sides)) => {
            out.put_bool(false);
            write_side(out, ok.as_deref(), sides.ok.as_ref(), limit)?;
        }
        (Val::Result(Err(err)), Type::Result(sides)) => {
            out.put_bool(true);
            write_side(out, err.as_deref(), sides.err.as_ref(), limit)?;
        }
        (Val::Flags(set), Type::Flags(names)) => {
            write_flags(out, set, names)?;
        }
        _ => return Err(WriteError::Type),
    }
    if out.len() > limit {
        Err(WriteError::TooLarge)
    } else {
        Ok(())
    }
}

fn write_flags(out: &mut Writer, set: &[String], names: &[Arc<str>]) -> Result<(), WriteError> {
    let mut bits = vec![0; names.len().div_ceil(8)];
    for name in set {
        let idx = position(names, name)?;
        bits[idx / 8] |= 1 << (idx % 8);
    }
    out.put_raw(&bits);
    Ok(())
}

fn position(names: &[Arc<str>], name: &str) -> Result<usize, WriteError> {
    names
        .iter()
        .position(|known| **known == *name)
        .ok_or(WriteError::Type)
}

fn write_side(
    out: &mut Writer,
    val: Option<&Val>,
    ty: Option<&Type>,
    limit: usize,
) -> Result<(), WriteError> {
    match (val, ty) {
        (Some(val), Some(ty)) => write(out, val, ty, limit),
        (None, None) => Ok(()),
        _ => Err(WriteError::Type),
    }
}
