//! How a call becomes a dispatch: what all calls of one function by one view have in common, and
//! what each has for itself.

use crate::backend::Backend;
use crate::dispatch::{Course, Dispatch, DispatchedTask, Owner, Pushed, Reply, Reuse, TaskInput};
use crate::placement::{Eligible, Stage};
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::note::Listener;
use rwasm_sandbox::sandbox::{Callee, Program, Setting};
use rwasm_value::ids::{DispatchId, JobId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Calls take turns with jobs as one job does, however many there are.
const CALLS: JobId = JobId(u64::MAX);

/// What all calls of one function by one view have in common.
#[derive(Clone)]
pub(crate) struct Maker {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) dispatch_ids: Arc<AtomicU64>,
    pub(crate) program: Arc<Program>,
    pub(crate) setting: Arc<Setting>,
    pub(crate) callee: Callee,
    pub(crate) reuse: Reuse,
    pub(crate) owner: Owner,
    pub(crate) priority: i32,
}

/// What a call has for itself.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) input: TaskInput,
    pub(crate) pushed: Option<Arc<Pushed>>,
    pub(crate) eligible: Eligible,
    pub(crate) attempt: u32,
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
        Arc::new(Dispatch {
            id: DispatchId(self.dispatch_ids.fetch_add(1, Ordering::Relaxed)),
            job: CALLS,
            eligible: call.eligible,
            priority: self.priority,
            stage: Stage::Map,
            program: Arc::clone(&self.program),
            setting: Arc::clone(&self.setting),
            reuse: self.reuse,
            owner: self.owner.clone(),
            callee: self.callee,
            tasks: vec![DispatchedTask {
                input: call.input,
                index: 0,
                attempt: call.attempt,
                start_by: None,
            }],
            queued: SystemTime::now(),
            cancel: Cancel::default(),
            pushed: call.pushed,
            listener: Some(listener),
            reply,
            course: Course::default(),
            engine_count: None,
        })
    }
}
