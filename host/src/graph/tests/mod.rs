//! The machine: each rule for itself, random graphs against a model, and many threads in random orders.

mod dependencies;
mod model;
mod rules;
mod schedules;
mod threads;
mod world;

use super::{Decision, Machine, Resolution, Retry, Terms};
use crate::placement::Eligible;
use rwasm_value::ids::{EngineId, JobId};
use std::time::Duration;

/// A task that waits for nothing, may run anywhere and has no limits.
fn free() -> Terms {
    Terms {
        after: Vec::new(),
        follow: Vec::new(),
        eligible: Eligible::Any,
        retry: Retry::default(),
        queue_time: None,
        deadline: None,
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// In one line, for comparisons: `start 4#1 on any`, `resolve 4: reported`.
fn line(decision: &Decision) -> String {
    match decision {
        Decision::Watch(job) => format!("watch {job}"),
        Decision::Start {
            job,
            attempt,
            eligible,
        } => {
            let engines = engines_of(eligible).map_or("any".to_owned(), |engines| {
                let engines: Vec<_> = engines.iter().map(ToString::to_string).collect();
                engines.join(",")
            });
            format!("start {job}#{attempt} on {engines}")
        }
        Decision::Expire { job, attempt } => format!("expire {job}#{attempt}"),
        Decision::Stop { job, attempt } => format!("stop {job}#{attempt}"),
        Decision::Resolve { job, how } => match how {
            Resolution::Reported => format!("resolve {job}: reported"),
            Resolution::DependencyFailed(why) => format!("resolve {job}: {why}"),
            Resolution::Cancelled => format!("resolve {job}: cancelled"),
            Resolution::QueueTimeout(length) => format!("resolve {job}: {length:?} in the queue"),
            Resolution::Deadline(length) => format!("resolve {job}: {length:?} in all"),
        },
    }
}

/// The engines it names; none where it is any.
fn engines_of(eligible: &Eligible) -> Option<Vec<EngineId>> {
    match eligible {
        Eligible::Any => None,
        Eligible::One(engine) => Some(vec![*engine]),
        Eligible::Of(engines) => Some(engines.to_vec()),
    }
}

/// All decisions there are, as lines.
fn lines(machine: &mut Machine) -> Vec<String> {
    std::iter::from_fn(|| machine.next_decision())
        .map(|decision| line(&decision))
        .collect()
}

fn jobs<const N: usize>(ids: [u64; N]) -> [JobId; N] {
    ids.map(JobId)
}
