//! How the calls of a view are made: what a view's methods set.

use super::recording::Memo;
use crate::dispatch::{Owner, Reuse};
use crate::graph::{Dependency, Retry};
use crate::history::JobKey;
use crate::limits::Limits;
use crate::sandbox::Setting;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// See the setters of [`LoadBalancedView`](super::LoadBalancedView) and of
/// [`DirectView`](super::DirectView).
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) label: Option<Arc<str>>,
    pub(super) priority: i32,
    pub(super) limits: Limits,
    pub(super) retry: Retry,
    pub(super) queue_time: Option<Duration>,
    pub(super) deadline: Option<Duration>,
    pub(super) after: Vec<Dependency>,
    pub(super) follow: Vec<Dependency>,
    pub(super) repeats: Option<JobKey>,
    pub(super) memo: Memo,
    pub(super) reuse: Reuse,
    /// Whose instances are kept under [`Reuse::Engine`]: each view that asks for it has its own.
    pub(super) owner: Owner,
    /// What follows of these for the sandbox, made when it is first wanted and shared by all calls.
    pub(super) setting: OnceLock<Arc<Setting>>,
}

impl Options {
    /// Whether a call needs to be looked after.
    pub(super) fn needs_care(&self) -> bool {
        self.retry.retries > 0
            || self.queue_time.is_some()
            || self.deadline.is_some()
            || self.waits()
    }

    pub(super) fn setting(&self) -> &Arc<Setting> {
        self.setting.get_or_init(|| {
            Arc::new(Setting {
                limits: self.limits.clone(),
                program_arguments: Vec::new(),
                keep_instance: self.reuse != Reuse::None,
            })
        })
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
        /// What these calls are called: in messages, events and the history.
        pub fn label(mut self, label: impl Into<std::sync::Arc<str>>) -> Self {
            self.options.label = Some(label.into());
            self
        }

        /// What goes first where engines are short: higher before lower, 0 unless said otherwise.
        pub fn priority(mut self, priority: i32) -> Self {
            self.options.priority = priority;
            self
        }

        /// What each task may use. Its time is then what these limits say, whatever
        /// [`Self::timeout`] said before.
        pub fn limits(mut self, limits: $crate::limits::Limits) -> Self {
            self.options.limits = limits;
            self.options.setting.take();
            self
        }

        /// The time that one run of a task may take: [`Limits::time`](crate::Limits::time).
        pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.limits.time = timeout;
            self.options.setting.take();
            self
        }

        /// The time that a task may wait for an engine, once what it waits for has ended.
        pub fn queue_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.queue_time = Some(timeout);
            self
        }

        /// The time that all of a call or map may take from its submission: waiting, running and
        /// trying again.
        pub fn deadline(mut self, deadline: std::time::Duration) -> Self {
            self.options.deadline = Some(deadline);
            self
        }

        /// Which failures are tried again, how often, after which pause; by default none is.
        pub fn retry(mut self, retry: $crate::graph::Retry) -> Self {
            self.options.retry = retry;
            self
        }

        /// Tries again so often at most. Which failures, and after which pause, is as
        /// [`Self::retry`] says; unless it said otherwise, any that another attempt can mend, at once.
        pub fn retries(mut self, retries: u32) -> Self {
            self.options.retry.retries = retries;
            self
        }

        /// Begins only when these have ended as the dependency says: a task, a map or a job by
        /// reference stands for its success. Said several times, all hold. Where that can no longer
        /// come true, calls fail at once with `dependency-failed`.
        pub fn after(mut self, dependency: impl Into<$crate::graph::Dependency>) -> Self {
            self.options.after.push(dependency.into());
            self
        }

        /// The job in the history of which these calls repeat tasks.
        pub fn repeats(mut self, job: $crate::history::JobKey) -> Self {
            self.options.repeats = Some(job);
            self
        }

        /// What this program wants to find again with these calls in the history:
        /// `JobEntry::options["memo"]`.
        pub fn memo(mut self, memo: serde_json::Value) -> Self {
            self.options.memo = Some(std::sync::Arc::new(memo));
            self
        }

        /// How long an instance of the module lives. With [`Reuse::Engine`](crate::Reuse::Engine)
        /// this view and its clones have one instance of each module on each engine, whose state
        /// lives between calls until the view is dropped.
        pub fn reuse(mut self, reuse: $crate::dispatch::Reuse) -> Self {
            self.options.reuse = reuse;
            self.options.setting.take();
            self.options.owner = $crate::dispatch::Owner::default();
            self
        }
    };
}

pub(super) use setters;
