//! What holds engines on another machine: a process in the background that has started ssh, and whose end of the connection
//! they live by.
//!
//! It gives them their key by ssh's stdin and leaves that open. When it closes, because the cluster is stopped or this
//! process has died, they drain and end; the same when the connection is lost.

use super::background::BoundedLog;
use rwasm_cluster::nats::Key;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::ffi::OsString;
use std::io::{self, BufRead as _, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The first argument of the process that holds them.
pub(super) const COMMAND: &str = "--internal-tether";

/// The option by which `engine join` is held.
pub(super) const OPTION: &str = "--tethered";

/// Beyond the time to drain: for the connection to end.
const MARGIN: Duration = Duration::from_secs(5);

/// For what was said last to be in the log.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Starts ssh, gives the key, and ends when ssh has; if this process was started for that.
pub(super) fn serve() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != COMMAND {
        return None;
    }
    let mut next = || arguments.next();
    let (Some(key), Some(log), Some(drain), Some(program)) = (next(), next(), next(), next())
    else {
        return Some(ExitCode::FAILURE);
    };
    let drain = drain.to_str().and_then(|text| text.parse().ok());
    let drain = Duration::from_millis(drain.unwrap_or_default());
    let shown = Path::new(&program).display().to_string();
    match hold(Path::new(&key), Path::new(&log), drain, &program, arguments) {
        Ok(code) => Some(code),
        Err(error) => {
            crate::output::messages::print(&format!("cannot run `{shown}`: {error}\n"));
            Some(ExitCode::FAILURE)
        }
    }
}

fn hold(
    key: &Path,
    log: &Path,
    drain: Duration,
    program: &OsString,
    arguments: impl Iterator<Item = OsString>,
) -> io::Result<ExitCode> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let key = rwasm_cluster::small_file::read(key)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let logged = keep_log(&mut child, log)?;
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
    // Its last words; what it leaves running may have its stderr for ever.
    while logged.recv_timeout(LAST_WORDS).is_ok() {}
    Ok(code)
}

/// Writes what ssh and the engines say to the log, which is the stderr of this process. Both threads end with the process;
/// each tells when there is no more.
fn keep_log(child: &mut Child, log: &Path) -> io::Result<Receiver<()>> {
    let log = Arc::new(Mutex::new(BoundedLog::new(log)));
    let (tell, told) = channel();
    let said: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as _),
        child.stderr.take().map(|pipe| Box::new(pipe) as _),
    ];
    for mut said in said.into_iter().flatten() {
        let (log, tell) = (Arc::clone(&log), tell.clone());
        std::thread::Builder::new()
            .name("rwasm-log".to_owned())
            .spawn(move || {
                let mut bytes = [0; 8 << 10];
                while let Ok(count @ 1..) = said.read(&mut bytes) {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    // On a full disk its lines are lost, and ssh is not held up.
                    let _ = log.write_all(&bytes[..count]);
                }
                let _ = tell.send(());
            })?;
    }
    Ok(told)
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
