//! `test`: samples and what they give, and each law that a job relies on, broken by one guest.

use crate::support::{Cli, Ended, file, folder, guest, program, wat};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

/// Lines enough to be cut in several ways; the number of words differs from line to line.
const TEXT: &str =
    "the rain\nfalls on all the land\n\nand on us\nwho stay at home today and then\n";

fn test(module: impl AsRef<std::path::Path>, dir: &TempDir) -> Cli {
    program()
        .arg("test")
        .arg(module.as_ref())
        .arg("--samples")
        .arg(dir.path())
}

/// Samples whose expectations are those of a mapper and a merge.
fn samples(options: &str) -> TempDir {
    let dir = folder();
    file(&dir, "text.txt", TEXT);
    let updated = test(guest("lawless"), &dir)
        .typed(options)
        .arg("--update")
        .end();
    let wrote = format!("wrote {}", dir.path().join("text.expected").display());
    updated.expect_stderr_has(&[&wrote]);
    dir
}

/// The laws that are broken, as the JSON document has them.
fn broken(ended: &Ended) -> Vec<String> {
    let document = ended.json();
    let checks = document["checks"].as_array().expect("a list");
    let failed = checks.iter().filter(|check| check["outcome"] == "failed");
    let laws: Vec<String> = failed
        .map(|check| check["law"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(document["failed"], laws.len(), "{document}");
    laws
}

#[track_caller]
fn breaks(options: &str, laws: &[&str]) -> Value {
    let dir = samples(options);
    let code = if laws.is_empty() { 0 } else { 11 };
    let ended = test(guest("lawless"), &dir)
        .typed(options)
        .typed("--format json")
        .end()
        .expect_code(code)
        .expect_stderr_is_empty();
    assert_eq!(broken(&ended), laws, "{options}: {}", ended.text());
    ended.json()
}

#[test]
fn a_task_that_keeps_the_laws_passes() {
    let document = breaks("--map words --reduce sum", &[]);
    assert_eq!(document["not_tried"], 0, "{document}");
    assert!(document["ok"].as_u64() >= Some(6), "{document}");
    breaks("--map words --merge sum", &[]);
    breaks("--map words --merge collect", &[]);
}

#[test]
fn each_law_is_seen_to_be_broken() {
    breaks("--map engines --merge max", &["engines"]);
    breaks("--map chunks --reduce sum", &["chunks"]);
    breaks("--map words --reduce mean", &["chunks", "associative"]);
    breaks("--map words --reduce less", &["chunks", "associative"]);
    let document = breaks(
        "--map words --reduce sum-or-one-more",
        &["chunks", "stable"],
    );
    let stable = document["checks"]
        .as_array()
        .and_then(|checks| checks.iter().find(|check| check["law"] == "stable"));
    let stable = stable.expect("it is there");
    let message = stable["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("sum-or-one-more([sum-or-one-more([a])]) is not sum-or-one-more([a])"),
        "{message}"
    );
}

#[test]
fn a_task_that_is_not_deterministic_is_told_by_its_input() {
    for (mapper, place) in [
        ("at-random", "bytes 0..9"),
        ("rarely-at-random", "bytes 0..9"),
    ] {
        let options = format!("--map {mapper} --reduce sum");
        let dir = samples(&options);
        let ended = test(guest("lawless"), &dir)
            .typed(&options)
            .end()
            .expect_code(11);
        let text = ended.text();
        let line = format!(
            "FAILED  text.txt: gives a different result the second time, on text.txt, {place}"
        );
        assert!(text.contains(&line), "{text}");
        // Nothing else can be said of it.
        assert!(text.ends_with("0 ok, 2 failed\n"), "{text}");
    }
    // Seeded, it is.
    let seeded = "--map at-random --merge collect --seed 7";
    let dir = samples(seeded);
    test(guest("lawless"), &dir)
        .typed(seeded)
        .end()
        .expect_code(0);
}

#[test]
fn what_differs_from_the_sample_is_shown() {
    let dir = folder();
    file(&dir, "book.txt", "rain rain river\nrain sea\nriver\n");
    file(&dir, "book.expected", "rain\t3\nriver\t4\nsea\t1\n");
    let ended = test(guest("wordcount"), &dir)
        .end()
        .expect_code(11)
        .expect_stderr_is_empty();
    let text = ended.text();
    let shown = "FAILED  book.txt: does not match `book.expected`\n           line 2: expected river\t4\n           found river\t2\n";
    assert!(text.contains(shown), "{text}");
    assert!(text.contains("5 ok, 1 failed\n"), "{text}");
    let quiet = test(guest("wordcount"), &dir)
        .arg("-q")
        .end()
        .expect_code(11);
    quiet.expect_stdout(shown);
    test(guest("wordcount"), &dir)
        .arg("--update")
        .end()
        .expect_code(0);
    let written = fs::read_to_string(dir.path().join("book.expected")).expect("it is there");
    assert_eq!(written, "rain\t3\nriver\t2\nsea\t1\n");
}

#[test]
fn a_sample_that_says_nothing_fails_with_a_hint() {
    let dir = folder();
    file(&dir, "book.txt", "rain\nriver\n");
    file(&dir, "calls.txt", "mapper(\"rain\")\n");
    test(guest("wordcount"), &dir)
        .end()
        .expect_code(11)
        .expect_stderr_has(&["hint: record the current results with --update"]);
    test(guest("wordcount"), &dir)
        .arg("--update")
        .end()
        .expect_code(0);
    let calls = fs::read_to_string(dir.path().join("calls.txt")).expect("it is there");
    assert_eq!(calls, "mapper(\"rain\") => [(\"rain\", 1)]\n");
}

#[test]
fn calls_give_values_errors_and_failures() {
    let dir = folder();
    let calls = "# how a guest greets\n\
        greet(\"Ada\", 2) => \"Hello, Ada! Hello, Ada!\"\n\
        greet(\"=> x\", 1) => ok(\"Hello, => x!\")\n\n\
        greet(\"Ada\", 0) => error \"Ada is not to be greeted => at all\"\n\
        greet(\"Ada\", 99) => error trap\n\
        less(3, 1) => 2\n";
    let path = file(&dir, "calls.txt", calls);
    let ended = test(guest("lawless"), &dir).end().expect_code(0);
    assert!(
        ended.text().ends_with("15 ok, 0 failed\n"),
        "{}",
        ended.text()
    );
    // What is written is what was given; `ok` is left out.
    test(guest("lawless"), &dir)
        .arg("--update")
        .end()
        .expect_code(0);
    let written = fs::read_to_string(&path).expect("it is there");
    assert_eq!(
        written,
        calls.replace("ok(\"Hello, => x!\")", "\"Hello, => x!\"")
    );

    file(
        &dir,
        "calls.txt",
        "greet(\"Ada\", 1) => error trap\ngreet(\"Ada\", 0) => \"Hello\"\nless(3, 1) => \"two\"\n\
         less(3) => 1\nles(3, 1) => 2\ngreet(\"Ada\", 0) => error \"no\"\n",
    );
    let text = test(guest("lawless"), &dir)
        .arg("-q")
        .end()
        .expect_code(11)
        .text();
    for part in [
        "expected error trap\n           found \"Hello, Ada!\"",
        "expected \"Hello\"\n           found error \"Ada is not to be greeted => at all\"",
        "less(3, 1): line 3: the value: expected u64, found `\"two\"`",
        "less(3): expected 2 arguments (",
        "the function is less: func(left: u64, right: u64) -> u64",
        "has no function `les`",
        "expected error \"no\"",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_command_works_on_whole_inputs() {
    let dir = folder();
    file(&dir, "a.txt", "one\ntwo\n");
    file(&dir, "b.txt", "");
    for (guest_name, arguments) in [("upper", ["--prefix", "> "]), ("sorted", ["", ""])] {
        let command = |more: &str| {
            let cli = test(guest(guest_name), &dir).typed(more);
            match arguments {
                ["", ""] => cli,
                arguments => cli.arg("--").args(arguments),
            }
        };
        command("--update").end().expect_code(0);
        let text = command("").end().expect_code(0).text();
        assert!(text.ends_with("6 ok, 0 failed\n"), "{text}");
    }
    test(guest("exit3"), &dir).end().expect_code(11);
}

#[test]
fn without_samples_it_says_how_to_make_one() {
    let dir = folder();
    let path = file(
        &dir,
        "m.wasm",
        fs::read(guest("wordcount")).expect("the guest"),
    );
    program()
        .arg("test")
        .arg(&path)
        .fails(2)
        .expect_stderr_has(&[
            "no samples in `",
            "samples`",
            "hint: add an input such as `",
            "--update",
            "calls.txt",
        ]);
    // Beside the module is where they are.
    fs::create_dir(dir.path().join("samples")).expect("a directory can be made");
    file(&dir, "samples/calls.txt", "mapper(\"\") => []\n");
    program().arg("test").arg(&path).end().expect_code(0);
    file(&dir, "samples/calls.txt", "mapper(\n");
    program()
        .arg("test")
        .arg(&path)
        .fails(2)
        .expect_stderr_has(&["calls.txt`, line 1: "]);
}

#[test]
fn what_cannot_be_run_is_refused() {
    let dir = folder();
    file(&dir, "a.txt", "1\n");
    test(wat("numeric"), &dir)
        .fails(10)
        .expect_stderr_has(&["has no `mapper`"]);
    test(guest("wordcount"), &dir)
        .typed("--merge none")
        .fails(2)
        .expect_stderr_has(&["does not merge"]);
    test(guest("wordcount"), &dir).typed("--engines 0").fails(2);
    test(dir.path().join("none.wasm"), &dir)
        .fails(10)
        .expect_stderr_has(&["does not exist"]);
}

#[cfg(unix)]
#[test]
fn a_sample_without_end_is_not_read() {
    use std::os::unix::fs::symlink;
    for name in ["text.expected", "calls.txt", "text.txt"] {
        let dir = folder();
        if name != "text.txt" {
            file(&dir, "text.txt", TEXT);
        }
        symlink("/dev/zero", dir.path().join(name)).expect("a link can be made");
        for more in ["", "--update"] {
            test(guest("wordcount"), &dir)
                .typed(more)
                .fails(14)
                .expect_stderr_has(&[
                    "cannot read `",
                    &format!("{name}`: it is not a regular file"),
                ]);
        }
    }
    // Nor one that is longer than any result.
    let dir = folder();
    file(&dir, "text.txt", TEXT);
    let lawless = || test(guest("lawless"), &dir).typed("--map words --reduce sum");
    let too_large = |name: &str| {
        let large = fs::File::create(dir.path().join(name)).expect("it can be made");
        large.set_len(1 << 30).expect("it has no blocks");
    };
    too_large("text.expected");
    lawless()
        .fails(14)
        .expect_stderr_has(&["expected at most 64MiB, found 1GiB", "with --update"]);
    lawless().typed("--update").end().expect_code(0);
    lawless().end().expect_code(0);
    too_large("calls.txt");
    lawless()
        .fails(14)
        .expect_stderr_has(&["calls.txt`: expected at most 64MiB, found 1GiB"]);
}

/// A task that may write among its samples makes the file of what it is expected to give a link.
#[test]
fn an_update_follows_no_link_that_a_task_made() {
    const MODULE: &str = r#"(module
      (import "wasi_snapshot_preview1" "path_symlink"
        (func $link (param i32 i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "../precious")
      (data (i32.const 16) "text.expected")
      (func (export "_start")
        (drop (call $link (i32.const 0) (i32.const 11) (i32.const 3) (i32.const 16) (i32.const 13)))))"#;
    let dir = folder();
    let module = file(&dir, "links.wat", MODULE);
    let precious = file(&dir, "precious", "precious");
    let samples = dir.path().join("samples");
    fs::create_dir(&samples).expect("it can be made");
    fs::write(samples.join("text.txt"), TEXT).expect("it can be written");
    program()
        .arg("test")
        .arg(&module)
        .arg("--samples")
        .arg(&samples)
        .arg("--dir")
        .arg(format!("{}::/samples", samples.display()))
        .arg("--update")
        .fails(14)
        .expect_stderr_has(&["text.expected", "leads elsewhere"]);
    assert!(
        fs::symlink_metadata(samples.join("text.expected")).is_ok_and(|link| link.is_symlink())
    );
    assert_eq!(
        fs::read_to_string(precious).expect("it is there"),
        "precious"
    );
}
