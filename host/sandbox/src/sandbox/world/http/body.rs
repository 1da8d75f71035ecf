//! The body of a response, as it comes in: piece by piece, as the guest reads it. What has arrived and is not read yet is
//! never more than the connection's buffer.

use super::super::pending::Call;
use super::errors::told;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;
use wasmtime_wasi_http::Error;

/// The body of a response.
pub(super) struct Received {
    incoming: Incoming,
    patience: Option<Patience>,
    /// The request, which goes on until the body has ended.
    call: Option<Arc<Call>>,
}

/// How long the guest waits for the next piece.
struct Patience {
    time: Duration,
    /// Begins when the guest first waits for a piece: one that it does not ask for does not come.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Received {
    /// The body of a request that is one of the guest's calls, with the longest time between two pieces.
    pub(super) fn new(incoming: Incoming, between: Option<Duration>, call: Arc<Call>) -> Self {
        let patience = between.map(|time| Patience { time, sleep: None });
        let call = Some(call);
        Self {
            incoming,
            patience,
            call,
        }
    }
}

impl Patience {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(self.time)));
        sleep.as_mut().poll(context)
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let ended = match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(patience) = &mut this.patience {
                    patience.sleep = None;
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => Some(Err(told(error))),
            Poll::Ready(None) => None,
            Poll::Pending => {
                let patience = this.patience.as_mut();
                if patience.is_none_or(|patience| patience.poll(context).is_pending()) {
                    return Poll::Pending;
                }
                Some(Err(Error::ConnectionReadTimeout))
            }
        };
        this.call = None;
        Poll::Ready(ended)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
