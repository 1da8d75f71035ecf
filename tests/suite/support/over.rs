//! The place where a test's tasks run: engines of its own process, or, where the suite runs over NATS, engines that joined a
//! server that the test has for itself. One suite serves both.

use super::nats::Server;
use rwasm_cluster::join::{Drain, EnginePolicy, JoinSettings, ServedCluster, join};
use rwasm_cluster::nats::{
    AssetSettings, ConnectSettings, Key, KeySettings, PublicKeys, Role, ServerConfig, make_keys,
    set_up,
};
use rwasm_cluster::{ByteSize, Cluster, EngineError, EngineId};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// Says that the suite runs over NATS.
const OVER: &str = "SUITE_OVER";

/// The clusters that the program's commands use then, which all tests share: how many engines each has, and where it is,
/// in turn, with blanks between. Engines that are asked for with an option are a cluster of that many.
const CLUSTERS: &str = "SUITE_CLUSTERS";

/// What tasks may be granted at most: a policy for engines that join.
const POLICY: &str = "SUITE_POLICY";

/// The cluster with this number of engines that the program is to use, if there is one; by default as many as there are cores.
pub(crate) fn shared(engines: Option<u32>) -> Option<String> {
    let clusters = std::env::var(CLUSTERS).ok()?;
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = engines.map_or_else(|| cores().to_string(), |engines| engines.to_string());
    let mut words = clusters.split_whitespace();
    while let (Some(engines), Some(url)) = (words.next(), words.next()) {
        if engines == wanted {
            return Some(url.to_owned());
        }
    }
    None
}

/// Whether tests may take minutes that show the same on less otherwise.
pub(crate) fn is_whole() -> bool {
    std::env::var_os("SUITE_WHOLE").is_some()
}

/// Whether tasks run in other processes.
pub(crate) fn is_over_nats() -> bool {
    std::env::var_os(OVER).is_some_and(|over| over == "nats")
}

/// Whether a test has no meaning over NATS, for this reason, and the suite runs so.
pub(crate) fn only_here(why: &str) -> bool {
    if is_over_nats() {
        #[expect(
            clippy::print_stdout,
            reason = "whoever reads the tests' output wants to know"
        )]
        {
            println!("skipped over NATS: {why}");
        }
        return true;
    }
    false
}

/// The boundary behind which the suite runs its tasks, if it is told to.
pub(crate) fn boundary() -> Option<String> {
    std::env::var("SUITE_BOUNDARY").ok()
}

/// Whether a test is about threads, for this reason, and the suite runs its tasks in worker processes.
pub(crate) fn only_in_threads(why: &str) -> bool {
    let is_behind = boundary().is_some();
    if is_behind {
        #[expect(
            clippy::print_stdout,
            reason = "whoever reads the tests' output wants to know"
        )]
        {
            println!("skipped behind the boundary: {why}");
        }
    }
    is_behind
}

/// A grant of a directory by a path from `dir` on. Over NATS it has the whole path, as engines elsewhere want it.
pub(crate) fn granted(dir: &Path, grant: &str) -> String {
    match grant.split_once("::") {
        Some((host, rest)) if is_over_nats() && !host.is_empty() => {
            let path = dir.join(host);
            let path = path.canonicalize().unwrap_or(path);
            format!("{}::{rest}", path.display())
        }
        _ => grant.to_owned(),
    }
}

/// The code with which the program ends where a module is refused that only an engine can look at so closely: that of a
/// module that is refused, over NATS that of a task that failed for it.
pub(crate) fn refused_by_engine() -> i32 {
    if is_over_nats() { 11 } else { 10 }
}

/// A cluster for a test.
pub(crate) struct TestCluster {
    /// None once it ends.
    cluster: Option<Cluster>,
    elsewhere: Option<Elsewhere>,
}

impl Deref for TestCluster {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.cluster.as_ref().expect("it has not ended")
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // Before the engines and their server.
        drop(self.cluster.take());
    }
}

impl TestCluster {
    /// Engines of this process.
    pub(crate) fn here(cluster: Cluster) -> Self {
        Self {
            cluster: Some(cluster),
            elsewhere: None,
        }
    }

    /// So many engines in a process that joined a server of their own; as far as this test can tell it is another process.
    pub(crate) fn elsewhere(engines: u32) -> Self {
        let keys = super::folder();
        make_keys(keys.path(), &KeySettings::default()).expect("keys are made");
        let server = Server::configured("alone", &config(&keys));
        let by = |role: Role| {
            let key = Key::read(&keys.path().join(format!("{role}.key")));
            ConnectSettings::new(server.url()).key(key.expect("there is a key of each role"))
        };
        set_up(&by(Role::Admin), &AssetSettings::default()).expect("the cluster is set up");
        let connect = by(Role::Engine);
        let joined = Joined::new(settings(connect.clone(), engines));
        let cluster = Cluster::builder().connect(by(Role::Client)).start();
        Self {
            cluster: Some(cluster.expect("the cluster is reached")),
            elsewhere: Some(Elsewhere {
                joined: Mutex::new(vec![joined]),
                connect,
                _server: server,
            }),
        }
    }

    /// Adds engines: over NATS by a further process that joins.
    pub(crate) fn add_engines(&self, engines: u32) -> Result<Vec<EngineId>, EngineError> {
        let Some(elsewhere) = &self.elsewhere else {
            return (**self).add_engines(engines);
        };
        if engines == 0 {
            return Ok(Vec::new());
        }
        let refused = (**self).add_engines(engines);
        if !matches!(refused, Err(EngineError::Elsewhere)) {
            return refused;
        }
        let joined = Joined::new(settings(elsewhere.connect.clone(), engines));
        let ids = joined.engines.clone();
        let is_seen = || ids.iter().all(|id| self.engines().contains(id));
        super::until("the cluster has seen the engines that joined", is_seen);
        let mut all = elsewhere.joined.lock();
        all.as_mut().expect("no test panicked with it").push(joined);
        Ok(ids)
    }
}

fn settings(connect: ConnectSettings, engines: u32) -> JoinSettings {
    let mut settings = JoinSettings::new([ServedCluster::new(connect)]);
    settings.engines = Some(engines);
    settings.cache_dir = Some(super::scratch().join("compiled"));
    settings.drain_timeout = Duration::ZERO;
    if let Some(policy) = std::env::var_os(POLICY) {
        settings.policy = EnginePolicy::read(&PathBuf::from(policy)).expect("it is a policy");
    }
    settings
}

/// The configuration of a server on which every role may do its own and no more, as users have it.
fn config(keys: &TempDir) -> String {
    let public = PublicKeys::read(keys.path()).expect("there are public keys");
    let mut config = ServerConfig::new("js", public.iter().cloned().collect());
    config.max_store = Some(ByteSize::new(1 << 40));
    let text = config.to_text().expect("there is a key of each role");
    // What is lost with the machine is lost with the tests.
    text.replace("sync_interval: always", "")
}

/// Dropped in this order.
struct Elsewhere {
    joined: Mutex<Vec<Joined>>,
    connect: ConnectSettings,
    _server: Server,
}

/// Engines that joined a cluster, on a thread of this process; they leave where this value ends.
pub(crate) struct Joined {
    engines: Vec<EngineId>,
    drain: Drain,
    thread: Option<JoinHandle<()>>,
}

impl Joined {
    pub(crate) fn new(settings: JoinSettings) -> Self {
        let drain = Drain::default();
        let (ready, joined) = channel();
        let thread = std::thread::spawn({
            let drain = drain.clone();
            move || {
                join(settings, &drain, |engines| {
                    ready.send(engines.to_vec()).expect("it is waited for");
                })
                .expect("the engines join");
            }
        });
        let engines = joined
            .recv_timeout(super::SOON)
            .expect("the engines join in time");
        Self {
            engines,
            drain,
            thread: Some(thread),
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.drain.begin();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "engines ended ill"
            );
        }
    }
}
