//! The thread that writes a trace: from records to events of the format, one on each line.
//!
//! Engines are threads, on which tasks are slices with their phases in them. Whatever overlaps is an async event: jobs, and
//! what tasks and results wait for. Times are microseconds since the trace was begun, with the nanoseconds behind the point.

use super::sampling::Sampling;
use super::{EndedBatch, Merge, Record, Row};
use crate::observe::{TaskRef, beginning, resident_memory};
use flate2::Compression;
use flate2::write::GzEncoder;
use rwasm_value::ids::JobId;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

/// How often memory is looked at, and what was written is made visible.
const INTERVAL: Duration = Duration::from_millis(100);
const FLUSHED: Duration = Duration::from_secs(1);

/// Changes of the queue that are closer together are one.
const COUNTED: u64 = 1_000_000;

/// The process and the threads of the trace beside those of engines, whose numbers are their ids and this.
const PROCESS: u32 = 1;
const MERGE_THREAD: u32 = 1;
const MODULE_THREAD: u32 = 2;
const FIRST_ENGINE: u32 = 10;

/// Results that wait for their merge, whose tasks are known here at most, and the names of jobs.
const MOST_KNOWN: usize = 1 << 20;
const MOST_JOBS: usize = 1 << 16;

/// The longest text of one event, in bytes.
const LONGEST: usize = 1000;

/// See the [module](self).
pub(super) struct Writer {
    path: PathBuf,
    /// Whether there was no file before.
    is_new: bool,
    name: String,
    out: Out,
    begun: SystemTime,
    bytes: u64,
    sampling: Arc<Sampling>,
    engines: BTreeSet<u32>,
    /// Where the last slice of each thread ends: a clock that was set back moves those after it.
    ends: HashMap<u32, u64>,
    /// Where tasks ended whose results are to be merged.
    unmerged: HashMap<TaskRef, (u32, u64)>,
    jobs: HashMap<JobId, String>,
    waiting: i64,
    running: i64,
    counted: u64,
}

enum Out {
    Plain(BufWriter<File>),
    Compressed(Box<GzEncoder<BufWriter<File>>>),
    /// It could not be written to its end.
    Gone,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Compressed(out) => out.write(bytes),
            Self::Gone => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Compressed(out) => out.flush(),
            Self::Gone => Ok(()),
        }
    }
}

impl Writer {
    pub(super) fn open(path: &Path, name: &str, sampling: Arc<Sampling>) -> io::Result<Self> {
        let is_new = std::fs::symlink_metadata(path).is_err();
        let mut options = File::options();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let is_compressed = path.extension().is_some_and(|extension| extension == "gz");
        let file = BufWriter::with_capacity(256 << 10, file);
        let out = if is_compressed {
            Out::Compressed(Box::new(GzEncoder::new(file, Compression::fast())))
        } else {
            Out::Plain(file)
        };
        Ok(Self {
            path: path.to_owned(),
            is_new,
            name: name.to_owned(),
            out,
            begun: SystemTime::now(),
            bytes: 0,
            sampling,
            engines: BTreeSet::new(),
            ends: HashMap::new(),
            unmerged: HashMap::new(),
            jobs: HashMap::new(),
            waiting: 0,
            running: 0,
            counted: 0,
        })
    }

    /// Writes until the end, and returns what went wrong. Then nothing more is written, but records are taken all the
    /// same: nobody is to wait for them.
    pub(super) fn run(&mut self, inbox: &Receiver<Record>) -> io::Result<()> {
        let mut written = Ok(());
        let mut looked = Instant::now();
        let mut flushed = looked;
        let mut record = inbox.recv().ok();
        if matches!(record, None | Some(Record::End { .. })) {
            // Nothing has happened: what was there before stays as it was.
            if self.is_new {
                let _ = std::fs::remove_file(&self.path);
            }
            return Ok(());
        }
        written = written.and_then(|()| self.start());
        loop {
            if let Some(record) = record.take() {
                let is_end = matches!(record, Record::End { .. });
                if written.is_ok() {
                    written = self.write(record);
                }
                if is_end {
                    break;
                }
            }
            let now = Instant::now();
            if written.is_ok() && now.duration_since(looked) >= INTERVAL {
                looked = now;
                written = self.look();
            }
            if written.is_ok() && now.duration_since(flushed) >= FLUSHED {
                flushed = now;
                written = self.out.flush();
            }
            record = match inbox.recv_timeout(INTERVAL) {
                Ok(record) => Some(record),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
        }
        written.and_then(|()| self.finish())
    }

    /// Empties the file, and begins it.
    fn start(&mut self) -> io::Result<()> {
        let file = match &self.out {
            Out::Plain(out) => out.get_ref(),
            Out::Compressed(out) => out.get_ref().get_ref(),
            Out::Gone => return Ok(()),
        };
        // A pipe or a device has no length.
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        self.bytes += 1;
        self.out.write_all(b"[")?;
        let name = quoted(&self.name);
        self.metadata(0, "process_name", &name)?;
        self.thread(MERGE_THREAD, "merge")?;
        self.thread(MODULE_THREAD, "modules")
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.write_all(b"\n]\n")?;
        match std::mem::replace(&mut self.out, Out::Gone) {
            Out::Plain(mut out) => out.flush(),
            Out::Compressed(out) => out.finish()?.flush(),
            Out::Gone => Ok(()),
        }
    }

    fn write(&mut self, record: Record) -> io::Result<()> {
        match record {
            Record::Submitted { count, at } => {
                self.waiting += signed(count);
                self.count(self.time(at))
            }
            Record::Begun { count, at } => {
                self.waiting -= signed(count);
                self.running += signed(count);
                self.count(self.time(at))
            }
            Record::Ended(batch) => self.ended(&batch),
            Record::Merged(merge) => self.merged(&merge),
            Record::Prepared {
                module,
                took,
                was_cached,
                at,
            } => {
                let what = if was_cached { "load" } else { "compile" };
                let name = quoted(&format!("{what} {module}"));
                let length = nanoseconds(took);
                let start = self.time(at).saturating_sub(length);
                let start = self.place(MODULE_THREAD, start, length);
                self.slice(MODULE_THREAD, "module", &name, (start, length), "")
            }
            Record::JobBegun { job, name } => {
                if self.jobs.len() < MOST_JOBS {
                    self.jobs.insert(job, name);
                }
                Ok(())
            }
            Record::JobEnded { ended, at } => {
                let name = self.jobs.remove(&ended.job);
                let name = quoted(name.as_deref().unwrap_or("job"));
                let end = self.time(at);
                let start = end.saturating_sub(nanoseconds(ended.wall_time));
                let arguments = format!(
                    r#""job":{},"success":{},"wall_time_s":{}"#,
                    ended.job.0,
                    ended.success,
                    ended.wall_time.as_secs_f64()
                );
                self.span(
                    "job",
                    &format!("job {}", ended.job.0),
                    &name,
                    (start, end),
                    &arguments,
                )
            }
            Record::Event { text, at } => {
                let time = micros(self.time(at));
                let name = quoted(&text);
                self.event(&format!(
                    r#""ph":"i","s":"g","cat":"cluster","name":{name},"ts":{time},"tid":0"#
                ))
            }
            Record::End { tasks, serial_time } => self.last_words(tasks, serial_time),
        }
    }

    fn last_words(&mut self, tasks: u64, serial_time: u64) -> io::Result<()> {
        self.counted = 0;
        self.count(self.time(SystemTime::now()))?;
        let written = self.sampling.written();
        let text = format!(
            r#"{{"tasks":{tasks},"tasks_written":{written},"sampled":{},"serial_time_s":{},"version":"{}"}}"#,
            written < tasks,
            Duration::from_nanos(serial_time).as_secs_f64(),
            env!("CARGO_PKG_VERSION")
        );
        self.event(&format!(
            r#""ph":"M","name":"rwasm_cluster_trace","tid":0,"args":{text}"#
        ))
    }

    fn ended(&mut self, batch: &EndedBatch) -> io::Result<()> {
        if batch.has_begun {
            self.running -= signed(batch.count);
        } else {
            self.waiting -= signed(batch.count);
        }
        self.count(self.time(batch.at))?;
        let name = quoted(&batch.function);
        for row in &batch.tasks {
            self.task(batch, &name, row)?;
        }
        Ok(())
    }

    /// Writes a task: its slice with those of its phases, what it waited for, and the arrows of results.
    fn task(&mut self, batch: &EndedBatch, name: &str, row: &Row) -> io::Result<()> {
        let thread = row.engine.saturating_add(FIRST_ENGINE);
        if self.engines.insert(row.engine) {
            self.thread(thread, &format!("engine {}", row.engine))?;
        }
        let length = nanoseconds(row.run_time);
        let start = self.place(thread, self.time(row.started), length);
        let mut arguments = format!(
            r#""task":{},"attempt":{},"peak_memory":{},"bytes_in":{},"bytes_out":{}"#,
            row.index, row.attempt, row.peak_memory, row.bytes_in, row.bytes_out
        );
        if let Some(code) = row.code {
            let _ = write!(arguments, r#","failed":"{}""#, code.name());
        }
        let kind = match (batch.is_merge, row.code) {
            (false, None) => "task",
            (false, Some(_)) => "task,failed",
            (true, None) => "task,merge",
            (true, Some(_)) => "task,merge,failed",
        };
        let id = format!("{}.{}", batch.dispatch.0, row.place);
        self.slice(thread, kind, name, (start, length), &arguments)?;
        let phases = [row.instantiated, row.called].map(|end| end.map(nanoseconds));
        if let [Some(instantiated), called] = phases {
            let instantiated = instantiated.min(length);
            let called = called.unwrap_or(length).clamp(instantiated, length);
            let parts = [
                ("instantiate", 0, instantiated),
                ("call", instantiated, called),
                ("lift", called, length),
            ];
            for (name, from, to) in parts {
                if to > from {
                    let name = quoted(name);
                    self.slice(thread, "phase", &name, (start + from, to - from), "")?;
                }
            }
        }
        let queued = self.time(row.queued);
        if queued < start {
            self.span("queue", &id, name, (queued, start), "")?;
        }
        let this = TaskRef {
            dispatch: batch.dispatch,
            place: row.place,
        };
        if batch.is_merge {
            self.arrows(&batch.parts, thread, start)?;
        }
        if batch.is_merged && row.code.is_none() && self.unmerged.len() < MOST_KNOWN {
            self.unmerged.insert(this, (thread, start + length));
        }
        self.sampling.count();
        if let Some(stride) = self.sampling.adapt(self.bytes) {
            let time = micros(start + length);
            let name = match stride {
                0 => quoted("no more tasks are in this trace: it is as large as it may be"),
                stride => quoted(&format!(
                    "from here on 1 of {stride} tasks is in this trace"
                )),
            };
            self.event(&format!(
                r#""ph":"i","s":"g","cat":"trace","name":{name},"ts":{time},"tid":0"#
            ))?;
        }
        Ok(())
    }

    fn merged(&mut self, merge: &Merge) -> io::Result<()> {
        let length = nanoseconds(merge.took);
        let start = self.place(MERGE_THREAD, self.time(merge.started), length);
        let arguments = format!(r#""results":{}"#, merge.parts.len());
        let name = quoted("merge");
        self.slice(MERGE_THREAD, "merge", &name, (start, length), &arguments)?;
        self.arrows(&merge.parts, MERGE_THREAD, start)?;
        // It counts into the room of the file.
        self.sampling.adapt(self.bytes);
        Ok(())
    }

    /// Draws an arrow from each task of these to the slice that begins there, and what its result waited for.
    fn arrows(&mut self, parts: &[TaskRef], thread: u32, start: u64) -> io::Result<()> {
        for part in parts {
            let Some((from, end)) = self.unmerged.remove(part) else {
                continue;
            };
            let id = format!("{}.{}", part.dispatch.0, part.place);
            // An arrow goes forward, and a clock elsewhere may be ahead.
            let time = micros(end.min(start));
            let name = r#""cat":"merge","name":"result""#;
            self.event(&format!(
                r#""ph":"s",{name},"id":"{id}","ts":{time},"tid":{from}"#
            ))?;
            let time = micros(start);
            self.event(&format!(
                r#""ph":"f","bp":"e",{name},"id":"{id}","ts":{time},"tid":{thread}"#
            ))?;
            if end < start {
                self.span(
                    "merge",
                    &format!("m{id}"),
                    &quoted("waits for its merge"),
                    (end, start),
                    "",
                )?;
            }
        }
        Ok(())
    }

    /// Finds room for a slice on its thread: not before the end of the last one.
    fn place(&mut self, thread: u32, start: u64, length: u64) -> u64 {
        let end = self.ends.entry(thread).or_default();
        let start = start.max(*end);
        *end = start + length;
        start
    }

    fn slice(
        &mut self,
        thread: u32,
        kind: &str,
        name: &str,
        (start, length): (u64, u64),
        arguments: &str,
    ) -> io::Result<()> {
        let (start, length) = (micros(start), micros(length));
        self.event(&format!(
            r#""ph":"X","cat":"{kind}","name":{name},"ts":{start},"dur":{length},"tid":{thread},"args":{{{arguments}}}"#
        ))
    }

    /// Writes something that may overlap with others of its kind.
    fn span(
        &mut self,
        kind: &str,
        id: &str,
        name: &str,
        (start, end): (u64, u64),
        arguments: &str,
    ) -> io::Result<()> {
        let event = format!(r#""cat":"{kind}","id":"{id}","name":{name},"tid":0"#);
        let (start, end) = (micros(start), micros(end));
        self.event(&format!(
            r#""ph":"b",{event},"ts":{start},"args":{{{arguments}}}"#
        ))?;
        self.event(&format!(r#""ph":"e",{event},"ts":{end}"#))
    }

    /// Writes how many tasks wait and run, unless that was just written.
    fn count(&mut self, time: u64) -> io::Result<()> {
        if time < self.counted || self.sampling.is_over() && self.counted > 0 {
            return Ok(());
        }
        self.counted = time + COUNTED;
        let (waiting, running) = (self.waiting.max(0), self.running.max(0));
        let time = micros(time);
        self.event(&format!(
            r#""ph":"C","name":"tasks","ts":{time},"tid":0,"args":{{"running":{running},"waiting":{waiting}}}"#
        ))
    }

    /// Writes what memory this process has.
    fn look(&mut self) -> io::Result<()> {
        let Some(bytes) = resident_memory().filter(|_| !self.sampling.is_over()) else {
            return Ok(());
        };
        let time = micros(self.time(SystemTime::now()));
        self.event(&format!(
            r#""ph":"C","name":"memory","ts":{time},"tid":0,"args":{{"resident":{bytes}}}"#
        ))
    }

    fn thread(&mut self, thread: u32, name: &str) -> io::Result<()> {
        self.metadata(thread, "thread_name", &quoted(name))?;
        self.event(&format!(
            r#""ph":"M","name":"thread_sort_index","tid":{thread},"args":{{"sort_index":{thread}}}"#
        ))
    }

    fn metadata(&mut self, thread: u32, what: &str, name: &str) -> io::Result<()> {
        self.event(&format!(
            r#""ph":"M","name":"{what}","tid":{thread},"args":{{"name":{name}}}"#
        ))
    }

    fn event(&mut self, event: &str) -> io::Result<()> {
        let comma = if self.bytes > 1 { "," } else { "" };
        let line = format!("{comma}\n{{{event},\"pid\":{PROCESS}}}");
        if self.sampling.is_full(self.bytes + line.len() as u64)
            && !event.contains("rwasm_cluster_trace")
        {
            return Ok(());
        }
        self.bytes += line.len() as u64;
        self.out.write_all(line.as_bytes())
    }

    /// Nanoseconds since the trace was begun.
    fn time(&self, at: SystemTime) -> u64 {
        at.duration_since(self.begun).map_or(0, nanoseconds)
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}

/// Nanoseconds as the format writes times.
fn micros(nanoseconds: u64) -> String {
    format!("{}.{:03}", nanoseconds / 1000, nanoseconds % 1000)
}

/// A text of a module or user as JSON, cut if it is long.
fn quoted(text: &str) -> String {
    serde_json::Value::from(beginning(text, LONGEST)).to_string()
}
