//! What is asked of placement, and what it answers.

use rwasm_value::ids::{DispatchId, EngineId, JobId, TenantId};
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
    /// Any of these. Orders with the same list should share it, since each list has a queue of its own.
    Of(Arc<[EngineId]>),
}

/// A dispatch that wants an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Its id, used once.
    pub(crate) id: DispatchId,
    /// On whose account it runs: tenants share the engine time by their weights.
    pub(crate) tenant: TenantId,
    /// The job it belongs to: the jobs of a tenant take turns.
    pub(crate) group: JobId,
    /// The engines that may have it.
    pub(crate) eligible: Eligible,
    /// Its priority: of a tenant, a higher one goes first, whatever its group.
    pub(crate) priority: i32,
    /// Its precedence within its group.
    pub(crate) stage: Stage,
    /// The most memory that it may take on its engine, in bytes.
    pub(crate) memory: u64,
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
    /// No eligible engine exists, or will.
    Reject {
        /// Which dispatch.
        id: DispatchId,
        /// The eligible engines.
        eligible: Eligible,
    },
}
