//! What a guest may ask of its host: the interface `rwasm:task/host` of `wit/host.wit`, in `core`
//! for core modules and in `component` for components, and in `functions`, `typed` and `bind`
//! what an embedder adds.
//!
//! The `Desk` is what a guest's store has for it: where the task runs, and what it told. What WASI
//! offers is not here.

mod bind;
mod component;
mod core;
mod functions;
mod typed;

#[cfg(test)]
mod tests;

pub(super) use bind::HostFunctionFailed;
pub(super) use component::define as define_in_component;
pub(super) use core::define as define_in_core;
pub use functions::{HostCall, HostError, HostFunctions, HostFunctionsError};
pub use typed::HostParams;

use super::request::{Setting, Surroundings};
use crate::ids::EngineId;
use crate::note::NoteTaker;
use crate::pushed::{PushedValue, PushedValues};
use std::sync::Arc;

/// Where a running guest's questions are answered.
pub(super) struct Desk {
    pub(super) notes: NoteTaker,
    engine: EngineId,
    /// Which engine and how many the guest is told.
    told_engine: EngineId,
    engine_count: u32,
    task: u64,
    pushed: Option<Arc<PushedValues>>,
    /// Bytes that may pass between the guest and one of the embedder's functions in one call.
    exchange_limit: usize,
    /// Whether the guest is making room for an answer, in which it may ask nothing.
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
        } = surroundings;
        // Where it runs is nothing that its outcome may hang on, if that is to be always the same.
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
            is_making_room: false,
        }
    }

    fn pushed(&self, name: &str) -> Option<&Arc<PushedValue>> {
        self.pushed.as_ref()?.get(name)
    }
}
