//! Maps of a function over argument lists, as many as there are, and what their caller holds.

use super::errors::{CompositeError, TaskError, TaskFailure};
use super::job::{Canceller, Job, ProgressHandle};
use crate::graph::Dependency;
use crate::view::shared::live::LiveNotes;
use crate::view::shared::result::{JobError, JobResult};
use crate::view::shared::stats::JobStats;
use crate::within::within;
use futures_core::Stream;
use rwasm_sandbox::outcome::{Origin, Outcome};
use rwasm_value::ids::JobId;
use rwasm_value::value::{FromWit, Packed};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

/// What became of a task, with its place in the input.
type Placed<R> = (u64, Result<R, TaskError>);

/// A running map: a [`Stream`] of the outcome of each task, a blocking iterator of the same, and a [`Future`] of all
/// values.
///
/// It reads its input no further ahead than its outcomes are taken, and keeps nothing that was taken.
///
/// # Cancellation
/// Dropping it cancels it; [`Map::detach`] lets it go on.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Cluster, Module};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().engines(2).start()?;
/// # let wat = r#"(module (func (export "square") (param i64) (result i64) (i64.mul (local.get 0) (local.get 0))))"#;
/// let square = Module::from_bytes("numbers", wat)?.function::<(i64,), i64>("square")?;
///
/// // The input may be endless: it is read as its outcomes are taken.
/// let mut map = cluster.load_balanced_view().map(&square, (0..).map(|n| (n,)))?;
/// let third = map.nth(2).ok_or("the map ended early")?;
/// assert_eq!(third?, 4);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a map cancels it; `detach` lets it go on"]
pub struct Map<R> {
    job: Job,
    unpack: fn(&Packed) -> Result<R, String>,
    function: Arc<str>,
    label: Option<Arc<str>>,
    begun: Instant,
    /// What was looked at and not taken.
    kept: VecDeque<Placed<R>>,
    /// How it ended, once that is known; none where that has been told.
    ended: Option<Result<JobResult, Arc<JobError>>>,
    is_over: bool,
}

impl<R: FromWit> Map<R> {
    pub(crate) fn new(
        job: Job,
        function: Arc<str>,
        label: Option<Arc<str>>,
        begun: Instant,
    ) -> Self {
        let unpack = |value: &Packed| value.unpack_as().map_err(|error| error.to_string());
        Self::unpacked_by(unpack, job, function, label, begun)
    }
}

impl Map<Packed> {
    /// A map whose values stay as they came.
    pub(crate) fn packed(
        job: Job,
        function: Arc<str>,
        label: Option<Arc<str>>,
        begun: Instant,
    ) -> Self {
        Self::unpacked_by(|value| Ok(value.clone()), job, function, label, begun)
    }
}

impl<R> Map<R> {
    fn unpacked_by(
        unpack: fn(&Packed) -> Result<R, String>,
        job: Job,
        function: Arc<str>,
        label: Option<Arc<str>>,
        begun: Instant,
    ) -> Self {
        Self {
            unpack,
            function,
            label,
            begun,
            kept: VecDeque::new(),
            ended: None,
            is_over: false,
            job,
        }
    }

    /// Returns its id, which dependencies refer to.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.job.id()
    }

    /// Blocks for the outcome of the next task, with its position in the input: in input order, or as tasks end.
    pub fn next_outcome(&mut self) -> Option<Placed<R>> {
        pollster::block_on(std::future::poll_fn(|context| self.poll_taken(context)))
    }

    /// Returns the next outcome if it is already there; `None` also if there are no more.
    pub fn try_next_outcome(&mut self) -> Option<Placed<R>> {
        match self.poll_taken(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    /// Blocks for the next outcome, for `timeout` at most.
    ///
    /// # Errors
    /// If there is none in time; the map goes on.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Placed<R>>, TaskError> {
        let item = within(timeout, |context| self.poll_taken(context));
        item.ok_or(TaskError::NotReady(timeout))
    }

    /// Blocks until everything has ended, for `timeout` at most, and returns whether it has. Outcomes that arrive
    /// meanwhile are kept to be taken.
    #[must_use]
    pub fn wait_timeout(&mut self, timeout: Duration) -> bool {
        within(timeout, |context| self.poll_all(context)).is_some()
    }

    /// Blocks for all values, in input order, for `timeout` at most; returns `None` if they are not all there in
    /// time, in which case the map goes on.
    #[must_use]
    pub fn get_timeout(&mut self, timeout: Duration) -> Option<Result<Vec<R>, CompositeError>> {
        self.wait_timeout(timeout).then(|| self.kept_values())
    }

    /// Blocks for the outcome of the task at this position among those that were not taken; returns `None` if there
    /// are fewer. It can be looked at again.
    pub fn outcome(&mut self, index: usize) -> Option<&Result<R, TaskError>> {
        while self.kept.len() <= index {
            let item = std::future::poll_fn(|context| self.poll_item(context));
            let item = pollster::block_on(item)?;
            self.kept.push_back(item);
        }
        Some(&self.kept.get(index)?.1)
    }

    /// Blocks for all values, in input order.
    ///
    /// # Errors
    /// If any task failed: how many, and the first few; or if the map itself failed.
    pub fn get(self) -> Result<Vec<R>, CompositeError> {
        pollster::block_on(self)
    }

    /// Blocks for the outcome of each task: values and failures.
    pub fn outcomes(mut self) -> Vec<Result<R, TaskError>> {
        let mut all = Vec::new();
        while let Some((_, outcome)) = self.next_outcome() {
            all.push(outcome);
        }
        all
    }

    /// Returns whether it has ended, successfully or not. It does not end while outcomes are not taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.job.is_ready()
    }

    /// Returns whether it succeeded, or `None` if it has not ended.
    #[must_use]
    pub fn is_successful(&self) -> Option<bool> {
        self.job.is_successful()
    }

    /// Returns a handle to its progress.
    #[must_use]
    pub fn progress(&self) -> ProgressHandle {
        self.job.progress()
    }

    /// Returns its figures, once all its outcomes were taken and it ended without an error of its own.
    #[must_use]
    pub fn stats(&self) -> Option<&JobStats> {
        Some(&self.result()?.stats)
    }

    /// Returns its result under the same condition: figures, failures and records.
    #[must_use]
    pub fn result(&self) -> Option<&JobResult> {
        self.ended.as_ref()?.as_ref().ok()
    }

    /// Returns why it ended before its input did, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&JobError> {
        self.ended.as_ref()?.as_ref().err().map(|error| &**error)
    }

    /// Returns the time since its submission, up to its end if it has ended.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let end = self.job.slot.look(|done| done.at);
        end.unwrap_or_else(Instant::now)
            .saturating_duration_since(self.begun)
    }

    /// Returns what its tasks print, log and publish from now on, as it happens.
    #[must_use]
    pub fn notes(&self) -> LiveNotes {
        self.job.notes()
    }

    /// Cancels it with its running tasks, and returns at once. Outcomes that are there can still be taken.
    pub fn abort(&self) {
        self.job.abort();
    }

    /// Returns a handle that can cancel it from elsewhere.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        self.job.canceller()
    }

    /// Keeps what comes, to its end.
    fn poll_all(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(item) = ready!(self.poll_item(context)) {
            self.kept.push_back(item);
        }
        Poll::Ready(())
    }

    /// All values that are kept, in input order, however they came.
    fn kept_values(&mut self) -> Result<Vec<R>, CompositeError> {
        let mut outcomes = Vec::from(std::mem::take(&mut self.kept));
        outcomes.sort_by_key(|(index, _)| *index);
        let mut error = CompositeError::new(outcomes.len());
        let mut values = Vec::with_capacity(outcomes.len());
        for (index, outcome) in outcomes {
            match outcome {
                Ok(value) => values.push(value),
                Err(failed) => error.add(usize::try_from(index).unwrap_or(usize::MAX), failed),
            }
        }
        error.or(values)
    }

    /// Lets it go on without this handle, and returns its id; its values are lost.
    pub fn detach(self) -> JobId {
        self.job.detach()
    }

    /// The next outcome: one that was looked at and not taken, or a new one.
    pub(super) fn poll_taken(&mut self, context: &mut Context<'_>) -> Poll<Option<Placed<R>>> {
        match self.kept.pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None => self.poll_item(context),
        }
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Placed<R>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some((origin, outcome)) = ready!(Pin::new(&mut self.job).poll_next(context)) {
            return Poll::Ready(Some((origin.index, self.item(origin, outcome))));
        }
        let ended = ready!(self.job.poll_end(context));
        self.is_over = true;
        let ended = self.ended.insert(ended.map_err(Arc::new));
        let Err(error) = ended else {
            return Poll::Ready(None);
        };
        let error = Arc::clone(error);
        Poll::Ready(Some(self.last_item(error)))
    }

    fn item(&self, origin: Origin, outcome: Outcome) -> Result<R, TaskError> {
        let attempts = match &outcome.result {
            Ok(value) => return (self.unpack)(value).map_err(TaskError::Internal),
            Err(_) => outcome.attempts(),
        };
        let logs = outcome.usage.logs;
        let failure = outcome.result.err().unwrap_or_else(|| {
            rwasm_sandbox::outcome::Failure::new(
                rwasm_sandbox::outcome::FailureCode::Internal,
                "no failure",
            )
        });
        Err(TaskError::Failed(Arc::new(TaskFailure {
            job: self.id(),
            label: self.label.clone(),
            function: Arc::clone(&self.function),
            origin,
            failure,
            attempts,
            logs: logs.unwrap_or_default(),
            notes: outcome.usage.notes,
        })))
    }

    /// The failure that ended the map, in its place; or the map's own error.
    fn last_item(&self, error: Arc<JobError>) -> Placed<R> {
        let JobError::TaskFailed {
            origin,
            failure,
            logs,
            notes,
            attempts,
            ..
        } = &*error
        else {
            let next = self.job.progress().now().chunks_done;
            return (next, Err(TaskError::Job(error)));
        };
        let failed = TaskFailure {
            job: self.id(),
            label: self.label.clone(),
            function: Arc::clone(&self.function),
            origin: origin.clone(),
            failure: (**failure).clone(),
            attempts: attempts.clone(),
            logs: logs.clone(),
            notes: notes.clone(),
        };
        (origin.index, Err(TaskError::Failed(Arc::new(failed))))
    }
}

impl<R> Stream for Map<R> {
    type Item = Result<R, TaskError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.poll_taken(context));
        Poll::Ready(item.map(|(_, outcome)| outcome))
    }
}

impl<R> Iterator for Map<R> {
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_outcome()?.1)
    }
}

impl<R> Future for Map<R> {
    type Output = Result<Vec<R>, CompositeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.poll_all(context));
        Poll::Ready(self.kept_values())
    }
}

impl<R> Unpin for Map<R> {}

impl<R> From<&Map<R>> for Dependency {
    fn from(map: &Map<R>) -> Self {
        Self::all([map.id()])
    }
}

/// Several sequences as one of argument lists, as long as the shortest: see [`zip`].
pub trait Zip {
    /// One argument list.
    type Arguments;

    /// The sequences side by side.
    fn zip(self) -> impl Iterator<Item = Self::Arguments> + Send + 'static;
}

/// Combines several sequences of arguments into one of argument lists, as long as the shortest, for a function of
/// several parameters: `zip((0.., ["a", "b"]))` gives `(0, "a")` and `(1, "b")`.
pub fn zip<Z: Zip>(sequences: Z) -> impl Iterator<Item = Z::Arguments> + Send + 'static {
    sequences.zip()
}

macro_rules! zips {
    ($($name:ident),+) => {
        impl<$($name),+> Zip for ($($name,)+)
        where
            $($name: IntoIterator, $name::IntoIter: Send + 'static,)+
        {
            type Arguments = ($($name::Item,)+);

            #[expect(non_snake_case, reason = "each sequence is called as its type is")]
            fn zip(self) -> impl Iterator<Item = Self::Arguments> + Send + 'static {
                let ($($name,)+) = self;
                $(let mut $name = $name.into_iter();)+
                std::iter::from_fn(move || Some(($($name.next()?,)+)))
            }
        }
    };
}

zips!(A);
zips!(A, B);
zips!(A, B, C);
zips!(A, B, C, D);
zips!(A, B, C, D, E);
zips!(A, B, C, D, E, F);
