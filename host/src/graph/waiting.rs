//! What one task still waits for, judged at each end of a job it names, in constant time except for sets of engines.

use super::dependency::Dependency;
use super::messages::Ended;
use crate::placement::Eligible;
use rwasm_value::ids::{EngineId, JobId};
use std::collections::BTreeSet;

/// How a job ended, for those who wait for it.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) fate: Fate,
    /// Where it ran.
    pub(super) engines: BTreeSet<EngineId>,
}

/// What became of a job, as far as its dependents are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Succeeded,
    Failed,
    Cancelled,
    NotStarted,
    OutOfTime,
}

impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        Self {
            fate: if ended.success {
                Fate::Succeeded
            } else {
                Fate::Failed
            },
            engines: ended.engines.into_iter().collect(),
        }
    }
}

/// What the end of a job means for a dependency.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It does not end the wait; [`Waiting::ready`] may have changed.
    Open,
    /// The dependency is met, and the rest of its jobs no longer matter.
    Released,
    /// It can never be met, for this reason.
    Impossible(String),
}

/// The dependencies of one task. `Part` is one of them.
#[derive(Debug)]
pub(super) struct Waiting {
    parts: Vec<Part>,
    /// The parts that are not met. Parts that follow any of their jobs are not counted: each job that ends allows
    /// more engines, and only at the end is it known whether these are enough.
    unmet: usize,
    /// The engines it may run on, according to its conditions and the jobs it follows without choice.
    allowed: Eligible,
}

#[derive(Debug)]
struct Part {
    on: Dependency,
    follows: bool,
    /// The number of jobs that have not ended.
    pending: usize,
    met: bool,
    /// If it follows any of its jobs: the engines of those that ended as required.
    engines: BTreeSet<EngineId>,
}

impl Part {
    fn new(mut on: Dependency, follows: bool) -> Self {
        on.jobs.sort_unstable();
        on.jobs.dedup();
        Self {
            follows,
            pending: on.jobs.len(),
            met: on.jobs.is_empty(),
            engines: BTreeSet::new(),
            on,
        }
    }

    fn follows_any(&self) -> bool {
        self.follows && !self.on.all
    }

    fn wants(&self, fate: Fate) -> bool {
        if fate == Fate::Succeeded {
            self.on.on_success
        } else {
            self.on.on_failure
        }
    }

    fn verb(&self) -> &'static str {
        if self.follows { "follows" } else { "waits for" }
    }

    /// Why a job that ended this way makes the dependency impossible.
    fn refusal(&self, job: JobId, fate: Fate) -> String {
        let verb = self.verb();
        let became = match fate {
            Fate::Succeeded => "succeeded, but a failure is required",
            Fate::Failed => "failed",
            Fate::Cancelled => "was cancelled",
            Fate::NotStarted => "could not start because its own dependencies failed",
            Fate::OutOfTime => "ran out of time",
        };
        if self.on.jobs.len() == 1 {
            return format!("job {job}, which it {verb}, {became}");
        }
        if self.on.all {
            let others = match self.on.jobs.len() - 1 {
                1 => "1 other".to_owned(),
                count => format!("{count} others"),
            };
            return format!("job {job}, which it {verb} with {others}, {became}");
        }
        let wanted = if self.on.on_success {
            "succeeded"
        } else {
            "failed"
        };
        let count = self.on.jobs.len();
        format!("none of the {count} jobs it {verb} {wanted}: the last, job {job}, {became}")
    }
}

impl Waiting {
    pub(super) fn new(after: Vec<Dependency>, follow: Vec<Dependency>, eligible: Eligible) -> Self {
        let after = after.into_iter().map(|on| Part::new(on, false));
        let follow = follow.into_iter().map(|on| Part::new(on, true));
        let parts: Vec<_> = after.chain(follow).collect();
        let unmet = parts
            .iter()
            .filter(|part| !part.met && !part.follows_any())
            .count();
        Self {
            parts,
            unmet,
            allowed: eligible,
        }
    }

    /// Each job it names, once, with the place of the dependency that names it.
    pub(super) fn jobs(&self) -> impl Iterator<Item = (JobId, usize)> {
        let parts = self.parts.iter().enumerate();
        parts.flat_map(|(place, part)| part.on.jobs.iter().map(move |job| (*job, place)))
    }

    /// The jobs of one dependency.
    pub(super) fn jobs_of(&self, place: usize) -> &[JobId] {
        self.parts.get(place).map_or(&[], |part| &part.on.jobs)
    }

    /// Whether the ends of a dependency's jobs still matter.
    pub(super) fn is_open(&self, place: usize) -> bool {
        self.parts.get(place).is_some_and(|part| !part.met)
    }

    /// Each dependency that waits, and its number of pending jobs.
    #[cfg(test)]
    pub(super) fn open(&self) -> impl Iterator<Item = (usize, usize)> {
        let pending = self.parts.iter().map(|part| part.pending).enumerate();
        pending.filter(|(place, pending)| self.is_open(*place) && *pending > 0)
    }

    /// Handles the end of a job that the dependency at this place names.
    pub(super) fn ended(&mut self, place: usize, job: JobId, end: &End) -> Judged {
        let Some(part) = self.parts.get_mut(place).filter(|part| !part.met) else {
            return Judged::Open;
        };
        part.pending -= 1;
        let wanted = part.wants(end.fate);
        if !wanted && (part.on.all || part.pending == 0 && part.engines.is_empty()) {
            return Judged::Impossible(part.refusal(job, end.fate));
        }
        match (part.on.all, part.follows) {
            (true, follows) => {
                if part.pending == 0 {
                    part.met = true;
                    self.unmet -= 1;
                }
                if follows {
                    self.allowed = narrowed(&self.allowed, &end.engines);
                    return self.judge_engines(job, end);
                }
                Judged::Open
            }
            (false, false) if wanted => {
                part.met = true;
                self.unmet -= 1;
                Judged::Released
            }
            (false, false) => Judged::Open,
            (false, true) => {
                if wanted {
                    part.engines.extend(&end.engines);
                }
                self.judge_engines(job, end)
            }
        }
    }

    /// Judges whether any engine is left: parts without choice, and parts whose jobs have all ended, only ever
    /// exclude engines.
    fn judge_engines(&self, job: JobId, end: &End) -> Judged {
        let said = self.parts.iter().filter(|part| part.pending == 0);
        if !is_none(&self.narrowed_by(said)) {
            return Judged::Open;
        }
        let ran = match (end.engines.first(), end.engines.len()) {
            (None, _) => {
                return Judged::Impossible(format!(
                    "job {job}, which it follows, ran on no engine"
                ));
            }
            (Some(engine), 1) => format!("engine {engine}"),
            (Some(_), count) => format!("{count} engines"),
        };
        Judged::Impossible(format!(
            "job {job}, which it follows, ran on {ran}, which its targets and the other jobs it follows exclude"
        ))
    }

    /// The engines it may start on, once every dependency is met.
    pub(super) fn ready(&self) -> Option<Eligible> {
        if self.unmet > 0 {
            return None;
        }
        if !self.parts.iter().any(Part::follows_any) {
            return Some(self.allowed.clone());
        }
        Some(self.narrowed_by(self.parts.iter())).filter(|engines| !is_none(engines))
    }

    fn narrowed_by<'a>(&self, parts: impl Iterator<Item = &'a Part>) -> Eligible {
        parts
            .filter(|part| part.follows_any())
            .fold(self.allowed.clone(), |allowed, part| {
                narrowed(&allowed, &part.engines)
            })
    }
}

/// The engines that are also among the others.
fn narrowed(engines: &Eligible, others: &BTreeSet<EngineId>) -> Eligible {
    let both: Vec<EngineId> = match engines {
        Eligible::Any => others.iter().copied().collect(),
        Eligible::One(engine) => others.get(engine).copied().into_iter().collect(),
        Eligible::Of(engines) => engines
            .iter()
            .copied()
            .filter(|engine| others.contains(engine))
            .collect(),
    };
    match both[..] {
        [engine] => Eligible::One(engine),
        _ => Eligible::Of(both.into()),
    }
}

/// Whether this is the empty set of engines.
fn is_none(engines: &Eligible) -> bool {
    matches!(engines, Eligible::Of(engines) if engines.is_empty())
}
