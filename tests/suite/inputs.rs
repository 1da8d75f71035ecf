//! Inputs as people have them: compressed, in directories and lists, with headers and records of several lines.

mod compressed;

use crate::support::{Cli, file, folder, map, only_here, run};
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// The chunks of `content`, in capitals.
fn chunks(content: &str, options: &str) -> Vec<String> {
    let dir = folder();
    let path = file(&dir, "input.txt", content);
    let cli = |cli: Cli| {
        let cli = cli.typed("--map shout --merge none").typed(options);
        let ended = cli.end().expect_code(0);
        ended
            .json_lines()
            .iter()
            .map(|line| line.as_str().expect("it is a string").to_owned())
            .collect::<Vec<_>>()
    };
    let of_file = cli(run("faulty").arg(&path));
    let of_stdin = cli(run("faulty").stdin(content));
    assert_eq!(of_file, of_stdin);
    of_file
}

#[test]
fn records_are_not_cut() {
    let fastq = "@A\nAC\n+\n!!\n@B\n@\n+\n@!\n@C\nG\n+\n!\n";
    assert_eq!(
        chunks(fastq, "--record-lines 4 --chunk 5"),
        ["@A\nAC\n+\n!!\n", "@B\n@\n+\n@!\n", "@C\nG\n+\n!\n"]
    );
    assert_eq!(
        chunks(fastq, "--record-lines 4 --chunk lines:2"),
        ["@A\nAC\n+\n!!\n@B\n@\n+\n@!\n", "@C\nG\n+\n!\n"]
    );
    let log = "lead\n2026 a\n  at b\n2026 c\n2026 d\n  at e\n";
    assert_eq!(
        chunks(log, "--record-start ^\\d{4} --chunk 1"),
        ["LEAD\n", "2026 A\n  AT B\n", "2026 C\n", "2026 D\n  AT E\n"]
    );
    let table = "a,b\n1,\"two\nlines, \"\"quoted\"\"\n\"\n2,x\n";
    assert_eq!(
        chunks(table, "--csv --chunk 1 --header 1:repeat"),
        ["A,B\n1,\"TWO\nLINES, \"\"QUOTED\"\"\n\"\n", "A,B\n2,X\n"]
    );
    assert_eq!(chunks("only\na header\n", "--header 2"), [""]);
    assert_eq!(chunks("h\n", "--header 3:repeat"), ["H\n"]);
}

#[test]
fn what_would_have_no_effect_on_records_is_refused() {
    for (options, message) in [
        ("--csv --record-lines 4", "both say"),
        ("--csv --chunk exact:10", "not cut between records"),
        ("--record-lines 4 --chunk file", "not cut between records"),
        ("--record-lines 0", "a number of lines such as 4"),
        ("--record-start (", "a regular expression"),
        ("--header x", "1:repeat"),
        ("-0", "--files-from"),
        ("--include [", "a pattern such as"),
    ] {
        run("wordcount")
            .typed(options)
            .stdin("a\n")
            .fails(2)
            .expect_stderr_has(&[message]);
    }
    run("linecount")
        .typed("--csv")
        .stdin("")
        .fails(2)
        .expect_stderr_has(&["add --chunk auto"]);
    run("linecount")
        .typed("--invalid-utf8 replace")
        .stdin("")
        .fails(2)
        .expect_stderr_has(&["takes bytes"]);
    let long = vec![b'x'; 2 << 20];
    run("wordcount")
        .typed("--header 1")
        .stdin(long)
        .fails(14)
        .expect_stderr_has(&["the header", "1MiB"]);
}

#[test]
fn bytes_that_are_not_utf8_are_replaced_or_left_out_and_counted() {
    let dir = folder();
    let path = file(&dir, "mixed.txt", b"good\nb\xffd \xc3\n\xf0\x9f\nlast\n");
    let shout = || {
        run("faulty")
            .typed("--map shout --merge concat --format raw")
            .arg(&path)
    };
    shout().fails(11).expect_stderr_has(&["(bad-input)"]);
    shout()
        .typed("--invalid-utf8 replace")
        .end()
        .expect_code(0)
        .expect_stdout("GOOD\nB\u{fffd}D \u{fffd}\n\u{fffd}\nLAST\n")
        .expect_stderr_has(&["3 sequences of bytes replaced"]);
    shout()
        .typed("--invalid-utf8 skip-line --chunk lines:1")
        .end()
        .expect_code(0)
        .expect_stdout("GOOD\nLAST\n")
        .expect_stderr_has(&["2 lines left out"]);
}

/// A directory with files at several depths.
fn tree() -> tempfile::TempDir {
    let dir = folder();
    for name in [
        "b/two.txt",
        "a.txt",
        "b/c/three.txt",
        "z.log",
        "b/skip/four.txt",
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
        fs::write(&path, format!("{name}\n")).expect("it can be written");
    }
    std::os::unix::fs::symlink("..", dir.path().join("b/loop")).expect("a link can be made");
    dir
}

#[test]
fn directories_are_read_by_name_and_patterns_choose() {
    let dir = tree();
    let read = |options: &str| run("upper").typed(options).arg(dir.path()).output();
    assert_eq!(
        read(""),
        "A.TXT\nB/C/THREE.TXT\nB/SKIP/FOUR.TXT\nB/TWO.TXT\nZ.LOG\n"
    );
    assert_eq!(
        read("--include *.txt --exclude skip"),
        "A.TXT\nB/C/THREE.TXT\nB/TWO.TXT\n"
    );
    assert_eq!(
        read("--include b/*.txt --include *.log"),
        "B/TWO.TXT\nZ.LOG\n"
    );
    run("upper")
        .typed("--include *.md")
        .arg(dir.path())
        .fails(14)
        .expect_stderr_has(&["no file to read", "--include"]);
}

#[test]
fn a_list_names_inputs_after_the_others() {
    let dir = tree();
    let read =
        |list: &str, options: &str| run("upper").in_dir(dir.path()).typed(options).stdin(list);
    assert_eq!(
        read("b/two.txt\n\nb/c\n", "a.txt --files-from -").output(),
        "A.TXT\nB/TWO.TXT\nB/C/THREE.TXT\n"
    );
    assert_eq!(
        read("z.log\0a.txt\0", "--files-from - -0").output(),
        "Z.LOG\nA.TXT\n"
    );
    read("z.log\0a.txt\0", "--files-from -")
        .fails(2)
        .expect_stderr_has(&["NUL bytes", "-0"]);
    read("a.txt\n", "- --files-from -")
        .fails(2)
        .expect_stderr_has(&["more than once"]);
    read("", "--files-from -")
        .fails(14)
        .expect_stderr_has(&["names no file"]);
    read("", "--files-from nowhere")
        .fails(14)
        .expect_stderr_has(&["`nowhere`", "does not exist"]);
    // A name like an option's value is that of a file.
    fs::write(dir.path().join("-"), "dash\n").expect("it can be written");
    assert_eq!(read("-\n", "--files-from -").output(), "DASH\n");
}

#[test]
fn an_input_that_cannot_be_read_is_a_failure_that_a_job_may_tolerate() {
    let dir = tree();
    let read = |options: &str| {
        run("upper")
            .in_dir(dir.path())
            .typed("a.txt gone.txt z.log")
            .typed(options)
    };
    read("")
        .fails(14)
        .expect_stderr_has(&["`gone.txt` does not exist"]);
    read("--max-failures 1")
        .end()
        .expect_code(0)
        .expect_stdout("A.TXT\nZ.LOG\n")
        .expect_stderr_has(&["(bad-input) on gone.txt", "1 of 3 tasks failed"]);
    run("wordcount")
        .in_dir(dir.path())
        .typed("gone.txt also-gone.txt a.txt --max-failures 1")
        .fails(14)
        .expect_stderr_has(&["does not exist", "2 tasks failed"]);
}

/// Runs a word count of a file and a FIFO, and changes the file while the job waits for the FIFO.
fn changed(change: impl FnOnce(&Path)) -> std::process::Output {
    let dir = folder();
    let path = file(&dir, "growing.txt", "fox two\n");
    let fifo = dir.path().join("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).expect("a FIFO can be made");
    let child = run("wordcount").arg(&path).arg(&fifo).start();
    // Opened by the job when it has cut the file before it.
    let mut writer = fs::OpenOptions::new()
        .write(true)
        .open(&fifo)
        .expect("it can be opened");
    change(&path);
    writer.write_all(b"three\n").expect("it can be written");
    drop(writer);
    child.wait_with_output().expect("it ends")
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    if only_here("a file is read when its task is sent") {
        return;
    }
    let output = changed(|path| fs::write(path, "two fox\n").expect("it can be written"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(14), "{stderr}");
    assert!(
        stderr.contains("changed while it was read") && output.stdout.is_empty(),
        "{stderr}"
    );
    let output = changed(|path| {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(path)
            .expect("it can be opened");
        file.write_all(b"four\n").expect("it can be written");
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("1 input became longer"), "{stderr}");
    assert_eq!(output.stdout, b"fox\t1\nthree\t1\ntwo\t1\n");
}

#[test]
fn lines_of_a_map_may_be_compressed() {
    let lines = compressed::gzip(b"one\nthree\n");
    assert_eq!(map("numbers").arg("length").stdin(lines).output(), "3\n5\n");
}
