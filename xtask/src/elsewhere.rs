//! `languages` in another build of this program: compiling guests in other languages than Rust needs readers of WIT,
//! which take as long to compile as everything else in here, and which the demo does without.

use crate::guests::Guest;
use crate::shell::{self, note};
use anyhow::{Context, Result, ensure};
use std::process::Stdio;

/// Builds the guests of all languages but Rust.
pub(crate) fn build() -> Result<Vec<Guest>> {
    note("guests: building what compiles the other languages");
    let output = shell::whole_xtask()?
        .arg("languages")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start xtask again")?;
    ensure!(
        output.status.success(),
        "the guests in other languages: {}",
        output.status
    );
    let listed = String::from_utf8(output.stdout).context("xtask has not listed guests")?;
    listed.lines().map(Guest::from_line).collect()
}
