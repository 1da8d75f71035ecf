//! Running guests are stopped while others go on: one call of several, and a whole job from another thread.
//!
//! Prints how long stopping took and what the engines did afterwards. Build the guests first with
//! `cargo xtask guests`, then: `cargo run --release --example cancel`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{Cluster, FailureCode, Input, JobError, JobSpec, Module};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long the user of this example waits before giving up.
const PATIENCE: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::builder().engines(2).start()?;
    let numbers = Module::from_file(guest("numbers.wasm"))?;
    let spin = numbers.function::<(), u64>("spin")?;
    let fib = numbers.function::<(u32,), u64>("fib")?;
    let view = cluster.blocking().load_balanced_view();

    // One call computes for ever, on one of the engines; another is no worse off for it.
    let endless = view.submit(&spin, ())?;
    let useful = view.submit(&fib, (27,))?;
    assert!(!endless.wait_timeout(PATIENCE), "it never ends by itself");

    // `abort` stops a call that runs as well as one that waits. So does dropping the handle.
    let begun = Instant::now();
    endless.abort();
    let stopped = endless.get().err().ok_or("it has no value")?;
    println!("{stopped}, which took {:?}", begun.elapsed());
    println!("the other gave {}", useful.get()?);
    // Both engines are free again.
    let both = cluster.blocking().direct_view(0..=1)?;
    println!("both engines now: {:?}", both.apply(&fib, (20,))?);

    // A job is stopped as a whole. Its canceller is a handle of its own, for another thread.
    let endless_job = Module::from_file(guest("spin.wasm"))?;
    let nothing = vec![Input::bytes("<nothing>", "")];
    let job = cluster.run(&endless_job, nothing, &JobSpec::default())?;
    let canceller = job.canceller();
    let user = thread::spawn(move || {
        thread::sleep(PATIENCE);
        canceller.cancel();
    });
    let ended = job.wait();
    user.join().map_err(|_| "the canceller's thread panicked")?;
    println!(
        "the job: {}",
        ended
            .as_ref()
            .map_or_else(ToString::to_string, |_| "?".to_owned())
    );

    let failure = stopped.failure().map(|failed| failed.failure.code);
    assert_eq!(failure, Some(FailureCode::Cancelled));
    assert_eq!(useful.get()?, 196_418);
    assert!(matches!(ended, Err(JobError::Cancelled)));
    Ok(())
}

/// Where `cargo xtask guests` puts a guest.
fn guest(name: &str) -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(default, PathBuf::from)
        .join("guests")
        .join(name)
}
