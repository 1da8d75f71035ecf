//! The process that compiles, seen from outside: started, limited in time, ended, and its answer
//! checked.

use super::super::variant::Variant;
use super::protocol::{Answer, COMMAND, CodeKind, Passed, Request};
use super::system::{self, Group};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What is kept of the process's stderr: its end.
const KEPT: usize = 64 << 10;

/// How much of it is shown.
const SHOWN: usize = 400;

/// The time between looks at a process that has closed its stderr and is about to end.
const LOOK: Duration = Duration::from_micros(200);

/// Processor time beyond the limit, which a process may take after nobody watches it any more.
const SLACK: Duration = Duration::from_secs(5);

/// How many times the limit a process may take by the clock: it may wait for others on a busy machine, but not hang.
const BY_THE_CLOCK: u32 = 10;

/// How much is read at once to check code.
const PIECE: usize = 256 << 10;

/// The processes that compile for one cluster.
#[derive(Default)]
pub(in crate::sandbox) struct Helpers(Mutex<HelpersState>);

#[derive(Default)]
struct HelpersState {
    is_closed: bool,
    running: Vec<Group>,
}

/// A module to compile, and its limits.
pub(in crate::sandbox) struct Task<'a> {
    pub(in crate::sandbox) kind: CodeKind,
    pub(in crate::sandbox) variant: &'a Variant,
    pub(in crate::sandbox) module: Bytes,
    pub(in crate::sandbox) time: Duration,
    pub(in crate::sandbox) memory: u64,
    pub(in crate::sandbox) code: u64,
}

/// Why there is no code.
#[derive(Debug)]
pub(in crate::sandbox) enum HelperError {
    /// The program cannot be started.
    Unavailable(io::Error),
    /// The program is a different build.
    Mismatch,
    /// The module is not valid.
    Invalid(String),
    /// A limit was exceeded.
    Limit(Passed),
    /// It ended without a valid result.
    Crashed(String),
    /// The cluster was shut down.
    Closed,
}

impl Helpers {
    /// Returns the code of a module, in a file at its start.
    pub(in crate::sandbox) fn compile(
        &self,
        program: &Path,
        task: Task<'_>,
    ) -> Result<File, HelperError> {
        let start = Instant::now();
        let file = system::unnamed_file().map_err(HelperError::Unavailable)?;
        let time = task.time;
        let process = self.start(program, &file, task)?;
        let passed = process.watch(start, time);
        let (status, stderr) = self.end(process)?;
        if self.lock().is_closed {
            return Err(HelperError::Closed);
        }
        match passed {
            Some(passed) => Err(HelperError::Limit(passed)),
            None => check(file, status, &stderr),
        }
    }

    /// Ends all compilation, and starts nothing any more.
    pub(in crate::sandbox) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        for group in &state.running {
            group.kill();
        }
    }

    fn start(&self, program: &Path, output: &File, task: Task<'_>) -> Result<Process, HelperError> {
        let request = Request {
            kind: task.kind,
            variant: task.variant.key,
            spacious: task.variant.spacious,
            compatibility: task.variant.compatibility(),
            module: task.module.len() as u64,
            cpu_seconds: task.time.saturating_add(SLACK).as_secs(),
            memory: task.memory,
            code: task.code,
        };
        let spawn = || -> io::Result<Child> {
            system::separate(&mut Command::new(program))
                .arg(COMMAND)
                .arg(serde_json::to_string(&request)?)
                .stdin(Stdio::piped())
                .stdout(output.try_clone()?)
                .stderr(Stdio::piped())
                .spawn()
        };
        let mut state = self.lock();
        if state.is_closed {
            return Err(HelperError::Closed);
        }
        let mut child = spawn().map_err(HelperError::Unavailable)?;
        let group = Group::of(&child);
        state.running.push(group);
        drop(state);
        let (no_memory, end) = channel();
        let feeder = child.stdin.take().map(|pipe| feed(pipe, task.module));
        let reader = child.stderr.take().map(|pipe| read(pipe, no_memory));
        Ok(Process {
            child,
            group,
            feeder,
            reader,
            end,
        })
    }

    /// Ends a process, if it has not ended, with everything it started, and waits for it.
    fn end(&self, mut process: Process) -> Result<(ExitStatus, String), HelperError> {
        let group = process.group;
        let status = {
            // Its id is its own until it is waited for, which happens under the lock so that no one
            // uses the id afterwards.
            let mut state = self.lock();
            group.kill();
            state.running.retain(|other| *other != group);
            process.child.wait().map_err(HelperError::Unavailable)?
        };
        if let Some(Ok(feeder)) = process.feeder {
            // It ends with the pipe, and returns what it holds open.
            drop(feeder.join());
        }
        let stderr = match process.reader {
            Some(Ok(reader)) => reader.join().unwrap_or_default(),
            _ => String::new(),
        };
        Ok((status, stderr))
    }

    fn lock(&self) -> MutexGuard<'_, HelpersState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process that compiles.
struct Process {
    child: Child,
    group: Group,
    /// Writes the module, and keeps the pipe open. Absent if the system could not start a thread:
    /// then the pipe is closed, and the process ends.
    feeder: Option<io::Result<JoinHandle<ChildStdin>>>,
    reader: Option<io::Result<JoinHandle<String>>>,
    /// Reports that it ran out of memory; ends when its stderr does.
    end: Receiver<NoMemory>,
}

/// A process reported that it ran out of memory. It is about to abort, but may hang on the way.
struct NoMemory;

impl Process {
    /// Waits until it ends, or exceeds a limit. A process that ends closes its stderr.
    ///
    /// What counts is its processor time, so that other work on the machine fails nobody's module. It is looked at when it
    /// can have used up the rest on all cores, and not before.
    fn watch(&self, start: Instant, time: Duration) -> Option<Passed> {
        let cores = thread::available_parallelism()
            .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
        let left = || {
            let by_the_clock = time
                .saturating_mul(BY_THE_CLOCK)
                .saturating_sub(start.elapsed());
            let used = self.group.processor_time();
            let by_use = match used {
                Some(used) => time.saturating_sub(used) / cores,
                None => time.saturating_sub(start.elapsed()),
            };
            by_use.min(by_the_clock)
        };
        loop {
            let left = left();
            if left.is_zero() {
                return Some(Passed::Time);
            }
            match self.end.recv_timeout(left.max(LOOK)) {
                Ok(NoMemory) => return Some(Passed::Memory),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        while !self.group.has_ended() {
            if left().is_zero() {
                return Some(Passed::Time);
            }
            thread::sleep(LOOK);
        }
        None
    }
}

/// Writes the module and returns the pipe, open.
fn feed(mut pipe: ChildStdin, module: Bytes) -> io::Result<JoinHandle<ChildStdin>> {
    thread::Builder::new()
        .name("rwasm-compile-in".to_owned())
        .spawn(move || {
            // A process that has ended reads nothing; the reason is reported elsewhere.
            let _ = pipe.write_all(&module);
            pipe
        })
}

/// Returns the end of its stderr.
fn read(mut pipe: ChildStderr, no_memory: Sender<NoMemory>) -> io::Result<JoinHandle<String>> {
    thread::Builder::new()
        .name("rwasm-compile-err".to_owned())
        .spawn(move || {
            let mut kept = Vec::new();
            let mut piece = [0; 4 << 10];
            while let Ok(size @ 1..) = pipe.read(&mut piece) {
                kept.extend_from_slice(&piece[..size]);
                kept.drain(..kept.len().saturating_sub(KEPT));
                if has_no_memory(&String::from_utf8_lossy(&kept)) {
                    // The receiver may have given up.
                    let _ = no_memory.send(NoMemory);
                }
            }
            String::from_utf8_lossy(&kept).into_owned()
        })
}

/// Whether Rust's runtime reported, in a line of its own, that an allocation failed and that it
/// aborts.
fn has_no_memory(stderr: &str) -> bool {
    stderr
        .lines()
        .any(|line| line.starts_with("memory allocation of ") && line.ends_with(" bytes failed"))
}

/// Determines the result from its stderr and its exit status.
fn check(file: File, status: ExitStatus, stderr: &str) -> Result<File, HelperError> {
    let failed = match Answer::find(stderr) {
        Some(Answer::Compiled { bytes, crc32 }) if status.success() => {
            return match intact(file, bytes, crc32) {
                Ok(Some(file)) => Ok(file),
                Ok(None) => Err(HelperError::Crashed(
                    "the code that it wrote is malformed".to_owned(),
                )),
                Err(error) => Err(HelperError::Crashed(error.to_string())),
            };
        }
        Some(Answer::Invalid { message }) => HelperError::Invalid(message),
        Some(Answer::Limit { passed }) => HelperError::Limit(passed),
        Some(Answer::Mismatch) => HelperError::Mismatch,
        Some(Answer::Failed { message }) => HelperError::Crashed(message),
        Some(Answer::Compiled { .. }) | None => {
            if let Some(passed) = system::passed(status) {
                HelperError::Limit(passed)
            } else {
                HelperError::Crashed(crash(status, stderr))
            }
        }
    };
    Err(failed)
}

/// Describes how it ended, with its last output.
fn crash(status: ExitStatus, stderr: &str) -> String {
    let end = if status.success() {
        "it did not answer".to_owned()
    } else {
        system::end(status)
    };
    let words = stderr.trim();
    if words.is_empty() {
        return end;
    }
    let words = &words[words.ceil_char_boundary(words.len().saturating_sub(SHOWN))..];
    format!("{end}; its last output: {}", words.replace('\n', " "))
}

/// Returns the file at its start, if it has this many bytes with that checksum.
fn intact(mut file: File, bytes: u64, crc32: u32) -> io::Result<Option<File>> {
    if file.metadata()?.len() != bytes {
        return Ok(None);
    }
    file.rewind()?;
    let mut checksum = crc32fast::Hasher::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            size => checksum.update(&piece[..size]),
        }
    }
    file.rewind()?;
    Ok((checksum.finalize() == crc32).then_some(file))
}
