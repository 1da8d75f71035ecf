//! `cargo xtask fuzz`: the fuzz targets of `tests/fuzz`, for longer than the tests run them.

use crate::guests;
use crate::shell;
use crate::toolchain::Choice;
use anyhow::Result;
use std::ffi::OsString;

/// Runs the target that comes first in `options`, or all of them; lists them if there is none.
pub(crate) fn run(options: &[OsString], choice: Choice) -> Result<()> {
    let mut cargo = shell::cargo(shell::root());
    cargo.args(["test", "--locked", "--quiet"]);
    cargo.args(["-p", "rwasm-cluster", "--test", "fuzz", "--"]);
    let Some((target, options)) = options.split_first() else {
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
