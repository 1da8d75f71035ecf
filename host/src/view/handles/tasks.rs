//! `Tasks`: several calls held as one, and calls as they end.

use super::errors::{CompositeError, TaskError};
use super::task::{Task, TaskInfo};
use crate::graph::Dependency;
use futures_core::Stream;
use rwasm_value::ids::JobId;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Several submitted calls: those of a direct view, one per target, or any others that were joined. A [`Future`] of
/// all values, and a [`Stream`] of outcomes in order.
///
/// # Cancellation
/// Dropping it cancels those that have not ended.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Cluster, Module, Targets};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().engines(2).start()?;
/// # let wat = r#"(module (func (export "square") (param i64) (result i64) (i64.mul (local.get 0) (local.get 0))))"#;
/// let square = Module::from_bytes("numbers", wat)?.function::<(i64,), i64>("square")?;
///
/// let tasks = cluster.direct_view(Targets::All)?.try_submit(&square, (7,))?;
/// assert_eq!(tasks.get()?, [49, 49]);
/// assert_eq!(tasks.progress().done, 2);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping tasks cancels them; `detach` lets them go on"]
pub struct Tasks<R> {
    all: Vec<Task<R>>,
    /// As a stream: the next to give.
    next: usize,
    /// As a future: how many are known to have ended.
    ended: usize,
    /// The places of those that end, where the first failure is to end them all.
    first_failure: Option<UnboundedReceiver<usize>>,
}

/// The progress of several calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TasksProgress {
    /// How many have ended.
    pub done: usize,
    /// How many there are.
    pub total: usize,
}

impl<R> Tasks<R> {
    /// Joins several calls into one handle.
    pub fn join(tasks: impl IntoIterator<Item = Task<R>>) -> Self {
        Self {
            all: tasks.into_iter().collect(),
            next: 0,
            ended: 0,
            first_failure: None,
        }
    }

    /// Returns each call by itself, in order.
    #[must_use]
    pub fn split(self) -> Vec<Task<R>> {
        self.all
    }

    /// Returns the number of calls.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns whether there are no calls.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns their ids, which dependencies refer to.
    pub fn ids(&self) -> impl Iterator<Item = JobId> + '_ {
        self.all.iter().map(Task::id)
    }

    /// Returns the call at this position.
    #[must_use]
    pub fn task(&self, index: usize) -> Option<&Task<R>> {
        self.all.get(index)
    }

    /// Iterates over the calls, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Task<R>> {
        self.all.iter()
    }

    /// Returns whether all have ended, successfully or not.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.all.iter().all(Task::is_ready)
    }

    /// Returns whether all succeeded, or `None` if not all have ended.
    #[must_use]
    pub fn is_successful(&self) -> Option<bool> {
        let mut all = true;
        for task in &self.all {
            all &= task.is_successful()?;
        }
        Some(all)
    }

    /// Returns how many have ended.
    #[must_use]
    pub fn progress(&self) -> TasksProgress {
        TasksProgress {
            done: self.all.iter().filter(|task| task.is_ready()).count(),
            total: self.all.len(),
        }
    }

    /// Blocks until all have ended.
    pub fn wait(&self) {
        self.all.iter().for_each(Task::wait);
    }

    /// Blocks until all have ended, for `timeout` at most, and returns whether they have.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let Some(end) = Instant::now().checked_add(timeout) else {
            self.wait();
            return true;
        };
        let left = || end.saturating_duration_since(Instant::now());
        self.all.iter().all(|task| task.wait_timeout(left()))
    }

    /// Blocks until all have ended and returns their values, in order.
    ///
    /// # Errors
    /// If any failed: how many, and the first few. After [`Tasks::fail_fast`], the first alone.
    pub fn get(&self) -> Result<Vec<R>, CompositeError> {
        if self.first_failure.is_some() {
            let mut ended = ended(&self.all);
            let first = std::future::poll_fn(|context| self.poll_failure(&mut ended, context));
            pollster::block_on(first)?;
        } else {
            self.wait();
        }
        self.ready_values()
    }

    /// Blocks until all have ended, for `timeout` at most, and returns their values, in order; `None` if they have
    /// not all ended in time, in which case they go on.
    #[must_use]
    pub fn get_timeout(&self, timeout: Duration) -> Option<Result<Vec<R>, CompositeError>> {
        self.wait_timeout(timeout).then(|| self.ready_values())
    }

    /// Blocks until all have ended and returns the outcome of each, in order: values and failures.
    pub fn outcomes(&self) -> Vec<Result<R, TaskError>> {
        self.all.iter().map(Task::get).collect()
    }

    /// Returns each call with its position as it ends, in whatever order: see [`as_completed`].
    pub fn as_completed(self) -> AsCompleted<R> {
        as_completed(self.all)
    }

    /// Makes this end at the first failure, as a future and in [`Tasks::get`], and cancel the others rather than wait
    /// for all of them.
    pub fn fail_fast(mut self) -> Self {
        self.first_failure = Some(ended(&self.all));
        self
    }

    /// Cancels all that have not ended.
    pub fn abort(&self) {
        self.all.iter().for_each(Task::abort);
    }

    /// Lets them go on without this handle, and returns their ids.
    pub fn detach(self) -> Vec<JobId> {
        self.all.into_iter().map(Task::detach).collect()
    }

    /// Returns what is known of each that has ended.
    #[must_use]
    pub fn info(&self) -> Vec<Option<TaskInfo>> {
        self.all.iter().map(Task::info).collect()
    }

    /// Returns the time since the first submission, up to the last end if all have ended.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let begun = self.all.iter().map(|task| task.call.begun).min();
        let ended = self.all.iter().map(|task| task.call.begun + task.elapsed());
        match (begun, ended.max()) {
            (Some(begun), Some(ended)) => ended.saturating_duration_since(begun),
            _ => Duration::ZERO,
        }
    }

    /// Returns the sum of the run times of those that have ended: what one engine would have needed.
    #[must_use]
    pub fn serial_time(&self) -> Duration {
        let times = self.all.iter().filter_map(|task| {
            let attempts = task
                .call
                .slot
                .look(|done| Some(done.outcome.as_ref()?.attempts()))??;
            Some(
                attempts
                    .iter()
                    .map(|attempt| attempt.run_time)
                    .sum::<Duration>(),
            )
        });
        times.sum()
    }

    /// Returns the time from the first submission to the last end, or `None` if not all have ended.
    #[must_use]
    pub fn wall_time(&self) -> Option<Duration> {
        self.is_ready().then(|| self.elapsed())
    }

    /// Returns serial time divided by wall time, or `None` if not all have ended.
    #[must_use]
    pub fn speed_up(&self) -> Option<f64> {
        let wall = self.wall_time()?.as_secs_f64();
        Some(if wall > 0.0 {
            self.serial_time().as_secs_f64() / wall
        } else {
            0.0
        })
    }

    fn ready_values(&self) -> Result<Vec<R>, CompositeError> {
        let mut values = Vec::with_capacity(self.all.len());
        let mut error = CompositeError::new(self.all.len());
        for (index, task) in self.all.iter().enumerate() {
            match task.ready_value() {
                Ok(value) => values.push(value),
                Err(failed) => error.add(index, failed),
            }
        }
        error.or(values)
    }

    /// The first failure of those that end, which stops the others; or that all ended well.
    fn poll_failure(
        &self,
        ended: &mut UnboundedReceiver<usize>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CompositeError>> {
        while let Some(index) = std::task::ready!(ended.poll_recv(context)) {
            if self.all[index].is_successful() == Some(false) {
                self.abort();
                let mut error = CompositeError::new(self.all.len());
                if let Err(failed) = self.all[index].ready_value() {
                    error.add(index, failed);
                }
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<R> Future for Tasks<R> {
    type Output = Result<Vec<R>, CompositeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(mut ended) = this.first_failure.take() {
            let failure = this.poll_failure(&mut ended, context);
            this.first_failure = Some(ended);
            std::task::ready!(failure)?;
        }
        while let Some(task) = this.all.get(this.ended) {
            std::task::ready!(task.call.slot.poll(context));
            this.ended += 1;
        }
        Poll::Ready(this.ready_values())
    }
}

impl<R> Stream for Tasks<R> {
    type Item = Result<R, TaskError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(task) = this.all.get(this.next) else {
            return Poll::Ready(None);
        };
        std::task::ready!(task.call.slot.poll(context));
        this.next += 1;
        Poll::Ready(Some(task.ready_value()))
    }
}

impl<R> IntoIterator for Tasks<R> {
    type Item = Task<R>;
    type IntoIter = std::vec::IntoIter<Task<R>>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

impl<'a, R> IntoIterator for &'a Tasks<R> {
    type Item = &'a Task<R>;
    type IntoIter = std::slice::Iter<'a, Task<R>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<R> FromIterator<Task<R>> for Tasks<R> {
    fn from_iter<I: IntoIterator<Item = Task<R>>>(tasks: I) -> Self {
        Self::join(tasks)
    }
}

impl<R> From<&Tasks<R>> for Dependency {
    fn from(tasks: &Tasks<R>) -> Self {
        Self::all(tasks.ids())
    }
}

/// Calls with their positions as they end: a [`Stream`], and an iterator that blocks.
pub struct AsCompleted<R> {
    tasks: Vec<Option<Task<R>>>,
    ended: UnboundedReceiver<usize>,
}

/// Returns each of `tasks`, from one job or many, with its position as it ends.
pub fn as_completed<R>(tasks: impl IntoIterator<Item = Task<R>>) -> AsCompleted<R> {
    let tasks: Vec<Task<R>> = tasks.into_iter().collect();
    AsCompleted {
        ended: ended(&tasks),
        tasks: tasks.into_iter().map(Some).collect(),
    }
}

/// The places of those that end, as they do.
fn ended<R>(tasks: &[Task<R>]) -> UnboundedReceiver<usize> {
    // Each task ends once, so no more wait in it than there are tasks.
    let (sender, ended) = unbounded_channel();
    for (index, task) in tasks.iter().enumerate() {
        let sender = sender.clone();
        task.call.slot.watch(move |_| {
            // Whoever waited may have gone.
            let _ = sender.send(index);
        });
    }
    ended
}

impl<R> AsCompleted<R> {
    fn poll_task(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Task<R>)>> {
        while let Some(index) = std::task::ready!(self.ended.poll_recv(context)) {
            if let Some(task) = self.tasks.get_mut(index).and_then(Option::take) {
                return Poll::Ready(Some((index, task)));
            }
        }
        Poll::Ready(None)
    }
}

impl<R> Stream for AsCompleted<R> {
    type Item = (usize, Task<R>);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_task(context)
    }
}

impl<R> Iterator for AsCompleted<R> {
    type Item = (usize, Task<R>);

    fn next(&mut self) -> Option<Self::Item> {
        pollster::block_on(std::future::poll_fn(|context| self.poll_task(context)))
    }
}
