//! Workers of this program that behave, seen from the program that has them: which there are, and what becomes of tasks when
//! one of them is killed. No other cluster is in this process, so its children are theirs.

use crate::hostile::LIMIT;
use rustix::process::{Pid, Signal, kill_process};
use rwasm_boundary::descriptors::Channel;
use rwasm_boundary::ring::{Duplex, Received, Sizes};
use rwasm_boundary::slate::Slate;
use rwasm_cluster::{
    Boundary, ByteSize, Callable, Cluster, ClusterBuilder, FailureCode, Grants, Limits,
    LoadBalancedView, Module, Reuse,
};
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What is to be seen, by name.
pub(crate) const TESTS: [(&str, fn()); 7] = [
    ("a worker refuses an engine of another build", another_build),
    (
        "each tenant has workers of its own, a few at a time",
        tenants,
    ),
    (
        "grants and variants have workers of their own",
        grants_and_variants,
    ),
    (
        "a worker that is lost takes one attempt of one task",
        one_attempt,
    ),
    ("what a lost task used is known", usage),
    (
        "state that was lost with a worker is said to be lost",
        state,
    ),
    ("a spare worker waits for the next tenant", spare),
];

// What a function uses of its fuel is known when it calls another.
const MODULE: &str = r#"(module
    (global $count (mut i32) (i32.const 0))
    (func (export "count") (result i32)
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        global.get $count)
    (func (export "spin-at") (param i32 i32) (result i32)
        (if (i32.eq (local.get 0) (local.get 1)) (then (loop $again (call $nothing) (br $again))))
        local.get 0)
    (func $nothing))"#;

fn builder() -> ClusterBuilder {
    let own = std::env::current_exe().expect("this program has a path");
    Cluster::builder()
        .engines(1)
        .boundary(Boundary::Process(own))
}

fn start(builder: ClusterBuilder) -> Cluster {
    builder.start().expect("it starts")
}

fn module() -> Module {
    Module::from_bytes("module", MODULE).expect("it is a module")
}

fn count() -> Callable<(), i32> {
    module().function("count").expect("it has the function")
}

fn spin_at() -> Callable<(i32, i32), i32> {
    module().function("spin-at").expect("it has the function")
}

/// The processes that this one has started and that live.
fn workers() -> BTreeSet<i32> {
    let own = std::process::id().to_string();
    let stats = fs::read_dir("/proc").expect("Linux has it");
    let ids = stats.filter_map(|entry| {
        let id = entry.ok()?.file_name().to_str()?.parse::<i32>().ok()?;
        let fields = stat(id)?;
        (fields[0] != "Z" && fields[1] == own).then_some(id)
    });
    ids.collect()
}

/// The fields that the kernel says of a process, from its state on.
fn stat(id: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // After the name, which is in parentheses.
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// Waits for a worker that computes, and ends it.
fn kill_the_one_that_computes(but: &mut BTreeSet<i32>) {
    let is_computing = |id: &i32| {
        // Hundredths of a second, for more than a start takes.
        let ticks = stat(*id).and_then(|fields| fields[11].parse::<u64>().ok());
        !but.contains(id) && ticks.is_some_and(|ticks| ticks > 20)
    };
    let found = until("a worker computes", || {
        workers().into_iter().find(is_computing)
    });
    but.insert(found);
    kill(found);
}

fn kill(id: i32) {
    let id = Pid::from_raw(id).expect("it is no group");
    kill_process(id, Signal::KILL).expect("it is a child");
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// Speaks to a worker as an engine of another build would.
fn another_build() {
    const HELLO: u8 = 1;
    const REFUSED: u8 = 2;
    let (channel, theirs) = Channel::pair().expect("a socket");
    let sizes = Sizes {
        to_worker: 1 << 16,
        to_parent: 1 << 16,
    };
    let (duplex, memory) = Duplex::create(sizes).expect("memory");
    let (_slate, words) = Slate::create().expect("memory");
    let (mut sender, mut receiver) = duplex.split();
    let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
        .arg("--rwasm-task-worker")
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let passed = channel.send(&[memory.as_fd(), words.as_fd()], Some(LIMIT));
    passed.expect("it takes them");
    let end = Some(Instant::now() + LIMIT);
    // Whatever comes behind the build is not read.
    let hello = [&[HELLO, 5][..], b"0.0.0 and what another build may say"].concat();
    sender.send(&[&hello], end).expect("there is room");
    sender.flush();
    let mut message = Vec::new();
    let received = receiver.receive(1 << 16, &mut message, end);
    assert_eq!(received.expect("it answers"), Received::Message);
    let text = String::from_utf8_lossy(&message[1..]);
    assert_eq!(message[0], REFUSED, "{text}");
    assert!(text.starts_with("it is of the build "), "{text}");
    assert!(text.ends_with("and its engine of 0.0.0"), "{text}");
    assert!(!child.wait().expect("it ends").success());
}

/// An engine keeps four workers.
fn tenants() {
    let cluster = start(builder().ready_workers(1));
    let mut order = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let before: BTreeSet<i32> = order.iter().copied().collect();
        let view = cluster.tenant(name).load_balanced_view().blocking();
        for _ in 0..3 {
            assert_eq!(view.apply(&count(), ()).expect("it runs"), 1);
        }
        let mut new = workers().into_iter().filter(|id| !before.contains(id));
        order.push(new.next().expect("it has a worker"));
        assert_eq!(new.next(), None, "{name} has one worker");
    }
    assert_eq!(workers(), order[1..].iter().copied().collect());
}

fn grants_and_variants() {
    let cluster = start(builder().ready_workers(1));
    let view = cluster.load_balanced_view();
    let dir = tempfile::tempdir().expect("there is room for a folder");
    let grant = format!("{}::/data:ro", dir.path().display());
    let mut grants = Grants::default();
    grants.dirs.push(grant.parse().expect("it is a grant"));
    let mut limits = Limits::default();
    limits.fuel = Some(1 << 30);
    let views = [
        view.clone(),
        view.clone().grants(grants),
        view.limits(limits),
    ];
    // A worker with grants is for one view.
    let views = views.map(LoadBalancedView::blocking);
    let run = || {
        for view in &views {
            assert_eq!(view.apply(&count(), ()).expect("it runs"), 1);
        }
        workers()
    };
    let first = run();
    assert_eq!(first.len(), 3);
    assert_eq!(run(), first, "each has its own");
}

fn one_attempt() {
    let cluster = start(builder());
    let view = cluster.load_balanced_view();
    let view = view.retries(1).dispatch_size(20).keep_records();
    let view = view.max_failures("100%".parse().expect("it is a tolerance"));
    let items = (0..20).map(|item| (item, 7));
    let mut map = view.map(&spin_at(), items).expect("it begins");
    let mut killed = BTreeSet::new();
    for _ in 0..2 {
        kill_the_one_that_computes(&mut killed);
    }
    assert!(map.wait_timeout(LIMIT), "it ends");
    let records = &map.result().expect("all failures are tolerated").records;
    let again = records.iter().filter(|record| record.usage.attempt > 1);
    assert_eq!((records.len(), again.count()), (21, 1));
    let failed = records.iter().filter(|record| record.code.is_some());
    let attempts: Vec<u32> = failed.map(|record| record.usage.attempt).collect();
    assert_eq!(attempts, [1, 2]);
    for (place, outcome) in (0..).zip(map.outcomes()) {
        match outcome {
            Ok(item) => assert_eq!((item, place == 7), (place, false)),
            Err(error) => {
                let failure = error.failure().expect("the task fails");
                assert_eq!((place, failure.failure.code), (7, FailureCode::EngineLost));
                assert!(failure.failure.message.contains("signal 9"), "{error}");
            }
        }
    }
    assert_eq!(cluster.queue_status().engines[0].workers_lost, 2);
}

fn usage() {
    let cluster = start(builder());
    let mut limits = Limits::default();
    limits.fuel = Some(u64::MAX >> 1);
    limits.time = LIMIT;
    limits.memory = ByteSize::mib(4);
    let view = cluster.load_balanced_view().limits(limits).blocking();
    let task = view.submit(&spin_at(), (1, 1)).expect("there is room");
    kill_the_one_that_computes(&mut BTreeSet::new());
    task.get().expect_err("it is lost");
    let usage = task.info().expect("it has ended").usage;
    assert!(usage.bytes_in > 0, "{usage:?}");
    assert!(usage.fuel > Some(1_000_000), "{usage:?}");
    assert!(usage.run_time > Duration::from_millis(10), "{usage:?}");
    assert_eq!(usage.attempt, 1);
}

fn state() {
    let cluster = start(builder().ready_workers(1));
    let view = cluster.load_balanced_view().reuse(Reuse::Engine).blocking();
    let count = count();
    let call = || {
        let task = view.submit(&count, ()).expect("there is room");
        let value = task.get().expect("it runs");
        (value, task.info().expect("it has ended").usage.state_lost)
    };
    assert_eq!([call(), call()], [(1, false), (2, false)]);
    let found = workers();
    assert_eq!(found.len(), 1);
    found.into_iter().for_each(kill);
    until("it is gone", || workers().is_empty().then_some(()));
    assert_eq!([call(), call()], [(1, true), (2, false)]);
}

/// It is there a second after the last one was taken, and is used.
fn spare() {
    let cluster = start(builder());
    let call = |tenant: &str| {
        let view = cluster.tenant(tenant).load_balanced_view().blocking();
        assert_eq!(view.apply(&count(), ()).expect("it runs"), 1);
    };
    call("a");
    let two = until("another worker is started", || {
        Some(workers()).filter(|found| found.len() == 2)
    });
    call("b");
    assert_eq!(workers().intersection(&two).count(), 2);
    until("and one more", || (workers().len() == 3).then_some(()));
}
