//! Many threads around one machine behind a lock, in random orders: some submit, some run what is started, one cancels,
//! one ends jobs of others, one shuts down. Each task still has exactly one outcome, and no thread waits for ever.

use super::super::{Backoff, Dependency, DependencyError, Ended, Known, ReportFate};
use super::*;
use rwasm_sandbox::outcome::FailureCode;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;
use std::collections::{BTreeMap, BTreeSet};

const SUBMITTERS: u64 = 2;
const TASKS_EACH: u64 = 5;
const TASKS: u64 = SUBMITTERS * TASKS_EACH;
const ENGINES: u32 = 2;
/// A job that is not a task of the machine.
const OTHER: JobId = JobId(1000);
/// Random orders of the threads: each takes about a millisecond.
const SCHEDULES: usize = 500;

/// An attempt at a task.
type Attempt = (JobId, u32);

/// What the threads share. Each feeds its event and takes the decisions under the same lock.
struct Host {
    machine: Machine,
    now: Duration,
    submitted: BTreeSet<JobId>,
    /// Attempts that are on their way to an engine and have not begun.
    queued: BTreeSet<Attempt>,
    engines: Vec<Sender<Attempt>>,
    /// What became of jobs, the other one included.
    ended: BTreeMap<JobId, Ended>,
    reported: BTreeMap<JobId, Ended>,
}

impl Host {
    fn submit(&mut self, job: JobId, terms: Terms) -> Result<(), DependencyError> {
        let states = |other: JobId| match self.ended.get(&other) {
            Some(ended) => Some(Known::Ended(ended.clone())),
            None => (other == OTHER || self.submitted.contains(&other)).then_some(Known::Pending),
        };
        let submitted = self.machine.submit(job, terms, states, self.now);
        if submitted.is_ok() {
            self.submitted.insert(job);
        }
        self.decide();
        submitted
    }

    fn report(&mut self, (job, attempt): Attempt, engine: EngineId, failure: Option<FailureCode>) {
        let success = failure.is_none();
        let result = failure.map_or(Ok(engine), |code| Err((code, engine)));
        let verdict = self.machine.finished(job, attempt, result, self.now);
        if verdict == ReportFate::Final {
            let engines = vec![engine];
            let twice = self.reported.insert(job, Ended { success, engines });
            assert!(twice.is_none(), "job {job} has two reports");
        }
        self.decide();
    }

    fn decide(&mut self) {
        while let Some(decision) = self.machine.next_decision() {
            match decision {
                Decision::Watch(job) => {
                    if let Some(ended) = self.ended.get(&job) {
                        self.machine.ended(job, ended.clone(), self.now);
                    }
                }
                Decision::Start { job, attempt, .. } => {
                    self.queued.insert((job, attempt));
                    let engine = usize::try_from(job.0).unwrap() % self.engines.len();
                    self.engines[engine].send((job, attempt)).unwrap();
                }
                Decision::Expire { job, attempt } => {
                    if self.queued.remove(&(job, attempt)) {
                        self.machine.expired(job, attempt, self.now);
                    } else {
                        self.machine.began(job, attempt);
                    }
                }
                Decision::Stop { job, attempt } => {
                    self.queued.remove(&(job, attempt));
                }
                Decision::Resolve { job, how } => {
                    let reported = self.reported.remove(&job);
                    assert_eq!(reported.is_some(), how == Resolution::Reported, "job {job}");
                    let nothing = Ended {
                        success: false,
                        engines: Vec::new(),
                    };
                    let twice = self.ended.insert(job, reported.unwrap_or(nothing));
                    assert!(twice.is_none(), "job {job} has two outcomes");
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        (0..TASKS).all(|job| self.ended.contains_key(&JobId(job)))
    }
}

type Shared = Arc<(Mutex<Host>, Condvar)>;

/// Does something with the host, and wakes who waits for it.
fn with<T>(shared: &Shared, act: impl FnOnce(&mut Host) -> T) -> T {
    let done = act(&mut shared.0.lock().unwrap());
    shared.1.notify_all();
    done
}

fn submit_tasks(shared: &Shared, submitter: u64) {
    for index in 0..TASKS_EACH {
        let job = JobId(submitter + index * SUBMITTERS);
        with(shared, |host| {
            let mut rng = thread_rng();
            let others: Vec<_> = host.submitted.iter().copied().chain([OTHER]).collect();
            let some: Vec<_> = (0..rng.gen_range(0..3))
                .map(|_| others[rng.gen_range(0..others.len())])
                .collect();
            let dependency = if rng.gen_bool(0.5) || some.is_empty() {
                Dependency::all(some)
            } else {
                Dependency::any(some)
            };
            let follows = rng.gen_bool(0.2);
            let dependencies = vec![dependency.on_failure(rng.gen_bool(0.3))];
            let (after, follow) = if follows {
                (Vec::new(), dependencies)
            } else {
                (dependencies, Vec::new())
            };
            let terms = Terms {
                after,
                follow,
                retry: Retry::times(rng.gen_range(0..3)).backoff(Backoff::fixed(ms(2))),
                queue_time: rng.gen_bool(0.3).then(|| ms(3)),
                deadline: rng.gen_bool(0.2).then(|| ms(8)),
                ..free()
            };
            host.submit(job, terms).unwrap();
        });
    }
}

fn run_tasks(shared: &Shared, engine: EngineId, inbox: &Receiver<Attempt>) {
    while let Ok(attempt) = inbox.recv() {
        let begins = with(shared, |host| {
            let begins = host.queued.remove(&attempt);
            if begins {
                host.machine.began(attempt.0, attempt.1);
            }
            begins
        });
        if !begins {
            continue;
        }
        thread::yield_now();
        let failure = match thread_rng().gen_range(0..4) {
            0 => Some(FailureCode::EngineLost),
            1 => Some(FailureCode::BadInput),
            _ => None,
        };
        with(shared, |host| host.report(attempt, engine, failure));
        if thread_rng().gen_bool(0.3) {
            let lost = Some(FailureCode::EngineLost);
            with(shared, |host| host.report(attempt, engine, lost));
        }
    }
}

fn cancel_some(shared: &Shared) {
    for _ in 0..3 {
        let job = JobId(thread_rng().gen_range(0..TASKS));
        with(shared, |host| {
            host.machine.cancel(job, host.now);
            host.decide();
        });
    }
}

fn end_other(shared: &Shared) {
    let ended = Ended {
        success: thread_rng().gen_bool(0.7),
        engines: vec![EngineId(0)],
    };
    with(shared, |host| {
        host.ended.insert(OTHER, ended.clone());
        host.machine.ended(OTHER, ended, host.now);
        host.decide();
    });
}

fn shut_down(shared: &Shared) {
    if thread_rng().gen_bool(0.3) {
        with(shared, |host| {
            host.machine.shutdown();
            host.decide();
        });
    }
}

/// Lets time pass until every task has its outcome. A task that never has one leaves it waiting, and with it all
/// threads: the scheduler reports that as a deadlock.
fn keep_time(shared: &Shared) {
    let (host, news) = &**shared;
    let mut host = host.lock().unwrap();
    while !host.is_done() {
        if host.machine.next_wake().is_none() {
            host = news.wait(host).unwrap();
            continue;
        }
        host.now += ms(1);
        let now = host.now;
        host.machine.tick(now);
        host.decide();
        drop(host);
        thread::yield_now();
        host = shared.0.lock().unwrap();
    }
    // The engines end when nobody can send to them.
    host.engines.clear();
}

fn one_run() {
    let (engines, inboxes): (Vec<_>, Vec<_>) = (0..ENGINES).map(|_| channel()).unzip();
    let host = Host {
        machine: Machine::new(),
        now: ms(0),
        submitted: BTreeSet::new(),
        queued: BTreeSet::new(),
        engines,
        ended: BTreeMap::new(),
        reported: BTreeMap::new(),
    };
    let shared = Arc::new((Mutex::new(host), Condvar::new()));
    let spawn = |work: Box<dyn FnOnce(&Shared) + Send>| {
        let shared = Arc::clone(&shared);
        thread::spawn(move || work(&shared))
    };
    let mut threads = vec![
        spawn(Box::new(cancel_some)),
        spawn(Box::new(end_other)),
        spawn(Box::new(shut_down)),
    ];
    for submitter in 0..SUBMITTERS {
        threads.push(spawn(Box::new(move |shared| {
            submit_tasks(shared, submitter);
        })));
    }
    for (inbox, engine) in inboxes.into_iter().zip(0..) {
        threads.push(spawn(Box::new(move |shared| {
            run_tasks(shared, EngineId(engine), &inbox);
        })));
    }
    keep_time(&shared);
    for thread in threads {
        thread.join().unwrap();
    }
    let host = shared.0.lock().unwrap();
    assert_eq!(host.submitted.len() as u64, TASKS);
    assert_eq!(host.ended.len() as u64, TASKS + 1);
    assert!(host.machine.is_empty(), "{:#?}", host.machine);
}

#[test]
fn each_task_has_one_outcome_in_every_order_of_threads() {
    shuttle::check_random(one_run, SCHEDULES);
}
