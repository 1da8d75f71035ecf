//! Programs that run on when the command that started them has ended, and its terminal is closed.
//!
//! They have a session of their own, into which no terminal's signals go. It takes a process between to make it: this
//! program again, which then becomes the other one, under the same number.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// The first argument of the process between.
const COMMAND: &str = "--internal-background";

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
    /// A log that is longer is put aside, in the place of the one before.
    const LONGEST: u64 = 16 << 20;
    if fs::metadata(log).is_ok_and(|meta| meta.len() > LONGEST) {
        fs::rename(log, log.with_added_extension("old"))?;
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
