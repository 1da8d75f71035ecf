//! Both sides: the host that is lied to, and the workers that lie.

use crate::own::TESTS;
use rwasm_boundary::descriptors::Channel;
use rwasm_boundary::ring::{Duplex, Receiver, Sender};
use rwasm_boundary::shared::Shared;
use rwasm_cluster::{
    Boundary, ByteSize, Callable, Cluster, ClusterEvent, FailureCode, Limits, Module, Packed,
    Targets, Type, Value, task_worker,
};
use rwasm_value::value::Writer;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The kinds of messages to a worker, as the library has them.
const HELLO: u8 = 1;
const DISPATCH: u8 = 5;

/// The kinds of messages from one.
const READY: u8 = 1;
const REFUSED: u8 = 2;
const OUTCOME: u8 = 3;
const NOTE: u8 = 4;
const END: u8 = 5;
const HOST_CALL: u8 = 6;
const ELEMENTS: u8 = 7;

/// The limit of a task, and how long its call may take until it has failed, on a machine that is busy.
const TIME: Duration = Duration::from_secs(1);
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What the name of a file ends with that a worker makes when it is asked.
const ASKED: &str = "asked";

/// What is to be seen beside the worker of this path.
type Test = fn(&Path);

/// A worker that does as it likes.
type Lies = fn(&mut Worker);

/// What each does, by the name by which it is called, and what its task fails with.
const WORKERS: [(&str, Lies, FailureCode); 18] = [
    ("exits-at-once", |_| (), FailureCode::EngineLost),
    ("is-of-another-build", refuse, FailureCode::EngineLost),
    ("says-nonsense-first", nonsense, FailureCode::EngineLost),
    ("ends-when-asked", end_when_asked, FailureCode::EngineLost),
    ("writes-nonsense", write_nonsense, FailureCode::EngineLost),
    (
        "sends-what-is-unknown",
        send_unknown,
        FailureCode::EngineLost,
    ),
    ("sends-nothing", send_nothing, FailureCode::EngineLost),
    (
        "ends-without-outcome",
        end_without_outcome,
        FailureCode::EngineLost,
    ),
    ("claims-many-outcomes", claim_many, FailureCode::EngineLost),
    ("sends-a-bad-note", send_bad_note, FailureCode::EngineLost),
    ("claims-a-length", claim_a_length, FailureCode::EngineLost),
    ("scribbles", scribble, FailureCode::EngineLost),
    ("never-answers", never_answer, FailureCode::Timeout),
    ("hoards", hoard, FailureCode::MemoryLimit),
    ("floods", flood, FailureCode::Timeout),
    (
        "calls-what-is-not-there",
        call_unknown,
        FailureCode::EngineLost,
    ),
    ("gives-elements", give_elements, FailureCode::EngineLost),
    ("is-ready-as-another", be_another, FailureCode::EngineLost),
];

pub(crate) fn main() -> ExitCode {
    let name = std::env::args().next().unwrap_or_default();
    let name = Path::new(&name)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let of_its_own = WORKERS.map(|(worker, lies, _)| (worker, lies));
    let beside = BESIDE.map(|(worker, lies, _)| (worker, lies));
    let mut all = of_its_own.into_iter().chain(beside);
    if let Some((_, lies)) = all.find(|(worker, _)| *worker == name) {
        if let Some(mut worker) = Worker::start() {
            lies(&mut worker);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(ended) = task_worker(std::env::args_os().skip(1)) {
        return ended;
    }
    host();
    ExitCode::SUCCESS
}

/// Has each of them run a task.
fn host() {
    let dir = tempfile::tempdir().expect("there is room for a folder");
    let own = std::env::current_exe().expect("this program has a path");
    for (name, _, code) in WORKERS {
        let link = dir.path().join(name);
        symlink(&own, &link).expect("there is room for a link");
        let begun = Instant::now();
        let (found, message) = call(&link).expect_err(name);
        let took = begun.elapsed();
        println!("{name} ... {found}: {message} ({took:.1?})");
        assert_eq!(found, code, "{name}: {message}");
        assert!(took < LIMIT, "{name} took {took:?}");
    }
    // One that behaves, for comparison.
    assert_eq!(call(&own).expect("it behaves"), 42);
    for (name, _, test) in BESIDE {
        let link = dir.path().join(name);
        symlink(&own, &link).expect("there is room for a link");
        let begun = Instant::now();
        test(&link);
        let took = begun.elapsed();
        println!("{name} ... as it should be ({took:.1?})");
        assert!(took < LIMIT, "{name} took {took:?}");
    }
    for (name, test) in TESTS {
        let begun = Instant::now();
        test();
        println!("{name} ... ok ({:.1?})", begun.elapsed());
    }
    let count = WORKERS.len() + BESIDE.len() + TESTS.len() + 1;
    println!("{count} passed, 0 failed");
}

/// Workers that are right in some ways, with what is to be seen of the cluster beside them.
const BESIDE: [(&str, Lies, Test); 5] = [
    ("is-silent", never_answer, others_go_on),
    ("ignores-a-cancel", never_answer, a_cancel_is_heeded),
    (
        "does-not-read",
        do_not_read,
        what_is_not_read_is_not_waited_for,
    ),
    ("answers-twice", answer_twice, the_first_answer_counts),
    ("is-refused", refuse, no_worker_is_said_to_be_of_use),
];

/// A cluster with one engine, whose workers are this, and tasks that may take so long.
fn cluster(worker: &Path, time: Duration) -> Cluster {
    let mut limits = Limits::default();
    limits.time = time;
    Cluster::builder()
        .engines(1)
        .limits(limits)
        .boundary(Boundary::Process(worker.to_owned()))
        .start()
        .expect("engines start, whatever their workers do")
}

fn answer() -> Callable<(), i32> {
    let text = r#"(module (func (export "answer") (result i32) i32.const 42))"#;
    let module = Module::from_bytes("answer", text).expect("it is a module");
    module.function("answer").expect("it has the function")
}

/// Whatever one cluster's workers do, another of the same process is right, and so is what comes afterwards.
fn others_go_on(worker: &Path) {
    let own = std::env::current_exe().expect("this program has a path");
    let (bad, good) = (cluster(worker, TIME), cluster(&own, LIMIT));
    let lost = bad.load_balanced_view().blocking();
    let lost = lost.submit(&answer(), ()).expect("the queue has room");
    let view = good.load_balanced_view().blocking();
    for _ in 0..100 {
        assert_eq!(view.apply(&answer(), ()).expect("it behaves"), 42);
    }
    lost.get().expect_err("nobody answers");
    assert_eq!(view.apply(&answer(), ()).expect("it behaves"), 42);
}

fn a_cancel_is_heeded(worker: &Path) {
    let cluster = cluster(worker, LIMIT);
    let view = cluster.load_balanced_view().blocking();
    let task = view.submit(&answer(), ()).expect("the queue has room");
    is_asked(worker);
    is_free_soon(&cluster, || task.abort());
}

/// What its tasks need is more than there is room for.
fn what_is_not_read_is_not_waited_for(worker: &Path) {
    let cluster = cluster(worker, LIMIT);
    let view = cluster
        .direct_view(Targets::All)
        .expect("there is an engine");
    view.push("large", vec![7_u8; 3 << 20])
        .expect("it is stored");
    let view = view.blocking();
    let tasks = view.submit(&answer(), ()).expect("the queue has room");
    is_asked(worker);
    is_free_soon(&cluster, || tasks.abort());
}

/// Waits until a worker has come as far as it means to.
fn is_asked(worker: &Path) {
    while !worker.with_extension(ASKED).exists() {
        std::thread::yield_now();
    }
}

/// The engine is free again long before the time of its task is over.
fn is_free_soon(cluster: &Cluster, abort: impl FnOnce()) {
    while cluster.queue_status().engines[0].outstanding == 0 {
        std::thread::yield_now();
    }
    let begun = Instant::now();
    abort();
    while cluster.queue_status().engines[0].outstanding > 0 {
        std::thread::yield_now();
    }
    let took = begun.elapsed();
    assert!(took < LIMIT / 2, "{took:?}");
}

fn the_first_answer_counts(worker: &Path) {
    let cluster = cluster(worker, LIMIT);
    let view = cluster.load_balanced_view().blocking();
    for lost in 1..4 {
        assert_eq!(view.apply(&answer(), ()).expect("it is answered"), 42);
        // The worker is gone when the engine is free.
        while cluster.queue_status().engines[0].outstanding > 0 {
            std::thread::yield_now();
        }
        assert_eq!(cluster.queue_status().engines[0].workers_lost, lost);
    }
}

/// The program that has such workers is told that none can be of use.
fn no_worker_is_said_to_be_of_use(worker: &Path) {
    let cluster = cluster(worker, LIMIT);
    let mut events = cluster.events();
    let view = cluster.load_balanced_view().blocking();
    view.apply(&answer(), ()).expect_err("no worker is ready");
    let is_it = |event: &ClusterEvent| matches!(event, ClusterEvent::BoundaryUnusable(_));
    let Some(ClusterEvent::BoundaryUnusable(reason)) = events.find(is_it) else {
        panic!("nothing is said");
    };
    assert!(reason.contains("it is of another build"), "{reason}");
}

fn call(worker: &Path) -> Result<i32, (FailureCode, String)> {
    let mut limits = Limits::default();
    limits.time = TIME;
    // So that it is soon that a worker has too much.
    let small = ByteSize::mib(4);
    (limits.memory, limits.output, limits.input, limits.module) = (small, small, small, small);
    let cluster = Cluster::builder()
        .engines(1)
        .limits(limits)
        .boundary(Boundary::Process(worker.to_owned()))
        .start()
        .expect("engines start, whatever their workers do");
    let view = cluster.load_balanced_view().blocking();
    let task = view.submit(&answer(), ()).expect("the queue has room");
    task.get().map_err(|error| {
        let failure = error.failure().expect("the task fails");
        (failure.failure.code, failure.failure.message.clone())
    })
}

/// The worker's side of what it shares with the host.
struct Worker {
    channel: Channel,
    memory: OwnedFd,
    sender: Sender,
    receiver: Receiver,
}

impl Worker {
    fn start() -> Option<Self> {
        let socket = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
        let channel = Channel::from(socket);
        let memory = channel.receive(2, None).ok()?.swap_remove(0);
        let (sender, receiver) = Duplex::open(&memory).ok()?.split();
        Some(Self {
            channel,
            memory,
            sender,
            receiver,
        })
    }

    fn tell(&mut self, message: &[u8]) {
        // The host may have ended it meanwhile.
        let _ = self.sender.send(&[message], None);
        self.sender.flush();
    }

    /// Becomes ready, as a worker of the build of its engine.
    fn be_ready(&mut self) {
        let mut hello = vec![];
        let _ = self.receiver.receive(1 << 20, &mut hello, None);
        assert_eq!(hello.first(), Some(&HELLO));
        // The length of a build is one byte.
        let build = &hello[1..2 + usize::from(hello[1])];
        self.tell(&[&[READY][..], build, b"[]"].concat());
    }

    /// Becomes ready, and reads until it is to run tasks: a program, what dispatches have in common, and one of them.
    fn be_asked(&mut self) {
        self.be_ready();
        let mut message = vec![];
        while message.first() != Some(&DISPATCH) {
            let _ = self.receiver.receive(1 << 20, &mut message, None);
        }
    }

    /// Does nothing until the host ends it.
    fn wait(&self) {
        while self.channel.receive_with(None).is_ok() {}
    }

    fn answer(&mut self, message: &[u8]) {
        self.be_asked();
        self.tell(message);
        self.wait();
    }
}

/// Says to the test that the worker has come so far, which none that is confined could.
fn say_asked() {
    let name = std::env::args().next().unwrap_or_default();
    let _ = std::fs::write(Path::new(&name).with_extension(ASKED), "");
}

/// What really happens to a worker of another build: it is told that of its engine first.
fn be_another(worker: &mut Worker) {
    worker.tell(&[&[READY, 5][..], b"0.0.0[]"].concat());
    worker.wait();
}

/// A function of the program's, of which its task has none.
fn call_unknown(worker: &mut Worker) {
    worker.answer(&[HOST_CALL, 1, 0, 0, 0]);
}

/// Elements of a result that is no stream.
fn give_elements(worker: &mut Worker) {
    worker.answer(&[ELEMENTS, 0, 1, 42]);
}

/// An outcome, as the library writes it, and the same again.
fn answer_twice(worker: &mut Worker) {
    worker.be_asked();
    // Without an engine, its first attempt, and nothing used or said; then a value.
    let value = Packed::pack(&Value::S32(42), &Type::S32).expect("it fits");
    let mut outcome = Writer::default();
    outcome.put_raw(&[OUTCOME, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    outcome.put_len(value.wire_len());
    value.put_wire(&mut outcome);
    let outcome = outcome.into_vec();
    worker.tell(&outcome);
    worker.tell(&outcome);
    worker.wait();
}

/// Becomes ready, and reads nothing of what it is told then.
fn do_not_read(worker: &mut Worker) {
    worker.be_ready();
    say_asked();
    loop {
        sleep(LIMIT);
    }
}

fn refuse(worker: &mut Worker) {
    worker.tell(&[&[REFUSED][..], b"it is of another build\x1b[31m"].concat());
    worker.wait();
}

fn nonsense(worker: &mut Worker) {
    worker.tell(&[77; 40]);
    worker.wait();
}

fn end_when_asked(worker: &mut Worker) {
    worker.be_asked();
}

fn write_nonsense(worker: &mut Worker) {
    worker.answer(&[OUTCOME, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]);
}

fn send_unknown(worker: &mut Worker) {
    worker.answer(&[99, 1, 2, 3]);
}

fn send_nothing(worker: &mut Worker) {
    worker.answer(&[]);
}

fn end_without_outcome(worker: &mut Worker) {
    worker.answer(&[END, 1, 0, 0]);
}

fn claim_many(worker: &mut Worker) {
    worker.answer(&[OUTCOME, 255, 255, 255, 255, 15]);
}

fn send_bad_note(worker: &mut Worker) {
    worker.answer(&[NOTE, 0, 9]);
}

/// Writes the length of a message that never comes, and is far longer than an outcome may be.
fn claim_a_length(worker: &mut Worker) {
    /// Where the words are that say how much is written to the host, and how large the rings are; and the first of a ring.
    const WRITTEN: usize = 256 / 8;
    const SIZES: usize = 768 / 8;
    const RINGS: usize = 4096 / 8;
    worker.be_asked();
    let shared = Shared::open(&worker.memory, 1 << 30).expect("it can be mapped again");
    let words = shared.words();
    let size = |place: usize| words[SIZES + place].load(Ordering::Acquire) / 8;
    let written = words[WRITTEN].load(Ordering::Acquire);
    let begin = RINGS as u64 + size(0);
    let place = usize::try_from(begin + written % size(1)).expect("it is in the ring");
    words[place].store(u64::from(u32::MAX), Ordering::Release);
    words[WRITTEN].store(written + 1, Ordering::Release);
    worker.wait();
}

/// Writes over all that is shared, again and again, while the host reads it.
fn scribble(worker: &mut Worker) {
    worker.be_asked();
    let shared = Shared::open(&worker.memory, 1 << 30).expect("it can be mapped again");
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    loop {
        for word in shared.words() {
            noise = noise.rotate_left(7).wrapping_mul(0x2545_f491_4f6c_dd1d);
            word.store(noise, Ordering::Relaxed);
        }
    }
}

fn never_answer(worker: &mut Worker) {
    worker.be_asked();
    say_asked();
    loop {
        sleep(LIMIT);
    }
}

/// Takes more memory than a task with its limits can need, and keeps it.
fn hoard(worker: &mut Worker) {
    worker.be_asked();
    let mut hoarded = Vec::new();
    for _ in 0..300 {
        hoarded.push(vec![1_u8; 1 << 20]);
    }
    loop {
        sleep(LIMIT);
        std::hint::black_box(&hoarded);
    }
}

/// Says so much that nobody gets to look at the clock.
fn flood(worker: &mut Worker) {
    worker.be_asked();
    // What some task has printed.
    let note = [NOTE, 1, 200, 1, 1, b'x'];
    loop {
        worker.tell(&note);
    }
}
