//! What is done to the bytes of inputs before they are cut, and to chunks before they are given to tasks.

use crate::chunk::Records;
use bytes::Bytes;
use rwasm_value::units::ByteSize;
use std::fmt;
use std::str::FromStr;

/// The most bytes of a header: each chunk may have it.
pub(super) const HEADER_SIZE: ByteSize = ByteSize::mib(1);

/// How the bytes of a job's inputs are read. The default leaves them as they are.
///
/// # Examples
///
/// ```
/// use rwasm_sandbox::input::{Header, Reading};
///
/// let mut reading = Reading::default();
/// reading.inflate = true;
/// reading.header = "1:repeat".parse()?;
/// assert_eq!(reading.header, Header::Repeat(1));
/// # Ok::<(), rwasm_sandbox::input::ParseHeaderError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// Whether an input that is compressed by gzip, zstd, bzip2 or xz is inflated. Its first bytes tell.
    pub inflate: bool,
    /// What inputs consist of: they are cut between two of these.
    pub records: Records,
    /// What becomes of the first lines of each input.
    pub header: Header,
    /// What becomes of bytes that are not UTF-8.
    pub invalid_utf8: InvalidUtf8,
}

/// What becomes of the first lines of each input; of the first rows of one that is read as CSV.
///
/// Its text is `N` or `N:repeat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Header {
    /// They are lines like others.
    #[default]
    None,
    /// So many are left out.
    Drop(u32),
    /// So many stand at the head of each chunk of their input.
    Repeat(u32),
}

impl Header {
    /// Returns the number of lines.
    pub const fn lines(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Drop(lines) | Self::Repeat(lines) => lines,
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("0"),
            Self::Drop(lines) => write!(f, "{lines}"),
            Self::Repeat(lines) => write!(f, "{lines}:repeat"),
        }
    }
}

/// A text is not a [`Header`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid header: write a number of lines such as 1, or 1:repeat")]
pub struct ParseHeaderError(String);

impl FromStr for Header {
    type Err = ParseHeaderError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (lines, is_repeated) = match text.strip_suffix(":repeat") {
            Some(lines) => (lines, true),
            None => (text, false),
        };
        match lines.parse() {
            Ok(0) => Ok(Self::None),
            Ok(lines) if is_repeated => Ok(Self::Repeat(lines)),
            Ok(lines) => Ok(Self::Drop(lines)),
            Err(_) => Err(ParseHeaderError(text.to_owned())),
        }
    }
}

/// What becomes of bytes that are not UTF-8, where a function takes a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidUtf8 {
    /// The task fails.
    #[default]
    Fail,
    /// Each sequence becomes U+FFFD, the replacement character.
    Replace,
    /// Lines with such bytes are left out.
    SkipLine,
}

impl InvalidUtf8 {
    /// Returns its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Replace => "replace",
            Self::SkipLine => "skip-line",
        }
    }

    /// Returns `bytes` as UTF-8, and what was replaced or left out, counted; `None` if there is nothing to do.
    pub(super) fn applied(self, bytes: &[u8]) -> Option<(Bytes, u64)> {
        if self == Self::Fail || str::from_utf8(bytes).is_ok() {
            return None;
        }
        let (mut text, mut count) = (Vec::with_capacity(bytes.len()), 0);
        if self == Self::SkipLine {
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                if str::from_utf8(line).is_ok() {
                    text.extend_from_slice(line);
                } else {
                    count += 1;
                }
            }
        } else {
            for part in bytes.utf8_chunks() {
                text.extend_from_slice(part.valid().as_bytes());
                if !part.invalid().is_empty() {
                    count += 1;
                    text.extend_from_slice("\u{fffd}".as_bytes());
                }
            }
        }
        Some((text.into(), count))
    }
}

/// The header and what follows it.
pub(super) fn joined(header: &Bytes, rest: &[u8]) -> Bytes {
    if rest.is_empty() {
        return header.clone();
    }
    [header, rest].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn what_is_left_is_utf8(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..80)) {
            let is_valid = str::from_utf8(&bytes).is_ok();
            for way in [InvalidUtf8::Replace, InvalidUtf8::SkipLine] {
                let Some((text, count)) = way.applied(&bytes) else {
                    prop_assert!(is_valid);
                    continue;
                };
                prop_assert!(!is_valid && count > 0);
                let text = str::from_utf8(&text).expect("it is UTF-8");
                if way == InvalidUtf8::Replace {
                    prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
                } else {
                    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
                    let kept: Vec<&[u8]> = lines.filter(|line| str::from_utf8(line).is_ok()).collect();
                    prop_assert_eq!(text.as_bytes(), kept.concat());
                }
            }
        }
    }

    #[test]
    fn a_header_is_read_as_it_is_written() {
        for header in [Header::None, Header::Drop(1), Header::Repeat(3)] {
            assert_eq!(header.to_string().parse(), Ok(header));
        }
        for text in ["", "-1", "1:", "repeat", "1:again", "1 "] {
            assert!(text.parse::<Header>().is_err(), "{text}");
        }
    }
}
