//! Run many small WebAssembly tasks in a sandbox, fast and in parallel.
//!
//! A program starts a [`Cluster`] of engines, loads a [`Module`] compiled from any language that
//! targets WebAssembly, and calls the module's functions through a view. Each call is a task: it
//! runs in an instance of its own, within finite [`Limits`], and reaches nothing that was not
//! granted.
//!
//! # Example
//!
//! ```
//! use rwasm_cluster::{Cluster, Module, Targets};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::builder().engines(2).start()?;
//!
//! // A module as text; `Module::from_file` reads one from a `.wasm` or `.wat` file.
//! let module = Module::from_bytes(
//!     "numbers",
//!     r#"(module (func (export "square") (param i64) (result i64)
//!         (i64.mul (local.get 0) (local.get 0))))"#,
//! )?;
//! // The Rust types are checked here, once, against those of the module.
//! let square = module.function::<(i64,), i64>("square")?;
//!
//! // Each call runs on whichever engine is free.
//! let view = cluster.load_balanced_view();
//! let squares: Vec<i64> = view.map(&square, (1..=4).map(|n| (n,)))?.get()?;
//! assert_eq!(squares, [1, 4, 9, 16]);
//!
//! // The same call runs on every engine.
//! let everywhere = cluster.direct_view(Targets::All)?.blocking();
//! assert_eq!(everywhere.apply(&square, (5,))?, [25, 25]);
//! # Ok(())
//! # }
//! ```
//!
//! Calls are `async`, and their handles are `Send` futures that need no particular runtime: the
//! library has threads of its own. Programs without a runtime use [`Cluster::blocking`], or the
//! `get` and `wait` methods of a handle, which block the calling thread.
//!
//! # Where to start
//!
//! | to | use |
//! |---|---|
//! | start engines, here or over NATS | [`Cluster::builder`], [`ClusterBuilder`] |
//! | call a function on any free engine | [`LoadBalancedView`] |
//! | call a function on chosen engines, and push data to them | [`DirectView`], [`Targets`] |
//! | call a function on many argument lists | [`LoadBalancedView::map`], [`Map`] |
//! | map a function over the chunks of files and merge the results | [`Cluster::run`], [`JobSpec`], [`Job`] |
//! | wait for, inspect or cancel calls | [`Task`], [`Tasks`], [`as_completed`] |
//! | retry failures, wait for other jobs | [`Retry`], [`Dependency`] |
//! | see what went wrong | [`TaskError`], [`JobError`], [`FailureCode`] |
//! | bound what a task may use, allow what it may reach | [`Limits`], [`Grants`] |
//! | call functions whose types Rust does not know | [`Module::dynamic_function`], [`Value`], [`arguments!`] |
//! | offer functions of this program to guests | [`HostFunctions`] |
//! | share a cluster among users | [`Tenant`], [`Budget`] |
//! | follow tasks and jobs as they go | [`Observer`], [`Trace`], [`Cluster::events`] |
//! | check a task on samples | [`check`] |
//!
//! Dropping a handle cancels the work it status for; its `detach` method lets the work go on.
//!
//! # Cargo features
//!
//! All are enabled by default.
//!
//! - `nats`: engines on other machines, over NATS JetStream: [`Cluster::connect`], `nats`, `join`
//!   and durable jobs.
//! - `history`: a record of jobs and tasks in an `SQLite` file: `ClusterBuilder::history`.
//! - `dashboard`: [`Dashboard`], a page that shows what runs.
//! - `metrics`: [`Metrics`], which counts tasks for Prometheus.
//! - `deterministic`: tasks with the same result and fuel on every run: [`TaskSettings::deterministic`].
//!
//! # The way of a task
//!
//! arguments → [`Cluster`] → [`Module`] → view → [`Job`] → backend (placement) → engine →
//! sandbox → guest → [`Outcome`] → merge → output
//!
//! The modules below stand in this order; the sandbox and what belongs to it are the package
//! `rwasm-sandbox`. Engines of other processes and what observes a cluster follow.

#[cfg(test)]
#[path = "../arbitrary.rs"]
#[expect(
    dead_code,
    reason = "the strategies of all packages, of which each uses some"
)]
mod arbitrary;

// The engines of a program, and the ways to give them work.
mod cluster;

// The same for programs without an async runtime.
mod blocking;

// Calls, maps and runs as users submit them, and the handles they hold.
mod view;

// What single tasks wait for, their retries and time limits.
mod graph;

// The tasks of one run or map.
mod job;

// When something is due: what `graph` and the runs keep their times in.
mod timers;

// Waiting on a thread for no longer than is said.
mod within;

// Looking for a message for a moment before a thread sleeps.
mod spin;

// Small pages over HTTP.
#[cfg(any(feature = "dashboard", feature = "nats"))]
mod http_server;

// Engines, in this process or elsewhere, and the way to them.
mod backend;

// Which engine of this process gets the next dispatch.
mod placement;

// What is handed over to an engine.
mod dispatch;

// What the tasks of a tenant have used.
mod account;

// The thread that runs tasks in the sandbox, or has a worker run them.
mod engine;

// The form in which outcomes travel between processes.
mod wire;

// What status between tasks and the process that started them.
mod boundary;

// Many outcomes become one value.
mod merge;

// Engines of other processes: what all sides of a cluster over NATS share, ...
#[cfg(feature = "nats")]
pub mod nats;

// ... a process with engines that joins one, ...
#[cfg(feature = "nats")]
pub mod join;

// ... and jobs that outlive whoever submitted them.
#[cfg(feature = "nats")]
pub mod durable;

// Tasks checked on samples.
pub mod check;

// What happens to a cluster, and how listeners learn of it.
mod events;
mod feed;

// The page that shows what they do, served by this process.
#[cfg(feature = "dashboard")]
mod dashboard;

// Who observes tasks and jobs: traces, and what programs bring along.
mod observe;

// Whether the engines may use more than this process has.
mod capacity;

pub use account::TenantUsage;
pub use backend::{EngineError, EngineStatus, QueueStatus};
pub use blocking::{Blocking, BlockingCluster, BlockingTenant};
pub use boundary::{Boundary, BoundaryKind, BoundaryLayer, LayerStatus, ParseBoundaryError};
pub use capacity::{Resource, Shortage};
pub use cluster::{Cluster, ClusterBuilder, StartError, Tenant};
#[cfg(feature = "dashboard")]
#[doc(hidden)]
pub use dashboard::report_page;
#[cfg(feature = "dashboard")]
pub use dashboard::{Dashboard, DashboardError};
pub use dispatch::{ParseReuseError, Reuse};
#[cfg(target_os = "linux")]
pub use engine::{boundary_layers, task_worker};
pub use events::{ClusterEvent, ClusterEvents, JobUsage};
pub use graph::{Backoff, Dependency, DependencyError, FailureSet, ParseFailureSetError, Retry};
pub use job::{ParseToleranceError, Tolerance};
pub use merge::{Builtin, MergeError, MergeTypeError};
#[doc(hidden)]
pub use observe::Board;
#[cfg(feature = "metrics")]
pub use observe::Metrics;
pub use observe::{
    EndedJob, EndedTask, Histogram, ObservedJob, ObservedKind, ObservedMerge, ObservedTasks,
    Observer, PreparedModule, TaskRef, Trace, TraceError, TraceSummary,
};
pub use placement::{ParsePolicyError, Policy};
#[cfg(feature = "history")]
pub use rwasm_history::{
    AttemptEntry, History, HistoryError, HistorySettings, InputEntry, Interruption, JobEntry,
    JobKey, JobKind, JobQuery, JobState, Kept, RecordedInput, TaskEntry, TaskQuery, TaskState,
};
pub use rwasm_sandbox::chunk::{
    Chunking, ParseChunkingError, ParseRecordStartError, RecordStart, Records,
};
pub use rwasm_sandbox::grants::{
    Access, Clock, DirGrant, GrantError, Grants, NetGrant, NetHost, ParseGrantError, Random,
};
pub use rwasm_sandbox::input::{
    FileTree, Header, Inflated, Input, InputError, InvalidUtf8, ParseGlobError, ParseHeaderError,
    Pattern, Reading, TreeError,
};
pub use rwasm_sandbox::limits::{
    DETERMINISTIC_FUEL, Limits, MAX_ENGINES, MAX_STACK, MAX_TABLE_ELEMENTS, MIN_STACK, MODULE_SIZE,
};
pub use rwasm_sandbox::note::{
    LogLevel, LogLine, MAX_PUBLISHED_NAME, MAX_PUBLISHED_NAMES, Notes, Progress, Published,
    TaskNote,
};
#[doc(hidden)]
pub use rwasm_sandbox::outcome::is_backtrace_advice;
pub use rwasm_sandbox::outcome::{
    ArgumentSource, Attempt, Failure, FailureCode, Log, Logs, Origin, Outcome, Phases, Usage,
};
pub use rwasm_sandbox::sandbox::{
    Abi, AbiError, CacheInfo, Callable, CodeCache, CompileLimit, Compiler, DynamicCallable, Form,
    Function, FunctionError, HostCall, HostError, HostFunctions, HostFunctionsError, HostParams,
    Import, LoadError, Lowering, Module, ModuleHash, ModuleInfo, Need, Prune, Pruned, Uncallable,
    compile_worker,
};
pub use rwasm_value::ids::{ChunkIndex, DispatchId, EngineId, JobId};
#[doc(hidden)]
pub use rwasm_value::ids::{is_name, not_a_name};
pub use rwasm_value::units::{ByteSize, ParseByteSizeError};
pub use rwasm_value::value::{
    Argument, ArgumentError, Case, Field, FromWit, Malformed, Mismatch, Packed, PackedError,
    Params, Path, Reference, ResultType, ToArgument, ToWit, Type, Value,
};
pub use rwasm_value::{arguments, format};
#[doc(hidden)]
pub use rwasm_value::{aside, plain, small_file};
pub use view::{
    ApplyError, AsCompleted, Budget, Canceller, ClusterNote, ClusterNotes, CompositeError,
    DirectView, Distribution, ElementView, Elements, EngineRange, EngineStats, FailedJob, Job,
    JobError, JobProgress, JobResult, JobSettings, JobSpec, JobStats, LiveNote, LiveNotes,
    LoadBalancedView, Map, Merge, ParseMergeError, PlanError, ProgressHandle, PushError,
    QueueLimits, SettingError, Shutdown, Stock, SubmitError, TargetError, Targets, Task, TaskError,
    TaskFailure, TaskInfo, TaskRecord, TaskSettings, Tasks, TasksProgress, TenantLimit,
    TenantStatus, ViewKind, Zip, as_completed, zip,
};
