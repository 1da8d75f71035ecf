//! The engines of a cluster, as the processes that have them say.

use crate::events::{ClusterEvent, EventSender};
use crate::ids::EngineId;
use crate::nats::presence::{Change, Record};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the [module](self). Written by the agent alone.
pub(super) struct Roster {
    state: Mutex<State>,
    count: AtomicUsize,
    events: EventSender,
}

#[derive(Default)]
struct State {
    processes: HashMap<String, Record>,
    engines: BTreeMap<EngineId, Arc<str>>,
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

    /// The process that has the engine.
    pub(super) fn process(&self, engine: EngineId) -> Option<Arc<str>> {
        self.lock().engines.get(&engine).cloned()
    }

    /// How many tasks each engine's process has done; engines of one process share the figure evenly.
    pub(super) fn done(&self, engine: EngineId) -> u64 {
        let state = self.lock();
        let process = state.engines.get(&engine);
        let record = process.and_then(|process| state.processes.get(&**process));
        record.map_or(0, |record| record.done / record.engines.len().max(1) as u64)
    }

    /// Takes in what was heard; gives the process that has gone, if one has, and its engines.
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

    /// Those that were not told of since are gone: what was watched had to be watched anew.
    pub(super) fn keep_only(&self, present: &[String]) -> Vec<(String, Vec<EngineId>)> {
        let gone: Vec<String> = self
            .lock()
            .processes
            .keys()
            .filter(|process| !present.contains(process))
            .cloned()
            .collect();
        let reason = Some("its process went while the server was not heard");
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
        let now = if record.draining {
            Vec::new()
        } else {
            record.engines.clone()
        };
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
    }

    fn gone(&self, process: String, lost: Option<&str>) -> Option<(String, Vec<EngineId>)> {
        let mut state = self.lock();
        let record = state.processes.remove(&process)?;
        let mut engines = Vec::new();
        for id in record.engines {
            let id = EngineId(id);
            if state
                .engines
                .get(&id)
                .is_some_and(|owner| **owner == *process)
            {
                state.engines.remove(&id);
            }
            engines.push(id);
        }
        self.count.store(state.engines.len(), Ordering::Relaxed);
        drop(state);
        for id in &engines {
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
