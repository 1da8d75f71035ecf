//! The direct view: calls run on the engines that are named, and values are pushed to them.

use super::balanced::ApplyError;
use super::call::Arguing;
use crate::placement::Eligible;
use crate::view::handles::errors::CompositeError;
use crate::view::handles::map::Map;
use crate::view::handles::task::Task;
use crate::view::handles::tasks::Tasks;
use crate::view::runs::lines::Lines;
use crate::view::runs::pieces::{Given, Listed, Pieces};
use crate::view::runs::spec::ViewKind;
use crate::view::runs::submit::SubmitError;
use crate::view::shared::core::Core;
use crate::view::shared::settings::{ViewSettings, map_setters, setters};
use crate::view::shared::targets::{TargetError, Targets};
use crate::view::shared::tenant::TenantState;
use rwasm_sandbox::input::InputError;
use rwasm_sandbox::pushed::PushedValue;
use rwasm_sandbox::sandbox::Callable;
use rwasm_value::ids::EngineId;
use rwasm_value::value::{FromWit, Params, Value};
use std::sync::Arc;

/// A view of named engines: each call runs on each of them, and values can be pushed to them.
///
/// Made by [`Cluster::direct_view`](crate::Cluster::direct_view). Cheap to clone; the settings of one clone do not
/// affect another, but pushed values belong to the engines, and are there for all views of one tenant.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Cluster, Module, Reference, Targets};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().engines(2).start()?;
/// # let wat = r#"(module (func (export "square") (param i64) (result i64) (i64.mul (local.get 0) (local.get 0))))"#;
/// let square = Module::from_bytes("numbers", wat)?.function::<(Reference,), i64>("square")?;
///
/// let view = cluster.direct_view(Targets::All)?.blocking();
/// view.push("side", 6_i64)?;
/// assert_eq!(view.apply(&square, (Reference::new("side"),))?, [36, 36]);
/// // Each engine gets its own part of a sequence.
/// view.scatter("part", 1..=4_i64)?;
/// assert_eq!(view.gather("part")?.len(), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a view does nothing until it is called"]
pub struct DirectView {
    pub(super) core: Arc<Core>,
    pub(super) settings: ViewSettings,
    targets: Targets,
    /// How sequences are spread.
    distribution: Distribution,
}

/// How the elements of a sequence are spread over engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distribution {
    /// In contiguous blocks; the first ones have one more element if they cannot be equal.
    #[default]
    Block,
    /// In turn: the first element to the first engine, the second to the second.
    RoundRobin,
}

/// Why values could not be pushed or pulled.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The engines that are meant are not there.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// Nothing was pushed to the engine under this name.
    #[error("engine {engine} has no pushed value `{name}`: it has {}", names(.present))]
    NoSuchName {
        /// The engine.
        engine: EngineId,
        /// The name.
        name: String,
        /// The names that it has values for.
        present: Vec<Arc<str>>,
    },
    /// The value to gather is not a sequence.
    #[error(
        "the value `{name}` on engine {engine} is {found} and cannot be joined with the others"
    )]
    NotASequence {
        /// The engine.
        engine: EngineId,
        /// The name.
        name: String,
        /// The type of its value.
        found: String,
    },
    /// The tenant was closed.
    #[error("tenant `{tenant}` was closed")]
    TenantClosed {
        /// The label of the tenant.
        tenant: Arc<str>,
    },
    /// The cluster was shut down.
    #[error("the cluster was shut down")]
    ShutDown,
}

fn names(names: &[Arc<str>]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        format!("`{}`", names.join("`, `"))
    }
}

impl DirectView {
    pub(crate) fn new(
        core: Arc<Core>,
        tenant: Arc<TenantState>,
        targets: &Targets,
    ) -> Result<Self, TargetError> {
        let engines = core.backend.engines();
        let resolved = targets.resolve(&engines)?;
        Ok(Self {
            settings: ViewSettings::of(tenant),
            core,
            // `all` stays what there is at the time; anything else is these engines from now on.
            targets: match targets {
                Targets::All => Targets::All,
                _ => Targets::Only(resolved),
            },
            distribution: Distribution::default(),
        })
    }

    setters!();
    map_setters!();

    /// Sets how [`Self::scatter`] spreads a sequence, and how [`Self::gather`] assumes it was spread; in blocks by
    /// default.
    pub fn distribution(mut self, distribution: Distribution) -> Self {
        self.distribution = distribution;
        self
    }

    /// Returns the engines that it stands for now: with [`Targets::All`] the present ones, otherwise those chosen
    /// when it was made.
    ///
    /// # Errors
    /// If one of them is gone.
    pub fn engines(&self) -> Result<Vec<EngineId>, TargetError> {
        self.targets.resolve(&self.core.backend.engines())
    }

    /// Returns a view of the engines that it stands for now, whatever engines come later.
    ///
    /// # Errors
    /// If one of them is gone.
    pub fn frozen(mut self) -> Result<Self, TargetError> {
        self.targets = Targets::Only(self.engines()?);
        Ok(self)
    }

    /// Submits a call to each engine, as soon as the queue has room for all. Waits for that room, not for the
    /// results. The arguments are packed once and shared.
    ///
    /// # Errors
    /// If the arguments do not fit, an engine is gone, or the cluster is shut down. Calls that were already submitted
    /// are stopped.
    pub async fn submit<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Tasks<R>, SubmitError> {
        let arguing = Arguing::new(function, arguments)?;
        let core = &self.core;
        let maker = core.maker_elsewhere(&self.settings, function).await?;
        let mut tasks = Vec::new();
        for engine in self.engines()? {
            let permit = core.enter(&self.settings, arguing.bytes).await?;
            let eligible = Eligible::One(engine);
            let call = core.call(&self.settings, function, &maker, &arguing, eligible, permit)?;
            tasks.push(Task::new(call));
        }
        Ok(Tasks::join(tasks))
    }

    /// Submits a call to each engine if the queue has room for all of them now.
    ///
    /// # Errors
    /// As for [`Self::submit`]; also [`SubmitError::QueueFull`], with none of them submitted.
    pub fn try_submit<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Tasks<R>, SubmitError> {
        let arguing = Arguing::new(function, arguments)?;
        let core = &self.core;
        let maker = core.maker(&self.settings, function)?;
        let engines = self.engines()?;
        let permits = engines
            .iter()
            .map(|_| core.try_enter(&self.settings, arguing.bytes))
            .collect::<Result<Vec<_>, _>>()?;
        let call = |(engine, permit)| {
            let eligible = Eligible::One(engine);
            let call = core.call(&self.settings, function, &maker, &arguing, eligible, permit);
            call.map(Task::new)
        };
        engines.into_iter().zip(permits).map(call).collect()
    }

    /// Calls a function on each engine and waits for the values, in the order of the engines; a single engine also
    /// gives a `Vec`.
    ///
    /// # Errors
    /// If the call is refused, as by [`Self::submit`], or fails on any engine; by then it has ended on all.
    pub async fn apply<P: Params, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Vec<R>, ApplyError<CompositeError>> {
        let tasks = self.submit(function, arguments).await?;
        tasks.await.map_err(ApplyError::Failed)
    }

    /// Calls a function on each argument list of `items`, which are all read now. Each engine gets a contiguous block
    /// of them.
    ///
    /// # Errors
    /// As for [`Self::submit`]; arguments that do not fit fail only their task.
    pub fn map<P, R, I>(&self, function: &Callable<P, R>, items: I) -> Result<Map<R>, SubmitError>
    where
        P: Params + 'static,
        R: FromWit + 'static,
        I: IntoIterator<Item = P::At<'static>>,
    {
        self.start_map(function, listed(function, items))
    }

    /// Calls a function on each line of text, as
    /// [`LoadBalancedView::map_lines`](crate::LoadBalancedView::map_lines) does. All lines are read now, and each
    /// engine gets a contiguous block of them.
    ///
    /// # Errors
    /// As for [`Self::map`].
    pub fn map_lines<P, R>(
        &self,
        function: &Callable<P, R>,
        name: &str,
        lines: impl std::io::Read,
    ) -> Result<Map<R>, SubmitError>
    where
        P: 'static,
        R: FromWit + 'static,
    {
        self.start_map(function, self.lines(function, name, lines))
    }

    /// Argument lists that are read line by line, all of them now.
    pub(super) fn lines<P, R>(
        &self,
        function: &Callable<P, R>,
        name: &str,
        lines: impl std::io::Read,
    ) -> Box<dyn Pieces> {
        let mut given = Vec::new();
        for line in Lines::new(
            function,
            name,
            lines,
            self.core.limits_of(&self.settings.task),
        ) {
            let is_last = line.is_err();
            given.push(line);
            if is_last {
                break;
            }
        }
        counted(given)
    }

    fn start_map<P, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        pieces: Box<dyn Pieces>,
    ) -> Result<Map<R>, SubmitError> {
        self.core
            .map(function, pieces, &self.kind()?, &self.settings)
    }

    pub(super) fn kind(&self) -> Result<ViewKind, SubmitError> {
        self.core.check_open(&self.settings.tenant)?;
        Ok(ViewKind::Direct(Targets::Only(self.engines()?)))
    }

    /// Gives each engine a value under a name. Later calls can pass it by [`Reference`](crate::Reference), and guests
    /// can read it. The engines share one buffer.
    ///
    /// # Errors
    /// If an engine is gone; none gets the value then.
    pub fn push(&self, name: &str, value: impl Into<Value>) -> Result<(), PushError> {
        let value = Arc::new(PushedValue::new(value.into()));
        for engine in self.present()? {
            let named = [(Arc::from(name), Arc::clone(&value))];
            self.settings.tenant.pushed.push(engine, &named);
        }
        Ok(())
    }

    /// Does the same as [`Self::push`], for those who look for this name: the value is held once, however many
    /// engines there are.
    ///
    /// # Errors
    /// If an engine is gone; none gets the value then.
    pub fn broadcast(&self, name: &str, value: impl Into<Value>) -> Result<(), PushError> {
        self.push(name, value)
    }

    /// Returns the value that each engine has under a name, in the order of the engines.
    ///
    /// # Errors
    /// If an engine is gone or has no such value.
    pub fn pull(&self, name: &str) -> Result<Vec<Value>, PushError> {
        let pull = |engine| {
            let value = self.settings.tenant.pushed.pull(engine, name);
            value.ok_or_else(|| PushError::NoSuchName {
                engine,
                name: name.to_owned(),
                present: self.settings.tenant.pushed.names(engine),
            })
        };
        self.present()?.into_iter().map(pull).collect()
    }

    /// Returns the names that each engine has values for, in the order of the engines.
    ///
    /// # Errors
    /// If an engine is gone.
    pub fn names(&self) -> Result<Vec<Vec<Arc<str>>>, PushError> {
        let names = |engine| self.settings.tenant.pushed.names(engine);
        Ok(self.present()?.into_iter().map(names).collect())
    }

    /// Gives each engine its part of a sequence under a name, as a list: see [`Distribution`]. An engine for which
    /// nothing is left gets an empty list.
    ///
    /// # Errors
    /// If an engine is gone; none gets a part then.
    pub fn scatter<T: Into<Value>>(
        &self,
        name: &str,
        items: impl IntoIterator<Item = T>,
    ) -> Result<(), PushError> {
        let engines = self.present()?;
        let items: Vec<Value> = items.into_iter().map(Into::into).collect();
        let parts = spread(items, engines.len(), self.distribution);
        for (engine, part) in engines.into_iter().zip(parts) {
            let value = Arc::new(PushedValue::new(Value::List(part)));
            self.settings
                .tenant
                .pushed
                .push(engine, &[(Arc::from(name), value)]);
        }
        Ok(())
    }

    /// Reassembles the sequence whose parts the engines have under a name, according to this view's [`Distribution`].
    ///
    /// # Errors
    /// If an engine is gone, has no such value, or has one that is not a list.
    pub fn gather(&self, name: &str) -> Result<Vec<Value>, PushError> {
        let engines = self.present()?;
        let mut parts = Vec::with_capacity(engines.len());
        for (engine, value) in engines.into_iter().zip(self.pull(name)?) {
            match value {
                Value::List(items) => parts.push(items),
                Value::Bytes(bytes) => {
                    parts.push(bytes.iter().map(|byte| (*byte).into()).collect());
                }
                other => {
                    return Err(PushError::NotASequence {
                        engine,
                        name: name.to_owned(),
                        found: other.kind(),
                    });
                }
            }
        }
        Ok(joined(parts, self.distribution))
    }

    /// Removes all values from each engine.
    ///
    /// # Errors
    /// If an engine is gone; none loses any then.
    pub fn clear(&self) -> Result<(), PushError> {
        for engine in self.present()? {
            self.settings.tenant.pushed.clear(engine);
        }
        Ok(())
    }

    /// The engines it means now, while there is a cluster.
    fn present(&self) -> Result<Vec<EngineId>, PushError> {
        if self.core.is_closed() {
            return Err(PushError::ShutDown);
        }
        let tenant = &self.settings.tenant;
        if tenant.account.is_closed() {
            return Err(PushError::TenantClosed {
                tenant: tenant.label().into(),
            });
        }
        Ok(self.engines()?)
    }
}

/// Splits a sequence into parts for this many engines.
fn spread(items: Vec<Value>, engines: usize, distribution: Distribution) -> Vec<Vec<Value>> {
    let mut parts: Vec<Vec<Value>> = (0..engines).map(|_| Vec::new()).collect();
    let (each, more) = (items.len() / engines.max(1), items.len() % engines.max(1));
    match distribution {
        Distribution::Block => {
            let mut items = items.into_iter();
            for (index, part) in parts.iter_mut().enumerate() {
                let count = each + usize::from(index < more);
                part.extend(items.by_ref().take(count));
            }
        }
        Distribution::RoundRobin => {
            for (index, item) in items.into_iter().enumerate() {
                parts[index % engines].push(item);
            }
        }
    }
    parts
}

/// The sequence whose parts these are.
fn joined(parts: Vec<Vec<Value>>, distribution: Distribution) -> Vec<Value> {
    match distribution {
        Distribution::Block => parts.into_iter().flatten().collect(),
        Distribution::RoundRobin => {
            let longest = parts.iter().map(Vec::len).max().unwrap_or(0);
            let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
            (0..longest)
                .flat_map(|_| {
                    parts
                        .iter_mut()
                        .filter_map(Iterator::next)
                        .collect::<Vec<_>>()
                })
                .collect()
        }
    }
}

/// Argument lists that are all there.
pub(super) fn listed<P: Params, R>(
    function: &Callable<P, R>,
    items: impl IntoIterator<Item = P::At<'static>>,
) -> Box<dyn Pieces> {
    let pack = |arguments| Ok(Given::pack(function, arguments));
    counted(items.into_iter().map(pack).collect())
}

fn counted(given: Vec<Result<Given, InputError>>) -> Box<dyn Pieces> {
    let count = given.len() as u64;
    Box::new(Listed::new(given.into_iter(), Some(count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_spread_comes_together_again(
            items: Vec<u32>, engines in 1_usize..9, round_robin: bool,
        ) {
            let distribution = if round_robin {
                Distribution::RoundRobin
            } else {
                Distribution::Block
            };
            let items: Vec<Value> = items.into_iter().map(Value::from).collect();
            let parts = spread(items.clone(), engines, distribution);
            prop_assert_eq!(parts.len(), engines);
            let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            prop_assert!(sizes.is_sorted_by(|a, b| a >= b));
            prop_assert_eq!(joined(parts, distribution), items);
        }
    }
}
