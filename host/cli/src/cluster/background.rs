//! Programs that run on when the command that started them has ended, and its terminal is closed.
//!
//! They have a session of their own, into which no terminal's signals go. It takes a process between to make it: this
//! program again, which then becomes the other one, under the same number.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// The first argument of the process between.
const COMMAND: &str = "--internal-background";

/// A log that is longer is put aside, in the place of the one before.
pub(super) const LONGEST_LOG: u64 = 16 << 20;

/// What shells say of a program that cannot be started.
const NO_PROGRAM: u8 = 127;

/// Becomes the program that the arguments name, if this process was started for that.
pub(super) fn serve() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != COMMAND {
        return None;
    }
    let program = arguments.next()?;
    // It fails where the session is its own already.
    let _ = rustix::process::setsid();
    let error = Command::new(&program).args(arguments).exec();
    crate::output::messages::print(&format!(
        "cannot start `{}`: {error}\n",
        Path::new(&program).display()
    ));
    Some(ExitCode::from(NO_PROGRAM))
}

/// A program that was started in the background, and what it writes.
pub(super) struct BackgroundProcess {
    pub(super) child: Child,
    pub(super) log: Log,
}

/// A log, from where this run of its program begins.
#[derive(Clone, Debug)]
pub(super) struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The last lines that this run has written.
    pub(super) fn tail(&self) -> Vec<String> {
        const LINES: usize = 8;
        let bytes = fs::read(&self.path).unwrap_or_default();
        let from = usize::try_from(self.from).unwrap_or(usize::MAX);
        let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or(&bytes)).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        last.iter().map(|line| (*line).to_owned()).collect()
    }
}

/// A program that is to be started in the background, in `dir`.
pub(super) fn command<A: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
    dir: &Path,
) -> Command {
    let mut command = Command::new(own_program());
    command.arg(COMMAND).arg(program).args(arguments);
    command.current_dir(dir);
    command
}

/// Starts it; what it writes goes to the end of `log`.
pub(super) fn spawn(mut command: Command, log: &Path) -> io::Result<BackgroundProcess> {
    if fs::metadata(log).is_ok_and(|meta| meta.len() > LONGEST_LOG) {
        fs::rename(log, put_aside(log))?;
    }
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log)?;
    let from = file.metadata()?.len();
    let child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()?;
    let log = Log {
        path: log.to_owned(),
        from,
    };
    Ok(BackgroundProcess { child, log })
}

/// The stderr of a process in the background, which goes to the end of a log. What is in the log is put aside whenever it
/// is too long, however long the process runs.
pub(crate) struct BoundedLog {
    path: PathBuf,
    len: u64,
    longest: u64,
}

impl BoundedLog {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            len: fs::metadata(path).map_or(0, |meta| meta.len()),
            longest: LONGEST_LOG,
        }
    }

    /// Makes room for so many bytes.
    fn make_room(&mut self, bytes: usize) {
        if self.len <= self.longest {
            self.len += bytes as u64;
            return;
        }
        // The file itself stays: stderr is open on it, and whatever is written next goes to its end, which is then its
        // beginning. Without space for the copy its lines are lost, as those of the one before are.
        let _ = fs::copy(&self.path, put_aside(&self.path));
        let file = File::options().write(true).open(&self.path);
        let _ = file.and_then(|file| file.set_len(0));
        self.len = bytes as u64;
    }
}

impl Write for BoundedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.make_room(bytes.len());
        io::stderr().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Where a log is put aside.
fn put_aside(log: &Path) -> PathBuf {
    log.with_added_extension("old")
}

/// This program. Its file may have been replaced since it was started; the next process is to be of the new one.
pub(super) fn own_program() -> PathBuf {
    match std::env::current_exe() {
        Ok(path) if path.is_file() => path,
        _ if Path::new("/proc/self/exe").exists() => PathBuf::from("/proc/self/exe"),
        _ => PathBuf::from(
            std::env::args_os()
                .next()
                .unwrap_or_else(|| OsString::from("rwasm-cluster")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_put_aside_when_it_is_too_long() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.log");
        let mut file = File::options().create(true).append(true).open(&path);
        let file = file.as_mut().expect("it can be made");
        let mut log = BoundedLog::new(&path);
        log.longest = 8;
        // As stderr does, which is not this file here.
        for line in ["first\n", "second\n", "third\n"] {
            log.make_room(line.len());
            file.write_all(line.as_bytes()).expect("it can be written");
        }
        let read = |path: &Path| fs::read_to_string(path).expect("it can be read");
        assert_eq!(read(&put_aside(&path)), "first\nsecond\n");
        assert_eq!(read(&path), "third\n");
        assert_eq!(log.len, 6);
    }
}
