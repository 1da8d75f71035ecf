//! Stores a job: its id is returned once all of it is stored, and not before.

use super::manifest::{Damage, DurableJob, DurableState, Plan, now_ms};
use super::publish::{put_message, rewound};
use super::same::Witness;
use super::{DurableError, DurableJobs, Store, changed, server};
use crate::backend::{EncodeError, Encoder};
use crate::nats::index::{Index, SourcesWriter};
use crate::nats::wire::{TasksHead, frame, from_now, micros, parse};
use crate::nats::{lanes, names};
use crate::view::{JobSpec, Merge, Pack, Packs, SubmitError, ViewKind};
use async_nats::jetstream::kv::CreateErrorKind;
use bytes::Bytes;
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::input::{Input, InputError};
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::ArgumentSource;
use rwasm_sandbox::sandbox::{DynamicCallable, Module};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::SystemTime;

/// Settings of a durable submission. Start from `default()` and change what should differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DurableSettings {
    /// The job's id; by default a new one. Submitting the same job again under the same id has no effect.
    pub id: Option<String>,
    /// The lane whose engines run the job; `main` by default.
    pub lane: String,
    /// How many engines a task may be given to if each is lost with it; 5 by default.
    pub deliveries: u32,
    /// The format in which the command line prints the result.
    pub format: Option<String>,
}

impl Default for DurableSettings {
    fn default() -> Self {
        Self {
            id: None,
            lane: names::MAIN_LANE.to_owned(),
            deliveries: 5,
            format: None,
        }
    }
}

/// What the tasks of a job are made from.
enum Source<'a> {
    Run {
        module: &'a Module,
        inputs: Vec<Input>,
    },
    Lines {
        function: &'a DynamicCallable,
        name: &'a str,
        lines: Box<dyn Read + Send>,
    },
}

impl DurableJobs {
    /// Stores a run: a function mapped over inputs, whose outcomes are merged by whoever fetches the result. Returns
    /// the job's id once it is stored.
    ///
    /// # Errors
    /// If the module does not fit the job, an input cannot be read, or the server does not store it. Nothing runs
    /// then; submitting again under the same id resumes.
    pub fn submit(
        &self,
        module: &Module,
        inputs: Vec<Input>,
        spec: &JobSpec,
        settings: &DurableSettings,
    ) -> Result<String, DurableError> {
        let source = Source::Run { module, inputs };
        self.runtime
            .block_on(self.store.submit(source, spec, settings))
    }

    /// Stores a map: a function called on each line. Returns the job's id once it is stored.
    ///
    /// # Errors
    /// As for [`Self::submit`].
    pub fn submit_lines(
        &self,
        function: &DynamicCallable,
        name: &str,
        lines: impl Read + Send + 'static,
        spec: &JobSpec,
        settings: &DurableSettings,
    ) -> Result<String, DurableError> {
        let source = Source::Lines {
            function,
            name,
            lines: Box::new(lines),
        };
        self.runtime
            .block_on(self.store.submit(source, spec, settings))
    }
}

impl Store {
    async fn submit(
        &self,
        source: Source<'_>,
        spec: &JobSpec,
        settings: &DurableSettings,
    ) -> Result<String, DurableError> {
        check(spec)?;
        let id = match &settings.id {
            Some(id) if !names::is_token(id) => return Err(DurableError::Id { id: id.clone() }),
            Some(id) => id.clone(),
            None => ulid::Ulid::new().to_string(),
        };
        let (module, kind) = match &source {
            Source::Run { module, .. } => ((*module).clone(), "run"),
            Source::Lines { function, .. } => (function.module().clone(), "map"),
        };
        let function = match &source {
            Source::Run { .. } => spec.map.clone(),
            Source::Lines { function, .. } => Some(function.name().to_owned()),
        };
        let merge = match &source {
            Source::Run { module, .. } => spec
                .merge_for(module)
                .map_err(|error| DurableError::Submit(error.into()))?,
            Source::Lines { .. } => Merge::None,
        };
        let lane = self.connection.settings.lane_for(&settings.lane);
        let job = DurableJob {
            id: id.clone(),
            mark: ulid::Ulid::new().to_string(),
            state: DurableState::Submitting,
            is_stored: false,
            is_retrying: false,
            failed: None,
            kind: kind.to_owned(),
            label: spec.task.label.as_deref().map(str::to_owned),
            module: module.name().to_owned(),
            hash: module.hash().to_string(),
            function,
            merge: merge.to_string(),
            format: settings.format.clone(),
            tasks: 0,
            messages: 0,
            submitted_ms: now_ms(),
            rounds: Vec::new(),
            max_failures: spec.job.max_failures.to_string(),
            lane: lane.clone(),
            priority: spec.task.priority,
        };
        // What can be refused is refused before anything is stored.
        let limits = spec.task.limits.clone().unwrap_or_default();
        let grants = spec.task.grants.clone().unwrap_or_default();
        let packs = packs(source, spec, &limits, &grants)?;
        lanes::check(&self.connection, &lane).await?;
        let (job, revision, file) = match self.begin(job).await? {
            Begun::Anew(job, revision) => {
                let deadline = spec.task.deadline.and_then(from_now);
                self.upload(&module).await?;
                let encoder = self.encoder(&job, settings);
                self.store(job, revision, packs, &encoder, deadline).await?
            }
            Begun::There(there, revision) => {
                let encoder = self.encoder(&there, settings);
                let head_of = |pack: &Pack| encoder.head(&pack.dispatch, None, 1);
                self.check_same(&there, packs, head_of).await?;
                if there.state != DurableState::Submitting {
                    return Ok(id);
                }
                self.upload(&module).await?;
                let file = self.messages(&there).await?;
                (there, revision, file)
            }
        };
        self.give(&job, revision, file).await?;
        Ok(id)
    }

    fn encoder(&self, job: &DurableJob, settings: &DurableSettings) -> Encoder {
        let name = Arc::from(job.name());
        Encoder::new(self.blobs.clone(), name, settings.deliveries)
    }

    /// Records that the job is being stored, or finds the job that has its id.
    async fn begin(&self, job: DurableJob) -> Result<Begun, DurableError> {
        loop {
            let create = self.jobs.create(&job.id, job.to_bytes());
            let created = self.connection.watched(names::JOBS, create).await;
            match created.map_err(|denied| server(&denied))? {
                Ok(revision) => return Ok(Begun::Anew(job, revision)),
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
                Err(error) => return Err(server(&error)),
            }
            let (there, revision) = match self.record(&job.id).await {
                // It was removed just now.
                Err(DurableError::Unknown { .. }) => continue,
                other => other?,
            };
            let function = |job: &DurableJob| job.function.clone().unwrap_or_default();
            let differences = [
                ("kind", there.kind.clone(), job.kind.clone()),
                ("module", there.hash.clone(), job.hash.clone()),
                ("merge", there.merge.clone(), job.merge.clone()),
                ("function", function(&there), function(&job)),
                (
                    "number of tolerated failures",
                    there.max_failures.clone(),
                    job.max_failures.clone(),
                ),
                ("lane", there.lane.clone(), job.lane.clone()),
            ];
            for (what, there, wanted) in differences {
                if there != wanted {
                    return Err(DurableError::Taken {
                        id: job.id,
                        difference: format!("its {what} is {there}, not {wanted}"),
                    });
                }
            }
            if there.is_stored {
                return Ok(Begun::There(there, revision));
            }
            // Whoever was storing it was interrupted, or is overtaken: no engine has anything of it, and it is stored
            // anew, under a mark of its own.
            if let Some(revision) = self.update(&job, revision).await? {
                self.forget(&there).await?;
                return Ok(Begun::Anew(job, revision));
            }
        }
    }

    /// Stores the tasks of a job and records that. If that fails, or the job is no longer wanted, removes what was
    /// stored.
    async fn store(
        &self,
        mut job: DurableJob,
        revision: u64,
        packs: Packs,
        encoder: &Encoder,
        deadline: Option<SystemTime>,
    ) -> Result<(DurableJob, u64, File), DurableError> {
        let error = match self.spool(&job, packs, encoder, deadline).await {
            Ok(spooled) => {
                job.tasks = spooled.index.tasks();
                job.messages = spooled.index.messages().count() as u64;
                job.is_stored = true;
                if let Some(revision) = self.update(&job, revision).await? {
                    return Ok((job, revision, spooled.file));
                }
                let now = self.still_wanted(&job).await;
                now.err().unwrap_or_else(|| changed(&job.id))
            }
            // It goes on where it was, once the server does.
            Err(error @ DurableError::Server { .. }) => return Err(error),
            Err(error) => {
                let remove = self.jobs.purge_expect_revision(&job.id, Some(revision));
                // Where it fails, somebody else has it.
                let _ = self.connection.watched(names::JOBS, remove).await;
                error
            }
        };
        if let Err(error) = self.forget(&job).await {
            tracing::warn!(job = job.id, %error, "cannot remove what was stored for the job; it expires with its retention time");
        }
        Err(error)
    }

    /// Returns the record of a job and its revision.
    ///
    /// # Errors
    /// [`DurableError::Damaged`] if it cannot be read.
    pub(super) async fn record(&self, id: &str) -> Result<(DurableJob, u64), DurableError> {
        let (found, revision) = self.found(id).await?;
        Ok((found.map_err(|damage| *damage)?, revision))
    }

    /// The same, with what is left of a damaged record.
    pub(super) async fn found(
        &self,
        id: &str,
    ) -> Result<(Result<DurableJob, Box<Damage>>, u64), DurableError> {
        if !names::is_token(id) {
            return Err(DurableError::Id { id: id.to_owned() });
        }
        let entry = self.jobs.entry(id.to_owned());
        let entry = self.connection.watched(names::JOBS, entry).await;
        let entry = entry
            .map_err(|denied| server(&denied))?
            .map_err(|error| server(&error))?;
        let entry = entry
            .filter(|entry| entry.operation == async_nats::jetstream::kv::Operation::Put)
            .ok_or_else(|| DurableError::Unknown { id: id.to_owned() })?;
        Ok((DurableJob::parse(id, &entry.value), entry.revision))
    }

    async fn upload(&self, module: &Module) -> Result<(), DurableError> {
        let name = module.hash().to_string();
        self.modules.share(&name, module.bytes()).await?;
        Ok(())
    }

    /// Writes the job's tasks: one object with every message, one with the input of each.
    async fn spool(
        &self,
        job: &DurableJob,
        mut packs: Packs,
        encoder: &Encoder,
        deadline: Option<SystemTime>,
    ) -> Result<Spooled, DurableError> {
        let deadline = deadline.map(micros);
        let mut file = BufWriter::new(tempfile::tempfile()?);
        let mut sources = SourcesWriter::default();
        let mut index = Index::default();
        let mut plan_head = None;
        let witness = Witness::default();
        loop {
            // Reading waits for disks and pipes; nothing else is to be done meanwhile.
            let Some(pack) = packs.next() else { break };
            let mut pack = pack.map_err(|error| DurableError::Submit(error.into()))?;
            let watched = witness.watch(&mut pack.dispatch.tasks);
            watched.map_err(|source| DurableError::Submit(unreadable(&pack.sources, source)))?;
            let number = pack.first.to_string();
            // The job's objects are removed by their names' prefix.
            let mut objects = Vec::new();
            let encoded = encoder.encode(&pack.dispatch, &number, None, 1, &mut objects);
            let message = match encoded.await {
                Ok(message) => message,
                Err(EncodeError::Refused(message, true)) => {
                    let source = std::io::Error::other(message);
                    return Err(DurableError::Submit(unreadable(&pack.sources, source)));
                }
                Err(EncodeError::Refused(what, false)) => {
                    return Err(DurableError::Unsupported { what });
                }
                Err(EncodeError::Blob(error)) => return Err(error.into()),
            };
            let message = with_deadline(&message, deadline)?;
            if plan_head.is_none() {
                let (head, _) = parse::<TasksHead>(&message).map_err(|error| server(&error))?;
                plan_head = Some(TasksHead { body: None, ..head });
            }
            put_message(&mut file, &number, &message)?;
            sources.message(&pack.sources);
            index.add(pack.first, pack.sources.len() as u64);
        }
        let file = rewound(file)?;
        self.blobs
            .put_reader(
                &job.queue_object(),
                Some(file.metadata()?.len()),
                Box::new(file.try_clone()?),
            )
            .await?;
        let plan = Plan {
            head: plan_head,
            input: witness.finish(),
        };
        let plan = frame(&plan, &sources.finish());
        self.blobs.put_bytes(&job.plan_object(), &plan).await?;
        // Both are one open file, which was read to its end.
        let mut file = file;
        file.seek(SeekFrom::Start(0))?;
        Ok(Spooled { file, index })
    }
}

/// The state of a job that is to be submitted.
enum Begun {
    /// Its record says that it is being stored, at this revision.
    Anew(DurableJob, u64),
    /// It was stored before, completely.
    There(DurableJob, u64),
}

/// What was stored of a job.
struct Spooled {
    file: File,
    index: Index,
}

fn with_deadline(message: &Bytes, deadline: Option<u64>) -> Result<Bytes, DurableError> {
    if deadline.is_none() {
        return Ok(message.clone());
    }
    let (head, body) = parse::<TasksHead>(message).map_err(|error| server(&error))?;
    Ok(frame(&TasksHead { deadline, ..head }, &body))
}

fn packs(
    source: Source<'_>,
    spec: &JobSpec,
    limits: &Limits,
    grants: &Grants,
) -> Result<Packs, SubmitError> {
    match source {
        Source::Run { module, inputs } => Packs::of_run(module, inputs, spec, limits, grants),
        Source::Lines {
            function,
            name,
            lines,
        } => Packs::of_lines(function, name, lines, spec, limits, grants),
    }
}

pub(super) fn unreadable(sources: &[ArgumentSource], source: std::io::Error) -> SubmitError {
    let (name, offset) = match sources.first() {
        Some(ArgumentSource::Chunk { input, range }) => (input.to_string(), range.start),
        _ => ("input".to_owned(), 0),
    };
    SubmitError::Input(InputError::Read {
        name,
        offset,
        source,
    })
}

/// Refuses settings that need a submitter who stays.
fn check(spec: &JobSpec) -> Result<(), DurableError> {
    let unsupported = |what: &str| {
        Err(DurableError::Unsupported {
            what: what.to_owned(),
        })
    };
    if spec.view != ViewKind::Balanced {
        return unsupported("engines chosen in advance: they may be gone when it runs");
    }
    if spec.task.retry.retries > 0 {
        return unsupported(
            "automatic retries, since the submitter may be gone: use `job retry` to run failed tasks again",
        );
    }
    if spec.task.queue_timeout.is_some() {
        return unsupported("a queue timeout: set a deadline instead");
    }
    if spec.task.reuse == crate::Reuse::Engine {
        return unsupported("instances kept on engines: set reuse to `dispatch` or `none`");
    }
    Ok(())
}
