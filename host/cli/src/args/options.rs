//! Options that several commands share: each stands here once, with its name, default and text.

use super::grants::{DeterminismOptions, GrantOptions};
use super::history::HistoryArguments;
use super::values::{
    LimitArgument, LogFrom, ReuseArgument, View, When, count, duration, format_parser, pause,
    positive_size,
};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use rwasm_cluster::format::Format;
use rwasm_cluster::{ByteSize, FailureSet, Policy, Targets, Tolerance};
use std::path::PathBuf;
use std::time::Duration;

pub(super) const OUTCOME: &str = "Result";
pub(super) const PLACE: &str = "Engines";
const LIMITS: &str = "Limits of each task";
const FAILURES: &str = "Failures";
const SHOWN: &str = "What is shown";

/// Options of every command that runs tasks.
#[derive(Args, Debug)]
pub(crate) struct TaskOptions {
    /// Number of engines [default: the cores this process may use]
    #[arg(short = 'j', long, value_name = "N", env = "RWASM_ENGINES", hide_env = true, help_heading = PLACE)]
    pub(crate) engines: Option<u32>,

    /// Whether that number was typed, and is not from the environment or the project file.
    #[arg(skip)]
    pub(crate) engines_typed: bool,

    /// These engines only: `all`, ids `0,2` (-1 is the last), ranges `1..3` (3 included)
    ///
    /// `call` calls on each of them, and gives a result for each in the order they are named; `run`
    /// and `map` spread their tasks over them.
    #[arg(long, value_name = "IDS", env = "RWASM_TARGETS", hide_env = true, help_heading = PLACE)]
    pub(crate) targets: Option<Targets>,

    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) remote: super::RemoteOptions,

    /// The lane of the cluster whose engines get the tasks [default: main]
    #[cfg(feature = "nats")]
    #[arg(
        long,
        value_name = "NAME",
        env = "RWASM_LANE",
        hide_env = true,
        hide_short_help = true,
        help_heading = "Cluster"
    )]
    pub(crate) lane: Option<String>,

    /// How long an instance of the module lives
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", env = "RWASM_REUSE", hide_env = true, hide_short_help = true, help_heading = PLACE)]
    pub(crate) reuse: ReuseArgument,

    /// How results are written [default: text; jsonl for a line per task: `map`, --merge none]
    ///
    /// In `json` and `jsonl` a list<u8>, such as a command's output, is a base64 string; `raw`
    /// writes strings and bytes as they are and refuses anything else.
    #[arg(long, value_name = "FORMAT", env = "RWASM_FORMAT", hide_env = true, value_parser = format_parser(), help_heading = OUTCOME)]
    pub(crate) format: Option<Format>,

    /// Write the result to FILE, which appears when it is complete
    #[arg(short, long, value_name = "FILE", env = "RWASM_OUTPUT", hide_env = true, help_heading = OUTCOME)]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) limits: LimitOptions,

    #[command(flatten)]
    pub(crate) grants: GrantOptions,

    #[command(flatten)]
    pub(crate) determinism: DeterminismOptions,

    /// Time a task may wait for an engine
    #[arg(long, value_name = "TIME", value_parser = duration, env = "RWASM_QUEUE_TIMEOUT", hide_env = true, hide_short_help = true, help_heading = FAILURES)]
    pub(crate) queue_timeout: Option<Duration>,

    /// Time of the whole job
    #[arg(long, value_name = "TIME", value_parser = duration, env = "RWASM_DEADLINE", hide_env = true, hide_short_help = true, help_heading = FAILURES)]
    pub(crate) deadline: Option<Duration>,

    /// How often a failed task runs again
    #[arg(long, default_value_t = 0, value_name = "N", env = "RWASM_RETRIES", hide_env = true, help_heading = FAILURES)]
    pub(crate) retries: u32,

    /// The failures after which it does: `all`, or of engine-lost, trap, timeout, limit, guest-error
    #[arg(long, default_value = "all", value_name = "CLASSES", env = "RWASM_RETRY_ON", hide_env = true, hide_short_help = true, help_heading = FAILURES)]
    pub(crate) retry_on: FailureSet,

    /// The pause before it first does; each further one is twice as long, up to 30s
    #[arg(long, default_value = "0", value_name = "TIME", value_parser = pause, env = "RWASM_BACKOFF", hide_env = true, hide_short_help = true, help_heading = FAILURES)]
    pub(crate) backoff: Duration,

    /// Refuse a module that imports what this host does not offer
    #[arg(long, env = "RWASM_STRICT_IMPORTS", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, hide_short_help = true, help_heading = FAILURES)]
    pub(crate) strict_imports: bool,

    /// What the job is called: in messages, reports and the history
    #[arg(long, value_name = "TEXT", env = "RWASM_LABEL", hide_env = true, hide_short_help = true, help_heading = SHOWN)]
    pub(crate) label: Option<String>,

    /// Print tasks, times and a line per engine to stderr
    #[arg(long, env = "RWASM_STATS", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = SHOWN)]
    pub(crate) stats: bool,

    /// Write a JSON document on the job, if it ends well, to FILE: tasks, figures, limits, hashes
    #[arg(long, value_name = "FILE", env = "RWASM_REPORT", hide_env = true, hide_short_help = true, help_heading = SHOWN)]
    pub(crate) report: Option<PathBuf>,

    /// What tasks log, from this level on, to stderr; -v shows info too, and what they print and publish
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL", env = "RWASM_LOG", hide_env = true, hide_short_help = true, help_heading = SHOWN)]
    pub(crate) log: LogFrom,

    #[command(flatten)]
    pub(crate) history: HistoryArguments,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// What each task may use.
#[derive(Args, Debug)]
pub(crate) struct LimitOptions {
    /// Time of one run of a task
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = duration, env = "RWASM_TIMEOUT", hide_env = true, help_heading = LIMITS)]
    pub(crate) timeout: Duration,

    /// Memory of a task
    #[arg(long, default_value = "256MiB", value_name = "SIZE", value_parser = positive_size, env = "RWASM_MEMORY", hide_env = true, help_heading = LIMITS)]
    pub(crate) memory: ByteSize,

    /// Instructions of a task, in units of fuel; counting them slows it down
    #[arg(long, value_name = "N", env = "RWASM_FUEL", hide_env = true, hide_short_help = true, help_heading = LIMITS)]
    pub(crate) fuel: Option<u64>,

    /// Another limit, such as output=SIZE or handles=N; --help has them all
    ///
    /// Defaults: input=64MiB (what is copied into a guest; a command's stdin has no limit),
    /// output=64MiB, logs=64KiB, stack=512KiB, random=1MiB (at once), table-elements=100000,
    /// handles=256; in granted directories written=1GiB and files=10000 (that it makes); for compiling the module:
    /// module=128MiB, compile-time=120s, compile-memory=4GiB, compiled=2GiB (the code).
    #[arg(long = "limit", value_name = "NAME=VALUE",
        value_delimiter = ',',
        env = "RWASM_LIMIT",
        hide_env = true, hide_short_help = true, help_heading = LIMITS)]
    pub(crate) limits: Vec<LimitArgument>,
}

/// Options of commands that run many tasks.
#[derive(Args, Debug)]
pub(crate) struct ManyOptions {
    /// Which engine runs which task
    #[arg(long, value_enum, default_value_t, value_name = "VIEW", env = "RWASM_VIEW", hide_env = true, help_heading = PLACE)]
    pub(crate) view: View,

    /// How a balanced view chooses an engine: leastload, lru, random, twobin or weighted
    #[arg(long, default_value = "leastload", value_name = "POLICY", env = "RWASM_POLICY", hide_env = true, hide_short_help = true, help_heading = PLACE)]
    pub(crate) policy: Policy,

    /// Hand-overs an engine has at a time, the one that runs included [default: 1]
    #[arg(long, value_name = "N", value_parser = count, env = "RWASM_HWM", hide_env = true, hide_short_help = true, help_heading = PLACE)]
    pub(crate) hwm: Option<usize>,

    /// Print each result as its task ends, not in input order; of `run` with --merge none
    #[arg(long, env = "RWASM_UNORDERED", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, hide_short_help = true, help_heading = OUTCOME)]
    pub(crate) unordered: bool,

    /// Failed tasks the job bears: a number, or a percentage like 2%
    #[arg(long, default_value = "0", value_name = "N|P%", env = "RWASM_MAX_FAILURES", hide_env = true, help_heading = FAILURES)]
    pub(crate) max_failures: Tolerance,

    /// Store the job at the cluster, print its id and end: `rwasm-cluster job result ID` has what it gives
    #[cfg(feature = "nats")]
    #[arg(long, help_heading = "Cluster")]
    pub(crate) detach: bool,

    /// The id of a job that is detached: a second time under the same id does nothing
    #[cfg(feature = "nats")]
    #[arg(long, value_name = "KEY", requires = "detach", value_parser = job_id, hide_short_help = true, help_heading = "Cluster")]
    pub(crate) job_id: Option<String>,

    /// Which options were typed, and are not from the environment or the project file, that one who does not wait has no
    /// use for.
    #[cfg(feature = "nats")]
    #[arg(skip)]
    pub(crate) typed: Vec<&'static str>,

    /// Progress on stderr
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", env = "RWASM_PROGRESS", hide_env = true, hide_short_help = true, help_heading = SHOWN)]
    pub(crate) progress: When,
}

/// Options of every command.
#[derive(Args, Debug)]
pub(crate) struct Loudness {
    /// Print errors only
    #[arg(short, long, env = "RWASM_QUIET", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = SHOWN)]
    pub(crate) quiet: bool,

    /// Print more: where time goes, causes of errors, what tasks say
    #[arg(short, long, env = "RWASM_VERBOSE", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = SHOWN)]
    pub(crate) verbose: bool,

    /// Colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", env = "RWASM_COLOR", hide_env = true, hide_short_help = true, help_heading = SHOWN)]
    pub(crate) color: When,
}

/// Numbers name jobs of the history.
#[cfg(feature = "nats")]
fn job_id(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
        return Err("letters, digits, `-` and `_` are wanted, 64 at most".to_owned());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a number names a job of the history: put a letter to it".to_owned());
    }
    Ok(text.to_owned())
}
