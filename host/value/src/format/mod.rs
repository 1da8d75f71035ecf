//! The text forms of values: JSON, WAVE, and the forms for people and line-based tools.
//!
//! [`write_value`] writes a value in any of them. [`from_text`] parses what a user typed, and
//! [`arguments_from_text`] and [`arguments_from_line`] parse all arguments of a function. This is
//! the only layer that knows JSON. It neither buffers nor knows terminals: the caller passes a
//! buffered writer and chooses whether control characters are shown.
//!
//! # Examples
//!
//! ```
//! use rwasm_value::format::{Format, WriteOptions, from_text, write_value};
//! use rwasm_value::value::Type;
//!
//! let ty = Type::list(Type::tuple([Type::String, Type::U64]));
//! let value = from_text(r#"[["one", 1], ["two", 2]]"#, &ty)?;
//! let mut out = Vec::new();
//! write_value(&mut out, &value, Format::Tsv, WriteOptions::default())?;
//! assert_eq!(out, b"one\t1\ntwo\t2\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arguments;
mod json;
mod text;
mod wave;

#[doc(hidden)]
pub use arguments::arguments_of_core;
pub use arguments::{arguments_from_line, arguments_from_text};
pub use json::{Json, from_json, to_json, write_json};
pub use wave::{Call, from_wave, to_wave};

use crate::value::{Mismatch, Step, Type, Value};
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

/// The form in which a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// For people: one line per element, a tab between fields, text verbatim.
    Text,
    /// One JSON document.
    Json,
    /// A list as one JSON document per line; any other value as a single line.
    Jsonl,
    /// Like `Text`, but with each field on one line: tab, newline, carriage return and backslash
    /// are written as `\t`, `\n`, `\r` and `\\`.
    Tsv,
    /// WAVE, the text form of the WebAssembly tools.
    Wave,
    /// Strings and bytes verbatim, and lists of them one after the other, without separators.
    Raw,
}

impl Format {
    /// All formats, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Text,
        Self::Json,
        Self::Jsonl,
        Self::Tsv,
        Self::Wave,
        Self::Raw,
    ];

    /// Returns the format's name on the command line.
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

/// The error for a name that is not a [`Format`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid format: write text, json, jsonl, tsv, wave or raw")]
pub struct UnknownFormat {
    /// The name that was given.
    pub name: String,
}

/// Options of [`write_value`] beside the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Show control characters and bytes that are not UTF-8 in escaped form instead of passing them
    /// on to a terminal, which would obey them. `Raw` ignores this option.
    pub escape_control: bool,
}

/// The error of [`write_value`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The writer failed.
    #[error("cannot write the value")]
    Io(#[from] io::Error),
    /// `Raw` was asked to write a value that is neither a string nor bytes. Nothing was written.
    #[error("format raw: expected a string or bytes, found {found}")]
    NotBytes {
        /// The kind of the value.
        found: String,
    },
}

/// Writes `value` to `out`. JSON and WAVE end with a newline; for `Text` see the module `text`.
///
/// # Errors
///
/// Returns an error if `out` fails, or if `format` is `Raw` and the value is not a string, bytes or
/// a list of them.
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
        // WAVE always escapes control characters.
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
        // All are checked first, so that nothing is written on refusal.
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

/// The error for a text that is not a value of the wanted type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The text is well formed, but is a value of another type.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The text is not WAVE.
    #[error("not WAVE: {reason} at byte {offset}")]
    Wave {
        /// What the parser reports.
        reason: String,
        /// The byte offset in the text.
        offset: usize,
    },
    /// The text is ambiguous JSON: an object has the same name twice.
    #[error("{reason}")]
    Ambiguous {
        /// Which name, and where.
        reason: String,
    },
    /// The text is neither JSON nor WAVE.
    #[error("expected {expected}, found neither JSON ({json}) nor WAVE ({wave})")]
    Neither {
        /// What the JSON parser reports.
        json: String,
        /// What the WAVE parser reports.
        wave: String,
        /// The expected type.
        expected: String,
    },
}

/// Like [`from_text`], for input that need not be text: bytes are taken verbatim, and any other
/// type requires UTF-8.
fn from_given(given: &[u8], ty: &Type) -> Result<Value, FormatError> {
    if ty.is_bytes() {
        return Ok(given.to_vec().into());
    }
    match std::str::from_utf8(given) {
        Ok(text) => from_text(text, ty),
        Err(_) => Err(Mismatch::of_type("bytes that are not UTF-8", ty).into()),
    }
}

/// Parses what a user typed as a value of type `ty`: a string, bytes or a single character
/// verbatim, any other type as JSON or WAVE.
///
/// # Errors
///
/// Returns an error if the text is neither JSON nor WAVE, or does not fit the type.
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
        // Some names are words of WAVE, such as `some`, and of JSON, such as `true`.
        Type::Enum(names) => {
            if let Some(name) = names.iter().find(|name| ***name == *text.trim()) {
                return Ok(Value::Enum(Arc::clone(name)));
            }
        }
        _ => {}
    }
    match json::parse(text) {
        // A text that is JSON but does not fit may still fit as WAVE, where `5` stands for a
        // result's `ok(5)`.
        Ok(json) => from_json(&json, ty).or_else(|error| {
            let read = from_wave(text, ty);
            read.map_err(|_| as_written(error, text, None))
        }),
        Err(json) if json.is_ambiguous => Err(FormatError::Ambiguous {
            reason: json.reason,
        }),
        Err(json) => from_wave(text, ty).map_err(|error| match error {
            FormatError::Wave { reason, offset } => FormatError::Neither {
                json: json.reason,
                wave: wave::at(&reason, offset),
                expected: ty.brief().to_string(),
            },
            other => other,
        }),
    }
}

/// The same error, except that a number found in JSON is shown as written in `text`, at this step
/// into it.
fn as_written(error: FormatError, text: &str, first: Option<&Step>) -> FormatError {
    match error {
        FormatError::Mismatch(mut mismatch) => {
            let place = first.into_iter().chain(mismatch.path.steps());
            if let Some(number) = json::number_at(text, place) {
                mismatch.found = format!("`{}`", arguments::shown(number));
            }
            mismatch.into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Field;

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
            "format raw: expected a string or bytes, found list with u8"
        );
        assert!(out.is_empty());
    }

    #[test]
    fn names_of_formats_parse_back() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "xml".parse::<Format>().unwrap_err();
        assert!(error.to_string().starts_with("`xml` is not a valid format"));
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
    fn numbers_too_large_for_a_float_are_refused_and_infinities_taken() {
        for (text, ty) in [
            ("1e39", Type::F32),
            ("\"1e39\"", Type::F32),
            ("-1e39", Type::F32),
            ("-1e400", Type::F64),
            ("1e309", Type::F64),
            ("\"1e309\"", Type::F64),
            ("\"infinity\"", Type::F64),
        ] {
            let list = Type::list(ty.clone());
            let error = from_text(text, &ty).unwrap_err().to_string();
            assert_eq!(error, format!("the value: expected {ty}, found `{text}`"));
            let error = from_text(&format!("[0, {text}]"), &list).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("[1]: expected {ty}, found `{text}`")
            );
        }
        for text in ["inf", "\"Infinity\""] {
            assert_eq!(from_text(text, &Type::F32).unwrap(), f32::INFINITY.into());
            assert_eq!(from_text(text, &Type::F64).unwrap(), f64::INFINITY.into());
        }
        for text in ["-inf", "\"-Infinity\""] {
            assert_eq!(
                from_text(text, &Type::F64).unwrap(),
                f64::NEG_INFINITY.into()
            );
        }
        assert_eq!(
            from_text("3.4028235e38", &Type::F32).unwrap(),
            f32::MAX.into()
        );
        assert_eq!(from_text("1e-400", &Type::F64).unwrap(), 0f64.into());
    }

    #[test]
    fn typed_text_that_does_not_fit_says_why() {
        let text = |text, ty: &Type| from_text(text, ty).unwrap_err().to_string();
        assert_eq!(
            text("300", &Type::U8),
            "the value: expected u8, found `300`"
        );
        assert_eq!(
            text("blue", &Type::U8),
            "the value: expected u8, found `blue`"
        );
        let pair = Type::tuple([Type::U8, Type::Bool]);
        assert_eq!(text("[1, 2]", &pair), ".1: expected bool, found `2`");
        assert_eq!(text("(1, 2)", &pair), ".1: expected bool, found `2`");
        for (typed, ty) in [
            ("18446744073709551616", Type::U64),
            ("1e3", Type::U8),
            ("-0", Type::U8),
        ] {
            assert_eq!(
                text(typed, &ty),
                format!("the value: expected {ty}, found `{typed}`")
            );
        }
        let nested = Type::list(Type::tuple([Type::String, Type::option(Type::S64)]));
        assert_eq!(
            text(r#"[["a", 1], ["b,]", -9223372036854775809]]"#, &nested),
            "[1].1: expected s64, found `-9223372036854775809`"
        );
        let field = |name: &str, ty| Field {
            name: name.into(),
            ty,
        };
        let point = Type::Record([field("x", Type::U8), field("y", Type::U8)].into());
        assert_eq!(
            text(r#"{"x": 1, "y": 2, "x": 3}"#, &point),
            "the name `x` occurs twice at line 1 column 20"
        );
        let error = text("(1,", &pair);
        assert!(
            error.starts_with(
                "expected tuple<u8, bool>, found neither JSON (expected value at line 1"
            ),
            "{error}"
        );
    }
}
