//! The view whose calls and maps give the elements of the streams that functions return, and runs that do.

use super::balanced::{self, LoadBalancedView};
use super::call::Arguing;
use super::direct::{self, DirectView};
use crate::view::handles::elements::Elements;
use crate::view::handles::map::Map;
use crate::view::handles::task::Task;
use crate::view::runs::pieces::Pieces;
use crate::view::runs::plan::{Plan, PlanError, checked_elements};
use crate::view::runs::spec::{JobSpec, ViewKind};
use crate::view::runs::submit::SubmitError;
use crate::view::shared::core::Core;
use crate::view::shared::elements::ElementBuffers;
use crate::view::shared::settings::{TaskSettings, ViewSettings};
use crate::view::shared::tenant::TenantState;
use rwasm_sandbox::element::ElementSink;
use rwasm_sandbox::input::Input;
use rwasm_sandbox::sandbox::{Callable, Callee, Module};
use rwasm_value::value::{FromWit, Params};
use std::sync::Arc;
use std::time::Instant;

/// A view whose calls and maps give the elements of the streams that functions return, as they come: see [`Elements`]. Made
/// by [`LoadBalancedView::elements`] and [`DirectView::elements`]; set the options first.
///
/// The type of an element is that of the WIT: of a `stream<u32>` it is `u32`. A `stream<u8>` gives its bytes in pieces, as
/// `Vec<u8>` or `Bytes`. A `future<T>` gives one element, and so does either as the `ok` of a `result`.
///
/// Elements come while their task runs if the engines are of this process or of its worker processes, failures are not
/// retried, and tasks are not deterministic. Otherwise they come when their task has ended, within the limit on results:
/// nothing is given twice, and a deterministic task does not learn how fast its elements are read. The history does not keep
/// elements that came while their task ran.
///
/// # Examples
///
/// ```no_run
/// use rwasm_cluster::{Cluster, Elements, Module};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().engines(1).start()?;
/// let numbers = Module::from_file("numbers.wasm")?.function::<u32, Vec<u32>>("numbers")?;
/// let numbers: Elements<u32> = cluster.load_balanced_view().elements().try_submit(&numbers, 1_000_000)?;
/// // It may be endless: it goes on as its elements are taken.
/// for number in numbers.take(10) {
///     println!("{}", number?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a view does nothing until it is called"]
pub struct ElementView<V>(V);

impl LoadBalancedView {
    /// Returns the same view, whose calls and maps give the elements of streams as they come.
    pub fn elements(self) -> ElementView<Self> {
        ElementView(self)
    }
}

impl DirectView {
    /// Returns the same view, whose maps give the elements of streams as they come.
    pub fn elements(self) -> ElementView<Self> {
        ElementView(self)
    }
}

impl ElementView<LoadBalancedView> {
    /// Submits a call as soon as the queue has room for it: see [`LoadBalancedView::submit`].
    ///
    /// # Errors
    /// As for [`LoadBalancedView::submit`]; also if the function does not give elements of this type.
    pub async fn submit<P: Params, R, T: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Elements<T>, SubmitError> {
        let Self(view) = self;
        let (call, buffers) = Reading::of::<P, R, T>(&view.settings, function, arguments)?;
        let maker = view.core.maker_elsewhere(&view.settings, function).await?;
        let permit = view.core.enter(&view.settings, call.bytes).await?;
        let call = view.call(function, &maker, &call, permit)?;
        Ok(buffers.of_call(Task::packed(call)))
    }

    /// Submits a call if the queue has room for it now: see [`LoadBalancedView::try_submit`].
    ///
    /// # Errors
    /// As for [`Self::submit`]; also [`SubmitError::QueueFull`].
    pub fn try_submit<P: Params, R, T: FromWit>(
        &self,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Elements<T>, SubmitError> {
        let Self(view) = self;
        let (call, buffers) = Reading::of::<P, R, T>(&view.settings, function, arguments)?;
        let permit = view.core.try_enter(&view.settings, call.bytes)?;
        let maker = view.core.maker(&view.settings, function)?;
        let call = view.call(function, &maker, &call, permit)?;
        Ok(buffers.of_call(Task::packed(call)))
    }

    /// Calls a function on each argument list of `items`: see [`LoadBalancedView::map`].
    ///
    /// # Errors
    /// As for [`Self::submit`]; arguments that do not fit fail only their task.
    pub fn map<P, R, T, I>(
        &self,
        function: &Callable<P, R>,
        items: I,
    ) -> Result<Elements<T>, SubmitError>
    where
        P: Params + 'static,
        R: 'static,
        T: FromWit,
        I: IntoIterator<Item = P::At<'static>>,
        I::IntoIter: Send + 'static,
    {
        let Self(view) = self;
        let pieces = balanced::listed(function, items);
        view.core
            .map_elements(function, pieces, &view.kind(), &view.settings)
    }

    /// Calls a function on each line of text: see [`LoadBalancedView::map_lines`].
    ///
    /// # Errors
    /// As for [`Self::map`].
    pub fn map_lines<P: 'static, R: 'static, T: FromWit>(
        &self,
        function: &Callable<P, R>,
        name: &str,
        lines: impl std::io::Read + Send + 'static,
    ) -> Result<Elements<T>, SubmitError> {
        let Self(view) = self;
        let pieces = view.lines(function, name, lines);
        view.core
            .map_elements(function, pieces, &view.kind(), &view.settings)
    }
}

impl ElementView<DirectView> {
    /// Calls a function on each argument list of `items`, which are all read now: see [`DirectView::map`].
    ///
    /// # Errors
    /// As for [`DirectView::map`]; also if the function does not give elements of this type.
    pub fn map<P: Params, R, T: FromWit>(
        &self,
        function: &Callable<P, R>,
        items: impl IntoIterator<Item = P::At<'static>>,
    ) -> Result<Elements<T>, SubmitError> {
        let Self(view) = self;
        let pieces = direct::listed(function, items);
        view.core
            .map_elements(function, pieces, &view.kind()?, &view.settings)
    }

    /// Calls a function on each line of text, which are all read now: see [`DirectView::map_lines`].
    ///
    /// # Errors
    /// As for [`Self::map`].
    pub fn map_lines<P, R, T: FromWit>(
        &self,
        function: &Callable<P, R>,
        name: &str,
        lines: impl std::io::Read,
    ) -> Result<Elements<T>, SubmitError> {
        let Self(view) = self;
        let pieces = view.lines(function, name, lines);
        view.core
            .map_elements(function, pieces, &view.kind()?, &view.settings)
    }
}

/// What the handle of elements is made of.
struct Reading {
    buffers: Arc<ElementBuffers>,
    elementwise: rwasm_sandbox::sandbox::Elementwise,
}

impl Reading {
    /// Of a call of this function with these arguments.
    fn of<P: Params, R, T: FromWit>(
        settings: &ViewSettings,
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<(Arguing, Self), SubmitError> {
        let elementwise = checked_elements::<T>(function.signature())?;
        let buffers = Arc::default();
        let mut call = Arguing::new(function, arguments)?;
        call.elements = live(&settings.task, &buffers).map(|live| live as Arc<dyn ElementSink>);
        Ok((
            call,
            Self {
                buffers,
                elementwise,
            },
        ))
    }

    fn of_call<T>(self, task: Task<rwasm_value::value::Packed>) -> Elements<T> {
        Elements::of_call(task, self.buffers, self.elementwise)
    }
}

/// Where tasks give elements while they run, if they may.
fn live(task: &TaskSettings, buffers: &Arc<ElementBuffers>) -> Option<Arc<ElementBuffers>> {
    let may = task.retry.retries == 0 && !task.deterministic;
    may.then(|| Arc::clone(buffers))
}

impl Core {
    fn map_elements<P, R, T: FromWit>(
        &self,
        function: &Callable<P, R>,
        pieces: Box<dyn Pieces>,
        view: &ViewKind,
        settings: &ViewSettings,
    ) -> Result<Elements<T>, SubmitError> {
        let begun = Instant::now();
        let elementwise = checked_elements::<T>(function.signature())?;
        let buffers = Arc::default();
        let live = live(&settings.task, &buffers);
        let job = self.map_job(function, pieces, view, settings, live)?;
        let label = settings.task.label.clone();
        let map = Map::packed(job, function.name().into(), label, begun);
        let unordered = settings.job.unordered;
        Ok(Elements::of_map(map, buffers, elementwise, unordered))
    }

    /// Begins a run without a merge whose function gives elements.
    pub(crate) fn run_elements<T: FromWit>(
        &self,
        tenant: &Arc<TenantState>,
        module: &Module,
        inputs: Vec<Input>,
        spec: &JobSpec,
    ) -> Result<Elements<T>, SubmitError> {
        let begun = Instant::now();
        let plan = Plan::new(module, spec)?;
        if !plan.gives_outcomes() {
            return Err(PlanError::ElementsMerge.into());
        }
        let Callee::Function(place) = plan.map else {
            return Err(PlanError::ElementsOfCommand {
                module: module.name().to_owned(),
            }
            .into());
        };
        let function = &module.functions()[place];
        let elementwise = checked_elements::<T>(function)?;
        let buffers = Arc::default();
        let live = live(&spec.task, &buffers);
        let job = self.run_planned(tenant, module, inputs, (spec, plan), Vec::new(), live)?;
        let label = spec.task.label.clone();
        let map = Map::packed(job, function.name.as_str().into(), label, begun);
        let unordered = spec.job.unordered;
        Ok(Elements::of_map(map, buffers, elementwise, unordered))
    }
}
