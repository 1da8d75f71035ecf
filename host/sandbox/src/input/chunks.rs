//! The chunks of a job's inputs, in order.

use super::data::{Chunk, ChunkData, FileRef, OpenFile, OpenFiles, Seen, Source};
use super::scan::{BytesScan, FileScan, ScanError, Scanner, StreamScan};
use super::{Input, InputError};
use crate::chunk::{Chunking, Scan};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub struct Cut {
    /// Where to cut.
    pub chunking: Chunking,
    /// The most bytes of a chunk, which is the most that may be copied into a guest.
    pub max_chunk: u64,
    /// For commands, whose stdin is streamed, and functions that take a stream: `max_chunk` applies to what is held in memory
    /// alone, and with [`Chunking::File`] streams are passed on unread.
    pub is_streamed: bool,
}

impl Cut {
    /// Whether inputs are passed to tasks whole and unread.
    fn hands_on(self) -> bool {
        self.is_streamed && self.chunking == Chunking::File
    }
}

/// An iterator over the chunks of a job's inputs, in input order; it ends after the first error.
#[derive(Debug)]
#[doc(hidden)]
pub struct Chunks {
    inputs: vec::IntoIter<(Input, Option<Seen>)>,
    cut: Cut,
    total: Option<u64>,
    current: Option<Current>,
    inputs_begun: usize,
    next_index: u64,
    position: u64,
    open_files: OpenFiles,
}

/// The input that is being cut.
struct Current {
    source: Arc<Source>,
    bytes: Rest,
    /// Where the next chunk begins.
    start: u64,
    /// Whether it has produced no chunk yet.
    fresh: bool,
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
    /// cannot be read.
    #[doc(hidden)]
    pub fn check(inputs: Vec<Input>, cut: Cut) -> Result<Self, InputError> {
        let mut total = Some(0_u64);
        let mut checked = Vec::with_capacity(inputs.len());
        for input in inputs {
            let (len, seen) = match &input {
                Input::Path(path) => {
                    let (len, seen) = check_path(path)?;
                    (len, Some(seen))
                }
                Input::Bytes { bytes, .. } => (Some(bytes.len() as u64), None),
                Input::Reader { .. } => (None, None),
            };
            checked.push((input, seen));
            total = total.zip(len).map(|(total, len)| total.saturating_add(len));
        }
        Ok(Self {
            inputs: checked.into_iter(),
            cut,
            total,
            current: None,
            inputs_begun: 0,
            next_index: 0,
            position: 0,
            open_files: OpenFiles::default(),
        })
    }

    /// Returns the total bytes of all inputs if each is a regular file or bytes in memory.
    #[doc(hidden)]
    pub fn total_bytes(&self) -> Option<u64> {
        self.total
    }

    /// Opens the next input; `None` after the last.
    fn begin_input(&mut self) -> Result<Option<Current>, InputError> {
        let Some((input, seen)) = self.inputs.next() else {
            return Ok(None);
        };
        let (name, bytes) = match input {
            Input::Path(path) => (path.display().to_string(), self.open(path, seen)?),
            Input::Bytes { name, bytes } => {
                (name, Rest::Scan(Scanner::Bytes(BytesScan::new(bytes))))
            }
            Input::Reader { name, reader } => (name, self.stream(reader)),
        };
        let source = Arc::new(Source {
            name: name.into(),
            number: self.inputs_begun,
        });
        self.inputs_begun += 1;
        Ok(Some(Current {
            source,
            bytes,
            start: 0,
            fresh: true,
        }))
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

    fn stream(&self, reader: Box<dyn io::Read + Send>) -> Rest {
        if self.cut.hands_on() {
            Rest::Whole(ChunkData::stream(reader))
        } else {
            Rest::Scan(Scanner::Stream(StreamScan::new(reader)))
        }
    }

    fn next_chunk(&mut self) -> Result<Option<Chunk>, InputError> {
        loop {
            if self.current.is_none() {
                self.current = self.begin_input()?;
            }
            let Some(current) = &mut self.current else {
                return Ok(None);
            };
            if let Some((range, data)) = current.next_chunk(self.cut)? {
                let index = ChunkIndex(self.next_index);
                let chunk = Chunk {
                    index,
                    source: Arc::clone(&current.source),
                    range,
                    position: self.position,
                    data,
                };
                self.next_index += 1;
                self.position = self.position.saturating_add(chunk.len().unwrap_or(0));
                return Ok(Some(chunk));
            }
            self.current = None;
        }
    }
}

impl Iterator for Chunks {
    type Item = Result<Chunk, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_chunk();
        if next.is_err() {
            self.current = None;
            self.inputs = Vec::new().into_iter();
        }
        next.transpose()
    }
}

impl Current {
    fn next_chunk(&mut self, cut: Cut) -> Result<Option<(Range<u64>, ChunkData)>, InputError> {
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
                let next = self.cut_next(&mut scanner, cut.chunking, cap);
                self.bytes = Rest::Scan(scanner);
                next.map_err(|error| self.error(error, cap))
            }
        }
    }

    fn cut_next(
        &mut self,
        scanner: &mut Scanner,
        chunking: Chunking,
        cap: u64,
    ) -> Result<Option<(Range<u64>, ChunkData)>, ScanError> {
        scanner.begin(self.start, cap);
        let fresh = std::mem::replace(&mut self.fresh, false);
        // An empty input is one empty chunk; nothing follows a chunk that ends with its input.
        if !scanner.reaches(self.start)? && !fresh {
            return Ok(None);
        }
        let end = chunking.next_end(self.start, scanner)?;
        let chunk = scanner.take(self.start, end)?;
        debug_assert!(
            fresh || !chunk.0.is_empty(),
            "an empty chunk at {}",
            self.start
        );
        self.start = chunk.0.end;
        Ok(Some(chunk))
    }

    fn error(&self, error: ScanError, cap: u64) -> InputError {
        let name = self.source.name.to_string();
        match error {
            ScanError::TooLarge => InputError::ChunkTooLarge {
                name,
                offset: self.start,
                limit: ByteSize::new(cap),
            },
            ScanError::Read { offset, source } => InputError::Read {
                name,
                offset,
                source,
            },
        }
    }
}

/// Returns the length of the file at `path`, if it is a regular file, and what it is.
fn check_path(path: &Path) -> Result<(Option<u64>, Seen), InputError> {
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
    let open = || File::open(path)?.metadata();
    let metadata = open().map_err(|error| cannot_open(path, error))?;
    Ok((Some(metadata.len()), Seen::of(&metadata)))
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
