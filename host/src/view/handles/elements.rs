//! `Elements`: what functions that return streams give, as it comes, and what its caller holds.

use super::errors::TaskError;
use super::job::{Canceller, ProgressHandle};
use super::map::Map;
use super::task::{Task, TaskInfo};
use crate::view::shared::elements::{ElementBatch, ElementBuffers};
use crate::view::shared::live::LiveNotes;
use crate::view::shared::result::{JobError, JobResult};
use futures_core::Stream;
use rwasm_sandbox::sandbox::Elementwise;
use rwasm_value::ids::JobId;
use rwasm_value::value::codec::Reader;
use rwasm_value::value::{FromWit, Packed, Type};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

/// An element, or the failure of a task, with the place of its task in the input.
type Placed<T> = (u64, Result<T, TaskError>);

/// The elements of the streams that one or more calls of a function return, as they come: a [`Stream`], and an iterator that
/// blocks. Made by an [`ElementView`](crate::ElementView).
///
/// The elements of a task come in its order. Those of several tasks come in the order of the input, or as they are there if the
/// view is unordered. A task that fails gives its elements up to then, and its failure after them.
///
/// A task goes on only as its elements are taken: it waits while 1 MiB of them is not. That is time of its time limit, and its
/// engine is not free meanwhile.
///
/// # Cancellation
/// Dropping it cancels whatever still runs.
#[must_use = "dropping elements cancels the tasks that give them"]
pub struct Elements<T> {
    of: Origin,
    buffers: Arc<ElementBuffers>,
    elementwise: Elementwise,
    ty: Type,
    /// The task whose elements come next; none if those of all come as they are there.
    turn: Option<u64>,
    /// What was taken and not given.
    batch: Option<ElementBatch>,
    /// A task that has ended, while its last elements are given.
    ended: Option<Placed<Packed>>,
    element: PhantomData<fn() -> T>,
}

/// Whose elements they are.
enum Origin {
    Call { task: Task<Packed>, has_ended: bool },
    Map(Box<Map<Packed>>),
}

impl Origin {
    /// The outcome of the next task: its value is what of it was not read while it ran.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Placed<Packed>>> {
        match self {
            Self::Call { has_ended, .. } if *has_ended => Poll::Ready(None),
            Self::Call { task, has_ended } => {
                let value = ready!(Pin::new(task).poll(context));
                *has_ended = true;
                Poll::Ready(Some((0, value)))
            }
            Self::Map(map) => map.poll_taken(context),
        }
    }
}

impl<T> Elements<T> {
    pub(crate) fn of_call(
        task: Task<Packed>,
        buffers: Arc<ElementBuffers>,
        elementwise: Elementwise,
    ) -> Self {
        let of = Origin::Call {
            task,
            has_ended: false,
        };
        Self::new(of, buffers, elementwise, false)
    }

    pub(crate) fn of_map(
        map: Map<Packed>,
        buffers: Arc<ElementBuffers>,
        elementwise: Elementwise,
        unordered: bool,
    ) -> Self {
        Self::new(Origin::Map(Box::new(map)), buffers, elementwise, unordered)
    }

    fn new(
        of: Origin,
        buffers: Arc<ElementBuffers>,
        elementwise: Elementwise,
        unordered: bool,
    ) -> Self {
        Self {
            of,
            buffers,
            ty: elementwise.ty(),
            elementwise,
            turn: (!unordered).then_some(0),
            batch: None,
            ended: None,
            element: PhantomData,
        }
    }

    /// Returns the id of the call or job, which dependencies refer to.
    #[must_use]
    pub fn id(&self) -> JobId {
        match &self.of {
            Origin::Call { task, .. } => task.id(),
            Origin::Map(map) => map.id(),
        }
    }

    /// Returns whether they are pieces of a stream of bytes, which belong together.
    #[must_use]
    pub fn are_pieces(&self) -> bool {
        self.elementwise == Elementwise::Bytes
    }

    /// Cancels what runs, and returns at once. Elements that are there can still be taken.
    pub fn abort(&self) {
        self.canceller().cancel();
    }

    /// Returns a handle that can cancel it from elsewhere.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        match &self.of {
            Origin::Call { task, .. } => task.canceller(),
            Origin::Map(map) => map.canceller(),
        }
    }

    /// Returns a handle to the progress of a map or a run.
    #[must_use]
    pub fn progress(&self) -> Option<ProgressHandle> {
        match &self.of {
            Origin::Call { .. } => None,
            Origin::Map(map) => Some(map.progress()),
        }
    }

    /// Returns what is known of a single call, once it has ended.
    #[must_use]
    pub fn info(&self) -> Option<TaskInfo> {
        match &self.of {
            Origin::Call { task, .. } => task.info(),
            Origin::Map(_) => None,
        }
    }

    /// Returns the result of a map or a run, once everything was taken and unless it ended with an error of its own: see
    /// [`Map::result`].
    #[must_use]
    pub fn result(&self) -> Option<&JobResult> {
        match &self.of {
            Origin::Call { .. } => None,
            Origin::Map(map) => map.result(),
        }
    }

    /// Returns why a map or a run ended before its input did, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&JobError> {
        match &self.of {
            Origin::Call { .. } => None,
            Origin::Map(map) => map.error(),
        }
    }

    /// Returns the time since its submission, up to its end if it has ended.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &self.of {
            Origin::Call { task, .. } => task.elapsed(),
            Origin::Map(map) => map.elapsed(),
        }
    }

    /// Returns what its tasks print, log and publish from now on, as it happens.
    #[must_use]
    pub fn notes(&self) -> LiveNotes {
        match &self.of {
            Origin::Call { task, .. } => task.notes(),
            Origin::Map(map) => map.notes(),
        }
    }

    /// What a task has in its value: all that it gives, if nobody could read along, and otherwise nothing new.
    fn rest(&self, index: u64, value: &Packed, was_read: bool) -> Option<ElementBatch> {
        let payload = value.payload();
        let (skipped, count) = match &self.elementwise {
            Elementwise::Stream(_) => {
                let mut list = Reader::new(payload);
                let count = list.count(0).unwrap_or_default();
                (payload.len() - list.remaining(), count)
            }
            Elementwise::Bytes => (0, usize::from(payload.len() > 1)),
            Elementwise::Future(_) => (0, usize::from(!was_read)),
        };
        (count > 0).then(|| ElementBatch {
            index,
            packed: payload.slice(skipped..),
            count,
        })
    }
}

impl<T: FromWit> Elements<T> {
    /// Blocks for the next element, or the failure of a task, with the position of its task in the input. Returns `None` if
    /// there are no more.
    pub fn next_element(&mut self) -> Option<Placed<T>> {
        pollster::block_on(std::future::poll_fn(|context| self.poll_element(context)))
    }

    /// Returns the next element if it is already there; `None` also if there are no more.
    pub fn try_next_element(&mut self) -> Option<Placed<T>> {
        match self.poll_element(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    fn poll_element(&mut self, context: &mut Context<'_>) -> Poll<Option<Placed<T>>> {
        loop {
            if let Some(batch) = &mut self.batch {
                let index = batch.index;
                if let Some(element) = batch.next(&self.ty) {
                    let unpacked = element.map_err(|error| error.to_string());
                    let unpacked =
                        unpacked.and_then(|one| one.unpack_as().map_err(|error| error.to_string()));
                    return Poll::Ready(Some((index, unpacked.map_err(TaskError::Internal))));
                }
                self.batch = None;
            }
            if let Some((index, ended)) = self.ended.take() {
                // What it gave before it ended, ...
                self.batch = self.buffers.take(index);
                if self.batch.is_some() {
                    self.ended = Some((index, ended));
                    continue;
                }
                // ... and what it came to.
                let was_read = self.buffers.forget(index);
                self.turn = self.turn.map(|_| index + 1);
                match ended {
                    Ok(value) => self.batch = self.rest(index, &value, was_read),
                    Err(error) => return Poll::Ready(Some((index, Err(error)))),
                }
                continue;
            }
            if let Poll::Ready(batch) = self.buffers.poll_take(self.turn, context) {
                self.batch = Some(batch);
                continue;
            }
            match ready!(self.of.poll(context)) {
                None => return Poll::Ready(None),
                ended => self.ended = ended,
            }
        }
    }
}

impl<T: FromWit> Stream for Elements<T> {
    type Item = Result<T, TaskError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.poll_element(context));
        Poll::Ready(item.map(|(_, element)| element))
    }
}

impl<T: FromWit> Iterator for Elements<T> {
    type Item = Result<T, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_element()?.1)
    }
}

impl<T> Drop for Elements<T> {
    fn drop(&mut self) {
        self.buffers.close();
    }
}
