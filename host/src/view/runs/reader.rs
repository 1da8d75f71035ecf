//! The thread that reads a job's input, piece by piece, no further ahead than it is told.

use super::pieces::{Piece, Pieces};
use crate::job::ReadRequest;
use crate::view::shared::events::Event;
use rwasm_sandbox::cancel::Cancel;
use rwasm_value::plain::panic_text;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a reader is waited for that may be stuck in reading.
const STUCK_GRACE: Duration = Duration::from_millis(20);

/// Pieces that have been read and not been taken. Each can be taken as soon as it is there,
/// though the driver is told of the first only: those that come while it is busy come together.
#[derive(Clone, Default)]
pub(crate) struct Tray(Arc<Mutex<Vec<Piece>>>);

impl Tray {
    pub(crate) fn take(&self) -> Vec<Piece> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a piece. Whether it is the first.
    fn put(&self, piece: Piece) -> bool {
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.push(piece);
        pieces.len() == 1
    }
}

/// The reader of one job, as its driver holds it.
pub(crate) struct Reader {
    /// One request waits at most: the driver asks again when it has what it asked for.
    wishes: Option<Sender<ReadRequest>>,
    stop: Cancel,
    tray: Tray,
    /// Breaks off when the thread ends.
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts reading `pieces` for the driver behind `events`.
    pub(crate) fn start(pieces: Box<dyn Pieces>, events: Sender<Event>) -> std::io::Result<Self> {
        let (wishes, granted) = channel();
        let (ending, ended) = channel();
        let stop = Cancel::default();
        let tray = Tray::default();
        let reading = Reading {
            pieces,
            events,
            stop: stop.clone(),
            tray: tray.clone(),
            _ending: ending,
        };
        let thread = std::thread::Builder::new()
            .name("rwasm-reader".to_owned())
            .spawn(move || {
                let events = reading.events.clone();
                let read = AssertUnwindSafe(|| reading.run(&granted));
                if let Err(panic) = catch_unwind(read) {
                    // A driver that has ended needs no more.
                    let text = panic_text(panic.as_ref()).to_owned();
                    let _ = events.send(Event::InputPanicked(text));
                }
            })?;
        Ok(Self {
            wishes: Some(wishes),
            stop,
            tray,
            ended,
            thread: Some(thread),
        })
    }

    /// Lets it read on.
    pub(crate) fn want(&self, wanted: ReadRequest) {
        if let Some(wishes) = &self.wishes {
            // A reader that has ended has said so.
            let _ = wishes.send(wanted);
        }
    }

    /// What it has read and nobody has taken.
    pub(crate) fn take(&self) -> Vec<Piece> {
        self.tray.take()
    }

    /// Ends it. One that waits in a read, of a terminal say, or in an iterator cannot be woken; it
    /// ends when that comes back and is not waited for.
    pub(crate) fn end(&mut self) {
        self.wishes = None;
        self.stop.cancel();
        // Nothing is ever sent: it breaks off, or the time is over.
        let is_stuck =
            self.ended.recv_timeout(STUCK_GRACE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if let Some(thread) = self.thread.take()
            && !is_stuck
        {
            // Whatever it had to tell, it told the driver.
            let _ = thread.join();
        }
    }
}

struct Reading {
    pieces: Box<dyn Pieces>,
    events: Sender<Event>,
    stop: Cancel,
    tray: Tray,
    _ending: Sender<()>,
}

impl Reading {
    fn run(mut self, granted: &Receiver<ReadRequest>) {
        while let Ok(wanted) = granted.recv() {
            let mut held = 0;
            for _ in 0..wanted.chunks {
                if self.stop.is_wanted() {
                    return;
                }
                match self.pieces.next(&self.stop) {
                    Some(Ok(piece)) => {
                        held += piece.held;
                        if self.tray.put(piece) && self.events.send(Event::Read).is_err() {
                            return;
                        }
                    }
                    ended => {
                        // A driver that has ended needs no more.
                        let _ = self.events.send(match ended {
                            Some(Err(error)) => Event::InputFailed(error),
                            _ => Event::InputEnd,
                        });
                        return;
                    }
                }
                if held >= wanted.bytes {
                    break;
                }
            }
            if self.events.send(Event::WishServed).is_err() {
                return;
            }
        }
    }
}
