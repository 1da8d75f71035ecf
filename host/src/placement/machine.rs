//! The machine of placement: events in as methods, decisions out of [`Machine::next`].
//!
//! Each dispatch that was submitted comes out exactly once: assigned, rejected, or dropped by [`Machine::cancel`].
//! One that was assigned is with its engine until it is reported finished or the engine goes down, which gives it
//! back as lost. Whether it is tried again is the job's business.

use super::queue::Queue;
use crate::ids::{DispatchId, EngineId, JobId};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// How the engine of a dispatch is chosen, where any will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The engine with the fewest dispatches; of several, the one that was given none for longest.
    #[default]
    LeastLoad,
}

/// Within a job, what goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// Merging, which frees memory.
    Reduce,
    /// Mapping.
    Map,
}

/// A dispatch that wants an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Its name.
    pub(crate) id: DispatchId,
    /// Whose it is.
    pub(crate) job: JobId,
    /// The engine it must have; any where there is none.
    pub(crate) target: Option<EngineId>,
    /// Its place among those of its job.
    pub(crate) priority: Priority,
}

/// What becomes of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The engine gets it.
    Assign {
        /// Which engine.
        engine: EngineId,
        /// Which dispatch.
        id: DispatchId,
    },
    /// It must have an engine that there is not, or no longer.
    Reject {
        /// Which engine.
        target: EngineId,
        /// Which dispatch.
        id: DispatchId,
    },
}

/// See the [module](self).
pub(crate) struct Machine {
    policy: Policy,
    /// The most dispatches an engine has at a time.
    hwm: usize,
    engines: HashMap<EngineId, Engine>,
    /// The engines with room for more.
    free: BTreeSet<Load>,
    /// Those of them for which dispatches wait that must have them.
    wanted: BTreeSet<Load>,
    /// What any engine may take.
    shared: Queue,
    /// For each job that has something waiting, how much, and when it last got something or came.
    jobs: HashMap<JobId, Standing>,
    rejected: VecDeque<(EngineId, DispatchId)>,
    /// Counts assignments and arrivals, to tell earlier from later.
    time: u64,
}

#[derive(Default)]
struct Engine {
    outstanding: Vec<DispatchId>,
    /// When it was last given something.
    used: u64,
    /// What only this engine may take.
    own: Queue,
}

impl Engine {
    fn load(&self, engine: EngineId) -> Load {
        Load {
            outstanding: self.outstanding.len(),
            used: self.used,
            engine,
        }
    }
}

/// Engines in the order in which they are given something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    outstanding: usize,
    used: u64,
    engine: EngineId,
}

struct Standing {
    waiting: usize,
    served: u64,
}

impl Machine {
    /// An engine has the next dispatch at hand when it finishes one, and no more: what lies with an engine cannot be
    /// taken by one that comes free.
    pub(crate) const HWM: usize = 2;

    /// Placement without engines; `hwm` is the most dispatches an engine has at a time, at least 1.
    pub(crate) fn new(policy: Policy, hwm: usize) -> Self {
        Self {
            policy,
            hwm: hwm.max(1),
            engines: HashMap::new(),
            free: BTreeSet::new(),
            wanted: BTreeSet::new(),
            shared: Queue::default(),
            jobs: HashMap::new(),
            rejected: VecDeque::new(),
            time: 0,
        }
    }

    /// There is another engine.
    pub(crate) fn engine_up(&mut self, engine: EngineId) {
        debug_assert!(
            !self.engines.contains_key(&engine),
            "engine {engine} came twice"
        );
        self.engines.entry(engine).or_default();
        self.enlist(engine);
    }

    /// The engine is gone. Gives the dispatches that it had; those that wait for it are rejected.
    pub(crate) fn engine_down(&mut self, engine: EngineId) -> Vec<DispatchId> {
        self.delist(engine);
        let Some(mut gone) = self.engines.remove(&engine) else {
            return Vec::new();
        };
        while let Some((job, id)) = gone.own.pop() {
            self.left_queue(job);
            self.rejected.push_back((engine, id));
        }
        gone.outstanding
    }

    /// Another dispatch wants an engine.
    pub(crate) fn submit(&mut self, order: Order) {
        match order.target {
            None => self.shared.push(&order),
            Some(target) => {
                let Some(engine) = self.engines.get_mut(&target) else {
                    self.rejected.push_back((target, order.id));
                    return;
                };
                engine.own.push(&order);
                self.enlist(target);
            }
        }
        self.time += 1;
        let time = self.time;
        self.jobs
            .entry(order.job)
            .or_insert(Standing {
                waiting: 0,
                served: time,
            })
            .waiting += 1;
    }

    /// The engine is through with the dispatch. Without effect for an engine that is gone.
    pub(crate) fn finished(&mut self, engine: EngineId, id: DispatchId) {
        self.delist(engine);
        if let Some(state) = self.engines.get_mut(&engine) {
            let at = state
                .outstanding
                .iter()
                .position(|outstanding| *outstanding == id);
            debug_assert!(
                at.is_some(),
                "engine {engine} finished dispatch {id}, which it did not have"
            );
            at.map(|at| state.outstanding.remove(at));
        }
        self.enlist(engine);
    }

    /// Drops what waits for `job`, and gives it; what engines have is not touched.
    pub(crate) fn cancel(&mut self, job: JobId) -> Vec<DispatchId> {
        if self.jobs.remove(&job).is_none() {
            return Vec::new();
        }
        let mut dropped = self.shared.remove(job);
        for (&id, engine) in &mut self.engines {
            let own = engine.own.remove(job);
            if !own.is_empty() && engine.own.next_job().is_none() {
                self.wanted.remove(&engine.load(id));
            }
            dropped.extend(own);
        }
        dropped
    }

    /// What is to be done next; `None` until something has happened.
    pub(crate) fn next(&mut self) -> Option<Decision> {
        if let Some((target, id)) = self.rejected.pop_front() {
            return Some(Decision::Reject { target, id });
        }
        let engine = self.pick()?;
        self.delist(engine);
        let assigned = self.assign(engine);
        self.enlist(engine);
        assigned.map(|id| Decision::Assign { engine, id })
    }

    /// The engine that comes next, among those with room for which something waits.
    fn pick(&self) -> Option<EngineId> {
        let candidates = if self.shared.next_job().is_some() {
            &self.free
        } else {
            &self.wanted
        };
        match self.policy {
            Policy::LeastLoad => candidates.first().map(|load| load.engine),
        }
    }

    /// Gives the engine the dispatch that is next for it: its own or anyone's, whichever job has waited longer.
    fn assign(&mut self, engine: EngineId) -> Option<DispatchId> {
        let state = self.engines.get_mut(&engine)?;
        let served = |job: JobId| self.jobs.get(&job).map_or(0, |job| job.served);
        let own = match (state.own.next_job(), self.shared.next_job()) {
            (Some(own), Some(shared)) => served(own) <= served(shared),
            (own, _) => own.is_some(),
        };
        let (job, id) = if own {
            state.own.pop()
        } else {
            self.shared.pop()
        }?;
        debug_assert!(
            state.outstanding.len() < self.hwm,
            "engine {engine} has {:?}",
            state.outstanding
        );
        self.time += 1;
        state.outstanding.push(id);
        state.used = self.time;
        self.left_queue(job);
        if let Some(standing) = self.jobs.get_mut(&job) {
            standing.served = self.time;
        }
        Some(id)
    }

    fn left_queue(&mut self, job: JobId) {
        if let Some(standing) = self.jobs.get_mut(&job) {
            standing.waiting -= 1;
            if standing.waiting == 0 {
                self.jobs.remove(&job);
            }
        }
    }

    /// Takes the engine out of the order, before its load changes.
    fn delist(&mut self, engine: EngineId) {
        if let Some(state) = self.engines.get(&engine) {
            let load = state.load(engine);
            self.free.remove(&load);
            self.wanted.remove(&load);
        }
    }

    /// Puts the engine where its load belongs.
    fn enlist(&mut self, engine: EngineId) {
        let Some(state) = self.engines.get(&engine) else {
            return;
        };
        if state.outstanding.len() < self.hwm {
            let load = state.load(engine);
            self.free.insert(load);
            if state.own.next_job().is_some() {
                self.wanted.insert(load);
            }
        }
    }
}
