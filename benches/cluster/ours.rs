//! The same work through rwasm-cluster: real engine processes, one engine each, and a client in this process.

use super::raw::{MESSAGES, OBJECT, OBJECTS, PAYLOAD, TAKERS};
use super::server::Server;
use crate::guests::guest;
use rwasm_cluster::nats::{AssetSettings, ConnectSettings, set_up};
use rwasm_cluster::{Builtin, ByteSize, Callable, Chunking, Cluster, Input, JobSpec, Module};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long engines may take to join.
const JOIN: Duration = Duration::from_secs(30);

/// Engine processes of a server; they end where this value does.
pub(crate) struct Engines {
    processes: Vec<Child>,
    cluster: Option<Cluster>,
    _dir: tempfile::TempDir,
}

impl Engines {
    pub(crate) fn join(server: &Server) -> Self {
        let connect = ConnectSettings::new(server.url());
        set_up(&connect, &AssetSettings::default()).unwrap();
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let ready = |number: usize| dir.path().join(format!("ready-{number}"));
        let processes = (0..TAKERS)
            .map(|number| {
                Command::new(env!("CARGO_BIN_EXE_rwasm-cluster"))
                    .args(["engine", "join", server.url(), "-n", "1", "-q"])
                    .args(["--drain-timeout", "0"])
                    .arg("--cache-dir")
                    .arg(dir.path().join(format!("cache-{number}")))
                    .arg("--ready-file")
                    .arg(ready(number))
                    .stdin(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let begun = Instant::now();
        while !(0..TAKERS).all(|number| ready(number).exists()) {
            assert!(begun.elapsed() < JOIN, "the engines do not join");
            std::thread::sleep(Duration::from_millis(5));
        }
        let cluster = Cluster::builder().connect(connect).start().unwrap();
        Self {
            processes,
            cluster: Some(cluster),
            _dir: dir,
        }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().unwrap()
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        drop(self.cluster.take());
        for process in &mut self.processes {
            let pid = rustix::process::Pid::from_child(process);
            _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        for process in &mut self.processes {
            _ = process.wait();
        }
    }
}

/// A function of the guest `numbers`.
pub(crate) fn numbers() -> Module {
    Module::from_file(guest("numbers.wasm")).unwrap()
}

/// Tasks a second with 1 KB of input each.
pub(crate) fn drain(server: &Server) -> f64 {
    let engines = Engines::join(server);
    let length: Callable<(Vec<u8>,), u64> = numbers().function("length").unwrap();
    let view = engines.cluster().blocking().load_balanced_view();
    // Compiled and known before the clock starts.
    view.apply(&length, (vec![],)).unwrap();
    let begun = Instant::now();
    let inputs = (0..MESSAGES).map(|_| (vec![b'x'; PAYLOAD],));
    let sum: u64 = view.map(&length, inputs).unwrap().map(Result::unwrap).sum();
    let rate = MESSAGES as f64 / begun.elapsed().as_secs_f64();
    assert_eq!(sum, (MESSAGES * PAYLOAD) as u64);
    rate
}

/// MiB a second of a file that is cut into chunks of 16 MiB.
pub(crate) fn objects(server: &Server) -> f64 {
    let engines = Engines::join(server);
    let module = numbers();
    let path = input();
    let mut spec = JobSpec::default();
    spec.map = Some("length".to_owned());
    spec.merge = Builtin::Sum.into();
    spec.chunking = Some(Chunking::Exact(ByteSize::new(OBJECT as u64)));
    let length: Callable<(Vec<u8>,), u64> = module.function("length").unwrap();
    let view = engines.cluster().blocking().load_balanced_view();
    view.apply(&length, (vec![],)).unwrap();
    let begun = Instant::now();
    let job = engines
        .cluster()
        .run(&module, vec![Input::path(&path)], &spec)
        .unwrap();
    let result = job.wait().unwrap();
    let time = begun.elapsed();
    let sum = result.merged.unwrap().unpack().unwrap();
    assert_eq!(sum, rwasm_cluster::Value::U64((OBJECT * OBJECTS) as u64));
    (OBJECT * OBJECTS) as f64 / f64::from(1 << 20) / time.as_secs_f64()
}

/// The input of `objects`, made once.
fn input() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-input");
    let wanted = (OBJECT * OBJECTS) as u64;
    if std::fs::metadata(&path).is_ok_and(|meta| meta.len() == wanted) {
        return path;
    }
    let mut file = std::fs::File::create(&path).unwrap();
    let piece = vec![b'x'; OBJECT];
    for _ in 0..OBJECTS {
        std::io::Write::write_all(&mut file, &piece).unwrap();
    }
    path
}

/// Tasks of nothing, as many as the tiny row has.
const TINY: u64 = 100_000;

fn tiny(cluster: &Cluster) -> f64 {
    let add_one: Callable<u64, u64> = numbers().function("add-one").unwrap();
    let view = cluster.blocking().load_balanced_view();
    view.apply(&add_one, 1).unwrap();
    let begun = Instant::now();
    let sum: u64 = view
        .map(&add_one, 0..TINY)
        .unwrap()
        .map(Result::unwrap)
        .sum();
    let rate = TINY as f64 / begun.elapsed().as_secs_f64();
    assert_eq!(sum, (1..=TINY).sum::<u64>());
    rate
}

/// Tiny tasks a second on engines of this process.
pub(crate) fn tiny_here(_server: &Server) -> f64 {
    tiny(&Cluster::builder().engines(TAKERS as u32).start().unwrap())
}

/// The same on engine processes.
pub(crate) fn tiny_there(server: &Server) -> f64 {
    tiny(Engines::join(server).cluster())
}

/// One call after the other.
const CALLS: usize = 1_000;

/// Prints how long a call takes, there and back.
pub(crate) fn call(server: &Server) {
    let engines = Engines::join(server);
    let add_one: Callable<u64, u64> = numbers().function("add-one").unwrap();
    let view = engines.cluster().blocking().load_balanced_view();
    view.apply(&add_one, 1).unwrap();
    let mut latencies: Vec<Duration> = (0..CALLS as u64)
        .map(|number| {
            let begun = Instant::now();
            assert_eq!(view.apply(&add_one, number).unwrap(), number + 1);
            begun.elapsed()
        })
        .collect();
    latencies.sort_unstable();
    let percent = |share: usize| latencies[latencies.len() * share / 100].as_secs_f64() * 1e6;
    println!(
        "call (one after the other, its result stored before it is read): p50 {:.0} µs, p99 {:.0} µs",
        percent(50),
        percent(99),
    );
}
