//! Deterministic tasks: the same outcome and the same fuel, whatever engine runs them, when, and beside what.

use crate::support::{
    SOON, call, cluster, code, file, folder, module, numbers, only_here, program, run,
};
use rwasm_cluster::{FailureCode, Grants, Input, JobSpec, Limits, Merge, Module, Random, Reuse};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A command that prints a random number, its clocks, what they are after it has slept for 20 s, and
/// a not-a-number with whatever bits the machine gives it.
const WITNESS: &str = r#"(module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func $both (param $to i32)
        (drop (call $clock (i32.const 0) (i64.const 1) (local.get $to)))
        (drop (call $clock (i32.const 1) (i64.const 1) (i32.add (local.get $to) (i32.const 8)))))
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 48))
        (drop (call $random (i32.const 64) (i32.const 8)))
        (call $both (i32.const 72))
        (i32.store (i32.const 216) (i32.const 1))
        (i64.store (i32.const 224) (i64.const 20000000000))
        (drop (call $poll (i32.const 200) (i32.const 304) (i32.const 1) (i32.const 400)))
        (call $both (i32.const 88))
        (f64.store (i32.const 104) (f64.div (f64.const -0) (f64.const 0)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

fn witness() -> Module {
    Module::from_bytes("witness.wat", WITNESS).expect("it is a module")
}

fn deterministic(seed: Option<u64>) -> JobSpec {
    let mut spec = JobSpec::default();
    spec.task.deterministic = true;
    spec.merge = Merge::None;
    spec.task.grants = seed.map(|seed| Grants::none().random(Random::Seeded(seed)));
    spec
}

/// What each of these inputs comes to, with the fuel it takes.
fn outcomes(engines: u32, spec: &JobSpec, inputs: &[&str]) -> Vec<(Vec<u8>, Option<u64>)> {
    let cluster = cluster(engines);
    let inputs = inputs
        .iter()
        .map(|text| Input::bytes("input", text.to_string()));
    let job = cluster.run(&witness(), inputs.collect(), spec);
    let mut job = job.expect("the job begins");
    let mut found = Vec::new();
    while let Some((_, outcome)) = job.next_outcome() {
        let value = outcome
            .result
            .expect("it ends well")
            .unpack()
            .expect("bytes");
        let rwasm_cluster::Value::Bytes(bytes) = value else {
            panic!("a command gives bytes");
        };
        found.push((bytes.to_vec(), outcome.usage.fuel));
    }
    found
}

fn number(bytes: &[u8], place: usize) -> u64 {
    u64::from_le_bytes(bytes[place..place + 8].try_into().expect("eight bytes"))
}

#[test]
fn outcomes_and_fuel_are_the_same_on_any_number_of_engines() {
    let inputs = ["a", "b", "c", "a"];
    let first = outcomes(1, &deterministic(None), &inputs);
    assert_eq!(first, outcomes(4, &deterministic(None), &inputs));
    assert!(first[0].1.is_some_and(|fuel| fuel > 0), "fuel is counted");
    // The same input is the same task, wherever it stands; another one is another.
    assert_eq!(first[0], first[3]);
    assert_ne!(number(&first[0].0, 0), number(&first[1].0, 0));
    let other = outcomes(2, &deterministic(Some(7)), &inputs);
    assert_ne!(number(&first[0].0, 0), number(&other[0].0, 0));
    assert_eq!(other, outcomes(1, &deterministic(Some(7)), &inputs));
}

#[test]
fn time_goes_on_only_in_sleep_which_takes_none() {
    let start = Instant::now();
    let (bytes, _) = outcomes(1, &deterministic(None), &["a"]).remove(0);
    let second = 1_000_000_000;
    let new_year = 946_684_800 * second;
    assert_eq!(number(&bytes, 8), new_year);
    let day = 86_400 * second;
    assert_eq!(number(&bytes, 16), day);
    assert_eq!(number(&bytes, 24), new_year + 20 * second);
    assert_eq!(number(&bytes, 32), day + 20 * second);
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "it did not sleep"
    );
    // A not-a-number has one form.
    assert_eq!(number(&bytes, 40), 0x7ff8_0000_0000_0000);

    // The limit of time is held against that time.
    let dir = folder();
    let path = file(&dir, "witness.wat", WITNESS);
    let limited = |time| {
        program()
            .arg("run")
            .arg(&path)
            .args(["--deterministic", "--timeout", time])
    };
    limited("19s")
        .fails(11)
        .expect_stderr_has(&["(timeout)", "19s"]);
    let ended = limited("21s").end().expect_code(0);
    assert_eq!(ended.stdout[8..], bytes[8..]);
}

#[test]
fn fuel_is_what_ends_computing() {
    let ended = run("spin").typed("--deterministic --fuel 50000000 --timeout 1ms --limit wall=1m");
    ended
        .fails(11)
        .expect_stderr_has(&["(fuel-exhausted)", "50000000", "--fuel"]);
    // Computing takes no time: a task that computes for longer than its limit of time ends well.
    let output = call("numbers")
        .typed("fib 27 --deterministic --timeout 1ms --limit wall=1m")
        .output();
    assert_eq!(output, "196418\n");
}

/// A program that asks the host for its clock for ever.
const ASKING: &str = r#"(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (loop $again (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 64))) (br $again))))"#;

#[test]
fn what_the_host_does_is_charged_by_a_table() {
    let dir = folder();
    let path = file(&dir, "asking.wat", ASKING);
    let asking = |arguments: &str| program().arg("run").arg(&path).typed(arguments).stdin("");
    // A call costs 200, and a round of the guest's loop a few. Without the table this would take 25 times as many rounds.
    let ended = asking("--deterministic --fuel 2000000 --limit wall=1m").fails(11);
    ended.expect_stderr_has(&["(fuel-exhausted)", "2000000"]);
    let module = Module::from_bytes("witness.wat", WITNESS).expect("it is a module");
    let cluster = cluster(1);
    let fuel = |fuel| {
        let mut spec = deterministic(None);
        spec.job.max_failures = rwasm_cluster::Tolerance::Count(1);
        spec.task.limits = Some({
            let mut limits = Limits::default();
            limits.fuel = Some(fuel);
            limits
        });
        let job = cluster.run(&module, vec![Input::bytes("input", "a")], &spec);
        let mut job = job.expect("the job begins");
        let (_, outcome) = job.next_outcome().expect("it has an outcome");
        (
            outcome.result.map_err(|failure| failure.code),
            outcome.usage.fuel,
        )
    };
    // Six calls and some bytes, beside a hundred instructions.
    let (result, used) = fuel(1_000_000);
    assert!(result.is_ok());
    let used = used.expect("fuel is counted");
    assert!((1200..2000).contains(&used), "{used}");
    // To the unit, wherever the last of it goes.
    assert_eq!(fuel(used).1, Some(used));
    assert!(fuel(used).0.is_ok());
    let (result, all) = fuel(used - 1);
    assert_eq!(result.err(), Some(FailureCode::FuelExhausted));
    assert_eq!(all, Some(used - 1));
}

#[test]
fn every_byte_that_a_task_prints_is_charged() {
    let dir = folder();
    let report = dir.path().join("report.json");
    // Prints as many bytes at once, and does nothing after it.
    let fuel = |to: u32, bytes: u32| {
        let text = format!(
            r#"(module
                (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 2)
                (func (export "_start")
                    (i32.store (i32.const 0) (i32.const 64))
                    (i32.store (i32.const 4) (i32.const {bytes}))
                    (drop (call $write (i32.const {to}) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
        );
        let path = file(&dir, "prints.wat", text);
        let run = program()
            .arg("run")
            .arg(path)
            .typed("--deterministic --report");
        run.arg(&report).stdin("").end().expect_code(0);
        let text = std::fs::read_to_string(&report).expect("there is a report");
        let report: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        report["outcomes"][0]["fuel"]
            .as_u64()
            .expect("fuel is counted")
    };
    // Four bytes cost one unit, on either stream, whatever of them is kept.
    for to in [1, 2] {
        let little = fuel(to, 400);
        assert_eq!(fuel(to, 4400), little + 1000, "stream {to}");
        assert_eq!(fuel(to, 80_400), little + 20_000, "stream {to}");
    }
}

#[test]
fn the_clock_ends_what_fuel_would_not_and_says_so() {
    let dir = folder();
    let path = file(&dir, "asking.wat", ASKING);
    let mut waiting = program()
        .arg("run")
        .arg(&path)
        .typed("--deterministic --timeout 50ms --fuel 18446744073709551615");
    waiting = waiting.stdin("");
    waiting.fails(11).expect_stderr_has(&[
        "(timeout)",
        "by the clock",
        "500ms",
        "--limit wall=TIME",
    ]);
    // One that computes.
    let spin = run("spin").typed("--deterministic --fuel 18446744073709551615 --limit wall=100ms");
    spin.fails(11)
        .expect_stderr_has(&["(timeout)", "by the clock", "100ms"]);
    if only_here("elsewhere the input is read before there is a task") {
        return;
    }
    // One that waits for an input that does not come.
    let mut child = run("upper")
        .typed("--deterministic --limit wall=200ms")
        .into_command()
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let _silent = child.stdin.take();
    let ended = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(11), "{said}");
    assert!(said.contains("by the clock"), "{said}");
}

#[test]
fn calls_are_deterministic_too() {
    let cluster = cluster(2);
    let numbers = numbers();
    let view = cluster.load_balanced_view().deterministic(true);
    let mut fuel = BTreeSet::new();
    for _ in 0..20 {
        let task = view.try_submit(&numbers.fib, 20).expect("it is submitted");
        assert_eq!(task.get_timeout(SOON).expect("it ends well"), 6765);
        fuel.insert(task.info().expect("it has ended").usage.fuel);
    }
    assert_eq!(fuel.len(), 1, "{fuel:?}");
}

#[test]
fn a_guest_is_not_told_where_it_runs() {
    let cluster = cluster(3);
    let hosted = module("hosted");
    let place = hosted.function::<(), (u32, u32)>("where-am-i");
    let place = place.expect("it is there");
    let view = cluster.direct_view(2).expect("it is there");
    let reported = view.clone().blocking().apply(&place, ());
    assert_eq!(reported.expect("it ends well"), [(2, 3)]);
    let reported = view.deterministic(true).blocking().apply(&place, ());
    assert_eq!(reported.expect("it ends well"), [(0, 1)]);
}

#[test]
fn what_would_not_be_the_same_is_refused() {
    let reuse = run("wordcount")
        .typed("--deterministic --reuse engine")
        .stdin("a\n");
    reuse
        .fails(2)
        .expect_stderr_has(&["deterministic", "--reuse"]);
    let net = run("wordcount")
        .typed("--deterministic --net localhost:80")
        .stdin("a\n");
    net.fails(2)
        .expect_stderr_has(&["deterministic", "network"]);
    let cluster = cluster(1);
    let view = cluster
        .load_balanced_view()
        .deterministic(true)
        .reuse(Reuse::Engine);
    assert!(view.try_submit(&numbers().fib, 1).is_err());
    // Fuel that runs out is the same failure each time.
    let mut limits = Limits::default();
    limits.fuel = Some(1000);
    let view = cluster
        .load_balanced_view()
        .deterministic(true)
        .limits(limits);
    for _ in 0..3 {
        let task = view.try_submit(&numbers().fib, 30);
        let task = task.expect("it is submitted");
        assert_eq!(code(task.get_timeout(SOON)), FailureCode::FuelExhausted);
    }
}

#[test]
fn a_seed_alone_makes_random_numbers_the_same() {
    let dir = folder();
    let path = file(&dir, "random.wat", RANDOM);
    let random = |options: &str| {
        program()
            .arg("run")
            .arg(&path)
            .typed(options)
            .end()
            .expect_code(0)
            .stdout
    };
    assert_eq!(random("--seed 5"), random("--seed 5"));
    assert_ne!(random("--seed 5"), random("--seed 6"));
    assert_ne!(random(""), random(""));
}

/// A command that prints 16 random bytes.
const RANDOM: &str = r#"(module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 16))
        (drop (call $random (i32.const 64) (i32.const 16)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

#[test]
fn clocks_are_as_they_are_asked_for() {
    let dir = folder();
    let path = file(&dir, "clock.wat", CLOCK);
    let read = |options: &str| {
        let ended = program()
            .arg("run")
            .arg(&path)
            .typed(options)
            .end()
            .expect_code(0);
        (number(&ended.stdout, 0), number(&ended.stdout, 8))
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = u64::try_from(now.expect("it is later").as_nanos()).expect("nanoseconds");
    let (wall, monotonic) = read("");
    assert!(
        wall.abs_diff(now) < 600 * 1_000_000_000,
        "it is the system's clock"
    );
    assert_eq!(
        (wall % 1_000_000, monotonic % 1_000_000),
        (0, 0),
        "in whole milliseconds"
    );
    assert_eq!(
        read("--clock fixed"),
        (946_684_800_000_000_000, 86_400_000_000_000)
    );
    let precise: Vec<_> = (0..5).map(|_| read("--clock precise")).collect();
    assert!(
        precise.iter().any(|(wall, _)| wall % 1_000_000 != 0),
        "{precise:?} are not in whole milliseconds"
    );
    program()
        .arg("run")
        .arg(&path)
        .typed("--clock wrong")
        .fails(2)
        .expect_stderr_has(&["precise, coarse or fixed"]);
}

/// Go's runtime, for one, ends a program whose clock reads zero.
#[test]
fn no_clock_starts_at_zero() {
    let dir = folder();
    let core = file(&dir, "clock.wat", CLOCK);
    let component = dir.path().join("clock.wasm");
    let build = program().arg("build").arg(&core).arg("--component");
    build.arg("-o").arg(&component).end().expect_code(0);
    for path in [core, component] {
        for options in [
            "",
            "--clock coarse",
            "--clock precise",
            "--clock fixed",
            "--deterministic",
        ] {
            let run = program().arg("run").arg(&path).typed(options);
            let ended = run.end().expect_code(0);
            let (wall, monotonic) = (number(&ended.stdout, 0), number(&ended.stdout, 8));
            assert!(wall >= 946_684_800_000_000_000, "{options}: {wall}");
            // A program may subtract a timeout from it.
            assert!(monotonic >= 86_400_000_000_000, "{options}: {monotonic}");
        }
    }
}

/// A command that prints its wall clock and its monotonic clock.
const CLOCK: &str = r#"(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 16))
        (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 64)))
        (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 72)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

#[test]
fn a_project_file_does_not_say_what_tasks_may_reach() {
    for line in [
        "clock = \"precise\"",
        "dir = \"/::/\"",
        "env = \"HOME\"",
        "net = \"a:1\"",
    ] {
        let dir = folder();
        file(&dir, "rwasm.toml", line);
        let refused = run("wordcount").in_dir(dir.path()).stdin("a\n").fails(2);
        refused.expect_stderr_has(&["cannot be set here"]);
    }
}
