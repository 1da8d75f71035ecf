//! The elements of running tasks on their way from engines to the one handle that reads them, each task's in its order.
//!
//! A task waits while it has more than [`ROOM`] bytes here that nobody has read. What it has left here when it ends stays until
//! its turn comes.

use bytes::Bytes;
use rwasm_sandbox::element::ElementSink;
use rwasm_sandbox::lock::lock;
use rwasm_value::value::codec::Reader;
use rwasm_value::value::{Malformed, Packed, Type, skip};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

/// A task gives no more while it has this much unread: enough that neither side waits for the other at each element.
const ROOM: usize = 1 << 20;

/// See the [module](self).
#[derive(Default)]
pub(crate) struct ElementBuffers(Mutex<State>);

#[derive(Default)]
struct State {
    tasks: BTreeMap<u64, Buffer>,
    /// The task that was read last, so that all have their turn.
    last: u64,
    /// Whoever waits for elements: of this task, or of any.
    reader: Option<(Option<u64>, Waker)>,
    /// Nobody reads any more.
    is_closed: bool,
}

/// What a task has given that is not read.
#[derive(Default)]
struct Buffer {
    packed: Vec<u8>,
    count: usize,
    /// The task, if it waits for room.
    waiting: Option<Waker>,
}

impl ElementBuffers {
    /// Takes what there is: of this task, or of any.
    pub(crate) fn poll_take(
        &self,
        task: Option<u64>,
        context: &mut Context<'_>,
    ) -> Poll<ElementBatch> {
        let mut state = lock(&self.0);
        if let Some(batch) = state.take(task) {
            return Poll::Ready(batch);
        }
        state.reader = Some((task, context.waker().clone()));
        Poll::Pending
    }

    /// Takes what a task that has ended has left.
    pub(crate) fn take(&self, task: u64) -> Option<ElementBatch> {
        lock(&self.0).take(Some(task))
    }

    /// Forgets a task that has ended, and says whether it has given anything.
    pub(crate) fn forget(&self, task: u64) -> bool {
        lock(&self.0).tasks.remove(&task).is_some()
    }

    /// The bytes of a task that are not read.
    pub(crate) fn held(&self, task: u64) -> u64 {
        let state = lock(&self.0);
        let buffer = state.tasks.get(&task);
        buffer.map_or(0, |buffer| buffer.packed.len() as u64)
    }

    /// Lets go of everything, since nobody reads any more: no task waits from now on.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.0);
        state.is_closed = true;
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        for buffer in tasks.into_values() {
            buffer.waiting.into_iter().for_each(Waker::wake);
        }
    }
}

impl State {
    fn take(&mut self, task: Option<u64>) -> Option<ElementBatch> {
        let index = match task {
            Some(task) => task,
            None => self.next()?,
        };
        let buffer = self.tasks.get_mut(&index)?;
        if buffer.count == 0 {
            return None;
        }
        self.last = index;
        if let Some(waker) = buffer.waiting.take() {
            waker.wake();
        }
        Some(ElementBatch {
            index,
            packed: std::mem::take(&mut buffer.packed).into(),
            count: std::mem::take(&mut buffer.count),
        })
    }

    /// The next task that has something, after the one that was read last.
    fn next(&self) -> Option<u64> {
        let behind = (Bound::Excluded(self.last), Bound::Unbounded);
        let all = self.tasks.range(behind).chain(self.tasks.iter());
        let mut having = all.filter(|(_, buffer)| buffer.count > 0);
        having.next().map(|(index, _)| *index)
    }
}

impl ElementSink for ElementBuffers {
    fn poll_room(&self, task: u64, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        if state.is_closed {
            return Poll::Ready(());
        }
        match state.tasks.get_mut(&task) {
            Some(buffer) if buffer.packed.len() >= ROOM => {
                buffer.waiting = Some(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    fn put(&self, task: u64, count: usize, packed: &[u8]) {
        let mut state = lock(&self.0);
        if state.is_closed {
            return;
        }
        let buffer = state.tasks.entry(task).or_default();
        buffer.packed.extend_from_slice(packed);
        buffer.count += count;
        let is_awaited = |wanted: Option<u64>| wanted.is_none_or(|wanted| wanted == task);
        let reader = state.reader.take_if(|(wanted, _)| is_awaited(*wanted));
        drop(state);
        if let Some((_, waker)) = reader {
            waker.wake();
        }
    }
}

/// Consecutive elements of a task, in packed form.
pub(crate) struct ElementBatch {
    pub(crate) index: u64,
    pub(crate) packed: Bytes,
    pub(crate) count: usize,
}

impl ElementBatch {
    /// Takes the first of them.
    pub(crate) fn next(&mut self, ty: &Type) -> Option<Result<Packed, Malformed>> {
        self.count = self.count.checked_sub(1)?;
        let length = match skip(&mut Reader::new(&self.packed), ty) {
            Ok(element) => element.len(),
            Err(error) => {
                self.count = 0;
                return Some(Err(error));
            }
        };
        let element = self.packed.split_to(length);
        Some(Ok(Packed::from_payload(ty.clone(), element)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(buffers: &ElementBuffers, task: Option<u64>) -> Option<(u64, Vec<u8>)> {
        match buffers.poll_take(task, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(batch) => Some((batch.index, batch.packed.to_vec())),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_task_waits_while_much_of_it_is_unread_and_no_longer() {
        let buffers = ElementBuffers::default();
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let half = vec![7; ROOM / 2];
        for _ in 0..2 {
            assert!(buffers.poll_room(3, &mut context).is_ready());
            buffers.put(3, half.len(), &half);
        }
        assert!(buffers.poll_room(3, &mut context).is_pending());
        assert!(buffers.poll_room(4, &mut context).is_ready());
        assert_eq!(buffers.held(3), ROOM as u64);
        assert_eq!(read(&buffers, Some(4)), None);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        assert_eq!(read(&buffers, Some(3)), Some((3, vec![7; ROOM])));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(buffers.poll_room(3, &mut context).is_ready());
        buffers.put(3, half.len(), &half);
        buffers.put(3, half.len(), &half);
        assert!(buffers.poll_room(3, &mut context).is_pending());
        buffers.close();
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert!(buffers.poll_room(3, &mut context).is_ready());
        buffers.put(3, 1, &[7]);
        assert_eq!(buffers.held(3), 0);
    }

    #[test]
    fn whoever_waits_for_elements_hears_of_the_first_and_reads_all_tasks_in_turn() {
        let buffers = ElementBuffers::default();
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        assert!(buffers.poll_take(None, &mut context).is_pending());
        buffers.put(1, 1, &[1]);
        buffers.put(1, 1, &[2]);
        buffers.put(2, 1, &[3]);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(read(&buffers, None), Some((1, vec![1, 2])));
        buffers.put(1, 1, &[4]);
        assert_eq!(read(&buffers, None), Some((2, vec![3])));
        assert_eq!(read(&buffers, None), Some((1, vec![4])));
        assert_eq!(read(&buffers, None), None);
        buffers.put(1, 2, &[5, 6]);
        let mut rest = buffers.take(1).expect("there is a rest");
        assert!(buffers.take(1).is_none());
        assert!(buffers.forget(1));
        assert!(!buffers.forget(1));
        let mut next = || {
            rest.next(&Type::U8)
                .map(|element| element.map(|one| one.payload()[0]))
        };
        assert_eq!(next(), Some(Ok(5)));
        assert_eq!(next(), Some(Ok(6)));
        assert_eq!(next(), None);
    }
}
