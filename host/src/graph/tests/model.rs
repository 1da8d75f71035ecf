//! What dependencies mean, said once more in sets and looked at as a whole each time.

use super::super::{Dependency, Terms};
use super::engines_of;
use rwasm_value::ids::{EngineId, JobId};
use std::collections::{BTreeMap, BTreeSet};

/// Whether a job that ended succeeded, and where it ran.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) success: bool,
    pub(super) engines: BTreeSet<EngineId>,
}

pub(super) type Facts = BTreeMap<JobId, Fact>;

/// Whether a task may start, and where: none of the sets is any engine.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Model {
    Open,
    Met(Option<BTreeSet<EngineId>>),
    Impossible,
}

pub(super) fn model(terms: &Terms, facts: &Facts) -> Model {
    let (mut is_open, mut is_impossible) = (false, false);
    for dependency in terms.after.iter().chain(&terms.follow) {
        let jobs: BTreeSet<_> = dependency.jobs.iter().collect();
        let (accepted, ended) = (accepted(dependency, facts).len(), ended(dependency, facts));
        let refused = ended - accepted;
        let (met, impossible) = if dependency.all {
            (accepted == jobs.len(), refused > 0)
        } else {
            (accepted > 0, refused == jobs.len())
        };
        is_open |= !met;
        is_impossible |= impossible;
    }
    let mut surely = engines_of(&terms.eligible).map(BTreeSet::from_iter);
    let mut now = surely.clone();
    for dependency in &terms.follow {
        let accepted = accepted(dependency, facts);
        if dependency.all {
            for fact in accepted {
                narrow(&mut surely, &fact.engines);
                narrow(&mut now, &fact.engines);
            }
        } else {
            let engines: BTreeSet<_> = accepted
                .iter()
                .flat_map(|fact| fact.engines.iter().copied())
                .collect();
            let jobs: BTreeSet<_> = dependency.jobs.iter().collect();
            if ended(dependency, facts) == jobs.len() {
                narrow(&mut surely, &engines);
            }
            narrow(&mut now, &engines);
        }
    }
    let is_none = |engines: &Option<BTreeSet<_>>| engines.as_ref().is_some_and(BTreeSet::is_empty);
    if is_impossible || is_none(&surely) {
        Model::Impossible
    } else if is_open || is_none(&now) {
        Model::Open
    } else {
        Model::Met(now)
    }
}

fn narrow(engines: &mut Option<BTreeSet<EngineId>>, others: &BTreeSet<EngineId>) {
    *engines = Some(match engines {
        None => others.clone(),
        Some(engines) => &*engines & others,
    });
}

fn accepted<'a>(dependency: &Dependency, facts: &'a Facts) -> Vec<&'a Fact> {
    let jobs: BTreeSet<_> = dependency.jobs.iter().collect();
    jobs.into_iter()
        .filter_map(|job| facts.get(job))
        .filter(|fact| {
            if fact.success {
                dependency.on_success
            } else {
                dependency.on_failure
            }
        })
        .collect()
}

fn ended(dependency: &Dependency, facts: &Facts) -> usize {
    let jobs: BTreeSet<_> = dependency.jobs.iter().collect();
    jobs.into_iter()
        .filter(|job| facts.contains_key(job))
        .count()
}
