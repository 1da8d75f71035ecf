//! The place where a test's tasks run: engines of its own process, or, where the suite runs over NATS, engines that joined a
//! server that the test has for itself. One suite serves both.

use super::nats::Server;
use rwasm_cluster::join::{Drain, JoinSettings, join};
use rwasm_cluster::nats::{
    AssetSettings, ConnectSettings, Key, KeySettings, PublicKeys, Role, ServerConfig, make_keys,
    set_up,
};
use rwasm_cluster::{ByteSize, Cluster};
use std::ops::Deref;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// Says that the suite runs over NATS.
const OVER: &str = "SUITE_OVER";

/// The cluster that the program's commands use then.
pub(crate) const CLUSTER: &str = "SUITE_CLUSTER";

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

/// A cluster for a test.
pub(crate) struct TestCluster {
    /// None once it ends.
    cluster: Option<Cluster>,
    _elsewhere: Option<Elsewhere>,
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
            _elsewhere: None,
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
        let mut settings = JoinSettings::new(by(Role::Engine));
        settings.engines = Some(engines);
        settings.cache_dir = Some(super::scratch().join("compiled"));
        settings.drain_timeout = Duration::ZERO;
        let joined = Joined::new(settings);
        let cluster = Cluster::builder().connect(by(Role::Client)).start();
        Self {
            cluster: Some(cluster.expect("the cluster is reached")),
            _elsewhere: Some(Elsewhere {
                _joined: joined,
                _server: server,
            }),
        }
    }
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
    _joined: Joined,
    _server: Server,
}

/// Engines that joined a cluster, on a thread of this process; they leave where this value ends.
pub(crate) struct Joined {
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
                join(settings, &drain, |_| {
                    ready.send(()).expect("it is waited for")
                })
                .expect("the engines join");
            }
        });
        joined
            .recv_timeout(super::SOON)
            .expect("the engines join in time");
        Self {
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
