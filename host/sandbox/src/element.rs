//! The elements of a stream or a future that a task returns, on their way to whoever reads them while it runs.

use std::task::{Context, Poll};

/// Takes the elements that tasks return, in the order in which each task gives them.
#[doc(hidden)]
pub trait ElementSink: Send + Sync {
    /// Waits until `task` may give more. How much that is at most, who gives it decides: one element, or a few small ones.
    fn poll_room(&self, task: u64, context: &mut Context<'_>) -> Poll<()>;

    /// Takes `count` elements of `task`, in packed form one after the other.
    fn put(&self, task: u64, count: usize, packed: &[u8]);
}
