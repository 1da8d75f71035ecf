//! A sandbox for many small WebAssembly tasks, run fast and in parallel.
//!
//! A [`Cluster`] has engines, threads of this process. A [`Module`] has functions, written in any
//! language that compiles to WebAssembly. A view sends calls of them to the engines:
//!
//! ```no_run
//! use rwasm_cluster::{Cluster, Module, Targets};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::builder().engines(4).start()?;
//! let numbers = Module::from_file("numbers.wasm")?;
//! // Checked here, once, against the types that the module says it has.
//! let fib = numbers.function::<(u32,), u64>("fib")?;
//!
//! // On whichever engine is free: one call, and as many as an iterator gives.
//! let view = cluster.load_balanced_view();
//! let value: u64 = view.apply(&fib, (30,)).await?;
//! let values: Vec<u64> = view.map(&fib, (0..1000).map(|n| (n % 30,)))?.await?;
//!
//! // On each engine.
//! let all: Vec<u64> = cluster.direct_view(Targets::All)?.apply(&fib, (30,)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The futures are `Send` and run anywhere: the library has threads of its own and wants nothing of
//! the caller's runtime. Where there is none, [`Cluster::blocking`] gives views that wait, and
//! every handle can be waited for on the thread that has it.
//!
//! # Where to read on
//!
//! - [`LoadBalancedView`] and [`DirectView`]: what can be called how. Both have the same options, of
//!   which each clone of a view has its own: limits, [`Retry`], [`Dependency`], priority, deadline.
//! - [`Task`], [`Tasks`] and [`Map`]: what a call gives until there is a result. Dropping one stops
//!   what it stands for. [`TaskError`] and [`CompositeError`] say what went wrong, with the
//!   [`FailureCode`] of each task and every [`Attempt`].
//! - [`Cluster::run`] with a [`JobSpec`]: a function mapped over files, cut into chunks, and its results
//!   merged on the engines, as the command line's `run` does it. [`Job`] is its handle.
//! - [`Module::function`] for types that Rust knows; [`Module::dynamic_function`], [`Value`] and
//!   [`arguments!`] for those it does not.
//! - [`HostFunctions`]: what guests may call of the program that embeds them.
//! - [`Limits`]: what a task may use; all of them are finite. [`Grants`]: what it may reach, which is
//!   nothing unless it is granted.
//!
//! # The way of a task
//!
//! The modules below stand in this order:
//!
//! arguments → [`Cluster`] → [`Module`] → view → [`Job`] → backend (placement) → engine →
//! sandbox → guest → [`Outcome`] → merge → output

#[cfg(test)]
#[path = "../value/arbitrary.rs"]
#[expect(
    dead_code,
    reason = "the strategies of all packages, of which each uses some"
)]
mod arbitrary;

mod capacity;
mod feed;

mod events;
mod timers;

mod graph;
mod job;
mod merge;
mod placement;

mod dispatch;
mod engine;

#[cfg(feature = "nats")]
pub mod nats;

mod backend;

mod view;

mod blocking;
mod cluster;
#[cfg(feature = "nats")]
pub mod detached;
#[cfg(feature = "nats")]
pub mod join;

pub mod check;

pub use backend::{EngineError, EngineStatus, QueueStatus};
pub use blocking::{Blocking, BlockingCluster};
pub use capacity::{Resource, Shortage};
pub use cluster::{Cluster, ClusterBuilder, StartError};
pub use dispatch::{ParseReuseError, Reuse};
pub use events::{ClusterEvent, ClusterEvents};
pub use graph::{Backoff, Dependency, DependencyError, FailureSet, ParseFailureSetError, Retry};
pub use job::{ParseToleranceError, Tolerance};
pub use merge::{Builtin, MergeError, MergeTypeError};
pub use placement::{ParsePolicyError, Policy};
#[cfg(feature = "history")]
pub use rwasm_history::{
    AttemptEntry, History, HistoryError, HistorySettings, InputEntry, JobEntry, JobKey, JobKind,
    JobQuery, JobState, Kept, TaskEntry, TaskInput, TaskQuery, TaskState,
};
pub use rwasm_sandbox::chunk::{Chunking, ParseChunkingError};
pub use rwasm_sandbox::grants::{
    Access, Clock, DirGrant, GrantError, Grants, NetGrant, NetHost, ParseGrantError, Random,
};
pub use rwasm_sandbox::input::{Input, InputError};
pub use rwasm_sandbox::limits::{
    DETERMINISTIC_FUEL, Limits, MAX_ENGINES, MAX_STACK, MAX_TABLE_ELEMENTS, MIN_STACK, MODULE_SIZE,
};
pub use rwasm_sandbox::note::{
    LogLevel, LogLine, MAX_PUBLISHED_NAME, MAX_PUBLISHED_NAMES, Notes, Progress, Published,
    TaskNote,
};
pub use rwasm_sandbox::outcome::{
    Attempt, Failure, FailureCode, Log, Logs, Origin, Outcome, Place, Usage,
};
pub use rwasm_sandbox::sandbox::{
    CacheInfo, Callable, CodeCache, CompileLimit, Compiler, DynamicCallable, Form, Function,
    FunctionError, HostCall, HostError, HostFunctions, HostFunctionsError, HostParams, Import,
    LoadError, Lowering, Module, ModuleHash, Need, Prune, Pruned, Uncallable, compile_worker,
};
pub use rwasm_value::ids::{ChunkIndex, DispatchId, EngineId, JobId};
#[doc(hidden)]
pub use rwasm_value::plain;
#[doc(hidden)]
pub use rwasm_value::plain::panic_text;
pub use rwasm_value::units::{ByteSize, ParseByteSizeError};
pub use rwasm_value::value::{
    Argument, ArgumentError, Case, Field, FromWit, Malformed, Mismatch, Packed, PackedError,
    Params, Path, Reference, ResultType, ToArgument, ToWit, Type, Value,
};
pub use rwasm_value::{arguments, format};
pub use view::{
    ApplyError, AsCompleted, Canceller, ClusterNote, ClusterNotes, CompositeError, DirectView,
    Distribution, EngineRange, EngineStats, Job, JobError, JobProgress, JobResult, JobSettings,
    JobSpec, JobStats, LiveNote, LiveNotes, LoadBalancedView, Map, Merge, ParseMergeError,
    PlanError, ProgressHandle, PushError, QueueLimits, SettingError, Shutdown, SubmitError,
    TargetError, Targets, Task, TaskError, TaskFailure, TaskInfo, TaskRecord, TaskSettings, Tasks,
    TasksProgress, ViewKind, Zip, as_completed, zip,
};
