//! NATS servers for tests: one, or three that are a cluster, on the loopback interface, each with a store of its own.
//!
//! They can be killed, started again on the same port and store, and frozen; none outlives its value. They are asked by
//! their monitoring port, which needs no client.

use super::{folder, until};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;

/// The server that `cargo xtask` has fetched.
pub(crate) fn nats_server() -> PathBuf {
    let path = super::target().join("tools/nats/bin/nats-server");
    assert!(
        path.is_file(),
        "there is no NATS server at {}: run `cargo xtask nats`",
        path.display()
    );
    path
}

/// A server, which is killed where this value ends.
pub(crate) struct Server {
    name: String,
    dir: TempDir,
    port: u16,
    /// None where it was killed.
    running: Option<Running>,
}

struct Running {
    child: Child,
    url: String,
    monitoring: String,
}

impl Server {
    /// One with `JetStream`, which asks for no key.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// One with `JetStream` and further settings: keys, accounts, certificates.
    pub(crate) fn with(settings: &str) -> Self {
        // More than there is on disk: what streams may take at most is set aside when they are made.
        let store = "jetstream { store_dir: \"js\", max_file_store: 1TB }\n";
        Self::configured("alone", &format!("{store}{settings}\n"))
    }

    /// One with these settings and no others, `JetStream` included. Relative paths are in its own directory.
    pub(crate) fn configured(name: &str, config: &str) -> Self {
        /// Another program may have taken the port since it was found free.
        const TRIES: u32 = 5;
        let mut said = String::new();
        for _ in 0..TRIES {
            let mut server = Self {
                name: name.to_owned(),
                dir: folder(),
                port: free_port(),
                running: None,
            };
            fs::write(server.config(), config).expect("a configuration is written");
            match server.run() {
                Ok(()) => return server,
                Err(log) => said = log,
            }
        }
        panic!("the NATS server {name} does not start:\n{said}");
    }

    /// Where clients find it.
    pub(crate) fn url(&self) -> &str {
        &self.running().url
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.running().child.id()
    }

    /// Its directory: the configuration, the store, what it logged.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills it, without a chance to write anything; what it stored stays.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may have ended by itself.
            let _ = running.child.kill();
            running.child.wait().expect("a child can be waited for");
        }
    }

    /// Starts it again, on the same port and store.
    pub(crate) fn restart(&mut self) {
        self.kill();
        if let Err(log) = self.run() {
            panic!("the NATS server {} does not start again:\n{log}", self.name);
        }
    }

    /// Stops it where it is: its connections stay open, and nothing answers.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        // Each thread stops when it next hears of it.
        let tasks = format!("/proc/{}/task", self.pid());
        until("all threads of the NATS server have stopped", || {
            let mut tasks = fs::read_dir(&tasks).expect("Linux has it");
            tasks.all(|task| {
                let path = task.expect("a thread that is stopped stays").path();
                let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
                let state = stat
                    .rsplit_once(')')
                    .map_or("", |(_, rest)| rest.trim_start());
                state.starts_with('T')
            })
        });
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// A page of its monitoring port, such as `/varz`; none where it does not answer with one.
    pub(crate) fn monitor(&self, page: &str) -> Option<serde_json::Value> {
        let address = &self.running.as_ref()?.monitoring;
        get(address, page).ok()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// How many bytes a stream holds, of whichever account.
    pub(crate) fn stored(&self, stream: &str) -> u64 {
        let page = self
            .monitor("/jsz?accounts=1&streams=1")
            .expect("it answers");
        let accounts = page["account_details"]
            .as_array()
            .expect("there are accounts");
        let streams = accounts
            .iter()
            .filter_map(|one| one["stream_detail"].as_array());
        let found = streams.flatten().find(|one| one["name"] == stream);
        let found = found.unwrap_or_else(|| panic!("there is no stream {stream}: {page}"));
        found["state"]["bytes"].as_u64().expect("it has a size")
    }

    /// How many messages a consumer of the tasks has given out that are not acknowledged.
    pub(crate) fn under_way(&self, consumer: &str) -> u64 {
        let page = self.monitor("/jsz?accounts=1&streams=1&consumers=1");
        let page = page.expect("it answers");
        let accounts = page["account_details"].as_array();
        let streams = accounts
            .expect("there are accounts")
            .iter()
            .filter_map(|one| one["stream_detail"].as_array());
        let consumers = streams
            .flatten()
            .filter_map(|one| one["consumer_detail"].as_array());
        let found = consumers.flatten().find(|one| one["name"] == consumer);
        let pending = found.and_then(|one| one["num_ack_pending"].as_u64());
        pending.unwrap_or(0)
    }

    fn running(&self) -> &Running {
        let running = self.running.as_ref();
        running.unwrap_or_else(|| panic!("the NATS server {} was killed", self.name))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.running().child);
        kill_process(pid, signal).expect("a child takes signals");
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("server.conf")
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Starts it and waits until it takes connections; else what it logged.
    fn run(&mut self) -> Result<(), String> {
        let dir = self.dir.path();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("a log can be written");
        let mut child = Command::new(nats_server())
            .args(["--addr", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--http_port", "-1", "--name", &self.name])
            .args(["--config", "server.conf", "--ports_file_dir", "."])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("the NATS server can be started");
        let ports = dir.join(format!("nats-server_{}.ports", child.id()));
        let mut running = None;
        until("the NATS server is ready", || {
            if child.try_wait().expect("a child can be asked").is_some() {
                return true;
            }
            // It may be half written.
            let said = fs::read(&ports).unwrap_or_default();
            let said: Option<serde_json::Value> = serde_json::from_slice(&said).ok();
            running = said.as_ref().and_then(addresses);
            running.is_some()
        });
        let (url, monitoring) = running.ok_or_else(|| self.log())?;
        self.running = Some(Running {
            child,
            url,
            monitoring,
        });
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three servers that keep streams together.
pub(crate) struct Servers {
    nodes: Vec<Server>,
}

impl Servers {
    /// Starts them, and waits until they have found each other.
    pub(crate) fn three() -> Self {
        Self::three_with("")
    }

    /// The same with further settings, which all have.
    pub(crate) fn three_with(settings: &str) -> Self {
        let ports = [free_port(), free_port(), free_port()];
        let routes = ports.map(|port| format!("nats://127.0.0.1:{port}"));
        let nodes = ports.iter().zip(1..).map(|(port, number)| {
            let config = format!(
                "jetstream {{ store_dir: \"js\", max_file_store: 1TB }}\n\
                 cluster {{ name: tests, listen: \"127.0.0.1:{port}\", routes: [{}] }}\n{settings}\n",
                routes.join(", ")
            );
            Server::configured(&format!("n{number}"), &config)
        });
        let servers = Self {
            nodes: nodes.collect(),
        };
        servers.await_whole();
        servers
    }

    /// Where clients find them: all that are running.
    pub(crate) fn url(&self) -> String {
        let running = self.nodes.iter().filter(|node| node.running.is_some());
        running.map(Server::url).collect::<Vec<_>>().join(",")
    }

    /// One of them, from 0.
    pub(crate) fn node(&mut self, number: usize) -> &mut Server {
        &mut self.nodes[number]
    }

    /// The node that leads a stream, or one of its consumers; none while there is none.
    pub(crate) fn leader(&self, stream: &str, consumer: Option<&str>) -> Option<usize> {
        let page = "/jsz?streams=1&consumers=1";
        // One that was left behind may still take itself for the leader; it is not asked where others answer.
        let named = self.nodes.iter().filter_map(|node| {
            let jsz = node.monitor(page)?;
            let details = jsz["account_details"].as_array()?.clone();
            let streams = details
                .iter()
                .flat_map(|account| account["stream_detail"].as_array().into_iter().flatten());
            let mut found = streams.filter(|found| found["name"] == stream);
            let found = found.next()?;
            let cluster = match consumer {
                None => &found["cluster"],
                Some(consumer) => {
                    let mut all = found["consumer_detail"].as_array()?.iter();
                    &all.find(|found| found["name"] == consumer)?["cluster"]
                }
            };
            cluster["leader"].as_str().map(str::to_owned)
        });
        let mut votes = [0; 3];
        for name in named {
            let node = self.nodes.iter().position(|node| node.name == name);
            votes[node?] += 1;
        }
        let running = |node: &usize| self.nodes[*node].running.is_some();
        (0..votes.len())
            .filter(|node| votes[*node] > 0)
            .filter(running)
            .max_by_key(|node| votes[*node])
    }

    /// Waits until all three are running, lead by one of them, and none is behind.
    pub(crate) fn await_whole(&self) {
        until("the three NATS servers are a cluster", || {
            let leads = |node: &Server| {
                let jsz = node.monitor("/jsz").unwrap_or_default();
                let meta = &jsz["meta_cluster"];
                // The leader alone has figures of the others.
                let others = meta["replicas"].as_array().cloned().unwrap_or_default();
                others.len() == 2 && others.iter().all(|other| other["current"] == true)
            };
            self.nodes.iter().any(leads)
                && self.nodes.iter().all(|node| {
                    node.monitor("/healthz")
                        .is_some_and(|page| page["status"] == "ok")
                })
        });
    }
}

/// A port that nothing listens on, and that the system gives to no connection by itself: a server that is started again
/// finds it free.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_whitespace().next();
    let first = first.and_then(|port| port.parse().ok()).unwrap_or(32_768);
    let below = first.clamp(20_000, 40_000);
    let mut given = GIVEN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    loop {
        let port = fastrand::u16(10_000..below);
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
}

/// The addresses in a ports file, for clients and of the monitoring port.
fn addresses(ports: &serde_json::Value) -> Option<(String, String)> {
    let first = |kind: &str| ports[kind][0].as_str().map(str::to_owned);
    let url = first("nats").or_else(|| first("tls"))?;
    let monitoring = first("monitoring")?;
    Some((url, monitoring.strip_prefix("http://")?.to_owned()))
}

/// A page of JSON from a server that may be frozen.
fn get(address: &str, page: &str) -> std::io::Result<serde_json::Value> {
    const PATIENCE: Duration = Duration::from_millis(500);
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {page} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(serde_json::from_str(body)?)
}
