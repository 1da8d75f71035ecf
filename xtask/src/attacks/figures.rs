//! What a process takes of the machine, as Linux tells it.

use super::gate::Gate;
use anyhow::{Context, Result};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The pause between two looks at the memory of a process.
const LOOK: Duration = Duration::from_millis(20);

/// Idle threads for blocking work end after 10 s.
const IDLE: Duration = Duration::from_secs(12);

#[derive(Clone, Copy)]
pub(super) struct Figures {
    /// Resident memory in bytes, without mapped files, whose pages the system takes back when it wants them.
    pub(super) memory: u64,
    pub(super) threads: u64,
    /// Open descriptors.
    pub(super) files: u64,
}

impl Figures {
    pub(super) fn of(process: u32) -> Result<Self> {
        let gone = || format!("process {process} has ended");
        let status = fs::read_to_string(format!("/proc/{process}/status")).with_context(gone)?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let digits = line.and_then(|rest| rest.split_whitespace().next());
            digits
                .and_then(|digits| digits.parse::<u64>().ok())
                .with_context(gone)
        };
        let files = fs::read_dir(format!("/proc/{process}/fd")).with_context(gone)?;
        Ok(Self {
            memory: (number("RssAnon:")? + number("RssShmem:")?) << 10,
            threads: number("Threads:")?,
            files: files.count() as u64,
        })
    }

    /// Those of a process that has had time to let go of what it does not need.
    pub(super) fn at_rest(process: u32) -> Result<Self> {
        sleep(IDLE);
        Self::of(process)
    }
}

/// The most memory that the process has until the attack is over.
pub(super) fn most_memory(process: u32, gate: &Gate) -> u64 {
    let mut most = 0;
    while !gate.is_over() {
        most = most.max(Figures::of(process).map_or(0, |figures| figures.memory));
        sleep(LOOK);
    }
    most
}

/// The longest that an endpoint took to answer until the attack is over.
pub(super) fn longest_answer(ask: impl Fn() -> Result<String>, gate: &Gate) -> Duration {
    let mut longest = Duration::ZERO;
    while !gate.is_over() {
        let start = Instant::now();
        // A connection that is refused or cut was no answer either.
        let _ = ask();
        longest = longest.max(start.elapsed());
        sleep(LOOK);
    }
    longest
}
