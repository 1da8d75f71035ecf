//! The standard streams as WASI 0.3 has them: by the runtime's interfaces for bytes that come or go later.

use super::super::flows::{End, Flows};
use super::{Sink, Stdin};
use crate::lock::lock;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, StreamError};

/// A standard stream of a guest, and what is known of all that flows.
#[derive(Clone)]
pub(in crate::sandbox) struct Flowing<S> {
    stream: S,
    flows: Flows,
}

impl<S: Clone> Flowing<S> {
    pub(in crate::sandbox) fn new(stream: &S, flows: &Flows) -> Self {
        Self {
            stream: stream.clone(),
            flows: flows.clone(),
        }
    }
}

impl<S> IsTerminal for Flowing<S> {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Flowing<Stdin> {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        let end = self.flows.source();
        Box::new(StdinReader::new(self.stream.clone(), end))
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.stream.clone())
    }
}

impl StdoutStream for Flowing<Sink> {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(SinkWriter {
            sink: self.stream.clone(),
            end: self.flows.sink(),
        })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.stream.clone())
    }
}

/// An output, as WASI 0.3 writes it.
struct SinkWriter {
    sink: Sink,
    end: End,
}

impl AsyncWrite for SinkWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let accepted = self.sink.accept(bytes);
        let accepted = accepted.map(|()| bytes.len());
        self.end
            .had_turn(Poll::Ready(accepted.map_err(std::io::Error::other)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Lets the runtime have a turn now and then while an input is always ready: its deadline would not be looked at while the
/// host moves all of it from one stream to another, where no guest computes.
#[derive(Default)]
pub(in crate::sandbox) struct Turns(u32);

impl Turns {
    /// The pieces of a turn: at most some MiB.
    const PIECES: u32 = 64;

    pub(in crate::sandbox) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0 += 1;
        if self.0 < Self::PIECES {
            return Poll::Ready(());
        }
        self.0 = 0;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// An input, as WASI 0.3 reads it.
struct StdinReader {
    stdin: Stdin,
    end: End,
    turns: Turns,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl StdinReader {
    fn new(stdin: Stdin, end: End) -> Self {
        Self {
            stdin,
            end,
            turns: Turns::default(),
            waiting: None,
        }
    }
}

impl AsyncRead for StdinReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = self.read(context, into);
        self.end.had_turn(read)
    }
}

impl StdinReader {
    fn read(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.turns.poll(context).is_pending() {
            return Poll::Pending;
        }
        while into.remaining() > 0 {
            match lock(&self.stdin.0.state).next(into.remaining()) {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => {
                    into.put_slice(&piece);
                    return Poll::Ready(Ok(()));
                }
                Err(StreamError::Closed) => return Poll::Ready(Ok(())),
                // What it was is kept beside it.
                Err(_) => return Poll::Ready(Err(std::io::ErrorKind::Other.into())),
            }
            let stdin = self.stdin.clone();
            let waiting = self
                .waiting
                .get_or_insert_with(|| Box::pin(async move { stdin.arrival().await }));
            if waiting.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.waiting = None;
        }
        Poll::Ready(Ok(()))
    }
}
