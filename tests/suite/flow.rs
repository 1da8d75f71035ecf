//! The way of one task, seen from outside, in the order in which it goes:
//!
//! arguments → cluster → module → view → job → engine → sandbox → guest → outcome → merge → output

use crate::support::{cluster, module, spec};
use expect_test::expect;
use rwasm_cluster::format::{Format, WriteOptions, write_value};
use rwasm_cluster::{Chunking, Cluster, Input, JobSpec, Merge, Module, Outcome, Packed};
use std::fmt::{Debug, Write};
use std::num::NonZeroU64;

/// What happens, line by line.
#[derive(Default)]
struct Story(String);

impl Story {
    fn tell(&mut self, noun: &str, what: impl AsRef<str>) {
        writeln!(self.0, "{noun:<9} {}", what.as_ref()).expect("memory can be written");
    }
}

const TEXT: &str = "the rain falls\nrain on the sea\nthe sea, the rain\n";

#[test]
fn the_way_of_a_task() {
    let mut story = Story::default();

    let cluster = cluster(1);
    story.tell("cluster", format!("engines {:?}", cluster.engines()));
    let module = module("wordcount");
    tell_module(&mut story, &module);
    let mut job = JobSpec::default();
    job.chunking = Some(Chunking::Lines(NonZeroU64::MIN));
    story.tell("view", debug(&job.view));
    story.tell(
        "merge",
        debug(&job.merge_for(&module).expect("the module fits")),
    );

    tell_tasks(&mut story, &cluster, &module, &job);
    tell_result(&mut story, &cluster, &module, &job);

    expect![[r#"
        cluster   engines [EngineId(0)]
        module    typed functions, core module
        function  mapper: func(text: string) -> list<tuple<string, u64>>
        function  reducer: func(parts: list<list<tuple<string, u64>>>) -> list<tuple<string, u64>>
        view      Balanced
        merge     Reducer("reducer")
        chunk     0 of book, bytes 0..15: "the rain falls\n"
        outcome   [["rain",1],["falls",1]]
        usage     engine 0, attempt 1, 15 bytes in, 14 out, [..] of memory, fuel None, logs None, times [..]
        chunk     1 of book, bytes 15..31: "rain on the sea\n"
        outcome   [["rain",1],["sea",1]]
        usage     engine 0, attempt 1, 16 bytes in, 12 out, [..] of memory, fuel None, logs None, times [..]
        chunk     2 of book, bytes 31..49: "the sea, the rain\n"
        outcome   [["sea",1],["rain",1]]
        usage     engine 0, attempt 1, 18 bytes in, 12 out, [..] of memory, fuel None, logs None, times [..]
        merged    list<tuple<string, u64>>: [["rain",3],["sea",2],["falls",1]]
        stats     4 tasks, 1 of them merges, 0 retries, 0 failures, 3 chunks, 49 bytes, 1 engine
        output    rain	3
        output    sea	2
        output    falls	1
    "#]].assert_eq(&story.0);
}

fn tell_module(story: &mut Story, module: &Module) {
    story.tell(
        "module",
        format!(
            "{}, {}",
            module.form(),
            if module.is_component() {
                "component"
            } else {
                "core module"
            }
        ),
    );
    for function in module.functions() {
        story.tell("function", function.to_string());
    }
}

/// Runs the job without a merge, so that each task's outcome is delivered.
fn tell_tasks(story: &mut Story, cluster: &Cluster, module: &Module, job: &JobSpec) {
    let mut each = spec(Merge::None);
    each.chunking = job.chunking;
    let mut running = cluster
        .run(module, inputs(), &each)
        .expect("the job begins");
    while let Some((origin, outcome)) = running.next_outcome() {
        story.tell(
            "chunk",
            format!(
                "{} of {origin}: {:?}",
                origin.index,
                &TEXT[as_range(&origin.range().expect("a chunk has a range"))]
            ),
        );
        story.tell(
            "outcome",
            outcome
                .result
                .as_ref()
                .map_or_else(ToString::to_string, json),
        );
        story.tell("usage", usage(&outcome));
    }
    running.wait().expect("the job ends well");
}

fn tell_result(story: &mut Story, cluster: &Cluster, module: &Module, job: &JobSpec) {
    let running = cluster.run(module, inputs(), job).expect("the job begins");
    let result = running.wait().expect("the job ends well");
    let merged = result.merged.expect("a merged value");
    story.tell("merged", format!("{}: {}", merged.ty(), json(&merged)));
    let stats = &result.stats;
    story.tell(
        "stats",
        format!(
            "{} tasks, {} of them merges, {} retries, {} failures, {} chunks, {} bytes, {} engine",
            stats.tasks,
            stats.merges,
            stats.retries,
            result.failures,
            stats.chunks,
            stats.bytes_in,
            stats.engine_count
        ),
    );
    for line in written(&merged, Format::Text).lines() {
        story.tell("output", line);
    }
}

/// The one input.
fn inputs() -> Vec<Input> {
    vec![Input::bytes("book", TEXT)]
}

fn debug(value: &impl Debug) -> String {
    format!("{value:?}")
}

fn as_range(range: &std::ops::Range<u64>) -> std::ops::Range<usize> {
    let at = |offset| usize::try_from(offset).expect("it is in memory");
    at(range.start)..at(range.end)
}

/// The usage record, without what differs from run to run.
fn usage(outcome: &Outcome) -> String {
    let usage = &outcome.usage;
    assert!(usage.queued <= usage.started, "it was queued before it ran");
    assert!(!usage.run_time.is_zero(), "it took some time");
    format!(
        "engine {}, attempt {}, {} bytes in, {} out, {} of memory, fuel {:?}, logs {:?}, times [..]",
        usage.engine.expect("it ran"),
        usage.attempt,
        usage.bytes_in,
        usage.bytes_out,
        if usage.peak_memory > 0 { "[..]" } else { "0 B" },
        usage.fuel,
        usage.logs.as_ref().map(|logs| logs.stderr.kept.len()),
    )
}

fn json(value: &Packed) -> String {
    written(value, Format::Json).trim_end().to_owned()
}

fn written(value: &Packed, format: Format) -> String {
    let value = value.unpack().expect("a value can be unpacked");
    let mut out = Vec::new();
    write_value(&mut out, &value, format, WriteOptions::default()).expect("memory can be written");
    String::from_utf8(out).expect("it is text")
}
