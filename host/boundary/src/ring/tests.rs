//! Both sides in one process: what passes, what is refused, and what waits.

use super::*;
use rustix::thread::futex::{self, Flags};
use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

const SMALL: Sizes = Sizes {
    to_worker: SMALLEST,
    to_parent: SMALLEST,
};

/// The parent's side and the worker's.
fn pair(sizes: Sizes) -> (Duplex, Duplex) {
    let (parent, descriptor) = Duplex::create(sizes).unwrap();
    (parent, Duplex::open(descriptor).unwrap())
}

/// Random numbers whose seed is printed, for a test that fails.
fn random() -> fastrand::Rng {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(20)
}

/// Longer than any test takes.
fn late() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// A message of up to `most` bytes, short ones as often as long ones.
fn message(random: &mut fastrand::Rng, most: usize) -> Vec<u8> {
    let most = if random.bool() { most } else { most.min(40) };
    let length = random.usize(0..=most);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// Cuts at random places, so that nothing is at a word's bounds.
fn parts<'a>(random: &mut fastrand::Rng, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while !bytes.is_empty() && parts.len() < 6 {
        let (part, rest) = bytes.split_at(random.usize(0..=bytes.len().min(30)));
        parts.push(part);
        bytes = rest;
    }
    parts.push(bytes);
    parts
}

#[test]
fn what_is_sent_arrives_whole_and_in_order() {
    let mut random = random();
    let (mut parent, mut worker) = pair(SMALL);
    let mut model = VecDeque::new();
    // The message that was begun, and how much of it is fed.
    let mut begun: Option<(Vec<u8>, usize)> = None;
    let mut into = Vec::new();
    for _ in 0..30_000 {
        match random.u8(0..4) {
            0 if begun.is_none() => {
                let bytes = message(&mut random, SMALLEST - 8);
                let parts = parts(&mut random, &bytes);
                let mut sent = parent.sender.try_send(&parts).unwrap();
                if sent == Sent::NoRoom && model.is_empty() {
                    // The worker keeps some of the room until it sees that nothing is left.
                    let received = worker.receiver.try_receive(0, &mut into).unwrap();
                    assert_eq!(received, Received::Nothing);
                    sent = parent.sender.try_send(&parts).unwrap();
                    assert_eq!(sent, Sent::Whole);
                }
                if sent == Sent::Whole {
                    model.push_back(bytes);
                }
            }
            1 if begun.is_none() => {
                let bytes = message(&mut random, 3 * SMALLEST);
                parent.sender.begin(bytes.len()).unwrap();
                begun = Some((bytes, 0));
            }
            0 | 1 => {
                let (bytes, fed) = begun.as_mut().unwrap();
                let end = random.usize(*fed..=bytes.len());
                *fed += parent.sender.feed(&bytes[*fed..end]).unwrap();
                if parent.sender.is_finished() {
                    model.push_back(begun.take().unwrap().0);
                }
            }
            _ => match worker.receiver.try_receive(1 << 20, &mut into).unwrap() {
                Received::Message => assert_eq!(model.pop_front().unwrap(), into),
                Received::Nothing => assert!(model.is_empty()),
            },
        }
    }
}

#[test]
fn two_threads_echo_messages_of_any_size() {
    let (mut parent, worker) = pair(SMALL);
    let echo = thread::spawn(move || {
        let (mut sender, mut receiver) = worker.split();
        let mut into = Vec::new();
        loop {
            let received = receiver.receive(1 << 20, &mut into, Some(late())).unwrap();
            assert_eq!(received, Received::Message);
            if into == b"end" {
                return;
            }
            sender.send(&[&into], Some(late())).unwrap();
            sender.flush();
        }
    });
    let mut random = random();
    let mut into = Vec::new();
    for _ in 0..3_000 {
        let bytes = message(&mut random, 10_000);
        parent
            .sender
            .send(&parts(&mut random, &bytes), Some(late()))
            .unwrap();
        parent.sender.flush();
        let received = parent
            .receiver
            .receive(1 << 20, &mut into, Some(late()))
            .unwrap();
        assert_eq!(received, Received::Message);
        assert!(into == bytes, "{} bytes differ", bytes.len());
    }
    parent.sender.send(&[b"end"], None).unwrap();
    parent.sender.flush();
    echo.join().unwrap();
}

/// Sends and reads a message much larger than the ring, without blocking in either direction.
fn exchange(mut side: Duplex, out: &[u8]) -> Vec<u8> {
    side.sender.begin(out.len()).unwrap();
    let (mut left, mut into, mut has_read) = (out, Vec::new(), false);
    while !has_read || !side.sender.is_finished() {
        left = &left[side.sender.feed(left).unwrap()..];
        let received = side.receiver.try_receive(1 << 22, &mut into).unwrap();
        has_read |= received == Received::Message;
        let interest = match (has_read, side.sender.is_finished()) {
            (true, true) => break,
            (true, false) => Interest::Write,
            (false, true) => Interest::Read,
            (false, false) => Interest::Either,
        };
        let ready = side.wait(interest, Some(late())).unwrap();
        assert!(ready.read || ready.write, "both sides are stuck");
    }
    side.sender.flush();
    into
}

#[test]
fn sides_that_both_write_more_than_fits_do_not_hang() {
    let (parent, worker) = pair(SMALL);
    let other = thread::spawn(move || exchange(worker, &vec![7; 1 << 20]));
    assert!(exchange(parent, &vec![9; 1 << 20]) == vec![7; 1 << 20]);
    assert!(other.join().unwrap() == vec![9; 1 << 20]);
}

#[test]
fn only_a_sleeper_is_woken_and_only_once() {
    let (mut parent, worker) = pair(SMALL);
    let bell = |end: &End| end.own_bell().futex.load(Ordering::SeqCst);
    for _ in 0..10 {
        assert_eq!(parent.sender.try_send(&[b"many"]).unwrap(), Sent::Whole);
        parent.sender.flush();
    }
    assert_eq!(bell(&worker.receiver.end), 0);
    worker
        .receiver
        .end
        .own_bell()
        .bits
        .store(bell::WRITTEN, Ordering::SeqCst);
    for _ in 0..10 {
        assert_eq!(parent.sender.try_send(&[b"many"]).unwrap(), Sent::Whole);
    }
    assert_eq!(bell(&worker.receiver.end), 0);
    parent.sender.flush();
    parent.sender.flush();
    assert_eq!(bell(&worker.receiver.end), 1);
}

#[test]
fn waits_end_by_their_deadline() {
    let (mut parent, mut worker) = pair(SMALL);
    let mut into = b"old".to_vec();
    let received = parent.receiver.receive(9, &mut into, Some(soon())).unwrap();
    assert_eq!((received, &into[..]), (Received::Nothing, &b"old"[..]));
    let ready = parent.wait(Interest::Read, Some(soon())).unwrap();
    assert!(!ready.read && !ready.write);
    assert!(parent.wait(Interest::Either, Some(soon())).unwrap().write);
    let sent = parent.sender.send(&[&[0; 2 * SMALLEST]], Some(soon()));
    assert!(matches!(sent, Err(RingError::TimedOut)), "{sent:?}");
    assert!(!parent.wait(Interest::Either, Some(soon())).unwrap().write);
    let sent = parent.sender.try_send(&[b"next"]);
    assert!(matches!(sent, Err(RingError::Unfinished)), "{sent:?}");
    // A part of a message is nothing yet, and the wait for the rest ends too.
    let received = worker
        .receiver
        .receive(1 << 20, &mut into, Some(soon()))
        .unwrap();
    assert_eq!(received, Received::Nothing);
}

#[test]
fn a_hang_up_ends_a_wait_without_deadline() {
    let (mut parent, _worker) = pair(SMALL);
    let handle = parent.hang_up_handle();
    let waits = thread::spawn(move || parent.wait(Interest::Read, None));
    handle.hang_up();
    let ended = waits.join().unwrap();
    assert!(matches!(ended, Err(RingError::HungUp)), "{ended:?}");
}

#[test]
fn a_sleeper_that_the_peer_moved_away_looks_around_by_itself() {
    let (mut parent, worker) = pair(SMALL);
    let handle = parent.hang_up_handle();
    let waits = thread::spawn(move || parent.wait(Interest::Read, None));
    let words = &worker.sender.end.shared;
    let (bell, elsewhere) = (words.half(2 * PARENTS_BELL), words.half(100));
    // Until the sleeper sleeps.
    while futex::requeue(bell, Flags::empty(), 0, 1, elsewhere) == Ok(0) {
        thread::yield_now();
    }
    handle.hang_up();
    let ended = waits.join().unwrap();
    assert!(matches!(ended, Err(RingError::HungUp)), "{ended:?}");
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    for bytes in [0, 1024, 3 << 12, LARGEST * 2] {
        let sizes = Sizes {
            to_parent: bytes,
            ..SMALL
        };
        let made = Duplex::create(sizes).map(drop);
        assert!(matches!(made, Err(RingError::Size { .. })), "{made:?}");
    }
    for bytes in [64, HEADER, HEADER + 4 * SMALLEST] {
        let (_shared, descriptor) = Shared::create(bytes).unwrap();
        let opened = Duplex::open(descriptor).map(drop);
        assert!(matches!(opened, Err(RingError::Size { .. })), "{opened:?}");
    }
    let (mut parent, _) = pair(SMALL);
    let sent = parent.sender.try_send(&[&[0; SMALLEST - 7]]);
    assert!(
        matches!(sent, Err(RingError::LargerThanRing { .. })),
        "{sent:?}"
    );
}

/// What the worker's side can do to the parent's memory.
fn scribble(worker: &Duplex, word: usize, value: u64) {
    worker.sender.end.shared.words()[word].store(value, Ordering::SeqCst);
}

#[test]
fn positions_and_lengths_that_make_no_sense_are_refused_for_good() {
    let written = TO_PARENT;
    let data = (HEADER + SMALLEST) / WORD;
    let length = |length| Corrupt::Length { length, limit: 100 };
    let cases = [
        (written, u64::MAX, Corrupt::Position),
        (written, SMALLEST as u64 / 8 + 2, Corrupt::Position),
        (written, 0, Corrupt::Position),
        (data + 1, 101, length(101)),
        (data + 1, u64::from(u32::MAX), length(u32::MAX as usize)),
        (data + 1, 1 << 32, Corrupt::Header),
    ];
    for (word, value, wanted) in cases {
        let (mut parent, mut worker) = pair(SMALL);
        let mut into = Vec::new();
        // An empty message takes one word, which the parent has seen.
        assert_eq!(worker.sender.try_send(&[]).unwrap(), Sent::Whole);
        let received = parent.receiver.try_receive(100, &mut into).unwrap();
        assert_eq!(received, Received::Message);
        scribble(&worker, written, 2);
        scribble(&worker, word, value);
        for _ in 0..2 {
            let received = parent.receiver.receive(100, &mut into, None);
            assert!(
                matches!(received, Err(RingError::Corrupt(found)) if found == wanted),
                "{received:?}"
            );
            let ready = parent.wait(Interest::Either, Some(soon()));
            assert!(matches!(ready, Err(RingError::Corrupt(_))), "{ready:?}");
        }
        assert_eq!(into.capacity(), 0);
    }
}

#[test]
fn a_reader_that_claims_too_much_or_goes_back_is_refused() {
    // Messages of 3000 bytes take 376 words each, of which the worker reads one and the parent knows.
    for claimed in [0, 2 * 376 + 1, u64::MAX] {
        let (mut parent, mut worker) = pair(SMALL);
        let mut into = Vec::new();
        assert_eq!(parent.sender.try_send(&[&[1; 3_000]]).unwrap(), Sent::Whole);
        for _ in 0..2 {
            let _ = worker.receiver.try_receive(9_999, &mut into).unwrap();
        }
        assert_eq!(parent.sender.try_send(&[&[1; 3_000]]).unwrap(), Sent::Whole);
        assert_eq!(
            parent.sender.try_send(&[&[1; 3_000]]).unwrap(),
            Sent::NoRoom
        );
        scribble(&worker, TO_WORKER + GROUP, claimed);
        for _ in 0..2 {
            let sent = parent.sender.try_send(&[&[1; 3_000]]);
            assert!(
                matches!(sent, Err(RingError::Corrupt(Corrupt::Position))),
                "{sent:?}"
            );
        }
    }
}

#[test]
fn memory_grows_with_what_came_and_not_with_what_was_claimed() {
    let (mut parent, mut worker) = pair(SMALL);
    let mut into = Vec::new();
    worker.sender.begin(1 << 30).unwrap();
    let fed = worker.sender.feed(&[1; 2_000]).unwrap();
    assert_eq!(fed, 2_000);
    let received = parent.receiver.try_receive(1 << 30, &mut into).unwrap();
    assert_eq!((received, into.capacity()), (Received::Nothing, 0));
    assert_eq!(parent.receiver.partial.capacity(), 2_000);
    let fed = worker.sender.feed(&[1; 80]).unwrap();
    assert_eq!(fed, 80);
    let received = parent.receiver.try_receive(1 << 30, &mut into).unwrap();
    assert_eq!((received, into.capacity()), (Received::Nothing, 0));
    assert_eq!(parent.receiver.partial.capacity(), 4_000);
}

/// Stops a thread, even if the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads while the worker's memory is written at random by `scribbler`, and starts anew whenever
/// that is noticed. It goes on until it was noticed once, and `least` messages were read.
fn read_against(least: u32, scribbler: fn(&Shared, &mut fastrand::Rng, &mut u64)) {
    const LIMIT: usize = 1_000;
    let end = Instant::now() + Duration::from_millis(400);
    let mut random = random();
    let (mut messages, mut corrupt) = (0, 0);
    let late = late();
    while Instant::now() < end || messages < least || corrupt == 0 {
        assert!(
            Instant::now() < late,
            "{messages} messages, {corrupt} noticed"
        );
        let (mut parent, worker) = pair(SMALL);
        let stop = AtomicBool::new(false);
        let seed = random.u64(..);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut state = 0;
                while !stop.load(Ordering::Relaxed) {
                    scribbler(&worker.sender.end.shared, &mut random, &mut state);
                }
            });
            let _stop = StopOnDrop(&stop);
            let mut into = Vec::new();
            let begin = Instant::now();
            let deadline = begin + Duration::from_millis(20);
            loop {
                match parent.receiver.receive(LIMIT, &mut into, Some(deadline)) {
                    Ok(Received::Message) => messages += 1,
                    Ok(Received::Nothing) => break,
                    Err(RingError::Corrupt(_)) => {
                        corrupt += 1;
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
                let most = into.capacity().max(parent.receiver.partial.capacity());
                assert!(most <= LIMIT, "{most} bytes were allocated");
                if Instant::now() >= deadline {
                    break;
                }
                let _ = parent.sender.try_send(&[b"some answer"]);
                parent.sender.flush();
            }
            assert!(begin.elapsed() < Duration::from_secs(5));
        });
    }
}

#[test]
fn nonsense_everywhere_does_no_harm() {
    read_against(0, |shared, random, _| {
        let words = shared.words();
        let word = random.usize(0..words.len());
        let word = if random.bool() { word % SIZES } else { word };
        let value = match random.u8(0..3) {
            0 => random.u64(..),
            1 => random.u64(..1 << 10),
            _ => 0,
        };
        words[word].store(value, Ordering::Relaxed);
    });
}

#[test]
fn nonsense_within_the_protocol_does_no_harm() {
    read_against(1, |shared, random, written| {
        let words = shared.words();
        let data = (HEADER + SMALLEST) / WORD;
        // Lengths, of which few are too long, and the bell, which rings without end.
        words[data + random.usize(..SMALLEST / WORD)].store(random.u64(..1_001), Ordering::Relaxed);
        if random.u32(..20_000) == 0 {
            words[data + random.usize(..SMALLEST / WORD)].store(1 << 20, Ordering::Relaxed);
        }
        words[PARENTS_BELL].store(random.u64(..), Ordering::Relaxed);
        let read = words[TO_PARENT + GROUP].load(Ordering::Relaxed);
        let most = (read + (SMALLEST / WORD) as u64).saturating_sub(*written);
        *written += random.u64(..=most.min(8));
        words[TO_PARENT].store(*written, Ordering::Release);
        if random.u32(..16) == 0 {
            // Without it, the parent would sleep all the time.
            let _ = futex::wake(shared.half(2 * PARENTS_BELL), Flags::empty(), 1);
        }
    });
}
