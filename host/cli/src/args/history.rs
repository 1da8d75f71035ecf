//! The options of the history and of the commands on jobs.

use super::values::{OF_ENGINES, history_size, parsed};
use super::{GrantOptions, Loudness, examples};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use rwasm_cluster::format::Format;
use rwasm_cluster::{ByteSize, JobState};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const HISTORY: &str = "History";

/// Options of every command that runs tasks.
#[derive(Args, Debug)]
pub(crate) struct HistoryArguments {
    /// Record the job, so that `rwasm-cluster job` can show and retry it
    ///
    /// The history is the file rwasm-cluster/history.db in the user's state directory, or
    /// `RWASM_HISTORY_FILE`. It stores inputs and results of up to 64 KiB, and files as path, range and hash.
    #[arg(long, env = "RWASM_HISTORY", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = HISTORY)]
    pub(crate) history: bool,

    /// Tasks and jobs to keep in the history; the oldest jobs are removed first [default: 100000]
    #[arg(long, value_name = "N", value_parser = rows, env = "RWASM_HISTORY_ROWS", hide_env = true, hide_short_help = true, help_heading = HISTORY)]
    pub(crate) history_rows: Option<u64>,

    /// Size limit of the history, at least 1MiB [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = history_size, env = "RWASM_HISTORY_SIZE", hide_env = true, hide_short_help = true, help_heading = HISTORY)]
    pub(crate) history_size: Option<ByteSize>,
}

/// Manage jobs recorded with --history, and durable jobs of a cluster.
#[derive(Args, Debug)]
#[command(
    before_help = examples("Examples:
  rwasm-cluster job list --state failed --since 2h   in the last two hours
  rwasm-cluster job show 7                           details and failed tasks
  rwasm-cluster job retry 7                          run failed tasks again
  rwasm-cluster job replay 7 3                       see why one task fails
  rwasm-cluster job list --cluster                   durable jobs of a cluster
  rwasm-cluster job result ID --follow --cluster     results as they arrive"),
    after_long_help = "Exit codes are those of `run`; in addition, 2 means an unknown job or task, and 14 that the history or \
the input of a task cannot be read.",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct JobArguments {
    #[command(subcommand)]
    pub(crate) command: JobCommand,
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List jobs, newest first
    List(ListArguments),
    /// Show the details of a job and its failed tasks
    Show(ShowArguments),
    /// Print the result of a job or of one of its tasks
    Result(ResultArguments),
    /// Cancel a durable job of a cluster
    #[cfg(feature = "nats")]
    Cancel(CancelArguments),
    /// Run the failed tasks of a job again
    Retry(AgainArguments),
    /// Run a single task of a job again and show why it fails
    Replay(ReplayArguments),
    /// Remove jobs from the history
    Rm(RmArguments),
}

impl JobCommand {
    /// Where the job is that is named.
    #[cfg(feature = "nats")]
    pub(super) fn remote_of_one(&mut self) -> Option<&mut super::RemoteOptions> {
        Some(match self {
            Self::Show(show) => &mut show.shown.remote,
            Self::Result(result) => &mut result.remote,
            Self::Cancel(cancel) => &mut cancel.remote,
            Self::Retry(retry) => &mut retry.remote,
            Self::Rm(rm) => &mut rm.remote,
            Self::List(_) | Self::Replay(_) => return None,
        })
    }

    pub(crate) fn loudness(&self) -> &Loudness {
        match self {
            Self::List(list) => &list.shown.loudness,
            Self::Show(show) => &show.shown.loudness,
            Self::Result(result) => &result.loudness,
            #[cfg(feature = "nats")]
            Self::Cancel(cancel) => &cancel.loudness,
            Self::Retry(retry) => &retry.loudness,
            Self::Replay(replay) => &replay.loudness,
            Self::Rm(rm) => &rm.loudness,
        }
    }
}

/// List jobs, newest first.
#[derive(Args, Debug)]
#[command(
    before_help = examples("Examples:
  rwasm-cluster job list --state failed --since 2h
  rwasm-cluster job list --label 'nightly-*' --format json
  rwasm-cluster job list --cluster"),
    after_long_help = "Exit codes:
  0    success
  2    usage error
  13   the cluster cannot be reached
  14   the history cannot be read"
)]
pub(crate) struct ListArguments {
    /// Only jobs in this state, such as running, done or failed
    ///
    /// The states are running, done, failed, cancelled and interrupted; durable jobs can also be submitting,
    /// queued or damaged.
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    pub(crate) state: Vec<ListedState>,

    /// Only jobs whose label matches; `*` is any text, `?` any character
    #[arg(long, value_name = "GLOB")]
    pub(crate) label: Option<String>,

    /// Only jobs that call this function
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,

    /// Only jobs with a task that ran on this engine (history only)
    #[arg(long, value_name = "N", value_parser = parsed::<u32>("the id of an engine such as 0"))]
    pub(crate) engine: Option<u32>,

    /// Only jobs submitted since: 2h ago, 2026-01-31 or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<SystemTime>,

    /// Maximum number of jobs
    #[arg(long, value_name = "N", value_parser = parsed::<usize>("a number of jobs such as 20"), default_value_t = 20)]
    pub(crate) limit: usize,

    #[command(flatten)]
    pub(crate) shown: ShownOptions,
}

/// Show the details of a job and its failed tasks.
#[derive(Args, Debug)]
pub(crate) struct ShowArguments {
    /// Id of the job, from `job list`
    #[arg(value_name = "ID")]
    pub(crate) id: JobName,

    #[command(flatten)]
    pub(crate) shown: ShownOptions,
}

/// Print the result of a job or of one of its tasks.
#[derive(Args, Debug)]
#[command(
    before_help = examples("Examples:
  rwasm-cluster job result 7
  rwasm-cluster job result 7 3 --format json
  rwasm-cluster job result nightly --follow --cluster"),
    after_long_help = "Exit codes:
  0    success
  2    usage error, unknown job or task, or the job has not ended
  11   tasks failed, or the job was cancelled while followed
  12   the merge failed
  13   the cluster cannot be reached
  14   the history cannot be read or the result cannot be written
  130  interrupted"
)]
pub(crate) struct ResultArguments {
    /// Id of the job, from `job list`
    #[arg(value_name = "ID")]
    pub(crate) id: JobName,

    /// Number of a task, from 0 in input order
    #[arg(value_name = "TASK", value_parser = parsed::<u64>("the number of a task such as 0"))]
    pub(crate) task: Option<u64>,

    /// Wait for the job to end, and print results as they arrive
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
    /// Id of the job, from `job list`
    #[arg(value_name = "ID")]
    pub(crate) id: JobName,

    #[command(flatten)]
    pub(crate) remote: super::RemoteOptions,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Run the failed tasks of a job again: as a new job in the history, or as part of a durable job.
#[derive(Args, Debug)]
pub(crate) struct AgainArguments {
    /// Id of the job, from `job list`
    #[arg(value_name = "ID")]
    pub(crate) id: JobName,

    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) remote: super::RemoteOptions,

    /// Number of engines [default: the available cores]
    #[arg(
        short = 'j',
        long,
        value_name = "N", value_parser = parsed::<u32>(OF_ENGINES),
        env = "RWASM_ENGINES",
        hide_env = true
    )]
    pub(crate) engines: Option<u32>,

    /// Time limit for one run of a task [default: that of the job]
    #[arg(long, value_name = "TIME", value_parser = super::values::duration)]
    pub(crate) timeout: Option<Duration>,

    /// Memory limit for a task [default: that of the job]
    #[arg(long, value_name = "SIZE", value_parser = super::values::positive_size)]
    pub(crate) memory: Option<ByteSize>,

    /// Fuel limit for a task [default: that of the job]
    #[arg(long, value_name = "N", value_parser = parsed::<u64>("a number of instructions such as 1000000"))]
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

/// Run a single task of a job again and show why it fails.
#[derive(Args, Debug)]
pub(crate) struct ReplayArguments {
    /// Id of the job, from `job list`
    #[arg(value_name = "ID")]
    pub(crate) id: JobName,

    /// Number of the task, from 0 in input order; `job show` lists failed tasks
    #[arg(value_name = "TASK", value_parser = parsed::<u64>("the number of a task such as 0"))]
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
    /// Ids of the jobs, from `job list`
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) ids: Vec<JobName>,

    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) remote: super::RemoteOptions,

    /// Remove all jobs that have ended
    #[arg(long)]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// How what is looked up is shown, and where it is looked up.
#[derive(Args, Debug)]
pub(crate) struct ShownOptions {
    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ShownAs,

    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) remote: super::RemoteOptions,

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
            return Err("the id of a job must not be empty".to_owned());
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = text
                .parse()
                .map_err(|_| "the number is too large".to_owned())?;
            return Ok(Self::History(number));
        }
        Ok(Self::Durable(text.to_owned()))
    }
}

/// How results are printed.
#[derive(Args, Debug)]
pub(crate) struct Printed {
    /// Result format: text, json, jsonl, tsv, wave or raw
    ///
    /// The default is the format of the job.
    #[arg(long, value_name = "FORMAT", hide_possible_values = true, value_parser = super::values::format_parser())]
    pub(crate) format: Option<Format>,

    /// Write the result to FILE once it is complete
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
const OF_DURABLE: [&str; 3] = ["submitting", "queued", "damaged"];

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
            .ok_or_else(|| format!("expected one of {}", names.join(", ")))
    }
}

fn rows(text: &str) -> Result<u64, String> {
    parsed("a number of at least 1")(text).map(NonZeroU64::get)
}

fn since(text: &str) -> Result<SystemTime, String> {
    let span = text.strip_suffix("ago").unwrap_or(text).trim_end();
    if let Ok(ago) = humantime::parse_duration(span) {
        return SystemTime::now()
            .checked_sub(ago)
            .ok_or_else(|| "the time is too long ago".to_owned());
    }
    humantime::parse_rfc3339_weak(text)
        .or_else(|_| humantime::parse_rfc3339_weak(&format!("{text}T00:00:00Z")))
        .map_err(|_| {
            "expected a duration such as 30m or 2h, or a time such as 2026-01-31T12:00:00Z"
                .to_owned()
        })
}
