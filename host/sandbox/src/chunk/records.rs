//! Where a record ends, at which an input may be cut: after a line, after every so many lines, before a line that begins
//! a record, or after a row of CSV.
//!
//! Like all of `chunk`, this holds no bytes. All but plain lines are followed from the start of the chunk, which is the
//! start of a record, so borders still depend on the bytes alone.

use super::Scan;
use regex::bytes::{Regex, RegexBuilder};
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// How much of a line is looked at for the start of a record. A line may be as long as its input.
const MATCHED: usize = 64 << 10;

/// The most memory of a compiled expression.
const REGEX_SIZE: usize = 10 << 20;

/// What an input consists of; it is cut between two of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Records {
    /// Lines.
    #[default]
    Lines,
    /// Groups of so many lines, such as the four of a record in FASTQ.
    Groups(NonZeroU64),
    /// Records that begin with a line which the expression matches; lines before the first belong to the first.
    Start(RecordStart),
    /// Rows of comma-separated values, in which quoted fields may contain line ends.
    Csv,
}

impl Records {
    /// Returns the offset after the `nth` record end (from 1) at or after `from`; `None` if the input ends first. A
    /// chunk begins at `start`.
    pub(crate) fn end<S: Scan>(
        &self,
        scan: &mut S,
        start: u64,
        from: u64,
        nth: u64,
    ) -> Result<Option<u64>, S::Error> {
        match self {
            Self::Lines => line_end(scan, from, nth),
            Self::Groups(lines) => Groups::new(lines.get()).end(scan, start, from, nth),
            Self::Start(expression) => expression.end(scan, from, nth),
            Self::Csv => Csv::default().end(scan, start, from, nth),
        }
    }
}

/// Returns the offset after the `nth` line end at or after `from`.
pub(crate) fn line_end<S: Scan>(
    scan: &mut S,
    mut from: u64,
    nth: u64,
) -> Result<Option<u64>, S::Error> {
    let mut left = nth;
    while let Some(bytes) = scan.bytes_at(from)? {
        for at in memchr::memchr_iter(b'\n', bytes) {
            left -= 1;
            if left == 0 {
                return Ok(Some(from + at as u64 + 1));
            }
        }
        from += bytes.len() as u64;
    }
    Ok(None)
}

/// Follows the ends of records from the start of a chunk.
trait Follow {
    /// Returns the offsets in `bytes`, which begin at `offset` of the input, at which records end.
    fn ends<'a>(&'a mut self, bytes: &'a [u8], offset: u64) -> impl Iterator<Item = usize> + 'a;

    fn end<S: Scan>(
        &mut self,
        scan: &mut S,
        start: u64,
        from: u64,
        nth: u64,
    ) -> Result<Option<u64>, S::Error> {
        let mut left = nth;
        let mut offset = start;
        while let Some(bytes) = scan.bytes_at(offset)? {
            for at in self.ends(bytes, offset) {
                let end = offset + at as u64;
                left -= u64::from(end > from);
                if left == 0 {
                    return Ok(Some(end));
                }
            }
            offset += bytes.len() as u64;
        }
        Ok(None)
    }
}

struct Groups {
    lines: u64,
    left: u64,
}

impl Groups {
    fn new(lines: u64) -> Self {
        Self { lines, left: lines }
    }
}

impl Follow for Groups {
    fn ends<'a>(&'a mut self, bytes: &'a [u8], _: u64) -> impl Iterator<Item = usize> + 'a {
        memchr::memchr_iter(b'\n', bytes).filter_map(|at| {
            self.left -= 1;
            if self.left > 0 {
                return None;
            }
            self.left = self.lines;
            Some(at + 1)
        })
    }
}

/// A quote opens a field at the start of one, and a second one right after it closed is part of the field. Quotes
/// elsewhere are bytes like others, as in `5" pipe`.
#[derive(Default)]
struct Csv {
    is_quoted: bool,
    /// Where a quoted field last ended.
    closed: Option<u64>,
    /// The last byte of the bytes before.
    last: Option<u8>,
}

/// The byte-order mark ends with this, at this offset.
const MARK: (u64, u8) = (2, 0xbf);

impl Csv {
    /// A quote at `offset`, after the byte `before`.
    fn quote(&mut self, offset: u64, before: Option<u8>) {
        if self.is_quoted {
            self.is_quoted = false;
            self.closed = Some(offset);
            return;
        }
        self.is_quoted = match before {
            None | Some(b'\n' | b'\r' | b',' | b';' | b'\t' | b'|') => true,
            Some(b'"') => self.closed.is_some_and(|closed| closed + 1 == offset),
            Some(before) => (offset.saturating_sub(1), before) == MARK,
        };
    }
}

impl Follow for Csv {
    fn ends<'a>(&'a mut self, bytes: &'a [u8], offset: u64) -> impl Iterator<Item = usize> + 'a {
        let before = self.last;
        self.last = bytes.last().copied();
        memchr::memchr2_iter(b'\n', b'"', bytes).filter_map(move |at| {
            if bytes[at] == b'\n' {
                return (!self.is_quoted).then_some(at + 1);
            }
            let previous = at.checked_sub(1).map(|previous| bytes[previous]);
            self.quote(offset + at as u64, previous.or(before));
            None
        })
    }
}

/// The expression that matches the first line of each record.
#[derive(Clone, Debug)]
pub struct RecordStart(Regex);

impl RecordStart {
    fn end<S: Scan>(&self, scan: &mut S, from: u64, nth: u64) -> Result<Option<u64>, S::Error> {
        let mut left = nth;
        let mut at = from;
        let mut line = Vec::new();
        while let Some(start) = line_end(scan, at, 1)? {
            if !read_line(scan, start, &mut line)? {
                return Ok(None);
            }
            left -= u64::from(self.0.is_match(&line));
            if left == 0 {
                return Ok(Some(start));
            }
            at = start;
        }
        Ok(None)
    }
}

/// Reads the line at `start`, or as much of it as is matched; false if the input ends there.
fn read_line<S: Scan>(scan: &mut S, start: u64, line: &mut Vec<u8>) -> Result<bool, S::Error> {
    line.clear();
    while line.len() < MATCHED {
        let Some(bytes) = scan.bytes_at(start + line.len() as u64)? else {
            return Ok(!line.is_empty());
        };
        let bytes = &bytes[..bytes.len().min(MATCHED - line.len())];
        if let Some(end) = memchr::memchr(b'\n', bytes) {
            line.extend_from_slice(&bytes[..end]);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(true);
        }
        line.extend_from_slice(bytes);
    }
    Ok(true)
}

impl PartialEq for RecordStart {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for RecordStart {}

impl fmt::Display for RecordStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// A text is not a regular expression.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ParseRecordStartError(String);

impl FromStr for RecordStart {
    type Err = ParseRecordStartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        RegexBuilder::new(text)
            .size_limit(REGEX_SIZE)
            .build()
            .map(Self)
            .map_err(|error| {
                // The first lines of such an error show the text; the last says what is wrong.
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                let reason = last.trim_start_matches("error: ");
                ParseRecordStartError(format!("expected a regular expression: {reason}"))
            })
    }
}
