//! A timeline of the tasks of a cluster in one file, in Chrome's trace event format, which Perfetto and speedscope open.
//!
//! It is written while the cluster runs, by a thread of its own, as an array that may be cut off anywhere. Half of its room
//! has every task; the other half has fewer and fewer of them ([`Sampling`]), so that a file of bounded size covers a job of
//! any length. Failed tasks are kept as long as there is room. A thread that reports tasks waits for the writer while that
//! is behind, so nothing is lost that the sampling keeps.

mod sampling;
mod writer;

use super::{
    EndedJob, EndedTask, ObservedJob, ObservedMerge, ObservedTasks, Observer, PreparedModule,
    TaskRef,
};
use crate::events::ClusterEvent;
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::outcome::FailureCode;
use rwasm_value::ids::{DispatchId, JobId};
use rwasm_value::units::ByteSize;
use sampling::Sampling;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use writer::Writer;

/// Batches of records that wait for the writer; each has the tasks of one answer.
const WAITING: usize = 256;

/// A trace that is being written. Cheap to clone: all clones stand for one file.
///
/// # Examples
///
/// ```no_run
/// use rwasm_cluster::{Cluster, Trace};
///
/// let trace = Trace::create("job.json.gz".as_ref(), Trace::LIMIT, "job")?;
/// let cluster = Cluster::builder().observe(trace.clone()).start()?;
/// // … jobs …
/// drop(cluster);
/// let summary = trace.finish()?;
/// println!("{} of {} tasks are in the file", summary.written, summary.tasks);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Trace(Arc<Shared>);

struct Shared {
    path: PathBuf,
    records: Mutex<Option<SyncSender<Record>>>,
    thread: Mutex<Option<JoinHandle<Result<(), std::io::Error>>>>,
    sampling: Arc<Sampling>,
    /// All tasks that ran, and their run times in nanoseconds.
    tasks: AtomicU64,
    serial_time: AtomicU64,
}

/// The trace cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the trace `{}`", path.display())]
pub struct TraceError {
    /// Its file.
    pub path: PathBuf,
    /// The system's error.
    #[source]
    pub source: std::io::Error,
}

/// What is in a trace that was finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceSummary {
    /// The number of tasks that ran.
    pub tasks: u64,
    /// How many of them are in the file.
    pub written: u64,
}

/// What the writer is told.
enum Record {
    Submitted {
        count: u64,
        at: SystemTime,
    },
    Begun {
        count: u64,
        at: SystemTime,
    },
    Ended(Box<EndedBatch>),
    Merged(Merge),
    Prepared {
        module: String,
        took: Duration,
        was_cached: bool,
        at: SystemTime,
    },
    JobBegun {
        job: JobId,
        name: String,
    },
    JobEnded {
        ended: EndedJob,
        at: SystemTime,
    },
    Event {
        text: String,
        at: SystemTime,
    },
    /// The trace is complete, with so many tasks and nanoseconds of run time.
    End {
        tasks: u64,
        serial_time: u64,
    },
}

/// Tasks that ended together.
struct EndedBatch {
    dispatch: DispatchId,
    function: String,
    is_merge: bool,
    is_merged: bool,
    parts: Vec<TaskRef>,
    has_begun: bool,
    count: u64,
    at: SystemTime,
    /// Those of them that are written.
    tasks: Vec<Row>,
}

/// A task as it is written.
struct Row {
    place: u32,
    index: u64,
    attempt: u32,
    engine: u32,
    queued: SystemTime,
    started: SystemTime,
    run_time: Duration,
    instantiated: Option<Duration>,
    called: Option<Duration>,
    peak_memory: u64,
    bytes_in: u64,
    bytes_out: u64,
    code: Option<FailureCode>,
}

/// Results that were merged without a task.
struct Merge {
    started: SystemTime,
    took: Duration,
    parts: Vec<TaskRef>,
}

impl Trace {
    /// How large a file may grow, unless set otherwise: as much as a browser opens without effort.
    pub const LIMIT: ByteSize = ByteSize::new(64 << 20);

    /// The least that a limit may be: room for the last words, and for some tasks before them.
    pub const LEAST: ByteSize = ByteSize::new(64 << 10);

    /// Begins a trace in the file at `path`, compressed if its name ends in `.gz`. It takes up to `limit` bytes, at least
    /// [`Self::LEAST`], before it is compressed. `name` is shown above its engines. A file that is there keeps its content
    /// until something happens.
    ///
    /// # Errors
    /// If the file cannot be opened for writing, or there is no thread.
    pub fn create(path: &Path, limit: ByteSize, name: &str) -> Result<Self, TraceError> {
        let failed = |source| TraceError {
            path: path.to_owned(),
            source,
        };
        let sampling = Arc::new(Sampling::new(limit.bytes().max(Self::LEAST.bytes())));
        let mut writer = Writer::open(path, name, Arc::clone(&sampling)).map_err(failed)?;
        let (records, inbox): (_, Receiver<Record>) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("rwasm-trace".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(failed)?;
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            records: Mutex::new(Some(records)),
            thread: Mutex::new(Some(thread)),
            sampling,
            tasks: AtomicU64::new(0),
            serial_time: AtomicU64::new(0),
        })))
    }

    /// Completes the file: what happens from now on is not in it. Shut the cluster down first. A second call has no effect.
    ///
    /// # Errors
    /// If it could not be written.
    pub fn finish(&self) -> Result<TraceSummary, TraceError> {
        self.0.end().map_err(|source| TraceError {
            path: self.0.path.clone(),
            source,
        })?;
        Ok(TraceSummary {
            tasks: self.0.tasks.load(Ordering::Relaxed),
            written: self.0.sampling.written(),
        })
    }
}

impl Shared {
    fn send(&self, record: Record) {
        // A clone, so that no thread waits for the writer while others wait for the lock.
        let records = lock(&self.records).clone();
        if let Some(records) = records {
            // A writer that has failed says so at the end.
            let _ = records.send(record);
        }
    }

    fn end(&self) -> std::io::Result<()> {
        let records = lock(&self.records).take();
        if let Some(records) = records {
            let _ = records.send(Record::End {
                tasks: self.tasks.load(Ordering::Relaxed),
                serial_time: self.serial_time.load(Ordering::Relaxed),
            });
        }
        match lock(&self.thread).take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(std::io::Error::other("its thread has panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Nobody asked whether it could be written.
        let _ = self.end();
    }
}

impl Observer for Trace {
    fn submitted(&self, tasks: &ObservedTasks<'_>) {
        if self.0.sampling.is_over() {
            return;
        }
        self.0.send(Record::Submitted {
            count: tasks.count as u64,
            at: tasks.queued,
        });
    }

    fn begun(&self, tasks: &ObservedTasks<'_>) {
        if self.0.sampling.is_over() {
            return;
        }
        self.0.send(Record::Begun {
            count: tasks.count as u64,
            at: SystemTime::now(),
        });
    }

    fn ended(&self, tasks: &ObservedTasks<'_>, ended: &[EndedTask<'_>]) {
        let mut rows = Vec::new();
        let (mut ran, mut serial_time) = (0, 0);
        for task in ended {
            let usage = &task.outcome.usage;
            let code = task
                .outcome
                .result
                .as_ref()
                .err()
                .map(|failure| failure.code);
            let Some(engine) = usage.engine.filter(|_| usage.run_time > Duration::ZERO) else {
                continue;
            };
            ran += 1;
            serial_time += u64::try_from(usage.run_time.as_nanos()).unwrap_or(u64::MAX);
            if !self.0.sampling.keeps(code.is_some()) {
                continue;
            }
            let phases = usage.phases.as_ref();
            rows.push(Row {
                place: task.place,
                index: task.index,
                attempt: usage.attempt,
                engine: engine.0,
                queued: usage.queued,
                started: usage.started,
                run_time: usage.run_time,
                instantiated: phases.and_then(|phases| phases.instantiated),
                called: phases.and_then(|phases| phases.called),
                peak_memory: usage.peak_memory,
                bytes_in: usage.bytes_in,
                bytes_out: usage.bytes_out,
                code,
            });
        }
        self.0.tasks.fetch_add(ran, Ordering::Relaxed);
        self.0.serial_time.fetch_add(serial_time, Ordering::Relaxed);
        if self.0.sampling.is_over() && rows.is_empty() {
            return;
        }
        self.0.send(Record::Ended(Box::new(EndedBatch {
            dispatch: tasks.dispatch,
            function: tasks.function.to_owned(),
            is_merge: tasks.is_merge,
            is_merged: tasks.is_merged,
            parts: tasks.parts.to_vec(),
            has_begun: tasks.has_begun,
            count: ended.len() as u64,
            at: SystemTime::now(),
            tasks: rows,
        })));
    }

    fn merged(&self, merge: &ObservedMerge<'_>) {
        if self.0.sampling.keeps(false) {
            self.0.send(Record::Merged(Merge {
                started: merge.started,
                took: merge.took,
                parts: merge.parts.to_vec(),
            }));
        }
    }

    fn prepared(&self, module: &PreparedModule<'_>) {
        self.0.send(Record::Prepared {
            module: module.module.to_owned(),
            took: module.took,
            was_cached: module.was_cached,
            at: SystemTime::now(),
        });
    }

    fn job_submitted(&self, job: &ObservedJob<'_>) {
        let mut name = format!("{} {}", job.kind.name(), job.function);
        if let Some(label) = job.label {
            name = format!("{label}: {name}");
        }
        self.0.send(Record::JobBegun { job: job.job, name });
    }

    fn job_ended(&self, job: &EndedJob) {
        self.0.send(Record::JobEnded {
            ended: *job,
            at: SystemTime::now(),
        });
    }

    fn event(&self, event: &ClusterEvent) {
        let text = match event {
            ClusterEvent::EngineAdded(engine) => format!("engine {engine} was added"),
            ClusterEvent::EngineLost { engine, reason } => {
                format!("engine {engine} was lost: {reason}")
            }
            ClusterEvent::WorkerLost { engine, reason } => {
                format!("engine {engine} lost a worker: {reason}")
            }
            ClusterEvent::EngineReplaced(engine) => format!("engine {engine} was replaced"),
            ClusterEvent::EngineRemoved(engine) => format!("engine {engine} was removed"),
            ClusterEvent::Stalled(reason) => format!("tasks wait: {reason}"),
            _ => return,
        };
        self.0.send(Record::Event {
            text,
            at: SystemTime::now(),
        });
    }

    fn wants_phases(&self) -> bool {
        !self.0.sampling.is_over()
    }
}
