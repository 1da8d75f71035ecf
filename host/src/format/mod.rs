//! The text forms of values: JSON, WAVE, and the forms people and line tools read.
//!
//! [`write_value`] writes a value in any of them; [`from_text`] reads what a user typed, and
//! [`arguments_from_text`] and [`arguments_from_line`] do for all arguments of a function. This is
//! the only layer that knows JSON. It does not buffer and does not know terminals: the caller
//! passes a buffered writer and says whether control characters are to be shown.

mod arguments;
mod json;
mod text;
mod wave;

pub use arguments::{arguments_from_line, arguments_from_text};
pub use json::{Json, from_json, to_json, write_json};
pub use wave::{Call, from_wave, to_wave};

use crate::value::{Mismatch, Type, Value};
use std::fmt;
use std::io;
use std::str::FromStr;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// For people: a line per element, a tab between fields, text as it is.
    Text,
    /// One JSON document.
    Json,
    /// A list as one JSON document per line, anything else as one line.
    Jsonl,
    /// As `Text`, but every field on one line: tab, newline, carriage return and backslash are
    /// written `\t`, `\n`, `\r` and `\\`.
    Tsv,
    /// WAVE, the text form of WebAssembly's own tools.
    Wave,
    /// Strings and bytes exactly as they are, lists of them one after the other, nothing else.
    Raw,
}

impl Format {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Text,
        Self::Json,
        Self::Jsonl,
        Self::Tsv,
        Self::Wave,
        Self::Raw,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Tsv => "tsv",
            Self::Wave => "wave",
            Self::Raw => "raw",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| UnknownFormat { name: name.into() })
    }
}

/// A name that is no [`Format`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{name}`, wanted text, json, jsonl, tsv, wave or raw")]
pub struct UnknownFormat {
    /// The name.
    pub name: String,
}

/// What [`write_value`] needs to know beyond the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Show control characters, and bytes that are not UTF-8, instead of passing them on: for
    /// terminals, which would obey them. `Raw` is exempt.
    pub escape_control: bool,
}

/// Why a value was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The writer failed.
    #[error("cannot write the value")]
    Io(#[from] io::Error),
    /// `Raw` was asked for a value that is not bytes. Nothing was written.
    #[error("format raw writes strings and bytes only, found {found}")]
    NotBytes {
        /// The kind of value.
        found: String,
    },
}

/// Writes `value`; JSON and WAVE end with a newline, `Text` as its documentation says.
///
/// # Errors
///
/// When `out` fails, or when `format` is `Raw` and the value is neither bytes nor a list of bytes.
pub fn write_value(
    out: &mut impl io::Write,
    value: &Value,
    format: Format,
    options: WriteOptions,
) -> Result<(), WriteError> {
    match format {
        Format::Text | Format::Tsv => {
            let tsv = format == Format::Tsv;
            text::TextWriter::new(out, tsv, options.escape_control).value(value)?;
        }
        Format::Json => json::write_line(out, value, options.escape_control)?,
        Format::Jsonl => match value {
            Value::List(items) => {
                for item in items {
                    json::write_line(out, item, options.escape_control)?;
                }
            }
            _ => json::write_line(out, value, options.escape_control)?,
        },
        // WAVE escapes control characters in any case.
        Format::Wave => writeln!(out, "{}", to_wave(value))?,
        Format::Raw => write_raw(out, value)?,
    }
    Ok(())
}

fn write_raw(out: &mut impl io::Write, value: &Value) -> Result<(), WriteError> {
    let not_bytes = |value: &Value| WriteError::NotBytes {
        found: value.kind(),
    };
    if let Value::List(items) = value {
        // All are looked at first, so that a refusal writes nothing.
        if let Some(other) = items.iter().find(|item| item.as_bytes().is_none()) {
            let found = format!("list with {}", other.kind());
            return Err(WriteError::NotBytes { found });
        }
        for bytes in items.iter().filter_map(Value::as_bytes) {
            out.write_all(bytes)?;
        }
        return Ok(());
    }
    let bytes = value.as_bytes().ok_or_else(|| not_bytes(value))?;
    out.write_all(bytes)?;
    Ok(())
}

/// Why a text is not a value of the type that was wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The text is well formed, but a value of another type.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The text is not WAVE.
    #[error("not WAVE: {reason} at byte {offset}")]
    Wave {
        /// What the parser says.
        reason: String,
        /// Where in the text.
        offset: usize,
    },
    /// The text is neither JSON nor WAVE.
    #[error("neither JSON ({json}) nor WAVE ({wave}), wanted {wanted}")]
    Neither {
        /// What the JSON parser says.
        json: String,
        /// What the WAVE parser says.
        wave: String,
        /// The type that was wanted.
        wanted: String,
    },
}

/// The value of type `ty` that a user typed: a string, bytes or one character as they are,
/// anything else as JSON or WAVE.
///
/// # Errors
///
/// When the text is neither JSON nor WAVE, or does not fit the type.
pub fn from_text(text: &str, ty: &Type) -> Result<Value, FormatError> {
    match ty {
        Type::String => return Ok(text.into()),
        Type::Char => {
            let mut chars = text.chars();
            if let (Some(char), None) = (chars.next(), chars.next()) {
                return Ok(Value::Char(char));
            }
        }
        _ if ty.is_bytes() => return Ok(text.as_bytes().to_vec().into()),
        _ => {}
    }
    match serde_json::from_str(text) {
        // What is JSON and does not fit may still fit as WAVE: `5` is a result's `ok(5)` there.
        Ok(json) => from_json(&json, ty).or_else(|error| from_wave(text, ty).map_err(|_| error)),
        Err(json) => from_wave(text, ty).map_err(|error| match error {
            FormatError::Wave { .. } => FormatError::Neither {
                json: json.to_string(),
                wave: error.to_string(),
                wanted: ty.to_string(),
            },
            other => other,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: &Value, format: Format) -> String {
        let mut out = Vec::new();
        write_value(&mut out, value, format, WriteOptions::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn counts() -> Value {
        let pairs = [("the", 2u64), ("a\tb", 1)];
        Value::List(pairs.map(Value::from).into())
    }

    #[test]
    fn one_value_in_every_format() {
        let value = counts();
        assert_eq!(write(&value, Format::Text), "the\t2\na\tb\t1\n");
        assert_eq!(write(&value, Format::Tsv), "the\t2\na\\tb\t1\n");
        assert_eq!(write(&value, Format::Json), "[[\"the\",2],[\"a\\tb\",1]]\n");
        assert_eq!(write(&value, Format::Jsonl), "[\"the\",2]\n[\"a\\tb\",1]\n");
        assert_eq!(
            write(&value, Format::Wave),
            "[(\"the\", 2), (\"a\\tb\", 1)]\n"
        );
    }

    #[test]
    fn raw_writes_bytes_or_nothing() {
        assert_eq!(write(&"a\n".into(), Format::Raw), "a\n");
        let mixed = Value::List(vec!["a".into(), vec![b'b'].into()]);
        assert_eq!(write(&mixed, Format::Raw), "ab");

        let mut out = Vec::new();
        let refused = Value::List(vec!["a".into(), 1u8.into()]);
        let error = write_value(&mut out, &refused, Format::Raw, WriteOptions::default());
        assert_eq!(
            error.unwrap_err().to_string(),
            "format raw writes strings and bytes only, found list with u8"
        );
        assert!(out.is_empty());
    }

    #[test]
    fn names_of_formats_parse_back() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "xml".parse::<Format>().unwrap_err();
        assert!(error.to_string().starts_with("unknown format `xml`"));
    }

    #[test]
    fn typed_text_is_raw_or_json_or_wave() {
        let pair = Type::tuple([Type::String, Type::option(Type::U8)]);
        let value = Value::Tuple(vec!["a".into(), Some(1u8).into()]);
        for text in ["[\"a\", 1]", "(\"a\", some(1))", " (\"a\", 1) "] {
            assert_eq!(from_text(text, &pair).unwrap(), value, "{text}");
        }
        assert_eq!(from_text("[1]", &Type::String).unwrap(), "[1]".into());
        assert_eq!(
            from_text("[1]", &Type::bytes()).unwrap(),
            b"[1]".to_vec().into()
        );
        assert_eq!(from_text("5", &Type::Char).unwrap(), '5'.into());
        assert_eq!(from_text("30", &Type::U64).unwrap(), 30u64.into());
        assert_eq!(from_text("inf", &Type::F32).unwrap(), f32::INFINITY.into());
        let ok = Value::Result(Ok(Some(Box::new(5u8.into()))));
        assert_eq!(
            from_text("5", &Type::result(Some(Type::U8), None)).unwrap(),
            ok
        );
    }

    #[test]
    fn typed_text_that_does_not_fit_says_why() {
        let text = |text, ty: &Type| from_text(text, ty).unwrap_err().to_string();
        assert_eq!(text("300", &Type::U8), "the value: found 300, wanted u8");
        assert_eq!(text("blue", &Type::U8), "the value: found blue, wanted u8");
        let pair = Type::tuple([Type::U8, Type::Bool]);
        assert_eq!(text("[1, 2]", &pair), ".1: found 2, wanted bool");
        assert_eq!(text("(1, 2)", &pair), ".1: found 2, wanted bool");
        let error = text("(1,", &pair);
        assert!(
            error.starts_with("neither JSON (expected value at line 1"),
            "{error}"
        );
        assert!(error.ends_with("wanted tuple<u8, bool>"), "{error}");
    }
}
