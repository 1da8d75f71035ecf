//! One chunk of an input: what it is, and how its bytes are read.
//!
//! A chunk is cheap to clone. Chunks of a regular file share one open file, which is closed with
//! the last of them.

use bytes::Bytes;
use rwasm_value::ids::ChunkIndex;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// One of a job's inputs, as its chunks know it.
#[derive(Debug, PartialEq, Eq)]
#[doc(hidden)]
pub struct Source {
    /// Its name in errors.
    #[doc(hidden)]
    pub name: Arc<str>,
    /// Its index among the job's inputs, from 0.
    #[doc(hidden)]
    pub number: usize,
}

/// A chunk of one input.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct Chunk {
    /// Its index among all chunks of the job.
    #[doc(hidden)]
    pub index: ChunkIndex,
    /// The input that it is cut from.
    #[doc(hidden)]
    pub source: Arc<Source>,
    /// Its byte range in that input; up to `u64::MAX` for a stream of unknown length.
    #[doc(hidden)]
    pub range: Range<u64>,
    /// The offset of its first byte over all inputs, in order; streams of unknown length count as
    /// empty.
    #[doc(hidden)]
    pub position: u64,
    /// Where the bytes are.
    #[doc(hidden)]
    pub data: ChunkData,
}

/// Where the bytes of a chunk are.
#[derive(Clone)]
#[doc(hidden)]
pub enum ChunkData {
    /// In a regular file, at the chunk's range.
    File(FileRef),
    /// In memory.
    Bytes(Bytes),
    /// In a stream that has not been read yet and can be taken once.
    Stream(Arc<Mutex<Option<Box<dyn Read + Send>>>>),
}

impl ChunkData {
    /// A stream that can be taken once.
    #[doc(hidden)]
    pub fn stream(reader: Box<dyn Read + Send>) -> Self {
        Self::Stream(Arc::new(Mutex::new(Some(reader))))
    }

    /// The length of its bytes at `range`, if known.
    fn len(&self, range: &Range<u64>) -> Option<u64> {
        match self {
            Self::Stream(_) => None,
            Self::File(_) | Self::Bytes(_) => Some(range.end - range.start),
        }
    }

    /// Fills `buf` with its bytes, which begin at `start` if they are in a file.
    fn read_into(&self, buf: &mut [u8], start: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.hold()?.read_exact_at(buf, start),
            Self::Bytes(bytes) if bytes.len() == buf.len() => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            Self::Bytes(_) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the buffer has a different length",
            )),
            Self::Stream(_) => Err(unknown_length()),
        }
    }

    /// Its bytes at `range`: shared if they are in memory already, otherwise read.
    pub(super) fn bytes(&self, range: &Range<u64>) -> io::Result<Bytes> {
        match (self, self.len(range)) {
            (Self::Bytes(bytes), _) => Ok(bytes.clone()),
            (Self::File(_), Some(len)) => {
                let len = usize::try_from(len)
                    .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
                let mut buf = vec![0; len];
                self.read_into(&mut buf, range.start)?;
                Ok(buf.into())
            }
            (Self::File(_) | Self::Stream(_), _) => Err(unknown_length()),
        }
    }
}

impl fmt::Debug for ChunkData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Bytes(_) => "Bytes",
            Self::Stream(_) => "Stream",
        })
    }
}

impl Chunk {
    /// A chunk that was sent here: the bytes of a private file, from its start.
    #[doc(hidden)]
    pub fn own_file(file: File) -> ChunkData {
        let nowhere = Arc::from(Path::new(""));
        ChunkData::File(FileRef::Open(Arc::new(OpenFile::new(
            file,
            nowhere,
            OpenFiles::default(),
        ))))
    }

    /// Returns its length in bytes, if known.
    #[doc(hidden)]
    #[expect(
        clippy::len_without_is_empty,
        reason = "an empty chunk is a chunk like any other"
    )]
    pub fn len(&self) -> Option<u64> {
        self.data.len(&self.range)
    }

    /// Returns the number of bytes that it keeps in the host's memory.
    #[doc(hidden)]
    pub fn held(&self) -> u64 {
        match &self.data {
            ChunkData::Bytes(bytes) => bytes.len() as u64,
            ChunkData::File(_) | ChunkData::Stream(_) => 0,
        }
    }

    /// Fills `buf`, which has the chunk's length, with its bytes.
    pub(crate) fn read_into(&self, buf: &mut [u8]) -> io::Result<()> {
        debug_assert_eq!(
            self.len(),
            Some(buf.len() as u64),
            "a buffer of the chunk's length"
        );
        self.data.read_into(buf, self.range.start)
    }

    /// Returns its bytes: shared if they are in memory already, otherwise read.
    #[doc(hidden)]
    pub fn bytes(&self) -> io::Result<Bytes> {
        self.data.bytes(&self.range)
    }

    /// Returns a reader of its bytes. A stream can be opened once; the second time is an error.
    #[doc(hidden)]
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        match &self.data {
            ChunkData::File(file) => Ok(Box::new(RangeReader {
                file: file.hold()?,
                rest: self.range.clone(),
            })),
            ChunkData::Bytes(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
            ChunkData::Stream(stream) => stream
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
                .ok_or_else(|| io::Error::other("the stream has already been read")),
        }
    }

    /// Returns a number that chunks of the same open file have in common.
    #[doc(hidden)]
    #[must_use]
    pub fn file_id(&self) -> Option<usize> {
        match &self.data {
            ChunkData::File(FileRef::Open(file)) => Some(Arc::as_ptr(file).addr()),
            _ => None,
        }
    }

    /// Returns the file that its bytes are in, for a process that reads them itself.
    #[doc(hidden)]
    pub fn file(&self) -> Option<io::Result<File>> {
        match &self.data {
            ChunkData::File(file) => Some(file.hold().and_then(|held| held.file.try_clone())),
            ChunkData::Bytes(_) | ChunkData::Stream(_) => None,
        }
    }

    /// Describes the chunk: `davinci.txt, bytes 65536..131072`.
    #[cfg(test)]
    pub(crate) fn describe(&self) -> String {
        let Range { start, end } = self.range;
        match self.len() {
            Some(_) => format!("{}, bytes {start}..{end}", self.source.name),
            None => format!("{}, bytes {start}..", self.source.name),
        }
    }
}

fn unknown_length() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "the chunk is a stream of unknown length",
    )
}

/// A regular file that chunks share.
#[derive(Clone)]
pub enum FileRef {
    /// Open as long as one of its chunks lives.
    Open(Arc<OpenFile>),
    /// Opened for each use, because too many files were open when it was cut.
    Closed(Arc<Path>, Seen),
}

impl FileRef {
    /// Returns the open file.
    pub(crate) fn hold(&self) -> io::Result<Arc<OpenFile>> {
        match self {
            Self::Open(file) => Ok(Arc::clone(file)),
            Self::Closed(path, seen) => Ok(Arc::new(OpenFile::new(
                seen.open(path)?,
                Arc::clone(path),
                OpenFiles::default(),
            ))),
        }
    }
}

/// What a file was when its job began. Not all inputs can be kept open, and a guest may write where they are: what has come
/// in the place of one, such as a link to a file that nobody gave the job, is not read.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct Seen {
    device: u64,
    number: u64,
    /// The kernel makes it when it is read, as those in `/proc`. Such files have no length, and may have another number
    /// each time.
    is_empty: bool,
}

impl Seen {
    pub(super) fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            number: found.ino(),
            is_empty: found.is_file() && found.len() == 0,
        }
    }

    /// Opens it by its name.
    pub(crate) fn open(self, path: &Path) -> io::Result<File> {
        let file = File::open(path)?;
        self.expect(&file.metadata()?)?;
        Ok(file)
    }

    /// Refuses another file.
    pub(super) fn expect(self, found: &Metadata) -> io::Result<()> {
        let now = Self::of(found);
        if now.device == self.device
            && (now.number == self.number || (now.is_empty && self.is_empty))
        {
            return Ok(());
        }
        Err(io::Error::other(
            "it is not the file that was there when the job began",
        ))
    }
}

/// Counts the files that chunks keep open: each [`OpenFile`] holds a clone.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenFiles(Arc<()>);

impl OpenFiles {
    /// Returns the number of clones.
    pub(super) fn taken(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// An open regular file, read by position so that engines can share it.
#[doc(hidden)]
pub struct OpenFile {
    file: File,
    #[cfg_attr(
        unix,
        expect(
            dead_code,
            reason = "only platforms without positional reads open it again"
        )
    )]
    path: Arc<Path>,
    _counted: OpenFiles,
}

impl OpenFile {
    pub(super) fn new(file: File, path: Arc<Path>, open_files: OpenFiles) -> Self {
        Self {
            file,
            path,
            _counted: open_files,
        }
    }

    /// Reads some bytes at `offset`; 0 at the end of the file.
    pub(crate) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(&self.file, buf, offset);
        // The cursor of a file is shared by all its handles, so each read opens its own.
        #[cfg(not(unix))]
        {
            let mut file = File::open(&self.path)?;
            io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
            file.read(buf)
        }
    }

    /// Fills `buf` with the bytes at `offset`; fails if the file has become too short.
    pub(crate) fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset) {
                Ok(0) => return Err(shrunk(offset)),
                Ok(read) => {
                    buf = &mut buf[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn shrunk(offset: u64) -> io::Error {
    let message = format!("the file was truncated at byte {offset} while it was being read");
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

/// Reads a range of a file from start to end.
struct RangeReader {
    file: Arc<OpenFile>,
    rest: Range<u64>,
}

impl Read for RangeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.rest.end - self.rest.start).unwrap_or(usize::MAX);
        let wanted = buf.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buf[..wanted], self.rest.start)?;
        if read == 0 {
            return Err(shrunk(self.rest.start));
        }
        self.rest.start += read as u64;
        Ok(read)
    }
}
