//! What a job's tasks are made of, one piece each: chunks of inputs, or lists of arguments, read
//! lazily from wherever they come.

use crate::dispatch::TaskInput;
use futures_core::Stream;
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::input::{Chunk, Chunks, InputError, InputWatch, LostInput};
use rwasm_sandbox::outcome::{ArgumentSource, Failure, FailureCode, Origin};
use rwasm_sandbox::sandbox::{Arguments, Callable};
use rwasm_value::ids::ChunkIndex;
use rwasm_value::value::{ArgumentError, PackedArgument, Params};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

/// What one task works on. Cheap to clone, since a task may be tried again.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) index: ChunkIndex,
    pub(crate) source: ArgumentSource,
    /// Where it begins in all of the input, in the unit of [`Pieces::total`].
    pub(crate) position: u64,
    /// Its bytes, where they are known.
    pub(crate) size: Option<u64>,
    /// Its bytes in the host's memory.
    pub(crate) held: u64,
    pub(crate) input: TaskInput,
    /// When its time in the queue is over; the driver says so.
    pub(crate) start_by: Option<Instant>,
    /// What the history keeps of its input, where there is one.
    #[cfg(feature = "history")]
    pub(crate) kept: Option<Box<super::recording::RecordedInput>>,
}

impl Piece {
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            index: self.index.0,
            source: self.source.clone(),
        }
    }
}

/// Pieces in input order, read by one thread.
pub(crate) trait Pieces: Send {
    /// The next one. May wait for as long as it takes.
    fn next(&mut self, stop: &Cancel) -> Option<Result<Piece, InputError>>;

    /// How much there is in all, where that is known: in bytes, or in tasks.
    fn total(&self) -> Total;

    /// What is noticed of the inputs while they are read.
    fn watch(&self) -> InputWatch {
        InputWatch::default()
    }
}

/// How much input there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    Bytes(u64),
    Tasks(u64),
    Unknown,
}

impl Total {
    pub(crate) fn number(self) -> Option<u64> {
        match self {
            Self::Bytes(number) | Self::Tasks(number) => Some(number),
            Self::Unknown => None,
        }
    }

    pub(crate) fn bytes(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn tasks(self) -> Option<u64> {
        match self {
            Self::Tasks(tasks) => Some(tasks),
            _ => None,
        }
    }
}

impl Pieces for Chunks {
    fn next(&mut self, _: &Cancel) -> Option<Result<Piece, InputError>> {
        Some(match Iterator::next(self)? {
            Ok(chunk) => Ok(of_chunk(chunk)),
            Err(lost) if self.goes_on() => Ok(of_lost(&lost)),
            Err(lost) => Err(lost.error),
        })
    }

    fn watch(&self) -> InputWatch {
        self.watch()
    }

    fn total(&self) -> Total {
        self.total_bytes().map_or(Total::Unknown, Total::Bytes)
    }
}

fn of_chunk(chunk: Chunk) -> Piece {
    Piece {
        index: chunk.index,
        source: ArgumentSource::Chunk {
            input: Arc::clone(&chunk.source.name),
            range: chunk.range.clone(),
        },
        position: chunk.position,
        size: chunk.len(),
        held: chunk.held(),
        input: TaskInput::Ready(Arguments::Chunk(chunk)),
        start_by: None,
        #[cfg(feature = "history")]
        kept: None,
    }
}

/// A task that fails, for an input that cannot be read.
fn of_lost(lost: &LostInput) -> Piece {
    let cause = std::error::Error::source(&lost.error);
    let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
    let mut failure = Failure::new(FailureCode::BadInput, format!("{}{cause}", lost.error));
    failure.is_input_error = true;
    Piece {
        index: lost.index,
        source: ArgumentSource::Chunk {
            input: Arc::clone(&lost.source.name),
            range: lost.offset..lost.offset,
        },
        position: lost.position,
        size: Some(0),
        held: PIECE_OVERHEAD,
        input: TaskInput::Refused(failure),
        start_by: None,
        #[cfg(feature = "history")]
        kept: None,
    }
}

/// What a task costs to keep beside its arguments' bytes.
const PIECE_OVERHEAD: u64 = 128;

/// One argument list as it came, with its place where that is known.
pub(crate) struct Given {
    pub(crate) source: ArgumentSource,
    /// Packed; or why they cannot be called with, which fails their task alone.
    pub(crate) arguments: Result<Vec<PackedArgument>, Failure>,
}

/// The failure of a task whose arguments do not fit.
pub(crate) fn refused(function: &impl std::fmt::Display, error: &ArgumentError) -> Failure {
    Failure::new(FailureCode::BadInput, format!("`{function}`: {error}"))
}

impl Given {
    /// Arguments for `function`, packed where they are read.
    pub(crate) fn pack<P: Params, R>(function: &Callable<P, R>, arguments: P::At<'_>) -> Self {
        Self {
            source: ArgumentSource::Arguments,
            arguments: function
                .pack(arguments)
                .map_err(|error| refused(function.signature(), &error)),
        }
    }

    fn piece(self, index: u64) -> Piece {
        let size = |argument: &PackedArgument| match argument {
            PackedArgument::Value(value) => value.len() as u64,
            PackedArgument::Reference { .. } => 0,
        };
        let (size, input) = match self.arguments {
            Err(failure) => (0, TaskInput::Refused(failure)),
            Ok(arguments) => (arguments.iter().map(size).sum(), ready(arguments)),
        };
        Piece {
            index: ChunkIndex(index),
            source: self.source,
            position: index,
            size: Some(size),
            held: size + PIECE_OVERHEAD,
            input,
            start_by: None,
            #[cfg(feature = "history")]
            kept: None,
        }
    }
}

/// Arguments by value as they stand; by name they are looked up on the engine.
fn ready(arguments: Vec<PackedArgument>) -> TaskInput {
    let is_value = |argument: &PackedArgument| matches!(argument, PackedArgument::Value(_));
    if !arguments.iter().all(is_value) {
        return TaskInput::Named(arguments);
    }
    let values = arguments.into_iter().filter_map(|argument| match argument {
        PackedArgument::Value(value) => Some(value),
        PackedArgument::Reference { .. } => None,
    });
    TaskInput::Ready(Arguments::Values(values.collect()))
}

/// Argument lists from an iterator, endless ones too.
pub(crate) struct Listed<I> {
    items: I,
    next: u64,
    total: Total,
}

impl<I: Iterator<Item = Result<Given, InputError>> + Send> Listed<I> {
    /// `count` is how many there are, where that is known.
    pub(crate) fn new(items: I, count: Option<u64>) -> Self {
        Self {
            items,
            next: 0,
            total: count.map_or(Total::Unknown, Total::Tasks),
        }
    }
}

impl<I: Iterator<Item = Result<Given, InputError>> + Send> Pieces for Listed<I> {
    fn next(&mut self, _: &Cancel) -> Option<Result<Piece, InputError>> {
        let given = self.items.next()?;
        let index = self.next;
        self.next += 1;
        Some(given.map(|given| given.piece(index)))
    }

    fn total(&self) -> Total {
        self.total
    }
}

/// Argument lists from an async stream, which is polled on the reader's thread.
pub(crate) struct Streamed<S> {
    items: Pin<Box<S>>,
    next: u64,
}

impl<S: Stream<Item = Given> + Send> Streamed<S> {
    pub(crate) fn new(items: S) -> Self {
        Self {
            items: Box::pin(items),
            next: 0,
        }
    }
}

impl<S: Stream<Item = Given> + Send> Pieces for Streamed<S> {
    fn next(&mut self, stop: &Cancel) -> Option<Result<Piece, InputError>> {
        let mut stopped = std::pin::pin!(stop.wanted());
        let items = &mut self.items;
        let given = pollster::block_on(std::future::poll_fn(|context| {
            if stopped.as_mut().poll(context).is_ready() {
                return std::task::Poll::Ready(None);
            }
            items.as_mut().poll_next(context)
        }))?;
        let index = self.next;
        self.next += 1;
        Some(Ok(given.piece(index)))
    }

    fn total(&self) -> Total {
        Total::Unknown
    }
}
