//! What one `start` has begun and not yet finished, so that all of it ends where the whole does not come to be.
//!
//! Two threads get here: the one that starts, and the one that hears signals. Nothing is started but between two looks of
//! the latter: either a signal came before, and it is not started, or it is known here when the signal is heard. What is
//! written down says of each process that it is there until it is not.

use super::background::BackgroundProcess;
use super::process::Mark;
use super::state::{ClusterDir, ClusterState};
use super::waiting::PAUSE;
use crate::environment::signals::Signals;
use crate::exit::{CliError, Ending};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// See the [module](self).
#[derive(Clone)]
pub(super) struct Began {
    signals: Signals,
    place: ClusterDir,
    /// What was written down before.
    known: Option<ClusterState>,
    /// None when it has ended, or is there as a whole.
    started: Arc<Mutex<Started>>,
}

type Started = Option<Vec<(Mark, ProcessKind)>>;

/// What a process is, of those that are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProcessKind {
    Server,
    Engines,
}

impl Began {
    /// Nothing so far; a signal ends what comes.
    pub(super) fn new(signals: &Signals, place: &ClusterDir, known: Option<&ClusterState>) -> Self {
        let began = Self {
            signals: signals.clone(),
            place: place.clone(),
            known: known.cloned(),
            started: Arc::new(Mutex::new(Some(Vec::new()))),
        };
        let ended = began.clone();
        signals.watch(move || {
            // Where it cannot be written down, what is written down is more than there is, which harms nobody.
            let _ = ended.end();
        });
        began
    }

    /// Starts a process; `written` is written down of it.
    pub(super) fn start(
        &self,
        kind: ProcessKind,
        spawn: impl FnOnce() -> Result<BackgroundProcess, CliError>,
        written: impl FnOnce(Mark) -> ClusterState,
    ) -> Result<BackgroundProcess, CliError> {
        self.undisturbed(|| {
            let started = spawn()?;
            let mark = Mark::of(started.child.id()).ok_or_else(|| ended_at_once(&started))?;
            if let Some(all) = &mut *self.lock() {
                all.push((mark.clone(), kind));
            }
            self.place.record(&written(mark))?;
            Ok(started)
        })
    }

    /// Writes down what there is.
    pub(super) fn record(&self, state: &ClusterState) -> Result<(), CliError> {
        self.undisturbed(|| self.place.record(state))
    }

    /// It is there as a whole, and stays.
    pub(super) fn keep(&self) -> Result<(), CliError> {
        self.undisturbed(|| {
            *self.lock() = None;
            Ok(())
        })
    }

    /// Ends all of it, the server last: engines take their leave of it. What ran before still does, and that is what is
    /// written down then. Whoever comes while another thread is at it waits for that.
    pub(super) fn end(&self) -> Result<(), CliError> {
        self.signals.unbroken(|_| {
            let mut started = self.lock();
            let Some(all) = started.take() else {
                return Ok(());
            };
            for kind in [ProcessKind::Engines, ProcessKind::Server] {
                let marks = all.iter().rev().filter(|(_, one)| *one == kind);
                let marks: Vec<Mark> = marks.map(|(mark, _)| mark.clone()).collect();
                end(&marks);
            }
            match &self.known {
                Some(known) => self.place.record(known),
                None => self.place.forget(),
            }
        })
    }

    /// Does what no signal is to come into, unless one came before.
    fn undisturbed<T>(&self, act: impl FnOnce() -> Result<T, CliError>) -> Result<T, CliError> {
        self.signals
            .unbroken(|ending: Option<Ending>| match ending {
                Some(ending) => Err(CliError::Signal(ending)),
                None => act(),
            })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Started> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says so of a process that was not even there to be looked at.
pub(super) fn ended_at_once(started: &BackgroundProcess) -> CliError {
    CliError::NoCluster {
        message: format!(
            "the process exited at once; see its log `{}`",
            started.log.path().display()
        ),
        said: started.log.tail(),
        hint: None,
    }
}

/// Has processes end that have nothing to do, and ends them if they do not.
pub(super) fn end(marks: &[Mark]) {
    /// It takes them a few milliseconds; and there may be no more, where a signal ends us too.
    const PATIENCE: Duration = Duration::from_millis(250);
    for mark in marks {
        mark.terminate();
    }
    let begin = Instant::now();
    while marks.iter().any(Mark::is_running) {
        if begin.elapsed() > PATIENCE {
            for mark in marks {
                mark.kill();
            }
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::super::background::spawn;
    use super::*;
    use std::process::Command;

    /// A place of its own, and what starts a process there that does not end by itself.
    fn scene() -> (tempfile::TempDir, ClusterDir) {
        let dir = tempfile::tempdir().expect("a directory is made");
        let place = ClusterDir::in_dir("test", dir.path());
        (dir, place)
    }

    fn idle(place: &ClusterDir) -> BackgroundProcess {
        let mut command = Command::new("sleep");
        command.arg("3600");
        spawn(command, &place.file("log")).expect("it starts")
    }

    fn state(server: Mark) -> ClusterState {
        ClusterState {
            url: None,
            server,
            engines: Vec::new(),
            drain_ms: 0,
        }
    }

    #[test]
    fn what_was_started_ends_and_what_was_written_down_before_is_again() {
        let (_dir, place) = scene();
        let own = state(Mark::of(std::process::id()).expect("it runs"));
        for known in [None, Some(own)] {
            let began = Began::new(&Signals::default(), &place, known.as_ref());
            let started = began.start(ProcessKind::Server, || Ok(idle(&place)), state);
            let mut started = started.expect("it starts");
            let written = place.state().expect("it is read").expect("it is there");
            assert_eq!(written.server.pid, started.child.id());
            began.end().expect("it is written");
            assert!(!started.child.wait().expect("it has ended").success());
            assert_eq!(place.state().expect("it is read"), known);
            // Nothing comes after it, and it is done once.
            place.forget().expect("it is written");
            began.end().expect("nothing is to be done");
            assert!(place.state().expect("it is read").is_none());
        }
    }

    #[test]
    fn after_a_signal_nothing_is_started_nor_kept() {
        let (_dir, place) = scene();
        let signals = Signals::default();
        let began = Began::new(&signals, &place, None);
        let mut started = began
            .start(ProcessKind::Engines, || Ok(idle(&place)), state)
            .expect("it starts");
        signals.came(Ending::Terminated);
        assert!(!started.child.wait().expect("it has ended").success());
        let is_signal = |error| matches!(error, Err(CliError::Signal(Ending::Terminated)));
        let late = began.start(ProcessKind::Server, || panic!("it is started"), state);
        assert!(is_signal(late.map(drop)));
        let own = state(Mark::of(std::process::id()).expect("it runs"));
        assert!(is_signal(began.record(&own)));
        assert!(is_signal(began.keep()));
        assert!(place.state().expect("it is read").is_none());
    }

    #[test]
    fn what_is_there_as_a_whole_stays() {
        let (_dir, place) = scene();
        let began = Began::new(&Signals::default(), &place, None);
        let mut started = began
            .start(ProcessKind::Server, || Ok(idle(&place)), state)
            .expect("it starts");
        began.keep().expect("no signal came");
        began.end().expect("nothing is to be done");
        assert!(started.child.try_wait().expect("it can be asked").is_none());
        assert!(place.state().expect("it is read").is_some());
        started.child.kill().expect("it is killed");
        started.child.wait().expect("it ends");
    }
}
