//! The figures of a cluster's tasks for Prometheus, as text in the `OpenMetrics` format.
//!
//! Names from modules and users are label values: escaped here, cut if they are long, and of each label only the first
//! [`MOST_VALUES`] are told apart, so that a page stays small whatever a module is called. A process counts what its own
//! engines run; one that submits to engines elsewhere uses other names, so that no sum counts a task twice.

use super::{EndedJob, EndedTask, ObservedJob, ObservedTasks, Observer, PreparedModule, beginning};
use crate::events::ClusterEvent;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use rwasm_sandbox::lock::lock;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The values of a label that are told apart, and the longest of them in bytes; the others are [`OTHER`].
const MOST_VALUES: usize = 200;
const LONGEST: usize = 120;
const OTHER: &str = "other";

/// What tasks are counted as that belong to no tenant.
const NO_TENANT: &str = "";

/// The bounds of the buckets of run times, in seconds: from 10 µs to 1 h.
const BUCKETS: [f64; 18] = [
    0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0,
    100.0, 300.0, 1000.0, 3600.0,
];

/// The content type of [`Metrics::text`].
#[cfg(any(feature = "dashboard", feature = "nats"))]
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Counts the tasks of a cluster for Prometheus. Cheap to clone: all clones count together.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Cluster, Metrics};
///
/// let metrics = Metrics::new();
/// let cluster = Cluster::builder().engines(1).observe(metrics.clone()).start()?;
/// // … tasks …
/// assert!(metrics.text().contains("rwasm_queue_tasks 0"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    tasks: Family<TaskLabels, Counter>,
    durations: Family<FunctionLabel, Histogram, fn() -> Histogram>,
    of_tenants: Family<TenantLabels, Counter>,
    tenant_seconds: Family<TenantLabel, Counter<f64, AtomicU64>>,
    queued: Gauge,
    running: Gauge,
    bytes_in: Counter,
    bytes_out: Counter,
    jobs: Family<JobLabels, Counter>,
    running_jobs: Gauge,
    compile_seconds: Counter<f64, AtomicU64>,
    compiled: Counter,
    cached: Counter,
    restarts: Counter,
    workers_lost: Counter,
    functions: Values,
    tenants: Values,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TaskLabels {
    outcome: &'static str,
    function: LabelText,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FunctionLabel {
    function: LabelText,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TenantLabels {
    tenant: LabelText,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TenantLabel {
    tenant: LabelText,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct JobLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// A text of anybody's, as it stands between quotes: the crate does not escape label values.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct LabelText(Arc<str>);

impl EncodeLabelValue for LabelText {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(&self.0)
    }
}

impl LabelText {
    fn of(text: &str) -> Self {
        let mut escaped = String::new();
        for character in text.chars() {
            match character {
                '\\' => escaped.push_str("\\\\"),
                '"' => escaped.push_str("\\\""),
                '\n' => escaped.push_str("\\n"),
                other => escaped.push(other),
            }
        }
        Self(escaped.into())
    }
}

/// The values of a label that are told apart.
#[derive(Debug, Default)]
struct Values(Mutex<HashMap<Box<str>, LabelText>>);

impl Values {
    fn get(&self, text: &str) -> LabelText {
        let text = beginning(text, LONGEST);
        let mut known = lock(&self.0);
        if let Some(value) = known.get(text) {
            return value.clone();
        }
        if known.len() >= MOST_VALUES {
            return LabelText::of(OTHER);
        }
        let value = LabelText::of(text);
        known.insert(text.into(), value.clone());
        value
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counts from zero what the engines of this process run.
    #[must_use]
    pub fn new() -> Self {
        Self::with_prefix("rwasm")
    }

    /// The same for a program whose engines are elsewhere: names begin with `rwasm_client`, since the engines count the same
    /// tasks.
    #[must_use]
    pub fn of_client() -> Self {
        Self::with_prefix("rwasm_client")
    }

    fn with_prefix(prefix: &str) -> Self {
        let mut registry = Registry::default();
        let mut inner = Inner {
            registry: Registry::default(),
            tasks: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            of_tenants: Family::default(),
            tenant_seconds: Family::default(),
            queued: Gauge::default(),
            running: Gauge::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            jobs: Family::default(),
            running_jobs: Gauge::default(),
            compile_seconds: Counter::default(),
            compiled: Counter::default(),
            cached: Counter::default(),
            restarts: Counter::default(),
            workers_lost: Counter::default(),
            functions: Values::default(),
            tenants: Values::default(),
        };
        inner.register(registry.sub_registry_with_prefix(prefix));
        let build: Family<BuildLabels, Gauge> = Family::default();
        build
            .get_or_create(&BuildLabels {
                version: env!("CARGO_PKG_VERSION"),
            })
            .set(1);
        registry.register("rwasm_build_info", "The version of the program", build);
        registry.register_collector(Box::new(Process));
        inner.registry = registry;
        Self(Arc::new(inner))
    }

    /// Returns the page that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }

    /// The same with further figures in it, by name, type and help.
    #[cfg(feature = "nats")]
    pub(crate) fn text_with(&self, more: &str) -> String {
        const END: &str = "# EOF\n";
        let text = self.text();
        let known = text.strip_suffix(END).unwrap_or(&text);
        format!("{known}{more}{END}")
    }
}

impl Inner {
    fn register(&self, to: &mut Registry) {
        to.register(
            "tasks",
            "Tasks that have ended, each attempt",
            self.tasks.clone(),
        );
        to.register_with_unit(
            "task_duration",
            "How long tasks ran, including instantiation",
            Unit::Seconds,
            self.durations.clone(),
        );
        to.register(
            "tenant_tasks",
            "Tasks of each tenant that have ended, each attempt",
            self.of_tenants.clone(),
        );
        to.register(
            "tenant_run_seconds",
            "How long tasks of each tenant ran",
            self.tenant_seconds.clone(),
        );
        to.register(
            "queue_tasks",
            "Tasks that wait for an engine",
            self.queued.clone(),
        );
        to.register(
            "running_tasks",
            "Tasks that engines of this process have",
            self.running.clone(),
        );
        to.register(
            "input_bytes",
            "Bytes of the inputs of tasks",
            self.bytes_in.clone(),
        );
        to.register(
            "output_bytes",
            "Bytes of the results of tasks",
            self.bytes_out.clone(),
        );
        to.register("jobs", "Jobs that have ended", self.jobs.clone());
        to.register(
            "running_jobs",
            "Jobs that have not ended",
            self.running_jobs.clone(),
        );
        to.register(
            "compile_seconds",
            "How long it took to make modules ready whose code was not in the cache",
            self.compile_seconds.clone(),
        );
        to.register(
            "compiled_modules",
            "Modules that were compiled",
            self.compiled.clone(),
        );
        to.register(
            "cache_hits",
            "Modules whose code was in the cache",
            self.cached.clone(),
        );
        to.register(
            "engine_restarts",
            "Engines that were lost and replaced",
            self.restarts.clone(),
        );
        to.register(
            "workers_lost",
            "Worker processes that were lost",
            self.workers_lost.clone(),
        );
    }
}

impl Observer for Metrics {
    fn submitted(&self, tasks: &ObservedTasks<'_>) {
        self.0.queued.inc_by(signed(tasks.count));
    }

    fn begun(&self, tasks: &ObservedTasks<'_>) {
        self.0.queued.dec_by(signed(tasks.count));
        self.0.running.inc_by(signed(tasks.count));
    }

    fn ended(&self, tasks: &ObservedTasks<'_>, ended: &[EndedTask<'_>]) {
        let inner = &*self.0;
        let left = if tasks.has_begun {
            &inner.running
        } else {
            &inner.queued
        };
        left.dec_by(signed(ended.len()));
        let function = inner.functions.get(tasks.function);
        let tenant = tasks.tenant.map_or(NO_TENANT, |tenant| tenant);
        let tenant = inner.tenants.get(tenant);
        let durations = inner.durations.get_or_create_owned(&FunctionLabel {
            function: function.clone(),
        });
        let mut outcomes: HashMap<&'static str, u64> = HashMap::new();
        let (mut bytes_in, mut bytes_out, mut time) = (0, 0, Duration::ZERO);
        for task in ended {
            let usage = &task.outcome.usage;
            let outcome = match &task.outcome.result {
                Ok(_) => "ok",
                Err(failure) => failure.code.name(),
            };
            *outcomes.entry(outcome).or_default() += 1;
            if usage.run_time > Duration::ZERO {
                durations.observe(usage.run_time.as_secs_f64());
            }
            time += usage.run_time;
            bytes_in += usage.bytes_in;
            bytes_out += usage.bytes_out;
        }
        for (outcome, count) in outcomes {
            let labels = TaskLabels {
                outcome,
                function: function.clone(),
            };
            inner.tasks.get_or_create(&labels).inc_by(count);
            let labels = TenantLabels {
                tenant: tenant.clone(),
                outcome,
            };
            inner.of_tenants.get_or_create(&labels).inc_by(count);
        }
        inner
            .tenant_seconds
            .get_or_create(&TenantLabel { tenant })
            .inc_by(time.as_secs_f64());
        inner.bytes_in.inc_by(bytes_in);
        inner.bytes_out.inc_by(bytes_out);
    }

    fn prepared(&self, module: &PreparedModule<'_>) {
        if module.was_cached {
            self.0.cached.inc();
        } else {
            self.0.compiled.inc();
            self.0.compile_seconds.inc_by(module.took.as_secs_f64());
        }
    }

    fn job_submitted(&self, _: &ObservedJob<'_>) {
        self.0.running_jobs.inc();
    }

    fn job_ended(&self, job: &EndedJob) {
        self.0.running_jobs.dec();
        let outcome = if job.success { "ok" } else { "failed" };
        self.0.jobs.get_or_create(&JobLabels { outcome }).inc();
    }

    fn event(&self, event: &ClusterEvent) {
        match event {
            ClusterEvent::EngineReplaced(_) => {
                self.0.restarts.inc();
            }
            ClusterEvent::WorkerLost { .. } => {
                self.0.workers_lost.inc();
            }
            _ => {}
        }
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What the system says of this process, under the names that every exporter has.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(process) = ProcessFigures::read() else {
            return Ok(());
        };
        let counter = ConstCounter::new(process.cpu_seconds);
        let metric = encoder.encode_descriptor(
            "process_cpu_seconds",
            "Processor time of this process",
            None,
            MetricType::Counter,
        )?;
        counter.encode(metric)?;
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Memory of this process",
                process.resident_memory,
            ),
            (
                "process_open_fds",
                "Open files of this process",
                process.open_files,
            ),
            (
                "process_threads",
                "Threads of this process",
                process.threads,
            ),
            (
                "process_start_time_seconds",
                "When this process was started",
                process.started,
            ),
        ];
        for (name, help, value) in gauges {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}

struct ProcessFigures {
    cpu_seconds: f64,
    resident_memory: i64,
    open_files: i64,
    threads: i64,
    /// In seconds since 1970.
    started: i64,
}

impl ProcessFigures {
    /// The length of a tick and of a page, the same on every Linux that this is built for, but for pages of some ARM machines.
    const TICKS: f64 = 100.0;

    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program may contain blanks and parentheses.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |place: usize| fields.get(place)?.parse::<u32>().ok();
        let ticks = f64::from(number(11)?) + f64::from(number(12)?);
        let since_boot = fields.get(19)?.parse::<i64>().ok()? / 100;
        let system = std::fs::read_to_string("/proc/stat").ok()?;
        let booted = system
            .lines()
            .find_map(|line| line.strip_prefix("btime "))?;
        let booted: i64 = booted.trim().parse().ok()?;
        let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
        Some(Self {
            cpu_seconds: ticks / Self::TICKS,
            resident_memory: i64::try_from(super::resident_memory()?).ok()?,
            // The one that counts them is among them.
            open_files: signed(open.saturating_sub(1)),
            threads: number(17)?.into(),
            started: booted + since_boot,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_texts_are_escaped_cut_and_counted() {
        let values = Values::default();
        let text = values.get("a\"} 1\n# EOF\nb\\");
        assert_eq!(&*text.0, "a\\\"} 1\\n# EOF\\nb\\\\");
        assert_eq!(values.get(&"x".repeat(1000)).0.len(), LONGEST);
        for number in 0..MOST_VALUES * 2 {
            values.get(&number.to_string());
        }
        assert_eq!(values.get("7").0.as_ref(), "7");
        assert_eq!(values.get("one more").0.as_ref(), OTHER);
        assert_eq!(lock(&values.0).len(), MOST_VALUES);
    }
}
