//! Where what comes of a job goes, and what is shown beside it.

use super::history;
use crate::args::{ManyOptions, StderrShown, TaskOptions, When};
use crate::exit::CliError;
use crate::output::messages::note;
use crate::output::notes::NotesShown;
use crate::output::report::{Report, Subject};
use crate::output::results::{Output, is_stream};
use rwasm_cluster::format::Format;
use rwasm_cluster::plain;
use rwasm_cluster::{ByteSize, Dashboard, DashboardError, Trace, TraceError};
use std::net::SocketAddr;
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
    /// The file of the trace, if there is to be one, and how large that may become.
    trace: Option<PathBuf>,
    trace_limit: ByteSize,
    /// Where a page is served that shows the job.
    dashboard: Option<SocketAddr>,
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
        refuse_same(&[
            ("--output", task.output.as_deref()),
            ("--report", task.report.as_deref()),
            ("--trace", task.trace.as_deref()),
        ])?;
        let trace = match &task.trace {
            Some(path) if is_stream(path) => {
                return Err(CliError::Wrong {
                    message: "--trace needs a file: stdout and stderr have other uses".to_owned(),
                    hint: "name a file, such as trace.json.gz".to_owned(),
                });
            }
            trace => trace.clone(),
        };
        let stderr = StderrShown::resolve(task.stderr, &task.loudness);
        Ok(Self {
            format: task.format,
            elements: task.elements,
            results: task.output.clone(),
            report: task.report.clone(),
            trace,
            trace_limit: task.trace_limit,
            dashboard: many.and_then(|many| many.dashboard),
            shows_stats: task.stats,
            progress: many.map_or(When::Never, |many| many.progress),
            notes: NotesShown::resolve(task.log.level(), stderr, &task.loudness),
            stderr,
            is_quiet: task.loudness.quiet,
        })
    }
}

/// Refuses two options that write the same file, and one that would replace the history, recorded or not.
pub(crate) fn refuse_same(written: &[(&str, Option<&Path>)]) -> Result<(), CliError> {
    let written = written
        .iter()
        .filter_map(|(option, path)| Some((*option, (*path)?)));
    for (count, (option, path)) in written.clone().enumerate() {
        let mut before = written.clone().take(count);
        if let Some((other, path)) = before.find(|(_, other)| is_same(other, path)) {
            return Err(CliError::Wrong {
                message: format!(
                    "{other} and {option} write the same file `{}`",
                    plain::path(path)
                ),
                hint: "name another file for one of them".to_owned(),
            });
        }
    }
    // Where there can be none, none is replaced.
    let Ok(history) = history::file() else {
        return Ok(());
    };
    for (option, path) in written {
        if is_same(path, &history) {
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
        let written = [
            ("--output", &self.results),
            ("--report", &self.report),
            ("--trace", &self.trace),
        ];
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
    pub(super) report: Option<Report>,
    pub(super) trace: Option<Trace>,
    pub(super) dashboard: Option<Dashboard>,
}

impl Outputs {
    /// Opens them before anything runs, since they may be refused.
    pub(super) fn open(
        settings: &OutputSettings,
        subject: &Subject,
        are_here: bool,
    ) -> Result<Self, CliError> {
        let results = Output::open(settings.results.as_deref())?;
        let report = match &settings.report {
            Some(path) => Some(Report::open(path)?),
            None => None,
        };
        let trace = match &settings.trace {
            Some(path) => {
                let name = format!("{} {}", subject.command, subject.module.name());
                let trace = Trace::create(path, settings.trace_limit, &name);
                Some(trace.map_err(unwritable)?)
            }
            None => None,
        };
        let dashboard = match settings.dashboard {
            Some(address) => {
                let started = if are_here {
                    Dashboard::start(address)
                } else {
                    Dashboard::of_client(address)
                };
                let dashboard = started.map_err(unserved_page)?;
                note(&format!("dashboard: {}", dashboard.url()));
                Some(dashboard)
            }
            None => None,
        };
        Ok(Self {
            results,
            report,
            trace,
            dashboard,
        })
    }
}

/// That a trace cannot be written.
pub(super) fn unwritable(error: TraceError) -> CliError {
    CliError::Output {
        what: format!("the trace `{}`", plain::path(&error.path)),
        source: error.source,
    }
}

/// That the page of a job cannot be served.
pub(crate) fn unserved_page(error: DashboardError) -> CliError {
    match error {
        DashboardError::NotLoopback { .. } => CliError::Wrong {
            message: error.to_string(),
            hint:
                "use 127.0.0.1, and reach it from another machine by `ssh -L PORT:127.0.0.1:PORT`"
                    .to_owned(),
        },
        DashboardError::Address { address, source } => CliError::Output {
            what: format!("the dashboard at {address}"),
            source,
        },
        error => CliError::Internal(error.into()),
    }
}
