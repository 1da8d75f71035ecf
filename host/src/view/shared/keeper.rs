//! Where the jobs of a cluster are recorded, and what is recorded of each task.

use crate::events::{ClusterEvent, EventSender};
use rwasm_history::{
    AttemptEntry, History, InputEntry, JobKey, JobKind, Kept, NewJob, RecordedInput, Recorder,
    TaskEntry, TaskState,
};
use rwasm_sandbox::outcome::{Attempt, Failure, FailureCode, Usage};
use rwasm_sandbox::sandbox::ModuleInfo;
use rwasm_value::units::ByteSize;
use rwasm_value::value::Packed;
use serde_json::Value as Json;
use std::path::Path;
use std::time::SystemTime;

/// What is recorded of the results of tasks.
#[derive(Clone, Copy)]
pub(crate) enum Results {
    /// Each, if it is small.
    Kept,
    /// None: they are parts of the job's.
    Merged,
    /// None: whoever has the job's handle has read their elements.
    Read,
}

/// Where the jobs of a cluster are recorded.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) history: History,
    events: EventSender,
}

/// What is recorded of a job when it begins.
pub(crate) struct Beginning<'a> {
    pub(crate) kind: JobKind,
    pub(crate) module: &'a ModuleInfo,
    pub(crate) function: &'a str,
    pub(crate) label: Option<&'a str>,
    pub(crate) repeats: Option<JobKey>,
    pub(crate) options: Json,
    pub(crate) inputs: Vec<InputEntry>,
}

impl Keeper {
    pub(crate) fn new(history: History, events: EventSender) -> Self {
        Self { history, events }
    }

    pub(crate) fn begin(&self, beginning: Beginning<'_>) -> Option<Recorder> {
        let Beginning {
            kind,
            module,
            function,
            label,
            repeats,
            options,
            inputs,
        } = beginning;
        let begun = self.history.begin(&NewJob {
            kind,
            module_path: module.path().map(Path::to_owned),
            module_hash: module.hash().to_string(),
            module_name: module.name().to_owned(),
            function: function.to_owned(),
            label: label.map(str::to_owned),
            repeats,
            options: with_addition(options, module),
            submitted: SystemTime::now(),
            inputs,
        });
        match begun {
            Ok(recorder) => Some(recorder),
            Err(error) => {
                self.lost(&error.to_string());
                None
            }
        }
    }

    /// What is recorded of a task that has ended, but for its input.
    pub(crate) fn entry(
        &self,
        index: u64,
        result: Result<&Packed, &Failure>,
        usage: &Usage,
        results: Results,
    ) -> TaskEntry {
        let state = match result {
            Ok(_) => TaskState::Done,
            Err(failure) if failure.code == FailureCode::Cancelled => TaskState::Cancelled,
            Err(_) => TaskState::Failed,
        };
        let mut entry = TaskEntry::new(index, state, RecordedInput::Elsewhere(String::new()));
        match result {
            Ok(value) => match results {
                Results::Kept => entry.result = self.kept(value),
                Results::Merged => {}
                Results::Read => {
                    entry.result = Kept::LeftOut {
                        bytes: usage.bytes_out,
                        reason: "its elements were read one by one".to_owned(),
                    };
                }
            },
            Err(failure) => {
                entry.code = Some(failure.code.name().to_owned());
                entry.message = Some(failure.message.clone());
                entry.backtrace.clone_from(&failure.backtrace);
            }
        }
        let last = Attempt {
            number: usage.attempt,
            engine: usage.engine,
            started: usage.started,
            run_time: usage.run_time,
            failure: result.err().cloned(),
        };
        entry.attempts = usage
            .earlier
            .iter()
            .chain(std::iter::once(&last))
            .filter_map(attempt_entry)
            .collect();
        entry.engine = usage.engine;
        entry.queued = Some(usage.queued);
        entry.started = usage.engine.map(|_| usage.started);
        entry.finished = usage.engine.map(|_| usage.finished());
        entry.run_time = usage.run_time;
        entry.peak_memory = usage.peak_memory;
        entry.bytes_in = usage.bytes_in;
        entry.bytes_out = usage.bytes_out;
        entry.fuel = usage.fuel;
        if let Some(logs) = &usage.logs {
            entry.stderr = logs.stderr.text().into_bytes();
        }
        entry
    }

    pub(crate) fn kept(&self, value: &Packed) -> Kept {
        let most = self.most();
        let bytes = value.len() as u64;
        if bytes <= most.bytes() {
            return Kept::Value(value.clone());
        }
        let reason = too_large(bytes, most);
        Kept::LeftOut { bytes, reason }
    }

    pub(crate) fn most(&self) -> ByteSize {
        self.history.settings().small_input
    }

    /// Tells of a recorder that has gone off.
    pub(crate) fn check(&self, recorder: &Recorder) {
        if let Some(error) = recorder.error() {
            self.lost(&error.to_string());
        }
    }

    pub(crate) fn lost(&self, reason: &str) {
        tracing::warn!("{reason}");
        self.events.tell(ClusterEvent::HistoryLost(reason.into()));
    }
}

/// Adds the ABI or the script of a module that has one: the file of the module need not state it.
fn with_addition(mut options: Json, module: &ModuleInfo) -> Json {
    if let Some(options) = options.as_object_mut() {
        if let Some(abi) = module.abi() {
            options.insert("abi".to_owned(), abi.to_string().into());
        }
        if let Some(script) = module.script() {
            options.insert("script".to_owned(), script.into());
        }
    }
    options
}

pub(crate) fn too_large(bytes: u64, most: ByteSize) -> String {
    let bytes = ByteSize::new(bytes);
    format!("it has {bytes}, more than the {most} that are kept")
}

fn attempt_entry(attempt: &Attempt) -> Option<AttemptEntry> {
    let mut entry = AttemptEntry::new(attempt.engine?, attempt.started, attempt.run_time);
    if let Some(failure) = &attempt.failure {
        entry.code = Some(failure.code.name().to_owned());
        entry.message.clone_from(&failure.message);
    }
    Some(entry)
}
