//! Compiling is bounded: in time, memory and code; a compiler that crashes, hangs or lies fails one module, and the
//! cluster goes on.

mod turns;

use crate::support::{
    LONG, SOON, component, file, folder, module, numbers, only_here, only_in_threads, program,
    refused_by_engine, soon, until,
};
use rustix::process::{Pid, Signal, kill_process};
use rwasm_cluster::{
    ByteSize, Cluster, CompileLimit, Compiler, Input, JobSpec, Limits, LoadError, Lowering, Module,
    SubmitError,
};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The program, which is a helper too.
fn own() -> Compiler {
    Compiler::Helper(env!("CARGO_BIN_EXE_rwasm-cluster").into())
}

fn cluster(compiler: Compiler) -> Cluster {
    let builder = Cluster::builder().engines(2).compiler(compiler);
    builder.start().expect("a cluster starts")
}

fn cluster_with_cache(compiler: Compiler, dir: &Path) -> Cluster {
    let builder = Cluster::builder().engines(2).compiler(compiler);
    builder.cache_dir(dir).start().expect("a cluster starts")
}

/// A helper that is a shell script. Another process writes it: a file that is open for writing here could not be run
/// while any other test starts a process.
fn script(dir: &TempDir, text: &str) -> Compiler {
    let path = dir.path().join("helper");
    let mut install = Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("install starts");
    let mut stdin = install.stdin.take().expect("stdin is piped");
    write!(stdin, "#!/bin/sh\n{text}\n").expect("install reads");
    drop(stdin);
    assert!(install.wait().expect("install ends").success());
    Compiler::Helper(path)
}

/// One function of many branches: the compiler takes seconds for it, and hundreds of MiB.
pub(crate) fn branches(count: usize) -> String {
    let mut text = String::from("(module (func (export \"f\") (param i32) (result i32)");
    for _ in 0..50 {
        text += " (local i32)";
    }
    for number in 0..count {
        let (from, to) = (number % 50, number * 7 % 50);
        let _ = writeln!(
            text,
            "(if (i32.eq (local.get 0) (i32.const {number}))
             (then (local.set {to} (i32.add (local.get {from}) (i32.const 1)))))"
        );
    }
    text + "(local.get 0)))"
}

/// Many small functions.
fn functions(count: usize) -> String {
    let mut text =
        String::from("(module (func (export \"f\") (param i32) (result i32) (local.get 0))");
    for number in 0..count {
        let _ = writeln!(
            text,
            "(func (param i32) (result i32)
             (i32.mul (i32.add (local.get 0) (i32.const {number})) (local.get 0)))"
        );
    }
    text + ")"
}

fn text(wat: impl Into<Vec<u8>>) -> Module {
    Module::from_bytes("text", wat.into()).expect("a module")
}

/// Processes that this one, or the process of that number, has started and that have not ended.
pub(crate) fn children(of: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return vec![];
    };
    let is_child = |stat: &str| {
        // After the name, which is in parentheses: the state, the parent.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        (fields.next()? != "Z" && fields.next()?.parse() == Ok(of.as_raw_nonzero().get()))
            .then_some(())
    };
    let ids = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        is_child(&fs::read_to_string(path.join("stat")).ok()?)?;
        Pid::from_raw(path.file_name()?.to_str()?.parse().ok()?)
    });
    ids.collect()
}

fn is_running(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

#[test]
fn what_takes_too_long_is_stopped_while_the_cluster_goes_on() {
    let cluster = cluster(own());
    let numbers = numbers();
    let view = cluster.blocking().load_balanced_view();
    assert_eq!(view.apply(&numbers.add_one, 1).expect("a value"), 2);
    let slow = text(branches(60_000));
    let mut limits = Limits::default();
    limits.compile_time = Duration::from_millis(300);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let compiling = scope.spawn(|| {
            let start = Instant::now();
            let refused = cluster.prepare(&slow, &limits);
            is_over.store(true, Ordering::Release);
            (refused, start.elapsed())
        });
        let mut calls = 0;
        while !is_over.load(Ordering::Acquire) {
            assert_eq!(
                view.apply(&numbers.add_one, calls).expect("a value"),
                calls + 1
            );
            calls += 1;
        }
        assert!(calls > 1, "only {calls} tasks ran while it compiled");
        let (refused, took) = compiling.join().expect("no panic");
        let Err(LoadError::CompileLimit { limit, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(limit, CompileLimit::Time(limits.compile_time));
        assert!(took < SOON, "{took:?}");
    });
    // One of many functions compiles within the limit, on the same cluster.
    cluster
        .prepare(&text(functions(5_000)), &Limits::default())
        .expect("it compiles");
}

#[test]
fn each_limit_is_named_with_the_option_that_raises_it() {
    let dir = folder();
    let slow = file(&dir, "slow.wat", branches(60_000));
    let many = file(&dir, "many.wat", functions(5_000));
    for (module, limit, text) in [
        (
            &slow,
            "compile-time=200ms",
            "limit of 200ms (compile-limit; raise it with --limit compile-time=TIME)",
        ),
        (
            &slow,
            "compile-memory=64MiB",
            "limit of 64MiB (compile-limit; raise it with --limit compile-memory=SIZE)",
        ),
        // So little that the compiler's threads do not start.
        (
            &slow,
            "compile-memory=1MiB",
            "limit of 1MiB (compile-limit; raise it with --limit compile-memory=SIZE)",
        ),
        (
            &many,
            "compiled=64KiB",
            "limit of 64KiB (compile-limit; raise it with --limit compiled=SIZE)",
        ),
        (
            &many,
            "module=1KiB",
            "is larger than 1KiB, the most a module may have (raise it with --limit module=SIZE)",
        ),
    ] {
        program()
            .env("RWASM_CACHE_DIR", "")
            .arg("call")
            .arg(module)
            .typed("f 1 --engines 1 --limit")
            .arg(limit)
            .fails(if limit.starts_with("module") {
                10
            } else {
                refused_by_engine()
            })
            .expect_stderr_has(&["module `", text]);
    }
    program()
        .arg("call")
        .arg(&many)
        .typed("f 1 --limit compile-time=0s")
        .fails(2);
}

#[test]
fn a_module_may_be_larger_where_its_limit_is_raised() {
    // A custom section with nothing in it but zeroes.
    let size: u32 = 129 << 20;
    let mut bytes = b"\0asm\x01\0\0\0\0".to_vec();
    for shift in [0, 7, 14, 21] {
        let more = if shift < 21 { 0x80 } else { 0 };
        bytes.push(u8::try_from(size >> shift & 0x7f).expect("seven bits") | more);
    }
    bytes.resize(bytes.len() + size as usize, 0);
    let bytes = bytes::Bytes::from(bytes);
    let refused = Module::from_bytes("large", bytes.clone());
    assert!(
        matches!(refused, Err(LoadError::TooLarge { .. })),
        "{refused:?}"
    );
    let mut limits = Limits::default();
    limits.module = ByteSize::mib(130);
    Module::from_bytes_within("large", bytes, &limits).expect("it is within its limit");
}

#[test]
fn a_helper_makes_the_code_that_this_process_would() {
    let dir = folder();
    let files = || {
        let entries = fs::read_dir(dir.path()).expect("listed");
        let mut files: Vec<_> = entries
            .map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.metadata()?.ino()))))
            .collect::<Result<_, _>>()
            .expect("listed");
        files.retain(|(path, _)| !is_lock(path));
        files.sort();
        files
    };
    let with_fuel = {
        let mut limits = Limits::default();
        limits.fuel = Some(1_000_000);
        limits
    };
    let modules = [
        (module("numbers"), Limits::default()),
        (module("numbers"), with_fuel),
        (
            Module::from_bytes("component", component("numbers")).expect("a component"),
            Limits::default(),
        ),
    ];
    let helped = cluster_with_cache(own(), dir.path());
    for (module, limits) in &modules {
        helped.prepare(module, limits).expect("it compiles");
    }
    let made = files();
    assert_eq!(made.len(), 3);
    let in_process = cluster_with_cache(Compiler::InProcess, dir.path());
    let precompiled = cluster_with_cache(Compiler::PrecompiledOnly, dir.path());
    for (module, limits) in &modules {
        in_process.prepare(module, limits).expect("it is there");
        precompiled.prepare(module, limits).expect("it is there");
    }
    assert_eq!(files(), made, "nothing was compiled again");

    // Without a cache the code is handed over in memory, of either kind.
    for lowering in [Lowering::Core, Lowering::Component] {
        let builder = Cluster::builder().engines(1).compiler(own());
        let cluster = builder.lowering(lowering).start().expect("a cluster");
        let view = cluster.blocking().load_balanced_view();
        assert_eq!(view.apply(&numbers().fib, 30).expect("a value"), 832_040);
    }
}

#[test]
fn what_was_not_prepared_is_refused_where_nothing_is_compiled() {
    let dir = folder();
    let precompiled = cluster_with_cache(Compiler::PrecompiledOnly, dir.path());
    let refused = precompiled.prepare(&module("numbers"), &Limits::default());
    let Err(error @ LoadError::NotPrecompiled { .. }) = refused else {
        panic!("{refused:?}");
    };
    let text = error.to_string();
    assert!(
        text.contains("numbers.wasm` is not in the code cache"),
        "{text}"
    );
    cluster_with_cache(own(), dir.path())
        .prepare(&module("numbers"), &Limits::default())
        .expect("it compiles");
    let view = precompiled.blocking().load_balanced_view();
    assert_eq!(view.apply(&numbers().add_one, 1).expect("a value"), 2);
}

#[test]
fn an_invalid_module_is_told_as_it_is_without_a_helper() {
    let invalid = text("(module (func (export \"f\") (result i32)))");
    let message = |compiler| {
        let refused = cluster(compiler).prepare(&invalid, &Limits::default());
        let Err(LoadError::Invalid { message, .. }) = refused else {
            panic!("{refused:?}");
        };
        message
    };
    let text = message(own());
    assert_eq!(text, message(Compiler::InProcess));
    assert_eq!(text, message(Compiler::default()));
    assert!(text.contains("type mismatch"), "{text}");
}

#[test]
fn by_default_time_and_code_are_bounded_in_this_process() {
    let refused = |limits: &Limits| {
        let cluster = Cluster::builder().engines(1).start().expect("a cluster");
        match cluster.prepare(&module("numbers"), limits) {
            Err(LoadError::CompileLimit { limit, .. }) => limit,
            other => panic!("{other:?}"),
        }
    };
    let mut limits = Limits::default();
    limits.compile_time = Duration::from_micros(1);
    assert_eq!(refused(&limits), CompileLimit::Time(limits.compile_time));
    let mut limits = Limits::default();
    limits.compiled = ByteSize::kib(4);
    assert_eq!(refused(&limits), CompileLimit::Code(limits.compiled));
}

/// A folder whose cache has the code of `numbers`, which is at hand in spite of any helper.
fn with_numbers_compiled() -> TempDir {
    let dir = folder();
    cluster_with_cache(own(), &dir.path().join("cache"))
        .prepare(&module("numbers"), &Limits::default())
        .expect("it compiles");
    dir
}

/// Why a module is not compiled with this helper. Others work meanwhile.
fn refused(dir: &TempDir, text_of_helper: &str) -> LoadError {
    let helper = script(dir, text_of_helper);
    let cluster = cluster_with_cache(helper, &dir.path().join("cache"));
    let refused = cluster.prepare(&text(functions(3)), &Limits::default());
    let view = cluster.blocking().load_balanced_view();
    assert_eq!(view.apply(&numbers().add_one, 1).expect("a value"), 2);
    refused.expect_err(text_of_helper)
}

#[test]
fn a_compiler_that_crashes_or_lies_fails_one_module() {
    let dir = with_numbers_compiled();
    let answer = r#"echo '{"answer":"compiled","bytes":4,"crc32":0}' >&2"#;
    for (helper, text) in [
        ("kill -SEGV $$", "it was terminated by signal 11"),
        ("kill -ABRT $$", "it aborted"),
        ("kill -KILL $$", "it was killed"),
        (
            "echo 'so it goes' >&2; exit 7",
            "it exited with code 7; its last output: so it goes",
        ),
        ("exit 0", "it did not answer"),
        ("head -c 1000000 /dev/zero >&2", "it did not answer"),
        ("head -c 1000000 /dev/urandom", "it did not answer"),
        // Of a length and a checksum that it has not, or not the checksum alone.
        (answer, "the code that it wrote is malformed"),
        (
            &format!("printf abcd; {answer}"),
            "the code that it wrote is malformed",
        ),
        (
            &format!("{answer}; kill -SEGV $$"),
            "it was terminated by signal 11",
        ),
        (
            r#"echo '{"answer":"failed","message":"it panicked: oh"}' >&2"#,
            "it panicked: oh",
        ),
    ] {
        let error = refused(&dir, helper);
        let LoadError::CompilerCrashed { name, message } = &error else {
            panic!("{helper}: {error:?}");
        };
        assert_eq!(name, "text");
        assert!(message.contains(text), "{helper}: {message}");
    }
    // A line that has the right checksum, but no code.
    let rubbish = refused(
        &dir,
        r#"printf abcd; echo '{"answer":"compiled","bytes":4,"crc32":3984772369}' >&2"#,
    );
    assert!(
        matches!(rubbish, LoadError::Unsupported { .. }),
        "{rubbish:?}"
    );
}

#[test]
fn a_compiler_that_passes_a_limit_fails_one_module() {
    let dir = with_numbers_compiled();
    // Signals by which the system ends what passes a limit.
    let time = refused(&dir, "kill -XCPU $$");
    assert!(
        matches!(
            time,
            LoadError::CompileLimit {
                limit: CompileLimit::Time(_),
                ..
            }
        ),
        "{time:?}"
    );
    let code = refused(&dir, "kill -XFSZ $$");
    assert!(
        matches!(
            code,
            LoadError::CompileLimit {
                limit: CompileLimit::Code(_),
                ..
            }
        ),
        "{code:?}"
    );
    // A runtime that hangs when it has said that it has no memory.
    let memory = refused(
        &dir,
        "echo 'memory allocation of 7 bytes failed' >&2; exec sleep 1000",
    );
    assert!(
        matches!(
            memory,
            LoadError::CompileLimit {
                limit: CompileLimit::Memory(_),
                ..
            }
        ),
        "{memory:?}"
    );
}

#[test]
fn a_helper_of_another_build_is_refused() {
    let dir = folder();
    let Compiler::Helper(own) = own() else {
        unreachable!()
    };
    let other = format!(
        r#"exec '{}' "$1" "$(echo "$2" | sed 's/"compatibility":[0-9]*/"compatibility":7/')""#,
        own.display()
    );
    let unknown = format!(r#"exec '{}' "$1" '{{"new":1}}'"#, own.display());
    for text_of_helper in [other, unknown] {
        let cluster = cluster(script(&dir, &text_of_helper));
        let refused = cluster.prepare(&text(functions(3)), &Limits::default());
        assert!(
            matches!(refused, Err(LoadError::CompilerMismatch { .. })),
            "{refused:?}"
        );
    }
    let cluster = cluster(Compiler::Helper(PathBuf::from("/no/such/program")));
    let refused = cluster.prepare(&text(functions(3)), &Limits::default());
    assert!(
        matches!(refused, Err(LoadError::CompilerUnavailable { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_helper_that_hangs_is_killed_with_all_it_started() {
    let dir = folder();
    let started = dir.path().join("started");
    // The second process holds all pipes open, and would for long.
    let hang = format!("sleep {LONG} & echo $! > '{}'; wait", started.display());
    let cluster = cluster(script(&dir, &hang));
    let mut limits = Limits::default();
    // Of processor time, which it does not take: it ends after ten times as much by the clock.
    limits.compile_time = Duration::from_millis(200);
    let refused = soon("a helper that hangs is killed", move || {
        cluster.prepare(&text(functions(3)), &limits)
    });
    assert!(
        matches!(refused, Err(LoadError::CompileLimit { .. })),
        "{refused:?}"
    );
    let id = fs::read_to_string(started).expect("it was started");
    let id = Pid::from_raw(id.trim().parse().expect("a number")).expect("a process");
    until("what it started has ended", || !is_running(id));
}

#[test]
fn a_module_that_many_want_is_compiled_once() {
    let dir = folder();
    let log = dir.path().join("log");
    let own = env!("CARGO_BIN_EXE_rwasm-cluster");
    let counted = format!("echo compiler >> '{}'; exec '{own}' \"$@\"", log.display());
    let compiler = script(&dir, &counted);
    // Two clusters stand for two processes: what they share is a directory.
    let cache = dir.path().join("cache");
    let clusters = [(); 2].map(|()| cluster_with_cache(compiler.clone(), &cache));
    let wanted = [text(functions(200)), text(functions(201))];
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (cluster, module) = (&clusters[number % 2], &wanted[number / 2 % 2]);
            scope.spawn(move || {
                let prepared = cluster.prepare(module, &Limits::default());
                prepared.expect("it compiles");
            });
        }
    });
    let started = fs::read_to_string(log).expect("compilers were started");
    assert_eq!(started.lines().count(), wanted.len(), "{started}");
}

#[test]
fn a_cluster_that_is_shut_down_does_not_wait_for_the_compiler() {
    let dir = folder();
    let started = dir.path().join("started");
    let hang = format!("touch '{}'; exec sleep {LONG}", started.display());
    let cluster = std::sync::Arc::new(cluster(script(&dir, &hang)));
    let preparing = {
        let cluster = std::sync::Arc::clone(&cluster);
        std::thread::spawn(move || cluster.prepare(&text(functions(3)), &Limits::default()))
    };
    until("it compiles", || started.exists());
    let (refused, late) = soon("a cluster that compiles shuts down", move || {
        cluster.shutdown(Duration::ZERO);
        let inputs = vec![Input::bytes("text", "one")];
        let late = cluster.run(&module("wordcount"), inputs, &JobSpec::default());
        (preparing.join().expect("no panic"), late.err())
    });
    assert!(matches!(late, Some(SubmitError::ShutDown)), "{late:?}");
    assert!(
        matches!(refused, Err(LoadError::ShutDown { .. })),
        "{refused:?}"
    );
}

#[test]
fn the_compiler_ends_with_the_program() {
    if only_here("the compiler is a process of the engines'") || only_in_threads("of children") {
        return;
    }
    let dir = folder();
    let slow = file(&dir, "slow.wat", branches(150_000));
    let cache = dir.path().join("cache");
    for (signal, code) in [
        (Signal::INT, Some(130)),
        (Signal::TERM, Some(143)),
        (Signal::KILL, None),
    ] {
        let mut child = program()
            .env("RWASM_CACHE_DIR", &cache)
            .arg("call")
            .arg(&slow)
            .typed("f 1 --engines 1")
            .into_command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let id = Pid::from_child(&child);
        until("the compiler has started", || !children(id).is_empty());
        let [compiler] = children(id).try_into().expect("one module, one compiler");
        kill_process(id, signal).expect("a child can be signalled");
        let mut text = String::new();
        let mut stderr = child.stderr.take().expect("stderr is piped");
        stderr
            .read_to_string(&mut text)
            .expect("the pipe is closed");
        assert_eq!(
            child.wait().expect("it ends").code(),
            code,
            "{signal:?}: {text}"
        );
        assert_eq!(text, "", "{signal:?}");
        until("the compiler has ended", || !is_running(compiler));
        // A lock goes with the process; its file is empty, and whoever makes code next removes it.
        let left = fs::read_dir(&cache).expect("the cache");
        let left: Vec<_> = left.map(|entry| entry.expect("an entry").path()).collect();
        let is_empty = |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.len() == 0);
        assert!(
            left.iter().all(|path| is_lock(path) && is_empty(path)),
            "{signal:?}: {left:?}"
        );
    }
    let next = crate::support::run("wordcount")
        .env("RWASM_CACHE_DIR", &cache)
        .stdin("a\n");
    next.end().expect_code(0);
    let left = fs::read_dir(&cache).expect("the cache").count();
    assert_eq!(left, 2, "its code, and the lock of one compiler");
}

/// Whether it is the lock of a compiler.
fn is_lock(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(".lock-"))
}
