//! Locks of plain data, which a panic leaves valid.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks the data, even if a thread panicked while it held the lock.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
