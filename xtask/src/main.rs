//! Developer commands: `cargo xtask guests`, `cargo xtask demo`, `cargo xtask test`,
//! `cargo xtask bench`, `cargo xtask fuzz`, `cargo xtask nats`.
//!
//! Each sets up what it needs and says what it does on stderr; results go to stdout.

mod count;
mod demo;
mod fuzz;
mod guests;
mod languages;
mod nats;
mod over_nats;
mod shell;
mod tables;
mod test;
mod text;
mod toolchain;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use toolchain::Choice;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of rwasm-cluster")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// What compiles the guests.
    #[arg(long, value_enum, default_value_t, global = true)]
    toolchain: Choice,
}

#[derive(Subcommand)]
enum Command {
    /// Build the guests and print where each is.
    Guests {
        /// Those in C, Python and JavaScript too; installs what compiles them where it is missing.
        #[arg(long)]
        all: bool,
    },
    /// Count the words of a text on 4 engines, and check the counts against a serial count.
    Demo {
        /// The texts; without any, one of 64 MiB is made.
        files: Vec<PathBuf>,
    },
    /// Build everything and run every test, lint and format check.
    Test {
        /// The steps that have this in their name, and no others.
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// Passed on to the tests of the workspace, for instance the name of one.
        #[arg(last = true)]
        filter: Vec<String>,
    },
    /// Try random inputs on a part of the host, for as long as is wanted.
    Fuzz(fuzz::Arguments),
    /// Make the tables of characters that the word counts in C and JavaScript have.
    Tables,
    /// Fetch the NATS server that the tests of clusters run against, and print where it is.
    Nats,
    /// Measure what isolation costs, beside a raw wasmtime loop in the same run.
    Bench,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Guests { all } => {
            guests::build(arguments.toolchain, all).and_then(|guests| guests::list(&guests))
        }
        Command::Demo { files } => demo::run(files, arguments.toolchain),
        Command::Fuzz(wanted) => fuzz::run(&wanted, arguments.toolchain),
        Command::Tables => tables::write(),
        Command::Nats => nats::server()
            .and_then(|server| shell::print(format_args!("{}", shell::shown(&server)))),
        Command::Bench => bench(arguments.toolchain),
        Command::Test { only, filter } => test::run(only.as_deref(), &filter, arguments.toolchain),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::note(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn bench(choice: Choice) -> anyhow::Result<()> {
    guests::build(choice, false)?;
    shell::run(shell::cargo(shell::root()).args([
        "bench",
        "--locked",
        "-p",
        "rwasm-cluster",
        "--bench",
        "isolated",
    ]))
}
