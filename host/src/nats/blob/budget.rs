//! Reading whole objects within a budget of bytes: as many as an object has are charged before any of it is fetched,
//! and given back when what was read is dropped.

use super::{BlobError, Blobs, Length};
use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The bytes of objects that are read and held at a time. Who finds no room waits, in turn.
pub(crate) struct ReadBudget {
    room: Semaphore,
    most: u32,
}

impl ReadBudget {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            room: Semaphore::new(most as usize),
            most,
        }
    }

    /// Waits for room for so many bytes. An object larger than the whole budget takes all of it, and is held alone.
    async fn charge(&self, size: u64) -> Option<SemaphorePermit<'_>> {
        let size = u32::try_from(size).unwrap_or(u32::MAX).min(self.most);
        // It is never closed.
        self.room.acquire_many(size).await.ok()
    }
}

/// An object that was read within a budget.
pub(crate) struct Charged<'a> {
    pub(crate) bytes: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

impl Blobs {
    /// Returns the whole object, if it has at most `limit` bytes, once there is room for it.
    pub(crate) async fn get_within<'a>(
        &self,
        name: &str,
        limit: u64,
        budget: &'a ReadBudget,
    ) -> Result<Charged<'a>, BlobError> {
        let pieces = self.object(name, Length::AtMost(limit)).await?;
        let room = budget.charge(pieces.size()).await;
        Ok(Charged {
            bytes: pieces.all().await?,
            _room: room,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn poll(budget: &ReadBudget, size: u64) -> Poll<Option<SemaphorePermit<'_>>> {
        let charge = std::pin::pin!(budget.charge(size));
        charge.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_finds_no_room_waits_and_the_largest_is_held_alone() {
        let budget = ReadBudget::new(100);
        let Poll::Ready(Some(half)) = poll(&budget, 60) else {
            panic!("there is room")
        };
        assert!(poll(&budget, 41).is_pending());
        assert!(poll(&budget, 40).is_ready());
        assert!(poll(&budget, u64::MAX).is_pending());
        drop(half);
        let Poll::Ready(Some(all)) = poll(&budget, u64::MAX) else {
            panic!("nothing else is held")
        };
        assert!(poll(&budget, 1).is_pending());
        drop(all);
        assert!(poll(&budget, 1).is_ready());
    }
}
