//! Writing JSON.

use super::narrowed;
use crate::plain::leaves_line;
use crate::value::Value;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::ser::Formatter;
use std::io;
use std::str::FromStr;

/// A value that serializes as the JSON in the table of the parent module.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub &'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::S8(number) => serializer.serialize_i8(*number),
            Value::U8(number) => serializer.serialize_u8(*number),
            Value::S16(number) => serializer.serialize_i16(*number),
            Value::U16(number) => serializer.serialize_u16(*number),
            Value::S32(number) => serializer.serialize_i32(*number),
            Value::U32(number) => serializer.serialize_u32(*number),
            Value::S64(number) => serializer.serialize_i64(*number),
            Value::U64(number) => serializer.serialize_u64(*number),
            Value::F32(number) => serialize_float(widened(*number), serializer),
            Value::F64(number) => serialize_float(*number, serializer),
            Value::Char(char) => serializer.serialize_char(*char),
            Value::String(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => serializer.collect_str(&Base64Display::new(bytes, &STANDARD)),
            Value::List(items) | Value::Tuple(items) => {
                serializer.collect_seq(items.iter().map(Json))
            }
            Value::Record(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (&**name, Json(value))))
            }
            Value::Variant(name, None) | Value::Enum(name) => serializer.serialize_str(name),
            Value::Variant(name, Some(payload)) => one_entry(name, Some(payload), serializer),
            Value::Flags(names) => serializer.collect_seq(names.iter().map(|name| &**name)),
            Value::Option(None) => serializer.serialize_unit(),
            Value::Option(Some(inner)) => match **inner {
                Value::Option(_) => one_entry("some", Some(inner), serializer),
                _ => Json(inner).serialize(serializer),
            },
            Value::Result(Ok(payload)) => one_entry("ok", payload.as_deref(), serializer),
            Value::Result(Err(payload)) => one_entry("err", payload.as_deref(), serializer),
            Value::Map(entries) => {
                serializer.collect_seq(entries.iter().map(|(key, value)| (Json(key), Json(value))))
            }
        }
    }
}

/// `{"name": payload}`.
fn one_entry<S: Serializer>(
    name: &str,
    payload: Option<&Value>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, &payload.map(Json))?;
    map.end()
}

fn serialize_float<S: Serializer>(number: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if number.is_finite() {
        serializer.serialize_f64(number)
    } else if number.is_nan() {
        serializer.serialize_str("NaN")
    } else if number > 0.0 {
        serializer.serialize_str("Infinity")
    } else {
        serializer.serialize_str("-Infinity")
    }
}

/// Returns the `f64` with the shortest digits that parse back to this `f32`: 0.1, not
/// 0.10000000149011612.
fn widened(number: f32) -> f64 {
    match f64::from_str(&number.to_string()) {
        Ok(short) if narrowed(short).to_bits() == number.to_bits() => short,
        _ => number.into(),
    }
}

/// Converts the value to a JSON tree.
#[must_use]
pub fn to_json(value: &Value) -> serde_json::Value {
    // This only fails for maps whose keys are not strings, which do not occur here.
    serde_json::to_value(Json(value)).unwrap_or_default()
}

/// Writes the value as JSON on one line, without building a tree and without a trailing newline.
///
/// # Errors
///
/// Returns an error if `out` fails.
pub fn write_json(value: &Value, out: &mut impl io::Write) -> io::Result<()> {
    Ok(serde_json::to_writer(out, &Json(value))?)
}

/// Writes the value as JSON and a newline.
pub(in crate::format) fn write_line(
    out: &mut impl io::Write,
    value: &Value,
    escape_control: bool,
) -> io::Result<()> {
    if escape_control {
        let mut serializer = serde_json::Serializer::with_formatter(&mut *out, EscapeControl);
        Json(value).serialize(&mut serializer)?;
    } else {
        write_json(value, out)?;
    }
    out.write_all(b"\n")
}

/// Also escapes DEL and the C1 control characters as `\u00…`: JSON allows them in strings, but a
/// terminal may obey them.
struct EscapeControl;

impl Formatter for EscapeControl {
    fn write_string_fragment<W>(&mut self, out: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some((at, control)) = rest.char_indices().find(|(_, char)| leaves_line(*char)) {
            write!(out, "{}\\u{:04x}", &rest[..at], u32::from(control))?;
            rest = &rest[at + control.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}
