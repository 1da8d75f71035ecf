//! A picture of what a cluster does and has done, of bounded size: what the page of `dashboard` shows, and a report.
//!
//! It is an observer that adds up: the strip of tasks, histograms of run time and memory, the slowest tasks, the latest
//! failures, engines and jobs. Texts of modules and users are kept as they are, cut if they are long: whoever shows them
//! makes text of them, and nothing else.

mod strip;

use super::{
    Advancing, EndedJob, EndedTask, Histogram, ObservedJob, ObservedTasks, Observer,
    PreparedModule, Presence, beginning,
};
use crate::events::ClusterEvent;
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::outcome::Outcome;
use rwasm_value::ids::{EngineId, JobId};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use strip::Strip;

/// How much of each is kept.
const MOST_FUNCTIONS: usize = 200;
const MOST_ENGINES: usize = 4096;
const MOST_JOBS: usize = 100;
const MOST_FAILURES: usize = 50;
const MOST_SLOW: usize = 20;
const MOST_EVENTS: usize = 50;

/// The longest name by which functions are told apart, in bytes.
const LONGEST_KNOWN: usize = 512;

/// The longest name, message and backtrace that are shown, in characters.
const LONGEST_NAME: usize = 120;
const LONGEST_TEXT: usize = 2000;

/// See the [module](self). Cheap to clone: all clones are one picture.
#[derive(Clone)]
#[doc(hidden)]
pub struct Board(Arc<Shared>);

struct Shared {
    begun: SystemTime,
    clock: Instant,
    state: Mutex<State>,
    /// Which engines there are, beside those that have run something.
    present: OnceLock<Presence>,
}

#[derive(Default)]
struct State {
    strip: Strip,
    functions: Names,
    run_times: Histogram,
    memory: Histogram,
    engines: BTreeMap<u32, EngineRow>,
    jobs: VecDeque<JobRow>,
    /// Calls, which are too many to be told apart.
    calls: (u64, u64, u64),
    slowest: Vec<SlowTask>,
    failures: VecDeque<Json>,
    events: VecDeque<Json>,
    codes: BTreeMap<&'static str, u64>,
    waiting: i64,
    running: i64,
    tasks: u64,
    failed: u64,
    merges: u64,
    serial_time: Duration,
    bytes_in: u64,
    bytes_out: u64,
    compiled: u64,
    cached: u64,
    compile_time: Duration,
}

/// The names of functions, by numbers; those that are too many are one.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, u16>,
    names: Vec<String>,
}

impl Names {
    fn number(&mut self, name: &str) -> u16 {
        let name = beginning(name, LONGEST_KNOWN);
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if self.names.len() == MOST_FUNCTIONS {
            self.names.push("other".to_owned());
        }
        let number = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        if self.names.len() > MOST_FUNCTIONS {
            return number - 1;
        }
        self.names.push(cut(name, LONGEST_NAME));
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

#[derive(Default)]
struct EngineRow {
    tasks: u64,
    failed: u64,
    busy: Duration,
    peak_memory: u64,
    /// The function that it ran last.
    function: u16,
    state: &'static str,
    losses: u64,
}

struct JobRow {
    job: JobId,
    kind: &'static str,
    name: String,
    module: String,
    label: Option<String>,
    tenant: Option<String>,
    begun: Instant,
    progress: Option<Arc<dyn Advancing>>,
    done: u64,
    failed: u64,
    ended: Option<(bool, Duration)>,
}

struct SlowTask {
    run_time: Duration,
    shown: Json,
}

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(Shared {
            begun: SystemTime::now(),
            clock: Instant::now(),
            state: Mutex::default(),
            present: OnceLock::new(),
        }))
    }
}

impl Board {
    /// Returns all of it that has changed since a state of the strip that was seen: its generation and change.
    #[doc(hidden)]
    #[must_use]
    pub fn since(&self, seen: (u64, u64)) -> Json {
        let now = self.0.clock.elapsed();
        // Asked without the lock: the answer comes from a thread that may wait for it.
        let present = self.0.present.get().map(|present| (present.0)());
        let mut state = lock(&self.0.state);
        if let Some(present) = present {
            state.set_present(&present);
        }
        json!({
            "begun": self.0.begun.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            "now": u64::try_from(now.as_micros()).unwrap_or(u64::MAX),
            "version": env!("CARGO_PKG_VERSION"),
            "figures": {
                "tasks": state.tasks,
                "failed": state.failed,
                "merges": state.merges,
                "waiting": state.waiting.max(0),
                "running": state.running.max(0),
                "serial_time_s": state.serial_time.as_secs_f64(),
                "bytes_in": state.bytes_in,
                "bytes_out": state.bytes_out,
                "compiled": state.compiled,
                "cached": state.cached,
                "compile_time_s": state.compile_time.as_secs_f64(),
            },
            "codes": state.codes,
            "functions": state.functions.names,
            "engines": state.engines.iter().map(engine_json).collect::<Vec<_>>(),
            "jobs": state.jobs.iter().rev().map(job_json).collect::<Vec<_>>(),
            "calls": { "submitted": state.calls.0, "ended": state.calls.1, "failed": state.calls.2 },
            "run_times": state.run_times.json(),
            "memory": state.memory.json(),
            "slowest": state.slowest.iter().map(|task| &task.shown).collect::<Vec<_>>(),
            "failures": state.failures.iter().rev().collect::<Vec<_>>(),
            "events": state.events.iter().rev().collect::<Vec<_>>(),
            "strip": state.strip.since(seen),
        })
    }

    fn time(&self, at: SystemTime) -> u64 {
        let since = at.duration_since(self.0.begun).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 4)
    }
}

fn engine_json((id, row): (&u32, &EngineRow)) -> Json {
    json!({
        "engine": id,
        "tasks": row.tasks,
        "failed": row.failed,
        "busy_s": row.busy.as_secs_f64(),
        "peak_memory": row.peak_memory,
        "function": row.function,
        "state": row.state,
        "losses": row.losses,
    })
}

fn job_json(row: &JobRow) -> Json {
    let progress = row.progress.as_ref().map(|progress| progress.now());
    let (done, total) = progress.map_or((row.done, None), |now| (now.done, now.total));
    let elapsed = row
        .ended
        .map_or_else(|| row.begun.elapsed(), |(_, wall)| wall);
    json!({
        "job": row.job.0,
        "kind": row.kind,
        "name": row.name,
        "module": row.module,
        "label": row.label,
        "tenant": row.tenant,
        "done": done,
        "total": total,
        "bytes_done": progress.map(|now| now.bytes_done),
        "bytes_total": progress.and_then(|now| now.bytes_total),
        "failed": row.failed,
        "elapsed_s": elapsed.as_secs_f64(),
        "state": match row.ended {
            None => "running",
            Some((true, _)) => "done",
            Some((false, _)) => "failed",
        },
    })
}

impl State {
    /// Marks the engines that there are.
    fn set_present(&mut self, present: &[(EngineId, usize)]) {
        for row in self.engines.values_mut().filter(|row| row.state != "lost") {
            row.state = "gone";
        }
        for (engine, dispatches) in present {
            if self.engines.len() < MOST_ENGINES || self.engines.contains_key(&engine.0) {
                let row = self.engines.entry(engine.0).or_default();
                row.state = if *dispatches > 0 { "busy" } else { "idle" };
            }
        }
    }

    fn task(&mut self, tasks: &ObservedTasks<'_>, task: &EndedTask<'_>, start: u64) {
        let Outcome { result, usage } = task.outcome;
        let failure = result.as_ref().err();
        let function = self.functions.number(tasks.function);
        self.tasks += 1;
        self.failed += u64::from(failure.is_some());
        self.merges += u64::from(tasks.is_merge);
        self.serial_time += usage.run_time;
        self.bytes_in += usage.bytes_in;
        self.bytes_out += usage.bytes_out;
        let length = u64::try_from(usage.run_time.as_nanos()).unwrap_or(u64::MAX / 4);
        if usage.run_time > Duration::ZERO {
            self.run_times.add(length);
            self.memory.add(usage.peak_memory);
        }
        let engine = usage.engine.filter(|_| usage.run_time > Duration::ZERO);
        if let Some(engine) = engine {
            self.strip
                .add(engine.0, function, (start, length), failure.is_some());
            let is_known = self.engines.contains_key(&engine.0);
            if is_known || self.engines.len() < MOST_ENGINES {
                let row = self.engines.entry(engine.0).or_default();
                row.tasks += 1;
                row.failed += u64::from(failure.is_some());
                row.busy += usage.run_time;
                row.peak_memory = row.peak_memory.max(usage.peak_memory);
                row.function = function;
            }
        }
        let shown = || {
            json!({
                "task": task.index,
                "attempt": usage.attempt,
                "function": cut(tasks.function, LONGEST_NAME),
                "engine": usage.engine.map(|engine| engine.0),
                "run_time_s": usage.run_time.as_secs_f64(),
                "peak_memory": usage.peak_memory,
                "at": start / 1000,
            })
        };
        let is_slow = self.slowest.len() < MOST_SLOW
            || self
                .slowest
                .last()
                .is_some_and(|last| last.run_time < usage.run_time);
        if is_slow && usage.run_time > Duration::ZERO {
            let place = self
                .slowest
                .partition_point(|one| one.run_time >= usage.run_time);
            let shown = shown();
            let run_time = usage.run_time;
            self.slowest.insert(place, SlowTask { run_time, shown });
            self.slowest.truncate(MOST_SLOW);
        }
        if let Some(failure) = failure {
            *self.codes.entry(failure.code.name()).or_default() += 1;
            let mut shown = shown();
            shown["code"] = failure.code.name().into();
            shown["message"] = cut(&failure.message, LONGEST_TEXT).into();
            let backtrace = failure.backtrace.as_deref();
            shown["backtrace"] = backtrace.map(|text| cut(text, LONGEST_TEXT)).into();
            keep(&mut self.failures, shown, MOST_FAILURES);
        }
    }
}

impl Observer for Board {
    fn started(&self, presence: &Presence) {
        // The first cluster that is observed stays the one.
        let _ = self.0.present.set(presence.clone());
    }

    fn submitted(&self, tasks: &ObservedTasks<'_>) {
        lock(&self.0.state).waiting += signed(tasks.count);
    }

    fn begun(&self, tasks: &ObservedTasks<'_>) {
        let mut state = lock(&self.0.state);
        state.waiting -= signed(tasks.count);
        state.running += signed(tasks.count);
    }

    fn ended(&self, tasks: &ObservedTasks<'_>, ended: &[EndedTask<'_>]) {
        let mut state = lock(&self.0.state);
        if tasks.has_begun {
            state.running -= signed(ended.len());
        } else {
            state.waiting -= signed(ended.len());
        }
        let mut failed = 0;
        for task in ended {
            failed += u64::from(task.outcome.result.is_err());
            let start = self.time(task.outcome.usage.started);
            state.task(tasks, task, start);
        }
        if let Some(job) = tasks.job {
            let mut jobs = state.jobs.iter_mut().rev();
            if let Some(row) = jobs.find(|row| row.job == job) {
                row.done += ended.len() as u64;
                row.failed += failed;
            }
        }
    }

    fn prepared(&self, module: &PreparedModule<'_>) {
        let mut state = lock(&self.0.state);
        if module.was_cached {
            state.cached += 1;
        } else {
            state.compiled += 1;
            state.compile_time += module.took;
        }
    }

    fn job_submitted(&self, job: &ObservedJob<'_>) {
        let mut state = lock(&self.0.state);
        let Some(progress) = &job.progress else {
            state.calls.0 += 1;
            return;
        };
        if state.jobs.len() >= MOST_JOBS {
            // Those that have ended make room first.
            let ended = state.jobs.iter().position(|row| row.ended.is_some());
            state.jobs.remove(ended.unwrap_or(0));
        }
        state.jobs.push_back(JobRow {
            job: job.job,
            kind: job.kind.name(),
            name: cut(job.function, LONGEST_NAME),
            module: cut(job.module, LONGEST_NAME),
            label: job.label.map(|label| cut(label, LONGEST_NAME)),
            tenant: job.tenant.map(|tenant| cut(tenant, LONGEST_NAME)),
            begun: Instant::now(),
            progress: Some(Arc::clone(progress)),
            done: 0,
            failed: 0,
            ended: None,
        });
    }

    fn job_ended(&self, ended: &EndedJob) {
        let mut state = lock(&self.0.state);
        let row = state.jobs.iter_mut().find(|row| row.job == ended.job);
        if let Some(row) = row {
            row.ended = Some((ended.success, ended.wall_time));
            return;
        }
        state.calls.1 += 1;
        state.calls.2 += u64::from(!ended.success);
    }

    fn event(&self, event: &ClusterEvent) {
        let (engine, what, text) = match event {
            ClusterEvent::EngineAdded(engine) => (Some(engine), "added", None),
            ClusterEvent::EngineLost { engine, reason } => (Some(engine), "lost", Some(reason)),
            ClusterEvent::WorkerLost { engine, reason } => {
                (Some(engine), "lost a worker", Some(reason))
            }
            ClusterEvent::EngineReplaced(engine) => (Some(engine), "replaced", None),
            ClusterEvent::EngineRemoved(engine) => (Some(engine), "removed", None),
            ClusterEvent::Stalled(reason) => (None, "stalled", Some(reason)),
            _ => return,
        };
        let at = u64::try_from(self.0.clock.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut state = lock(&self.0.state);
        let shown = json!({
            "at": at,
            "engine": engine.map(|engine| engine.0),
            "what": what,
            "reason": text.map(|text| cut(text, LONGEST_TEXT)),
        });
        keep(&mut state.events, shown, MOST_EVENTS);
        if let Some(engine) = engine
            && (state.engines.contains_key(&engine.0) || state.engines.len() < MOST_ENGINES)
        {
            let row = state.engines.entry(engine.0).or_default();
            match event {
                ClusterEvent::EngineLost { .. } => {
                    (row.state, row.losses) = ("lost", row.losses + 1);
                }
                ClusterEvent::WorkerLost { .. } => row.losses += 1,
                ClusterEvent::EngineRemoved(_) => row.state = "removed",
                _ => row.state = "",
            }
        }
    }
}

/// Keeps something as the latest of so many.
fn keep(all: &mut VecDeque<Json>, one: Json, most: usize) {
    if all.len() >= most {
        all.pop_front();
    }
    all.push_back(one);
}

/// The beginning of a text.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
