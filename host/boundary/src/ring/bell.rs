//! How one side sleeps until the other has written or read something.
//!
//! Each side has a bell: a futex word on which it sleeps, and a bit for each event that it sleeps
//! for. A sleeper (1) loads the futex word, (2) sets its bits, (3) fences, (4) looks whether what it
//! waits for is there, and (5) sleeps unless the futex word has changed since (1). A waker (1) stores
//! its position, (2) fences, and (3) loads the bits; if its own is set, it (4) clears it, (5)
//! increments the futex word, and (6) wakes all who sleep on it.
//!
//! One of the two fences is first. So the sleeper sees the position, or the waker sees the bit; then
//! the increment follows the sleeper's (1), and it either does not fall asleep or is woken. A waker
//! that clears last would clear the bit of the next sleep. A bit that is left over wakes somebody
//! once too often, which every sleeper expects. A hostile peer can wake us without end, or never.

use super::RingError;
use crate::spin;
use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, Timespec};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};

/// Something came to be read.
pub(super) const WRITTEN: u32 = 1;
/// Something was read, so that there is room.
pub(super) const READ: u32 = 2;

/// The longest sleep at one go. A hostile peer can move who sleeps to a futex of its own
/// (`FUTEX_REQUEUE`), where neither a ring nor a hang-up reaches; so we look around by ourselves now
/// and then.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// As many times we may be woken for nothing in one wait before we take it for an attack on our
/// processor, and answer each further time with [`PAUSE`].
const WOKEN_FOR_NOTHING: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(1);

/// What a bell is made of, so that tests can put in something else.
pub(super) trait Words {
    fn load_futex(&self) -> u32;
    fn add_futex(&self);
    fn load_bits(&self) -> u32;
    fn set_bits(&self, bits: u32);
    fn clear_bits(&self, bits: u32);
    fn fence(&self);
    /// Sleeps while the futex word is `expected`.
    fn sleep(&self, expected: u32, longest: Option<Duration>) -> Result<(), Errno>;
    fn wake_all(&self);
}

/// The words in shared memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bell<'a> {
    pub(super) futex: &'a AtomicU32,
    pub(super) bits: &'a AtomicU32,
}

impl Words for Bell<'_> {
    fn load_futex(&self) -> u32 {
        self.futex.load(Ordering::SeqCst)
    }

    fn add_futex(&self) {
        self.futex.fetch_add(1, Ordering::SeqCst);
    }

    #[inline]
    fn load_bits(&self) -> u32 {
        self.bits.load(Ordering::Relaxed)
    }

    fn set_bits(&self, bits: u32) {
        self.bits.fetch_or(bits, Ordering::SeqCst);
    }

    fn clear_bits(&self, bits: u32) {
        self.bits.fetch_and(!bits, Ordering::SeqCst);
    }

    #[inline]
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }

    fn sleep(&self, expected: u32, longest: Option<Duration>) -> Result<(), Errno> {
        let longest = longest.map_or(LONGEST_SLEEP, |longest| longest.min(LONGEST_SLEEP));
        let longest = Timespec {
            tv_sec: longest.as_secs().cast_signed(),
            tv_nsec: longest.subsec_nanos().into(),
        };
        // Not `PRIVATE`: who wakes us is another process.
        futex::wait(self.futex, Flags::empty(), expected, Some(&longest))
    }

    fn wake_all(&self) {
        // A woken thread is no promise to anybody, so that a failure is not one to report.
        let _ = futex::wake(self.futex, Flags::empty(), i32::MAX.cast_unsigned());
    }
}

/// The waker's part: the position is stored already.
#[inline]
pub(super) fn ring(words: &impl Words, event: u32) {
    words.fence();
    if words.load_bits() & event != 0 {
        words.clear_bits(event);
        words.add_futex();
        words.wake_all();
    }
}

/// Ends what sleeps on the bell, whatever it waits for.
pub(super) fn hang_up(words: &impl Words, hung_up: &AtomicBool) {
    hung_up.store(true, Ordering::SeqCst);
    words.add_futex();
    words.wake_all();
}

/// How a side sleeps.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    /// The events that it waits for. No other thread may wait for the same ones.
    pub(super) events: u32,
    pub(super) deadline: Option<Instant>,
    /// How long to look before sleeping.
    pub(super) spin: Duration,
    pub(super) hung_up: &'a AtomicBool,
}

/// The sleeper's part: sleeps until `ready`, which is looked at again and again. False if the
/// deadline passed.
pub(super) fn sleep_until(
    words: &impl Words,
    wait: &Wait<'_>,
    mut ready: impl FnMut() -> Result<bool, RingError>,
) -> Result<bool, RingError> {
    if spin::until(wait.spin, &mut ready)? {
        return Ok(true);
    }
    let mut woken = 0_u32;
    loop {
        let expected = words.load_futex();
        words.set_bits(wait.events);
        words.fence();
        // Before looking, so that nothing that was written before the hang-up is missed.
        let hung_up = wait.hung_up.load(Ordering::SeqCst);
        let result = match ready() {
            Ok(false) if hung_up => Some(Err(RingError::HungUp)),
            Ok(false) => None,
            decided => Some(decided),
        };
        let left = wait
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let result = result.or_else(|| (left == Some(Duration::ZERO)).then_some(Ok(false)));
        if let Some(result) = result {
            // The bits are ours alone, and left set they would make the peer ring for nothing.
            words.clear_bits(wait.events);
            return result;
        }
        if woken > WOKEN_FOR_NOTHING {
            thread::sleep(left.map_or(PAUSE, |left| left.min(PAUSE)));
        }
        match words.sleep(expected, left) {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR) => woken += 1,
            Err(Errno::TIMEDOUT) => {}
            Err(errno) => {
                words.clear_bits(wait.events);
                return Err(RingError::System(errno.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shuttle::sync::atomic::AtomicU32 as ShuttleU32;
    use shuttle::sync::{Arc, Condvar, Mutex};
    use shuttle::thread as shuttled;

    const SCHEDULES: usize = 3_000;

    /// Words whose every access may be where another thread goes on.
    #[derive(Default)]
    struct Modelled {
        futex: ShuttleU32,
        bits: ShuttleU32,
        position: ShuttleU32,
        room: ShuttleU32,
        queue: Mutex<()>,
        woken: Condvar,
    }

    impl Words for Modelled {
        fn load_futex(&self) -> u32 {
            self.futex.load(Ordering::SeqCst)
        }

        fn add_futex(&self) {
            self.futex.fetch_add(1, Ordering::SeqCst);
        }

        fn load_bits(&self) -> u32 {
            self.bits.load(Ordering::SeqCst)
        }

        fn set_bits(&self, bits: u32) {
            self.bits.fetch_or(bits, Ordering::SeqCst);
        }

        fn clear_bits(&self, bits: u32) {
            self.bits.fetch_and(!bits, Ordering::SeqCst);
        }

        fn fence(&self) {}

        fn sleep(&self, expected: u32, _: Option<Duration>) -> Result<(), Errno> {
            let queue = self.queue.lock().unwrap();
            if self.futex.load(Ordering::SeqCst) != expected {
                return Err(Errno::AGAIN);
            }
            drop(self.woken.wait(queue).unwrap());
            Ok(())
        }

        fn wake_all(&self) {
            let _queue = self.queue.lock().unwrap();
            self.woken.notify_all();
        }
    }

    fn sleep_for(words: &Modelled, events: u32, until: impl Fn() -> bool) {
        let wait = Wait {
            events,
            deadline: None,
            spin: Duration::ZERO,
            hung_up: &AtomicBool::new(false),
        };
        let woken = sleep_until(words, &wait, || Ok(until()));
        assert!(woken.unwrap());
    }

    /// Shuttle fails a schedule in which nobody can go on.
    #[test]
    fn nobody_sleeps_through_what_it_waits_for() {
        shuttle::check_random(
            || {
                let words = Arc::new(Modelled::default());
                let waker = Arc::clone(&words);
                let waker = shuttled::spawn(move || {
                    for _ in 0..3 {
                        waker.position.fetch_add(1, Ordering::SeqCst);
                        ring(&*waker, WRITTEN);
                    }
                });
                for step in 1..=3 {
                    sleep_for(&words, WRITTEN, || {
                        words.position.load(Ordering::SeqCst) >= step
                    });
                }
                waker.join().unwrap();
            },
            SCHEDULES,
        );
    }

    #[test]
    fn two_who_sleep_on_one_bell_are_both_woken() {
        shuttle::check_random(
            || {
                let words = Arc::new(Modelled::default());
                let (waker, second) = (Arc::clone(&words), Arc::clone(&words));
                let waker = shuttled::spawn(move || {
                    for _ in 0..2 {
                        waker.position.fetch_add(1, Ordering::SeqCst);
                        ring(&*waker, WRITTEN);
                        waker.room.fetch_add(1, Ordering::SeqCst);
                        ring(&*waker, READ);
                    }
                });
                let second = shuttled::spawn(move || {
                    for step in 1..=2 {
                        sleep_for(&second, READ, || second.room.load(Ordering::SeqCst) >= step);
                    }
                });
                for step in 1..=2 {
                    sleep_for(&words, WRITTEN, || {
                        words.position.load(Ordering::SeqCst) >= step
                    });
                }
                second.join().unwrap();
                waker.join().unwrap();
            },
            SCHEDULES,
        );
    }

    #[test]
    fn a_hang_up_is_never_slept_through() {
        shuttle::check_random(
            || {
                let words = Arc::new(Modelled::default());
                let hung_up = Arc::new(AtomicBool::new(false));
                let (other, flag) = (Arc::clone(&words), Arc::clone(&hung_up));
                let other = shuttled::spawn(move || hang_up(&*other, &flag));
                let wait = Wait {
                    events: WRITTEN | READ,
                    deadline: None,
                    spin: Duration::ZERO,
                    hung_up: &hung_up,
                };
                let ended = sleep_until(&*words, &wait, || Ok(false));
                assert!(matches!(ended, Err(RingError::HungUp)), "{ended:?}");
                other.join().unwrap();
            },
            SCHEDULES,
        );
    }
}
