//! Durable jobs: they are stored before their id is told, run without whoever submitted them, and their results are
//! fetched later, from anywhere.
//!
//! `manifest` is what is known of a job; `submit` stores one: first what its tasks are (so that they can be submitted again,
//! whatever dies when), then the messages for engines, which `publish` gives them; `same` tells whether a job that is stored
//! is the one that is submitted; `recall` makes a run or a map of one whose outcomes come from what is stored; `manage`
//! lists, cancels and removes; `retry` runs failed tasks again. Engines know nothing of all this: to them a task is a task.

mod lanes;
mod manage;
mod manifest;
mod publish;
mod recall;
mod retry;
mod same;
mod submit;

pub use manifest::{DurableJob, DurableState, JobCounts};
pub use recall::Recalled;
pub use submit::DetachSettings;

use crate::cluster::StartError;
use crate::nats::blob::{BlobError, Blobs};
use crate::nats::connect::{ConnectError, ConnectSettings, Connection, runtime};
use crate::nats::{AssetError, Role, names};
use crate::view::SubmitError;
use async_nats::jetstream::kv;
use async_nats::jetstream::stream::Stream;
use tokio::runtime::Runtime;

/// The durable jobs of a cluster over NATS.
///
/// # Examples
///
/// ```no_run
/// use rwasm_cluster::detached::{DetachSettings, DurableJobs};
/// use rwasm_cluster::nats::ConnectSettings;
/// use rwasm_cluster::{Input, JobSpec, Module};
///
/// let jobs = DurableJobs::connect(&ConnectSettings::new("nats://127.0.0.1:4222"))?;
/// let module = Module::from_file("wordcount.wasm")?;
/// let inputs = vec![Input::path("book.txt")];
/// let id = jobs.submit(&module, inputs, &JobSpec::default(), &DetachSettings::default())?;
/// // Later, and elsewhere:
/// let result = jobs.recall(&id)?.run()?.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DurableJobs {
    runtime: Runtime,
    settings: ConnectSettings,
    pub(self) store: Store,
}

/// Where durable jobs are.
#[derive(Clone)]
struct Store {
    connection: Connection,
    /// Whether what came of tasks may be read, and so counted.
    reads_results: bool,
    tasks: Stream,
    results: Stream,
    jobs: kv::Store,
    modules: Blobs,
    blobs: Blobs,
}

/// Why something was not done with a durable job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DurableError {
    /// The cluster cannot be reached, or refuses.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no such job.
    #[error("the cluster has no job `{id}`")]
    Unknown {
        /// The id that was named.
        id: String,
    },
    /// Another job has the id.
    #[error("the cluster already has a different job `{id}`: {difference}")]
    Taken {
        /// The id.
        id: String,
        /// What differs.
        difference: String,
    },
    /// The id cannot be one.
    #[error("`{id}` is not a valid job id: write at most 64 letters, digits, `-` and `_`")]
    Id {
        /// The id that was named.
        id: String,
    },
    /// Not all of its tasks have ended.
    #[error("the job `{id}` has not ended: {done} of {tasks} tasks are done")]
    Unfinished {
        /// The job.
        id: String,
        /// Tasks that have outcomes.
        done: u64,
        /// All of its tasks.
        tasks: u64,
    },
    /// It has no task of that index.
    #[error("the job `{id}` has no task {task}: it has {tasks} tasks, numbered from 0")]
    NoTask {
        /// The job.
        id: String,
        /// The index that was named.
        task: u64,
        /// How many it has.
        tasks: u64,
    },
    /// A task has no outcome: it waits or runs, or was cancelled.
    #[error("task {task} of the job `{id}` has no outcome{}", if *.is_cancelled { ": the job was cancelled first" } else { " yet" })]
    NoOutcome {
        /// The job.
        id: String,
        /// The task's index.
        task: u64,
        /// Whether there will be none.
        is_cancelled: bool,
    },
    /// It was not stored as a whole.
    #[error("the job `{id}` was only partly submitted: submit it again under the same id")]
    Incomplete {
        /// The job.
        id: String,
    },
    /// Somebody changed it while this program was at it.
    #[error(
        "the job `{id}` was {how} by someone else in the meantime; this submission has been withdrawn"
    )]
    Stopped {
        /// The job.
        id: String,
        /// What was done with it.
        how: &'static str,
    },
    /// What was asked for has no meaning for a durable job.
    #[error("a durable job cannot have {what}")]
    Unsupported {
        /// What, and what to do instead.
        what: String,
    },
    /// The module does not fit what is asked of it, or an input cannot be used.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// What is stored cannot be read.
    #[error("the stored job `{id}` cannot be read: {reason}")]
    Damaged {
        /// The job.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// The server did not do it; nothing that was stored before is lost.
    #[error("the request to the cluster failed: {reason}")]
    Server {
        /// What it said.
        reason: String,
    },
    /// The engines that are to merge its outcomes here do not start.
    #[error(transparent)]
    Engines(StartError),
    /// A temporary file cannot be written, or an input not be read.
    #[error("cannot write the tasks to a temporary file")]
    Io(#[from] std::io::Error),
}

impl From<BlobError> for DurableError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Io(error) => Self::Io(error),
            error => Self::Server {
                reason: error.to_string(),
            },
        }
    }
}

fn server(error: &(impl std::error::Error + ?Sized)) -> DurableError {
    let mut reason = error.to_string();
    if let Some(source) = error.source()
        && !reason.contains(&source.to_string())
    {
        reason = format!("{reason}: {source}");
    }
    DurableError::Server { reason }
}

fn changed(id: &str) -> DurableError {
    DurableError::Stopped {
        id: id.to_owned(),
        how: "changed",
    }
}

impl DurableJobs {
    /// Connects to a cluster.
    ///
    /// # Errors
    /// When it cannot be reached, refuses, or was not set up.
    pub fn connect(settings: &ConnectSettings) -> Result<Self, ConnectError> {
        Self::connect_as(settings, Role::Client)
    }

    /// The same, to list and show jobs, for which a viewer's key will do. By such a key everything else is refused, and
    /// what came of the tasks cannot be counted.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn look_on(settings: &ConnectSettings) -> Result<Self, ConnectError> {
        let role = settings.key.as_ref().map_or(Role::Client, |key| key.role);
        Self::connect_as(settings, role)
    }

    fn connect_as(settings: &ConnectSettings, role: Role) -> Result<Self, ConnectError> {
        let role = match role {
            Role::Viewer => Role::Viewer,
            _ => Role::Client,
        };
        let runtime = runtime(settings)?;
        let store = runtime.block_on(Store::open(settings, role))?;
        Ok(Self {
            runtime,
            settings: settings.clone(),
            store,
        })
    }
}

impl Store {
    async fn open(settings: &ConnectSettings, role: Role) -> Result<Self, ConnectError> {
        let connection = Connection::to_cluster(settings, role, "rwasm-cluster jobs").await?;
        let missing = |what: &str| {
            ConnectError::Assets(AssetError::Missing {
                what: what.to_owned(),
            })
        };
        let stream = async |name: &'static str| match connection
            .watched(name, connection.js.get_stream(name))
            .await
        {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(_)) => Err(missing(&format!("stream {name}"))),
            Err(denied) => Err(connection.denied(&denied)),
        };
        let tasks = stream(names::TASKS).await?;
        let results = stream(names::RESULTS).await?;
        let jobs = connection
            .js
            .get_key_value(names::JOBS)
            .await
            .map_err(|_| missing(&format!("bucket {}", names::JOBS)))?;
        let blobs = async |bucket: &'static str| {
            Blobs::open(&connection, bucket)
                .await
                .map_err(|_| missing(&format!("object store {bucket}")))
        };
        let (modules, blobs) = (blobs(names::MODULES).await?, blobs(names::BLOBS).await?);
        Ok(Self {
            connection,
            reads_results: role != Role::Viewer,
            tasks,
            results,
            jobs,
            modules,
            blobs,
        })
    }
}
