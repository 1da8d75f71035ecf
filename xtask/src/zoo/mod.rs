//! `cargo xtask zoo`: modules that others publish, each doing its real job through the program on one engine and on two,
//! with the same bytes as its package's own wrapper or wasmtime's Python package gives.
//!
//! What each is, and how it is run, is data: `tests/zoo/modules`. This knows how packages are fetched, not what they do.

mod entry;
mod fetch;
mod judge;
mod table;

use crate::shell::{self, note, seconds};
use anyhow::{Result, ensure};
use entry::Entry;
use fetch::Tools;
use judge::{Place, Report};
use std::path::PathBuf;
use std::time::Instant;

#[derive(Default)]
pub(crate) struct Options {
    /// Built by cargo if it is not named.
    pub(crate) program: Option<PathBuf>,
    /// Run the small ones that the suite runs.
    pub(crate) sample: bool,
    /// Update the table in the book.
    pub(crate) write: bool,
    /// All if none is named.
    pub(crate) names: Vec<String>,
}

/// Runs those that the suite runs, with the program that cargo builds.
pub(crate) fn sample() -> Result<()> {
    run(&Options {
        sample: true,
        ..Options::default()
    })
}

/// Runs what is asked for, and fails if a module does otherwise than its entry says.
pub(crate) fn run(options: &Options) -> Result<()> {
    let entries = entry::all()?;
    let wanted = wanted(&entries, options)?;
    let program = match &options.program {
        Some(program) => std::path::absolute(program)?,
        None => build()?,
    };
    let tools = Tools::new()?;
    let place = Place::new(program, &tools)?;
    let mut reports = Vec::new();
    let mut wrong = Vec::new();
    for entry in wanted {
        note(format_args!("zoo: {} ...", entry.name));
        let start = Instant::now();
        let tried = tools
            .package(entry)
            .and_then(|package| judge::judge(entry, &package, &place));
        let report = tried.unwrap_or_else(|error| Report::untried(entry, &error));
        if let Some(fault) = &report.fault {
            note(format_args!("zoo: {}: {fault}", entry.name));
            wrong.push(entry.name.as_str());
        }
        note(format_args!(
            "zoo: {}: {} in {}",
            entry.name,
            if report.fault.is_some() {
                "wrong"
            } else {
                "as expected"
            },
            seconds(start.elapsed())
        ));
        reports.push(report);
    }
    shell::print(table::render(&reports).trim_end())?;
    ensure!(
        wrong.is_empty(),
        "modules that do otherwise than tests/zoo says: {}",
        wrong.join(", ")
    );
    if options.write {
        table::write(&reports)?;
    }
    summary(&reports)
}

/// The entries that are asked for.
fn wanted<'a>(entries: &'a [Entry], options: &Options) -> Result<Vec<&'a Entry>> {
    let Options { names, sample, .. } = options;
    for name in names {
        let known: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        ensure!(
            known.contains(&name.as_str()),
            "there is no module `{name}`; those are: {}",
            known.join(", ")
        );
    }
    ensure!(
        !options.write || (names.is_empty() && !sample),
        "`--write` needs all modules: it replaces the table"
    );
    let is_wanted = |entry: &&Entry| {
        (!sample || entry.is_sample) && (names.is_empty() || names.contains(&entry.name))
    };
    Ok(entries.iter().filter(is_wanted).collect())
}

fn summary(reports: &[Report]) -> Result<()> {
    let run = reports.iter().filter(|report| report.times.is_some());
    let count = run.count();
    shell::print(format_args!(
        "zoo: {count} modules run with the bytes they should give, {} do not run, as expected",
        reports.len() - count
    ))
}

fn build() -> Result<PathBuf> {
    let mut cargo = shell::cargo(shell::root());
    let arguments = ["build", "--locked", "-p", "rwasm-cli"];
    shell::run(cargo.args(arguments).args(["--bin", "rwasm-cluster"]))?;
    Ok(std::path::absolute(
        shell::target()?.join("debug/rwasm-cluster"),
    )?)
}
