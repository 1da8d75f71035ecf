//! Where what comes of a job goes, and what is shown beside it.

use super::history;
use crate::args::{ManyOptions, StderrShown, TaskOptions, When};
use crate::exit::CliError;
use crate::output::notes::NotesShown;
use crate::output::results::{Output, is_stream};
use rwasm_cluster::format::Format;
use rwasm_cluster::plain;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What is written and shown of a job.
pub(crate) struct OutputSettings {
    /// How results are written; by default as fits what the job gives.
    pub(crate) format: Option<Format>,
    /// Whether the elements of streams are results of their own, as they come.
    pub(crate) elements: bool,
    /// The file of the results; by default stdout.
    results: Option<PathBuf>,
    /// The file of the report, if there is to be one.
    report: Option<PathBuf>,
    pub(super) shows_stats: bool,
    pub(super) progress: When,
    pub(super) notes: NotesShown,
    pub(super) stderr: StderrShown,
    pub(crate) is_quiet: bool,
}

impl OutputSettings {
    pub(super) fn resolve(
        task: &TaskOptions,
        many: Option<&ManyOptions>,
    ) -> Result<Self, CliError> {
        refuse_same(task.output.as_deref(), task.report.as_deref())?;
        let stderr = StderrShown::resolve(task.stderr, &task.loudness);
        Ok(Self {
            format: task.format,
            elements: task.elements,
            results: task.output.clone(),
            report: task.report.clone(),
            shows_stats: task.stats,
            progress: many.map_or(When::Never, |many| many.progress),
            notes: NotesShown::resolve(task.log.level(), stderr, &task.loudness),
            stderr,
            is_quiet: task.loudness.quiet,
        })
    }
}

/// Refuses two options that write the same file, and one that would replace the history, recorded or not.
pub(crate) fn refuse_same(output: Option<&Path>, report: Option<&Path>) -> Result<(), CliError> {
    if let (Some(output), Some(report)) = (output, report)
        && is_same(output, report)
    {
        return Err(CliError::Wrong {
            message: format!(
                "--output and --report write the same file `{}`",
                plain::path(output)
            ),
            hint: "name another file for one of them".to_owned(),
        });
    }
    // Where there can be none, none is replaced.
    let Ok(history) = history::file() else {
        return Ok(());
    };
    for (option, path) in [("--output", output), ("--report", report)] {
        if let Some(path) = path.filter(|path| is_same(path, &history)) {
            return Err(CliError::Wrong {
                message: format!("{option} would replace the history `{}`", plain::path(path)),
                hint: "name another file, or another history with RWASM_HISTORY_FILE".to_owned(),
            });
        }
    }
    Ok(())
}

impl OutputSettings {
    /// Refuses to replace a file that the job reads: the module or an input.
    pub(crate) fn refuse_read<'a>(
        &self,
        read: impl IntoIterator<Item = &'a Path>,
    ) -> Result<(), CliError> {
        let written = [("--output", &self.results), ("--report", &self.report)];
        let written = written.map(|(option, path)| (option, path.as_deref()));
        for path in read {
            for (option, written) in written {
                if written.is_some_and(|written| is_same(written, path)) {
                    return Err(CliError::Wrong {
                        message: format!(
                            "{option} would replace `{}`, which the job reads",
                            plain::path(path)
                        ),
                        hint: "name another file".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Whether both are one regular file, or will be: a device or a stream takes what several write.
fn is_same(one: &Path, other: &Path) -> bool {
    if is_stream(one) || is_stream(other) {
        return false;
    }
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(one), Ok(other)) => {
            one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino())
        }
        (Err(_), Err(_)) => {
            let one = to_be_made(one);
            one.is_some() && one == to_be_made(other)
        }
        _ => false,
    }
}

/// Where a file that is not there will be.
fn to_be_made(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
    Some(folder.join(name))
}

/// The places for results and, if there is to be one, for the report.
pub(super) struct Outputs {
    pub(super) results: Output,
    pub(super) report: Option<Output>,
}

impl Outputs {
    /// Opens them before anything runs, since they may be refused.
    pub(super) fn open(settings: &OutputSettings) -> Result<Self, CliError> {
        let results = Output::open(settings.results.as_deref())?;
        let report = match &settings.report {
            Some(path) => Some(Output::open(Some(path))?),
            None => None,
        };
        Ok(Self { results, report })
    }
}
