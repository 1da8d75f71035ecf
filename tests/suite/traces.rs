//! `--trace`: a timeline in Chrome's trace event format. Each file is held against what the format says: slices of a thread
//! nest, async events and arrows come in pairs, and the times are those of the report.

use crate::support::{
    Cli, Text, boundary, call, file, folder, interrupt_after_a_line, is_over_nats, map, program,
    run,
};
use flate2::read::GzDecoder;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

/// The events of a trace that keeps the format's rules.
struct Trace(Vec<Json>);

impl Trace {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("there is a trace");
        Self::checked(serde_json::from_slice(&bytes).expect("it is JSON"))
    }

    fn checked(events: Vec<Json>) -> Self {
        let trace = Self(events);
        trace.check_threads();
        trace.check_slices();
        trace.check_spans();
        trace.check_arrows();
        trace.check_counters();
        trace
    }

    fn of<'a>(&'a self, phase: &'a str) -> impl Iterator<Item = &'a Json> {
        self.0.iter().filter(move |event| event["ph"] == phase)
    }

    /// The slices with this among their categories.
    fn slices<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Json> {
        self.of("X").filter(move |event| {
            let kinds = event["cat"].as_str().expect("a slice has categories");
            kinds.split(',').any(|one| one == kind)
        })
    }

    /// Every thread with slices has a name.
    fn check_threads(&self) {
        let named = self.of("M").filter(|event| event["name"] == "thread_name");
        let named: BTreeSet<u64> = named.map(thread).collect();
        for event in self.of("X").chain(self.of("s")).chain(self.of("f")) {
            assert!(named.contains(&thread(event)), "{event}");
        }
    }

    fn check_slices(&self) {
        let mut threads: BTreeMap<u64, Vec<(i64, i64)>> = BTreeMap::new();
        for event in self.of("X") {
            assert!(event["name"].is_string(), "{event}");
            threads.entry(thread(event)).or_default().push(range(event));
        }
        for (thread, mut slices) in threads {
            slices.sort_by_key(|(start, end)| (*start, -end));
            let mut open: Vec<(i64, i64)> = Vec::new();
            for (start, end) in slices {
                while open.last().is_some_and(|(_, last)| *last <= start) {
                    open.pop();
                }
                if let Some((_, last)) = open.last() {
                    assert!(
                        end <= *last,
                        "thread {thread}: {start}..{end} ends after {last}"
                    );
                }
                open.push((start, end));
            }
        }
    }

    fn check_spans(&self) {
        let mut begun = BTreeMap::new();
        for event in self.of("b") {
            let known = begun.insert(id(event), nanoseconds(&event["ts"]));
            assert!(known.is_none(), "{event}");
        }
        for event in self.of("e") {
            let start = begun.remove(&id(event)).expect("it was begun");
            assert!(start <= nanoseconds(&event["ts"]), "{event}");
        }
        assert!(begun.is_empty(), "{begun:?}");
    }

    fn check_arrows(&self) {
        let slices: Vec<(u64, (i64, i64))> = self
            .of("X")
            .map(|event| (thread(event), range(event)))
            .collect();
        let mut begun = BTreeMap::new();
        for event in self.of("s") {
            let at = nanoseconds(&event["ts"]);
            let is_in = |(other, (start, end)): &(u64, (i64, i64))| {
                *other == thread(event) && *start <= at && at <= *end
            };
            assert!(slices.iter().any(is_in), "{event}");
            begun.insert(id(event), at);
        }
        for event in self.of("f") {
            assert_eq!(event["bp"], "e");
            let at = nanoseconds(&event["ts"]);
            let begins =
                |(other, (start, _)): &(u64, (i64, i64))| *other == thread(event) && *start == at;
            assert!(slices.iter().any(begins), "{event}");
            assert!(
                begun.remove(&id(event)).expect("it was begun") <= at,
                "{event}"
            );
        }
        assert!(begun.is_empty(), "{begun:?}");
    }

    fn check_counters(&self) {
        for event in self.of("C") {
            let values = event["args"].as_object().expect("a counter has values");
            assert!(
                !values.is_empty() && values.values().all(Json::is_u64),
                "{event}"
            );
        }
    }

    /// The sum of the run times of its tasks, in nanoseconds.
    fn serial_time(&self) -> i64 {
        self.slices("task")
            .map(|event| nanoseconds(&event["dur"]))
            .sum()
    }

    /// The length of its one job.
    fn wall_time(&self) -> i64 {
        let time = |phase| {
            let mut jobs = self.of(phase).filter(|event| event["cat"] == "job");
            let time = nanoseconds(&jobs.next().expect("a job")["ts"]);
            assert!(jobs.next().is_none());
            time
        };
        time("e") - time("b")
    }

    fn last_words(&self) -> &Json {
        let last = self.0.last().expect("it has events");
        assert_eq!(last["name"], "rwasm_cluster_trace");
        &last["args"]
    }
}

fn thread(event: &Json) -> u64 {
    event["tid"].as_u64().expect("a thread")
}

fn id(event: &Json) -> (String, String) {
    let text = |name: &str| event[name].as_str().expect("a text").to_owned();
    (text("cat"), text("id"))
}

/// Microseconds with decimals, which stand for whole nanoseconds.
fn nanoseconds(time: &Json) -> i64 {
    let micros = time.as_f64().expect("a time");
    #[expect(clippy::cast_possible_truncation, reason = "a test takes no days")]
    let nanoseconds = (micros * 1000.0).round() as i64;
    assert!(nanoseconds >= 0);
    nanoseconds
}

fn range(event: &Json) -> (i64, i64) {
    let start = nanoseconds(&event["ts"]);
    (start, start + nanoseconds(&event["dur"]))
}

/// The value of a report in seconds, as nanoseconds.
fn reported(report: &Json, name: &str) -> i64 {
    let seconds = report["stats"][name].as_f64().expect("a time");
    #[expect(clippy::cast_possible_truncation, reason = "a test takes no days")]
    let nanoseconds = (seconds * 1e9).round() as i64;
    nanoseconds
}

fn with_trace(cli: Cli, path: &Path) -> Cli {
    cli.arg("--trace").arg(path)
}

#[test]
fn a_word_count_is_traced_with_the_times_of_its_report() {
    let dir = folder();
    let (path, report) = (
        dir.path().join("trace.json"),
        dir.path().join("report.json"),
    );
    let book = file(&dir, "book.txt", Text::of(1, 300_000).make());
    let cli = run("wordcount").typed("--engines 2 --chunk 4KiB --report");
    with_trace(cli.arg(&report).arg(book), &path).output();
    let trace = Trace::read(&path);
    let report = std::fs::read(report).expect("there is a report");
    let report: Json = serde_json::from_slice(&report).expect("it is JSON");
    let tasks = report["stats"]["tasks"].as_u64();
    assert_eq!(Some(trace.slices("task").count() as u64), tasks);
    assert_eq!(trace.serial_time(), reported(&report, "serial_time_s"));
    assert_eq!(trace.wall_time(), reported(&report, "wall_time_s"));
    let last = trace.last_words();
    assert_eq!(last["tasks"].as_u64(), tasks);
    assert_eq!(last["sampled"], false);

    // An arrow leads from each task to the merge of its result, but for the last one.
    let merges = trace.slices("merge").count() as u64;
    assert_eq!(Some(merges), report["stats"]["merges"].as_u64());
    assert_eq!(Some(trace.of("f").count() as u64 + 1), tasks);
    for task in trace.slices("task") {
        let is_merge = trace.slices("merge").any(|merge| merge == task);
        let function = if is_merge { "reducer" } else { "mapper" };
        assert_eq!(task["name"], function);
        assert!(task["args"]["peak_memory"].as_u64() > Some(0), "{task}");
    }
    if !is_over_nats() && boundary().is_none() {
        for phase in ["instantiate", "call", "lift"] {
            let phases = trace.slices("phase").filter(|event| event["name"] == phase);
            assert_eq!(Some(phases.count() as u64), tasks, "{phase}");
        }
    }
    let counted: BTreeSet<&str> = trace
        .of("C")
        .filter_map(|event| event["name"].as_str())
        .collect();
    assert!(counted.contains("tasks"), "{counted:?}");
}

#[test]
fn built_in_merges_are_slices_too() {
    let dir = folder();
    let path = dir.path().join("trace.json");
    let lines = "line\n".repeat(500);
    let cli = run("faulty")
        .typed("--chunk lines:10 --merge sum")
        .stdin(lines);
    let ended = with_trace(cli, &path).output();
    assert_eq!(ended.trim(), "500");
    let trace = Trace::read(&path);
    assert_eq!(trace.slices("task").count(), 50);
    assert!(trace.slices("merge").count() > 0);
    assert_eq!(trace.of("f").count(), 50);
}

#[test]
fn a_call_is_traced_compressed_and_its_texts_are_texts() {
    let dir = folder();
    let path = dir.path().join("trace.json.gz");
    let label = "</script>\"\\\u{1}<b>";
    let cli = call("numbers").args(["fib", "20", "--label", label]);
    with_trace(cli, &path).output();
    let file = std::fs::File::open(&path).expect("there is a trace");
    let mut text = String::new();
    let mut from = GzDecoder::new(file);
    from.read_to_string(&mut text).expect("it is compressed");
    let trace = Trace::checked(serde_json::from_str(&text).expect("it is JSON"));
    assert_eq!(trace.slices("task").count(), 1);
    let job = trace.of("b").find(|event| event["cat"] == "job");
    let name = job.expect("a job")["name"].as_str().expect("a text");
    assert!(name.starts_with(label), "{name}");
}

#[test]
fn a_trace_of_many_tasks_is_sampled_and_says_so() {
    const LEAST: u64 = 64 << 10;
    let dir = folder();
    let path = dir.path().join("trace.json");
    let lines = "7\n".repeat(3000);
    let cli = map("numbers")
        .typed("add-one --trace-limit 64KiB")
        .stdin(lines);
    let cli = with_trace(cli, &path);
    assert_eq!(cli.output().lines().count(), 3000);
    let size = std::fs::metadata(&path).expect("there is a trace").len();
    assert!(LEAST / 4 < size && size <= LEAST + 1000, "{size}");
    let trace = Trace::read(&path);
    let last = trace.last_words();
    assert_eq!(
        (&last["tasks"], &last["sampled"]),
        (&3000.into(), &true.into())
    );
    let written = trace.slices("task").count() as u64;
    assert_eq!(last["tasks_written"], written);
    assert!((20..3000).contains(&written), "{written}");
    let mut said = trace.of("i").filter_map(|event| event["name"].as_str());
    assert!(said.any(|text| text.contains("1 of 4 tasks")));
}

#[test]
fn a_failed_and_an_interrupted_job_have_traces() {
    let dir = folder();
    let path = dir.path().join("trace.json");
    let cli = map("numbers").arg("divide").stdin("[6, 2]\n[1, 0]\n");
    with_trace(cli, &path).end().expect_code(11);
    let trace = Trace::read(&path);
    let failed: Vec<&Json> = trace.slices("failed").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["args"]["failed"], "guest-error");

    let input = file(&dir, "input", "fine\nspin\n");
    let cli = run("faulty").typed("--chunk lines:1 --engines 1 --merge none");
    interrupt_after_a_line(with_trace(cli, &path).arg(input).into_command());
    let trace = Trace::read(&path);
    assert!(trace.slices("task").count() >= 1);
    let job = trace.of("b").find(|event| event["cat"] == "job");
    assert_eq!(job.expect("a job")["args"]["success"], false);
}

#[test]
fn what_a_trace_would_replace_is_kept() {
    let dir = folder();
    let path = file(&dir, "trace.json", "as it was");
    let cli = run("wordcount").typed("--map nothing").stdin("a");
    with_trace(cli, &path).fails(10);
    let kept = std::fs::read_to_string(&path).expect("it is there");
    assert_eq!(kept, "as it was");
    with_trace(run("wordcount"), &path).arg(&path).fails(2);
    let twice = run("wordcount").typed("--output").arg(&path).stdin("a");
    with_trace(twice, &path).fails(2);
    with_trace(run("wordcount").stdin("a"), Path::new("-")).fails(2);
    let missing = dir.path().join("nowhere/trace.json");
    with_trace(run("wordcount").stdin("a"), &missing).fails(14);
    let kept = std::fs::read_to_string(&path).expect("it is there");
    assert_eq!(kept, "as it was");
    // A project file does not say where anything is written.
    file(&dir, "rwasm.toml", "trace = \"elsewhere.json\"\n");
    program().in_dir(dir.path()).typed("call m.wasm f").fails(2);
}
