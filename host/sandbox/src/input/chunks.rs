//! The chunks of a job's inputs, in order.

use super::data::{Chunk, ChunkData, FileRef, OpenFile, OpenFiles, Seen, Source};
use super::inflate::{Compression, Inflated, TooInflated};
use super::reading::{HEADER_SIZE, Header, InvalidUtf8, Reading, joined};
use super::scan::{BytesScan, FileScan, ScanError, Scanner, StreamScan};
use super::watch::InputWatch;
use super::{Input, InputError};
use crate::chunk::{Chunking, End, Records, Scan, line_end};
use bytes::Bytes;
use rwasm_value::ids::ChunkIndex;
use rwasm_value::units::ByteSize;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

/// The most files that chunks keep open at a time. A job may have 10 000 inputs and many more
/// chunks waiting, while a process can commonly open 256 files (macOS) or 1024 (Linux), some of
/// which the engines need.
const OPEN_FILES: usize = 64;

/// How a job's inputs are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub struct Cut {
    /// Where to cut.
    pub chunking: Chunking,
    /// The most bytes of a chunk, which is the most that may be copied into a guest.
    pub max_chunk: u64,
    /// For commands, whose stdin is streamed, and functions that take a stream: `max_chunk` applies to what is held in memory
    /// alone, and with [`Chunking::File`] streams are passed on unread.
    pub is_streamed: bool,
    /// How the bytes are read before.
    pub reading: Reading,
    /// The most bytes that a compressed input may inflate to.
    pub max_inflated: ByteSize,
    /// Whether the chunks go on with the next input after one that cannot be read.
    pub goes_on: bool,
}

impl Cut {
    /// Whether inputs are passed to tasks whole and unread.
    fn hands_on(&self) -> bool {
        self.is_streamed && self.chunking == Chunking::File
    }
}

/// An iterator over the chunks of a job's inputs, in input order; it ends after the first error, unless it goes on.
#[derive(Debug)]
#[doc(hidden)]
pub struct Chunks {
    inputs: vec::IntoIter<Checked>,
    cut: Cut,
    total: Option<u64>,
    current: Option<Current>,
    inputs_begun: usize,
    next_index: u64,
    /// Where the current input begins in all of the input.
    base: u64,
    open_files: OpenFiles,
    watch: InputWatch,
}

/// An input that was looked at before anything ran.
#[derive(Debug)]
struct Checked {
    input: Input,
    seen: Result<Option<Seen>, InputError>,
}

/// What is in the place of a chunk where an input cannot be read.
#[derive(Debug)]
#[doc(hidden)]
pub struct LostInput {
    /// The index that a chunk would have there.
    pub index: ChunkIndex,
    /// The input.
    pub source: Arc<Source>,
    /// How many bytes of it had been read.
    pub offset: u64,
    /// Where that is in all of the input.
    pub position: u64,
    /// Why it cannot be read.
    pub error: InputError,
}

impl From<LostInput> for InputError {
    fn from(lost: LostInput) -> Self {
        lost.error
    }
}

/// The input that is being cut.
struct Current {
    source: Arc<Source>,
    bytes: Rest,
    /// Where the next chunk begins.
    start: u64,
    /// Whether it has produced no chunk yet.
    fresh: bool,
    /// What stands at the head of each of its chunks.
    header: Option<Bytes>,
}

/// The rest of the current input.
enum Rest {
    /// Bytes to be cut.
    Scan(Scanner),
    /// A stream to be passed on unread.
    Whole(ChunkData),
    /// Nothing.
    Nothing,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current")
            .field("source", &self.source)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

impl Chunks {
    /// Checks all inputs before anything runs, and returns the iterator over their chunks.
    ///
    /// # Errors
    ///
    /// Returns an error for the first input, in order, that does not exist, is a directory, or
    /// cannot be read; unless the chunks go on without it.
    #[doc(hidden)]
    pub fn check(inputs: Vec<Input>, cut: Cut) -> Result<Self, InputError> {
        let mut total = Some(0_u64);
        let mut checked = Vec::with_capacity(inputs.len());
        for input in inputs {
            let (len, seen) = match &input {
                Input::Path(path) => match check_path(path, &cut) {
                    Ok((len, seen)) => (len, Ok(Some(seen))),
                    Err(error) if cut.goes_on => (Some(0), Err(error)),
                    Err(error) => return Err(error),
                },
                Input::Bytes { .. } if cut.reading.inflate => (None, Ok(None)),
                Input::Bytes { bytes, .. } => (Some(bytes.len() as u64), Ok(None)),
                Input::Reader { .. } => (None, Ok(None)),
            };
            checked.push(Checked { input, seen });
            total = total.zip(len).map(|(total, len)| total.saturating_add(len));
        }
        Ok(Self {
            inputs: checked.into_iter(),
            cut,
            total,
            current: None,
            inputs_begun: 0,
            next_index: 0,
            base: 0,
            open_files: OpenFiles::default(),
            watch: InputWatch::default(),
        })
    }

    /// Returns the total bytes of all inputs if each is a regular file or bytes in memory, and not compressed.
    #[doc(hidden)]
    pub fn total_bytes(&self) -> Option<u64> {
        self.total
    }

    /// Returns what is noticed of the inputs while they are read.
    #[doc(hidden)]
    pub fn watch(&self) -> InputWatch {
        self.watch.clone()
    }

    /// Whether it goes on after an input that cannot be read.
    #[doc(hidden)]
    pub fn goes_on(&self) -> bool {
        self.cut.goes_on
    }

    /// Opens the next input; `None` after the last.
    fn begin_input(&mut self) -> Result<Option<Current>, LostInput> {
        let Some(Checked { input, seen }) = self.inputs.next() else {
            return Ok(None);
        };
        let name = match &input {
            Input::Path(path) => path.display().to_string(),
            Input::Bytes { name, .. } | Input::Reader { name, .. } => name.clone(),
        };
        let source = Arc::new(Source {
            name: name.into(),
            number: self.inputs_begun,
        });
        self.inputs_begun += 1;
        let bytes = seen.and_then(|seen| match input {
            Input::Path(path) => self.open(path, seen),
            Input::Bytes { bytes, .. } if self.cut.reading.inflate => Ok(self.in_memory(bytes)),
            Input::Bytes { bytes, .. } => Ok(Rest::Scan(Scanner::Bytes(BytesScan::new(bytes)))),
            Input::Reader { reader, .. } => Ok(self.stream(reader)),
        });
        match bytes {
            Ok(bytes) => Ok(Some(Current {
                source,
                bytes,
                start: 0,
                fresh: true,
                header: None,
            })),
            Err(error) => Err(self.lost(source, 0, error)),
        }
    }

    fn lost(&mut self, source: Arc<Source>, offset: u64, error: InputError) -> LostInput {
        let index = ChunkIndex(self.next_index);
        self.next_index += 1;
        LostInput {
            index,
            source,
            offset,
            position: self.base,
            error,
        }
    }

    fn open(&self, path: PathBuf, seen: Option<Seen>) -> Result<Rest, InputError> {
        let opened = || -> io::Result<(Seen, Option<(File, Metadata)>)> {
            let found = std::fs::metadata(&path)?;
            let seen = seen.unwrap_or_else(|| Seen::of(&found));
            seen.expect(&found)?;
            // Opening a pipe blocks until it has a writer, so it is deferred to where it can be
            // interrupted.
            if !found.is_file() && !found.is_dir() {
                return Ok((seen, None));
            }
            let file = seen.open(&path)?;
            let metadata = file.metadata()?;
            Ok((seen, Some((file, metadata))))
        };
        let (seen, opened) = opened().map_err(|error| cannot_open(&path, error))?;
        let Some((file, metadata)) = opened else {
            return Ok(self.stream(Box::new(OpenedLater::Closed(path, seen))));
        };
        // Files that the kernel generates when read, such as those in /proc, appear as regular
        // files of length 0.
        if !metadata.is_file() || metadata.len() == 0 {
            return Ok(self.stream(Box::new(file)));
        }
        let path: Arc<Path> = path.into();
        self.watch.file(&path, &metadata);
        let compression = self.compression(&file, metadata.len());
        if compression
            .map_err(|error| cannot_open(&path, error))?
            .is_some()
        {
            return Ok(self.stream(Box::new(file)));
        }
        let closed = self.open_files.taken() >= OPEN_FILES;
        let open = Arc::new(OpenFile::new(
            file,
            Arc::clone(&path),
            self.open_files.clone(),
        ));
        let file = if closed {
            FileRef::Closed(path, seen)
        } else {
            FileRef::Open(Arc::clone(&open))
        };
        Ok(Rest::Scan(Scanner::File(FileScan::new(
            file,
            open,
            metadata.len(),
        ))))
    }

    fn compression(&self, file: &File, len: u64) -> io::Result<Option<Compression>> {
        if self.cut.reading.inflate {
            compression(file, len)
        } else {
            Ok(None)
        }
    }

    fn in_memory(&self, bytes: Bytes) -> Rest {
        let head = |buf: &mut [u8]| {
            buf.copy_from_slice(&bytes[..buf.len()]);
            Ok(())
        };
        // Copying from memory does not fail.
        match Compression::of_file(head, bytes.len() as u64) {
            Ok(Some(_)) => self.stream(Box::new(io::Cursor::new(bytes))),
            _ => Rest::Scan(Scanner::Bytes(BytesScan::new(bytes))),
        }
    }

    fn stream(&self, mut reader: Box<dyn io::Read + Send>) -> Rest {
        if self.cut.reading.inflate {
            reader = Box::new(Inflated::new(reader, self.cut.max_inflated));
        }
        if !self.cut.hands_on() {
            return Rest::Scan(Scanner::Stream(StreamScan::new(reader)));
        }
        if let Header::Drop(lines) = self.cut.reading.header {
            reader = Box::new(WithoutLines {
                reader: io::BufReader::new(reader),
                left: lines,
            });
        }
        Rest::Whole(ChunkData::stream(reader))
    }

    fn next_chunk(&mut self) -> Result<Option<Chunk>, LostInput> {
        loop {
            if self.current.is_none() {
                self.current = self.begin_input()?;
            }
            let Some(current) = &mut self.current else {
                return Ok(None);
            };
            let begin = current.start;
            let cut = current.next_chunk(&self.cut);
            let cut = cut.and_then(|cut| match cut {
                Some((range, data)) => current
                    .cleaned(range, data, &self.cut, &self.watch)
                    .map(Some),
                None => Ok(None),
            });
            match cut {
                Ok(Some((range, data))) => {
                    let index = ChunkIndex(self.next_index);
                    self.next_index += 1;
                    return Ok(Some(Chunk {
                        index,
                        source: Arc::clone(&current.source),
                        range,
                        position: self.base.saturating_add(begin),
                        data,
                    }));
                }
                Ok(None) => self.base = self.base.saturating_add(begin),
                Err(error) => {
                    self.base = self.base.saturating_add(begin);
                    let source = Arc::clone(&current.source);
                    self.current = None;
                    return Err(self.lost(source, begin, error));
                }
            }
            self.current = None;
        }
    }
}

impl Iterator for Chunks {
    type Item = Result<Chunk, LostInput>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_chunk();
        if next.is_err() && !self.cut.goes_on {
            self.current = None;
            self.inputs = Vec::new().into_iter();
        }
        next.transpose()
    }
}

impl Current {
    fn next_chunk(&mut self, cut: &Cut) -> Result<Option<(Range<u64>, ChunkData)>, InputError> {
        match std::mem::replace(&mut self.bytes, Rest::Nothing) {
            Rest::Nothing => Ok(None),
            Rest::Whole(stream) => Ok(Some((0..u64::MAX, stream))),
            Rest::Scan(mut scanner) => {
                let is_held = matches!(scanner, Scanner::Stream(_));
                let cap = if cut.hands_on() || cut.is_streamed && !is_held {
                    u64::MAX
                } else {
                    cut.max_chunk
                };
                let next = self.cut_next(&mut scanner, cut, cap);
                self.bytes = Rest::Scan(scanner);
                next.map_err(|error| self.error(error, cap))
            }
        }
    }

    fn cut_next(
        &mut self,
        scanner: &mut Scanner,
        cut: &Cut,
        cap: u64,
    ) -> Result<Option<(Range<u64>, ChunkData)>, ScanError> {
        let fresh = std::mem::replace(&mut self.fresh, false);
        if fresh {
            self.take_header(scanner, &cut.reading)?;
        }
        let header = self.header.as_ref().map_or(0, |header| header.len() as u64);
        scanner.begin(self.start, cap.saturating_sub(header));
        // An empty input is one empty chunk; nothing follows a chunk that ends with its input.
        if !scanner.reaches(self.start)? {
            return Ok(fresh.then(|| {
                let header = self.header.clone().unwrap_or_default();
                (0..header.len() as u64, ChunkData::Bytes(header))
            }));
        }
        let end = cut
            .chunking
            .next_end(&cut.reading.records, self.start, scanner)?;
        let (range, data) = scanner.take(self.start, end)?;
        debug_assert!(!range.is_empty(), "an empty chunk at {}", self.start);
        self.start = range.end;
        let Some(header) = &self.header else {
            return Ok(Some((range, data)));
        };
        // In a file, the first chunk follows its header.
        if fresh && matches!(data, ChunkData::File(_)) {
            return Ok(Some((0..range.end, data)));
        }
        let rest = data.bytes(&range).map_err(|source| ScanError::Read {
            offset: range.start,
            source,
        })?;
        let bytes = joined(header, &rest);
        let start = if fresh { 0 } else { range.start };
        Ok(Some((
            start..start + bytes.len() as u64,
            ChunkData::Bytes(bytes),
        )))
    }

    /// Takes the header off the head of the input.
    fn take_header(&mut self, scanner: &mut Scanner, reading: &Reading) -> Result<(), ScanError> {
        let lines = reading.header.lines();
        if lines == 0 {
            return Ok(());
        }
        scanner.begin(0, HEADER_SIZE.bytes());
        let ended = match reading.records {
            Records::Csv => reading.records.end(scanner, 0, 0, lines.into()),
            _ => line_end(scanner, 0, lines.into()),
        };
        let taken = ended.and_then(|end| {
            let (range, data) = scanner.take(0, end.map_or(End::OfInput, End::At))?;
            let bytes = match reading.header {
                Header::Repeat(_) => data
                    .bytes(&range)
                    .map_err(|source| ScanError::Read { offset: 0, source })?,
                Header::Drop(_) | Header::None => Bytes::new(),
            };
            Ok((range.end, bytes))
        });
        let (end, bytes) = taken.map_err(|error| match error {
            ScanError::TooLarge => ScanError::HeaderTooLarge,
            other => other,
        })?;
        self.start = end;
        if let Header::Repeat(_) = reading.header {
            self.header = Some(bytes);
        }
        Ok(())
    }

    /// The chunk without bytes that are not UTF-8, if that is wanted. One without any stays where it is.
    fn cleaned(
        &self,
        range: Range<u64>,
        data: ChunkData,
        cut: &Cut,
        watch: &InputWatch,
    ) -> Result<(Range<u64>, ChunkData), InputError> {
        let way = cut.reading.invalid_utf8;
        if way == InvalidUtf8::Fail || matches!(data, ChunkData::Stream(_)) {
            return Ok((range, data));
        }
        let bytes = data.bytes(&range).map_err(|source| {
            let offset = range.start;
            self.error(ScanError::Read { offset, source }, cut.max_chunk)
        })?;
        let Some((text, count)) = way.applied(&bytes) else {
            return Ok((range, data));
        };
        watch.not_utf8(count);
        let len = text.len() as u64;
        if len > cut.max_chunk {
            return Err(self.error(ScanError::TooLarge, cut.max_chunk));
        }
        Ok((range.start..range.start + len, ChunkData::Bytes(text)))
    }

    fn error(&self, error: ScanError, cap: u64) -> InputError {
        let name = self.source.name.to_string();
        match error {
            ScanError::TooLarge => InputError::ChunkTooLarge {
                name,
                offset: self.start,
                limit: ByteSize::new(cap),
            },
            ScanError::HeaderTooLarge => InputError::HeaderTooLarge {
                name,
                limit: HEADER_SIZE,
            },
            ScanError::Read { offset, source } => {
                let inner = source.get_ref();
                match inner.and_then(|inner| inner.downcast_ref::<TooInflated>()) {
                    Some(TooInflated(limit)) => InputError::Inflated {
                        name,
                        limit: *limit,
                    },
                    None => InputError::Read {
                        name,
                        offset,
                        source,
                    },
                }
            }
        }
    }
}

/// Tells how the bytes of a file are compressed.
fn compression(file: &File, len: u64) -> io::Result<Option<Compression>> {
    use std::os::unix::fs::FileExt as _;
    Compression::of_file(|head| file.read_exact_at(head, 0), len)
}

/// Returns the length of the file at `path`, if it is a regular file that is not compressed, and what it is.
fn check_path(path: &Path, cut: &Cut) -> Result<(Option<u64>, Seen), InputError> {
    let metadata = path.metadata().map_err(|error| cannot_open(path, error))?;
    if metadata.is_dir() {
        return Err(InputError::Directory {
            path: path.to_owned(),
        });
    }
    if !metadata.is_file() {
        // Opening a FIFO blocks until it has a writer, and closing it again would break that
        // writer's pipe.
        return Ok((None, Seen::of(&metadata)));
    }
    let open = || {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let len = metadata.len();
        let is_compressed = cut.reading.inflate && compression(&file, len)?.is_some();
        Ok(((!is_compressed).then_some(len), Seen::of(&metadata)))
    };
    open().map_err(|error| cannot_open(path, error))
}

fn cannot_open(path: &Path, source: io::Error) -> InputError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => InputError::NotFound { path },
        io::ErrorKind::IsADirectory => InputError::Directory { path },
        _ => InputError::Unreadable { path, source },
    }
}

/// A file that is opened when it is first read.
enum OpenedLater {
    Closed(PathBuf, Seen),
    Open(File),
}

impl io::Read for OpenedLater {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Self::Closed(path, seen) = self {
            *self = Self::Open(seen.open(path)?);
        }
        match self {
            Self::Open(file) => file.read(buf),
            Self::Closed(..) => Ok(0),
        }
    }
}

/// A stream without its first lines, which are read past with the first read.
struct WithoutLines<R> {
    reader: io::BufReader<R>,
    left: u32,
}

impl<R: io::Read> io::Read for WithoutLines<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.left > 0 {
            if io::BufRead::skip_until(&mut self.reader, b'\n')? == 0 {
                return Ok(0);
            }
            self.left -= 1;
        }
        self.reader.read(buf)
    }
}
