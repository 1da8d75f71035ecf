//! The memory of a worker: its guest's, which the sandbox bounds, and that of the host around it. What counts is in memory or
//! swapped out, and not a part of a file; what it shares with its engine is little.

use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::{Failure, FailureCode};
use rwasm_value::units::ByteSize;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// How often it is looked at: a worker that takes a gigabyte a second is a tenth of one over its limit.
const INTERVAL: Duration = Duration::from_millis(100);

/// What the runtime and this library need beside what a task may have: a pool, threads, compiled code that is patched.
const OWN: u64 = 128 << 20;

/// The instances that a worker has at most at a time: the one that runs, and those that are kept.
const INSTANCES: u64 = 3;

/// Values that are lifted out of a guest one at a time take a multiple of their size on the host.
const LIFTED: u64 = 4;

/// What the kernel says of a process is not longer, in bytes.
const LONGEST: usize = 4 << 10;

/// Watches the memory of a worker that runs tasks under these limits.
pub(super) struct Resident {
    /// What the kernel says of the process; none if it does not say it.
    status: Option<File>,
    looked: Instant,
}

impl Resident {
    /// Of the process with this number.
    pub(super) fn of(process: u32) -> Self {
        Self {
            status: File::open(format!("/proc/{process}/status")).ok(),
            looked: Instant::now(),
        }
    }

    /// Looks, if it is time, whether it has more than such tasks can need.
    pub(super) fn check(&mut self, limits: &Limits) -> Result<(), Failure> {
        let now = Instant::now();
        if now.duration_since(self.looked) < INTERVAL {
            return Ok(());
        }
        self.looked = now;
        let Some(Ok(found)) = self.status.as_ref().map(taken) else {
            return Ok(());
        };
        let most = most(limits);
        if found <= most {
            return Ok(());
        }
        let (found, most) = (ByteSize::new(found), ByteSize::new(most));
        Err(Failure::new(
            FailureCode::MemoryLimit,
            format!(
                "its worker process took {found} of memory, which is more than the {most} that a task with these limits can \
                 need, and was ended"
            ),
        ))
    }
}

/// The most memory, in bytes, that a worker can need for a task under these limits.
fn most(limits: &Limits) -> u64 {
    let guests = limits.memory.bytes().saturating_mul(INSTANCES);
    let values = limits.output.bytes().saturating_mul(LIFTED);
    let all = [
        guests,
        values,
        limits.input.bytes(),
        limits.logs.bytes(),
        limits.module.bytes(),
        limits.stack.bytes(),
    ];
    all.into_iter().fold(OWN, u64::saturating_add)
}

/// The memory of a process that no file stands for, in bytes: its own, what it shares, and what of it was swapped out.
fn taken(status: &File) -> io::Result<u64> {
    let mut text = [0; LONGEST];
    let length = status.read_at(&mut text, 0)?;
    let text = String::from_utf8_lossy(&text[..length]);
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        number.and_then(|number| number.trim().parse::<u64>().ok())
    };
    let own = kib("RssAnon:").ok_or(io::ErrorKind::InvalidData)?;
    let others = ["RssShmem:", "VmSwap:"].map(|name| kib(name).unwrap_or_default());
    let all = others.into_iter().fold(own, u64::saturating_add);
    Ok(all.saturating_mul(1 << 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_the_memory_that_it_has_touched() {
        let status = File::open("/proc/self/status").expect("the kernel says it");
        let before = taken(&status).expect("it has this form");
        let touched = vec![1_u8; 64 << 20];
        let after = taken(&status).expect("it has this form");
        assert!(touched.iter().all(|byte| *byte == 1));
        // Other tests may free some meanwhile.
        assert!(after > before + (32 << 20), "{before} and {after} bytes");
    }

    #[test]
    fn what_a_process_shares_counts_too() {
        let status = File::open("/proc/self/status").expect("the kernel says it");
        let before = taken(&status).expect("it has this form");
        let (shared, _descriptor) =
            rwasm_boundary::shared::Shared::create(64 << 20).expect("there is room");
        for word in shared.words() {
            word.store(1, std::sync::atomic::Ordering::Relaxed);
        }
        let after = taken(&status).expect("it has this form");
        assert!(after > before + (32 << 20), "{before} and {after} bytes");
    }
}
