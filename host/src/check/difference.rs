//! Where two results differ: the first line that does, in a form for people.

use crate::Value;
use rwasm_value::format::{Format, WriteOptions, to_wave, write_value};
use std::fmt;

/// The number of characters of a line that are shown.
const WIDTH: usize = 120;

/// The number of these that precede the difference.
const BEFORE: usize = 40;

/// The first line in which a result differs from the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The line, from 1; `None` if both results have one line.
    pub line: Option<u64>,
    /// The expected line, shortened.
    pub expected: String,
    /// The line found, shortened.
    pub found: String,
}

impl Difference {
    /// Compares two texts; returns `None` if they are equal.
    pub(super) fn of_texts(expected: &[u8], found: &[u8]) -> Option<Self> {
        if expected == found {
            return None;
        }
        let (mut wanted, mut given) = (lines(expected), lines(found));
        let mut line = 0;
        loop {
            line += 1;
            let pair = (wanted.next(), given.next());
            if pair.0 != pair.1 {
                return Some(Self {
                    line: Some(line),
                    expected: shown(pair.0, pair.1),
                    found: shown(pair.1, pair.0),
                });
            }
        }
    }

    /// Compares two values in the text format, or in WAVE if their texts are equal.
    pub(super) fn of_values(expected: &Value, found: &Value) -> Option<Self> {
        if same(expected, found) {
            return None;
        }
        Self::of_texts(&text(expected), &text(found)).or_else(|| {
            Self::of_texts(to_wave(expected).as_bytes(), to_wave(found).as_bytes()).map(
                |difference| Self {
                    line: None,
                    ..difference
                },
            )
        })
    }
}

/// Whether two values are equal, with NaN equal to NaN.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    left == right || to_wave(left) == to_wave(right)
}

/// The value as printed by `run`.
pub(super) fn text(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    // Writing to memory cannot fail, and every value has this form.
    let _ = write_value(&mut text, value, Format::Text, WriteOptions::default());
    text
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// The line, from shortly before the first difference from the other.
fn shown(line: Option<&[u8]>, other: Option<&[u8]>) -> String {
    let Some(line) = line else {
        return "nothing, because the output ends earlier".to_owned();
    };
    let body = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
    let other = other.map(|line| String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)));
    let same = other.as_deref().map_or(0, |other| {
        let pairs = body.chars().zip(other.chars());
        pairs.take_while(|(left, right)| left == right).count()
    });
    let total = body.chars().count();
    let from = if total > WIDTH {
        same.saturating_sub(BEFORE)
    } else {
        0
    };
    let mut text = String::new();
    if from > 0 {
        text.push('…');
    }
    text.extend(body.chars().skip(from).take(WIDTH));
    if from + WIDTH < total {
        text.push('…');
    }
    if other.is_some_and(|other| other == body) && !line.ends_with(b"\n") {
        text.push_str(" (without a trailing newline)");
    }
    text
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "expected {}\nfound {}", self.expected, self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &str, found: &str, shown: &str) {
        let difference = Difference::of_texts(expected.as_bytes(), found.as_bytes());
        assert_eq!(difference.unwrap().to_string(), shown);
    }

    #[test]
    fn the_first_line_that_differs_is_shown() {
        assert_eq!(Difference::of_texts(b"a\nb\n", b"a\nb\n"), None);
        check("a\nb\nc\n", "a\nx\ny\n", "line 2: expected b\nfound x");
        check(
            "a\n",
            "a\nb\n",
            "line 2: expected nothing, because the output ends earlier\nfound b",
        );
        check(
            "a\n",
            "a",
            "line 1: expected a\nfound a (without a trailing newline)",
        );
        check(
            "",
            "a",
            "line 1: expected nothing, because the output ends earlier\nfound a",
        );
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let (left, right) = ("x".repeat(1000) + "left", "x".repeat(1000) + "right");
        let difference = Difference::of_texts(left.as_bytes(), right.as_bytes()).unwrap();
        assert_eq!(difference.expected, format!("…{}left", "x".repeat(BEFORE)));
        assert_eq!(difference.found, format!("…{}right", "x".repeat(BEFORE)));
        let long = "é".repeat(1000);
        let difference = Difference::of_texts(long.as_bytes(), b"").unwrap();
        assert_eq!(difference.expected, "é".repeat(WIDTH) + "…");
    }

    #[test]
    fn values_that_look_the_same_are_told_apart() {
        let of = |left: Value, right: Value| Difference::of_values(&left, &right);
        assert_eq!(of(f64::NAN.into(), f64::NAN.into()), None);
        let (tab, pair) = (Value::from("a\tb"), Value::from(("a", "b")));
        let difference = of(Value::List(vec![tab]), Value::List(vec![pair])).unwrap();
        assert_eq!(
            difference.to_string(),
            "expected [\"a\\tb\"]\nfound [(\"a\", \"b\")]"
        );
    }
}
