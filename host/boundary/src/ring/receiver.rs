//! The reading side of a ring.

use super::bell::{self, Wait};
use super::positions::Reading;
use super::{Corrupt, End, Received, RingError};
use crate::shared::{WORD, copy_out};
use std::mem;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Reads the messages of the peer, which may be hostile.
#[derive(Debug)]
pub struct Receiver {
    pub(super) end: End,
    positions: Reading,
    /// The length of the message that was begun.
    length: Option<usize>,
    /// How long a wait looks before it sleeps.
    pub(super) spin: Duration,
    /// What has come of it, if it is not read at once.
    pub(super) partial: Vec<u8>,
}

impl Receiver {
    pub(super) fn new(end: End) -> Self {
        Self {
            positions: Reading::new(end.capacity()),
            end,
            length: None,
            spin: Duration::ZERO,
            partial: Vec::new(),
        }
    }

    /// Sets for how long a wait looks for something to read before it sleeps: not at all at first. To wake somebody who
    /// sleeps takes longer than many a message takes to answer, but whoever looks takes a processor's time.
    pub fn set_spin(&mut self, spin: Duration) {
        self.spin = spin;
    }

    /// Reads the next message in place of what is `into`, if all of it is there. What has come of a
    /// longer one is kept until the rest comes.
    ///
    /// # Errors
    ///
    /// If the message is longer than `limit` bytes, or the peer has corrupted the ring. Then nothing
    /// can be read anymore.
    #[inline]
    pub fn try_receive(&mut self, limit: usize, into: &mut Vec<u8>) -> Result<Received, RingError> {
        self.end.check()?;
        // What the peer has written is looked up once, so that it cannot keep us here.
        let mut fresh = false;
        if self.positions.available() == 0 {
            self.look()?;
            fresh = true;
            if self.positions.available() == 0 {
                self.release();
                return Ok(Received::Nothing);
            }
        }
        let length = self.length(limit)?;
        let wanted = (length - self.partial.len()).div_ceil(WORD) as u64;
        if wanted > self.positions.available() && !fresh {
            self.look()?;
        }
        if wanted > self.positions.available() {
            self.take_partial(length);
            return Ok(Received::Nothing);
        }
        into.clear();
        if self.partial.is_empty() {
            self.take(length, into);
        } else {
            self.take_partial(length);
            mem::swap(&mut self.partial, into);
        }
        self.length = None;
        // The writer's wait for room is for a part of the ring at least.
        if self.positions.unreleased() >= self.end.capacity() / 8 {
            self.release();
        }
        Ok(Received::Message)
    }

    /// Reads the next message in place of what is `into`; waits for it, by the deadline at the
    /// latest.
    ///
    /// # Errors
    ///
    /// As [`try_receive`](Self::try_receive), or if it was hung up or the system refuses.
    #[inline]
    pub fn receive(
        &mut self,
        limit: usize,
        into: &mut Vec<u8>,
        deadline: Option<Instant>,
    ) -> Result<Received, RingError> {
        loop {
            if self.try_receive(limit, into)? == Received::Message {
                return Ok(Received::Message);
            }
            // Of a long message something may always be there; the deadline holds nevertheless.
            let over = deadline.is_some_and(|deadline| deadline <= Instant::now());
            if over || !self.wait(deadline)? {
                return Ok(Received::Nothing);
            }
        }
    }

    /// Waits until there is something to read, which may be a part of a message; false if the
    /// deadline passed.
    ///
    /// # Errors
    ///
    /// If the peer has corrupted the ring, it was hung up, or the system refuses.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<bool, RingError> {
        self.release();
        let end = self.end.clone();
        let wait = Wait {
            events: bell::WRITTEN,
            deadline,
            spin: self.spin,
            hung_up: &end.hung_up,
        };
        bell::sleep_until(&end.own_bell(), &wait, || self.is_ready())
    }

    /// Whether there is something to read.
    #[inline]
    pub(super) fn is_ready(&mut self) -> Result<bool, RingError> {
        self.end.check()?;
        if self.positions.available() == 0 {
            self.look()?;
        }
        Ok(self.positions.available() > 0)
    }

    /// Gives the writer the room of what was read, and wakes it if it waits for that.
    pub(super) fn release(&mut self) {
        if self.positions.unreleased() > 0 {
            self.positions.release();
            self.end
                .read_cell()
                .store(self.positions.read(), Ordering::Release);
            bell::ring(&self.end.peers_bell(), bell::READ);
        }
    }

    /// Looks up what the peer has written.
    #[inline]
    fn look(&mut self) -> Result<(), RingError> {
        let written = self.end.written_cell().load(Ordering::Acquire);
        let observed = self.positions.observe(written);
        self.end.note(observed)
    }

    /// The length of the message that is read, which begins with the next word if none is.
    #[inline]
    fn length(&mut self, limit: usize) -> Result<usize, RingError> {
        let length = if let Some(length) = self.length {
            length
        } else {
            let (first, _) = self.end.segments(self.positions.read(), 1);
            let header = first[0].load(Ordering::Relaxed);
            self.positions.advance(1);
            let length = u32::try_from(header)
                .ok()
                .and_then(|length| usize::try_from(length).ok());
            self.end.note(length.ok_or(Corrupt::Header))?
        };
        let checked = if length <= limit {
            Ok(length)
        } else {
            Err(Corrupt::Length { length, limit })
        };
        let length = self.end.note(checked)?;
        self.length = Some(length);
        Ok(length)
    }

    /// Takes what is there of a message of `length` bytes, or its rest.
    #[cold]
    fn take_partial(&mut self, length: usize) {
        let mut partial = mem::take(&mut self.partial);
        let missing = length - partial.len();
        let here = usize::try_from(self.positions.available()).unwrap_or(usize::MAX);
        let count = missing.min(here.saturating_mul(WORD));
        // Grows with what has come, not with what was claimed, and never beyond that.
        let needed = partial.len() + count;
        if partial.capacity() < needed {
            let capacity = partial.len().saturating_mul(2).max(needed).min(length);
            partial.reserve_exact(capacity - partial.len());
        }
        self.take(count, &mut partial);
        self.partial = partial;
        self.release();
    }

    /// Appends `count` bytes, all of which are there, to `into`.
    #[inline]
    fn take(&mut self, count: usize, into: &mut Vec<u8>) {
        let words = count.div_ceil(WORD);
        let (first, second) = self.end.segments(self.positions.read(), words);
        let before = count.min(first.len() * WORD);
        if into.capacity() - into.len() < count {
            into.reserve_exact(count);
        }
        copy_out(first, before, into);
        copy_out(second, count - before, into);
        self.positions.advance(words as u64);
    }
}
