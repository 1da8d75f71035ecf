//! Modules that take long to be made ready on engines elsewhere: their process goes on meanwhile, whoever waits is told, and
//! what was compiled once on a machine is not compiled there again.

use super::engine::EngineProcess;
use super::{assets, connect, server, show};
use crate::build::toolchain_is_missing;
use crate::compile::{branches, children};
use crate::support::{
    SOON, events_until, folder, guest, is_alone, is_whole, numbers, program, until,
};
use rustix::process::Pid;
use rwasm_cluster::nats::AssetSettings;
use rwasm_cluster::{ClusterEvent, FailureCode, Limits, Module, Task};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// As many exports as a module may have, roughly: each takes part of the memory that its analysis may take.
const ITEMS: usize = 300_000;

#[test]
fn whoever_waits_is_told_that_it_is_compiled_and_what_its_limit_was() {
    let server = server(&assets(SOON));
    let _engine = EngineProcess::join(server.url(), "-n 1");
    let cluster = connect(server.url());
    let mut events = cluster.events();
    let slow = Module::from_bytes("slow", branches(100_000)).expect("it is a module");
    let slow = slow.function::<i32, i32>("f").expect("it has the function");
    let mut limits = Limits::default();
    // Twice as long as it takes until the first word of it is sent.
    limits.compile_time = Duration::from_secs(2);
    let view = cluster.load_balanced_view().limits(limits);
    let task = view.try_submit(&slow, 1).expect("it is submitted");
    let seen = events_until(&mut events, |event| {
        matches!(event, ClusterEvent::Compiling { .. })
    });
    let Some(ClusterEvent::Compiling { module, before }) = seen.last() else {
        panic!("{seen:?}")
    };
    assert_eq!((&**module, *before), ("slow", 0));
    let error = task.get().expect_err("it is too slow");
    let failure = &error.failure().expect("the task failed").failure;
    assert_eq!(failure.code, FailureCode::CompileLimit, "{failure:?}");
    assert!(failure.message.contains("limit of 2s"), "{failure:?}");
    // The engine has lost nothing by it.
    let view = cluster.load_balanced_view().blocking();
    assert_eq!(view.apply(&numbers().add_one, 1).expect("a value"), 2);
}

/// The code in a cache: each file with its inode, which is another one if it is written again.
fn code(cache: &Path) -> Vec<(PathBuf, u64)> {
    let entries = std::fs::read_dir(cache).expect("there is a cache");
    let mut code: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file() && !path.to_string_lossy().contains("/.lock-"))
        .map(|path| {
            let meta = path.metadata().expect("it is there");
            (path, meta.ino())
        })
        .collect();
    code.sort();
    code
}

#[test]
fn what_a_local_run_compiled_is_not_compiled_again_by_engines_that_join() {
    let dir = folder();
    let cache = dir.path().join("cache");
    program()
        .env("RWASM_CACHE_DIR", &cache)
        .env("RWASM_CLUSTER", "")
        .arg("call")
        .arg(guest("numbers"))
        .typed("fib 10")
        .end()
        .expect_code(0)
        .expect_stdout("55\n");
    let compiled = code(&cache);
    assert_eq!(compiled.len(), 1, "{compiled:?}");
    let server = server(&assets(SOON));
    let _engine = EngineProcess::join_with_cache(&cache, server.url(), "-n 1");
    let cluster = connect(server.url());
    let view = cluster.load_balanced_view().blocking();
    assert_eq!(view.apply(&numbers().add_one, 1).expect("a value"), 2);
    assert_eq!(code(&cache), compiled);
}

/// A component that has one function under so many names.
fn names(count: usize) -> Vec<u8> {
    let mut text = String::from(
        "(component
           (core module $m (func (export \"f\")))
           (core instance $i (instantiate $m))
           (func $f (canon lift (core func $i \"f\")))",
    );
    for number in 0..count {
        let _ = write!(text, "(export \"e{number}\" (func $f))");
    }
    text.push(')');
    wat::parse_str(text).expect("it is a component")
}

#[test]
fn a_process_answers_while_it_analyses_a_module_of_very_many_items() {
    let name = "faults::modules::a_process_answers_while_it_analyses_a_module_of_very_many_items";
    // It takes memory that others measure.
    if !is_alone(name) {
        return;
    }
    let bytes = names(ITEMS);
    let start = Instant::now();
    let module = Module::from_bytes("names", bytes).expect("it is a module");
    let analysis = start.elapsed();
    let server = server(&assets(SOON));
    let engine = EngineProcess::join(server.url(), "-n 1");
    let cluster = connect(server.url());
    let function = module
        .function::<(), ()>("e1")
        .expect("it has the function");
    let view = cluster.load_balanced_view();
    let task = view.try_submit(&function, ()).expect("it is submitted");
    let (mut answers, mut longest) = (0, Duration::ZERO);
    until("it has run", || {
        let asked = Instant::now();
        assert_eq!(engine.page("/healthz"), (200, "ok\n".to_owned()));
        longest = longest.max(asked.elapsed());
        answers += 1;
        task.is_ready()
    });
    show(&format!(
        "analysed in {analysis:?} here; {answers} answers, the longest after {longest:?}"
    ));
    task.get().expect("it runs");
    assert!(longest < analysis / 2, "{longest:?} of {analysis:?}");
}

/// The program under another name: the same module or component with another custom section.
fn named(number: u8, program: &[u8]) -> Module {
    let bytes = [program, &[0, 3, 1, b'n', number]].concat();
    Module::from_bytes(format!("module-{number}"), bytes).expect("it is a module")
}

#[test]
fn ten_modules_that_are_new_at_once_are_compiled_once_each() {
    const MODULES: u8 = 10;
    // In Python, each takes half a minute.
    let is_python = is_whole() && !toolchain_is_missing("python");
    let program = if is_python {
        std::fs::read(guest("wordcount-python")).expect("it was built")
    } else {
        wat::parse_str(branches(10_000)).expect("it is a module")
    };
    let cache = folder();
    let server = server(&AssetSettings::default());
    let engines: Vec<_> = (0..2)
        .map(|_| EngineProcess::join_with_cache(cache.path(), server.url(), "-n 1"))
        .collect();
    let cluster = connect(server.url());
    let mut events = cluster.events();
    let view = cluster.load_balanced_view();
    let start = Instant::now();
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    for module in (0..MODULES).map(|number| named(number, &program)) {
        if is_python {
            let mapper = module.function::<&str, Vec<(String, u64)>>("mapper");
            let mapper = mapper.expect("it has the function");
            texts.push(view.try_submit(&mapper, "word").expect("it is submitted"));
        } else {
            let f = module.function::<i32, i32>("f");
            let f = f.expect("it has the function");
            numbers.push(view.try_submit(&f, -1).expect("it is submitted"));
        }
    }
    let is_done = || texts.iter().all(Task::is_ready) && numbers.iter().all(Task::is_ready);
    let (mut compilers, mut places) = (BTreeSet::new(), BTreeSet::new());
    while !is_done() {
        assert!(start.elapsed() < Duration::from_mins(30), "{compilers:?}");
        for engine in &engines {
            let pids = children(engine.pid()).into_iter();
            compilers.extend(pids.map(Pid::as_raw_nonzero));
            assert_eq!(engine.page("/healthz"), (200, "ok\n".to_owned()));
        }
        while let Some(event) = events.try_next() {
            if let ClusterEvent::Compiling { before, .. } = event {
                places.insert(before);
            }
        }
    }
    show(&format!(
        "{} compilers; places {places:?}; {:?}",
        compilers.len(),
        start.elapsed()
    ));
    for task in texts {
        let words = task.get().expect("it is compiled within the defaults");
        assert_eq!(words, [("word".to_owned(), 1)]);
    }
    for task in numbers {
        assert_eq!(task.get().expect("it is compiled within the defaults"), -1);
    }
    // Each is a process of its own.
    assert_eq!(compilers.len(), usize::from(MODULES), "{compilers:?}");
    assert_eq!(code(cache.path()).len(), usize::from(MODULES));
    assert!(places.len() > 1, "whoever waits is told: {places:?}");
}
