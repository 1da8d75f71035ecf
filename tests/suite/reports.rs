//! The report on a job: written however the job ends, with what ended it.

use crate::support::{Cli, call, file, folder, interrupt_after_a_line, map, program, run};
use serde_json::{Value as Json, json};
use std::path::Path;

fn report(path: &Path) -> Json {
    let text = std::fs::read_to_string(path).expect("there is a report");
    serde_json::from_str(&text).expect("it is JSON")
}

/// A program that prints a line to stdout and one to stderr, and exits with 10.
const EXITS: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "an answer\nthe cause\n")
    (data (i32.const 0) "\40\00\00\00\0a\00\00\00\4a\00\00\00\0a\00\00\00")
    (func (export "_start")
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
        (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 32)))
        (call $exit (i32.const 10))))"#;

#[test]
fn a_job_that_fails_has_a_report_with_what_its_task_printed() {
    let dir = folder();
    let path = dir.path().join("report.json");
    let with_report = |cli: Cli| cli.arg("--report").arg(&path);
    let exits = file(&dir, "exits.wat", EXITS);
    let cli = program().arg("run").arg(exits).stdin("");
    with_report(cli).fails(11);
    let document = report(&path);
    assert_eq!(document["state"], "failed");
    let error = &document["error"];
    assert_eq!(error["code"], "exit-code");
    assert_eq!(error["exit_code"], 11);
    assert_eq!(error["stdout"], "an answer\n");
    assert_eq!(error["stderr"], "the cause\n");
    assert_eq!(error["last_line"], "the cause");
    assert_eq!(error["task"]["input"], "<stdin>");
    let message = error["message"].as_str().expect("a text");
    assert!(message.contains("exited with code 10"), "{message}");
    assert_eq!(document["stats"]["tasks"], 1);
    assert_eq!(document["stats"]["failures"], 1);
    assert_eq!(document["outcomes"][0]["code"], "exit-code");
    assert_eq!(document["outcomes"][0]["stderr"], "the cause\n");

    // What came before the failure is in it, too.
    let lines = map("numbers").arg("divide").stdin("[6, 2]\n[1, 0]\n");
    let ended = with_report(lines).end().expect_code(11);
    ended.expect_stdout("3\n");
    let document = report(&path);
    assert_eq!(document["error"]["code"], "guest-error");
    assert_eq!(document["error"]["task"]["line"], 2);
    assert_eq!(document["outcomes"].as_array().map(Vec::len), Some(2));

    with_report(call("numbers").args(["divide", "1", "0"])).fails(11);
    let document = report(&path);
    assert_eq!(document["error"]["code"], "guest-error");
    assert_eq!(document["stats"]["tasks"], 1);
    assert_eq!(document["stats"]["failures"], 1);

    // One that ends well says so.
    with_report(call("numbers").args(["fib", "10"])).output();
    let document = report(&path);
    assert_eq!(
        (&document["state"], &document["error"]),
        (&json!("done"), &Json::Null)
    );
}

#[test]
fn a_job_that_never_began_replaces_no_report() {
    let dir = folder();
    let path = file(&dir, "report.json", "as it was");
    let cli = run("wordcount").typed("--map nothing --report").arg(&path);
    cli.stdin("a").fails(10);
    assert_eq!(
        std::fs::read_to_string(&path).expect("it is there"),
        "as it was"
    );
}

#[test]
fn a_job_that_is_interrupted_has_a_report() {
    let dir = folder();
    let path = dir.path().join("report.json");
    let input = file(&dir, "input", "fine\nspin\n");
    let cli = run("faulty").typed("--chunk lines:1 --engines 1 --merge none --report");
    // The first task has ended, and the second never does.
    interrupt_after_a_line(cli.arg(&path).arg(input).into_command());
    let document = report(&path);
    assert_eq!(document["state"], "interrupted");
    let error = json!({ "message": "interrupted", "exit_code": 130 });
    assert_eq!(document["error"], error);
    assert_eq!(document["outcomes"][0]["code"], Json::Null);
}

/// A function that is named like markup, and traps.
const MARKUP: &str = r#"(module
    (func $trap (export "<img src=x onerror=alert(1)>") (param i64) (result i64) unreachable)
    (func (export "</script><script>alert(2)</script>") (param i64) (result i64) (local.get 0)))"#;

#[test]
fn a_report_for_people_is_one_page_and_hostile_texts_stay_texts() {
    let dir = folder();
    let path = dir.path().join("report.html");
    let module = file(&dir, "<b>.wat", MARKUP);
    for (function, code) in [
        ("<img src=x onerror=alert(1)>", 11),
        ("</script><script>alert(2)</script>", 0),
    ] {
        let input = file(&dir, "<i>lines", "1\n2\n");
        let cli = program().arg("map").arg(&module).arg(function).arg(input);
        let cli = cli.args(["--label", "<!--<script>", "--report"]).arg(&path);
        cli.end().expect_code(code);
        let page = std::fs::read_to_string(&path).expect("there is a report");
        for markup in ["<img", "<b>", "<i>", "<!--", "alert(2)</script>"] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert_eq!(page.matches("<script").count(), 4);
        let policy = "script-src 'sha256-";
        assert!(page.contains(policy) && !page.contains("unsafe-inline"));
        assert!(!page.contains("http://") && !page.contains("https://"));
        let data = |id: &str| -> Json {
            let (_, rest) = page
                .split_once(&format!("id=\"{id}\">"))
                .expect("it has data");
            let (data, _) = rest.split_once("</script>").expect("it ends");
            serde_json::from_str(data).expect("it is JSON")
        };
        let (state, settings) = (data("state"), data("settings"));
        assert_eq!(state["functions"][0], function);
        let wanted = if code == 0 { "done" } else { "failed" };
        assert_eq!(settings["state"], wanted);
        assert_eq!(settings["job"]["label"], "<!--<script>");
        let inputs = settings["more"]["Inputs"].as_object().expect("an object");
        let (name, said) = inputs.iter().next().expect("an input");
        assert!(name.ends_with("<i>lines"), "{name}");
        // The hash of "1\n2\n".
        let hash = "SHA-256 a6e2b7a040683432de03a18fd8a1939a2fdf82585b364bfc874bdd4095c4cae1";
        assert!(
            said.as_str().is_some_and(|said| said.ends_with(hash)),
            "{said}"
        );
        assert!(state["figures"]["tasks"].as_u64() >= Some(1));
        if code != 0 {
            assert_eq!(state["failures"][0]["code"], "trap");
            assert!(settings["error"].is_string());
        }
    }
}

#[test]
fn a_report_for_people_is_of_bounded_size() {
    let dir = folder();
    let path = dir.path().join("report.html");
    let lines = "7\n".repeat(20_000);
    let cli = map("numbers").arg("add-one").stdin(lines).arg("--report");
    cli.arg(&path).output();
    let size = std::fs::metadata(&path).expect("there is a report").len();
    assert!(size < 2 << 20, "{size}");
}
