//! Stops compilers from another thread, and prevents new ones from starting.
//!
//! They stay in the process group of the caller, so that a terminal treats them as part of it: they
//! may ask for a password, and receive its signals. Their child processes are found in `/proc`, if
//! it exists.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Stops the compilers of the builds that have it in their options. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Mutex<StopState>>);

#[derive(Debug, Default)]
struct StopState {
    is_stopped: bool,
    running: Option<Pid>,
}

impl Stop {
    /// Kills running compilers with everything that they started; the build fails.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        if let Some(running) = state.running.take() {
            for process in with_descendants(running) {
                // It may have ended meanwhile.
                let _ = kill_process(process, Signal::KILL);
            }
        }
    }

    /// Runs a program to its end.
    pub(crate) fn output(&self, command: &mut Command) -> io::Result<Output> {
        let child = {
            let mut state = self.lock();
            if state.is_stopped {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let child = command.spawn()?;
            state.running = Some(Pid::from_child(&child));
            child
        };
        let output = child.wait_with_output();
        self.lock().running = None;
        output
    }

    fn lock(&self) -> MutexGuard<'_, StopState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a process and everything that it and its children started, parents first.
fn with_descendants(root: Pid) -> Vec<Pid> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.parse().ok());
        let Some(process) = process.and_then(Pid::from_raw) else {
            continue;
        };
        let state = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name, which is in parentheses and may contain any characters: the state, the
        // parent.
        let parent = state.rsplit_once(')').and_then(|(_, rest)| {
            let parent = rest.split_whitespace().nth(1)?;
            Pid::from_raw(parent.parse().ok()?)
        });
        parents.extend(parent.map(|parent| (process, parent)));
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        next += 1;
        let children = parents.iter().filter(|(_, of)| *of == parent);
        found.extend(children.map(|(process, _)| *process));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;
    use std::thread;

    #[test]
    fn what_runs_is_ended_with_what_it_has_started_and_nothing_is_started_after_it() {
        let stop = Stop::default();
        let stopped = stop.clone();
        let building = thread::spawn(move || {
            // The shell waits for a child of its own, which holds stdout open.
            let mut shell = Command::new("sh");
            shell
                .args(["-c", "sleep 1000; true"])
                .stdout(Stdio::piped());
            let ended = stopped.output(&mut shell);
            (ended, stopped.output(&mut Command::new("true")))
        });
        // Stopped before the shell has started its child or after it, all end.
        while stop.lock().running.is_none() {
            thread::yield_now();
        }
        let running = stop.lock().running.expect("it runs");
        while with_descendants(running).len() < 2 {
            thread::yield_now();
        }
        stop.stop();
        let (ended, after) = building.join().expect("it ends");
        assert!(!ended.expect("it ran").status.success());
        assert_eq!(
            after.map_err(|error| error.kind()).err(),
            Some(io::ErrorKind::Interrupted)
        );
    }
}
