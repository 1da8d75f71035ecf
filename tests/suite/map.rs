//! `map`: one task per line of arguments, one line per result, in the order of the lines.

mod failures;

use crate::support::{Cli, SOON, file, folder, map, program, wait};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::Instant;

fn numbers(from: u32, to: u32) -> String {
    (from..=to).fold(String::new(), |mut text, number| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{number}");
        text
    })
}

fn add_one() -> Cli {
    map("numbers").arg("add-one")
}

#[test]
fn results_come_in_the_order_of_the_lines_on_any_number_of_engines() {
    let dir = folder();
    let input = file(&dir, "numbers.txt", numbers(1, 1000));
    for options in [
        "--engines 1",
        "--engines 8",
        "--engines 3 --targets 0,2",
        "--engines 3 --view direct",
        "--engines 3 --view direct --targets 2,0",
        "--engines 2 --dispatch-size 1",
        "--engines 2 --dispatch-size 700",
        "--engines 2 --max-outstanding 1",
        "--engines 2 --policy twobin --hwm 1",
        "--engines 2 --reuse dispatch",
    ] {
        for source in [None, Some("-")] {
            add_one()
                .args(source)
                .typed(options)
                .stdin(numbers(1, 1000))
                .end()
                .expect_code(0)
                .expect_stdout(numbers(2, 1001))
                .expect_stderr_is_empty();
        }
        add_one()
            .arg(&input)
            .typed(options)
            .end()
            .expect_code(0)
            .expect_stdout(numbers(2, 1001));
    }
}

#[test]
fn unordered_results_are_the_same_set() {
    for options in ["--engines 1", "--engines 8", "--engines 2 --view direct"] {
        let printed = add_one()
            .typed("- --unordered")
            .typed(options)
            .stdin(numbers(1, 1000))
            .output();
        let mut found: Vec<u32> = printed
            .lines()
            .map(|line| line.parse().expect("a number"))
            .collect();
        found.sort_unstable();
        assert!(found.into_iter().eq(2..=1001), "{options}");
    }
    // What ends first is printed first.
    let naps = map("numbers")
        .typed("nap --unordered --engines 2 --dispatch-size 1")
        .stdin("500\n0\n");
    assert_eq!(naps.output(), "0\n500\n");
}

#[test]
fn a_line_is_a_list_of_arguments() {
    let add = |lines: &str| map("numbers").arg("add").stdin(lines).output();
    assert_eq!(add("[7, 2]\n(1, 2)\n3, 4\n"), "9\n3\n7\n");
    let total = map("numbers").arg("total").stdin("[1, 2]\n[]\n");
    assert_eq!(total.output(), "3\n0\n");
    let greet = map("numbers")
        .arg("greet")
        .stdin("[\"you\", 1]\n(\"día, \\\"x\\\"\", 2)\n");
    assert_eq!(
        greet.output(),
        "\"hello, you\"\n\"hello, día, \\\"x\\\"; hello, día, \\\"x\\\"\"\n"
    );
    // A function without parameters is called for each empty line.
    let counts = map("numbers").typed("count-up --engines 1 --reuse engine");
    let counts = counts.stdin("\n\n\n").output();
    // Results come in the order of the lines, but tasks may begin in any.
    let mut counts: Vec<&str> = counts.lines().collect();
    counts.sort_unstable();
    assert_eq!(counts, ["1", "2", "3"]);
}

#[test]
fn every_format_has_a_record_for_each_line() {
    let greet = |format: &str| {
        map("numbers")
            .typed("greet --format")
            .arg(format)
            .stdin("[\"a\\tb\", 1]\n[\"c\", 1]\n")
            .output()
    };
    let json = "\"hello, a\\tb\"\n\"hello, c\"\n";
    assert_eq!(greet("json"), json);
    assert_eq!(greet("jsonl"), json);
    assert_eq!(greet("wave"), json);
    assert_eq!(greet("text"), "hello, a\tb\nhello, c\n");
    assert_eq!(greet("tsv"), "hello, a\\tb\nhello, c\n");
    assert_eq!(greet("raw"), "hello, a\tbhello, c");
    let words = |format: &str| {
        map("wordcount")
            .typed("mapper --format")
            .arg(format)
            .stdin("pear plum\n\nplum\n")
            .output()
    };
    // A list is one record, not a line for each element.
    assert_eq!(
        words("jsonl"),
        "[[\"pear\",1],[\"plum\",1]]\n[]\n[[\"plum\",1]]\n"
    );
    add_one()
        .typed("--format raw")
        .stdin("1\n")
        .fails(10)
        .expect_stderr_has(&["raw writes only strings and bytes, but the result is u64"]);
    let dir = folder();
    let quiet = file(
        &dir,
        "quiet.wat",
        r#"(module (func (export "quiet") (param i32)))"#,
    );
    let nothing = |options: &str| {
        program()
            .arg("map")
            .arg(&quiet)
            .arg("quiet")
            .typed(options)
            .stdin("1\n2\n")
            .output()
    };
    assert_eq!(nothing(""), "null\nnull\n");
    assert_eq!(nothing("--format text"), "\n\n");
}

#[test]
fn odd_lines_are_taken_as_they_are() {
    let length = |lines: &[u8]| {
        map("numbers")
            .arg("length")
            .stdin(lines)
            .end()
            .expect_code(0)
            .text()
    };
    assert_eq!(length(b""), "");
    assert_eq!(length(b"\n"), "0\n");
    assert_eq!(length(b"\n\nab"), "0\n0\n2\n");
    assert_eq!(length(b"ab\r\nc\r\n\r\n"), "2\n1\n0\n");
    assert_eq!(length(b"a\rb\n\r\r\n"), "3\n1\n");
    assert_eq!(length(b"\xff\xfe\0\n\"x\"\n"), "3\n3\n");
    assert_eq!(length("día\n".as_bytes()), "4\n");
    let words = map("wordcount").arg("mapper");
    assert_eq!(
        words.stdin("día día\r\n\n漢字\n").output(),
        "[[\"día\",2]]\n[]\n[[\"漢字\",1]]\n"
    );
    assert_eq!(add_one().stdin(" 1 \r\n+0").end().stdout, b"2\n");
}

#[test]
fn what_cannot_be_begun_is_refused() {
    let dir = folder();
    add_one()
        .arg(dir.path().join("missing.txt"))
        .fails(14)
        .expect_stderr_has(&["missing.txt", "does not exist"]);
    add_one()
        .arg(dir.path())
        .fails(14)
        .expect_stderr_has(&["is a directory"]);
    // It can be opened, and not be read.
    for view in ["balanced", "direct"] {
        add_one()
            .args(["/proc/self/mem", "--view", view])
            .fails(14)
            .expect_stderr_has(&["cannot read input `/proc/self/mem`"]);
    }
    map("numbers")
        .arg("sub-one")
        .stdin("1\n")
        .fails(10)
        .expect_stderr_has(&["no function `sub-one`", "add-one: func(n: u64) -> u64"]);
    map("upper")
        .arg("upper")
        .stdin("1\n")
        .fails(10)
        .expect_stderr_has(&["WASI command", "rwasm-cluster run"]);
    add_one()
        .typed("--engines 2 --targets 2")
        .stdin("1\n")
        .fails(2)
        .expect_stderr_has(&["no engine 2", "0, 1"]);
    for options in [
        "--dispatch-size 0",
        "--max-outstanding none",
        "--hwm 0",
        "--policy best",
    ] {
        add_one().typed(options).stdin("1\n").fails(2);
    }
    let shown = add_one().on_terminal().end().expect_code(2);
    let text = shown.text();
    assert!(
        text.contains("no input") && text.contains("name an input: "),
        "{text}"
    );
}

#[test]
fn stats_and_progress_speak_of_lines() {
    add_one()
        .arg("--stats")
        .stdin(numbers(1, 100))
        .end()
        .expect_code(0)
        .expect_stderr_has(&["tasks        100 (", "100 lines", "engine 0"]);
    // A line of progress each second shows that it runs.
    map("numbers")
        .typed("nap --progress always")
        .stdin("1200\n")
        .end()
        .expect_code(0)
        .expect_stderr_has(&[" lines"]);
}

#[test]
fn a_reader_that_goes_away_ends_an_endless_map() {
    for options in ["", "--engines 1", "--unordered", "--max-failures 100%"] {
        let mut child = add_one()
            .arg("-")
            .typed(options)
            .into_command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let feeder = std::thread::spawn(move || {
            let lines = b"1\n".repeat(4096);
            while stdin.write_all(&lines).is_ok() {}
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        for _ in 0..5 {
            let mut line = String::new();
            stdout.read_line(&mut line).expect("the program writes");
            assert_eq!(line, "2\n");
        }
        drop(stdout);
        let gone = Instant::now();
        let mut stderr = child.stderr.take().expect("stderr is piped");
        assert_eq!(
            wait(child).expect("it ends in time").code(),
            Some(0),
            "{options}"
        );
        assert!(gone.elapsed() < SOON, "{:?}", gone.elapsed());
        let mut written = String::new();
        stderr
            .read_to_string(&mut written)
            .expect("the pipe is closed");
        assert_eq!(written, "", "{options}");
        feeder.join().expect("the feeder ends");
    }
}

#[test]
fn each_result_is_printed_as_soon_as_it_is_there() {
    for options in ["", "--engines 1", "--unordered", "--dispatch-size 100"] {
        let mut child = add_one()
            .typed(options)
            .into_command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        for number in 1..=20 {
            // The next line is written when the result of this one was read.
            writeln!(stdin, "{number}").expect("the program reads");
            let mut line = String::new();
            stdout.read_line(&mut line).expect("the program writes");
            assert_eq!(line, format!("{}\n", number + 1), "{options}");
        }
        drop(stdin);
        assert_eq!(wait(child).expect("it ends in time").code(), Some(0));
    }
}

#[test]
fn an_interrupted_map_ends_with_130_and_a_terminated_one_with_143() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        for options in ["--engines 1", "--engines 2 --unordered"] {
            let mut child = map("numbers")
                .arg("nap")
                .typed(options)
                .into_command()
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program starts");
            let mut stdin = child.stdin.take().expect("stdin is piped");
            stdin.write_all(b"0\n").expect("the program reads");
            let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
            let mut line = String::new();
            stdout.read_line(&mut line).expect("the program writes");
            assert_eq!(line, "0\n");
            stdin.write_all(b"3600000\n").expect("the program reads");
            let sent = Instant::now();
            kill_process(Pid::from_child(&child), signal).expect("it can be signalled");
            let mut stderr = child.stderr.take().expect("stderr is piped");
            let status = wait(child).expect("it ends in time");
            assert_eq!(status.code(), Some(code), "{options}");
            assert!(sent.elapsed() < SOON);
            let mut written = String::new();
            stderr
                .read_to_string(&mut written)
                .expect("the pipe is closed");
            assert_eq!(written, "");
            drop(stdin);
        }
    }
}

#[test]
fn run_has_the_options_that_it_shares() {
    let unordered = crate::support::run("wordcount")
        .typed("--merge none --chunk lines:1 --unordered --engines 2 --label words")
        .stdin("pear\nplum\nfig\n")
        .output();
    let mut lines: Vec<&str> = unordered.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["[[\"fig\",1]]", "[[\"pear\",1]]", "[[\"plum\",1]]"]);
    crate::support::run("wordcount")
        .arg("--unordered")
        .stdin("pear")
        .fails(2)
        .expect_stderr_has(&["--merge none"]);
    // Where it is set for all commands, it means those that can.
    crate::support::run("wordcount")
        .env("RWASM_UNORDERED", "true")
        .stdin("pear pear")
        .end()
        .expect_code(0)
        .expect_stdout("pear\t2\n");
    for policy in ["leastload", "lru", "random", "twobin", "weighted"] {
        crate::support::run("wordcount")
            .typed("--hwm 3 --engines 2 --queue-timeout 30s --policy")
            .arg(policy)
            .stdin("pear pear\n")
            .end()
            .expect_code(0)
            .expect_stdout("pear\t2\n");
    }
    crate::support::run("faulty")
        .typed("--retries 2 --retry-on trap")
        .stdin("refuse\n")
        .fails(11)
        .expect_stderr_has(&["guest-error"]);
}
