//! Where the bytes come from: files, bytes in memory and readers, cut into chunks in input order.
//!
//! Of a regular file only windows around the borders are read here; its chunks are ranges that engines read for
//! themselves. Everything else is a stream and is read into memory, chunk by chunk. The library never touches stdin:
//! whoever wants it hands it in as a reader. `Chunks` is owned by whoever pulls from it, one thread per job.

mod chunks;
mod data;
mod scan;
#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use chunks::{Chunks, Cut};
#[doc(hidden)]
pub use data::Source;
#[doc(hidden)]
pub use data::{Chunk, ChunkData, OpenFile};

use bytes::Bytes;
use rwasm_value::units::ByteSize;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

/// One input of a job.
pub enum Input {
    /// A file. One that is no regular file (a FIFO, a terminal) is read as a stream.
    Path(PathBuf),
    /// Bytes in memory.
    Bytes {
        /// What errors call it.
        name: String,
        /// The bytes.
        bytes: Bytes,
    },
    /// A stream, read once from start to end.
    Reader {
        /// What errors call it.
        name: String,
        /// Where the bytes come from.
        reader: Box<dyn Read + Send>,
    },
}

impl Input {
    /// The file at `path`, which is opened when its turn comes.
    #[must_use]
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::Path(path.into())
    }

    /// `bytes`, which errors call `name`.
    #[must_use]
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self::Bytes {
            name: name.into(),
            bytes: bytes.into(),
        }
    }

    /// What `reader` gives until its end, which errors call `name`.
    #[must_use]
    pub fn reader(name: impl Into<String>, reader: impl Read + Send + 'static) -> Self {
        Self::Reader {
            name: name.into(),
            reader: Box::new(reader),
        }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Bytes { name, bytes } => f
                .debug_struct("Bytes")
                .field("name", name)
                .field("length", &bytes.len())
                .finish(),
            Self::Reader { name, .. } => f
                .debug_struct("Reader")
                .field("name", name)
                .finish_non_exhaustive(),
        }
    }
}

/// Why an input cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// There is no such file.
    #[error("input `{}` does not exist", .path.display())]
    NotFound {
        /// The file that was named.
        path: PathBuf,
    },
    /// It is a directory.
    #[error("input `{}` is a directory, not a file", .path.display())]
    Directory {
        /// The directory that was named.
        path: PathBuf,
    },
    /// It cannot be opened.
    #[error("cannot open input `{}`", .path.display())]
    Unreadable {
        /// The file that was named.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Reading it failed half-way.
    #[error("cannot read input `{name}` at byte {offset}")]
    Read {
        /// What the input is called.
        name: String,
        /// Where in the input.
        offset: u64,
        /// What the operating system says.
        source: io::Error,
    },
    /// A chunk is larger than a task's input may be.
    #[error(
        "the chunk at byte {offset} of input `{name}` is larger than the input limit of a task, {limit}"
    )]
    ChunkTooLarge {
        /// What the input is called.
        name: String,
        /// Where in the input the chunk begins.
        offset: u64,
        /// The limit.
        limit: ByteSize,
    },
}
