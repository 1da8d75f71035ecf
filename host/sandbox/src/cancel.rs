//! The wish to stop: set once by whoever owns the work, seen by the guest that runs it.
//!
//! A guest that computes sees the flag when its epoch ends; one that waits is dropped when the
//! notice comes. Neither side waits for the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// A wish to stop that any number of tasks share.
#[derive(Clone, Debug, Default)]
#[doc(hidden)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    wanted: AtomicBool,
    notice: Notify,
}

impl Cancel {
    /// Asks every task that shares this to stop.
    #[doc(hidden)]
    pub fn cancel(&self) {
        self.0.wanted.store(true, Ordering::Release);
        self.0.notice.notify_waiters();
    }

    /// Whether stopping is asked for.
    #[doc(hidden)]
    pub fn is_wanted(&self) -> bool {
        self.0.wanted.load(Ordering::Acquire)
    }

    /// Comes back when stopping is asked for.
    #[doc(hidden)]
    pub async fn wanted(&self) {
        let notice = self.0.notice.notified();
        tokio::pin!(notice);
        // Enlisted before the flag is read, so that a wish between the two is not missed.
        notice.as_mut().enable();
        if !self.is_wanted() {
            notice.await;
        }
    }
}
