//! The engines of a cluster, as reported by their processes.

use crate::events::{ClusterEvent, EventSender};
use crate::nats::presence::{Change, Record};
use rwasm_sandbox::outcome::Outcome;
use rwasm_value::ids::EngineId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the [module](self). Written by the agent alone.
pub(super) struct Roster {
    state: Mutex<RosterState>,
    count: AtomicUsize,
    events: EventSender,
}

#[derive(Default)]
struct RosterState {
    processes: HashMap<String, Record>,
    engines: BTreeMap<EngineId, Arc<str>>,
    /// Tasks of this process completed by each engine: also of one that is gone, since its process may only have been
    /// silent. A few bytes for each engine that ever ran something for this process.
    completed: HashMap<EngineId, u64>,
    /// How often each engine was restarted, as far as that was reported by a process that is present.
    restarts: HashMap<EngineId, u64>,
    /// Engines removed by this process: earlier reports of them may still arrive. As many as it has asked for.
    removed: HashSet<EngineId>,
    is_closed: bool,
}

impl Roster {
    pub(super) fn new(events: EventSender) -> Self {
        Self {
            state: Mutex::default(),
            count: AtomicUsize::new(0),
            events,
        }
    }

    pub(super) fn events(&self) -> &EventSender {
        &self.events
    }

    pub(super) fn engines(&self) -> Vec<EngineId> {
        self.lock().engines.keys().copied().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether a process takes tasks of the lane.
    pub(super) fn is_served(&self, lane: &str) -> bool {
        let state = self.lock();
        state.processes.values().any(|record| record.serves(lane))
    }

    /// The process that has the engine.
    pub(super) fn process(&self, engine: EngineId) -> Option<Arc<str>> {
        self.lock().engines.get(&engine).cloned()
    }

    /// How many tasks of this process the engine has completed.
    pub(super) fn done(&self, engine: EngineId) -> u64 {
        let state = self.lock();
        state.completed.get(&engine).copied().unwrap_or_default()
    }

    /// Counts completed tasks by engine. Outcomes of unknown engines are not counted.
    pub(super) fn completed(&self, outcomes: &[Outcome]) {
        let mut state = self.lock();
        for engine in outcomes.iter().filter_map(|outcome| outcome.usage.engine) {
            if state.engines.contains_key(&engine) {
                *state.completed.entry(engine).or_default() += 1;
            }
        }
    }

    /// Removes an engine at the request of this process.
    pub(super) fn remove(&self, engine: EngineId) {
        let mut state = self.lock();
        state.removed.insert(engine);
        let was_there = state.engines.remove(&engine).is_some();
        self.count.store(state.engines.len(), Ordering::Relaxed);
        drop(state);
        if was_there {
            self.events.tell(ClusterEvent::EngineRemoved(engine));
        }
    }

    /// Records how often an engine was restarted; each restart is reported once.
    pub(super) fn restarted(&self, engine: EngineId, count: u64) {
        let is_news = {
            let mut state = self.lock();
            let known = state.restarts.entry(engine).or_default();
            let is_news = count > *known;
            *known = count.max(*known);
            is_news
        };
        if is_news {
            self.events.tell(ClusterEvent::EngineLost {
                engine,
                reason: "it was restarted".into(),
            });
            self.events.tell(ClusterEvent::EngineReplaced(engine));
        }
    }

    /// Forgets all engines, because the cluster was shut down.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.engines.clear();
        state.is_closed = true;
        self.count.store(0, Ordering::Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Handles a change; returns the process that has left, if one has, with its engines.
    pub(super) fn take_in(&self, change: Change) -> Option<(String, Vec<EngineId>)> {
        match change {
            Change::Present(record) => {
                self.present(*record);
                None
            }
            Change::Left { process } => self.gone(process, None),
            Change::Silent { process } => {
                self.gone(process, Some("its process was silent for too long"))
            }
            Change::Current => None,
        }
    }

    /// Removes all processes that were not reported since the engines had to be watched anew.
    pub(super) fn keep_only(&self, present: &[String]) -> Vec<(String, Vec<EngineId>)> {
        let gone: Vec<String> = self
            .lock()
            .processes
            .keys()
            .filter(|process| !present.contains(process))
            .cloned()
            .collect();
        let reason = Some("its process left while the server was out of reach");
        gone.into_iter()
            .filter_map(|process| self.gone(process, reason))
            .collect()
    }

    fn present(&self, record: Record) {
        let mut state = self.lock();
        let process: Arc<str> = record.process.as_str().into();
        let before = state
            .processes
            .get(&record.process)
            .map(|record| record.engines.clone())
            .unwrap_or_default();
        let mut added = Vec::new();
        let mut removed = Vec::new();
        // One that drains takes nothing more.
        let mut now = if record.draining {
            Vec::new()
        } else {
            record.engines.clone()
        };
        now.retain(|id| !state.removed.contains(&EngineId(*id)));
        let is_known = state.processes.contains_key(&record.process);
        let restarts = record.restarts.clone();
        for id in &now {
            let id = EngineId(*id);
            if state.engines.insert(id, Arc::clone(&process)).is_none() {
                added.push(id);
            }
        }
        for id in before.iter().filter(|id| !now.contains(id)) {
            let id = EngineId(*id);
            if state.engines.remove(&id).is_some() {
                removed.push(id);
            }
        }
        state.processes.insert(record.process.clone(), record);
        self.count.store(state.engines.len(), Ordering::Relaxed);
        drop(state);
        for id in added {
            self.events.tell(ClusterEvent::EngineAdded(id));
        }
        for id in removed {
            self.events.tell(ClusterEvent::EngineRemoved(id));
        }
        for (id, count) in restarts {
            if is_known {
                self.restarted(EngineId(id), count);
            } else {
                // Of one that is heard of for the first time nobody has lost anything.
                self.lock().restarts.insert(EngineId(id), count);
            }
        }
    }

    fn gone(&self, process: String, lost: Option<&str>) -> Option<(String, Vec<EngineId>)> {
        let mut state = self.lock();
        let record = state.processes.remove(&process)?;
        let mut engines = Vec::new();
        // Of those that went before it was told then.
        let mut told = Vec::new();
        for id in record.engines {
            let id = EngineId(id);
            state.restarts.remove(&id);
            if state
                .engines
                .get(&id)
                .is_some_and(|owner| **owner == *process)
            {
                state.engines.remove(&id);
                told.push(id);
            }
            engines.push(id);
        }
        self.count.store(state.engines.len(), Ordering::Relaxed);
        drop(state);
        for id in &told {
            if let Some(reason) = lost {
                self.events.tell(ClusterEvent::EngineLost {
                    engine: *id,
                    reason: reason.into(),
                });
            }
            self.events.tell(ClusterEvent::EngineRemoved(*id));
        }
        Some((process, engines))
    }

    fn lock(&self) -> MutexGuard<'_, RosterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
