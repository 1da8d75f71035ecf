//! Developer commands: `cargo xtask guests`, `cargo xtask demo`, `cargo xtask test`,
//! `cargo xtask bench`, `cargo xtask attacks`, `cargo xtask conformance`, `cargo xtask fuzz`, `cargo xtask nats`,
//! `cargo xtask zoo`.
//!
//! Each sets up what it needs and says what it does on stderr; results go to stdout.

mod arguments;

mod attacks;
#[cfg(feature = "conformance")]
mod conformance;
#[cfg(not(feature = "conformance"))]
#[path = "conformance_elsewhere.rs"]
mod conformance;
mod count;
mod demo;
mod fuzz;
mod guests;
#[cfg(feature = "languages")]
mod languages;
#[cfg(not(feature = "languages"))]
#[path = "elsewhere.rs"]
mod languages;
mod nats;
mod over_nats;
mod shell;
mod tables;
mod test;
mod text;
mod toolchain;
mod zoo;

use arguments::{Arguments, Command};
use std::process::ExitCode;
use toolchain::Choice;

fn main() -> ExitCode {
    let arguments = match Arguments::parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            shell::note(format_args!(
                "error: {error}\n\nFor more information, try `cargo xtask help`."
            ));
            return ExitCode::from(2);
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::note(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(Arguments { command, toolchain }: Arguments) -> anyhow::Result<()> {
    match command {
        Command::Help => shell::print(arguments::HELP.trim_end()),
        Command::Guests { all } => {
            guests::build(toolchain, all).and_then(|guests| guests::list(&guests))
        }
        Command::Demo { files } => demo::run(files, toolchain),
        Command::Test { all, only, filter } => test::run(all, only.as_deref(), &filter, toolchain),
        Command::Fuzz { target, options } => fuzz::run(target.as_deref(), &options, toolchain),
        Command::Tables => tables::write(),
        Command::Nats => nats::server()
            .and_then(|server| shell::print(format_args!("{}", shell::shown(&server)))),
        Command::Bench => bench(toolchain),
        Command::Attacks(options) => attacks::run(&options),
        Command::Conformance { dir, program } => conformance::run(&dir, program),
        Command::Zoo(options) => zoo::run(&options),
        Command::Languages => languages::build().and_then(|guests| {
            guests
                .iter()
                .try_for_each(|guest| shell::print(guest.line()))
        }),
    }
}

fn bench(choice: Choice) -> anyhow::Result<()> {
    guests::build(choice, false)?;
    shell::run(shell::cargo(shell::root()).args([
        "bench",
        "--locked",
        "--profile",
        "dist",
        "-p",
        "rwasm-cluster",
        "--bench",
        "isolated",
    ]))
}
