//! `Tenant`: one of several who share a cluster, with a budget of its own.

use super::Cluster;
#[cfg(feature = "nats")]
use crate::account::Account;
use crate::account::TenantUsage;
use crate::graph::Dependency;
use crate::view::{
    Budget, Core, DirectView, Elements, Job, JobSpec, LoadBalancedView, SubmitError, TargetError,
    Targets, TenantState, TenantStatus,
};
use rwasm_sandbox::input::Input;
use rwasm_sandbox::sandbox::Module;
use rwasm_value::value::FromWit;
use std::fmt;
use std::sync::Arc;

/// One of several who share the engines of a cluster, such as a user of the embedding program: a label with a
/// [`Budget`]. Its views and their calls, maps and runs belong to it; what is submitted through the
/// [`Cluster`](crate::Cluster) belongs to the cluster itself, which has weight 1 and no budget but the bound of the
/// queue.
///
/// If engines are scarce, tenants share their time by weight, however many tasks each has and however long these take: one
/// that queues a million tasks delays nobody else's by more than a dispatch. A dispatch that has begun is not interrupted,
/// so the shares hold over times that are long compared with single tasks. A call beyond the budget is refused as
/// [`SubmitError::TenantLimit`].
///
/// Tenants do not see each other's jobs, and each has pushed values of its own. They share the machine code of modules,
/// the processor and its caches, so what one does can be noticed by another in how long its own tasks take; see
/// `SECURITY.md`. Cheap to clone. It stays until it is closed, whoever drops it.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Budget, Cluster, Module, SubmitError};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().engines(1).start()?;
/// # let wat = r#"(module (func (export "square") (param i64) (result i64) (i64.mul (local.get 0) (local.get 0))))"#;
/// let square = Module::from_bytes("numbers", wat)?.function::<(i64,), i64>("square")?;
///
/// let mut budget = Budget::default();
/// budget.weight = 3;
/// budget.queued_tasks = Some(1000);
/// let alice = cluster.tenant("alice").with_budget(budget);
/// assert_eq!(alice.load_balanced_view().blocking().apply(&square, (7,))?, 49);
/// assert_eq!(alice.usage().succeeded, 1);
///
/// alice.close();
/// let refused = alice.load_balanced_view().try_submit(&square, (7,));
/// assert!(matches!(refused, Err(SubmitError::TenantClosed { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tenant {
    core: Arc<Core>,
    state: Arc<TenantState>,
}

impl Cluster {
    /// Returns the tenant with this label, and makes it if there is none: with weight 1 and no other budget. One that was
    /// closed is another than the next with its label.
    #[must_use]
    pub fn tenant(&self, label: impl Into<Arc<str>>) -> Tenant {
        Tenant {
            state: self.core.tenant(label.into()),
            core: Arc::clone(&self.core),
        }
    }
}

impl Tenant {
    /// On whose account its dispatches run.
    #[cfg(feature = "nats")]
    pub(crate) fn account(&self) -> Arc<Account> {
        Arc::clone(&self.state.account)
    }

    #[cfg(feature = "nats")]
    pub(crate) fn state(&self) -> &Arc<TenantState> {
        &self.state
    }

    /// Returns its label.
    #[must_use]
    pub fn label(&self) -> &str {
        self.state.label()
    }

    /// Returns how much of the cluster it may have.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.state.budget()
    }

    /// Sets how much of the cluster it may have, from now on. What it has already is not taken away: tasks that run go
    /// on, and calls in the queue stay there.
    pub fn set_budget(&self, budget: Budget) {
        self.core.set_budget(&self.state, budget);
    }

    /// Sets its budget, and returns it.
    #[must_use]
    pub fn with_budget(self, budget: Budget) -> Self {
        self.set_budget(budget);
        self
    }

    /// Returns its view that gives each call to whichever engine is free.
    pub fn load_balanced_view(&self) -> LoadBalancedView {
        LoadBalancedView::new(Arc::clone(&self.core), Arc::clone(&self.state))
    }

    /// Returns its view of the named engines: see [`Cluster::direct_view`](crate::Cluster::direct_view).
    ///
    /// # Errors
    /// If one of them does not exist, none is named, or one is named twice.
    pub fn direct_view(&self, targets: impl Into<Targets>) -> Result<DirectView, TargetError> {
        let (core, state) = (Arc::clone(&self.core), Arc::clone(&self.state));
        DirectView::new(core, state, &targets.into())
    }

    /// Starts a job: maps a function of `module` over `inputs` and merges the results.
    ///
    /// # Errors
    /// If the module does not fit the job, an input cannot be used, its budget is spent, or it was closed. Nothing has
    /// run then.
    pub fn run(
        &self,
        module: &Module,
        inputs: Vec<Input>,
        spec: &JobSpec,
    ) -> Result<Job, SubmitError> {
        self.run_after(module, inputs, spec, [])
    }

    /// Starts a job without a merge whose function returns streams, and gives their elements as they come.
    ///
    /// # Errors
    /// As for [`Self::run`]; also if the job has a merge, or its function does not give elements of this type.
    pub fn run_elements<T: FromWit>(
        &self,
        module: &Module,
        inputs: Vec<Input>,
        spec: &JobSpec,
    ) -> Result<Elements<T>, SubmitError> {
        self.core.run_elements(&self.state, module, inputs, spec)
    }

    /// Starts a job once all of `after` are met, which are jobs of its own.
    ///
    /// # Errors
    /// As for [`Self::run`]; also if a named job is not known.
    pub fn run_after(
        &self,
        module: &Module,
        inputs: Vec<Input>,
        spec: &JobSpec,
        after: impl IntoIterator<Item = Dependency>,
    ) -> Result<Job, SubmitError> {
        let after = after.into_iter().collect();
        self.core.run(&self.state, module, inputs, spec, after)
    }

    /// Returns what its tasks have used so far; also after it was closed.
    #[must_use]
    pub fn usage(&self) -> TenantUsage {
        self.state.account.usage()
    }

    /// Returns what it has in the cluster at this moment.
    #[must_use]
    pub fn status(&self) -> TenantStatus {
        self.core.status_of(&self.state)
    }

    /// Returns whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.account.is_closed()
    }

    /// Closes it for good, and returns at once. Its queue is dropped and what it has running is stopped, which takes
    /// milliseconds; all of that ends with the failure `cancelled`. The instances, pushed values and modules that are
    /// kept for it alone are let go. Its views refuse calls from now on. A second call has no effect.
    pub fn close(&self) {
        self.core.close(&self.state);
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("label", &self.label())
            .field("budget", &self.budget())
            .finish_non_exhaustive()
    }
}
