//! Where what comes of a job goes, and what is shown beside it.

use crate::args::{ManyOptions, TaskOptions, When};
use crate::environment::signals::Signals;
use crate::exit::CliError;
use crate::output::notes::NotesShown;
use crate::output::results::Output;
use rwasm_cluster::format::Format;
use std::path::{Path, PathBuf};

/// What is written and shown of a job.
pub(crate) struct OutputSettings {
    /// How results are written; by default as fits what the job gives.
    pub(crate) format: Option<Format>,
    /// The file of the results; by default stdout.
    results: Option<PathBuf>,
    /// The file of the report, if there is to be one.
    report: Option<PathBuf>,
    pub(super) shows_stats: bool,
    pub(super) progress: When,
    pub(super) notes: NotesShown,
    pub(crate) is_quiet: bool,
}

impl OutputSettings {
    pub(super) fn resolve(task: &TaskOptions, many: Option<&ManyOptions>) -> Self {
        Self {
            format: task.format,
            results: task.output.clone(),
            report: task.report.clone(),
            shows_stats: task.stats,
            progress: many.map_or(When::Never, |many| many.progress),
            notes: NotesShown::resolve(task.log.level(), &task.loudness),
            is_quiet: task.loudness.quiet,
        }
    }
}

/// The places for results and, if there is to be one, for the report.
pub(super) struct Outputs {
    pub(super) results: Output,
    pub(super) report: Option<Output>,
}

impl Outputs {
    /// Opens them before anything runs, since they may be refused.
    pub(super) fn open(settings: &OutputSettings, signals: &Signals) -> Result<Self, CliError> {
        let open = |path: Option<&Path>| -> Result<Output, CliError> {
            let output = Output::open(path)?;
            signals.clean(output.aside());
            Ok(output)
        };
        let results = open(settings.results.as_deref())?;
        let report = match &settings.report {
            Some(path) => Some(open(Some(path))?),
            None => None,
        };
        Ok(Self { results, report })
    }
}
