//! Storing a job: its id is told when all of it is stored, and not before.

use super::manifest::{DurableJob, DurableState, Plan, now_ms};
use super::{DurableError, DurableJobs, Store, server};
use crate::backend::{EncodeError, Encoder};
use crate::grants::Grants;
use crate::input::{Input, InputError};
use crate::limits::Limits;
use crate::nats::index::{Index, PlacesWriter};
use crate::nats::names::{self, Class};
use crate::nats::wire::{TasksHead, frame, micros, parse};
use crate::outcome::Place;
use crate::sandbox::{DynamicCallable, Module};
use crate::value::Writer;
use crate::view::{JobSpec, Merge, Packs, SubmitError, ViewKind};
use async_nats::HeaderMap;
use async_nats::jetstream::kv::{CreateErrorKind, UpdateErrorKind};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How a durable job is submitted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DetachSettings {
    /// Its id: submitting it a second time under the same id does nothing. By default one that nobody has.
    pub id: Option<String>,
    /// The lane whose engines run it.
    pub lane: String,
    /// To how many engines a task is given that dies with each.
    pub deliveries: u32,
    /// What the command line is to print it as.
    pub format: Option<String>,
}

impl Default for DetachSettings {
    fn default() -> Self {
        Self {
            id: None,
            lane: names::MAIN_LANE.to_owned(),
            deliveries: 5,
            format: None,
        }
    }
}

/// Messages that are published and not acknowledged, at most.
const UNACKED: usize = 200;

/// What the tasks of a job are made of.
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
    /// Stores a run: a function mapped over inputs, and merged by whoever asks for the result. Comes back with its id when
    /// it is stored.
    ///
    /// # Errors
    /// When the module does not fit, an input cannot be read, or the server does not store it; nothing runs then, or what
    /// was stored goes on when it is submitted again under the same id.
    pub fn submit(
        &self,
        module: &Module,
        inputs: Vec<Input>,
        spec: &JobSpec,
        settings: &DetachSettings,
    ) -> Result<String, DurableError> {
        let source = Source::Run { module, inputs };
        self.runtime
            .block_on(self.store.submit(source, spec, settings))
    }

    /// Stores a map: a function called on each line.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub fn submit_lines(
        &self,
        function: &DynamicCallable,
        name: &str,
        lines: impl Read + Send + 'static,
        spec: &JobSpec,
        settings: &DetachSettings,
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
        settings: &DetachSettings,
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
        let mut job = DurableJob {
            id: id.clone(),
            state: DurableState::Submitting,
            kind: kind.to_owned(),
            label: spec.label.clone(),
            module: module.name().to_owned(),
            hash: module.hash().to_string(),
            function,
            merge: merge_name(&merge),
            format: settings.format.clone(),
            tasks: 0,
            messages: 0,
            submitted_ms: now_ms(),
            rounds: Vec::new(),
            max_failures: spec.max_failures.to_string(),
            lane: settings.lane.clone(),
            priority: spec.priority,
        };
        // What can be refused is refused before anything is stored.
        let limits = spec.limits.clone().unwrap_or_default();
        let grants = spec.grants.clone().unwrap_or_default();
        let packs = packs(source, spec, &limits, &grants)?;
        crate::nats::lanes::check(&self.connection, &settings.lane).await?;
        let Some(revision) = self.begin(&job).await? else {
            return Ok(id);
        };
        self.upload(&module).await?;
        let spooled = self.spool(&id, packs, spec, settings, &merge).await?;
        job.tasks = spooled.index.tasks();
        job.messages = spooled.index.messages().count() as u64;
        let revision = self.put(&job, revision).await?;
        self.publish_all(&job, spooled.file).await?;
        job.state = DurableState::Queued;
        self.put(&job, revision).await?;
        Ok(id)
    }

    /// Says that the job is being stored; none where it is stored already.
    async fn begin(&self, job: &DurableJob) -> Result<Option<u64>, DurableError> {
        let value = record(job);
        let create = self.jobs.create(&job.id, value.clone());
        let created = self.connection.watched(names::JOBS, create).await;
        match created.map_err(|denied| server(&denied))? {
            Ok(revision) => return Ok(Some(revision)),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
            Err(error) => return Err(server(&error)),
        }
        let (there, revision) = self.record(&job.id).await?;
        let differences = [
            ("kind", &there.kind, &job.kind),
            ("module", &there.hash, &job.hash),
            ("merge", &there.merge, &job.merge),
        ];
        for (what, there, wanted) in differences {
            if there != wanted {
                return Err(DurableError::Taken {
                    id: job.id.clone(),
                    difference: format!("its {what} is {there}, and {wanted} is to be submitted"),
                });
            }
        }
        if there.function != job.function {
            return Err(DurableError::Taken {
                id: job.id.clone(),
                difference: "it calls another function".to_owned(),
            });
        }
        match there.state {
            // Whoever stored it was interrupted: it is done again, under the same names.
            DurableState::Submitting => Ok(Some(self.put(job, revision).await?)),
            _ => Ok(None),
        }
    }

    pub(super) async fn put(&self, job: &DurableJob, revision: u64) -> Result<u64, DurableError> {
        let update = self.jobs.update(&job.id, record(job), revision);
        match self.connection.watched(names::JOBS, update).await {
            Ok(Ok(revision)) => Ok(revision),
            Ok(Err(error)) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                Err(DurableError::Server {
                    reason: format!("the job `{}` is changed by somebody else", job.id),
                })
            }
            Ok(Err(error)) => Err(server(&error)),
            Err(denied) => Err(server(&denied)),
        }
    }

    pub(super) async fn record(&self, id: &str) -> Result<(DurableJob, u64), DurableError> {
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
        let job = serde_json::from_slice(&entry.value).map_err(|error| DurableError::Damaged {
            id: id.to_owned(),
            reason: error.to_string(),
        })?;
        Ok((job, entry.revision))
    }

    async fn upload(&self, module: &Module) -> Result<(), DurableError> {
        let name = module.hash().to_string();
        if !self.modules.has(&name).await? {
            self.modules.put_bytes(&name, module.bytes()).await?;
        }
        Ok(())
    }

    /// Stores what the job's tasks are: one object with every message, one with what each works on.
    async fn spool(
        &self,
        id: &str,
        mut packs: Packs,
        spec: &JobSpec,
        settings: &DetachSettings,
        merge: &Merge,
    ) -> Result<Spooled, DurableError> {
        let encoder = Encoder::new(self.blobs.clone(), Arc::from(id), settings.deliveries);
        let deadline = spec
            .deadline
            .map(|deadline| micros(SystemTime::now() + deadline));
        let mut file = BufWriter::new(tempfile::tempfile()?);
        let mut places = PlacesWriter::default();
        let mut index = Index::default();
        let mut plan = None;
        loop {
            // Reading waits for disks and pipes; nothing else is to be done meanwhile.
            let Some(pack) = packs.next() else { break };
            let pack = pack.map_err(|error| DurableError::Submit(error.into()))?;
            let number = pack.first.to_string();
            let encoded = encoder.encode(&pack.dispatch, &number, None, 1).await;
            let message = match encoded {
                Ok(encoded) => encoded.message,
                Err(EncodeError::Refused(message, true)) => {
                    let source = std::io::Error::other(message);
                    return Err(DurableError::Submit(unreadable(&pack.places, source)));
                }
                Err(EncodeError::Refused(what, false)) => {
                    return Err(DurableError::Unsupported { what });
                }
                Err(EncodeError::Blob(error)) => return Err(error.into()),
            };
            let message = with_deadline(&message, deadline)?;
            if plan.is_none() {
                let (head, _) = parse::<TasksHead>(&message).map_err(|error| server(&error))?;
                plan = Some(Plan {
                    head: TasksHead { body: None, ..head },
                    merge: merge_name(merge),
                });
            }
            let mut framed = Writer::default();
            framed.put_bytes(number.as_bytes());
            framed.put_bytes(&message);
            file.write_all(&framed.into_vec())?;
            places.message(&pack.places);
            index.add(pack.first, pack.places.len() as u64);
        }
        let mut file = file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        self.blobs
            .put_reader(&queue_object(id), Box::new(file.try_clone()?))
            .await?;
        let plan = frame(&plan, &places.finish());
        self.blobs.put_bytes(&plan_object(id), &plan).await?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Spooled { file, index })
    }

    /// Gives every message to engines that has no result yet.
    async fn publish_all(&self, job: &DurableJob, file: File) -> Result<(), DurableError> {
        let stored = self.stored(&job.id).await?;
        let mut messages = Messages::new(file);
        let mut acks = FuturesUnordered::new();
        while let Some((number, message)) = messages.next()? {
            if stored.contains_key(&number) {
                continue;
            }
            acks.push(self.publish(job, number, message));
            while acks.len() >= UNACKED {
                if let Some(acked) = acks.next().await {
                    acked?;
                }
            }
        }
        while let Some(acked) = acks.next().await {
            acked?;
        }
        Ok(())
    }

    /// Gives a message to engines; comes back when it is stored.
    pub(super) async fn publish(
        &self,
        job: &DurableJob,
        number: String,
        message: Bytes,
    ) -> Result<(), DurableError> {
        const TRIES: u32 = 20;
        let subject = names::task(&job.lane, Class::of(job.priority), &job.id, &number);
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{}/{number}", job.id));
        let mut pause = Duration::from_millis(100);
        let mut tries = 0;
        loop {
            let publish = async {
                self.connection
                    .js
                    .publish_with_headers(subject.clone(), headers.clone(), message.clone())
                    .await?
                    .await
            };
            let error = match self.connection.watched("rwc.t.", publish).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => server(&error),
                Err(denied) => return Err(server(&denied)),
            };
            tries += 1;
            if tries == TRIES {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}

/// What was stored of a job.
struct Spooled {
    file: File,
    index: Index,
}

/// The messages of a job, read one after the other.
pub(super) struct Messages(BufReader<File>);

impl Messages {
    pub(super) fn new(file: File) -> Self {
        Self(BufReader::new(file))
    }

    pub(super) fn next(&mut self) -> std::io::Result<Option<(String, Bytes)>> {
        let Some(number) = self.bytes(1024)? else {
            return Ok(None);
        };
        let number = String::from_utf8(number).map_err(std::io::Error::other)?;
        let message = self.bytes(1 << 30)?;
        let message = message.ok_or_else(|| std::io::Error::other("a message is cut off"))?;
        Ok(Some((number, message.into())))
    }

    fn bytes(&mut self, most: u64) -> std::io::Result<Option<Vec<u8>>> {
        let mut length = 0_u64;
        let mut shift = 0;
        loop {
            let mut byte = [0];
            if self.0.read(&mut byte)? == 0 {
                return Ok(None);
            }
            length |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                break;
            }
            shift += 7;
            if shift > 35 {
                return Err(std::io::Error::other("a length is none"));
            }
        }
        if length > most {
            return Err(std::io::Error::other("a message is longer than any is"));
        }
        let mut bytes = Vec::new();
        (&mut self.0).take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(std::io::Error::other("a message is cut off"));
        }
        Ok(Some(bytes))
    }
}

pub(super) fn queue_object(id: &str) -> String {
    format!("q/{id}")
}

pub(super) fn plan_object(id: &str) -> String {
    format!("p/{id}")
}

/// Names of merges, in a form that can be read again.
fn merge_name(merge: &Merge) -> String {
    match merge {
        Merge::Default => "default".to_owned(),
        Merge::Reducer(name) => format!("reducer:{name}"),
        Merge::Collect => "collect".to_owned(),
        Merge::Concat => "concat".to_owned(),
        Merge::Sum => "sum".to_owned(),
        Merge::Min => "min".to_owned(),
        Merge::Max => "max".to_owned(),
        Merge::Count => "count".to_owned(),
        Merge::None => "none".to_owned(),
    }
}

pub(super) fn merge_named(name: &str) -> Option<Merge> {
    Some(match name {
        "default" => Merge::Default,
        "collect" => Merge::Collect,
        "concat" => Merge::Concat,
        "sum" => Merge::Sum,
        "min" => Merge::Min,
        "max" => Merge::Max,
        "count" => Merge::Count,
        "none" => Merge::None,
        other => Merge::Reducer(other.strip_prefix("reducer:")?.to_owned()),
    })
}

fn record(job: &DurableJob) -> Bytes {
    // Of strings and numbers, which always can be written.
    serde_json::to_vec(job).unwrap_or_default().into()
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

fn unreadable(places: &[Place], source: std::io::Error) -> SubmitError {
    let (name, offset) = match places.first() {
        Some(Place::Chunk { input, range }) => (input.to_string(), range.start),
        _ => ("input".to_owned(), 0),
    };
    SubmitError::Input(InputError::Read {
        name,
        offset,
        source,
    })
}

/// Refuses what nobody would be there to do.
fn check(spec: &JobSpec) -> Result<(), DurableError> {
    let unsupported = |what: &str| {
        Err(DurableError::Unsupported {
            what: what.to_owned(),
        })
    };
    if spec.view != ViewKind::Balanced {
        return unsupported("engines that are named beforehand: they may be gone when it runs");
    }
    if spec.retry.retries > 0 {
        return unsupported(
            "retries by whoever submitted it, who may be gone: `job retry` runs failed tasks again",
        );
    }
    if spec.queue_timeout.is_some() {
        return unsupported("a time in the queue: a deadline says by when it is of use");
    }
    if spec.reuse == crate::Reuse::Engine {
        return unsupported("instances that are kept on engines: use `dispatch`, or none");
    }
    Ok(())
}
