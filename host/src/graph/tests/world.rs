//! A host and a backend made of nothing but a plan and numbers, which check at each decision what the machine promises.

use super::super::{Decision, Ended, Known, Machine, ReportFate, Resolution, Terms};
use super::model::{Fact, Facts, Model, model};
use super::{engines_of, line, ms};
use rwasm_sandbox::outcome::FailureCode;
use rwasm_value::ids::{EngineId, JobId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Jobs that are not tasks of the machine have ids from here on.
pub(super) const OTHERS: u64 = 1000;

/// What the host knows of a task.
#[derive(Debug)]
struct Record {
    terms: Terms,
    submitted: Duration,
    attempts: u32,
    /// The last report that counted.
    report: Option<Report>,
    resolved: Option<Resolution>,
}

#[derive(Clone, Copy, Debug)]
struct Report {
    result: Result<EngineId, (FailureCode, EngineId)>,
    verdict: ReportFate,
    at: Duration,
}

/// An attempt that the backend has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Attempt {
    job: JobId,
    number: u32,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct World {
    pub(super) machine: Machine,
    now: Duration,
    tasks: BTreeMap<JobId, Record>,
    /// Attempts with the backend, and whether each has begun.
    under_way: BTreeMap<Attempt, bool>,
    /// Attempts that the machine has asked back and has no answer about.
    asked_back: BTreeSet<Attempt>,
    /// Attempts that are over, for reports that come once more.
    past: Vec<Attempt>,
    /// What is known of jobs that have ended.
    facts: Facts,
    watched: BTreeSet<JobId>,
    is_shut_down: bool,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            machine: Machine::new(),
            now: ms(0),
            tasks: BTreeMap::new(),
            under_way: BTreeMap::new(),
            asked_back: BTreeSet::new(),
            past: Vec::new(),
            facts: Facts::new(),
            watched: BTreeSet::new(),
            is_shut_down: false,
        }
    }

    pub(super) fn submit(&mut self, job: JobId, terms: Terms) {
        let states = |other: JobId| {
            if let Some(fact) = self.facts.get(&other) {
                return Some(Known::Ended(ended(fact)));
            }
            (other.0 >= OTHERS || self.tasks.contains_key(&other)).then_some(Known::Pending)
        };
        self.machine
            .submit(job, terms.clone(), states, self.now)
            .unwrap();
        let record = Record {
            terms,
            submitted: self.now,
            attempts: 0,
            report: None,
            resolved: None,
        };
        self.tasks.insert(job, record);
    }

    /// Some attempt under way begins.
    pub(super) fn begin(&mut self, pick: u64) {
        let waiting = self.under_way.iter_mut().filter(|(_, begun)| !**begun);
        let waiting: Vec<_> = waiting.collect();
        if waiting.is_empty() {
            return;
        }
        let index = place(pick, waiting.len());
        for (attempt, begun) in waiting.into_iter().skip(index).take(1) {
            *begun = true;
            self.machine.began(attempt.job, attempt.number);
        }
    }

    /// Some attempt under way ends, whether it was said to have begun or not.
    pub(super) fn report(&mut self, pick: u64, failure: Option<FailureCode>) {
        let attempts: Vec<_> = self.under_way.keys().copied().collect();
        let Some(attempt) = at(&attempts, pick) else {
            return;
        };
        let engine = self.engine_for(attempt, pick);
        self.under_way.remove(&attempt);
        self.past.push(attempt);
        let result = failure.map_or(Ok(engine), |code| Err((code, engine)));
        let verdict = self
            .machine
            .finished(attempt.job, attempt.number, result, self.now);
        let record = self.tasks.get_mut(&attempt.job).unwrap();
        if verdict != ReportFate::Ignored {
            assert_eq!(record.attempts, attempt.number, "{attempt:?}");
            record.report = Some(Report {
                result,
                verdict,
                at: self.now,
            });
        }
    }

    /// A report that has come already comes once more, and much else that is out of date.
    pub(super) fn repeat(&mut self, pick: u64) {
        let Some(Attempt { job, number }) = at(&self.past, pick) else {
            return;
        };
        let lost = Err((FailureCode::EngineLost, EngineId(0)));
        let verdict = self.machine.finished(job, number, lost, self.now);
        assert_eq!(
            verdict,
            ReportFate::Ignored,
            "attempt {number} of job {job}"
        );
        self.machine.began(job, number);
        self.machine.expired(job, number, self.now);
    }

    /// A job that is not a task of the machine ends.
    pub(super) fn end_other(&mut self, job: JobId, success: bool, engines: BTreeSet<EngineId>) {
        if self.facts.contains_key(&job) {
            return;
        }
        let fact = Fact { success, engines };
        self.watched.remove(&job);
        self.machine.ended(job, ended(&fact), self.now);
        self.facts.insert(job, fact);
    }

    pub(super) fn cancel(&mut self, pick: u64) {
        let jobs: Vec<_> = self.tasks.keys().copied().collect();
        if let Some(job) = at(&jobs, pick) {
            self.machine.cancel(job, self.now);
        }
    }

    /// The backend says of some attempt that was asked back whether it had begun.
    pub(super) fn answer(&mut self, pick: u64) {
        let asked: Vec<_> = self.asked_back.iter().copied().collect();
        let Some(attempt) = at(&asked, pick) else {
            return;
        };
        self.asked_back.remove(&attempt);
        let Attempt { job, number } = attempt;
        match self.under_way.get(&attempt) {
            None => {}
            Some(true) => self.machine.began(job, number),
            Some(false) => {
                self.under_way.remove(&attempt);
                self.past.push(attempt);
                if pick.is_multiple_of(2) {
                    self.machine.expired(job, number, self.now);
                } else {
                    let dropped = Err((FailureCode::Cancelled, EngineId(0)));
                    let verdict = self.machine.finished(job, number, dropped, self.now);
                    assert_eq!(verdict, ReportFate::Ignored);
                }
            }
        }
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.now += time;
        self.machine.tick(self.now);
        assert!(self.machine.next_wake().is_none_or(|wake| wake > self.now));
    }

    /// Time passes and nobody notices.
    pub(super) fn dawdle(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn shut_down(&mut self) {
        self.is_shut_down = true;
        self.machine.shutdown();
    }

    /// Takes all decisions and checks each; then nothing that can be decided is undecided.
    pub(super) fn decide(&mut self) {
        while let Some(decision) = self.machine.next_decision() {
            self.check(&decision);
        }
        self.machine.check();
        for (job, record) in &self.tasks {
            if record.resolved.is_some() {
                continue;
            }
            assert!(!self.is_shut_down, "job {job} was not cancelled");
            if record.attempts == 0 {
                let model = model(&record.terms, &self.facts);
                assert_eq!(model, Model::Open, "job {job} waits: {record:?}");
            }
        }
    }

    fn check(&mut self, decision: &Decision) {
        let said = line(decision);
        match decision {
            Decision::Watch(job) => {
                let unresolved = |record: &Record| record.resolved.is_none();
                assert!(!self.tasks.get(job).is_some_and(unresolved), "{said}");
                if let Some(fact) = self.facts.get(job) {
                    self.machine.ended(*job, ended(fact), self.now);
                } else {
                    self.watched.insert(*job);
                }
            }
            Decision::Start {
                job,
                attempt,
                eligible,
            } => {
                let record = self.tasks.get_mut(job).unwrap();
                assert!(record.resolved.is_none(), "{said}: {record:?}");
                record.attempts += 1;
                assert_eq!(record.attempts, *attempt, "{said}");
                let Model::Met(allowed) = model(&record.terms, &self.facts) else {
                    panic!("{said}: dependencies are not met: {record:?}");
                };
                match (engines_of(eligible), allowed) {
                    (None, None) => {}
                    (Some(engines), Some(allowed)) => {
                        assert!(!engines.is_empty(), "{said}");
                        assert!(engines.iter().all(|engine| allowed.contains(engine)));
                    }
                    other => panic!("{said}: {other:?}"),
                }
                if *attempt > 1 {
                    let before = record.report.unwrap();
                    let pause = record.terms.retry.backoff.pause(attempt - 1);
                    assert_eq!(before.verdict, ReportFate::Retried, "{said}");
                    assert!(self.now >= before.at + pause, "{said}: too early");
                    assert!(*attempt <= record.terms.retry.retries + 1, "{said}");
                }
                let attempt = Attempt {
                    job: *job,
                    number: *attempt,
                };
                assert!(self.under_way.keys().all(|other| other.job != *job));
                self.under_way.insert(attempt, false);
            }
            Decision::Expire { job, attempt } => {
                let record = &self.tasks[job];
                assert!(record.resolved.is_none(), "{said}");
                let waited = self.now.saturating_sub(record.submitted);
                assert!(waited >= record.terms.queue_time.unwrap(), "{said}");
                let attempt = Attempt {
                    job: *job,
                    number: *attempt,
                };
                assert_eq!(self.under_way.get(&attempt), Some(&false), "{said}");
                assert!(self.asked_back.insert(attempt), "{said}: asked twice");
            }
            Decision::Stop { job, attempt } => {
                let attempts = self.under_way.keys().chain(&self.past);
                let is_known = |other: &Attempt| (other.job, other.number) == (*job, *attempt);
                assert!(attempts.copied().any(|other| is_known(&other)), "{said}");
                let record = &self.tasks[job];
                assert!(record.resolved.is_none(), "{said}");
                assert_eq!(record.attempts, *attempt, "{said}");
            }
            Decision::Resolve { job, how } => self.resolve(*job, how, &said),
        }
    }

    fn resolve(&mut self, job: JobId, how: &Resolution, said: &str) {
        let record = self.tasks.get_mut(&job).unwrap();
        assert!(record.resolved.is_none(), "{said}: {record:?}");
        record.resolved = Some(how.clone());
        let number = record.attempts;
        let under_way = self.under_way.get(&Attempt { job, number });
        let age = self.now.saturating_sub(record.submitted);
        let terms = &record.terms;
        match how {
            Resolution::Reported => {
                assert_eq!(under_way, None, "{said}");
                let report = record.report.unwrap();
                assert_eq!(report.verdict, ReportFate::Final, "{said}");
                if let Err((code, _)) = report.result {
                    let in_time = terms
                        .deadline
                        .is_none_or(|deadline| report.at < record.submitted + deadline);
                    let again = number <= terms.retry.retries && terms.retry.on.contains(code);
                    assert!(!(again && in_time), "{said}: {record:?}");
                }
            }
            Resolution::DependencyFailed(_) => {
                assert_eq!(number, 0, "{said}: it has started");
                assert_eq!(model(terms, &self.facts), Model::Impossible, "{said}");
            }
            Resolution::Cancelled => {}
            Resolution::QueueTimeout(length) => {
                assert_eq!(terms.queue_time, Some(*length));
                assert!(age >= *length, "{said} after {age:?}");
                assert_eq!(under_way, None, "{said}: it has not been taken back");
            }
            Resolution::Deadline(length) => {
                assert_eq!(terms.deadline, Some(*length));
                assert!(age >= *length, "{said} after {age:?}");
            }
        }
        let (success, engine) = match record.report.map(|report| report.result) {
            None => (false, None),
            Some(Ok(engine)) => (true, Some(engine)),
            Some(Err((_, engine))) => (false, Some(engine)),
        };
        let success = success && *how == Resolution::Reported;
        let engines = engine.into_iter().collect();
        self.facts.insert(job, Fact { success, engines });
    }

    /// Whether all that the backend and the other jobs owe has been delivered and nothing is left to wait for.
    pub(super) fn run_out(&mut self, others: impl Iterator<Item = JobId>) {
        for job in others {
            self.end_other(job, job.0.is_multiple_of(2), [EngineId(0)].into());
        }
        self.decide();
        let most = 10 * (1 + self.tasks.len());
        for round in 0.. {
            assert!(round < most, "it does not end: {self:#?}");
            for pick in 0..self.under_way.len() as u64 {
                self.report(0, (pick % 3 == 1).then_some(FailureCode::Trap));
            }
            self.decide();
            if let Some(wake) = self.machine.next_wake() {
                self.advance(wake.saturating_sub(self.now));
                self.decide();
            } else if self.under_way.is_empty() {
                break;
            }
        }
        for pick in 0..self.past.len() as u64 {
            self.repeat(pick);
        }
        self.decide();
        for (job, record) in &self.tasks {
            assert!(record.resolved.is_some(), "job {job}: {record:?}");
        }
        assert!(self.machine.is_empty(), "{:#?}", self.machine);
        assert_eq!(self.machine.next_wake(), None);
    }

    /// One of the engines that an attempt may run on.
    fn engine_for(&self, attempt: Attempt, pick: u64) -> EngineId {
        let engines = match model(&self.tasks[&attempt.job].terms, &self.facts) {
            Model::Met(Some(engines)) => Vec::from_iter(engines),
            _ => [0, 1, 2].map(EngineId).to_vec(),
        };
        at(&engines, pick).unwrap()
    }
}

fn ended(fact: &Fact) -> Ended {
    Ended {
        success: fact.success,
        engines: fact.engines.iter().copied().collect(),
    }
}

fn place(pick: u64, length: usize) -> usize {
    usize::try_from(pick % length as u64).unwrap()
}

fn at<T: Copy>(items: &[T], pick: u64) -> Option<T> {
    (!items.is_empty()).then(|| items[place(pick, items.len())])
}
