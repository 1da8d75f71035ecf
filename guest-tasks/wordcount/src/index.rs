//! A hash index: finds the numbers of things that are kept elsewhere, in a list.
//!
//! Smaller and quicker here than a general map: the words stay in the order of their first appearance, and the
//! hash is fixed, so nothing asks the host for random numbers. A text made to collide costs its own task time, no
//! more.

/// Open addressing with linear probing; the slots are a power of two, and at most half of them are taken.
pub(crate) struct Index {
    slots: Vec<Slot>,
    /// Leaves as many of a hash's bits as number the slots.
    shift: u32,
    taken: usize,
}

/// `number` counts from 1; 0 marks a free slot. Its place in the table follows from `hash`.
#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u32,
    number: u32,
}

const FEWEST_SLOTS: usize = 64;

impl Index {
    /// An index that takes `expected` things without growing.
    pub(crate) fn with_room_for(expected: usize) -> Self {
        let slots = (expected * 2).next_power_of_two().max(FEWEST_SLOTS);
        Self {
            slots: vec![Slot::default(); slots],
            shift: u32::BITS - slots.ilog2(),
            taken: 0,
        }
    }

    /// The number of the thing with this hash for which `is_it` holds; else `None`, and the next number is now its
    /// own. Numbers count from 0.
    #[inline]
    pub(crate) fn find_or_add(
        &mut self,
        hash: u32,
        is_it: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at & mask];
            if slot.number == 0 {
                break;
            }
            if slot.hash == hash && is_it(slot.number as usize - 1) {
                return Some(slot.number as usize - 1);
            }
            at += 1;
        }
        self.add(hash, at & mask);
        None
    }

    /// Multiplying moves what tells hashes apart to their high bits, so those choose the slot.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        (hash >> self.shift) as usize
    }

    fn add(&mut self, hash: u32, at: usize) {
        self.taken += 1;
        let number = u32::try_from(self.taken).expect("fewer than four billion different words");
        self.slots[at] = Slot { hash, number };
        if self.taken * 2 > self.slots.len() {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let more = vec![Slot::default(); self.slots.len() * 4];
        let fewer = std::mem::replace(&mut self.slots, more);
        self.shift -= 2;
        let mask = self.slots.len() - 1;
        for slot in fewer.into_iter().filter(|slot| slot.number != 0) {
            let mut at = self.home(slot.hash);
            while self.slots[at & mask].number != 0 {
                at += 1;
            }
            self.slots[at & mask] = slot;
        }
    }
}

/// The hash of a word, from its first eight bytes and the rest.
#[inline]
pub(crate) fn hash(head: u64, tail: &[u8]) -> u32 {
    let mut hash = scramble(head);
    let (blocks, rest) = tail.as_chunks::<8>();
    for block in blocks {
        hash = scramble(hash.rotate_left(29) ^ u64::from_le_bytes(*block));
    }
    if !rest.is_empty() {
        let last = rest
            .iter()
            .fold(0, |last, &byte| last << 8 | u64::from(byte));
        hash = scramble(hash.rotate_left(29) ^ last);
    }
    (hash >> 32) as u32
}

/// One multiplication by an odd number with no pattern in its bits (2^64 by the golden ratio).
#[inline]
fn scramble(bits: u64) -> u64 {
    bits.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
