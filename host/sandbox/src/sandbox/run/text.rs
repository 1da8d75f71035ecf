//! Shared by typed calls of core modules and components: input as text, and results that may be
//! errors.

use crate::input::Chunk;
use crate::outcome::{Failure, FailureCode};
use crate::sandbox::module::Function;
use bytes::Bytes;
use rwasm_value::value::{Packed, Type, Value};

/// Returns the value of a result of `function`: a `result` counts as its `ok`, or as a failure.
pub(super) fn returned(function: &Function, payload: Vec<u8>) -> Result<Packed, Failure> {
    let Some(ty) = &function.result else {
        return Ok(Packed::from_payload(Type::tuple([]), Bytes::new()));
    };
    let payload = Bytes::from(payload);
    let Type::Result(sides) = ty else {
        return Ok(Packed::from_payload(ty.clone(), payload));
    };
    let (is_ok, side) = match payload.first() {
        Some(0) => (true, &sides.ok),
        _ => (false, &sides.err),
    };
    let side = side.clone().unwrap_or_else(|| Type::tuple([]));
    let value = Packed::from_payload(side, payload.slice(1..));
    if is_ok {
        return Ok(value);
    }
    Err(failed(&function.name, &value))
}

/// The failure of a task whose function, of this name, returned an error.
pub(super) fn failed(name: &str, error: &Packed) -> Failure {
    let message = match error.unpack() {
        Ok(Value::String(text)) => text,
        Ok(Value::Tuple(fields)) if fields.is_empty() => {
            format!("`{name}` returned an error without a message")
        }
        Ok(other) => rwasm_value::format::to_wave(&other),
        Err(error) => error.to_string(),
    };
    Failure::new(FailureCode::GuestError, message)
}

/// Checks that the chunk's bytes are UTF-8, as a `string` must be.
pub(super) fn check_utf8(chunk: &Chunk, bytes: &[u8]) -> Result<(), Failure> {
    let Err(error) = std::str::from_utf8(bytes) else {
        return Ok(());
    };
    let valid = error.valid_up_to();
    let found = bytes.get(valid).copied().unwrap_or_default();
    Err(Failure::new(
        FailureCode::BadInput,
        format!(
            "{} is not UTF-8 at byte {} (0x{found:02X}), but the function takes a string; \
             convert it (for Latin-1: iconv -f ISO-8859-1 -t UTF-8) or use a function that takes list<u8>",
            chunk.source.name,
            chunk.range.start + valid as u64,
        ),
    ))
}
