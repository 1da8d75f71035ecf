//! Feeds of events and notes to listeners: bounded in number and in bytes, and never waited for. A slow listener learns
//! how much it has missed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The most that waits in one feed, in bytes.
const MOST_BYTES: usize = 16 << 20;

/// The most that waits in all feeds of the process, in bytes.
const MOST_BYTES_OF_ALL: usize = 64 << 20;

/// What waits in all feeds of the process, in bytes.
static WAITING_BYTES: AtomicUsize = AtomicUsize::new(0);

/// An item that can report missed items of its kind.
pub(crate) trait Missable: Clone + Send + 'static {
    /// Reports that this many were missed.
    fn missed(count: u64) -> Self;

    /// Returns how many bytes of memory it takes, about.
    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

/// The end of a feed that emits. Cheap to clone; the feed ends with the last clone.
pub(crate) struct Sender<T: Missable>(Arc<End<T>>);

struct End<T: Missable>(Arc<Shared<T>>);

struct Shared<T> {
    /// The most items that wait.
    most: usize,
    ring: Mutex<Ring<T>>,
}

struct Ring<T> {
    /// What somebody has not taken yet, in order.
    waiting: VecDeque<Waiting<T>>,
    /// The number of the first of them. Items are numbered from 0.
    first: u64,
    bytes: usize,
    listeners: usize,
    /// The listener that comes next.
    next_listener: u64,
    wakers: Vec<(u64, Waker)>,
    is_over: bool,
}

struct Waiting<T> {
    /// `None` if there was no room for it.
    item: Option<T>,
    size: usize,
    /// How many listeners have not taken it.
    left: usize,
}

impl<T: Missable> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Missable> Sender<T> {
    /// A feed in which at most so many items wait for a listener.
    pub(crate) fn new(most: usize) -> Self {
        let ring = Ring {
            waiting: VecDeque::new(),
            first: 0,
            bytes: 0,
            listeners: 0,
            next_listener: 0,
            wakers: Vec::new(),
            is_over: false,
        };
        Self(Arc::new(End(Arc::new(Shared {
            most,
            ring: Mutex::new(ring),
        }))))
    }

    /// Whether there is any listener.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.0.lock().listeners > 0
    }

    /// Emits an item to all who listen now. The oldest ones that wait make room for it.
    pub(crate) fn send(&self, item: T) {
        let mut ring = self.0.0.lock();
        if ring.listeners > 0 {
            ring.push(item, self.0.0.most);
            let wakers = std::mem::take(&mut ring.wakers);
            drop(ring);
            wake(wakers);
        }
    }

    /// Listens from now on.
    pub(crate) fn listen(&self) -> Feed<T> {
        let mut ring = self.0.0.lock();
        let listener = ring.next_listener;
        ring.next_listener += 1;
        ring.listeners += 1;
        Feed(Some(Listening {
            shared: Arc::clone(&self.0.0),
            listener,
            next: ring.first + ring.waiting.len() as u64,
        }))
    }
}

impl<T: Missable> Drop for End<T> {
    fn drop(&mut self) {
        let mut ring = self.0.lock();
        ring.is_over = true;
        let wakers = std::mem::take(&mut ring.wakers);
        drop(ring);
        wake(wakers);
    }
}

fn wake(wakers: Vec<(u64, Waker)>) {
    for (_, waker) in wakers {
        waker.wake();
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Ring<T>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Missable> Ring<T> {
    fn push(&mut self, item: T, most: usize) {
        let size = item.size();
        let left = self.listeners;
        let mut held = WAITING_BYTES.fetch_add(size, Ordering::Relaxed) + size;
        self.bytes += size;
        while !self.waiting.is_empty()
            && (self.waiting.len() >= most || self.bytes > MOST_BYTES || held > MOST_BYTES_OF_ALL)
        {
            held = held.saturating_sub(self.drop_first());
        }
        let fits = self.bytes <= MOST_BYTES && held <= MOST_BYTES_OF_ALL;
        let waiting = if fits {
            Waiting {
                item: Some(item),
                size,
                left,
            }
        } else {
            self.bytes -= size;
            WAITING_BYTES.fetch_sub(size, Ordering::Relaxed);
            Waiting {
                item: None,
                size: 0,
                left,
            }
        };
        self.waiting.push_back(waiting);
    }

    /// Drops the first item, and returns its size.
    fn drop_first(&mut self) -> usize {
        let Some(first) = self.waiting.pop_front() else {
            return 0;
        };
        self.first += 1;
        self.bytes -= first.size;
        WAITING_BYTES.fetch_sub(first.size, Ordering::Relaxed);
        first.size
    }

    /// Takes the item of that number for one listener.
    fn take(&mut self, next: &mut u64) -> Option<T> {
        let missed = self.first.saturating_sub(*next);
        if missed > 0 {
            *next = self.first;
            return Some(T::missed(missed));
        }
        let place = usize::try_from(*next - self.first).ok()?;
        let waiting = self.waiting.get_mut(place)?;
        *next += 1;
        waiting.left -= 1;
        let item = if waiting.left == 0 {
            waiting.item.take()
        } else {
            waiting.item.clone()
        };
        self.drop_taken();
        Some(item.unwrap_or_else(|| T::missed(1)))
    }

    /// Drops the first items as far as everybody has them.
    fn drop_taken(&mut self) {
        while self.waiting.front().is_some_and(|first| first.left == 0) {
            self.drop_first();
        }
    }
}

/// One listener's end of a feed. `None` at the end.
pub(crate) struct Feed<T: Missable>(Option<Listening<T>>);

struct Listening<T: Missable> {
    shared: Arc<Shared<T>>,
    listener: u64,
    /// The number of the item to take next.
    next: u64,
}

impl<T: Missable> Feed<T> {
    /// A feed that has already ended.
    pub(crate) fn ended() -> Self {
        Self(None)
    }

    pub(crate) fn try_next(&mut self) -> Option<T> {
        let listening = self.0.as_mut()?;
        listening.shared.lock().take(&mut listening.next)
    }

    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(listening) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let mut ring = listening.shared.lock();
        if let Some(item) = ring.take(&mut listening.next) {
            return Poll::Ready(Some(item));
        }
        if !ring.is_over {
            let listener = listening.listener;
            ring.wakers.retain(|(other, _)| *other != listener);
            ring.wakers.push((listener, context.waker().clone()));
            return Poll::Pending;
        }
        drop(ring);
        self.0 = None;
        Poll::Ready(None)
    }
}

impl<T: Missable> Drop for Listening<T> {
    fn drop(&mut self) {
        let mut ring = self.shared.lock();
        ring.listeners -= 1;
        ring.wakers.retain(|(other, _)| *other != self.listener);
        let first = ring.first;
        let taken = usize::try_from(self.next.saturating_sub(first)).unwrap_or(usize::MAX);
        for waiting in ring.waiting.iter_mut().skip(taken) {
            waiting.left -= 1;
        }
        ring.drop_taken();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    enum Item {
        Of(usize, u32),
        Missed(u64),
    }

    impl Missable for Item {
        fn missed(count: u64) -> Self {
            Self::Missed(count)
        }

        fn size(&self) -> usize {
            match self {
                Self::Of(size, _) => *size,
                Self::Missed(_) => 0,
            }
        }
    }

    fn all(feed: &mut Feed<Item>) -> Vec<Item> {
        std::iter::from_fn(|| feed.try_next()).collect()
    }

    #[test]
    fn the_oldest_make_room_and_each_listener_learns_what_it_missed() {
        let sender = Sender::new(3);
        let (mut quick, mut slow) = (sender.listen(), sender.listen());
        for number in 0..3 {
            sender.send(Item::Of(1, number));
        }
        assert_eq!(all(&mut quick).len(), 3);
        for number in 3..5 {
            sender.send(Item::Of(1, number));
        }
        assert_eq!(all(&mut quick), [Item::Of(1, 3), Item::Of(1, 4)]);
        let expected = [
            Item::Missed(2),
            Item::Of(1, 2),
            Item::Of(1, 3),
            Item::Of(1, 4),
        ];
        assert_eq!(all(&mut slow), expected);
        assert!(sender.0.0.lock().waiting.is_empty());
    }

    #[test]
    fn bytes_are_bounded_whatever_the_number() {
        let sender = Sender::new(1000);
        let mut feed = sender.listen();
        for number in 0..100 {
            sender.send(Item::Of(1 << 20, number));
            assert!(sender.0.0.lock().bytes <= MOST_BYTES);
        }
        let items = all(&mut feed);
        assert_eq!(items[0], Item::Missed(84));
        assert_eq!(items.len(), 17);
        // One that never fits is missed; those after it are not.
        sender.send(Item::Of(MOST_BYTES + 1, 0));
        sender.send(Item::Of(1, 1));
        assert_eq!(all(&mut feed), [Item::Missed(1), Item::Of(1, 1)]);
    }

    #[test]
    fn who_leaves_holds_nothing_back_and_who_stays_reaches_the_end() {
        let sender = Sender::new(10);
        let (leaves, mut stays) = (sender.listen(), sender.listen());
        sender.send(Item::Of(1, 0));
        assert_eq!(all(&mut stays).len(), 1);
        assert_eq!(sender.0.0.lock().waiting.len(), 1);
        drop(leaves);
        assert!(sender.0.0.lock().waiting.is_empty());
        sender.send(Item::Of(1, 1));
        drop(sender);
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(
            stays.poll_next(&mut context),
            Poll::Ready(Some(Item::Of(1, 1)))
        );
        assert_eq!(stays.poll_next(&mut context), Poll::Ready(None));
    }
}
