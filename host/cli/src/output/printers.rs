//! How the outcomes of a job are printed: those of a run at the end or as they come, those of a map a line each.

use super::messages::warn;
use super::results::Output;
use crate::exit::CliError;
use crate::text::{counted, in_options};
use anyhow::Context as _;
use rwasm_cluster::format::Format;
use rwasm_cluster::{
    Builtin, Elements, Failure, Job, JobError, JobResult, JobSpec, Map, Merge, Module, Origin,
    Packed, TaskError, TaskFailure, Type, Value,
};
use std::sync::Arc;

/// How the results of a run are printed: all at the end, or as they come.
#[derive(Clone, Copy)]
pub(crate) struct RunFormat {
    format: Format,
    is_streaming: bool,
    /// `none`: each outcome is a record of its own.
    is_records: bool,
}

impl RunFormat {
    pub(crate) fn new(format: Option<Format>, merge: &Merge) -> Self {
        let is_records = *merge == Merge::None;
        let default = if is_records {
            Format::Jsonl
        } else {
            Format::Text
        };
        let format = format.unwrap_or(default);
        // Joined values are the same printed one by one, but for documents with a beginning and
        // an end.
        let joins = merge.builtin() == Some(Builtin::Concat)
            && !matches!(format, Format::Json | Format::Wave);
        Self {
            format,
            is_streaming: is_records || joins,
            is_records,
        }
    }

    /// Refuses a format that cannot write what the job gives.
    pub(crate) fn check(self, spec: &JobSpec, module: &Module) -> Result<(), CliError> {
        if self.format != Format::Raw {
            return Ok(());
        }
        let ty = spec
            .type_for(module)
            .map_err(|error| CliError::Submit(error.into()))?;
        check_format(self.format, Some(&ty))
    }

    /// A job that gives its outcomes as they are printed, and remembers how.
    pub(crate) fn applied_to(self, mut spec: JobSpec) -> JobSpec {
        spec.task.memo = memo(self.format);
        spec.streamed = self.is_streaming;
        spec
    }

    /// Whether results are printed as they come.
    pub(crate) fn is_streaming(self) -> bool {
        self.is_streaming
    }

    /// The format of one outcome that is printed as it comes.
    pub(crate) fn of_record(self) -> Format {
        match self.format {
            // A record is one line, whatever it holds.
            Format::Jsonl if self.is_records => Format::Json,
            format => format,
        }
    }

    /// What is to be warned of when all is done.
    fn warnings(self, result: &JobResult) -> Vec<String> {
        let mut warnings = self.failures(result);
        if result.grown_inputs > 0 {
            warnings.push(format!(
                "{} became longer while the job ran; what was added is not in the result",
                counted(result.grown_inputs, "input")
            ));
        }
        warnings
    }

    fn failures(self, result: &JobResult) -> Vec<String> {
        if result.failures == 0 {
            return Vec::new();
        }
        // Where outcomes were printed as they came, so were the failures among them.
        let unprinted = if self.is_streaming {
            &[]
        } else {
            result.failed.as_slice()
        };
        let mut warnings: Vec<String> = unprinted
            .iter()
            .map(|(origin, failure)| failed_task(origin, failure))
            .collect();
        warnings.push(format!(
            "{} of {} tasks failed and are missing from the result",
            result.failures, result.stats.chunks
        ));
        warnings
    }
}

/// What a job remembers of how it is printed, for `job result`.
pub(crate) fn memo(format: Format) -> serde_json::Value {
    serde_json::json!({ "format": format.name() })
}

/// Refuses a format that cannot write values of this type.
pub(crate) fn check_format(format: Format, ty: Option<&Type>) -> Result<(), CliError> {
    let is_text = |ty: &Type| *ty == Type::String || ty.is_bytes();
    match ty {
        _ if format != Format::Raw => Ok(()),
        None => Ok(()),
        Some(ty) if is_text(ty) => Ok(()),
        Some(Type::List(element)) if is_text(element) => Ok(()),
        Some(ty) => Err(CliError::Format(format!(
            "the format raw writes only strings and bytes, but the result is {ty}"
        ))),
    }
}

/// Where and how the results of a run are printed.
pub(crate) struct RunPrinter {
    pub(crate) output: Output,
    pub(crate) format: RunFormat,
    pub(crate) is_quiet: bool,
}

impl RunPrinter {
    /// Prints what the job gives; what is to be warned of at its end comes with its result.
    pub(crate) fn all(mut self, mut job: Job) -> Result<(JobResult, Vec<String>), CliError> {
        loop {
            let mut next = job.try_next_outcome();
            if next.is_none() {
                // Whoever reads along has all there is before the next is waited for.
                self.output.flush()?;
                next = job.next_outcome();
            }
            let Some((origin, outcome)) = next else { break };
            match outcome.result {
                Ok(value) => {
                    let value = unpacked(&value)?;
                    self.output.value(&value, self.format.of_record())?;
                }
                Err(failure) if !self.is_quiet => warn(&failed_task(&origin, &failure)),
                Err(_) => {}
            }
        }
        let result = match job.wait() {
            Ok(result) => result,
            Err(error @ JobError::TaskFailed { .. }) if self.format.is_streaming => {
                // What came before the failure is good, and is printed.
                self.output.flush()?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(merged) = &result.merged {
            self.output.value(&unpacked(merged)?, self.format.format)?;
        }
        self.output.complete()?;
        let warnings = if self.is_quiet {
            Vec::new()
        } else {
            self.format.warnings(&result)
        };
        Ok((result, warnings))
    }
}

/// Reports a failed task that the job tolerates.
pub(crate) fn failed_task(origin: &Origin, failure: &Failure) -> String {
    let mut text = format!(
        "a task failed ({}) on {origin}: {}",
        failure.code,
        in_options(&failure.message)
    );
    if let Some(line) = &failure.last_line {
        text += &format!(" (stderr ends in `{line}`)");
    }
    text
}

/// A value that a job gave.
pub(crate) fn unpacked(value: &Packed) -> Result<Value, CliError> {
    value
        .unpack()
        .context("a result of the job cannot be unpacked")
        .map_err(CliError::Internal)
}

/// Where and how the results of a map are printed.
pub(crate) struct MapPrinter {
    pub(crate) output: Output,
    pub(crate) format: Format,
    pub(crate) is_quiet: bool,
}

impl MapPrinter {
    /// Prints all results as they come, up to a failure that is not tolerated.
    pub(crate) fn all(mut self, map: &mut Map<Value>) -> Result<(), CliError> {
        loop {
            let mut next = map.try_next_outcome();
            if next.is_none() {
                // Whoever reads along has all there is before the next is waited for.
                self.output.flush()?;
                next = map.next_outcome();
            }
            let Some((_, outcome)) = next else { break };
            match outcome {
                Ok(value) => self.output.record(&value, self.format)?,
                Err(error) => match (error, map.error()) {
                    (TaskError::Failed(failed), None) => {
                        tolerated(&mut self.output, self.format, self.is_quiet, &failed)?;
                    }
                    (error, ended) => {
                        // What came before the failure is good, and is printed.
                        self.output.flush()?;
                        return Err(ending(error, ended));
                    }
                },
            }
        }
        self.output.complete()
    }
}

/// Where and how the elements of results are printed.
pub(crate) struct ElementPrinter {
    pub(crate) output: Output,
    pub(crate) format: Format,
    pub(crate) is_quiet: bool,
}

impl ElementPrinter {
    /// Prints all elements as they come, up to a failure that is not tolerated.
    pub(crate) fn all(mut self, elements: &mut Elements<Value>) -> Result<(), CliError> {
        // A call is one task, whose failure nobody tolerates.
        let is_call = elements.progress().is_none();
        // The pieces of a stream of bytes are no lines.
        let are_pieces = elements.are_pieces() && matches!(self.format, Format::Text | Format::Raw);
        loop {
            let mut next = elements.try_next_element();
            if next.is_none() {
                // Whoever reads along has all there is before the next is waited for.
                self.output.flush()?;
                next = elements.next_element();
            }
            let Some((_, element)) = next else { break };
            match element {
                Ok(value) if are_pieces => self.output.value(&value, self.format)?,
                Ok(value) => self.output.record(&value, self.format)?,
                Err(error) => match (error, elements.error()) {
                    (TaskError::Failed(failed), None) if !is_call => {
                        tolerated(&mut self.output, self.format, self.is_quiet, &failed)?;
                    }
                    (error, ended) => {
                        // What came before the failure is good, and is printed.
                        self.output.flush()?;
                        return Err(ending(error, ended));
                    }
                },
            }
        }
        self.output.complete()
    }
}

/// A tolerated failure stands in its place, where the format has a way to say so.
fn tolerated(
    output: &mut Output,
    format: Format,
    is_quiet: bool,
    failed: &Arc<TaskFailure>,
) -> Result<(), CliError> {
    let failure = &failed.failure;
    if matches!(format, Format::Json | Format::Jsonl) {
        let mut said = vec![
            ("code".into(), failure.code.name().to_owned().into()),
            (
                "message".into(),
                in_options(&failure.message).into_owned().into(),
            ),
        ];
        if let Some(line) = &failure.last_line {
            said.push(("last_line".into(), line.to_string().into()));
        }
        let record = Value::Record(vec![("error".into(), Value::Record(said))]);
        return output.value(&record, Format::Json);
    }
    if !is_quiet {
        warn(&failed_task(&failed.origin, failure));
    }
    Ok(())
}

/// The error that ended the map.
fn ending(error: TaskError, ended: Option<&JobError>) -> CliError {
    match (error, ended) {
        (TaskError::Failed(failed), Some(JobError::TaskFailed { failures, .. })) => {
            CliError::Task {
                failed,
                failures: *failures,
            }
        }
        (error, _) => error.into(),
    }
}
