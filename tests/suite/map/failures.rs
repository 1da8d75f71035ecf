//! Lines of a `map` that fail: those that are tolerated, those that end it, and what is reported of them.

use super::{add_one, numbers};
use crate::support::{Cli, file, folder, map};
use serde_json::{Value, json};
use std::fs;

/// The error in a record, if it is one.
fn code(record: &Value) -> Option<&str> {
    record["error"]["code"].as_str()
}

#[test]
fn a_failed_line_that_is_borne_stands_in_its_place() {
    let mut printed = Vec::new();
    for options in ["--engines 1", "--engines 8", "--engines 2 --view direct"] {
        let ended = add_one()
            .typed("--max-failures 2")
            .typed(options)
            .stdin("1\nx\n3\n-4\n5\n")
            .end()
            .expect_code(0)
            .expect_stderr_has(&["warning: 2 of 5 tasks failed"]);
        let records = ended.json_lines();
        assert_eq!(records.len(), 5);
        assert_eq!(
            (&records[0], &records[2], &records[4]),
            (&json!(2), &json!(4), &json!(6))
        );
        assert_eq!(
            records[1],
            json!({"error": {
                "code": "bad-input",
                "message": "`add-one: func(n: u64) -> u64`: argument 1 (`n`): expected u64, found `x`",
            }})
        );
        assert_eq!(code(&records[3]), Some("bad-input"));
        printed.push(ended.stdout);
    }
    assert!(printed.iter().all(|one| *one == printed[0]));
    // Formats without a way to say it leave it out, and a warning says it.
    for format in ["text", "tsv", "wave"] {
        add_one()
            .typed("--max-failures 50% --format")
            .arg(format)
            .stdin("1\nx\n3\n")
            .end()
            .expect_code(0)
            .expect_stdout("2\n4\n")
            .expect_stderr_has(&["warning: a task failed (bad-input) on <stdin>, line 2"]);
    }
    add_one()
        .typed("--max-failures 1 --quiet --format text")
        .stdin("x\n1\n")
        .end()
        .expect_code(0)
        .expect_stdout("2\n")
        .expect_stderr_is_empty();
}

#[test]
fn a_failure_that_is_not_borne_ends_it_after_what_came_before() {
    for options in ["--engines 1", "--engines 8", "--engines 2 --view direct"] {
        let mut text = numbers(1, 500);
        text += "many\n";
        text += &numbers(1, 500);
        add_one()
            .typed(options)
            .stdin(text)
            .end()
            .expect_code(11)
            .expect_stdout(numbers(2, 501))
            .expect_stderr_has(&[
                "error: a task failed (bad-input) on <stdin>, line 501: ",
                "argument 1 (`n`): expected u64, found `many`",
            ]);
        map("numbers")
            .arg("divide")
            .typed("--max-failures 1")
            .typed(options)
            .stdin("[4, 2]\n[1, 0]\n[9, 3]\n[2, 0]\n[8, 2]\n")
            .end()
            .expect_code(11)
            .expect_stdout(
                "2\n{\"error\":{\"code\":\"guest-error\",\"message\":\"1 cannot be divided by zero\"}}\n3\n",
            )
            .expect_stderr_has(&["(guest-error) on <stdin>, line 4", "2 cannot be divided", "--max-failures"]);
    }
    let dir = folder();
    let out = dir.path().join("out.jsonl");
    let input = file(&dir, "in.txt", "1\nx\n");
    add_one()
        .arg(&input)
        .arg("-o")
        .arg(&out)
        .fails(11)
        .expect_stderr_has(&["in.txt, line 2"]);
    assert!(!out.exists());
}

#[test]
fn a_share_of_failures_is_held_against_all_lines_at_the_end() {
    let divide = |share: &str| {
        map("numbers")
            .typed("divide --max-failures")
            .arg(share)
            .stdin("[4, 2]\n[1, 0]\n[9, 3]\n")
            .end()
    };
    divide("34%").expect_code(0);
    let ended = divide("33%")
        .expect_code(11)
        .expect_stderr_has(&["(guest-error) on <stdin>, line 2"]);
    assert_eq!(ended.json_lines().len(), 3);
}

#[test]
fn each_way_to_fail_has_its_code() {
    let first = |cli: Cli, lines: &[u8]| {
        let ended = cli
            .typed("--max-failures 9")
            .stdin(lines)
            .end()
            .expect_code(0);
        let records = ended.json_lines();
        let code = code(&records[0]).expect("an error").to_owned();
        let message = records[0]["error"]["message"]
            .as_str()
            .expect("a text")
            .to_owned();
        (code, message, records.len())
    };
    let (code, message, _) = first(map("numbers").arg("add"), b"[1]\n");
    assert_eq!(code, "bad-input");
    assert!(
        message.contains("expected 2 arguments (a: u64, b: u64), found 1"),
        "{message}"
    );
    let (code, message, _) = first(map("numbers").arg("add"), b"[1, 2, 3]\n");
    assert_eq!(code, "bad-input");
    assert!(message.contains("found 3"), "{message}");
    let (code, message, _) = first(map("numbers").arg("add"), b"{]\n");
    assert_eq!(code, "bad-input");
    assert!(
        message.contains("`{]`") && message.contains("a: u64"),
        "{message}"
    );
    let (code, message, _) = first(map("numbers").arg("add"), b"[1, true]\n");
    assert_eq!(code, "bad-input");
    assert!(
        message.contains("argument 2 (`b`): expected u64, found `true`"),
        "{message}"
    );
    let (code, _, _) = first(add_one(), b"\n1\n");
    assert_eq!(code, "bad-input");
    let (code, message, _) = first(map("wordcount").arg("mapper"), b"a\xffb\nplum\n");
    assert_eq!(code, "bad-input");
    assert!(message.contains("UTF-8"), "{message}");
    // The line that is too long is read past, and the next is taken.
    let (code, message, records) = first(
        map("numbers").typed("length --limit input=1KiB"),
        format!("{}\nab\n", "x".repeat(300_000)).as_bytes(),
    );
    assert_eq!((code.as_str(), records), ("input-limit", 2));
    assert!(message.contains("1KiB"), "{message}");
    let (code, _, records) = first(map("numbers").typed("nap --timeout 100ms"), b"3600000\n0\n");
    assert_eq!((code.as_str(), records), ("timeout", 2));
    let (code, _, _) = first(map("numbers").arg("fail"), b"trap\n");
    assert_eq!(code, "trap");
    let (code, _, _) = first(map("numbers").typed("spin --fuel 10000"), b"\n");
    assert_eq!(code, "fuel-exhausted");
}

#[test]
fn a_failed_line_is_tried_again_and_each_attempt_is_reported() {
    let dir = folder();
    let path = dir.path().join("report.json");
    map("numbers")
        .typed("divide --retries 2 --backoff 1ms --max-failures 1 --label halves --report")
        .arg(&path)
        .stdin("[4, 2]\n[1, 0]\n")
        .end()
        .expect_code(0);
    let report: Value =
        serde_json::from_slice(&fs::read(&path).expect("it is there")).expect("it is JSON");
    assert_eq!(report["command"], "map");
    assert_eq!(report["label"], "halves");
    assert_eq!(report["stats"]["retries"], 2);
    assert_eq!(report["stats"]["failures"], 1);
    assert_eq!(report["failures"][0]["code"], "guest-error");
    assert_eq!(report["failures"][0]["task"]["line"], 2);
    let outcomes = report["outcomes"].as_array().expect("a list");
    let mut attempts: Vec<_> = outcomes
        .iter()
        .map(|one| {
            (
                one["task"]["line"].as_u64(),
                one["attempt"].as_u64(),
                one["code"].as_str(),
            )
        })
        .collect();
    attempts.sort_unstable();
    let failed = Some("guest-error");
    assert_eq!(
        attempts,
        [
            (Some(1), Some(1), None),
            (Some(2), Some(1), failed),
            (Some(2), Some(2), failed),
            (Some(2), Some(3), failed),
        ]
    );
    map("numbers")
        .typed("divide --retries 3")
        .stdin("[1, 0]\n")
        .fails(11)
        .expect_stderr_has(&["line 1", "by zero", "4 attempts:"]);
}

#[test]
fn the_time_of_the_whole_map_is_limited_by_its_deadline() {
    map("numbers")
        .typed("nap --deadline 200ms --engines 1")
        .stdin("0\n3600000\n")
        .end()
        .expect_code(11)
        .expect_stderr_has(&["deadline of 200ms"]);
}
