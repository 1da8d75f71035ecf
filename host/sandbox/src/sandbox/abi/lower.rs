//! Lowering: writes a packed value into a guest's memory, or converts it to core values.
//!
//! The host made and checked the packed form, so errors in it are the host's
//! (`LowerError::Packed`). A guest can only violate the ABI when it allocates memory.

use super::layout::{Core, Layout, LayoutKind, Variant};
use super::memory::{GuestMemory, RoomError};
use rwasm_value::value::codec::{Malformed, Reader};
use wasmtime::Val;

/// Why a value could not be lowered.
#[derive(Debug)]
pub(in crate::sandbox) enum LowerError {
    /// The guest trapped or was stopped while it allocated memory.
    Call(wasmtime::Error),
    /// The guest violated the ABI.
    Abi(String),
    /// The value does not fit a 32-bit memory.
    TooLarge(u64),
    /// The packed value does not have the form of its type.
    Packed(Malformed),
    /// The guest has no function to allocate memory.
    NoRealloc,
}

impl From<RoomError> for LowerError {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::Call(error) => Self::Call(error),
            RoomError::Place(text) => Self::Abi(text),
            RoomError::NoRealloc => Self::NoRealloc,
        }
    }
}

impl From<Malformed> for LowerError {
    fn from(error: Malformed) -> Self {
        Self::Packed(error)
    }
}

/// A core value on its way to a guest, as its bits.
#[derive(Clone, Copy, Debug)]
pub(in crate::sandbox) enum Flat {
    I32(u32),
    I64(u64),
    F32(u32),
    F64(u64),
}

impl From<Flat> for Val {
    fn from(flat: Flat) -> Self {
        match flat {
            Flat::I32(bits) => Self::I32(bits.cast_signed()),
            Flat::I64(bits) => Self::I64(bits.cast_signed()),
            Flat::F32(bits) => Self::F32(bits),
            Flat::F64(bits) => Self::F64(bits),
        }
    }
}

/// Lowers one argument of a function that takes its parameters as core values.
pub(in crate::sandbox) fn flat_argument<T: Send + 'static>(
    guest: &mut GuestMemory<'_, T>,
    layout: &Layout,
    value: &mut Reader<'_>,
    flat: &mut Vec<Flat>,
) -> Result<(), LowerError> {
    match &layout.kind {
        LayoutKind::Bool | LayoutKind::U8 => flat.push(Flat::I32(u32::from(value.u8()?))),
        LayoutKind::S8 => flat.push(Flat::I32(
            i32::from(value.u8()?.cast_signed()).cast_unsigned(),
        )),
        LayoutKind::U16 | LayoutKind::U32 => flat.push(Flat::I32(low32(value.u64_leb()?))),
        LayoutKind::Char => flat.push(Flat::I32(u32::from(value.char()?))),
        LayoutKind::S16 | LayoutKind::S32 => {
            flat.push(Flat::I32(low32(value.i64_zigzag()?.cast_unsigned())));
        }
        LayoutKind::U64 => flat.push(Flat::I64(value.u64_leb()?)),
        LayoutKind::S64 => flat.push(Flat::I64(value.i64_zigzag()?.cast_unsigned())),
        LayoutKind::F32 => flat.push(Flat::F32(value.f32_bits()?)),
        LayoutKind::F64 => flat.push(Flat::F64(value.f64_bits()?)),
        LayoutKind::String | LayoutKind::Bytes => {
            let (place, length) = lower_bytes(guest, value)?;
            flat.extend([Flat::I32(place), Flat::I32(length)]);
        }
        LayoutKind::List(element) => {
            let (place, length) = lower_list(guest, element, value)?;
            flat.extend([Flat::I32(place), Flat::I32(length)]);
        }
        LayoutKind::Fields(fields) => {
            for (_, field) in fields {
                flat_argument(guest, field, value, flat)?;
            }
        }
        LayoutKind::Flags { count } => {
            let bytes = value.bytes(count.div_ceil(8) as usize)?;
            for word in bytes.chunks(4) {
                let mut bits = [0; 4];
                bits[..word.len()].copy_from_slice(word);
                flat.push(Flat::I32(u32::from_le_bytes(bits)));
            }
        }
        LayoutKind::Variant(variant) => flat_variant(guest, variant, value, flat)?,
    }
    Ok(())
}

fn flat_variant<T: Send + 'static>(
    guest: &mut GuestMemory<'_, T>,
    variant: &Variant,
    value: &mut Reader<'_>,
    flat: &mut Vec<Flat>,
) -> Result<(), LowerError> {
    let (case, payload) = read_case(variant, value)?;
    flat.push(Flat::I32(case));
    let start = flat.len();
    if let Some(layout) = payload {
        flat_argument(guest, layout, value, flat)?;
    }
    for (idx, core) in variant.joined().into_iter().enumerate() {
        match flat.get_mut(start + idx) {
            Some(have) => *have = widen(*have, core),
            None => flat.push(widen(Flat::I32(0), core)),
        }
    }
    Ok(())
}

/// The bits of a payload in the core type that all cases share.
fn widen(flat: Flat, core: Core) -> Flat {
    let bits = match flat {
        Flat::I32(bits) | Flat::F32(bits) => u64::from(bits),
        Flat::I64(bits) | Flat::F64(bits) => bits,
    };
    match core {
        Core::I32 => Flat::I32(low32(bits)),
        Core::I64 => Flat::I64(bits),
        Core::F32 => Flat::F32(low32(bits)),
        Core::F64 => Flat::F64(bits),
    }
}

/// Lowers `value` into the guest's memory at `place`, where there is room for the layout.
pub(in crate::sandbox) fn lower_argument<T: Send + 'static>(
    guest: &mut GuestMemory<'_, T>,
    layout: &Layout,
    value: &mut Reader<'_>,
    place: u32,
) -> Result<(), LowerError> {
    match &layout.kind {
        LayoutKind::Bool | LayoutKind::U8 | LayoutKind::S8 => {
            guest.slot(place, 1)[0] = value.u8()?;
        }
        LayoutKind::U16 => write(guest, place, &low16(value.u64_leb()?).to_le_bytes()),
        LayoutKind::S16 => write(
            guest,
            place,
            &low16(value.i64_zigzag()?.cast_unsigned()).to_le_bytes(),
        ),
        LayoutKind::U32 => write(guest, place, &low32(value.u64_leb()?).to_le_bytes()),
        LayoutKind::S32 => write(
            guest,
            place,
            &low32(value.i64_zigzag()?.cast_unsigned()).to_le_bytes(),
        ),
        LayoutKind::Char => write(guest, place, &u32::from(value.char()?).to_le_bytes()),
        LayoutKind::U64 => write(guest, place, &value.u64_leb()?.to_le_bytes()),
        LayoutKind::S64 => write(guest, place, &value.i64_zigzag()?.to_le_bytes()),
        LayoutKind::F32 => write(guest, place, &value.f32_bits()?.to_le_bytes()),
        LayoutKind::F64 => write(guest, place, &value.f64_bits()?.to_le_bytes()),
        LayoutKind::String | LayoutKind::Bytes => {
            let (data, length) = lower_bytes(guest, value)?;
            write_pair(guest, place, data, length);
        }
        LayoutKind::List(element) => {
            let (data, length) = lower_list(guest, element, value)?;
            write_pair(guest, place, data, length);
        }
        LayoutKind::Fields(fields) => {
            for (offset, field) in fields {
                lower_argument(guest, field, value, place + offset)?;
            }
        }
        LayoutKind::Flags { count } => {
            let bytes = value.bytes(count.div_ceil(8) as usize)?;
            if layout.size > 0 {
                let slot = guest.slot(place, layout.size);
                slot.fill(0);
                slot[..bytes.len()].copy_from_slice(bytes);
            }
        }
        LayoutKind::Variant(variant) => {
            let (case, payload) = read_case(variant, value)?;
            let width = variant.discriminant as usize;
            write(guest, place, &case.to_le_bytes()[..width]);
            if let Some(layout) = payload {
                lower_argument(guest, layout, value, place + variant.payload)?;
            }
        }
    }
    Ok(())
}

/// Allocates `length` bytes and lets `fill` write them.
pub(in crate::sandbox) fn lower_memory<T: Send + 'static, E>(
    guest: &mut GuestMemory<'_, T>,
    length: u32,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Result<u32, E>, LowerError> {
    let place = guest.room(length, 1)?;
    let slot: &mut [u8] = if length == 0 {
        &mut []
    } else {
        guest.slot(place, length)
    };
    Ok(fill(slot).map(|()| place))
}

/// Lowers the list whose elements are given one by one, for the list layout `list`.
pub(in crate::sandbox) fn lower_list_of<'v, T: Send + 'static>(
    guest: &mut GuestMemory<'_, T>,
    list: &Layout,
    elements: impl ExactSizeIterator<Item = &'v [u8]>,
) -> Result<(u32, u32), LowerError> {
    let element = match &list.kind {
        LayoutKind::List(element) => element,
        LayoutKind::Bytes => {
            // One byte each: the elements of a `list<u8>` are the same as in packed form.
            let bytes: Vec<u8> = elements.flatten().copied().collect();
            let length = fits(bytes.len() as u64)?;
            let place = guest.room(length, 1)?;
            write(guest, place, &bytes);
            return Ok((place, length));
        }
        _ => return Err(LowerError::Abi("the function takes no list".to_owned())),
    };
    let count = elements.len() as u64;
    let size = count.saturating_mul(u64::from(element.size));
    let (length, size) = (fits(count)?, fits(size)?);
    let first = guest.room(size, element.align)?;
    let mut place = first;
    for payload in elements {
        lower_argument(guest, element, &mut Reader::new(payload), place)?;
        place += element.size;
    }
    Ok((first, length))
}

/// Lowers all parameters into one record in memory, for functions with many.
pub(in crate::sandbox) fn lower_params<'v, T: Send + 'static>(
    guest: &mut GuestMemory<'_, T>,
    layouts: &[Layout],
    values: impl Iterator<Item = Reader<'v>>,
) -> Result<u32, LowerError> {
    let mut size = 0_u32;
    let mut align = 1;
    let mut offsets = Vec::with_capacity(layouts.len());
    for layout in layouts {
        size = size.next_multiple_of(layout.align);
        offsets.push(size);
        size += layout.size;
        align = align.max(layout.align);
    }
    let place = guest.room(size.next_multiple_of(align), align)?;
    for ((layout, offset), mut value) in layouts.iter().zip(offsets).zip(values) {
        lower_argument(guest, layout, &mut value, place + offset)?;
    }
    Ok(place)
}

fn lower_bytes<T: Send + 'static>(
    guest: &mut GuestMemory<'_, T>,
    value: &mut Reader<'_>,
) -> Result<(u32, u32), LowerError> {
    let bytes = value.byte_string()?;
    let length = fits(bytes.len() as u64)?;
    let place = guest.room(length, 1)?;
    write(guest, place, bytes);
    Ok((place, length))
}

fn lower_list<T: Send + 'static>(
    guest: &mut GuestMemory<'_, T>,
    element: &Layout,
    value: &mut Reader<'_>,
) -> Result<(u32, u32), LowerError> {
    let count = value.u64_leb()?;
    let size = count.saturating_mul(u64::from(element.size));
    let (length, size) = (fits(count)?, fits(size)?);
    let place = guest.room(size, element.align)?;
    for idx in 0..length {
        lower_argument(guest, element, value, place + idx * element.size)?;
    }
    Ok((place, length))
}

fn read_case<'v>(
    variant: &'v Variant,
    value: &mut Reader<'_>,
) -> Result<(u32, Option<&'v Layout>), LowerError> {
    let case = value.case(variant.cases.len())?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a type has at most 2^32 cases"
    )]
    Ok((case as u32, variant.cases[case].as_ref()))
}

fn write<T: Send + 'static>(guest: &mut GuestMemory<'_, T>, place: u32, bytes: &[u8]) {
    // An empty allocation has no address.
    if !bytes.is_empty() {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "room for it was made in 32 bits"
        )]
        guest.slot(place, bytes.len() as u32).copy_from_slice(bytes);
    }
}

fn write_pair<T: Send + 'static>(
    guest: &mut GuestMemory<'_, T>,
    place: u32,
    data: u32,
    length: u32,
) {
    let slot = guest.slot(place, 8);
    slot[..4].copy_from_slice(&data.to_le_bytes());
    slot[4..].copy_from_slice(&length.to_le_bytes());
}

fn fits(size: u64) -> Result<u32, LowerError> {
    u32::try_from(size).map_err(|_| LowerError::TooLarge(size))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the packed form was made for this width"
)]
const fn low32(bits: u64) -> u32 {
    bits as u32
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the packed form was made for this width"
)]
const fn low16(bits: u64) -> u16 {
    bits as u16
}
