//! How tasks run: the settings that calls, maps and runs share, and those that a view's methods set.

use super::core::Core;
use super::tenant::TenantState;
use crate::dispatch::{Owner, Reuse};
use crate::graph::{Dependency, Retry, Terms};
use crate::job::Tolerance;
use crate::placement::Eligible;
#[cfg(feature = "history")]
use rwasm_history::JobKey;
use rwasm_sandbox::grants::{GrantError, Grants};
use rwasm_sandbox::limits::{DETERMINISTIC_FUEL, Limits, MAX_STACK, MAX_TABLE_ELEMENTS, MIN_STACK};
use rwasm_sandbox::sandbox::{Caller, CommandLine, GrantedDirs, Peers, Setting};
use rwasm_value::units::ByteSize;
use std::any::Any;
#[cfg(feature = "nats")]
use std::fs::File;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How each task of a call, a map or a run is run. Start from [`TaskSettings::default`] and change what should differ.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TaskSettings {
    /// What a task may use; by default the cluster's limits.
    pub limits: Option<Limits>,
    /// What a task may reach; by default the cluster's grants.
    pub grants: Option<Grants>,
    /// Whether each task has the same outcome, with the same fuel, on every engine and every run.
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
    /// How long an instance lives.
    pub reuse: Reuse,
    /// The arguments that functions of the module can read from their host, the program's own name first; by default none. A
    /// WASI command has those of its job.
    pub arguments: Vec<String>,
    /// Which failures are retried, how often, and after which pause.
    pub retry: Retry,
    /// How long a task may wait for an engine once it is ready.
    pub queue_timeout: Option<Duration>,
    /// How long a whole call or job may take: waiting, running and retrying.
    pub deadline: Option<Duration>,
    /// The precedence if engines are scarce: higher before lower, 0 by default. It counts among the work of one tenant.
    pub priority: i32,
    /// The label of the call or job, shown in messages, events and the history.
    pub label: Option<Arc<str>>,
    /// A value of the embedder's that its host functions get from [`HostCall::context`](crate::HostCall::context).
    pub context: Option<Arc<dyn Any + Send + Sync>>,
    /// The job in the history whose tasks this one repeats.
    #[cfg(feature = "history")]
    pub repeats: Option<JobKey>,
    /// What this program wants to find with the job in the history.
    #[cfg(feature = "history")]
    pub memo: serde_json::Value,
}

/// How a map or a run treats its tasks together. Start from [`JobSettings::default`] and change what should differ.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct JobSettings {
    /// How many failed tasks the job tolerates.
    pub max_failures: Tolerance,
    /// Whether outcomes are delivered as their tasks end rather than in input order. A run delivers outcomes only with
    /// [`Merge::None`](crate::Merge::None).
    pub unordered: bool,
    /// The number of tasks handed to an engine at a time, up to 16 384; learned by default.
    pub dispatch_size: Option<usize>,
    /// The most tasks that are read without their outcomes having been delivered; by default as memory allows.
    pub max_outstanding: Option<usize>,
    /// Whether what each task used is kept for [`JobResult::records`](crate::JobResult::records).
    pub keep_records: bool,
}

/// Where the directories and peers that tasks may reach are looked up.
// Without clusters elsewhere it holds nothing.
#[cfg_attr(not(feature = "nats"), derive(Clone, Copy))]
pub(crate) enum Lookup {
    /// In this process, where the engines are.
    Here,
    /// Here too; somebody has opened these directories, in order, and what their names lead to does not matter.
    #[cfg(feature = "nats")]
    Opened(Vec<File>),
    /// By the processes that have the engines.
    Elsewhere,
}

impl TaskSettings {
    /// Checks these settings and returns what the sandbox needs of them. `limits` and `grants` apply if these settings
    /// have none; `command` is how a WASI command is called. `tenant` is the label of whoever they belong
    /// to.
    pub(crate) fn settle(
        &self,
        limits: &Limits,
        grants: &Arc<Grants>,
        command: CommandLine,
        lookup: Lookup,
        tenant: Option<&Arc<str>>,
    ) -> Result<Arc<Setting>, SettingError> {
        let mut limits = self.limits.as_ref().unwrap_or(limits).clone();
        let own = self.grants.as_ref().map(|own| Arc::new(own.clone()));
        let grants = own.unwrap_or_else(|| Arc::clone(grants));
        if !(MIN_STACK..=MAX_STACK).contains(&limits.stack) {
            return Err(SettingError::Stack {
                wanted: limits.stack,
            });
        }
        if limits.table_elements > MAX_TABLE_ELEMENTS {
            return Err(SettingError::TableElements {
                wanted: limits.table_elements,
            });
        }
        if self.deterministic && self.reuse != Reuse::None {
            return Err(SettingError::ReuseIsNotDeterministic);
        }
        if self.deterministic && !cfg!(feature = "deterministic") {
            return Err(SettingError::NotBuiltForDeterminism);
        }
        let opened = match lookup {
            Lookup::Here => Some(grants.open()?),
            #[cfg(feature = "nats")]
            Lookup::Opened(dirs) => Some(dirs),
            Lookup::Elsewhere => None,
        };
        let (dirs, peers) = if let Some(opened) = opened {
            grants.check(&opened, self.deterministic)?;
            (GrantedDirs::new(&grants, &opened)?, Peers::new(&grants.net))
        } else {
            grants.check_elsewhere(self.deterministic)?;
            (GrantedDirs::default(), Peers::default())
        };
        let mut command = command;
        if command.arguments.is_empty() {
            command.arguments.clone_from(&self.arguments);
        }
        if self.deterministic {
            limits.fuel = limits.fuel.or(Some(DETERMINISTIC_FUEL));
        }
        Ok(Arc::new(Setting {
            limits,
            grants,
            peers: Arc::new(peers),
            dirs,
            deterministic: self.deterministic,
            command,
            keep_instance: self.reuse != Reuse::None,
            keeps_state: self.reuse == Reuse::Engine,
            caller: Caller::of(tenant, self.context.as_ref()),
        }))
    }
}

/// The settings of a view: see the setters of [`LoadBalancedView`](crate::LoadBalancedView) and of
/// [`DirectView`](crate::DirectView).
#[derive(Clone)]
pub(crate) struct ViewSettings {
    /// Whose view it is.
    pub(crate) tenant: Arc<TenantState>,
    pub(crate) task: TaskSettings,
    /// How maps treat their tasks.
    pub(crate) job: JobSettings,
    pub(crate) after: Vec<Dependency>,
    pub(crate) follow: Vec<Dependency>,
    /// Whose instances are kept under [`Reuse::Engine`]: each view that sets it has its own.
    pub(crate) owner: Owner,
    /// What the sandbox needs of these settings, made on first use and shared by all calls.
    pub(crate) setting: OnceLock<Arc<Setting>>,
}

impl ViewSettings {
    /// The settings of a new view of a tenant.
    pub(crate) fn of(tenant: Arc<TenantState>) -> Self {
        Self {
            tenant,
            task: TaskSettings::default(),
            job: JobSettings {
                max_failures: Tolerance::Percent(100.0),
                ..JobSettings::default()
            },
            after: Vec::new(),
            follow: Vec::new(),
            owner: Owner::default(),
            setting: OnceLock::new(),
        }
    }

    /// Returns whether the desk must take care of a call.
    pub(crate) fn needs_care(&self) -> bool {
        self.task.retry.retries > 0
            || self.task.queue_timeout.is_some()
            || self.task.deadline.is_some()
            || !self.after.is_empty()
            || !self.follow.is_empty()
    }

    /// Returns the terms under which the desk takes care of a call.
    pub(crate) fn terms(&self, eligible: Eligible) -> Terms {
        Terms {
            after: self.after.clone(),
            follow: self.follow.clone(),
            eligible,
            retry: self.task.retry.clone(),
            queue_time: self.task.queue_timeout,
            deadline: self.task.deadline,
        }
    }

    /// Returns what the sandbox needs of these settings on that cluster.
    pub(crate) fn setting(&self, core: &Core) -> Result<&Arc<Setting>, SettingError> {
        if let Some(setting) = self.setting.get() {
            return Ok(setting);
        }
        let setting = core.setting(&self.tenant, &self.task, CommandLine::default())?;
        Ok(self.setting.get_or_init(|| setting))
    }
}

/// Why the limits or grants of a job or call are not valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// A grant is not possible.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// The stack is too small to be of use, or larger than an engine's.
    #[error("a stack has {MIN_STACK} to {MAX_STACK}, but {wanted} was requested")]
    Stack {
        /// The requested size.
        wanted: ByteSize,
    },
    /// There are more table elements than a slot of the pool has.
    #[error("a task has at most {MAX_TABLE_ELEMENTS} table elements, but {wanted} were requested")]
    TableElements {
        /// The requested number.
        wanted: usize,
    },
    /// Instances would be reused, whose state depends on what ran before.
    #[error("deterministic tasks need a fresh instance each: set reuse to none")]
    ReuseIsNotDeterministic,
    /// The library was built without the feature for deterministic tasks.
    #[error("deterministic tasks need a library built with the feature `deterministic`")]
    NotBuiltForDeterminism,
}

/// The setters that both views have. Each gives the view back, so that they can be chained; a clone
/// of a view may differ from it.
macro_rules! setters {
    () => {
        /// Sets all settings of the tasks at once.
        pub fn task_settings(mut self, task: $crate::TaskSettings) -> Self {
            self.settings.task = task;
            self.settings.setting.take();
            self.settings.owner = $crate::dispatch::Owner::default();
            self
        }

        /// Sets the label of these calls, shown in messages, events and the history.
        pub fn label(mut self, label: impl Into<std::sync::Arc<str>>) -> Self {
            self.settings.task.label = Some(label.into());
            self
        }

        /// Gives the host functions that these tasks call a value of this program's: see
        /// [`HostCall::context`](crate::HostCall::context). It replaces an earlier one.
        pub fn context<T: std::any::Any + Send + Sync>(
            mut self,
            context: std::sync::Arc<T>,
        ) -> Self {
            self.settings.task.context = Some(context);
            self.settings.setting.take();
            self
        }

        /// Sets the precedence if engines are scarce: higher before lower, 0 by default. It counts among the work of one
        /// tenant.
        pub fn priority(mut self, priority: i32) -> Self {
            self.settings.task.priority = priority;
            self
        }

        /// Sets what each task may use. These limits replace an earlier [`Self::timeout`].
        pub fn limits(mut self, limits: rwasm_sandbox::limits::Limits) -> Self {
            self.settings.task.limits = Some(limits);
            self.settings.setting.take();
            self
        }

        /// Sets what each task may reach; by default what the cluster grants, which is nothing unless set.
        pub fn grants(mut self, grants: rwasm_sandbox::grants::Grants) -> Self {
            self.settings.task.grants = Some(grants);
            self.settings.setting.take();
            self
        }

        /// Sets the arguments that functions can read from their host, the program's own name first: see
        /// [`TaskSettings::arguments`](crate::TaskSettings::arguments).
        pub fn arguments(mut self, arguments: impl IntoIterator<Item = String>) -> Self {
            self.settings.task.arguments = arguments.into_iter().collect();
            self.settings.setting.take();
            self
        }

        /// Sets whether each task has the same outcome, with the same fuel, on every engine and every run: see
        /// [`TaskSettings::deterministic`](crate::TaskSettings::deterministic).
        pub fn deterministic(mut self, deterministic: bool) -> Self {
            self.settings.task.deterministic = deterministic;
            self.settings.setting.take();
            self
        }

        /// Sets how long one run of a task may take: [`Limits::time`](crate::Limits::time).
        pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
            let limits = &mut self.settings.task.limits;
            limits.get_or_insert_with(|| self.core.limits.clone()).time = timeout;
            self.settings.setting.take();
            self
        }

        /// Sets how long a task may wait for an engine, once its dependencies have ended.
        pub fn queue_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.settings.task.queue_timeout = Some(timeout);
            self
        }

        /// Sets how long a whole call or map may take from its submission: waiting, running and retrying.
        pub fn deadline(mut self, deadline: std::time::Duration) -> Self {
            self.settings.task.deadline = Some(deadline);
            self
        }

        /// Sets which failures are retried, how often, and after which pause; by default none is.
        pub fn retry(mut self, retry: $crate::graph::Retry) -> Self {
            self.settings.task.retry = retry;
            self
        }

        /// Sets how often a task may be retried. Which failures are retried, and after which pause, follows from
        /// [`Self::retry`]; by default any that another attempt may avoid, without a pause.
        pub fn retries(mut self, retries: u32) -> Self {
            self.settings.task.retry.retries = retries;
            self
        }

        /// Makes calls start only when this dependency is met; a task, a map or a job by reference stands for its
        /// success. If set several times, all apply. If a dependency can no longer be met, calls fail at once with
        /// `dependency-failed`.
        pub fn after(mut self, dependency: impl Into<$crate::graph::Dependency>) -> Self {
            self.settings.after.push(dependency.into());
            self
        }

        /// Sets the job in the history whose tasks these calls repeat.
        #[cfg(feature = "history")]
        pub fn repeats(mut self, job: rwasm_history::JobKey) -> Self {
            self.settings.task.repeats = Some(job);
            self
        }

        /// Sets what this program wants to find with these calls in the history, as `JobEntry::options["memo"]`.
        #[cfg(feature = "history")]
        pub fn memo(mut self, memo: serde_json::Value) -> Self {
            self.settings.task.memo = memo;
            self
        }

        /// Sets how long an instance of the module lives. With [`Reuse::Engine`](crate::Reuse::Engine), this view and
        /// its clones have one instance of each module on each engine, which keeps its state between calls until the
        /// view is dropped.
        pub fn reuse(mut self, reuse: $crate::dispatch::Reuse) -> Self {
            self.settings.task.reuse = reuse;
            self.settings.setting.take();
            self.settings.owner = $crate::dispatch::Owner::default();
            self
        }
    };
}

pub(crate) use setters;

/// The setters for maps that both views have.
macro_rules! map_setters {
    () => {
        /// Sets all settings of maps at once.
        pub fn job_settings(mut self, job: $crate::JobSettings) -> Self {
            self.settings.job = job;
            self
        }

        /// Makes maps deliver outcomes as their tasks end, not in input order.
        pub fn unordered(mut self) -> Self {
            self.settings.job.unordered = true;
            self
        }

        /// Sets how many tasks maps hand to an engine at a time, up to 16 384; by default learned, so that a dispatch
        /// is worthwhile.
        pub fn dispatch_size(mut self, tasks: usize) -> Self {
            self.settings.job.dispatch_size = Some(tasks);
            self
        }

        /// Sets how many tasks maps may have read without having delivered their outcomes; by default enough to keep
        /// the engines busy within the available memory. Outcomes are delivered in batches: a few thousand, of a few
        /// MiB, may be delivered and not yet taken.
        pub fn max_outstanding(mut self, tasks: usize) -> Self {
            self.settings.job.max_outstanding = Some(tasks);
            self
        }

        /// Ends maps when more tasks than this have failed. By default they never end early, and failures stand among
        /// the values.
        pub fn max_failures(mut self, failures: $crate::job::Tolerance) -> Self {
            self.settings.job.max_failures = failures;
            self
        }

        /// Ends maps at the first failure, in input order or as they come.
        pub fn fail_fast(self) -> Self {
            self.max_failures($crate::job::Tolerance::Count(0))
        }

        /// Makes maps keep what each attempt used, for [`Map::result`].
        pub fn keep_records(mut self) -> Self {
            self.settings.job.keep_records = true;
            self
        }
    };
}

pub(crate) use map_setters;
