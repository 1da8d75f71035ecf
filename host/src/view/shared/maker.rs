//! How a call becomes a dispatch: what all calls of one function by one view have in common, and
//! what each has for itself.

use crate::backend::Backend;
use crate::dispatch::{Dispatch, DispatchPreset, DispatchedTask, Pushed, Reply, TaskInput};
use crate::placement::Eligible;
use rwasm_sandbox::element::ElementSink;
use rwasm_sandbox::note::Listener;
use rwasm_sandbox::sandbox::Callee;
use rwasm_value::ids::DispatchId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What all calls of one function by one view have in common.
#[derive(Clone)]
pub(crate) struct Maker {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) dispatch_ids: Arc<AtomicU64>,
    pub(crate) callee: Callee,
    pub(crate) preset: DispatchPreset,
}

/// What a call has for itself.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) input: TaskInput,
    pub(crate) pushed: Option<Arc<Pushed>>,
    pub(crate) eligible: Eligible,
    pub(crate) attempt: u32,
    /// Who reads the elements of its result while it runs.
    pub(crate) elements: Option<Arc<dyn ElementSink>>,
}

impl Prepared {
    pub(crate) fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    pub(crate) fn eligible(mut self, eligible: Eligible) -> Self {
        self.eligible = eligible;
        self
    }
}

impl Maker {
    pub(crate) fn dispatch(
        &self,
        call: Prepared,
        reply: Arc<dyn Reply>,
        listener: Arc<dyn Listener>,
    ) -> Arc<Dispatch> {
        let id = DispatchId(self.dispatch_ids.fetch_add(1, Ordering::Relaxed));
        let task = DispatchedTask {
            input: call.input,
            index: 0,
            attempt: call.attempt,
            start_by: None,
        };
        let mut dispatch = self.preset.dispatch(id, self.callee, vec![task], reply);
        dispatch.eligible = call.eligible;
        dispatch.pushed = call.pushed;
        dispatch.listener = Some(listener);
        dispatch.elements = call.elements;
        Arc::new(dispatch)
    }
}
