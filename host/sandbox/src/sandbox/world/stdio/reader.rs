//! An input as WASI 0.3 reads it: by the runtime's interface for bytes that may come later.

use super::Stdin;
use crate::lock::lock;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime_wasi::p2::StreamError;

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

/// The same input, as WASI 0.3 reads it.
pub(super) struct StdinReader {
    stdin: Stdin,
    turns: Turns,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl StdinReader {
    pub(super) fn new(stdin: Stdin) -> Self {
        Self {
            stdin,
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
