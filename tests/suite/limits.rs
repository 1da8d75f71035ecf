//! Limits: what a task may use, what happens when it wants more, and that others do not notice.

use crate::support::{
    SOON, Text, cluster, file, finish, folder, is_over_nats, module, run, shown, spec, word_count,
};
use rwasm_cluster::{
    ByteSize, Cluster, FailureCode, Input, JobError, JobSpec, Merge, Module, Outcome,
};
use std::time::{Duration, Instant};

/// A time that a task which waits for ever runs into soon.
const SHORT: Duration = Duration::from_millis(300);

/// The outcome of the only task of a job.
fn only_outcome(cluster: &Cluster, module: &Module, text: &str, spec: &JobSpec) -> Outcome {
    let inputs = vec![Input::bytes("text", text.to_owned())];
    let mut spec = spec.clone();
    spec.merge = Merge::None;
    let mut job = cluster.run(module, inputs, &spec).expect("the job begins");
    let (_, outcome) = job.next_outcome().expect("there is an outcome");
    assert!(job.next_outcome().is_none(), "there is one task");
    outcome
}

/// What the only task of a job failed with, if one failure is tolerated.
#[track_caller]
fn failure(cluster: &Cluster, name: &str, text: &str, spec: &JobSpec) -> FailureCode {
    let mut spec = spec.clone();
    spec.job.max_failures = rwasm_cluster::Tolerance::Count(1);
    let outcome = only_outcome(cluster, &module(name), text, &spec);
    outcome.result.expect_err("the task fails").code
}

#[test]
fn every_limit_ends_the_task_with_its_own_code() {
    let cluster = cluster(2);
    let mut short = JobSpec::default();
    short.task.limits.get_or_insert_default().time = SHORT;
    for (name, text) in [
        ("spin", ""),
        ("sleep", ""),
        ("faulty", "spin"),
        ("faulty", "sleep"),
    ] {
        assert_eq!(
            failure(&cluster, name, text, &short),
            FailureCode::Timeout,
            "{name} {text}"
        );
    }
    let mut small = JobSpec::default();
    small.task.limits.get_or_insert_default().memory = ByteSize::mib(16);
    for (name, text) in [("hoard", ""), ("faulty", "hoard")] {
        assert_eq!(
            failure(&cluster, name, text, &small),
            FailureCode::MemoryLimit,
            "{name}"
        );
    }
    let mut terse = JobSpec::default();
    terse.task.limits.get_or_insert_default().output = ByteSize::kib(1);
    assert_eq!(
        failure(&cluster, "chatter", "", &terse),
        FailureCode::OutputLimit
    );
    let long = "different words of all sorts, ".repeat(100);
    terse.map = Some("shout".to_owned());
    assert_eq!(
        failure(&cluster, "faulty", &long, &terse),
        FailureCode::OutputLimit
    );
    for (name, units) in [("faulty", 1), ("spin", 1_000_000)] {
        assert_eq!(
            failure(&cluster, name, "", &fuel(units)),
            FailureCode::FuelExhausted,
            "{name}"
        );
    }
    for (name, text, code) in [
        ("faulty", "trap", FailureCode::Trap),
        ("panics", "", FailureCode::Trap),
        ("faulty", "refuse", FailureCode::GuestError),
        ("exit3", "", FailureCode::ExitCode),
    ] {
        assert_eq!(
            failure(&cluster, name, text, &JobSpec::default()),
            code,
            "{name} {text}"
        );
    }
}

fn fuel(units: u64) -> JobSpec {
    let mut spec = JobSpec::default();
    spec.task.limits.get_or_insert_default().fuel = Some(units);
    spec
}

#[test]
fn fuel_is_counted_where_it_is_asked_for() {
    let cluster = cluster(1);
    let wordcount = module("wordcount");
    let text = Text::of(41, 10_000).make();
    let counted = only_outcome(&cluster, &wordcount, &text, &fuel(1 << 40))
        .usage
        .fuel;
    assert!(counted.is_some_and(|fuel| fuel > 10_000), "{counted:?}");
    let again = only_outcome(&cluster, &wordcount, &text, &fuel(1 << 40))
        .usage
        .fuel;
    assert_eq!(counted, again, "the same work takes the same fuel");
    assert_eq!(
        only_outcome(&cluster, &wordcount, &text, &JobSpec::default())
            .usage
            .fuel,
        None
    );
    let counts = run("wordcount")
        .typed("--fuel 10000000000")
        .stdin(text.clone())
        .output();
    assert_eq!(counts, word_count(&[&text]));
    run("spin")
        .typed("--fuel 1000000")
        .fails(11)
        .expect_stderr_has(&["fuel-exhausted", "--fuel"]);
}

#[test]
fn a_task_is_stopped_soon_after_its_time() {
    for (name, text) in [
        ("spin", ""),
        ("sleep", ""),
        ("faulty", "spin\n"),
        ("faulty", "sleep\n"),
    ] {
        let start = Instant::now();
        run(name)
            .typed("--timeout 300ms")
            .stdin(text)
            .fails(11)
            .expect_stderr_has(&["(timeout)", "300ms"]);
        assert!(start.elapsed() < SOON, "{name} took {:?}", start.elapsed());
    }
}

#[test]
fn the_limit_of_an_input_names_its_option() {
    let dir = folder();
    let text = "a line of text\n".repeat(1000);
    let path = file(&dir, "text.txt", &text);
    let limited = || run("wordcount").typed("--chunk file --limit input=8KiB");
    let parts = ["input limit", "8KiB", "--limit input", "--chunk"];
    let from_file = limited().arg(&path).fails(14);
    from_file
        .expect_stderr_has(&parts)
        .expect_stderr_has(&["text.txt"]);
    let from_stdin = limited().stdin(text.clone()).fails(14);
    from_stdin
        .expect_stderr_has(&parts)
        .expect_stderr_has(&["<stdin>"]);
    // Cut smaller it fits.
    let counts = run("wordcount")
        .typed("--chunk 1KiB --limit input=8KiB")
        .arg(&path)
        .output();
    assert_eq!(counts, word_count(&[&text]));
}

#[test]
fn the_limit_of_an_output_holds_for_typed_results() {
    let text = Text::of(42, 100_000).make();
    run("wordcount")
        .typed("--limit output=1KiB")
        .stdin(text)
        .fails(11)
        .expect_stderr_has(&["output-limit", "1KiB", "--limit output"]);
}

#[test]
fn a_flood_on_stderr_is_dropped_and_the_task_goes_on() {
    assert_eq!(run("noisy").output(), "done\n");
    let cluster = cluster(1);
    let noisy = module("noisy");
    for limit in [1, 1000, 64 << 10] {
        let mut spec = JobSpec::default();
        spec.task.limits.get_or_insert_default().logs = ByteSize::new(limit);
        let outcome = only_outcome(&cluster, &noisy, "", &spec);
        assert_eq!(shown(&outcome.result.expect("it ends well")), "done\n");
        let logs = outcome.usage.logs.expect("it printed something");
        assert_eq!(logs.stderr.kept.len() as u64, limit);
        assert_eq!(logs.stderr.dropped, (10 << 20) - limit);
        let (head, tail) = logs.stderr.parts();
        assert_eq!(
            (head.len() as u64, tail.len() as u64),
            (limit / 2, limit - limit / 2)
        );
        assert!(
            logs.stdout.kept.is_empty(),
            "a command's stdout is its result"
        );
    }
}

#[test]
fn commands_to_a_terminal_in_what_a_guest_printed_are_not_passed_on() {
    // It fails after all that noise, so that the error shows some of it.
    let ended = run("noisy").typed("--limit output=2").fails(11);
    assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
    assert!(!ended.stderr.contains('\u{7}'), "{:?}", ended.stderr);
}

#[test]
fn good_tasks_beside_and_after_a_failing_one_are_right() {
    let cluster = cluster(2);
    let text = Text::of(43, 400_000).make();
    let expected = word_count(&[&text]);
    let wordcount = module("wordcount");
    for (name, input) in [
        ("spin", ""),
        ("sleep", ""),
        ("hoard", ""),
        ("faulty", "trap"),
        ("chatter", ""),
    ] {
        let mut limited = spec(Merge::None);
        limited.task.limits.get_or_insert_default().time = SHORT;
        limited.task.limits.get_or_insert_default().output = ByteSize::mib(4);
        let inputs = vec![Input::bytes("bad", input)];
        let bad = cluster
            .run(&module(name), inputs, &limited)
            .expect("the bad job begins");
        let beside = finish(&cluster, &wordcount, text.clone(), &JobSpec::default());
        assert_eq!(
            shown(&beside.merged.expect("counts")),
            expected,
            "beside {name}"
        );
        assert!(
            matches!(bad.wait(), Err(JobError::TaskFailed { .. })),
            "{name}"
        );
        let after = finish(&cluster, &wordcount, text.clone(), &JobSpec::default());
        assert_eq!(
            shown(&after.merged.expect("counts")),
            expected,
            "after {name}"
        );
    }
}

#[test]
fn a_task_that_waits_for_its_input_is_stopped_too() {
    let dir = folder();
    let fifo = dir.path().join("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).expect("a FIFO can be made");
    // Nobody writes to it. The deadline is there so that a task that is not stopped shows soon. Where engines are elsewhere
    // the input is read before the task is theirs, and so before its time begins.
    if !is_over_nats() {
        run("linecount")
            .typed("--timeout 300ms --deadline 5s")
            .arg(&fifo)
            .fails(11)
            .expect_stderr_has(&["(timeout)", "300ms"]);
    }
    run("linecount")
        .typed("--deadline 300ms")
        .arg(&fifo)
        .fails(11)
        .expect_stderr_has(&["deadline"]);
}

#[test]
fn a_program_that_was_refused_memory_and_exits_names_the_limit() {
    let dir = folder();
    let program = |code: u32| {
        format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
              (memory (export "memory") 1)
              (func (export "_start") (drop (memory.grow (i32.const 60000))) (call $exit (i32.const {code}))))"#
        )
    };
    let run = |code| {
        let module = file(&dir, "exits.wat", program(code));
        crate::support::program().arg("run").arg(module).stdin("")
    };
    run(1).fails(11).expect_stderr_has(&[
        "(memory-limit)",
        "more than its limit of 256MiB",
        "--memory",
        "the program exited with code 1",
    ]);
    // It got along without.
    run(0).end().expect_code(0);
    run(3).args(["--ok-exit", "3"]).end().expect_code(0);
}

#[test]
fn too_few_files_are_named_with_the_number_that_is_needed() {
    let shell = |limit: &str| {
        let module = crate::support::guest("numbers");
        let program = env!("CARGO_BIN_EXE_rwasm-cluster");
        let line = format!(
            "ulimit {limit} && exec {program} call {} fib 10 -j 32",
            module.display()
        );
        let mut command = std::process::Command::new("sh");
        let cache = crate::support::scratch().join("compiled");
        command.args(["-c", &line]).env("RWASM_CACHE_DIR", cache);
        command.env_remove("RWASM_CLUSTER");
        command.output().expect("a shell runs")
    };
    // The hard limit cannot be raised.
    let few = shell("-n 24");
    let told = String::from_utf8_lossy(&few.stderr);
    assert_eq!(few.status.code(), Some(13), "{told}");
    assert!(told.contains("`ulimit -n 192`"), "{told}");
    // The soft one is.
    let enough = shell("-Sn 24");
    let told = String::from_utf8_lossy(&enough.stderr);
    assert_eq!(String::from_utf8_lossy(&enough.stdout), "55\n", "{told}");
}
