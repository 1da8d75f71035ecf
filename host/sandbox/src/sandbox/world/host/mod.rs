//! What a guest may ask of its host: the interface `rwasm:task/host` of `wit/host.wit`, in `core`
//! for core modules and in `component` for components, and in `functions`, `typed` and `bind` what
//! an embedder adds; in `remote`, those that are in another process.
//!
//! A guest's store has a `Desk` for it: where the task runs, and what it reported. WASI is not
//! here.

mod bind;
mod component;
mod core;
mod functions;
mod remote;
mod typed;

#[cfg(test)]
mod tests;

pub(in crate::sandbox) use bind::HostFunctionFailed;
pub(in crate::sandbox) use component::define as define_in_component;
pub(in crate::sandbox) use core::define as define_in_core;
pub use functions::{HostCall, HostError, HostFunctions, HostFunctionsError};
pub use remote::{Carried, HostCarrier, HostFailure, HostImport};
pub use typed::HostParams;

use super::request::{Caller, Setting, Surroundings};
use crate::note::NoteTaker;
use crate::pushed::{PushedValue, PushedValues};
use rwasm_value::ids::EngineId;
use std::fmt;
use std::sync::Arc;

/// The most bytes that are kept of a panic's message, and of the file it names.
const MAX_PANIC_MESSAGE: usize = 4096;
const MAX_PANIC_FILE: usize = 512;

/// A panic, as the guest reported it.
pub(in crate::sandbox) struct Panicked {
    message: String,
    file: String,
    line: u32,
    column: u32,
}

impl Panicked {
    fn new(message: &str, file: &str, line: u32, column: u32) -> Self {
        let kept = |text: &str, most| match text.get(..text.floor_char_boundary(most)) {
            Some(kept) if kept.len() < text.len() => format!("{kept}…"),
            _ => text.to_owned(),
        };
        Self {
            message: kept(message, MAX_PANIC_MESSAGE),
            file: kept(file, MAX_PANIC_FILE),
            line,
            column,
        }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the guest panicked")?;
        if !self.file.is_empty() {
            write!(f, " at {}:{}", self.file, self.line)?;
            // Compilers of C have none.
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// Answers the calls of a running guest.
pub(in crate::sandbox) struct Desk {
    pub(in crate::sandbox) notes: NoteTaker,
    engine: EngineId,
    /// The engine id and number of engines that the guest sees.
    told_engine: EngineId,
    engine_count: u32,
    task: u64,
    pushed: Option<Arc<PushedValues>>,
    /// The most bytes that may pass between the guest and an embedder's function in one call.
    exchange_limit: usize,
    /// What the embedder's functions learn of whoever submitted the task.
    caller: Option<Arc<Caller>>,
    /// The last panic that it reported, which it may have survived.
    pub(in crate::sandbox) panicked: Option<Panicked>,
    /// Whether the guest is allocating memory for an answer, during which it may ask nothing.
    is_making_room: bool,
}

impl Desk {
    pub(super) fn new(setting: &Setting, surroundings: &Surroundings) -> Self {
        let limits = &setting.limits;
        let Surroundings {
            engine,
            engine_count,
            task,
            pushed,
            listener,
            recorder: _,
            elements: _,
            phases: _,
        } = surroundings;
        // A deterministic outcome must not depend on where the task runs.
        let (told_engine, engine_count) = if setting.deterministic {
            (EngineId(0), 1)
        } else {
            (*engine, *engine_count)
        };
        Self {
            notes: NoteTaker::new(limits, *task, listener.clone()),
            engine: *engine,
            told_engine,
            engine_count,
            task: *task,
            pushed: pushed.clone(),
            exchange_limit: limits.output.as_usize(),
            caller: setting.caller.clone(),
            panicked: None,
            is_making_room: false,
        }
    }

    /// Notes that the guest panicked, before it traps for that.
    pub(in crate::sandbox) fn note_panic(
        &mut self,
        message: &str,
        file: &str,
        line: u32,
        column: u32,
    ) {
        self.panicked = Some(Panicked::new(message, file, line, column));
    }

    fn pushed(&self, name: &str) -> Option<&Arc<PushedValue>> {
        self.pushed.as_ref()?.get(name)
    }
}
