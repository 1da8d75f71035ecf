//! How the program ends when it does not end well: a message, a hint, an exit code.

use rwasm_cluster::{InputError, JobError, PlanError, StartError, SubmitError};
use std::error::Error as _;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

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
    /// clap's words, with and without colours, and the project file if a value is from there.
    Usage {
        rendered: String,
        plain: String,
        file: Option<PathBuf>,
    },
    /// A mistake that only shows when the module is known.
    Wrong { message: String, hint: String },
    /// The project file is wrong.
    Config { path: PathBuf, message: String },
    /// A module cannot be loaded.
    Load(rwasm_cluster::LoadError),
    /// The cluster did not start.
    Start(StartError),
    /// The job did not begin.
    Submit(SubmitError),
    /// The job failed.
    Job(JobError),
    /// The result cannot be written in that format.
    Format(String),
    /// The output cannot be written.
    Output {
        what: String,
        source: std::io::Error,
    },
    /// Whoever read the output has gone: that is no error.
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
    fn code(&self) -> u8 {
        match self {
            Self::Usage { .. }
            | Self::Wrong { .. }
            | Self::Config { .. }
            | Self::Start(StartError::EngineCount { .. }) => USAGE,
            Self::Start(_) => CLUSTER,
            Self::Load(_) | Self::Format(_) => MODULE,
            Self::Submit(error) => match error {
                SubmitError::Plan(
                    PlanError::NoSuchEngine { .. } | PlanError::ArgumentsForFunction { .. },
                ) => USAGE,
                SubmitError::Load(_) | SubmitError::Plan(_) => MODULE,
                SubmitError::Input(_) => INPUT_OUTPUT,
                _ => CLUSTER,
            },
            Self::Job(error) => match error {
                JobError::TaskFailed { failure, .. } if failure.is_input_error => INPUT_OUTPUT,
                JobError::TaskFailed { .. } | JobError::Deadline(_) => TASK_FAILED,
                JobError::ReducerFailed(_) | JobError::Merge(_) => MERGE_FAILED,
                JobError::Input(_) => INPUT_OUTPUT,
                JobError::Cancelled => INTERRUPTED,
                _ => INTERNAL,
            },
            Self::Output { .. } => INPUT_OUTPUT,
            Self::OutputClosed => 0,
            Self::Signal(ending) => ending.code(),
            Self::Internal(_) => INTERNAL,
        }
    }

    /// Says on stderr what went wrong and what to do, and gives the exit code.
    pub(crate) fn report(&self, verbose: bool) -> ExitCode {
        let mut text = String::new();
        match self {
            Self::OutputClosed | Self::Signal(_) => {}
            Self::Usage {
                rendered,
                plain,
                file,
            } => {
                let colours =
                    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
                text.push_str(if colours { rendered } else { plain });
                if let Some(file) = file {
                    text += &format!("\nThe value may be from `{}`.\n", file.display());
                }
            }
            _ => {
                // Names and texts in it come from outside; none of them may command a terminal.
                text += &format!("error: {}\n", self.message());
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

    fn message(&self) -> String {
        match self {
            Self::Usage { plain, .. } => plain.clone(),
            Self::Wrong { message, .. } | Self::Format(message) => message.clone(),
            Self::Internal(error) => {
                format!("a fault of rwasm-cluster itself, please report it: {error:#}")
            }
            Self::Config { path, message } => format!("`{}`: {message}", path.display()),
            Self::Load(error) => with_source(error),
            Self::Start(error) => with_source(error),
            Self::Submit(error) => with_source(error),
            Self::Job(JobError::TaskFailed {
                origin, failure, ..
            }) => {
                format!(
                    "a task failed ({}) on {origin}: {}",
                    failure.code,
                    visible(&failure.message)
                )
            }
            Self::Job(JobError::ReducerFailed(failure)) => {
                format!(
                    "the reducer failed ({}): {}",
                    failure.code,
                    visible(&failure.message)
                )
            }
            Self::Job(error) => with_source(error),
            Self::Output { what, source } => format!("{what} cannot be written: {source}"),
            Self::OutputClosed | Self::Signal(_) => String::new(),
        }
    }

    /// What is known beyond the message: the guest's own words and where it was.
    fn details(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let (failure, stderr) = match self {
            Self::Job(JobError::TaskFailed {
                failure, stderr, ..
            }) => (failure, Some(stderr)),
            Self::Job(JobError::ReducerFailed(failure)) => (failure, None),
            _ => return lines,
        };
        if let Some(stderr) = stderr.filter(|stderr| !stderr.kept.is_empty()) {
            lines.push("it wrote to stderr:".to_owned());
            lines.extend(
                tail(&stderr.kept)
                    .into_iter()
                    .map(|line| format!("  {line}")),
            );
            if stderr.dropped > 0 {
                lines.push(format!(
                    "  … and {} bytes more, which were dropped (keep them with --limit logs=SIZE)",
                    stderr.dropped
                ));
            }
        }
        if let Some(backtrace) = &failure.backtrace {
            lines.push("it was in, innermost first:".to_owned());
            lines.extend(backtrace.lines().map(|line| format!("  {}", visible(line))));
        }
        lines
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Wrong { hint, .. } => Some(hint.clone()),
            Self::Start(StartError::EngineCount { .. }) => {
                Some("give a number with --engines, or none to use all cores".to_owned())
            }
            Self::Submit(SubmitError::Plan(
                PlanError::NoSuchFunction { .. } | PlanError::NoMapper { .. },
            )) => Some(
                "name the function to map with --map, the one to merge with --reduce".to_owned(),
            ),
            Self::Submit(SubmitError::Plan(PlanError::ReducerDoesNotFit { .. })) => Some(
                "name another reducer with --reduce, or a built-in merge with --merge".to_owned(),
            ),
            Self::Submit(SubmitError::Input(InputError::Directory { path })) => {
                Some(format!("name the files in it: {}/*", path.display()))
            }
            Self::Submit(SubmitError::Input(InputError::ChunkTooLarge { .. }))
            | Self::Job(JobError::Input(InputError::ChunkTooLarge { .. })) => Some(
                "cut it smaller with --chunk, or raise the limit with --limit input=SIZE"
                    .to_owned(),
            ),
            Self::Submit(SubmitError::Plan(PlanError::Merge(_))) => {
                Some("choose another --merge, or none to have each outcome on a line".to_owned())
            }
            Self::Job(JobError::TaskFailed { failures, .. }) if *failures > 1 => Some(format!(
                "{failures} tasks have failed; --max-failures N goes on with the others"
            )),
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

/// An error and its direct cause in one line.
fn with_source(error: &(impl std::error::Error + ?Sized)) -> String {
    match error.source() {
        Some(source) if !error.to_string().contains(&source.to_string()) => {
            format!("{}: {source}", visible(&error.to_string()))
        }
        _ => visible(&error.to_string()),
    }
}

/// Text from outside with its control characters shown, so that it cannot command a terminal.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' && character != '\t' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The last lines of what a guest printed.
fn tail(bytes: &[u8]) -> Vec<String> {
    const LINES: usize = 8;
    const WIDTH: usize = 400;
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..]
        .iter()
        .map(|line| visible(&line.chars().take(WIDTH).collect::<String>()))
        .collect()
}

impl From<SubmitError> for CliError {
    fn from(error: SubmitError) -> Self {
        Self::Submit(error)
    }
}

impl From<JobError> for CliError {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}
