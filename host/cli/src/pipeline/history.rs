//! Where the history is, and what of it is asked for.

use crate::args::HistoryArguments;
use crate::environment::places;
use crate::exit::CliError;
use crate::output::messages::warn;
use rwasm_cluster::plain;
use rwasm_cluster::{ClusterEvent, ClusterEvents, History, HistorySettings};
use std::path::PathBuf;

/// The name of the variable that names the file.
const FILE: &str = "RWASM_HISTORY_FILE";

/// Where the history is kept: `RWASM_HISTORY_FILE`, else in the user's state directory.
pub(super) fn file() -> Result<PathBuf, CliError> {
    match std::env::var_os(FILE).filter(|path| !path.is_empty()) {
        Some(path) => Ok(path.into()),
        None => Ok(places::state_dir()?.join("history.db")),
    }
}

/// The history that a job is to be recorded in; none where that was not asked for.
pub(crate) fn settings(arguments: &HistoryArguments) -> Result<Option<HistorySettings>, CliError> {
    if !arguments.history {
        return Ok(None);
    }
    always(arguments).map(Some)
}

/// The history, where the command cannot do without.
pub(crate) fn always(arguments: &HistoryArguments) -> Result<HistorySettings, CliError> {
    let mut settings = HistorySettings::new(file()?);
    if let Some(rows) = arguments.history_rows {
        settings.max_rows = rows;
    }
    if let Some(size) = arguments.history_size {
        settings.max_bytes = size;
    }
    Ok(settings)
}

/// The history there is; the file it would be in where there is none.
pub(crate) fn open() -> Result<Result<History, PathBuf>, CliError> {
    let path = file()?;
    // A link to nothing is something, and is refused as such.
    if path
        .symlink_metadata()
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    {
        return Ok(Err(path));
    }
    let history = History::open(HistorySettings::new(path)).map_err(CliError::History)?;
    Ok(Ok(history))
}

/// The history there is, for commands that need one.
pub(crate) fn existing() -> Result<History, CliError> {
    open()?.map_err(|path| CliError::Wrong {
        message: format!("no history yet: `{}` does not exist", plain::path(&path)),
        hint: HOW.to_owned(),
    })
}

/// How a history comes to be.
pub(crate) const HOW: &str = "record jobs with --history or RWASM_HISTORY=1";

/// Says what could not be recorded.
pub(crate) fn warn_of_losses(events: &mut ClusterEvents) {
    while let Some(event) = events.try_next() {
        if let ClusterEvent::HistoryLost(reason) = event {
            warn(&format!("the job was not fully recorded: {reason}"));
        }
    }
}
