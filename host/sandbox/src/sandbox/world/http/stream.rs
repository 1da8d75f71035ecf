//! What a connection may say before its response begins. HTTP allows any number of informational responses before it, none of
//! which a guest sees: a server that sends nothing else would keep the host busy.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that come before a response, with what has come of its body by then.
const MAX_BEFORE: usize = 4 * super::MAX_FIELDS;

/// A connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection of which not too much is read before its response begins.
pub(super) struct Patient {
    stream: Box<dyn Stream>,
    left: Arc<AtomicUsize>,
}

/// Lifts the bound of a connection, when its response has begun.
pub(super) struct Begun(Arc<AtomicUsize>);

impl Patient {
    pub(super) fn new(stream: Box<dyn Stream>) -> (Self, Begun) {
        let left = Arc::new(AtomicUsize::new(MAX_BEFORE));
        let begun = Begun(Arc::clone(&left));
        (Self { stream, left }, begun)
    }
}

impl Begun {
    pub(super) fn lift(self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if left != usize::MAX {
            let read = buffer.filled().len() - before;
            self.left
                .store(left.saturating_sub(read), Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
