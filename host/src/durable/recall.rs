//! A run or a map whose outcomes come from storage: the same handles and the same merge as for a running job.

use super::manifest::{DurableJob, DurableState, Plan};
use super::same::{LARGEST_PLAN, indexed};
use super::{DurableError, DurableJobs};
use crate::backend::{NatsSettings, Recalled as Outcomes};
use crate::cluster::{Cluster, ClusterBuilder, StartError};
use crate::nats::index::Index;
use crate::nats::wire::{TasksHead, decode_outcomes, largest_outcomes};
use crate::view::{Job, JobSpec, Map, Merge, ParseMergeError};
use rwasm_sandbox::grants::{Grants, Random};
use rwasm_sandbox::outcome::{ArgumentSource, Outcome};
use rwasm_sandbox::sandbox::{DynamicCallable, Module, value_type};
use rwasm_value::ids::EngineId;
use rwasm_value::value::Value;
use std::sync::Arc;

/// A durable job with everything needed to fetch its result.
///
/// Made by [`DurableJobs::recall`].
pub struct Recalled {
    job: DurableJob,
    module: Module,
    spec: JobSpec,
    sources: Vec<ArgumentSource>,
    outcomes: Arc<Outcomes>,
    cluster: Cluster,
}

/// The stored parts of a job.
struct Opened {
    job: DurableJob,
    module: Module,
    plan: Plan,
    index: Index,
    sources: Vec<ArgumentSource>,
}

impl DurableJobs {
    /// Returns the outcome of one task, by its index from 0: that of its latest attempt.
    ///
    /// # Errors
    /// If there is no such job or task, the task has no outcome, or the stored data cannot be read.
    pub fn outcome(&self, id: &str, task: u64) -> Result<Outcome, DurableError> {
        let Opened {
            job,
            module,
            plan,
            index,
            ..
        } = self.open(id)?;
        let damaged = |reason: String| DurableError::Damaged {
            id: id.to_owned(),
            reason,
        };
        let found = index.find(task).ok_or_else(|| DurableError::NoTask {
            id: id.to_owned(),
            task,
            tasks: index.tasks(),
        })?;
        let ty = match &job.function {
            // A run that names no function: its module's mapper, or a whole program.
            None => {
                let spec = JobSpec {
                    merge: Merge::None,
                    ..JobSpec::default()
                };
                spec.type_for(&module)
                    .map_err(|error| damaged(error.to_string()))?
            }
            Some(name) => {
                let mut functions = module.functions().iter();
                let function = functions.find(|function| function.name == *name);
                value_type(
                    function
                        .ok_or_else(|| damaged(format!("the module has no function `{name}`")))?,
                )
            }
        };
        let count = found.tasks.end - found.tasks.start;
        let limits = plan.head.map(|head| head.limits).unwrap_or_default();
        let largest = largest_outcomes(&limits, count);
        let body = self
            .runtime
            .block_on(self.store.outcomes(&job, &found.number, largest))?;
        let body = body.ok_or_else(|| DurableError::NoOutcome {
            id: id.to_owned(),
            task,
            is_cancelled: job.state == DurableState::Cancelled,
        })?;
        let outcomes =
            decode_outcomes(&body, &ty, count).map_err(|error| damaged(error.to_string()))?;
        let place = usize::try_from(task - found.tasks.start).unwrap_or(usize::MAX);
        let outcome = outcomes.into_iter().nth(place);
        outcome.ok_or_else(|| damaged("a result has fewer tasks than its message".to_owned()))
    }

    /// Fetches a durable job: what is stored now and what still comes.
    ///
    /// If a function of the module merges, it runs on engines of this process, so that no others need exist; only a
    /// reducer with grants runs where the job's tasks ran.
    ///
    /// # Errors
    /// If there is no such job, or the stored data cannot be read.
    pub fn recall(&self, id: &str) -> Result<Recalled, DurableError> {
        self.recall_by(id, Cluster::builder())
    }

    /// Like [`recall`](Self::recall), with the engines that merge built by `engines`.
    ///
    /// # Errors
    /// As [`recall`](Self::recall); also if the engines do not start.
    pub fn recall_by(&self, id: &str, engines: ClusterBuilder) -> Result<Recalled, DurableError> {
        let Opened {
            job,
            module,
            plan,
            index,
            sources,
        } = self.open(id)?;
        let damaged = |reason: String| DurableError::Damaged {
            id: id.to_owned(),
            reason,
        };
        let mut spec = JobSpec::default();
        spec.map.clone_from(&job.function);
        let merge = job.merge.parse();
        spec.merge = merge.map_err(|error: ParseMergeError| damaged(error.to_string()))?;
        spec.job.max_failures = job.tolerance();
        spec.task.label = job.label.as_deref().map(Arc::from);
        spec.task.priority = job.priority;
        if let Some(head) = plan.head {
            spec.task.deterministic = head.deterministic;
            spec.task.limits = Some(head.limits.clone());
            spec.task.grants = Some(grants(&head).map_err(damaged)?);
            spec.ok_exit = head.ok_exit;
            // The program's own name goes before them.
            let mut arguments = head.arguments.into_iter();
            spec.argv0 = arguments.next();
            spec.arguments = arguments.collect();
        }
        let outcomes = Arc::new(Outcomes::new(&job.name(), index, is_over(&job)));
        if job.state == DurableState::Cancelled {
            outcomes.cancelled();
        }
        let remote = NatsSettings {
            connect: self.settings.clone(),
            lane: job.lane.clone(),
            recalled: Some(Arc::clone(&outcomes)),
            ..NatsSettings::default()
        };
        let is_granted_nothing = spec.task.grants.as_ref().is_none_or(|grants| {
            grants.dirs.is_empty() && grants.env.is_empty() && grants.net.is_empty()
        });
        let merges_here = job.kind == "run"
            && is_granted_nothing
            && matches!(spec.merge_for(&module), Ok(Merge::Reducer(_)));
        let cluster = Cluster::recalling(engines, remote, merges_here);
        let cluster = cluster.map_err(|error| match error {
            StartError::Connect(error) => DurableError::Connect(error),
            error => DurableError::Engines(error),
        })?;
        Ok(Recalled {
            job,
            module,
            spec,
            sources,
            outcomes,
            cluster,
        })
    }

    /// Reads what is stored of a job.
    fn open(&self, id: &str) -> Result<Opened, DurableError> {
        let (job, _) = self.runtime.block_on(self.store.record(id))?;
        if !job.is_stored || job.state == DurableState::Submitting {
            return Err(DurableError::Incomplete { id: id.to_owned() });
        }
        let ((plan, sources), module) = self.runtime.block_on(async {
            let plan = self.store.plan(&job).await?;
            let module = self.store.modules.get(&job.hash, LARGEST_PLAN).await?;
            Ok::<_, DurableError>((plan, module))
        })?;
        let damaged = |reason: String| DurableError::Damaged {
            id: id.to_owned(),
            reason,
        };
        let (index, sources) = indexed(&job, &sources)?;
        let mut limits = rwasm_sandbox::limits::Limits::default();
        if let Some(head) = &plan.head {
            limits.clone_from(&head.limits);
        }
        let module = Module::from_bytes_within(job.module.clone(), module, &limits)
            .map_err(|error| damaged(error.to_string()))?;
        if module.hash().to_string() != job.hash {
            return Err(damaged("the stored module is a different one".to_owned()));
        }
        Ok(Opened {
            job,
            module,
            plan,
            index,
            sources,
        })
    }
}

/// Returns a function that tells from a job's record, if there is one, whether missing outcomes will never be stored.
fn is_over(job: &DurableJob) -> impl Fn(Option<&[u8]>) -> bool + Send + Sync + 'static {
    let (id, mark) = (job.id.clone(), job.mark.clone());
    move |record: Option<&[u8]>| {
        let job = record.and_then(|record| DurableJob::parse(&id, record).ok());
        job.is_none_or(|job| job.mark != mark || job.state == DurableState::Cancelled)
    }
}

fn grants(head: &TasksHead) -> Result<Grants, String> {
    let mut grants = Grants::none();
    for dir in &head.dirs {
        let dir: rwasm_sandbox::grants::DirGrant =
            dir.parse().map_err(|error| format!("{error}"))?;
        grants = grants.dir(dir.host, dir.guest, dir.access);
    }
    for peer in &head.net {
        grants = grants.net(peer.parse().map_err(|error| format!("{error}"))?);
    }
    for (name, value) in &head.env {
        grants = grants.env(name, value);
    }
    grants = grants.clock(head.clock.parse().map_err(|error| format!("{error}"))?);
    if let Some(seed) = head.seed {
        grants = grants.random(Random::Seeded(seed));
    }
    Ok(grants)
}

impl Recalled {
    /// Returns the record of the job.
    #[must_use]
    pub fn job(&self) -> &DurableJob {
        &self.job
    }

    /// Returns its module.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Returns its spec, as submitted.
    #[must_use]
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// Returns the engines that can run the remaining tasks.
    #[must_use]
    pub fn engines(&self) -> Vec<EngineId> {
        self.cluster.engines()
    }

    /// Returns the function of a map.
    ///
    /// # Errors
    /// If the job is a run.
    pub fn function(&self) -> Result<DynamicCallable, DurableError> {
        let name = self.job.function.as_deref().unwrap_or_default();
        self.module
            .dynamic_function(name)
            .map_err(|error| DurableError::Damaged {
                id: self.job.id.clone(),
                reason: error.to_string(),
            })
    }

    /// Starts a run, whose outcomes are merged as its spec says; a reducer of the module runs on the cluster's
    /// engines.
    ///
    /// # Errors
    /// If the job is a map.
    pub fn run(&self) -> Result<Job, DurableError> {
        self.run_as(&self.spec)
    }

    /// Like [`run`](Self::run), with the merge that `spec` names.
    ///
    /// # Errors
    /// If that merge does not fit the module.
    pub fn run_as(&self, spec: &JobSpec) -> Result<Job, DurableError> {
        let sources = self.sources.clone().into_iter();
        let total = self.sources.len() as u64;
        let core = self.cluster.core();
        Ok(core.recall_run(&self.module, spec, sources, total)?)
    }

    /// Starts a map, which gives the value of each task.
    ///
    /// # Errors
    /// If the job is a run.
    pub fn map(&self) -> Result<Map<Value>, DurableError> {
        let function = self.function()?;
        let sources = self.sources.clone().into_iter();
        let total = self.sources.len() as u64;
        let core = self.cluster.core();
        let (task, job) = (self.spec.task.clone(), self.spec.job.clone());
        Ok(core.recall_map(&function, task, job, sources, total)?)
    }

    /// Stops waiting for outcomes that are not stored, because the job was cancelled.
    pub fn stop_waiting(&self) {
        self.outcomes.cancelled();
    }
}
