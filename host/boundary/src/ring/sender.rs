//! The writing side of a ring.

use super::bell::{self, Wait};
use super::positions::Writing;
use super::{End, RingError, Sent};
use crate::shared::{WORD, copy_in};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Writes messages for the peer.
///
/// A message can be read as soon as it is written, but a peer that sleeps is woken by [`flush`]
/// only, so that many messages cost one wake. Whatever waits here flushes before.
///
/// [`flush`]: Self::flush
#[derive(Debug)]
pub struct Sender {
    pub(super) end: End,
    positions: Writing,
    /// The bytes that are not a whole word yet, from the lowest up.
    carry: u64,
    /// How many those are: fewer than a word has.
    carried: usize,
    /// Of a message that was begun, the bytes that did not come yet.
    remaining: usize,
    /// The length of a message that was begun and is not written yet.
    header: Option<u32>,
    /// Words for which room was missing.
    lacking: u64,
    /// Something was published of which the peer does not know if it sleeps.
    silent: bool,
}

impl Sender {
    pub(super) fn new(end: End) -> Self {
        Self {
            positions: Writing::new(end.capacity()),
            end,
            carry: 0,
            carried: 0,
            remaining: 0,
            header: None,
            lacking: 0,
            silent: false,
        }
    }

    /// Writes one message, made of `parts`, if there is room for all of it now.
    ///
    /// # Errors
    ///
    /// If it never fits, another message is unfinished, or the peer has corrupted the ring.
    #[inline]
    pub fn try_send(&mut self, parts: &[&[u8]]) -> Result<Sent, RingError> {
        self.end.check()?;
        if !self.is_finished() {
            return Err(RingError::Unfinished);
        }
        let length = total(parts);
        let header = header(length)?;
        let words = 1 + length.div_ceil(WORD) as u64;
        if words > self.positions.capacity() {
            return Err(RingError::LargerThanRing {
                length,
                capacity: self.end.bytes(),
            });
        }
        if self.room(words)? < words {
            self.lacking = words;
            return Ok(Sent::NoRoom);
        }
        self.put(u64::from(header));
        for part in parts {
            self.append(part);
        }
        self.put_carried();
        self.lacking = 0;
        self.publish();
        Ok(Sent::Whole)
    }

    /// Writes one message, made of `parts`, of any length; waits for room where there is none, by
    /// the deadline at the latest.
    ///
    /// Two sides that both wait so for each other wait forever: the one that can tell so should use
    /// [`begin`](Self::begin) and read in between.
    ///
    /// # Errors
    ///
    /// If another message is unfinished, it is too long, the peer has corrupted the ring, or it was
    /// hung up. If the deadline passed, this message may be written in part; then no further one
    /// can be.
    pub fn send(&mut self, parts: &[&[u8]], deadline: Option<Instant>) -> Result<(), RingError> {
        self.begin(total(parts))?;
        // An empty message has no parts to feed, and is one nevertheless.
        for part in parts.iter().copied().chain([&[][..]]) {
            let mut left = part;
            loop {
                left = &left[self.feed(left)?..];
                if left.is_empty() && self.header.is_none() {
                    break;
                }
                if !self.wait(deadline)? {
                    return Err(RingError::TimedOut);
                }
            }
        }
        Ok(())
    }

    /// Begins a message of `length` bytes, which [`feed`](Self::feed) writes. It blocks nothing.
    ///
    /// # Errors
    ///
    /// If another message is unfinished, this one is too long, or the peer has corrupted the ring.
    pub fn begin(&mut self, length: usize) -> Result<(), RingError> {
        self.end.check()?;
        if !self.is_finished() {
            return Err(RingError::Unfinished);
        }
        self.header = Some(header(length)?);
        self.remaining = length;
        Ok(())
    }

    /// Writes as many of the next `bytes` of the message that was begun as there is room for, and
    /// returns how many. Bytes beyond the message's end are not taken. An empty message needs one
    /// call too.
    ///
    /// # Errors
    ///
    /// If the peer has corrupted the ring.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, RingError> {
        self.end.check()?;
        let mut taken = 0;
        loop {
            let step = self.feed_piece(&bytes[taken..])?;
            taken += step;
            if step == 0 || taken == bytes.len() {
                return Ok(taken);
            }
            // The peer copies this piece while we write the next.
            self.flush();
        }
    }

    /// Whether every message that was begun is written.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.remaining == 0 && self.header.is_none()
    }

    /// Wakes the peer if it sleeps until something is written.
    #[inline]
    pub fn flush(&mut self) {
        if self.silent {
            self.silent = false;
            bell::ring(&self.end.peers_bell(), bell::WRITTEN);
        }
    }

    /// Flushes, and waits until there is room for what there was none last time; false if the
    /// deadline passed.
    ///
    /// # Errors
    ///
    /// If the peer has corrupted the ring, it was hung up, or the system refuses.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<bool, RingError> {
        self.flush();
        let end = self.end.clone();
        let wait = Wait {
            events: bell::READ,
            deadline,
            spin: Duration::ZERO,
            hung_up: &end.hung_up,
        };
        bell::sleep_until(&end.own_bell(), &wait, || self.is_ready())
    }

    /// Whether there is room for what there was none last time.
    pub(super) fn is_ready(&mut self) -> Result<bool, RingError> {
        self.end.check()?;
        let lacking = self.lacking.max(1);
        Ok(self.room(lacking)? >= lacking)
    }

    /// Words that are free, which are looked up if those known of are fewer than `wanted`.
    #[inline]
    fn room(&mut self, wanted: u64) -> Result<u64, RingError> {
        if self.positions.free() < wanted {
            let read = self.end.read_cell().load(Ordering::Acquire);
            let observed = self.positions.observe(read);
            self.end.note(observed)?;
        }
        Ok(self.positions.free())
    }

    /// Writes the start of `bytes`: what there is room for, and not more than a piece.
    fn feed_piece(&mut self, bytes: &[u8]) -> Result<usize, RingError> {
        let piece = self.piece();
        let bytes = &bytes[..bytes.len().min(self.remaining).min(piece * WORD)];
        let needed =
            u64::from(self.header.is_some()) + (self.carried + bytes.len()).div_ceil(WORD) as u64;
        if needed == 0 {
            return Ok(0);
        }
        let mut free = self.room(needed)?;
        // A reader that is awake frees a piece at once; for less it is not worth to wake us.
        self.lacking = if free < needed {
            needed.min(piece as u64)
        } else {
            0
        };
        if free == 0 {
            return Ok(0);
        }
        if let Some(header) = self.header.take() {
            self.put(u64::from(header));
            free -= 1;
        }
        // Rounded down, so that what is carried fits even if the message ends here.
        let fits = usize::try_from(free).map_or(usize::MAX, |free| free * WORD);
        let bytes = &bytes[..bytes.len().min(fits.saturating_sub(self.carried))];
        self.append(bytes);
        self.remaining -= bytes.len();
        if self.remaining == 0 && fits >= self.carried {
            self.put_carried();
        }
        self.publish();
        Ok(bytes.len())
    }

    /// The words that are written before the peer is told of them: a part of the ring, so that both
    /// sides copy at the same time, and not so few that telling takes longer than copying.
    fn piece(&self) -> usize {
        const MOST: u64 = 8 << 10;
        usize::try_from((self.positions.capacity() / 4).min(MOST)).unwrap_or(1)
    }

    /// Writes one word, for which there is room.
    #[inline]
    fn put(&mut self, word: u64) {
        let (first, _) = self.end.segments(self.positions.written(), 1);
        first[0].store(word, Ordering::Relaxed);
        self.positions.advance(1);
    }

    /// Writes `bytes` after those that came before, for which there is room; what is not a whole
    /// word is carried.
    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        if self.carried == 0 {
            let (whole, rest) = bytes.as_chunks::<WORD>();
            let (first, second) = self.end.segments(self.positions.written(), whole.len());
            let (before, after) = whole.split_at(first.len());
            copy_in(first, before.as_flattened());
            copy_in(second, after.as_flattened());
            self.positions.advance(whole.len() as u64);
            self.carry(rest);
        } else {
            self.append_shifted(bytes);
        }
    }

    /// As [`append`](Self::append), if there is something carried, which moves all bytes up.
    fn append_shifted(&mut self, bytes: &[u8]) {
        let bits = 8 * self.carried;
        let (whole, rest) = bytes.as_chunks::<WORD>();
        let mut carry = self.carry;
        let (first, second) = self.end.segments(self.positions.written(), whole.len());
        for (word, bytes) in first.iter().chain(second).zip(whole) {
            let next = u64::from_le_bytes(*bytes);
            word.store(carry | next << bits, Ordering::Relaxed);
            carry = next >> (64 - bits);
        }
        self.positions.advance(whole.len() as u64);
        self.carry = carry;
        let room = WORD - self.carried;
        if rest.len() < room {
            self.carry(rest);
        } else {
            let (now, later) = rest.split_at(room);
            self.carry(now);
            self.put_carried();
            self.carry(later);
        }
    }

    /// Adds `bytes` to those that are carried, in whose word they fit.
    #[inline]
    fn carry(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.carry |= u64::from(byte) << (8 * self.carried);
            self.carried += 1;
        }
    }

    /// Writes the word of what is carried, if that is anything.
    #[inline]
    fn put_carried(&mut self) {
        if self.carried > 0 {
            let word = self.carry;
            self.carry = 0;
            self.carried = 0;
            self.put(word);
        }
    }

    /// Lets the peer see all that was written.
    #[inline]
    fn publish(&mut self) {
        self.end
            .written_cell()
            .store(self.positions.written(), Ordering::Release);
        self.silent = true;
    }
}

fn total(parts: &[&[u8]]) -> usize {
    // Slices that exist may overlap, but not so often that their lengths overflow.
    parts
        .iter()
        .fold(0, |sum, part| sum.saturating_add(part.len()))
}

fn header(length: usize) -> Result<u32, RingError> {
    u32::try_from(length).map_err(|_| RingError::TooLong { length })
}
