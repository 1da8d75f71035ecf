//! The machine of all tasks of a cluster that are submitted one by one: events in as methods, decisions out of
//! [`Machine::next_decision`].
//!
//! It owns the dependencies, attempts, pauses and time limits of these tasks. It starts nothing and has no clock: the
//! host calls [`Machine::tick`] at [`Machine::next_wake`]. A batch of events may be fed before decisions are taken;
//! then they are taken until there are none. For each task it concerns, an event costs the logarithm of the number of
//! tasks.

use super::dependency::DependencyError;
use super::messages::{Decision, Ended, Known, Resolution, Terms};
use super::task::{Due, Limit, Phase, Task, TaskState, UnderWay};
use super::waiting::{End, Fate, Judged, Waiting};
use super::waits::Waits;
use crate::job::ReportFate;
use crate::placement::Eligible;
use crate::timers::Timers;
use rwasm_sandbox::outcome::FailureCode;
use rwasm_value::ids::{EngineId, JobId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Capacity for decisions that is kept when there are none; what a flood of them took beyond that is given back.
const KEPT_DECISIONS: usize = 1024;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// The tasks without an outcome. A tree rather than a hash table: it gives memory back as tasks leave.
    tasks: BTreeMap<JobId, Task>,
    waits: Waits,
    timers: Timers<Duration, (JobId, Due)>,
    /// Decisions that were taken and not returned yet.
    decided: VecDeque<Decision>,
    /// Jobs that have ended and whose dependents have not heard of it: a queue, so that no chain is too long.
    ends: VecDeque<(JobId, End)>,
    is_shut_down: bool,
}

impl Machine {
    /// A machine without tasks.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Submits a task, under an id that was never used. `states` reports each job that its dependencies name and that
    /// the machine does not hold itself; `None` is an unknown job. A refused task leaves no trace.
    pub(crate) fn submit(
        &mut self,
        job: JobId,
        terms: Terms,
        states: impl Fn(JobId) -> Option<Known>,
        now: Duration,
    ) -> Result<(), DependencyError> {
        debug_assert!(
            !self.tasks.contains_key(&job),
            "job {job} was submitted twice"
        );
        for dependency in terms.after.iter().chain(&terms.follow) {
            dependency.check(job)?;
        }
        let mut waiting = Waiting::new(terms.after, terms.follow, terms.eligible.clone());
        let (mut pending, mut ended) = (Vec::new(), Vec::new());
        for (other, place) in waiting.jobs() {
            let known = if self.tasks.contains_key(&other) {
                Some(Known::Pending)
            } else {
                states(other)
            };
            match known.ok_or(DependencyError::Unknown(other))? {
                Known::Pending => pending.push((other, place)),
                Known::Ended(how) => ended.push((other, place, End::from(how))),
            }
        }
        if self.is_shut_down {
            self.decide_outcome(job, Resolution::Cancelled);
            return Ok(());
        }
        let mut impossible = None;
        for (other, place, end) in ended {
            if let Judged::Impossible(why) = waiting.ended(place, other, &end) {
                impossible = Some(why);
                break;
            }
        }
        if let Some(why) = impossible {
            self.decide_outcome(job, Resolution::DependencyFailed(why));
            return Ok(());
        }
        let deadline = terms.deadline.map(|length| Limit {
            at: now.saturating_add(length),
            length,
        });
        if let Some(deadline) = deadline {
            self.timers.set(deadline.at, (job, Due::Deadline));
        }
        let ready = waiting.ready();
        if ready.is_none() {
            pending.retain(|(_, place)| waiting.is_open(*place));
            for (other, place) in pending {
                self.wait_for(other, (job, place));
            }
        }
        let task = Task {
            eligible: terms.eligible,
            retry: (terms.retry.retries > 0).then(|| Box::new(terms.retry)),
            queue_time: terms.queue_time,
            deadline,
            attempts: 0,
            ran_on: None,
            state: TaskState::Waiting(Box::new(waiting)),
        };
        self.tasks.insert(job, task);
        if let Some(eligible) = ready {
            self.stop_waiting(job, eligible, now);
        }
        self.tell_dependents(now);
        Ok(())
    }

    /// Reports that a job has ended: news to those who wait for it, the report of a whole map that the machine
    /// started, and ignored for any other job.
    pub(crate) fn ended(&mut self, job: JobId, how: Ended, now: Duration) {
        match self.tasks.get_mut(&job) {
            Some(task) => {
                if task.under_way().is_some() {
                    self.resolve(job, Resolution::Reported, how.into());
                }
            }
            None => self.ends.push_back((job, how.into())),
        }
        self.tell_dependents(now);
    }

    /// Reports that an attempt has come back: successful, or with a failure, and from which engine.
    pub(crate) fn finished(
        &mut self,
        job: JobId,
        attempt: u32,
        result: Result<EngineId, (FailureCode, EngineId)>,
        now: Duration,
    ) -> ReportFate {
        let Some(task) = self.tasks.get_mut(&job) else {
            return ReportFate::Ignored;
        };
        let Some(under_way) = task.attempt(attempt) else {
            return ReportFate::Ignored;
        };
        let is_expiring = under_way.phase == Phase::Expiring;
        let (Ok(engine) | Err((_, engine))) = result;
        let next = match result {
            Err((code, _)) if !task.is_over(now) => {
                let retry = task.retry.as_ref();
                retry.and_then(|retry| retry.next(task.attempts, code))
            }
            _ => None,
        };
        let (fate, verdict) = match (result, next) {
            // It was taken out of the queue, and nothing but its time there asked for that.
            (Err((FailureCode::Cancelled, _)), _) if is_expiring => {
                self.expired(job, attempt, now);
                return ReportFate::Ignored;
            }
            (Err(_), Some(pause)) => {
                task.ran_on = Some(engine);
                self.pause(job, pause, now);
                (None, ReportFate::Retried)
            }
            (Ok(_), _) => (Some(Fate::Succeeded), ReportFate::Final),
            (Err(_), None) => (Some(Fate::Failed), ReportFate::Final),
        };
        if let Some(fate) = fate {
            let engines = [engine].into();
            self.resolve(job, Resolution::Reported, End { fate, engines });
        }
        self.tell_dependents(now);
        verdict
    }

    /// Reports that an attempt has begun to run: its time in the queue no longer counts.
    pub(crate) fn began(&mut self, job: JobId, attempt: u32) {
        let Some(under_way) = self
            .tasks
            .get_mut(&job)
            .and_then(|task| task.attempt(attempt))
        else {
            return;
        };
        under_way.phase = Phase::Running;
        if let Some(expires) = under_way.expires.take() {
            self.timers.unset(expires, (job, Due::Turn));
        }
    }

    /// Reports that an attempt was withdrawn, and will not run.
    pub(crate) fn expired(&mut self, job: JobId, attempt: u32, now: Duration) {
        let Some(task) = self.tasks.get_mut(&job) else {
            return;
        };
        let is_expiring = task
            .attempt(attempt)
            .is_some_and(|under_way| under_way.phase == Phase::Expiring);
        if is_expiring {
            let length = task.queue_time.unwrap_or_default();
            self.give_up(job, Resolution::QueueTimeout(length), Fate::OutOfTime);
            self.tell_dependents(now);
        }
    }

    /// Cancels a task. Has no effect if the task has its outcome.
    pub(crate) fn cancel(&mut self, job: JobId, now: Duration) {
        self.stop(job, Resolution::Cancelled, Fate::Cancelled);
        self.tell_dependents(now);
    }

    /// Advances the time.
    pub(crate) fn tick(&mut self, now: Duration) {
        while let Some((job, due)) = self.timers.pop(now) {
            match due {
                Due::Deadline => self.reach_deadline(job),
                Due::Turn => self.turn(job, now),
            }
            self.tell_dependents(now);
        }
    }

    /// Returns when to call [`Machine::tick`], if nothing happens before.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        self.timers.first()
    }

    /// Cancels every remaining task, and each that is submitted from now on.
    pub(crate) fn shutdown(&mut self) {
        self.is_shut_down = true;
        self.waits.clear();
        self.timers.clear();
        for (job, mut task) in std::mem::take(&mut self.tasks) {
            if task.under_way().is_some() {
                let attempt = task.attempts;
                self.decided.push_back(Decision::Stop { job, attempt });
            }
            self.decide_outcome(job, Resolution::Cancelled);
        }
    }

    /// Returns the next decision, or `None` until something has happened.
    pub(crate) fn next_decision(&mut self) -> Option<Decision> {
        while let Some(decision) = self.decided.pop_front() {
            if self.still_holds(&decision) {
                return Some(decision);
            }
        }
        self.decided.shrink_to(KEPT_DECISIONS);
        None
    }

    /// Whether the decision still has a point. A returned start counts as handed over.
    fn still_holds(&mut self, decision: &Decision) -> bool {
        match decision {
            Decision::Watch(job) => self.waits.contains(*job),
            Decision::Start { job, .. } => {
                match self.tasks.get_mut(job).map(|task| &mut task.state) {
                    Some(TaskState::UnderWay(under_way)) => {
                        under_way.handed_over = true;
                        true
                    }
                    _ => false,
                }
            }
            Decision::Expire { job, attempt } => self
                .tasks
                .get_mut(job)
                .and_then(|task| task.attempt(*attempt))
                .is_some_and(|under_way| under_way.phase == Phase::Expiring),
            Decision::Stop { .. } | Decision::Resolve { .. } => true,
        }
    }

    /// Registers a task, by one of its dependencies, for the end of a job.
    fn wait_for(&mut self, job: JobId, waiter: (JobId, usize)) {
        // The machine sees the end of its own tasks itself.
        if !self.tasks.contains_key(&job) && !self.waits.contains(job) {
            self.decided.push_back(Decision::Watch(job));
        }
        self.waits.add(job, waiter);
    }

    /// Informs the dependents of ended jobs, until nothing new follows.
    fn tell_dependents(&mut self, now: Duration) {
        while let Some((job, end)) = self.ends.pop_front() {
            for (waiter, place) in self.waits.take(job) {
                self.tell(waiter, place, job, &end, now);
            }
        }
    }

    fn tell(&mut self, waiter: JobId, place: usize, job: JobId, end: &End, now: Duration) {
        let Some(Task {
            state: TaskState::Waiting(waiting),
            ..
        }) = self.tasks.get_mut(&waiter)
        else {
            return;
        };
        match waiting.ended(place, job, end) {
            Judged::Impossible(why) => {
                self.give_up(waiter, Resolution::DependencyFailed(why), Fate::NotStarted);
                return;
            }
            Judged::Released => {
                for other in waiting.jobs_of(place) {
                    self.waits.remove(*other, (waiter, place));
                }
            }
            Judged::Open => {}
        }
        if let Some(eligible) = waiting.ready() {
            self.stop_waiting(waiter, eligible, now);
        }
    }

    /// Handles that the dependencies of a task are met.
    fn stop_waiting(&mut self, job: JobId, eligible: Eligible, now: Duration) {
        if let Some(task) = self.tasks.get_mut(&job) {
            task.eligible = eligible;
            if let TaskState::Waiting(waiting) = &task.state {
                unregister(&mut self.waits, job, waiting);
            }
            self.start(job, now);
        }
    }

    /// Begins the next attempt, unless there is no time left.
    fn start(&mut self, job: JobId, now: Duration) {
        let Some(task) = self.tasks.get_mut(&job) else {
            return;
        };
        if task.is_over(now) {
            return self.reach_deadline(job);
        }
        task.attempts += 1;
        let expires = task.queue_time.map(|length| now.saturating_add(length));
        if let Some(expires) = expires {
            self.timers.set(expires, (job, Due::Turn));
        }
        task.state = TaskState::UnderWay(UnderWay {
            handed_over: false,
            phase: Phase::Queued,
            expires,
        });
        self.decided.push_back(Decision::Start {
            job,
            attempt: task.attempts,
            eligible: task.eligible.clone(),
        });
    }

    /// Queues another attempt after a failure: at once, or after a pause.
    fn pause(&mut self, job: JobId, pause: Duration, now: Duration) {
        let Some(task) = self.tasks.get_mut(&job) else {
            return;
        };
        if let TaskState::UnderWay(UnderWay {
            expires: Some(expires),
            ..
        }) = task.state
        {
            self.timers.unset(expires, (job, Due::Turn));
        }
        let until = now.saturating_add(pause);
        task.state = TaskState::Pausing { until };
        if pause.is_zero() {
            self.start(job, now);
        } else {
            self.timers.set(until, (job, Due::Turn));
        }
    }

    /// Handles the end of a pause, or of the time in the queue.
    fn turn(&mut self, job: JobId, now: Duration) {
        let Some(task) = self.tasks.get_mut(&job) else {
            return;
        };
        match &mut task.state {
            TaskState::Waiting(_) => {}
            TaskState::Pausing { .. } => self.start(job, now),
            TaskState::UnderWay(under_way) => {
                under_way.expires = None;
                if under_way.handed_over {
                    under_way.phase = Phase::Expiring;
                    let attempt = task.attempts;
                    self.decided.push_back(Decision::Expire { job, attempt });
                } else {
                    let length = task.queue_time.unwrap_or_default();
                    self.give_up(job, Resolution::QueueTimeout(length), Fate::OutOfTime);
                }
            }
        }
    }

    fn reach_deadline(&mut self, job: JobId) {
        let deadline = self.tasks.get(&job).and_then(|task| task.deadline);
        if let Some(Limit { length, .. }) = deadline {
            self.stop(job, Resolution::Deadline(length), Fate::OutOfTime);
        }
    }

    /// Ends a task in whatever state it is.
    fn stop(&mut self, job: JobId, how: Resolution, fate: Fate) {
        let Some(task) = self.tasks.get_mut(&job) else {
            return;
        };
        if task.under_way().is_some() {
            let attempt = task.attempts;
            self.decided.push_back(Decision::Stop { job, attempt });
        }
        self.give_up(job, how, fate);
    }

    /// Ends a task that is not under way, or of which the host knows.
    fn give_up(&mut self, job: JobId, how: Resolution, fate: Fate) {
        let ran_on = self.tasks.get(&job).and_then(|task| task.ran_on);
        let engines = ran_on.into_iter().collect();
        self.resolve(job, how, End { fate, engines });
    }

    /// Forgets a task, and passes its end to those who wait for it.
    fn resolve(&mut self, job: JobId, how: Resolution, end: End) {
        let Some(task) = self.tasks.remove(&job) else {
            return;
        };
        for (at, due) in task.timers() {
            self.timers.unset(at, (job, due));
        }
        if let TaskState::Waiting(waiting) = &task.state {
            unregister(&mut self.waits, job, waiting);
        }
        self.decide_outcome(job, how);
        self.ends.push_back((job, end));
    }

    fn decide_outcome(&mut self, job: JobId, how: Resolution) {
        self.decided.push_back(Decision::Resolve { job, how });
    }

    /// Whether nothing is left of any task.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
            && self.waits.is_empty()
            && self.timers.is_empty()
            && self.decided.is_empty()
            && self.ends.is_empty()
    }

    /// Whether the registrations and timers are exactly those of the tasks.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let due = self.tasks.iter().flat_map(|(job, task)| {
            let timers = task.timers();
            timers.map(|(at, due)| (at, (*job, due)))
        });
        self.timers.check(&due.collect());
        let mut open = BTreeMap::new();
        for (job, task) in &self.tasks {
            if let TaskState::Waiting(waiting) = &task.state {
                open.extend(waiting.open().map(|(place, jobs)| ((*job, place), jobs)));
            }
        }
        self.waits.check(&open);
        assert!(self.ends.is_empty(), "{:?} have not been told", self.ends);
    }
}

/// Removes the registrations for the remaining dependencies of a task.
fn unregister(waits: &mut Waits, job: JobId, waiting: &Waiting) {
    for (other, place) in waiting.jobs() {
        waits.remove(other, (job, place));
    }
}
