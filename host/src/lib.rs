//! A sandbox for many small WebAssembly tasks, run fast and in parallel.
//!
//! A task goes this way, and the modules below stand in the same order:
//!
//! arguments → [`Cluster`] → [`Module`] → view → [`Job`] → backend (placement) → engine →
//! sandbox → guest → [`Outcome`] → merge → output

mod ids;
mod limits;
mod units;

mod cancel;
mod outcome;
mod value;

pub mod format;

mod chunk;
mod input;

mod sandbox;

mod job;
mod merge;
mod placement;

mod dispatch;
mod engine;

mod backend;

mod view;

mod cluster;

pub use chunk::{Chunking, ParseChunkingError};
pub use cluster::{Cluster, ClusterBuilder, StartError};
pub use dispatch::Reuse;
pub use ids::{ChunkIndex, DispatchId, EngineId, JobId};
pub use input::{Input, InputError};
pub use job::{ParseToleranceError, Tolerance};
pub use limits::{Limits, MAX_ENGINES, MAX_TABLE_ELEMENTS, MODULE_SIZE, STACK_SIZE};
pub use merge::{Builtin, MergeError, MergeTypeError};
pub use outcome::{Failure, FailureCode, Log, Logs, Origin, Outcome, Usage};
pub use sandbox::{Form, Function, Import, LoadError, Lowering, Module, ModuleHash};
pub use units::{ByteSize, ParseByteSizeError};
pub use value::{
    Case, Field, Malformed, Mismatch, Packed, PackedError, Path, ResultType, Type, Value,
};
pub use view::{
    Canceller, EngineStats, Job, JobError, JobProgress, JobResult, JobSpec, JobStats, Merge,
    PlanError, ProgressHandle, SubmitError, Targets, TaskRecord, ViewKind,
};
