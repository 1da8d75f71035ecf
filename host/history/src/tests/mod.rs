//! The history through its own API: what is told, kept, bounded, shared and refused.

mod bounds;
mod foreign;
mod queries;
mod records;
mod sharing;

use super::*;
use rwasm_value::value::{Packed, Type, Value};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A directory with a history in it.
struct HistoryFile {
    dir: tempfile::TempDir,
}

impl HistoryFile {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("history.db")
    }

    fn settings(&self) -> HistorySettings {
        HistorySettings::new(self.path())
    }

    fn open(&self) -> History {
        History::open(self.settings()).expect("opened")
    }

    /// Opened with small bounds.
    fn bounded(&self, max_rows: u64, max_bytes: ByteSize) -> History {
        let settings = HistorySettings {
            max_rows,
            max_bytes,
            ..self.settings()
        };
        History::open(settings).expect("opened")
    }

    /// Every file with its bytes.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(self.dir.path()).expect("listed");
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("entry").path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), std::fs::read(path).expect("read")))
            .collect();
        files.sort();
        files
    }

    /// A connection past the history, for what a test does to the file.
    fn raw(&self) -> Connection {
        let raw = Connection::open(self.path()).expect("opened");
        raw.busy_timeout(Duration::from_secs(5)).expect("set");
        raw
    }
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn new_job(label: &str) -> NewJob {
    NewJob {
        kind: JobKind::Map,
        module_path: Some("/modules/numbers.wasm".into()),
        module_hash: "ab12".repeat(16),
        module_name: "numbers".to_owned(),
        function: "add-one".to_owned(),
        label: Some(label.to_owned()),
        repeats: None,
        options: json!({ "retries": 3 }),
        submitted: time(0),
        inputs: vec![InputEntry::new("-")],
    }
}

fn done() -> JobEnd {
    JobEnd {
        state: JobState::Done,
        ended: time(9),
        result: None,
        stats: json!({ "tasks": 1 }),
        message: None,
    }
}

fn packed(number: u64) -> Packed {
    Packed::pack(&Value::U64(number), &Type::U64).expect("fits")
}

fn bytes(length: usize, byte: u8) -> Packed {
    Packed::pack(&Value::from(vec![byte; length]), &Type::bytes()).expect("fits")
}

/// A task that was given its index and gave the number after it.
fn task(index: u64) -> TaskEntry {
    TaskEntry {
        result: Kept::Value(packed(index + 1)),
        ..TaskEntry::new(
            index,
            TaskState::Done,
            RecordedInput::Stored(vec![packed(index)]),
        )
    }
}

/// A task with an input of this many bytes.
fn heavy(index: u64, length: usize) -> TaskEntry {
    let byte = u8::try_from(index % 251).expect("a byte");
    let input = RecordedInput::Stored(vec![bytes(length, byte)]);
    TaskEntry::new(index, TaskState::Done, input)
}

/// Records a job of tasks that is done.
fn record(history: &History, label: &str, tasks: Vec<TaskEntry>) -> JobKey {
    let recorder = history.begin(&new_job(label)).expect("begun");
    recorder.tasks(tasks);
    recorder.end(done());
    recorder.flush();
    assert_eq!(recorder.error(), None);
    recorder.key()
}

fn indices(history: &History, key: JobKey) -> Vec<u64> {
    let tasks = history.tasks(key, &TaskQuery::default()).expect("read");
    tasks.iter().map(|task| task.index).collect()
}
