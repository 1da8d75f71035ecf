//! The blocking twin of the async calls, for programs without a runtime: the same code, waited for
//! on the thread that calls.

use crate::cluster::Cluster;
use crate::view::{
    ApplyError, CompositeError, DirectView, LoadBalancedView, SubmitError, TargetError, Targets,
    Task, TaskError, Tasks,
};
use rwasm_sandbox::sandbox::Callable;
use rwasm_value::value::{FromWit, Params};
use std::ops::Deref;

/// A cluster whose views wait, made by [`Cluster::blocking`].
///
/// ```no_run
/// # use rwasm_cluster::{Cluster, Module};
/// # fn example(cluster: &Cluster, numbers: &Module) -> Result<(), Box<dyn std::error::Error>> {
/// let fib = numbers.function::<(u32,), u64>("fib")?;
/// let view = cluster.blocking().load_balanced_view();
/// let value: u64 = view.apply(&fib, (30,))?;
/// // Handles can be waited for wherever they are from.
/// let task = view.submit(&fib, (20,))?;
/// let other = task.get()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct BlockingCluster<'a>(&'a Cluster);

impl<'a> BlockingCluster<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        Self(cluster)
    }

    /// The view that gives each call to whichever engine is free.
    pub fn load_balanced_view(self) -> Blocking<LoadBalancedView> {
        self.0.load_balanced_view().blocking()
    }

    /// The view of the engines that are named.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn direct_view(
        self,
        targets: impl Into<Targets>,
    ) -> Result<Blocking<DirectView>, TargetError> {
        Ok(self.0.direct_view(targets)?.blocking())
    }
}

/// A view whose calls wait on the thread that makes them. What the view does without waiting it does
/// as before, since this derefs to it: `map`, `push` or `scatter`. Its options are set before it is
/// made: `cluster.load_balanced_view().retries(2).blocking()`.
#[derive(Clone)]
#[must_use = "a view does nothing until it is called"]
pub struct Blocking<V>(V);

impl<V> Blocking<V> {
    /// The async view.
    pub fn into_inner(self) -> V {
        self.0
    }
}

impl<V> Deref for Blocking<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.0
    }
}

impl LoadBalancedView {
    /// The same view, whose calls wait on the thread that makes them.
    pub fn blocking(self) -> Blocking<Self> {
        Blocking(self)
    }
}

impl DirectView {
    /// The same view, whose calls wait on the thread that makes them.
    pub fn blocking(self) -> Blocking<Self> {
        Blocking(self)
    }
}

impl Blocking<LoadBalancedView> {
    /// [`LoadBalancedView::submit`]: waits for room in the queue, not for the result.
    ///
    /// # Errors
    /// As there.
    pub fn submit<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Task<R>, SubmitError> {
        pollster::block_on(self.0.submit(function, arguments))
    }

    /// [`LoadBalancedView::apply`]: waits for the value.
    ///
    /// # Errors
    /// As there.
    pub fn apply<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<R, ApplyError<TaskError>> {
        pollster::block_on(self.0.apply(function, arguments))
    }
}

impl Blocking<DirectView> {
    /// [`DirectView::submit`]: waits for room in the queue, not for the results.
    ///
    /// # Errors
    /// As there.
    pub fn submit<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Tasks<R>, SubmitError> {
        pollster::block_on(self.0.submit(function, arguments))
    }

    /// [`DirectView::apply`]: waits for the values.
    ///
    /// # Errors
    /// As there.
    pub fn apply<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Vec<R>, ApplyError<CompositeError>> {
        pollster::block_on(self.0.apply(function, arguments))
    }
}
