//! The arguments, as clap reads them. Nothing is opened, started or printed here but help.

use super::config::ProjectFile;
use super::exit::CliError;
use clap::builder::BoolishValueParser;
use clap::builder::styling::Styles;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{
    ArgAction, ArgMatches, Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand,
    ValueEnum,
};
use rwasm_cluster::format::Format;
use rwasm_cluster::{ByteSize, Chunking, MAX_TABLE_ELEMENTS, Tolerance};
use std::cmp::Ordering;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Runs many small WebAssembly tasks fast, in parallel and in a sandbox.
#[derive(Debug, Parser)]
#[command(
    name = "rwasm-cluster",
    version,
    styles = Styles::styled(),
    before_help = "Examples:
  rwasm-cluster run wordcount.wasm --engines 4 book.txt
  rwasm-cluster run upper.wasm a.txt b.txt > both.txt
  cat *.log | rwasm-cluster run count.wasm --merge sum
  rwasm-cluster inspect wordcount.wasm",
    after_help = "`rwasm-cluster COMMAND --help` says more, with all options.",
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Map a module over inputs, merge what comes out, print it
    Run(Box<RunArguments>),
    /// Show what a module is: its form, functions with types, imports, hash
    Inspect(InspectArguments),
}

const OUTCOME: &str = "Result";
const PLACE: &str = "Engines";
const LIMITS: &str = "Limits of each task";
const FAILURES: &str = "Failures";
const SHOWN: &str = "What is shown";

/// Map a module over inputs, merge what comes out, print it.
#[derive(Args, Debug)]
#[command(
    allow_negative_numbers = true,
    before_help = "Examples:
  rwasm-cluster run wordcount.wasm --engines 4 book.txt   count words on four engines
  rwasm-cluster run wordcount.wasm - < book.txt           the same from stdin
  rwasm-cluster run mapper.wasm --merge none logs/*.log   one JSON line per chunk
  rwasm-cluster run upper.wasm a.txt -- --prefix '> '     arguments for a WASI command",
    after_long_help = "Inputs are cut into chunks at line ends, each chunk is a task; a WASI command \
gets each input whole unless --chunk says otherwise. Without INPUT, stdin is read.\n\n\
Options can be set in the environment (--engines as RWASM_ENGINES) and, but for --limit, --output and \
--report, in rwasm.toml of the current directory (engines = 4); the command line goes before the \
environment, that before the file. Compiled modules are kept in the user's cache directory, or in \
RWASM_CACHE_DIR; set to nothing, none are kept.\n\n\
Exit codes: 0 all well, 2 usage, 10 the module or its types do not fit, 11 a task failed, 12 the merge \
failed, 13 the cluster could not start, 14 an input or output could not be read or written, 130 \
interrupted, 143 terminated, 1 a fault of rwasm-cluster."
)]
pub(crate) struct RunArguments {
    /// The module: .wasm (core module or component) or .wat text
    #[arg(value_name = "MODULE")]
    pub(crate) module: PathBuf,

    /// Files to map over, in this order; `-` is stdin
    #[arg(value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,

    /// Arguments for a WASI command
    #[arg(value_name = "ARG", last = true)]
    pub(crate) program_arguments: Vec<String>,

    /// Number of engines [default: the cores this process may use]
    #[arg(short = 'j', long, value_name = "N", env = "RWASM_ENGINES", hide_env = true, help_heading = PLACE)]
    pub(crate) engines: Option<u32>,

    /// Which engine runs which chunk
    #[arg(long, value_enum, default_value_t, value_name = "VIEW", env = "RWASM_VIEW", hide_env = true, help_heading = PLACE)]
    pub(crate) view: View,

    /// Engines of a direct view: `all`, ids `0,2`, ranges `1..3` (3 included)
    #[arg(long, default_value = "all", value_name = "IDS", env = "RWASM_TARGETS", hide_env = true, hide_short_help = true, help_heading = PLACE)]
    pub(crate) targets: TargetList,

    /// How long an instance of the module lives
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", env = "RWASM_REUSE", hide_env = true, hide_short_help = true, help_heading = PLACE)]
    pub(crate) reuse: ReuseArgument,

    /// How inputs are cut: `auto`, a size, `lines:N`, `file`, `exact:SIZE`
    ///
    /// All but `exact` cut after line ends. By default `auto` (small chunks first, then larger
    /// ones), for a WASI command `file`.
    #[arg(long, value_name = "HOW", env = "RWASM_CHUNK", hide_env = true, help_heading = OUTCOME)]
    pub(crate) chunk: Option<Chunking>,

    /// The function to map [default: `mapper`, else the only one that takes one string or list<u8>]
    #[arg(long, value_name = "NAME", env = "RWASM_MAP", hide_env = true, help_heading = OUTCOME)]
    pub(crate) map: Option<String>,

    /// The function to merge with [default: `reducer`, if there is one]
    #[arg(long, value_name = "NAME", env = "RWASM_REDUCE", hide_env = true, help_heading = OUTCOME)]
    pub(crate) reduce: Option<String>,

    /// A built-in merge instead of a reducer
    #[arg(long, value_enum, value_name = "MERGE", env = "RWASM_MERGE", hide_env = true, help_heading = OUTCOME)]
    pub(crate) merge: Option<MergeArgument>,

    /// How the result is written [default: text; with --merge none: jsonl]
    ///
    /// In `json` and `jsonl` a list<u8>, such as a command's output, is a base64 string; `raw`
    /// writes strings and bytes as they are and refuses anything else.
    #[arg(long, value_name = "FORMAT", env = "RWASM_FORMAT", hide_env = true, value_parser = format_parser(), help_heading = OUTCOME)]
    pub(crate) format: Option<Format>,

    /// Write the result to FILE, which appears when it is complete
    #[arg(short, long, value_name = "FILE", env = "RWASM_OUTPUT", hide_env = true, help_heading = OUTCOME)]
    pub(crate) output: Option<PathBuf>,

    /// Time of one run of a task
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = duration, env = "RWASM_TIMEOUT", hide_env = true, help_heading = LIMITS)]
    pub(crate) timeout: Duration,

    /// Memory of a task
    #[arg(long, default_value = "256MiB", value_name = "SIZE", value_parser = positive_size, env = "RWASM_MEMORY", hide_env = true, help_heading = LIMITS)]
    pub(crate) memory: ByteSize,

    /// Instructions of a task, in units of fuel; counting them slows it down
    #[arg(long, value_name = "N", env = "RWASM_FUEL", hide_env = true, hide_short_help = true, help_heading = LIMITS)]
    pub(crate) fuel: Option<u64>,

    /// Another limit: input, output or logs=SIZE, table-elements or handles=N
    ///
    /// Defaults: input=64MiB (what is copied into a guest; a command's stdin has no limit),
    /// output=64MiB, logs=64KiB, table-elements=100000, handles=256.
    #[arg(long = "limit", value_name = "NAME=VALUE",
        value_delimiter = ',',
        env = "RWASM_LIMIT",
        hide_env = true, hide_short_help = true, help_heading = LIMITS)]
    pub(crate) limits: Vec<LimitArgument>,

    /// Time of the whole job
    #[arg(long, value_name = "TIME", value_parser = duration, env = "RWASM_DEADLINE", hide_env = true, hide_short_help = true, help_heading = FAILURES)]
    pub(crate) deadline: Option<Duration>,

    /// How often a failed task runs again
    #[arg(long, default_value_t = 0, value_name = "N", env = "RWASM_RETRIES", hide_env = true, help_heading = FAILURES)]
    pub(crate) retries: u32,

    /// Failed tasks the job bears: a number, or a percentage like 2%
    #[arg(long, default_value = "0", value_name = "N|P%", env = "RWASM_MAX_FAILURES", hide_env = true, help_heading = FAILURES)]
    pub(crate) max_failures: Tolerance,

    /// Refuse a module that imports what this host does not offer
    #[arg(long, env = "RWASM_STRICT_IMPORTS", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, hide_short_help = true, help_heading = FAILURES)]
    pub(crate) strict_imports: bool,

    /// Print tasks, times and a line per engine to stderr
    #[arg(long, env = "RWASM_STATS", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = SHOWN)]
    pub(crate) stats: bool,

    /// Write a JSON document on the job, if it ends well, to FILE: tasks, figures, limits, hashes
    #[arg(long, value_name = "FILE", env = "RWASM_REPORT", hide_env = true, hide_short_help = true, help_heading = SHOWN)]
    pub(crate) report: Option<PathBuf>,

    /// A progress bar on stderr
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", env = "RWASM_PROGRESS", hide_env = true, hide_short_help = true, help_heading = SHOWN)]
    pub(crate) progress: When,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Show what a module is: its form, functions with types, imports, hash.
#[derive(Args, Debug)]
#[command(before_help = "Example:\n  rwasm-cluster inspect wordcount.wasm")]
pub(crate) struct InspectArguments {
    /// The module: .wasm (core module or component) or .wat text
    #[arg(value_name = "MODULE")]
    pub(crate) module: PathBuf,

    /// How it is shown
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: InspectFormat,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Options of every command.
#[derive(Args, Debug)]
pub(crate) struct Loudness {
    /// Print errors only
    #[arg(short, long, env = "RWASM_QUIET", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = SHOWN)]
    pub(crate) quiet: bool,

    /// Print more: where time goes, causes of errors
    #[arg(short, long, env = "RWASM_VERBOSE", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = SHOWN)]
    pub(crate) verbose: bool,

    /// Colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", env = "RWASM_COLOR", hide_env = true, hide_short_help = true, help_heading = SHOWN)]
    pub(crate) color: When,
}

/// Which engine runs which chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// Whichever is free
    #[default]
    Balanced,
    /// Fixed beforehand: each engine gets a contiguous block of the input
    Direct,
}

/// How long an instance lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReuseArgument {
    /// A fresh one for every task
    #[default]
    None,
    /// One for the tasks handed over together
    Dispatch,
    /// One per engine: state lives between tasks
    Engine,
}

/// A built-in merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MergeArgument {
    /// All values in a list
    Collect,
    /// Strings, bytes or lists joined
    Concat,
    /// The sum of numbers, or of the numbers of equal keys
    Sum,
    /// The least value
    Min,
    /// The greatest value
    Max,
    /// The number of outcomes
    Count,
    /// Each outcome on a line of its own
    None,
}

/// When something is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How `inspect` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum InspectFormat {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// The engines of a direct view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetList {
    All,
    Only(Vec<u32>),
}

impl FromStr for TargetList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self::All);
        }
        let wanted = || {
            format!("`{text}` names no engines: write `all`, ids like `0,2` or ranges like `1..3`")
        };
        let mut ids = Vec::new();
        for part in text.split(',') {
            match part.split_once("..") {
                None => ids.push(part.trim().parse().map_err(|_| wanted())?),
                Some((first, last)) => {
                    let first: u32 = first.trim().parse().map_err(|_| wanted())?;
                    let last: u32 = last.trim().parse().map_err(|_| wanted())?;
                    if last < first || last - first >= rwasm_cluster::MAX_ENGINES {
                        return Err(wanted());
                    }
                    ids.extend(first..=last);
                }
            }
        }
        let mut seen = ids.clone();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() < ids.len() {
            return Err(format!("`{text}` names an engine twice"));
        }
        Ok(Self::Only(ids))
    }
}

/// A limit that has no option of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitArgument {
    Input(ByteSize),
    Output(ByteSize),
    Logs(ByteSize),
    TableElements(usize),
    Handles(usize),
}

impl FromStr for LimitArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NAMES: &str = "input=SIZE, output=SIZE, logs=SIZE, table-elements=N, handles=N";
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` sets no limit: write {NAMES}"))?;
        let size = || value.parse::<ByteSize>().map_err(|error| error.to_string());
        let number = || {
            value
                .parse::<usize>()
                .map_err(|_| format!("`{value}` is no number of {name}"))
        };
        match name {
            "input" => size().map(Self::Input),
            "output" => size().map(Self::Output),
            "logs" => size().map(Self::Logs),
            "table-elements" => match number()? {
                number if number > MAX_TABLE_ELEMENTS => Err(format!(
                    "a task has at most {MAX_TABLE_ELEMENTS} table elements"
                )),
                number => Ok(Self::TableElements(number)),
            },
            "handles" => number().map(Self::Handles),
            _ => Err(format!("there is no limit `{name}`: write {NAMES}")),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a time like 500ms, 30s or 2h"))?;
    if duration.is_zero() {
        Err("a time of 0 leaves none".to_owned())
    } else {
        Ok(duration)
    }
}

fn positive_size(text: &str) -> Result<ByteSize, String> {
    let size = text
        .parse::<ByteSize>()
        .map_err(|error| error.to_string())?;
    if size.bytes() == 0 {
        Err("a size of 0 leaves no room".to_owned())
    } else {
        Ok(size)
    }
}

fn format_parser() -> impl clap::builder::TypedValueParser<Value = Format> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(Format::ALL.map(Format::name)).try_map(|name| name.parse::<Format>())
}

impl Arguments {
    /// Reads the command line and the environment, with the project file's settings behind them.
    pub(crate) fn parse_with(file: &ProjectFile) -> Result<Self, CliError> {
        let mut command = Self::command().color(wanted_color());
        file.check(&settable(&command))?;
        for (name, value) in file.settings() {
            let value = value.clone();
            let name = name.clone();
            command = command.mut_subcommand("run", move |run| {
                run.mut_arg(name, |arg| arg.default_value(value))
            });
        }
        let matches = command
            .try_get_matches_from_mut(std::env::args_os())
            .map_err(|error| usage(&error, file))?;
        let mut arguments =
            Self::from_arg_matches(&matches).map_err(|error| usage(&error, file))?;
        if let (Command::Run(run), Some(matches)) =
            (&mut arguments.command, matches.subcommand_matches("run"))
        {
            run.settle(matches).map_err(|(one, other)| {
                let message = format!("the argument '--{one}' cannot be used with '--{other}'");
                usage(&command.error(ErrorKind::ArgumentConflict, message), file)
            })?;
        }
        Ok(arguments)
    }

    pub(crate) fn verbose(&self) -> bool {
        match &self.command {
            Command::Run(run) => run.loudness.verbose,
            Command::Inspect(inspect) => inspect.loudness.verbose,
        }
    }
}

impl RunArguments {
    /// Of two options that exclude each other, the one from the nearer source holds: the command
    /// line before the environment, that before the project file. Two of one source conflict.
    fn settle(&mut self, matches: &ArgMatches) -> Result<(), (&'static str, &'static str)> {
        let rank = |id: &str| match matches.value_source(id) {
            Some(ValueSource::CommandLine) => 3,
            Some(ValueSource::EnvVariable) => 2,
            _ => 1,
        };
        if self.reduce.is_some() && self.merge.is_some() {
            match rank("reduce").cmp(&rank("merge")) {
                Ordering::Less => self.reduce = None,
                Ordering::Greater => self.merge = None,
                Ordering::Equal => return Err(("reduce", "merge")),
            }
        }
        if self.loudness.quiet && self.loudness.verbose {
            match rank("quiet").cmp(&rank("verbose")) {
                Ordering::Less => self.loudness.quiet = false,
                Ordering::Greater => self.loudness.verbose = false,
                Ordering::Equal => return Err(("quiet", "verbose")),
            }
        }
        Ok(())
    }
}

/// Help and version are no errors; anything else is the user's mistake, with clap's own words.
fn usage(error: &clap::Error, file: &ProjectFile) -> CliError {
    if !error.use_stderr() {
        // A reader that has gone away needs no help.
        let _ = error.print();
        std::process::exit(0);
    }
    CliError::Usage {
        rendered: error.render().ansi().to_string(),
        plain: error.render().to_string(),
        file: file.path_if_used(&error.to_string()),
    }
}

/// Colours are wanted as the option says, else as the environment does; before parsing, since
/// clap's own messages have colours.
fn wanted_color() -> ColorChoice {
    let mut arguments = std::env::args().skip_while(|argument| !argument.starts_with("--color"));
    let value = match arguments.next() {
        Some(argument) => match argument.split_once('=') {
            Some((_, value)) => Some(value.to_owned()),
            None => arguments.next(),
        },
        None => std::env::var("RWASM_COLOR").ok(),
    };
    match value.as_deref() {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

/// The options of `run` that a project file may set, by their long names.
fn settable(command: &clap::Command) -> Vec<String> {
    command
        .find_subcommand("run")
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .filter(|argument| {
            argument.get_long().is_some() && !matches!(argument.get_action(), ArgAction::Append)
        })
        .map(|argument| argument.get_id().to_string())
        .filter(|id| !["help", "version", "output", "report"].contains(&id.as_str()))
        .collect()
}
