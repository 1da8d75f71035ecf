//! Views: the direct one, which fixes each chunk's engine beforehand, and the balanced one; and what both report.

use crate::support::{Text, cluster, file, finish, folder, module, run, spec};
use rwasm_cluster::{
    ByteSize, Chunking, Cluster, EngineId, Input, JobSpec, Merge, Module, PlanError, SubmitError,
    Targets, ViewKind,
};
use std::collections::BTreeSet;

fn job(view: ViewKind) -> JobSpec {
    let mut spec = spec(Merge::Default);
    spec.view = view;
    spec.chunking = Some(Chunking::Size(ByteSize::kib(4)));
    spec.job.keep_records = true;
    spec
}

/// The engine of each chunk, in input order.
fn engines_of_chunks(cluster: &Cluster, module: &Module, text: &str, view: ViewKind) -> Vec<u32> {
    let result = finish(cluster, module, text, &job(view));
    let mut maps: Vec<(u64, u32)> = result
        .records
        .iter()
        .filter(|record| !record.is_merge)
        .map(|record| (record.origin.index, record.usage.engine.expect("it ran").0))
        .collect();
    maps.sort_unstable();
    assert_eq!(
        maps.len() as u64,
        result.stats.chunks,
        "each chunk ran once"
    );
    assert!(
        maps.iter()
            .map(|(index, _)| *index)
            .eq(0..result.stats.chunks)
    );
    maps.into_iter().map(|(_, engine)| engine).collect()
}

#[test]
fn the_direct_view_gives_each_target_a_contiguous_block() {
    let cluster = cluster(3);
    let wordcount = module("wordcount");
    let text = Text::of(51, 400_000).make();
    let some = |ids: &[u32]| Targets::Only(ids.iter().copied().map(EngineId).collect());
    let cases: [(Targets, &[u32]); 5] = [
        (Targets::All, &[0, 1, 2]),
        (some(&[0, 1, 2]), &[0, 1, 2]),
        (some(&[2, 0]), &[2, 0]),
        (some(&[1]), &[1]),
        (some(&[0, 2]), &[0, 2]),
    ];
    for (targets, order) in cases {
        let of = || {
            engines_of_chunks(
                &cluster,
                &wordcount,
                &text,
                ViewKind::Direct(targets.clone()),
            )
        };
        let engines = of();
        let mut blocks = engines.clone();
        blocks.dedup();
        assert_eq!(blocks, order, "{targets:?}");
        for engine in order {
            let chunks = engines.iter().filter(|id| *id == engine).count();
            let share = engines.len() / order.len();
            assert!(
                chunks.abs_diff(share) <= 2,
                "{targets:?}: engine {engine} has {chunks}, not {share}"
            );
        }
        assert_eq!(of(), engines, "another run");
    }
}

#[test]
fn a_stream_goes_around_the_targets_the_same_way_each_time() {
    let cluster = cluster(3);
    let text = Text::of(52, 200_000).make();
    let of = || {
        let input = Input::reader("stream", std::io::Cursor::new(text.clone().into_bytes()));
        let running = cluster.run(
            &module("wordcount"),
            vec![input],
            &job(ViewKind::Direct(Targets::All)),
        );
        let result = running
            .expect("the job begins")
            .wait()
            .expect("it ends well");
        let mut maps: Vec<(u64, u32)> = result
            .records
            .iter()
            .filter(|record| !record.is_merge)
            .map(|record| (record.origin.index, record.usage.engine.expect("it ran").0))
            .collect();
        maps.sort_unstable();
        maps
    };
    let first = of();
    let used: BTreeSet<u32> = first.iter().map(|(_, engine)| *engine).collect();
    assert_eq!(used, BTreeSet::from([0, 1, 2]));
    assert_eq!(of(), first);
}

#[test]
fn the_balanced_view_uses_every_engine() {
    let cluster = cluster(2);
    let text = Text::of(53, 8_000_000).make();
    let engines = engines_of_chunks(&cluster, &module("wordcount"), &text, ViewKind::Balanced);
    let used: BTreeSet<u32> = engines.into_iter().collect();
    assert_eq!(used, BTreeSet::from([0, 1]));
}

#[test]
fn targets_that_are_not_there_are_refused() {
    let cluster = cluster(2);
    let direct = ViewKind::Direct(Targets::Only(vec![EngineId(0), EngineId(7)]));
    let refused = cluster.run(
        &module("wordcount"),
        vec![Input::bytes("text", "a")],
        &job(direct),
    );
    let Err(SubmitError::Plan(PlanError::Targets(error))) = refused else {
        panic!("engine 7 was accepted");
    };
    assert_eq!(
        error.to_string(),
        "there is no engine 7: the engines are 0, 1"
    );
}

#[test]
fn targets_restrict_a_balanced_view() {
    let dir = folder();
    let book = file(&dir, "book.txt", Text::of(55, 400_000).make());
    let path = dir.path().join("report.json");
    run("wordcount")
        .typed("--engines 3 --targets 0,-1 --chunk 4KiB --report")
        .args([&path, &book])
        .end()
        .expect_code(0);
    let report = std::fs::read(&path).expect("the report is there");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("it is JSON");
    let outcomes = report["outcomes"].as_array().expect("a list");
    assert!(outcomes.len() > 10, "{}", outcomes.len());
    assert!(outcomes.iter().all(|outcome| outcome["engine"] != 1));
    run("wordcount")
        .typed("--engines 2 --targets 2")
        .stdin("a")
        .fails(2)
        .expect_stderr_has(&["there is no engine 2: the engines are 0, 1"]);
}

#[test]
fn the_report_is_one_json_document_on_the_job() {
    let dir = folder();
    let book = file(&dir, "book.txt", Text::of(54, 200_000).make());
    let path = dir.path().join("report.json");
    run("wordcount")
        .typed("--engines 2 --chunk 8KiB --report")
        .arg(&path)
        .arg(&book)
        .end()
        .expect_code(0);
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("the report is there"))
            .expect("it is JSON");
    assert_eq!(report["version"], 1);
    assert_eq!(report["module"]["form"], "typed functions");
    assert_eq!(
        report["module"]["sha256"],
        module("wordcount").hash().to_string()
    );
    assert_eq!(report["merge"], "reducer:reducer");
    assert_eq!(report["limits"]["time_s"], 30.0);
    assert_eq!(report["limits"]["memory"], 256 << 20);
    assert_eq!(report["failures"], serde_json::json!([]));
    let stats = &report["stats"];
    let size = std::fs::metadata(&book).expect("the book").len();
    assert_eq!(stats["bytes_in"], size);
    assert_eq!(stats["engine_count"], 2);
    assert_eq!(stats["retries"], 0);
    for figure in [
        "wall_time_s",
        "serial_time_s",
        "speed_up",
        "efficiency",
        "dispatches",
        "peak_memory",
    ] {
        assert!(
            stats[figure].as_f64().is_some_and(|value| value > 0.0),
            "{figure} is {}",
            stats[figure]
        );
    }
    let outcomes = report["outcomes"].as_array().expect("a list");
    assert_eq!(
        outcomes.len() as u64,
        stats["tasks"].as_u64().expect("a number")
    );
    let maps: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome["kind"] == "map")
        .collect();
    assert_eq!(
        maps.len() as u64,
        stats["chunks"].as_u64().expect("a number")
    );
    let total: u64 = maps
        .iter()
        .map(|map| map["bytes_in"].as_u64().expect("a number"))
        .sum();
    assert_eq!(total, size);
    for map in maps {
        assert_eq!(map["task"]["input"], book.display().to_string());
        assert_eq!(map["attempt"], 1);
        assert!(map["code"].is_null() && map["fuel"].is_null());
        assert!(map["run_time_s"].as_f64().is_some_and(|time| time > 0.0));
        let started = map["started_s"].as_f64().expect("a time");
        assert!(started >= map["queued_s"].as_f64().expect("a time"));
    }
}

#[test]
fn the_report_names_failures_that_were_borne() {
    let dir = folder();
    let path = dir.path().join("report.json");
    let ended = run("faulty")
        .typed("--chunk lines:1 --max-failures 1 --report")
        .arg(&path)
        .stdin("a\nrefuse\n")
        .end();
    ended.expect_code(0).expect_stdout("1\n");
    let report = std::fs::read(&path).expect("the report is there");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("it is JSON");
    assert_eq!(report["stats"]["failures"], 1);
    let failure = &report["failures"][0];
    assert_eq!(failure["code"], "guest-error");
    assert_eq!(
        failure["task"],
        serde_json::json!({"index": 1, "input": "<stdin>", "start": 2, "end": 9})
    );
    let codes: Vec<_> = report["outcomes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|outcome| &outcome["code"])
        .collect();
    assert!(
        codes.contains(&&serde_json::json!("guest-error")),
        "{codes:?}"
    );
}

#[test]
fn the_stats_have_a_line_for_each_figure_and_engine() {
    let text = Text::of(55, 300_000).make();
    let ended = run("wordcount")
        .typed("--stats --engines 2 --view direct --chunk 8KiB")
        .stdin(text)
        .end()
        .expect_code(0);
    let names: Vec<&str> = ended
        .stderr
        .lines()
        .filter_map(|line| line.split("  ").next())
        .collect();
    let wanted = [
        "tasks",
        "input",
        "wall time",
        "serial time",
        "run times",
        "speed-up",
        "efficiency",
        "peak memory",
        "engine 0",
        "engine 1",
    ];
    assert_eq!(names, wanted, "{}", ended.stderr);
    ended.expect_stderr_has(&[
        "dispatches",
        "map",
        "merge",
        "chunks",
        "of 2 engines",
        "busy",
    ]);
}
