//! The command line of `cargo xtask`.
//!
//! It is read with `lexopt`, which has no derive macros: `cargo xtask demo` compiles this program before anything else,
//! and nobody is told what goes on until that is done.

use crate::attacks;
use crate::toolchain::Choice;
use crate::zoo;
use lexopt::{Arg, Parser, ValueExt as _};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const HELP: &str = "\
Developer commands of rwasm-cluster

Usage: cargo xtask [--toolchain auto|rustup|debian] COMMAND

Commands:
  demo [FILE...]                 Count words on 4 engines and compare with a serial count; makes 64 MiB of text if no
                                 file is named
  test [--all] [--only TEXT] [-- ARG...]
                                 Build everything and run every test, lint and format check; `--all` includes what takes
                                 too long for every change, `--only` picks the steps whose names contain TEXT, ARGs go
                                 to `cargo test`
  guests [--all]                 Build the guests and print where each is; `--all` includes C, Go, Python and JavaScript,
                                 and installs their compilers if they are missing
  fuzz [TARGET|all] [OPTION...]  Try random inputs on a part of the host; lists the targets if none is named.
                                 Options: --time 60s, --runs N, --seed N, --only N, --input FILE
  bench                          Measure what isolation costs, beside a raw wasmtime loop
  attacks [--program PATH] [--seconds N] [NAME...]
                                 Run attacks on the program for 60 s each, beside a neighbour, and print what it took;
                                 fails if one takes more than it may
  conformance [--program PATH] DIR
                                 Run WASI's test suite, whose built tests are in DIR, and print what passes
  zoo [--program PATH] [--sample] [--write] [NAME...]
                                 Fetch modules that others publish, run each on one and on two engines and compare what it
                                 gives with its own package; `--sample` takes the small ones that the tests take, `--write`
                                 updates the table in the book
  nats                           Fetch the NATS server that tests use and print where it is
  help                           Print this
  tables                         Generate the character tables of the word counts in C and JavaScript

Options:
      --toolchain CHOICE  The compiler of Rust guests: `auto` (the first that is installed, else the first that can be),
                          `rustup` (the compiler in use), `debian` (Debian's packages) [default: auto]
  -h, --help              Print help
";

pub(crate) struct Arguments {
    pub(crate) command: Command,
    pub(crate) toolchain: Choice,
}

pub(crate) enum Command {
    Help,
    Guests {
        all: bool,
    },
    Demo {
        files: Vec<PathBuf>,
    },
    Test {
        all: bool,
        only: Option<String>,
        filter: Vec<String>,
    },
    Fuzz {
        target: Option<OsString>,
        /// As the fuzz targets take them: names with their values.
        options: Vec<OsString>,
    },
    Tables,
    Nats,
    Bench,
    Attacks(attacks::Options),
    Conformance {
        dir: PathBuf,
        program: Option<PathBuf>,
    },
    Zoo(zoo::Options),
    /// Builds the guests in other languages than Rust, and lists them for the program that asks.
    Languages,
}

impl Arguments {
    pub(crate) fn parse() -> Result<Self, lexopt::Error> {
        Self::from(Parser::from_env())
    }

    fn from(mut parser: Parser) -> Result<Self, lexopt::Error> {
        let mut toolchain = Choice::default();
        let mut command = None;
        while let Some(argument) = parser.next()? {
            match (argument, &mut command) {
                (Arg::Short('h') | Arg::Long("help"), _) => command = Some(Command::Help),
                (Arg::Long("toolchain"), _) => toolchain = parser.value()?.parse()?,
                (Arg::Value(name), None) => command = Some(Command::named(&name)?),
                (Arg::Long("all"), Some(Command::Guests { all } | Command::Test { all, .. })) => {
                    *all = true;
                }
                (Arg::Value(file), Some(Command::Demo { files })) => files.push(file.into()),
                (Arg::Long("only"), Some(Command::Test { only, .. })) => {
                    *only = Some(parser.value()?.string()?);
                }
                (
                    Arg::Long(name @ ("time" | "runs" | "seed" | "only" | "input")),
                    Some(Command::Fuzz { options, .. }),
                ) => {
                    options.push(format!("--{name}").into());
                    options.push(parser.value()?);
                }
                (Arg::Value(name), Some(Command::Fuzz { target, .. })) if target.is_none() => {
                    *target = Some(name);
                }
                (Arg::Long("program"), Some(Command::Attacks(options))) => {
                    options.program = Some(parser.value()?.into());
                }
                (Arg::Long("program"), Some(Command::Conformance { program, .. })) => {
                    *program = Some(parser.value()?.into());
                }
                (Arg::Value(path), Some(Command::Conformance { dir, .. }))
                    if dir.as_os_str().is_empty() =>
                {
                    *dir = path.into();
                }
                (Arg::Long("seconds"), Some(Command::Attacks(options))) => {
                    options.time = Duration::from_secs(parser.value()?.parse()?);
                }
                (Arg::Value(name), Some(Command::Attacks(options))) => {
                    options.names.push(name.string()?);
                }
                (Arg::Long("program"), Some(Command::Zoo(options))) => {
                    options.program = Some(parser.value()?.into());
                }
                (Arg::Long("sample"), Some(Command::Zoo(options))) => options.sample = true,
                (Arg::Long("write"), Some(Command::Zoo(options))) => options.write = true,
                (Arg::Value(name), Some(Command::Zoo(options))) => {
                    options.names.push(name.string()?);
                }
                (Arg::Value(_), Some(Command::Help)) => {}
                // What `--` stands before.
                (Arg::Value(word), Some(Command::Test { filter, .. })) => {
                    filter.push(word.string()?);
                }
                (argument, _) => return Err(argument.unexpected()),
            }
        }
        if let Some(Command::Conformance { dir, .. }) = &command
            && dir.as_os_str().is_empty()
        {
            return Err("conformance: name the directory with the built tests".into());
        }
        Ok(Self {
            command: command.unwrap_or(Command::Help),
            toolchain,
        })
    }
}

impl Command {
    fn named(name: &OsString) -> Result<Self, lexopt::Error> {
        Ok(match name.to_string_lossy().as_ref() {
            "help" => Self::Help,
            "guests" => Self::Guests { all: false },
            "demo" => Self::Demo { files: Vec::new() },
            "test" => Self::Test {
                all: false,
                only: None,
                filter: Vec::new(),
            },
            "fuzz" => Self::Fuzz {
                target: None,
                options: Vec::new(),
            },
            "tables" => Self::Tables,
            "nats" => Self::Nats,
            "bench" => Self::Bench,
            "attacks" => Self::Attacks(attacks::Options::default()),
            "conformance" => Self::Conformance {
                dir: PathBuf::new(),
                program: None,
            },
            "zoo" => Self::Zoo(zoo::Options::default()),
            "languages" => Self::Languages,
            unknown => return Err(format!("unknown command `{unknown}`").into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, lexopt::Error> {
        Arguments::from(Parser::from_args(words))
    }

    #[test]
    fn commands_have_their_own_options() {
        let test = parse(&["test", "--only", "lints", "--", "call::", "--nocapture"]);
        let Ok(Arguments {
            command:
                Command::Test {
                    all: false,
                    only,
                    filter,
                },
            ..
        }) = test
        else {
            panic!("the words are understood");
        };
        assert_eq!(only.as_deref(), Some("lints"));
        assert_eq!(filter, ["call::", "--nocapture"]);
        assert!(matches!(
            parse(&["--toolchain", "debian", "guests", "--all"]),
            Ok(Arguments {
                command: Command::Guests { all: true },
                toolchain: Choice::Debian
            })
        ));
        let fuzz = parse(&["fuzz", "json", "--input=crash", "--runs", "3"]);
        let Ok(Arguments {
            command: Command::Fuzz { target, options },
            ..
        }) = fuzz
        else {
            panic!("the words are understood");
        };
        assert_eq!(target.as_deref(), Some("json".as_ref()));
        assert_eq!(options, ["--input", "crash", "--runs", "3"]);
        assert!(parse(&["fuzz", "json", "--rnus", "3"]).is_err());
        let attacks = parse(&["attacks", "--seconds", "10", "stdin", "--program=p", "tiny"]);
        let Ok(Arguments {
            command: Command::Attacks(options),
            ..
        }) = attacks
        else {
            panic!("the words are understood");
        };
        assert_eq!(options.time, Duration::from_secs(10));
        assert_eq!(options.names, ["stdin", "tiny"]);
        assert_eq!(options.program, Some("p".into()));
        let zoo = parse(&["zoo", "--sample", "--program", "p", "xxhash"]);
        let Ok(Arguments {
            command: Command::Zoo(options),
            ..
        }) = zoo
        else {
            panic!("the words are understood");
        };
        assert!(options.sample && !options.write);
        assert_eq!(options.names, ["xxhash"]);
        assert!(parse(&["demo", "--all"]).is_err());
        assert!(parse(&["dmeo"]).is_err());
    }
}
