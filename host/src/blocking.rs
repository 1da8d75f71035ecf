//! The blocking twin of the async calls, for programs without a runtime: the same code, waited for on the calling
//! thread.

use crate::cluster::{Cluster, Tenant};
use crate::view::{
    ApplyError, CompositeError, DirectView, ElementView, Elements, LoadBalancedView, SubmitError,
    TargetError, Targets, Task, TaskError, Tasks,
};
use rwasm_sandbox::sandbox::Callable;
use rwasm_value::value::{FromWit, Params};
use std::ops::Deref;

/// A cluster whose views block, made by [`Cluster::blocking`].
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Cluster, Module};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().engines(1).start()?;
/// # let wat = r#"(module (func (export "square") (param i64) (result i64) (i64.mul (local.get 0) (local.get 0))))"#;
/// let square = Module::from_bytes("numbers", wat)?.function::<(i64,), i64>("square")?;
///
/// let view = cluster.blocking().load_balanced_view();
/// assert_eq!(view.apply(&square, (6,))?, 36);
/// // Handles can be waited for, whichever view they are from.
/// let task = view.submit(&square, (7,))?;
/// assert_eq!(task.get()?, 49);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct BlockingCluster<'a>(&'a Cluster);

impl<'a> BlockingCluster<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        Self(cluster)
    }

    /// Returns the view that gives each call to whichever engine is free.
    pub fn load_balanced_view(self) -> Blocking<LoadBalancedView> {
        self.0.load_balanced_view().blocking()
    }

    /// Returns the view of the named engines.
    ///
    /// # Errors
    /// If one of them does not exist.
    pub fn direct_view(
        self,
        targets: impl Into<Targets>,
    ) -> Result<Blocking<DirectView>, TargetError> {
        Ok(self.0.direct_view(targets)?.blocking())
    }
}

/// A tenant whose views block, made by [`Tenant::blocking`].
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Cluster, Module};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().engines(1).start()?;
/// # let wat = r#"(module (func (export "square") (param i64) (result i64) (i64.mul (local.get 0) (local.get 0))))"#;
/// let square = Module::from_bytes("numbers", wat)?.function::<(i64,), i64>("square")?;
///
/// let alice = cluster.tenant("alice");
/// let view = alice.blocking().load_balanced_view();
/// assert_eq!(view.apply(&square, (6,))?, 36);
/// assert_eq!(alice.usage().succeeded, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct BlockingTenant<'a>(&'a Tenant);

impl Tenant {
    /// Returns the same tenant for programs without an async runtime: its views block.
    #[must_use]
    pub fn blocking(&self) -> BlockingTenant<'_> {
        BlockingTenant(self)
    }
}

impl BlockingTenant<'_> {
    /// Returns its view that gives each call to whichever engine is free.
    pub fn load_balanced_view(self) -> Blocking<LoadBalancedView> {
        self.0.load_balanced_view().blocking()
    }

    /// Returns its view of the named engines.
    ///
    /// # Errors
    /// If one of them does not exist.
    pub fn direct_view(
        self,
        targets: impl Into<Targets>,
    ) -> Result<Blocking<DirectView>, TargetError> {
        Ok(self.0.direct_view(targets)?.blocking())
    }
}

/// A view whose calls block the calling thread. It derefs to the async view for everything that does not wait, such
/// as `map`, `push` or `scatter`. Set the options first: `cluster.load_balanced_view().retries(2).blocking()`.
#[derive(Clone)]
#[must_use = "a view does nothing until it is called"]
pub struct Blocking<V>(V);

impl<V> Blocking<V> {
    /// Returns the async view.
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
    /// Returns the same view, whose calls block the calling thread.
    pub fn blocking(self) -> Blocking<Self> {
        Blocking(self)
    }
}

impl DirectView {
    /// Returns the same view, whose calls block the calling thread.
    pub fn blocking(self) -> Blocking<Self> {
        Blocking(self)
    }
}

impl<V> ElementView<V> {
    /// Returns the same view, whose calls block the calling thread.
    pub fn blocking(self) -> Blocking<Self> {
        Blocking(self)
    }
}

impl Blocking<LoadBalancedView> {
    /// [`LoadBalancedView::submit`], which blocks for room in the queue, not for the result.
    ///
    /// # Errors
    /// As for [`LoadBalancedView::submit`].
    pub fn submit<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Task<R>, SubmitError> {
        pollster::block_on(self.0.submit(function, arguments))
    }

    /// [`LoadBalancedView::apply`], which blocks for the value.
    ///
    /// # Errors
    /// As for [`LoadBalancedView::apply`].
    pub fn apply<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<R, ApplyError<TaskError>> {
        pollster::block_on(self.0.apply(function, arguments))
    }
}

impl Blocking<ElementView<LoadBalancedView>> {
    /// [`ElementView::submit`], which blocks for room in the queue, not for elements.
    ///
    /// # Errors
    /// As for [`ElementView::submit`].
    pub fn submit<P: Params, R, T: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Elements<T>, SubmitError> {
        pollster::block_on(self.0.submit(function, arguments))
    }
}

impl Blocking<DirectView> {
    /// [`DirectView::submit`], which blocks for room in the queue, not for the results.
    ///
    /// # Errors
    /// As for [`DirectView::submit`].
    pub fn submit<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Tasks<R>, SubmitError> {
        pollster::block_on(self.0.submit(function, arguments))
    }

    /// [`DirectView::apply`], which blocks for the values.
    ///
    /// # Errors
    /// As for [`DirectView::apply`].
    pub fn apply<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Vec<R>, ApplyError<CompositeError>> {
        pollster::block_on(self.0.apply(function, arguments))
    }
}
