//! Looking for something, for a moment, before a thread sleeps: to be woken takes longer than many a message takes to answer.

use std::hint;
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked between two readings of the clock, each of which takes about as long as a look.
const LOOKS: u32 = 32;

/// Looks for that long, or until it is there. Whether it is.
///
/// # Errors
///
/// What looking gives.
pub fn until<E>(spin: Duration, mut is_there: impl FnMut() -> Result<bool, E>) -> Result<bool, E> {
    if spin.is_zero() {
        return Ok(false);
    }
    let end = Instant::now() + spin;
    loop {
        for _ in 0..LOOKS {
            if is_there()? {
                return Ok(true);
            }
            hint::spin_loop();
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        // Who is waited for may want this processor.
        thread::yield_now();
    }
}
