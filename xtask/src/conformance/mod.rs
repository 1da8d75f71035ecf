//! `cargo xtask conformance DIR`: WASI's own test suite, run through the program as its users run theirs. DIR is a check-out
//! of its branch with the built tests.

mod spec;

use crate::shell::{self, note};
use anyhow::{Context, Result, ensure};
use spec::Spec;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Tests that bind or listen on an address, which no grant allows: a task's sockets have the address that the system
/// picks.
const BINDING: [&str; 9] = [
    "sockets-tcp-bind",
    "sockets-tcp-connect",
    "sockets-tcp-listen",
    "sockets-tcp-receive",
    "sockets-tcp-send",
    "sockets-udp-bind",
    "sockets-udp-connect",
    "sockets-udp-receive",
    "sockets-udp-send",
];

/// A test that sets targets of requests without a slash at their beginning, which wasmtime refuses: such a target can address
/// another host than the one that the request is sent to.
const ODD_TARGETS: &str = "http-request";

/// What became of a test.
enum Ended {
    Passed,
    Skipped(&'static str),
    /// It went otherwise, and how.
    Failed(String),
}

/// Runs every test below `dir`, with this program or the one that cargo builds.
pub(crate) fn run(dir: &Path, program: Option<PathBuf>) -> Result<()> {
    let program = if let Some(program) = program {
        program
    } else {
        shell::run(shell::cargo(shell::root()).args(["build", "--locked", "-p", "rwasm-cli"]))?;
        shell::target()?.join("debug/rwasm-cluster")
    };
    let mut tests = Vec::new();
    find(dir, &mut tests).with_context(|| format!("cannot read `{}`", dir.display()))?;
    tests.sort();
    ensure!(
        !tests.is_empty(),
        "there is no built test in `{}`: check out the suite's branch `prod/testsuite-base`",
        dir.display()
    );
    let scratch = shell::target()?.join("tmp/conformance");
    let mut counts: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for test in tests {
        let suite = test.parent().and_then(Path::file_name).unwrap_or_default();
        let suite = suite.to_string_lossy().into_owned();
        let counts = counts.entry(suite).or_default();
        match one(&test, &program, &scratch).with_context(|| test.display().to_string())? {
            Ended::Passed => counts[0] += 1,
            Ended::Skipped(why) => {
                counts[1] += 1;
                note(format_args!("skipped {}: {why}", test.display()));
            }
            Ended::Failed(how) => {
                counts[2] += 1;
                note(format_args!("failed {}: {how}", test.display()));
            }
        }
    }
    let mut failed = 0;
    for (suite, [passed, skipped, wrong]) in counts {
        failed += wrong;
        shell::print(format_args!(
            "{suite}: {passed} passed, {skipped} skipped, {wrong} failed"
        ))?;
    }
    ensure!(failed == 0, "{failed} tests failed");
    Ok(())
}

fn find(dir: &Path, tests: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, tests)?;
        } else if path.extension().is_some_and(|kind| kind == "wasm") {
            tests.push(path);
        }
    }
    Ok(())
}

fn one(test: &Path, program: &Path, scratch: &Path) -> Result<Ended> {
    let spec = Spec::of(test)?;
    let name = test.file_stem().unwrap_or_default().to_string_lossy();
    if let Some(why) = spec.needs {
        return Ok(Ended::Skipped(why));
    }
    if BINDING.contains(&name.as_ref()) {
        return Ok(Ended::Skipped(
            "it binds a socket to an address of its choice",
        ));
    }
    if name == ODD_TARGETS {
        return Ok(Ended::Skipped(
            "it wants targets of requests that do not begin with a slash",
        ));
    }
    let mut command = Command::new(program);
    command.arg("run").arg(test);
    // One makes a file of 4 GiB, which is empty.
    command.args([
        "--engines",
        "1",
        "--chunk",
        "file",
        "--limit",
        "written=1TiB",
    ]);
    if let Some(root) = &spec.root {
        let copy = scratch.join("root");
        if copy.exists() {
            fs::remove_dir_all(&copy)?;
        }
        copy_dir(&test.with_file_name(root), &copy)?;
        let mut grant = copy.into_os_string();
        grant.push("::/");
        command.arg("--dir").arg(grant);
    }
    for (name, value) in &spec.env {
        command.arg("--env").arg(format!("{name}={value}"));
    }
    if spec.exit_code != 0 {
        command.arg("--ok-exit").arg(spec.exit_code.to_string());
    }
    if spec.sockets || name.starts_with("sockets") {
        command.args(["--net", "127.0.0.1:*", "--net", "[::1]:*"]);
    }
    command.arg("--").args(&spec.args);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", program.display()))?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    // A program need not read it.
    let _ = stdin.write_all(spec.stdin.as_bytes());
    drop(stdin);
    let ended = child.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&ended.stderr);
    if !ended.status.success() {
        let mut lines = stderr.lines();
        return Ok(Ended::Failed(lines.next().unwrap_or_default().to_owned()));
    }
    let stdout = String::from_utf8_lossy(&ended.stdout);
    Ok(match spec.stdout {
        Some(wanted) if stdout != wanted => {
            Ended::Failed(format!("it printed {stdout:?} instead of {wanted:?}"))
        }
        _ => Ended::Passed,
    })
}

fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_dir(&from, &to)?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}
