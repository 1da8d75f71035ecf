//! `cargo xtask test`: everything that must hold before a change goes in, one step after the other.

use crate::guests;
use crate::nats;
use crate::over_nats;
use crate::shell::{self, note, seconds};
use crate::toolchain::Choice;
use crate::zoo;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Instant;

/// How a step ended that did not fail.
enum Done {
    Passed,
    /// What it needs is missing, and is not part of a usual installation.
    Skipped(&'static str),
}

/// A step has a name and something to do.
type Step<'a> = (&'static str, &'a dyn Fn() -> Result<Done>);

/// The tests whose subject the boundary can change: what tasks are given, what they may use and how they end.
const BEHIND: [&str; 19] = [
    "boundary::",
    "call::",
    "concurrent::",
    "elements::",
    "environment::",
    "failures::",
    "grants_files::",
    "host_functions::",
    "host_interface::",
    "hostile::",
    "http::",
    "languages::",
    "limits::",
    "map::",
    "network::",
    "notes::",
    "scripts::",
    "signals::",
    "time_limits::",
];

/// Runs the suite with its tasks in worker processes; with `all`, the whole of it.
fn behind_the_boundary(all: bool, filter: &[String]) -> Result<Done> {
    if cfg!(not(target_os = "linux")) {
        return Ok(Done::Skipped("the boundary needs Linux"));
    }
    let mut cargo = main_cargo("test");
    cargo.args(["--test", "suite"]).args(filter);
    cargo.env("SUITE_BOUNDARY", "process");
    if !all && filter.is_empty() {
        cargo.arg("--").args(BEHIND);
    }
    pass(&mut cargo)
}

/// Runs every step, up to the first that fails, or those with `only` in their name; with `all` those too that take long.
/// `filter` goes to the tests of the main workspace.
pub(crate) fn run(all: bool, only: Option<&str>, filter: &[String], choice: Choice) -> Result<()> {
    let steps: [Step; 13] = [
        ("formatting", &formatting),
        ("building the guests", &|| {
            guests::build(choice, true).map(|_| Done::Passed)
        }),
        ("fetching the NATS server", &|| {
            nats::server().map(|_| Done::Passed)
        }),
        ("lints of the guests", &|| lints(&mut guest_cargo("clippy"))),
        ("tests of the guests", &|| pass(&mut guest_cargo("test"))),
        ("lints", &|| lints(&mut main_cargo("clippy"))),
        ("features of the library", &features),
        ("tests", &|| {
            let mut cargo = main_cargo("test");
            if all {
                cargo.env("SUITE_WHOLE", "1");
            }
            pass(cargo.args(filter))
        }),
        ("tests over NATS", &|| {
            let mut cargo = main_cargo("test");
            cargo.args(["--test", "suite"]).args(filter);
            over_nats::run(&mut cargo).map(|()| Done::Passed)
        }),
        ("tests behind the boundary", &|| {
            behind_the_boundary(all, filter)
        }),
        ("a sample of the zoo", &|| {
            zoo::sample().map(|()| Done::Passed)
        }),
        ("documentation", &documentation),
        ("licenses and advisories", &dependencies),
    ];
    let long: [Step; 1] = [("packages", &packages)];
    let is_wanted = |name: &str| only.is_none_or(|only| name.contains(only));
    let steps: Vec<Step> = steps
        .into_iter()
        .chain(long.into_iter().filter(|_| all))
        .filter(|(name, _)| is_wanted(name))
        .collect();
    let count = steps.len();
    if count == 0 {
        bail!(
            "test: there is no step with `{}` in its name",
            only.unwrap_or_default()
        );
    }
    let mut skipped = 0;
    for (number, (name, step)) in (1..).zip(steps) {
        note(format_args!("test: [{number}/{count}] {name} ..."));
        let start = Instant::now();
        let done =
            step().with_context(|| format!("test: step {number} of {count}, {name}, failed"))?;
        let time = seconds(start.elapsed());
        match done {
            Done::Passed => note(format_args!(
                "test: [{number}/{count}] {name}: passed in {time}"
            )),
            Done::Skipped(why) => {
                skipped += 1;
                note(format_args!(
                    "test: [{number}/{count}] {name}: skipped, {why}"
                ));
            }
        }
    }
    let tail = if skipped == 0 {
        String::new()
    } else {
        format!(", {skipped} skipped")
    };
    shell::print(format_args!(
        "test: all {} steps passed{tail}",
        count - skipped
    ))
}

fn formatting() -> Result<Done> {
    needs("fmt", "rustfmt")?;
    for workspace in [shell::root(), &shell::guest_root()] {
        shell::run(shell::cargo(workspace).args(["fmt", "--all", "--check"]))?;
    }
    Ok(Done::Passed)
}

fn lints(clippy: &mut Command) -> Result<Done> {
    needs("clippy", "clippy")?;
    pass(clippy.args(["--all-targets", "--", "-D", "warnings"]))
}

/// The library with no features and with each by itself, since an embedder chooses; and that those that share a build of
/// wasmtime do so.
fn features() -> Result<Done> {
    for features in [
        "",
        "dashboard",
        "deterministic",
        "history",
        "metrics",
        "nats",
    ] {
        let mut cargo = shell::cargo(shell::root());
        cargo.args([
            "clippy",
            "--locked",
            "-p",
            "rwasm-cluster",
            "--no-default-features",
        ]);
        shell::run(cargo.args(["--features", features, "--", "-D", "warnings"]))?;
    }
    let embedder = selected(&[
        "-p",
        "rwasm-cluster",
        "--no-default-features",
        "-e",
        "normal",
    ])?;
    for unwanted in [
        "async-nats v",
        "clap v",
        "indicatif v",
        "rusqlite v",
        "preserve_order",
        "test-util",
    ] {
        if let Some(found) = embedder.iter().find(|line| line.contains(unwanted)) {
            bail!("the library without features has `{found}`, which embedders would compile");
        }
    }
    // The program as the demo builds it.
    let mut cargo = shell::cargo(shell::root());
    cargo.args([
        "clippy",
        "--locked",
        "-p",
        "rwasm-cli",
        "--no-default-features",
    ]);
    shell::run(cargo.args(["--", "-D", "warnings"]))?;
    let tests = selected(&["--workspace", "--all-features", "-e", "normal,build,dev"])?;
    let builds: [&[&str]; 3] = [
        &[
            "-p",
            "rwasm-cli",
            "--no-default-features",
            "-e",
            "normal,build",
        ],
        &["-p", "rwasm-cli", "-e", "normal,build"],
        &["-p", "rwasm-cluster", "-e", "normal,build,dev"],
    ];
    for build in builds {
        let selected = selected(build)?;
        let others: Vec<&str> = selected.difference(&tests).map(String::as_str).collect();
        ensure!(
            others.is_empty(),
            "`cargo tree {}` selects other features than the tests do, so that wasmtime is compiled once more: {}; \
             host/cli/Cargo.toml has a list for such features",
            build.join(" "),
            others.join(", ")
        );
    }
    Ok(Done::Passed)
}

/// The packages from elsewhere that a selection is built of, each with its version and features.
fn selected(arguments: &[&str]) -> Result<BTreeSet<String>> {
    let mut cargo = shell::cargo(shell::root());
    cargo.args(["tree", "--locked", "--prefix", "none", "-f", "{p} {f}"]);
    let tree = shell::answer(cargo.args(arguments)).context("`cargo tree` failed")?;
    let lines = tree.lines().map(|line| line.trim_end_matches(" (*)"));
    let foreign = lines.filter(|line| !line.is_empty() && !line.contains("rwasm-"));
    Ok(foreign.map(str::to_owned).collect())
}

/// Packs every package as it would be published, builds each from what was packed, and makes a project in each language
/// with the program that comes of it.
fn packages() -> Result<Done> {
    // Built in a directory of its own, where no other build leaves a program of that name.
    let target = shell::target()?.join("packages");
    let mut cargo = shell::cargo(shell::root());
    cargo.args(["package", "--workspace", "--exclude", "xtask", "--locked"]);
    shell::run(cargo.arg("--target-dir").arg(&target))?;
    let program = target.join("debug/rwasm-cluster");
    let dir = shell::target()?.join("tmp/packages");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    for language in ["rust", "c", "go", "python", "js"] {
        let project = dir.join(language);
        shell::run(
            Command::new(&program)
                .args(["new", "--lang", language])
                .arg(&project),
        )?;
    }
    let sdk = dir.join("rust/vendor/rwasm-task/Cargo.toml");
    ensure!(
        sdk.exists(),
        "the packed program has no SDK: {} is missing",
        sdk.display()
    );
    Ok(Done::Passed)
}

fn documentation() -> Result<Done> {
    let mut cargo = shell::cargo(shell::root());
    cargo.args([
        "doc",
        "--locked",
        "--no-deps",
        "-p",
        "rwasm-value",
        "-p",
        "rwasm-sandbox",
        "-p",
        "rwasm-boundary",
        "-p",
        "rwasm-history",
        "-p",
        "rwasm-cluster",
        "--lib",
    ]);
    pass(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}

fn dependencies() -> Result<Done> {
    if !has("deny") {
        return Ok(Done::Skipped(
            "cargo-deny is not installed: `cargo install cargo-deny` gets it",
        ));
    }
    let deny = |arguments: &[&str]| {
        let mut cargo = shell::cargo(shell::root());
        cargo.args(["deny", "--workspace"]).args(arguments);
        cargo
    };
    shell::run(&mut deny(&["check", "bans", "licenses", "sources"]))?;
    if shell::answer(&mut deny(&["fetch", "db"])).is_none() {
        note("advisories: skipped, their database cannot be fetched from here");
        return Ok(Done::Passed);
    }
    pass(&mut deny(&["check", "advisories"]))
}

/// With all features, in the profile for development.
fn main_cargo(command: &str) -> Command {
    let mut cargo = shell::cargo(shell::root());
    cargo.args([command, "--workspace", "--all-features", "--locked"]);
    cargo
}

/// On this machine and not as WebAssembly: their unit tests are about their logic.
fn guest_cargo(command: &str) -> Command {
    let mut cargo = shell::cargo(&shell::guest_root());
    cargo.args([command, "--workspace", "--locked", "--target-dir", "target"]);
    cargo
}

fn pass(command: &mut Command) -> Result<Done> {
    shell::run(command).map(|()| Done::Passed)
}

/// Whether cargo knows this command.
fn has(command: &str) -> bool {
    shell::answer(shell::cargo(shell::root()).args([command, "--version"])).is_some()
}

fn needs(command: &str, component: &str) -> Result<()> {
    if !has(command) {
        bail!("`cargo {command}` is missing: `rustup component add {component}` gets it");
    }
    Ok(())
}
