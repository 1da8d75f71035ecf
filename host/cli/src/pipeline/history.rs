//! Where the history is, and what of it is asked for.

use crate::args::HistoryArguments;
use crate::environment::places;
use crate::exit::CliError;
use crate::output::messages::warn;
use rwasm_cluster::plain;
use rwasm_cluster::{ClusterEvent, History, HistoryError, HistorySettings};
use std::path::{Path, PathBuf};

/// The name of the variable that names the file.
const FILE: &str = "RWASM_HISTORY_FILE";

/// Where the history is kept: `RWASM_HISTORY_FILE`, else in the user's state directory.
pub(super) fn file() -> Result<PathBuf, CliError> {
    match std::env::var_os(FILE).filter(|path| !path.is_empty()) {
        Some(path) => Ok(path.into()),
        None => Ok(places::state_dir()?.join("history.db")),
    }
}

/// The history that a job is to be recorded in; none where that was not asked for, or where the system does not let it
/// be written: then the job runs all the same. A file that is not a history is a mistake, and refused.
pub(super) fn to_record(arguments: &HistoryArguments) -> Result<Option<History>, CliError> {
    if !arguments.history {
        return Ok(None);
    }
    match History::open(settings(arguments, file()?)) {
        Ok(history) => Ok(Some(history)),
        Err(
            error @ (HistoryError::Unwritable { .. }
            | HistoryError::Unreadable { .. }
            | HistoryError::Full { .. }
            | HistoryError::Busy { .. }
            | HistoryError::Failed { .. }),
        ) => {
            warn(&format!("the job is not recorded: {error}"));
            Ok(None)
        }
        Err(error) => Err(CliError::History(error)),
    }
}

fn settings(arguments: &HistoryArguments, path: PathBuf) -> HistorySettings {
    let mut settings = HistorySettings::new(path);
    if let Some(rows) = arguments.history_rows {
        settings.max_rows = rows;
    }
    if let Some(size) = arguments.history_size {
        settings.max_bytes = size;
    }
    settings
}

/// The history there is; the file it would be in where there is none.
pub(crate) fn open() -> Result<Result<History, PathBuf>, CliError> {
    open_with(HistorySettings::new)
}

fn open_with(
    settings: impl FnOnce(PathBuf) -> HistorySettings,
) -> Result<Result<History, PathBuf>, CliError> {
    let path = file()?;
    // A link to nothing is something, and is refused as such.
    if path
        .symlink_metadata()
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    {
        return Ok(Err(path));
    }
    let history = History::open(settings(path)).map_err(CliError::History)?;
    Ok(Ok(history))
}

/// The history there is, for commands that need one.
pub(crate) fn existing() -> Result<History, CliError> {
    open()?.map_err(|path| missing(&path))
}

/// The history there is, in which another job is to be recorded.
pub(crate) fn existing_to_record(arguments: &HistoryArguments) -> Result<History, CliError> {
    open_with(|path| settings(arguments, path))?.map_err(|path| missing(&path))
}

fn missing(path: &Path) -> CliError {
    CliError::Wrong {
        message: format!("no history yet: `{}` does not exist", plain::path(path)),
        hint: HOW.to_owned(),
    }
}

/// How a history comes to be.
pub(crate) const HOW: &str = "record jobs with --history or RWASM_HISTORY=1";

/// Says what could not be recorded, if the event is about that.
pub(crate) fn warn_of_loss(event: &ClusterEvent) {
    if let ClusterEvent::HistoryLost(reason) = event {
        warn(&format!("the job was not fully recorded: {reason}"));
    }
}
