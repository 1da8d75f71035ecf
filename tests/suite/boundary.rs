//! Tasks in worker processes: the same results, a process that holds nothing, and one task at most for each that is killed.

use crate::compile::children;
use crate::support::{
    Ended, SOON, call, code, file, folder, guest, is_over_nats, map, module, only_here, program,
    run, until,
};
use rustix::process::{Pid, Signal, kill_process};
use rwasm_cluster::{
    Boundary, Cluster, FailureCode, HostCall, HostError, HostFunctions, StartError,
};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The same command line with either boundary.
fn both(typed: &dyn Fn() -> crate::support::Cli) -> [Ended; 2] {
    ["thread", "process"].map(|boundary| typed().env("RWASM_BOUNDARY", boundary).end())
}

#[test]
fn results_and_failures_are_the_same() {
    if only_here("engines of a cluster have a boundary of their own") {
        return;
    }
    let dir = folder();
    let text = file(
        &dir,
        "text",
        "the rain falls\nand the river takes the rain\n".repeat(5_000),
    );
    let numbers = (0..20_000).map(|number: u32| number.to_string());
    let numbers = numbers.collect::<Vec<_>>().join("\n");
    let lines: [&dyn Fn() -> crate::support::Cli; 7] = [
        &|| run("wordcount").arg(&text).typed("--chunk 4k -j 2"),
        &|| run("upper").arg(&text).typed("-j 2"),
        &|| run("linecount").stdin(fs::read(&text).expect("the text")),
        &|| map("numbers").arg("add-one").stdin(numbers.clone()),
        &|| call("numbers").args(["greet", "you", "2"]),
        &|| call("numbers").args(["fail", "trap"]),
        &|| call("numbers").args(["divide", "1", "0"]),
    ];
    for line in lines {
        let [threads, processes] = both(line);
        assert_eq!(threads.stdout, processes.stdout);
        assert_eq!(threads.stderr, processes.stderr);
        assert_eq!(threads.status.code(), processes.status.code());
    }
}

#[test]
fn granted_directories_are_there_and_nothing_else() {
    if only_here("engines of a cluster have a boundary of their own") {
        return;
    }
    let dir = folder();
    fs::create_dir(dir.path().join("given")).expect("a directory can be made");
    fs::write(dir.path().join("secret"), "secret").expect("a file can be written");
    let files = |typed: &[&str]| {
        let cli = run("files")
            .in_dir(dir.path())
            .typed("--boundary process --dir given::/data");
        cli.arg("--").args(typed).end()
    };
    files(&[
        "write",
        "/data/new",
        "one",
        "then",
        "append",
        "/data/new",
        ",two",
    ])
    .expect_code(0);
    let made = dir.path().join("given/new");
    assert_eq!(
        fs::read_to_string(&made).expect("it was written"),
        "one,two"
    );
    // As open as what the program itself makes.
    let own = dir.path().join("secret");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").mode();
    assert_eq!(mode(&made), mode(&own));
    files(&["read", "/data/../secret"]).expect_code(11);
}

/// A program whose tasks do not end, and its workers.
fn endless(options: &str) -> (Child, Vec<Pid>) {
    let child = call("numbers")
        .typed("spin --boundary process --timeout 60s")
        .typed(options)
        .start();
    let id = Pid::from_child(&child);
    // One that has computed for longer than it takes to start has the task. The compiler, which is a child too, is not confined.
    let is_worker = |process: &Pid| field(*process, "Seccomp") == "2" && ticks(*process) > 30;
    let workers = || children(id).into_iter().filter(is_worker);
    until("its worker runs", || workers().next().is_some());
    (child, workers().collect())
}

/// How long a process has computed for itself, in hundredths of a second.
pub(crate) fn ticks(process: Pid) -> u64 {
    let path = format!("/proc/{}/stat", process.as_raw_nonzero());
    let stat = fs::read_to_string(path).unwrap_or_default();
    // After the name, which is in parentheses, the state is the third field, and this the fourteenth.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields);
    let field = fields.and_then(|fields| fields.split_whitespace().nth(11));
    field.and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// A field of what the kernel says of a process.
pub(crate) fn field(process: Pid, name: &str) -> String {
    let path = format!("/proc/{}/status", process.as_raw_nonzero());
    let status = fs::read_to_string(path).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

#[test]
fn a_worker_holds_nothing() {
    if only_here("engines of a cluster have a boundary of their own") {
        return;
    }
    let (mut child, workers) = endless("-j 1");
    for worker in &workers {
        assert_eq!(field(*worker, "NoNewPrivs"), "1");
        assert_eq!(field(*worker, "Seccomp"), "2");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(*worker, set), "0000000000000000", "{set}");
        }
        let place = format!("/proc/{}", worker.as_raw_nonzero());
        let environment = fs::read(format!("{place}/environ")).unwrap_or_default();
        assert!(environment.is_empty(), "{environment:?}");
        // No file with a name but the program and its code.
        let links = fs::read_dir(format!("{place}/fd")).expect("its descriptors are listed");
        let mut has_pagemap = false;
        for link in links {
            let target = fs::read_link(link.expect("an entry").path()).unwrap_or_default();
            let name = target.to_string_lossy();
            let is_named = name.starts_with('/') && !name.starts_with("/memfd:");
            let is_known =
                name == "/dev/null" || name.contains("/compiled/") || name.contains("/pagemap");
            assert!(!is_named || is_known, "it holds {name}");
            has_pagemap |= name.contains("/pagemap");
        }
        // With it the runtime asks which pages were written; without it, it silently goes on.
        assert!(has_pagemap || !asks_for_pages(), "it scans no pages");
    }
    kill_process(Pid::from_child(&child), Signal::INT).expect("a child can be signalled");
    wait_for(&mut child);
    for worker in workers {
        until("its workers have ended", || {
            field(worker, "State").is_empty()
        });
    }
}

/// Whether the kernel says which pages a process has written, as since 6.7.
fn asks_for_pages() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse::<u32>().ok();
    (number(), number()) >= (Some(6), Some(7))
}

fn wait_for(child: &mut Child) -> Option<i32> {
    child.wait().expect("it ends").code()
}

#[test]
fn a_worker_that_is_killed_takes_its_task_with_it() {
    if only_here("engines of a cluster have a boundary of their own") {
        return;
    }
    let (child, workers) = endless("-j 1 --retries 0");
    for worker in workers {
        // A spare may have ended meanwhile.
        let _ = kill_process(worker, Signal::KILL);
    }
    let ended = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(11), "{stderr}");
    assert!(
        stderr.contains("engine-lost") && stderr.contains("signal 9"),
        "{stderr}"
    );
}

/// Prints to stderr, grows its memory to 3 MiB, and computes without end.
const LAST_WORDS: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "these are its last words\n")
    (func (export "_start")
        (drop (memory.grow (i32.const 47)))
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 25))
        (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16)))
        (loop $again (br $again))))"#;

#[test]
fn what_a_task_has_used_and_printed_outlives_its_worker() {
    if only_here("engines of a cluster have a boundary of their own") {
        return;
    }
    let dir = folder();
    let module = file(&dir, "words.wat", LAST_WORDS);
    let report = dir.path().join("report.json");
    let ended = program()
        .arg("run")
        .arg(&module)
        .typed("--boundary process --timeout 200ms --report")
        .arg(&report)
        .arg("--max-failures=1")
        .arg("-")
        .stdin("")
        .end();
    ended.expect_stderr_has(&["timeout", "time limit of 200ms", "these are its last words"]);
    let report: Value =
        serde_json::from_slice(&fs::read(&report).expect("it is written")).expect("it is JSON");
    let task = &report["outcomes"][0];
    assert_eq!(task["peak_memory"], 3 << 20, "{task}");
    assert!(task["run_time_s"].as_f64() >= Some(0.2), "{task}");
}

#[test]
fn workers_end_with_the_program_however_it_ends() {
    if only_here("engines of a cluster have a boundary of their own") {
        return;
    }
    let (mut child, workers) = endless("-j 1");
    child.kill().expect("a child can be killed");
    wait_for(&mut child);
    for worker in workers {
        until(
            "its workers have ended",
            || !matches!(&*field(worker, "State"), s if s.starts_with(['R', 'S', 'D'])),
        );
    }
}

#[test]
fn every_task_has_one_result_though_workers_are_killed() {
    if only_here("engines of a cluster have a boundary of their own") {
        return;
    }
    let lines: String = (0..400).map(|_| "5\n").collect();
    let dir = folder();
    let input = file(&dir, "lines", lines);
    let child = map("numbers")
        .arg("nap")
        .arg(&input)
        .typed("--boundary process -j 2 --retries 100 -q")
        .start();
    let id = Pid::from_child(&child);
    let killer = std::thread::spawn(move || {
        let mut killed = 0;
        let is_running =
            || !matches!(&*field(id, "State"), state if state.is_empty() || state.starts_with('Z'));
        // Whenever there is one that runs: as many as the tasks take time for.
        while killed < 40 && is_running() {
            let workers = children(id);
            let Some(worker) = workers.first() else {
                continue;
            };
            if field(*worker, "Threads") != "1" && kill_process(*worker, Signal::KILL).is_ok() {
                killed += 1;
                until("it is gone", || !children(id).contains(worker));
            }
        }
        killed
    });
    let ended = child.wait_with_output().expect("it ends");
    let killed = killer.join().expect("no panic");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "after {killed}: {stderr}");
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "5\n".repeat(400));
    assert!(killed > 5, "only {killed} workers were killed");
}

#[test]
fn doctor_lists_the_layers_and_strict_wants_all_of_them() {
    let json = program()
        .typed("doctor --format json")
        .end()
        .expect_code(0)
        .json();
    assert_eq!(json["process"]["works"], true, "{json}");
    let layers = json["layers"].as_array().expect("the layers");
    assert!(layers.len() > 8, "{json}");
    let is_missing = layers
        .iter()
        .filter(|layer| layer["required"] == true)
        .any(|layer| layer["status"] != "full");
    assert!(layers.iter().any(|layer| layer["name"] == "control group"));
    assert_eq!(json["strict"]["works"], !is_missing, "{json}");
    let text = program().arg("doctor").output();
    for layer in layers {
        let (name, status) = (&layer["name"], &layer["status"]);
        let is_required = layer["required"] == true;
        let line = format!(
            "{}: {}{}",
            name.as_str().unwrap_or("?"),
            status.as_str().unwrap_or("?"),
            if is_required { "" } else { " (not required)" }
        );
        assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
    }
    let strict = call("numbers")
        .args(["fib", "10", "--boundary", "strict"])
        .end();
    if is_over_nats() {
        let refused = strict.expect_code(2).expect_empty_stdout();
        refused.expect_stderr_has(&["--boundary strict cannot be kept on a remote cluster"]);
        let warned = call("numbers")
            .args(["fib", "10", "--boundary", "process"])
            .end();
        let warned = warned.expect_code(0).expect_stdout("55\n");
        warned.expect_stderr_has(&["--boundary has no effect on a remote cluster"]);
    } else if is_missing {
        strict.expect_code(13).expect_empty_stdout();
    } else {
        strict.expect_code(0).expect_stdout("55\n");
    }
}

/// In a user namespace that has room for no other.
#[test]
fn a_machine_that_lacks_a_layer_is_named() {
    if only_here("engines of a cluster have a boundary of their own") {
        return;
    }
    let dir = folder();
    let without = |options: &str| {
        let shell = format!(
            "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" call \"$1\" fib 10 {options}"
        );
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "sh", "-c", &shell])
            .arg(env!("CARGO_BIN_EXE_rwasm-cluster"))
            .arg(guest("numbers"))
            .env("RWASM_CACHE_DIR", dir.path().join("cache"))
            .stdin(Stdio::null());
        let ended = command.output().expect("`unshare` is a part of util-linux");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (
            ended.status.code(),
            text(&ended.stdout),
            text(&ended.stderr),
        )
    };
    let (code, stdout, stderr) = without("");
    if code != Some(0) {
        // Where no namespaces are to be had, the other tests see to what is said of that.
        assert!(
            stderr.contains("unshare") || stderr.contains("cannot"),
            "{stderr}"
        );
        return;
    }
    assert_eq!((&*stdout, &*stderr), ("55\n", ""));
    let (code, stdout, stderr) = without("--boundary process");
    assert_eq!((code, &*stdout), (Some(0), "55\n"), "{stderr}");
    let warning = "warning: this machine does not give all layers of the boundary: ";
    assert!(stderr.starts_with(warning), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("user namespace: "), "{stderr}");
    let (code, stdout, stderr) = without("--boundary process -q");
    assert_eq!((code, &*stdout, &*stderr), (Some(0), "55\n", ""));
    let (code, stdout, stderr) = without("--boundary strict");
    assert_eq!((code, &*stdout), (Some(13), ""), "{stderr}");
    assert!(
        stderr.contains("does not give all layers of the boundary: user namespace: "),
        "{stderr}"
    );
}

#[test]
fn what_a_worker_cannot_have_is_refused_at_the_start() {
    let nothing = Boundary::Process("/no/such/program".into());
    let refused = Cluster::builder().engines(1).boundary(nothing).start();
    assert!(matches!(refused, Err(StartError::Boundary(_))));
}

#[test]
fn functions_of_the_program_are_called_from_workers() {
    let under_way: Arc<AtomicUsize> = Arc::default();
    let counter = Arc::clone(&under_way);
    let lookup = move |call: HostCall, (word,): (String,)| {
        counter.fetch_add(1, Ordering::SeqCst);
        let dropped = Dropped(Arc::clone(&counter));
        async move {
            let _dropped = dropped;
            match word.as_str() {
                "never" => std::future::pending().await,
                "closed" => Err(HostError::new("the library is closed")),
                "panic" => panic!("the host function of a test panics on purpose"),
                // As far as it may go, and further than a ring is long.
                "long" => Ok(Some("x".repeat(3 << 20))),
                "who" => Ok(call.context::<&str>().map(|&who| who.to_owned())),
                // The reactor of the program's runtime is there, too.
                "later" => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    Ok(Some("LATER".to_owned()))
                }
                word => Ok(Some(word.to_uppercase())),
            }
        }
    };
    let dictionary = "example:dictionary/words@0.1.0";
    let boundary = Boundary::Process(env!("CARGO_BIN_EXE_rwasm-cluster").into());
    let cluster = Cluster::builder()
        .engines(1)
        .host_functions(HostFunctions::new().function(dictionary, "lookup", lookup))
        .boundary(boundary)
        .start()
        .expect("it starts");
    let define = module("lookup")
        .function::<&str, Option<String>>("define")
        .expect("it has the function");
    let view = cluster.load_balanced_view().context(Arc::new("somebody"));
    let words = ["a", "closed", "later", "panic", "who", "long"];
    let outcomes = view.map(&define, words).expect("it fits").outcomes();
    let text = |place: usize| match &outcomes[place] {
        Ok(Some(text)) => text.clone(),
        Ok(None) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(text(0), "A");
    assert!(
        text(1).contains("failed: the library is closed"),
        "{}",
        text(1)
    );
    assert_eq!(text(2), "LATER");
    assert!(text(3).contains("panics on purpose"), "{}", text(3));
    assert_eq!(text(4), "somebody");
    assert_eq!(text(5).len(), 3 << 20);
    let task = view.try_submit(&define, "never").expect("there is room");
    until("it is called", || under_way.load(Ordering::SeqCst) == 1);
    task.abort();
    until("it is dropped", || under_way.load(Ordering::SeqCst) == 0);
    let short = view.clone().timeout(Duration::from_millis(50));
    let task = short.try_submit(&define, "never").expect("there is room");
    assert_eq!(code(task.get_timeout(SOON)), FailureCode::Timeout);
    until("it is dropped", || under_way.load(Ordering::SeqCst) == 0);
    // Neither took the worker with it.
    let task = view.try_submit(&define, "b").expect("there is room");
    assert_eq!(
        task.get_timeout(SOON).expect("it goes well").as_deref(),
        Some("B")
    );
}

#[test]
fn a_worker_that_ends_with_its_task_is_not_lost() {
    let boundary = Boundary::Process(env!("CARGO_BIN_EXE_rwasm-cluster").into());
    let cluster = Cluster::builder()
        .engines(1)
        .boundary(boundary)
        .start()
        .expect("it starts");
    let spin = module("numbers")
        .function::<(), u64>("spin")
        .expect("it has the function");
    let view = cluster
        .load_balanced_view()
        .timeout(Duration::from_millis(50));
    let task = view.try_submit(&spin, ()).expect("there is room");
    assert_eq!(code(task.get_timeout(SOON)), FailureCode::Timeout);
    assert_eq!(cluster.queue_status().engines[0].workers_lost, 0);
}

/// Counts down when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn limits_of_the_shell_are_those_of_workers_too() {
    if only_here("engines of a cluster have a boundary of their own") {
        return;
    }
    let dir = folder();
    let lines = file(&dir, "lines", "a line\n".repeat(20_000));
    let numbers = guest("numbers");
    let numbers = numbers.to_str().expect("a path of text");
    let lines = lines.to_str().expect("a path of text");
    let mapped = format!("run {numbers} {lines} --map length --chunk lines:1 --merge sum -j 2");
    for (limit, line, printed) in [
        ("-v 100000000", format!("call {numbers} fib 10"), "55\n"),
        ("-n 128", mapped.clone(), "140000\n"),
        ("-n 128", format!("{mapped} --view direct"), "140000\n"),
    ] {
        let ended = Command::new("sh")
            .args([
                "-c",
                &format!("ulimit {limit}; exec \"$0\" {line} --boundary process"),
            ])
            .arg(env!("CARGO_BIN_EXE_rwasm-cluster"))
            .env("RWASM_CACHE_DIR", dir.path().join("cache"))
            .stdin(Stdio::null())
            .output()
            .expect("a shell is there");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(
            String::from_utf8_lossy(&ended.stdout),
            printed,
            "{limit}: {stderr}"
        );
    }
}

#[test]
fn commands_without_the_option_heed_the_variable() {
    let dir = folder();
    fs::create_dir(dir.path().join("samples")).expect("a directory can be made");
    let calls = dir.path().join("samples/calls.txt");
    fs::write(calls, "fib(10) => 55\n").expect("a file can be written");
    let module = dir.path().join("numbers.wasm");
    fs::copy(guest("numbers"), &module).expect("there is room");
    let test = || program().arg("test").arg(&module);
    let refused = test().env("RWASM_BOUNDARY", "moat").fails(2);
    refused.expect_stderr_has(&["RWASM_BOUNDARY", "`moat` is not a valid boundary"]);
    let refused = call("numbers")
        .args(["fib", "1", "--net", "a:1", "--boundary", "strict"])
        .fails(2);
    refused.expect_stderr_has(&["--boundary strict grants no peers"]);
}
