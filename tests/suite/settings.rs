//! What tasks may use and reach, said for a cluster, for a job and for a call: the nearest holds. And whether all
//! engines together may use more than there is.

use crate::support::{
    SOON, cluster, code, file, finish, folder, guest, module, numbers, only_here, program, run,
    spec,
};
use rwasm_cluster::{
    ByteSize, Cluster, FailureCode, Input, JobError, JobSpec, Limits, MAX_STACK, Merge, Module,
    SettingError, SubmitError,
};

/// Limits of so much output and nothing else that is unusual.
fn output(bytes: u64) -> Limits {
    let mut limits = Limits::default();
    limits.output = ByteSize::new(bytes);
    limits
}

/// A cluster whose tasks may give next to nothing.
fn terse() -> Cluster {
    let builder = Cluster::builder().engines(1).limits(output(4));
    builder.start().expect("it starts")
}

#[test]
fn a_clusters_limits_hold_for_its_jobs_and_calls() {
    let cluster = terse();
    assert_eq!(cluster.limits().output, ByteSize::new(4));
    let upper = module("upper");
    let inputs = || vec![Input::bytes("text", "some words\n")];
    let job = cluster.run(&upper, inputs(), &JobSpec::default());
    let Err(JobError::TaskFailed { failure, .. }) = job.expect("it begins").wait() else {
        panic!("it fails");
    };
    assert_eq!(failure.code, FailureCode::OutputLimit);
    // A job has its own, and others go on with the cluster's.
    let mut larger = JobSpec::default();
    larger.task.limits = Some(output(100));
    finish(&cluster, &upper, "some words\n".to_owned(), &larger);

    let mapper = module("wordcount").function::<&str, Vec<(String, u64)>>("mapper");
    let mapper = mapper.expect("it is there");
    let view = cluster.load_balanced_view();
    let task = view
        .try_submit(&mapper, "some words")
        .expect("it is submitted");
    assert_eq!(code(task.get_timeout(SOON)), FailureCode::OutputLimit);
    let task = view.limits(output(100)).try_submit(&mapper, "some words");
    let counts = task.expect("it is submitted").get_timeout(SOON);
    assert_eq!(counts.expect("it ends well").len(), 2);
}

/// A module whose one function calls itself so often.
const DEEP: &str = r#"(module (func (export "deep") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
        (then (i32.const 0))
        (else (i32.add (i32.const 1) (call 0 (i32.sub (local.get 0) (i32.const 1))))))))"#;

#[test]
fn the_stack_is_as_large_as_it_is_asked_for() {
    let dir = folder();
    let path = file(&dir, "deep.wat", DEEP);
    let deep = |calls: &str, options: &str| {
        let call = program().arg("call").arg(&path).args(["deep", calls]);
        call.typed(options)
    };
    assert_eq!(deep("2000", "").output(), "2000\n");
    deep("200000", "").fails(11).expect_stderr_has(&[
        "(stack-overflow)",
        "512KiB",
        "--limit stack",
    ]);
    assert_eq!(deep("200000", "--limit stack=8MiB").output(), "200000\n");
    deep("2000", "--limit stack=16KiB")
        .fails(11)
        .expect_stderr_has(&["(stack-overflow)", "16KiB"]);
    for size in ["1KiB", "9MiB", "0"] {
        let refused = deep("1", &format!("--limit stack={size}")).fails(2);
        refused.expect_stderr_has(&["16KiB to 8MiB"]);
    }
}

#[test]
fn limits_that_cannot_be_are_refused_before_anything_runs() {
    let cluster = cluster(1);
    let mut limits = Limits::default();
    limits.stack = ByteSize::new(MAX_STACK.bytes() + 1);
    let mut large = JobSpec::default();
    large.task.limits = Some(limits.clone());
    let refused = cluster.run(&module("upper"), vec![], &large);
    assert!(matches!(
        refused.err(),
        Some(SubmitError::Setting(SettingError::Stack { .. }))
    ));
    let view = cluster.load_balanced_view().limits(limits);
    assert!(matches!(
        view.try_submit(&numbers().fib, 1).err(),
        Some(SubmitError::Setting(SettingError::Stack { .. }))
    ));
    let mut limits = Limits::default();
    limits.table_elements = usize::MAX;
    large.task.limits = Some(limits);
    let refused = cluster.run(&module("upper"), vec![], &large);
    assert!(matches!(
        refused.err(),
        Some(SubmitError::Setting(SettingError::TableElements { .. }))
    ));
}

#[test]
fn the_usage_record_has_peak_memory_and_fuel() {
    // One page at first, three more, and all of them stay.
    let text = r#"(module (memory (export "memory") 1)
        (func (export "_start") (drop (memory.grow (i32.const 3)))))"#;
    let module = Module::from_bytes("grows.wat", text).expect("it is a module");
    let mut spec = spec(Merge::None);
    let mut limits = Limits::default();
    limits.fuel = Some(1000);
    spec.task.limits = Some(limits);
    let cluster = cluster(1);
    let inputs = vec![Input::bytes("nothing", "")];
    let mut job = cluster.run(&module, inputs, &spec).expect("it begins");
    let (_, outcome) = job.next_outcome().expect("there is one");
    assert_eq!(outcome.usage.peak_memory, 4 << 16);
    let fuel = outcome.usage.fuel.expect("it is counted");
    assert!((1..100).contains(&fuel), "{fuel}");
}

#[test]
fn what_the_engines_could_use_up_is_said_with_the_arithmetic() {
    if only_here("what engines elsewhere may use up is theirs to say") {
        return;
    }
    // More than any machine has on which this is tested.
    let started = run("upper")
        .typed("--engines 1000 --memory 4GiB")
        .stdin("a\n");
    let ended = started.end().expect_code(0).expect_stdout("A\n");
    ended.expect_stderr_has(&[
        "warning: 1000 engines × (4GiB of memory + 64MiB of output",
        "more than the",
    ]);
    let quiet = run("upper")
        .typed("--engines 1000 --memory 4GiB -q")
        .stdin("a\n");
    quiet.end().expect_code(0).expect_stderr_is_empty();
    run("upper").stdin("a\n").end().expect_stderr_is_empty();
    // The largest number of bytes there is, and a little more.
    let endless = run("upper")
        .typed("--memory 18446744073709551615")
        .stdin("a\n");
    endless
        .end()
        .expect_code(0)
        .expect_stderr_has(&["warning: "]);

    let cluster = cluster(1);
    assert!(cluster.shortages().is_empty(), "{:?}", cluster.shortages());
}

#[test]
fn files_count_where_directories_are_granted() {
    let dir = folder();
    let upper = guest("upper");
    let line = |options: &str| {
        format!(
            "ulimit -n 400; exec '{}' run '{}' {options}",
            env!("CARGO_BIN_EXE_rwasm-cluster"),
            upper.display()
        )
    };
    let shell = |options: &str| {
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", &line(options)])
            .stdin(std::process::Stdio::null());
        let output = shell.output().expect("the shell runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let grant = format!("--engines 2 --dir '{}::/data'", dir.path().display());
    let stderr = shell(&grant);
    assert!(
        stderr.contains(
            "2 engines × (4 of its own + 256 of handles) + 64 = 584 open files, more than the 400"
        ),
        "{stderr}"
    );
    assert!(stderr.contains("--limit handles=N"), "{stderr}");
    let without = shell("--engines 2");
    assert!(!without.contains("handles"), "{without}");
}
