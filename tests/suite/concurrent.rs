//! Components with async functions, streams and futures, and programs of WASI 0.3.

use crate::build::toolchain_is_missing;
use crate::support::{
    Cli, Text, cluster, file, folder, guest, inspect, module, only_here, program, wat,
};
use rwasm_cluster::{Module, Reuse};
use std::fs::File;

fn call(words: &str) -> Cli {
    program().arg("call").arg(wat("streams")).typed(words)
}

fn count(words: &str) -> Cli {
    let words = format!("--map count --merge sum {words}");
    program().arg("run").arg(wat("streams")).typed(&words)
}

#[test]
fn streams_and_futures_are_values_to_a_caller() {
    let shown = inspect(wat("streams")).output();
    for line in [
        "count: async func(data: stream<u8>) -> u64",
        "make: async func(n: u32) -> stream<u8>",
        "later: async func(n: u32) -> future<u32>",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    for options in ["", "--fuel 10000000", "--deterministic", "--engines 2"] {
        assert_eq!(call("count three").typed(options).output(), "5\n");
        assert_eq!(call("make 4").typed(options).output(), "aaaa");
        assert_eq!(call("later 7").typed(options).output(), "7\n");
    }
    let long = "a".repeat(1_000_000);
    assert_eq!(call("make 1000000").output(), long);
    call("make 1000000 --limit output=999999B")
        .fails(11)
        .expect_stderr_has(&["output-limit"]);
}

#[test]
fn what_a_call_leaves_running_is_finished_before_its_instance_is_used_again() {
    let cluster = cluster(1);
    let streams = Module::from_file(wat("streams")).expect("it is a module");
    let view = cluster.load_balanced_view().reuse(Reuse::Engine).blocking();
    let make = streams
        .function::<u32, Vec<u8>>("make")
        .expect("a function");
    let count = streams.function::<&[u8], u64>("count").expect("a function");
    for length in [0, 1, 65_536, 65_537, 300_000] {
        let made = view.apply(&make, length).expect("a value");
        assert_eq!(made, vec![b'a'; length as usize]);
        let counted = view.apply(&count, &made[..]).expect("a value");
        assert_eq!(counted, u64::from(length));
    }
}

#[test]
fn an_input_flows_into_a_stream() {
    let dir = folder();
    // More than is ever copied into a task.
    let large = file(&dir, "large", vec![b'\n'; 80 << 20]);
    for way in ["--chunk file", "--chunk exact:30MiB", ""] {
        let ended = count(way).arg(&large).end().expect_code(0);
        ended.expect_stdout("83886080\n");
    }
    if only_here("a stream is cut before it is sent") {
        return;
    }
    let text = Text::of(5, 3_000_000).make();
    let ended = count("--chunk file").stdin(text.clone()).end();
    ended
        .expect_code(0)
        .expect_stdout(format!("{}\n", text.len()));
}

#[test]
fn a_program_of_wasi_03_reads_and_prints() {
    let dir = folder();
    let text = Text::of(6, 300_000).make();
    let input = file(&dir, "text", &text);
    let cat = |options: &str| program().arg("run").arg(wat("cat")).typed(options);
    for options in [
        "",
        "--engines 2 --chunk 16KiB",
        "--chunk file",
        "--deterministic",
    ] {
        let ended = cat(options).arg(&input).end().expect_code(0);
        ended.expect_stdout(&text);
    }
    assert_eq!(cat("").stdin("few words").output(), "few words");
    cat("--limit output=1KiB --chunk file")
        .arg(&input)
        .fails(11)
        .expect_stderr_has(&["output-limit"]);
}

#[test]
fn what_a_guest_connects_arrives_though_it_does_not_wait() {
    let dir = folder();
    let text = Text::of(7, 3_000_000).make();
    let input = file(&dir, "file", &text);
    // Passes its stdin to its stdout, and returns.
    let waiting = "(drop (call $wait (call $write (i32.load (i32.const 0))) (i32.const 8)))";
    let cat = std::fs::read_to_string(wat("cat")).expect("it is there");
    let cat = cat.replace(waiting, "(drop (call $write (i32.load (i32.const 0))))");
    let cat = cat.replace("(i32.load8_u (i32.const 8))", "(i32.const 0)");
    assert!(!cat.contains("call $wait"));
    let cat = file(&dir, "loose-cat.wat", cat);
    for options in [
        "--chunk file",
        "--chunk 64KiB --engines 2",
        "--deterministic",
    ] {
        let run = program().arg("run").arg(&cat).typed(options).arg(&input);
        run.end().expect_code(0).expect_stdout(&text);
    }
    let loose = |function: &str| program().arg("call").arg(wat("loose")).arg(function);
    let printed = loose("left-open").typed("--stderr all --timeout 20s").end();
    printed
        .expect_code(0)
        .expect_stdout("64\n")
        .expect_stderr_has(&["file"]);
    if only_here("its directory is here") {
        return;
    }
    let grant = format!("{}::/", dir.path().display());
    let copied = loose("copy").arg("--dir").arg(grant);
    copied.end().expect_code(0).expect_stdout("0\n");
    let copy = std::fs::read(dir.path().join("copy")).expect("it was written");
    assert_eq!(copy, text.as_bytes());
    // What does not arrive whole is no success.
    let grant = format!("{}::/", dir.path().display());
    let cut = loose("copy")
        .arg("--dir")
        .arg(&grant)
        .typed("--limit written=1MB");
    cut.fails(11).expect_stderr_has(&["written"]);
    std::fs::remove_file(&input).expect("it is there");
    std::fs::create_dir(&input).expect("a directory can be made");
    let none = loose("copy").arg("--dir").arg(&grant);
    none.fails(11)
        .expect_stderr_has(&["did not arrive whole", "did not wait"]);
}

#[test]
fn an_input_without_end_does_not_outlast_the_time_of_its_task() {
    let dir = folder();
    let large = dir.path().join("large");
    // Nothing but a length.
    let made = File::create(&large).and_then(|file| file.set_len(1 << 40));
    made.expect("a file can be made");
    let text = std::fs::read_to_string(wat("cat")).expect("it is there");
    // What is written there is dropped, so that no limit of it ends the task.
    let to_stderr = text.replace("wasi:cli/stdout@", "wasi:cli/stderr@");
    let module = file(&dir, "to-stderr.wat", to_stderr);
    if only_here("an input is sent first") {
        return;
    }
    for options in ["", "--seed 1", "--clock fixed"] {
        program()
            .arg("run")
            .arg(&module)
            .typed("--chunk file --timeout 1s")
            .typed(options)
            .arg(&large)
            .fails(11)
            .expect_stderr_has(&["timeout", "--timeout"]);
    }
}

#[test]
fn python_has_async_functions_and_streams() {
    if toolchain_is_missing("python") {
        return;
    }
    let path = guest("streams-python");
    let call = |words: &str| program().arg("call").arg(&path).typed(words);
    assert_eq!(call("add-one 41").output(), "42\n");
    assert_eq!(call("numbers 3").output(), "0\n1\n2\n");
    let dir = folder();
    let text = "one two one\n".repeat(20_000);
    let input = file(&dir, "text", text);
    program()
        .arg("run")
        .arg(&path)
        .typed("--map count --merge sum --engines 2 --chunk 64KiB")
        .arg(&input)
        .end()
        .expect_code(0)
        .expect_stdout("one\t40000\ntwo\t20000\n");
    let numbers = module("streams-python").function::<u32, Vec<u32>>("numbers");
    let cluster = cluster(1);
    let view = cluster.load_balanced_view().blocking();
    let numbers = view.apply(&numbers.expect("a function"), 1000);
    assert!(numbers.expect("a value").into_iter().eq(0..1000));
}
