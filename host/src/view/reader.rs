//! The thread that reads a job's input, cut into chunks, no further ahead than it is told.

use super::driver::Event;
use crate::input::{Chunk, Chunks};
use crate::job::Wanted;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Chunks are sent on at the latest when they have waited this long: the first should not wait
/// for the last when the input is slow.
const SEND_INTERVAL: Duration = Duration::from_millis(1);

/// A chunk that holds as much as this is sent on at once.
const LARGE: u64 = 16 << 10;

/// The reader of one job, as its driver holds it.
pub(super) struct Reader {
    wishes: Option<Sender<Wanted>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts reading `chunks` for the driver behind `events`.
    pub(super) fn start(chunks: Chunks, events: Sender<Event>) -> std::io::Result<Self> {
        let (wishes, wished) = channel();
        let thread = std::thread::Builder::new()
            .name("rwasm-reader".to_owned())
            .spawn(move || read(chunks, &wished, &events))?;
        Ok(Self { wishes: Some(wishes), thread: Some(thread) })
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

fn read(mut chunks: Chunks, wished: &Receiver<Wanted>, events: &Sender<Event>) {
    while let Ok(wanted) = wished.recv() {
        let mut batch: Vec<Chunk> = Vec::new();
        let mut held = 0;
        let mut last_send = Instant::now();
        for _ in 0..wanted.chunks {
            let event = match chunks.next() {
                None => Event::InputEnd(std::mem::take(&mut batch)),
                Some(Err(error)) => Event::InputFailed(std::mem::take(&mut batch), error),
                Some(Ok(chunk)) => {
                    held += chunk.held();
                    let is_large = chunk.held() >= LARGE;
                    batch.push(chunk);
                    if is_large || last_send.elapsed() > SEND_INTERVAL {
                        last_send = Instant::now();
                        if events.send(Event::Chunks(std::mem::take(&mut batch))).is_err() {
                            return;
                        }
                    }
                    if held >= wanted.bytes {
                        break;
                    }
                    continue;
                }
            };
            // A driver that has ended needs no more.
            let _ = events.send(event);
            return;
        }
        if events.send(Event::WishServed(batch)).is_err() {
            return;
        }
    }
}
