//! Reading whole objects within a budget of bytes: as many as an object has are charged before any of it is fetched,
//! and given back when what was read is dropped.

use super::{BlobError, Blobs, Length};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes of objects that are read and held at a time. Who finds no room waits, in turn.
pub(crate) struct ReadBudget {
    room: Arc<Semaphore>,
    most: u32,
}

impl ReadBudget {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            room: Arc::new(Semaphore::new(most as usize)),
            most,
        }
    }

    /// Waits for room for so many bytes. An object larger than the whole budget takes all of it, and is held alone.
    pub(crate) async fn charge(&self, size: u64) -> Charge {
        let size = u32::try_from(size).unwrap_or(u32::MAX).min(self.most);
        // It is never closed.
        Charge(Arc::clone(&self.room).acquire_many_owned(size).await.ok())
    }
}

/// Room in a budget, until this is dropped.
pub(crate) struct Charge(Option<OwnedSemaphorePermit>);

impl Charge {
    /// Gives back what is above so many bytes.
    pub(crate) fn shrink(&mut self, size: u64) {
        if let Some(permit) = &mut self.0 {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            drop(permit.split(permit.num_permits().saturating_sub(size)));
        }
    }
}

/// An object that was read within a budget.
pub(crate) struct Charged {
    pub(crate) bytes: Bytes,
    /// What it takes of the budget.
    pub(crate) room: Charge,
}

impl Blobs {
    /// Returns the whole object, if it has at most `limit` bytes, once there is room for it.
    pub(crate) async fn get_within(
        &self,
        name: &str,
        limit: u64,
        budget: &ReadBudget,
    ) -> Result<Charged, BlobError> {
        let pieces = self.object(name, Length::AtMost(limit)).await?;
        let room = budget.charge(pieces.size()).await;
        Ok(Charged {
            bytes: pieces.all().await?,
            room,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn poll(budget: &ReadBudget, size: u64) -> Poll<Charge> {
        let charge = std::pin::pin!(budget.charge(size));
        charge.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn room_that_is_not_needed_is_given_back() {
        let budget = ReadBudget::new(100);
        let Poll::Ready(mut held) = poll(&budget, 80) else {
            panic!("there is room");
        };
        assert!(poll(&budget, 50).is_pending());
        held.shrink(50);
        assert!(poll(&budget, 50).is_ready());
        assert!(poll(&budget, 51).is_pending());
        // It does not grow.
        held.shrink(90);
        assert!(poll(&budget, 51).is_pending());
        drop(held);
        assert!(poll(&budget, 100).is_ready());
    }

    #[test]
    fn what_finds_no_room_waits_and_the_largest_is_held_alone() {
        let budget = ReadBudget::new(100);
        let Poll::Ready(half) = poll(&budget, 60) else {
            panic!("there is room")
        };
        assert!(poll(&budget, 41).is_pending());
        assert!(poll(&budget, 40).is_ready());
        assert!(poll(&budget, u64::MAX).is_pending());
        drop(half);
        let Poll::Ready(all) = poll(&budget, u64::MAX) else {
            panic!("nothing else is held")
        };
        assert!(poll(&budget, 1).is_pending());
        drop(all);
        assert!(poll(&budget, 1).is_ready());
    }
}
