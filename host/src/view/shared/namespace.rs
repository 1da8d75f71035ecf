//! What was pushed to each engine: names and values, kept on the host's side.
//!
//! A call takes along what its engine had when it was made, so that a later push changes nothing
//! for it, and a replaced engine has what the one before had. Values are shared, not copied.

use crate::dispatch::Pushed;
use rwasm_sandbox::pushed::{PushedValue, PushedValues};
use rwasm_value::ids::EngineId;
use rwasm_value::value::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The values that a tenant has pushed to the engines of a cluster: as many as it pushes. They are kept until it is closed
/// or the program removes the engine; a process elsewhere that went silent may come back.
#[derive(Default)]
pub(crate) struct Namespaces(Mutex<Arc<Pushed>>);

impl Namespaces {
    /// What the engine has now, or what each has.
    pub(crate) fn now(&self, engine: Option<EngineId>) -> Arc<Pushed> {
        let all = self.lock();
        match engine {
            None => Arc::clone(&all),
            Some(engine) => Arc::new(
                all.get(&engine)
                    .map(|values| (engine, Arc::clone(values)))
                    .into_iter()
                    .collect(),
            ),
        }
    }

    /// Gives an engine values under these names; what had them is replaced.
    pub(crate) fn push(&self, engine: EngineId, values: &[(Arc<str>, Arc<PushedValue>)]) {
        let mut all = self.lock();
        let own = Arc::make_mut(&mut all).entry(engine).or_default();
        let own = Arc::make_mut(own);
        for (name, value) in values {
            own.insert(Arc::clone(name), Arc::clone(value));
        }
    }

    /// The value that the engine has under this name.
    pub(crate) fn pull(&self, engine: EngineId, name: &str) -> Option<Value> {
        let all = self.lock();
        let value = Arc::clone(all.get(&engine)?.get(name)?);
        drop(all);
        Some(value.value().clone())
    }

    /// The names that the engine has values for, in order.
    pub(crate) fn names(&self, engine: EngineId) -> Vec<Arc<str>> {
        let all = self.lock();
        let mut names: Vec<Arc<str>> = all
            .get(&engine)
            .map(|values| values.keys().cloned().collect())
            .unwrap_or_default();
        names.sort_unstable();
        names
    }

    /// Takes all values of an engine away.
    pub(crate) fn clear(&self, engine: EngineId) {
        Arc::make_mut(&mut self.lock()).remove(&engine);
    }

    /// Takes all values of all engines away.
    pub(crate) fn clear_all(&self) {
        *self.lock() = Arc::default();
    }

    /// The number of values that engines have.
    pub(crate) fn count(&self) -> usize {
        self.lock().values().map(|values| values.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<HashMap<EngineId, Arc<PushedValues>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
