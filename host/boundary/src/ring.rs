//! Messages between a parent and its worker, through two rings in shared memory.
//!
//! Each ring has one writer and one reader, which may be threads of their own. A message is a word
//! with its length and then its bytes, filled up to whole words; one that is longer than the ring
//! passes in pieces. Either process may be hostile to the other: what comes from it is checked, once
//! it is copied where it cannot change, and after the first nonsense nothing more is taken.
//!
//! The parent makes the memory, and the worker opens it:
//!
//! ```
//! use rwasm_boundary::ring::{Duplex, Received, Sizes};
//!
//! # fn main() -> Result<(), rwasm_boundary::ring::RingError> {
//! let sizes = Sizes { to_worker: 1 << 20, to_parent: 1 << 20 };
//! let (mut parent, memory) = Duplex::create(sizes)?;
//! let mut worker = Duplex::open(memory)?;
//! parent.sender.send(&[b"to ", b"you"], None)?;
//! parent.sender.flush();
//! let mut message = Vec::new();
//! assert_eq!(worker.receiver.receive(100, &mut message, None)?, Received::Message);
//! assert_eq!(message, b"to you");
//! # Ok(())
//! # }
//! ```

mod bell;
mod positions;
mod receiver;
mod sender;

#[cfg(test)]
mod tests;

pub use receiver::Receiver;
pub use sender::Sender;

use crate::shared::{Shared, SharedError, WORD};
use bell::{Bell, Wait};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use thiserror::Error;

// The memory, in bytes. What different sides write is 128 bytes apart, since processors fetch cache
// lines in pairs:
//
// | from | what |
// |-----:|------|
// |    0 | ring to the worker: words written (u64; only the parent writes it) |
// |  128 | ring to the worker: words read (u64; only the worker) |
// |  256 | ring to the parent: words written (u64; only the worker) |
// |  384 | ring to the parent: words read (u64; only the parent) |
// |  512 | the parent's bell: its futex word, and the events it sleeps for (u32 each) |
// |  640 | the worker's bell |
// |  768 | bytes of the ring to the worker, and of the one to the parent (u64 each) |
// | 4096 | the ring to the worker, then the ring to the parent |

/// Bytes before the rings: a page, of which less than 1 KiB is used.
const HEADER: usize = 4 << 10;
/// Words from one group to the next, so that no two are in cache lines that are fetched together.
const GROUP: usize = 128 / WORD;
/// The word that counts what is written to the worker; what it has read is a group later.
const TO_WORKER: usize = 0;
/// The same for the parent.
const TO_PARENT: usize = 2 * GROUP;
/// The word whose halves are the parent's bell.
const PARENTS_BELL: usize = 4 * GROUP;
/// The same for the worker.
const WORKERS_BELL: usize = 5 * GROUP;
/// The first of the words with the sizes.
const SIZES: usize = 6 * GROUP;

/// The smallest ring, in bytes.
pub const SMALLEST: usize = 4 << 10;
/// The largest ring, in bytes.
pub const LARGEST: usize = 1 << 30;

/// The reason why a message did not pass.
#[derive(Debug, Error)]
pub enum RingError {
    /// The peer wrote what it must not. Nothing can pass in this direction anymore.
    #[error("the peer has corrupted the memory that is shared with it: {0}")]
    Corrupt(Corrupt),
    /// [`HangUp::hang_up`] was called.
    #[error("waiting for the peer was ended from here")]
    HungUp,
    /// The time is over.
    #[error("the peer has not made room for the message in time")]
    TimedOut,
    /// A message that was begun is not finished.
    #[error("the message before is not finished")]
    Unfinished,
    /// No message can have that length.
    #[error("a message of {length} bytes is longer than 4 GiB")]
    TooLong {
        /// The length of the message.
        length: usize,
    },
    /// A message never fits as a whole, and has to be sent in pieces.
    #[error("a message of {length} bytes does not fit in a ring of {capacity} bytes")]
    LargerThanRing {
        /// The length of the message.
        length: usize,
        /// The size of the ring.
        capacity: usize,
    },
    /// A ring cannot have that size.
    #[error(
        "a ring cannot have {bytes} bytes: wanted is a power of two from {SMALLEST} to {LARGEST}"
    )]
    Size {
        /// The size that was asked for or found.
        bytes: u64,
    },
    /// There is no memory to share.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// The system refused to let us sleep.
    #[error("cannot wait for the peer: {0}")]
    System(io::Error),
}

/// What a peer wrote that no honest one does.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Corrupt {
    /// It has read or written less than before, or more than can be.
    #[error("its position makes no sense")]
    Position,
    /// The word before a message is no length.
    #[error("a message has no length")]
    Header,
    /// A message is longer than allowed.
    #[error("a message claims {length} bytes of at most {limit}")]
    Length {
        /// The length that is claimed.
        length: usize,
        /// The limit that was given.
        limit: usize,
    },
}

/// What became of a message that was not waited for.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it is written.
    Whole,
    /// There is no room for it now. Nothing is written.
    NoRoom,
}

/// What was received.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A whole message.
    Message,
    /// No whole message has come yet, and nothing was changed.
    Nothing,
}

/// What a side waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read.
    Read,
    /// Room for what there was none for, the last time something was written.
    Write,
    /// Whichever comes first.
    Either,
}

/// What there is after a wait; neither if the deadline passed.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// There is something to read.
    pub read: bool,
    /// There is room for what there was none for.
    pub write: bool,
}

/// The sizes of the rings in bytes: powers of two from [`SMALLEST`] to [`LARGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// What the parent writes and the worker reads.
    pub to_worker: usize,
    /// What the worker writes and the parent reads.
    pub to_parent: usize,
}

impl Sizes {
    fn check(self) -> Result<Self, RingError> {
        for bytes in [self.to_worker, self.to_parent] {
            if !bytes.is_power_of_two() || !(SMALLEST..=LARGEST).contains(&bytes) {
                return Err(RingError::Size {
                    bytes: bytes as u64,
                });
            }
        }
        Ok(self)
    }

    fn total(self) -> usize {
        HEADER + self.to_worker + self.to_parent
    }
}

/// Both rings, as one side has them.
#[derive(Debug)]
pub struct Duplex {
    /// What this side writes.
    pub sender: Sender,
    /// What this side reads.
    pub receiver: Receiver,
}

impl Duplex {
    /// Makes the parent's side, and the descriptor from which the worker makes its own.
    ///
    /// # Errors
    ///
    /// If a size is not allowed, or the system gives no memory.
    pub fn create(sizes: Sizes) -> Result<(Self, OwnedFd), RingError> {
        let sizes = sizes.check()?;
        let (shared, descriptor) = Shared::create(sizes.total())?;
        for (word, bytes) in shared.words()[SIZES..]
            .iter()
            .zip([sizes.to_worker, sizes.to_parent])
        {
            word.store(bytes as u64, Ordering::Release);
        }
        Ok((Self::new(shared, sizes, Side::Parent), descriptor))
    }

    /// Makes the worker's side, from the parent's descriptor. Once for each that was created:
    /// positions start at zero.
    ///
    /// # Errors
    ///
    /// If it is not what [`create`](Self::create) has made, or cannot be mapped.
    pub fn open(descriptor: impl AsFd) -> Result<Self, RingError> {
        let shared = Shared::open(descriptor, HEADER + 2 * LARGEST)?;
        let found = (shared.words().len() * WORD) as u64;
        if found < HEADER as u64 {
            return Err(RingError::Size { bytes: found });
        }
        let size = |index: usize| {
            let bytes = shared.words()[SIZES + index].load(Ordering::Acquire);
            usize::try_from(bytes).map_err(|_| RingError::Size { bytes })
        };
        let sizes = Sizes {
            to_worker: size(0)?,
            to_parent: size(1)?,
        }
        .check()?;
        if sizes.total() as u64 != found {
            return Err(RingError::Size { bytes: found });
        }
        Ok(Self::new(shared, sizes, Side::Worker))
    }

    fn new(shared: Shared, sizes: Sizes, side: Side) -> Self {
        let to_worker = End {
            shared: Arc::new(shared),
            side,
            cells: TO_WORKER,
            first: HEADER / WORD,
            words: sizes.to_worker / WORD,
            hung_up: Arc::new(AtomicBool::new(false)),
            corrupt: None,
        };
        let to_parent = End {
            cells: TO_PARENT,
            first: (HEADER + sizes.to_worker) / WORD,
            words: sizes.to_parent / WORD,
            ..to_worker.clone()
        };
        let (written, read) = match side {
            Side::Parent => (to_worker, to_parent),
            Side::Worker => (to_parent, to_worker),
        };
        Self {
            sender: Sender::new(written),
            receiver: Receiver::new(read),
        }
    }

    /// Flushes, gives the peer the room of what was read, and waits until there is something to read
    /// or room to write. So a side that has a message half written and answers to read cannot hang
    /// on a peer that has the same.
    ///
    /// # Errors
    ///
    /// If the peer has corrupted a ring that is waited for, it was hung up, or the system refuses.
    pub fn wait(
        &mut self,
        interest: Interest,
        deadline: Option<Instant>,
    ) -> Result<Ready, RingError> {
        let Self { sender, receiver } = self;
        sender.flush();
        receiver.release();
        let (reads, writes) = match interest {
            Interest::Read => (true, false),
            Interest::Write => (false, true),
            Interest::Either => (true, true),
        };
        let end = sender.end.clone();
        let wait = Wait {
            events: u32::from(reads) * bell::WRITTEN + u32::from(writes) * bell::READ,
            deadline,
            spin: receiver.spin,
            hung_up: &end.hung_up,
        };
        let mut ready = Ready {
            read: false,
            write: false,
        };
        bell::sleep_until(&end.own_bell(), &wait, || {
            ready.read = reads && receiver.is_ready()?;
            ready.write = writes && sender.is_ready()?;
            Ok(ready.read || ready.write)
        })?;
        Ok(ready)
    }

    /// Takes the two apart, for threads of their own.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// What ends the waits of this side from another thread.
    pub fn hang_up_handle(&self) -> HangUp {
        HangUp(self.sender.end.clone())
    }
}

/// Ends the waits of one side, such as when its peer has ended.
#[derive(Clone, Debug)]
pub struct HangUp(End);

impl HangUp {
    /// Lets each wait of this side, now and later, end with [`RingError::HungUp`], unless there is
    /// what it waits for. A hostile peer that still runs can delay it by a second.
    pub fn hang_up(&self) {
        bell::hang_up(&self.0.own_bell(), &self.0.hung_up);
    }
}

/// Whose side of the memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Parent,
    Worker,
}

/// One side's view of one ring: where everything is.
#[derive(Clone, Debug)]
struct End {
    shared: Arc<Shared>,
    side: Side,
    /// The word that counts the words written; the one for those read is a group later.
    cells: usize,
    /// The ring's first word.
    first: usize,
    /// The ring's words: a power of two.
    words: usize,
    hung_up: Arc<AtomicBool>,
    /// What the peer did wrong in this ring.
    corrupt: Option<Corrupt>,
}

impl End {
    /// Refuses everything after the peer did wrong.
    #[inline]
    fn check(&self) -> Result<(), RingError> {
        self.corrupt
            .map_or(Ok(()), |corrupt| Err(RingError::Corrupt(corrupt)))
    }

    /// Remembers what the peer did wrong.
    #[inline]
    fn note<T>(&mut self, result: Result<T, Corrupt>) -> Result<T, RingError> {
        result.map_err(|corrupt| {
            self.corrupt = Some(corrupt);
            RingError::Corrupt(corrupt)
        })
    }

    #[inline]
    fn capacity(&self) -> u64 {
        self.words as u64
    }

    fn bytes(&self) -> usize {
        self.words * WORD
    }

    /// Where the writer says what it has written.
    #[inline]
    fn written_cell(&self) -> &AtomicU64 {
        &self.shared.words()[self.cells]
    }

    /// Where the reader says what it has read.
    #[inline]
    fn read_cell(&self) -> &AtomicU64 {
        &self.shared.words()[self.cells + GROUP]
    }

    /// The `count` words of the ring from `position` on: up to its end, and from its start.
    #[inline]
    fn segments(&self, position: u64, count: usize) -> (&[AtomicU64], &[AtomicU64]) {
        let ring = &self.shared.words()[self.first..self.first + self.words];
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is above is masked anyway"
        )]
        let from = position as usize & (self.words - 1);
        let before = count.min(self.words - from);
        (&ring[from..from + before], &ring[..count - before])
    }

    fn own_bell(&self) -> Bell<'_> {
        self.bell(self.side)
    }

    #[inline]
    fn peers_bell(&self) -> Bell<'_> {
        self.bell(match self.side {
            Side::Parent => Side::Worker,
            Side::Worker => Side::Parent,
        })
    }

    #[inline]
    fn bell(&self, side: Side) -> Bell<'_> {
        let word = match side {
            Side::Parent => PARENTS_BELL,
            Side::Worker => WORKERS_BELL,
        };
        Bell {
            futex: self.shared.half(2 * word),
            bits: self.shared.half(2 * word + 1),
        }
    }
}
