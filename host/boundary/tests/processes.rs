//! Rings and descriptors between two processes: this program, and itself as the worker.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rwasm_boundary::descriptors::{Channel, DescriptorsError};
use rwasm_boundary::ring::{Duplex, Received, RingError, Sizes};
use rwasm_boundary::shared::Shared;
use std::env;
use std::fs::File;
use std::io::{Read, Seek, Write, stdin};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// Says to this program what it does as the worker.
const ROLE: &str = "RWASM_BOUNDARY_TEST_ROLE";

const SIZES: Sizes = Sizes {
    to_worker: 16 << 10,
    to_parent: 8 << 10,
};

/// A worker that is started, and killed when the test ends.
struct Worker {
    child: Option<Child>,
    duplex: Duplex,
    channel: Channel,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// Starts this program as a worker: the socket is its standard input, and the memory comes through
/// that.
fn start(role: &str) -> Worker {
    let (channel, theirs) = Channel::pair().unwrap();
    let (duplex, memory) = Duplex::create(SIZES).unwrap();
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "as_the_worker", "--nocapture"])
        .env(ROLE, role)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    channel.send(&[memory.as_fd()], None).unwrap();
    Worker {
        child: Some(child),
        duplex,
        channel,
    }
}

/// The worker. Without a role it is a test that passes.
#[test]
fn as_the_worker() {
    let Ok(role) = env::var(ROLE) else { return };
    let channel = Channel::from(stdin().as_fd().try_clone_to_owned().unwrap());
    let memory = channel.receive(1, None).unwrap().remove(0);
    match role.as_str() {
        "echo" => echo(Duplex::open(memory).unwrap(), &channel),
        "sleep" => loop {
            thread::park();
        },
        "scribble" => scribble(&Shared::open(memory, 1 << 20).unwrap()),
        _ => panic!("unknown role {role}"),
    }
}

/// Sends back what comes. After an empty message, it does so with a file once.
fn echo(mut duplex: Duplex, channel: &Channel) {
    let mut into = Vec::new();
    loop {
        let received = duplex.receiver.receive(1 << 20, &mut into, None).unwrap();
        assert_eq!(received, Received::Message);
        if into.is_empty() {
            let mut file = File::from(channel.receive(1, None).unwrap().remove(0));
            file.read_to_end(&mut into).unwrap();
            file.write_all(b", and was here").unwrap();
            channel.send(&[file.as_fd(), file.as_fd()], None).unwrap();
        }
        duplex.sender.send(&[&into], None).unwrap();
        duplex.sender.flush();
    }
}

/// Writes nonsense all over the memory, for as long as it lives.
fn scribble(shared: &Shared) {
    let mut random = fastrand::Rng::new();
    let words = shared.words();
    loop {
        let word = random.usize(..words.len());
        let header = random.bool();
        let word = if header { word % 96 } else { word };
        // Small numbers are as likely as large ones.
        let bits = random.u32(..64);
        words[word].store(random.u64(..) >> bits, Ordering::Relaxed);
    }
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

#[test]
fn another_process_echoes_messages_and_passes_files() {
    let mut worker = start("echo");
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut into = Vec::new();
    for _ in 0..2_000 {
        let most = *random.choice(&[40, 4_000, 40_000]).unwrap();
        let mut bytes = vec![0; random.usize(1..=most)];
        random.fill(&mut bytes);
        let (one, other) = bytes.split_at(random.usize(..bytes.len()));
        let duplex = &mut worker.duplex;
        duplex.sender.send(&[one, other], Some(deadline())).unwrap();
        duplex.sender.flush();
        let received = duplex
            .receiver
            .receive(1 << 20, &mut into, Some(deadline()))
            .unwrap();
        assert_eq!(received, Received::Message);
        assert!(into == bytes, "{} bytes differ", bytes.len());
    }

    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"the worker read this").unwrap();
    file.rewind().unwrap();
    worker.channel.send(&[file.as_fd()], None).unwrap();
    worker.duplex.sender.send(&[], None).unwrap();
    let received = worker
        .duplex
        .sender
        .wait(None)
        .and_then(|_| {
            worker
                .duplex
                .receiver
                .receive(99, &mut into, Some(deadline()))
        })
        .unwrap();
    assert_eq!(received, Received::Message);
    assert_eq!(into, b"the worker read this");
    let files = worker.channel.receive(2, None).unwrap();
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(
        (files.len(), &text[..]),
        (2, "the worker read this, and was here")
    );
}

#[test]
fn a_worker_that_is_killed_ends_no_wait_but_the_deadline_does() {
    let mut worker = start("sleep");
    let mut child = worker.child.take().unwrap();
    let killer = thread::spawn(move || {
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let soon = Instant::now() + Duration::from_millis(100);
    let received = worker
        .duplex
        .receiver
        .receive(99, &mut Vec::new(), Some(soon))
        .unwrap();
    assert_eq!(received, Received::Nothing);
    assert!(Instant::now() >= soon);
    killer.join().unwrap();
    let received = worker.channel.receive(1, None);
    assert!(
        matches!(received, Err(DescriptorsError::Closed)),
        "{received:?}"
    );
}

#[test]
fn whoever_sees_the_worker_end_can_end_the_wait() {
    let mut worker = start("sleep");
    let mut child = worker.child.take().unwrap();
    let handle = worker.duplex.hang_up_handle();
    let watcher = thread::spawn(move || {
        child.kill().unwrap();
        child.wait().unwrap();
        handle.hang_up();
    });
    let received = worker.duplex.receiver.receive(99, &mut Vec::new(), None);
    assert!(matches!(received, Err(RingError::HungUp)), "{received:?}");
    watcher.join().unwrap();
}

#[test]
fn a_worker_that_writes_nonsense_does_no_harm() {
    const LIMIT: usize = 1_000;
    for _ in 0..5 {
        let mut worker = start("scribble");
        let mut into = Vec::new();
        // The worker takes a while to start; what it then writes is noticed, or read as messages.
        let end = Instant::now() + Duration::from_millis(150);
        loop {
            let received = worker.duplex.receiver.receive(LIMIT, &mut into, Some(end));
            assert!(into.capacity() <= LIMIT, "{}", into.capacity());
            let _ = worker.duplex.sender.try_send(&[b"some answer"]);
            worker.duplex.sender.flush();
            match received {
                Ok(_) if Instant::now() < end => {}
                Ok(_) | Err(RingError::Corrupt(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(end.elapsed() < Duration::from_secs(10));
    }
}
