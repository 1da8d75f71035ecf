//! The request to stop: set once by the owner of the work, seen by the guest that runs it.
//!
//! A guest that computes sees the flag when its epoch ends; one that waits is dropped when
//! notified. Neither side waits for the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// A request to stop, shared by any number of tasks.
#[derive(Clone, Debug, Default)]
#[doc(hidden)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    wanted: AtomicBool,
    notice: Notify,
}

impl Cancel {
    /// Asks all tasks that share this to stop.
    #[doc(hidden)]
    pub fn cancel(&self) {
        self.0.wanted.store(true, Ordering::Release);
        self.0.notice.notify_waiters();
    }

    /// Whether a stop was requested.
    #[doc(hidden)]
    pub fn is_wanted(&self) -> bool {
        self.0.wanted.load(Ordering::Acquire)
    }

    /// Resolves when a stop is requested.
    #[doc(hidden)]
    pub async fn wanted(&self) {
        let notice = self.0.notice.notified();
        tokio::pin!(notice);
        // Registered before the flag is read, so that a request in between is not missed.
        notice.as_mut().enable();
        if !self.is_wanted() {
            notice.await;
        }
    }
}
