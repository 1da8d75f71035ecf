//! What commands print of the program itself.

use crate::exit::CliError;
use rwasm_cluster::plain;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

/// Prints what a command shows of the program itself, where there is no result to write to a file.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(CliError::OutputClosed),
        Err(source) => Err(CliError::Output {
            what: "stdout".to_owned(),
            source,
        }),
    }
}

/// A path for stdout: as it is for a program that reads it, and in one line that a terminal does not obey.
pub(crate) fn path(path: &Path) -> String {
    if std::io::stdout().is_terminal() {
        plain::path(path)
    } else {
        path.display().to_string()
    }
}
