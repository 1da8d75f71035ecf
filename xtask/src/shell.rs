//! Running other programs, and where things are in this repository.

use anyhow::{Context, Result, bail};
use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The root of the repository: the parent of this package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask stands in the repository's root")
}

/// The workspace of the guests.
pub(crate) fn guest_root() -> PathBuf {
    root().join("guest-tasks")
}

/// Where cargo puts what it builds in the main workspace.
pub(crate) fn target() -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => Ok(env::current_dir()?.join(dir)),
        None => Ok(root().join("target")),
    }
}

/// A path as the user would write it here.
pub(crate) fn shown(path: &Path) -> String {
    let here = env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// This program with all its features, of which cargo builds the rest. They are those that the workspace's tests are built
/// with, so that little is built twice.
#[cfg(not(all(feature = "conformance", feature = "languages")))]
pub(crate) fn whole_xtask() -> Result<Command> {
    run(cargo(root()).args([
        "build",
        "--locked",
        "--workspace",
        "--all-features",
        "--bin",
        "xtask",
    ]))?;
    Ok(Command::new(target()?.join("debug/xtask")))
}

/// Says what is going on, on stderr.
pub(crate) fn note(line: impl Display) {
    // Nobody is left to hear of it where stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Gives a result, on stdout.
pub(crate) fn print(line: impl Display) -> Result<()> {
    writeln!(io::stdout().lock(), "{line}").context("cannot write to stdout")
}

/// The cargo that runs this program, in the workspace at `dir`.
pub(crate) fn cargo(dir: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(dir);
    // These belong to the run of xtask and would make cargo build what it need not.
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR")
        {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Runs a program to its end; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        bail!("`{name} {}` failed: {status}", arguments.join(" "));
    }
    Ok(())
}

/// What a program prints on stdout, or `None` where it cannot be started or fails.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A time span as people read it.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
