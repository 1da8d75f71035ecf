//! The arguments, as clap reads them. Nothing is opened, started or printed here but help. This file
//! and those below it are the only ones that know clap.

mod generated;
mod grants;
mod options;
mod settable;
mod usage;
mod values;
mod words;

pub(crate) use generated::{
    CompletionsArguments, ManArguments, completions, is_command, man_pages, version,
};
pub(crate) use grants::{DeterminismOptions, GrantOptions};
pub(crate) use options::{LimitOptions, Loudness, ManyOptions, TaskOptions, check_engines};
#[cfg(test)]
pub(crate) use values::LIMITS;
pub(crate) use values::{
    BoundaryArgument, InspectFormat, LimitArgument, ReuseArgument, StderrShown, View, When,
};
pub(crate) use words::{are_configured, asks_for_help};

mod cache;
#[cfg(feature = "nats")]
mod clusters;
mod doctor;
#[cfg(feature = "nats")]
mod engine;
mod history;
mod inputs;
mod project;
#[cfg(feature = "nats")]
mod remote;
#[cfg(feature = "nats")]
mod server;

pub(crate) use cache::{CacheArguments, CacheCommand, InfoArguments, PruneArguments};
#[cfg(feature = "nats")]
pub(crate) use clusters::{
    EngineListArguments, HostArgument, LabelArgument, StartArguments, StatusArguments,
    StopArguments,
};
pub(crate) use doctor::DoctorArguments;
#[cfg(feature = "nats")]
pub(crate) use history::ShownOptions;
pub(crate) use history::{
    AgainArguments, HistoryArguments, JobArguments, JobCommand, JobName, ListArguments, Printed,
    ReplayArguments, ResultArguments, RmArguments, ShowArguments, ShownAs,
};

pub(crate) use inputs::{Decompress, InputOptions};

#[cfg(feature = "nats")]
pub(crate) use engine::{DrainArguments, EngineArguments, EngineCommand, JoinArguments};
#[cfg(feature = "nats")]
pub(crate) use history::CancelArguments;
pub(crate) use project::{BuildArguments, NewArguments, TestArguments, TestFormat};
#[cfg(feature = "nats")]
pub(crate) use remote::{ClusterArgument, IdentityOptions, RemoteOptions};
#[cfg(feature = "nats")]
pub(crate) use server::{InitArguments, KeysArguments, ServerConfigArguments};

use crate::environment::config::ProjectFile;
use crate::exit::CliError;
use clap::builder::styling::Styles;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use options::{FAILURES, MODULE, OUTCOME, PLACE};
use rwasm_cluster::{Abi, Chunking, Merge};
use std::cmp::Ordering;
use std::ffi::OsString;
use std::path::PathBuf;
use usage::{conflict, examples, has_foreign_controls, usage, wanted_color};
use values::count;

/// Run many small WebAssembly tasks fast, in parallel and in a sandbox.
#[derive(Debug, Parser)]
#[command(
    name = "rwasm-cluster",
    version,
    styles = Styles::styled(),
    before_help = examples("Examples:
  rwasm-cluster new wc --lang rust
  rwasm-cluster build wc && rwasm-cluster test wc
  rwasm-cluster run wordcount.wasm --engines 4 book.txt
  rwasm-cluster run upper.wasm a.txt b.txt > both.txt
  cat *.log | rwasm-cluster run count.wasm --merge sum
  rwasm-cluster call numbers.wasm fib 30
  seq 1 1000 | rwasm-cluster map numbers.wasm add-one
  rwasm-cluster inspect wordcount.wasm
  rwasm-cluster start -n 4
  rwasm-cluster run wordcount.wasm book.txt --cluster"),
    after_help = "`rwasm-cluster help COMMAND` describes a command with all its options.",
    args_override_self = true,
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
    /// Create a small task project in a language of your choice
    New(NewArguments),
    /// Compile a task project for the cluster
    Build(BuildArguments),
    /// Run a task's samples and check that results are reproducible
    Test(Box<TestArguments>),
    /// Map a module over inputs, merge the results and print them
    Run(Box<RunArguments>),
    /// Call one function, on any engine or on several
    Call(Box<CallArguments>),
    /// Call a function on each line of a file or of stdin
    Map(Box<MapArguments>),
    /// Show the form, functions, imports, hash and WIT of a module
    Inspect(InspectArguments),
    /// Manage recorded and durable jobs: list, show, result, retry, …
    Job(Box<JobArguments>),
    /// Show or prune the cache of compiled modules
    Cache(CacheArguments),
    /// Check which isolation of tasks this machine supports
    Doctor(DoctorArguments),
    /// Start a cluster on this machine: a NATS server and engines
    #[cfg(feature = "nats")]
    Start(Box<StartArguments>),
    /// Show the server, engines and tasks of a cluster
    #[cfg(feature = "nats")]
    Status(Box<StatusArguments>),
    /// Stop the cluster on this machine; its stored data is kept
    #[cfg(feature = "nats")]
    Stop(StopArguments),
    /// Join, list and drain the engines of a cluster
    #[cfg(feature = "nats")]
    Engine(Box<EngineArguments>),
    /// Create the keys of a cluster and certificates for its server
    #[cfg(feature = "nats")]
    Keys(KeysArguments),
    /// Write the configuration of a cluster's server
    #[cfg(feature = "nats")]
    ServerConfig(Box<ServerConfigArguments>),
    /// Set up a cluster on a running server
    #[cfg(feature = "nats")]
    Init(Box<InitArguments>),
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
    /// Print the man page, or write those of all commands
    Man(ManArguments),
    /// Print the version
    Version,
}

/// The commands that run tasks, whose options can be set in the project file.
const CONFIGURED: [&str; 3] = ["run", "call", "map"];

/// The options of those commands that `-h` lists: what fits a small terminal. `--help` lists all.
const COMMON: [&str; 7] = [
    "merge",
    "max_failures",
    "engines",
    "cluster",
    "format",
    "output",
    "timeout",
];

/// Map a module over inputs, merge the results and print them.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster run wordcount.wasm -j 4 book.txt          on four engines
  rwasm-cluster run wordcount.wasm - < book.txt           stdin, not a file
  rwasm-cluster run mapper.wasm --merge none logs/*.log   one line per chunk
  rwasm-cluster run upper.wasm a.txt -- --prefix '> '     arguments for `main`",
    after_long_help = "Inputs are cut into chunks at line ends, and each chunk is a task. A WASI command gets each input \
whole, unless --chunk is given. Without INPUT, stdin is read. Of a directory, all files in it and below are read, ordered by \
name. If --max-failures is given, an input that cannot be read counts as a failed task.\n\n\
Options override environment variables (RWASM_ENGINES for --engines), which override `rwasm.toml` in the current directory \
(engines = 4). The file cannot set --limit, --output, --report, --trace and the access granted to tasks.\n\n\
Compiled modules are cached in the user's cache directory or in RWASM_CACHE_DIR, up to 1GiB or RWASM_CACHE_SIZE. An empty \
RWASM_CACHE_DIR turns the cache off.\n\n\
Exit codes:
  0    success
  1    internal error in rwasm-cluster
  2    usage error
  10   the module or its types do not fit
  11   a task failed
  12   the merge failed
  13   the cluster could not start
  14   an input cannot be read or an output cannot be written
  130  interrupted
  143  terminated"
)]
pub(crate) struct RunArguments {
    /// Module: .wasm (core module or component) or .wat text
    ///
    /// `-` reads it from stdin.
    #[arg(value_name = "MODULE")]
    pub(crate) module: PathBuf,

    /// Files and directories to map over, in this order; `-` is stdin
    #[arg(value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,

    /// Arguments for a WASI command
    #[arg(value_name = "ARG", last = true)]
    pub(crate) program_arguments: Vec<String>,

    /// Name by which a WASI command is called [default: the name of its file]
    #[arg(long, value_name = "NAME", env = "RWASM_ARGV0", hide_env = true, hide_short_help = true, help_heading = MODULE)]
    pub(crate) argv0: Option<String>,

    /// Exit codes with which a WASI command succeeds, besides 0
    ///
    /// For example `--ok-exit 10,20` for a SAT solver. What the command printed is its result. A component has a code
    /// other than 1 only if it calls `exit-with-code` of WASI 0.2.12.
    #[arg(long, value_name = "CODES", value_parser = values::parsed::<u32>("an exit code such as 10"), env = "RWASM_OK_EXIT", hide_env = true, value_delimiter = ',', num_args = 1, action = ArgAction::Append, help_heading = FAILURES, hide_short_help = true)]
    pub(crate) ok_exit: Vec<u32>,

    /// How to cut inputs: `auto`, SIZE, `lines:N`, `file` or `exact:SIZE`
    ///
    /// Only `exact` cuts within lines. The default is `auto` (small chunks first, then larger ones), and `file`
    /// for a WASI command.
    #[arg(long, value_name = "HOW", value_parser = values::read::<Chunking>, env = "RWASM_CHUNK", hide_env = true, help_heading = OUTCOME)]
    pub(crate) chunk: Option<Chunking>,

    /// Function to map [default: `mapper`, or else the only one that fits]
    ///
    /// A function fits if its only parameter is a string or list<u8>.
    #[arg(long, value_name = "NAME", env = "RWASM_MAP", hide_env = true, help_heading = OUTCOME)]
    pub(crate) map: Option<String>,

    /// Function to merge with [default: `reducer`, if it exists]
    #[arg(long, value_name = "NAME", env = "RWASM_REDUCE", hide_env = true, help_heading = OUTCOME)]
    pub(crate) reduce: Option<String>,

    #[arg(long, help = values::merge_help(), long_help = values::merge_long_help(), value_parser = values::merge_parser(), value_name = "MERGE", env = "RWASM_MERGE", hide_env = true, help_heading = OUTCOME)]
    pub(crate) merge: Option<Merge>,

    #[command(flatten)]
    pub(crate) read: InputOptions,

    #[command(flatten)]
    pub(crate) many: ManyOptions,

    #[command(flatten)]
    pub(crate) task: TaskOptions,
}

/// Call one function, on any engine or on several, and print its result.
#[derive(Args, Debug)]
#[command(
    allow_negative_numbers = true,
    before_help = "Examples:
  rwasm-cluster call numbers.wasm fib 30                 function, arguments
  rwasm-cluster call numbers.wasm 'fib(30)'              the same in WAVE
  rwasm-cluster call numbers.wasm total '[1, 2, 3]'      a list: JSON or WAVE
  rwasm-cluster call numbers.wasm fib 30 --targets all   on each engine
  rwasm-cluster call lib.wasm greet -- --name            starts with a dash",
    after_long_help = "Each ARG is one argument: write strings and bytes as they are, anything else as JSON or WAVE. Trailing \
arguments of an option type can be omitted. A function without a result prints nothing.\n\n\
The environment, `rwasm.toml` and the exit codes are described in `run --help`. In addition, exit code 2 means that the \
arguments do not fit the function, and 10 that the function does not exist."
)]
pub(crate) struct CallArguments {
    /// Module: .wasm (core module or component) or .wat text
    ///
    /// `-` reads it from stdin.
    #[arg(value_name = "MODULE")]
    pub(crate) module: PathBuf,

    /// Function, or a call in WAVE with the arguments in parentheses
    ///
    /// Of a component, calls may follow each other: `codec.new(3).encode` calls a method of a resource that was made for it.
    #[arg(value_name = "FUNCTION", required_unless_present = "script")]
    pub(crate) function: Option<String>,

    /// Arguments of the function, or of its program
    ///
    /// A function without parameters leaves them to the program, if the module reads its command line.
    #[arg(value_name = "ARG")]
    pub(crate) arguments: Vec<OsString>,

    /// Call functions of one instance one after the other, as FILE says, instead of FUNCTION
    ///
    /// A line is a call with its arguments in WAVE, as in `let codec = codec.new(3)` and `codec.encode($data)`: a variable, which
    /// may be a resource, and a parameter, which is an ARG. The last line gives the result.
    #[arg(long, value_name = "FILE", hide_short_help = true, help_heading = MODULE)]
    pub(crate) script: Option<PathBuf>,

    /// Name by which the program is called, which its functions can read [default: the name of its file]
    #[arg(long, value_name = "NAME", env = "RWASM_ARGV0", hide_env = true, hide_short_help = true, help_heading = MODULE)]
    pub(crate) argv0: Option<String>,

    #[command(flatten)]
    pub(crate) task: TaskOptions,
}

/// Call a function on each line of a file or of stdin and print its results.
#[derive(Args, Debug)]
#[command(
    allow_negative_numbers = true,
    before_help = "Examples:
  seq 1 1000 | rwasm-cluster map numbers.wasm add-one       each line of stdin
  rwasm-cluster map numbers.wasm fib numbers.txt -j 4       four engines
  echo '[7, 2]' | rwasm-cluster map numbers.wasm add        two parameters
  rwasm-cluster map m.wasm score in.txt --max-failures 1%   tolerate failures",
    after_long_help = "Each line is an argument list. If the function has one parameter, the line is its value (strings and \
bytes as they are, anything else as JSON or WAVE); if it has several, the line is a JSON array or a WAVE list. A line that does \
not parse counts as a failed task with the code bad-input.\n\n\
Results are printed as they arrive, in the order of the lines unless --unordered is given, as one JSON document per line unless \
--format is given. A percentage in --max-failures is checked at the end, when the number of tasks is known. `--view direct` \
reads all lines before it starts.\n\n\
The environment, `rwasm.toml` and the exit codes are described in `run --help`."
)]
pub(crate) struct MapArguments {
    /// Module: .wasm (core module or component) or .wat text
    ///
    /// `-` reads it from stdin.
    #[arg(value_name = "MODULE")]
    pub(crate) module: PathBuf,

    /// Function to call
    #[arg(value_name = "FUNCTION")]
    pub(crate) function: String,

    /// File with one argument list per line; stdin if omitted or `-`
    #[arg(value_name = "INPUT")]
    pub(crate) input: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) many: ManyOptions,

    #[command(flatten)]
    pub(crate) task: TaskOptions,

    /// Tasks per dispatch to an engine [default: tuned automatically]
    #[arg(long, value_name = "N", value_parser = count, env = "RWASM_DISPATCH_SIZE", hide_env = true, help_heading = PLACE)]
    pub(crate) dispatch_size: Option<usize>,

    /// Lines to read ahead of the printed results, at most [default: as memory allows]
    #[arg(long, value_name = "N", value_parser = count, env = "RWASM_MAX_OUTSTANDING", hide_env = true, help_heading = PLACE)]
    pub(crate) max_outstanding: Option<usize>,
}

/// Show the form, functions, imports, hash and WIT of a module.
#[derive(Args, Debug)]
#[command(before_help = "Examples:
  rwasm-cluster inspect wordcount.wasm                form, functions, imports
  rwasm-cluster inspect wordcount.wasm --format wit   as WIT, for a project")]
pub(crate) struct InspectArguments {
    /// Module: .wasm (core module or component) or .wat text
    ///
    /// `-` reads it from stdin.
    #[arg(value_name = "MODULE")]
    pub(crate) module: PathBuf,

    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: InspectFormat,

    /// How plain functions take text: `ptr-len`, `assemblyscript` or `numbers`
    #[arg(long, value_name = "ABI", value_parser = values::read::<Abi>, env = "RWASM_ABI", hide_env = true)]
    pub(crate) abi: Option<Abi>,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

impl Arguments {
    /// Reads the command line and the environment, with the project file's settings behind them.
    pub(crate) fn parse_with(file: &ProjectFile) -> Result<Self, CliError> {
        let mut command = Self::command().color(wanted_color());
        if has_foreign_controls() {
            // Colors could not be told from what the words bring along.
            command = command.styles(Styles::plain());
        }
        if !asks_for_help() {
            file.check(&settable::by_any(&command, &CONFIGURED), settable::refusal)?;
        }
        let is_short = std::env::args_os().any(|word| word == "-h");
        // Values of its options may be, but no input is a negative number, and `-0` is an option.
        command = command.mut_subcommand("run", |run| {
            run.mut_args(|argument| {
                let may_be = argument.get_action().takes_values() && !argument.is_positional();
                argument.allow_negative_numbers(may_be)
            })
        });
        for name in CONFIGURED {
            command = command.mut_subcommand(name, |command| briefly(command, is_short));
            // As in `start -n 4`. An argument of `call` may be `-nan`.
            if name != "call" {
                command = command.mut_subcommand(name, |command| {
                    command.mut_arg("engines", |engines| engines.short_alias('n'))
                });
            }
            // A setting of other commands has no effect on this one.
            let known = command.find_subcommand(name).map(settable::by);
            let known = known.unwrap_or_default();
            for (id, value) in file.settings().iter().filter(|(id, _)| known.contains(id)) {
                let (id, value) = (id.clone(), value.clone());
                command = command.mut_subcommand(name, move |command| {
                    command.mut_arg(id, |argument| argument.default_value(value))
                });
            }
        }
        let matches = command
            .try_get_matches_from_mut(std::env::args_os())
            .map_err(|error| usage(error, &command, file))?;
        let mut arguments =
            Self::from_arg_matches(&matches).map_err(|error| usage(error, &command, file))?;
        if let Some((name, matches)) = matches.subcommand() {
            arguments
                .settle(matches)
                .map_err(|options| conflict(options, &mut command, (name, matches), file))?;
        }
        Ok(arguments)
    }

    pub(crate) fn verbose(&self) -> bool {
        match &self.command {
            Command::New(new) => new.loudness.verbose,
            Command::Build(build) => build.loudness.verbose,
            Command::Test(test) => test.loudness.verbose,
            Command::Run(run) => run.task.loudness.verbose,
            Command::Call(call) => call.task.loudness.verbose,
            Command::Map(map) => map.task.loudness.verbose,
            Command::Inspect(inspect) => inspect.loudness.verbose,
            Command::Job(job) => job.command.loudness().verbose,
            Command::Cache(cache) => cache.command.loudness().verbose,
            Command::Doctor(doctor) => doctor.loudness.verbose,
            #[cfg(feature = "nats")]
            Command::Start(start) => start.loudness.verbose,
            #[cfg(feature = "nats")]
            Command::Status(status) => status.shown.loudness.verbose,
            #[cfg(feature = "nats")]
            Command::Stop(stop) => stop.loudness.verbose,
            #[cfg(feature = "nats")]
            Command::Engine(engine) => engine.command.loudness().verbose,
            #[cfg(feature = "nats")]
            Command::Keys(keys) => keys.loudness.verbose,
            #[cfg(feature = "nats")]
            Command::ServerConfig(config) => config.loudness.verbose,
            #[cfg(feature = "nats")]
            Command::Init(init) => init.loudness.verbose,
            Command::Completions(_) | Command::Man(_) | Command::Version => false,
        }
    }

    /// Of two options that exclude each other, the one from the nearer source holds: the command
    /// line before the environment, that before the project file. Two of one source conflict.
    fn settle(&mut self, matches: &ArgMatches) -> Result<(), (&'static str, &'static str)> {
        if let Command::Run(run) = &mut self.command
            && run.reduce.is_some()
            && run.merge.is_some()
        {
            match rank(matches, "reduce").cmp(&rank(matches, "merge")) {
                Ordering::Less => run.reduce = None,
                Ordering::Greater => run.merge = None,
                Ordering::Equal => return Err(("reduce", "merge")),
            }
        }
        // The environment and the project file speak to all commands: a job that merges does not
        // heed them.
        if let Command::Run(run) = &mut self.command
            && run.merge != Some(Merge::None)
        {
            let is_typed = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
            run.many.unordered &= is_typed("unordered");
            run.task.elements &= is_typed("elements");
        }
        let is_typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        #[cfg(feature = "nats")]
        {
            let many = match &mut self.command {
                Command::Run(run) => Some(&mut run.many),
                Command::Map(map) => Some(&mut map.many),
                _ => None,
            };
            if let Some(many) = many {
                let ids = OF_THOSE_WHO_WATCH.into_iter();
                many.typed = ids.filter(|id| is_typed(id)).collect();
            }
        }
        #[cfg(feature = "nats")]
        if let (Command::Job(job), Some((_, matches))) = (&mut self.command, matches.subcommand())
            && let Some(remote) = job.command.remote_of_one()
        {
            let source = matches.value_source("cluster");
            remote.is_typed = source == Some(ValueSource::CommandLine);
        }
        let task = match &mut self.command {
            Command::Run(run) => Some(&mut run.task),
            Command::Call(call) => Some(&mut call.task),
            Command::Map(map) => Some(&mut map.task),
            _ => None,
        };
        if let Some(task) = task {
            task.engines_typed = is_typed("engines");
            task.boundary_typed = is_typed("boundary");
        }
        let Some(loudness) = self.loudness() else {
            return Ok(());
        };
        if loudness.quiet && loudness.verbose {
            match rank(matches, "quiet").cmp(&rank(matches, "verbose")) {
                Ordering::Less => loudness.quiet = false,
                Ordering::Greater => loudness.verbose = false,
                Ordering::Equal => return Err(("quiet", "verbose")),
            }
        }
        Ok(())
    }

    /// How much the command prints, if options and the environment settle that together.
    fn loudness(&mut self) -> Option<&mut Loudness> {
        Some(match &mut self.command {
            Command::New(new) => &mut new.loudness,
            Command::Build(build) => &mut build.loudness,
            Command::Test(test) => &mut test.loudness,
            Command::Run(run) => &mut run.task.loudness,
            Command::Call(call) => &mut call.task.loudness,
            Command::Map(map) => &mut map.task.loudness,
            Command::Inspect(inspect) => &mut inspect.loudness,
            #[cfg(feature = "nats")]
            Command::Start(start) => &mut start.loudness,
            #[cfg(feature = "nats")]
            Command::Status(status) => &mut status.shown.loudness,
            #[cfg(feature = "nats")]
            Command::Stop(stop) => &mut stop.loudness,
            #[cfg(feature = "nats")]
            Command::Engine(_) => return None,
            #[cfg(feature = "nats")]
            Command::Keys(keys) => &mut keys.loudness,
            #[cfg(feature = "nats")]
            Command::ServerConfig(config) => &mut config.loudness,
            #[cfg(feature = "nats")]
            Command::Init(init) => &mut init.loudness,
            // Its options are read as they stand, from the command line and the environment.
            Command::Job(_)
            | Command::Cache(_)
            | Command::Doctor(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Version => return None,
        })
    }
}

/// Options that say something to whoever watches a job to its end.
#[cfg(feature = "nats")]
const OF_THOSE_WHO_WATCH: [&str; 8] = [
    "output",
    "report",
    "trace",
    "dashboard",
    "history",
    "stats",
    "unordered",
    "elements",
];

/// How near the source of an option's value is.
fn rank(matches: &ArgMatches, id: &str) -> u8 {
    match matches.value_source(id) {
        Some(ValueSource::CommandLine) => 3,
        Some(ValueSource::EnvVariable) => 2,
        _ => 1,
    }
}

/// A command whose `-h` fits a small terminal: it lists common options only, and without headings.
fn briefly(command: clap::Command, is_short: bool) -> clap::Command {
    command.mut_args(|argument| {
        let id = argument.get_id().as_str();
        let is_listed =
            COMMON.contains(&id) || argument.is_positional() && id != "program_arguments";
        let argument = argument.hide_short_help(!is_listed);
        if is_short {
            argument.help_heading(None).hide_possible_values(true)
        } else {
            argument
        }
    })
}
