//! A NATS server for the time of a benchmark: on loopback, its store in a directory that goes with it.

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// A server that runs; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    log: Option<JoinHandle<()>>,
    version: String,
    url: String,
    _store: tempfile::TempDir,
}

/// Published messages whose acknowledgements may be waited for at a time.
pub(crate) const UNACKED: usize = 1000;

impl Server {
    /// Starts one that writes to disk every `sync`.
    pub(crate) fn start(sync: &str) -> Self {
        let store = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let config = store.path().join("server.conf");
        // More than the streams of a cluster reserve together.
        let text = format!(
            "listen: \"127.0.0.1:-1\"\n\
             jetstream {{ store_dir: \"{}\", max_mem: 256MB, max_file: 64GB, sync_interval: {sync} }}\n",
            store.path().join("js").display()
        );
        std::fs::write(&config, text).unwrap();
        let program = program();
        let mut child = Command::new(&program)
            .arg("-c")
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{} does not start: {error}; name a nats-server by RWASM_NATS_SERVER",
                    program.display()
                )
            });
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut version, mut port, mut said) = (None, None, String::new());
        loop {
            let Some(line) = lines.next() else {
                panic!("the server ended before it was ready:\n{said}");
            };
            let line = line.unwrap();
            if let Some((_, after)) = line.split_once("Version:") {
                version = Some(after.trim().to_owned());
            }
            if let Some((_, after)) = line.split_once("client connections on 127.0.0.1:") {
                port = Some(after.trim().to_owned());
            }
            if line.contains("Server is ready") {
                break;
            }
            said.push_str(&line);
            said.push('\n');
        }
        // Read on, so that the server never waits for someone to read its log.
        let log = std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            log: Some(log),
            version: version.unwrap(),
            url: format!("nats://127.0.0.1:{}", port.unwrap()),
            _store: store,
        }
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A connection of the runtime that runs.
    pub(crate) async fn connect(&self) -> (Client, jetstream::Context) {
        connect(&self.url).await
    }

    /// The processor time that it has taken.
    pub(crate) fn processor_time(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // User and system time are fields 14 and 15; the name in field 2 may hold blanks.
        let fields: Vec<&str> = text
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11..13]
            .iter()
            .map(|field| field.parse::<u64>().unwrap())
            .sum();
        // A tick is a hundredth of a second on every Linux that this runs on.
        Duration::from_millis(ticks * 10)
    }

    /// The memory that it holds, in MiB.
    pub(crate) fn resident(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmRSS:"));
        let kib: f64 = line
            .and_then(|line| line.split_whitespace().nth(1))
            .unwrap()
            .parse()
            .unwrap();
        kib / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = self.log.take().map(JoinHandle::join);
    }
}

/// A connection as an engine process has one.
pub(crate) async fn connect(url: &str) -> (Client, jetstream::Context) {
    let client = ConnectOptions::new()
        .request_timeout(Some(Duration::from_secs(30)))
        .connect(url)
        .await
        .unwrap();
    let js = ContextBuilder::new()
        .timeout(Duration::from_secs(30))
        .ack_timeout(Duration::from_secs(30))
        .max_ack_inflight(2 * UNACKED)
        .backpressure_on_inflight(true)
        .build(client.clone());
    (client, js)
}

/// Runs `work` on a runtime of this thread, which is how each engine process would have its own.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// Lets this process and the servers it starts have that many files open.
pub(crate) fn allow_open_files(wanted: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap_or_else(|error| {
        panic!("{wanted} open files are wanted, and this user may not have them: {error}")
    });
}

fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("RWASM_NATS_SERVER") {
        return named.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        PathBuf::from,
    );
    let tools = target.join("tools/nats");
    ["nats-server", "bin/nats-server"]
        .map(|name| tools.join(name))
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from("nats-server"))
}
