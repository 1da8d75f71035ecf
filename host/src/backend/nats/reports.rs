//! What is reported of a cluster elsewhere while tasks wait there, but not over and over: many tasks may wait for the same.

use crate::events::{ClusterEvent, EventSender};
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::sandbox::{ModuleHash, ModuleInfo};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// When what was reported is reported again.
const TELL_AGAIN: Duration = Duration::from_mins(1);

/// When something was last reported.
#[derive(Default)]
pub(super) struct Reports {
    stalled: Mutex<Option<Instant>>,
    /// The module that is compiled, and after how many others.
    compiling: Mutex<Option<((ModuleHash, u32), Instant)>>,
}

impl Reports {
    /// Reports that tasks are not accepted.
    pub(super) fn stalled(&self, events: &EventSender, reason: &str) {
        let mut last = lock(&self.stalled);
        if last.is_none_or(|last| last.elapsed() >= TELL_AGAIN) {
            *last = Some(Instant::now());
            events.tell(ClusterEvent::Stalled(reason.into()));
        }
    }

    /// Reports that an engine has a module compiled.
    pub(super) fn compiling(&self, events: &EventSender, module: &ModuleInfo, before: u32) {
        let told = (module.hash(), before);
        let mut last = lock(&self.compiling);
        if last.is_none_or(|(last, at)| last != told || at.elapsed() >= TELL_AGAIN) {
            *last = Some((told, Instant::now()));
            events.tell(ClusterEvent::Compiling {
                module: module.name().into(),
                before,
            });
        }
    }
}
