//! The table of modules, on stdout and in the book.

use super::entry::{Entry, Expected, Registry};
use super::judge::Report;
use crate::shell;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

/// The page of the book, whose table stands between these lines.
const PAGE: &str = "docs/src/reference/modules.md";
const BEGIN: &str = "<!-- begin: what `cargo xtask zoo` found -->\n";
const END: &str = "<!-- end -->\n";

const HEAD: &str = "\
| module | package | does | form | needs | works | 1 engine | 2 engines |
|---|---|---|---|---|---|---|---|
";

/// The table as Markdown: those that run, then those that do not.
pub(super) fn render(reports: &[Report]) -> String {
    let mut table = HEAD.to_owned();
    let runs = |report: &&Report| matches!(report.entry.expected, Expected::Same(_));
    let (run, not): (Vec<_>, Vec<_>) = reports.iter().partition(runs);
    for report in run.into_iter().chain(not) {
        row(&mut table, report);
    }
    table
}

fn row(table: &mut String, report: &Report) {
    let Report {
        entry, form, times, ..
    } = report;
    let works = match &entry.expected {
        Expected::Same(_) if times.is_some() => "yes",
        Expected::Same(_) => "no",
        Expected::Error { why, .. } => why,
    };
    let [one, two] = times.map_or([String::new(), String::new()], |times| times.map(shown));
    let registry = match entry.package.registry {
        Registry::PyPi => "PyPI",
        Registry::Npm => "npm",
    };
    // Writing to a string does not fail.
    let _ = writeln!(
        table,
        "| {} | {registry}: {} {} | {} | {form} | {} | {works} | {one} | {two} |",
        entry.name,
        entry.package.name,
        entry.package.version,
        entry.does,
        needs(entry),
    );
}

/// The grants and limits that the command line gives beside its inputs.
fn needs(entry: &Entry) -> String {
    let mut needs = Vec::new();
    let options = entry.command.iter().take_while(|word| *word != "--");
    let mut options = options.peekable();
    while let Some(word) = options.next() {
        let value = options.peek().map(|value| value.as_str());
        match (word.as_str(), value) {
            ("--dir", Some(value)) if value.ends_with(":ro") => {
                needs.push("a directory to read".to_owned());
            }
            ("--dir", Some(_)) => needs.push("a directory".to_owned()),
            (
                "--memory" | "--timeout" | "--limit" | "--ok-exit" | "--clock" | "--env",
                Some(value),
            ) => {
                needs.push(format!("`{word} {value}`"));
            }
            _ => {}
        }
    }
    needs.dedup();
    needs.join(", ")
}

fn shown(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Puts the table into the book.
pub(super) fn write(reports: &[Report]) -> Result<()> {
    let page = shell::root().join(PAGE);
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {PAGE}"))?;
    let (before, rest) = text
        .split_once(BEGIN)
        .with_context(|| format!("{PAGE} has no line `{}`", BEGIN.trim_end()))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("{PAGE} has no line `{}`", END.trim_end()))?;
    let table = render(reports);
    fs::write(&page, format!("{before}{BEGIN}{table}{END}{after}"))
        .with_context(|| format!("cannot write {PAGE}"))
}
