//! Signals and readers that go away: the program ends soon, with the right code, whatever its guests do.
//!
//! A job shows that it runs by its first record on stdout; its second task never ends by itself.

use crate::support::{SOON, Text, file, folder, only_here, only_in_threads, run, wait};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A job whose second task does not end, and its open ends.
struct Stuck {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Stuck {
    /// Starts the job, and returns when its first task is done.
    fn start(line: &str, options: &str) -> Self {
        let mut command = run("faulty")
            .typed("--merge none --chunk lines:1")
            .typed(options)
            .arg("-")
            .into_command();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        write!(stdin, "first\n{line}\n").expect("the program reads");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut record = String::new();
        stdout.read_line(&mut record).expect("the program writes");
        assert_eq!(record, "1\n");
        Self {
            child,
            stdin,
            stdout,
        }
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its end and what it wrote to stderr; `stdin` is held open until then.
    fn end(mut self) -> (ExitStatus, String) {
        let mut stderr = self.child.stderr.take().expect("stderr is piped");
        let status = wait(self.child).expect("it ends in time");
        let mut rest = String::new();
        self.stdout
            .read_to_string(&mut rest)
            .expect("the pipe is closed");
        assert_eq!(rest, "", "nothing more was printed");
        drop(self.stdin);
        let mut written = String::new();
        stderr
            .read_to_string(&mut written)
            .expect("the pipe is closed");
        (status, written)
    }
}

#[test]
fn time_that_the_program_was_suspended_is_not_the_time_of_its_task() {
    const SUSPENDED: Duration = Duration::from_secs(2);
    const TIMEOUT: Duration = Duration::from_millis(1500);
    if only_in_threads("workers go on while the program is suspended") {
        return;
    }
    if only_here("its engines are") {
        return;
    }
    for (line, options) in [
        ("spin", "--timeout 1500ms"),
        ("sleep", "--timeout 1500ms"),
        ("spin", "--deterministic --limit wall=1500ms --timeout 1h"),
    ] {
        let began = Instant::now();
        let job = Stuck::start(line, options);
        let id = job.id();
        kill_process(id, Signal::STOP).expect("a child can be signalled");
        // What is tested is that this passes.
        std::thread::sleep(SUSPENDED);
        kill_process(id, Signal::CONT).expect("a child can be signalled");
        let (status, stderr) = job.end();
        assert!(began.elapsed() >= SUSPENDED + TIMEOUT, "{line}: {stderr}");
        assert_eq!(status.code(), Some(11), "{stderr}");
        assert!(stderr.contains("timeout"), "{stderr}");
    }
}

#[test]
fn an_interrupted_job_ends_with_130_and_a_terminated_one_with_143() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        for line in ["spin", "sleep"] {
            for options in [
                "--engines 2",
                "--engines 1 --view direct",
                "--engines 2 --reuse engine",
            ] {
                let job = Stuck::start(line, options);
                let sent = Instant::now();
                kill_process(job.id(), signal).expect("a child can be signalled");
                let (status, stderr) = job.end();
                assert_eq!(status.code(), Some(code), "{line} {options}: {stderr}");
                assert!(
                    sent.elapsed() < SOON,
                    "{line} {options} took {:?}",
                    sent.elapsed()
                );
                assert_eq!(stderr, "", "{line} {options}");
            }
        }
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let job = Stuck::start("spin", "");
    kill_process(job.id(), Signal::INT).expect("a child can be signalled");
    // The first may have been enough already.
    let _ = kill_process(job.id(), Signal::INT);
    assert_eq!(job.end().0.code(), Some(130));
}

#[test]
fn a_job_that_waits_for_its_input_can_be_interrupted() {
    let job = Stuck::start("word", "");
    kill_process(job.id(), Signal::INT).expect("a child can be signalled");
    let mut stdout = job.stdout;
    let mut rest = String::new();
    stdout
        .read_to_string(&mut rest)
        .expect("the pipe is closed");
    assert!(rest.is_empty() || rest == "1\n", "{rest:?}");
    assert_eq!(wait(job.child).expect("it ends in time").code(), Some(130));
    drop(job.stdin);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = folder();
    let text = Text::of(61, 3_000_000).make();
    let book = file(&dir, "book.txt", &text);
    for (guest, options) in [
        ("wordcount", ""),
        ("wordcount", "--merge none --chunk 4KiB"),
        ("wordcount", "--merge sum --format json"),
        ("upper", ""),
        ("upper", "--chunk 64KiB"),
    ] {
        let mut child = run(guest)
            .typed(options)
            .arg(&book)
            .into_command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let mut first = [0];
        stdout.read_exact(&mut first).expect("it prints something");
        drop(stdout);
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let status = wait(child).expect("it ends in time");
        let mut written = String::new();
        stderr
            .read_to_string(&mut written)
            .expect("the pipe is closed");
        assert_eq!(
            (status.code(), written.as_str()),
            (Some(0), ""),
            "{guest} {options}"
        );
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_job_that_would_not() {
    let job = Stuck::start("word", "");
    let Stuck {
        child,
        mut stdin,
        stdout,
    } = job;
    drop(stdout);
    // Without an end of its input the job could go on for ever.
    while stdin.write_all(b"line\n").is_ok() {}
    assert_eq!(wait(child).expect("it ends in time").code(), Some(0));
}

#[test]
fn a_file_of_results_appears_when_it_is_complete() {
    let dir = folder();
    let out = dir.path().join("out.txt");
    let names = || {
        let listed = fs::read_dir(dir.path()).expect("the folder can be read");
        let mut names: Vec<String> = listed
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    };
    run("faulty")
        .typed("--merge none --chunk lines:1 -o")
        .arg(&out)
        .stdin("a\nrefuse\n")
        .fails(11);
    assert_eq!(names(), Vec::<String>::new(), "after a failure");
    run("faulty")
        .typed("-o")
        .arg(&out)
        .stdin("a\nb\n")
        .end()
        .expect_code(0)
        .expect_stdout("");
    assert_eq!(fs::read_to_string(&out).expect("the file is there"), "2\n");
    assert_eq!(names(), ["out.txt"]);
    // What was there before stays until there is something to take its place.
    run("faulty")
        .typed("-o")
        .arg(&out)
        .stdin("refuse\n")
        .fails(11);
    assert_eq!(fs::read_to_string(&out).expect("the file is there"), "2\n");
    run("faulty")
        .typed("-o")
        .arg(&out)
        .stdin("a\n")
        .end()
        .expect_code(0);
    assert_eq!(fs::read_to_string(&out).expect("the file is there"), "1\n");
    assert_eq!(names(), ["out.txt"]);
}

#[test]
fn an_interrupted_job_leaves_nothing_behind() {
    let dir = folder();
    let out = dir.path().join("out.txt");
    let mut child = run("faulty")
        .typed("--merge none --chunk lines:1 --progress always -o")
        .arg(&out)
        .arg("-")
        .into_command()
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin
        .write_all(b"first\nspin\n")
        .expect("the program reads");
    // A line of progress each second shows that the job runs.
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("there is progress");
    assert!(line.contains("1 chunk"), "{line}");
    kill_process(Pid::from_child(&child), Signal::TERM).expect("a child can be signalled");
    assert_eq!(wait(child).expect("it ends in time").code(), Some(143));
    drop(stdin);
    assert_eq!(
        fs::read_dir(dir.path())
            .expect("the folder can be read")
            .count(),
        0
    );
}
