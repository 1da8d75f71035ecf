//! The elements of streams and futures that functions return, as they come: `--elements`, and the views that give them.

use crate::support::{Cli, SOON, cluster, folder, memory_of, only_here, program, wait, wat};
use rwasm_cluster::{
    Callable, Elements, FailureCode, Input, JobSpec, Merge, Module, PlanError, Retry, SubmitError,
    TaskError, Value,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

const AT_THE_END: &str = "elements come when their task has ended";

/// Longer than any test waits.
const LONG: &str = "--timeout 1h";

fn call(words: &str) -> Cli {
    let call = program().arg("call").arg(wat("elements"));
    call.typed(words).typed("--elements")
}

fn map(words: &str) -> Cli {
    let map = program().arg("map").arg(wat("elements"));
    map.typed(words).typed("--elements")
}

fn echo(words: &str) -> Cli {
    let run = program().arg("run").arg(wat("elements"));
    run.typed("--map echo --merge none --chunk file --elements")
        .typed(words)
}

fn function(name: &str) -> Callable<u32, Vec<u32>> {
    let module = Module::from_file(wat("elements")).expect("it is a module");
    module.function(name).expect("a function")
}

fn begin(program: Cli) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut child = program
        .into_command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let stdin = child.stdin.take().expect("stdin is piped");
    let stdout = child.stdout.take().expect("stdout is piped");
    (child, stdin, BufReader::new(stdout))
}

fn line(stdout: &mut impl BufRead) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).expect("the program writes");
    line
}

fn numbers(below: u32) -> String {
    (0..below).fold(String::new(), |lines, number| {
        lines + &number.to_string() + "\n"
    })
}

#[test]
fn an_element_is_printed_on_a_line_of_its_own() {
    assert_eq!(call("numbers 3").output(), "0\n1\n2\n");
    assert_eq!(call("numbers 0").output(), "");
    assert_eq!(
        call("texts 2 --format jsonl").output(),
        "\"aa\"\n".repeat(10)
    );
    assert_eq!(call("texts 2").output(), "aa\n".repeat(10));
    assert_eq!(call("tried 2").output(), "0\n1\n");
    call("tried 0")
        .fails(11)
        .expect_stderr_has(&["guest-error", "no"]);
    assert_eq!(map("numbers").stdin("2\n0\n1\n").output(), "0\n1\n0\n");
    assert_eq!(echo("--format text").stdin("a text").output(), "a text");
    assert_eq!(echo("").stdin("a").output(), "\"YQ==\"\n");
}

#[test]
fn elements_come_at_the_end_where_tasks_may_run_twice_or_must_not_know() {
    for options in ["--retries 1", "--deterministic"] {
        assert_eq!(call("numbers 2000").typed(options).output(), numbers(2000));
        let mapped = map("numbers").typed(options).stdin("2\n1\n");
        assert_eq!(mapped.output(), "0\n1\n0\n");
        let echoed = echo("--format raw").typed(options).stdin("a text");
        assert_eq!(echoed.output(), "a text");
        let ahead = program().arg("run").arg(wat("elements")).typed(options);
        let ahead = ahead.typed("--map ahead --merge none --chunk file --elements");
        assert_eq!(ahead.stdin("a text").output(), "7\n");
        call("numbers 2000 --limit output=1KiB")
            .typed(options)
            .fails(11)
            .expect_empty_stdout()
            .expect_stderr_has(&["output-limit"]);
    }
}

#[test]
fn elements_come_while_their_task_runs() {
    if only_here(AT_THE_END) {
        return;
    }
    let (child, mut stdin, mut stdout) = begin(echo("--format raw").typed(LONG));
    for number in 0..20 {
        // The guest gets the next line when this one was read.
        writeln!(stdin, "{number}").expect("the program reads");
        assert_eq!(line(&mut stdout), format!("{number}\n"));
    }
    drop(stdin);
    assert_eq!(wait(child).expect("it ends in time").code(), Some(0));

    let ahead = program().arg("run").arg(wat("elements")).typed(LONG);
    let ahead = ahead.typed("--map ahead --merge none --chunk file --elements");
    let (child, stdin, mut stdout) = begin(ahead);
    assert_eq!(line(&mut stdout), "7\n");
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("the program ends");
    assert_eq!(rest, "");
    assert_eq!(wait(child).expect("it ends in time").code(), Some(0));
}

#[test]
fn millions_of_elements_take_no_memory() {
    if only_here(AT_THE_END) {
        return;
    }
    // However little a task may return.
    let count = 5_000_000;
    let (child, _stdin, mut stdout) =
        begin(call(&format!("numbers {count} --limit output=1KiB")).typed(LONG));
    let (mut at_first, mut at_last) = (0, 0);
    for number in 0..count {
        assert_eq!(line(&mut stdout), format!("{number}\n"));
        if number == 400_000 {
            at_first = memory_of(child.id(), "VmHWM");
        }
        // It cannot have ended: a pipe has no room for the rest.
        if number == count - 500_000 {
            at_last = memory_of(child.id(), "VmHWM");
        }
    }
    let grown = at_last.saturating_sub(at_first);
    assert!(grown < 8 << 20, "it grew by {grown} bytes");
    assert_eq!(wait(child).expect("it ends in time").code(), Some(0));
}

#[test]
fn the_elements_of_several_tasks_come_in_the_order_of_the_input() {
    // Each gives more than it may have unread.
    let lines = [500_000, 0, 3, 400_000, 300_000];
    let input = lines.map(|below| format!("{below}\n")).concat();
    let expected = lines.map(numbers).concat();
    for options in [
        "--engines 1",
        "--engines 2",
        "--engines 2 --view direct",
        "--engines 3 --max-outstanding 2",
    ] {
        let ended = map("numbers").typed(options).stdin(&input[..]).end();
        ended.expect_code(0).expect_stdout(&expected);
    }
    let unordered = map("numbers --engines 2 --unordered").stdin(&input[..]);
    let unordered = unordered.output();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert!(sorted(&unordered) == sorted(&expected), "they differ");
}

#[test]
fn a_task_that_fails_gives_its_elements_and_its_failure() {
    let ended = call("broken 3").end().expect_code(11);
    let ended = ended.expect_stderr_has(&["trap"]);
    let live = !only_here(AT_THE_END);
    let given = |text: &'static str| if live { text } else { "" };
    ended.expect_stdout(given("0\n1\n2\n"));
    let broken = || map("broken --engines 1").stdin("2\n1\n");
    let ended = broken().end().expect_code(11);
    ended.expect_stdout(given("0\n1\n"));
    let ended = broken().typed("--max-failures 2").end().expect_code(0);
    let lines = ended.json_lines();
    let numbers: Vec<_> = lines.iter().filter_map(serde_json::Value::as_u64).collect();
    assert_eq!(numbers, if live { vec![0, 1, 0] } else { vec![] });
    let failures = lines.iter().filter(|line| line["error"]["code"] == "trap");
    assert_eq!(failures.count(), 2);
}

#[test]
fn each_element_is_held_against_the_limit_of_results() {
    if only_here(AT_THE_END) {
        return;
    }
    let texts = "a".repeat(1000) + "\n";
    let within = call("texts 1000 --limit output=1010B");
    assert_eq!(within.output(), texts.repeat(10));
    call("texts 1000 --limit output=1000B")
        .fails(11)
        .expect_empty_stdout()
        .expect_stderr_has(&["output-limit"]);
    // A stream of bytes has no elements of its own.
    let text = "a text of more than that";
    let echoed = echo("--format raw --limit output=4B").stdin(text);
    assert_eq!(echoed.output(), text);
}

#[test]
fn a_reader_that_goes_away_ends_an_endless_stream() {
    if only_here(AT_THE_END) {
        return;
    }
    for program in [call("numbers 4294967295"), map("numbers")] {
        let (child, mut stdin, mut stdout) = begin(program.typed(LONG));
        // A call does not read it.
        let _ = writeln!(stdin, "4294967295");
        for number in 0..5 {
            assert_eq!(line(&mut stdout), format!("{number}\n"));
        }
        drop(stdout);
        let gone = Instant::now();
        assert_eq!(wait(child).expect("it ends in time").code(), Some(0));
        assert!(gone.elapsed() < SOON, "{:?}", gone.elapsed());
    }
    let cluster = cluster(1);
    let view = cluster.load_balanced_view();
    let long = view.clone().timeout(Duration::from_hours(1)).elements();
    let endless: Elements<u32> = long.try_submit(&function("numbers"), u32::MAX).unwrap();
    let first: Vec<u32> = endless.take(3).map(Result::unwrap).collect();
    assert_eq!(first, [0, 1, 2]);
    let mut endless: Elements<Value> = long.map(&function("numbers"), [u32::MAX, 7]).unwrap();
    assert_eq!(endless.next_element().unwrap().1.unwrap(), 0_u32.into());
    drop(endless);
    // The only engine is free again.
    let task = view.try_submit(&function("numbers"), 3).unwrap();
    assert_eq!(task.get_timeout(SOON).unwrap(), [0, 1, 2]);
}

#[test]
fn a_task_waits_for_its_reader_within_its_time() {
    if only_here(AT_THE_END) {
        return;
    }
    let cluster = cluster(1);
    let view = cluster.load_balanced_view();
    let view = view.timeout(Duration::from_millis(1500)).elements();
    let mut elements: Elements<u32> = view.try_submit(&function("numbers"), u32::MAX).unwrap();
    // Until it has ended.
    for _ in elements.notes() {}
    assert!(elements.info().is_some());
    let mut given = 0;
    let failure = loop {
        match elements.next().expect("it failed") {
            Ok(number) => assert_eq!(number, given),
            Err(TaskError::Failed(failed)) => break failed.failure.code,
            Err(error) => panic!("{error}"),
        }
        given += 1;
    };
    assert_eq!(failure, FailureCode::Timeout);
    // 1 MiB of numbers, most of which take three bytes; behind a boundary, what is on the way too.
    assert!((300_000..2_000_000).contains(&given), "{given}");
    assert!(elements.next().is_none());
}

#[test]
fn whoever_cancels_gets_what_is_there() {
    let cluster = cluster(1);
    let view = cluster.load_balanced_view().elements();
    let mut elements: Elements<u32> = view.map(&function("numbers"), [2, u32::MAX]).unwrap();
    if only_here(AT_THE_END) {
        return;
    }
    let mut next = || elements.next_element().unwrap();
    assert_eq!([next().0, next().0, next().0], [0, 0, 1]);
    elements.canceller().cancel();
    let last = elements.by_ref().last().expect("it was cancelled");
    assert!(matches!(last, Err(TaskError::Job(_))), "{last:?}");
    assert!(elements.error().is_some());
}

#[test]
fn a_run_without_a_merge_gives_elements() {
    let cluster = cluster(2);
    let module = Module::from_file(wat("elements")).expect("it is a module");
    let mut spec = JobSpec::default();
    spec.map = Some("echo".to_owned());
    spec.merge = Merge::None;
    let inputs = || ["one", "two"].map(|text| Input::bytes(text, text)).into();
    let elements = cluster.run_elements::<Vec<u8>>(&module, inputs(), &spec);
    let mut elements = elements.expect("it begins");
    let given: Vec<u8> = elements.by_ref().flat_map(Result::unwrap).collect();
    assert_eq!(given, b"onetwo");
    let result = elements.result().expect("it has succeeded");
    assert_eq!((result.failures, result.stats.chunks), (0, 2));
    spec.merge = Merge::Default;
    let merged = cluster.run_elements::<Vec<u8>>(&module, inputs(), &spec);
    assert!(matches!(
        merged,
        Err(SubmitError::Plan(PlanError::ElementsMerge))
    ));
}

#[test]
fn what_a_function_does_not_give_is_refused_before_it_runs() {
    let cluster = cluster(1);
    let view = cluster.load_balanced_view().retry(Retry::times(1));
    let texts = view
        .elements()
        .try_submit::<u32, _, String>(&function("numbers"), 3);
    let Err(error) = texts else {
        panic!("numbers are no texts");
    };
    assert_eq!(
        error.to_string(),
        "the elements of `numbers: async func(n: u32) -> stream<u32>` are u32, not string"
    );
    let count = |options: &str| {
        let call = program().arg("call").arg(wat("streams"));
        call.typed("count x --elements").typed(options)
    };
    count("").fails(10).expect_stderr_has(&[
        "count",
        "no elements",
        "not a stream",
        "omit --elements",
    ]);
    call("numbers 3 --targets all")
        .fails(2)
        .expect_stderr_has(&["--elements", "--targets"]);
    let dir = folder();
    echo("--merge concat")
        .in_dir(&dir)
        .fails(2)
        .expect_stderr_has(&["--merge none"]);
}

#[test]
fn the_history_says_that_elements_were_read() {
    if only_here(AT_THE_END) {
        return;
    }
    let dir = folder();
    let history = dir.path().join("history.db");
    let recorded = |cli: Cli| cli.env("RWASM_HISTORY_FILE", &history);
    let call = |options: &str| recorded(call("numbers 3 --history").typed(options)).output();
    let result = |job: &str| recorded(program().typed("job result").arg(job));
    assert_eq!(call(""), "0\n1\n2\n");
    result("1")
        .fails(14)
        .expect_stderr_has(&["its elements were read one by one"]);
    assert_eq!(call("--retries 1"), "0\n1\n2\n");
    assert_eq!(result("2").output(), "0\n1\n2\n");
}
