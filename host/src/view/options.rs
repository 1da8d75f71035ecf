//! How the calls of a view are made: what a view's methods set.

#[cfg(feature = "history")]
use super::recording::Memo;
use crate::dispatch::{Owner, Reuse};
use crate::graph::{Dependency, Retry};
#[cfg(feature = "history")]
use rwasm_history::JobKey;
use rwasm_sandbox::grants::{GrantError, Grants};
use rwasm_sandbox::limits::{DETERMINISTIC_FUEL, Limits, MAX_STACK, MAX_TABLE_ELEMENTS, MIN_STACK};
use rwasm_sandbox::sandbox::{Peers, Setting};
use rwasm_value::units::ByteSize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// See the setters of [`LoadBalancedView`](super::LoadBalancedView) and of
/// [`DirectView`](super::DirectView).
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) label: Option<Arc<str>>,
    pub(super) priority: i32,
    pub(super) limits: Limits,
    pub(super) grants: Arc<Grants>,
    pub(super) deterministic: bool,
    pub(super) retry: Retry,
    pub(super) queue_time: Option<Duration>,
    pub(super) deadline: Option<Duration>,
    pub(super) after: Vec<Dependency>,
    pub(super) follow: Vec<Dependency>,
    #[cfg(feature = "history")]
    pub(super) repeats: Option<JobKey>,
    #[cfg(feature = "history")]
    pub(super) memo: Memo,
    pub(super) reuse: Reuse,
    /// Whose instances are kept under [`Reuse::Engine`]: each view that asks for it has its own.
    pub(super) owner: Owner,
    /// What follows of these for the sandbox, made when it is first wanted and shared by all calls.
    pub(super) setting: OnceLock<Arc<Setting>>,
}

/// What the jobs and calls of a cluster may use and reach by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) limits: Limits,
    pub(crate) grants: Arc<Grants>,
}

/// What of a job or call the sandbox is told.
pub(crate) struct Wishes<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) grants: &'a Arc<Grants>,
    pub(crate) deterministic: bool,
    pub(crate) reuse: Reuse,
    /// The arguments of a WASI command, its own name first.
    pub(crate) program_arguments: Vec<String>,
}

impl Wishes<'_> {
    /// What the sandbox is told, once all that can be refused has been looked at. Directories and peers are looked for
    /// where the engines are, which is `here` or elsewhere.
    pub(crate) fn settle(self, here: bool) -> Result<Arc<Setting>, SettingError> {
        let stack = self.limits.stack;
        if !(MIN_STACK..=MAX_STACK).contains(&stack) {
            return Err(SettingError::Stack { wanted: stack });
        }
        if self.limits.table_elements > MAX_TABLE_ELEMENTS {
            return Err(SettingError::TableElements {
                wanted: self.limits.table_elements,
            });
        }
        if self.deterministic && self.reuse != Reuse::None {
            return Err(SettingError::ReuseIsNotDeterministic);
        }
        if self.deterministic && !cfg!(feature = "deterministic") {
            return Err(SettingError::NotBuiltForDeterminism);
        }
        let dirs = if here {
            self.grants.check(self.deterministic)?
        } else {
            self.grants.check_elsewhere(self.deterministic)?;
            Vec::new()
        };
        let peers = if here {
            Peers::new(&self.grants.net)
        } else {
            Peers::default()
        };
        let mut limits = self.limits.clone();
        if self.deterministic {
            limits.fuel = limits.fuel.or(Some(DETERMINISTIC_FUEL));
        }
        Ok(Arc::new(Setting {
            limits,
            grants: Arc::clone(self.grants),
            peers: Arc::new(peers),
            dirs: dirs.into(),
            deterministic: self.deterministic,
            program_arguments: self.program_arguments,
            keep_instance: self.reuse != Reuse::None,
        }))
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

impl Options {
    /// Whether a call needs to be looked after.
    pub(super) fn needs_care(&self) -> bool {
        self.retry.retries > 0
            || self.queue_time.is_some()
            || self.deadline.is_some()
            || self.waits()
    }

    /// Calls that stand as the cluster says.
    pub(super) fn of(defaults: &Defaults) -> Self {
        Self {
            limits: defaults.limits.clone(),
            grants: Arc::clone(&defaults.grants),
            ..Self::default()
        }
    }

    pub(super) fn setting(&self, here: bool) -> Result<&Arc<Setting>, SettingError> {
        if let Some(setting) = self.setting.get() {
            return Ok(setting);
        }
        let wishes = Wishes {
            limits: &self.limits,
            grants: &self.grants,
            deterministic: self.deterministic,
            reuse: self.reuse,
            program_arguments: Vec::new(),
        };
        let setting = wishes.settle(here)?;
        Ok(self.setting.get_or_init(|| setting))
    }

    /// Whether something must end before.
    pub(super) fn waits(&self) -> bool {
        !self.after.is_empty() || !self.follow.is_empty()
    }
}

/// The setters that both views have. Each gives the view back, so that they can be chained; a clone
/// of a view may differ from it.
macro_rules! setters {
    () => {
        /// Sets the label of these calls, shown in messages, events and the history.
        pub fn label(mut self, label: impl Into<std::sync::Arc<str>>) -> Self {
            self.options.label = Some(label.into());
            self
        }

        /// Sets the precedence if engines are scarce: higher before lower, 0 by default.
        pub fn priority(mut self, priority: i32) -> Self {
            self.options.priority = priority;
            self
        }

        /// Sets what each task may use. These limits replace an earlier [`Self::timeout`].
        pub fn limits(mut self, limits: rwasm_sandbox::limits::Limits) -> Self {
            self.options.limits = limits;
            self.options.setting.take();
            self
        }

        /// Sets what each task may reach; by default what the cluster grants, which is nothing unless set.
        pub fn grants(mut self, grants: rwasm_sandbox::grants::Grants) -> Self {
            self.options.grants = std::sync::Arc::new(grants);
            self.options.setting.take();
            self
        }

        /// Sets whether each task has the same outcome, with the same fuel, on every engine and every run: see
        /// [`JobSpec::deterministic`](crate::JobSpec::deterministic).
        pub fn deterministic(mut self, deterministic: bool) -> Self {
            self.options.deterministic = deterministic;
            self.options.setting.take();
            self
        }

        /// Sets how long one run of a task may take: [`Limits::time`](crate::Limits::time).
        pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.limits.time = timeout;
            self.options.setting.take();
            self
        }

        /// Sets how long a task may wait for an engine, once its dependencies have ended.
        pub fn queue_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.queue_time = Some(timeout);
            self
        }

        /// Sets how long a whole call or map may take from its submission: waiting, running and retrying.
        pub fn deadline(mut self, deadline: std::time::Duration) -> Self {
            self.options.deadline = Some(deadline);
            self
        }

        /// Sets which failures are retried, how often, and after which pause; by default none is.
        pub fn retry(mut self, retry: $crate::graph::Retry) -> Self {
            self.options.retry = retry;
            self
        }

        /// Sets how often a task may be retried. Which failures are retried, and after which pause, follows from
        /// [`Self::retry`]; by default any that another attempt may avoid, without a pause.
        pub fn retries(mut self, retries: u32) -> Self {
            self.options.retry.retries = retries;
            self
        }

        /// Makes calls start only when this dependency is met; a task, a map or a job by reference stands for its
        /// success. If set several times, all apply. If a dependency can no longer be met, calls fail at once with
        /// `dependency-failed`.
        pub fn after(mut self, dependency: impl Into<$crate::graph::Dependency>) -> Self {
            self.options.after.push(dependency.into());
            self
        }

        /// Sets the job in the history whose tasks these calls repeat.
        #[cfg(feature = "history")]
        pub fn repeats(mut self, job: rwasm_history::JobKey) -> Self {
            self.options.repeats = Some(job);
            self
        }

        /// Sets what this program wants to find with these calls in the history, as `JobEntry::options["memo"]`.
        #[cfg(feature = "history")]
        pub fn memo(mut self, memo: serde_json::Value) -> Self {
            self.options.memo = Some(std::sync::Arc::new(memo));
            self
        }

        /// Sets how long an instance of the module lives. With [`Reuse::Engine`](crate::Reuse::Engine), this view and
        /// its clones have one instance of each module on each engine, which keeps its state between calls until the
        /// view is dropped.
        pub fn reuse(mut self, reuse: $crate::dispatch::Reuse) -> Self {
            self.options.reuse = reuse;
            self.options.setting.take();
            self.options.owner = $crate::dispatch::Owner::default();
            self
        }
    };
}

pub(super) use setters;
