//! Durable jobs: stored on the server before their id is returned, run without their submitter, and fetched later
//! from anywhere.
//!
//! `manifest` has the record of a job. `submit` stores a job: first its tasks, so that they can be submitted again
//! after any failure, then the messages for engines, which `publish` sends. `same` tells whether a stored job equals
//! the one submitted, `recall` turns stored outcomes into a run or a map, `manage` lists, cancels and removes jobs,
//! and `retry` runs failed tasks again. Engines know nothing of this: to them a task is a task.

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
pub use submit::DurableSettings;

use crate::cluster::StartError;
use crate::nats::blob::{BlobError, Blobs};
use crate::nats::connect::{ConnectError, ConnectSettings, Connection, runtime};
use crate::nats::{AssetError, Role, names};
use crate::view::SubmitError;
use async_nats::jetstream::kv;
use async_nats::jetstream::stream::Stream;
use rwasm_value::ids::not_a_name;
use tokio::runtime::Runtime;

/// The durable jobs of a cluster over NATS, with the calls to submit, list, fetch, cancel, retry and remove them.
///
/// All methods block the calling thread until the server has answered.
///
/// # Examples
///
/// ```no_run
/// use rwasm_cluster::durable::{DurableSettings, DurableJobs};
/// use rwasm_cluster::nats::ConnectSettings;
/// use rwasm_cluster::{Input, JobSpec, Module};
///
/// let jobs = DurableJobs::connect(&ConnectSettings::new("nats://127.0.0.1:4222"))?;
/// let module = Module::from_file("wordcount.wasm")?;
/// let inputs = vec![Input::path("book.txt")];
/// let id = jobs.submit(&module, inputs, &JobSpec::default(), &DurableSettings::default())?;
/// // Later, and elsewhere:
/// let result = jobs.recall(&id)?.run()?.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DurableJobs {
    runtime: Runtime,
    settings: ConnectSettings,
    pub(self) store: Store,
}

/// The storage of durable jobs on the server.
#[derive(Clone)]
struct Store {
    connection: Connection,
    /// Whether the key may read results, and so count them.
    reads_results: bool,
    tasks: Stream,
    results: Stream,
    jobs: kv::Store,
    modules: Blobs,
    blobs: Blobs,
}

/// Why an operation on a durable job failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DurableError {
    /// The cluster cannot be reached, or rejects the connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No job has this id.
    #[error("the cluster has no job `{id}`")]
    Unknown {
        /// The requested id.
        id: String,
    },
    /// A different job already has this id.
    #[error("the cluster already has a different job `{id}`: {difference}")]
    Taken {
        /// The id.
        id: String,
        /// The first difference, as a clause.
        difference: String,
    },
    /// The text is not a valid job id.
    #[error("{}", not_a_name("job id", id))]
    Id {
        /// The requested id.
        id: String,
    },
    /// Some of its tasks have not ended.
    #[error("the job `{id}` has not ended: {done} of {tasks} tasks are done")]
    Unfinished {
        /// The job.
        id: String,
        /// Tasks with outcomes.
        done: u64,
        /// All tasks.
        tasks: u64,
    },
    /// The job has no task of this index.
    #[error("the job `{id}` has no task {task}: it has {tasks} tasks, numbered from 0")]
    NoTask {
        /// The job.
        id: String,
        /// The requested index, from 0.
        task: u64,
        /// The number of tasks.
        tasks: u64,
    },
    /// A task has no outcome: it waits or runs, or its job was cancelled.
    #[error("task {task} of the job `{id}` has no outcome{}", if *.is_cancelled { ": the job was cancelled first" } else { " yet" })]
    NoOutcome {
        /// The job.
        id: String,
        /// The task's index.
        task: u64,
        /// Whether the job was cancelled, so that there will be no outcome.
        is_cancelled: bool,
    },
    /// Not all of the job was stored.
    #[error("the job `{id}` was only partly submitted: submit it again under the same id")]
    Incomplete {
        /// The job.
        id: String,
    },
    /// Someone else changed the job during this operation.
    #[error(
        "the job `{id}` was {how} by someone else in the meantime; this submission has been withdrawn"
    )]
    Stopped {
        /// The job.
        id: String,
        /// What they did with it.
        how: &'static str,
    },
    /// A setting has no meaning for durable jobs.
    #[error("a durable job cannot have {what}")]
    Unsupported {
        /// The setting, and the alternative.
        what: String,
    },
    /// The module does not fit the job, or an input cannot be used.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The stored form of the job cannot be read.
    #[error("the stored job `{id}` cannot be read: {reason}")]
    Damaged {
        /// The job.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server did not carry out the request; everything stored before is intact.
    #[error("the request to the cluster failed: {reason}")]
    Server {
        /// The server's reason.
        reason: String,
    },
    /// The local engines that merge outcomes cannot be started.
    #[error(transparent)]
    Engines(StartError),
    /// A temporary file cannot be written, or an input cannot be read.
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
    /// Connects to a cluster with a client's or admin's key.
    ///
    /// # Errors
    /// If the cluster cannot be reached, rejects the connection, or is not set up.
    pub fn connect(settings: &ConnectSettings) -> Result<Self, ConnectError> {
        Self::connect_as(settings, Role::Client)
    }

    /// Connects with a viewer's key, which may list and show jobs.
    ///
    /// All other operations are refused, and outcomes cannot be counted.
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
