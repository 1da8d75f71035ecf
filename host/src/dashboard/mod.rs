//! The page that shows what runs, served by this process: for a browser on this machine, or one that gets here through a
//! tunnel.
//!
//! Everybody on the machine can reach the port, and so can any page that a browser has open, so a request needs the token
//! that only whoever started the program has seen; a `Host` or `Origin` of somewhere else is refused, and nothing can be
//! changed here. The page loads scripts and styles from here alone, runs none that stand in it, and makes text nodes of
//! texts. It asks what has changed; what is kept for it has bounds.

mod assets;
mod server;

pub use assets::report_page;

use crate::events::ClusterEvent;
use crate::observe::{
    Board, EndedJob, EndedTask, Metrics, ObservedJob, ObservedTasks, Observer, PreparedModule,
    Presence,
};
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The bytes of a token.
const TOKEN: usize = 16;

/// A page that shows what a cluster does, at an address of this machine, and its figures for Prometheus. Cheap to clone; the
/// page goes with the last clone.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Cluster, Dashboard};
///
/// let dashboard = Dashboard::start(([127, 0, 0, 1], 0).into())?;
/// let cluster = Cluster::builder().engines(1).observe(dashboard.clone()).start()?;
/// println!("open {}", dashboard.url());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Dashboard(Arc<Serving>);

struct Serving {
    board: Board,
    metrics: Metrics,
    url: String,
    /// Dropped with it, which ends the page's thread. Nobody waits for that: the last clone may go with a thread of the cluster
    /// from which the page has just asked something.
    _stop: oneshot::Sender<()>,
}

/// The page cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DashboardError {
    /// The address is not one of this machine alone.
    #[error("{address} can be reached from other machines, and the dashboard is not encrypted")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// It is taken, or not an address of this machine.
    #[error("cannot serve the dashboard at {address}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// There is no thread or no randomness for it.
    #[error("cannot start the dashboard")]
    Start(#[source] io::Error),
}

impl Dashboard {
    /// Serves the page at a loopback address; port 0 is any that is free.
    ///
    /// # Errors
    /// If the address is not a loopback address, or is taken.
    pub fn start(address: SocketAddr) -> Result<Self, DashboardError> {
        Self::with_metrics(address, Metrics::new())
    }

    /// The same for a program whose engines are elsewhere: see [`Metrics::of_client`].
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn of_client(address: SocketAddr) -> Result<Self, DashboardError> {
        Self::with_metrics(address, Metrics::of_client())
    }

    fn with_metrics(address: SocketAddr, metrics: Metrics) -> Result<Self, DashboardError> {
        if !address.ip().is_loopback() {
            return Err(DashboardError::NotLoopback { address });
        }
        let failed = |source| DashboardError::Address { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let token = token().map_err(DashboardError::Start)?;
        let url = format!("http://{address}/?token={token}");
        let board = Board::default();
        let site = server::Site::new(address, token, board.clone(), metrics.clone());
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(DashboardError::Start)?;
        std::thread::Builder::new()
            .name("rwasm-page".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = server::serve(listener, site) => {}
                        // An error is that nobody is left who could stop it.
                        _ = stopped => {}
                    }
                });
                runtime.shutdown_background();
            })
            .map_err(DashboardError::Start)?;
        Ok(Self(Arc::new(Serving {
            board,
            metrics,
            url,
            _stop: stop,
        })))
    }

    /// Returns the address of the page, with the token that it asks for: whoever has it sees everything.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }
}

impl Observer for Dashboard {
    fn started(&self, presence: &Presence) {
        self.0.board.started(presence);
    }

    fn submitted(&self, tasks: &ObservedTasks<'_>) {
        self.0.board.submitted(tasks);
        self.0.metrics.submitted(tasks);
    }

    fn begun(&self, tasks: &ObservedTasks<'_>) {
        self.0.board.begun(tasks);
        self.0.metrics.begun(tasks);
    }

    fn ended(&self, tasks: &ObservedTasks<'_>, ended: &[EndedTask<'_>]) {
        self.0.board.ended(tasks, ended);
        self.0.metrics.ended(tasks, ended);
    }

    fn prepared(&self, module: &PreparedModule<'_>) {
        self.0.board.prepared(module);
        self.0.metrics.prepared(module);
    }

    fn job_submitted(&self, job: &ObservedJob<'_>) {
        self.0.board.job_submitted(job);
        self.0.metrics.job_submitted(job);
    }

    fn job_ended(&self, job: &EndedJob) {
        self.0.board.job_ended(job);
        self.0.metrics.job_ended(job);
    }

    fn event(&self, event: &ClusterEvent) {
        self.0.board.event(event);
        self.0.metrics.event(event);
    }
}

/// A text that nobody can guess.
fn token() -> io::Result<String> {
    let mut bytes = [0; TOKEN];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
