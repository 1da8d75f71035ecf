//! The bytes of one input as the cutter sees them: a file through a window, bytes in memory, or a
//! stream as it arrives.
//!
//! A scanner belongs to the chunk iterator, which calls [`Scanner::begin`] before and
//! [`Scanner::take`] after each chunk, in order, and never goes back. The limit on a chunk is
//! enforced here, where it stops reading ahead.

use super::data::{ChunkData, FileRef, OpenFile};
use crate::chunk::{End, Scan};
use bytes::Bytes;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

/// The first window around a border: a page, which contains the next line end of most texts.
const WINDOW_SMALLEST: usize = 4 << 10;

/// The largest window: if borders are close together, one read serves many of them.
const WINDOW_LARGEST: usize = 256 << 10;

/// The least that one read of a stream asks for: the capacity of a pipe on Linux.
const READ_SIZE: usize = 64 << 10;

/// The most memory allocated for a chunk before its bytes have arrived: the largest chunk of the
/// automatic schedule.
const RESERVE_LARGEST: u64 = 4 << 20;

/// Why the next border cannot be found.
#[derive(Debug)]
pub(super) enum ScanError {
    /// The chunk is larger than its limit.
    TooLarge,
    /// The header is.
    HeaderTooLarge,
    /// Reading failed at this offset.
    Read { offset: u64, source: io::Error },
}

/// The bytes of one input.
pub(super) enum Scanner {
    File(FileScan),
    Bytes(BytesScan),
    Stream(StreamScan),
}

impl Scanner {
    /// Begins the next chunk at `start`, of at most `cap` bytes.
    pub(super) fn begin(&mut self, start: u64, cap: u64) {
        let limit = start.saturating_add(cap);
        match self {
            Self::File(scan) => scan.limit = limit,
            Self::Bytes(scan) => scan.limit = limit,
            Self::Stream(scan) => {
                debug_assert_eq!(scan.start, start, "chunks are taken in order");
                scan.limit = limit;
            }
        }
    }

    /// Takes the chunk from `start` to `end`.
    pub(super) fn take(
        &mut self,
        start: u64,
        end: End,
    ) -> Result<(Range<u64>, ChunkData), ScanError> {
        match self {
            Self::File(scan) => {
                let range = within(start, end, scan.len, scan.limit)?;
                Ok((range, ChunkData::File(scan.file.clone())))
            }
            Self::Bytes(scan) => {
                let range = within(start, end, scan.bytes.len() as u64, scan.limit)?;
                let chunk = scan.bytes.slice(index(range.start)..index(range.end));
                Ok((range, ChunkData::Bytes(chunk)))
            }
            Self::Stream(scan) => {
                let len = if end == End::OfInput {
                    scan.read_to_end()?
                } else {
                    u64::MAX
                };
                let range = within(start, end, len, scan.limit)?;
                let chunk = scan.split_to(range.end);
                Ok((range, ChunkData::Bytes(chunk)))
            }
        }
    }
}

impl Scan for Scanner {
    type Error = ScanError;

    fn bytes_at(&mut self, from: u64) -> Result<Option<&[u8]>, ScanError> {
        let bytes = match self {
            Self::File(scan) => return scan.bytes_at(from),
            Self::Bytes(scan) => &scan.bytes[index(from).min(scan.bytes.len())..],
            Self::Stream(scan) => {
                let is_there = scan.fill_past(from)?;
                let from = if is_there {
                    index(from - scan.start)
                } else {
                    scan.bytes().len()
                };
                &scan.bytes()[from..]
            }
        };
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn reaches(&mut self, offset: u64) -> Result<bool, ScanError> {
        match self {
            Self::File(scan) => Ok(offset < scan.len),
            Self::Bytes(scan) => Ok(offset < scan.bytes.len() as u64),
            Self::Stream(scan) => scan.fill_past(offset),
        }
    }
}

/// Returns the range of a chunk of an input of `len` bytes, unless it exceeds `limit`.
fn within(start: u64, end: End, len: u64, limit: u64) -> Result<Range<u64>, ScanError> {
    let end = match end {
        End::At(end) => end,
        End::OfInput => len,
    };
    if end > limit {
        Err(ScanError::TooLarge)
    } else {
        Ok(start..end)
    }
}

/// An offset of bytes in memory.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// A regular file, of which only windows are read.
pub(super) struct FileScan {
    file: FileRef,
    open: Arc<OpenFile>,
    /// The length when it was opened, which is what belongs to the input even if the file grows
    /// later.
    len: u64,
    window: Vec<u8>,
    /// Where in the file the window begins.
    window_start: u64,
    limit: u64,
}

impl FileScan {
    pub(super) fn new(file: FileRef, open: Arc<OpenFile>, len: u64) -> Self {
        Self {
            file,
            open,
            len,
            window: Vec::new(),
            window_start: 0,
            limit: u64::MAX,
        }
    }

    fn bytes_at(&mut self, from: u64) -> Result<Option<&[u8]>, ScanError> {
        if from >= self.len {
            return Ok(None);
        }
        if from >= self.limit {
            return Err(ScanError::TooLarge);
        }
        self.window_at(from).map(Some)
    }

    /// Reads some bytes at `from`, which is within the file.
    fn window_at(&mut self, from: u64) -> Result<&[u8], ScanError> {
        let window_end = self.window_start + self.window.len() as u64;
        if !(self.window_start..window_end).contains(&from) {
            // Going on near the end of the last window, as with small chunks and long lines,
            // justifies larger reads.
            let near = from >= window_end && from - window_end <= self.window.len() as u64;
            let grown = if near { self.window.len() * 2 } else { 0 };
            let left = usize::try_from(self.len - from).unwrap_or(usize::MAX);
            self.window
                .resize(grown.clamp(WINDOW_SMALLEST, WINDOW_LARGEST).min(left), 0);
            self.window_start = from;
            if let Err(source) = self.open.read_exact_at(&mut self.window, from) {
                self.window.clear();
                return Err(ScanError::Read {
                    offset: from,
                    source,
                });
            }
        }
        Ok(&self.window[index(from - self.window_start)..])
    }
}

/// Bytes in memory.
pub(super) struct BytesScan {
    bytes: Bytes,
    limit: u64,
}

impl BytesScan {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            limit: u64::MAX,
        }
    }
}

/// A stream, in memory from the start of the current chunk as far as it has been read.
///
/// The bytes are either all in `ready`, from which chunks are split without copying, or all in `growing`, which is
/// read into. So bytes are moved once, when a chunk that began in `ready` extends beyond what had been read.
pub(super) struct StreamScan {
    reader: Box<dyn Read + Send>,
    /// The offset of the first byte in memory.
    start: u64,
    ready: Bytes,
    growing: Vec<u8>,
    /// How much of `growing` has been read; the rest is zeros to read into.
    filled: usize,
    ended: bool,
    limit: u64,
}

impl StreamScan {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self {
            reader,
            start: 0,
            ready: Bytes::new(),
            growing: Vec::new(),
            filled: 0,
            ended: false,
            limit: u64::MAX,
        }
    }

    fn bytes(&self) -> &[u8] {
        debug_assert!(
            self.ready.is_empty() || self.filled == 0,
            "{} bytes ready and {} growing",
            self.ready.len(),
            self.filled
        );
        if self.filled == 0 {
            &self.ready
        } else {
            &self.growing[..self.filled]
        }
    }

    /// The offset after the last byte in memory.
    fn end(&self) -> u64 {
        self.start + self.bytes().len() as u64
    }

    /// Reads until the byte at `offset` is in memory; false if the stream ends first.
    fn fill_past(&mut self, offset: u64) -> Result<bool, ScanError> {
        while self.end() <= offset {
            if self.end() > self.limit {
                return Err(ScanError::TooLarge);
            }
            if self.ended {
                return Ok(false);
            }
            self.read_more(offset - self.start)?;
        }
        Ok(true)
    }

    /// Reads to the end of the stream, and returns its offset.
    fn read_to_end(&mut self) -> Result<u64, ScanError> {
        self.fill_past(u64::MAX - 1)?;
        Ok(self.end())
    }

    /// Reads once, into memory with room for `ahead` bytes at once unless that is too much.
    fn read_more(&mut self, ahead: u64) -> Result<(), ScanError> {
        if self.filled == 0 {
            let room = self.ready.len() + READ_SIZE + index(ahead.min(RESERVE_LARGEST));
            self.growing = vec![0; room];
            self.growing[..self.ready.len()].copy_from_slice(&self.ready);
            self.filled = self.ready.len();
            self.ready = Bytes::new();
        } else if self.growing.len() - self.filled < READ_SIZE {
            // Grows by half, so that the bytes of a large chunk are moved a constant number of
            // times.
            self.growing
                .resize(self.filled + READ_SIZE.max(self.filled / 2), 0);
        }
        loop {
            match self.reader.read(&mut self.growing[self.filled..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(ScanError::Read {
                        offset: self.start + self.filled as u64,
                        source,
                    });
                }
            }
            return Ok(());
        }
    }

    /// Takes the bytes up to the offset `end`; those after it stay.
    fn split_to(&mut self, end: u64) -> Bytes {
        if self.filled > 0 {
            let mut bytes = std::mem::take(&mut self.growing);
            bytes.truncate(self.filled);
            // Chunks are accounted by their length, so they must not hold much more memory than
            // that.
            if bytes.capacity() - self.filled > self.filled / 4 {
                bytes.shrink_to_fit();
            }
            self.ready = bytes.into();
            self.filled = 0;
        }
        let chunk = self.ready.split_to(index(end - self.start));
        self.start = end;
        chunk
    }
}
