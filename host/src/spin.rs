//! Looking for a message, for a moment, before a thread sleeps: to be woken takes longer than many a call.
//!
//! Whoever has just had a call expects the next one soon. It looks again and again, and offers its processor to others in
//! between; when nothing comes it sleeps, so that an idle cluster costs nothing.

use rwasm_boundary::spin;
use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, TryRecvError};
use std::time::Duration;

/// A dispatch of at most so many tasks that takes no longer than this is a call of little work.
const FEW: usize = 4;
const SHORT: Duration = Duration::from_micros(100);

/// How long the answer to a call is looked for,
pub(crate) const ANSWER: Duration = Duration::from_micros(50);

/// and how long the next call: engines may get them in turn.
pub(crate) const CALL: Duration = Duration::from_micros(250);

/// How long to look for the next after a dispatch of so many tasks, which took so long.
pub(crate) fn after(tasks: usize, took: Duration) -> Duration {
    if tasks <= FEW && took < SHORT {
        CALL
    } else {
        Duration::ZERO
    }
}

/// Receives as [`Receiver::recv`] does, and looks for that long before it sleeps.
pub(crate) fn receive<T>(messages: &Receiver<T>, spin: Duration) -> Result<T, RecvError> {
    receive_within(messages, spin, None).map_err(|_| RecvError)
}

/// The same, and sleeps no longer than this, if that is said.
pub(crate) fn receive_within<T>(
    messages: &Receiver<T>,
    spin: Duration,
    time: Option<Duration>,
) -> Result<T, RecvTimeoutError> {
    let mut received = None;
    until(spin, || match messages.try_recv() {
        Ok(message) => {
            received = Some(Ok(message));
            true
        }
        Err(TryRecvError::Empty) => false,
        Err(TryRecvError::Disconnected) => {
            received = Some(Err(RecvTimeoutError::Disconnected));
            true
        }
    });
    received.unwrap_or_else(|| match time {
        Some(time) => messages.recv_timeout(time),
        None => Ok(messages.recv()?),
    })
}

/// Looks for that long, or until it is there. Whether it is.
pub(crate) fn until(spin: Duration, mut is_there: impl FnMut() -> bool) -> bool {
    let looked = spin::until(spin, || Ok::<_, Infallible>(is_there()));
    looked.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn what_is_there_is_received_and_an_end_is_one() {
        for spin in [Duration::ZERO, CALL] {
            let (sender, receiver) = channel();
            sender.send(1).unwrap();
            assert_eq!(receive(&receiver, spin), Ok(1));
            // Later than it is looked for, or not: it is received.
            let later = sender.clone();
            let thread = thread::spawn(move || later.send(2));
            assert_eq!(receive(&receiver, spin), Ok(2));
            thread.join().unwrap().unwrap();
            drop(sender);
            assert_eq!(receive(&receiver, spin), Err(RecvError));
        }
    }

    #[test]
    fn only_calls_of_little_work_are_followed_by_a_look() {
        assert_eq!(after(1, Duration::from_micros(10)), CALL);
        assert_eq!(after(1, Duration::from_millis(1)), Duration::ZERO);
        assert_eq!(after(100, Duration::from_micros(10)), Duration::ZERO);
    }
}
