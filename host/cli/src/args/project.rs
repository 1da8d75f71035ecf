//! The options of the commands on task projects: `new`, `build`, `test`.

use super::values::count;
use super::{DeterminismOptions, GrantOptions, LimitOptions, Loudness};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use rwasm_cluster::Merge;
use rwasm_toolchains::Language;
use std::path::PathBuf;

/// Create a small task project in a language of your choice.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster new wc   a word count in Rust, in directory wc
  rwasm-cluster new tasks/word-count --lang python
  rwasm-cluster build wc && rwasm-cluster run wc/wc.wasm wc/samples/book.txt",
    after_long_help = "The project is ready to run. It counts words (in C: lines, words and bytes), and has samples for \
`test` and a README with instructions. The directory must be new or empty; nothing is overwritten.\n\n\
Exit codes:
  0    success
  2    usage error, or an invalid project name
  14   the directory is not empty or cannot be written"
)]
pub(crate) struct NewArguments {
    /// Directory to create; its last part is the name of the project
    ///
    /// A name consists of words of lower-case letters and digits, separated by single dashes.
    #[arg(value_name = "NAME")]
    pub(crate) path: PathBuf,

    /// Language
    #[arg(long = "lang", value_name = "LANGUAGE", default_value = "rust", value_parser = language())]
    pub(crate) language: Language,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

fn language() -> impl TypedValueParser<Value = Language> {
    PossibleValuesParser::new(Language::ALL.map(Language::name))
        .try_map(|name| name.parse::<Language>())
}

/// Compile a task project for the cluster.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster build                             the project here
  rwasm-cluster build wc --component -o wc.wasm   a component, for any host
  rwasm-cluster build big.wasm -o small.wasm      strip debug sections",
    after_long_help = "The files of a project show its language: Cargo.toml (Rust), go.mod (Go), pyproject.toml (Python), package.json \
(JavaScript), or C and C++ sources. If the compiler is missing, the error shows the commands that install it; nothing is \
installed automatically. Build files go to rwasm-cluster/build in the user's cache directory, or to RWASM_BUILD_DIR. Rust \
projects use PROJECT/target and PROJECT/Cargo.lock; if target is read-only, build files go to the cache directory as well, and \
Cargo.lock must exist.\n\n\
The module keeps its types and the names of its functions, which backtraces use, and debug sections are stripped. It appears as \
PROJECT/NAME.wasm once it is complete. Its path is printed to stdout, everything else to stderr.\n\n\
Exit codes:
  0    success
  2    usage error
  10   no project, missing compiler, compile error, or an invalid module
  14   the module cannot be written"
)]
pub(crate) struct BuildArguments {
    /// Directory of the project, or a .wasm file to post-process
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) path: PathBuf,

    /// Write the module to FILE [default: NAME.wasm in the project]
    ///
    /// By default, a .wasm file that is named is replaced.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Turn a core module with types, or a program, into a component
    #[arg(long)]
    pub(crate) component: bool,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Run a task's samples and check that results are reproducible.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster test                                   the project here
  rwasm-cluster test wc --update                       accept the results
  rwasm-cluster test wc/wc.wasm                        a module
  rwasm-cluster test sort.wasm --samples cases -- -r   arguments for `main`",
    after_long_help = "Samples are files: X.txt (or any extension) is an input, X.expected is what `run` prints for it. Each line \
of calls.txt is a call and its result in WAVE: greet(\"Ada\", 3) => \"…\", or => error \"the guest's message\", or => error CODE, \
or => () for no result. Lines starting with # are comments.\n\n\
The result of each input must be the same when the task runs again in a fresh instance, and on one engine or several, balanced or \
direct. If a reducer merges, the result must not depend on where the input is cut or how neighboring parts are grouped (`a`, `b` \
and `c` at once, or `a` and `b` first), and reducing a result again must not change it. A command gets each input whole.\n\n\
Exit codes:
  0    all checks passed
  2    usage error, or no samples
  10   the build failed, or the module does not fit the job
  11   a check failed
  13   the cluster could not start
  14   a sample cannot be read or written"
)]
pub(crate) struct TestArguments {
    /// Directory of the project, which is built first, or a module
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) path: PathBuf,

    /// Arguments for a WASI command
    #[arg(value_name = "ARG", last = true)]
    pub(crate) program_arguments: Vec<String>,

    /// Directory of the samples [default: `samples` beside the module]
    #[arg(long, value_name = "DIR")]
    pub(crate) samples: Option<PathBuf>,

    /// Record the current results as the expected ones, then check
    #[arg(long)]
    pub(crate) update: bool,

    /// Test the existing module of the project without building it
    #[arg(long)]
    pub(crate) no_build: bool,

    /// Function to map [default: as for `run`]
    #[arg(long, value_name = "NAME")]
    pub(crate) map: Option<String>,

    /// Function to merge with [default: as for `run`]
    #[arg(long, value_name = "NAME", conflicts_with = "merge")]
    pub(crate) reduce: Option<String>,

    #[arg(long, help = super::values::merge_help(), value_parser = super::values::merge_parser(), hide_possible_values = true, value_name = "MERGE")]
    pub(crate) merge: Option<Merge>,

    /// Number of engines to compare with one engine
    #[arg(short = 'j', long, value_name = "N", default_value = "4", value_parser = count)]
    pub(crate) engines: usize,

    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: TestFormat,

    #[command(flatten)]
    pub(crate) limits: LimitOptions,

    #[command(flatten)]
    pub(crate) grants: GrantOptions,

    #[command(flatten)]
    pub(crate) determinism: DeterminismOptions,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// How `test` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestFormat {
    /// A line for each check
    #[default]
    Text,
    /// One JSON document
    Json,
}
