//! Reports, attempts, times and ends: each rule on the smallest graph that shows it.

use super::super::{Backoff, Dependency, DependencyError, Ended, FailureSet, Known, ReportFate};
use super::*;
use rwasm_sandbox::outcome::FailureCode;

pub(super) const E0: EngineId = EngineId(0);
pub(super) const E1: EngineId = EngineId(1);
pub(super) const E2: EngineId = EngineId(2);

/// A machine beside jobs 90 to 99, whole maps that have not ended, and 80 to 85, which have.
pub(super) struct Bench(pub(super) Machine);

impl Bench {
    pub(super) fn new() -> Self {
        Self(Machine::new())
    }

    pub(super) fn submit(
        &mut self,
        job: u64,
        terms: Terms,
        now: u64,
    ) -> Result<(), DependencyError> {
        let states = |other: JobId| {
            Some(match other.0 {
                80 => Known::Ended(ended(true, &[E0])),
                81 => Known::Ended(ended(true, &[E1])),
                82 => Known::Ended(ended(true, &[E0, E1, E2])),
                83 => Known::Ended(ended(false, &[E0])),
                84 => Known::Ended(ended(false, &[])),
                90..=99 => Known::Pending,
                _ => return None,
            })
        };
        self.0.submit(JobId(job), terms, states, ms(now))
    }

    /// Submits what must be accepted, and gives the decisions.
    pub(super) fn add(&mut self, job: u64, terms: Terms) -> Vec<String> {
        self.submit(job, terms, 0).unwrap();
        lines(&mut self.0)
    }

    pub(super) fn ended(&mut self, job: u64, success: bool, engines: &[EngineId]) -> Vec<String> {
        self.0.ended(JobId(job), ended(success, engines), ms(0));
        lines(&mut self.0)
    }

    pub(super) fn finish(
        &mut self,
        job: u64,
        attempt: u32,
        code: Option<FailureCode>,
        now: u64,
    ) -> Vec<String> {
        let result = code.map_or(Ok(E1), |code| Err((code, E1)));
        self.0.finished(JobId(job), attempt, result, ms(now));
        lines(&mut self.0)
    }

    pub(super) fn tick(&mut self, now: u64) -> Vec<String> {
        self.0.tick(ms(now));
        lines(&mut self.0)
    }

    pub(super) fn cancel(&mut self, job: u64) -> Vec<String> {
        self.0.cancel(JobId(job), ms(0));
        lines(&mut self.0)
    }

    #[track_caller]
    pub(super) fn is_empty(&self) {
        assert!(self.0.is_empty(), "{:#?}", self.0);
    }
}

pub(super) fn ended(success: bool, engines: &[EngineId]) -> Ended {
    Ended {
        success,
        engines: engines.to_vec(),
    }
}

pub(super) fn after<const N: usize>(ids: [u64; N]) -> Terms {
    after_dependency(Dependency::all(jobs(ids)))
}

pub(super) fn after_dependency(dependency: Dependency) -> Terms {
    Terms {
        after: vec![dependency],
        ..free()
    }
}

pub(super) fn follow(dependency: Dependency) -> Terms {
    Terms {
        follow: vec![dependency],
        ..free()
    }
}

pub(super) fn retry(retry: Retry) -> Terms {
    Terms { retry, ..free() }
}

#[test]
fn a_task_that_waits_for_nothing_starts_and_its_report_is_its_outcome() {
    let mut bench = Bench::new();
    assert_eq!(bench.add(1, free()), ["start 1#1 on any"]);
    bench.0.began(JobId(1), 1);
    let verdict = bench.0.finished(JobId(1), 1, Ok(E0), ms(5));
    assert_eq!(verdict, ReportFate::Final);
    assert_eq!(lines(&mut bench.0), ["resolve 1: reported"]);
    bench.is_empty();
}

#[test]
fn reports_that_come_twice_late_or_early_are_ignored() {
    let mut bench = Bench::new();
    bench.submit(1, retry(Retry::times(1)), 0).unwrap();
    let report = |bench: &mut Bench, attempt| {
        let failed = Err((FailureCode::Trap, E0));
        bench.0.finished(JobId(1), attempt, failed, ms(0))
    };
    assert_eq!(
        report(&mut bench, 1),
        ReportFate::Ignored,
        "not handed over"
    );
    assert_eq!(lines(&mut bench.0), ["start 1#1 on any"]);
    assert_eq!(report(&mut bench, 2), ReportFate::Ignored);
    assert_eq!(report(&mut bench, 1), ReportFate::Retried);
    assert_eq!(report(&mut bench, 1), ReportFate::Ignored);
    assert_eq!(lines(&mut bench.0), ["start 1#2 on any"]);
    assert_eq!(report(&mut bench, 1), ReportFate::Ignored);
    assert_eq!(report(&mut bench, 2), ReportFate::Final);
    assert_eq!(report(&mut bench, 2), ReportFate::Ignored);
    assert_eq!(lines(&mut bench.0), ["resolve 1: reported"]);
    bench.0.began(JobId(1), 1);
    bench.0.expired(JobId(1), 1, ms(0));
    assert!(bench.cancel(1).is_empty());
    bench.is_empty();
}

#[test]
fn a_failed_attempt_is_followed_by_others_and_the_last_stands() {
    let mut bench = Bench::new();
    let once_more = Terms {
        eligible: Eligible::One(E1),
        ..retry(Retry::times(2))
    };
    assert_eq!(bench.add(1, once_more), ["start 1#1 on 1"]);
    bench.add(2, after([1]));
    let lost = Some(FailureCode::EngineLost);
    assert_eq!(bench.finish(1, 1, lost, 0), ["start 1#2 on 1"]);
    assert_eq!(
        bench.finish(1, 2, Some(FailureCode::GuestError), 0),
        ["start 1#3 on 1"]
    );
    assert_eq!(
        bench.finish(1, 3, lost, 0),
        [
            "resolve 1: reported",
            "resolve 2: job 1, which it waits for, failed"
        ]
    );
    bench.is_empty();
}

#[test]
fn only_the_chosen_failures_are_tried_again() {
    let mut bench = Bench::new();
    let on = FailureSet::ENGINE_LOST | FailureSet::LIMIT;
    for (job, code, again) in [
        (1, FailureCode::EngineLost, true),
        (2, FailureCode::MemoryLimit, true),
        (3, FailureCode::Trap, false),
        (4, FailureCode::Cancelled, false),
        (5, FailureCode::BadInput, false),
    ] {
        bench.add(job, retry(Retry::times(1).on(on)));
        let decision = if again {
            format!("start {job}#2 on any")
        } else {
            format!("resolve {job}: reported")
        };
        assert_eq!(bench.finish(job, 1, Some(code), 0), [decision]);
    }
}

#[test]
fn an_attempt_waits_for_its_pause() {
    let mut bench = Bench::new();
    let backoff = Backoff::exponential(ms(100), ms(1000));
    bench.add(1, retry(Retry::times(5).backoff(backoff)));
    let trap = Some(FailureCode::Trap);
    assert!(bench.finish(1, 1, trap, 20).is_empty());
    assert_eq!(bench.0.next_wake(), Some(ms(120)));
    assert!(bench.tick(119).is_empty());
    assert_eq!(bench.tick(121), ["start 1#2 on any"]);
    assert!(bench.finish(1, 2, trap, 200).is_empty());
    assert_eq!(bench.0.next_wake(), Some(ms(400)));
    assert_eq!(bench.cancel(1), ["resolve 1: cancelled"]);
    bench.is_empty();
}

#[test]
fn the_time_in_the_queue_counts_from_when_a_task_could_start_until_it_begins() {
    let mut bench = Bench::new();
    let terms = Terms {
        queue_time: Some(ms(10)),
        retry: Retry::times(1).backoff(Backoff::fixed(ms(500))),
        ..after([90])
    };
    assert_eq!(bench.add(1, terms), ["watch 90"]);
    assert_eq!(bench.0.next_wake(), None, "it waits for job 90");
    bench.0.ended(JobId(90), ended(true, &[]), ms(1000));
    assert_eq!(lines(&mut bench.0), ["start 1#1 on any"]);
    assert_eq!(bench.0.next_wake(), Some(ms(1010)));
    bench.0.began(JobId(1), 1);
    assert_eq!(bench.0.next_wake(), None, "it runs");
    assert!(bench.finish(1, 1, Some(FailureCode::Trap), 2000).is_empty());
    assert_eq!(bench.tick(2500), ["start 1#2 on any"]);
    assert_eq!(bench.0.next_wake(), Some(ms(2510)), "armed anew");
    assert_eq!(bench.tick(2510), ["expire 1#2"]);
    assert_eq!(bench.0.next_wake(), None);
    bench.0.expired(JobId(1), 1, ms(2511));
    assert!(lines(&mut bench.0).is_empty(), "another attempt");
    bench.0.expired(JobId(1), 2, ms(2511));
    assert_eq!(lines(&mut bench.0), ["resolve 1: 10ms in the queue"]);
    bench.is_empty();
}

#[test]
fn a_task_that_has_begun_is_not_taken_back() {
    let mut bench = Bench::new();
    let terms = || Terms {
        queue_time: Some(ms(10)),
        ..free()
    };
    bench.add(1, terms());
    assert_eq!(bench.tick(10), ["expire 1#1"]);
    bench.0.began(JobId(1), 1);
    bench.0.expired(JobId(1), 1, ms(11));
    assert!(lines(&mut bench.0).is_empty());
    assert_eq!(bench.finish(1, 1, None, 20), ["resolve 1: reported"]);

    bench.add(2, terms());
    bench.0.tick(ms(10));
    bench.0.began(JobId(2), 1);
    assert!(lines(&mut bench.0).is_empty(), "no longer worth asking");

    bench.add(3, terms());
    bench.tick(10);
    assert_eq!(
        bench.finish(3, 1, Some(FailureCode::Cancelled), 12),
        ["resolve 3: 10ms in the queue"],
        "dropped from the queue, and reported so"
    );
    bench.submit(4, terms(), 20).unwrap();
    assert_eq!(
        bench.tick(30),
        ["resolve 4: 10ms in the queue"],
        "never handed over"
    );
}

#[test]
fn the_deadline_counts_everything() {
    let mut bench = Bench::new();
    let within = |terms| Terms {
        deadline: Some(ms(50)),
        ..terms
    };
    let backoff = Backoff::fixed(ms(1000));
    bench.add(1, within(after([90])));
    bench.add(2, within(free()));
    bench.add(3, within(retry(Retry::times(1).backoff(backoff))));
    assert!(bench.finish(3, 1, Some(FailureCode::Trap), 10).is_empty());
    bench.add(4, after([2]));
    assert_eq!(bench.0.next_wake(), Some(ms(50)));
    assert_eq!(
        bench.tick(50),
        [
            "resolve 1: 50ms in all",
            "stop 2#1",
            "resolve 2: 50ms in all",
            "resolve 4: job 2, which it waits for, ran out of time",
            "resolve 3: 50ms in all",
        ]
    );
    assert!(bench.finish(2, 1, None, 60).is_empty());
    bench.is_empty();

    bench.add(5, within(after([90])));
    bench.0.ended(JobId(90), ended(true, &[]), ms(50));
    assert_eq!(
        lines(&mut bench.0),
        ["resolve 5: 50ms in all"],
        "too late to start"
    );
    bench.add(6, within(retry(Retry::times(9))));
    assert_eq!(
        bench.finish(6, 1, Some(FailureCode::Trap), 50),
        ["resolve 6: reported"],
        "its own failure says more than the deadline"
    );
    bench.is_empty();
}

#[test]
fn limits_without_end_are_no_limits() {
    let mut bench = Bench::new();
    let terms = Terms {
        queue_time: Some(Duration::MAX),
        deadline: Some(Duration::MAX),
        retry: Retry::times(1).backoff(Backoff::fixed(Duration::MAX)),
        ..free()
    };
    bench.submit(1, terms, 5).unwrap();
    assert_eq!(lines(&mut bench.0), ["start 1#1 on any"]);
    assert!(bench.tick(u64::MAX).is_empty());
    assert!(bench.finish(1, 1, Some(FailureCode::Trap), 9).is_empty());
    assert_eq!(bench.cancel(1), ["resolve 1: cancelled"]);
    bench.is_empty();
}

#[test]
fn cancelling_ends_a_task_wherever_it_is() {
    let mut bench = Bench::new();
    bench.submit(1, free(), 0).unwrap();
    assert_eq!(bench.cancel(1), ["resolve 1: cancelled"], "not handed over");
    bench.add(2, after([90]));
    bench.add(3, after([2]));
    assert_eq!(
        bench.cancel(2),
        [
            "resolve 2: cancelled",
            "resolve 3: job 2, which it waits for, was cancelled"
        ]
    );
    bench.add(4, free());
    bench.0.began(JobId(4), 1);
    assert_eq!(bench.cancel(4), ["stop 4#1", "resolve 4: cancelled"]);
    assert!(bench.cancel(4).is_empty());
    assert!(bench.cancel(77).is_empty());
    bench.is_empty();
}

#[test]
fn a_whole_map_waits_like_a_task_and_its_end_is_its_report() {
    let mut bench = Bench::new();
    bench.add(1, after([90]));
    bench.add(2, follow(JobId(1).into()));
    assert!(bench.ended(1, true, &[E0]).is_empty(), "it has not begun");
    assert_eq!(bench.ended(90, true, &[]), ["start 1#1 on any"]);
    assert_eq!(
        bench.ended(1, true, &[E2, E0]),
        ["resolve 1: reported", "start 2#1 on 0,2"]
    );
    assert!(bench.ended(1, true, &[E0]).is_empty());
    assert_eq!(bench.finish(2, 1, None, 0), ["resolve 2: reported"]);
    bench.is_empty();
}

#[test]
fn shutting_down_cancels_what_is_left_and_what_comes() {
    let mut bench = Bench::new();
    bench.add(1, free());
    bench.add(2, after([1]));
    bench.submit(3, after([90]), 0).unwrap();
    bench.0.shutdown();
    assert_eq!(
        lines(&mut bench.0),
        [
            "stop 1#1",
            "resolve 1: cancelled",
            "resolve 2: cancelled",
            "resolve 3: cancelled",
        ]
    );
    assert!(bench.finish(1, 1, None, 0).is_empty());
    assert!(bench.ended(90, true, &[]).is_empty());
    assert_eq!(bench.add(4, free()), ["resolve 4: cancelled"]);
    bench.is_empty();
}
