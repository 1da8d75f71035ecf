//! `cargo xtask fuzz`: the fuzz targets of `tests/fuzz`, for longer than the tests run them.

use crate::guests;
use crate::shell;
use crate::toolchain::Choice;
use anyhow::Result;
use std::ffi::{OsStr, OsString};

/// Runs that target, or `all`, with its options; lists the targets if none is named.
pub(crate) fn run(target: Option<&OsStr>, options: &[OsString], choice: Choice) -> Result<()> {
    let mut cargo = shell::cargo(shell::root());
    cargo.args(["test", "--locked", "--quiet"]);
    cargo.args(["-p", "rwasm-cluster", "--test", "fuzz", "--"]);
    let Some(target) = target else {
        return shell::run(cargo.arg("--list"));
    };
    guests::build(choice, false)?;
    if target != "all" {
        cargo.arg("--target").arg(target);
    }
    let mut is_path = false;
    for option in options {
        if is_path {
            // The targets run in the directory of their package.
            cargo.arg(std::path::absolute(option)?);
        } else {
            cargo.arg(option);
        }
        is_path = option == "--input";
    }
    shell::run(&mut cargo)
}
