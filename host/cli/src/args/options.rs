//! Options that several commands share: each stands here once, with its name, default and text.

use super::grants::{DeterminismOptions, GrantOptions};
use super::history::HistoryArguments;
use super::values::{
    BoundaryArgument, LimitArgument, LogFrom, OF_ENGINES, ReuseArgument, StderrShown, View, When,
    count, duration, format_parser, limit_help, parsed, pause, positive_size, read, trace_limit,
};
#[cfg(feature = "nats")]
use super::values::{job_id, lane};
use crate::exit::CliError;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use rwasm_cluster::format::Format;
use rwasm_cluster::{
    Abi, ByteSize, FailureSet, MAX_ENGINES, Policy, StartError, Targets, Tolerance, Trace,
};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(super) const OUTCOME: &str = "Result";
pub(super) const PLACE: &str = "Engines";
pub(super) const MODULE: &str = "Module";
const LIMITS: &str = "Limits per task";
pub(super) const FAILURES: &str = "Failures";
const SHOWN: &str = "Reporting";

/// Options of every command that runs tasks.
#[derive(Args, Debug)]
pub(crate) struct TaskOptions {
    /// Number of engines [default: the available cores]
    #[arg(short = 'j', long, value_name = "N", value_parser = parsed::<u32>(OF_ENGINES), env = "RWASM_ENGINES", hide_env = true, help_heading = PLACE)]
    pub(crate) engines: Option<u32>,

    /// Whether that number was typed, and is not from the environment or the project file.
    #[arg(skip)]
    pub(crate) engines_typed: bool,

    /// Engines to use: `all`, ids such as `0,2` (-1 is the last) or ranges such as `1..3`
    ///
    /// A range includes its end. `call` calls the function on each of these engines and prints one
    /// result per engine, in the order given; `run` and `map` spread their tasks over them.
    #[arg(long, value_name = "IDS", value_parser = read::<Targets>, env = "RWASM_TARGETS", hide_env = true, help_heading = PLACE)]
    pub(crate) targets: Option<Targets>,

    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) remote: super::RemoteOptions,

    /// Lane of the cluster whose engines run the tasks [default: main]
    #[cfg(feature = "nats")]
    #[arg(
        long,
        value_name = "NAME",
        value_parser = lane,
        env = "RWASM_LANE",
        hide_env = true,
        help_heading = "Cluster"
    )]
    pub(crate) lane: Option<String>,

    /// How long to keep an instance of the module
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", env = "RWASM_REUSE", hide_env = true, help_heading = PLACE)]
    pub(crate) reuse: ReuseArgument,

    /// Isolation of tasks in addition to the sandbox
    #[arg(long, value_enum, default_value_t, value_name = "BOUNDARY", env = "RWASM_BOUNDARY", hide_env = true, hide_short_help = true, help_heading = PLACE)]
    pub(crate) boundary: BoundaryArgument,

    /// Whether that was typed: the variable is about tasks on this machine.
    #[arg(skip)]
    pub(crate) boundary_typed: bool,

    /// Result format: text, json, jsonl, tsv, wave or raw
    ///
    /// The default is `jsonl` for `map` and for --merge none, and `text` otherwise.
    ///
    /// `json` and `jsonl` write a list<u8>, such as the output of a command, as a base64 string;
    /// `raw` writes strings and bytes unchanged and rejects anything else.
    #[arg(long, value_name = "FORMAT", env = "RWASM_FORMAT", hide_env = true, value_parser = format_parser(), help_heading = OUTCOME)]
    pub(crate) format: Option<Format>,

    /// Print each element of a stream that a function returns as it comes; `run` requires --merge none
    ///
    /// Each element is a line of its own; a future has one. `--limit output` then limits each element. With --retries,
    /// --deterministic or --cluster, elements are printed when their task has succeeded, and the limit is that of all.
    #[arg(long, env = "RWASM_ELEMENTS", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = OUTCOME)]
    pub(crate) elements: bool,

    /// Write the result to FILE once it is complete
    #[arg(short, long, value_name = "FILE", env = "RWASM_OUTPUT", hide_env = true, help_heading = OUTCOME)]
    pub(crate) output: Option<PathBuf>,

    /// How plain functions take text: `ptr-len`, `assemblyscript` or `numbers`
    ///
    /// `ptr-len` passes strings as pointers and lengths, in memory that the module allocates, and takes options:
    /// `ptr-len:alloc=NAME,free=NAME,result=packed|pair|cstr,data=text|bytes`. `inspect` suggests
    /// one. By default it is the text of the file MODULE.abi, if there is one.
    #[arg(long, value_name = "ABI", value_parser = read::<Abi>, env = "RWASM_ABI", hide_env = true, hide_short_help = true, help_heading = MODULE)]
    pub(crate) abi: Option<Abi>,

    #[command(flatten)]
    pub(crate) limits: LimitOptions,

    #[command(flatten)]
    pub(crate) grants: GrantOptions,

    #[command(flatten)]
    pub(crate) determinism: DeterminismOptions,

    /// Time limit for a task to wait for an engine
    #[arg(long, value_name = "TIME", value_parser = duration, env = "RWASM_QUEUE_TIMEOUT", hide_env = true, help_heading = FAILURES)]
    pub(crate) queue_timeout: Option<Duration>,

    /// Time limit for the whole job
    #[arg(long, value_name = "TIME", value_parser = duration, env = "RWASM_DEADLINE", hide_env = true, help_heading = FAILURES)]
    pub(crate) deadline: Option<Duration>,

    /// How often to retry a failed task
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = parsed::<u32>("a number of retries such as 2"), env = "RWASM_RETRIES", hide_env = true, help_heading = FAILURES)]
    pub(crate) retries: u32,

    /// Failures to retry: `all`, `none`, or engine-lost, trap, timeout, limit, guest-error
    #[arg(long, default_value = "all", value_name = "CLASSES", value_parser = read::<FailureSet>, env = "RWASM_RETRY_ON", hide_env = true, help_heading = FAILURES)]
    pub(crate) retry_on: FailureSet,

    /// Pause before the first retry; doubles with each retry, up to 30s
    #[arg(long, default_value = "0", value_name = "TIME", value_parser = pause, env = "RWASM_BACKOFF", hide_env = true, help_heading = FAILURES)]
    pub(crate) backoff: Duration,

    /// Reject a module that imports anything that this host does not offer
    #[arg(long, env = "RWASM_STRICT_IMPORTS", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = FAILURES)]
    pub(crate) strict_imports: bool,

    /// Name of the job in messages, reports and the history
    #[arg(long, value_name = "TEXT", env = "RWASM_LABEL", hide_env = true, help_heading = SHOWN)]
    pub(crate) label: Option<String>,

    /// Print task counts, times and a line per engine to stderr
    #[arg(long, env = "RWASM_STATS", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = SHOWN)]
    pub(crate) stats: bool,

    /// Write a report to FILE when the job ends: tasks, statistics, limits, hashes
    ///
    /// It is JSON, or a page for a browser if the name ends in .html.
    /// If the job fails or is interrupted, the report says why, with what the failed task printed.
    #[arg(long, value_name = "FILE", env = "RWASM_REPORT", hide_env = true, help_heading = SHOWN)]
    pub(crate) report: Option<PathBuf>,

    /// Write a timeline of the tasks to FILE while they run, as Chrome trace events
    ///
    /// Perfetto, speedscope and Chrome open it. A name that ends in .gz is compressed.
    #[arg(long, value_name = "FILE", env = "RWASM_TRACE", hide_env = true, help_heading = SHOWN)]
    pub(crate) trace: Option<PathBuf>,

    /// Size of the trace before compression; beyond half of it, fewer and fewer tasks are in it
    #[arg(long, default_value_t = Trace::LIMIT, value_name = "SIZE", value_parser = trace_limit, env = "RWASM_TRACE_LIMIT", hide_env = true, hide_short_help = true, help_heading = SHOWN)]
    pub(crate) trace_limit: ByteSize,

    /// Lowest level of task logs to print to stderr
    ///
    /// -v also prints the level info, and what tasks print and publish.
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL", env = "RWASM_LOG", hide_env = true, help_heading = SHOWN)]
    pub(crate) log: LogFrom,

    /// What to show of what successful tasks write to stderr [default: summary, with -v all]
    ///
    /// `all` is every line as it is written, `summary` one line at the end. A failed task's stderr is shown with its error.
    #[arg(long, value_enum, value_name = "WHICH", env = "RWASM_STDERR", hide_env = true, hide_short_help = true, help_heading = SHOWN)]
    pub(crate) stderr: Option<StderrShown>,

    #[command(flatten)]
    pub(crate) history: HistoryArguments,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Limits of each task.
#[derive(Args, Debug)]
pub(crate) struct LimitOptions {
    /// Time limit for one run of a task
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = duration, env = "RWASM_TIMEOUT", hide_env = true, help_heading = LIMITS)]
    pub(crate) timeout: Duration,

    /// Memory limit for a task
    #[arg(long, default_value = "256MiB", value_name = "SIZE", value_parser = positive_size, env = "RWASM_MEMORY", hide_env = true, help_heading = LIMITS)]
    pub(crate) memory: ByteSize,

    /// Instruction limit for a task, in units of fuel; counting them slows tasks down
    #[arg(long, value_name = "N", value_parser = parsed::<u64>("a number of instructions such as 1000000"), env = "RWASM_FUEL", hide_env = true, hide_short_help = true, help_heading = LIMITS)]
    pub(crate) fuel: Option<u64>,

    /// Set another limit, such as output=1GiB; --help lists them all
    #[arg(long = "limit", value_name = "NAME=VALUE", long_help = limit_help(),
        value_delimiter = ',',
        env = "RWASM_LIMIT",
        hide_env = true, hide_short_help = true, help_heading = LIMITS)]
    pub(crate) limits: Vec<LimitArgument>,
}

/// Options of commands that run many tasks.
#[derive(Args, Debug)]
pub(crate) struct ManyOptions {
    /// How to assign tasks to engines
    #[arg(long, value_enum, default_value_t, value_name = "VIEW", env = "RWASM_VIEW", hide_env = true, help_heading = PLACE)]
    pub(crate) view: View,

    /// How the balanced view chooses an engine: leastload, lru, random, twobin or weighted
    #[arg(long, default_value = "leastload", value_name = "POLICY", value_parser = read::<Policy>, env = "RWASM_POLICY", hide_env = true, help_heading = PLACE)]
    pub(crate) policy: Policy,

    /// Dispatches an engine holds at a time, including the running one [default: 1]
    #[arg(long, value_name = "N", value_parser = count, env = "RWASM_HWM", hide_env = true, help_heading = PLACE)]
    pub(crate) hwm: Option<usize>,

    /// Print each result as its task ends, not in input order; `run` requires --merge none
    #[arg(long, env = "RWASM_UNORDERED", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = OUTCOME)]
    pub(crate) unordered: bool,

    /// Failed tasks to tolerate
    #[arg(long, default_value = "0", value_name = "N|P%", value_parser = read::<Tolerance>, env = "RWASM_MAX_FAILURES", hide_env = true, help_heading = FAILURES)]
    pub(crate) max_failures: Tolerance,

    /// Store the job on the cluster, print its id and exit
    ///
    /// `rwasm-cluster job result ID --follow --cluster` waits for the result and prints it.
    #[cfg(feature = "nats")]
    #[arg(long, help_heading = "Cluster")]
    pub(crate) detach: bool,

    /// Id of the durable job; submitting the same id again has no effect
    #[cfg(feature = "nats")]
    #[arg(long, value_name = "KEY", requires = "detach", value_parser = job_id, help_heading = "Cluster")]
    pub(crate) job_id: Option<String>,

    /// Which options were typed, and are not from the environment or the project file, that one who does not wait has no
    /// use for.
    #[cfg(feature = "nats")]
    #[arg(skip)]
    pub(crate) typed: Vec<&'static str>,

    /// Serve a page on this machine that shows the job live, and print its address to stderr
    ///
    /// The address has a token: whoever has it sees names, messages and backtraces. By default the port is any that is free.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0", value_name = "ADDR", value_parser = parsed::<SocketAddr>("an address such as 127.0.0.1:8080"), env = "RWASM_DASHBOARD", hide_env = true, help_heading = SHOWN)]
    pub(crate) dashboard: Option<SocketAddr>,

    /// When to show progress on stderr
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", env = "RWASM_PROGRESS", hide_env = true, help_heading = SHOWN)]
    pub(crate) progress: When,
}

/// Options of every command.
#[derive(Args, Debug)]
pub(crate) struct Loudness {
    /// Print errors only
    #[arg(short, long, env = "RWASM_QUIET", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = SHOWN)]
    pub(crate) quiet: bool,

    /// Print more: timings, causes of errors, task output
    #[arg(short, long, env = "RWASM_VERBOSE", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = SHOWN)]
    pub(crate) verbose: bool,

    /// When to use colors
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", env = "RWASM_COLOR", hide_env = true, hide_short_help = true, help_heading = SHOWN)]
    pub(crate) color: When,
}

/// Refuses a number of engines that no cluster can have.
pub(crate) fn check_engines(wanted: Option<u32>) -> Result<(), CliError> {
    match wanted {
        Some(wanted) if wanted == 0 || wanted > MAX_ENGINES => {
            Err(CliError::Start(StartError::EngineCount { wanted }))
        }
        _ => Ok(()),
    }
}
