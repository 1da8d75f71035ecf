//! The load-balanced view: each call runs on whichever engine is free.

use super::call::Arguing;
use crate::placement::Eligible;
use crate::view::handles::errors::TaskError;
use crate::view::handles::map::Map;
use crate::view::handles::task::{Call, Task};
use crate::view::runs::lines::Lines;
use crate::view::runs::pieces::{Given, Listed, Pieces, Streamed};
use crate::view::runs::spec::ViewKind;
use crate::view::runs::submit::SubmitError;
use crate::view::shared::admission::Permit;
use crate::view::shared::core::Core;
use crate::view::shared::maker::Maker;
use crate::view::shared::settings::{ViewSettings, map_setters, setters};
use crate::view::shared::targets::Targets;
use crate::view::shared::tenant::TenantState;
use futures_core::Stream;
use rwasm_sandbox::sandbox::Callable;
use rwasm_value::ids::EngineId;
use rwasm_value::value::{FromWit, Params};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A view that gives each call to whichever engine is free.
///
/// Made by [`Cluster::load_balanced_view`](crate::Cluster::load_balanced_view). Cheap to clone; the settings of one
/// clone do not affect another.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Cluster, Module};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().engines(2).start()?;
/// # let wat = r#"(module (func (export "square") (param i64) (result i64) (i64.mul (local.get 0) (local.get 0))))"#;
/// let square = Module::from_bytes("numbers", wat)?.function::<(i64,), i64>("square")?;
///
/// let view = cluster.load_balanced_view().timeout(Duration::from_secs(5)).retries(2);
/// let first = view.try_submit(&square, (3,))?;
/// // Starts once the first has succeeded.
/// let second = view.clone().after(&first).try_submit(&square, (4,))?;
/// assert_eq!(first.get()? + second.get()?, 25);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a view does nothing until it is called"]
pub struct LoadBalancedView {
    pub(super) core: Arc<Core>,
    pub(super) settings: ViewSettings,
    targets: Option<Targets>,
}

impl LoadBalancedView {
    pub(crate) fn new(core: Arc<Core>, tenant: Arc<TenantState>) -> Self {
        Self {
            settings: ViewSettings::of(tenant),
            core,
            targets: None,
        }
    }

    setters!();
    map_setters!();

    /// Restricts calls to these engines; by default any may run them.
    pub fn targets(mut self, targets: impl Into<Targets>) -> Self {
        self.targets = Some(targets.into());
        self
    }

    /// Like [`Self::after`], and also runs on an engine where those jobs ran. If set several times, all apply; if no
    /// engine satisfies all, the call fails at once.
    pub fn follow(mut self, dependency: impl Into<crate::graph::Dependency>) -> Self {
        self.settings.follow.push(dependency.into());
        self
    }

    /// Submits a call as soon as the queue has room for it. Waits for that room, not for the result. A module that is
    /// not ready to run is compiled on a thread of its own meanwhile, once however many calls wait for it.
    ///
    /// # Errors
    /// If the arguments do not fit, a dependency or a target does not exist, the cluster is shut down, or the
    /// [`Budget`](crate::Budget) of its tenant is spent: [`SubmitError::TenantLimit`].
    pub async fn submit<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Task<R>, SubmitError> {
        let arguing = Arguing::new(function, arguments)?;
        let maker = self.core.maker_elsewhere(&self.settings, function).await?;
        let permit = self.core.enter(&self.settings, arguing.bytes).await?;
        self.call(function, &maker, &arguing, permit).map(Task::new)
    }

    /// Submits a call if the queue has room for it now. A module that is not ready to run is compiled on the calling
    /// thread.
    ///
    /// # Errors
    /// As for [`Self::submit`]; also [`SubmitError::QueueFull`].
    pub fn try_submit<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Task<R>, SubmitError> {
        let arguing = Arguing::new(function, arguments)?;
        let permit = self.core.try_enter(&self.settings, arguing.bytes)?;
        let maker = self.core.maker(&self.settings, function)?;
        self.call(function, &maker, &arguing, permit).map(Task::new)
    }

    pub(super) fn call<P, R>(
        &self,
        function: &Callable<P, R>,
        maker: &Maker,
        arguing: &Arguing,
        permit: Permit,
    ) -> Result<Call, SubmitError> {
        let eligible = self.eligible()?;
        self.core
            .call(&self.settings, function, maker, arguing, eligible, permit)
    }

    /// Calls a function and waits for its value.
    ///
    /// # Errors
    /// If the call is refused, as by [`Self::submit`], or fails.
    pub async fn apply<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<R, ApplyError<TaskError>> {
        let task = self.submit(function, arguments).await?;
        task.await.map_err(ApplyError::Failed)
    }

    /// Calls a function on each argument list of `items`, which may be endless.
    ///
    /// The items are read lazily on a thread of the map's own: as far ahead as [`Self::max_outstanding`] allows, and
    /// no further while outcomes are not taken. An argument list is what the function takes: a tuple, or for
    /// `Callable<u64, _>` a number. [`zip`](crate::zip) makes them from several sequences.
    ///
    /// # Errors
    /// As for [`Self::submit`]; arguments that do not fit fail only their task.
    pub fn map<P, R, I>(&self, function: &Callable<P, R>, items: I) -> Result<Map<R>, SubmitError>
    where
        P: Params + 'static,
        R: FromWit + 'static,
        I: IntoIterator<Item = P::At<'static>>,
        I::IntoIter: Send + 'static,
    {
        self.start_map(function, listed(function, items))
    }

    /// Calls a function on each argument list of an async stream, as it arrives.
    ///
    /// # Errors
    /// As for [`Self::map`].
    pub fn map_stream<P, R, S>(
        &self,
        function: &Callable<P, R>,
        items: S,
    ) -> Result<Map<R>, SubmitError>
    where
        P: Params + 'static,
        R: FromWit + 'static,
        S: Stream<Item = P::At<'static>> + Send + 'static,
    {
        let given = Packing {
            items: Box::pin(items),
            function: function.clone(),
        };
        self.start_map(function, Box::new(Streamed::new(given)))
    }

    /// Calls a function on each line of text, in the line formats of the command line's `map`: a value for a function
    /// of one parameter, a list of values for one of several, in JSON or WAVE. A line that does not fit fails only
    /// its task. `name` is the input's name in messages.
    ///
    /// # Errors
    /// As for [`Self::map`].
    pub fn map_lines<P, R>(
        &self,
        function: &Callable<P, R>,
        name: &str,
        lines: impl std::io::Read + Send + 'static,
    ) -> Result<Map<R>, SubmitError>
    where
        P: 'static,
        R: FromWit + 'static,
    {
        self.start_map(function, self.lines(function, name, lines))
    }

    /// Argument lists that are read line by line.
    pub(super) fn lines<P: 'static, R: 'static>(
        &self,
        function: &Callable<P, R>,
        name: &str,
        lines: impl std::io::Read + Send + 'static,
    ) -> Box<dyn Pieces> {
        let limits = self.core.limits_of(&self.settings.task);
        let given = Lines::new(function, name, lines, limits);
        Box::new(Listed::new(given, None))
    }

    fn start_map<P, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        pieces: Box<dyn Pieces>,
    ) -> Result<Map<R>, SubmitError> {
        self.core
            .map(function, pieces, &self.kind(), &self.settings)
    }

    pub(super) fn kind(&self) -> ViewKind {
        match &self.targets {
            None => ViewKind::Balanced,
            Some(targets) => ViewKind::BalancedAmong(targets.clone()),
        }
    }

    fn eligible(&self) -> Result<Eligible, SubmitError> {
        let Some(targets) = &self.targets else {
            return Ok(Eligible::Any);
        };
        let engines: Vec<EngineId> = targets.resolve(&self.core.backend.engines())?;
        Ok(Eligible::Of(engines.into()))
    }
}

/// Why a call has no value: it was refused, or it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError<E: std::error::Error + 'static> {
    /// It was refused; nothing has run.
    #[error(transparent)]
    Refused(#[from] SubmitError),
    /// It ran and failed.
    #[error(transparent)]
    Failed(E),
}

/// Argument lists of an iterator, which may be endless.
pub(super) fn listed<P, R, I>(function: &Callable<P, R>, items: I) -> Box<dyn Pieces>
where
    P: Params + 'static,
    R: 'static,
    I: IntoIterator<Item = P::At<'static>>,
    I::IntoIter: Send + 'static,
{
    let items = items.into_iter();
    let count = match items.size_hint() {
        (least, Some(most)) if least == most => u64::try_from(least).ok(),
        _ => None,
    };
    let own = function.clone();
    let given = items.map(move |arguments| Ok(Given::pack(&own, arguments)));
    Box::new(Listed::new(given, count))
}

/// Packs what a stream gives.
struct Packing<S, P, R> {
    items: Pin<Box<S>>,
    function: Callable<P, R>,
}

impl<S, P, R> Stream for Packing<S, P, R>
where
    P: Params + 'static,
    S: Stream<Item = P::At<'static>>,
{
    type Item = Given;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Given>> {
        let arguments = std::task::ready!(self.items.as_mut().poll_next(context));
        Poll::Ready(arguments.map(|arguments| Given::pack(&self.function, arguments)))
    }
}
