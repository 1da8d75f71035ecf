//! Which tasks are in a trace: all of them in the first half of its room, then one of 4, of 16 and so on, each in a part of
//! what is left. Beyond that there are none: the file is as large as it may be.

use std::sync::atomic::{AtomicU64, Ordering};

/// The parts of a trace's room: the first half has all tasks, and each further part has so many times fewer than the one before.
const PARTS: u64 = 16;
const FULL_PARTS: u64 = 8;
const STEP: u64 = 4;

/// What no task takes, so that there is room for the ends of jobs and the last words.
const RESERVE: u64 = 16 << 10;

/// See the [module](self). Written by the writer, read by whoever reports tasks.
pub(super) struct Sampling {
    limit: u64,
    /// One of so many tasks is kept; none if it is 0.
    stride: AtomicU64,
    /// The tasks that were looked at.
    seen: AtomicU64,
    /// The tasks that were written.
    written: AtomicU64,
}

impl Sampling {
    /// For a file of at most so many bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            stride: AtomicU64::new(1),
            seen: AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }

    /// Whether a task is to be written: one that failed in any case, as long as any are.
    pub(super) fn keeps(&self, has_failed: bool) -> bool {
        let stride = self.stride.load(Ordering::Relaxed);
        match stride {
            0 => false,
            1 => true,
            _ => {
                has_failed
                    || self
                        .seen
                        .fetch_add(1, Ordering::Relaxed)
                        .is_multiple_of(stride)
            }
        }
    }

    /// Whether no more tasks are written.
    pub(super) fn is_over(&self) -> bool {
        self.stride.load(Ordering::Relaxed) == 0
    }

    /// The file has so many bytes by now. Returns the new stride if it changes.
    pub(super) fn adapt(&self, bytes: u64) -> Option<u64> {
        let room = self.limit.saturating_sub(RESERVE).max(1);
        let part = u128::from(bytes) * u128::from(PARTS) / u128::from(room);
        let part = u64::try_from(part).unwrap_or(PARTS);
        let stride = match part {
            PARTS.. => 0,
            _ if part < FULL_PARTS => 1,
            _ => STEP.pow(u32::try_from(part - FULL_PARTS + 1).unwrap_or(1)),
        };
        (self.stride.swap(stride, Ordering::Relaxed) != stride).then_some(stride)
    }

    /// Whether so many bytes more would be too many, whatever they are.
    pub(super) fn is_full(&self, bytes: u64) -> bool {
        bytes >= self.limit
    }

    pub(super) fn count(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_and_fewer_tasks_are_kept_and_never_more_than_there_is_room_for() {
        const EACH: u64 = 500;
        for tasks in [1_u64, 1000, 10_000, 1_000_000, 20_000_000] {
            let sampling = Sampling::new(1 << 20);
            let (mut bytes, mut last) = (0, 0);
            for task in 0..tasks {
                if sampling.keeps(false) {
                    bytes += EACH;
                    last = task;
                    sampling.adapt(bytes);
                }
            }
            assert!(bytes <= 1 << 20, "{tasks}: {bytes}");
            if tasks <= 1000 {
                assert_eq!(bytes, tasks * EACH);
            }
            // It covers the job, but for one that is longer by far.
            assert!((last + 1) * 4 >= tasks.min(4_000_000), "{tasks}: {last}");
        }
    }

    #[test]
    fn failed_tasks_are_kept_until_there_is_no_room() {
        let sampling = Sampling::new(1 << 20);
        sampling.adapt(600 << 10);
        let kept = (0..100).filter(|_| sampling.keeps(false)).count();
        assert_eq!(kept, 7);
        assert!((0..100).all(|_| sampling.keeps(true)));
        sampling.adapt(1 << 20);
        assert!(sampling.is_over() && !sampling.keeps(true));
    }
}
