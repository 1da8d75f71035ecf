//! What a guest emits while it runs (output, log lines, published values, progress), and the part
//! that is kept after it has ended.
//!
//! Everything here is bounded: what exceeds a bound is dropped and counted. This module does not
//! know who listens or what they do with it.

use crate::limits::Limits;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// The most published values, by name, that are kept of one task.
pub const MAX_PUBLISHED_NAMES: usize = 64;

/// The longest name of a published value, in bytes.
pub const MAX_PUBLISHED_NAME: usize = 256;

/// The overhead of a kept line beside its text; counted so that empty lines are bounded too.
const LINE_COST: usize = size_of::<LogLine>();

/// Something that a guest emitted while it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskNote {
    /// It wrote to stdout. A command's stdout is its result, so it emits no such note.
    Stdout(Bytes),
    /// It wrote to stderr.
    Stderr(Bytes),
    /// It logged a line.
    Log {
        /// The severity.
        level: LogLevel,
        /// The line, truncated to the limit on logs.
        message: String,
    },
    /// It reported its progress.
    Progress {
        /// The steps done.
        done: u64,
        /// The steps in total, if known.
        total: Option<u64>,
    },
    /// It published an intermediate value.
    Published {
        /// The name of the value.
        name: Arc<str>,
        /// The value: text or bytes verbatim, anything else as JSON by convention.
        bytes: Bytes,
    },
}

impl TaskNote {
    /// Returns how many bytes of memory it takes beside its own.
    #[doc(hidden)]
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Stdout(bytes) | Self::Stderr(bytes) => bytes.len(),
            Self::Log { message, .. } => message.len(),
            Self::Progress { .. } => 0,
            Self::Published { name, bytes } => name.len() + bytes.len(),
        }
    }
}

/// The severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// Information that helps to find a bug.
    Debug,
    /// Information for users.
    Info,
    /// Something that may be wrong.
    Warn,
    /// Something that is wrong.
    Error,
}

impl LogLevel {
    /// All levels, in the order of their WIT numbers.
    #[doc(hidden)]
    pub const ALL: [Self; 5] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warn,
        Self::Error,
    ];

    /// Returns the name in WIT and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Receives the notes of tasks while they run. Called on the engine's thread, within the task's
/// time, so it should return quickly.
#[doc(hidden)]
pub trait Listener: Send + Sync {
    /// Receives a note of the task `task`.
    fn note(&self, task: u64, note: TaskNote);
}

/// Keeps what a task has used and printed where it outlives the process that runs the task. Called on the engine's thread.
#[doc(hidden)]
pub trait Recorder: Send + Sync {
    /// The next task begins.
    fn begin(&self);
    /// It has so many bytes of memory, more than before.
    fn peak_memory(&self, bytes: u64);
    /// It has read so many bytes of its input in all, which flows to it.
    fn bytes_read(&self, bytes: u64);
    /// It has used so much fuel, as far as that is counted and known.
    fn fuel(&self, used: u64);
    /// It printed these bytes.
    fn printed(&self, output: StandardOutput, bytes: &[u8]);
}

/// An output that every task has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum StandardOutput {
    Stdout,
    Stderr,
}

/// The notes of a task that are kept after it has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// The first lines that it logged, up to the limit on logs.
    pub log: Vec<LogLine>,
    /// The number of lines that were dropped or truncated because of that limit.
    pub log_dropped: u64,
    /// The last value published under each name, in the order of first publication.
    pub published: Vec<Published>,
    /// The number of publications that were dropped: too many names, too long a name, or too many
    /// bytes.
    pub published_dropped: u64,
    /// The last progress that it reported.
    pub progress: Option<Progress>,
}

/// A line of a task's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The severity.
    pub level: LogLevel,
    /// The text.
    pub message: String,
}

/// A value that a task published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its name.
    pub name: Arc<str>,
    /// The value: text or bytes verbatim, anything else as JSON by convention.
    pub bytes: Bytes,
}

/// The progress of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The steps done.
    pub done: u64,
    /// The steps in total, if known.
    pub total: Option<u64>,
}

impl Notes {
    /// Returns the value last published under that name.
    #[must_use]
    pub fn published(&self, name: &str) -> Option<&Bytes> {
        self.published
            .iter()
            .find(|published| *published.name == *name)
            .map(|published| &published.bytes)
    }

    /// Returns about how many bytes of memory these notes take.
    #[must_use]
    pub fn size(&self) -> u64 {
        let lines: usize = self.log.iter().map(LogLine::size).sum();
        let values: usize = self.published.iter().map(Published::size).sum();
        (lines + values) as u64
    }
}

impl LogLine {
    fn size(&self) -> usize {
        self.message.len() + LINE_COST
    }
}

impl Published {
    fn size(&self) -> usize {
        self.name.len() + self.bytes.len()
    }
}

/// Receives the notes of one task, bounds them, and passes them on to the listener.
pub(crate) struct NoteTaker {
    notes: Option<Box<Notes>>,
    log_room: usize,
    longest_line: usize,
    published_room: usize,
    largest_value: usize,
    task: u64,
    listener: Option<Arc<dyn Listener>>,
}

impl NoteTaker {
    /// Collects the notes of `task`, within `limits`.
    pub(crate) fn new(limits: &Limits, task: u64, listener: Option<Arc<dyn Listener>>) -> Self {
        Self {
            notes: None,
            log_room: limits.logs.as_usize(),
            longest_line: limits.logs.as_usize(),
            published_room: limits.output.as_usize(),
            largest_value: limits.output.as_usize(),
            task,
            listener,
        }
    }

    /// Returns what was kept, if the task emitted anything.
    pub(crate) fn take(&mut self) -> Option<Box<Notes>> {
        self.notes.take()
    }

    /// Adds a log line.
    pub(crate) fn log(&mut self, level: LogLevel, message: &str) {
        let room = self.log_room.saturating_sub(LINE_COST);
        let kept = &message[..message.floor_char_boundary(room)];
        let notes = self.notes.get_or_insert_default();
        if kept.len() < message.len() {
            notes.log_dropped += 1;
        }
        // Part of a line is better than none, but an empty part is useless.
        if self.log_room >= LINE_COST && (!kept.is_empty() || message.is_empty()) {
            self.log_room -= kept.len() + LINE_COST;
            let message = kept.to_owned();
            notes.log.push(LogLine { level, message });
        } else if message.is_empty() {
            notes.log_dropped += 1;
        }
        if let Some(listener) = &self.listener {
            let message = message[..message.floor_char_boundary(self.longest_line)].to_owned();
            listener.note(self.task, TaskNote::Log { level, message });
        }
    }

    /// Sets the progress.
    pub(crate) fn progress(&mut self, done: u64, total: Option<u64>) {
        self.notes.get_or_insert_default().progress = Some(Progress { done, total });
        if let Some(listener) = &self.listener {
            listener.note(self.task, TaskNote::Progress { done, total });
        }
    }

    /// Publishes a value. The listener does not receive one that is too large by itself.
    pub(crate) fn publish(&mut self, name: &str, value: &[u8]) {
        let notes = self.notes.get_or_insert_default();
        if name.len() > MAX_PUBLISHED_NAME || value.len() > self.largest_value {
            notes.published_dropped += 1;
            return;
        }
        let known = notes
            .published
            .iter()
            .position(|published| *published.name == *name);
        let freed = known.map_or(0, |idx| notes.published[idx].size());
        let size = name.len() + value.len();
        let fits = size <= self.published_room + freed
            && (known.is_some() || notes.published.len() < MAX_PUBLISHED_NAMES);
        if !fits {
            notes.published_dropped += 1;
        }
        if !fits && self.listener.is_none() {
            return;
        }
        let name = match known {
            Some(idx) => Arc::clone(&notes.published[idx].name),
            None => Arc::from(name),
        };
        let bytes = Bytes::copy_from_slice(value);
        if fits {
            self.published_room = self.published_room + freed - size;
            let published = Published {
                name: Arc::clone(&name),
                bytes: bytes.clone(),
            };
            match known {
                Some(idx) => notes.published[idx] = published,
                None => notes.published.push(published),
            }
        }
        if let Some(listener) = &self.listener {
            listener.note(self.task, TaskNote::Published { name, bytes });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rwasm_value::units::ByteSize;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Heard(Mutex<Vec<(u64, TaskNote)>>);

    impl Listener for Heard {
        fn note(&self, task: u64, note: TaskNote) {
            self.0.lock().unwrap().push((task, note));
        }
    }

    fn taker(logs: u64, output: u64) -> NoteTaker {
        let limits = Limits {
            logs: ByteSize::new(logs),
            output: ByteSize::new(output),
            ..Limits::default()
        };
        NoteTaker::new(&limits, 7, None)
    }

    #[test]
    fn a_task_that_tells_nothing_leaves_nothing() {
        assert_eq!(taker(100, 100).take(), None);
    }

    #[test]
    fn log_lines_fill_their_limit_and_the_rest_is_counted() {
        let cost = LINE_COST as u64;
        let mut taker = taker(2 * cost + 8, 0);
        taker.log(LogLevel::Warn, "first");
        taker.log(LogLevel::Info, "zwölf");
        taker.log(LogLevel::Info, "third");
        taker.log(LogLevel::Info, "");
        let notes = taker.take().unwrap();
        let kept: Vec<&str> = notes.log.iter().map(|line| &line.message[..]).collect();
        // Three bytes were left, and the third letter takes the third and a fourth.
        assert_eq!(kept, ["first", "zw"]);
        assert_eq!(notes.log_dropped, 3);
        assert!(notes.size() <= 2 * cost + 8);
    }

    #[test]
    fn empty_lines_have_an_end_too() {
        let mut taker = taker(64 << 10, 0);
        for _ in 0..100_000 {
            taker.log(LogLevel::Trace, "");
        }
        let notes = taker.take().unwrap();
        assert!(notes.log.len() < 10_000);
        assert_eq!(notes.log.len() as u64 + notes.log_dropped, 100_000);
    }

    #[test]
    fn of_each_name_the_last_value_is_kept_within_the_limit() {
        let mut taker = taker(0, 12);
        taker.publish("a", b"12345");
        taker.publish("a", b"54321");
        taker.publish("b", b"1234");
        taker.publish("c", b"1");
        taker.publish("a", b"1234567");
        taker.publish("a", b"");
        taker.publish("c", b"1");
        let notes = taker.take().unwrap();
        let kept: Vec<(&str, &[u8])> = notes
            .published
            .iter()
            .map(|published| (&*published.name, &published.bytes[..]))
            .collect();
        assert_eq!(kept, [("a", &b""[..]), ("b", b"1234"), ("c", b"1")]);
        assert_eq!(notes.published_dropped, 2);
        assert_eq!(notes.published("b"), Some(&Bytes::from_static(b"1234")));
    }

    #[test]
    fn names_are_bounded_in_number_and_length() {
        let mut taker = taker(0, 1 << 20);
        for n in 0..1000 {
            taker.publish(&format!("name-{n}"), b"value");
        }
        taker.publish(&"x".repeat(MAX_PUBLISHED_NAME + 1), b"value");
        let notes = taker.take().unwrap();
        assert_eq!(notes.published.len(), MAX_PUBLISHED_NAMES);
        assert_eq!(notes.published_dropped, 1001 - MAX_PUBLISHED_NAMES as u64);
    }

    #[test]
    fn who_listens_hears_more_than_is_kept() {
        let heard = Arc::new(Heard::default());
        let mut taker = taker(0, 6);
        taker.listener = Some(heard.clone());
        taker.publish("a", b"12345");
        taker.publish("b", b"1");
        taker.publish("c", b"1234567");
        taker.log(LogLevel::Info, "line");
        taker.progress(1, Some(2));
        let notes = taker.take().unwrap();
        assert_eq!((notes.published.len(), notes.published_dropped), (1, 2));
        let published = |name: &str, bytes: &'static [u8]| TaskNote::Published {
            name: name.into(),
            bytes: Bytes::from_static(bytes),
        };
        let wanted = [
            published("a", b"12345"),
            published("b", b"1"),
            TaskNote::Log {
                level: LogLevel::Info,
                // No longer than the limit, which is 0 here.
                message: String::new(),
            },
            TaskNote::Progress {
                done: 1,
                total: Some(2),
            },
        ];
        assert_eq!(
            *heard.0.lock().unwrap(),
            wanted.map(|note| (7, note)).to_vec()
        );
    }
}
