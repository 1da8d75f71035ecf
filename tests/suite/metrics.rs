//! `/metrics` of engines: what they have run, the names that alerts and dashboards ask for, and a page that stays small.

use crate::faults::engine::{EngineProcess, figure};
use crate::support::{Server, program, until, workspace};
use rwasm_cluster::nats::{AssetSettings, ConnectSettings, set_up};
use rwasm_cluster::{Cluster, Metrics, Module};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.split(|letter| !is_of_name(letter))
        .filter(|word| {
            ["rwasm_", "process_"]
                .iter()
                .any(|prefix| word.starts_with(prefix))
                && !word.ends_with('_')
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn engines_serve_what_the_alerts_and_the_dashboard_ask_for() {
    let server = Server::start();
    let url = server.url();
    set_up(&ConnectSettings::new(url), &AssetSettings::default()).expect("it is set up");
    let engines = EngineProcess::join(url, "-n 2");
    let cluster = Cluster::connect(url).expect("it is reached");
    let text = r#"(module (func (export "half") (param i64) (result i64)
        (i64.div_s (i64.const 100) (local.get 0))))"#;
    let module = Module::from_bytes("half.wat", text).expect("it is a module");
    let half = module.function::<(i64,), i64>("half").expect("it has it");
    let view = cluster.load_balanced_view().blocking();
    for divisor in [1, 2, 4] {
        assert_eq!(
            view.apply(&half, (divisor,)).expect("it runs"),
            100 / divisor
        );
    }
    view.apply(&half, (0,)).expect_err("it traps");

    let (status, page) = engines.page("/metrics");
    assert_eq!(status, 200);
    for (series, value) in [
        ("rwasm_tasks_total{outcome=\"ok\",function=\"half\"}", 3),
        ("rwasm_tasks_total{outcome=\"trap\",function=\"half\"}", 1),
        (
            "rwasm_task_duration_seconds_bucket{le=\"3600.0\",function=\"half\"}",
            4,
        ),
        ("rwasm_engines{state=\"idle\"}", 2),
        ("rwasm_engines{state=\"busy\"}", 0),
        ("rwasm_queue_tasks", 0),
        ("rwasm_running_tasks", 0),
    ] {
        assert!(
            page.contains(&format!("\n{series} {value}\n")),
            "{series} {value}\n{page}"
        );
    }
    assert_eq!(engines.metric("rwasm_tasks_total"), 4);
    assert_eq!(engines.metric("rwasm_engines"), 2);
    assert!(figure(&page, "process_open_fds") > Some(3), "{page}");

    // Each is described once, and no series stands twice.
    let mut seen = BTreeSet::new();
    for line in page.lines() {
        let series = match line.strip_prefix("# TYPE ") {
            Some(described) => described,
            None if line.starts_with('#') => continue,
            None => line.rsplit_once(' ').expect("a value").0,
        };
        assert!(seen.insert(series), "{series} stands twice");
    }

    let known = names(&page);
    for asked in ["prometheus/rules.yaml", "grafana/dashboard.json"] {
        let text = fs::read_to_string(workspace().join("deploy").join(asked)).expect("it is there");
        let asked = names(&text.replace("rwasm_cluster", ""));
        assert!(asked.len() > 3, "{asked:?}");
        let missing: Vec<&String> = asked.difference(&known).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[test]
fn a_module_of_many_functions_leaves_the_page_small() {
    const FUNCTIONS: usize = 1000;
    let mut text = "(module\n".to_owned();
    for number in 0..FUNCTIONS {
        writeln!(
            text,
            "(func (export \"f{number}\\\"}} 1\") (result i32) (i32.const 1))"
        )
        .expect("it is text");
    }
    text.push(')');
    let module = Module::from_bytes("many.wat", text).expect("it is a module");
    let metrics = Metrics::new();
    let cluster = Cluster::builder()
        .engines(1)
        .observe(metrics.clone())
        .start();
    let cluster = cluster.expect("it starts");
    let view = cluster.load_balanced_view().blocking();
    for number in 0..FUNCTIONS {
        let name = format!("f{number}\"}} 1");
        let function = module.function::<(), i32>(&name).expect("it has it");
        assert_eq!(view.apply(&function, ()).expect("it runs"), 1);
    }
    let page = metrics.text();
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
    assert_eq!(figure(&page, "rwasm_tasks_total"), Some(FUNCTIONS as u64));
    let others = format!("function=\"other\"}} {}", FUNCTIONS - 200);
    assert!(page.contains(&others), "{page:.2000}");
    assert!(page.contains("function=\"f7\\\"} 1\"} 1\n"));
}

#[test]
fn status_shows_the_tasks_that_engines_have() {
    let server = Server::start();
    let url = server.url();
    let connect = ConnectSettings::new(url);
    set_up(&connect, &AssetSettings::default()).expect("it is set up");
    let _engines = EngineProcess::join(url, "-n 1");
    let cluster = Cluster::connect(url).expect("it is reached");
    let text = r#"(module (func (export "spin") (loop (br 0))))"#;
    let module = Module::from_bytes("spin.wat", text).expect("it is a module");
    let spin = module.function::<(), ()>("spin").expect("it has it");
    let view = cluster.load_balanced_view().blocking();
    let task = view.submit(&spin, ()).expect("it is submitted");
    let status = || program().arg("status").arg(format!("--cluster={url}"));
    until("its task is shown", || {
        let shown: Json = serde_json::from_str(&status().args(["--format", "json"]).output())
            .expect("it is JSON");
        shown["tasks"] == 1 && shown["busy"] == 1 && shown["processes"][0]["tasks"] == 1
    });
    let shown = status().output();
    for part in [
        "1 in 1 process, 1 busy, with 1 task\n",
        "0 dispatches waiting, 1 running",
        "BUSY  TASKS  DONE",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    task.abort();
}
