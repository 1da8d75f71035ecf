//! The grants of jobs: opened and resolved once for each, and kept while its messages come.

use crate::nats::wire::TasksHead;
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::sandbox::Setting;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The most jobs, and the most directories of all of them, that stay open.
const JOBS: usize = 64;
const OPEN: usize = 512;

/// What the names, variables and arguments of all of them take at most, in bytes; a job with more is resolved for each message.
const BYTES: usize = 8 << 20;

/// How long the directories of a job stay open after its last message.
const GRANTED: Duration = Duration::from_mins(1);

/// The settings of jobs with grants.
#[derive(Default)]
pub(super) struct Granted {
    jobs: Mutex<HashMap<String, One>>,
}

/// A job's grants, opened.
struct One {
    setting: Arc<Setting>,
    dirs: usize,
    bytes: usize,
    used: Instant,
}

/// What the settings of a job's messages depend on.
pub(super) fn key(job: &str, head: &TasksHead) -> String {
    format!(
        "{job} {:?} {:?} {:?} {} {:?} {:?} {:?} {:?}",
        head.dirs,
        head.net,
        head.env,
        head.clock,
        head.seed,
        head.limits,
        head.arguments,
        head.ok_exit
    )
}

impl Granted {
    /// Returns the setting of a job whose grants are open.
    pub(super) fn get(&self, key: &str) -> Option<Arc<Setting>> {
        let mut jobs = lock(&self.jobs);
        let one = jobs.get_mut(key)?;
        one.used = Instant::now();
        Some(Arc::clone(&one.setting))
    }

    /// Keeps the setting of a job with so many directories, in place of others if there are too many.
    pub(super) fn keep(&self, key: String, setting: &Arc<Setting>, dirs: usize) {
        self.forget_old();
        let mut jobs = lock(&self.jobs);
        forget_oldest(&mut jobs, JOBS, |one| one.used);
        // The setting holds about as much as what it depends on, which is its key.
        let bytes = 2 * key.len();
        if bytes > BYTES {
            return;
        }
        let sum = |jobs: &HashMap<String, One>, of: fn(&One) -> usize| -> usize {
            jobs.values().map(of).sum()
        };
        while !jobs.is_empty()
            && (dirs + sum(&jobs, |one| one.dirs) > OPEN
                || bytes + sum(&jobs, |one| one.bytes) > BYTES)
        {
            forget_oldest(&mut jobs, 1, |one| one.used);
        }
        let one = One {
            setting: Arc::clone(setting),
            dirs,
            bytes,
            used: Instant::now(),
        };
        jobs.insert(key, one);
    }

    /// Closes the directories of jobs whose last message is long ago.
    pub(super) fn forget_old(&self) {
        lock(&self.jobs).retain(|_, one| one.used.elapsed() < GRANTED);
    }
}

/// Removes the value that was used least recently if there are this many.
pub(super) fn forget_oldest<K: Eq + Hash + Clone, V>(
    map: &mut HashMap<K, V>,
    most: usize,
    used: impl Fn(&V) -> Instant,
) {
    if map.len() >= most
        && let Some(oldest) = map
            .iter()
            .min_by_key(|(_, value)| used(value))
            .map(|(name, _)| name.clone())
    {
        map.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Lookup, TaskSettings};
    use rwasm_sandbox::grants::Grants;
    use rwasm_sandbox::limits::Limits;
    use rwasm_sandbox::sandbox::CommandLine;

    fn setting() -> Arc<Setting> {
        let settled = TaskSettings::default().settle(
            &Limits::default(),
            &Arc::new(Grants::none()),
            CommandLine::default(),
            Lookup::Opened(Vec::new()),
            None,
        );
        settled.expect("it asks for nothing")
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes() {
        let (granted, setting) = (Granted::default(), setting());
        let large = |letter: &str| letter.repeat(BYTES / 5);
        for letter in ["a", "b", "c"] {
            granted.keep(large(letter), &setting, 0);
        }
        assert!(granted.get(&large("a")).is_none());
        assert!(granted.get(&large("b")).is_some() && granted.get(&large("c")).is_some());
        // One that would take all the room takes none.
        let huge = "d".repeat(BYTES);
        granted.keep(huge.clone(), &setting, 0);
        assert!(granted.get(&huge).is_none() && granted.get(&large("c")).is_some());
    }
}
