//! `conformance` in another build of this program: reading JSON takes as long to compile as everything else in here.

use crate::shell;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// Runs WASI's test suite.
pub(crate) fn run(dir: &Path, program: Option<PathBuf>) -> Result<()> {
    let mut command = shell::whole_xtask()?;
    command.arg("conformance").arg(dir);
    if let Some(program) = program {
        command.arg("--program").arg(program);
    }
    shell::run(&mut command).context("conformance")
}
