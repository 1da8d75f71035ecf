//! `conformance` in another build of this program: reading JSON takes as long to compile as everything else in here.

use crate::shell;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs WASI's test suite.
pub(crate) fn run(dir: &Path, program: Option<PathBuf>) -> Result<()> {
    // With the features that the workspace's tests are built with, so that little is built twice.
    let arguments = [
        "build",
        "--locked",
        "--workspace",
        "--all-features",
        "--bin",
        "xtask",
    ];
    shell::run(shell::cargo(shell::root()).args(arguments))?;
    let mut command = Command::new(shell::target()?.join("debug/xtask"));
    command.arg("conformance").arg(dir);
    if let Some(program) = program {
        command.arg("--program").arg(program);
    }
    shell::run(&mut command).context("conformance")
}
