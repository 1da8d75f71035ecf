//! Lifting: converts what a guest returned, or left in its memory, to a packed value.
//!
//! Guests are not trusted: a range is checked before it is read, and `limit` bounds what is written
//! on the host, however much the guest's lists claim to hold. So overlapping strings cannot make
//! the host run out of memory.

use super::layout::{Layout, LayoutKind, Variant};
use rwasm_value::value::codec::Writer;
use wasmtime::Val;

/// Why a result could not be lifted.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum LiftError {
    /// The guest violated the ABI; the text says where.
    Abi(String),
    /// The value is larger than the limit.
    TooLarge,
}

/// Lifts a function's result: from memory at the pointer it returned, or from its core value.
pub(in crate::sandbox) fn lift_result(
    memory: &[u8],
    layout: &Layout,
    indirect: bool,
    returned: &Val,
    limit: u64,
) -> Result<Vec<u8>, LiftError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut lift = Lift {
        memory,
        limit,
        out: Writer::default(),
    };
    if indirect {
        let place = match returned {
            Val::I32(place) => place.cast_unsigned(),
            other => {
                return Err(LiftError::Abi(format!(
                    "expected a pointer, found {other:?}"
                )));
            }
        };
        if !place.is_multiple_of(layout.align) {
            return Err(LiftError::Abi(format!(
                "the result is at address {place}, which is not a multiple of {}",
                layout.align
            )));
        }
        lift.range(place, u64::from(layout.size), "the result")?;
        lift.value(layout, place)?;
    } else {
        lift.flat(layout, returned)?;
    }
    Ok(lift.out.into_vec())
}

struct Lift<'m> {
    memory: &'m [u8],
    limit: usize,
    out: Writer,
}

impl<'m> Lift<'m> {
    fn range(&self, place: u32, size: u64, what: &str) -> Result<&'m [u8], LiftError> {
        let end = u64::from(place) + size;
        if end > self.memory.len() as u64 {
            return Err(LiftError::Abi(format!(
                "{what} has {size} bytes at address {place}, beyond the end of a memory of {} bytes",
                self.memory.len()
            )));
        }
        #[expect(clippy::cast_possible_truncation, reason = "within the memory")]
        Ok(&self.memory[place as usize..end as usize])
    }

    /// Bytes of a part whose range was checked with the whole.
    fn part<const N: usize>(&self, place: u32) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.memory[place as usize..place as usize + N]);
        bytes
    }

    fn word(&self, place: u32) -> u32 {
        u32::from_le_bytes(self.part(place))
    }

    fn check_limit(&self) -> Result<(), LiftError> {
        if self.out.len() > self.limit {
            Err(LiftError::TooLarge)
        } else {
            Ok(())
        }
    }

    /// Lifts the value at `place`, whose own range has been checked.
    fn value(&mut self, layout: &Layout, place: u32) -> Result<(), LiftError> {
        match &layout.kind {
            LayoutKind::Bool => self.out.put_u8(u8::from(self.part::<1>(place)[0] != 0)),
            LayoutKind::S8 | LayoutKind::U8 => self.out.put_u8(self.part::<1>(place)[0]),
            LayoutKind::S16 => self
                .out
                .put_i64_zigzag(i16::from_le_bytes(self.part(place)).into()),
            LayoutKind::U16 => self
                .out
                .put_u64_leb(u16::from_le_bytes(self.part(place)).into()),
            LayoutKind::S32 => self
                .out
                .put_i64_zigzag(i32::from_le_bytes(self.part(place)).into()),
            LayoutKind::U32 => self.out.put_u64_leb(self.word(place).into()),
            LayoutKind::S64 => self
                .out
                .put_i64_zigzag(i64::from_le_bytes(self.part(place))),
            LayoutKind::U64 => self.out.put_u64_leb(u64::from_le_bytes(self.part(place))),
            LayoutKind::F32 => self.out.put_raw(&self.part::<4>(place)),
            LayoutKind::F64 => self.out.put_raw(&self.part::<8>(place)),
            LayoutKind::Char => self.char(self.word(place))?,
            LayoutKind::String | LayoutKind::Bytes | LayoutKind::List(_) => {
                self.list(layout, self.word(place), self.word(place + 4))?;
            }
            LayoutKind::Fields(fields) => {
                for (offset, field) in fields {
                    self.value(field, place + offset)?;
                }
            }
            LayoutKind::Flags { count } => {
                let range = place as usize..place as usize + count.div_ceil(8) as usize;
                let mut bytes = self.memory[range].to_vec();
                mask_flags(&mut bytes, *count);
                self.out.put_raw(&bytes);
            }
            LayoutKind::Variant(variant) => {
                let case = match variant.discriminant {
                    1 => u32::from(self.part::<1>(place)[0]),
                    2 => u32::from(u16::from_le_bytes(self.part(place))),
                    _ => self.word(place),
                };
                if let Some(payload) = self.case(variant, case)? {
                    self.value(payload, place + variant.payload)?;
                }
            }
        }
        self.check_limit()
    }

    /// A string, a `list<u8>` or another list, at `place` with `length` elements.
    fn list(&mut self, layout: &Layout, place: u32, length: u32) -> Result<(), LiftError> {
        match &layout.kind {
            LayoutKind::String => {
                let bytes = self.range(place, length.into(), "a string")?;
                if std::str::from_utf8(bytes).is_err() {
                    return Err(LiftError::Abi(format!(
                        "the string of {length} bytes at {place} is not UTF-8"
                    )));
                }
                self.sized(bytes)
            }
            LayoutKind::Bytes => {
                let bytes = self.range(place, length.into(), "a list<u8>")?;
                self.sized(bytes)
            }
            LayoutKind::List(element) => {
                if length > 0 && !place.is_multiple_of(element.align) {
                    return Err(LiftError::Abi(format!(
                        "a list is at address {place}, which is not a multiple of {}",
                        element.align
                    )));
                }
                let size = u64::from(length) * u64::from(element.size);
                self.range(place, size, "a list")?;
                // Elements of size 0 fit into any memory, so their number needs its own limit.
                if element.size == 0 && length as usize > self.limit {
                    return Err(LiftError::TooLarge);
                }
                self.out.put_u64_leb(length.into());
                for idx in 0..length {
                    self.value(element, place + idx * element.size)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn sized(&mut self, bytes: &[u8]) -> Result<(), LiftError> {
        if self.out.len() + bytes.len() > self.limit {
            return Err(LiftError::TooLarge);
        }
        self.out.put_bytes(bytes);
        Ok(())
    }

    fn char(&mut self, scalar: u32) -> Result<(), LiftError> {
        if char::from_u32(scalar).is_none() {
            return Err(LiftError::Abi(format!("{scalar:#x} is not a valid char")));
        }
        self.out.put_u64_leb(scalar.into());
        Ok(())
    }

    fn case<'v>(
        &mut self,
        variant: &'v Variant,
        case: u32,
    ) -> Result<Option<&'v Layout>, LiftError> {
        let Some(payload) = variant.cases.get(case as usize) else {
            return Err(LiftError::Abi(format!(
                "the guest returned case {case} of a type with {} cases",
                variant.cases.len()
            )));
        };
        self.out.put_u64_leb(case.into());
        Ok(payload.as_ref())
    }

    /// Lifts a result that is returned as one core value, or as none.
    fn flat(&mut self, layout: &Layout, returned: &Val) -> Result<(), LiftError> {
        let bits = match *returned {
            Val::I32(value) => u64::from(value.cast_unsigned()),
            Val::I64(value) => value.cast_unsigned(),
            Val::F32(bits) => u64::from(bits),
            Val::F64(bits) => bits,
            ref other => return Err(LiftError::Abi(format!("the guest returned {other:?}"))),
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the ABI says which bits count"
        )]
        let low = bits as u32;
        let [b0, b1, ..] = low.to_le_bytes();
        match &layout.kind {
            LayoutKind::Bool => self.out.put_u8(u8::from(low != 0)),
            LayoutKind::S8 | LayoutKind::U8 => self.out.put_u8(b0),
            LayoutKind::S16 => self.out.put_i64_zigzag(i16::from_le_bytes([b0, b1]).into()),
            LayoutKind::U16 => self.out.put_u64_leb(u16::from_le_bytes([b0, b1]).into()),
            LayoutKind::S32 => self.out.put_i64_zigzag(low.cast_signed().into()),
            LayoutKind::U32 => self.out.put_u64_leb(low.into()),
            LayoutKind::S64 => self.out.put_i64_zigzag(bits.cast_signed()),
            LayoutKind::U64 => self.out.put_u64_leb(bits),
            LayoutKind::F32 => self.out.put_raw(&low.to_le_bytes()),
            LayoutKind::F64 => self.out.put_raw(&bits.to_le_bytes()),
            LayoutKind::Char => self.char(low)?,
            LayoutKind::Flags { count } => {
                let mut bytes = low.to_le_bytes()[..count.div_ceil(8) as usize].to_vec();
                mask_flags(&mut bytes, *count);
                self.out.put_raw(&bytes);
            }
            LayoutKind::Fields(fields) => {
                // At most one field has a core value; the others have no parts at all.
                for (_, field) in fields {
                    self.flat(field, returned)?;
                }
            }
            LayoutKind::Variant(variant) => {
                if let Some(payload) = self.case(variant, low)? {
                    self.flat(payload, returned)?;
                }
            }
            LayoutKind::String | LayoutKind::Bytes | LayoutKind::List(_) => {
                return Err(LiftError::Abi(
                    "a list cannot be returned as one core value".to_owned(),
                ));
            }
        }
        Ok(())
    }
}

/// Clears the bits above the last flag, which the ABI tells the host to ignore.
fn mask_flags(bytes: &mut [u8], count: u32) {
    let used = count % 8;
    if used != 0
        && let Some(last) = bytes.last_mut()
    {
        *last &= (1 << used) - 1;
    }
}
