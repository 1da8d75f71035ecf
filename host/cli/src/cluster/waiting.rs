//! Waits until a process that was started is ready, it ends, a signal comes, or the time is up.

use super::background::BackgroundProcess;
use crate::environment::signals::Signals;
use crate::exit::CliError;
use std::time::{Duration, Instant};

/// The pause between two looks: nothing reports that a file appears, or that a process ends which is not our child.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// A point in time by which something must have happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    end: Option<Instant>,
    within: Duration,
}

impl Deadline {
    pub(super) fn within(within: Duration) -> Self {
        Self {
            // None is beyond what a clock can say.
            end: Instant::now().checked_add(within),
            within,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }
}

/// Looks again and again until `ready` has something, the process has ended, or there is no more time; `what` is its name in
/// the error, which has the end of its log.
pub(super) fn until_ready<T>(
    what: &str,
    started: &mut BackgroundProcess,
    deadline: Deadline,
    signals: &Signals,
    mut ready: impl FnMut() -> Option<T>,
) -> Result<T, CliError> {
    loop {
        // Asked first: what a process has left that has ended is not to be trusted.
        let ended = started.child.try_wait().ok().flatten();
        if let Some(signal) = signals.ending() {
            return Err(CliError::Signal(signal));
        }
        let reason = if let Some(status) = ended {
            format!("{what} exited ({status})")
        } else {
            if let Some(ready) = ready() {
                return Ok(ready);
            }
            if !deadline.is_over() {
                std::thread::sleep(PAUSE);
                continue;
            }
            let within = humantime::format_duration(deadline.within);
            format!("{what} is not ready after {within}")
        };
        let said = started.log.tail();
        return Err(CliError::NoCluster {
            message: format!("{reason}; see its log `{}`", started.log.path().display()),
            said,
            hint: None,
        });
    }
}
