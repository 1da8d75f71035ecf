//! What a job is to do, as specified by its user.

use super::plan::{Plan, PlanError};
use super::targets::Targets;
use crate::dispatch::Reuse;
use crate::graph::Retry;
use crate::job::Tolerance;
#[cfg(feature = "history")]
use rwasm_history::JobKey;
use rwasm_sandbox::chunk::Chunking;
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::sandbox::Module;
use rwasm_value::value::Type;
use std::time::Duration;

/// A map over inputs, and the merge of its outcomes. Start from [`JobSpec::default`] and change what should differ.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Chunking, JobSpec, Merge, Retry};
/// use std::num::NonZeroU64;
///
/// let mut spec = JobSpec::default();
/// spec.map = Some("count-words".to_owned());
/// spec.merge = Merge::Sum;
/// spec.chunking = NonZeroU64::new(1000).map(Chunking::Lines);
/// spec.max_failures = "2%".parse()?;
/// spec.retry = Retry::times(3);
/// # Ok::<(), rwasm_cluster::ParseToleranceError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobSpec {
    /// The function to map; by default the one named `mapper`, or the only one that fits.
    pub map: Option<String>,
    /// How the outcomes are merged.
    pub merge: Merge,
    /// How the inputs are cut; by default according to the module's form.
    pub chunking: Option<Chunking>,
    /// Which engines run the tasks.
    pub view: ViewKind,
    /// How long an instance lives.
    pub reuse: Reuse,
    /// What a task may use; by default the cluster's limits.
    pub limits: Option<Limits>,
    /// What a task may reach; by default the cluster's grants.
    pub grants: Option<Grants>,
    /// Whether each task comes to the same, with the same fuel, on every engine and every run.
    ///
    /// Its fuel is then the only budget of what it computes, whether that takes long or not:
    /// [`DETERMINISTIC_FUEL`] unless the limits say otherwise. Its clock begins with the
    /// year 2000 and goes on only while it sleeps, which takes no time; [`Limits::time`] is held
    /// against that. Its random numbers follow from its module, function and input, and from a seed, 0 unless
    /// another is granted. Not-a-number values have one form, relaxed SIMD instructions one
    /// outcome. It is told that it is on engine 0 of 1. Instances are not used again, and no
    /// network can be granted. What it waits for outside of itself, such as the rest of a stream, is
    /// bounded by the job's deadline alone. What a directory that is granted holds is for whoever grants it to keep the
    /// same, and so is what the embedder's functions answer.
    ///
    /// [`DETERMINISTIC_FUEL`]: crate::DETERMINISTIC_FUEL
    pub deterministic: bool,
    /// Which failures are retried, how often, and after which pause.
    pub retry: Retry,
    /// How many failed tasks the job tolerates.
    pub max_failures: Tolerance,
    /// How long the whole job may take.
    pub deadline: Option<Duration>,
    /// How long a task may wait for an engine once it has been read.
    pub queue_timeout: Option<Duration>,
    /// The job's label, shown in events and in the history.
    pub label: Option<String>,
    /// The precedence if engines are scarce: higher before lower, 0 by default.
    pub priority: i32,
    /// Whether outcomes, with [`Merge::None`], are delivered as their tasks end rather than in input order.
    pub unordered: bool,
    /// The number of tasks handed to an engine at a time; learnt by default.
    pub dispatch_size: Option<usize>,
    /// The most tasks that are read without their outcomes having been delivered; by default as memory allows.
    pub max_outstanding: Option<usize>,
    /// The job in the history whose tasks this one repeats.
    #[cfg(feature = "history")]
    pub repeats: Option<JobKey>,
    /// What this program wants to find with the job in the history.
    #[cfg(feature = "history")]
    pub memo: serde_json::Value,
    /// The arguments of a WASI command, without its own name.
    pub arguments: Vec<String>,
    /// Whether what each task used is kept for [`JobResult::records`](super::JobResult::records).
    pub keep_records: bool,
}

impl JobSpec {
    /// Returns how a job of `module` would merge its outcomes: never [`Merge::Default`].
    ///
    /// # Errors
    /// If the module does not fit the job.
    pub fn merge_for(&self, module: &Module) -> Result<Merge, PlanError> {
        Plan::new(module, self).map(|plan| plan.merge)
    }

    /// Returns the type of a job's merged value, or with [`Merge::None`] of each outcome.
    ///
    /// # Errors
    /// If the module does not fit the job.
    pub fn type_for(&self, module: &Module) -> Result<Type, PlanError> {
        Plan::new(module, self)?.result_type()
    }
}

impl Default for JobSpec {
    fn default() -> Self {
        Self {
            map: None,
            merge: Merge::Default,
            chunking: None,
            view: ViewKind::Balanced,
            reuse: Reuse::None,
            limits: None,
            grants: None,
            deterministic: false,
            retry: Retry::default(),
            max_failures: Tolerance::Count(0),
            deadline: None,
            queue_timeout: None,
            label: None,
            priority: 0,
            unordered: false,
            dispatch_size: None,
            max_outstanding: None,
            #[cfg(feature = "history")]
            repeats: None,
            #[cfg(feature = "history")]
            memo: serde_json::Value::Null,
            arguments: Vec::new(),
            keep_records: false,
        }
    }
}

/// How a job's outcomes become one value.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{JobSpec, Merge, Module};
///
/// // A WASI command, whose output is bytes.
/// let wat = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
/// let command = Module::from_bytes("nothing", wat)?;
/// let mut spec = JobSpec::default();
/// spec.merge = Merge::Count;
/// assert_eq!(spec.type_for(&command)?.to_string(), "u64");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Merge {
    /// By the module's `reducer` if it has one, else as suits the type.
    #[default]
    Default,
    /// By this function of the module.
    Reducer(String),
    /// All values in a list.
    Collect,
    /// All strings, bytes or lists joined.
    Concat,
    /// The sum of numbers, or of the numbers of equal keys.
    Sum,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The number of outcomes.
    Count,
    /// No merge: each outcome is delivered.
    None,
}

/// Which engines run the tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewKind {
    /// On whichever engine is free.
    #[default]
    Balanced,
    /// On whichever of these is free.
    BalancedAmong(Targets),
    /// On fixed engines: each target gets a contiguous block of the chunks.
    Direct(Targets),
}
