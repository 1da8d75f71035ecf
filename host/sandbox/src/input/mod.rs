//! Where the bytes come from: files, bytes in memory and readers, cut into chunks in input order.
//!
//! Of a regular file, only windows around the borders are read here; its chunks are ranges that
//! engines read themselves. Everything else is a stream, read into memory chunk by chunk. The
//! library never touches stdin: callers pass it as a reader. `Chunks` is owned by its consumer, one
//! thread per job.
//!
//! `reading` is what is done to the bytes before they are cut, `inflate` reads compressed inputs, `watch` notices files
//! that change meanwhile, and `tree` finds the files of directories.

mod chunks;
mod data;
mod inflate;
mod reading;
mod scan;
#[cfg(test)]
mod tests;
mod tree;
mod watch;

#[doc(hidden)]
pub use chunks::{Chunks, Cut, LostInput};
#[doc(hidden)]
pub use data::Source;
#[doc(hidden)]
pub use data::{Chunk, ChunkData, OpenFile};
pub use inflate::Inflated;
pub use reading::{Header, InvalidUtf8, ParseHeaderError, Reading};
pub use tree::{FileTree, ParseGlobError, Pattern, TreeError};
#[doc(hidden)]
pub use watch::{Changes, InputWatch};

use bytes::Bytes;
use rwasm_value::plain;
use rwasm_value::units::ByteSize;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

/// One input of a job.
pub enum Input {
    /// A file. One that is not a regular file (a FIFO, a terminal) is read as a stream.
    Path(PathBuf),
    /// Bytes in memory.
    Bytes {
        /// Its name in errors.
        name: String,
        /// The bytes.
        bytes: Bytes,
    },
    /// A stream, read once from start to end.
    Reader {
        /// Its name in errors.
        name: String,
        /// The source of the bytes.
        reader: Box<dyn Read + Send>,
    },
}

impl Input {
    /// The file at `path`, which is opened when its turn comes.
    #[must_use]
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::Path(path.into())
    }

    /// `bytes`, called `name` in errors.
    #[must_use]
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self::Bytes {
            name: name.into(),
            bytes: bytes.into(),
        }
    }

    /// Everything that `reader` yields, called `name` in errors.
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

/// The reason why an input cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The file does not exist.
    #[error("input `{}` does not exist", plain::path(.path))]
    NotFound {
        /// The path that was given.
        path: PathBuf,
    },
    /// The path is a directory.
    #[error("input `{}` is a directory, not a file", plain::path(.path))]
    Directory {
        /// The path that was given.
        path: PathBuf,
    },
    /// The file cannot be opened.
    #[error("cannot open input `{}`", plain::path(.path))]
    Unreadable {
        /// The path that was given.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Reading failed halfway.
    #[error("cannot read input `{}` at byte {offset}", plain::in_line(.name))]
    Read {
        /// The name of the input.
        name: String,
        /// The byte offset in the input.
        offset: u64,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A compressed input is larger than it may be.
    #[error("input `{}` inflates to more than {limit}", plain::in_line(.name))]
    Inflated {
        /// The name of the input.
        name: String,
        /// The limit.
        limit: ByteSize,
    },
    /// The header of an input is larger than it may be.
    #[error("the header of input `{}` is larger than {limit}", plain::in_line(.name))]
    HeaderTooLarge {
        /// The name of the input.
        name: String,
        /// The limit.
        limit: ByteSize,
    },
    /// A file was changed while the job read it, so that nobody knows what the result is the result of.
    #[error("input `{}` changed while it was read", plain::in_line(.name))]
    Changed {
        /// The name of the input.
        name: String,
    },
    /// A chunk is larger than the input limit of a task.
    #[error(
        "the chunk at byte {offset} of input `{name}` is larger than the input limit of a task, {limit}"
    )]
    ChunkTooLarge {
        /// The name of the input.
        name: String,
        /// The byte offset at which the chunk begins.
        offset: u64,
        /// The limit.
        limit: ByteSize,
    },
}
