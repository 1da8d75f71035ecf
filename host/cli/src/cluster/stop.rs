//! `stop`: the engines drain, then the server ends; what it has stored stays.

use super::found;
use super::process::Mark;
use super::profile::Profile;
use super::state::{ClusterDir, ClusterState};
use super::waiting::{Deadline, PAUSE};
use crate::args::StopArguments;
use crate::exit::CliError;
use crate::output::messages;
use std::time::Duration;

/// Beyond the time to drain: for engines to give back what they have not begun, and to take their leave.
const MARGIN: Duration = Duration::from_secs(10);

/// For a server to write what it has, and end.
const SERVER: Duration = Duration::from_secs(30);

/// For a process that was killed to be gone.
const KILLED: Duration = Duration::from_secs(10);

/// Ends the cluster of the profile; where none runs it says so, and all is well.
pub(crate) fn stop(arguments: &StopArguments) -> Result<(), CliError> {
    let profile = Profile::find(arguments.profile.as_deref())?;
    let place = ClusterDir::of(profile.name())?;
    let quiet = arguments.loudness.quiet;
    let say = |text: &str| {
        if !quiet {
            messages::print(text);
        }
    };
    let none = format!(
        "the cluster `{}` is not running on this machine\n",
        place.name()
    );
    if !place.dir().exists() {
        say(&none);
        return Ok(());
    }
    let _lock = place.lock(|| say("waiting for another command on this cluster\n"))?;
    let Some(state) = found::known(&place)? else {
        say(&none);
        return Ok(());
    };
    let is_running = state.server.is_running();
    end_engines(&state, arguments.drain_timeout)?;
    if state.server.terminate() && !gone(std::slice::from_ref(&state.server), SERVER) {
        messages::warn(&format!(
            "the NATS server (pid {}) does not exit and is killed; stored data is safe",
            state.server.pid
        ));
        kill(std::slice::from_ref(&state.server), "the NATS server")?;
    }
    place.forget()?;
    say(&if is_running {
        format!("stopped the cluster `{}`\n", place.name())
    } else {
        format!("the cluster `{}` had already exited\n", place.name())
    });
    Ok(())
}

/// Lets the engines drain; kills what takes too long.
fn end_engines(state: &ClusterState, drain: Option<Duration>) -> Result<(), CliError> {
    let marks: Vec<Mark> = state
        .engines
        .iter()
        .map(|group| group.process.clone())
        .filter(Mark::terminate)
        .collect();
    let patience = match drain {
        Some(drain) => drain,
        None => Duration::from_millis(state.drain_ms) + MARGIN,
    };
    if gone(&marks, patience) {
        return Ok(());
    }
    if drain.is_none() {
        messages::warn("engines did not stop in time and are killed; their tasks run again");
    }
    kill(&marks, "a process with engines")
}

fn kill(marks: &[Mark], what: &str) -> Result<(), CliError> {
    for mark in marks {
        mark.kill();
    }
    if gone(marks, KILLED) {
        return Ok(());
    }
    let left = marks.iter().find(|mark| mark.is_running());
    let pid = left.map(|mark| mark.pid).unwrap_or_default();
    Err(CliError::NoCluster {
        message: format!("{what} (pid {pid}) was killed but does not exit"),
        said: Vec::new(),
        hint: Some(
            "it waits for a disk or a network file system; run `rwasm-cluster stop` again when that answers"
                .to_owned(),
        ),
    })
}

/// Waits for processes to have ended; whether all have.
pub(super) fn gone(marks: &[Mark], patience: Duration) -> bool {
    let deadline = Deadline::within(patience);
    loop {
        if !marks.iter().any(Mark::is_running) {
            return true;
        }
        if deadline.is_over() {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}
