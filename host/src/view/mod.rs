//! Views: how users address engines, and the jobs and calls made through them.
//!
//! Four folders, each of which imports from those below it only:
//!
//! - `calls`: the views (`balanced`, `direct`), the calls they make, and the start of a map.
//! - `runs`: jobs of many tasks. `spec` is what is wanted, `plan` checks it against the module,
//!   `driver` runs it on a backend with `reader` feeding it `pieces`.
//! - `handles`: what users hold: `job`, `map`, `task`, `tasks`.
//! - `shared`: the settings of tasks, the `core` of a cluster, the `slot` in which an outcome arrives, and
//!   the `desk`, which takes care of calls that wait for others, are retried or have time limits.

mod calls;
mod handles;
mod runs;
mod shared;

pub use calls::balanced::{ApplyError, LoadBalancedView};
pub use calls::direct::{DirectView, Distribution, PushError};
pub use calls::elements::ElementView;
pub use handles::elements::Elements;
pub use handles::errors::{CompositeError, TaskError, TaskFailure};
pub use handles::job::{Canceller, Job, ProgressHandle};
pub use handles::map::{Map, Zip, zip};
pub use handles::task::{Task, TaskInfo};
pub use handles::tasks::{AsCompleted, Tasks, TasksProgress, as_completed};
pub use runs::plan::PlanError;
pub use runs::spec::{JobSpec, Merge, ParseMergeError, ViewKind};
pub use runs::submit::SubmitError;
pub use shared::admission::QueueLimits;
pub use shared::core::Shutdown;
pub use shared::live::{LiveNote, LiveNotes};
pub use shared::notes::{ClusterNote, ClusterNotes};
pub use shared::result::{FailedJob, JobError, JobProgress, JobResult, TaskRecord};
pub use shared::settings::{JobSettings, SettingError, TaskSettings};
pub use shared::stats::{EngineStats, JobStats};
pub use shared::targets::{EngineRange, TargetError, Targets};
pub use shared::tenant::{Budget, Stock, TenantLimit, TenantStatus};

#[cfg(feature = "nats")]
pub(crate) use runs::packs::{Pack, Packs};
#[cfg(feature = "nats")]
pub(crate) use shared::core::NotReady;
pub(crate) use shared::core::{Core, Workshop};
#[cfg(feature = "history")]
pub(crate) use shared::keeper::Keeper;
#[cfg(feature = "nats")]
pub(crate) use shared::settings::Lookup;
pub(crate) use shared::tenant::TenantState;
