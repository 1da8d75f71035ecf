//! The elements of a result for whoever reads them while its task runs.

use crate::element::ElementSink;
use crate::sandbox::module::Function;
use crate::sandbox::world::request::Request;
use crate::sandbox::world::state::GuestState;
use crate::sandbox::world::stdio::OutputLimitPassed;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Who reads the elements of a result while its task runs.
pub(super) struct Live {
    sink: Arc<dyn ElementSink>,
    task: u64,
    /// What a single element may have.
    pub(super) limit: usize,
}

impl Live {
    /// None if nobody does, or there are none.
    pub(super) fn of(function: &Function, request: &Request<'_>) -> Option<Self> {
        function.elementwise()?;
        Some(Self {
            sink: Arc::clone(request.surroundings.elements.as_ref()?),
            task: request.surroundings.task,
            limit: request.setting.limits.output.as_usize(),
        })
    }

    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        self.sink.poll_room(self.task, context)
    }

    /// Hands on elements in packed form; the largest of them has this many bytes.
    pub(super) fn put(
        &self,
        store: &mut GuestState,
        count: usize,
        packed: &[u8],
        largest: usize,
    ) -> Result<(), OutputLimitPassed> {
        if largest > self.limit {
            return Err(OutputLimitPassed);
        }
        store.delivered += packed.len() as u64;
        self.sink.put(self.task, count, packed);
        Ok(())
    }
}
