//! What is asked of placement, and what it answers.

use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::sync::Arc;

/// The precedence within a group and a priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    /// Merging, which frees memory.
    Reduce,
    /// Mapping.
    Map,
}

/// The engines that may have a dispatch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Eligible {
    /// Any engine, present or future.
    Any,
    /// This one and no other.
    One(EngineId),
    /// Any of these. Orders with the same list should share it: a list has a queue of its own.
    Of(Arc<[EngineId]>),
}

/// A dispatch that wants an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Its name, used once.
    pub(crate) id: DispatchId,
    /// Whose it is: groups take turns.
    pub(crate) group: JobId,
    /// Which engines may have it.
    pub(crate) eligible: Eligible,
    /// A higher one goes first, whatever its group.
    pub(crate) priority: i32,
    /// Its place among those of its group.
    pub(crate) stage: Stage,
}

/// What becomes of a dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The engine gets it.
    Assign {
        /// Which engine.
        engine: EngineId,
        /// Which dispatch.
        id: DispatchId,
    },
    /// None of the engines that may have it is there, or will be.
    Reject {
        /// Which dispatch.
        id: DispatchId,
        /// The engines that it wanted.
        eligible: Eligible,
    },
}
