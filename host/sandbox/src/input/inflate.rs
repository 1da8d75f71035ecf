//! Compressed inputs as the bytes that were compressed: gzip, zstd, bzip2 and xz, told by their first bytes.
//!
//! What a file inflates to is bounded, and so is the memory for it. The decoders are written in Rust, because nobody
//! vouches for what they read. Members, frames and streams that follow each other are one input.

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use rwasm_value::units::ByteSize;
use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};

/// How many bytes at the start of an input tell how it is compressed.
const MAGIC: usize = 6;

/// What is read of a compressed input at a time.
const READ_SIZE: usize = 256 << 10;

/// The most memory for the dictionary of an xz stream, in KiB: what `xz -9` needs is half of it.
const XZ_MEMORY_KIB: u32 = 128 << 10;

/// The largest window of a zstd frame: what `zstd` itself takes without `--long`.
const ZSTD_WINDOW: u64 = 128 << 20;

/// How an input is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Compression {
    const ALL: [(Self, &'static [u8]); 5] = [
        (Self::Gzip, b"\x1f\x8b\x08"),
        (Self::Zstd, b"\x28\xb5\x2f\xfd"),
        // A frame to be skipped, as parallel compressors write at the start of each part.
        (Self::Zstd, b"\x50\x2a\x4d\x18"),
        (Self::Bzip2, b"BZh"),
        (Self::Xz, b"\xfd7zXZ\0"),
    ];

    /// Tells how an input is compressed that begins with `head`: [`MAGIC`] bytes, or all there are.
    fn of(head: &[u8]) -> Option<Self> {
        let (found, _) = Self::ALL
            .into_iter()
            .find(|(_, magic)| head.starts_with(magic))?;
        // Text may begin with the letters; the digit is the size of a block.
        if found == Self::Bzip2
            && !matches!(
                head,
                [_, _, _, b'1'..=b'9', 0x31, 0x41] | [_, _, _, b'1'..=b'9', 0x17, 0x72]
            )
        {
            return None;
        }
        Some(found)
    }

    /// Whether an input that begins with `head` may be compressed, as far as that tells.
    fn is_possible(head: &[u8]) -> bool {
        Self::ALL.into_iter().any(|(_, magic)| {
            let known = head.len().min(magic.len());
            head[..known] == magic[..known]
        })
    }

    /// Tells how the bytes are compressed that `read_at` gives from the start of a file.
    pub(super) fn of_file(
        read: impl Fn(&mut [u8]) -> io::Result<()>,
        len: u64,
    ) -> io::Result<Option<Self>> {
        let mut head = [0; MAGIC];
        if len < MAGIC as u64 {
            return Ok(None);
        }
        read(&mut head)?;
        Ok(Self::of(&head))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        })
    }
}

/// An input inflated to more than its limit. It is the inner error of an [`io::Error`].
#[derive(Clone, Copy, Debug)]
pub(super) struct TooInflated(pub(super) ByteSize);

impl fmt::Display for TooInflated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it inflates to more than {}", self.0)
    }
}

impl std::error::Error for TooInflated {}

/// Reads an input, inflated if it is compressed. Whether it is shows with the first read, which waits for no byte more
/// than that takes.
pub struct Inflated {
    state: State,
    left: u64,
    limit: ByteSize,
}

enum State {
    Unknown(Box<dyn Read + Send>),
    Plain(Box<dyn Read + Send>),
    Compressed(Compression, Box<dyn Read + Send>),
}

impl Inflated {
    /// Reads `reader`, and gives an error when more than `limit` bytes have come out of a compressed one.
    pub fn new(reader: Box<dyn Read + Send>, limit: ByteSize) -> Self {
        Self {
            state: State::Unknown(reader),
            left: limit.bytes(),
            limit,
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let State::Unknown(reader) = &mut self.state else {
            return Ok(());
        };
        let mut head = Vec::with_capacity(MAGIC);
        let mut more = [0; MAGIC];
        while head.len() < MAGIC && Compression::is_possible(&head) {
            match reader.read(&mut more[..MAGIC - head.len()]) {
                Ok(0) => break,
                Ok(read) => head.extend_from_slice(&more[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let compression = Compression::of(&head);
        let reader = std::mem::replace(reader, Box::new(io::empty()));
        let whole = Cursor::new(head).chain(reader);
        self.state = match compression {
            None => State::Plain(Box::new(whole)),
            Some(compression) => {
                let buffered = BufReader::with_capacity(READ_SIZE, whole);
                State::Compressed(compression, decoder(compression, buffered))
            }
        };
        Ok(())
    }
}

fn decoder(
    compression: Compression,
    reader: impl BufRead + Send + 'static,
) -> Box<dyn Read + Send> {
    match compression {
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Compression::Zstd => Box::new(Frames::new(reader)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(
            reader,
            true,
            XZ_MEMORY_KIB,
        )),
    }
}

impl Read for Inflated {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.begin()?;
        match &mut self.state {
            State::Unknown(reader) | State::Plain(reader) => reader.read(buf),
            State::Compressed(compression, reader) => {
                let read = reader
                    .read(buf)
                    .map_err(|error| explained(*compression, error))?;
                match self.left.checked_sub(read as u64) {
                    Some(left) => self.left = left,
                    None => return Err(io::Error::other(TooInflated(self.limit))),
                }
                Ok(read)
            }
        }
    }
}

/// An error of a decoder in words that name what is wrong with the file.
fn explained(compression: Compression, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Interrupted => error,
        io::ErrorKind::UnexpectedEof => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the {compression} data is cut off"),
        ),
        // What the system says of the file itself has a number.
        _ if error.raw_os_error().is_some() => error,
        kind => io::Error::new(kind, format!("the {compression} data is damaged: {error}")),
    }
}

/// The frames of a zstd file, one after the other.
struct Frames<R> {
    reader: R,
    decoder: FrameDecoder,
    /// Whether a frame has begun and not ended.
    is_inside: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(reader: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW);
        Self {
            reader,
            decoder,
            is_inside: false,
        }
    }

    /// Begins the next frame; false at the end of the file.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.reader.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.reader) {
                Ok(()) => {
                    self.is_inside = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.reader).take(length.into());
                    if io::copy(&mut skipped, &mut io::sink())? < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(of_frame(&error)),
            }
        }
        Ok(false)
    }

    fn end(&mut self) -> io::Result<()> {
        self.is_inside = false;
        let wanted = self.decoder.get_checksum_from_data();
        if wanted.is_some() && wanted != self.decoder.get_calculated_checksum() {
            return Err(io::Error::other("the checksum does not match"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_inside && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.reader, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|error| of_frame(&error))?;
            }
            let read = self.decoder.read(buf)?;
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            self.end()?;
        }
    }
}

/// An error of a frame, which wraps that of the reader where the data is cut off.
fn of_frame(error: &FrameDecoderError) -> io::Error {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        if let Some(inner) = inner.downcast_ref::<io::Error>()
            && inner.kind() == io::ErrorKind::UnexpectedEof
        {
            return io::ErrorKind::UnexpectedEof.into();
        }
        cause = inner.source();
    }
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
