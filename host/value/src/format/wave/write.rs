//! Writes WAVE as `wasm-wave` does, but directly from our values.

use crate::value::Value;
use std::fmt::{self, Write};
use wasm_wave::lex::Keyword;

/// A value that displays as WAVE.
pub(in crate::format) struct Wave<'a>(pub(in crate::format) &'a Value);

impl fmt::Display for Wave<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Bool(flag) => write!(f, "{flag}"),
            Value::S8(number) => write!(f, "{number}"),
            Value::U8(number) => write!(f, "{number}"),
            Value::S16(number) => write!(f, "{number}"),
            Value::U16(number) => write!(f, "{number}"),
            Value::S32(number) => write!(f, "{number}"),
            Value::U32(number) => write!(f, "{number}"),
            Value::S64(number) => write!(f, "{number}"),
            Value::U64(number) => write!(f, "{number}"),
            Value::F32(number) if number.is_nan() => f.write_str("nan"),
            Value::F32(number) => write!(f, "{number}"),
            Value::F64(number) if number.is_nan() => f.write_str("nan"),
            Value::F64(number) => write!(f, "{number}"),
            Value::Char(char) => {
                f.write_char('\'')?;
                write_char(f, *char)?;
                f.write_char('\'')
            }
            Value::String(text) => {
                f.write_char('"')?;
                for char in text.chars() {
                    write_char(f, char)?;
                }
                f.write_char('"')
            }
            Value::Bytes(bytes) => separated(f, '[', bytes, ']'),
            Value::List(items) => separated(f, '[', items.iter().map(Wave), ']'),
            Value::Tuple(fields) => separated(f, '(', fields.iter().map(Wave), ')'),
            Value::Record(fields) => {
                // Fields that are `none` are omitted, as `wasm-wave` does.
                let is_there = |value: &Value| !matches!(value, Value::Option(None));
                let mut there = fields
                    .iter()
                    .filter(|(_, value)| is_there(value))
                    .peekable();
                if there.peek().is_none() {
                    return f.write_str("{:}");
                }
                separated(f, '{', there.map(|(name, value)| Entry(name, value)), '}')
            }
            Value::Variant(name, payload) => {
                write_label(f, name)?;
                write_payload(f, payload.as_deref())
            }
            Value::Enum(name) => write_label(f, name),
            Value::Flags(names) => separated(f, '{', names, '}'),
            Value::Option(None) => f.write_str("none"),
            Value::Option(some) => {
                f.write_str("some")?;
                write_payload(f, some.as_deref())
            }
            Value::Result(Ok(payload)) => {
                f.write_str("ok")?;
                write_payload(f, payload.as_deref())
            }
            Value::Result(Err(payload)) => {
                f.write_str("err")?;
                write_payload(f, payload.as_deref())
            }
            Value::Map(entries) => separated(
                f,
                '[',
                entries.iter().map(|(key, value)| Pair(key, value)),
                ']',
            ),
        }
    }
}

/// A field of a record.
struct Entry<'a>(&'a str, &'a Value);

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, Wave(self.1))
    }
}

/// An entry of a map.
struct Pair<'a>(&'a Value, &'a Value);

impl fmt::Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", Wave(self.0), Wave(self.1))
    }
}

fn separated(
    f: &mut fmt::Formatter<'_>,
    open: char,
    items: impl IntoIterator<Item = impl fmt::Display>,
    close: char,
) -> fmt::Result {
    f.write_char(open)?;
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    f.write_char(close)
}

fn write_payload(f: &mut fmt::Formatter<'_>, payload: Option<&Value>) -> fmt::Result {
    match payload {
        Some(payload) => write!(f, "({})", Wave(payload)),
        None => Ok(()),
    }
}

/// Writes a case; a name that is a keyword is marked.
fn write_label(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    if Keyword::decode(name).is_some() {
        f.write_char('%')?;
    }
    f.write_str(name)
}

fn write_char(f: &mut fmt::Formatter<'_>, char: char) -> fmt::Result {
    match char {
        '\\' | '"' | '\'' | '\t' | '\r' | '\n' => write!(f, "{}", char.escape_default()),
        _ if char.is_ascii_graphic() || char == ' ' => f.write_char(char),
        _ if char.is_control() => write!(f, "{}", char.escape_unicode()),
        _ => write!(f, "{}", char.escape_debug()),
    }
}
