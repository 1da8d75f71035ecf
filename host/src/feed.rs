//! Feeds of events and notes to listeners: bounded, and never waited for. A slow listener learns how
//! much it has missed.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// An item that can report missed items of its kind.
pub(crate) trait Missable: Clone + Send + 'static {
    /// Reports that this many were missed.
    fn missed(count: u64) -> Self;
}

type Next<T> = Pin<Box<dyn Future<Output = (Receiver<T>, Result<T, RecvError>)> + Send>>;

/// One listener's end of a feed.
pub(crate) struct Feed<T> {
    /// `None` at the end, and while `next` has it.
    receiver: Option<Receiver<T>>,
    next: Option<Next<T>>,
}

impl<T: Missable> Feed<T> {
    pub(crate) fn new(receiver: Receiver<T>) -> Self {
        Self {
            receiver: Some(receiver),
            next: None,
        }
    }

    /// A feed that has already ended.
    pub(crate) fn ended() -> Self {
        Self {
            receiver: None,
            next: None,
        }
    }

    pub(crate) fn try_next(&mut self) -> Option<T> {
        if self.next.is_some() {
            // Somebody polled before; whoever polls again leaves a waker anew.
            let mut context = Context::from_waker(Waker::noop());
            return match self.poll_next(&mut context) {
                Poll::Ready(item) => item,
                Poll::Pending => None,
            };
        }
        match self.receiver.as_mut()?.try_recv() {
            Ok(item) => Some(item),
            Err(TryRecvError::Lagged(count)) => Some(T::missed(count)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let next = match (&mut self.next, self.receiver.take()) {
            (Some(next), _) => next,
            (next, Some(mut receiver)) => next.insert(Box::pin(async move {
                let item = receiver.recv().await;
                (receiver, item)
            })),
            (None, None) => return Poll::Ready(None),
        };
        let Poll::Ready((receiver, item)) = next.as_mut().poll(context) else {
            return Poll::Pending;
        };
        self.next = None;
        let item = match item {
            Ok(item) => item,
            Err(RecvError::Lagged(count)) => T::missed(count),
            Err(RecvError::Closed) => return Poll::Ready(None),
        };
        self.receiver = Some(receiver);
        Poll::Ready(Some(item))
    }
}

/// Defines a public type around a feed: a stream, a blocking iterator, and a non-blocking look.
macro_rules! feed {
    ($(#[$doc:meta])* $name:ident($item:ty)) => {
        $(#[$doc])*
        pub struct $name(pub(crate) $crate::feed::Feed<$item>);

        impl $name {
            /// Returns the next item if it has already arrived, without waiting.
            pub fn try_next(&mut self) -> Option<$item> {
                self.0.try_next()
            }
        }

        impl futures_core::Stream for $name {
            type Item = $item;

            fn poll_next(
                mut self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<$item>> {
                self.0.poll_next(context)
            }
        }

        impl Iterator for $name {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                pollster::block_on(std::future::poll_fn(|context| self.0.poll_next(context)))
            }
        }
    };
}

pub(crate) use feed;
