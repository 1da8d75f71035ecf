//! Running a module on one engine and on two, and comparing what it gives.
//!
//! Each run has a directory of its own with the same inputs, which is where its command line is read: the result is what
//! is printed, and what the entry says is left there.

use super::entry::{Entry, Expected};
use super::fetch::{Fetched, Tools};
use crate::shell;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Room for the compiled code of all modules, of which the largest take 250 MB each.
const CACHE: &str = "4GiB";

/// What all modules have in common.
pub(super) struct Place {
    program: PathBuf,
    dir: PathBuf,
    scripts: PathBuf,
    python: PathBuf,
}

/// What became of a module.
pub(super) struct Report<'a> {
    pub(super) entry: &'a Entry,
    /// As `inspect` says it, unless that refuses the module.
    pub(super) form: String,
    /// On one engine and on two, once the module is compiled; none where it does not run.
    pub(super) times: Option<[Duration; 2]>,
    /// What is otherwise than the entry says.
    pub(super) fault: Option<String>,
}

impl<'a> Report<'a> {
    /// For a module that could not be tried.
    pub(super) fn untried(entry: &'a Entry, error: &anyhow::Error) -> Self {
        Self {
            entry,
            form: String::new(),
            times: None,
            fault: Some(format!("it cannot be tried: {error:#}")),
        }
    }
}

/// What a job gave: what it printed, then the files it left.
#[derive(PartialEq)]
struct Given(Vec<(String, Vec<u8>)>);

impl Place {
    pub(super) fn new(program: PathBuf, tools: &Tools) -> Result<Self> {
        ensure!(
            program.is_file(),
            "{} is not a program",
            shell::shown(&program)
        );
        Ok(Self {
            program,
            dir: tools.dir.clone(),
            scripts: tools.scripts.clone(),
            python: tools.python.clone(),
        })
    }

    /// The program, whose compiled code is kept apart from the user's.
    fn program(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (name, dir) in [("CACHE", "cache"), ("CONFIG", "none"), ("STATE", "none")] {
            command.env(format!("RWASM_{name}_DIR"), self.dir.join(dir));
        }
        command.env("RWASM_CACHE_SIZE", CACHE);
        command.stdin(Stdio::null());
        command
    }

    /// A script of `tests/zoo`, in Python or for Node.
    fn script(&self, words: &[String], package: &Fetched) -> Result<Command> {
        let (script, arguments) = words.split_first().context("a script has a name")?;
        let path = self.scripts.join(script);
        let mut command = match path.extension().and_then(|extension| extension.to_str()) {
            Some("py") => Command::new(&self.python),
            Some("mjs") => {
                let mut node = Command::new("node");
                node.arg("--no-warnings");
                node
            }
            _ => bail!("`{script}` is neither Python nor for Node"),
        };
        command.arg(path).args(filled(arguments, package));
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// A directory for a run, with the inputs of the entry.
    fn room(&self, entry: &Entry, package: &Fetched, name: &str) -> Result<PathBuf> {
        let room = self.dir.join("runs").join(&entry.name).join(name);
        if room.exists() {
            fs::remove_dir_all(&room)
                .with_context(|| format!("cannot remove {}", room.display()))?;
        }
        fs::create_dir_all(&room).with_context(|| format!("cannot make {}", room.display()))?;
        let inputs = self.scripts.join("inputs");
        // What an entry does not name does not disturb it.
        for file in fs::read_dir(&inputs)? {
            let file = file?;
            fs::copy(file.path(), room.join(file.file_name()))?;
        }
        for words in &entry.before {
            let output = self.script(words, package)?.current_dir(&room).output()?;
            ensure!(
                output.status.success(),
                "`{}` failed: {}",
                words.join(" "),
                last_lines(&output.stderr)
            );
        }
        Ok(room)
    }
}

/// Tries a module, and compares.
pub(super) fn judge<'a>(entry: &'a Entry, package: &Fetched, place: &Place) -> Result<Report<'a>> {
    let mut report = Report {
        entry,
        form: form(place, package)?,
        times: None,
        fault: None,
    };
    match &entry.expected {
        Expected::Error { text, .. } => {
            let room = place.room(entry, package, "one")?;
            let output = run(place, entry, package, &room, 1)?;
            // `inspect` succeeds, and says on stdout what stands in the way.
            let is_inspected = entry.command.first().is_some_and(|word| word == "inspect");
            let said = if is_inspected {
                &output.stdout
            } else {
                &output.stderr
            };
            let said = String::from_utf8_lossy(said);
            if output.status.success() && !is_inspected {
                report.fault = Some("it runs, though it is listed as one that does not".to_owned());
            } else if !said.contains(text) {
                report.fault = Some(format!("the reason is not `{text}`, but: {}", said.trim()));
            }
        }
        Expected::Same(script) => {
            let room = place.room(entry, package, "reference")?;
            let output = place.script(script, package)?.current_dir(&room).output()?;
            ensure!(
                output.status.success(),
                "`{}` failed: {}",
                script.join(" "),
                last_lines(&output.stderr)
            );
            let wanted = Given::of(entry, &room, output)?;
            match same(entry, package, place, &wanted)? {
                Ok(times) => report.times = Some(times),
                Err(fault) => report.fault = Some(fault),
            }
        }
    }
    Ok(report)
}

/// Runs a module on two engines, so that it is compiled, then on one and on two; or says what is otherwise than wanted.
fn same(
    entry: &Entry,
    package: &Fetched,
    place: &Place,
    wanted: &Given,
) -> Result<Result<[Duration; 2], String>> {
    let mut times = [Duration::ZERO; 2];
    for (name, engines) in [("first", 2), ("one", 1), ("two", 2)] {
        let room = place.room(entry, package, name)?;
        let start = Instant::now();
        let output = run(place, entry, package, &room, engines)?;
        times[engines - 1] = start.elapsed();
        if !output.status.success() {
            let said = last_lines(&output.stderr);
            return Ok(Err(format!("it fails on {engines} engines: {said}")));
        }
        let given = Given::of(entry, &room, output)?;
        if let Some(what) = given.differs_in(wanted) {
            return Ok(Err(format!(
                "on {engines} engines, {what} differs from the reference; compare in {}",
                shell::shown(&place.dir.join("runs").join(&entry.name))
            )));
        }
    }
    Ok(Ok(times))
}

fn run(
    place: &Place,
    entry: &Entry,
    package: &Fetched,
    room: &Path,
    engines: usize,
) -> Result<Output> {
    let words = filled(&entry.command, package);
    let (command, arguments) = words.split_first().context("`command` is empty")?;
    let mut program = place.program();
    program.arg(command);
    if command != "inspect" {
        program.args(["--engines", &engines.to_string()]);
    }
    let output = program.args(arguments).current_dir(room).output();
    let output = output.context("cannot start the program")?;
    // What was printed lies beside what was left, for those who look into a difference.
    fs::write(room.join(STDOUT), &output.stdout)?;
    Ok(output)
}

/// Where a run's directory has what it printed.
const STDOUT: &str = "stdout";

/// `@` in words is the module, `@/` its package.
fn filled(words: &[String], package: &Fetched) -> Vec<String> {
    let module = package.module.to_string_lossy();
    let folder = package.folder.to_string_lossy();
    let fill = |word: &String| {
        if word == "@" {
            module.clone().into_owned()
        } else {
            word.replace("@/", &format!("{folder}/"))
        }
    };
    words.iter().map(fill).collect()
}

impl Given {
    fn of(entry: &Entry, room: &Path, output: Output) -> Result<Self> {
        fs::write(room.join(STDOUT), &output.stdout)?;
        let mut given = vec![("what it prints".to_owned(), output.stdout)];
        for file in &entry.files {
            let bytes =
                fs::read(room.join(file)).with_context(|| format!("no `{file}` was left"))?;
            given.push((format!("`{file}`"), bytes));
        }
        ensure!(
            given.iter().any(|(_, bytes)| !bytes.is_empty()),
            "the job gives nothing that could be compared"
        );
        Ok(Self(given))
    }

    /// The first part that is otherwise.
    fn differs_in(&self, other: &Self) -> Option<&str> {
        let parts = self.0.iter().zip(&other.0);
        let mut otherwise = parts.filter(|(mine, theirs)| mine != theirs);
        otherwise.next().map(|((name, _), _)| name.as_str())
    }
}

/// The form of a module as `inspect` calls it.
fn form(place: &Place, package: &Fetched) -> Result<String> {
    let output = place
        .program()
        .arg("inspect")
        .arg(&package.module)
        .output()
        .context("cannot start the program")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|line| line.strip_prefix("form"));
    Ok(line.map_or("core module", str::trim).to_owned())
}

/// The end of what was said, in one line.
fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(LAST_LINES);
    lines[start..].join(" / ")
}

const LAST_LINES: usize = 6;
