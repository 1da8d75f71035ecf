//! What compiling in a separate process needs of the operating system.

use super::protocol::{Passed, Request};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process_group, setrlimit,
    waitid,
};
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// A file without a name, which code is written to. It is in memory, so that it needs no writable
/// directory.
#[cfg(target_os = "linux")]
pub(super) fn unnamed_file() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    let file = memfd_create("rwasm-compiled", MemfdFlags::CLOEXEC)?;
    Ok(file.into())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn unnamed_file() -> io::Result<File> {
    tempfile::tempfile()
}

/// Puts the process into its own group, with everything that it starts. An interrupt key for the
/// program does not reach it: it ends when its stdin does.
pub(super) fn separate(command: &mut Command) -> &mut Command {
    command.process_group(0)
}

/// A process in its own group that was not waited for, so that its id is not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group(Pid);

impl Group {
    pub(super) fn of(child: &Child) -> Self {
        Self(Pid::from_child(child))
    }

    /// Ends all processes in it.
    pub(super) fn kill(self) {
        // They may have ended by themselves.
        let _ = kill_process_group(self.0, Signal::KILL);
    }

    /// The processor time that its first process has used, to a hundredth of a second. `None` where the system does not say.
    #[cfg(target_os = "linux")]
    pub(super) fn processor_time(self) -> Option<Duration> {
        /// Linux counts in hundredths for programs, whatever it counts in itself.
        const TICK: Duration = Duration::from_millis(10);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.as_raw_nonzero()));
        let stat = stat.ok()?;
        // The second field is its name in parentheses, which may contain anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u32>().ok();
        Some(TICK.saturating_mul(ticks()?.saturating_add(ticks()?)))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn processor_time(self) -> Option<Duration> {
        None
    }

    /// Whether its first process has ended. It keeps its id until it is waited for.
    pub(super) fn has_ended(self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        !matches!(waitid(WaitId::Pid(self.0), options), Ok(None))
    }
}

/// Returns the limit that ended a process by a signal of its own.
pub(super) fn passed(status: ExitStatus) -> Option<Passed> {
    let signal = status.signal()?;
    match signal {
        _ if signal == Signal::XCPU.as_raw() => Some(Passed::Time),
        _ if signal == Signal::XFSZ.as_raw() => Some(Passed::Code),
        _ => None,
    }
}

/// Describes how a process ended.
pub(super) fn end(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) if signal == Signal::KILL.as_raw() => {
            "it was killed, perhaps by the system because it ran out of memory".to_owned()
        }
        (Some(signal), _) if signal == Signal::ABORT.as_raw() => "it aborted".to_owned(),
        (Some(signal), _) => format!("it was terminated by signal {signal}"),
        (None, code) => format!("it exited with code {}", code.unwrap_or_default()),
    }
}

/// How much less important than its parent a compiler is.
const COURTESY: i32 = 10;

/// Applies the limits to this process and everything it may start.
pub(super) fn bind(request: &Request) -> io::Result<()> {
    let bounds = [
        // The compiler's memory, which a hostile module influenced, must not be dumped.
        (Resource::Core, 0),
        (Resource::Cpu, request.cpu_seconds),
        (Resource::Fsize, request.code),
        // Counts private, writable memory, not reserved address space.
        (Resource::Data, request.memory),
    ];
    for (resource, bound) in bounds {
        let most = getrlimit(resource)
            .maximum
            .map_or(bound, |most| most.min(bound));
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)?;
    }
    // Tasks that run go before modules that are being compiled; how long that may take is counted in processor time.
    // Where it is not allowed, the compiler is as important as before.
    let _ = rustix::process::nice(COURTESY);
    Ok(())
}
