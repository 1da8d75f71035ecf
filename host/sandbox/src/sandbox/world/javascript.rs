//! What modules of AssemblyScript and Emscripten import from JavaScript, as far as `module::javascript` lists it.
//!
//! Guests are not trusted: each pointer and length is checked against the guest's memory, texts are cut off, and an error
//! is a trap with a message.

use super::state::GuestState;
use crate::sandbox::module::javascript::{self, ENV, JsFunction};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use wasmtime::{Caller, Error, Extern, Linker, Memory, Result, Trap, Val};

/// The most bytes of a string that are looked at: what is printed at once, and what a message has at most.
const LONGEST_PRINTED: usize = 64 * 1024;
const LONGEST_MESSAGE: usize = 8 * 1024;

/// The size of a page of memory.
const PAGE: u64 = 64 * 1024;

/// The most numbers that are traced at once.
const MOST_TRACED: usize = 5;

/// Defines the functions of JavaScript that `code` imports and this host provides.
///
/// # Errors
///
/// Returns an error if one cannot be defined.
pub(in crate::sandbox) fn define(
    linker: &mut Linker<GuestState>,
    code: &wasmtime::Module,
) -> Result<()> {
    let mut defined = BTreeSet::new();
    for import in code.imports() {
        let Some(ty) = import.ty().func().cloned() else {
            continue;
        };
        let written = javascript::written(ty.params(), ty.results());
        let (module, name) = (import.module(), import.name());
        // A second import of the name with another type does not link, as with any other function.
        if let Some(function) = javascript::provided(module, name, &written)
            && defined.insert(name.to_owned())
        {
            linker.func_new(ENV, name, ty, move |mut caller, params, results| {
                answer(function, &mut caller, params, results)
            })?;
        }
    }
    Ok(())
}

type Guest<'a> = Caller<'a, GuestState>;

fn answer(
    function: JsFunction,
    guest: &mut Guest<'_>,
    params: &[Val],
    results: &mut [Val],
) -> Result<()> {
    if function == JsFunction::Nothing {
        return Ok(());
    }
    guest.data_mut().count_call(0);
    let number = |place: usize| params.get(place).and_then(Val::i32).map(i32::cast_unsigned);
    let number = |place: usize| number(place).unwrap_or_default();
    let mut give = |value: Val| {
        if let Some(result) = results.first_mut() {
            *result = value;
        }
    };
    match function {
        JsFunction::Nothing => {}
        JsFunction::Yes => give(Val::I32(1)),
        JsFunction::Abort => return Err(Trap::UnreachableCodeReached.into()),
        JsFunction::AbortWithText => {
            let message = utf16(guest, number(0), LONGEST_MESSAGE)?;
            let file = utf16(guest, number(1), LONGEST_MESSAGE)?;
            return Err(aborted(guest, &message, &file, number(2), number(3)));
        }
        JsFunction::AbortWithAssertion => {
            let condition = c_string(guest, number(0))?;
            let file = c_string(guest, number(1))?;
            let function = c_string(guest, number(3))?;
            let message = format!("assertion failed in `{function}`: {condition}");
            return Err(aborted(guest, &message, &file, number(2), 0));
        }
        JsFunction::PrintOut | JsFunction::PrintError => {
            let mut line = utf16(guest, number(0), LONGEST_PRINTED)?;
            line.push('\n');
            let stdio = &guest.data().stdio;
            let sink = match function {
                JsFunction::PrintOut => &stdio.stdout,
                _ => &stdio.stderr,
            };
            sink.accept(line.as_bytes())?;
        }
        JsFunction::Trace => {
            let mut line = format!("trace: {}", utf16(guest, number(0), LONGEST_PRINTED)?);
            let count = (number(1) as usize).min(MOST_TRACED);
            for value in params.iter().skip(2).take(count) {
                // Writing to a string cannot fail.
                let _ = write!(line, " {}", value.f64().unwrap_or_default());
            }
            line.push('\n');
            guest.data().stdio.stderr.accept(line.as_bytes())?;
        }
        JsFunction::Seed => {
            // Any number does, but none that is not one.
            let [high, low] = random(guest)?;
            give((f64::from(high) + fraction(low)).into());
        }
        JsFunction::Random => {
            let [high, low] = random(guest)?;
            // 32 and 20 bits: a sum of as many as a number has.
            give((fraction(high) + fraction(low >> 12) / f64::from(1 << 12)).into());
        }
        JsFunction::WallTime => give(guest.data().wall_milliseconds().into()),
        JsFunction::MonotonicTime => give(guest.data().monotonic_milliseconds().into()),
        JsFunction::Copy => {
            copy(guest, number(0), number(1), number(2))?;
            give(Val::I32(number(0).cast_signed()));
        }
        JsFunction::ResizeHeap => {
            let is_grown = grow(guest, u64::from(number(0)))?;
            give(Val::I32(is_grown.into()));
        }
    }
    Ok(())
}

/// Ends the task as a panic does, with these words.
fn aborted(guest: &mut Guest<'_>, message: &str, file: &str, line: u32, column: u32) -> Error {
    let state = guest.data_mut();
    state.count_call(message.len() + file.len());
    state.desk.note_panic(message, file, line, column);
    Trap::UnreachableCodeReached.into()
}

fn memory(guest: &mut Guest<'_>) -> Result<Memory> {
    let memory = guest.get_export("memory").and_then(Extern::into_memory);
    memory.ok_or_else(|| {
        Error::msg("a function of JavaScript was called without an exported `memory`")
    })
}

/// The bytes of a range, if it lies within the memory.
fn part(memory: &[u8], place: u32, length: u32, what: &str) -> Result<std::ops::Range<usize>> {
    let start = place as usize;
    let end = start.checked_add(length as usize);
    end.filter(|end| *end <= memory.len())
        .map(|end| start..end)
        .ok_or_else(|| {
            Error::msg(format!(
                "{what} has {length} bytes at address {place}, beyond the end of a memory of {} bytes",
                memory.len()
            ))
        })
}

/// A string of AssemblyScript: UTF-16 at this place, with its length in bytes in the word before the place. No string
/// is an empty one.
fn utf16(guest: &mut Guest<'_>, place: u32, most: usize) -> Result<String> {
    const WHAT: &str = "a string of AssemblyScript";
    if place == 0 {
        return Ok(String::new());
    }
    let memory = memory(guest)?;
    let memory = memory.data(&*guest);
    let header = place.checked_sub(4).ok_or_else(|| {
        Error::msg(format!(
            "{WHAT} is at address {place}, with no room for its length"
        ))
    })?;
    let mut length = [0; 4];
    length.copy_from_slice(&memory[part(memory, header, 4, WHAT)?]);
    let bytes = &memory[part(memory, place, u32::from_le_bytes(length), WHAT)?];
    let kept = bytes.get(..most).unwrap_or(bytes);
    let units = kept.chunks_exact(2).map(|unit| match unit {
        [low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    });
    let mut text: String = char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    if kept.len() < bytes.len() {
        text.push('…');
    }
    let bytes = kept.len();
    guest.data_mut().count_call(bytes);
    Ok(text)
}

/// A string of C, which ends with a NUL.
fn c_string(guest: &mut Guest<'_>, place: u32) -> Result<String> {
    if place == 0 {
        return Ok(String::new());
    }
    let memory = memory(guest)?;
    let memory = memory.data(&*guest);
    let start = part(memory, place, 0, "a string of C")?.start;
    let rest = memory.get(start..).unwrap_or_default();
    let rest = rest.get(..LONGEST_MESSAGE).unwrap_or(rest);
    let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Two random words, from where all random numbers of the task are.
fn random(guest: &mut Guest<'_>) -> Result<[u32; 2]> {
    let bits = guest.data_mut().random_bits()?;
    let [b0, b1, b2, b3, b4, b5, b6, b7] = bits.to_le_bytes();
    Ok([
        u32::from_le_bytes([b0, b1, b2, b3]),
        u32::from_le_bytes([b4, b5, b6, b7]),
    ])
}

/// A number from 0 to 1, without 1.
fn fraction(bits: u32) -> f64 {
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

fn copy(guest: &mut Guest<'_>, to: u32, from: u32, length: u32) -> Result<()> {
    let memory = memory(guest)?;
    let memory = memory.data_mut(&mut *guest);
    let from = part(memory, from, length, "the source of a copy")?;
    let to = part(memory, to, length, "the target of a copy")?;
    memory.copy_within(from, to.start);
    Ok(())
}

/// Grows the memory to a number of bytes, and returns whether it has as many.
fn grow(guest: &mut Guest<'_>, bytes: u64) -> Result<bool> {
    let memory = memory(guest)?;
    let missing = bytes
        .div_ceil(PAGE)
        .saturating_sub(memory.size(&mut *guest));
    Ok(missing == 0 || memory.grow(&mut *guest, missing).is_ok())
}
