//! What tasks say while they run, written to stderr a line each: what they log, and with `-v` all else.

use crate::args::{Loudness, StderrShown};
use rwasm_cluster::plain::visible;
use rwasm_cluster::{Cluster, ClusterNote, ClusterNotes, JobId, LogLevel, TaskNote};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The most of a line that is written; what is longer is cut.
const WIDTH: usize = 4096;

/// Tasks whose begun lines are kept until they end.
const LINES: usize = 256;

/// How often a task's progress is told at most.
const PROGRESS: Duration = Duration::from_millis(200);

/// What is printed of the notes that tasks send.
#[derive(Clone, Copy)]
pub(crate) struct NotesShown {
    /// What they log, from this level on.
    log: Option<LogLevel>,
    /// What they write to stderr.
    stderr: bool,
    /// All else.
    rest: bool,
}

impl NotesShown {
    /// What the options say, of which `from` is the level that is asked for.
    pub(crate) fn resolve(
        from: Option<LogLevel>,
        stderr: StderrShown,
        loudness: &Loudness,
    ) -> Self {
        let log = if loudness.verbose {
            Some(from.map_or(LogLevel::Info, |from| from.min(LogLevel::Info)))
        } else {
            from
        };
        Self {
            log: log.filter(|_| !loudness.quiet),
            stderr: stderr == StderrShown::All,
            rest: loudness.verbose,
        }
    }

    /// What they send of it; none if that is nothing.
    fn of(self, cluster: &Cluster) -> Option<ClusterNotes> {
        if self.stderr || self.rest {
            return Some(cluster.notes());
        }
        self.log.map(|from| cluster.log(from))
    }
}

/// How a task is called in what is written.
#[derive(Clone, Copy)]
pub(crate) enum TaskNaming {
    /// By its place in the job.
    ByIndex,
    /// It is the only one.
    Alone,
    /// By its job: each is a call of its own.
    ByCall,
}

/// Prints notes until it is dropped, and then what is left. Begun before the job is, so that nothing is missed.
pub(crate) struct NotePrinter {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl NotePrinter {
    pub(crate) fn follow(cluster: &Cluster, shown: NotesShown, naming: TaskNaming) -> Self {
        let Some(notes) = shown.of(cluster) else {
            return Self {
                stop: None,
                thread: None,
            };
        };
        let (stop, stopped) = oneshot::channel();
        let mut writer = Writer {
            shown,
            naming,
            clears: std::io::stderr().is_terminal(),
            begun: BTreeMap::new(),
            progress: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("rwasm-notes".to_owned())
            .spawn(move || writer.all(notes, stopped));
        Self {
            stop: Some(stop),
            // Without a thread nothing is told, and the job runs all the same.
            thread: thread.ok(),
        }
    }
}

impl Drop for NotePrinter {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // Writing has no result.
            let _ = thread.join();
        }
    }
}

struct Writer {
    shown: NotesShown,
    naming: TaskNaming,
    /// Whether a progress bar may stand where a line goes.
    clears: bool,
    /// The beginnings of lines, by task and stream.
    begun: BTreeMap<(JobId, u64, &'static str), Vec<u8>>,
    /// When progress was told last.
    progress: Instant,
}

impl Writer {
    fn all(&mut self, mut notes: ClusterNotes, stopped: oneshot::Receiver<()>) {
        let mut stopped = pin!(stopped);
        loop {
            let next = pollster::block_on(std::future::poll_fn(|context| {
                if let Poll::Ready(note) =
                    futures_core::Stream::poll_next(Pin::new(&mut notes), context)
                {
                    return Poll::Ready(note);
                }
                // Its end is that whoever held the other side has gone.
                stopped.as_mut().poll(context).map(|_| None)
            }));
            let Some(note) = next else { break };
            self.note(note);
        }
        while let Some(note) = notes.try_next() {
            self.note(note);
        }
        for ((job, index, stream), text) in std::mem::take(&mut self.begun) {
            self.line(job, index, stream, &String::from_utf8_lossy(&text));
        }
    }

    fn note(&mut self, note: ClusterNote) {
        let (job, index, note) = match note {
            ClusterNote::Said { job, index, note } => (job, index, note),
            ClusterNote::Missed(count) => {
                return self.write(&format!("{count} messages of tasks were dropped"));
            }
            _ => return,
        };
        match note {
            TaskNote::Log { level, message }
                if self.shown.log.is_some_and(|from| level >= from) =>
            {
                self.line(job, index, level.name(), &message);
            }
            TaskNote::Stderr(bytes) if self.shown.stderr => self.part(job, index, "stderr", &bytes),
            TaskNote::Log { .. } | TaskNote::Stderr(_) => {}
            _ if !self.shown.rest => {}
            TaskNote::Stdout(bytes) => self.part(job, index, "stdout", &bytes),
            TaskNote::Published { name, bytes } => {
                let text = format!("{name} = {}", String::from_utf8_lossy(&bytes));
                self.line(job, index, "published", &text);
            }
            TaskNote::Progress { done, total } => {
                let is_last = total.is_some_and(|total| done >= total);
                if is_last || self.progress.elapsed() >= PROGRESS {
                    self.progress = Instant::now();
                    let of = total.map(|total| format!(" of {total}"));
                    self.line(
                        job,
                        index,
                        "progress",
                        &format!("{done}{}", of.unwrap_or_default()),
                    );
                }
            }
        }
    }

    /// Some of what a task printed: whole lines are written, the rest is kept until its line ends.
    fn part(&mut self, job: JobId, index: u64, stream: &'static str, bytes: &[u8]) {
        let key = (job, index, stream);
        let mut text = self.begun.remove(&key).unwrap_or_default();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            text.extend_from_slice(piece);
            if text.ends_with(b"\n") || text.len() > WIDTH {
                let line = String::from_utf8_lossy(&text);
                self.line(job, index, stream, line.trim_end_matches(['\n', '\r']));
                text.clear();
            }
        }
        if text.is_empty() {
            return;
        }
        self.begun.insert(key, text);
        if self.begun.len() > LINES
            && let Some(((job, index, stream), text)) = self.begun.pop_first()
        {
            self.line(job, index, stream, &String::from_utf8_lossy(&text));
        }
    }

    fn line(&self, job: JobId, index: u64, what: &str, text: &str) {
        let mut line = match self.naming {
            TaskNaming::ByIndex => format!("task {index}: "),
            TaskNaming::ByCall => format!("call {job}: "),
            TaskNaming::Alone => "call: ".to_owned(),
        };
        let cut = text.char_indices().nth(WIDTH).map(|(at, _)| at);
        let shown = &text[..cut.unwrap_or(text.len())];
        let more = if cut.is_some() { " …" } else { "" };
        // One line of a task is one line of ours.
        let _ = write!(line, "{what}: {}{more}", shown.replace('\n', "\n  "));
        self.write(&line);
    }

    fn write(&self, line: &str) {
        let clear = if self.clears { "\r\x1b[K" } else { "" };
        let line = format!("{clear}{}\n", visible(line));
        // Where stderr is closed there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}
