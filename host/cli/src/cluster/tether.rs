//! What holds engines on another machine: a process in the background that has started ssh, and whose end of the connection
//! they live by.
//!
//! It gives them their key by ssh's stdin and leaves that open. When it closes, because the cluster is stopped or this
//! process has died, they drain and end; the same when the connection is lost.

use rwasm_cluster::nats::Key;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::ffi::OsString;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The first argument of the process that holds them.
pub(super) const COMMAND: &str = "--internal-tether";

/// The option by which `engine join` is held.
pub(super) const OPTION: &str = "--tethered";

/// Beyond the time to drain: for the connection to end.
const MARGIN: Duration = Duration::from_secs(5);

/// Starts ssh, gives the key, and ends when ssh has; if this process was started for that.
pub(super) fn serve() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != COMMAND {
        return None;
    }
    let (Some(key), Some(drain), Some(program)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Some(ExitCode::FAILURE);
    };
    let drain = drain.to_str().and_then(|text| text.parse().ok());
    let drain = Duration::from_millis(drain.unwrap_or_default());
    let shown = Path::new(&program).display().to_string();
    match hold(Path::new(&key), drain, &program, arguments) {
        Ok(code) => Some(code),
        Err(error) => {
            crate::output::messages::print(&format!("cannot run `{shown}`: {error}\n"));
            Some(ExitCode::FAILURE)
        }
    }
}

fn hold(
    key: &Path,
    drain: Duration,
    program: &OsString,
    arguments: impl Iterator<Item = OsString>,
) -> io::Result<ExitCode> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let key = rwasm_cluster::small_file::read(key)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take();
    if let Some(stdin) = &mut stdin {
        // Where ssh has ended already, its own words say why.
        let _ = stdin.write_all(key.as_bytes()).and_then(|()| stdin.flush());
    }
    let held = Arc::new(Mutex::new(Held { stdin }));
    let ended = held.clone();
    let pid = rustix::process::Pid::from_child(&child);
    // Both threads end with the process.
    std::thread::Builder::new()
        .name("rwasm-tether".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                ended.lock().unwrap_or_else(PoisonError::into_inner).stdin = None;
                let _ = std::thread::Builder::new()
                    .name("rwasm-last-resort".to_owned())
                    .spawn(move || {
                        std::thread::sleep(drain + MARGIN);
                        // It is our child and was not waited for, or this process would have ended.
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    });
            }
        })?;
    let code = wait(&mut child)?;
    drop(held);
    Ok(code)
}

/// What engines elsewhere live by.
struct Held {
    stdin: Option<ChildStdin>,
}

fn wait(child: &mut Child) -> io::Result<ExitCode> {
    let status = child.wait()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The other end: takes the key from stdin, and has this process terminated when stdin ends.
pub(crate) fn held() -> io::Result<Key> {
    /// A key has four lines, and comments may be more.
    const LONGEST: u64 = 16 << 10;
    let no_key = || io::Error::new(io::ErrorKind::InvalidData, "stdin contains no key");
    let mut text = String::new();
    let mut input = io::stdin().lock();
    let key = loop {
        let read = io::Read::take(&mut input, LONGEST).read_line(&mut text)?;
        if let Some(key) = Key::parse(&text) {
            break key;
        }
        if read == 0 || text.len() as u64 > LONGEST {
            return Err(no_key());
        }
    };
    drop(input);
    std::thread::Builder::new()
        .name("rwasm-tethered".to_owned())
        .spawn(|| {
            // However it ends.
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            let own = rustix::process::getpid();
            let _ = rustix::process::kill_process(own, rustix::process::Signal::TERM);
        })?;
    Ok(key)
}
