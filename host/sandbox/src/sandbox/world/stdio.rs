//! The standard streams of a guest. All of them are our own: a stock pipe makes `println!` fail in
//! the guest when it is full, and an inherited one is unbounded.
//!
//! A log keeps its first and its last bytes and drops the rest. A command's stdout is its result and ends the
//! task when it exceeds the limit. stdin yields the task's input piece by piece.

mod preview3;

pub(in crate::sandbox) use preview3::{Flowing, Turns};

use super::flows::Flows;
use super::request::Surroundings;
use crate::input::{Chunk, ChunkData, OpenFile};
use crate::lock::lock;
use crate::note::{Listener, Recorder, StandardOutput, TaskNote};
use crate::outcome::{Failure, FailureCode, Log};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError};

/// The most that a guest may write at once: `wasmtime-wasi` allocates this in one piece.
const WRITE_PERMIT: usize = 64 * 1024;

/// The most that is read of the input at once.
const READ_PIECE: usize = 64 * 1024;

/// Makes the failure of a task whose input could not be read.
pub(in crate::sandbox) fn unreadable(error: &std::io::Error) -> Failure {
    let mut failure = Failure::new(
        FailureCode::BadInput,
        format!("cannot read the input: {error}"),
    );
    failure.is_input_error = true;
    failure
}

/// The three streams of one guest.
pub(in crate::sandbox) struct Stdio {
    pub(in crate::sandbox) stdin: Stdin,
    pub(in crate::sandbox) stdout: Sink,
    pub(in crate::sandbox) stderr: Sink,
    /// What flows between them and the guest in WASI 0.3.
    pub(in crate::sandbox) flows: Flows,
}

impl Stdio {
    /// Passes what is written from now on to the listener, except a command's stdout, which is its
    /// result.
    pub(in crate::sandbox) fn listen(&self, surroundings: &Surroundings) {
        let listener = |note: fn(Bytes) -> TaskNote| {
            surroundings
                .listener
                .as_ref()
                .map(|listener| OutputListener {
                    listener: Arc::clone(listener),
                    task: surroundings.task,
                    note,
                })
        };
        let recorder = || surroundings.recorder.clone();
        self.stdin.record(recorder());
        self.stdout.listen(listener(TaskNote::Stdout), recorder());
        self.stderr.listen(listener(TaskNote::Stderr), recorder());
    }
}

impl Stdio {
    /// Returns how many bytes the guest has read and written.
    pub(in crate::sandbox) fn bytes_moved(&self) -> u64 {
        self.stdin.bytes_read() + self.stdout.written() + self.stderr.written()
    }
}

/// An output of a guest that the host keeps in memory.
#[derive(Clone)]
pub(in crate::sandbox) struct Sink(Arc<Mutex<SinkState>>);

struct SinkState {
    head: Vec<u8>,
    /// The last bytes of a log that does not fit into its first part.
    tail: VecDeque<u8>,
    dropped: u64,
    written: u64,
    limit: usize,
    /// Whether exceeding the limit ends the task instead of dropping the rest.
    is_result: bool,
    /// Whether it was exceeded: a guest may be told of it and go on.
    is_overfull: bool,
    listener: Option<OutputListener>,
    /// Which output it is for whoever records it.
    output: StandardOutput,
    recorder: Option<Arc<dyn Recorder>>,
}

/// Who receives what is written.
struct OutputListener {
    listener: Arc<dyn Listener>,
    task: u64,
    note: fn(Bytes) -> TaskNote,
}

/// Marks the error that ends a task whose output is too large.
#[derive(Debug, thiserror::Error)]
#[error("the output limit was exceeded")]
pub(in crate::sandbox) struct OutputLimitPassed;

impl Sink {
    /// A stream that keeps the first and the last half of `limit` bytes and drops the rest.
    pub(in crate::sandbox) fn log(limit: usize, output: StandardOutput) -> Self {
        Self::new(limit, false, output)
    }

    /// A stream that is the task's result, of at most `limit` bytes.
    pub(in crate::sandbox) fn result(limit: usize) -> Self {
        Self::new(limit, true, StandardOutput::Stdout)
    }

    fn new(limit: usize, is_result: bool, output: StandardOutput) -> Self {
        Self(Arc::new(Mutex::new(SinkState {
            head: Vec::new(),
            tail: VecDeque::new(),
            dropped: 0,
            written: 0,
            limit,
            is_result,
            is_overfull: false,
            listener: None,
            output,
            recorder: None,
        })))
    }

    fn listen(&self, listener: Option<OutputListener>, recorder: Option<Arc<dyn Recorder>>) {
        let mut state = lock(&self.0);
        state.recorder = recorder;
        state.listener = listener.filter(|_| !state.is_result);
    }

    /// Takes what was written so far.
    pub(in crate::sandbox) fn take(&self) -> Log {
        let mut state = lock(&self.0);
        let mut kept = std::mem::take(&mut state.head);
        let dropped_at = kept.len();
        let (first, second) = state.tail.as_slices();
        kept.extend_from_slice(first);
        kept.extend_from_slice(second);
        state.tail.clear();
        Log {
            kept,
            dropped: std::mem::take(&mut state.dropped),
            dropped_at,
        }
    }

    /// Takes what was written so far of a result that nobody is given, as a log of this size.
    pub(in crate::sandbox) fn take_as_log(&self, limit: usize) -> Log {
        let log = self.take();
        let as_log = Self::log(limit, StandardOutput::Stdout);
        // A log takes anything.
        let _ = as_log.accept(&log.kept);
        as_log.take()
    }

    /// Whether the guest tried to write more than a result may have.
    pub(in crate::sandbox) fn is_overfull(&self) -> bool {
        lock(&self.0).is_overfull
    }

    /// Returns how many bytes were ever written.
    fn written(&self) -> u64 {
        lock(&self.0).written
    }

    /// Takes what is written.
    pub(super) fn accept(&self, bytes: &[u8]) -> Result<(), OutputLimitPassed> {
        let mut state = lock(&self.0);
        if state.is_result {
            if bytes.len() > state.limit - state.head.len().min(state.limit) {
                state.is_overfull = true;
                return Err(OutputLimitPassed);
            }
            state.head.extend_from_slice(bytes);
        } else {
            state.log(bytes);
        }
        state.written += bytes.len() as u64;
        if let Some(recorder) = &state.recorder {
            recorder.printed(state.output, bytes);
        }
        if let Some(to) = &state.listener {
            let note = (to.note)(Bytes::copy_from_slice(bytes));
            to.listener.note(to.task, note);
        }
        Ok(())
    }
}

impl SinkState {
    /// Keeps the first bytes in one half of the room, and the last in the other.
    fn log(&mut self, bytes: &[u8]) {
        let half = self.limit / 2;
        let first = bytes.len().min(half - self.head.len().min(half));
        self.head.extend_from_slice(&bytes[..first]);
        let rest = &bytes[first..];
        let room = self.limit - half;
        let last = &rest[rest.len() - rest.len().min(room)..];
        let surplus = (self.tail.len() + last.len()).saturating_sub(room);
        self.tail.drain(..surplus);
        self.tail.extend(last);
        self.dropped += (surplus + rest.len() - last.len()) as u64;
    }
}

#[async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.accept(&bytes)
            .map_err(|passed| StreamError::Trap(passed.into()))
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_PERMIT)
    }
}

/// The input of a guest, read as the guest reads it.
#[derive(Clone)]
pub(in crate::sandbox) struct Stdin(Arc<StdinShared>);

struct StdinShared {
    state: Mutex<StdinState>,
    /// Woken when a piece of a stream was read.
    arrived: Notify,
}

struct StdinState {
    source: Source,
    error: Option<std::io::Error>,
    bytes_read: u64,
    recorder: Option<Arc<dyn Recorder>>,
}

enum Source {
    Bytes(Bytes),
    File {
        file: Arc<OpenFile>,
        next: u64,
        end: u64,
    },
    /// An input of unknown length: read on a thread of the runtime, since reading may block, while
    /// the guest waits.
    Stream(Stream),
}

/// What is known of an input of unknown length.
enum Stream {
    /// Nothing is read and nothing is being read.
    Idle(Box<dyn Read + Send>),
    /// A thread reads the next piece. It goes on when the guest stops waiting, and whoever waits
    /// next waits for the same piece.
    Reading,
    /// What was read and the guest has not taken.
    Ready(Box<dyn Read + Send>, Bytes),
    /// The end, or an error of the host, which is kept beside it.
    Ended,
}

impl Stdin {
    /// A stdin that is at its end.
    pub(in crate::sandbox) fn empty() -> Self {
        Self::new(Source::Bytes(Bytes::new()))
    }

    /// A stdin that yields the bytes of `chunk`.
    pub(in crate::sandbox) fn chunk(chunk: &Chunk) -> std::io::Result<Self> {
        let source = match &chunk.data {
            ChunkData::Bytes(bytes) => Source::Bytes(bytes.clone()),
            ChunkData::File(file) => Source::File {
                file: file.hold()?,
                next: chunk.range.start,
                end: chunk.range.end,
            },
            ChunkData::Stream(_) => Source::Stream(Stream::Idle(chunk.open()?)),
        };
        Ok(Self::new(source))
    }

    fn new(source: Source) -> Self {
        Self(Arc::new(StdinShared {
            state: Mutex::new(StdinState {
                source,
                error: None,
                bytes_read: 0,
                recorder: None,
            }),
            arrived: Notify::new(),
        }))
    }

    /// Has what is read recorded by whoever records the task.
    pub(in crate::sandbox) fn record(&self, recorder: Option<Arc<dyn Recorder>>) {
        lock(&self.0.state).recorder = recorder;
    }

    /// Returns how many bytes the guest has read.
    pub(in crate::sandbox) fn bytes_read(&self) -> u64 {
        lock(&self.0.state).bytes_read
    }

    /// Returns the error of reading the input on the host, if there was one.
    pub(in crate::sandbox) fn take_error(&self) -> Option<std::io::Error> {
        lock(&self.0.state).error.take()
    }
}

impl StdinState {
    /// Returns the next bytes, none if they have not arrived yet, or the end of the stream.
    fn next(&mut self, size: usize) -> Result<Bytes, StreamError> {
        let size = size.min(READ_PIECE);
        let bytes = match &mut self.source {
            Source::Bytes(bytes) if bytes.is_empty() => return Err(StreamError::Closed),
            Source::Bytes(bytes) => bytes.split_to(size.min(bytes.len())),
            Source::File { next, end, .. } if next == end => return Err(StreamError::Closed),
            Source::File { file, next, end } => {
                let length = size.min(usize::try_from(*end - *next).unwrap_or(usize::MAX));
                let mut piece = vec![0; length];
                if let Err(error) = file.read_exact_at(&mut piece, *next) {
                    self.error = Some(error);
                    return Err(StreamError::trap("cannot read the input"));
                }
                *next += length as u64;
                piece.into()
            }
            Source::Stream(_) if self.error.is_some() => {
                return Err(StreamError::trap("cannot read the input"));
            }
            Source::Stream(Stream::Ended) => return Err(StreamError::Closed),
            Source::Stream(Stream::Idle(_) | Stream::Reading) => Bytes::new(),
            Source::Stream(stream @ Stream::Ready(..)) => stream.take(size),
        };
        self.bytes_read += bytes.len() as u64;
        if let Some(recorder) = &self.recorder {
            recorder.bytes_read(self.bytes_read);
        }
        Ok(bytes)
    }
}

impl Stream {
    /// Takes at most `size` bytes of what is ready.
    fn take(&mut self, size: usize) -> Bytes {
        match std::mem::replace(self, Self::Ended) {
            Self::Ready(reader, mut bytes) => {
                let piece = bytes.split_to(size.min(bytes.len()));
                *self = if bytes.is_empty() {
                    Self::Idle(reader)
                } else {
                    Self::Ready(reader, bytes)
                };
                piece
            }
            other => {
                *self = other;
                Bytes::new()
            }
        }
    }
}

#[async_trait]
impl Pollable for Stdin {
    async fn ready(&mut self) {
        self.arrival().await;
    }
}

impl Stdin {
    /// Waits until something can be read, or its end.
    async fn arrival(&self) {
        loop {
            // Registered before looking, so that a piece that arrives in between is not missed.
            let arrived = self.0.arrived.notified();
            match &mut lock(&self.0.state).source {
                Source::Stream(Stream::Reading) => {}
                Source::Stream(stream @ Stream::Idle(_)) => {
                    let Stream::Idle(reader) = std::mem::replace(stream, Stream::Reading) else {
                        return;
                    };
                    let stdin = self.clone();
                    // A guest that stops waiting does not end this: there is one reader at a time, and what it reads
                    // is kept.
                    drop(tokio::task::spawn_blocking(move || stdin.read_on(reader)));
                }
                _ => return,
            }
            arrived.await;
        }
    }

    /// Reads the next piece of a stream, which may block.
    fn read_on(&self, mut reader: Box<dyn Read + Send>) {
        let piece = {
            // A panic of the reader ends the stream.
            let read = std::panic::AssertUnwindSafe(|| read_piece(&mut *reader));
            std::panic::catch_unwind(read).unwrap_or_else(|_| Ok(Bytes::new()))
        };
        let mut state = lock(&self.0.state);
        let (stream, error) = match piece {
            Ok(piece) if piece.is_empty() => (Stream::Ended, None),
            Ok(piece) => (Stream::Ready(reader, piece), None),
            Err(error) => (Stream::Ended, Some(error)),
        };
        if error.is_some() {
            state.error = error;
        }
        state.source = Source::Stream(stream);
        drop(state);
        self.0.arrived.notify_waiters();
    }
}

fn read_piece(reader: &mut dyn Read) -> std::io::Result<Bytes> {
    let mut piece = vec![0; READ_PIECE];
    loop {
        match reader.read(&mut piece) {
            Ok(length) => {
                piece.truncate(length);
                return Ok(piece.into());
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl InputStream for Stdin {
    fn read(&mut self, size: usize) -> Result<Bytes, StreamError> {
        lock(&self.0.state).next(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};
    use std::task::Context;

    #[test]
    fn a_log_keeps_its_beginning_and_its_end() {
        let text: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for limit in [0, 1, 2, 7, 100, 999, 1000, 1001] {
            for piece in [1, 3, 64, 1000] {
                let sink = Sink::log(limit, StandardOutput::Stderr);
                for piece in text.chunks(piece) {
                    sink.accept(piece).expect("a log takes anything");
                }
                assert_eq!(sink.written(), 1000);
                let log = sink.take();
                let half = limit / 2;
                assert_eq!(log.dropped, 1000_u64.saturating_sub(limit as u64));
                if log.dropped == 0 {
                    assert_eq!(log.kept, text);
                } else {
                    let end = text.len() - (limit - half);
                    assert_eq!(
                        log.parts(),
                        (&text[..half], &text[end..]),
                        "{limit} {piece}"
                    );
                }
                assert_eq!(sink.take(), Log::default());
            }
        }
    }

    /// A reader whose pieces come one by one, and that counts the reads that have begun.
    struct Slow {
        pieces: Receiver<Vec<u8>>,
        begun: Arc<Mutex<usize>>,
    }

    impl Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            *lock(&self.begun) += 1;
            // The end of the pieces is the end of the stream.
            let piece = self.pieces.recv().unwrap_or_default();
            into[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    /// What polls with a time-out that passes at once does to a future.
    fn poll_once(future: impl Future<Output = ()>) -> bool {
        let future = std::pin::pin!(future);
        let mut context = Context::from_waker(std::task::Waker::noop());
        future.poll(&mut context).is_ready()
    }

    #[tokio::test]
    async fn polls_that_are_given_up_share_one_read_and_lose_nothing() {
        let (sender, pieces) = channel();
        let begun = Arc::new(Mutex::new(0));
        let reader = Slow {
            pieces,
            begun: Arc::clone(&begun),
        };
        let stdin = Stdin::new(Source::Stream(Stream::Idle(Box::new(reader))));
        let mut all = Vec::new();
        for number in 0..100_u8 {
            for _ in 0..100 {
                assert!(!poll_once(stdin.clone().ready()), "nothing has come yet");
            }
            sender.send(vec![number; 3]).expect("it is read");
            stdin.clone().ready().await;
            while let Ok(piece) = stdin.clone().read(2)
                && !piece.is_empty()
            {
                all.extend_from_slice(&piece);
            }
        }
        drop(sender);
        stdin.clone().ready().await;
        assert!(matches!(stdin.clone().read(1), Err(StreamError::Closed)));
        let expected: Vec<u8> = (0..100).flat_map(|number| [number; 3]).collect();
        assert_eq!(all, expected);
        assert_eq!(stdin.bytes_read(), 300);
        assert_eq!(*lock(&begun), 101);
    }
}
