//! Functions to call, and bounded waits.

use super::{open_files, threads};
use rwasm_cluster::{
    Callable, Cluster, ClusterEvent, FailureCode, LoadBalancedView, Task, TaskError,
};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// What ends at once has ended by then, on any machine.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// What never ends by itself.
pub(crate) const LONG: u64 = 3_600_000;

/// Waits for what is so at once, or in a moment where the machine is busy.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    /// Whoever asks without a pause takes the time of what is waited for.
    const LONGEST_PAUSE: Duration = Duration::from_millis(2);
    let start = Instant::now();
    while !is_so() {
        let waited = start.elapsed();
        assert!(waited < SOON, "not so in time: {what}");
        std::thread::park_timeout((waited / 8).min(LONGEST_PAUSE));
    }
}

/// How many threads of the library and open files this process has, once that stays the same: what has just ended may be
/// counted still, and while a thread ends others may be passed over.
pub(crate) fn held() -> (usize, usize) {
    const STEADY: u32 = 100;
    // Those that a connection lends to what waits for a disk come and go by themselves.
    let count = || {
        let threads = threads();
        let lasting = threads.iter().filter(|name| !name.ends_with("-io"));
        (lasting.count(), open_files())
    };
    let (mut found, mut same) = (count(), 0);
    until("threads and files stay the same", || {
        let now = count();
        same = if now == found { same + 1 } else { 0 };
        found = now;
        same == STEADY
    });
    found
}

/// Does what must end soon, on a thread of its own, so that a test that hangs fails instead.
#[track_caller]
pub(crate) fn soon<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    let thread = std::thread::spawn(move || {
        // Whoever waited may have given up.
        let _ = sender.send(act());
    });
    match receiver.recv_timeout(SOON) {
        Ok(value) => value,
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("it hangs: {what}"),
        Err(_) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => panic!("it gave nothing: {what}"),
        },
    }
}

/// The functions of the guest `numbers`, those that tests call most.
pub(crate) struct Numbers {
    pub(crate) add_one: Callable<u64, u64>,
    pub(crate) add: Callable<(u64, u64), u64>,
    pub(crate) fib: Callable<u32, u64>,
    pub(crate) divide: Callable<(i64, i64), i64>,
    pub(crate) total: Callable<Vec<u64>, u64>,
    pub(crate) length: Callable<&'static [u8], u64>,
    pub(crate) count_up: Callable<(), u64>,
    pub(crate) fail: Callable<&'static str, u64>,
    pub(crate) spin: Callable<(), u64>,
    pub(crate) nap: Callable<u64, u64>,
}

pub(crate) fn numbers() -> Numbers {
    let module = super::module("numbers");
    macro_rules! functions {
        ($($field:ident $name:literal),+ $(,)?) => {
            Numbers { $($field: module.function($name).expect($name)),+ }
        };
    }
    functions!(
        add_one "add-one", add "add", fib "fib", divide "divide", total "total", length "length",
        count_up "count-up", fail "fail", spin "spin", nap "nap",
    )
}

/// The code of a task's failure.
#[track_caller]
pub(crate) fn code<R: std::fmt::Debug>(result: Result<R, TaskError>) -> FailureCode {
    let error = result.expect_err("it fails");
    let failure = error.failure();
    failure.unwrap_or_else(|| panic!("{error}")).failure.code
}

/// An endless task on each engine of the view's cluster, running by now.
pub(crate) fn occupy(cluster: &Cluster) -> Vec<Task<u64>> {
    let spin = numbers().spin;
    let tasks: Vec<_> = cluster
        .engines()
        .into_iter()
        .map(|engine| {
            let view = cluster.direct_view(engine).expect("it is there");
            let tasks = view.try_submit(&spin, ()).expect("it is submitted");
            tasks.into_iter().next().expect("one engine, one task")
        })
        .collect();
    until("the engines are busy", || {
        tasks.iter().all(Task::is_running)
    });
    tasks
}

/// Submits an endless task and waits until it runs.
pub(crate) fn running(view: &LoadBalancedView, function: &Callable<(), u64>) -> Task<u64> {
    let task = view.try_submit(function, ()).expect("it is submitted");
    until("it runs", || task.is_running());
    task
}

/// The events of a cluster up to the one that is waited for.
#[track_caller]
pub(crate) fn events_until(
    events: &mut rwasm_cluster::ClusterEvents,
    last: impl Fn(&ClusterEvent) -> bool,
) -> Vec<ClusterEvent> {
    let mut seen = Vec::new();
    until("the event", || {
        while let Some(event) = events.try_next() {
            let is_last = last(&event);
            seen.push(event);
            if is_last {
                return true;
            }
        }
        false
    });
    seen
}

/// Set for a process of its own, in which a test runs without others beside it.
const ALONE: &str = "SUITE_ALONE";

/// Runs the test of that name in a process of its own; true there.
pub(crate) fn is_alone(name: &str) -> bool {
    is_alone_with(name, &[])
}

/// The same, with these variables in its environment.
pub(crate) fn is_alone_with(name: &str, variables: &[(&str, &str)]) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("the test's own program");
    let child = Command::new(program)
        .args([name, "--exact", "--nocapture"])
        .env(ALONE, "1")
        .envs(variables.iter().copied())
        .spawn();
    let status = super::wait(child.expect("it starts")).expect("it ends in time");
    assert!(status.success(), "{name} alone ended with {status}");
    false
}
