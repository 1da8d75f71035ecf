//! Hostile tasks of all kinds mixed with good ones, on two engines: every one has its own outcome.

use super::case::{Case, Expected, Loaded};
use super::good::Good;
use super::guests::Guest;
use super::run::{Ended, Failed, prepare, run};
use rwasm_cluster::{Cluster, EngineId, Module};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Users who submit at the same time, to two engines.
const USERS: usize = 4;

/// What those may run that do not end by themselves: short, since there are many.
const TIME: Duration = Duration::from_millis(20);

/// The guests that take part, ready to be used.
pub(crate) struct Mix {
    guests: Vec<(Guest, Case, Option<Module>)>,
    good: Good,
    next: AtomicUsize,
    /// Whether its tasks run in other processes.
    is_elsewhere: bool,
}

impl Mix {
    /// Loads the guests and compiles them once.
    pub(crate) fn new(cluster: &Cluster, built: &Path, is_elsewhere: bool) -> Self {
        let mut guests = Vec::new();
        for (guest, mut case) in super::all() {
            if case.is_heavy {
                continue;
            }
            if case.is_endless() {
                case.limits.time = TIME;
            }
            let module = guest.load(built).ok();
            let module = module.filter(|module| prepare(cluster, module, &case).is_ok());
            guests.push((guest, case, module));
        }
        Self {
            guests,
            good: Good::new(built),
            next: AtomicUsize::new(0),
            is_elsewhere,
        }
    }

    /// Runs this many cases of hostile guests, in turn, and a good task after each; gives how many hostile tasks these were.
    pub(crate) fn round(&self, cluster: &Cluster, built: &Path, cases: usize) -> usize {
        let (left, tasks) = (AtomicUsize::new(cases), AtomicUsize::new(0));
        let work = |user: usize| {
            let take = |left: usize| left.checked_sub(1);
            let orders = (Ordering::Relaxed, Ordering::Relaxed);
            while left.fetch_update(orders.0, orders.1, take).is_ok() {
                let engine = EngineId(u32::from(user % 2 == 1));
                let next = self.next.fetch_add(1, Ordering::Relaxed);
                let (guest, case, module) = &self.guests[next % self.guests.len()];
                if let Some(module) = module {
                    let ended = run(cluster, module, case, engine, None);
                    tasks.fetch_add(ended.len(), Ordering::Relaxed);
                    check(guest.name, case, ended, self.is_elsewhere);
                } else {
                    tasks.fetch_add(1, Ordering::Relaxed);
                    refused(cluster, guest, case, built);
                }
                self.good.is_right_on(cluster, EngineId(1 - engine.0));
            }
        };
        std::thread::scope(|scope| {
            for user in 0..USERS {
                scope.spawn(move || work(user));
            }
        });
        tasks.into_inner()
    }
}

fn refused(cluster: &Cluster, guest: &Guest, case: &Case, built: &Path) {
    assert_ne!(case.loaded, Loaded::Yes, "{}", guest.name);
    let module = guest.load(built);
    let is_ready = module.is_ok_and(|module| prepare(cluster, &module, case).is_ok());
    assert!(!is_ready, "{}", guest.name);
}

fn check(name: &str, case: &Case, ended: Vec<Ended>, is_elsewhere: bool) {
    for (step, ended) in case.steps.iter().zip(ended) {
        let is_right = match (&step.expected, &ended.result) {
            (Expected::Value(wanted), Ok(found)) => found == wanted,
            (Expected::Success, Ok(_)) | (Expected::Impossible(_), Err(Failed::Refused(_))) => true,
            (Expected::Failure(code, _), Err(Failed::Task(failure))) if failure.code == *code => {
                true
            }
            // Where engines are elsewhere they alone know whether they can run it.
            (_, Err(Failed::Task(failure))) => {
                case.loaded != Loaded::Yes
                    && is_elsewhere
                    && failure.message.contains("cannot be prepared")
            }
            _ => false,
        };
        let found = match &ended.result {
            Ok(value) => format!("{value:.200}"),
            Err(Failed::Task(failure)) => format!("{}: {failure}", failure.code),
            Err(Failed::Refused(text)) => text.clone(),
        };
        assert!(
            is_right,
            "{name}: {:?} was expected, not {found}",
            step.expected
        );
    }
}
