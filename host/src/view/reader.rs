//! The thread that reads a job's input, cut into chunks, no further ahead than it is told.

use super::events::Event;
use crate::input::{Chunk, Chunks};
use crate::job::Wanted;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Chunks are sent on at the latest when they have waited this long, so that engines need not
/// wait for the last chunk of a wish to begin with the first.
const SEND_INTERVAL: Duration = Duration::from_millis(1);

/// The reader of one job, as its driver holds it.
pub(super) struct Reader {
    wishes: Option<Sender<Wanted>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts reading `chunks` for the driver behind `events`.
    pub(super) fn start(chunks: Chunks, events: Sender<Event>) -> std::io::Result<Self> {
        let (wishes, granted) = channel();
        let thread = std::thread::Builder::new()
            .name("rwasm-reader".to_owned())
            .spawn(move || read(chunks, &granted, &events))?;
        Ok(Self {
            wishes: Some(wishes),
            thread: Some(thread),
        })
    }

    /// Lets it read on.
    pub(super) fn want(&self, wanted: Wanted) {
        if let Some(wishes) = &self.wishes {
            // A reader that has ended has said so.
            let _ = wishes.send(wanted);
        }
    }

    /// Ends it. One that waits for a stream, such as a terminal, cannot be woken; it ends when
    /// the stream does and is not waited for.
    pub(super) fn end(&mut self, is_at_end: bool) {
        self.wishes = None;
        if let Some(thread) = self.thread.take()
            && is_at_end
        {
            // Whatever it had to tell, it told the driver.
            let _ = thread.join();
        }
    }
}

fn read(mut chunks: Chunks, granted: &Receiver<Wanted>, events: &Sender<Event>) {
    while let Ok(wanted) = granted.recv() {
        let mut batch: Vec<Chunk> = Vec::new();
        let mut held = 0;
        let mut last_send = Instant::now();
        let send = |batch: &mut Vec<Chunk>| events.send(Event::Chunks(std::mem::take(batch)));
        for _ in 0..wanted.chunks {
            // What has been read is not held back by what is yet to come.
            let is_due = chunks.may_wait() || last_send.elapsed() > SEND_INTERVAL;
            if is_due && !batch.is_empty() {
                last_send = Instant::now();
                if send(&mut batch).is_err() {
                    return;
                }
            }
            match chunks.next() {
                Some(Ok(chunk)) => {
                    held += chunk.held();
                    batch.push(chunk);
                }
                ended => {
                    let event = match ended {
                        Some(Err(error)) => Event::InputFailed(batch, error),
                        _ => Event::InputEnd(batch),
                    };
                    // A driver that has ended needs no more.
                    let _ = events.send(event);
                    return;
                }
            }
            if held >= wanted.bytes {
                break;
            }
        }
        if events.send(Event::WishServed(batch)).is_err() {
            return;
        }
    }
}
