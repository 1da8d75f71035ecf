//! Both sides: the host that is lied to, and the workers that lie.

use rwasm_boundary::descriptors::Channel;
use rwasm_boundary::ring::{Duplex, Receiver, Sender};
use rwasm_boundary::shared::Shared;
use rwasm_cluster::{Boundary, ByteSize, Cluster, FailureCode, Limits, Module, task_worker};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The kinds of messages, as the library has them.
const READY: u8 = 1;
const REFUSED: u8 = 2;
const OUTCOME: u8 = 3;
const NOTE: u8 = 4;
const END: u8 = 5;

/// The limit of a task, and how long its call may take until it has failed, on a machine that is busy.
const TIME: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(20);

/// A worker that does as it likes.
type Lies = fn(&mut Worker);

/// What each does, by the name by which it is called, and what its task fails with.
const WORKERS: [(&str, Lies, FailureCode); 15] = [
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
];

pub(crate) fn main() -> ExitCode {
    let name = std::env::args().next().unwrap_or_default();
    let name = Path::new(&name)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    if let Some((_, lies, _)) = WORKERS.iter().find(|(worker, ..)| *worker == name) {
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
    println!("running {} workers", WORKERS.len() + 1);
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
    println!("{} passed, 0 failed", WORKERS.len() + 1);
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
    let text = r#"(module (func (export "answer") (result i32) i32.const 42))"#;
    let module = Module::from_bytes("answer", text).expect("it is a module");
    let answer = module
        .function::<(), i32>("answer")
        .expect("it has the function");
    let view = cluster.load_balanced_view().blocking();
    let task = view.submit(&answer, ()).expect("the queue has room");
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

    /// Becomes ready, and reads until it is to run tasks: a program, what dispatches have in common, and one of them.
    fn be_asked(&mut self) {
        self.tell(&[&[READY][..], b"[]"].concat());
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

/// To a worker: tasks.
const DISPATCH: u8 = 5;

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
