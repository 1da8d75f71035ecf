//! The options of the history and the commands that read it.

use super::{GrantOptions, Loudness};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use rwasm_cluster::format::Format;
use rwasm_cluster::{ByteSize, JobState};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const HISTORY: &str = "History";

/// Options of every command that runs tasks.
#[derive(Args, Debug)]
pub(crate) struct HistoryArguments {
    /// Record the job: `rwasm-cluster job` then shows it, its results, and runs failed tasks again
    ///
    /// It is kept in rwasm-cluster/history.db of the user's state directory, or in the file
    /// `RWASM_HISTORY_FILE`: inputs and results up to 64 KiB themselves, files as path, range and
    /// hash.
    #[arg(long, env = "RWASM_HISTORY", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = HISTORY)]
    pub(crate) history: bool,

    /// Tasks, and jobs, that the history keeps; the oldest jobs go first [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), env = "RWASM_HISTORY_ROWS", hide_env = true, hide_short_help = true, help_heading = HISTORY)]
    pub(crate) history_rows: Option<u64>,

    /// Bytes that the history keeps, at least 1MiB [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "RWASM_HISTORY_SIZE", hide_env = true, hide_short_help = true, help_heading = HISTORY)]
    pub(crate) history_size: Option<ByteSize>,
}

/// Jobs that were recorded with --history, and durable jobs of a cluster.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster job list --state failed --since 2h   what has gone wrong lately
  rwasm-cluster job show 7                           all about a job, its failed tasks too
  rwasm-cluster job retry 7                          run its failed tasks again
  rwasm-cluster job replay 7 3                       run one of its tasks again, alone, and see why
  rwasm-cluster job list --cluster                   durable jobs (run --detach) of the running cluster
  rwasm-cluster job result nightly --follow --cluster   what one gives, as it comes",
    after_long_help = "Exit codes: as of `run`; 2 where there is no such job or task, 14 where the history, or what \
a task was called with, cannot be read.",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct JobArguments {
    #[command(subcommand)]
    pub(crate) command: JobCommand,
}

/// What to do with recorded jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List jobs, the newest first
    List(ListArguments),
    /// Show all about a job, its failed tasks too
    Show(ShowArguments),
    /// Print what a job, or one task of it, gave
    Result(ResultArguments),
    /// Cancel a durable job of a cluster
    #[cfg(feature = "nats")]
    Cancel(CancelArguments),
    /// Run a job's failed tasks again
    Retry(AgainArguments),
    /// Run one task of a job again, alone, and show why it fails
    Replay(ReplayArguments),
    /// Remove jobs from the history
    Rm(RmArguments),
}

impl JobCommand {
    /// Where the job is that is named.
    #[cfg(feature = "nats")]
    pub(super) fn remote_of_one(&mut self) -> Option<&mut super::RemoteOptions> {
        Some(match self {
            Self::Show(show) => &mut show.remote,
            Self::Result(result) => &mut result.remote,
            Self::Cancel(cancel) => &mut cancel.remote,
            Self::Retry(retry) => &mut retry.remote,
            Self::Rm(rm) => &mut rm.remote,
            Self::List(_) | Self::Replay(_) => return None,
        })
    }

    pub(crate) fn loudness(&self) -> &Loudness {
        match self {
            Self::List(list) => &list.loudness,
            Self::Show(show) => &show.loudness,
            Self::Result(result) => &result.loudness,
            #[cfg(feature = "nats")]
            Self::Cancel(cancel) => &cancel.loudness,
            Self::Retry(retry) => &retry.loudness,
            Self::Replay(replay) => &replay.loudness,
            Self::Rm(rm) => &rm.loudness,
        }
    }
}

/// List jobs, the newest first.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rwasm-cluster job list --state failed --since 2h
  rwasm-cluster job list --label 'nightly-*' --format json --cluster

Exit codes: 2 where an option is wrong, 13 where the cluster cannot be reached, 14 where the history cannot be read.")]
pub(crate) struct ListArguments {
    /// Of this state: running, done, failed, cancelled or interrupted; durable jobs also submitting or queued
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    pub(crate) state: Vec<ListedState>,

    /// With a label that fits: `*` is any text, `?` any character
    #[arg(long, value_name = "GLOB")]
    pub(crate) label: Option<String>,

    /// Whose tasks call this function
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,

    /// Of which a task ran on this engine; of the history only
    #[arg(long, value_name = "N")]
    pub(crate) engine: Option<u32>,

    /// Submitted since then: a time ago like 2h, or a time like 2026-01-31 or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<SystemTime>,

    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,

    /// How they are shown
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ShownAs,

    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) remote: super::RemoteOptions,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Show all about a job, its failed tasks too.
#[derive(Args, Debug)]
pub(crate) struct ShowArguments {
    /// The job, as `job list` names it
    #[arg(value_name = "ID")]
    pub(crate) id: JobName,

    /// How it is shown
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ShownAs,

    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) remote: super::RemoteOptions,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Print what a job, or one task of it, gave.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rwasm-cluster job result 7
  rwasm-cluster job result nightly --follow --cluster
  rwasm-cluster job result nightly 3 --format json --cluster

Exit codes: 2 where there is no such job or task, or it has not ended; 11 where tasks failed, or a job that is followed \
was cancelled; 12 where the merge failed; 13 where the cluster cannot be reached; 14 where the history cannot be read \
or the result not be written; 130 where this program is interrupted.")]
pub(crate) struct ResultArguments {
    /// The job, as `job list` names it
    #[arg(value_name = "ID")]
    pub(crate) id: JobName,

    /// One of its tasks, from 0 in input order
    #[arg(value_name = "TASK")]
    pub(crate) task: Option<u64>,

    /// Wait for what has not ended, and print results as they come
    #[cfg(feature = "nats")]
    #[arg(long)]
    pub(crate) follow: bool,

    #[command(flatten)]
    pub(crate) printed: Printed,

    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) remote: super::RemoteOptions,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Cancel a durable job of a cluster.
#[cfg(feature = "nats")]
#[derive(Args, Debug)]
pub(crate) struct CancelArguments {
    /// The job, as `job list` names it
    #[arg(value_name = "ID")]
    pub(crate) id: JobName,

    #[command(flatten)]
    pub(crate) remote: super::RemoteOptions,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Run a job's failed tasks again: of the history as a new job, a durable one goes on.
#[derive(Args, Debug)]
pub(crate) struct AgainArguments {
    /// The job, as `job list` names it
    #[arg(value_name = "ID")]
    pub(crate) id: JobName,

    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) remote: super::RemoteOptions,

    /// Number of engines [default: the cores this process may use]
    #[arg(
        short = 'j',
        long,
        value_name = "N",
        env = "RWASM_ENGINES",
        hide_env = true
    )]
    pub(crate) engines: Option<u32>,

    /// Time of one run of a task [default: as the job had]
    #[arg(long, value_name = "TIME", value_parser = super::values::duration)]
    pub(crate) timeout: Option<Duration>,

    /// Memory of a task [default: as the job had]
    #[arg(long, value_name = "SIZE", value_parser = super::values::positive_size)]
    pub(crate) memory: Option<ByteSize>,

    /// Fuel of a task [default: as the job had]
    #[arg(long, value_name = "N")]
    pub(crate) fuel: Option<u64>,

    #[command(flatten)]
    pub(crate) grants: GrantOptions,

    #[command(flatten)]
    pub(crate) printed: Printed,

    #[command(flatten)]
    pub(crate) history: HistoryArguments,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Run one task of a job again, alone, and show why it fails.
#[derive(Args, Debug)]
pub(crate) struct ReplayArguments {
    /// The job, as `job list` numbers it
    #[arg(value_name = "ID")]
    pub(crate) id: JobName,

    /// The task, from 0 in input order: `job show` names those that failed
    #[arg(value_name = "TASK")]
    pub(crate) task: u64,

    #[command(flatten)]
    pub(crate) grants: GrantOptions,

    #[command(flatten)]
    pub(crate) printed: Printed,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Remove jobs from the history.
#[derive(Args, Debug)]
pub(crate) struct RmArguments {
    /// The jobs, as `job list` names them
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) ids: Vec<JobName>,

    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) remote: super::RemoteOptions,

    /// All that have ended
    #[arg(long)]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// A job as it is named: those of the history have numbers, durable ones of a cluster have not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobName {
    History(u64),
    Durable(String),
}

impl std::str::FromStr for JobName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a job has a name".to_owned());
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = text
                .parse()
                .map_err(|_| "no job has that number".to_owned())?;
            return Ok(Self::History(number));
        }
        Ok(Self::Durable(text.to_owned()))
    }
}

/// How results are printed.
#[derive(Args, Debug)]
pub(crate) struct Printed {
    /// How the result is written [default: as the job wrote it]
    #[arg(long, value_name = "FORMAT", value_parser = super::values::format_parser())]
    pub(crate) format: Option<Format>,

    /// Write the result to FILE, which appears when it is complete
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// How something is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShownAs {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// The state of a job that is listed, by its name: that of one of the history or of a durable one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListedState(&'static str);

/// States that only durable jobs have.
const OF_DURABLE: [&str; 2] = ["submitting", "queued"];

impl ListedState {
    #[cfg(feature = "nats")]
    pub(crate) fn name(self) -> &'static str {
        self.0
    }

    /// The same of a job of the history, if one can have it.
    pub(crate) fn of_history(self) -> Option<JobState> {
        JobState::from_name(self.0)
    }
}

impl std::str::FromStr for ListedState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = OF_DURABLE.into_iter();
        let names: Vec<_> = names
            .chain(JobState::ALL.iter().map(|state| state.name()))
            .collect();
        let known = names.iter().find(|name| **name == text);
        known
            .map(|name| Self(name))
            .ok_or_else(|| format!("there are {}", names.join(", ")))
    }
}

fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return SystemTime::now()
            .checked_sub(ago)
            .ok_or_else(|| "that is before time began".to_owned());
    }
    humantime::parse_rfc3339_weak(text)
        .or_else(|_| humantime::parse_rfc3339_weak(&format!("{text}T00:00:00Z")))
        .map_err(|_| {
            "write a time ago like 30m or 2h, or a time like 2026-01-31T12:00:00Z".to_owned()
        })
}
