//! `cargo xtask fuzz`: the fuzz targets of `tests/fuzz`, for longer than the tests run them.

use crate::guests;
use crate::shell;
use crate::toolchain::Choice;
use anyhow::Result;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is fuzzed, or `all`; without any, what there is to fuzz is listed.
    target: Option<String>,
    /// How long, like 60s or 10m [default: as many runs as in the tests]
    #[arg(long, conflicts_with_all = ["runs", "only", "input"])]
    time: Option<String>,
    /// How many inputs.
    #[arg(long, conflicts_with_all = ["only", "input"])]
    runs: Option<u64>,
    /// What the inputs are made of: the same seed makes the same ones.
    #[arg(long)]
    seed: Option<u64>,
    /// The input of this number only.
    #[arg(long, conflicts_with = "input")]
    only: Option<u64>,
    /// The input in this file only.
    #[arg(long)]
    input: Option<PathBuf>,
}

pub(crate) fn run(wanted: &Arguments, choice: Choice) -> Result<()> {
    let mut cargo = shell::cargo(shell::root());
    cargo.args(["test", "--release", "--locked", "--quiet"]);
    cargo.args(["-p", "rwasm-cluster", "--test", "fuzz", "--"]);
    let Some(target) = &wanted.target else {
        return shell::run(cargo.arg("--list"));
    };
    guests::build(choice, false)?;
    if target != "all" {
        cargo.args(["--target", target]);
    }
    let numbers = [
        ("--runs", wanted.runs),
        ("--seed", wanted.seed),
        ("--only", wanted.only),
    ];
    for (option, number) in numbers {
        if let Some(number) = number {
            cargo.args([option, &number.to_string()]);
        }
    }
    if let Some(time) = &wanted.time {
        cargo.args(["--time", time]);
    }
    if let Some(input) = &wanted.input {
        // The targets run in the directory of their package.
        cargo.arg("--input").arg(std::path::absolute(input)?);
    }
    shell::run(&mut cargo)
}
