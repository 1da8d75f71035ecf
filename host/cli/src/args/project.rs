//! The options of the commands on task projects: `new`, `build`, `test`.

use super::values::count;
use super::{DeterminismOptions, GrantOptions, LimitOptions, Loudness};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use rwasm_cluster::Merge;
use rwasm_toolchains::Language;
use std::path::PathBuf;

/// Write a small task project, in a language of your choice.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster new wc                        a word count in Rust, in the directory wc
  rwasm-cluster new tasks/word-count --lang python
  rwasm-cluster new wc --lang c && rwasm-cluster build wc && rwasm-cluster run wc/wc.wasm book.txt",
    after_long_help = "The project works: it counts words (in C it counts lines, words and bytes), and has its functions, samples for `test`, \
and a README that says how it is built. It \
is written to a directory that is not there yet, or empty; nothing is overwritten.\n\n\
Exit codes: 0 all well, 2 the name is not one a project can have, 14 something is there already, or it cannot be written."
)]
pub(crate) struct NewArguments {
    /// The directory to make, whose last part is the project's name: words of lower-case letters and digits, with dashes between
    #[arg(value_name = "NAME")]
    pub(crate) path: PathBuf,

    /// What it is written in
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
  rwasm-cluster build                                       the project here
  rwasm-cluster build wc && rwasm-cluster run wc/wc.wasm book.txt
  rwasm-cluster build wc --component -o wc.component.wasm   as a component, for other hosts too
  rwasm-cluster build big.wasm -o small.wasm                a module made elsewhere, without its debug sections",
    after_long_help = "A project is known by its files: Cargo.toml (Rust), pyproject.toml (Python), package.json (JavaScript), or \
C and C++ sources. Its compiler is looked for, and where it is missing the commands that install it are named; nothing is \
installed. What compilers leave behind is kept in rwasm-cluster/build of the user's cache directory, or in RWASM_BUILD_DIR. \
cargo keeps it in PROJECT/target, with PROJECT/Cargo.lock beside it; where target cannot be written, in the cache directory too, and \
Cargo.lock must be there.\n\n\
The module keeps the names of its functions, which backtraces are made of, and its types, and loses its debug sections. It \
appears as PROJECT/NAME.wasm when it is complete. Its path is printed on stdout, all else on stderr.\n\n\
Exit codes: 0 all well, 2 usage, 10 there is no project, its compiler is missing, it does not compile, or what comes out is no \
module that could be run; 14 the module cannot be written."
)]
pub(crate) struct BuildArguments {
    /// The project's directory; or a .wasm file, of which only the last steps are done
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) path: PathBuf,

    /// Write the module to FILE [default: NAME.wasm in the project; a .wasm file is replaced]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Make a component of a core module that has types, or of a program
    #[arg(long)]
    pub(crate) component: bool,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// Run a task on its samples, and check the laws that its job relies on.
#[derive(Args, Debug)]
#[command(
    before_help = "Examples:
  rwasm-cluster test                       build the project here, run what is in samples/
  rwasm-cluster test wc --update           write down what it gives now
  rwasm-cluster test wc/wc.wasm            a module as it is, with the samples beside it
  rwasm-cluster test sort.wasm --samples cases -- -r",
    after_long_help = "Samples are files. X.txt (with any extension) is an input, X.expected what `run` prints for it. In calls.txt \
each line is a call and what it gives, in WAVE: greet(\"Ada\", 3) => \"…\", or => error \"the guest's message\", or => error CODE, \
or => () for nothing; lines that begin with # say nothing.\n\n\
For each input these must hold: it gives the same when it is run again, in fresh instances; on 1 engine and on several, balanced \
and direct; and where a reducer merges, wherever the input is cut, in whatever grouping neighbouring parts are reduced \
(`a`, `b` and `c` at once, or `a` and `b` first), and when a result is reduced once more alone. A command gets its inputs whole.\n\n\
Exit codes: 0 all laws hold, 11 one is broken, 2 usage, also where there are no samples; 10 as of `build`, or the module does \
not fit the job; 13 the cluster could not start; 14 a sample cannot be read or written."
)]
pub(crate) struct TestArguments {
    /// The project's directory, which is built first; or a module
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) path: PathBuf,

    /// Arguments for a WASI command
    #[arg(value_name = "ARG", last = true)]
    pub(crate) program_arguments: Vec<String>,

    /// Where the samples are [default: `samples` in the project, or beside the module]
    #[arg(long, value_name = "DIR")]
    pub(crate) samples: Option<PathBuf>,

    /// Write what the samples give now as what they should give, then check
    #[arg(long)]
    pub(crate) update: bool,

    /// Take the project's module as it is
    #[arg(long)]
    pub(crate) no_build: bool,

    /// The function to map [default: as `run`]
    #[arg(long, value_name = "NAME")]
    pub(crate) map: Option<String>,

    /// The function to merge with [default: as `run`]
    #[arg(long, value_name = "NAME", conflicts_with = "merge")]
    pub(crate) reduce: Option<String>,

    /// A built-in merge instead of a reducer; not `none`
    #[arg(long, value_parser = super::values::merge_parser(), value_name = "MERGE")]
    pub(crate) merge: Option<Merge>,

    /// The number of engines that one is compared with
    #[arg(short = 'j', long, value_name = "N", default_value = "4", value_parser = count)]
    pub(crate) engines: usize,

    /// How it is shown
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
