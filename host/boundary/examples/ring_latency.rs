//! Measures a ring between two processes: `ring_latency [SPIN]`, with how many microseconds each side looks
//! before it sleeps.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("there are no rings on this system");
}

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use rwasm_boundary::descriptors::Channel;
    use rwasm_boundary::ring::{Duplex, Received, Sent, Sizes};
    use std::env;
    use std::error::Error;
    use std::io::stdin;
    use std::os::fd::{AsFd, OwnedFd};
    use std::process::Command;
    use std::time::{Duration, Instant};

    type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

    const SIZES: Sizes = Sizes {
        to_worker: 1 << 20,
        to_parent: 1 << 20,
    };
    const LIMIT: usize = 1 << 24;
    const SMALL: usize = 64;
    const LARGE: usize = 1 << 20;
    /// After so many messages the other side is woken.
    const BATCH: u32 = 64;

    pub(super) fn main() -> Result {
        let argument = env::args().nth(1).unwrap_or_else(|| "0".into());
        if let Some(spin) = argument.strip_prefix("worker=") {
            return worker(spin.parse()?);
        }
        let spin: u64 = argument.parse()?;
        one_thread()?;
        let (channel, theirs) = Channel::pair()?;
        let (mut duplex, memory) = Duplex::create(SIZES)?;
        duplex.receiver.set_spin(Duration::from_micros(spin));
        let mut child = Command::new(env::current_exe()?)
            .arg(format!("worker={spin}"))
            .stdin(OwnedFd::from(theirs))
            .spawn()?;
        channel.send(&[memory.as_fd()], None)?;
        round_trips(&mut duplex, 2_000)?;
        let rounds = 100_000;
        let time = round_trips(&mut duplex, rounds)?;
        report("round trip of 64 bytes", time, rounds, 0);
        for (name, length, count) in [
            ("one way, 64 bytes", SMALL, 5_000_000),
            ("one way, 1 MiB", LARGE, 2_000),
        ] {
            one_way(&mut duplex, length, count / 10)?;
            let time = one_way(&mut duplex, length, count)?;
            report(name, time, count, length);
        }
        duplex.sender.send(&[b"end"], None)?;
        duplex.sender.flush();
        child.wait()?;
        Ok(())
    }

    fn report(name: &str, time: Duration, count: u32, length: usize) {
        let each = time.as_secs_f64() / f64::from(count);
        print!("{name}: {:.1} ns each", each * 1e9);
        if length > 0 {
            #[expect(clippy::cast_precision_loss, reason = "lengths are small")]
            let rate = length as f64 / each / 1e9;
            print!(", {rate:.2} GB/s");
        }
        println!();
    }

    /// What writing and reading cost where nobody else has to be asked.
    fn one_thread() -> Result {
        let (mut parent, memory) = Duplex::create(SIZES)?;
        let mut worker = Duplex::open(memory)?;
        let (message, mut into) = ([1; SMALL], Vec::new());
        let (rounds, start) = (2_000_000_u32, Instant::now());
        for _ in 0..rounds {
            let sent = parent.sender.try_send(&[&message])?;
            let received = worker.receiver.try_receive(LIMIT, &mut into)?;
            assert!(sent == Sent::Whole && received == Received::Message);
        }
        report("write and read 64 bytes", start.elapsed(), rounds, 0);
        let (message, rounds, start) = (vec![1; LARGE / 2], 4_000, Instant::now());
        for _ in 0..rounds {
            let sent = parent.sender.try_send(&[&message])?;
            let received = worker.receiver.try_receive(LIMIT, &mut into)?;
            assert!(sent == Sent::Whole && received == Received::Message);
        }
        report(
            "write and read 512 KiB",
            start.elapsed(),
            rounds,
            message.len(),
        );
        let (mut copy, start) = (vec![1; message.len()], Instant::now());
        for _ in 0..rounds {
            copy.copy_from_slice(std::hint::black_box(&message));
            into.copy_from_slice(std::hint::black_box(&copy));
        }
        report("copy 512 KiB twice", start.elapsed(), rounds, message.len());
        Ok(())
    }

    fn round_trips(duplex: &mut Duplex, rounds: u32) -> Result<Duration> {
        let (message, mut into) = ([2; SMALL], Vec::new());
        let start = Instant::now();
        for _ in 0..rounds {
            duplex.sender.send(&[&message], None)?;
            duplex.sender.flush();
            let received = duplex.receiver.receive(LIMIT, &mut into, None)?;
            assert!(received == Received::Message && into == message);
        }
        Ok(start.elapsed())
    }

    /// Sends `count` messages, and waits until the last one is answered.
    fn one_way(duplex: &mut Duplex, length: usize, count: u32) -> Result<Duration> {
        let message = vec![1; length];
        let start = Instant::now();
        for number in 0..count {
            duplex.sender.send(&[&message], None)?;
            if number % BATCH == 0 {
                duplex.sender.flush();
            }
        }
        round_trips(duplex, 1)?;
        Ok(start.elapsed())
    }

    /// Answers what begins with 2.
    fn worker(spin: u64) -> Result {
        let channel = Channel::from(stdin().as_fd().try_clone_to_owned()?);
        let mut duplex = Duplex::open(channel.receive(1, None)?.remove(0))?;
        duplex.receiver.set_spin(Duration::from_micros(spin));
        let mut into = Vec::new();
        loop {
            let received = duplex.receiver.receive(LIMIT, &mut into, None)?;
            assert!(received == Received::Message);
            match into[0] {
                1 => {}
                2 => {
                    duplex.sender.send(&[&into], None)?;
                    duplex.sender.flush();
                }
                _ => return Ok(()),
            }
        }
    }
}
