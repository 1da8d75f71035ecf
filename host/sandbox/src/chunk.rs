//! Where an input is cut: the ways to cut, and the chunk borders that follow from the bytes.
//!
//! The borders depend only on the bytes of that input: not on engines, timing, view or read sizes,
//! nor on whether the bytes come from a file or a stream. This module neither holds nor reads
//! bytes; whoever has them answers the two questions of `Scan`.

mod records;

pub(crate) use records::line_end;
pub use records::{ParseRecordStartError, RecordStart, Records};

use rwasm_value::units::ByteSize;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// The chunk size at the start of an input under [`Chunking::Auto`]: small enough that a single
/// book spreads over the engines, large enough that a call into a fresh instance (some 10 µs) is
/// negligible beside the work (some 600 µs).
const AUTO_SMALLEST: u64 = 64 << 10;

/// The largest chunk size under [`Chunking::Auto`]: 100 GB make 24 000 chunks, and one still fits
/// easily in memory.
const AUTO_LARGEST: u64 = 4 << 20;

/// Under [`Chunking::Auto`] a chunk is this fraction of everything before it, so that the last one,
/// for which the engines wait at the end, stays a small part of the whole.
const AUTO_FRACTION: u64 = 16;

/// How inputs are cut into chunks. All but `Exact` and `File` cut just after a line end, or between other [`Records`].
///
/// Its text is `auto`, `file`, a size like `64KiB`, `lines:N` or `exact:SIZE`.
///
/// # Examples
///
/// ```
/// use rwasm_sandbox::chunk::Chunking;
/// use rwasm_value::units::ByteSize;
///
/// assert_eq!("64KiB".parse::<Chunking>()?, Chunking::Size(ByteSize::kib(64)));
/// assert_eq!("exact:1MiB".parse::<Chunking>()?.to_string(), "exact:1MiB");
/// let error = "lines:0".parse::<Chunking>().unwrap_err();
/// assert!(error.to_string().starts_with("`lines:0` is not a valid chunk size"));
/// # Ok::<(), rwasm_sandbox::chunk::ParseChunkingError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Chunking {
    /// Small chunks (64 KiB) at the start of an input and larger ones (up to 4 MiB) further in, on
    /// one fixed schedule.
    #[default]
    Auto,
    /// At the first line end that makes the chunk at least this large.
    Size(ByteSize),
    /// After every N lines or other records.
    Lines(NonZeroU64),
    /// Not at all: each input is one chunk.
    File,
    /// After every N bytes, even within a line.
    Exact(ByteSize),
}

/// Where a chunk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Before the byte at this offset, which may be the end of the input.
    At(u64),
    /// At the end of the input.
    OfInput,
}

/// What the cutter asks about the bytes of one input. Offsets count from the start of that input.
pub(crate) trait Scan {
    /// The error of reading the bytes.
    type Error;

    /// Some bytes from the offset `from` on, at least one; `None` if the input ends there.
    fn bytes_at(&mut self, from: u64) -> Result<Option<&[u8]>, Self::Error>;

    /// Whether there is a byte at `offset`.
    fn reaches(&mut self, offset: u64) -> Result<bool, Self::Error>;
}

impl Chunking {
    /// Finds the end of the chunk that begins at `start`, where the input has at least one more
    /// byte.
    ///
    /// Looks no further ahead than necessary, so that the chunks of a slow stream are known as soon
    /// as they are complete.
    pub(crate) fn next_end<S: Scan>(
        self,
        records: &Records,
        start: u64,
        scan: &mut S,
    ) -> Result<End, S::Error> {
        let mut after = |from, nth| {
            let end = records.end(scan, start, from, nth)?;
            Ok(end.map_or(End::OfInput, End::At))
        };
        match self {
            Self::Auto => after(start.saturating_add(auto_size(start) - 1), 1),
            Self::Size(size) => after(start.saturating_add(at_least_one(size) - 1), 1),
            Self::Lines(lines) => after(start, lines.get()),
            Self::File => Ok(End::OfInput),
            Self::Exact(size) => {
                let end = start.saturating_add(at_least_one(size));
                Ok(if scan.reaches(end - 1)? {
                    End::At(end)
                } else {
                    End::OfInput
                })
            }
        }
    }
}

impl Chunking {
    /// Whether it cuts between records, and not anywhere or nowhere.
    pub const fn is_between_records(self) -> bool {
        matches!(self, Self::Auto | Self::Size(_) | Self::Lines(_))
    }
}

/// The nominal size under [`Chunking::Auto`] of the chunk that begins at `start`.
fn auto_size(start: u64) -> u64 {
    (start / AUTO_FRACTION).clamp(AUTO_SMALLEST, AUTO_LARGEST)
}

/// A program may construct a size of 0, which the parser refuses. No chunk is empty, so it counts
/// as 1.
fn at_least_one(size: ByteSize) -> u64 {
    size.bytes().max(1)
}

/// The error for a text that is not a valid chunk size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a valid chunk size: {wanted}")]
pub struct ParseChunkingError {
    found: String,
    wanted: &'static str,
}

impl FromStr for Chunking {
    type Err = ParseChunkingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |wanted| ParseChunkingError {
            found: text.to_owned(),
            wanted,
        };
        let size = |text: &str| text.parse().ok().filter(|size: &ByteSize| size.bytes() > 0);
        match text.split_once(':') {
            Some(("lines", lines)) => lines.parse().map(Self::Lines).map_err(|_| {
                error("write a number of lines, at least 1, after `lines:`, like lines:1000")
            }),
            Some(("exact", bytes)) => size(bytes).map(Self::Exact).ok_or_else(|| {
                error("write a size of at least 1 byte after `exact:`, like exact:1MiB")
            }),
            Some(_) => Err(error(
                "the only forms with a colon are lines:N and exact:SIZE",
            )),
            None if text == "auto" => Ok(Self::Auto),
            None if text == "file" => Ok(Self::File),
            None if text.starts_with(|first: char| first.is_ascii_digit()) => {
                size(text).map(Self::Size).ok_or_else(|| {
                    error("write a size of at least 1 byte, with or without a unit, like 64KiB")
                })
            }
            None => Err(error(
                "write auto, file, a size like 64KiB, lines:N or exact:SIZE",
            )),
        }
    }
}

impl fmt::Display for Chunking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Size(size) => write_exactly(f, *size),
            Self::Lines(lines) => write!(f, "lines:{lines}"),
            Self::File => f.write_str("file"),
            Self::Exact(size) => {
                f.write_str("exact:")?;
                write_exactly(f, *size)
            }
        }
    }
}

/// Writes `size` so that it parses back exactly: [`ByteSize`] rounds sizes with many digits.
fn write_exactly(f: &mut fmt::Formatter<'_>, size: ByteSize) -> fmt::Result {
    let short = size.to_string();
    if short.parse().is_ok_and(|parsed: ByteSize| parsed == size) {
        f.write_str(&short)
    } else {
        write!(f, "{}", size.bytes())
    }
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;
    use std::ops::Range;

    /// All the bytes, in memory.
    struct Whole<'a>(&'a [u8]);

    impl Scan for Whole<'_> {
        type Error = Infallible;

        fn bytes_at(&mut self, from: u64) -> Result<Option<&[u8]>, Infallible> {
            // A few at a time, so that records lie across what is given.
            let from = (from as usize).min(self.0.len());
            let bytes = &self.0[from..self.0.len().min(from + 7)];
            Ok((!bytes.is_empty()).then_some(bytes))
        }

        fn reaches(&mut self, offset: u64) -> Result<bool, Infallible> {
            Ok(offset < self.0.len() as u64)
        }
    }

    /// The chunks of `bytes` by way of [`Chunking::next_end`].
    fn cut(chunking: Chunking, bytes: &[u8]) -> Vec<Range<usize>> {
        cut_between(&Records::Lines, chunking, bytes)
    }

    /// The same, between other records.
    fn cut_between(records: &Records, chunking: Chunking, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut chunks = vec![];
        let mut start = 0;
        while start < bytes.len() || chunks.is_empty() {
            let Ok(end) = chunking.next_end(records, start as u64, &mut Whole(bytes));
            let end = if let End::At(end) = end {
                end as usize
            } else {
                bytes.len()
            };
            chunks.push(start..end);
            start = end;
        }
        chunks
    }

    /// The rule in its plainest form: take bytes until the chunk may end.
    pub(crate) fn model(chunking: Chunking, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut chunks = vec![];
        let (mut start, mut lines) = (0, 0);
        for end in 1..=bytes.len() {
            let line = bytes[end - 1] == b'\n';
            lines += u64::from(line);
            let size = (end - start) as u64;
            let over = match chunking {
                Chunking::Auto => line && size >= (start as u64 / 16).clamp(65_536, 4_194_304),
                Chunking::Size(least) => line && size >= least.bytes(),
                Chunking::Lines(wanted) => line && lines == wanted.get(),
                Chunking::File => false,
                Chunking::Exact(wanted) => size == wanted.bytes(),
            };
            if over {
                chunks.push(start..end);
                (start, lines) = (end, 0);
            }
        }
        if start < bytes.len() || chunks.is_empty() {
            chunks.push(start..bytes.len());
        }
        chunks
    }

    /// Any way to cut, with chunks of up to `largest` bytes.
    pub(crate) fn any_chunking(largest: u64) -> impl Strategy<Value = Chunking> {
        prop_oneof![
            Just(Chunking::Auto),
            Just(Chunking::File),
            (1..=largest).prop_map(|size| Chunking::Size(ByteSize::new(size))),
            (1..=largest).prop_map(|size| Chunking::Exact(ByteSize::new(size))),
            (1..=largest / 8 + 1).prop_map(|n| Chunking::Lines(NonZeroU64::new(n).unwrap())),
        ]
    }

    /// Text with a newline every so often.
    pub(crate) fn any_text(longest: usize) -> impl Strategy<Value = Vec<u8>> {
        (2_u8..20).prop_flat_map(move |rarity| {
            let byte = (0..rarity).prop_map(|n| if n == 0 { b'\n' } else { b'a' + n });
            prop::collection::vec(byte, 0..=longest)
        })
    }

    /// Text with as many bytes as it takes to leave the schedule's first step.
    pub(crate) fn long_text(bytes: usize) -> Vec<u8> {
        (0..bytes)
            .map(|n| {
                if n % 71 == 70 || n % 1009 == 0 {
                    b'\n'
                } else {
                    b'x'
                }
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn borders_are_those_of_the_model(chunking in any_chunking(64), text in any_text(400)) {
            prop_assert_eq!(cut(chunking, &text), model(chunking, &text));
        }

        #[test]
        fn chunks_cover_the_input_and_end_with_lines(chunking in any_chunking(64), text in any_text(400)) {
            let chunks = cut(chunking, &text);
            let joined: Vec<u8> = chunks.iter().flat_map(|range| &text[range.clone()]).copied().collect();
            prop_assert_eq!(&joined, &text);
            prop_assert!(text.is_empty() == chunks.iter().any(Range::is_empty));
            let exact = matches!(chunking, Chunking::Exact(_));
            for chunk in &chunks[..chunks.len() - 1] {
                prop_assert!(exact || text[chunk.end - 1] == b'\n');
            }
        }

        #[test]
        fn what_is_printed_parses_back(chunking in any_chunking(1 << 50), zeros in 0_u32..40) {
            let round = |size: ByteSize| ByteSize::new(size.bytes() >> zeros << zeros).max(ByteSize::new(1));
            let chunking = match chunking {
                Chunking::Size(size) => Chunking::Size(round(size)),
                Chunking::Exact(size) => Chunking::Exact(round(size)),
                other => other,
            };
            prop_assert_eq!(chunking.to_string().parse(), Ok(chunking));
        }

        #[test]
        fn no_text_panics(text in "(lines:|exact:|)[a-zA-Z0-9:.]{0,12}") {
            let _ = text.parse::<Chunking>();
        }
    }

    /// The ends of records in their plainest form, found from the start of the text.
    fn record_ends(records: &Records, text: &[u8]) -> Vec<usize> {
        let line_ends = (1..=text.len()).filter(|&end| text[end - 1] == b'\n');
        match records {
            Records::Lines => line_ends.collect(),
            Records::Groups(lines) => {
                let lines = lines.get() as usize;
                line_ends.skip(lines - 1).step_by(lines).collect()
            }
            Records::Start(_) => line_ends
                .filter(|&end| text.get(end) == Some(&b'>'))
                .collect(),
            Records::Csv => {
                // Where fields begin with their quotes, quotes come in pairs.
                let quotes = |end: usize| memchr::memchr_iter(b'"', &text[..end]).count();
                line_ends.filter(|&end| quotes(end) % 2 == 0).collect()
            }
        }
    }

    fn any_records() -> impl Strategy<Value = Records> {
        prop_oneof![
            Just(Records::Lines),
            (1..5_u64).prop_map(|n| Records::Groups(NonZeroU64::new(n).unwrap())),
            Just(Records::Start("^>".parse().unwrap())),
            Just(Records::Csv),
        ]
    }

    /// Rows of fields, some of them quoted and with line ends, quotes and commas inside.
    fn any_rows() -> impl Strategy<Value = Vec<u8>> {
        let row = prop::collection::vec("[a>]{0,4}|\"([a,>\n]|\"\"){0,6}\"", 1..4);
        prop::collection::vec(row, 0..24).prop_map(|rows| {
            let rows: Vec<String> = rows.iter().map(|row| row.join(",")).collect();
            rows.join("\n").into_bytes()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn chunks_end_where_records_do(records in any_records(), size in 1..40_u64, by_count: bool, text in any_rows()) {
            let ends = record_ends(&records, &text);
            let chunking = if by_count {
                Chunking::Lines(NonZeroU64::new(size / 8 + 1).unwrap())
            } else {
                Chunking::Size(ByteSize::new(size))
            };
            let chunks = cut_between(&records, chunking, &text);
            let mut start = 0;
            let mut wanted: Vec<Range<usize>> = vec![];
            while start < text.len() || wanted.is_empty() {
                let mut later = ends.iter().copied().filter(|&end| end > start);
                let end = if by_count {
                    later.nth(size as usize / 8)
                } else {
                    later.find(|end| end - start >= size as usize)
                };
                let end = end.unwrap_or(text.len());
                wanted.push(start..end);
                start = end;
            }
            prop_assert_eq!(chunks, wanted, "{:?} in {:?}", records, String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn quotes_that_open_no_field_are_bytes_like_others() {
        let rows = |text: &str| -> Vec<String> {
            let one = Chunking::Lines(NonZeroU64::new(1).unwrap());
            let chunks = cut_between(&Records::Csv, one, text.as_bytes());
            chunks
                .into_iter()
                .map(|range| text[range].to_owned())
                .collect()
        };
        assert_eq!(
            rows("5\" pipe\n6\"\" pipe\n"),
            ["5\" pipe\n", "6\"\" pipe\n"]
        );
        assert_eq!(
            rows("\"a\nb\";\"c\"\"\nd\"\r\ne\n"),
            ["\"a\nb\";\"c\"\"\nd\"\r\n", "e\n"]
        );
        assert_eq!(rows("\u{feff}\"a\nb\"\nc\n"), ["\u{feff}\"a\nb\"\n", "c\n"]);
    }

    #[test]
    fn the_schedule_grows_with_the_offset() {
        let text = long_text(90 << 20);
        let chunks = cut(Chunking::Auto, &text);
        assert_eq!(chunks, model(Chunking::Auto, &text));
        assert_eq!(chunks[0].len().div_ceil(1024), 65);
        assert!(
            chunks
                .windows(2)
                .all(|pair| pair[0].len() < pair[1].len() + 1100 || pair[1].end == text.len())
        );
        assert!(chunks[chunks.len() - 2].len() > 4 << 20);
        assert!(chunks.len() < 120, "{} chunks", chunks.len());
    }

    #[test]
    fn texts_and_what_they_mean() {
        let parse = |text: &str| text.parse::<Chunking>().map_err(|error| error.to_string());
        assert_eq!(parse("auto"), Ok(Chunking::Auto));
        assert_eq!(parse("file"), Ok(Chunking::File));
        assert_eq!(parse("64KiB"), Ok(Chunking::Size(ByteSize::kib(64))));
        assert_eq!(
            parse("lines:1000"),
            Ok(Chunking::Lines(NonZeroU64::new(1000).unwrap()))
        );
        assert_eq!(parse("exact:1MiB"), Ok(Chunking::Exact(ByteSize::mib(1))));
        let wrong = [
            "", "0", "0KiB", "-1", "1x", "lines", "lines:0", "lines:-1", "exact:", "exact:0",
            "rows:3", "Auto",
        ];
        for text in wrong {
            let message = parse(text).unwrap_err();
            assert!(
                message.starts_with(&format!("`{text}` is not a valid chunk size: ")),
                "{message}"
            );
        }
        let lines = "`lines:0` is not a valid chunk size: write a number of lines, at least 1, after `lines:`, like lines:1000";
        assert_eq!(parse("lines:0").unwrap_err(), lines);
        let negative = "`-1` is not a valid chunk size: write auto, file, a size like 64KiB, lines:N or exact:SIZE";
        assert_eq!(parse("-1").unwrap_err(), negative);
    }
}
