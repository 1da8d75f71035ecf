//! What is known of a task while it runs, in memory that outlives the process that runs it: its memory, and what it printed.
//!
//! The worker writes and the parent reads, once the worker has ended. Whatever is there is taken for numbers and bytes, of no
//! more than there is room for.

use crate::shared::{Shared, SharedError, WORD, copy_out};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

// The memory, in bytes:
//
// | from | what |
// |-----:|------|
// |    0 | the most memory that the task has had (u64) |
// |  128 | bytes that it printed to the first stream (u64) |
// |  256 | and to the second |
// |  384 | tasks that have begun (u64) |
// |  512 | bytes that the task has read of an input that flows to it (u64) |
// |  640 | fuel that it has used (u64) |
// | 4096 | for each stream: its first bytes, then its last ones, around and around |

/// The streams of a task.
pub const STREAMS: usize = 2;

/// The first bytes of a stream that are kept, and as many of its last ones.
pub const HALF: usize = 32 << 10;

const HEADER: usize = 4 << 10;
const GROUP: usize = 128 / WORD;
const TOTAL: usize = HEADER + STREAMS * 2 * HALF;

/// One side's view of the memory.
#[derive(Debug)]
pub struct Slate(Shared);

/// The cell that counts tasks.
const BEGUN: usize = 1 + STREAMS;

/// The cell of the bytes that were read, and that of the fuel.
const READ: usize = BEGUN + 1;
const FUEL: usize = BEGUN + 2;

/// What was known of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastWords {
    /// The most memory that it has had, in bytes.
    pub peak_memory: u64,
    /// The bytes that it has read of an input that flows to it.
    pub bytes_read: u64,
    /// The fuel that it has used.
    pub fuel: u64,
    /// What it printed.
    pub streams: [LastOutput; STREAMS],
}

/// The output of a task that did not end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastOutput {
    /// Its first bytes.
    pub head: Vec<u8>,
    /// Its last bytes.
    pub tail: Vec<u8>,
    /// How many bytes were between them.
    pub dropped: u64,
}

impl Slate {
    /// Makes the memory, and the descriptor by which a worker opens it.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn create() -> Result<(Self, OwnedFd), SharedError> {
        let (shared, descriptor) = Shared::create(TOTAL)?;
        Ok((Self(shared), descriptor))
    }

    /// Opens what a parent has made.
    ///
    /// # Errors
    ///
    /// If it is something else, or the system refuses.
    pub fn open(descriptor: impl AsFd) -> Result<Self, SharedError> {
        let shared = Shared::open(descriptor, TOTAL)?;
        let bytes = shared.words().len() * WORD;
        if bytes != TOTAL {
            return Err(SharedError::Size {
                bytes: bytes as u64,
                most: TOTAL,
            });
        }
        Ok(Self(shared))
    }

    /// Begins the next task, of which nothing is known yet.
    #[inline]
    pub fn begin(&self) {
        let begun = self.cell(BEGUN).load(Ordering::Relaxed);
        for place in (0..BEGUN).chain([READ, FUEL]) {
            self.cell(place).store(0, Ordering::Relaxed);
        }
        self.cell(BEGUN)
            .store(begun.wrapping_add(1), Ordering::Release);
    }

    /// The task has so much memory.
    #[inline]
    pub fn set_peak_memory(&self, bytes: u64) {
        self.cell(0).store(bytes, Ordering::Relaxed);
    }

    /// The task has read so many bytes of its input.
    #[inline]
    pub fn set_bytes_read(&self, bytes: u64) {
        self.cell(READ).store(bytes, Ordering::Relaxed);
    }

    /// The task has used so much fuel.
    #[inline]
    pub fn set_fuel(&self, used: u64) {
        self.cell(FUEL).store(used, Ordering::Relaxed);
    }

    /// The task has printed `bytes` to a stream. Only one thread at a time may say so of the same stream.
    ///
    /// # Panics
    ///
    /// If there is no such stream.
    pub fn print(&self, stream: usize, bytes: &[u8]) {
        assert!(stream < STREAMS, "there is no stream {stream}");
        let cell = self.cell(1 + stream);
        let written = cell.load(Ordering::Relaxed);
        let place = usize::try_from(written).unwrap_or(usize::MAX).min(HALF);
        let (head, rest) = bytes.split_at(bytes.len().min(HALF - place));
        self.put(Self::start(stream) + place, head);
        // Of what goes around more than once, the last round counts.
        let skipped = rest.len() - rest.len().min(HALF);
        let before = (written - place as u64).wrapping_add(skipped as u64);
        let at = usize::try_from(before % HALF as u64).unwrap_or_default();
        let rest = &rest[skipped..];
        let (end, start) = rest.split_at(rest.len().min(HALF - at));
        let tail = Self::start(stream) + HALF;
        self.put(tail + at, end);
        self.put(tail, start);
        let written = written.wrapping_add(bytes.len() as u64);
        cell.store(written, Ordering::Release);
    }

    /// What is known of the task that began last, if that is the one with this number, from 1.
    pub fn last_words(&self, task: u64) -> Option<LastWords> {
        if self.cell(BEGUN).load(Ordering::Acquire) != task {
            return None;
        }
        Some(LastWords {
            peak_memory: self.cell(0).load(Ordering::Relaxed),
            bytes_read: self.cell(READ).load(Ordering::Relaxed),
            fuel: self.cell(FUEL).load(Ordering::Relaxed),
            streams: std::array::from_fn(|stream| self.last_output(stream)),
        })
    }

    fn last_output(&self, stream: usize) -> LastOutput {
        let written = self.cell(1 + stream).load(Ordering::Acquire);
        let half = HALF as u64;
        let rest = written.saturating_sub(half);
        let mut tail = self.take(Self::start(stream) + HALF, rest);
        if rest > half {
            tail.rotate_left(usize::try_from(rest % half).unwrap_or_default());
        }
        LastOutput {
            head: self.take(Self::start(stream), written),
            dropped: rest - tail.len() as u64,
            tail,
        }
    }

    /// The first `count` bytes of a half that begins here, or all of it.
    fn take(&self, from: usize, count: u64) -> Vec<u8> {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(HALF);
        let words = &self.0.words()[from / WORD..][..count.div_ceil(WORD)];
        let mut bytes = Vec::new();
        copy_out(words, count, &mut bytes);
        bytes
    }

    fn start(stream: usize) -> usize {
        HEADER + stream * 2 * HALF
    }

    #[inline]
    fn cell(&self, place: usize) -> &AtomicU64 {
        &self.0.words()[place * GROUP]
    }

    /// Writes `bytes` from this place on. The words at both ends keep the rest of what is in them.
    fn put(&self, from: usize, bytes: &[u8]) {
        let words = self.0.words();
        let (mut place, mut left) = (from, bytes);
        while !left.is_empty() {
            let at = place % WORD;
            let (now, later) = left.split_at(left.len().min(WORD - at));
            let word = &words[place / WORD];
            let mut whole = word.load(Ordering::Relaxed).to_le_bytes();
            whole[at..at + now.len()].copy_from_slice(now);
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
            (place, left) = (place + now.len(), later);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stream is to be, from all that was printed.
    fn expected(printed: &[u8]) -> LastOutput {
        let head = &printed[..printed.len().min(HALF)];
        let rest = &printed[head.len()..];
        let tail = &rest[rest.len() - rest.len().min(HALF)..];
        LastOutput {
            head: head.to_vec(),
            tail: tail.to_vec(),
            dropped: (rest.len() - tail.len()) as u64,
        }
    }

    #[test]
    fn the_first_and_the_last_bytes_are_known_however_they_were_printed() {
        let (worker, descriptor) = Slate::create().unwrap();
        let parent = Slate::open(&descriptor).unwrap();
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for task in 1..=200 {
            worker.begin();
            let mut printed: [Vec<u8>; STREAMS] = Default::default();
            for _ in 0..random.usize(0..12) {
                let stream = random.usize(0..STREAMS);
                let most = *random.choice([9, 4_000, 3 * HALF].as_slice()).unwrap();
                let piece: Vec<u8> = (0..random.usize(0..most)).map(|_| random.u8(..)).collect();
                worker.print(stream, &piece);
                printed[stream].extend_from_slice(&piece);
            }
            let peak_memory = random.u64(..);
            worker.set_peak_memory(peak_memory);
            let (mut bytes_read, mut fuel) = (0, 0);
            if random.bool() {
                (bytes_read, fuel) = (random.u64(..), random.u64(..));
                worker.set_bytes_read(bytes_read);
                worker.set_fuel(fuel);
            }
            let streams = printed.map(|printed| expected(&printed));
            let wanted = LastWords {
                peak_memory,
                bytes_read,
                fuel,
                streams,
            };
            assert!(parent.last_words(task) == Some(wanted), "seed {seed}");
            assert_eq!(parent.last_words(task + 1), None);
        }
    }

    #[test]
    fn whatever_a_worker_claims_there_is_no_more_than_there_is_room_for() {
        let (slate, _descriptor) = Slate::create().unwrap();
        for claimed in [u64::MAX, 1 << 40, HALF as u64 + 1] {
            slate.cell(1).store(claimed, Ordering::Relaxed);
            let words = slate.last_words(0).expect("no task has begun");
            let output = words.streams[0].clone();
            let kept = (output.head.len() + output.tail.len()) as u64;
            assert_eq!(kept + output.dropped, claimed);
            assert!(output.tail.len() <= HALF);
            // A worker that goes on with such a number is no worse off.
            slate.print(0, &vec![7; 3 * HALF]);
        }
    }
}
