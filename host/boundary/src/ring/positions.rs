//! Where the writer and the reader of a ring stand: running counts of words that never wrap.
//!
//! Each side trusts its own count, kept privately. The other's comes from memory that a hostile
//! process writes, so it is looked at once and must make sense before anything follows from it.

use super::Corrupt;

/// What the writing side knows.
#[derive(Debug)]
pub(super) struct Writing {
    capacity: u64,
    written: u64,
    /// What the reader is known to have read; never more than `written`.
    read: u64,
}

/// What the reading side knows.
#[derive(Debug)]
pub(super) struct Reading {
    capacity: u64,
    read: u64,
    /// How much of what was read the writer was told of, and may write over; never more than `read`.
    released: u64,
    /// What the writer is known to have written; never less than `read`, nor more than `capacity`
    /// above `released`.
    written: u64,
}

impl Writing {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            written: 0,
            read: 0,
        }
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Words for which there is room.
    #[inline]
    pub(super) fn free(&self) -> u64 {
        self.capacity - (self.written - self.read)
    }

    /// Takes over what the reader says that it has read. All that was written must have been
    /// published.
    #[inline]
    pub(super) fn observe(&mut self, read: u64) -> Result<(), Corrupt> {
        if read < self.read || read > self.written {
            return Err(Corrupt::Position);
        }
        self.read = read;
        Ok(())
    }

    /// `words` more are written.
    #[inline]
    pub(super) fn advance(&mut self, words: u64) {
        debug_assert!(words <= self.free(), "{words} words in {self:?}");
        self.written += words;
    }
}

impl Reading {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            read: 0,
            released: 0,
            written: 0,
        }
    }

    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Words that are known to be there.
    #[inline]
    pub(super) fn available(&self) -> u64 {
        self.written - self.read
    }

    /// Takes over what the writer says that it has written.
    #[inline]
    pub(super) fn observe(&mut self, written: u64) -> Result<(), Corrupt> {
        if written < self.written || written - self.released > self.capacity {
            return Err(Corrupt::Position);
        }
        self.written = written;
        Ok(())
    }

    /// `words` more are read.
    #[inline]
    pub(super) fn advance(&mut self, words: u64) {
        debug_assert!(words <= self.available(), "{words} words in {self:?}");
        self.read += words;
    }

    /// Words that were read, of which the writer does not know.
    #[inline]
    pub(super) fn unreleased(&self) -> u64 {
        self.read - self.released
    }

    /// The writer is about to know of all that was read.
    #[inline]
    pub(super) fn release(&mut self) {
        self.released = self.read;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree_with_a_queue() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut writing, mut reading) = (Writing::new(64), Reading::new(64));
        let (mut queued, mut read) = (0, 0);
        for _ in 0..20_000 {
            match random.u8(0..4) {
                0 => {
                    let words = random.u64(0..=writing.free());
                    writing.advance(words);
                    queued += words;
                }
                1 => reading.observe(writing.written()).unwrap(),
                2 => {
                    let words = random.u64(0..=reading.available());
                    reading.advance(words);
                    queued -= words;
                    read += words;
                }
                _ => {
                    reading.release();
                    writing.observe(reading.read()).unwrap();
                    assert_eq!(writing.free(), 64 - queued);
                }
            }
            assert!(reading.available() <= queued && queued <= 64);
            assert!(writing.free() <= 64 - queued);
            assert_eq!(read + queued, writing.written());
        }
    }

    #[test]
    fn only_what_can_be_is_taken_over() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut writing, mut reading) = (Writing::new(64), Reading::new(64));
        for _ in 0..200_000 {
            let near = |random: &mut fastrand::Rng, around: u64| match random.u8(0..8) {
                0 => random.u64(..),
                1 => 0,
                _ => around.wrapping_add(random.u64(0..200)).wrapping_sub(100),
            };
            let said = near(&mut random, writing.read);
            let fits = (writing.read..=writing.written).contains(&said);
            assert_eq!(writing.observe(said).is_ok(), fits, "{said} {writing:?}");
            assert!(writing.free() <= 64);
            writing.advance(random.u64(0..=writing.free()));

            let said = near(&mut random, reading.written);
            let fits = (reading.written..=reading.released + 64).contains(&said);
            assert_eq!(reading.observe(said).is_ok(), fits, "{said} {reading:?}");
            assert!(reading.available() <= 64);
            reading.advance(random.u64(0..=reading.available()));
            if random.bool() {
                reading.release();
            }
        }
    }
}
