//! Values as lines of fields, as `--format text` and `--format tsv` print them.
//!
//! A list prints one element per line and a map one entry per line. Tabs separate the fields of a
//! tuple, a record or an entry. A field that is a string, bytes or a char stands verbatim, deeper
//! values are WAVE, and `none` is empty. In `text`, a string or bytes on their own are written
//! verbatim without a trailing newline. Neither form can be parsed back reliably; use JSON for
//! that.

use super::wave::Wave;
use crate::plain::{escape, leaves_line};
use crate::value::Value;
use std::fmt::Write as _;
use std::io;

/// Writes values as text or as TSV.
pub(super) struct TextWriter<W> {
    out: W,
    /// Tabs, newlines, carriage returns and backslashes in fields are escaped.
    tsv: bool,
    /// Other control characters, and bytes that are not UTF-8, are escaped.
    escape_control: bool,
    /// A buffer for a field that has to be escaped.
    scratch: String,
}

impl<W: io::Write> TextWriter<W> {
    pub(super) fn new(out: W, tsv: bool, escape_control: bool) -> Self {
        Self {
            out,
            tsv,
            escape_control,
            scratch: String::new(),
        }
    }

    /// Writes one whole value.
    pub(super) fn value(&mut self, value: &Value) -> io::Result<()> {
        match value {
            Value::String(text) if !self.tsv => self.verbatim(text.as_bytes()),
            Value::Bytes(bytes) if !self.tsv => self.verbatim(bytes),
            Value::List(items) => items.iter().try_for_each(|item| self.line(item)),
            Value::Map(entries) => entries.iter().try_for_each(|(key, value)| {
                self.field(key)?;
                self.out.write_all(b"\t")?;
                self.field(value)?;
                self.out.write_all(b"\n")
            }),
            Value::Option(Some(inner)) if matches!(**inner, Value::List(_) | Value::Map(_)) => {
                self.value(inner)
            }
            _ => self.line(value),
        }
    }

    /// Writes one line: the fields of a tuple or record, or the single field that any other value
    /// is.
    fn line(&mut self, value: &Value) -> io::Result<()> {
        match value {
            Value::Tuple(fields) => self.fields(fields)?,
            Value::Record(fields) => self.fields(fields.iter().map(|(_, value)| value))?,
            Value::Option(Some(inner)) => return self.line(inner),
            _ => self.field(value)?,
        }
        self.out.write_all(b"\n")
    }

    fn fields<'a>(&mut self, fields: impl IntoIterator<Item = &'a Value>) -> io::Result<()> {
        for (index, field) in fields.into_iter().enumerate() {
            if index > 0 {
                self.out.write_all(b"\t")?;
            }
            self.field(field)?;
        }
        Ok(())
    }

    fn field(&mut self, value: &Value) -> io::Result<()> {
        match value {
            Value::String(text) => self.verbatim(text.as_bytes()),
            Value::Bytes(bytes) => self.verbatim(bytes),
            Value::Char(char) => self.verbatim(char.encode_utf8(&mut [0; 4]).as_bytes()),
            Value::Option(None) => Ok(()),
            Value::Option(Some(inner)) => self.field(inner),
            // Numbers in a large table are written directly.
            Value::U64(number) => write!(self.out, "{number}"),
            Value::S64(number) => write!(self.out, "{number}"),
            Value::F64(_) | Value::U32(_) => write!(self.out, "{}", Wave(value)),
            _ => {
                let mut text = std::mem::take(&mut self.scratch);
                text.clear();
                // Writing to a String does not fail.
                let written = write!(text, "{}", Wave(value)).map_err(io::Error::other);
                let result = written.and_then(|()| self.verbatim(text.as_bytes()));
                self.scratch = text;
                result
            }
        }
    }

    /// Writes bytes verbatim, except for those that have to be escaped.
    fn verbatim(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.tsv && !self.escape_control {
            return self.out.write_all(bytes);
        }
        let (tsv, escape_control) = (self.tsv, self.escape_control);
        let is_escaped = |char: char| match char {
            '\t' | '\n' | '\\' => tsv,
            '\r' => tsv || escape_control,
            _ => escape_control && leaves_line(char),
        };
        for chunk in bytes.utf8_chunks() {
            let mut rest = chunk.valid();
            while let Some(at) = rest.find(is_escaped) {
                let (clean, from) = rest.split_at(at);
                self.out.write_all(clean.as_bytes())?;
                let mut chars = from.chars();
                if let Some(char) = chars.next() {
                    // \t, \n, \r, \\ and \u{…}
                    write!(self.out, "{}", escape(char))?;
                }
                rest = chars.as_str();
            }
            self.out.write_all(rest.as_bytes())?;
            if escape_control {
                for byte in chunk.invalid() {
                    write!(self.out, "\\x{byte:02x}")?;
                }
            } else {
                self.out.write_all(chunk.invalid())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbitrary::any_typed;
    use proptest::prelude::*;

    fn write(value: &Value, tsv: bool, escape_control: bool) -> String {
        let mut out = Vec::new();
        TextWriter::new(&mut out, tsv, escape_control)
            .value(value)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    fn text(value: impl Into<Value>) -> String {
        write(&value.into(), false, false)
    }

    fn tsv(value: impl Into<Value>) -> String {
        write(&value.into(), true, false)
    }

    #[test]
    fn strings_alone_stand_as_they_are() {
        assert_eq!(text("a\nb"), "a\nb");
        assert_eq!(text(b"a\r".to_vec()), "a\r");
        assert_eq!(tsv("a\nb"), "a\\nb\n");
    }

    #[test]
    fn other_values_are_lines_of_fields() {
        assert_eq!(text(3u8), "3\n");
        assert_eq!(text(Value::Option(None)), "\n");
        assert_eq!(text(Some("a")), "a\n");
        assert_eq!(
            text(vec!["a".into(), Value::Option(None), Some(2u8).into()]),
            "a\n\n2\n"
        );
        assert_eq!(
            text(Some(Value::List(vec![1u8.into(), 2u8.into()]))),
            "1\n2\n"
        );
        assert_eq!(text(Value::Map(vec![("k".into(), 'v'.into())])), "k\tv\n");
        let deep = Value::List(vec!["x\t".into(), 1u8.into()]);
        let record = [("a".into(), "b c".into()), ("l".into(), deep)];
        assert_eq!(text(Value::Record(record.to_vec())), "b c\t[\"x\\t\", 1]\n");
        assert_eq!(
            tsv(Value::Record(record.to_vec())),
            "b c\t[\"x\\\\t\", 1]\n"
        );
        assert_eq!(text(Value::List(vec![])), "");
    }

    #[test]
    fn terminals_are_shown_what_they_would_obey() {
        let value = Value::List(vec![
            "a\u{1b}[1m\r\u{9b}\t\\".into(),
            vec![b'b', 0xff].into(),
        ]);
        assert_eq!(
            write(&value, false, true),
            "a\\u{1b}[1m\\r\\u{9b}\t\\\nb\\xff\n"
        );
        let value = Value::from("line\n\ttab\u{7f}");
        assert_eq!(write(&value, false, true), "line\n\ttab\\u{7f}");
        assert_eq!(write(&value, true, true), "line\\n\\ttab\\u{7f}\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_terminal_sees_no_control_characters((_, value) in any_typed()) {
            let shown = write(&value, false, true);
            prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
        }

        #[test]
        fn a_tsv_line_is_an_element((ty, value) in any_typed()) {
            let mut out = Vec::new();
            TextWriter::new(&mut out, true, false).value(&value).unwrap();
            let lines = String::from_utf8_lossy(&out).lines().count();
            let expected = match &value {
                Value::List(items) => items.len(),
                Value::Map(entries) => entries.len(),
                Value::Option(Some(inner)) => match &**inner {
                    Value::List(items) => items.len(),
                    Value::Map(entries) => entries.len(),
                    _ => 1,
                },
                _ => 1,
            };
            prop_assert_eq!(lines, expected, "{}", ty);
        }
    }
}
