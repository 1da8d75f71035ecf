//! Maps over streams, and over iterators that wait.

use crate::support::{cluster, numbers, soon, until};
use futures_core::Stream;
use rwasm_cluster::TaskError;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// A stream that wakes whoever polls it before it gives anything, from another thread.
struct Slow {
    left: u64,
    is_due: bool,
}

impl Stream for Slow {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<u64>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.is_due = !self.is_due;
        if self.is_due {
            let waker = context.waker().clone();
            std::thread::spawn(move || waker.wake());
            return Poll::Pending;
        }
        self.left -= 1;
        Poll::Ready(Some(self.left))
    }
}

/// A stream that gives one thing and then never anything; it says when it is dropped.
struct Stuck(u64, Arc<AtomicUsize>);

impl Stream for Stuck {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u64>> {
        self.0 += 1;
        if self.0 == 1 {
            Poll::Ready(Some(1))
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream that panics.
struct Panics;

impl Stream for Panics {
    type Item = u64;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u64>> {
        panic!("the stream of a test panics on purpose");
    }
}

#[test]
fn streams_are_mapped_as_they_come() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let slow = Slow {
        left: 50,
        is_due: false,
    };
    let values = view.map_stream(&f.add_one, slow).unwrap().get().unwrap();
    assert!(values.into_iter().eq((1..=50).rev()));

    let dropped = Arc::new(AtomicUsize::new(0));
    let mut map = view
        .map_stream(&f.add_one, Stuck(0, Arc::clone(&dropped)))
        .unwrap();
    // What is there comes, though more is waited for.
    let (map, first) = soon("the first comes", move || {
        let first = map.next();
        (map, first)
    });
    assert_eq!(first.unwrap().unwrap(), 2);
    map.abort();
    let outcomes = soon("it ends", move || map.outcomes());
    assert!(outcomes.iter().all(Result::is_err));
    until("the stream is let go", || {
        dropped.load(Ordering::Relaxed) == 1
    });

    let map = view.map_stream(&f.add_one, Panics).unwrap();
    let outcomes = soon("it ends", move || map.outcomes());
    assert!(
        matches!(&*outcomes, [Err(TaskError::Job(_))]),
        "{outcomes:?}"
    );

    let map = view
        .map_stream(&f.add_one, Stuck(0, Arc::clone(&dropped)))
        .unwrap();
    drop(map);
    until("a dropped map lets its stream go", || {
        dropped.load(Ordering::Relaxed) == 2
    });
    let map = view
        .map_stream(&f.add_one, Stuck(0, Arc::clone(&dropped)))
        .unwrap();
    cluster.shutdown(Duration::ZERO);
    until("so does a shutdown", || {
        dropped.load(Ordering::Relaxed) == 3
    });
    drop(map);
}

#[test]
fn what_is_there_comes_though_the_iterator_waits() {
    let cluster = cluster(1);
    let f = numbers();
    for unordered in [false, true] {
        let mut view = cluster.load_balanced_view();
        if unordered {
            view = view.unordered();
        }
        let (sender, items) = std::sync::mpsc::channel::<u64>();
        let mut map = view.map(&f.add_one, items).unwrap();
        for n in 0..20 {
            sender.send(n).unwrap();
            let (back, value) = soon("the next comes", move || {
                let value = map.next();
                (map, value)
            });
            map = back;
            assert_eq!(value.unwrap().unwrap(), n + 1);
        }
        drop(sender);
        assert!(map.next().is_none());
    }
}
