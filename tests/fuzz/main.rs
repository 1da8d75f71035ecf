//! Fuzz targets: random and hostile inputs for what reads them, on the stable toolchain.
//!
//! `options` reads the command line, `runner` gives each target a process of its own and watches it, `worker` is what
//! happens in there. A target makes an input of a seeded generator and runs it: the same seed and number give the same
//! input on every machine. `bytes`, `sections` and `text` change given inputs, `types` makes values of random bytes,
//! `guests` has real modules, `tasks` calls what a module exports.
//!
//! `cargo test` runs each target for a fixed number of runs; `cargo xtask fuzz` for as long as one likes.

mod options;
mod runner;
mod worker;

mod bytes;
mod guests;
mod sections;
mod tasks;
mod text;
mod types;

mod arguments;
mod chunks;
mod components;
mod loader;
mod lowering;
mod modules;
mod values;

use options::{Action, Options};
use std::process::ExitCode;

/// What is fuzzed, under one name.
#[derive(Clone, Copy)]
struct Target {
    name: &'static str,
    /// In one line, for the list.
    about: &'static str,
    /// How often it runs in `cargo test`: about as many as take four seconds.
    runs: u64,
    start: fn() -> Box<dyn Fuzz>,
}

/// A target that is ready to run.
trait Fuzz {
    /// One input, which follows from the generator alone.
    fn input(&mut self, random: &mut fastrand::Rng) -> Vec<u8>;

    /// Panics where the input shows a fault.
    fn run(&mut self, input: &[u8]);
}

const TARGETS: [Target; 7] = [
    loader::TARGET,
    modules::TARGET,
    components::TARGET,
    lowering::TARGET,
    values::TARGET,
    arguments::TARGET,
    chunks::TARGET,
];

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            say(&format!("fuzz: {message}"));
            return ExitCode::from(2);
        }
    };
    let chosen: Vec<Target> = TARGETS
        .into_iter()
        .filter(|target| options.wants(target.name))
        .collect();
    if chosen.is_empty() && options.target.is_some() {
        say("fuzz: there is no such target: `cargo xtask fuzz` lists them");
        return ExitCode::from(2);
    }
    match options.action {
        Action::List => {
            for target in chosen {
                say(&format!("{:12}{}", target.name, target.about));
            }
            ExitCode::SUCCESS
        }
        Action::Work => worker::work(chosen[0], &options),
        Action::Run => runner::run(&chosen, &options),
    }
}

/// To stdout, as the reports of other tests.
#[expect(clippy::print_stdout, reason = "the report of a test")]
fn say(line: &str) {
    println!("{line}");
}
