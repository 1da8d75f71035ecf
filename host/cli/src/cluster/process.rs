//! Processes that outlive the command which started them, and how they are known again.
//!
//! A number alone does not do: once its process has ended the system gives it to another.

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};
use std::fs;
use std::process::Command;

/// A process, and when it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Its number.
    pub(crate) pid: u32,
    /// What tells it from others that had the number or will: the boot, and the time since then.
    began: String,
}

impl Mark {
    /// Of a process that runs; none where there is none of that number.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            began: began(pid)?,
        })
    }

    /// Of a process that has ended, whichever it was.
    pub(super) fn of_none() -> Self {
        Self {
            pid: 0,
            began: String::new(),
        }
    }

    /// Whether that very process still runs.
    pub(crate) fn is_running(&self) -> bool {
        began(self.pid).as_ref() == Some(&self.began)
    }

    /// Asks it to end; whether it was there to be asked.
    pub(crate) fn terminate(&self) -> bool {
        // One that was stopped where it is hears nothing until it goes on.
        self.signal(Signal::TERM) && (self.signal(Signal::CONT) || !self.is_running())
    }

    /// Ends it.
    pub(crate) fn kill(&self) -> bool {
        self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        self.is_running() && pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }
}

/// When the process of that number began, unless it has ended.
fn began(pid: u32) -> Option<String> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => {
            let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
            since_boot(&stat).map(|ticks| format!("{}/{ticks}", boot.trim()))
        }
        // A system without `/proc`.
        Err(_) if !cfg!(target_os = "linux") => {
            let raw = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
            test_kill_process(raw).ok()?;
            let mut ps = Command::new("ps");
            let said = ps.args(["-o", "lstart=", "-p", &pid.to_string()]).output();
            let said = String::from_utf8_lossy(&said.ok()?.stdout)
                .trim()
                .to_owned();
            (!said.is_empty()).then_some(said)
        }
        Err(_) => None,
    }
}

/// The time at which a process began, in its line of `/proc/PID/stat`; none where it has ended and nobody has asked how.
fn since_boot(stat: &str) -> Option<u64> {
    /// After the state, which is the field after the name in parentheses.
    const BEGAN: usize = 19;
    /// The number of its threads.
    const THREADS: usize = 17;
    // The name may have blanks and parentheses in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The first thread may have ended while others still hold what the process has open: its port, its store.
    let threads = fields.get(THREADS).and_then(|threads| threads.parse().ok());
    let others = threads.is_some_and(|threads: u32| threads > 1);
    if matches!(*fields.first()?, "Z" | "X") && !others {
        return None;
    }
    fields.get(BEGAN)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_again_and_another_of_its_number_is_not() {
        let own = Mark::of(std::process::id()).expect("it runs");
        assert!(own.is_running());
        let earlier = Mark {
            began: "another boot/1".to_owned(),
            ..own
        };
        assert!(!earlier.is_running());
        assert!(!earlier.kill());
    }

    #[test]
    fn a_process_that_has_ended_is_none() {
        let mut child = Command::new("true").spawn().expect("it starts");
        let pid = child.id();
        // While it is not waited for, its number is its own.
        let mark = Mark::of(pid);
        child.wait().expect("it ends");
        assert!(Mark::of(pid).is_none());
        assert!(mark.is_none_or(|mark| !mark.is_running()));
    }

    #[test]
    fn names_may_have_anything_in_them() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(since_boot(&format!("12 (a b) c) {rest}")), Some(4711));
        assert_eq!(since_boot("12 (a) Z 1"), None);
        // The eighteenth field, with 17 in it here, is the number of threads.
        let dying = |threads: &str| {
            let rest = rest.replacen("S ", "Z ", 1);
            since_boot(&format!("12 (a) {}", rest.replace(" 17 ", threads)))
        };
        assert_eq!(dying(" 0 "), None);
        assert_eq!(dying(" 1 "), None);
        assert_eq!(dying(" 3 "), Some(4711));
        assert_eq!(since_boot("12 (a) S 1"), None);
        assert_eq!(since_boot(""), None);
    }
}
