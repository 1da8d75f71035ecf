//! How the program ends when it does not end well: a message, a hint, an exit code.

mod details;
mod hints;

use crate::text::in_options;
use details::details;
use hints::{UNCALLABLE, files, history_hint, input_hint, others, submit_hint};
#[cfg(feature = "nats")]
use hints::{connect_hint, durable_hint};
#[cfg(feature = "nats")]
use rwasm_cluster::durable::DurableError;
#[cfg(feature = "nats")]
use rwasm_cluster::join::{JoinError, PolicyError};
#[cfg(feature = "nats")]
use rwasm_cluster::nats::{AssetError, ConnectError, KeysError};
use rwasm_cluster::plain;
use rwasm_cluster::plain::{in_line, visible};
use rwasm_cluster::{
    ArgumentSource, Attempt, FailureCode, FunctionError, GrantError, HistoryError, JobError,
    PlanError, SettingError, StartError, SubmitError, TaskError, TaskFailure,
};
use std::error::Error as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// A fault of this program.
const INTERNAL: u8 = 1;
/// The command line or the project file is wrong.
const USAGE: u8 = 2;
/// The module cannot be loaded, or its types do not fit.
const MODULE: u8 = 10;
/// At least one task failed.
const TASK_FAILED: u8 = 11;
/// The merge failed.
const MERGE_FAILED: u8 = 12;
/// The cluster could not start.
const CLUSTER: u8 = 13;
/// An input or output could not be read or written.
const INPUT_OUTPUT: u8 = 14;
/// The user interrupted it: 128 and the signal's number, as shells have it.
const INTERRUPTED: u8 = 130;
/// It was told to terminate.
const TERMINATED: u8 = 143;

/// Every way to end that is not well.
#[derive(Debug)]
pub(crate) enum CliError {
    /// clap's words, with colors if they are wanted and without, and where a wrong value is from.
    Usage {
        rendered: String,
        plain: String,
        origin: Option<String>,
    },
    /// A mistake that only shows when the module is known.
    Wrong { message: String, hint: String },
    /// The project file is wrong.
    Config { path: PathBuf, message: String },
    /// There is no module, since there is no project, or it was not compiled.
    Project {
        message: String,
        hint: Option<String>,
    },
    /// A module cannot be loaded.
    Load(rwasm_cluster::LoadError),
    /// The module has no such function.
    Function(Box<FunctionError>),
    /// The cluster did not start.
    Start(StartError),
    /// There is no cluster, or what belongs to it did not start or cannot be reached.
    #[cfg(feature = "nats")]
    NoCluster {
        message: String,
        /// The last lines that it wrote.
        said: Vec<String>,
        hint: Option<String>,
    },
    /// The cluster cannot be reached.
    #[cfg(feature = "nats")]
    Connect(rwasm_cluster::nats::ConnectError),
    /// The key cannot be used.
    #[cfg(feature = "nats")]
    Key(rwasm_cluster::nats::KeyError),
    /// The cluster is not joined.
    #[cfg(feature = "nats")]
    Join(Box<rwasm_cluster::join::JoinError>),
    /// Something was not done with a durable job.
    #[cfg(feature = "nats")]
    Durable(Box<DurableError>),
    /// Somebody else ended the job that was waited for.
    #[cfg(feature = "nats")]
    Ended { message: String, hint: String },
    /// What tasks may be granted here is not known.
    #[cfg(feature = "nats")]
    Policy(rwasm_cluster::join::PolicyError),
    /// Keys or certificates cannot be made, or public keys not be read.
    #[cfg(feature = "nats")]
    Keys(KeysError),
    /// There is no such configuration of a server.
    #[cfg(feature = "nats")]
    ServerConfig(rwasm_cluster::nats::ServerConfigError),
    /// The job did not begin.
    Submit(SubmitError),
    /// The job failed.
    Job(Arc<JobError>),
    /// A call or a task of a map failed; `failures` is the number of all that failed.
    Task {
        failed: Arc<TaskFailure>,
        failures: u64,
    },
    /// Laws are broken; what they are has been told.
    LawsBroken,
    /// The history has no such job, or cannot be read.
    History(HistoryError),
    /// What was recorded is not there any more, or never was kept.
    Gone { message: String, hint: String },
    /// The result cannot be written in that format.
    Format(String),
    /// The output cannot be written.
    Output {
        what: String,
        source: std::io::Error,
    },
    /// The reader of the output has gone, which is not an error.
    OutputClosed,
    /// A signal ended it.
    Signal(Ending),
    /// A fault of ours.
    Internal(anyhow::Error),
}

/// The signals that end the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Interrupted,
    Terminated,
}

impl Ending {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Interrupted => INTERRUPTED,
            Self::Terminated => TERMINATED,
        }
    }
}

impl CliError {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage { .. }
            | Self::Wrong { .. }
            | Self::Config { .. }
            | Self::Start(StartError::EngineCount { .. }) => USAGE,
            Self::History(error) => match error {
                HistoryError::UnknownJob { .. }
                | HistoryError::RemovedJob { .. }
                | HistoryError::UnknownTask { .. }
                | HistoryError::StillRunning { .. } => USAGE,
                _ => INPUT_OUTPUT,
            },
            #[cfg(feature = "nats")]
            Self::Start(StartError::Connect(error)) | Self::Connect(error) => connect_code(error),
            #[cfg(feature = "nats")]
            Self::Join(error) => match &**error {
                JoinError::Connect(error) => connect_code(error),
                JoinError::Lane(_) | JoinError::Start(StartError::EngineCount { .. }) => USAGE,
                JoinError::Broken => INTERNAL,
                _ => CLUSTER,
            },
            #[cfg(feature = "nats")]
            Self::Durable(error) => durable_code(error),
            #[cfg(feature = "nats")]
            Self::Policy(PolicyError::Invalid { .. }) => USAGE,
            #[cfg(feature = "nats")]
            Self::Key(_) | Self::Policy(_) => INPUT_OUTPUT,
            Self::Start(_) => CLUSTER,
            #[cfg(feature = "nats")]
            Self::NoCluster { .. } => CLUSTER,
            #[cfg(feature = "nats")]
            Self::Keys(error) => match error {
                KeysError::Name { .. }
                | KeysError::Lane { .. }
                | KeysError::LaneOfRole
                | KeysError::Host { .. }
                | KeysError::Validity { .. } => USAGE,
                _ => INPUT_OUTPUT,
            },
            #[cfg(feature = "nats")]
            Self::ServerConfig(_) => USAGE,
            Self::Project { .. } | Self::Load(_) | Self::Function(_) | Self::Format(_) => MODULE,
            Self::LawsBroken => TASK_FAILED,
            #[cfg(feature = "nats")]
            Self::Ended { .. } => TASK_FAILED,
            Self::Submit(error) => submit_code(error),
            Self::Task { failed, .. } => match &failed.failure {
                failure if failure.is_input_error => INPUT_OUTPUT,
                failure if failure.code == FailureCode::Cancelled => INTERRUPTED,
                _ => TASK_FAILED,
            },
            Self::Job(error) => match &**error {
                JobError::TaskFailed { failure, .. } if failure.is_input_error => INPUT_OUTPUT,
                JobError::TaskFailed { .. } | JobError::Deadline(_) => TASK_FAILED,
                JobError::ReducerFailed(_) | JobError::Merge(_) => MERGE_FAILED,
                JobError::Input(_) => INPUT_OUTPUT,
                JobError::Cancelled => INTERRUPTED,
                _ => INTERNAL,
            },
            Self::Output { .. } | Self::Gone { .. } => INPUT_OUTPUT,
            Self::OutputClosed => 0,
            Self::Signal(ending) => ending.code(),
            Self::Internal(_) => INTERNAL,
        }
    }

    /// Says on stderr what went wrong and what to do, and gives the exit code.
    pub(crate) fn report(&self, verbose: bool) -> ExitCode {
        let mut text = String::new();
        match self {
            Self::OutputClosed | Self::Signal(_) | Self::LawsBroken => {}
            Self::Usage {
                rendered, origin, ..
            } => {
                text.push_str(rendered);
                if let Some(origin) = origin {
                    text += &format!("\nhint: {origin}\n");
                }
            }
            _ => {
                // Names and texts in it come from outside; none of them may command a terminal.
                // What is told in several lines cannot be taken for one of ours.
                text += &format!(
                    "error: {}\n",
                    in_options(&self.message()).trim_end().replace('\n', "\n  ")
                );
                for line in self.details() {
                    text += &format!("  {line}\n");
                }
                if let Some(hint) = self.hint() {
                    text += &format!("hint: {hint}\n");
                }
                if verbose {
                    text.push_str(&self.causes());
                }
                text = visible(&text);
            }
        }
        // Where stderr is closed there is nobody to tell.
        let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), text.as_bytes());
        ExitCode::from(self.code())
    }

    /// What went wrong, in a sentence or more.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Usage { plain, .. } => plain.clone(),
            Self::Wrong { message, .. } | Self::Gone { message, .. } | Self::Format(message) => {
                message.clone()
            }
            #[cfg(feature = "nats")]
            Self::NoCluster { message, .. } | Self::Ended { message, .. } => message.clone(),
            #[cfg(feature = "nats")]
            Self::Connect(error) => with_source(error),
            #[cfg(feature = "nats")]
            Self::Key(error) => with_source(error),
            #[cfg(feature = "nats")]
            Self::Durable(error) => with_source(&**error),
            #[cfg(feature = "nats")]
            Self::Join(error) => with_source(&**error),
            #[cfg(feature = "nats")]
            Self::Policy(error) => with_source(error),
            #[cfg(feature = "nats")]
            Self::Keys(error) => with_source(error),
            #[cfg(feature = "nats")]
            Self::ServerConfig(error) => visible(&error.to_string()),
            Self::Project { message, .. } => message.clone(),
            Self::History(error) => visible(&error.to_string()),
            Self::Internal(error) => {
                format!("internal error in rwasm-cluster, please report it: {error:#}")
            }
            Self::Config { path, message } => format!("`{}`: {message}", plain::path(path)),
            Self::Load(error) => with_source(error),
            Self::Function(error) => visible(&error.to_string()),
            Self::Start(error) => with_source(error),
            Self::Submit(error) => with_source(error),
            Self::Job(error) => match &**error {
                JobError::TaskFailed {
                    origin, failure, ..
                } => {
                    format!(
                        "a task failed ({}) on {origin}: {}",
                        failure.code,
                        visible(&failure.message)
                    )
                }
                JobError::ReducerFailed(failure) => {
                    format!(
                        "the reducer failed ({}): {}",
                        failure.code,
                        visible(&failure.message)
                    )
                }
                error => with_source(error),
            },
            Self::Task { failed, .. } => {
                let failure = &failed.failure;
                let place = match (&failed.origin.source, failed.attempts.last()) {
                    (
                        ArgumentSource::Arguments,
                        Some(Attempt {
                            engine: Some(engine),
                            ..
                        }),
                    ) => {
                        format!(
                            "`{}` failed ({}) on engine {engine}",
                            in_line(&failed.function),
                            failure.code
                        )
                    }
                    (ArgumentSource::Arguments, _) => {
                        format!("`{}` failed ({})", in_line(&failed.function), failure.code)
                    }
                    _ => format!("a task failed ({}) on {}", failure.code, failed.origin),
                };
                format!("{place}: {}", visible(&failure.message))
            }
            Self::Output { what, source } => format!("cannot write {what}: {source}"),
            Self::OutputClosed | Self::Signal(_) | Self::LawsBroken => String::new(),
        }
    }

    /// What is known beyond the message: earlier attempts, the guest's own words, where it was.
    fn details(&self) -> Vec<String> {
        match self {
            Self::Job(error) => match &**error {
                JobError::TaskFailed {
                    failure,
                    logs,
                    notes,
                    attempts,
                    ..
                } => details(failure, Some((logs, notes.as_deref())), attempts),
                JobError::ReducerFailed(failure) => details(failure, None, &[]),
                _ => Vec::new(),
            },
            Self::Task { failed, .. } => {
                let told = (&*failed.logs, failed.notes.as_deref());
                details(&failed.failure, Some(told), &failed.attempts)
            }
            #[cfg(feature = "nats")]
            Self::NoCluster { said, .. } => said.clone(),
            _ => Vec::new(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Wrong { hint, .. } | Self::Gone { hint, .. } => Some(hint.clone()),
            #[cfg(feature = "nats")]
            Self::NoCluster { hint, .. } => hint.clone(),
            #[cfg(feature = "nats")]
            Self::Ended { hint, .. } => Some(hint.clone()),
            #[cfg(feature = "nats")]
            Self::Start(StartError::Connect(error)) | Self::Connect(error) => {
                connect_hint(error).map(str::to_owned)
            }
            #[cfg(feature = "nats")]
            Self::Join(error) => match &**error {
                JoinError::Connect(error) => connect_hint(error).map(str::to_owned),
                _ => None,
            },
            #[cfg(feature = "nats")]
            Self::Durable(error) => durable_hint(error),
            #[cfg(feature = "nats")]
            Self::Policy(_) => {
                Some("`rwasm-cluster engine join --help` shows an example".to_owned())
            }
            #[cfg(feature = "nats")]
            Self::Keys(KeysError::Unreadable { path, source })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                let dir = path.parent().unwrap_or(std::path::Path::new("."));
                Some(format!(
                    "create keys with `rwasm-cluster keys --dir {}`, or name their directory with --dir",
                    plain::path(dir)
                ))
            }
            Self::Project { hint, .. } => hint.clone(),
            Self::History(error) => history_hint(error).map(str::to_owned),
            Self::Start(StartError::EngineCount { .. }) => {
                Some("set another number of engines, or omit it to use all cores".to_owned())
            }
            Self::Start(StartError::Threads { engines, source }) => files(*engines, source),
            Self::Start(StartError::Boundary(_)) => Some(
                "`rwasm-cluster doctor` shows what this machine supports; `--boundary thread` runs without workers"
                    .to_owned(),
            ),
            Self::Submit(error) => submit_hint(error),
            Self::Function(error) => match &**error {
                FunctionError::Command { module, .. } => Some(format!(
                    "run it on an input: rwasm-cluster run {module} input.txt"
                )),
                FunctionError::Uncallable { .. } => Some(UNCALLABLE.to_owned()),
                FunctionError::NotFound { name, .. } if name.contains('.') => {
                    Some(UNCALLABLE.to_owned())
                }
                _ => None,
            },
            Self::Job(error) => match &**error {
                JobError::TaskFailed { failures, .. } => others(*failures),
                JobError::Input(error) => input_hint(error).map(str::to_owned),
                _ => None,
            },
            Self::Task { failures, .. } => others(*failures),
            _ => None,
        }
    }

    fn causes(&self) -> String {
        let mut text = String::new();
        let mut cause = match self {
            Self::Load(error) => error.source(),
            Self::Start(error) => error.source(),
            Self::Submit(error) => error.source(),
            Self::Job(error) => error.source(),
            Self::Output { source, .. } => source.source(),
            _ => None,
        };
        while let Some(error) = cause {
            text += &format!("cause: {error}\n");
            cause = error.source();
        }
        text
    }
}

#[cfg(feature = "nats")]
fn connect_code(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Url { .. }
        | ConnectError::Plain { .. }
        | ConnectError::Assets(AssetError::Replicas { .. } | AssetError::Lane { .. }) => USAGE,
        ConnectError::File { .. } => INPUT_OUTPUT,
        _ => CLUSTER,
    }
}

/// The exit code of a job that did not begin.
fn submit_code(error: &SubmitError) -> u8 {
    match error {
        SubmitError::Plan(
            PlanError::Targets(_)
            | PlanError::UnorderedMerge
            | PlanError::ElementsMerge
            | PlanError::RecordsUncut(_)
            | PlanError::NotText { .. }
            | PlanError::ArgumentsForFunction { .. },
        )
        | SubmitError::Targets(_)
        | SubmitError::Arguments { .. } => USAGE,
        SubmitError::Load(_) | SubmitError::Plan(_) => MODULE,
        SubmitError::Input(_)
        | SubmitError::Setting(SettingError::Grant(GrantError::Directory { .. })) => INPUT_OUTPUT,
        SubmitError::Setting(_) => USAGE,
        _ => CLUSTER,
    }
}

#[cfg(feature = "nats")]
fn durable_code(error: &DurableError) -> u8 {
    match error {
        DurableError::Connect(error) => connect_code(error),
        DurableError::Submit(SubmitError::Input(_)) | DurableError::Io(_) => INPUT_OUTPUT,
        DurableError::Submit(_) => MODULE,
        DurableError::Server { .. } | DurableError::Damaged { .. } => CLUSTER,
        DurableError::Stopped { .. } => TASK_FAILED,
        _ => USAGE,
    }
}

/// An error and its direct cause in one line.
pub(crate) fn with_source(error: &(impl std::error::Error + ?Sized)) -> String {
    match error.source() {
        Some(source) if !error.to_string().contains(&source.to_string()) => {
            format!("{}: {source}", visible(&error.to_string()))
        }
        _ => visible(&error.to_string()),
    }
}

impl From<SubmitError> for CliError {
    fn from(error: SubmitError) -> Self {
        Self::Submit(error)
    }
}

impl From<JobError> for CliError {
    fn from(error: JobError) -> Self {
        Self::Job(Arc::new(error))
    }
}

impl From<TaskError> for CliError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Failed(failed) => Self::Task {
                failed,
                failures: 1,
            },
            TaskError::Job(error) => Self::Job(error),
            other => Self::Internal(other.into()),
        }
    }
}
